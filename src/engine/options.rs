//! What a run is asked to do, resolved: knows nothing of where it was asked for.

use crate::core::run_id::RunId;
use crate::core::run_request::CacheMode;
use crate::core::schedule::{ScheduledRun, Trigger};
use crate::workflow::graph::select::Role;

/// What a run is to do. Lists have one entry for each node of the outline.
pub struct RunOptions {
    pub roles: Vec<Role>,
    /// How long it takes from a node's start to the end of the run, as far as is known, in milliseconds: what
    /// has the most before it goes first.
    pub remaining_ms: Vec<u64>,
    /// How long each takes alone, in milliseconds, where it ran before.
    pub alone_ms: Vec<Option<u64>>,
    /// Nodes that are not looked up.
    pub overwrite: Vec<bool>,
    pub mode: CacheMode,
    pub keep_going: bool,
    /// How many nodes may run at once.
    pub jobs: usize,
    /// What makes it begin.
    pub trigger: Trigger,
    /// The schedule it belongs to; its instant is known.
    pub scheduled: Option<ScheduledRun>,
    /// The run that this one retries.
    pub retry_of: Option<RunId>,
    /// Whether no run of the workflow has succeeded before.
    pub first: bool,
}
