//! Lines broken at words for a terminal of some width. Colours are kept, and take no room.
//!
//! Only for what people read: a result, a path or a command that is to be copied must stay in one piece.

use crate::view::text::width;

/// Columns by which further lines of a broken line are indented more than its first.
const HANGING: usize = 2;
/// Terminals that are narrower break lines themselves.
const MIN_COLUMNS: usize = 20;

/// The text with each line that is wider than `columns` broken between words. A word that is wider stays whole.
pub fn wrap(text: &str, columns: usize) -> String {
    if columns < MIN_COLUMNS {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for line in text.split_inclusive('\n') {
        match visible(line.trim_end_matches('\n')) > columns {
            true => wrap_line(line, columns, &mut out),
            false => out.push_str(line),
        }
    }
    out
}

fn wrap_line(line: &str, columns: usize, out: &mut String) {
    let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
    let leading = line.len() - line.trim_start_matches(' ').len();
    let indent = (leading + HANGING).min(columns / 2);
    let (mut column, mut rest, mut is_first) = (0, line, true);
    while !rest.is_empty() {
        let spaces = rest.len() - rest.trim_start_matches(' ').len();
        let word = rest[spaces..].split(' ').next().unwrap_or_default();
        let room = visible(word);
        if !is_first && room > 0 && column + spaces + room > columns {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else {
            out.push_str(&rest[..spaces]);
            column += spaces;
        }
        out.push_str(word);
        column += room;
        is_first &= room == 0;
        rest = &rest[spaces + word.len()..];
    }
    out.push_str(end);
}

/// Columns that a text takes without its colours.
fn visible(text: &str) -> usize {
    let mut pieces = text.split("\x1b[");
    let first = pieces.next().map_or(0, width);
    first + pieces.map(|piece| piece.split_once('m').map_or(0, |(_, text)| width(text))).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_break_between_words_and_hang() {
        assert_eq!(wrap("short\nand one more line here\n", 20), "short\nand one more line\n  here\n");
        assert_eq!(wrap("  ! hash: a message of words", 20), "  ! hash: a message\n    of words");
        assert_eq!(wrap("x /a/very/long/path/in/one/word y", 20), "x\n  /a/very/long/path/in/one/word\n  y");
        assert_eq!(
            wrap("\x1b[31mred words that\x1b[0m go on so", 20),
            "\x1b[31mred words that\x1b[0m go on\n  so"
        );
        assert_eq!(wrap("日本語 日本語 日本語 日本語", 20), "日本語 日本語 日本語\n  日本語");
        assert_eq!(wrap("too narrow to be broken", 19), "too narrow to be broken");
    }

    proptest! {
        #[test]
        fn no_word_is_lost_and_lines_fit(text in "( {1,3}[a-zé]{1,12}){0,20}", columns in 20usize..90) {
            let wrapped = wrap(&text, columns);
            prop_assert!(wrapped.lines().all(|line| width(line.trim_end()) <= columns), "{wrapped}");
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(words(&wrapped), words(&text));
        }
    }
}
