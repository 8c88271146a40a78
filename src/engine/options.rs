//! What a run is asked to do, resolved: knows nothing of where it was asked for.

use std::borrow::Cow;
use std::sync::Arc;

use crate::core::run_id::RunId;
use crate::core::run_request::CacheMode;
use crate::core::schedule::{ScheduledRun, Trigger};
use crate::engine::schedule::pools::{ELSEWHERE, Reservation};
use crate::workflow::graph::select::Role;

/// What a run is to do. Lists have one entry for each node of the outline.
pub struct RunOptions {
    pub roles: Vec<Role>,
    /// How long it takes from a node's start to the end of the run, as far as is known, in milliseconds: what
    /// has the most before it goes first.
    pub remaining_ms: Vec<u64>,
    /// How long each takes alone, in milliseconds, where it ran before.
    pub alone_ms: Vec<Option<u64>>,
    /// How long one attempt takes, or one of its elements, where it ran before; empty where nobody asks.
    pub mean_ms: Vec<Option<u64>>,
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
    /// The executors of nodes that do not run on this machine; empty where there are none.
    pub executors: Vec<Option<Arc<str>>>,
    /// Whether a signal leaves jobs of batch systems to themselves.
    pub detach: bool,
}

impl RunOptions {
    /// The executor of a node that does not run on this machine.
    pub fn executor(&self, number: usize) -> Option<&Arc<str>> {
        self.executors.get(number)?.as_ref()
    }

    /// How many elements of the node may wait for a slot at once.
    pub fn ahead(&self, number: usize) -> usize {
        match self.executor(number) {
            Some(_) => MAX_ELSEWHERE,
            None => MIN_AHEAD.max(2 * self.jobs),
        }
    }

    /// What the node takes of what is shared.
    pub fn reservation<'r>(&self, number: usize, resources: &'r Reservation) -> Cow<'r, Reservation> {
        reservation(self.executor(number), resources)
    }
}

/// What an attempt takes of what is shared: on a batch system a job, and nothing of what that counts itself.
pub fn reservation<'r>(executor: Option<&Arc<str>>, resources: &'r Reservation) -> Cow<'r, Reservation> {
    let Some(executor) = executor else { return Cow::Borrowed(resources) };
    let mut own = resources.clone();
    own.retain(|name, _| !BATCH_RESOURCES.contains(&&**name));
    own.insert(format!("{ELSEWHERE}{executor}"), 1);
    Cow::Owned(own)
}

/// Minimum of elements of one node that may wait for a slot at once: their inputs are in memory.
const MIN_AHEAD: usize = 64;
/// Maximum attempts on one batch system at once, which share jobs; they are in memory.
pub const MAX_ELSEWHERE: usize = 10_000;
/// Resources that a batch system counts.
const BATCH_RESOURCES: [&str; 3] = ["cpus", "memory", "gpus"];
