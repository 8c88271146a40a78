//! The lines of a text: where each starts, and the part of a long one that is shown.
//!
//! A text may consist of 64 million empty lines, so that not each of them is remembered.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// By default, a line with more characters than this is cut to the surroundings of what is underlined.
pub(super) const MAX_LINE_CHARS: usize = 140;
/// What remains of a long line: this many of seven parts before the underlined text, and from its start on.
const CUT_BEFORE: usize = 2;
const CUT_AFTER: usize = 4;
const CUT_OF: usize = 7;
/// Line breaks are counted for blocks of this many bytes.
const BLOCK: usize = 4096;

/// A file that diagnostics point into.
#[derive(Clone)]
pub(super) struct File {
    pub path: PathBuf,
    pub text: Arc<str>,
    /// How many line breaks there are before each block; made when first asked for.
    blocks: OnceLock<Vec<u32>>,
}

impl File {
    pub fn new(path: PathBuf, text: Arc<str>) -> Self {
        Self { path, text, blocks: OnceLock::new() }
    }

    fn blocks(&self) -> &[u32] {
        self.blocks.get_or_init(|| {
            let mut before = 0;
            let count = |block: &[u8]| {
                let start = before;
                before += breaks(block) as u32;
                start
            };
            self.text.as_bytes().chunks(BLOCK).map(count).collect()
        })
    }

    /// The line that holds a position; counts from 0.
    pub fn line_of(&self, position: u32) -> usize {
        let position = (position as usize).min(self.text.len());
        let block = position / BLOCK;
        let Some(before) = self.blocks().get(block) else {
            return breaks(&self.text.as_bytes()[..position]);
        };
        *before as usize + breaks(&self.text.as_bytes()[block * BLOCK..position])
    }

    /// The bytes of a line without its line break.
    pub fn line_range(&self, line: usize) -> Range<usize> {
        let start = self.line_start(line);
        let text = &self.text[start..];
        let text = text.split_once('\n').map_or(text, |(text, _)| text.strip_suffix('\r').unwrap_or(text));
        start..start + text.len()
    }

    /// Where a line starts; the end of the text for one that does not exist.
    fn line_start(&self, line: usize) -> usize {
        if line == 0 {
            // A byte order mark is no part of the first line.
            return if self.text.starts_with('\u{feff}') { 3 } else { 0 };
        }
        let block = self.blocks().partition_point(|before| (*before as usize) < line).saturating_sub(1);
        let skipped = self.blocks().get(block).map_or(0, |before| *before as usize);
        let rest = self.text.as_bytes().iter().enumerate().skip(block * BLOCK);
        let mut ends = rest.filter(|(_, byte)| **byte == b'\n');
        ends.nth(line - skipped - 1).map_or(self.text.len(), |(end, _)| end + 1)
    }

    pub fn is_long(&self, line: Range<usize>, max_chars: usize) -> bool {
        self.text[line].chars().nth(max_chars).is_some()
    }

    /// The position, or the nearest one before it that is inside the text and between two characters.
    pub fn boundary(&self, position: u32) -> usize {
        let mut position = (position as usize).min(self.text.len());
        while !self.text.is_char_boundary(position) {
            position -= 1;
        }
        position
    }

    /// The part of a line to show when `at` is underlined: all of it unless it is long.
    pub fn window(&self, line: Range<usize>, at: u32, max_chars: usize) -> Range<usize> {
        if !self.is_long(line.clone(), max_chars) {
            return line;
        }
        let at = self.boundary(at).clamp(line.start, line.end);
        let before = self.text[line.start..at].char_indices().rev().nth(max_chars * CUT_BEFORE / CUT_OF);
        let after = self.text[at..line.end].char_indices().nth(max_chars * CUT_AFTER / CUT_OF);
        before.map_or(line.start, |(i, _)| line.start + i)..after.map_or(line.end, |(i, _)| at + i)
    }
}

fn breaks(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_on_both_sides_of_each_block() {
        for width in [0, 1, 7, 4094, 4095, 4096, 9000] {
            let line = format!("{}\n", "x".repeat(width));
            let count = 3 * BLOCK / line.len() + 3;
            let file = File::new(PathBuf::new(), line.repeat(count).into());
            for n in (0..count).step_by(count / 50 + 1).chain([count - 1]) {
                let start = n * line.len();
                assert_eq!(file.line_range(n), start..start + width, "line {n} of width {width}");
                assert_eq!(file.line_of(start as u32), n);
                assert_eq!(file.line_of((start + width) as u32), n);
            }
            let end = file.text.len();
            assert_eq!((file.line_of(end as u32), file.line_range(count)), (count, end..end));
        }
    }
}
