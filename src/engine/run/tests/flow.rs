//! Conditions, elements, sub-workflows and the nodes that run last.

use serde_json::json;

use super::lab::{Call, Lab, Reply, text};
use crate::core::event::{Status, TaskErrorKind};
use crate::core::run_request::Selection;

const TASKS: &str = "
[tasks.t]
inputs = { x = 'string' }
outputs = { text = 'string' }
run = 'x'
[tasks.maybe]
inputs = { x = 'string?' }
outputs = { text = 'string' }
run = 'x'
";

fn fails(node: &'static str) -> impl Fn(&Call) -> Reply + Send + Sync {
    move |call| if call.node == node { Reply::Failed(TaskErrorKind::Exit) } else { Reply::Done }
}

#[test]
fn a_false_condition_skips_a_node_and_what_cannot_do_without_it() {
    let toml = format!(
        "[inputs]\nmode = {{ type = 'string', default = 'quick' }}\n{TASKS}
[nodes.a]
task = 't'
if = \"{{{{ inputs.mode == 'full' }}}}\"
inputs = {{ x = 'x' }}
[nodes.b]
task = 't'
inputs = {{ x = '{{{{ a.text }}}}' }}
[nodes.c]
task = 'maybe'
inputs = {{ x = '{{{{ a.text }}}}' }}
"
    );
    let ran = Lab::of(&toml).run();
    assert_eq!(
        (ran.status("a"), ran.status("b"), ran.status("c")),
        ("skipped".into(), "skipped".into(), "succeeded disabled".into())
    );
    assert_eq!(
        (ran.reason("a"), ran.reason("b")),
        (
            "its condition is false: {{ inputs.mode == 'full' }}, where inputs.mode = \"quick\"",
            "`a` was skipped"
        )
    );
    assert_eq!((ran.summary.status, ran.summary.counts.skipped), (Status::Succeeded, 2));
}

#[test]
fn a_node_is_skipped_on_request() {
    let toml = format!(
        "{TASKS}[nodes.a]\ntask = 't'\ninputs = {{ x = 'x' }}\n[nodes.b]\ntask = 't'\ninputs = {{ x = 'y' }}\n"
    );
    let skip = Selection { skip: vec!["a".into()], ..Selection::default() };
    let ran = Lab::of(&toml).select(skip).run();
    assert_eq!((ran.reason("a"), &ran.calls[..]), ("skipped on request", &["b#1".to_owned()][..]));
}

fn each(more: &str) -> String {
    format!(
        "{TASKS}
[nodes.each]
task = 't'
foreach = ['x']
inputs = {{ x = ['p', 'q', 'r'] }}
{more}
[outputs]
all = '{{{{ each.text }}}}'
"
    )
}

#[test]
fn a_foreach_runs_once_an_element_and_hands_back_lists_in_order() {
    let ran =
        Lab::of(&each("")).script(|call| Reply::Outputs(vec![("text", call.inputs["x"].clone())])).run();
    assert_eq!(ran.output("all"), json!(["p", "q", "r"]));
    assert_eq!(ran.story("each"), ["expanded", "finished"]);
    assert_eq!(ran.end("each[2]").outputs["text"], "r");
    assert_eq!(ran.summary.counts.executed, 3);
}

#[test]
fn concurrency_bounds_the_elements_of_a_node() {
    let ran = Lab::of(&each("concurrency = 1")).jobs(3).run();
    assert_eq!((ran.at_once, ran.calls.len()), (1, 3));
}

#[test]
fn elements_may_fail_up_to_the_ratio() {
    let ran = Lab::of(&each("min_success_ratio = 0.6")).script(fails("each[1]")).run();
    assert_eq!((ran.status("each"), ran.summary.status), ("succeeded".into(), Status::Succeeded));
    assert_eq!(ran.output("all"), json!(["each[0]", null, "each[2]"]));
    let ran = Lab::of(&each("min_success_ratio = 0.7")).keep_going().script(fails("each[1]")).run();
    assert_eq!(ran.error("each"), (TaskErrorKind::Output, "1 of 3 elements failed".into()));
    assert_eq!(ran.summary.status, Status::Failed);
}

#[test]
fn each_element_has_its_own_result_in_the_cache() {
    let cached = |list: &str| {
        each("")
            .replace("run = 'x'\n[tasks.maybe]", "cache = true\nrun = 'x'\n[tasks.maybe]")
            .replace("'p', 'q', 'r'", list)
    };
    let first = Lab::of(&cached("'p', 'q', 'r'"));
    let world = first.world.clone();
    first.run();
    let ran = Lab::of(&cached("'q', 'new', 'p'")).in_world(&world).run();
    assert_eq!(ran.calls, ["each[1]#1"]);
    assert_eq!((ran.status("each[0]"), ran.end("each").counts.unwrap().cached), ("succeeded hit".into(), 2));
}

#[test]
fn a_matrix_takes_the_cross_product() {
    let toml = "
[tasks.t]
inputs = { a = 'string', b = 'string' }
outputs = { text = 'string' }
run = 'x'
[nodes.grid]
task = 't'
matrix = ['a', 'b']
inputs = { a = ['1', '2'], b = ['x', 'y', 'z'] }
";
    let ran = Lab::of(toml)
        .jobs(1)
        .script(|call| {
            let of = |name: &str| call.input(name).as_str().unwrap_or_default().to_owned();
            Reply::Outputs(vec![("text", text(&format!("{}{}", of("a"), of("b"))))])
        })
        .run();
    assert_eq!(ran.end("grid").outputs["text"], json!(["1x", "1y", "1z", "2x", "2y", "2z"]));
}

#[test]
fn lists_of_different_length_fail_before_anything_runs() {
    let toml = "
[inputs]
long = { type = 'list<string>', default = ['1', '2'] }
[tasks.one]
outputs = { list = 'list<string>' }
run = 'x'
[tasks.t]
inputs = { a = 'string', b = 'string' }
run = 'x'
[nodes.one]
[nodes.pairs]
task = 't'
foreach = ['a', 'b']
inputs = { a = '{{ one.list }}', b = '{{ inputs.long }}' }
";
    let ran = Lab::of(toml).run();
    assert_eq!((ran.error("pairs").0, ran.calls), (TaskErrorKind::Input, vec!["one#1".to_owned()]));
}

#[test]
fn an_empty_list_has_no_elements_and_succeeds() {
    let ran = Lab::of(&each("").replace("'p', 'q', 'r'", "")).run();
    assert_eq!((ran.status("each"), ran.output("all"), ran.calls.len()), ("succeeded".into(), json!([]), 0));
}

const INNER: &str = "
[workflow]
name = 'inner'
[inputs]
x = 'string'
[tasks.t]
inputs = { x = 'string' }
outputs = { text = 'string' }
run = 'x'
[nodes.one]
task = 't'
inputs = { x = '{{ inputs.x }}' }
[nodes.two]
task = 't'
inputs = { x = '{{ one.text }}' }
[outputs]
text = '{{ two.text }}'
";

#[test]
fn a_sub_workflow_is_one_node_with_its_own_inside() {
    let toml =
        "[nodes.prep]\nworkflow = 'inner.toml'\ninputs = { x = 'x' }\n[outputs]\nlast = '{{ prep.text }}'\n";
    let ran = Lab::of(toml).file("inner.toml", INNER).run();
    assert_eq!(ran.calls, ["prep/one#1", "prep/two#1"]);
    assert_eq!((ran.output("last"), ran.end("prep").counts.unwrap().executed), (json!("prep/two"), 2));
    let ran = Lab::of(toml).file("inner.toml", INNER).script(fails("prep/one")).run();
    assert_eq!((ran.status("prep"), ran.status("prep/two")), ("failed".into(), "skipped".into()));
}

#[test]
fn elements_may_be_sub_workflows_and_lose_their_rest_when_a_part_fails() {
    let toml = "
[nodes.prep]
workflow = 'inner.toml'
foreach = ['x']
min_success_ratio = 0.5
inputs = { x = ['p', 'q'] }
[outputs]
all = '{{ prep.text }}'
";
    let ran = Lab::of(toml).file("inner.toml", INNER).script(fails("prep[0]/one")).run();
    assert_eq!(ran.output("all"), json!([null, "prep[1]/two"]));
    assert_eq!(ran.status("prep[0]/two"), "skipped");
    assert_eq!((ran.summary.status, ran.summary.counts.executed), (Status::Succeeded, 2));
}

fn hooked() -> String {
    format!(
        "on_success = 'cheer'
on_failure = 'tell'
{TASKS}
[tasks.tell]
inputs = {{ what = 'string?' }}
run = 'x'
[nodes.a]
task = 't'
inputs = {{ x = 'x' }}
[nodes.cheer]
task = 'tell'
inputs = {{ what = '{{{{ a.text }}}}' }}
[nodes.tell]
task = 'tell'
inputs = {{ what = '{{{{ failure.node }}}}' }}
"
    )
}

#[test]
fn the_node_for_how_the_run_ended_runs_last() {
    let ran = Lab::of(&hooked()).run();
    assert_eq!(ran.calls, ["a#1", "cheer#1"]);
    let ran = Lab::of(&hooked()).script(fails("a")).run();
    assert_eq!(ran.calls, ["a#1", "tell#1"]);
    assert_eq!(ran.end("tell").inputs["what"], "a");
    assert_eq!(ran.summary.status, Status::Failed);
}

#[test]
fn no_node_runs_last_after_an_interrupt() {
    let ran = Lab::of(&hooked())
        .script(|call| {
            call.interrupt(2);
            Reply::UntilCancelled
        })
        .run();
    assert_eq!(ran.calls, ["a#1"]);
}
