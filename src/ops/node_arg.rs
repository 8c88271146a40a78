//! Which node or element of a run a person means.

use std::collections::BTreeSet;

use crate::core::closest::closest;
use crate::core::event::{Event, NodeFinished, NodeKind};
use crate::core::node_path::NodeRef;
use crate::view::text::count;

/// Maximum failures named where one is to be picked.
const NAMED: usize = 3;

/// What the arguments name; `each[3]` is the same as `each` with the index 3.
///
/// # Errors
/// Both arguments name an element, and not the same one.
pub fn node_ref(node: &str, index: Option<u64>) -> Result<NodeRef<'_>, String> {
    let written = NodeRef::parse(node);
    match (written.index, index) {
        (None, index) => Ok(NodeRef::new(node, index)),
        (Some(number), Some(index)) if number != index => {
            Err(format!("`{node}` and --index {index} name two elements"))
        }
        (Some(_), _) => Ok(written),
    }
}

pub fn ends(events: &[Event]) -> impl Iterator<Item = &NodeFinished> {
    events.iter().filter_map(|event| match event {
        Event::NodeFinished(node) => Some(node),
        _ => None,
    })
}

/// Whether work belongs to `label`: as an element, or as a node of a workflow.
pub fn is_inside(node: &NodeFinished, label: &str) -> bool {
    node.kind == NodeKind::Task && node.path().is_inside(label)
}

/// How many elements a node has, if it has some.
fn elements(events: &[Event], node: &str) -> Option<u64> {
    events.iter().find_map(|event| match event {
        Event::NodeExpanded(expanded) if expanded.node == node => Some(expanded.elements),
        _ => None,
    })
}

/// That one of many has to be picked.
pub fn which(events: &[Event], wanted: NodeRef, failed: &[&NodeFinished], example: &str) -> String {
    let label = wanted.label();
    let many = match (elements(events, wanted.node), wanted.index) {
        (Some(elements), None) => format!("has {} elements", count(elements)),
        (None, None) if numberless(events, wanted.node) => "runs once for each element".into(),
        _ => "is made of other nodes".into(),
    };
    let mut names: Vec<_> = failed.iter().take(NAMED).map(|node| node.path().label()).collect();
    if failed.len() > NAMED {
        names.push("...".into());
    }
    let failures = match failed.len() {
        0 => String::new(),
        n => format!(", {} failed ({})", count(n as u64), names.join(", ")),
    };
    format!("`{label}` {many}{failures}: name one, as in `{example}`")
}

/// Whether the run has a node of this name only with numbers of elements in it: `prep/clean`.
fn numberless(events: &[Event], node: &str) -> bool {
    ends(events).any(|end| end.node != node && end.path().family() == node)
}

/// That the run has nothing of this name.
pub fn unknown(events: &[Event], NodeRef { node, index }: NodeRef, run: &str) -> String {
    if let Some(index) = index
        && let Some(elements) = elements(events, node)
    {
        let last = match elements {
            0 => String::new(),
            n => format!(", 0 to {}", n - 1),
        };
        return match index < elements {
            true => format!("`{node}[{index}]` did not run in run {run}"),
            false => format!("`{node}` has {} elements{last}: there is no {index}", count(elements)),
        };
    }
    let known: BTreeSet<&str> = ends(events).map(|node| &*node.node).collect();
    if known.contains(node) {
        return format!("`{node}` has no elements in run {run}: leave out the index");
    }
    let near = closest(node, known);
    let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    format!("run {run} has no node `{}`{hint}", NodeRef::new(node, index))
}
