//! What the cache decides for one task with its inputs, as data.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::memo::MemoError;
use crate::core::event::ResultSource;
use crate::core::value::Value;
use crate::storage::memo::FoundResult;
use crate::storage::store::Damage;

/// What the cache says of a task with its inputs.
#[derive(Debug)]
pub enum Decision {
    Hit(Box<Hit>),
    Miss(Miss),
    /// The lookup is skipped on request.
    Skipped(SkipCause),
    /// The task is not cached.
    Disabled,
    /// The memo could not be read: the task runs anyway.
    Failed(MemoError),
}

/// A cached result.
#[derive(Debug)]
pub struct Hit {
    pub outputs: Box<[Value]>,
    pub source: ResultSource,
    /// How long the attempt took that produced it.
    pub duration_ms: u64,
    /// The task was edited under its pinned version since; reported once a task.
    pub edited: Option<Edited>,
    /// Set where the key itself has no entry: the one under an alias, to be stored under the key as well.
    pub alias: Option<Box<FoundResult>>,
}

/// Why a lookup missed.
#[derive(Clone, Debug, PartialEq)]
pub enum Miss {
    /// There is no result under the key.
    Nothing,
    /// The result is older than `cache_max_age`.
    Aged { age: SignedDuration, max_age: SignedDuration },
    /// The result is dated in the future, so that its age under `cache_max_age` is not known.
    FromFuture { created: Timestamp },
    /// The stored outputs do not fit the task; why.
    Unreadable(String),
    /// A stored file is missing or damaged.
    Damaged(Damage),
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => write!(f, "no result is stored"),
            Self::Aged { age, max_age } => {
                write!(f, "the stored result is {age:#} old, and cache_max_age is {max_age:#}")
            }
            Self::FromFuture { created } => {
                write!(f, "the stored result is dated {created}, in the future, so that its age is not known")
            }
            Self::Unreadable(problem) => write!(f, "the stored result cannot be used: {problem}"),
            Self::Damaged(damage) => write!(f, "a stored file cannot be used: {damage}"),
        }
    }
}

/// Why no lookup is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipCause {
    /// The user asked for this result to be overwritten.
    Overwrite,
    /// The cache is only written in this run.
    WriteOnly,
    /// The cache is off in this run.
    Off,
}

impl fmt::Display for SkipCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overwrite => "its result is to be overwritten",
            Self::WriteOnly => "the cache is only written",
            Self::Off => "the cache is off",
        })
    }
}

/// A task whose definition changed under a pinned cache version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    /// The qualified name.
    pub task: String,
    /// The pinned version.
    pub version: String,
    /// The parts that changed; empty if they are not known.
    pub changed: Vec<String>,
}

impl Edited {
    /// What happened.
    pub fn message(&self) -> String {
        let Self { task, version, changed } = self;
        let what =
            if changed.is_empty() { "its definition".into() } else { format!("`{}`", changed.join("`, `")) };
        format!(
            "`{task}` was edited since this result was stored ({what} changed), but its cache_version is still \
             \"{version}\", so the result counts"
        )
    }

    /// How to run the task again.
    pub fn help(&self) -> &'static str {
        "bump cache_version to run it again"
    }
}

impl fmt::Display for Edited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.message(), self.help())
    }
}
