//! `runner cancel`: a run of any process ends as by Ctrl-C, and only that run.

use serde_json::Value;

use crate::common::live::{Live, until};
use crate::common::{Done, Lab};

/// A task that notes how it is ended, and a second one that must not begin.
const OBEDIENT: &str = "\
[workflow]
name = 'w'
[tasks.long]
cache = true
grace = '1h'
run = '''
trap 'echo told >> @DIR@/told; exit 0' TERM
while :; do sleep 0.02; done
'''
[tasks.next]
run = 'echo next >> @COUNT@'
[nodes.long]
[nodes.next]
needs = ['long']
";

fn statuses(lab: &Lab) -> Vec<String> {
    let runs = lab.run(&["runs", "--json"]).expect_code(0).lines();
    runs.iter().map(|run| run["status"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_run_of_a_shell_winds_down_and_says_why() {
    let lab = Lab::new();
    lab.write("w.toml", OBEDIENT);
    let live = Live::start(&lab, "shell", &[]);
    live.until("node_started", "long");
    let run = live.run();
    let done = lab.run(&["cancel", &run[..6], "--wait"]).expect_code(0);
    assert_eq!((done.out.as_str(), done.err), ("", format!("run {run} has ended: cancelled\n")));
    let ended = live.end().expect_code(143);
    assert_eq!(lab.read("told"), "told\n");
    assert!(ended.warnings().contains("cancelled: stopping what runs; a second cancel kills it at once"));
    let node = ended.node("long");
    assert_eq!((&node["status"], &node["error"]["kind"]), (&"cancelled".into(), &"cancelled".into()));
    assert_eq!((ended.finished()["status"].as_str(), lab.ran_as("next")), (Some("cancelled"), 0));
    assert!(lab.alive().is_empty());
    let late = lab.run(&["cancel", &run]).expect_code(2);
    assert!(late.err.contains(&format!("run {run} has ended: cancelled")), "{}", late.err);
    assert!(lab.run(&["cancel", "nosuch"]).expect_code(2).err.contains("nosuch"));
}

#[test]
fn cancelling_once_more_kills() {
    let lab = Lab::new();
    lab.write("w.toml", &OBEDIENT.replace("echo told >> @DIR@/told; exit 0", ""));
    let live = Live::start(&lab, "stubborn", &[]);
    live.until("node_started", "long");
    let first = lab.run(&["cancel", "@last"]).expect_code(0);
    assert!(first.err.contains("once more kills what it runs"), "{}", first.err);
    until("it winds down", || live.said().warnings().contains("cancelled: "));
    lab.run(&["cancel", "@last", "--wait"]).expect_code(0);
    live.end().expect_code(143);
    assert!(lab.alive().is_empty());
}

/// A schedule whose runs wait, each until there is a file of its day.
const DAYS: &str = "\
[workflow]
name = 'etl'
[inputs]
day = 'date'
[tasks.t]
inputs = { day = 'date' }
run = '''
while [ ! -e \"@DIR@/$day\" ]; do sleep 0.02; done
'''
[nodes.t]
inputs = { day = '{{ inputs.day }}' }
[[schedules]]
name = 'nightly'
cron = '0 2 * * *'
scheduled_at_input = 'day'
";

#[test]
fn another_run_of_the_same_process_goes_on() {
    let lab = Lab::new();
    lab.write("etl.toml", DAYS);
    assert!(lab.command(&["serve", "etl.toml", "--once", "--no-web"]).status().unwrap().code().is_some());
    let args = ["schedule", "backfill", "etl/nightly", "--from", "2020-01-01", "--to", "2020-01-02", "-j2"];
    let live = Live::verb(&lab, "backfill", &[&args[..], &["-k", "--json"]].concat());
    let running = || -> Vec<Value> {
        let runs = lab.run(&["runs", "--json", "--status", "running"]).lines();
        runs.into_iter().filter(|run| run["status"] == "running").collect()
    };
    until("both run", || running().len() == 2);
    let (first, second) = (running().remove(0), running().remove(1));
    lab.run(&["cancel", first["run"].as_str().unwrap(), "--wait"]).expect_code(0);
    assert_eq!(running(), std::slice::from_ref(&second));
    for day in ["2020-01-01", "2020-01-02"] {
        lab.write(day, "");
    }
    let Done { code, out, .. } = live.end();
    assert_eq!(code, Some(1), "{out}");
    let mut ended = statuses(&lab);
    ended.sort();
    assert_eq!(ended, ["cancelled", "succeeded"]);
}
