//! Markdown as lines for a terminal: as much of Markdown as the manual uses. Knows nothing of topics.
//!
//! Headings stand at the margin, text is indented by two columns and wrapped, code is indented further and never
//! wrapped, tables keep their columns and wrap inside cells. Comments are left out.

use anstyle::Style;

use crate::view::text::style::{Ink, PLAIN, STRONG};
use crate::view::text::width as columns_of;

const TEXT_INDENT: usize = 2;
const CODE_INDENT: usize = 6;
/// Columns between two cells of a table.
const GUTTER: usize = 2;
/// Code in prose up to this width is not broken at its spaces.
const MAX_WHOLE_CODE: usize = 24;

/// What is not broken: stretches of text, each with its style.
type Word = Vec<(Style, String)>;

/// The page in at most `width` columns, code apart.
pub fn render(page: &str, width: usize, ink: Ink) -> String {
    let mut out = Page { text: String::new(), width, ink };
    let mut lines = page.lines().peekable();
    let mut paragraph: Vec<&str> = Vec::new();
    while let Some(line) = lines.next() {
        let plain = line.trim();
        let is_special = plain.is_empty()
            || ["```", "#", "|", "<!--"].iter().any(|mark| plain.starts_with(mark))
            || marker(line).is_some();
        if is_special {
            out.paragraph(&std::mem::take(&mut paragraph));
        }
        if plain.starts_with("<!--") {
            let mut last = plain;
            while !last.ends_with("-->") {
                let Some(next) = lines.next() else { break };
                last = next.trim_end();
            }
        } else if plain.starts_with("```") {
            let code: Vec<_> = lines.by_ref().take_while(|line| !line.trim().starts_with("```")).collect();
            out.code(&code);
        } else if plain.starts_with('#') {
            out.heading(plain.trim_start_matches('#').trim());
        } else if plain.starts_with('|') {
            let mut rows = vec![plain];
            while let Some(row) = lines.next_if(|line| line.trim_start().starts_with('|')) {
                rows.push(row.trim());
            }
            out.table(&rows);
        } else if !plain.is_empty() {
            paragraph.push(line);
        }
    }
    out.paragraph(&paragraph);
    out.text
}

/// Where a list item's text begins, if the line is one.
fn marker(line: &str) -> Option<usize> {
    let indent = line.len() - line.trim_start().len();
    let rest = &line[indent..];
    if rest.starts_with("- ") {
        return Some(indent + 2);
    }
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    (digits > 0 && rest[digits..].starts_with(". ")).then_some(indent + digits + 2)
}

struct Page {
    text: String,
    width: usize,
    ink: Ink,
}

impl Page {
    /// An empty line before the next block; items of a list follow each other.
    fn gap(&mut self) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
    }

    fn heading(&mut self, text: &str) {
        self.gap();
        let words: Vec<_> =
            words(text, self.ink, MAX_WHOLE_CODE).into_iter().flatten().map(|(_, text)| text).collect();
        self.text.push_str(&self.ink.paint(STRONG, words.join(" ")));
        self.text.push('\n');
    }

    fn code(&mut self, lines: &[&str]) {
        self.gap();
        for line in lines {
            let indent = if line.is_empty() { 0 } else { CODE_INDENT };
            self.text.push_str(&format!("{:indent$}{line}\n", ""));
        }
    }

    fn paragraph(&mut self, lines: &[&str]) {
        let Some(first) = lines.first() else { return };
        let (begins, hang) = match marker(first) {
            Some(at) => (&first[..at], at),
            None => ("", 0),
        };
        // The items of a list stand close together.
        if hang == 0 || !self.ends_with_item() {
            self.gap();
        }
        let text = [&first[begins.len()..]].into_iter().chain(lines[1..].iter().copied()).collect::<Vec<_>>();
        let indent = TEXT_INDENT + hang;
        let wrapped =
            wrap(words(&text.join(" "), self.ink, MAX_WHOLE_CODE), self.width.saturating_sub(indent));
        for (at, line) in wrapped.iter().enumerate() {
            let head = if at == 0 { begins } else { "" };
            self.text.push_str(&format!("{:TEXT_INDENT$}{head:hang$}{}\n", "", self.paint(line)));
        }
    }

    fn ends_with_item(&self) -> bool {
        let lines = self.text.lines().rev().take_while(|line| !line.is_empty());
        lines.last().is_some_and(|line| marker(line).is_some())
    }

    fn table(&mut self, rows: &[&str]) {
        self.gap();
        let mut cells: Vec<Vec<Vec<Word>>> = Vec::new();
        for row in rows.iter().filter(|row| !row.trim_matches(['|', '-', ':', ' ']).is_empty()) {
            cells.push(split_row(row).iter().map(|cell| words(cell, self.ink, 0)).collect());
        }
        let count = cells.iter().map(Vec::len).max().unwrap_or(0);
        let has_header = rows.get(1).is_some_and(|row| row.trim_matches(['|', '-', ':', ' ']).is_empty());
        if let (true, Some(header)) = (has_header, cells.first_mut()) {
            header.iter_mut().flatten().flatten().for_each(|(style, _)| *style = STRONG);
        }
        let room = self.width.saturating_sub(TEXT_INDENT + GUTTER * count.saturating_sub(1));
        let widths = widths(&cells, count, room);
        for row in &cells {
            let wrapped: Vec<_> =
                row.iter().zip(&widths).map(|(cell, width)| wrap(cell.clone(), *width)).collect();
            for at in 0..wrapped.iter().map(Vec::len).max().unwrap_or(0) {
                let mut line = " ".repeat(TEXT_INDENT);
                for (cell, width) in wrapped.iter().zip(&widths) {
                    let words = cell.get(at).map_or(&[][..], Vec::as_slice);
                    line.push_str(&self.paint(words));
                    line.push_str(&" ".repeat((width + GUTTER).saturating_sub(length(words))));
                }
                self.text.push_str(line.trim_end());
                self.text.push('\n');
            }
        }
    }

    fn paint(&self, line: &[Word]) -> String {
        let word =
            |word: &Word| word.iter().map(|(style, text)| self.ink.paint(*style, text)).collect::<String>();
        line.iter().map(word).collect::<Vec<_>>().join(" ")
    }
}

/// The width of each column: what its cells need, the widest ones narrowed until all fit into `room`.
fn widths(rows: &[Vec<Vec<Word>>], count: usize, room: usize) -> Vec<usize> {
    let column = |at: usize| rows.iter().filter_map(move |row| row.get(at));
    let mut widths: Vec<_> =
        (0..count).map(|at| column(at).map(|cell| length(cell)).max().unwrap_or(0)).collect();
    let longest = |at: usize| column(at).flatten().map(|word| length(std::slice::from_ref(word))).max();
    let least: Vec<_> = (0..count).map(|at| longest(at).unwrap_or(0)).collect();
    while widths.iter().sum::<usize>() > room {
        let narrower = (0..count).filter(|at| widths[*at] > least[*at]).max_by_key(|at| widths[*at]);
        let Some(at) = narrower else { break };
        widths[at] -= 1;
    }
    widths
}

/// The columns that a line of words takes.
fn length(line: &[Word]) -> usize {
    let words = line.iter().map(|word| word.iter().map(|(_, text)| columns_of(text)).sum::<usize>());
    words.sum::<usize>() + line.len().saturating_sub(1)
}

fn wrap(words: Vec<Word>, width: usize) -> Vec<Vec<Word>> {
    let mut lines: Vec<Vec<Word>> = Vec::new();
    let mut used = 0;
    for word in words {
        let own = length(std::slice::from_ref(&word));
        match lines.last_mut() {
            Some(line) if used + 1 + own <= width => {
                used += 1 + own;
                line.push(word);
            }
            _ => {
                used = own;
                lines.push(vec![word]);
            }
        }
    }
    lines
}

/// The cells of a table's row; `\|` stands for the sign itself.
fn split_row(row: &str) -> Vec<String> {
    let inner = row.strip_prefix('|').unwrap_or(row);
    let inner = inner.strip_suffix('|').unwrap_or(inner);
    let hidden = inner.replace("\\|", "\0");
    hidden.split('|').map(|cell| cell.trim().replace('\0', "|")).collect()
}

/// Words with their styles; code up to `max_whole` columns is one word. Without colour, code keeps its backticks: nothing else would show where it ends.
fn words(text: &str, ink: Ink, max_whole: usize) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut joins = false;
    let mut add = |style: Style, text: &str, whole: bool| {
        let pieces: Vec<_> = if whole { vec![text] } else { text.split(' ').collect() };
        for (at, piece) in pieces.into_iter().enumerate() {
            joins &= at == 0;
            match words.last_mut() {
                _ if piece.is_empty() => {}
                Some(word) if joins => word.push((style, piece.to_owned())),
                _ => words.push(vec![(style, piece.to_owned())]),
            }
            joins = !piece.is_empty() || (joins && at == 0);
        }
    };
    let mut rest = text.trim();
    while let Some(at) = rest.find(['`', '*', '[']) {
        let (before, marked) = rest.split_at(at);
        add(PLAIN, before, false);
        rest = match span(marked) {
            Some((Span::Code(code), rest)) if ink.0 => {
                add(STRONG, code, columns_of(code) <= max_whole);
                rest
            }
            Some((Span::Code(code), rest)) => {
                add(PLAIN, &format!("`{code}`"), columns_of(code) <= max_whole);
                rest
            }
            Some((Span::Strong(text), rest)) => {
                add(STRONG, text.trim_matches('`'), false);
                rest
            }
            Some((Span::Link(text), rest)) => {
                add(PLAIN, text, false);
                rest
            }
            None => {
                let (sign, rest) = marked.split_at(1);
                add(PLAIN, sign, true);
                rest
            }
        };
    }
    add(PLAIN, rest, false);
    words
}

enum Span<'a> {
    Code(&'a str),
    Strong(&'a str),
    Link(&'a str),
}

/// The marked stretch that `text` begins with, and what follows it.
fn span(text: &str) -> Option<(Span<'_>, &str)> {
    let between = |open: &str, close: &str| text.strip_prefix(open)?.split_once(close);
    if let Some((code, rest)) = between("`` ", " ``").or_else(|| between("`", "`")) {
        return Some((Span::Code(code), rest));
    }
    if let Some((strong, rest)) = between("**", "**") {
        return Some((Span::Strong(strong), rest));
    }
    let (label, rest) = between("[", "](")?;
    let (_, rest) = rest.split_once(')')?;
    Some((Span::Link(label.trim_matches('`')), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(page: &str, width: usize) -> String {
        render(page, width, Ink(false))
    }

    #[test]
    fn text_is_wrapped_and_indented() {
        assert_eq!(
            plain("# A `title`\n\nOne two\nthree four.\n\nFive.\n", 16),
            "A `title`\n\n  One two three\n  four.\n\n  Five.\n"
        );
    }

    #[test]
    fn code_is_neither_wrapped_nor_read() {
        let page =
            "```sh\n# no heading\n\n  long line of code | with *signs*\n```\n<!-- run: one\ntwo -->\nend\n";
        assert_eq!(
            plain(page, 10),
            "      # no heading\n\n        long line of code | with *signs*\n\n  end\n"
        );
    }

    #[test]
    fn items_hang_and_stand_together() {
        let page = "Before\n- one two three\n  four\n- five\n10. six seven\n";
        assert_eq!(
            plain(page, 14),
            "  Before\n\n  - one two\n    three four\n  - five\n  10. six\n      seven\n"
        );
    }

    #[test]
    fn cells_of_tables_wrap_where_there_is_no_room() {
        let page = "| key | what it means |\n|---|---:|\n| `a\\|b` | one two three |\n| `c` | |\n";
        let wide = "  key    what it means\n  `a|b`  one two three\n  `c`\n";
        assert_eq!(plain(page, 60), wide);
        let narrow = "  key    what it\n         means\n  `a|b`  one two\n         three\n  `c`\n";
        assert_eq!(plain(page, 17), narrow);
    }

    #[test]
    fn marks_become_styles_and_signs_stay() {
        let ink = render("Use `a b`, **c**d [`x`](y.md) 2 * 3 [0].", 80, Ink(true));
        assert_eq!(ink, "  Use \u{1b}[1ma b\u{1b}[0m, \u{1b}[1mc\u{1b}[0md x 2 * 3 [0].\n");
        assert_eq!(plain("Use `a b`, **c**d [`x`](y.md) 2 * 3 [0].", 80), "  Use `a b`, cd x 2 * 3 [0].\n");
    }
}
