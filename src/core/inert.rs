//! Text from files made harmless for a terminal, without losing a character's place.

/// A message with more characters than this is cut: keys and values in it may be of any length.
const LONG_MESSAGE: usize = 1000;

/// Kept free for the renderer of diagnostics: a code point that no text of ours lets through.
pub const PLACEHOLDER: char = '\u{fdd0}';

/// The text without characters that a terminal acts upon, or that make it look like another text.
pub fn inert(text: &str) -> String {
    text.chars().map(inert_char).collect()
}

/// The same for a message, which may be of several lines but not of any length.
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
