//! Which nodes a run is about: `--only`, `--from`, `--until` and `--skip`.

use std::ops::Range;

use globset::{GlobBuilder, GlobMatcher};

use super::outline::Outline;
use crate::core::closest::closest;
use crate::core::node_path::NodeRef;
use crate::core::run_request::Selection;

/// The part of a node in a run.
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

/// The role of each node of the outline. Without `only`, `from` and `until` every node is selected; of several, a
/// node must satisfy each. A node that runs a sub-workflow has the role of what is selected in it. Hooks are not
/// part of the graph: they are out, or skipped on request.
///
/// # Errors
/// A glob that is not valid, or that matches no node.
pub fn roles(outline: &Outline, selection: &Selection) -> Result<Vec<Role>, String> {
    let n = outline.len();
    let mut selected = vec![true; n];
    let narrow = |selected: &mut Vec<bool>, within: Vec<bool>| {
        selected.iter_mut().zip(within).for_each(|(s, w)| *s &= w);
    };
    if !selection.only.is_empty() {
        narrow(&mut selected, matching(outline, "--only", &selection.only)?);
    }
    if !selection.from.is_empty() {
        let start = matching(outline, "--from", &selection.from)?;
        narrow(&mut selected, reach(start, |node| downstream(outline, node)));
    }
    if !selection.until.is_empty() {
        let start = matching(outline, "--until", &selection.until)?;
        narrow(&mut selected, reach(start, |node| upstream(outline, node, Outline::dependencies)));
    }
    let skipped = match selection.skip.is_empty() {
        true => vec![false; n],
        false => matching(outline, "--skip", &selection.skip)?,
    };
    let everything = selection.only.is_empty() && selection.until.is_empty() && selection.from.is_empty();
    let needed = if everything {
        vec![false; n]
    } else {
        reach((0..n).map(|node| selected[node] && !skipped[node]).collect(), |node| {
            // What only orders nodes need not be there.
            let suppliers = upstream(outline, node, Outline::suppliers);
            suppliers.into_iter().filter(|d| !skipped[*d]).collect()
        })
    };
    let role = |node: usize| match (selected[node], skipped[node], needed[node]) {
        (true, true, _) => Role::Skip,
        (true, false, _) => Role::Run,
        (false, _, true) => Role::Supply,
        (false, _, false) => Role::Out,
    };
    let mut roles: Vec<Role> = (0..n).map(role).collect();
    for (number, place) in outline.places().enumerate() {
        if place.is_hook() {
            let runs_last = place.parent.is_none();
            for node in with_inside(outline, number) {
                roles[node] = if skipped[node] && runs_last { Role::Skip } else { Role::Out };
            }
        }
    }
    // From the innermost outwards: what a sub-workflow does is what its nodes do.
    for number in (0..n).rev() {
        let inside = outline.inside(number);
        if !inside.is_empty() && roles[number] != Role::Skip && !outline.place(number).is_hook() {
            let has = |role| roles[inside.clone()].contains(&role);
            roles[number] = match (has(Role::Run) || has(Role::Skip), has(Role::Supply)) {
                (true, _) => Role::Run,
                (false, true) => Role::Supply,
                (false, false) => Role::Out,
            };
        }
    }
    Ok(roles)
}

/// How many nodes of a part of the outline take part and are not sub-workflows.
pub fn leaves(outline: &Outline, roles: &[Role], numbers: Range<usize>) -> u64 {
    let is_leaf =
        |number: &usize| roles[*number] != Role::Out && outline.place(*number).node().task().is_some();
    numbers.filter(is_leaf).count() as u64
}

/// All dependencies of a node: its own and those of the nodes around it, with everything inside them.
fn upstream(outline: &Outline, node: usize, step: fn(&Outline, usize) -> Vec<usize>) -> Vec<usize> {
    let mut found: Vec<usize> =
        step(outline, node).into_iter().flat_map(|d| with_inside(outline, d)).collect();
    found.extend(outline.inside(node));
    let mut around = outline.place(node).parent;
    while let Some(parent) = around {
        found.extend(step(outline, parent).into_iter().flat_map(|d| with_inside(outline, d)));
        around = outline.place(parent).parent;
    }
    found
}

/// All dependents of a node: its own with everything inside them, and the node around it.
fn downstream(outline: &Outline, node: usize) -> Vec<usize> {
    let mut found: Vec<usize> =
        outline.dependents(node).into_iter().flat_map(|d| with_inside(outline, d)).collect();
    found.extend(outline.place(node).parent);
    found
}

fn with_inside(outline: &Outline, node: usize) -> impl Iterator<Item = usize> {
    std::iter::once(node).chain(outline.inside(node))
}

/// Maximum number of nodes that a message lists when a name matches none.
const MAX_NAMED_NODES: usize = 8;

/// Which nodes one of `globs` names. A sub-workflow's name stands for all that is in it.
///
/// # Errors
/// As [`roles`]; `flag` says where the glob was given.
pub fn matching(outline: &Outline, flag: &str, globs: &[String]) -> Result<Vec<bool>, String> {
    let mut selected = vec![false; outline.len()];
    for glob in globs {
        let matcher = compile(glob).map_err(|problem| format!("{flag} {glob}: {problem}"))?;
        let mut found = false;
        for (number, place) in outline.places().enumerate() {
            if matcher.is_match(place.name()) {
                selected[number] = true;
                selected[outline.inside(number)].fill(true);
                found = true;
            }
        }
        if !found {
            let names: Vec<String> = outline.places().map(|place| place.name()).collect();
            let inner = names.iter().find(|name| name.rsplit_once('/').is_some_and(|(_, last)| last == glob));
            let element =
                NodeRef::new(glob, None).outermost().filter(|node| names.iter().any(|name| name == node));
            let near = inner.map(String::as_str).or_else(|| closest(glob, names.iter().map(String::as_str)));
            let maker = outline.places().find(|place| {
                place.node().task().is_some_and(|task| task.dynamic)
                    && glob.strip_prefix(&place.name()).is_some_and(|rest| rest.starts_with('/'))
            });
            let hint = match (element, near) {
                _ if maker.is_some() => {
                    let maker = maker.map(|place| place.name()).unwrap_or_default();
                    format!(
                        "; `{maker}` makes its nodes when it runs: `runner show RUN {glob}` shows one of a run"
                    )
                }
                (Some(node), _) => format!("; elements cannot be selected: name the node, `{node}`"),
                (None, Some(near)) => format!("; did you mean `{near}`?"),
                (None, None) => {
                    let some: Vec<&str> = names.iter().take(MAX_NAMED_NODES).map(String::as_str).collect();
                    let more = if names.len() > MAX_NAMED_NODES { ", ..." } else { "" };
                    format!("; it has {}{more}", some.join(", "))
                }
            };
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
