//! `exec FILE --task NAME`: one task of a file as a workflow of that one node.

use crate::common::Lab;

const LIBRARY: &str = r#"
[library]
name = "text"
[tasks.shout]
cache = true
inputs = { text = "string", times = { type = "int", default = 2 } }
outputs = { loud = { type = "string", from = "stdout" }, copy = "file" }
run = 'echo x >> "@COUNT@"; echo "$text" > "$OUT/copy"; for i in $(seq "$times"); do printf %s "${text^^}"; done'
[tasks.fail-once]
inputs = { flag = "string" }
run = 'test -e "$flag"'
"#;

const FLOW: &str = r#"
import = ["text.toml"]
[workflow]
name = "flow"
project = "shop"
[inputs]
name = "string"
[tasks.count]
cache = true
inputs = { f = "file" }
outputs = { n = "int" }
run = 'echo x >> "@COUNT@"; wc -c < "$f" > "$OUT/n"'
[nodes.shout]
task = "text.shout"
inputs = { text = "{{ inputs.name }}" }
[nodes.count]
inputs = { f = "{{ shout.copy }}" }
[outputs]
n = "{{ count.n }}"
"#;

fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("text.toml", LIBRARY);
    lab.write("flow.toml", FLOW);
    lab
}

#[test]
fn a_task_of_a_library_runs_alone_and_shares_its_results_with_workflows() {
    let lab = lab();
    let done = lab.run(&["exec", "text.toml", "--task", "shout", "-i", "text=hi"]).expect_code(0);
    assert!(done.out.starts_with("loud = \"HIHI\"\ncopy = "), "{}", done.out);
    let plan =
        lab.run(&["plan", "text.toml", "--task", "text.shout", "-i", "text=hi", "--json"]).expect_code(0);
    assert_eq!(plan.events("node_planned")[0]["cache"], "hit");
    let why = lab.run(&["why", "text.toml", "shout", "--task", "shout", "-i", "text=ho"]).expect_code(0);
    assert!(why.out.contains("input text"), "{}", why.out);
    // The key is the task's own: in the same project a workflow that uses it hits.
    let flow = lab.ok("flow.toml", &["-i", "name=hi", "--project", "default"]);
    assert_eq!(flow.cache("shout"), "hit");
    assert_eq!(lab.ran(), 2);
}

#[test]
fn a_task_of_a_workflow_and_of_its_imports() {
    let lab = lab();
    lab.write("data.txt", "12345");
    let alone = lab.ok("flow.toml", &["--task", "count", "-i", "f=data.txt"]);
    assert_eq!((alone.outputs()["n"].clone(), alone.finished()["nodes"].clone()), (5.into(), 1.into()));
    assert_eq!(alone.node("count")["task"], "flow.count");
    assert_eq!(alone.events("run_started")[0]["project"], "shop");
    let imported = lab.ok("flow.toml", &["--task", "text.shout", "-i", "text=a", "-i", "times=3"]);
    assert_eq!(imported.outputs()["loud"], "AAA");
    let flow = lab.ok("flow.toml", &["-i", "name=a"]);
    assert_eq!(flow.cache("shout"), "populated");
}

#[test]
fn such_a_run_is_made_again_and_retried() {
    let lab = lab();
    let failed = lab
        .exec("text.toml", &["--task", "fail-once", "-i", &format!("flag={}", lab.path("flag").display())]);
    assert_eq!(failed.code, Some(1));
    lab.write("flag", "");
    lab.run(&["retry", "@last", "--json"]).expect_code(0);
    lab.ok("text.toml", &["--task", "shout", "-i", "text=b"]);
    let again = lab.run(&["rerun", "@last", "--json"]).expect_code(0);
    assert_eq!(again.cache("shout"), "hit");
    let other = lab.run(&["rerun", "@last", "-i", "times=1", "--json"]).expect_code(0);
    assert_eq!(other.outputs()["loud"], "B");
    let shown = lab.run(&["show", "@last", "--json"]).expect_code(0);
    assert!(shown.out.contains("shout"), "{}", shown.out);
}

#[test]
fn what_is_missing_or_unknown_is_said() {
    let lab = lab();
    let done = lab.run(&["exec", "text.toml", "--task", "shot", "-i", "text=a"]).expect_code(2);
    assert!(done.err.contains("has no task `shot`") && done.err.contains("shout"), "{}", done.err);
    let done = lab.run(&["exec", "text.toml", "--task", "shout"]).expect_code(2);
    assert!(done.err.contains("needs the input `text`"), "{}", done.err);
    let done = lab.run(&["exec", "text.toml"]).expect_code(2);
    assert!(done.err.contains("--task"), "{}", done.err);
}
