//! What a run had of a shared cache, as its last event says, and what it still waits for.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a run had of a shared cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RemoteCounts {
    /// Results that came from it.
    pub hits: u64,
    /// Lookups of results that it does not have.
    pub misses: u64,
    /// Lookups that found something that is not used, because it is wrong.
    pub refused: u64,
    /// Results that others can have now.
    pub uploaded: u64,
    /// Results that are still to be uploaded, also those of earlier runs.
    pub queued: u64,
    /// Results that are not uploaded, because another one is there.
    pub conflicts: u64,
    /// Requests that failed.
    pub errors: u64,
    pub bytes_down: u64,
    pub bytes_up: u64,
}

/// All nodes have ended, and the run waits until others can have its results. Comes about every second meanwhile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunUploading {
    pub time: Timestamp,
    /// The address of the shared cache.
    pub remote: String,
    /// How many results are still to be uploaded.
    pub left: u64,
    /// How long the run waits at most from here, in milliseconds.
    pub wait_ms: u64,
}
