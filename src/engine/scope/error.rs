//! Why a node fails before anything of it runs.
//!
//! Knows neither attempts nor how an error is shown.

use std::fmt;
use std::sync::Arc;

use crate::storage::store::FileError;

/// Why a node fails before anything of it runs.
#[derive(Clone, Debug)]
pub enum NodeError {
    /// An input has no value, or one that it does not allow.
    Input {
        input: Box<str>,
        /// The element of the list that the node is spread over.
        element: Option<usize>,
        problem: String,
    },
    /// The condition has no truth value.
    Condition(String),
    /// The lists that the node is spread over do not fit together, or are too long.
    Elements(String),
    Sources(SourceError),
    /// An output of the sub-workflow has no value.
    Outputs(String),
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Input { input, element: None, problem } => write!(f, "input `{input}`: {problem}"),
            Self::Input { input, element: Some(i), problem } => {
                write!(f, "input `{input}`, element {i}: {problem}")
            }
            Self::Condition(problem) => write!(f, "`if`: {problem}"),
            Self::Elements(problem) | Self::Outputs(problem) => f.write_str(problem),
            Self::Sources(error) => error.fmt(f),
        }
    }
}

impl From<SourceError> for NodeError {
    fn from(error: SourceError) -> Self {
        Self::Sources(error)
    }
}

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
        let problem = "expected int, found true".to_owned();
        let of =
            |element| NodeError::Input { input: "n".into(), element, problem: problem.clone() }.to_string();
        assert_eq!(of(None), "input `n`: expected int, found true");
        assert_eq!(of(Some(2)), "input `n`, element 2: expected int, found true");
        let missing = SourceError::from(FileError::Missing("/a/b.py".into()));
        assert_eq!(NodeError::from(missing).to_string(), "\"/a/b.py\" does not exist");
    }
}
