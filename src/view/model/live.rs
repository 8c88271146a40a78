//! What runs now: attempts, waits and the length of the queue, as the last events say.
//!
//! Knows events; knows neither a terminal nor a clock. Counts and the progress of elements are in the [`Tally`].
//! Not part of `RunState`, which keeps what has ended: this forgets each unit at its end, so that its size is that of what runs.
//!
//! [`Tally`]: crate::view::model::tally::Tally

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::core::event::{CacheStatus, Event, NodeFinished, NodeKind, Status};
use crate::core::node_path::NodePath;

#[derive(Default)]
pub(in crate::view) struct Live {
    pub running: BTreeMap<NodePath, LiveAttempt>,
    pub waiting: BTreeMap<NodePath, Wait>,
    /// Number of units that are ready and wait for a job slot.
    pub queued: u64,
    /// Number of results that the end of the run waits for, until others can have them.
    pub uploads: u64,
}

/// A running attempt, or the pause before the next one.
pub(in crate::view) struct LiveAttempt {
    pub since: Timestamp,
    /// When the run ends, by the times of earlier ones.
    pub end: Option<Timestamp>,
    pub log: Option<String>,
    /// Where it runs, if not on this machine: `on n2 (job 17)`.
    pub place: Option<String>,
    /// The start of the next attempt, and the error of the last one in one line.
    pub retry: Option<(Timestamp, String)>,
}

pub(in crate::view) struct Wait {
    pub since: Timestamp,
    pub words: String,
}

impl Live {
    pub fn step(&mut self, event: &Event) {
        match event {
            Event::NodeStarted(node) => {
                let unit = node.path().to_owned();
                self.waiting.remove(&unit);
                let left = node.remaining_ms.map(Duration::from_millis);
                let end = left.and_then(|left| node.time.checked_add(left).ok());
                let log = node.log.clone();
                let place = node.executor.as_ref().map(|executor| {
                    let host = node.host.as_ref().unwrap_or(executor);
                    let job = node.job.as_ref().filter(|job| !job.is_empty());
                    format!("on {host}{}", job.map_or_else(String::new, |job| format!(" (job {job})")))
                });
                self.running.insert(unit, LiveAttempt { since: node.time, end, log, place, retry: None });
                self.queued = node.queued;
            }
            Event::NodeWaiting(node) => {
                let unit = node.path().to_owned();
                self.running.remove(&unit);
                self.waiting
                    .insert(unit, Wait { since: node.time, words: format!("waiting {}", node.reason) });
            }
            Event::NodeSubmitted(node) => {
                let words = format!("queued as job {} of {}", node.job, node.executor);
                self.waiting.insert(node.path().to_owned(), Wait { since: node.time, words });
            }
            Event::AttemptLost(lost) => {
                self.running.remove(&lost.path().to_owned());
                self.waiting.remove(&lost.path().to_owned());
            }
            Event::AttemptFailed(failed) => {
                let wait = failed.retry_in_ms.and_then(|ms| {
                    let begins = failed.time.checked_add(Duration::from_millis(ms)).ok()?;
                    Some((begins, failed.error.gist()))
                });
                if let Some(attempt) = self.running.get_mut(&failed.path().to_owned()) {
                    attempt.retry = wait;
                }
            }
            Event::WorkflowMade(made) => drop(self.running.remove(&made.path().to_owned())),
            Event::NodeFinished(node) => self.finished(node),
            Event::RunUploading(uploading) => self.uploads = uploading.left,
            Event::RunWaiting(_) | Event::RunSkipped(_) | Event::RunStarted(_) => {}
            Event::NodeExpanded(_) | Event::Warning(_) | Event::RunFinished(_) => {}
        }
    }

    fn finished(&mut self, node: &NodeFinished) {
        // A hit never ran: the common case looks nothing up.
        if node.cache == Some(CacheStatus::Hit) && self.waiting.is_empty() {
            return;
        }
        let unit = node.path().to_owned();
        let waited = self.waiting.remove(&unit).is_some();
        let ran = self.running.remove(&unit).is_some() || waited && node.job.is_some();
        if !ran && node.kind == NodeKind::Task && node.status == Status::Cancelled {
            self.queued = self.queued.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::sample::*;

    #[test]
    fn a_unit_waits_or_runs_until_it_ends() {
        let mut live = Live::default();
        let mut step = |event: Event| {
            live.step(&event);
            (live.running.len(), live.waiting.len(), live.queued)
        };
        assert_eq!(step(waiting("train", None, "for gpu (in use)")), (0, 1, 0));
        assert_eq!(step(element_started("train", 1, 3, 1)), (1, 1, 3));
        assert_eq!(step(element(1, executed("train"))), (0, 1, 3));
        assert_eq!(step(element(2, idle("train", Status::Cancelled, "the run stopped first"))), (0, 1, 2));
        assert_eq!(step(Event::NodeFinished(hit("train"))), (0, 0, 2));
    }
}
