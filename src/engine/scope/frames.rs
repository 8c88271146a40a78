//! What the units of a run belong to: uses of workflows (frames), and elements of nodes.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use crate::core::event::{Counts, Usage};
use crate::core::value::Value;
use crate::engine::schedule::UnitId;
use crate::engine::scope::scatter::ScatteredInputs;
use crate::engine::scope::values::{RunFailure, ScopeValues, UserFiles};
use crate::workflow::{Node, Workflow};

/// A group of units, under the same number as in the scheduler.
pub enum ValueScope {
    Frame(Frame),
    Elements(Elements),
    /// It has ended, and its values are gone.
    Closed,
}

/// One use of a workflow; its units are the nodes.
pub struct Frame {
    pub workflow: Arc<Workflow>,
    /// The unit that it is; `None` for the workflow of the run.
    pub parent: Option<UnitId>,
    /// By node: its number in the outline.
    numbers: Numbers,
    /// What stands before the names of its nodes: `prep/`, or `prep[3]/`.
    pub prefix: String,
    pub inputs: Arc<[Value]>,
    /// By node; `None` until it has ended.
    pub outputs: Vec<Option<Box<[Value]>>>,
    pub failure: Option<Arc<RunFailure>>,
    pub sum: GroupSum,
}

/// The numbers of a frame's nodes in the outline.
struct Numbers {
    base: usize,
    offsets: Arc<[u32]>,
}

/// The elements of one node.
pub struct Elements {
    /// The unit of the node.
    pub parent: UnitId,
    pub node: NodeInstance,
    pub spread: ScatteredInputs,
    /// By element; `None` until it has succeeded.
    pub outputs: Vec<Option<Box<[Value]>>>,
    /// How many may fail.
    pub tolerated: usize,
    /// Those that have failed, or are bound to.
    pub doomed: HashSet<usize>,
    pub sum: GroupSum,
}

/// What is known of all that is in a group.
pub struct GroupSum {
    pub counts: Counts,
    pub saved_ms: u64,
    pub usage: Usage,
    pub began: Instant,
}

impl GroupSum {
    fn new() -> Self {
        Self { counts: Counts::default(), saved_ms: 0, usage: Usage::default(), began: Instant::now() }
    }
}

/// Where a unit stands.
#[derive(Clone)]
pub struct NodeInstance {
    pub workflow: Arc<Workflow>,
    /// Index into its nodes.
    pub node: usize,
    /// The node's number in the outline.
    pub number: usize,
    /// The element's number.
    pub index: Option<usize>,
    /// The node's name with those of the nodes that it is inside.
    pub name: String,
}

impl NodeInstance {
    pub fn node(&self) -> &Node {
        &self.workflow.nodes[self.node]
    }

    /// The element's number, as events have it.
    pub fn event_index(&self) -> Option<u64> {
        self.index.map(|index| index as u64)
    }

    /// How a person calls it: `prep/clean`, `train[3]`.
    pub fn label(&self) -> String {
        crate::core::node_path::NodeRef::new(&self.name, self.event_index()).to_string()
    }
}

impl ValueScope {
    pub fn elements(parent: UnitId, node: NodeInstance, spread: ScatteredInputs, tolerated: usize) -> Self {
        let outputs = vec![None; spread.count()];
        Self::Elements(Elements {
            parent,
            node,
            spread,
            outputs,
            tolerated,
            doomed: HashSet::new(),
            sum: GroupSum::new(),
        })
    }

    /// The unit that the group is.
    pub fn parent(&self) -> Option<UnitId> {
        match self {
            Self::Frame(frame) => frame.parent,
            Self::Elements(elements) => Some(elements.parent),
            Self::Closed => None,
        }
    }

    pub fn sum(&mut self) -> Option<&mut GroupSum> {
        match self {
            Self::Frame(frame) => Some(&mut frame.sum),
            Self::Elements(elements) => Some(&mut elements.sum),
            Self::Closed => None,
        }
    }

    /// The unit of number `i`; `None` in a group that has ended.
    pub fn spot(&self, i: usize) -> Option<NodeInstance> {
        match self {
            Self::Frame(frame) => Some(frame.spot(i)),
            Self::Elements(elements) => Some(NodeInstance { index: Some(i), ..elements.node.clone() }),
            Self::Closed => None,
        }
    }

    /// Keeps the outputs of the unit of number `i`.
    pub fn set_outputs(&mut self, i: usize, values: Box<[Value]>) {
        match self {
            Self::Frame(Frame { outputs, .. }) | Self::Elements(Elements { outputs, .. }) => {
                outputs[i] = Some(values);
            }
            Self::Closed => {}
        }
    }
}

impl Frame {
    /// A use of `workflow` whose nodes have the numbers `base + offsets` in the outline.
    pub fn new(
        workflow: Arc<Workflow>,
        (base, offsets): (usize, Arc<[u32]>),
        parent: Option<UnitId>,
        prefix: String,
        inputs: Arc<[Value]>,
    ) -> Self {
        let outputs = vec![None; workflow.nodes.len()];
        let numbers = Numbers { base, offsets };
        Self { workflow, parent, numbers, prefix, inputs, outputs, failure: None, sum: GroupSum::new() }
    }

    /// The number of a node in the outline.
    pub fn number(&self, node: usize) -> usize {
        self.numbers.base + self.numbers.offsets[node] as usize
    }

    fn spot(&self, node: usize) -> NodeInstance {
        NodeInstance {
            workflow: self.workflow.clone(),
            node,
            number: self.number(node),
            index: None,
            name: format!("{}{}", self.prefix, self.workflow.nodes[node].name),
        }
    }

    /// What the bindings of its nodes are evaluated over.
    pub fn values<'v>(&'v self, files: &'v UserFiles) -> ScopeValues<'v> {
        ScopeValues {
            workflow: &self.workflow,
            files,
            inputs: &self.inputs,
            outputs: &self.outputs,
            failure: self.failure.as_deref(),
        }
    }

    /// A copy of this frame to run a last node in.
    pub fn again(&self, failure: Option<Arc<RunFailure>>) -> Self {
        let numbers = Numbers { base: self.numbers.base, offsets: self.numbers.offsets.clone() };
        Self {
            workflow: self.workflow.clone(),
            parent: None,
            numbers,
            prefix: self.prefix.clone(),
            inputs: self.inputs.clone(),
            outputs: self.outputs.clone(),
            failure,
            sum: GroupSum::new(),
        }
    }
}
