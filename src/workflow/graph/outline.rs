//! The outline of a workflow: every node of it and of its sub-workflows under a number and a name of its own.
//!
//! A node of a sub-workflow that is used twice appears twice. The elements of a node, known only at run time, do not
//! appear. Nodes of a workflow that a task makes are added while the run goes on.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::Graph;
use crate::workflow::{Body, Node, Workflow};

/// All nodes, in preorder: a node that runs a sub-workflow comes right before that one's nodes.
#[derive(Clone)]
pub struct Outline {
    workflow: Arc<Workflow>,
    /// How many nodes there are.
    len: usize,
    /// By the address of the workflow, which `uses` keep alive; a number, so that runs share an outline between threads.
    parts: HashMap<usize, Part>,
    uses: Vec<Use>,
}

/// The parts that all uses of a workflow share.
#[derive(Clone)]
struct Part {
    graph: Arc<Graph>,
    /// By node: its number, counted from the workflow's first.
    offsets: Arc<[u32]>,
}

/// One use of a workflow.
#[derive(Clone)]
struct Use {
    workflow: Arc<Workflow>,
    /// The number of its first node.
    base: usize,
    /// The number of the node that it is, except for the outermost.
    parent: Option<usize>,
    /// The use that encloses it.
    around: Option<usize>,
    /// The prefix of its nodes' names: `prep/`.
    prefix: String,
}

/// A node of the outline.
#[derive(Clone, Copy)]
pub struct OutlineNode<'o> {
    /// The workflow that it is a node of.
    pub workflow: &'o Arc<Workflow>,
    /// Its index there.
    pub node: usize,
    /// The number of the node that its workflow is.
    pub parent: Option<usize>,
    /// The number of its workflow's first node.
    base: usize,
    prefix: &'o str,
}

impl Outline {
    pub fn of(workflow: Arc<Workflow>) -> Self {
        let (own, len) = (workflow.clone(), workflow.size);
        let mut outline = Self { workflow: own, len, parts: HashMap::new(), uses: Vec::new() };
        outline.add(&workflow, 0, None, None, String::new());
        outline
    }

    /// Adds a workflow that the node of number `parent` made, behind all others. Returns the number of its first node.
    pub fn grow(&mut self, parent: usize, workflow: &Arc<Workflow>) -> usize {
        let (base, prefix) = (self.len, format!("{}/", self.name(parent)));
        self.len += workflow.size;
        self.add(workflow, base, Some(parent), None, prefix);
        base
    }

    fn add(
        &mut self,
        workflow: &Arc<Workflow>,
        base: usize,
        parent: Option<usize>,
        around: Option<usize>,
        prefix: String,
    ) {
        let part = self.parts.entry(Arc::as_ptr(workflow).addr()).or_insert_with(|| Part::of(workflow));
        let offsets = part.offsets.clone();
        let this = self.uses.len();
        self.uses.push(Use { workflow: workflow.clone(), base, parent, around, prefix: prefix.clone() });
        for (node, offset) in workflow.nodes.iter().zip(&*offsets) {
            if let Body::Workflow(inner) = &node.body {
                let own = base + *offset as usize;
                self.add(inner, own + 1, Some(own), Some(this), format!("{prefix}{}/", node.name));
            }
        }
    }

    /// The outermost workflow.
    pub fn workflow(&self) -> &Arc<Workflow> {
        &self.workflow
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no node at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The graph of a workflow of this outline.
    pub fn graph(&self, workflow: &Arc<Workflow>) -> Arc<Graph> {
        match self.parts.get(&Arc::as_ptr(workflow).addr()) {
            Some(part) => part.graph.clone(),
            None => Arc::new(Graph::of(workflow)),
        }
    }

    /// By node of a workflow: its number, counted from that workflow's first.
    pub fn offsets(&self, workflow: &Arc<Workflow>) -> Arc<[u32]> {
        match self.parts.get(&Arc::as_ptr(workflow).addr()) {
            Some(part) => part.offsets.clone(),
            None => Part::of(workflow).offsets,
        }
    }

    /// Where the node of this number stands.
    pub fn place(&self, number: usize) -> OutlineNode<'_> {
        // Uses are in the order of their bases. The last one that begins before a node may have ended before it:
        // then it is in one of those around that.
        let mut used = &self.uses[self.uses.partition_point(|used| used.base <= number).saturating_sub(1)];
        while let (true, Some(around)) = (number >= used.base + used.workflow.size, used.around) {
            used = &self.uses[around];
        }
        let offset = (number - used.base) as u32;
        let node = self.offsets(&used.workflow).partition_point(|o| *o <= offset).saturating_sub(1);
        OutlineNode {
            workflow: &used.workflow,
            node,
            parent: used.parent,
            base: used.base,
            prefix: &used.prefix,
        }
    }

    /// All nodes in the order of their numbers.
    pub fn places(&self) -> impl Iterator<Item = OutlineNode<'_>> {
        (0..self.len()).map(|number| self.place(number))
    }

    /// The nodes that wait for a node, without those outside its workflow.
    pub fn dependents(&self, number: usize) -> Vec<usize> {
        self.neighbours(number, |graph, node| graph.dependents(node).collect())
    }

    /// The nodes whose outputs a node uses, without those outside its workflow.
    pub fn suppliers(&self, number: usize) -> Vec<usize> {
        let place = self.place(number);
        let offsets = self.offsets(place.workflow);
        let mut suppliers = Vec::new();
        place
            .node()
            .for_each_supplier(&mut |node, _| suppliers.push(place.base + offsets[node as usize] as usize));
        suppliers
    }

    /// The nodes that a node waits for, without those outside its workflow.
    pub fn dependencies(&self, number: usize) -> Vec<usize> {
        self.neighbours(number, |graph, node| graph.dependencies(node).collect())
    }

    fn neighbours(&self, number: usize, step: impl Fn(&Graph, usize) -> Vec<usize>) -> Vec<usize> {
        let place = self.place(number);
        let offsets = self.offsets(place.workflow);
        let nodes = step(&self.graph(place.workflow), place.node);
        nodes.into_iter().map(|node| place.base + offsets[node] as usize).collect()
    }

    /// The nodes of a node's sub-workflow, at any depth; empty for one that runs a task.
    pub fn inside(&self, number: usize) -> Range<usize> {
        number + 1..number + self.place(number).node().size()
    }

    /// The node's name with those of the nodes that enclose it: `prep/clean`.
    pub fn name(&self, number: usize) -> String {
        self.place(number).name()
    }
}

impl OutlineNode<'_> {
    pub fn node(&self) -> &Node {
        &self.workflow.nodes[self.node]
    }

    /// The name with those of the nodes that enclose it: `prep/clean`.
    pub fn name(&self) -> String {
        format!("{}{}", self.prefix, self.node().name)
    }

    /// Whether it is outside the graph: it runs last, or belongs to a sub-workflow, whose own are not run.
    pub fn is_hook(&self) -> bool {
        self.workflow.is_hook(self.node)
    }
}

impl Part {
    fn of(workflow: &Arc<Workflow>) -> Self {
        let mut next = 0;
        let offsets = workflow.nodes.iter().map(|node| {
            let own = next;
            next += node.size() as u32;
            own
        });
        let offsets = offsets.collect();
        Self { graph: Arc::new(Graph::of(workflow)), offsets }
    }
}
