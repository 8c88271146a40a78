//! Why an attempt cannot begin or does not succeed, and what is wrong with an output.
//!
//! Knows neither logs nor exit codes: [`perform`](super::perform::perform) adds those.

use std::fmt;

use crate::core::event::TaskErrorKind;
use crate::exec::batch::JobFaultKind;

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptError {
    pub kind: TaskErrorKind,
    /// One or more sentences for a person.
    pub message: String,
    /// Whether another attempt would be in vain.
    pub is_final: bool,
}

impl AttemptError {
    pub fn new(kind: TaskErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), is_final: false }
    }

    /// An input or source cannot be brought to the task.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(TaskErrorKind::Input, message)
    }

    /// The outputs cannot be taken.
    pub fn output(message: impl Into<String>) -> Self {
        Self::new(TaskErrorKind::Output, message)
    }

    /// The command cannot be started.
    pub fn spawn(message: impl Into<String>) -> Self {
        Self::new(TaskErrorKind::Spawn, message)
    }
}

/// The kind of error that the fault of a job is.
pub fn kind_of(fault: JobFaultKind) -> TaskErrorKind {
    match fault {
        JobFaultKind::Lost | JobFaultKind::NotBegun => TaskErrorKind::Lost,
        JobFaultKind::Spawn => TaskErrorKind::Spawn,
        JobFaultKind::Signal => TaskErrorKind::Signal,
        JobFaultKind::Timeout | JobFaultKind::Crowded => TaskErrorKind::Timeout,
        JobFaultKind::Cancelled | JobFaultKind::GivenBack | JobFaultKind::Left => TaskErrorKind::Cancelled,
        JobFaultKind::Output => TaskErrorKind::Output,
    }
}

/// What is wrong with one output.
#[derive(Clone, Debug, PartialEq)]
pub enum OutputProblem {
    /// The command left nothing in its place. A hint that names the place.
    Missing(String),
    /// It does not fit its type or cannot be read. What was expected and what was found.
    Invalid(String),
}

impl OutputProblem {
    /// The same problem with another text.
    pub fn map(self, change: impl FnOnce(&str) -> String) -> Self {
        match self {
            Self::Missing(hint) => Self::Missing(change(&hint)),
            Self::Invalid(problem) => Self::Invalid(change(&problem)),
        }
    }
}

impl From<String> for OutputProblem {
    fn from(problem: String) -> Self {
        Self::Invalid(problem)
    }
}

impl fmt::Display for OutputProblem {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Missing(hint) => write!(f, "missing: {hint}"),
            Self::Invalid(problem) => f.write_str(problem),
        }
    }
}

/// Why outputs cannot be taken in.
#[derive(Debug, PartialEq)]
pub enum CollectError {
    /// Names of outputs, each with its problem.
    Outputs(Vec<(String, OutputProblem)>),
    /// The store cannot take them in: why.
    Store(String),
}

impl fmt::Display for CollectError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Outputs(problems) => {
                for (i, (output, problem)) in problems.iter().enumerate() {
                    let line_end = if i == 0 { "" } else { "\n" };
                    write!(f, "{line_end}output `{output}`: {problem}")?;
                }
                Ok(())
            }
            Self::Store(problem) => write!(f, "the store cannot take the outputs in: {problem}"),
        }
    }
}

impl From<CollectError> for AttemptError {
    fn from(error: CollectError) -> Self {
        Self::output(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_output_has_its_line() {
        let missing = OutputProblem::Missing("the command ended well, but left no \"a\"".into());
        let invalid = OutputProblem::from("expected int".to_owned());
        let error =
            AttemptError::from(CollectError::Outputs(vec![("a".into(), missing), ("b".into(), invalid)]));
        let text = "output `a`: missing: the command ended well, but left no \"a\"\noutput `b`: expected int";
        assert_eq!(error, AttemptError::new(TaskErrorKind::Output, text));
        let error = CollectError::Store("no space".into());
        assert_eq!(error.to_string(), "the store cannot take the outputs in: no space");
    }
}
