//! JSON Lines: the events as they are, for scripts.

pub mod run_document;

use std::io::Write;

use crate::core::event::Event;
use crate::core::inert::escaped;
use crate::core::reporter::Reporter;

/// Writes each line at once and with a single write, so that whoever reads along is never behind and sees
/// no half line. That costs 1 to 2 microseconds an event; less would need a thread that flushes.
pub struct Json<W> {
    /// None once the reader went away.
    out: Option<W>,
    line: Vec<u8>,
}

impl<W: Write> Json<W> {
    /// Writes to `out`, which may buffer.
    pub fn new(out: W) -> Self {
        Self { out: Some(out), line: Vec::new() }
    }
}

impl<W: Write + Send> Reporter for Json<W> {
    fn event(&mut self, event: &Event, line: &str) {
        let Some(out) = &mut self.out else { return };
        self.line.clear();
        let shown = event.to_shown_line();
        self.line.extend_from_slice(escaped(shown.as_deref().unwrap_or(line)).as_bytes());
        self.line.push(b'\n');
        if out.write_all(&self.line).and_then(|()| out.flush()).is_err() {
            self.out = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::sample::{self, play};
    use std::io;

    #[test]
    fn lines_read_back() {
        let events = sample::failed_run();
        let mut out = Vec::new();
        play(&mut Json::new(&mut out), &events);
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with('\n'));
        let back: Vec<_> = text.lines().map(|line| serde_json::from_str::<Event>(line).unwrap()).collect();
        assert_eq!(back, events);
    }

    #[test]
    fn each_event_is_one_write_and_a_closed_pipe_ends_them() {
        struct Pipe<'a>(&'a mut Vec<usize>);
        impl Write for Pipe<'_> {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.push(bytes.iter().filter(|b| **b == b'\n').count());
                if self.0.len() < 3 { Ok(bytes.len()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut writes = Vec::new();
        play(&mut Json::new(Pipe(&mut writes)), &sample::failed_run());
        assert_eq!(writes, [1, 1, 1]);
    }
}
