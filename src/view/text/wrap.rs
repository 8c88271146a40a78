//! Lines broken at words for a terminal of some width. Colours are kept, and take no room.
//!
//! Only for what people read: a result, a path or a command that is to be copied must stay in one piece.

use crate::view::text::width;

/// Columns by which further lines of a broken line are indented more than its first.
const HANGING: usize = 2;
/// Terminals that are narrower break lines themselves.
const MIN_COLUMNS: usize = 20;
/// Stands at the beginning of a quoted line of a log, and of each line that it is broken into.
const QUOTE: &str = "  │ ";

/// The text with each line that is wider than `columns` broken between words. A word that is wider stays whole, and
/// so does a command in backticks that fits on a line. Further lines of a row in columns begin below its last column,
/// if that leaves them half of the screen.
pub fn wrap(text: &str, columns: usize) -> String {
    each_wide_line(text, columns, |line| {
        let plain = visible(line);
        match plain.strip_prefix(QUOTE) {
            Some(_) => Hang { mark: QUOTE.into(), indent: 0, fixed: 0 },
            None => Hang { mark: String::new(), indent: hanging(&plain, columns), fixed: 0 },
        }
    })
}

/// Diagnostics as [`wrap`] breaks texts, but lines of a source stay whole, and labels hang below their beginning.
pub fn wrap_diagnostics(text: &str, columns: usize) -> String {
    each_wide_line(text, columns, |line| {
        let plain = visible(line);
        let body = plain.trim_start();
        if body.starts_with(|c: char| c.is_ascii_digit()) || body.starts_with("-->") {
            return Hang { mark: String::new(), indent: 0, fixed: plain.len() };
        }
        let Some(bar) = plain.find('|').filter(|_| body.starts_with('|')) else {
            let message = plain.find(": ").map_or(0, |colon| colon + 2);
            let leading = plain.len() - body.len();
            let indent = if message * 3 <= columns { message } else { leading + HANGING };
            return Hang { mark: String::new(), indent, fixed: message };
        };
        let label = plain.trim_start_matches([' ', '|']).trim_start_matches(['^', '-']).trim_start();
        let begin = plain.len() - label.len();
        let below = if begin * 2 <= columns { begin } else { bar + 1 + HANGING };
        // The bar stands on each line, painted as on the first.
        let painted = line.find('|').map_or("", |at| &line[..=at]);
        let reset = if painted.contains('\x1b') { "\x1b[0m" } else { "" };
        Hang { mark: format!("{painted}{reset}"), indent: below.saturating_sub(bar + 1), fixed: begin }
    })
}

/// How a line goes on in the next one.
struct Hang {
    /// What each further line begins with.
    mark: String,
    /// Spaces behind that.
    indent: usize,
    /// This many bytes of what is visible are never broken.
    fixed: usize,
}

fn each_wide_line(text: &str, columns: usize, hang: impl Fn(&str) -> Hang) -> String {
    if columns < MIN_COLUMNS {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        match width(&visible(line)) > columns {
            true => break_line(line, columns, &hang(line), &mut out),
            false => out.push_str(line),
        }
        out.push_str(end);
    }
    out
}

/// Where further lines of `plain` begin: below its last column, or a little to the right of its first word.
fn hanging(plain: &str, columns: usize) -> usize {
    let body = plain.trim_start_matches(' ');
    let leading = plain.len() - body.len();
    let column = body.rfind("  ").map(|gap| leading + gap + 2).map(|end| width(&plain[..end]));
    column.filter(|column| column * 2 <= columns).unwrap_or((leading + HANGING).min(columns / 2))
}

fn break_line(line: &str, columns: usize, hang: &Hang, out: &mut String) {
    let Hang { mark, indent, fixed } = hang;
    let offset = width(&visible(mark));
    let begin = offset + indent;
    let (mut column, mut passed, mut rest, mut is_first, mut style) = (0, 0, line, true, "");
    while !rest.is_empty() {
        let spaces = rest.len() - rest.trim_start_matches(' ').len();
        let word = &rest[spaces..spaces + unit(&rest[spaces..], columns - begin.min(columns))];
        let shown = visible(word);
        let room = width(&shown);
        // What is too wide for the indent may fit further to the left; what fits nowhere stays where it is.
        let indent = if begin + room > columns { HANGING.min(*indent) } else { *indent };
        let fits_below = offset + indent + room <= columns;
        let is_loose = !is_first && room > 0 && passed + spaces >= *fixed;
        if is_loose && column + spaces + room > columns && fits_below {
            // A colour that goes on is set again behind the mark.
            let colored = !mark.is_empty() && !style.is_empty();
            out.push_str(if colored { "\x1b[0m\n" } else { "\n" });
            out.push_str(mark);
            out.extend(std::iter::repeat_n(' ', indent));
            out.push_str(if colored { style } else { "" });
            column = offset + indent;
        } else {
            out.push_str(&rest[..spaces]);
            column += spaces;
        }
        out.push_str(word);
        column += room;
        passed += spaces + shown.len();
        is_first &= room == 0;
        style = last_style(word).unwrap_or(style);
        rest = &rest[spaces + word.len()..];
    }
}

/// The length in bytes of what stays in one piece at the beginning of `text`: a word, or words between backticks that
/// fit on a line.
fn unit(text: &str, room: usize) -> usize {
    let word = text.find(' ').unwrap_or(text.len());
    if text[..word].matches('`').count().is_multiple_of(2) {
        return word;
    }
    let quoted = text[word..].find('`').map(|end| word + end);
    let end = quoted.map(|end| end + text[end..].find(' ').unwrap_or(text.len() - end));
    end.filter(|end| width(&visible(&text[..*end])) <= room).unwrap_or(word)
}

/// The escape sequence of colour that is in force behind a word, if it has one; empty if it ends a colour.
fn last_style(word: &str) -> Option<&str> {
    let begin = word.rfind("\x1b[")?;
    let end = begin + word[begin..].find('m')?;
    Some(if &word[begin..=end] == "\x1b[0m" { "" } else { &word[begin..=end] })
}

/// A text without its colours.
fn visible(text: &str) -> String {
    let mut pieces = text.split("\x1b[");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    plain.extend(pieces.filter_map(|piece| piece.split_once('m')).map(|(_, text)| text));
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_break_between_words_and_hang() {
        assert_eq!(wrap("short\nand one more line here\n", 20), "short\nand one more line\n  here\n");
        assert_eq!(wrap("  ! hash: a message of words", 20), "  ! hash: a message\n    of words");
        assert_eq!(wrap("x /a/very/long/path/in/one/word y", 20), "x /a/very/long/path/in/one/word\n  y");
        assert_eq!(
            wrap("\x1b[31mred words that\x1b[0m go on so", 20),
            "\x1b[31mred words that\x1b[0m go on\n  so"
        );
        assert_eq!(wrap("日本語 日本語 日本語 日本語", 20), "日本語 日本語 日本語\n  日本語");
        assert_eq!(wrap("too narrow to be broken", 19), "too narrow to be broken");
    }

    #[test]
    fn rows_hang_below_their_last_column() {
        assert_eq!(
            wrap("hash   miss  no earlier result of this task", 30),
            "hash   miss  no earlier result\n             of this task"
        );
        // There is no room below a column far to the right.
        assert_eq!(
            wrap("  a_node_with_a_long_name  some more words", 32),
            "  a_node_with_a_long_name  some\n    more words"
        );
        assert_eq!(wrap("task    by  a-name-of-sixteen", 22), "task    by\n  a-name-of-sixteen");
        assert_eq!(
            wrap("  │ ValueError: no data in the file", 24),
            "  │ ValueError: no data\n  │ in the file"
        );
    }

    #[test]
    fn commands_in_backticks_stay_whole() {
        assert_eq!(
            wrap("begin with `runner exec W`, or ask", 24),
            "begin with\n  `runner exec W`, or\n  ask"
        );
        assert_eq!(
            wrap("a tick ` alone breaks nothing else", 20),
            "a tick ` alone\n  breaks nothing\n  else"
        );
        assert_eq!(wrap("long: `one two three four five six`", 20), "long: `one two three\n  four five six`");
    }

    #[test]
    fn diagnostics_keep_their_excerpts() {
        let text = "\
error: the workflow has no input `dya` at all
  --> a/rather/long/path/of/a/workflow.toml:11:20
   |
11 | inputs = { x = \"{{ inputs.dya }}\" }
   |          ^^ not known here at all
   |
   = help: there are no inputs at all
";
        let expected = "\
error: the workflow has no
       input `dya` at all
  --> a/rather/long/path/of/a/workflow.toml:11:20
   |
11 | inputs = { x = \"{{ inputs.dya }}\" }
   |          ^^ not known
   |  here at all
   |
   = help: there are no
     inputs at all
";
        assert_eq!(wrap_diagnostics(text, 28), expected);
        let label = "   |      ^^ not known here at all in this file";
        assert_eq!(
            wrap_diagnostics(label, 28),
            "   |      ^^ not known here\n   |         at all in this\n   |         file"
        );
        let painted = "  \x1b[34m|\x1b[0m  \x1b[31m^^\x1b[0m \x1b[31mnot known here at all\x1b[0m";
        assert_eq!(
            wrap_diagnostics(painted, 20),
            "  \x1b[34m|\x1b[0m  \x1b[31m^^\x1b[0m \x1b[31mnot known\x1b[0m\n  \x1b[34m|\x1b[0m     \x1b[31mhere at all\x1b[0m"
        );
    }

    proptest! {
        #[test]
        fn no_word_is_lost_and_lines_fit(text in "( {1,3}[a-zé`]{1,12}){0,20}", columns in 20usize..90) {
            let wrapped = wrap(&text, columns);
            prop_assert!(wrapped.lines().all(|line| width(line.trim_end()) <= columns), "{wrapped}");
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(words(&wrapped), words(&text));
        }
    }
}
