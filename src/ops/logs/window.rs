//! Parts of a log, however large it is: a window of it cut at lines, and the lines that have a text.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use memchr::{memchr, memchr_iter, memmem, memrchr};
use serde::Serialize;

use super::RunLogs;
use crate::core::event::Event;
use crate::core::node_path::NodeRef;
use crate::ops::Error;
use crate::storage::history::RUNNING;

/// How much is read at a time while lines are counted or searched, in bytes.
const CHUNK: usize = 1 << 20;
/// Up to this place the lines before a window are counted, in bytes; it takes some milliseconds.
const MAX_COUNTED_BYTES: u64 = 256 << 20;
/// Maximum length of a line in what a search finds, in bytes.
const MAX_LINE_BYTES: usize = 400;

/// Where a window begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowStart {
    /// At a byte.
    At(u64),
    /// This number of bytes before the end.
    FromEnd(u64),
    /// At a line, counted from 1.
    Line(u64),
}

/// A part of a log.
#[derive(Debug, PartialEq, Eq)]
pub struct LogWindow {
    pub text: Vec<u8>,
    /// The place of its first byte and of the first behind it.
    pub start: u64,
    pub end: u64,
    pub size: u64,
    /// The number of its first line; `None` where counting would take long.
    pub line: Option<u64>,
    /// Whether nothing will be added to the log.
    pub is_complete: bool,
}

/// A line that a search found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// Where it begins.
    pub offset: u64,
    /// Its number, from 1.
    pub line: u64,
    pub text: String,
}

/// What a search found.
#[derive(Debug, PartialEq, Eq)]
pub struct LogSearch {
    pub items: Vec<LogLine>,
    /// Where to go on, and the number of the line there.
    pub next: Option<(u64, u64)>,
}

impl RunLogs {
    /// The log of a node or element, and whether nothing will be added to it.
    ///
    /// # Errors
    /// There is no such log, the name fits more than one node, or the history cannot be read.
    pub fn locate(&self, wanted: NodeRef, attempt: Option<u32>) -> Result<(PathBuf, bool), Error> {
        let path = self.find(wanted, attempt)?;
        let is_of_it = |log: Option<&str>| log.is_some_and(|log| std::path::Path::new(log) == path);
        let is_over = self.run.status != RUNNING || {
            let (mut started, mut ended) = (None, false);
            for event in self.view.events(self.run.id)? {
                match &event {
                    Event::NodeStarted(node) if is_of_it(node.log.as_deref()) => {
                        started = Some((node.path().to_owned(), node.attempt));
                    }
                    Event::AttemptFailed(node) => {
                        ended |= started.as_ref().is_some_and(|(path, number)| {
                            path.borrowed() == node.path() && *number == node.attempt
                        });
                    }
                    Event::NodeFinished(node) => {
                        ended |= started.as_ref().is_some_and(|(path, _)| path.borrowed() == node.path());
                    }
                    _ => {}
                }
            }
            ended
        };
        Ok((path, is_over))
    }

    /// A part of a log, at most `limit` bytes of whole lines; a line longer than that comes in pieces.
    ///
    /// # Errors
    /// As [`RunLogs::locate`], or the log cannot be read.
    pub fn window(
        &self,
        wanted: NodeRef,
        attempt: Option<u32>,
        start: WindowStart,
        limit: u64,
    ) -> Result<LogWindow, Error> {
        let (path, is_complete) = self.locate(wanted, attempt)?;
        let unreadable = |error: io::Error| Error::failed(format!("cannot read {}: {error}", path.display()));
        let mut file = super::open_log(&path).map_err(unreadable)?;
        let part = window(&mut file, start, limit).map_err(unreadable)?;
        Ok(LogWindow { is_complete, ..part })
    }

    /// The lines of a log that have `text`, at most `limit`, from a place with the number of the line there. Case matters
    /// only if the text has upper-case letters.
    ///
    /// # Errors
    /// As [`RunLogs::locate`], or the log cannot be read.
    pub fn search(
        &self,
        wanted: NodeRef,
        attempt: Option<u32>,
        text: &str,
        from: (u64, u64),
        limit: usize,
    ) -> Result<LogSearch, Error> {
        let path = self.find(wanted, attempt)?;
        let unreadable = |error: io::Error| Error::failed(format!("cannot read {}: {error}", path.display()));
        let mut file = super::open_log(&path).map_err(unreadable)?;
        search(&mut file, text, from, limit).map_err(unreadable)
    }
}

fn window(file: &mut File, start: WindowStart, limit: u64) -> io::Result<LogWindow> {
    let size = file.metadata()?.len();
    let mut known_line = None;
    let begin = match start {
        WindowStart::At(at) => at.min(size),
        WindowStart::FromEnd(back) => size.saturating_sub(back),
        WindowStart::Line(line) => {
            known_line = Some(line.max(1));
            line_start(file, line.max(1))?
        }
    };
    // One byte more tells whether a line begins here.
    let ahead = begin.min(1);
    file.seek(SeekFrom::Start(begin - ahead))?;
    let mut bytes = Vec::new();
    Read::by_ref(file).take(limit.min(size - begin) + ahead).read_to_end(&mut bytes)?;
    let mut first = 0;
    if ahead == 1 && !bytes.is_empty() {
        let is_begin = bytes.remove(0) == b'\n';
        if !is_begin && !matches!(start, WindowStart::Line(_)) {
            first = memchr(b'\n', &bytes).map_or(0, |at| at + 1).min(bytes.len());
            // A line without end in sight is better than nothing.
            first = if first == bytes.len() { 0 } else { first };
        }
    }
    let read_to = begin + bytes.len() as u64;
    let mut last = bytes.len();
    if read_to < size {
        last = memrchr(b'\n', &bytes[first..]).map_or(last, |at| first + at + 1);
    }
    let text = bytes[first..last].to_vec();
    let start = begin + first as u64;
    let line = match known_line {
        Some(line) => Some(line),
        None if start <= MAX_COUNTED_BYTES => Some(1 + count_lines(file, start)?),
        None => None,
    };
    Ok(LogWindow { end: start + text.len() as u64, text, start, size, line, is_complete: false })
}

/// Where a line begins; behind the last one, the end.
fn line_start(file: &mut File, line: u64) -> io::Result<u64> {
    let (mut place, mut left) = (0, line - 1);
    let mut chunk = vec![0; CHUNK];
    file.seek(SeekFrom::Start(0))?;
    while left > 0 {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(place);
        }
        let there = memchr_iter(b'\n', &chunk[..read]).count() as u64;
        if there >= left {
            let at = memchr_iter(b'\n', &chunk[..read]).nth(left as usize - 1);
            return Ok(place + at.map_or(read, |at| at + 1) as u64);
        }
        left -= there;
        place += read as u64;
    }
    Ok(place)
}

/// How many lines end before a place.
fn count_lines(file: &mut File, end: u64) -> io::Result<u64> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = Read::by_ref(file).take(end);
    let (mut chunk, mut lines) = (vec![0; CHUNK], 0);
    loop {
        match reader.read(&mut chunk)? {
            0 => return Ok(lines),
            read => lines += memchr_iter(b'\n', &chunk[..read]).count() as u64,
        }
    }
}

fn search(file: &mut File, text: &str, from: (u64, u64), limit: usize) -> io::Result<LogSearch> {
    let any_case = !text.chars().any(char::is_uppercase);
    let needle = text.as_bytes();
    let finder = memmem::Finder::new(needle);
    let (mut place, mut line) = (from.0, from.1.max(1));
    let mut items = Vec::new();
    // Whole lines, as far as they fit: what is behind the last line break is read again with what follows.
    let mut buffer: Vec<u8> = Vec::new();
    let mut lowered = Vec::new();
    file.seek(SeekFrom::Start(place))?;
    loop {
        let kept = buffer.len();
        buffer.resize(kept + CHUNK, 0);
        let read = file.read(&mut buffer[kept..])?;
        buffer.truncate(kept + read);
        let is_end = read == 0;
        // A line that is longer than several chunks is searched in pieces.
        let whole = match memrchr(b'\n', &buffer) {
            Some(at) if !is_end => at + 1,
            None if !is_end && buffer.len() < 4 * CHUNK => 0,
            _ => buffer.len(),
        };
        let part = &buffer[..whole];
        let haystack = match any_case {
            true => {
                lowered.clear();
                lowered.extend(part.iter().map(u8::to_ascii_lowercase));
                &lowered[..]
            }
            false => part,
        };
        let mut at = 0;
        while let Some(found) = finder.find(&haystack[at..]) {
            let found = at + found;
            line += memchr_iter(b'\n', &part[at..found]).count() as u64;
            let begin = memrchr(b'\n', &part[..found]).map_or(0, |at| at + 1);
            let end = memchr(b'\n', &part[found..]).map_or(part.len(), |end| found + end);
            if items.len() == limit {
                return Ok(LogSearch { items, next: Some((place + begin as u64, line)) });
            }
            // The match is in what is shown of a long line.
            let shown = if found - begin > MAX_LINE_BYTES / 2 { found - MAX_LINE_BYTES / 4 } else { begin };
            let cut = end.min(shown + MAX_LINE_BYTES);
            let text = String::from_utf8_lossy(&part[shown..cut]).into_owned();
            items.push(LogLine { offset: place + begin as u64, line, text });
            at = end;
        }
        line += memchr_iter(b'\n', &part[at..]).count() as u64;
        place += whole as u64;
        if is_end {
            return Ok(LogSearch { items, next: None });
        }
        buffer.drain(..whole);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn log(text: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        file
    }

    fn part(text: &str, start: WindowStart, limit: u64) -> (String, u64, u64, Option<u64>) {
        let found = window(&mut log(text.as_bytes()), start, limit).unwrap();
        assert_eq!(found.size, text.len() as u64);
        (String::from_utf8(found.text).unwrap(), found.start, found.end, found.line)
    }

    #[test]
    fn windows_are_cut_at_lines() {
        use WindowStart::{At, FromEnd, Line};
        let text = "one\ntwo\nthree\nfour";
        for (start, limit, expected) in [
            (At(0), 99, (text, 0, 18, 1)),
            (At(0), 9, ("one\ntwo\n", 0, 8, 1)),
            (At(4), 9, ("two\n", 4, 8, 2)),
            (At(5), 99, ("three\nfour", 8, 18, 3)),
            (FromEnd(6), 99, ("four", 14, 18, 4)),
            (FromEnd(99), 99, (text, 0, 18, 1)),
            (At(99), 9, ("", 18, 18, 4)),
            (At(8), 3, ("thr", 8, 11, 3)),
            (Line(3), 99, ("three\nfour", 8, 18, 3)),
            (Line(1), 4, ("one\n", 0, 4, 1)),
            (Line(9), 4, ("", 18, 18, 9)),
        ] {
            let (shown, from, to, line) = expected;
            assert_eq!(part(text, start, limit), (shown.to_owned(), from, to, Some(line)), "{start:?}");
        }
        assert_eq!(part("", FromEnd(9), 9), (String::new(), 0, 0, Some(1)));
        assert_eq!(part("\n\n", At(1), 9), ("\n".into(), 1, 2, Some(2)));
        // A line longer than the window comes in pieces that lie one behind the other.
        assert_eq!(part("abcdefgh", At(3), 3), ("def".into(), 3, 6, Some(1)));
    }

    #[test]
    fn a_search_finds_lines_with_their_numbers_and_goes_on() {
        let text = "Error one\nfine\nan error, an error\nÄ error\n";
        let mut file = log(text.as_bytes());
        let found = search(&mut file, "error", (0, 1), 2).unwrap();
        let lines: Vec<_> = found.items.iter().map(|line| (line.offset, line.line, &*line.text)).collect();
        assert_eq!(lines, [(0, 1, "Error one"), (15, 3, "an error, an error")]);
        let next = found.next.unwrap();
        assert_eq!(next, (34, 4));
        let rest = search(&mut file, "error", next, 2).unwrap();
        assert_eq!((rest.items[0].line, rest.next), (4, None));
        assert_eq!(search(&mut file, "Error", (0, 1), 9).unwrap().items.len(), 1);
    }

    #[test]
    fn lines_across_chunks_and_very_long_ones_are_found() {
        let mut text = vec![b'x'; CHUNK - 2];
        text.extend_from_slice(b"\nneedle in the seam\n");
        text.extend(vec![b'y'; 5 * CHUNK]);
        text.extend_from_slice(b"needle\n");
        let found = search(&mut log(&text), "needle", (0, 1), 9).unwrap();
        let lines: Vec<_> = found.items.iter().map(|line| line.line).collect();
        assert_eq!(lines, [2, 3]);
        assert!(found.items[1].text.contains("needle") && found.items[1].text.len() <= MAX_LINE_BYTES);
    }
}
