//! Listens to a run: whether every node was a hit, and which lines its events have, so that they can be copied.

use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use crate::core::event::{CacheStatus, Event, NodeFinished, RunStarted, Status};
use crate::core::lock::lock;
use crate::core::reporter::Reporter;

/// What comes before the time in a line, after version and name of the event.
const TIME: &str = "\"time\":\"";
/// Maximum lines beside those of plain hits.
const MAX_OTHERS: usize = 10_000;

/// The lines of a run's events between the first and the last one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventLines {
    pub bytes: u64,
    pub crc: u32,
    pub count: u32,
    /// Numbers of the lines that are not the end of a task that was a hit.
    pub others: Vec<u32>,
}

/// The events of a run so far.
#[derive(Debug, Default)]
pub struct NoOpEvents {
    /// `None` after an event that cannot be copied.
    pub lines: Option<EventLines>,
    pub started: Option<RunStarted>,
    crc: crc32fast::Hasher,
}

/// Listens to a run.
pub struct NoOpListener(Arc<Mutex<NoOpEvents>>);

impl NoOpListener {
    /// A listener, and the events that it collects.
    pub fn new() -> (Self, Arc<Mutex<NoOpEvents>>) {
        let heard = NoOpEvents { lines: Some(EventLines::default()), ..NoOpEvents::default() };
        let heard = Arc::new(Mutex::new(heard));
        (Self(heard.clone()), heard)
    }
}

impl Reporter for NoOpListener {
    fn event(&mut self, event: &Event, line: &str) {
        lock(&self.0).hear(event, line);
    }
}

impl NoOpEvents {
    fn hear(&mut self, event: &Event, line: &str) {
        let Some(lines) = &mut self.lines else { return };
        let is_hit = match event {
            Event::RunStarted(run) if !run.first => {
                self.started = Some(run.clone());
                return;
            }
            Event::RunFinished(run)
                if run.counts.is_no_op(run.status.name()) && run.counts.cancelled == 0 =>
            {
                lines.crc = self.crc.clone().finalize();
                return;
            }
            Event::NodeFinished(node) if can_be_replayed(node) => {
                node.status == Status::Succeeded
                    && node.cache == Some(CacheStatus::Hit)
                    && node.counts.is_none()
            }
            Event::NodeExpanded(_) => false,
            _ => return self.lines = None,
        };
        let has_time = time_at(line).is_some_and(|at| {
            let time = event.time().to_string();
            line[at..].strip_prefix(&*time).is_some_and(|rest| rest.starts_with('"'))
        });
        if !has_time || lines.others.len() == MAX_OTHERS || lines.count == u32::MAX {
            return self.lines = None;
        }
        if !is_hit {
            lines.others.push(lines.count);
        }
        lines.count += 1;
        lines.bytes += line.len() as u64 + 1;
        self.crc.update(line.as_bytes());
        self.crc.update(b"\n");
    }
}

/// Whether the node was a hit, was skipped, or sums up such nodes.
fn can_be_replayed(node: &NodeFinished) -> bool {
    let ran = node.attempts > 0
        || node.counts.is_some_and(|counts| counts.executed + counts.failed + counts.cancelled > 0);
    let well = match node.status {
        Status::Succeeded => node.counts.is_some() || node.cache == Some(CacheStatus::Hit),
        Status::Skipped => true,
        Status::Failed | Status::Cancelled | Status::Detached => false,
    };
    well && !ran && node.why.is_none() && node.stored.is_none() && node.error.is_none()
}

/// Where the time of an event stands in its line.
pub fn time_at(line: &str) -> Option<usize> {
    // Of two members of an object: the version and the name of the event.
    let member = memchr::memchr_iter(b',', line.as_bytes()).take(2).last()? + 1;
    line.get(member..)?.starts_with(TIME).then_some(member + TIME.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::Counts;
    use crate::view::sample;

    fn hear(events: &[Event]) -> NoOpEvents {
        let (mut witness, heard) = NoOpListener::new();
        events.iter().for_each(|event| witness.event(event, &event.to_line()));
        drop(witness);
        Arc::into_inner(heard).unwrap().into_inner().unwrap()
    }

    fn end(counts: Counts) -> Event {
        sample::run_finished(Status::Succeeded, counts, 0)
    }

    #[test]
    fn hits_and_skipped_nodes_can_be_replayed() {
        let events = [
            sample::run_started(3),
            Event::NodeFinished(sample::hit("a")),
            Event::NodeFinished(sample::idle("b", Status::Skipped, "its condition is false")),
            Event::NodeFinished(sample::hit("c")),
            end(Counts { nodes: 3, cached: 2, skipped: 1, ..Counts::default() }),
        ];
        let lines = hear(&events).lines.unwrap();
        assert_eq!((lines.count, &lines.others[..]), (3, &[1][..]));
        let text: String = events[1..4].iter().map(|event| event.to_line() + "\n").collect();
        assert_eq!((lines.bytes, lines.crc), (text.len() as u64, crc32fast::hash(text.as_bytes())));
    }

    #[test]
    fn anything_else_cannot() {
        let hit = || Event::NodeFinished(sample::hit("a"));
        let counts = Counts { nodes: 1, cached: 1, ..Counts::default() };
        for odd in [
            Event::NodeFinished(sample::executed("b")),
            Event::NodeFinished(sample::failed("b")),
            Event::NodeFinished(sample::idle("b", Status::Cancelled, "")),
            sample::warning(None, "careful"),
            sample::run_finished(Status::Failed, counts, 0),
            end(Counts { executed: 1, ..counts }),
        ] {
            let heard = hear(&[sample::run_started(2), hit(), odd.clone(), end(counts)]);
            assert!(heard.lines.is_none(), "{odd:?}");
        }
    }
}
