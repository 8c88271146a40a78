//! What is live in a run: attempts under way, nodes with elements, what waits. Composes what is to be shown of it,
//! and draws nothing.

use std::collections::BTreeMap;

use std::time::Duration;

use jiff::Timestamp;

use super::frame::{Moment, Running, RunningState, SHOWN};
use super::narrator::Narrator;
use super::text::{count, duration, inert};
use super::words::{family, gist};
use crate::event::{CacheStatus, Event, Kind, NodeFinished, Status, node_label};

/// What is known of a run that goes on.
pub(super) struct State {
    narrator: Narrator,
    /// What was said and is not on the screen yet.
    pub said: String,
    running: BTreeMap<(String, Option<u64>), Attempt>,
    /// What nodes wait for that could run.
    waiting: BTreeMap<(String, Option<u64>), (Timestamp, String)>,
    /// Nodes with elements: how far they are.
    families: BTreeMap<String, Family>,
    queued: u64,
    pub started: Option<Timestamp>,
    nodes_total: u64,
    turn: usize,
    pub over: bool,
}

/// A node with elements.
struct Family {
    since: Timestamp,
    elements: u64,
    done: u64,
    failed: u64,
}

/// An attempt under way, or the wait for the next one.
struct Attempt {
    since: Timestamp,
    log: Option<String>,
    /// When the next attempt begins, and what the last one died of.
    retry: Option<(Timestamp, String)>,
}

impl State {
    pub fn new(narrator: Narrator) -> Self {
        Self {
            narrator,
            said: String::new(),
            running: BTreeMap::new(),
            waiting: BTreeMap::new(),
            families: BTreeMap::new(),
            queued: 0,
            started: None,
            nodes_total: 0,
            turn: 0,
            over: false,
        }
    }

    pub fn notice(&mut self, event: &Event) {
        self.said.extend(self.narrator.tell(event));
        match event {
            Event::RunStarted(run) => {
                self.started = Some(run.time);
                self.nodes_total = run.nodes;
            }
            Event::NodeExpanded(node) => {
                self.nodes_total = node.total;
                if family(&node.node, node.index).is_none() {
                    let family = Family { since: node.time, elements: node.elements, done: 0, failed: 0 };
                    self.families.insert(node.node.clone(), family);
                }
            }
            Event::NodeWaiting(node) => {
                self.waiting.insert((node.node.clone(), node.index), (node.time, node.reason.clone()));
            }
            Event::NodeStarted(node) => {
                self.queued = node.queued;
                if !self.waiting.is_empty() {
                    self.waiting.remove(&(node.node.clone(), node.index));
                }
                let attempt = Attempt { since: node.time, log: node.log.clone(), retry: None };
                self.running.insert((node.node.clone(), node.index), attempt);
            }
            Event::AttemptFailed(failed) => {
                let wait = failed.retry_in_ms.and_then(|ms| {
                    let begins = failed.time.checked_add(Duration::from_millis(ms)).ok()?;
                    Some((begins, gist(&failed.error)))
                });
                if let Some(attempt) = self.running.get_mut(&(failed.node.clone(), failed.index)) {
                    attempt.retry = wait;
                }
            }
            Event::NodeFinished(node) => self.node_finished(node),
            Event::Warning(_) | Event::RunFinished(_) => {}
        }
    }

    fn node_finished(&mut self, node: &NodeFinished) {
        if node.index.is_some()
            && let Some(family) = self.families.get_mut(&node.node)
        {
            family.done += 1;
            family.failed += u64::from(node.status == Status::Failed);
        } else if node.kind == Kind::Elements {
            self.families.remove(&node.node);
        }
        // A hit never ran: the common case looks nothing up.
        if node.cache != Some(CacheStatus::Hit) {
            self.running.remove(&(node.node.clone(), node.index));
        }
        if self.running.is_empty() {
            self.queued = 0;
        }
        if !self.waiting.is_empty() {
            self.waiting.remove(&(node.node.clone(), node.index));
        }
    }

    /// What is to be shown, and the log of each node shown that has one worth reading.
    pub fn moment(&mut self, now: Timestamp) -> (Moment, Vec<Option<String>>) {
        let since = |then: Timestamp| u64::try_from(now.duration_since(then).as_millis()).unwrap_or(0);
        let mut oldest: Vec<_> = self
            .running
            .iter()
            .filter(|((node, index), _)| !family(node, *index).is_some_and(|f| self.families.contains_key(f)))
            .collect();
        let plain = oldest.len();
        oldest.sort_by_key(|(_, attempt)| attempt.since);
        oldest.truncate(SHOWN);
        let mut logs = Vec::new();
        let mut nodes = Vec::new();
        for (name, family) in self.families.iter().take(SHOWN / 2) {
            let mut words = format!("{} of {} elements", count(family.done), count(family.elements));
            if family.failed > 0 {
                words.push_str(&format!(", {} failed", count(family.failed)));
            }
            logs.push(None);
            nodes.push(Running {
                label: name.clone(),
                elapsed_ms: since(family.since),
                state: RunningState::Runs,
                words,
            });
        }
        for ((node, index), attempt) in oldest {
            let words = attempt.retry.as_ref().map(|(begins, error)| {
                let wait = now.duration_until(*begins).as_millis();
                format!("{error}, again in {}", duration(u64::try_from(wait).unwrap_or(0)))
            });
            logs.push(if words.is_none() { attempt.log.clone() } else { None });
            nodes.push(Running {
                label: node_label(node, *index).into_owned(),
                elapsed_ms: since(attempt.since),
                state: if words.is_some() { RunningState::Rests } else { RunningState::Runs },
                words: words.unwrap_or_default(),
            });
        }
        for ((node, index), (time, reason)) in self.waiting.iter().take(SHOWN - SHOWN / 2) {
            logs.push(None);
            nodes.push(Running {
                label: node_label(node, *index).into_owned(),
                elapsed_ms: since(*time),
                state: RunningState::Waits,
                words: format!("waits {}", inert(reason)),
            });
        }
        nodes.truncate(SHOWN);
        logs.truncate(SHOWN);
        self.turn += 1;
        let tally = &self.narrator.tally;
        let moment = Moment {
            nodes,
            lines: plain + self.families.len() + self.waiting.len(),
            running: self.running.len(),
            queued: self.queued,
            counts: tally.counts,
            nodes_total: self.nodes_total,
            saved_ms: tally.saved_ms,
            elapsed_ms: self.started.map_or(0, since),
            turn: self.turn,
        };
        (moment, logs)
    }
}
