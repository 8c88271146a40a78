//! The seam between a run and those who follow it.

use super::event::Event;

/// A listener of a run.
pub trait Reporter: Send {
    /// Takes notice of `event`, of which `line` is the stored JSON form without a newline.
    fn event(&mut self, event: &Event, line: &str);

    /// Whether it does the same without the events of nodes whose results were hits: it need not be told of them.
    fn passes_over_hits(&self) -> bool {
        false
    }
}
