//! The sheet and the script: their size, and the contrast of every pair of colours that text is written in.

use std::collections::BTreeMap;

use crate::server::web::assets::ASSETS;

/// Style and script together, in bytes.
const MAX_BYTES: usize = 64 << 10;
/// WCAG 2.2 AA, for text of any size.
const MIN_CONTRAST: f64 = 4.5;

/// Colours of text, and what they stand on.
const TEXTS: [(&str, &[&str]); 9] = [
    ("text", &["paper", "card", "well", "bad-soft", "care-soft", "hit-soft"]),
    ("soft", &["paper", "card", "well", "bad-soft", "care-soft", "hit-soft"]),
    ("link", &["paper", "card", "well", "bad-soft", "care-soft", "hit-soft"]),
    ("good", &["paper", "card", "well"]),
    ("hit", &["paper", "card", "well"]),
    ("bad", &["paper", "card", "well", "bad-soft"]),
    ("care", &["paper", "card", "well", "care-soft"]),
    ("busy", &["paper", "card", "well"]),
    // The main button.
    ("card", &["text"]),
];

fn colours(rule: &str) -> BTreeMap<&str, &str> {
    let rule = rule.split('{').nth(1).unwrap().split('}').next().unwrap();
    let pairs = rule.split(';').filter_map(|part| part.trim().strip_prefix("--")?.split_once(':'));
    pairs.filter(|(_, value)| value.starts_with('#')).collect()
}

fn luminance(colour: &str) -> f64 {
    let digits: Vec<u32> = colour[1..].chars().map(|digit| digit.to_digit(16).unwrap()).collect();
    let parts: Vec<u32> = match digits.len() {
        3 => digits.iter().map(|digit| digit * 17).collect(),
        _ => digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect(),
    };
    let linear = parts.iter().map(|part| f64::from(*part) / 255.0).map(|part| match part <= 0.03928 {
        true => part / 12.92,
        false => ((part + 0.055) / 1.055).powf(2.4),
    });
    linear.zip([0.2126, 0.7152, 0.0722]).map(|(part, weight)| part * weight).sum()
}

fn contrast(a: &str, b: &str) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn text_can_be_read_in_both_themes() {
    assert!((contrast("#000", "#ffffff") - 21.0).abs() < 0.01);
    let sheet = String::from_utf8(ASSETS.style.content.to_vec()).unwrap();
    let mut roots = sheet.match_indices(":root{").map(|(at, _)| colours(&sheet[at..]));
    let light = roots.next().unwrap();
    let mut dark = light.clone();
    dark.extend(roots.next().unwrap());
    for (theme, colours) in [("light", light), ("dark", dark)] {
        for (text, grounds) in TEXTS {
            for ground in grounds {
                let found = contrast(colours[text], colours[ground]);
                assert!(found >= MIN_CONTRAST, "{theme}: {text} on {ground}: {found:.2}");
            }
        }
    }
}

#[test]
fn style_and_script_are_small_and_load_nothing() {
    let (style, script) = (&ASSETS.style.content, &ASSETS.script.content);
    assert!(style.len() + script.len() <= MAX_BYTES, "{} and {} bytes", style.len(), script.len());
    let both = [&**style, &**script].concat();
    let both = String::from_utf8(both).unwrap();
    for loads in
        ["url(", "@import", "@font-face", "://", "eval(", "innerHTML = ", "document.write", ".style."]
    {
        assert!(!both.contains(loads), "{loads}");
    }
}
