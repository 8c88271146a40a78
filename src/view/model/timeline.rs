//! When something in a run worked or waited, in milliseconds since the run's start.

use crate::core::event::Status;

/// A stretch of time in which one thing was done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActivitySpan {
    pub from: u64,
    pub to: u64,
    pub activity: Activity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It could have run, or was to be retried.
    Waited,
    Executed,
    Failed,
    Cached,
    Cancelled,
    /// It has not ended.
    Running,
}

impl Activity {
    /// What an attempt did that ended its node.
    pub fn ended(status: Status) -> Self {
        match status {
            Status::Succeeded => Self::Executed,
            Status::Failed => Self::Failed,
            Status::Skipped | Status::Cancelled | Status::Detached => Self::Cancelled,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Waited => "waited",
            Self::Executed => "executed",
            Self::Failed => "failed",
            Self::Cached => "cached",
            Self::Cancelled => "cancelled",
            Self::Running => "running",
        }
    }
}
