//! `exec --logs`: what tasks print, while they do.

use std::collections::BTreeMap;

use crate::common::Lab;
use crate::common::live::{Live, until};

/// Workflow text of one node a task, each with this command.
fn workflow(tasks: &[(&str, &str)]) -> String {
    let mut text = "[workflow]\nname = 'wf'\n".to_owned();
    for (name, run) in tasks {
        text += &format!("[tasks.{name}]\nrun = '''\n{run}\n'''\n[nodes.{name}]\n");
    }
    text
}

#[test]
fn lines_of_tasks_at_the_same_time_never_mix() {
    let lab = Lab::new();
    let run = "for i in $(seq 400); do printf 'line '; echo \"$i of $RUNNER_NODE[$RUNNER_INDEX]\" >&$((1 + i % 2)); done";
    lab.write(
        "w.toml",
        &format!(
            "[workflow]\nname = 'wf'\n[tasks.t]\ninputs = {{ n = 'int' }}\nrun = '''\n{run}\n'''\n\
             [nodes.each]\ntask = 't'\nforeach = ['n']\ninputs = {{ n = [1, 2, 3, 4, 5, 6, 7, 8] }}\n"
        ),
    );
    let done = lab.run(&["exec", "w.toml", "-j", "8", "--logs"]).expect_code(0);
    assert_eq!(done.out, "");
    let mut of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in done.err.lines().filter(|line| line.contains(" | ")) {
        let (node, text) = line.split_once(" | ").unwrap();
        of.entry(node.into()).or_default().push(text.into());
    }
    assert_eq!(of.len(), 8, "{:?}", of.keys());
    for (node, lines) in of {
        let expected: Vec<_> = (1..=400).map(|i| format!("line {i} of {node}")).collect();
        assert_eq!(lines, expected, "{node}");
    }
}

#[test]
fn lines_come_while_the_task_goes_on() {
    let lab = Lab::new();
    let run = "echo begun; printf half; while test -e @COUNT@ && ! test -e @DIR@/go; do sleep 0.01; done; echo done";
    lab.write("w.toml", &workflow(&[("t", run)]));
    let live = Live::start(&lab, "live", &["--logs"]);
    until("the first line", || live.said().err.contains("t | begun\n"));
    assert!(!live.said().err.contains("half"), "whole lines only: {}", live.said().err);
    lab.write("go", "");
    let done = live.end();
    assert!(done.err.contains("t | begun\nt | halfdone\n"), "{}", done.err);
    let last = done.err.find("t | halfdone").unwrap();
    assert!(last < done.err.find("✓ t").unwrap(), "before the line that reports the end: {}", done.err);
    assert_eq!(done.lines().len(), done.out.lines().count(), "standard output has JSON only");
}

#[test]
fn secrets_binary_long_lines_and_attempts() {
    let lab = Lab::new();
    let text = workflow(&[
        ("secret", "echo \"password: $TOKEN\""),
        ("binary", "printf '\\033[2J\\000\\377\\007x\\n'"),
        ("long", "head -c 100000 /dev/zero | tr '\\0' y; echo; echo after"),
        ("again", "echo attempt $RUNNER_ATTEMPT; [ $RUNNER_ATTEMPT = 2 ]"),
    ]);
    let text = text.replace("[tasks.secret]", "[tasks.secret]\nsecrets = ['TOKEN']");
    let text = text.replace("[tasks.again]", "[tasks.again]\nretries = 1\nretry_delay = '0s'");
    lab.write("w.toml", &text);
    let mut command = lab.command(&["exec", "w.toml", "--logs"]);
    let done = crate::common::finish(command.env("TOKEN", "hunter2hunter2")).expect_code(0);
    for line in [
        "secret | password: ***",
        "binary | \u{fffd}x",
        "long | after",
        "again | attempt 1",
        "again | attempt 2",
    ] {
        assert!(done.err.lines().any(|found| found == line), "{line:?} is missing in {}", done.err);
    }
    assert!(done.err.contains("y… (91,808 bytes more)\n") && done.err.len() < 10_000, "{}", done.err.len());
    assert!(!done.err.contains("hunter2"));
    lab.run(&["exec", "w.toml", "--logs", "-q"]).expect_code(2);
}
