//! The forms that a secret takes in text: as it is, line by line, and as common encoders write it. Knows nothing of
//! streams and masks.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// One form of a secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretForm {
    pub bytes: Vec<u8>,
    /// Whether an encoder may break it into lines anywhere.
    pub breaks: bool,
}

/// Minimum length of a secret that can be masked, in characters: a shorter one is a part of too many other texts.
pub const MIN_SECRET_CHARS: usize = 4;

/// Characters besides letters and digits that URL encoders leave as they are: RFC 3986 and `quote_plus`, Python's
/// `quote`, `encodeURIComponent`, `encodeURI`.
const URL_PLAIN: [&str; 4] = ["-._~", "-._~/", "-._~!*'()", "-._~!*'();,/?:@&=+$#"];

/// Whether `value` is long enough to be masked. The white space around it does not count.
pub fn is_maskable(value: &[u8]) -> bool {
    String::from_utf8_lossy(value.trim_ascii()).chars().nth(MIN_SECRET_CHARS - 1).is_some()
}

/// Every form of `value` without the white space around it; none if it is too short. Of a value with several lines
/// each line counts as well, if it is long enough by itself.
pub fn forms(value: &[u8]) -> BTreeSet<SecretForm> {
    let mut forms = BTreeSet::new();
    let value = value.trim_ascii();
    if !is_maskable(value) {
        return forms;
    }
    escaped(value, &mut forms);
    base64(value, &mut forms);
    for line in value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        if line.len() < value.len() && is_maskable(line) {
            escaped(line, &mut forms);
        }
    }
    forms
}

/// As it is, and with its special characters escaped as in JSON and in URLs.
fn escaped(value: &[u8], forms: &mut BTreeSet<SecretForm>) {
    let mut add = |bytes: Vec<u8>| {
        forms.insert(SecretForm { bytes, breaks: false });
    };
    add(value.to_vec());
    for plain in URL_PLAIN {
        for (space, upper) in [(false, true), (false, false), (true, true), (true, false)] {
            add(percent_encoded(value, plain, space, upper));
        }
    }
    let text = String::from_utf8_lossy(value);
    let json = json(&text);
    for text in [&json, &json.replace('/', "\\/"), &html_safe(&json)] {
        for text in [text.clone(), ascii(text, false), ascii(text, true)] {
            // JSON as text inside JSON.
            add(self::json(&text).into_bytes());
            add(text.into_bytes());
        }
    }
}

/// The content of a JSON text.
fn json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned()
}

/// JSON as Go writes it, so that it can stand in a page.
fn html_safe(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// JSON with other characters than ASCII escaped, as Python writes it.
fn ascii(json: &str, upper: bool) -> String {
    let mut text = String::with_capacity(json.len());
    for letter in json.chars() {
        if letter.is_ascii() {
            text.push(letter);
            continue;
        }
        for unit in letter.encode_utf16(&mut [0; 2]) {
            text.push_str(&if upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") });
        }
    }
    text
}

fn percent_encoded(value: &[u8], plain: &str, plus: bool, upper: bool) -> Vec<u8> {
    let mut text = Vec::with_capacity(value.len());
    for byte in value {
        match byte {
            b' ' if plus => text.push(b'+'),
            byte if byte.is_ascii_alphanumeric() || plain.as_bytes().contains(byte) => text.push(*byte),
            byte if upper => text.extend(format!("%{byte:02X}").bytes()),
            byte => text.extend(format!("%{byte:02x}").bytes()),
        }
    }
    text
}

/// Base64 of any text that holds `value`: what of it stays the same, whatever comes before and behind. Where nothing
/// comes behind, or a newline, the rest as well.
fn base64(value: &[u8], forms: &mut BTreeSet<SecretForm>) {
    for before in 0..3 {
        for behind in [&b""[..], b"\n"] {
            let text = [&[0; 2][..before], value, behind].concat();
            for engine in [STANDARD, URL_SAFE] {
                let encoded = engine.encode(&text).into_bytes();
                let start = (before * 8).div_ceil(6);
                let stable = ((before + value.len()) * 8) / 6;
                let unpadded = encoded.iter().position(|byte| *byte == b'=').unwrap_or(encoded.len());
                for end in [stable, unpadded, encoded.len()] {
                    if let Some(bytes) = encoded.get(start..end) {
                        forms.insert(SecretForm { bytes: bytes.to_vec(), breaks: true });
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(value: &str, form: &str) -> bool {
        forms(value.as_bytes()).iter().any(|found| found.bytes == form.as_bytes())
    }

    #[test]
    fn what_is_too_short_has_no_form() {
        for short in ["", "abc", " ab\n", "grö"] {
            assert!(forms(short.as_bytes()).is_empty() && !is_maskable(short.as_bytes()), "{short}");
        }
        assert!(is_maskable("größ".as_bytes()) && is_maskable(b"abcd\n"));
    }

    #[test]
    fn json_and_url_forms_are_those_of_common_encoders() {
        for (value, form) in [
            ("a\"b\\c\nd", r#"a\"b\\c\nd"#),
            ("a/bcd", r"a\/bcd"),
            ("a<b>&c", r"a\u003cb\u003e\u0026c"),
            ("größe", r"gr\u00f6\u00dfe"),
            ("key😀", r"key\ud83d\ude00"),
            ("say \"x\"", r#"say \\\"x\\\""#),
            ("a b&c/d", "a%20b%26c%2Fd"),
            ("a b&c/d", "a+b%26c%2fd"),
            ("a b&c/d", "a%20b%26c/d"),
            ("a(b)c d", "a(b)c%20d"),
            ("größe", "gr%C3%B6%C3%9Fe"),
        ] {
            assert!(has(value, form), "{value} {form}");
        }
    }

    #[test]
    fn lines_count_by_themselves() {
        let value = "-----BEGIN-----\nMIIEvQ/BADANB\nab\n-----END-----\n";
        assert!(has(value, "MIIEvQ/BADANB") && has(value, "-----END-----") && !has(value, "ab"));
        assert!(has(value, value.trim()) && has(value, &value.trim().replace('\n', "\\n")));
    }

    #[test]
    fn base64_holds_a_form_whatever_is_around() {
        for value in ["hunter2", "pass", "?>?>?>", "a much longer secret than the others"] {
            for (before, behind) in
                [("", ""), ("x", ""), ("user:", "\n"), ("ab", "cd"), ("abc", "d"), ("", "xyz")]
            {
                for engine in [STANDARD, URL_SAFE] {
                    let text = engine.encode(format!("{before}{value}{behind}"));
                    let longest = forms(value.as_bytes()).into_iter().filter_map(|form| {
                        let form = String::from_utf8(form.bytes).unwrap();
                        text.contains(&form).then_some(form.len())
                    });
                    // All but the characters at its edges that others share.
                    assert!(longest.max().unwrap_or(0) * 6 + 12 >= value.len() * 8, "{value} {text}");
                }
            }
        }
    }
}
