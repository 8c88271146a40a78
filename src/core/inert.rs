//! Foreign text made harmless for a terminal: the one place that knows which characters a terminal acts upon.
//!
//! [`inert`] removes escape sequences and is for what tasks print; [`inert_in_place`] replaces one character by one and is
//! for excerpts of files, where each character keeps its column; [`escaped`] is for a whole stream, behind everything else.

use std::borrow::Cow;

/// A message with more characters than this is cut: keys and values in it may be of any length.
const LONG_MESSAGE: usize = 1000;

/// Kept free for the renderer of diagnostics: a code point that no text of ours lets through.
pub const PLACEHOLDER: char = '\u{fdd0}';

/// `text` without escape sequences, control characters and marks that reorder text, so that what a task
/// prints can neither move the cursor nor pass for something else. A tab becomes spaces, a line break a space.
pub fn inert(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return text.into();
    }
    let mut clean = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => match chars.peek() {
                Some('[') => {
                    chars.next();
                    skip_control_sequence(&mut chars);
                }
                Some(']' | 'P' | 'X' | '^' | '_') => skip_control_string(&mut chars),
                _ => {
                    while chars.next_if(|c| (' '..='/').contains(c)).is_some() {}
                    chars.next_if(|c| ('0'..='~').contains(c));
                }
            },
            '\u{9b}' => skip_control_sequence(&mut chars),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => skip_control_string(&mut chars),
            '\t' => clean.push_str("    "),
            '\n' => clean.push(' '),
            c if c.is_control() || reorders(c) => {}
            c => clean.push(c),
        }
    }
    clean.into()
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Skips the parameters and the final character of a sequence such as `ESC [ 31 m`, and stops before
/// anything that cannot belong to it.
fn skip_control_sequence(chars: &mut Chars) {
    while chars.next_if(|c| (' '..='?').contains(c)).is_some() {}
    chars.next_if(|c| ('@'..='~').contains(c));
}

/// Skips a string such as a window title, up to its terminator or the end of the line.
fn skip_control_string(chars: &mut Chars) {
    while let Some(c) = chars.next_if(|c| *c != '\n') {
        match c {
            '\x07' | '\u{9c}' => return,
            '\x1b' if chars.next_if_eq(&'\\').is_some() => return,
            _ => {}
        }
    }
}

/// Line separators and the marks that change the direction of text.
fn reorders(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text on its way to a stream: each character that a terminal acts upon, or that reorders what it shows, becomes an
/// escape such as `\u009b`, which means the same character in a string of JSON or TOML. Line breaks, tabs and the colours
/// that this program paints stay.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|b| matches!(b, b' '..=b'~' | b'\n' | b'\t')) {
        return text.into();
    }
    let mut clean = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        match c {
            '\n' | '\t' => clean.push(c),
            '\x1b' if is_color(&text[at + 1..]) => clean.push(c),
            c if c.is_control() || reorders(c) => clean.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => clean.push(c),
        }
    }
    clean.into()
}

/// Whether `rest`, which follows an escape character, begins with the rest of a sequence that sets colours.
fn is_color(rest: &str) -> bool {
    let Some(parameters) = rest.strip_prefix('[') else { return false };
    parameters.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m')
}

/// The text with a visible character in place of each that a terminal acts upon, or that makes it look like another text.
pub fn inert_in_place(text: &str) -> String {
    text.chars().map(inert_char).collect()
}

/// [`inert_in_place`] for a message, which keeps its line breaks and is cut after `LONG_MESSAGE` characters.
pub fn inert_message(text: &str) -> String {
    let mut chars = text.chars();
    let mut out: String =
        chars.by_ref().take(LONG_MESSAGE).map(|c| if c == '\n' { c } else { inert_char(c) }).collect();
    if chars.next().is_some() {
        out.push('…');
    }
    out
}

/// What a terminal is given instead of `c`; most characters stand for themselves.
pub fn inert_char(c: char) -> char {
    match c {
        '\t' => c,
        '\0'..='\u{1f}' => char::from_u32(0x2400 + c as u32).unwrap_or(char::REPLACEMENT_CHARACTER),
        '\u{7f}' => '␡',
        // C1 controls, text direction, line separators, and characters of no width.
        '\u{80}'..='\u{9f}'
        | '\u{61c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | PLACEHOLDER => char::REPLACEMENT_CHARACTER,
        _ => c,
    }
}

/// `text` in quotes for a message, shortened where it is long, its control characters made visible.
pub fn quote(text: &str) -> String {
    const MAX_QUOTED_CHARS: usize = 60;
    match text.char_indices().nth(MAX_QUOTED_CHARS) {
        Some((end, _)) => format!("{:?}... ({} bytes)", &text[..end], text.len()),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escape_sequences_vanish_and_words_stay() {
        for (text, clean) in [
            ("\x1b[1;31mred\x1b[0m text", "red text"),
            ("\x1b]0;title\x07after", "after"),
            ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
            ("a\x1b[2J\x1b[Hb", "ab"),
            ("\x1b(Bx\x1b7y\x1bcz", "xyz"),
            ("\u{9b}31mred", "red"),
            ("half\x1b[", "half"),
            ("half\x1b", "half"),
            ("\x1b[31é", "é"),
            ("bell\x07 back\x08 tab\tend", "bell back tab    end"),
            ("a\u{202e}b\u{2066}c", "abc"),
            ("one\ntwo", "one two"),
            ("naïve 日本", "naïve 日本"),
        ] {
            assert_eq!(inert(text), clean, "{text:?}");
        }
    }

    #[test]
    fn a_stream_gets_escapes_that_json_and_toml_read_back() {
        assert_eq!(escaped("plain é\n\t\u{1b}[1;31mred\u{1b}[0m"), "plain é\n\t\u{1b}[1;31mred\u{1b}[0m");
        assert_eq!(escaped("\u{1b}[2J\u{9b}31m\u{202e}\r\u{7f}"), r"\u001b[2J\u009b31m\u202e\u000d\u007f");
        let text = "a\u{9b}\\\u{2066}\"\u{7f}";
        let json = serde_json::to_string(text).unwrap();
        assert_eq!(serde_json::from_str::<String>(&escaped(&json)).unwrap(), text);
    }

    proptest! {
        #[test]
        fn nothing_inert_can_steer_a_terminal(text in "(\\PC|[\\x00-\\x1f\\x7f-\\u{9f}]|\x1b\\[|\x1b\\]){0,40}") {
            let clean = inert(&text);
            prop_assert!(!clean.chars().any(char::is_control), "{clean:?}");
        }
    }
}
