//! Following logs while a run goes on: what there is, then what comes, attempt after attempt.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::time::Duration;

use crate::core::event::Event;
use crate::ops::Error;
use crate::ops::home::HomeReader;
use crate::storage::history::{RUNNING, Run};
use crate::view::text::log_lines::LogLines;

/// How often is looked for what is new.
const PAUSE: Duration = Duration::from_millis(100);
/// How much is read at a time, in bytes.
const CHUNK: usize = 64 * 1024;

/// What is followed, and how far it has been printed.
pub struct Follower {
    /// A node or an element, with all nodes inside it; `None` for the whole run.
    wanted: Option<String>,
    /// The logs of attempts under way, by label.
    open: BTreeMap<String, Log>,
    /// Whether any log was found.
    any: bool,
    /// Whether what is wanted has ended.
    over: bool,
    is_terminal: bool,
}

/// A log, as it is or line by line.
enum Log {
    Raw { path: String, file: Option<File> },
    Lines(LogLines),
}

impl Follower {
    /// A follower that makes what it prints harmless for a terminal, if it prints to one.
    pub fn new(wanted: Option<String>, is_terminal: bool) -> Self {
        Self { wanted, open: BTreeMap::new(), any: false, over: false, is_terminal }
    }

    /// Prints until what is wanted has ended, or the run has; whether there was any log.
    ///
    /// # Errors
    /// The events or a log cannot be read, or the output cannot be written.
    pub fn follow(mut self, view: &HomeReader, run: &Run, out: &mut impl Write) -> Result<bool, Error> {
        let mut events = Lines::default();
        let path = view.home.events(run.id);
        loop {
            // What was written before the run was seen to have ended is read below.
            let ended = !matches!(&*view.status(&view.find(&run.id)?), RUNNING);
            let heard = events.read(&path, &mut |line| match serde_json::from_slice(line) {
                Ok(event) => self.hear(event, out),
                Err(_) => Ok(()),
            });
            let printed = heard.and_then(|()| self.print_open(out)).and_then(|()| out.flush());
            if printed.is_err() {
                // A reader that went away, as `head` does, is no failure.
                return Ok(true);
            }
            if self.over || ended {
                let _ = self.close_all(out);
                return Ok(self.any);
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn hear(&mut self, event: Event, out: &mut impl Write) -> io::Result<()> {
        match event {
            Event::NodeStarted(node) => {
                let label = node.path().to_string();
                let is_wanted = self
                    .wanted
                    .as_ref()
                    .is_none_or(|wanted| *wanted == label || node.path().is_inside(wanted));
                if let (true, Some(path)) = (is_wanted && !self.over, node.log) {
                    self.any = true;
                    let is_raw = self.prefix(&label).is_none() && !self.is_terminal;
                    let log = match is_raw {
                        true => Log::Raw { path, file: None },
                        false => Log::Lines(LogLines::new(path)),
                    };
                    self.open.insert(label, log);
                }
                Ok(())
            }
            Event::AttemptFailed(attempt) => self.close(&attempt.path().label(), out),
            Event::NodeFinished(node) => {
                let label = node.path().label();
                self.over |= self.wanted.as_deref() == Some(&*label);
                self.close(&label, out)
            }
            Event::RunFinished(_) => {
                self.over = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Prints what an attempt has printed to its end.
    fn close(&mut self, label: &str, out: &mut impl Write) -> io::Result<()> {
        let Some(mut log) = self.open.remove(label) else { return Ok(()) };
        let prefix = self.prefix(label);
        let prefix = prefix.unwrap_or_default();
        log.print(&prefix, out)?;
        log.end(&prefix, out)
    }

    fn close_all(&mut self, out: &mut impl Write) -> io::Result<()> {
        for label in self.open.keys().cloned().collect::<Vec<_>>() {
            self.close(&label, out)?;
        }
        out.flush()
    }

    fn print_open(&mut self, out: &mut impl Write) -> io::Result<()> {
        let mut open = std::mem::take(&mut self.open);
        let printed = open
            .iter_mut()
            .try_for_each(|(label, log)| log.print(&self.prefix(label).unwrap_or_default(), out));
        self.open = open;
        printed
    }

    /// What stands before each line where there may be several logs.
    fn prefix(&self, label: &str) -> Option<String> {
        (self.wanted.as_deref() != Some(label)).then(|| format!("{label} | "))
    }
}

impl Log {
    /// Prints what is new: bytes as they are, or whole lines, each behind `prefix`.
    fn print(&mut self, prefix: &str, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Raw { path, file } => {
                if file.is_none() {
                    *file = super::open_log(path.as_ref()).ok();
                }
                let Some(file) = file else { return Ok(()) };
                let mut chunk = vec![0; CHUNK];
                // A log that cannot be read any more has no more to say.
                while let Ok(n @ 1..) = file.read(&mut chunk) {
                    out.write_all(&chunk[..n])?;
                }
                Ok(())
            }
            Self::Lines(lines) => loop {
                let mut text = String::new();
                let more = lines.read(prefix, &mut text);
                out.write_all(text.as_bytes())?;
                if !more {
                    return Ok(());
                }
            },
        }
    }

    /// Prints the beginning of a line that never ended.
    fn end(&mut self, prefix: &str, out: &mut impl Write) -> io::Result<()> {
        let mut text = String::new();
        if let Self::Lines(lines) = self {
            lines.end(prefix, &mut text);
        }
        out.write_all(text.as_bytes())
    }
}

/// The lines of a file that grows.
#[derive(Default)]
struct Lines {
    file: Option<File>,
    partial: Vec<u8>,
}

impl Lines {
    /// Hands on each line that has been completed.
    fn read(
        &mut self,
        path: &std::path::Path,
        hear: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.file.is_none() {
            self.file = super::open_log(path).ok();
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut chunk = vec![0; CHUNK];
        while let Ok(n @ 1..) = file.read(&mut chunk) {
            for piece in chunk[..n].split_inclusive(|byte| *byte == b'\n') {
                self.partial.extend_from_slice(piece);
                if piece.ends_with(b"\n") {
                    hear(&std::mem::take(&mut self.partial))?;
                }
            }
        }
        Ok(())
    }
}
