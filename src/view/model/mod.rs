//! Events folded into what renderings show: a run, the difference of two runs, tallies of a node's elements.
//!
//! Knows events; knows no terminal, no page and no colour.

pub mod run;
pub mod run_diff;
pub(in crate::view) mod tally;
pub mod timeline;
