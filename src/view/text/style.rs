//! The few colours that all human output shares, and columns.
//!
//! Whether there is colour at all is decided by the caller.

use std::fmt::Display;

use anstyle::{AnsiColor, Style};

use crate::view::text::width;

pub const GOOD: Style = AnsiColor::Green.on_default();
pub const BAD: Style = AnsiColor::Red.on_default().bold();
pub const CAUTION: Style = AnsiColor::Yellow.on_default();
pub const CACHED: Style = AnsiColor::Cyan.on_default();
pub const FAINT: Style = Style::new().dimmed();
pub const STRONG: Style = Style::new().bold();
pub const PLAIN: Style = Style::new();

/// Paints, or leaves everything as it is.
#[derive(Clone, Copy, Debug)]
pub struct Ink(pub bool);

impl Ink {
    /// `text` in `style`, if there is colour.
    pub fn paint(self, style: Style, text: impl Display) -> String {
        if self.0 && !style.is_plain() { format!("{style}{text}{style:#}") } else { text.to_string() }
    }
}

/// One cell of [`columns`]: its stretches of text, each with its style.
#[derive(Clone, Debug, Default)]
pub struct Cell(Vec<(Style, String)>);

impl Cell {
    pub fn new(style: Style, text: impl Into<String>) -> Self {
        Self(vec![(style, text.into())])
    }

    /// Appends a stretch in another style.
    pub fn and(mut self, style: Style, text: impl Into<String>) -> Self {
        self.0.push((style, text.into()));
        self
    }

    pub fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| width(text)).sum()
    }
}

/// Lines of aligned columns, two spaces apart, each ending with a newline; the last cell of a row is not padded.
pub fn columns(rows: &[Vec<Cell>], ink: Ink) -> String {
    let mut widths = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(cell.width());
        }
    }
    let mut text = String::new();
    for row in rows {
        let used = row.iter().rposition(|cell| cell.width() > 0).map_or(0, |last| last + 1);
        for (i, cell) in row[..used].iter().enumerate() {
            for (style, stretch) in &cell.0 {
                text.push_str(&ink.paint(*style, stretch));
            }
            if i + 1 < used {
                text.extend(std::iter::repeat_n(' ', widths[i] - cell.width() + 2));
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_whatever_their_colour() {
        let rows = [
            vec![Cell::new(GOOD, "ab"), Cell::new(PLAIN, "c"), Cell::default()],
            vec![Cell::new(FAINT, "a").and(BAD, "bcd"), Cell::new(PLAIN, "long"), Cell::new(PLAIN, "end")],
        ];
        assert_eq!(columns(&rows, Ink(false)), "ab    c\nabcd  long  end\n");
        let coloured = columns(&rows, Ink(true));
        assert!(coloured.contains("\x1b[32mab\x1b[0m    c\n"), "{coloured:?}");
        assert_eq!(crate::view::text::inert(coloured.lines().nth(1).unwrap()), "abcd  long  end");
    }
}
