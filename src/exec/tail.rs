//! The last lines of a log, as plain text that can do nothing to a terminal.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// How much of the end of a log is looked at, in bytes.
const WINDOW: u64 = 64 * 1024;

/// The longest line, in characters.
const MAX_LINE_CHARS: usize = 500;

/// The last `lines` lines of the file, without empty ones at the end; fewer if its last 64 KiB hold no more, and
/// none if it cannot be read. Of a line that was written over (`\r`) what was written last; escape sequences and
/// control characters are left out, and each line ends after 500 characters.
pub fn tail(path: &Path, lines: usize) -> Vec<String> {
    let Some((window, whole)) = read_end(path) else { return Vec::new() };
    let text = String::from_utf8_lossy(&window);
    let mut all: Vec<&str> = text.split('\n').collect();
    // Half a line would be misleading, unless it is all there is.
    if !whole && all.len() > 1 {
        all.remove(0);
    }
    let mut last: Vec<String> =
        all.into_iter().rev().map(plain).skip_while(|line| line.trim().is_empty()).take(lines).collect();
    last.reverse();
    last
}

/// The last 64 KiB, and whether that is the whole file.
fn read_end(path: &Path) -> Option<(Vec<u8>, bool)> {
    // A task may have put anything in its place.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let start = file.metadata().ok()?.len().saturating_sub(WINDOW);
    file.seek(SeekFrom::Start(start)).ok()?;
    let mut window = Vec::new();
    file.take(WINDOW).read_to_end(&mut window).ok()?;
    Some((window, start == 0))
}

/// One line without what moves cursors, changes colours or turns the direction of writing.
fn plain(line: &str) -> String {
    let line = line.trim_end_matches('\r');
    let line = line.rsplit('\r').next().unwrap_or_default();
    let mut plain = String::new();
    let mut length = 0;
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        if c == '\x1b' {
            skip_escape(&mut rest);
        } else if c == '\t' || !c.is_control() && !turns_direction(c) {
            if length == MAX_LINE_CHARS {
                break;
            }
            plain.push(c);
            length += 1;
        }
    }
    plain
}

/// Skips the rest of an escape sequence, behind its ESC.
fn skip_escape(rest: &mut std::str::Chars<'_>) {
    match rest.next() {
        // CSI: parameters, then one final character.
        Some('[') => while rest.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
        // OSC, DCS, SOS, PM, APC: text up to BEL or ESC \.
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while let Some(c) = rest.next() {
                if c == '\x07' || c == '\x1b' && rest.next() == Some('\\') {
                    break;
                }
            }
        }
        // Intermediate characters, then one final character.
        Some(' '..='/') => while rest.next().is_some_and(|c| (' '..='/').contains(&c)) {},
        Some(_) | None => {}
    }
}

/// Whether `c` makes a terminal show text in another order than it has.
fn turns_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail_of(content: impl AsRef<[u8]>, lines: usize) -> Vec<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        tail(file.path(), lines)
    }

    #[test]
    fn the_last_lines_without_empty_ones_at_the_end() {
        assert_eq!(tail_of("a\nb\n\nc\n\n \n", 3), ["b", "", "c"]);
        assert_eq!(tail_of("a\nb", 5), ["a", "b"]);
        assert_eq!(tail_of("\n\n", 5), [""; 0]);
        assert_eq!(tail(Path::new("/does/not/exist"), 5), [""; 0]);
    }

    #[test]
    fn nothing_reaches_the_terminal_but_text() {
        assert_eq!(
            tail_of("\x1b[31mred\x1b[0m \x1b]0;title\x07x\x1b(By\x1b7z\x08\x07\u{202e}\u{9b}!", 1),
            ["red xyz!"]
        );
        assert_eq!(tail_of("\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\\x1b[2", 1), ["link"]);
        assert_eq!(tail_of(b"caf\xff\te", 1), ["caf\u{fffd}\te"]);
    }

    #[test]
    fn progress_shows_its_last_state() {
        assert_eq!(tail_of("10%\r50%\r100%\r\nwindows\r\n", 2), ["100%", "windows"]);
    }

    #[test]
    fn large_logs_and_long_lines_are_cut() {
        assert_eq!(tail_of("x".repeat(200_000), 3), ["x".repeat(500)]);
        let content: String = (0..20_000).map(|i| format!("line {i}\n")).collect();
        assert_eq!(tail_of(&content, 2), ["line 19998", "line 19999"]);
        let all = tail_of(&content, usize::MAX);
        assert!(all.len() < 10_000 && all[0].starts_with("line "), "{}", all[0]);
    }
}
