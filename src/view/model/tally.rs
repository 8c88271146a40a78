//! The step that every fold of a run's events shares: counts, times and usage of the run, the progress of each node's
//! elements, and whether a failure is new or follows from one below it.
//!
//! A fold calls [`Tally::step`] for each event and then keeps what it needs of the event itself: [`RunState`] whole nodes,
//! the JSON document offsets, the comparison of two runs digests, the terminal what runs now. Knows nothing of how any of
//! it is shown.
//!
//! [`RunState`]: crate::view::model::run::RunState

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use crate::core::event::{
    Counts, Event, NodeExpanded, NodeFinished, NodeKind, RunFinished, RunStarted, Status, Usage,
};
use crate::core::node_path::NodeRef;

#[derive(Default)]
pub struct Tally {
    pub begun: Option<RunStarted>,
    pub ended: Option<RunFinished>,
    /// The time of the last event.
    pub last: Option<Timestamp>,
    /// What all attempts used.
    pub usage: Usage,
    /// Plain nodes and elements; `nodes` is their sum. After the end of the run, the counts of that event.
    pub counts: Counts,
    pub saved_ms: u64,
    /// Number of nodes and elements, as far as known.
    pub total: u64,
    /// The unfinished nodes whose number of elements is known, by name.
    pub spread: HashMap<String, Spread>,
    /// New failures, without those that a node was allowed to have.
    pub failed: u64,
    /// The labels of those that will fail because something directly below them has failed.
    blamed: HashSet<String>,
}

/// The progress of a node with elements.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub since: Timestamp,
    pub elements: u64,
    pub done: u64,
    /// Elements that failed.
    pub failed: u64,
    /// New failures, in the elements and in everything inside them.
    pub news: u64,
}

/// The meaning of the end of a node.
#[derive(Clone, Copy, Debug, Default)]
pub struct Added {
    /// Whether the event is new information: the end of a task, or a failure that does not follow from another.
    pub own: bool,
    /// The final progress of a node with elements.
    pub spread: Option<Spread>,
}

impl Added {
    /// Whether `node` succeeded although elements of it failed.
    pub fn allows_failures(&self, node: &NodeFinished) -> bool {
        node.status == Status::Succeeded && self.spread.is_some_and(|spread| spread.news > 0)
    }
}

impl Spread {
    pub fn new(since: Timestamp, elements: u64) -> Self {
        Self { since, elements, done: 0, failed: 0, news: 0 }
    }
}

impl Tally {
    /// Takes in one event. The result says something only for the end of a node.
    pub fn step(&mut self, event: &Event) -> Added {
        self.last = self.last.max(Some(event.time()));
        match event {
            Event::RunStarted(run) => {
                self.total = run.nodes;
                self.begun = Some(run.clone());
            }
            Event::NodeExpanded(node) => self.expand(node),
            Event::WorkflowMade(made) => self.total = made.total,
            // The last attempt's usage is in the end of the node.
            Event::AttemptFailed(failed) if failed.retry_in_ms.is_some() => self.usage += failed.usage(),
            Event::NodeFinished(node) => return self.add(node),
            Event::RunFinished(run) => {
                (self.counts, self.saved_ms) = (run.counts, run.saved_ms);
                self.ended = Some(run.clone());
            }
            Event::RunWaiting(_) | Event::RunSkipped(_) | Event::RunUploading(_) => {}
            Event::NodeSubmitted(_) | Event::AttemptLost(_) => {}
            Event::NodeWaiting(_) | Event::NodeStarted(_) | Event::AttemptFailed(_) | Event::Warning(_) => {}
        }
        Added::default()
    }

    /// The tally of all events of a run.
    pub fn of<'e>(events: impl IntoIterator<Item = &'e Event>) -> Self {
        let mut tally = Self::default();
        for event in events {
            tally.step(event);
        }
        tally
    }

    /// The run's status, or `unfinished` if its end is not among the events.
    pub fn status(&self, unfinished: &str) -> String {
        // What became of jobs that were left to themselves no event of the run says.
        let ended = self.ended.as_ref().filter(|run| run.status != Status::Detached);
        ended.map_or_else(|| unfinished.to_owned(), |run| run.status.to_string())
    }

    /// The number of a node's elements is known.
    fn expand(&mut self, node: &NodeExpanded) {
        self.total = node.total;
        self.spread.insert(node.node.clone(), Spread::new(node.time, node.elements));
    }

    fn add(&mut self, node: &NodeFinished) -> Added {
        if node.kind == NodeKind::Task {
            self.counts.add(node.status, node.cache);
            self.counts.nodes += 1;
            self.saved_ms += node.saved_ms;
            self.usage += node.usage();
        } else if node.kind == NodeKind::Workflow && node.attempts > 0 {
            // The command that made the workflow ran.
            self.counts.add(Status::Succeeded, None);
            self.counts.nodes += 1;
            self.usage += node.usage();
        }
        let failed = node.status == Status::Failed;
        let spread = match node.index {
            Some(_) => {
                if let Some(spread) = self.spread.get_mut(&node.node) {
                    spread.done += 1;
                    spread.failed += u64::from(failed);
                }
                None
            }
            None if self.spread.is_empty() => None,
            None => self.spread.remove(&node.node),
        };
        // Most ends are hits: their label would be made in vain.
        let follows = !self.blamed.is_empty() && self.blamed.remove(&*node.path().label());
        let added = Added { own: node.kind == NodeKind::Task || failed && !follows, spread };
        if failed {
            self.blamed.extend(node.path().parent().map(str::to_owned));
            if added.own {
                self.failed += 1;
                self.each_around(node.path(), |spread| spread.news += 1);
            }
        } else if added.allows_failures(node)
            && let Some(Spread { news, .. }) = added.spread
        {
            self.failed = self.failed.saturating_sub(news);
            self.each_around(node.path(), |spread| spread.news = spread.news.saturating_sub(news));
        }
        added
    }

    /// Changes every node whose elements contain `path`.
    fn each_around(&mut self, path: NodeRef, change: impl Fn(&mut Spread)) {
        for node in path.element_nodes() {
            if let Some(spread) = self.spread.get_mut(node) {
                change(spread);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::CacheStatus;
    use crate::view::sample::{self, sum, sum_failed};

    /// A tally of `ends`, which says for each whether it was news.
    fn tally(expanded: &[(&str, u64)], ends: &[Event]) -> (Tally, Vec<bool>) {
        let mut tally = Tally::default();
        for (node, elements) in expanded {
            tally.step(&sample::expanded(node, *elements, 40));
        }
        let own = ends.iter().map(|end| tally.step(end).own).collect();
        (tally, own)
    }

    fn end(node: NodeFinished) -> Event {
        Event::NodeFinished(node)
    }

    #[test]
    fn only_work_counts() {
        let counts = Counts { nodes: 3, cached: 3, ..Counts::default() };
        let all_hit =
            NodeFinished { cache: Some(CacheStatus::Hit), ..sum("each", NodeKind::Elements, counts) };
        let mut ends: Vec<_> = (0..3).map(|i| sample::element(i, sample::hit("each"))).collect();
        ends.extend([
            end(all_hit),
            end(sum("prep", NodeKind::Workflow, counts)),
            end(sample::executed("plain")),
        ]);
        let (tally, own) = tally(&[("each", 3)], &ends);
        assert_eq!((tally.counts.nodes, tally.counts.cached, tally.counts.executed), (4, 3, 1));
        assert_eq!((tally.total, tally.saved_ms, tally.spread.len()), (40, 3 * 1500, 0));
        assert_eq!(own, [true, true, true, false, false, true]);
    }

    #[test]
    fn a_failure_is_news_once() {
        let sums = Counts::default();
        let ends = [
            end(sample::failed("prep[3]/clean")),
            sample::element(3, sum_failed("prep", NodeKind::Workflow, sums, "1 node of the workflow failed")),
            sample::element(4, sum_failed("prep", NodeKind::Workflow, sums, "its output `a` is null")),
            end(sum_failed("prep", NodeKind::Elements, sums, "2 of 9 elements failed")),
        ];
        let (mut tally, own) = tally(&[("prep", 9)], &ends[..3]);
        assert_eq!(own, [true, false, true]);
        let spread = tally.spread["prep"];
        assert_eq!((spread.done, spread.failed, spread.news, tally.failed), (2, 2, 2, 2));
        assert!(!tally.step(&ends[3]).own);
        assert_eq!((tally.failed, tally.blamed.len()), (2, 0));
    }

    #[test]
    fn allowed_failures_are_taken_back_at_every_level() {
        let sums = Counts::default();
        let inner = "prep[3]/clean";
        let ends = [
            sample::element(0, sample::failed(inner)),
            sample::element(1, sample::failed(inner)),
            end(sum(inner, NodeKind::Elements, sums)),
            end(sample::failed("prep[4]/clean")),
        ];
        let (tally, _) = tally(&[("prep", 9), (inner, 5)], &ends);
        assert_eq!((tally.failed, tally.spread["prep"].news, tally.spread.len()), (1, 1, 1));
    }
}
