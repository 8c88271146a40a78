//! The event of a task that made a workflow. Re-exported by [`event`](crate::core::event).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::core::node_path::NodeRef;

/// The command of a `dynamic` task ended well and returned a workflow, whose nodes run now inside the node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkflowMade {
    pub time: Timestamp,
    pub node: String,
    #[serde(default)]
    pub index: Option<u64>,
    /// The attempt that returned it, and how long that took.
    pub attempt: u32,
    pub duration_ms: u64,
    /// The name of the workflow.
    pub workflow: String,
    /// The file in which its document is kept.
    pub document: String,
    /// How many nodes it has, counted as in [`RunStarted`](crate::core::event::RunStarted).
    pub nodes: u64,
    /// How many nodes and elements the run has, as far as is known now.
    pub total: u64,
}

impl WorkflowMade {
    /// The node or element that made it.
    pub fn path(&self) -> NodeRef<'_> {
        NodeRef::new(&self.node, self.index)
    }
}
