//! What is wrong with a workflow that cannot be run, for people.

use std::fmt;

use crate::workflow::diagnostic::{Diagnostic, Sources};

/// What is wrong with a workflow that cannot be run; at least one diagnostic.
pub struct WorkflowErrors {
    pub diagnostics: Vec<Diagnostic>,
    pub sources: Sources,
}

impl fmt::Debug for WorkflowErrors {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl WorkflowErrors {
    /// Each in one line, behind its place.
    pub fn lines(&self) -> Vec<String> {
        let line = |diagnostic: &Diagnostic| match &diagnostic.primary {
            Some((place, _)) => {
                let (line, column) = self.sources.line_column(*place);
                let path = self.sources.path(place.file).display();
                format!("{path}:{line}:{column}: {}", diagnostic.message)
            }
            None => diagnostic.message.clone(),
        };
        self.diagnostics.iter().map(line).collect()
    }

    /// All of them for people, each with its place.
    pub fn render(&self, color: bool) -> String {
        self.render_within(color, None)
    }

    /// The same, with lines of the files cut to this many columns.
    pub fn render_within(&self, color: bool, columns: Option<usize>) -> String {
        self.sources.render_within(&self.diagnostics, color, columns)
    }
}
