//! Why outputs are not published.

use std::fmt;

/// Why outputs are not published.
#[derive(Debug)]
pub enum PublishError {
    /// Something is in the way, or two outputs do not fit together: nothing was published. A sentence that names the way out.
    Refused(String),
    /// The record of published files cannot be used.
    Record(rusqlite::Error),
    /// A file or folder cannot be read or written: a sentence that names it.
    Failed(String),
}

impl From<rusqlite::Error> for PublishError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Record(error)
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Refused(problem) | Self::Failed(problem) => f.write_str(problem),
            Self::Record(error) => write!(f, "the record of published files cannot be used: {error}"),
        }
    }
}

impl std::error::Error for PublishError {}
