//! What a task printed, as lines of a page: everything escaped, colours of ANSI sequences kept as classes, other sequences left
//! out, control characters made visible. No links are made.

use std::collections::VecDeque;
use std::fmt::Write;

use crate::core::inert::inert_char;

/// How a stretch of text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Look {
    is_bold: bool,
    is_faint: bool,
    is_italic: bool,
    is_underlined: bool,
    /// 0 to 15.
    colour: Option<u8>,
}

impl Look {
    /// Takes in the parameters of an `SGR` sequence.
    fn apply(&mut self, parameters: &str) {
        let mut codes = parameters.split([';', ':']).map(|code| code.parse::<u32>().unwrap_or(0));
        while let Some(code) = codes.next() {
            match code {
                0 => *self = Self::default(),
                1 => self.is_bold = true,
                2 => self.is_faint = true,
                3 => self.is_italic = true,
                4 => self.is_underlined = true,
                22 => (self.is_bold, self.is_faint) = (false, false),
                23 => self.is_italic = false,
                24 => self.is_underlined = false,
                30..=37 => self.colour = Some((code - 30) as u8),
                90..=97 => self.colour = Some((code - 90) as u8 + 8),
                39 => self.colour = None,
                38 => {
                    // A colour of 256, or of three parts: of those only the first sixteen have a class.
                    match codes.next() {
                        Some(5) => {
                            let colour = codes.next().filter(|colour| *colour < 16);
                            self.colour = colour.map(|colour| colour as u8);
                        }
                        Some(2) => {
                            codes.by_ref().take(3).for_each(drop);
                            self.colour = None;
                        }
                        _ => {}
                    }
                }
                48 => match codes.next() {
                    Some(5) => _ = codes.next(),
                    Some(2) => codes.by_ref().take(3).for_each(drop),
                    _ => {}
                },
                _ => {}
            }
        }
    }

    fn classes(self) -> String {
        let mut classes = Vec::new();
        for (is_so, class) in
            [(self.is_bold, "b"), (self.is_faint, "faint"), (self.is_italic, "i"), (self.is_underlined, "u")]
        {
            classes.extend(is_so.then(|| class.to_owned()));
        }
        classes.extend(self.colour.map(|colour| format!("c{colour}")));
        classes.join(" ")
    }
}

/// Lines of a log as HTML, one element each. The first has the number `line`, if that is known.
pub fn log_html(text: &[u8], line: Option<u64>) -> String {
    lines(text, line).map(|line| line.html).collect()
}

/// A line as HTML.
struct HtmlLine {
    html: String,
    /// Of the line in the log, with its end.
    bytes: usize,
}

fn lines(text: &[u8], first: Option<u64>) -> impl Iterator<Item = HtmlLine> {
    let mut look = Look::default();
    text.split_inclusive(|byte| *byte == b'\n').enumerate().map(move |(at, line)| {
        let content = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line));
        // What a carriage return wrote over is not seen on a terminal either.
        let content = content.strip_suffix('\r').unwrap_or(&content);
        let shown = content.rsplit('\r').next().unwrap_or(content);
        let mut html = match first {
            Some(first) => format!("<span id=\"L{0}\" data-n=\"{0}\">", first + at as u64),
            None => "<span>".to_owned(),
        };
        line_html(&mut html, shown, &mut look);
        html.push_str("</span>");
        HtmlLine { html, bytes: line.len() }
    })
}

/// As many whole lines of a log as a page takes.
pub struct LogHtml {
    pub html: String,
    pub lines: u64,
    /// Bytes and lines before and bytes behind, which were left out.
    pub bytes_before: u64,
    pub lines_before: u64,
    pub bytes_behind: u64,
}

impl LogHtml {
    /// The last lines or the first ones, up to `most` bytes of HTML, and always one.
    pub fn of(text: &[u8], line: Option<u64>, keeps_end: bool, most: usize) -> Self {
        let mut all: VecDeque<HtmlLine> = lines(text, line).collect();
        let mut part =
            Self { html: String::new(), lines: 0, bytes_before: 0, lines_before: 0, bytes_behind: 0 };
        let mut size: usize = all.iter().map(|line| line.html.len()).sum();
        while size > most && all.len() > 1 {
            let out = if keeps_end { all.pop_front() } else { all.pop_back() };
            let Some(out) = out else { break };
            size -= out.html.len();
            if keeps_end {
                part.bytes_before += out.bytes as u64;
                part.lines_before += 1;
            } else {
                part.bytes_behind += out.bytes as u64;
            }
        }
        part.lines = all.len() as u64;
        part.html = all.into_iter().map(|line| line.html).collect();
        part
    }
}

fn line_html(html: &mut String, line: &str, look: &mut Look) {
    let mut rest = line;
    while let Some(at) = rest.find('\x1b') {
        stretch(html, &rest[..at], *look);
        rest = &rest[at + 1..];
        let end = sequence_end(rest);
        if let Some(parameters) = rest[..end].strip_prefix('[').and_then(|body| body.strip_suffix('m')) {
            look.apply(parameters);
        }
        rest = &rest[end..];
    }
    stretch(html, rest, *look);
}

/// Where a sequence ends whose escape character was read.
fn sequence_end(rest: &str) -> usize {
    let mut chars = rest.char_indices();
    match chars.next() {
        Some((_, '[')) => {
            let is_inside = |c: &char| (' '..='?').contains(c);
            match chars.find(|(_, c)| !is_inside(c)) {
                Some((at, c)) if ('@'..='~').contains(&c) => at + c.len_utf8(),
                Some((at, _)) => at,
                None => rest.len(),
            }
        }
        Some((_, ']' | 'P' | 'X' | '^' | '_')) => match rest.find(['\x07', '\x1b', '\u{9c}']) {
            Some(at) if rest[at..].starts_with("\x1b\\") => at + 2,
            Some(at) if rest[at..].starts_with('\x1b') => at,
            Some(at) => at + rest[at..].chars().next().map_or(0, char::len_utf8),
            None => rest.len(),
        },
        Some((_, c)) => c.len_utf8(),
        None => 0,
    }
}

fn stretch(html: &mut String, text: &str, look: Look) {
    if text.is_empty() {
        return;
    }
    let is_plain = look == Look::default();
    if !is_plain {
        // Writing to text cannot fail.
        let _ = write!(html, "<i class=\"{}\">", look.classes());
    }
    for c in text.chars().map(inert_char) {
        match c {
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '&' => html.push_str("&amp;"),
            '"' => html.push_str("&quot;"),
            c => html.push(c),
        }
    }
    if !is_plain {
        html.push_str("</i>");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn html(text: &str) -> String {
        log_html(text.as_bytes(), None).replace("<span>", "").replace("</span>", "|")
    }

    #[test]
    fn colours_become_classes_and_other_sequences_vanish() {
        for (text, expected) in [
            ("plain\ntwo\n", "plain|two|"),
            ("\x1b[1;31mred\x1b[0m end", "<i class=\"b c1\">red</i> end|"),
            ("\x1b[31mred\nstill\x1b[39m not", "<i class=\"c1\">red</i>|<i class=\"c1\">still</i> not|"),
            ("\x1b[38;5;200;1mx", "<i class=\"b\">x</i>|"),
            ("\x1b[38;2;1;2;3;4mx", "<i class=\"u\">x</i>|"),
            ("\x1b[48;5;1;92mx", "<i class=\"c10\">x</i>|"),
            ("\x1b]0;title\x07a\x1b[2Jb\x1b(c", "abc|"),
            ("10%\r50%\r100%\r\nend", "100%|end|"),
            ("half\x1b[", "half|"),
            ("a\x07b\u{202e}c", "a␇b\u{fffd}c|"),
        ] {
            assert_eq!(html(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_part_ends_or_begins_with_whole_lines() {
        let text = b"one\ntwo\nthree\n";
        let whole = LogHtml::of(text, Some(7), true, 1000);
        assert_eq!((whole.lines, whole.bytes_before, whole.bytes_behind), (3, 0, 0));
        let end = LogHtml::of(text, Some(7), true, 75);
        assert_eq!((end.lines, end.bytes_before, end.lines_before, end.bytes_behind), (2, 4, 1, 0));
        assert!(end.html.starts_with("<span id=\"L8\""), "{}", end.html);
        let begin = LogHtml::of(text, Some(7), false, 1);
        assert_eq!((begin.lines, begin.bytes_before, begin.bytes_behind), (1, 0, 10));
        assert_eq!(LogHtml::of(b"", None, true, 1).html, "");
    }

    #[test]
    fn lines_have_their_numbers() {
        let text = log_html(b"a\nb", Some(7));
        assert_eq!(text, "<span id=\"L7\" data-n=\"7\">a</span><span id=\"L8\" data-n=\"8\">b</span>");
    }

    proptest! {
        #[test]
        fn nothing_that_a_task_prints_is_markup(text in "(<[a-z/!]*|>|&|\"|'|\x1b[\\[\\]P]?[0-9;]*[m\x07]?|.){0,40}") {
            let html = html(&text);
            let bare = regex::Regex::new("<i class=\"[a-z0-9 ]+\">|</i>").unwrap().replace_all(&html, "").into_owned();
            prop_assert!(!bare.contains(['<', '>', '"', '\x1b']), "{bare:?}");
        }
    }
}
