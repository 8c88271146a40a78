//! Counting what has finished, and knowing what sums up what: how far the elements of a node are, and whether
//! a failure is news or only follows from one below it.
//!
//! Knows nothing of how any of it is shown.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use crate::core::event::{Counts, Kind, NodeExpanded, NodeFinished, Status};
use crate::core::node_path::NodeRef;

#[derive(Default)]
pub(in crate::view) struct Tally {
    /// Work of its own: plain nodes and elements; `nodes` is their sum.
    pub counts: Counts,
    pub saved_ms: u64,
    /// How much work there is, as far as is known.
    pub total: u64,
    /// The nodes under way whose elements are known, by name.
    pub spread: HashMap<String, Spread>,
    /// The failures that were news, but for those that a node was allowed to have.
    pub failed: u64,
    /// What will fail because something directly below it has, by label.
    blamed: HashSet<String>,
}

/// How far a node with elements is.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub since: Timestamp,
    pub elements: u64,
    pub done: u64,
    /// Elements that failed.
    pub failed: u64,
    /// Failures that were news, in the elements and in all that is inside of them.
    pub news: u64,
}

/// What an end means.
pub(in crate::view) struct Added {
    /// Whether it tells what no event before it has told: the end of work, or a failure that does not just follow
    /// from another.
    pub own: bool,
    /// Of a node with elements, which has now ended.
    pub spread: Option<Spread>,
}

impl Added {
    /// Whether elements of `node` failed, and it succeeded all the same.
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
    /// The number of a node's elements is known.
    pub fn expand(&mut self, node: &NodeExpanded) {
        self.total = node.total;
        self.spread.insert(node.node.clone(), Spread::new(node.time, node.elements));
    }

    /// Counts one end.
    pub fn add(&mut self, node: &NodeFinished) -> Added {
        if node.kind == Kind::Task {
            self.counts.add(node.status, node.cache);
            self.counts.nodes += 1;
            self.saved_ms += node.saved_ms;
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
        let added = Added { own: node.kind == Kind::Task || failed && !follows, spread };
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

    /// Changes every node with elements that `path` is inside of.
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
    use crate::core::event::{CacheStatus, Event};
    use crate::view::sample::{self, sum, sum_failed};

    /// A tally of `ends`, which says for each whether it was news.
    fn tally(expanded: &[(&str, u64)], ends: &[Event]) -> (Tally, Vec<bool>) {
        let mut tally = Tally::default();
        for (node, elements) in expanded {
            let Event::NodeExpanded(node) = sample::expanded(node, *elements, 40) else { unreachable!() };
            tally.expand(&node);
        }
        let add = |end: &Event| match end {
            Event::NodeFinished(node) => tally.add(node).own,
            other => panic!("not an end: {other:?}"),
        };
        let own = ends.iter().map(add).collect();
        (tally, own)
    }

    fn end(node: NodeFinished) -> Event {
        Event::NodeFinished(node)
    }

    #[test]
    fn only_work_counts() {
        let counts = Counts { nodes: 3, cached: 3, ..Counts::default() };
        let all_hit = NodeFinished { cache: Some(CacheStatus::Hit), ..sum("each", Kind::Elements, counts) };
        let mut ends: Vec<_> = (0..3).map(|i| sample::element(i, sample::hit("each"))).collect();
        ends.extend([end(all_hit), end(sum("prep", Kind::Workflow, counts)), end(sample::executed("plain"))]);
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
            sample::element(3, sum_failed("prep", Kind::Workflow, sums, "1 node of the workflow failed")),
            sample::element(4, sum_failed("prep", Kind::Workflow, sums, "its output `a` is null")),
            end(sum_failed("prep", Kind::Elements, sums, "2 of 9 elements failed")),
        ];
        let (mut tally, own) = tally(&[("prep", 9)], &ends[..3]);
        assert_eq!(own, [true, false, true]);
        let spread = tally.spread["prep"];
        assert_eq!((spread.done, spread.failed, spread.news, tally.failed), (2, 2, 2, 2));
        let Event::NodeFinished(last) = &ends[3] else { unreachable!() };
        assert!(!tally.add(last).own);
        assert_eq!((tally.failed, tally.blamed.len()), (2, 0));
    }

    #[test]
    fn allowed_failures_are_taken_back_at_every_level() {
        let sums = Counts::default();
        let inner = "prep[3]/clean";
        let ends = [
            sample::element(0, sample::failed(inner)),
            sample::element(1, sample::failed(inner)),
            end(sum(inner, Kind::Elements, sums)),
            end(sample::failed("prep[4]/clean")),
        ];
        let (tally, _) = tally(&[("prep", 9), (inner, 5)], &ends);
        assert_eq!((tally.failed, tally.spread["prep"].news, tally.spread.len()), (1, 1, 1));
    }
}
