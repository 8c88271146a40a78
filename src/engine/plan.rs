//! Plans: what a run would do, found out without doing anything.

use super::cache::{Cache, Lookup};
use super::values::RunValues;
use super::{CacheMode, Order};
use crate::graph::Graph;
use crate::graph::select::Role;
use crate::workflow::Workflow;

/// What the cache would say of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    Hit,
    Miss,
    /// Below a node that would run: its inputs are not known yet.
    Unknown,
    Disabled,
    /// It would be looked up by nobody.
    Skipped,
}

impl Expectation {
    pub fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Unknown => "unknown",
            Self::Disabled => "disabled",
            Self::Skipped => "skipped",
        }
    }
}

/// One node of a plan.
#[derive(Debug)]
pub struct Planned {
    pub node: usize,
    pub cache: Expectation,
    pub reason: String,
    /// Whether its command would run, as far as can be told.
    pub runs: bool,
}

/// The nodes that take part in a run, in an order in which they could run.
///
/// # Errors
/// An input cannot be read: a sentence that names the node.
pub fn plan(
    workflow: &Workflow,
    graph: &Graph,
    order: &Order,
    cache: &Cache,
    mut values: RunValues,
) -> Result<Vec<Planned>, String> {
    let mut planned: Vec<Planned> = Vec::new();
    let mut skipped = vec![false; graph.len()];
    cache.begin();
    for node in graph.order().unwrap_or_default() {
        let (expectation, reason, runs) = match order.roles[node] {
            Role::Out => continue,
            Role::Skip => {
                skipped[node] = true;
                (Expectation::Skipped, "skipped on request".to_owned(), false)
            }
            Role::Run | Role::Supply => {
                let taking_part = |n: &usize| order.roles[*n] != Role::Out;
                let above: Vec<usize> = graph.dependencies(node).filter(taking_part).collect();
                if let Some(cause) = above.iter().find(|n| skipped[**n]) {
                    skipped[node] = true;
                    let reason = format!("`{}` is skipped", workflow.nodes[*cause].name);
                    (Expectation::Skipped, reason, false)
                } else if let Some(cause) = above.iter().find(|n| values.outputs_of(**n).is_none()) {
                    (Expectation::Unknown, format!("waits for `{}`", workflow.nodes[*cause].name), true)
                } else {
                    expect(workflow, order, cache, &mut values, node)?
                }
            }
        };
        planned.push(Planned { node, cache: expectation, reason, runs });
    }
    cache.end();
    Ok(planned)
}

fn expect(
    workflow: &Workflow,
    order: &Order,
    cache: &Cache,
    values: &mut RunValues,
    node: usize,
) -> Result<(Expectation, String, bool), String> {
    let named = |problem: String| format!("node `{}`: {problem}", workflow.nodes[node].name);
    let inputs = values.inputs_of(node).map_err(named)?;
    let task = workflow.task_of(node);
    let state = cache.task(node, &values.files).map_err(named)?;
    if !task.cache.enabled {
        return Ok((Expectation::Disabled, "the task is not cached".into(), true));
    }
    if order.overwrite[node] {
        return Ok((Expectation::Skipped, "its result is to be overwritten".into(), true));
    }
    match order.mode {
        CacheMode::WriteOnly => return Ok((Expectation::Skipped, "the cache is only written".into(), true)),
        CacheMode::Off => return Ok((Expectation::Skipped, "the cache is off".into(), true)),
        CacheMode::ReadWrite | CacheMode::ReadOnly => {}
    }
    Ok(match cache.lookup(node, &state, &state.key(task, &inputs)) {
        Lookup::Hit(hit) => {
            let time = hit.source.time.strftime("%Y-%m-%d %H:%M:%S UTC");
            let reason = format!("from run {}, node `{}`, {time}", hit.source.run, hit.source.node);
            values.set_outputs(node, hit.outputs);
            (Expectation::Hit, reason, false)
        }
        Lookup::Miss(reason) | Lookup::Failure(reason) if order.roles[node] == Role::Supply => {
            (Expectation::Miss, format!("{reason}; it is needed, but not selected"), false)
        }
        Lookup::Miss(reason) | Lookup::Failure(reason) => (Expectation::Miss, reason, true),
    })
}
