//! The event log: events on their way to reporters and history, in the order in which things happened.
//!
//! A result is reported only after it is stored, and later events wait behind it: no reader sees a node
//! begin before the one that it waited for has ended.

use std::collections::VecDeque;
use std::io::{self, Write};

use jiff::Timestamp;

use crate::core::event::{Event, Warning};
use crate::core::reporter::Reporter;
use crate::engine::schedule::UnitId;
use crate::exec::Masker;

/// Size in bytes of the lines that are written at once.
const WRITE_BATCH_BYTES: usize = 128 * 1024;

/// Tells reporters and history of events.
pub struct EventLog {
    reporters: Vec<Box<dyn Reporter>>,
    /// The run's events as JSON Lines: its history.
    file: Box<dyn Write + Send>,
    /// Lines that are not in the file yet: writing each by itself would cost more than making it.
    lines: String,
    /// The first thing that went wrong with the file; nothing is written after it.
    failure: Option<io::Error>,
    /// Events that wait, from the first that is not known yet.
    waiting: VecDeque<QueuedItem>,
    /// Masks what events say of what was found.
    masker: Masker,
}

enum QueuedItem {
    /// The end of this unit.
    End(UnitId),
    Event(Box<Event>),
}

impl EventLog {
    /// A bus to `reporters` and to the empty file of a run's events.
    pub fn new(reporters: Vec<Box<dyn Reporter>>, file: impl Write + Send + 'static) -> Self {
        Self {
            reporters,
            file: Box::new(file),
            lines: String::new(),
            failure: None,
            waiting: VecDeque::new(),
            masker: Masker::default(),
        }
    }

    /// The same log, whose messages hold none of these secrets.
    #[must_use]
    pub fn masking(self, masker: Masker) -> Self {
        Self { masker, ..self }
    }

    /// Writes what is left, and reports errors of the history.
    pub(super) fn close(mut self) -> Option<io::Error> {
        self.flush();
        self.failure
    }

    /// Reports an event, in its order.
    pub(super) fn emit(&mut self, event: Event) {
        if self.waiting.is_empty() {
            self.tell(&event);
        } else {
            self.waiting.push_back(QueuedItem::Event(Box::new(event)));
        }
    }

    /// Reports a warning.
    pub fn warn(&mut self, node: Option<String>, message: impl Into<String>) {
        self.emit(Event::Warning(Warning { time: Timestamp::now(), message: message.into(), node }));
    }

    /// Reserves the place of a unit that has just ended; its events follow by [`EventLog::settle`].
    pub(super) fn hold(&mut self, unit: UnitId) {
        self.waiting.push_back(QueuedItem::End(unit));
    }

    /// Reports the events of a held unit, at its place.
    pub(super) fn settle(&mut self, unit: UnitId, events: Vec<Event>) {
        let held =
            self.waiting.iter().position(|waiting| matches!(waiting, QueuedItem::End(u) if *u == unit));
        let Some(at) = held else { return };
        self.waiting.remove(at);
        for (i, event) in events.into_iter().enumerate() {
            self.waiting.insert(at + i, QueuedItem::Event(Box::new(event)));
        }
        while let Some(QueuedItem::Event(_)) = self.waiting.front() {
            if let Some(QueuedItem::Event(event)) = self.waiting.pop_front() {
                self.tell(&event);
            }
        }
    }

    fn tell(&mut self, event: &Event) {
        let masked = self.masked(event);
        let event = masked.as_ref().unwrap_or(event);
        let line = event.to_line();
        for reporter in &mut self.reporters {
            reporter.event(event, &line);
        }
        self.lines.push_str(&line);
        self.lines.push('\n');
        if self.lines.len() >= WRITE_BATCH_BYTES {
            self.flush();
        }
    }

    /// An event whose messages held a secret, without it. Values and names were masked or refused where they were found.
    fn masked(&self, event: &Event) -> Option<Event> {
        let mask = |text: &mut String| {
            let masked = self.masker.mask(text);
            let held = masked != *text;
            *text = masked;
            held
        };
        if self.masker.is_empty() {
            return None;
        }
        let mut event = event.clone();
        let masked = match &mut event {
            Event::Warning(warning) => mask(&mut warning.message),
            Event::NodeFinished(node) => {
                let error = node.error.as_mut().is_some_and(|error| mask(&mut error.message));
                node.reason.as_mut().is_some_and(mask) || error
            }
            _ => false,
        };
        masked.then_some(event)
    }

    /// Writes all events reported so far to the file.
    pub(super) fn flush(&mut self) {
        if self.failure.is_none() {
            self.failure = self.file.write_all(self.lines.as_bytes()).err();
        }
        self.lines.clear();
    }
}
