//! A schedule of a workflow: when its runs are due, what they are given, and what happens when they meet or were missed. Plain data.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map as JsonMap, Value as Json};

use super::cron::{Rhythm, delay};

/// One entry of `[[schedules]]`, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Unique in its file. The whole name is `<workflow>/<name>`.
    pub name: String,
    pub rhythm: Rhythm,
    /// The expressions as they were written; empty for an interval.
    pub cron: Vec<String>,
    /// IANA name.
    pub timezone: String,
    /// Values of the workflow's inputs, with paths made absolute.
    pub inputs: JsonMap<String, Json>,
    /// The input that receives the instant.
    pub scheduled_at_input: Option<InstantInput>,
    pub overlap: Overlap,
    pub catch_up: CatchUp,
    /// How far back missed instants count.
    pub catch_up_window: SignedDuration,
    pub jitter: SignedDuration,
    pub max_runtime: Option<SignedDuration>,
    /// How many of its runs stay in the history.
    pub keep_runs: u64,
    pub project: Option<String>,
    pub domain: Option<String>,
}

/// An input that receives the instant of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstantInput {
    pub name: String,
    /// Whether it takes the day in the schedule's zone instead of the instant.
    pub is_day: bool,
}

/// What happens at an instant while the run before still goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    #[default]
    Skip,
    Queue,
    Replace,
    Allow,
}

/// What happens to instants that were missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    None,
    #[default]
    Latest,
    All,
}

/// What made a run begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// A person, or a script that nothing else is known of.
    #[default]
    Manual,
    /// An instant of a schedule.
    Schedule,
    /// An instant that had been missed.
    CatchUp,
    /// An instant of the past, on request.
    Backfill,
    /// An earlier run is gone on with.
    Retry,
    /// A request by HTTP.
    Api,
}

impl Trigger {
    pub fn is_manual(&self) -> bool {
        *self == Self::Manual
    }

    /// As in events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Schedule => "schedule",
            Self::CatchUp => "catch_up",
            Self::Backfill => "backfill",
            Self::Retry => "retry",
            Self::Api => "api",
        }
    }
}

/// The schedule that a run belongs to, and the instant that it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledRun {
    /// The whole name of the schedule; in a request also its name alone.
    pub schedule: String,
    /// Without one: the newest instant that has passed.
    #[serde(rename = "scheduled_at")]
    pub at: Option<Timestamp>,
}

impl Schedule {
    /// When the run of an instant is due, with its jitter. The schedule's whole name is given, since it is a part of that.
    pub fn fires(&self, whole_name: &str, at: Timestamp) -> Timestamp {
        at.saturating_add(delay(whole_name, at, self.jitter)).unwrap_or(at)
    }

    /// Values of the workflow's inputs for the run of an instant.
    pub fn inputs_at(&self, at: Timestamp) -> JsonMap<String, Json> {
        let mut inputs = self.inputs.clone();
        if let Some(InstantInput { name, is_day }) = &self.scheduled_at_input {
            let text = match is_day {
                true => at.to_zoned(self.rhythm.zone()).date().to_string(),
                false => at.to_string(),
            };
            inputs.insert(name.clone(), Json::String(text));
        }
        inputs
    }
}
