//! How long it still takes from a node's start to the end of the run: what has the most before it goes first.

use std::ops::Range;

use super::outline::Outline;

/// By number in the outline, in milliseconds. `duration_ms` gives the duration of a node by its name, where that is
/// known; others are taken for as long as those are on average.
pub fn remaining(outline: &Outline, duration_ms: impl Fn(&str) -> Option<u64>) -> Vec<u64> {
    let known: Vec<Option<u64>> = outline.places().map(|place| duration_ms(&place.name())).collect();
    let (sum, count) =
        known.iter().flatten().fold((0u64, 0u64), |(sum, n), ms| (sum.saturating_add(*ms), n + 1));
    // Never nothing: of two chains without times the one with more nodes is the longer.
    let average = sum.checked_div(count).unwrap_or(1).max(1);
    by_number(outline, &|number| known[number].unwrap_or(average).max(1))
}

/// The same where it is known how long each node takes.
fn by_number(outline: &Outline, own: &dyn Fn(usize) -> u64) -> Vec<u64> {
    let mut remaining = vec![0; outline.len()];
    fill(outline, 0..outline.len(), 0, own, &mut remaining);
    remaining
}

/// The way through the graph that takes longest: how long, in milliseconds, and the nodes on it that take any time, in
/// order. `own` gives the duration of a node, by its number.
pub fn critical_path(outline: &Outline, own: &dyn Fn(usize) -> u64) -> (u64, Vec<usize>) {
    let remaining = by_number(outline, own);
    let longest = |nodes: Vec<usize>| {
        let first = nodes.iter().copied().rev().max_by_key(|node| remaining[*node]);
        first.filter(|node| remaining[*node] > 0)
    };
    let mut path = Vec::new();
    let mut next = longest(children(outline, 0..outline.len()));
    let total = next.map_or(0, |node| remaining[node]);
    while let Some(node) = next {
        let inside = children(outline, outline.inside(node));
        if !inside.is_empty() {
            next = longest(inside);
            continue;
        }
        if own(node) > 0 {
            path.push(node);
        }
        // What ends a sub-workflow is followed by what waits for that.
        let around = std::iter::successors(Some(node), |node| outline.place(*node).parent);
        let after = around.map(|node| outline.dependents(node)).find(|after| !after.is_empty());
        next = after.and_then(longest);
    }
    (total, path)
}

/// The nodes of one workflow, without those inside them.
fn children(outline: &Outline, numbers: Range<usize>) -> Vec<usize> {
    let mut nodes = Vec::new();
    let mut next = numbers.start;
    while next < numbers.end {
        nodes.push(next);
        next = outline.inside(next).end;
    }
    nodes
}

/// Fills in the nodes of one workflow, after which the run still takes `after`.
fn fill(
    outline: &Outline,
    numbers: Range<usize>,
    after: u64,
    own: &dyn Fn(usize) -> u64,
    remaining: &mut [u64],
) {
    let nodes = children(outline, numbers);
    let Some(first) = nodes.first() else { return };
    let workflow = outline.place(*first).workflow;
    for index in outline.graph(workflow).order().unwrap_or_default().into_iter().rev() {
        let number = nodes[index];
        let rest = outline.dependents(number).into_iter().map(|d| remaining[d]).max().unwrap_or(after);
        let inside = outline.inside(number);
        remaining[number] = if inside.is_empty() {
            rest.saturating_add(own(number))
        } else {
            fill(outline, inside.clone(), rest, own, remaining);
            remaining[inside].iter().copied().max().unwrap_or(rest)
        };
    }
}
