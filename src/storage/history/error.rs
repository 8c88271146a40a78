//! Why the history does not answer: typed, so that callers choose exit codes and hints by kind.

use std::fmt;

use crate::core::run_id::NotARunName;
use crate::core::run_id::RunId;

/// Why the history does not answer.
#[derive(Debug)]
pub enum HistoryError {
    /// The database could not be read.
    Database(rusqlite::Error),
    /// The name of a run is malformed.
    Name(NotARunName),
    /// More than one run's id starts with this text.
    Ambiguous(String),
    /// No run has the name.
    Unknown(String),
    /// `@last` in a home without runs.
    NoRun,
    /// `@last-failed` in a home without failed runs.
    NoFailedRun,
    /// The run is older than the record of what was requested.
    NotRecorded { run: RunId },
    /// The record of what was requested does not parse.
    Unreadable { run: RunId, error: serde_json::Error },
    /// The text of a workflow file is no longer kept.
    TextRemoved { path: String },
}

impl HistoryError {
    /// Whether the storage failed; otherwise the caller asked for something that does not exist.
    #[must_use]
    pub fn is_storage(&self) -> bool {
        matches!(self, Self::Database(_))
    }
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => write!(f, "the history cannot be read: {error}"),
            Self::Name(error) => error.fmt(f),
            Self::Ambiguous(prefix) => {
                write!(f, "more than one run's id starts with `{prefix}`: give more of it")
            }
            Self::Unknown(name) => write!(f, "there is no run `{name}`; `runner runs` lists them"),
            Self::NoRun => f.write_str("there is no run yet"),
            Self::NoFailedRun => f.write_str("no run has failed yet"),
            Self::NotRecorded { run } => {
                write!(f, "run {run} is older than the record of what runs were asked for")
            }
            Self::Unreadable { run, error } => {
                write!(f, "the record of what run {run} was asked for cannot be read: {error}")
            }
            Self::TextRemoved { path } => write!(f, "the text of {path} as it was is not kept any more"),
        }
    }
}

impl std::error::Error for HistoryError {}

impl From<rusqlite::Error> for HistoryError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl From<NotARunName> for HistoryError {
    fn from(error: NotARunName) -> Self {
        Self::Name(error)
    }
}

/// For callers that only show the message.
impl From<HistoryError> for String {
    fn from(error: HistoryError) -> Self {
        error.to_string()
    }
}
