//! A run in short: a line of `runner runs`, and each side of `runner diff`.
//!
//! Knows neither the history that it is read from nor how it is shown.

use jiff::Timestamp;
use serde::Serialize;

use crate::core::event::Counts;
use crate::core::run_id::RunId;

/// One run; as JSON, a line of `runner runs --json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunRow {
    #[serde(rename = "run")]
    pub id: RunId,
    pub workflow: String,
    pub project: String,
    pub domain: String,
    /// `succeeded`, `failed`, `cancelled`; of a run without an end `running` or `interrupted`.
    pub status: String,
    pub started: Timestamp,
    /// Null for a run without an end.
    pub duration_ms: Option<u64>,
    #[serde(flatten)]
    pub counts: Counts,
    pub saved_ms: u64,
}
