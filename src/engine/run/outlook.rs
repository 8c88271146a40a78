//! How long a run still takes, by the times of earlier ones: what each start of a node says of it.
//!
//! Knows numbers of the outline, durations and instants; knows neither events nor who asks.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::core::clock::millis;

#[derive(Default)]
pub(super) struct Outlook {
    /// By node: when it was first started. Of an element, when the first of its node was.
    since: HashMap<usize, Timestamp>,
}

impl Outlook {
    /// A node starts at `now`: milliseconds until the end of the run, of which `remaining_ms` are known from its start.
    /// `None` without such times, and when the run has taken longer than they say.
    pub fn started(&mut self, node: usize, remaining_ms: Option<u64>, now: Timestamp) -> Option<u64> {
        let since = *self.since.entry(node).or_insert(now);
        let passed = now.duration_since(since).try_into().map_or(0, millis);
        remaining_ms?.checked_sub(passed).filter(|left| *left > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_element_counts_from_the_first_of_its_node() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let mut outlook = Outlook::default();
        assert_eq!(outlook.started(1, Some(10_000), at(100)), Some(10_000));
        assert_eq!(outlook.started(1, Some(10_000), at(104)), Some(6000));
        assert_eq!(outlook.started(2, Some(3000), at(104)), Some(3000));
        assert_eq!(outlook.started(1, Some(10_000), at(111)), None, "longer than ever before");
        assert_eq!(outlook.started(3, None, at(111)), None);
    }
}
