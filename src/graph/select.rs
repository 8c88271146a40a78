//! Which nodes a run is about: `--only`, `--from`, `--until` and `--skip`.

use globset::{GlobBuilder, GlobMatcher};

use super::Graph;
use crate::workflow::Workflow;
use crate::workflow::diagnostic::closest;

/// What the caller asked for; each a list of globs over node names.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// These nodes and no others.
    pub only: Vec<String>,
    /// These and everything that waits for them.
    pub from: Vec<String>,
    /// These and everything they wait for.
    pub until: Vec<String>,
    /// Not these; what waits for them is skipped too.
    pub skip: Vec<String>,
}

/// What a run does with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It takes part.
    Run,
    /// Not selected, but a selected node needs its outputs: they may come from the cache, it does not run.
    Supply,
    /// Skipped on request.
    Skip,
    /// Not part of the run.
    Out,
}

/// The role of each node. Without `only`, `from` and `until` every node is selected; of several, a node
/// must satisfy each.
///
/// # Errors
/// A glob that is not valid, or that matches no node.
pub fn roles(graph: &Graph, workflow: &Workflow, selection: &Selection) -> Result<Vec<Role>, String> {
    let n = graph.len();
    let mut selected = vec![true; n];
    let narrow = |selected: &mut Vec<bool>, within: Vec<bool>| {
        selected.iter_mut().zip(within).for_each(|(s, w)| *s &= w);
    };
    if !selection.only.is_empty() {
        narrow(&mut selected, matching(workflow, "--only", &selection.only)?);
    }
    if !selection.from.is_empty() {
        let start = matching(workflow, "--from", &selection.from)?;
        narrow(&mut selected, reach(start, |node| graph.dependents(node).collect()));
    }
    if !selection.until.is_empty() {
        let start = matching(workflow, "--until", &selection.until)?;
        narrow(&mut selected, reach(start, |node| graph.dependencies(node).collect()));
    }
    let skipped = match selection.skip.is_empty() {
        true => vec![false; n],
        false => matching(workflow, "--skip", &selection.skip)?,
    };
    let needed = reach((0..n).map(|node| selected[node] && !skipped[node]).collect(), |node| {
        graph.dependencies(node).filter(|d| !skipped[*d]).collect()
    });
    Ok((0..n)
        .map(|node| match (selected[node], skipped[node], needed[node]) {
            (true, true, _) => Role::Skip,
            (true, false, _) => Role::Run,
            (false, _, true) => Role::Supply,
            (false, _, false) => Role::Out,
        })
        .collect())
}

/// Which nodes one of `globs` names.
///
/// # Errors
/// As [`roles`]; `flag` says where the glob was given.
pub fn matching(workflow: &Workflow, flag: &str, globs: &[String]) -> Result<Vec<bool>, String> {
    let mut selected = vec![false; workflow.nodes.len()];
    for glob in globs {
        let matcher = compile(glob).map_err(|problem| format!("{flag} {glob}: {problem}"))?;
        let mut found = false;
        for (i, node) in workflow.nodes.iter().enumerate() {
            if matcher.is_match(&*node.name) {
                selected[i] = true;
                found = true;
            }
        }
        if !found {
            let near = closest(glob, workflow.nodes.iter().map(|node| &*node.name));
            let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            return Err(format!("{flag} {glob}: no node of this workflow has that name{hint}"));
        }
    }
    Ok(selected)
}

fn compile(glob: &str) -> Result<GlobMatcher, String> {
    GlobBuilder::new(glob)
        .build()
        .map(|glob| glob.compile_matcher())
        .map_err(|e| format!("not a valid glob: {}", e.kind()))
}

/// `start` and everything that can be reached from it by `step`.
fn reach(start: Vec<bool>, step: impl Fn(usize) -> Vec<usize>) -> Vec<bool> {
    let mut queue: Vec<usize> = (0..start.len()).filter(|node| start[*node]).collect();
    let mut reached = start;
    while let Some(node) = queue.pop() {
        for next in step(node) {
            if !std::mem::replace(&mut reached[next], true) {
                queue.push(next);
            }
        }
    }
    reached
}
