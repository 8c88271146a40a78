//! What a person or a script sees of a run: listeners of the one stream of events, and views of finished runs.
//!
//! Knows events and nothing else of the program. No listener can fail a run: what cannot be written is lost
//! without a word.
//!
//! - [`terminal`] draws live progress, [`plain`] writes lines for a log or a mail; both speak through one
//!   narrator, so that a run reads the same in either.
//! - Both tell a node with many elements as one: what belongs to an element has words of its own only if it
//!   failed, or in a verbose run.
//! - [`json`] hands the events on as JSON Lines.
//! - [`why_text`] answers `why`.
//! - [`run_document`] is a run as one JSON document, [`node_text`] one node of it in full.
//! - [`run_view`] and [`runs_table`] show what is kept of past runs, [`run_diff`] what changed between two.

mod diff_text;
pub mod draw;
mod frame;
pub mod graph_text;
pub mod html;
pub mod json;
mod live;
mod log_end;
pub mod log_list;
mod narrator;
pub mod node_text;
pub mod phrases;
pub mod plain;
pub mod run_diff;
pub mod run_document;
mod run_text;
pub mod run_view;
pub mod runs_table;
#[cfg(test)]
pub(crate) mod sample;
mod screen;
pub mod style;
mod tally;
pub mod terminal;
pub mod text;
#[cfg(test)]
mod tty;
pub mod why_text;

/// How much a person wants to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Failures only.
    Quiet,
    #[default]
    Normal,
    /// Also starts, hits and where they came from, keys and reasons.
    Verbose,
}
