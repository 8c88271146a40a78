//! What a run told: whether it only hit, and the lines of its events, so that they can be told again.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::core::event::{CacheStatus, Event, NodeFinished, RunStarted, Status};
use crate::core::reporter::Reporter;

/// What comes before the time in a line, after version and name of the event.
const TIME: &str = "\"time\":\"";
/// Maximum lines beside those of plain hits.
const MAX_OTHERS: usize = 10_000;

/// The lines of a run's events between the first and the last one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldLines {
    pub bytes: u64,
    pub crc: u32,
    pub count: u32,
    /// Numbers of the lines that say more than that a task was a hit.
    pub others: Vec<u32>,
}

/// What a run told.
#[derive(Debug, Default)]
pub struct Testimony {
    /// `None` once something was told that a receipt cannot tell again.
    pub told: Option<ToldLines>,
    pub started: Option<RunStarted>,
    crc: crc32fast::Hasher,
}

/// Listens to a run.
pub struct Witness(Arc<Mutex<Testimony>>);

impl Witness {
    /// A listener, and what it will have heard.
    pub fn new() -> (Self, Arc<Mutex<Testimony>>) {
        let testimony = Testimony { told: Some(ToldLines::default()), ..Testimony::default() };
        let testimony = Arc::new(Mutex::new(testimony));
        (Self(testimony.clone()), testimony)
    }
}

impl Reporter for Witness {
    fn event(&mut self, event: &Event, line: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).hear(event, line);
    }
}

impl Testimony {
    fn hear(&mut self, event: &Event, line: &str) {
        let Some(told) = &mut self.told else { return };
        let is_hit = match event {
            Event::RunStarted(run) if !run.first => {
                self.started = Some(run.clone());
                return;
            }
            Event::RunFinished(run)
                if run.counts.is_no_op(run.status.name()) && run.counts.cancelled == 0 =>
            {
                told.crc = self.crc.clone().finalize();
                return;
            }
            Event::NodeFinished(node) if may_be_told_again(node) => {
                node.status == Status::Succeeded
                    && node.cache == Some(CacheStatus::Hit)
                    && node.counts.is_none()
            }
            Event::NodeExpanded(_) => false,
            _ => return self.told = None,
        };
        let has_time = time_at(line).is_some_and(|at| {
            let time = event.time().to_string();
            line[at..].strip_prefix(&*time).is_some_and(|rest| rest.starts_with('"'))
        });
        if !has_time || told.others.len() == MAX_OTHERS || told.count == u32::MAX {
            return self.told = None;
        }
        if !is_hit {
            told.others.push(told.count);
        }
        told.count += 1;
        told.bytes += line.len() as u64 + 1;
        self.crc.update(line.as_bytes());
        self.crc.update(b"\n");
    }
}

/// A hit, what was skipped, or the sum of such.
fn may_be_told_again(node: &NodeFinished) -> bool {
    let ran = node.attempts > 0
        || node.counts.is_some_and(|counts| counts.executed + counts.failed + counts.cancelled > 0);
    let well = match node.status {
        Status::Succeeded => node.counts.is_some() || node.cache == Some(CacheStatus::Hit),
        Status::Skipped => true,
        Status::Failed | Status::Cancelled => false,
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

    fn hear(events: &[Event]) -> Testimony {
        let (mut witness, testimony) = Witness::new();
        events.iter().for_each(|event| witness.event(event, &event.to_line()));
        drop(witness);
        Arc::into_inner(testimony).unwrap().into_inner().unwrap()
    }

    fn end(counts: Counts) -> Event {
        sample::run_finished(Status::Succeeded, counts, 0)
    }

    #[test]
    fn hits_and_what_was_skipped_can_be_told_again() {
        let events = [
            sample::run_started(3),
            Event::NodeFinished(sample::hit("a")),
            Event::NodeFinished(sample::idle("b", Status::Skipped, "its condition is false")),
            Event::NodeFinished(sample::hit("c")),
            end(Counts { nodes: 3, cached: 2, skipped: 1, ..Counts::default() }),
        ];
        let told = hear(&events).told.unwrap();
        assert_eq!((told.count, &told.others[..]), (3, &[1][..]));
        let text: String = events[1..4].iter().map(|event| event.to_line() + "\n").collect();
        assert_eq!((told.bytes, told.crc), (text.len() as u64, crc32fast::hash(text.as_bytes())));
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
            assert!(heard.told.is_none(), "{odd:?}");
        }
    }
}
