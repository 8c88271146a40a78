//! The events of a run as they come: those that were written and those that follow, whichever process writes them.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Error;
use super::home::HomeReader;
use super::logs::open_log;
use crate::core::event::Event;
use crate::core::node_path::NodePath;
use crate::core::run_id::RunId;
use crate::storage::history::RUNNING;
use crate::storage::home::Home;

/// How much is read at a time, in bytes.
const CHUNK: u64 = 128 << 10;
/// Maximum length of a line that is kept while its end is missing, in bytes.
const MAX_PARTIAL_BYTES: usize = 64 << 20;

/// An event with its number in the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberedEvent {
    /// Counts from 1.
    pub number: u64,
    /// The word for what happened, such as `node_finished`.
    pub name: String,
    /// One line of JSON.
    pub line: String,
}

/// Where a run's events are read on.
pub struct EventTail {
    home: Home,
    run: RunId,
    path: PathBuf,
    file: Option<File>,
    partial: Vec<u8>,
    /// How many lines were read.
    number: u64,
    /// How many of the first events are left out.
    skip: u64,
    /// Whether the last event of the run was read.
    is_finished: bool,
    is_over: bool,
}

impl EventTail {
    /// The events of the run that a person means by `name`, from the first.
    ///
    /// # Errors
    /// The run is not known, or the history cannot be read.
    pub fn open(home: Option<&Path>, name: &str) -> Result<Self, Error> {
        let view = HomeReader::open(home)?;
        let run = view.find(name)?;
        Ok(Self {
            run: run.id,
            path: view.home.events(run.id),
            home: view.home,
            file: None,
            partial: Vec::new(),
            number: 0,
            skip: 0,
            is_finished: false,
            is_over: false,
        })
    }

    /// The run that it belongs to.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// Leaves out the events up to this number.
    pub fn skip_to(&mut self, number: u64) {
        self.skip = number;
    }

    /// Leaves out what is there already; the number of the last one left out.
    pub fn skip_all(&mut self) -> u64 {
        self.skip = u64::MAX;
        while !self.read_chunk().1 {}
        self.skip = self.number;
        self.number
    }

    /// Whether the run has ended and all of its events were read.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// The events that came since the last call, a bounded part of them, and whether there are more at once.
    ///
    /// # Errors
    /// The history cannot be read.
    pub fn read(&mut self) -> Result<(Vec<NumberedEvent>, bool), Error> {
        // What was written before the run was seen to have ended is read below.
        let ended = self.has_ended()?;
        let (events, is_end) = self.read_chunk();
        self.is_over = ended && is_end;
        Ok((events, !is_end))
    }

    /// Whether the history has the end of the run. It is asked only where the events or the lock of the run promise one: to
    /// open it costs more than all else.
    fn has_ended(&self) -> Result<bool, Error> {
        if !self.is_finished && self.home.is_alive(self.run) {
            return Ok(false);
        }
        Ok(HomeReader::open(Some(self.home.path()))?.find(&self.run)?.status != RUNNING)
    }

    /// Reads one chunk; whether that was the end for now.
    fn read_chunk(&mut self) -> (Vec<NumberedEvent>, bool) {
        if self.file.is_none() {
            self.file = open_log(&self.path).ok();
        }
        let Some(file) = &mut self.file else { return (Vec::new(), true) };
        let mut chunk = Vec::new();
        // A file that cannot be read any more has no more events.
        let read = Read::by_ref(file).take(CHUNK).read_to_end(&mut chunk).unwrap_or(0);
        let mut events = Vec::new();
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.partial);
                self.number += 1;
                let event = (self.number > self.skip).then(|| numbered(self.number, &line)).flatten();
                self.is_finished |= event.as_ref().is_some_and(|event| event.name == "run_finished");
                events.extend(event);
            }
        }
        if self.partial.len() > MAX_PARTIAL_BYTES {
            self.partial.clear();
        }
        (events, read == 0)
    }
}

/// A line as it is shown; `None` for one that cannot be read, as the last one of a runner that was killed may be.
fn numbered(number: u64, line: &[u8]) -> Option<NumberedEvent> {
    let event: Event = serde_json::from_slice(line).ok()?;
    let name = event_name(&event).to_owned();
    let line = match event.to_shown_line() {
        Some(shown) => shown,
        None => String::from_utf8_lossy(line).trim_end().to_owned(),
    };
    Some(NumberedEvent { number, name, line })
}

fn event_name(event: &Event) -> &'static str {
    match event {
        Event::RunWaiting(_) => "run_waiting",
        Event::RunSkipped(_) => "run_skipped",
        Event::RunStarted(_) => "run_started",
        Event::NodeExpanded(_) => "node_expanded",
        Event::WorkflowMade(_) => "workflow_made",
        Event::NodeWaiting(_) => "node_waiting",
        Event::NodeSubmitted(_) => "node_submitted",
        Event::NodeStarted(_) => "node_started",
        Event::AttemptLost(_) => "attempt_lost",
        Event::AttemptFailed(_) => "attempt_failed",
        Event::NodeFinished(_) => "node_finished",
        Event::Warning(_) => "warning",
        Event::RunUploading(_) => "run_uploading",
        Event::RunFinished(_) => "run_finished",
    }
}

/// A part of a log that was added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogPart {
    pub node: String,
    pub index: Option<u64>,
    pub attempt: u32,
    /// Where it begins in the log of that attempt.
    pub offset: u64,
    pub text: String,
}

/// The log of one node or element as it grows, attempt after attempt.
pub struct LogFollower {
    node: NodePath,
    /// The attempts whose logs are not read to their end yet, in order: number, path, and how far it was read.
    attempts: VecDeque<(u32, PathBuf, u64)>,
}

impl LogFollower {
    /// Follows what begins from now on.
    pub fn new(node: NodePath) -> Self {
        Self { node, attempts: VecDeque::new() }
    }

    /// Follows the attempt under way as well, from a place in its log.
    ///
    /// # Errors
    /// The run is not known, or the history cannot be read.
    pub fn take_up(&mut self, home: Option<&Path>, run: &str, offset: u64) -> Result<(), Error> {
        let view = HomeReader::open(home)?;
        let run = view.find(run)?;
        for event in view.events(run.id)? {
            self.hear_event(&event, offset);
        }
        // Those before the last one have ended.
        while self.attempts.len() > 1 {
            self.attempts.pop_front();
        }
        Ok(())
    }

    /// Takes in an event of the run: an attempt that begins.
    pub fn hear(&mut self, event: &NumberedEvent) {
        if event.name == "node_started"
            && let Ok(event) = serde_json::from_str(&event.line)
        {
            self.hear_event(&event, 0);
        }
    }

    fn hear_event(&mut self, event: &Event, offset: u64) {
        if let Event::NodeStarted(started) = event
            && started.path() == self.node.borrowed()
            && let Some(log) = &started.log
        {
            self.attempts.push_back((started.attempt, log.into(), offset));
        }
    }

    /// What was added since the last call, at most `limit` bytes. Text is cut between characters.
    pub fn read(&mut self, limit: u64) -> Option<LogPart> {
        loop {
            let is_last = self.attempts.len() == 1;
            let (attempt, path, offset) = self.attempts.front_mut()?;
            if let Some(text) = read_on(path, *offset, limit) {
                let part = LogPart {
                    node: self.node.node.clone(),
                    index: self.node.index,
                    attempt: *attempt,
                    offset: *offset,
                    text: String::from_utf8_lossy(&text).into_owned(),
                };
                *offset += text.len() as u64;
                return Some(part);
            }
            if is_last {
                return None;
            }
            // The next attempt began when this one had ended.
            self.attempts.pop_front();
        }
    }
}

/// What a file has from a place on; `None` if that is nothing.
fn read_on(path: &Path, offset: u64, limit: u64) -> Option<Vec<u8>> {
    let mut file = open_log(path).ok()?;
    file.seek(SeekFrom::Start(offset)).ok()?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).ok()?;
    // The rest of a character that is cut here comes with the next part.
    if let Err(error) = std::str::from_utf8(&bytes)
        && error.error_len().is_none()
        && error.valid_up_to() > 0
    {
        bytes.truncate(error.valid_up_to());
    }
    (!bytes.is_empty()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::view::sample::element_started;

    #[test]
    fn logs_follow_attempt_after_attempt_and_keep_characters_whole() {
        let dir = tempfile::tempdir().unwrap();
        let started = |attempt: u32| {
            let Event::NodeStarted(mut node) = element_started("each", 3, 0, 0) else { unreachable!() };
            node.log = Some(dir.path().join(format!("{attempt}")).display().to_string());
            node.attempt = attempt;
            let line = Event::NodeStarted(node).to_line();
            NumberedEvent { number: attempt.into(), name: "node_started".into(), line }
        };
        let write =
            |attempt: u32, text: &[u8]| fs::write(dir.path().join(format!("{attempt}")), text).unwrap();
        let mut follower = LogFollower::new(NodePath { node: "each".into(), index: Some(3) });
        assert_eq!(follower.read(99), None);
        write(1, "one é".as_bytes());
        follower.hear(&started(1));
        let mut next = |limit| follower.read(limit).map(|part| (part.attempt, part.offset, part.text));
        assert_eq!(next(5), Some((1, 0, "one ".into())));
        assert_eq!(next(99), Some((1, 4, "é".into())));
        assert_eq!(next(99), None);
        write(1, "one é end".as_bytes());
        write(2, b"two");
        follower.hear(&started(2));
        let mut next = |limit| follower.read(limit).map(|part| (part.attempt, part.offset, part.text));
        assert_eq!(next(99), Some((1, 6, " end".into())));
        assert_eq!(next(99), Some((2, 0, "two".into())));
        assert_eq!(next(99), None);
    }
}
