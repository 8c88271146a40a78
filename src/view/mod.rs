//! What a person or a script sees of a run: listeners of the one stream of events, and views of finished runs.
//!
//! Knows events and nothing else of the program. No listener can fail a run: output that cannot be written is dropped.
//!
//! | folder | owns |
//! |---|---|
//! | [`model`] | folds of events: a run, the difference of two runs, tallies of elements |
//! | [`text`] | what is written as lines of text: plain progress, `show`, `runs`, `diff`, `why`, `graph` |
//! | [`terminal`] | live progress on a terminal |
//! | [`json`] | events as JSON Lines, a run as one JSON document |
//! | [`csv`] | runs and nodes as comma-separated values |
//! | [`html`] | a run as one page |
//! | [`draw`] | a graph as a drawing |

pub mod csv;
pub mod draw;
pub mod html;
pub mod json;
pub mod model;
#[cfg(test)]
pub(crate) mod sample;
pub mod terminal;
pub mod text;

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
