//! Comparisons of runs made by hand.

use super::*;
use crate::core::event::Counts;
use crate::view::sample::*;

fn values(pairs: &[(&str, Json)]) -> JsonMap<String, Json> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.clone())).collect()
}

/// A node with the input `input` and the output `output`.
fn node(name: &str, input: i64, output: i64) -> NodeFinished {
    NodeFinished {
        key: Some(Digest::of(format!("{name} {input}"))),
        inputs: values(&[("i", json!(input))]),
        outputs: values(&[("o", json!(output))]),
        ..executed(name)
    }
}

fn head(run: &str) -> RunRow {
    RunRow {
        id: run.into(),
        workflow: "w".into(),
        project: "p".into(),
        domain: "d".into(),
        status: "succeeded".into(),
        started: at(0),
        duration_ms: Some(1),
        counts: Counts::default(),
        saved_ms: 0,
    }
}

fn diff(before: &[Event], after: &[Event], links: &[(&str, &str)]) -> RunDiff {
    let mut suppliers: HashMap<String, Vec<String>> = HashMap::new();
    for (node, supplier) in links {
        suppliers.entry(node.to_string()).or_default().push(supplier.to_string());
    }
    let known = RunDiffContext { suppliers: Some(suppliers), ..RunDiffContext::default() };
    let read = |later: bool| Ok::<_, ()>(if later { after } else { before }.to_vec().into_iter());
    compare((head("a"), head("b")), known, read).unwrap()
}

fn ends(nodes: impl IntoIterator<Item = NodeFinished>) -> Vec<Event> {
    nodes.into_iter().map(Event::NodeFinished).collect()
}

/// `node role because` of each difference.
fn told(diff: &RunDiff) -> Vec<String> {
    let line = |node: &NodeDiff| {
        let label = node.path();
        format!("{label} {:?} {}", node.role, node.because.join(","))
    };
    diff.nodes.iter().map(line).collect()
}

#[test]
fn what_changed_first_is_told_apart_from_what_followed() {
    let before =
        ends([node("a", 1, 1), node("b", 1, 2), node("c", 2, 3), node("d", 9, 9), node("gone", 1, 1)]);
    let after =
        ends([node("a", 5, 6), node("b", 6, 2), node("c", 2, 3), node("d", 9, 10), node("new", 1, 1)]);
    let diff = diff(&before, &after, &[("b", "a"), ("c", "b")]);
    assert_eq!(told(&diff), ["a Cause ", "b Consequence a", "d Cause ", "new Cause ", "gone Cause "]);
    assert_eq!(diff.same, 1);
    assert_eq!(diff.nodes[0].inputs, [NamedPair { name: "i".into(), before: json!(1), after: json!(5) }]);
    assert_eq!(diff.nodes[1].outputs, []);
    assert!(diff.nodes[2].key.is_none() && diff.nodes[2].inputs.is_empty());
    assert_eq!(diff.nodes[4].status, Some(Pair { before: Some(Status::Succeeded), after: None }));
    assert!(!diff.is_empty());
}

#[test]
fn a_hit_with_the_same_result_is_no_change() {
    let cached = NodeFinished { cache: Some(CacheStatus::Hit), attempts: 0, ..node("a", 1, 1) };
    let diff = diff(&ends([node("a", 1, 1)]), &ends([cached]), &[]);
    assert_eq!(told(&diff), ["a Aside "]);
    assert!(diff.is_empty() && diff.nodes[0].cache.is_some());
}

#[test]
fn files_are_compared_by_what_a_task_can_see_of_them() {
    let file = |origin: &str, digest: &str| {
        let inputs = values(&[("f", json!({"name": "a", "origin": origin, "digest": digest, "size": 1}))]);
        ends([NodeFinished { inputs, ..node("a", 1, 1) }])
    };
    assert!(diff(&file("/x/a", "1f"), &file("/y/a", "1f"), &[]).nodes.is_empty());
    let other = diff(&file("/x/a", "1f"), &file("/x/a", "2e"), &[]);
    assert_eq!(other.nodes[0].inputs[0].after, json!({"name": "a", "digest": "2e", "size": 1}));
}

#[test]
fn only_notable_times_are_told() {
    let took = |ms| ends([NodeFinished { duration_ms: ms, ..node("a", 1, 1) }]);
    for (before, after, notable) in
        [(10, 900, false), (1000, 2100, true), (60_000, 61_500, false), (9000, 2000, true)]
    {
        assert_eq!(
            diff(&took(before), &took(after), &[]).nodes.len(),
            usize::from(notable),
            "{before} {after}"
        );
    }
}

#[test]
fn elements_are_folded_and_few_words_of_each_are_kept() {
    let run = |changed: std::ops::Range<u64>, elements: u64| {
        let mut events = vec![expanded("each", elements, elements)];
        events.extend(
            (0..elements).map(|i| element(i, node("each", i as i64, i64::from(changed.contains(&i))))),
        );
        events.push(Event::NodeFinished(sum("each", NodeKind::Elements, Counts::default())));
        events
    };
    let diff = diff(&run(0..0, 1000), &run(100..300, 1001), &[]);
    assert_eq!(diff.nodes.len(), TOLD_ELEMENTS);
    assert_eq!(diff.folded, [Folded { node: "each".into(), before: 1000, after: 1001, differ: 201 }]);
    assert_eq!((diff.nodes[0].index, diff.same), (Some(100), 800));
}

#[test]
fn a_sub_workflow_changes_with_what_it_was_given() {
    let inner = |i: i64| {
        let mut whole = sum("prep", NodeKind::Workflow, Counts::default());
        (whole.inputs, whole.outputs) = (values(&[("i", json!(i))]), values(&[("o", json!(i))]));
        ends([node("a", i, i), node("prep/x", i, i), whole])
    };
    let diff = diff(&inner(1), &inner(2), &[("prep", "a")]);
    assert_eq!(told(&diff), ["a Cause ", "prep/x Consequence a", "prep Consequence a"]);
}

#[test]
fn what_never_ended_has_no_status() {
    let before = [node_started("a", 1, 0), Event::NodeFinished(node("a", 1, 1))];
    let after = [node_started("a", 1, 0)];
    let diff = diff(&before, &after, &[]);
    assert_eq!(diff.nodes[0].status, Some(Pair { before: Some(Status::Succeeded), after: None }));
}
