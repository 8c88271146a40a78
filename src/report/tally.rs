//! Counting what has finished, without counting what only sums up others.

use crate::event::{Counts, Kind, NodeFinished};

#[derive(Default)]
pub(super) struct Tally {
    /// Elements, and plain nodes as one; `nodes` is their sum.
    pub counts: Counts,
    pub saved_ms: u64,
}

impl Tally {
    /// Counts one finished node or element. False if its event only sums up others.
    pub fn add(&mut self, node: &NodeFinished) -> bool {
        let own = node.kind == Kind::Task;
        if own {
            self.counts.add(node.status, node.cache);
            self.counts.nodes += 1;
            self.saved_ms += node.saved_ms;
        }
        own
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
        assert!(!tally.add(&sample::summed_up("each", 3)));
        assert!(tally.add(&sample::executed("plain")));
        assert_eq!((tally.counts.nodes, tally.counts.cached, tally.counts.executed), (4, 3, 1));
        assert_eq!(tally.saved_ms, 3 * 1500);
    }
}
