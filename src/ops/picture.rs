//! A workflow as a picture: its nodes, what feeds what, and sub-workflows inside their nodes.

use std::collections::BTreeMap;

use crate::view::draw::{Edge, Node as Shown, Picture, Role};
use crate::workflow::binding::{Binding, Failure, Reference};
use crate::workflow::{Body, Node, ScatterShape, Workflow};

/// With more nodes than these, each sub-workflow is one node of the picture: all of them are too many to read, and there
/// may be millions.
const DEEPEST: usize = 20_000;

/// The picture of `workflow`. Hooks of sub-workflows, which never run, are not in it.
pub fn picture(workflow: &Workflow) -> Picture {
    let deep = workflow.size <= DEEPEST;
    Level { workflow, prefix: "", outermost: true, deep }.picture()
}

/// The nodes of one workflow among those of others.
struct Level<'w> {
    workflow: &'w Workflow,
    /// What stands before the names of its nodes.
    prefix: &'w str,
    outermost: bool,
    /// Whether what is inside nodes is shown.
    deep: bool,
}

impl Level<'_> {
    fn picture(&self) -> Picture {
        let workflow = self.workflow;
        let shown = (0..workflow.nodes.len()).filter(|node| self.outermost || !workflow.is_hook(*node));
        let shown: Vec<usize> = shown.collect();
        let mut place = vec![None; workflow.nodes.len()];
        shown.iter().enumerate().for_each(|(at, node)| place[*node] = Some(at));
        let mut picture = Picture::default();
        for (to, node) in shown.into_iter().enumerate() {
            let mut shown = self.node(node);
            for (from, carries) in suppliers(workflow, &workflow.nodes[node]) {
                // What runs when all else has ended waits for all, not for these.
                if shown.role.is_hook() {
                    let name = &workflow.nodes[from as usize].name;
                    shown.remarks.extend(carries.iter().map(|(output, _)| format!("takes {name}.{output}")));
                } else if let Some(from) = place[from as usize] {
                    picture.edges.push(Edge { from, to, carries });
                }
            }
            picture.nodes.push(shown);
        }
        picture
    }

    fn node(&self, index: usize) -> Shown {
        let workflow = self.workflow;
        let node = &workflow.nodes[index];
        let name = format!("{}{}", self.prefix, node.name);
        let role = match Some(index as u32) {
            own if own == workflow.on_failure => Role::OnFailure,
            own if own == workflow.on_success => Role::OnSuccess,
            _ => Role::Member,
        };
        let mut remarks = Vec::new();
        let (runs, inside) = match &node.body {
            Body::Task(task) => {
                remarks.extend(task.description.clone());
                let own = task.name.strip_prefix(&format!("{}.", workflow.name)).unwrap_or(&task.name);
                ((own != &*node.name).then(|| own.to_owned()), None)
            }
            Body::Workflow(inner) => {
                remarks.extend(inner.description.clone());
                let prefix = format!("{name}/");
                let inside = self.deep.then(|| {
                    Level { workflow: inner, prefix: &prefix, outermost: false, deep: true }.picture()
                });
                if !self.deep {
                    remarks.push(format!("{} nodes inside", inner.size));
                }
                (inner.path.file_name().map(|name| name.to_string_lossy().into_owned()), inside)
            }
        };
        Shown {
            label: node.name.to_string(),
            name,
            runs,
            spread: [spread(node), makes(node)]
                .into_iter()
                .flatten()
                .reduce(|all, more| format!("{all}, {more}")),
            condition: node.condition.as_ref().map(|condition| words(workflow, condition)),
            role,
            remarks,
            inside,
            ..Shown::default()
        }
    }
}

/// Said of a node whose nodes are known when it runs.
fn makes(node: &Node) -> Option<String> {
    node.task().filter(|task| task.dynamic).map(|_| "makes its nodes when it runs".into())
}

/// `foreach part`, `matrix word × size`.
fn spread(node: &Node) -> Option<String> {
    let scatter = node.scatter.as_ref()?;
    let inputs = node.body.inputs();
    let over: Vec<&str> = scatter.over.iter().map(|input| &*inputs[*input as usize].name).collect();
    Some(match scatter.shape {
        ScatterShape::Zip => format!("foreach {}", over.join(", ")),
        ScatterShape::Cross => format!("matrix {}", over.join(" × ")),
    })
}

/// The nodes that must have ended before this one, each with which output feeds which input; those that hand nothing
/// over are the last.
fn suppliers(workflow: &Workflow, node: &Node) -> Vec<(u32, Vec<(String, String)>)> {
    let mut suppliers: BTreeMap<u32, Vec<(String, String)>> = BTreeMap::new();
    let mut feed = |binding: &Binding, input: &str| {
        binding.for_each_reference(&mut |reference| {
            if let Reference::Output { node, output } = reference {
                let carried = (output_name(workflow, node, output), input.to_owned());
                let so_far = suppliers.entry(node).or_default();
                if !so_far.contains(&carried) {
                    so_far.push(carried);
                }
            }
        });
    };
    for (binding, input) in node.inputs.iter().zip(node.body.inputs()) {
        feed(binding, &input.name);
    }
    if let Some(condition) = &node.condition {
        feed(condition, "if");
    }
    for needed in &node.needs {
        suppliers.entry(*needed).or_default();
    }
    let mut suppliers: Vec<_> = suppliers.into_iter().collect();
    suppliers.sort_by_key(|(_, carries)| carries.is_empty());
    suppliers
}

fn output_name(workflow: &Workflow, node: u32, output: u32) -> String {
    let outputs = workflow.nodes[node as usize].body.outputs();
    outputs.get(output as usize).map_or_else(String::new, |(name, _)| (*name).to_owned())
}

/// What a condition says, without the braces.
fn words(workflow: &Workflow, condition: &Binding) -> String {
    match condition {
        Binding::Template(template) => {
            let source = template.source().trim();
            let inner = source.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
            inner.unwrap_or(source).trim().to_owned()
        }
        Binding::Reference(Reference::Input(input)) => {
            format!("inputs.{}", workflow.inputs[*input as usize].name)
        }
        Binding::Reference(Reference::Output { node, output }) => {
            format!("{}.{}", workflow.nodes[*node as usize].name, output_name(workflow, *node, *output))
        }
        Binding::Reference(Reference::Failure(Failure::Node)) => "failure.node".into(),
        Binding::Reference(Reference::Failure(Failure::Message)) => "failure.message".into(),
        Binding::Literal(value) => value.to_record().to_string(),
        Binding::Path(_) | Binding::List(_) | Binding::Map(_) => String::new(),
    }
}
