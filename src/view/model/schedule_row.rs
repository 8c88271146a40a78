//! A schedule as it stands: a line of `runner schedule list`, and with its instants what `runner schedule show` shows.
//!
//! Knows neither the home that it is read from nor how it is shown.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value as Json;

use crate::core::event::Counts;
use crate::core::run_id::RunId;
use crate::core::schedule::{CatchUp, Overlap, Trigger};

/// A schedule; as JSON, a line of `runner schedule list --json`.
#[derive(Clone, Debug, Serialize)]
pub struct ScheduleRow {
    pub v: u32,
    /// The whole name.
    pub schedule: String,
    pub workflow: String,
    pub path: String,
    #[serde(flatten)]
    pub settings: Settings,
    pub paused: Option<PauseView>,
    /// Whether a daemon on this home has it now.
    pub served: bool,
    /// What is wrong with its file.
    pub mistakes: Vec<String>,
    pub next: Option<NextInstant>,
    pub last: Option<InstantRow>,
    pub consecutive_failures: u64,
}

/// What its file says; nothing of a file that cannot be read.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Settings {
    pub cron: Vec<String>,
    pub every: Option<String>,
    pub timezone: Option<String>,
    pub words: Option<String>,
    pub overlap: Option<Overlap>,
    pub catch_up: Option<CatchUp>,
    /// Seconds.
    pub catch_up_window_s: Json,
    pub jitter_s: Json,
}

/// A pause that lasts.
#[derive(Clone, Debug, Serialize)]
pub struct PauseView {
    pub since: Timestamp,
    pub by: String,
    pub reason: Option<String>,
}

/// An instant to come.
#[derive(Clone, Debug, Serialize)]
pub struct NextInstant {
    pub at: Timestamp,
    /// With its jitter.
    pub fires: Timestamp,
}

/// An instant that passed, and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct InstantRow {
    pub at: Timestamp,
    pub fires: Timestamp,
    /// `fired`, `caught_up`, `missed`, `overlapped`, `paused`.
    pub became: String,
    pub trigger: Trigger,
    pub run: Option<RunId>,
    /// As in the history; null where nothing ran.
    pub status: Option<String>,
    pub no_op: bool,
    pub executed: Option<u64>,
    pub nodes: Option<u64>,
    pub duration_ms: Option<u64>,
    /// Why nothing ran, why the run could not begin, or why it was ended.
    pub reason: Option<String>,
    #[serde(skip)]
    pub counts: Counts,
}

/// One schedule in full; as JSON, `runner schedule show --json`.
#[derive(Clone, Debug, Serialize)]
pub struct ScheduleView {
    #[serde(flatten)]
    pub row: ScheduleRow,
    /// Newest first.
    pub instants: Vec<InstantRow>,
    #[serde(skip)]
    pub server: Option<ServerView>,
    /// The first of the failures in a row, and the run of the last success before them.
    #[serde(skip)]
    pub failing_since: Option<Timestamp>,
    #[serde(skip)]
    pub last_success: Option<RunId>,
}

/// The daemon that serves a schedule.
#[derive(Clone, Debug)]
pub struct ServerView {
    pub pid: u32,
    pub url: Option<String>,
}

/// How the run of an instant of a backfill or of a trigger ended, or why there is none; as JSON, a line of these verbs.
#[derive(Clone, Debug, Serialize)]
pub struct InstantRun {
    pub v: u32,
    pub schedule: String,
    pub at: Timestamp,
    pub run: Option<RunId>,
    /// As in the history; null where this process ran nothing.
    pub status: Option<String>,
    pub no_op: bool,
    pub executed: Option<u64>,
    pub nodes: Option<u64>,
    pub duration_ms: Option<u64>,
    /// Why it was left out, could not begin, or was ended.
    pub reason: Option<String>,
    #[serde(skip)]
    pub counts: Counts,
}

impl InstantRun {
    pub fn has_failed(&self) -> bool {
        matches!(self.status.as_deref(), Some("failed" | "interrupted"))
    }
}
