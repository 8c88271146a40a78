//! When a schedule is due: cron expressions, intervals, zones, jitter. Pure: no file, no database, and no clock.
//!
//! Expressions are read and matched here and not by a library: a fault has its place in the text, what the
//! format leaves out is refused, and local times become instants by one rule (`instants.rs`).

mod expression;
mod field;
#[cfg(test)]
mod fuzz;
mod instants;
mod jitter;
mod rhythm;
mod system;
mod words;

use std::ops::Range;

pub use expression::Expression;
pub use instants::{Clocks, Instant};
pub use jitter::delay;
pub use rhythm::Rhythm;
pub use system::{Unsayable, crontab_times, on_calendar};
pub use words::words;

/// What is wrong with an expression, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronError {
    /// Bytes of the expression.
    pub span: Range<usize>,
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl CronError {
    /// The same with a place that can be shown: where something is missing, the place of the character before it.
    fn visible_in(mut self, text: &str) -> Self {
        let end = self.span.end.min(text.len());
        let start = self.span.start.min(end);
        self.span = match text[..end].char_indices().next_back() {
            Some((last, _)) if start == end => last..end,
            _ => start..end,
        };
        self
    }
}
