//! Events: everything that the outside may learn of a run, complete enough to replay it without the run.
//!
//! Terminal, plain text, JSON Lines and history are all listeners of this one stream. The names here are
//! the contract that scripts read; fields may join, none is renamed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map as JsonMap, Value as Json};

use crate::core::condition::Condition;
use crate::core::digest::Digest;
pub use crate::core::executor_calls::ExecutorCalls;
use crate::core::node_path::NodeRef;
use crate::core::provenance::Provenance;
pub use crate::core::remote_counts::{RemoteCounts, RunUploading};
use crate::core::run_id::RunId;
use crate::core::schedule::Trigger;
pub use crate::core::task_error::{TaskError, TaskErrorKind};
pub use crate::core::usage::Usage;
use crate::core::why::Why;
pub use crate::core::workflow_made::WorkflowMade;

/// The version on every line of JSON.
pub const VERSION: u32 = 1;

/// One thing that happened in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "events are made one at a time and not kept: a box would only cost"
)]
pub enum Event {
    RunWaiting(LockBusy),
    RunSkipped(LockBusy),
    RunStarted(RunStarted),
    NodeExpanded(NodeExpanded),
    WorkflowMade(WorkflowMade),
    NodeWaiting(NodeWaiting),
    NodeSubmitted(NodeSubmitted),
    NodeStarted(NodeStarted),
    AttemptLost(AttemptLost),
    AttemptFailed(AttemptFailed),
    NodeFinished(NodeFinished),
    Warning(Warning),
    RunUploading(RunUploading),
    RunFinished(RunFinished),
}

/// Another run holds a lock that this one needs: it waits, or ends without having begun. Comes before `run_started`, and
/// is in no history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LockBusy {
    pub time: Timestamp,
    pub lock: String,
    /// The run that holds it, where that is known.
    pub holder: Option<RunId>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunStarted {
    pub time: Timestamp,
    pub run: RunId,
    pub workflow: String,
    pub project: String,
    pub domain: String,
    /// How many nodes take part: those of sub-workflows as well, and each that is not a sub-workflow as one.
    pub nodes: u64,
    /// How many of them may run at once.
    #[serde(default)]
    pub jobs: u64,
    /// What made it begin.
    #[serde(default)]
    pub trigger: Trigger,
    /// The whole name of its schedule, and the instant that it is for.
    #[serde(default)]
    pub schedule: Option<String>,
    #[serde(default)]
    pub scheduled_at: Option<Timestamp>,
    /// The run that this one retries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<RunId>,
    /// Whether no run of this workflow has succeeded before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first: bool,
    /// Where its nodes run, separated by commas, if not all of them run on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<String>,
}

/// The inputs of a `foreach` or `matrix` node are known, and so is the number of its elements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeExpanded {
    pub time: Timestamp,
    pub node: String,
    #[serde(default)]
    pub index: Option<u64>,
    pub elements: u64,
    /// How many nodes and elements the run has, as far as is known now.
    pub total: u64,
}

/// A node that could run waits for something else than a job slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeWaiting {
    pub time: Timestamp,
    pub node: String,
    #[serde(default)]
    pub index: Option<u64>,
    /// For what, as in `for gpu (in use)`.
    pub reason: String,
}

/// An attempt waits in the queue of a batch system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeSubmitted {
    pub time: Timestamp,
    pub node: String,
    #[serde(default)]
    pub index: Option<u64>,
    pub attempt: u32,
    pub executor: String,
    /// The batch system's id of the job, and its name.
    pub job: String,
    pub name: String,
}

/// A batch system lost the job of an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptLost {
    pub time: Timestamp,
    pub node: String,
    #[serde(default)]
    pub index: Option<u64>,
    pub attempt: u32,
    pub job: String,
    pub host: Option<String>,
    pub reason: String,
    /// Whether it is done again, without being counted.
    pub again: bool,
}

/// An attempt begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeStarted {
    pub time: Timestamp,
    pub node: String,
    #[serde(default)]
    pub index: Option<u64>,
    /// Counts from 1.
    pub attempt: u32,
    /// The file that receives what the task prints.
    #[serde(default)]
    pub log: Option<String>,
    /// How many others are ready and wait for a slot.
    #[serde(default)]
    pub queued: u64,
    /// How long it waited since it could have run, which is when it had been looked up with all of its inputs, or
    /// when the wait before another attempt was over.
    #[serde(default)]
    pub waited_ms: u64,
    /// How long the run still takes from here, by the times of earlier runs; absent where none are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_ms: Option<u64>,
    /// Where it runs, if not on this machine: the executor, the id of its job and the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The run that had submitted the job, if another one had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<RunId>,
}

/// An attempt failed; another may follow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptFailed {
    pub time: Timestamp,
    pub node: String,
    #[serde(default)]
    pub index: Option<u64>,
    pub attempt: u32,
    pub duration_ms: u64,
    /// What its processes used, as in [`NodeFinished`].
    #[serde(default)]
    pub cpu_ms: Option<u64>,
    #[serde(default)]
    pub peak_memory: Option<u64>,
    /// The wait before the next attempt in milliseconds; null if this was the last.
    pub retry_in_ms: Option<u64>,
    pub error: TaskError,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeFinished {
    pub time: Timestamp,
    pub node: String,
    pub index: Option<u64>,
    /// The qualified name; of a sub-workflow its name.
    pub task: String,
    #[serde(default)]
    pub kind: NodeKind,
    pub status: Status,
    /// Null where the cache was not reached: a node that never became ready.
    pub cache: Option<CacheStatus>,
    pub key: Option<Digest>,
    /// What a key would be made of, for a result that was used but is not in the cache; a retry of the run looks it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Digest>,
    /// 0 for a hit.
    pub attempts: u32,
    /// Of the last attempt, wall time.
    pub duration_ms: u64,
    /// The processor time of the last attempt's processes; of what sums up others their sum. Null if nothing ran.
    #[serde(default)]
    pub cpu_ms: Option<u64>,
    /// The resident memory of the last attempt's largest process at its peak, in bytes; of what sums up others the
    /// largest. Null where it is too small to distinguish from the runner's own.
    #[serde(default)]
    pub peak_memory: Option<u64>,
    /// What the run that stored this result spent; 0 unless it is a hit.
    pub saved_ms: u64,
    pub outputs: JsonMap<String, Json>,
    /// Where a hit came from.
    pub source: Option<ResultSource>,
    pub error: Option<TaskError>,
    #[serde(default)]
    pub inputs: JsonMap<String, Json>,
    /// Why the node did not run, or why its result was not stored.
    #[serde(default)]
    pub reason: Option<String>,
    /// The condition because of which it was skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Box<Condition>>,
    /// The log of the last attempt.
    #[serde(default)]
    pub log: Option<String>,
    /// Why the cache did not have it; null unless it missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Box<Why>>,
    /// How what it sums up ended; null for work of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// Present if the cache stored the result: what it needs beside this event to have the result again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<Box<StoredAs>>,
    /// Where its last attempt was, if not on this machine; as in [`NodeStarted`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<RunId>,
}

/// How the cache stored a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredAs {
    /// The cache version as shown to people.
    pub version: String,
    /// Digest of the task's definition.
    pub definition: Digest,
    /// Digest of the task's interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<Digest>,
}

macro_rules! paths {
    ($($event:ty),+) => {$(
        impl $event {
            /// The node or element that it is about.
            pub fn path(&self) -> NodeRef<'_> {
                NodeRef::new(&self.node, self.index)
            }
        }
    )+};
}
paths!(NodeExpanded, NodeWaiting, NodeSubmitted, NodeStarted, AttemptLost, AttemptFailed, NodeFinished);

impl NodeFinished {
    pub fn usage(&self) -> Usage {
        Usage { cpu_ms: self.cpu_ms, peak_memory: self.peak_memory }
    }
}

impl AttemptFailed {
    pub fn usage(&self) -> Usage {
        Usage { cpu_ms: self.cpu_ms, peak_memory: self.peak_memory }
    }
}

/// What a node is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// Work of its own.
    #[default]
    Task,
    /// It sums up the elements of a `foreach` or `matrix`, which had events before it.
    Elements,
    /// It sums up the nodes of a sub-workflow, which had events before it.
    Workflow,
}

/// The run, node and time that a cached result came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResultSource {
    pub run: RunId,
    pub node: String,
    pub time: Timestamp,
    #[serde(flatten)]
    pub provenance: Provenance,
}

impl ResultSource {
    /// A note on its origin after run, node and time, with a leading comma; usually empty.
    pub fn note(&self) -> String {
        self.provenance.note().map_or_else(String::new, |note| format!(", {note}"))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Warning {
    pub time: Timestamp,
    pub message: String,
    pub node: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunFinished {
    pub time: Timestamp,
    pub run: RunId,
    pub status: Status,
    pub duration_ms: u64,
    #[serde(flatten)]
    pub counts: Counts,
    pub saved_ms: u64,
    pub outputs: JsonMap<String, Json>,
    /// What it had of the shared cache; null without one.
    #[serde(default)]
    pub remote: Option<RemoteCounts>,
    /// Calls of batch systems, if nodes ran there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor_calls: Option<ExecutorCalls>,
}

/// How many nodes ended how. `nodes` counts as in [`RunStarted`]; the others count the elements of a `foreach` or
/// `matrix` node in its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub nodes: u64,
    /// Ran and succeeded.
    pub executed: u64,
    pub cached: u64,
    pub failed: u64,
    pub skipped: u64,
    #[serde(default)]
    pub cancelled: u64,
}

impl Counts {
    /// Counts one finished node.
    pub fn add(&mut self, status: Status, cache: Option<CacheStatus>) {
        match (status, cache) {
            (Status::Succeeded, Some(CacheStatus::Hit)) => self.cached += 1,
            (Status::Succeeded, _) => self.executed += 1,
            (Status::Failed, _) => self.failed += 1,
            (Status::Skipped, _) => self.skipped += 1,
            (Status::Cancelled, _) => self.cancelled += 1,
            (Status::Detached, _) => {}
        }
    }

    /// Whether a run that ended with `status` was a no-op: nothing was executed and nothing failed.
    pub fn is_no_op(&self, status: &str) -> bool {
        status == Status::Succeeded.name() && self.executed == 0 && self.failed == 0
    }

    /// How many have finished.
    pub fn finished(&self) -> u64 {
        self.executed + self.cached + self.failed + self.skipped + self.cancelled
    }
}

/// How a node or a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Succeeded,
    Failed,
    Skipped,
    Cancelled,
    /// Jobs of it go on without a runner.
    Detached,
}

/// What the cache had to do with a node's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheStatus {
    Hit,
    /// Missed, ran, stored.
    Populated,
    /// Missed, ran, not stored.
    Miss,
    /// The task is not cached.
    Disabled,
    /// The lookup was skipped on request.
    Skipped,
    LookupFailure,
    PutFailure,
}

macro_rules! names {
    ($type:ty: $($variant:ident = $name:literal),+) => {
        impl $type {
            /// The name under which it is shown everywhere.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}
names!(Status: Succeeded = "succeeded", Failed = "failed", Skipped = "skipped", Cancelled = "cancelled",
    Detached = "detached");
names!(CacheStatus: Hit = "hit", Populated = "populated", Miss = "miss", Disabled = "disabled",
    Skipped = "skipped", LookupFailure = "lookup_failure", PutFailure = "put_failure");
names!(TaskErrorKind: Exit = "exit", Signal = "signal", Timeout = "timeout", Output = "output", Input = "input",
    Spawn = "spawn", Cancelled = "cancelled", Lost = "lost");

impl NodeFinished {
    /// Why it failed, in one line: `exit 3 after 2 attempts`. Without characters that a terminal acts upon.
    pub fn failure(&self) -> String {
        let gist = self.error.as_ref().map_or_else(|| "failed".into(), TaskError::gist);
        match self.attempts {
            0 | 1 => gist,
            attempts => format!("{gist} after {attempts} attempts"),
        }
    }

    /// The same with the texts that JSON output has and the history has not.
    pub fn with_texts(&self) -> Self {
        let why = self.why.as_ref().map(|why| Box::new(why.with_text()));
        Self { why, ..self.clone() }
    }
}

impl Event {
    pub fn time(&self) -> Timestamp {
        match self {
            Self::RunWaiting(event) | Self::RunSkipped(event) => event.time,
            Self::RunStarted(event) => event.time,
            Self::NodeExpanded(event) => event.time,
            Self::WorkflowMade(event) => event.time,
            Self::NodeWaiting(event) => event.time,
            Self::NodeSubmitted(event) => event.time,
            Self::NodeStarted(event) => event.time,
            Self::AttemptLost(event) => event.time,
            Self::AttemptFailed(event) => event.time,
            Self::NodeFinished(event) => event.time,
            Self::Warning(event) => event.time,
            Self::RunUploading(event) => event.time,
            Self::RunFinished(event) => event.time,
        }
    }

    /// The line as it is shown: with the texts that the history has not. `None` if it is the same as the stored one.
    pub fn to_shown_line(&self) -> Option<String> {
        match self {
            Self::NodeFinished(node) if node.why.is_some() => {
                Some(Self::NodeFinished(node.with_texts()).to_line())
            }
            _ => None,
        }
    }

    /// The event as one line of JSON, without a newline.
    pub fn to_line(&self) -> String {
        // Serialising these types cannot fail: every key is text and no value is foreign.
        let event = serde_json::to_string(self).unwrap_or_else(|_| "{}".into());
        let mut line = String::with_capacity(event.len() + 8);
        line.push_str(&format!("{{\"v\":{VERSION},"));
        line.push_str(&event[1..]);
        line
    }
}

#[cfg(test)]
mod tests;
