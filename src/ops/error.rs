//! Why an operation was not done: a kind for programs, words for people.

use std::fmt;

use super::WorkflowErrors;
use crate::engine::scope::error::InputError;
use crate::storage::history::HistoryError;

/// Why nothing can begin where the system has no thread left.
pub const NO_THREAD: &str = "the system refuses another thread; end other processes or raise `ulimit -u`";

/// What sort of failure it is. Exit codes and HTTP statuses follow from it, nothing else does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request or the workflow is wrong; nothing was done.
    Invalid,
    /// What the request names is not there.
    NotFound,
    /// What the request names is there more than once.
    Ambiguous,
    /// The request does not fit the present state, for example a run that still goes on.
    Conflict,
    /// It was tried and failed.
    Failed,
    /// The home folder, its database or its store cannot be used.
    Store,
    /// A signal ended it before it began; the number is the signal's. There is nothing to be said.
    Interrupted(i32),
}

/// A failed operation.
#[derive(Debug)]
pub struct Error {
    pub kind: ErrorKind,
    /// One sentence or more, in lines; empty where `errors` says it all.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// What is wrong with the workflow, each with its place.
    pub errors: Option<Box<WorkflowErrors>>,
}

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, errors: None }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }

    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, message)
    }

    pub fn store(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Store, message)
    }

    pub fn interrupted(signal: i32) -> Self {
        Self::new(ErrorKind::Interrupted(signal), "")
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// All of it in one line.
    pub fn one_line(&self) -> String {
        match &self.errors {
            Some(errors) => errors.lines().join("; "),
            None => self.to_string().replace('\n', "; "),
        }
    }

    /// The system has no thread left.
    pub fn no_thread(error: impl fmt::Display) -> Self {
        Self::store(format!("{NO_THREAD}: {error}"))
    }

    /// The database of the history cannot be read.
    pub fn history(error: impl fmt::Display) -> Self {
        Self::store(format!("the history cannot be read: {error}"))
    }

    /// The table of results cannot be read.
    pub fn cache(error: impl fmt::Display) -> Self {
        Self::store(format!("the cache cannot be read: {error}"))
    }
}

impl From<WorkflowErrors> for Error {
    fn from(errors: WorkflowErrors) -> Self {
        Self { errors: Some(Box::new(errors)), ..Self::invalid("") }
    }
}

impl From<HistoryError> for Error {
    fn from(error: HistoryError) -> Self {
        let kind = match error {
            HistoryError::Ambiguous(_) => ErrorKind::Ambiguous,
            _ if error.is_storage() => ErrorKind::Store,
            _ => ErrorKind::NotFound,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<InputError> for Error {
    fn from(error: InputError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match (&self.errors, &self.hint) {
            (Some(errors), _) => f.write_str(&errors.render(false)),
            (None, Some(hint)) => write!(f, "{}: {hint}", self.message),
            (None, None) => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Error {}
