//! The lines of a log that is still being written: whole ones, harmless for a terminal, of bounded length.
//!
//! Knows one file. Reads a bounded amount at a time and holds no more than one line.

use std::fs::File;
use std::io::Read;

use crate::view::text::log_file::open_regular;
use crate::view::text::{count, inert};

/// Bytes that one call reads at most.
const CHUNK_BYTES: usize = 64 * 1024;
/// Bytes of a line that are shown; the number of the others is.
const MAX_LINE_BYTES: usize = 8 * 1024;

pub struct LogLines {
    path: String,
    /// Opened once it is there.
    file: Option<File>,
    /// The beginning of a line whose end has not been read yet.
    line: Vec<u8>,
    /// Number of bytes of that line that do not fit.
    left_out: u64,
    /// Whether a carriage return was read last: what follows in the same line overwrites it.
    returned: bool,
    chunk: Vec<u8>,
}

impl LogLines {
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            file: None,
            line: Vec::new(),
            left_out: 0,
            returned: false,
            chunk: Vec::new(),
        }
    }

    /// Appends each line that was completed since the last call to `out`, behind `prefix`. Whether there is more to read
    /// already.
    pub fn read(&mut self, prefix: &str, out: &mut String) -> bool {
        if self.file.is_none() {
            self.file = open_regular(self.path.as_ref()).ok();
        }
        let Some(file) = &mut self.file else { return false };
        let mut chunk = std::mem::take(&mut self.chunk);
        chunk.resize(CHUNK_BYTES, 0);
        // A log that cannot be read any more has no more to say.
        let n = file.read(&mut chunk).unwrap_or(0);
        for piece in chunk[..n].split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            self.take(piece, prefix, out);
        }
        self.chunk = chunk;
        n == CHUNK_BYTES
    }

    /// Appends the beginning of a line that never ended.
    pub fn end(&mut self, prefix: &str, out: &mut String) {
        if !self.line.is_empty() {
            self.finish_line(prefix, out);
        }
    }

    /// Takes in a piece without line breaks but for its last byte.
    fn take(&mut self, piece: &[u8], prefix: &str, out: &mut String) {
        let (text, end) = match piece {
            [text @ .., end @ (b'\n' | b'\r')] => (text, Some(*end)),
            text => (text, None),
        };
        if self.returned && !text.is_empty() {
            self.line.clear();
            self.left_out = 0;
            self.returned = false;
        }
        let fits = text.len().min(MAX_LINE_BYTES - self.line.len());
        self.line.extend_from_slice(&text[..fits]);
        self.left_out += (text.len() - fits) as u64;
        match end {
            Some(b'\n') => self.finish_line(prefix, out),
            Some(_) => self.returned = true,
            None => {}
        }
    }

    fn finish_line(&mut self, prefix: &str, out: &mut String) {
        out.push_str(prefix);
        out.push_str(&inert(&String::from_utf8_lossy(&self.line)));
        if self.left_out > 0 {
            out.push_str(&format!("… ({} bytes more)", count(self.left_out)));
        }
        out.push('\n');
        self.line.clear();
        self.left_out = 0;
        self.returned = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// What is shown of a log that is written in these steps.
    fn shown(steps: &[&[u8]]) -> Vec<String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut log = LogLines::new(file.path().to_str().unwrap());
        let mut texts = Vec::new();
        for step in steps {
            file.write_all(step).unwrap();
            let mut text = String::new();
            while log.read("n | ", &mut text) {}
            texts.push(text);
        }
        let mut text = String::new();
        log.end("n | ", &mut text);
        texts.push(text);
        texts
    }

    #[test]
    fn lines_are_whole_and_behind_the_name() {
        assert_eq!(shown(&[b"a", b"b\nc", b"\n\n", b"d"]), ["", "n | ab\n", "n | c\nn | \n", "", "n | d\n"]);
        assert_eq!(shown(&[b"a\n"]), ["n | a\n", ""]);
        let mut none = LogLines::new("/nonexistent/log");
        assert!(!none.read("", &mut String::new()));
    }

    #[test]
    fn a_carriage_return_overwrites_the_line_as_a_terminal_does() {
        assert_eq!(
            shown(&[b"10%\r20", b"%\r30%", b"\ndos\r\n", b"\rx\r"])[..],
            ["", "", "n | 30%\nn | dos\n", "", "n | x\n"]
        );
    }

    #[test]
    fn long_lines_are_cut_and_binary_is_harmless() {
        let long = [vec![b'x'; 3 * CHUNK_BYTES], b"\nend\n".to_vec()].concat();
        let shown = shown(&[&long, b"\x1b[2J\x00\xff\x07a\n"]);
        let (first, rest) = shown[0].split_once('\n').unwrap();
        let more = count((3 * CHUNK_BYTES - MAX_LINE_BYTES) as u64);
        assert_eq!(first, format!("n | {}… ({more} bytes more)", "x".repeat(MAX_LINE_BYTES)));
        assert_eq!((rest, &*shown[1]), ("n | end\n", "n | \u{fffd}a\n"));
    }
}
