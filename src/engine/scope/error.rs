//! Why a node fails before anything of it runs.
//!
//! Knows neither attempts nor how an error is shown.

use std::fmt;
use std::sync::Arc;

use crate::storage::store::FileError;
use crate::workflow::binding::ValueError;

/// Why a node fails before anything of it runs.
#[derive(Clone, Debug)]
pub enum NodeError {
    /// An input has no value, or one that it does not allow.
    Input {
        input: Box<str>,
        /// The element of the list that the node is spread over.
        element: Option<usize>,
        problem: ValueError,
    },
    /// The condition has no truth value.
    Condition(ValueError),
    /// The lists that the node is spread over do not fit together, or are too long.
    Elements(String),
    Sources(SourceError),
    /// An output of the sub-workflow has no value.
    Output(OutputError),
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Input { input, element: None, problem } => write!(f, "input `{input}`: {problem}"),
            Self::Input { input, element: Some(i), problem } => {
                write!(f, "input `{input}`, element {i}: {problem}")
            }
            Self::Condition(problem) => write!(f, "`if`: {problem}"),
            Self::Elements(problem) => f.write_str(problem),
            Self::Output(error) => error.fmt(f),
            Self::Sources(error) => error.fmt(f),
        }
    }
}

impl From<OutputError> for NodeError {
    fn from(error: OutputError) -> Self {
        Self::Output(error)
    }
}

impl From<SourceError> for NodeError {
    fn from(error: SourceError) -> Self {
        Self::Sources(error)
    }
}

/// An input of the workflow itself that has no value, or one that it does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputError {
    pub input: Box<str>,
    pub problem: ValueError,
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "workflow input `{}`: {}", self.input, self.problem)
    }
}

impl std::error::Error for InputError {}

/// An output of a workflow that has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputError {
    pub output: Box<str>,
    pub problem: ValueError,
}

impl fmt::Display for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "output `{}`: {}", self.output, self.problem)
    }
}

impl std::error::Error for OutputError {}

/// Why the sources of a task cannot be read.
#[derive(Clone, Debug)]
pub enum SourceError {
    /// A pattern is invalid or matches no file, or two files would be staged at one path: which.
    Pattern(String),
    File(Arc<FileError>),
}

impl From<String> for SourceError {
    fn from(problem: String) -> Self {
        Self::Pattern(problem)
    }
}

impl From<FileError> for SourceError {
    fn from(error: FileError) -> Self {
        Self::File(Arc::new(error))
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Pattern(problem) => f.write_str(problem),
            Self::File(error) => error.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_input_and_the_element() {
        let problem = ValueError::Unfit("expected int, found true".into());
        let of =
            |element| NodeError::Input { input: "n".into(), element, problem: problem.clone() }.to_string();
        assert_eq!(of(None), "input `n`: expected int, found true");
        assert_eq!(of(Some(2)), "input `n`, element 2: expected int, found true");
        let missing = SourceError::from(FileError::Missing("/a/b.py".into()));
        assert_eq!(NodeError::from(missing).to_string(), "\"/a/b.py\" does not exist");
    }
}
