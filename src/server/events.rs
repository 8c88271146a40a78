//! The events of a daemon: for the terminal, as JSON Lines and for pages.

use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use crate::core::event::{Counts, VERSION};
use crate::core::run_id::RunId;
pub use crate::storage::schedules::Became;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerEvent {
    /// It is ready: from now on it runs what is due.
    Serving {
        url: Option<String>,
        /// A link that logs in once.
        login: Option<String>,
        workflows: usize,
        schedules: usize,
        pid: u32,
    },
    /// An instant became something.
    Instant {
        schedule: String,
        at: Timestamp,
        became: Became,
        run: Option<RunId>,
    },
    /// A run ended, or could not begin.
    Ended(RunEnded),
    /// A file is loaded, for the first time or again.
    Loaded {
        path: PathBuf,
    },
    /// A file does not load. Its schedules stay as they last loaded.
    Broken {
        path: PathBuf,
        mistakes: Vec<String>,
    },
    /// A file is gone, and its schedules with it.
    Gone {
        path: PathBuf,
    },
    Warning {
        message: String,
    },
    /// It ends: nothing new begins.
    Stopping {
        runs: usize,
    },
}

/// A run of this daemon that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct RunEnded {
    /// `None` for a run that belongs to none.
    pub schedule: Option<String>,
    pub at: Option<Timestamp>,
    pub run: RunId,
    /// As in the history; `failed` where it could not begin.
    pub status: String,
    pub counts: Counts,
    pub duration_ms: u64,
    /// Why it could not begin.
    pub reason: Option<String>,
}

impl RunEnded {
    /// Whether nothing was executed and nothing failed.
    pub fn is_no_op(&self) -> bool {
        self.counts.is_no_op(&self.status)
    }
}

impl ServerEvent {
    /// As one JSON value.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Serving { url, login, workflows, schedules, pid } => json!({
                "v": VERSION, "event": "serving", "url": url, "login": login, "workflows": workflows,
                "schedules": schedules, "pid": pid,
            }),
            Self::Instant { schedule, at, became, run } => json!({
                "v": VERSION, "event": "instant", "schedule": schedule, "at": at, "became": became.name(), "run": run,
            }),
            Self::Ended(ended) => json!({
                "v": VERSION, "event": "ended", "schedule": ended.schedule, "at": ended.at, "run": ended.run,
                "status": ended.status, "no_op": ended.is_no_op(), "executed": ended.counts.executed,
                "nodes": ended.counts.nodes, "duration_ms": ended.duration_ms, "reason": ended.reason,
            }),
            Self::Loaded { path } => json!({"v": VERSION, "event": "loaded", "path": path, "mistakes": []}),
            Self::Broken { path, mistakes } => {
                json!({"v": VERSION, "event": "broken", "path": path, "mistakes": mistakes})
            }
            Self::Gone { path } => json!({"v": VERSION, "event": "gone", "path": path}),
            Self::Warning { message } => json!({"v": VERSION, "event": "warning", "message": message}),
            Self::Stopping { runs } => json!({"v": VERSION, "event": "stopping", "runs": runs}),
        }
    }
}
