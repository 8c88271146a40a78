//! A schedule as it stands: a line of `runner schedule list`, and with its instants what `runner schedule show` shows.
//!
//! Knows neither the home that it is read from nor how it is shown.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
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

/// What its file says; of a file that does not load, what it said when the daemon that serves it loaded it last.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
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
    /// The latest messages to those whom `[[notify]]` names, newest first.
    pub deliveries: Vec<DeliveryView>,
    #[serde(skip)]
    pub server: Option<ServerView>,
    /// The first of the failures in a row, and the run of the last success before them.
    #[serde(skip)]
    pub failing_since: Option<Timestamp>,
    #[serde(skip)]
    pub last_success: Option<RunId>,
}

/// A message of a schedule and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct DeliveryView {
    pub time: Timestamp,
    pub event: String,
    /// The name of the rule, or its kind of receiver.
    pub notify: String,
    pub run: Option<String>,
    /// `pending`, `delivered`, `failed`.
    pub state: String,
    pub tries: u32,
    /// The fault of the last try.
    pub error: Option<String>,
}

/// The daemon that serves a schedule.
#[derive(Clone, Debug)]
pub struct ServerView {
    pub pid: u32,
    pub url: Option<String>,
}

/// How an instant of a backfill or of a trigger went; as JSON, a line of these verbs.
#[derive(Clone, Debug, Serialize)]
pub struct InstantRun {
    pub v: u32,
    pub schedule: String,
    /// Its `status` is null where this process ran nothing, its `reason` also why it was left out.
    #[serde(flatten)]
    pub instant: InstantRow,
}

impl InstantRun {
    pub fn has_failed(&self) -> bool {
        matches!(self.instant.status.as_deref(), Some("failed" | "interrupted"))
    }
}

impl InstantRow {
    /// An instant of whose run nothing is known yet.
    pub fn new(at: Timestamp, fires: Timestamp, became: &str, trigger: Trigger, run: Option<RunId>) -> Self {
        Self {
            at,
            fires,
            became: became.to_owned(),
            trigger,
            run,
            status: None,
            no_op: false,
            executed: None,
            nodes: None,
            duration_ms: None,
            reason: None,
            counts: Counts::default(),
        }
    }
}
