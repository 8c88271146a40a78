//! Outputs and tasks that are not used.

use std::collections::{HashMap, HashSet};

use super::commands::short;
use super::{Lint, MAX_UNUSED_OUTPUTS, Text};
use crate::workflow::Workflow;
use crate::workflow::binding::{Binding, Reference};
use crate::workflow::diagnostic::{Diagnostic, Sources};

/// Outputs of a workflow's own tasks that neither a node nor the workflow's outputs refer to, and tasks without a node.
pub fn outputs(workflow: &Workflow, sources: &Sources) -> Vec<Lint> {
    let used = used(workflow);
    let nodes_of = nodes_of_tasks(workflow);
    let own = format!("{}.", workflow.name);
    let mut lints = Vec::new();
    for task in workflow.tasks.iter().filter(|task| task.name.starts_with(&own)) {
        let name = short(task);
        let Some(nodes) = nodes_of.get(&*task.name) else {
            let message = format!("task `{name}` is used by no node");
            let help = format!("add [nodes.NAME] with task = \"{name}\", or take it away");
            let diagnostic = Diagnostic::warning(task.place, message, "not used").help(help);
            lints.push(Lint { name: "unused-task", diagnostic });
            continue;
        };
        let text = Text::of(task, sources);
        let outputs = task.outputs.iter().enumerate();
        let unused = outputs.filter(|(i, _)| nodes.iter().all(|node| !used.contains(&(*node, *i))));
        for (_, output) in unused.take(MAX_UNUSED_OUTPUTS) {
            let message = format!("output `{}` of task `{name}` is used by nothing", output.name);
            let place = text.place("outputs", &output.name);
            let help = "hand it on in [outputs], give it to a node, or take it away";
            let diagnostic = Diagnostic::warning(place, message, "not used").help(help);
            lints.push(Lint { name: "unused-output", diagnostic });
        }
    }
    lints
}

/// The nodes that run each task, by index; none where no node does.
fn nodes_of_tasks(workflow: &Workflow) -> HashMap<&str, Vec<usize>> {
    let mut nodes_of: HashMap<&str, Vec<usize>> = HashMap::new();
    for (i, node) in workflow.nodes.iter().enumerate() {
        if let Some(task) = node.task() {
            nodes_of.entry(&task.name).or_default().push(i);
        }
    }
    nodes_of
}

/// Every (node, output) that something refers to.
fn used(workflow: &Workflow) -> HashSet<(usize, usize)> {
    let mut used = HashSet::new();
    let mut visit = |binding: &Binding| {
        binding.for_each_reference(&mut |reference| {
            if let Reference::Output { node, output } = reference {
                used.insert((node as usize, output as usize));
            }
        });
    };
    for node in &workflow.nodes {
        node.inputs.iter().for_each(&mut visit);
        node.condition.iter().for_each(|condition| visit(condition));
    }
    workflow.outputs.iter().for_each(|output| visit(&output.value));
    used
}
