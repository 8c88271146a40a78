//! Names and types across one workflow: nodes to what they run, templates to inputs and outputs.

use std::cell::Cell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::binding::{Binding, Reference};
use super::budget::Resource;
use super::diagnostic::Diagnostic;
use super::keys;
use super::names::{Face, NodeNames, RunsWhen};
use super::node::{read_node, read_scatter};
use super::published::read_outputs;
use super::reader::{Reader, TableEntry};
use super::syntax::{Table, TomlKind};
use super::{Body, Input, Node, Published, Task, Workflow};
use crate::core::closest::closest;

/// Names that nodes cannot have because templates use them otherwise.
const RESERVED_NODES: [&str; 2] = ["inputs", "failure"];

/// The tasks that nodes can use, by the name they use: `task`, or `library.task`.
#[derive(Default)]
pub struct Tasks {
    pub all: Vec<Arc<Task>>,
    by_name: HashMap<String, Arc<Task>>,
}

impl Tasks {
    pub fn add(&mut self, used_as: String, task: Arc<Task>) {
        self.all.push(task.clone());
        self.by_name.insert(used_as, task);
    }
}

/// The definitions that nodes can use.
pub struct Scene<'a> {
    /// The folder of the file.
    pub dir: &'a Path,
    pub inputs: &'a [Input],
    pub tasks: &'a Tasks,
    /// By the node that runs them; `None` for one that cannot be used.
    pub workflows: &'a HashMap<String, Option<Arc<Workflow>>>,
}

/// The result of linking, besides diagnostics.
pub struct Linked {
    pub nodes: Vec<Node>,
    pub outputs: Vec<Published>,
    pub on_failure: Option<u32>,
    pub on_success: Option<u32>,
}

/// Reads `[nodes]` and `[outputs]` of the workflow file, of which `header` is `[workflow]`.
pub fn link(reader: &mut Reader, file: &Table, header: Option<&Table>, scene: &Scene) -> Linked {
    let mut entries = reader.tables(file, "nodes");
    let span = file.get("nodes").map_or_else(Default::default, |item| item.span);
    if !reader.spend(Resource::Nodes, entries.len(), span) {
        entries.clear();
    }
    entries.retain(|entry| {
        let reserved = RESERVED_NODES.contains(&&*entry.key.name);
        if reserved {
            let message = format!("`{}` cannot be the name of a node", entry.key.name);
            reader.error(entry.key.span, message, "has a meaning of its own in templates");
        }
        reader.check_name(entry.key, "a node", false) && !reserved
    });
    let inputs = scene.inputs.iter().enumerate().map(|(i, input)| (&*input.name, (i as u32, &input.ty)));
    let mut names = NodeNames {
        inputs: inputs.collect(),
        declared: file.get("inputs").and_then(|item| match &item.kind {
            TomlKind::Table(table) => Some(table),
            _ => None,
        }),
        nodes: HashMap::with_capacity(entries.len()),
        lenient: false,
        moment: Cell::new(RunsWhen::Graph),
    };
    let on_failure = read_hook(reader, header, "on_failure", &entries);
    names.lenient = on_failure.is_none() && header.is_some_and(|table| table.get("on_failure").is_some());
    let on_success = read_hook(reader, header, "on_success", &entries);
    for (i, entry) in entries.iter().enumerate() {
        reader.check_keys(entry.table, keys::NODE, &format!("node `{}`", entry.key.name));
        let index = i as u32;
        let moment = match (on_failure == Some(index), on_success == Some(index)) {
            (false, false) => RunsWhen::Graph,
            (true, false) => RunsWhen::OnFailure,
            (false, true) => RunsWhen::OnSuccess,
            (true, true) => RunsWhen::AtTheEnd,
        };
        let body = find_body(reader, entry, scene);
        let scatter = read_scatter(reader, entry, body.as_ref());
        names.nodes.insert(&entry.key.name, Face::new(index, body, scatter, moment));
    }
    let mut nodes = Vec::with_capacity(entries.len());
    for entry in &entries {
        if let Some(face) = names.nodes.get(&*entry.key.name) {
            names.moment.set(face.moment);
            nodes.push(read_node(reader, entry, face, scene.dir, &names));
        }
    }
    names.moment.set(RunsWhen::Graph);
    let skippable = skippable(&nodes);
    let may_be_null = |binding: &Binding| {
        let mut found = false;
        binding.for_each_reference(&mut |reference| {
            if let Reference::Output { node, .. } = reference {
                found |= skippable.get(node as usize).is_some_and(|skippable| *skippable);
            }
        });
        found
    };
    let outputs = read_outputs(reader, file, scene.dir, &names, &may_be_null);
    Linked { nodes, outputs, on_failure, on_success }
}

/// The node that `[workflow]` names to run last.
fn read_hook(reader: &mut Reader, header: Option<&Table>, key: &str, entries: &[TableEntry]) -> Option<u32> {
    let (name, span) = reader.text_item(header?, key)?;
    let index = entries.iter().position(|entry| *entry.key.name == *name);
    if index.is_none() {
        let label = closest(name, entries.iter().map(|entry| &*entry.key.name))
            .map_or("no such node".into(), |near| format!("did you mean `{near}`?"));
        reader.error(span, format!("`{key}` names `{name}`, which is no node of this workflow"), label);
    }
    index.map(|index| index as u32)
}

/// Which nodes may be skipped without anything having failed: those with a condition, and those that cannot do
/// without one of them.
fn skippable(nodes: &[Node]) -> Vec<bool> {
    let mut skippable: Vec<bool> = nodes.iter().map(|node| node.condition.is_some()).collect();
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    if !skippable.contains(&true) {
        return skippable;
    }
    for (i, node) in nodes.iter().enumerate() {
        node.for_each_dependency(&mut |dependency, tolerant| {
            if !tolerant {
                dependents[dependency as usize].push(i);
            }
        });
    }
    let mut next: Vec<usize> = (0..nodes.len()).filter(|i| skippable[*i]).collect();
    loop {
        while let Some(node) = next.pop() {
            for dependent in &dependents[node] {
                if !std::mem::replace(&mut skippable[*dependent], true) {
                    next.push(*dependent);
                }
            }
        }
        next = (0..nodes.len())
            .filter(|i| !skippable[*i] && lacks_all_branches(&nodes[*i], &skippable))
            .collect();
        next.iter().for_each(|node| skippable[*node] = true);
        if next.is_empty() {
            return skippable;
        }
    }
}

/// Whether an input takes whichever branch ran, and none need have run. Conditions are not looked into: of two branches that
/// lie beside each other one is taken to run.
fn lacks_all_branches(node: &Node, skippable: &[bool]) -> bool {
    (0..node.inputs.len()).filter(|i| node.joins_branches(*i)).any(|i| {
        let (mut count, mut all) = (0, true);
        node.inputs[i].for_each_reference(&mut |reference| {
            count += 1;
            if let Reference::Output { node, .. } = reference {
                all &= skippable.get(node as usize).is_some_and(|skippable| *skippable);
            }
        });
        all && count == 1
    })
}

/// The task or workflow that a node runs; reports it if it cannot be found.
fn find_body(reader: &mut Reader, entry: &TableEntry, scene: &Scene) -> Option<Body> {
    if entry.table.get("workflow").is_some() {
        if let Some(item) = entry.table.get("task") {
            let message = format!("node `{}` has both `task` and `workflow`", entry.key.name);
            reader.error(item.span, message, "keep one of them");
        }
        let workflow = scene.workflows.get(&*entry.key.name)?.clone();
        return workflow.map(Body::Workflow);
    }
    find_task(reader, entry, scene.tasks).map(Body::Task)
}

fn find_task(reader: &mut Reader, entry: &TableEntry, tasks: &Tasks) -> Option<Arc<Task>> {
    let own_name = &*entry.key.name;
    let (name, span) = match entry.table.get("task") {
        Some(_) => reader.text_item(entry.table, "task")?,
        None => (own_name, entry.span),
    };
    if let Some(task) = tasks.by_name.get(name) {
        return Some(task.clone());
    }
    if reader.is_full() {
        reader.omit();
        return None;
    }
    let named = entry.table.get("task").is_some();
    let message = if named {
        format!("unknown task `{name}`")
    } else {
        format!("node `{own_name}` names no task, and there is no task of its own name")
    };
    let mut known: Vec<_> = tasks.by_name.keys().map(String::as_str).collect();
    let label = match closest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if named => "not defined here, nor in an import".into(),
        None => "add task = \"...\"".into(),
    };
    let mut diagnostic = Diagnostic::at(reader.place(span), message, label);
    let same_tail = known.iter().filter(|k| k.rsplit_once('.').is_some_and(|(_, tail)| tail == name)).min();
    if let Some(qualified) = same_tail {
        diagnostic =
            diagnostic.help(format!("tasks of a library are used by their qualified name: \"{qualified}\""));
    } else if !known.is_empty() && known.len() <= 12 {
        known.sort_unstable();
        diagnostic = diagnostic.help(format!("the tasks there are: {}", known.join(", ")));
    }
    reader.report(diagnostic);
    None
}
