//! Events folded into what renderings show: a run, the difference of two runs, what runs now.
//!
//! Every fold goes through one step, [`tally::Tally::step`]; what a fold keeps beside it depends on how much memory it may
//! take. Knows events; knows no terminal, no page and no colour.

pub(in crate::view) mod by_name;
pub(in crate::view) mod live;
pub mod request;
pub mod run;
pub mod run_diff;
pub mod run_row;
pub mod schedule_row;
pub mod tally;
pub mod timeline;
