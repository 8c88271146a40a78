//! Ctrl-C and its kin, and the death of the runner itself: nothing is left behind, and the run is on record.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::Child;
use std::time::Duration;

use crate::common::Lab;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Ignores what it is asked, and so does a grandchild in a session of its own.
const STUBBORN: &str = "trap '' TERM INT HUP\nsetsid sh -c 'trap \"\" TERM INT HUP; while :; do sleep 1; done' &\n\
                        touch @DIR@/began\nwhile :; do sleep 1; done";
const OBEDIENT: &str = "trap 'echo told >> @DIR@/told; exit 0' TERM\n(sleep 600 &)\ntouch @DIR@/began\n\
                        while :; do sleep 0.02; done";

fn workflow(grace: &str, script: &str) -> String {
    format!(
        "[workflow]\nname = \"w\"\n[tasks.long]\ncache = true\ngrace = '{grace}'\nrun = '''\n: @DIR@\n{script}\n'''\n\
         [tasks.next]\nrun = 'echo next >> @COUNT@'\n[nodes.long]\n[nodes.next]\nneeds = ['long']\n"
    )
}

/// Waits for a condition, generously.
#[track_caller]
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("in vain: {what}");
}

/// Starts the workflow and waits until its first node is under way.
fn start(lab: &Lab) -> Child {
    let child = lab.command(&["exec", "w.toml", "--json"]).spawn().unwrap();
    until("the task begins", || lab.path("began").exists());
    child
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn event(text: &str, kind: &str, node: Option<&str>) -> Value {
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut found =
        lines.filter(|line| line["event"] == kind && node.is_none_or(|node| line["node"] == node));
    found.next().unwrap_or_else(|| panic!("no {kind} in {text}"))
}

fn runs(lab: &Lab) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    lab.run(&["runs", "--json"]).lines().iter().map(|run| (text(&run["run"]), text(&run["status"]))).collect()
}

#[test]
fn a_signal_winds_the_run_down() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let lab = Lab::new();
        lab.write("w.toml", &workflow("60s", OBEDIENT));
        let mut child = start(&lab);
        send(&child, signal);
        let mut out = String::new();
        child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert_eq!(lab.read("told"), "told\n", "{signal:?}");
        assert!(lab.alive().is_empty());
        assert_eq!(lab.ran_as("next"), 0);
        let node = event(&out, "node_finished", Some("long"));
        assert_eq!((&node["status"], &node["error"]["kind"]), (&json!("cancelled"), &json!("cancelled")));
        assert_eq!(event(&out, "run_finished", None)["status"], "cancelled");
        let told = event(&out, "warning", None)["message"].to_string();
        assert!(told.contains("a second signal kills"), "{told}");
        assert_eq!(runs(&lab)[0].1, "cancelled");
        assert_eq!(lab.run(&["show", "@last", "--json"]).expect_code(0).lines().len(), 1);
        // Nothing was stored of it, so a later run is complete.
        lab.write("w.toml", &workflow("60s", "true"));
        assert_eq!(lab.ok("w.toml", &[]).cache("long"), "populated");
    }
}

#[test]
fn who_does_not_listen_is_killed_after_the_grace() {
    let lab = Lab::new();
    lab.write("w.toml", &workflow("100ms", STUBBORN));
    let child = start(&lab);
    send(&child, Signal::TERM);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(143));
    assert!(lab.alive().is_empty());
}

#[test]
fn a_second_signal_kills_at_once() {
    let lab = Lab::new();
    // The grace is longer than the test may take.
    lab.write("w.toml", &workflow("1h", STUBBORN));
    let mut child = start(&lab);
    // Two that come too close together may be one, so it is told until it hears.
    until("the end of the run", || {
        let _ = kill_process(Pid::from_child(&child), Signal::INT);
        child.try_wait().unwrap().is_some()
    });
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(lab.alive().is_empty());
    assert_eq!(runs(&lab)[0].1, "cancelled");
}

#[test]
fn a_signal_while_a_retry_is_awaited() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = 'w'\n[tasks.t]\nretries = 5\nretry_delay = '1h'\nrun = 'false'\n[nodes.t]\n",
    );
    let mut child = lab.command(&["exec", "w.toml", "--json"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.find(|line| line.as_ref().unwrap().contains("attempt_failed")).unwrap().unwrap();
    send(&child, Signal::INT);
    let rest: String = lines.map(|line| line.unwrap() + "\n").collect();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(event(&rest, "run_finished", None)["status"], "cancelled");
}

#[test]
fn hang_ups_that_nohup_wants_ignored_are() {
    let lab = Lab::new();
    lab.write("w.toml", &workflow("1s", "touch @DIR@/began; until test -e @DIR@/go; do sleep 0.02; done"));
    let runner = lab.command(&[]).get_program().to_owned();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" exec w.toml --json"]).arg(runner);
    let mut child = command
        .current_dir(lab.dir())
        .env("RUNNER_HOME", lab.home())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    until("the task begins", || lab.path("began").exists());
    send(&child, Signal::HUP);
    lab.write("go", "");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn after_a_kill_the_next_run_sweeps_up() {
    let lab = Lab::new();
    lab.write("w.toml", &workflow("100ms", STUBBORN));
    let mut child = start(&lab);
    let (id, status) = runs(&lab).remove(0);
    assert_eq!(status, "running");
    send(&child, Signal::KILL);
    child.wait().unwrap();
    assert!(!lab.alive().is_empty(), "nobody could end them");
    assert_eq!(runs(&lab)[0].1, "interrupted", "known even before anyone has swept");
    assert!(lab.path("home/scratch").join(&id).exists());

    lab.write("other.toml", "[workflow]\nname = 'other'\n[tasks.t]\nrun = 'true'\n[nodes.t]\n");
    lab.ok("other.toml", &[]);
    assert!(lab.alive().is_empty());
    assert_eq!(fs::read_dir(lab.path("home/scratch")).unwrap().count(), 0);
    let statuses: Vec<_> = runs(&lab).into_iter().map(|(_, status)| status).collect();
    assert_eq!(statuses, ["succeeded", "interrupted"]);
    let shown = lab.run(&["show", &id]).expect_code(0);
    assert!(shown.out.contains("interrupted"), "{}", shown.out);
}

#[test]
fn live_runs_are_left_alone() {
    let lab = Lab::new();
    lab.write("w.toml", &workflow("1s", "touch @DIR@/began; until test -e @DIR@/go; do sleep 0.02; done"));
    let child = start(&lab);
    lab.write("other.toml", "[workflow]\nname = 'other'\n[tasks.t]\nrun = 'true'\n[nodes.t]\n");
    lab.ok("other.toml", &[]);
    lab.write("go", "");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
    assert_eq!(lab.ran_as("next"), 1);
}
