//! Counting what has finished, without counting the elements of a node and the node itself.

use std::collections::HashSet;

use crate::event::{Counts, NodeFinished};

#[derive(Default)]
pub(super) struct Tally {
    /// Elements, and plain nodes as one; `nodes` is their sum.
    pub counts: Counts,
    pub saved_ms: u64,
    /// Nodes that are wholly done, however many elements they have.
    pub nodes_done: u64,
    with_elements: HashSet<String>,
}

impl Tally {
    /// Counts one finished node or element. False if it is a node whose elements were counted before: its
    /// event only sums them up.
    pub fn add(&mut self, node: &NodeFinished) -> bool {
        if node.index.is_some() {
            if !self.with_elements.contains(&node.node) {
                self.with_elements.insert(node.node.clone());
            }
        } else {
            self.nodes_done += 1;
            if self.with_elements.contains(&node.node) {
                return false;
            }
        }
        self.counts.add(node.status, node.cache);
        self.counts.nodes += 1;
        self.saved_ms += node.saved_ms;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_node_with_elements_counts_by_its_elements() {
        let mut tally = Tally::default();
        for index in 0..3 {
            assert!(tally.add(&NodeFinished { index: Some(index), ..sample::hit("each") }));
        }
        assert!(!tally.add(&sample::executed("each")));
        assert!(tally.add(&sample::executed("plain")));
        assert_eq!((tally.counts.nodes, tally.counts.cached, tally.counts.executed), (4, 3, 1));
        assert_eq!((tally.nodes_done, tally.saved_ms), (2, 3 * 1500));
    }
}
