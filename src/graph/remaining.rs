//! How long it still takes from a node's start to the end of the run: what has the most before it goes first.

use super::outline::Outline;

/// By number in the outline, in milliseconds. `duration_ms` tells how long a node takes by its name, where that is
/// known; others are taken for as long as those are on average.
pub fn remaining(outline: &Outline, duration_ms: impl Fn(&str) -> Option<u64>) -> Vec<u64> {
    let known: Vec<Option<u64>> = outline.places().map(|place| duration_ms(&place.name())).collect();
    let (sum, count) =
        known.iter().flatten().fold((0u64, 0u64), |(sum, n), ms| (sum.saturating_add(*ms), n + 1));
    // Never nothing: of two chains without times the one with more nodes is the longer.
    let average = sum.checked_div(count).unwrap_or(1).max(1);
    let own = |number: usize| known[number].unwrap_or(average).max(1);
    let mut remaining = vec![0; outline.len()];
    fill(outline, 0..outline.len(), 0, &own, &mut remaining);
    remaining
}

/// Fills in the nodes of one workflow, after which the run still takes `after`.
fn fill(
    outline: &Outline,
    numbers: std::ops::Range<usize>,
    after: u64,
    own: &dyn Fn(usize) -> u64,
    remaining: &mut [u64],
) {
    let mut nodes = Vec::new();
    let mut next = numbers.start;
    while next < numbers.end {
        nodes.push(next);
        next = outline.inside(next).end;
    }
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
