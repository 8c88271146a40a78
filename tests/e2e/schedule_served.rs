//! Verbs of schedules beside a real daemon: who runs what is triggered, and who ends what.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use crate::common::live::{Live, until};
use crate::common::{Done, Lab};

/// A task that goes on while a file `hold` is there, and fails where there is a file `fail`.
const WORKFLOW: &str = "\
[workflow]
name = \"etl\"
[inputs]
rounds = { type = \"int\", default = 1 }
[tasks.t]
inputs = { rounds = \"int\" }
outputs = { text = { type = \"string\", from = \"stdout\" } }
run = '''
echo \"rounds$rounds\" >> @COUNT@
while [ -e @DIR@/hold ]; do sleep 0.05; done
[ ! -e @DIR@/fail ]
echo $rounds
'''
[nodes.t]
inputs = { rounds = \"{{ inputs.rounds }}\" }
[[schedules]]
name = \"nightly\"
cron = \"0 2 29 2 *\"
inputs = { rounds = 5 }
";

fn schedule(lab: &Lab, args: &[&str]) -> Done {
    lab.run(&[&["schedule"][..], args].concat())
}

fn serve<'l>(lab: &'l Lab, extra: &str) -> Live<'l> {
    lab.write("etl.toml", &format!("{WORKFLOW}{extra}"));
    let live = Live::verb(lab, "serve", &["serve", "etl.toml", "--json", "--no-web"]);
    until("it is ready", || live.said().out.contains(r#""event":"serving""#));
    live
}

/// The instants of the schedule, newest first.
fn instants(lab: &Lab) -> Vec<Value> {
    let shown = schedule(lab, &["show", "nightly", "--json"]).expect_code(0).lines().remove(0);
    shown["instants"].as_array().unwrap().clone()
}

#[test]
fn what_is_triggered_is_run_by_the_daemon_also_while_it_is_paused() {
    let lab = Lab::new();
    let daemon = serve(&lab, "");
    let row = schedule(&lab, &["list", "--json"]).expect_code(0).lines().remove(0);
    assert_eq!(row["served"], true, "{row}");
    assert!(!schedule(&lab, &["list"]).err.contains("no daemon"));
    schedule(&lab, &["pause", "nightly"]).expect_code(0);

    lab.write("hold", "");
    let first = schedule(&lab, &["trigger", "nightly", "-i", "rounds=7"]).expect_code(0);
    let run = first.out.trim_end().to_owned();
    until("the daemon runs it", || lab.ran_as("rounds7") == 1);
    for here in [&[][..], &["--here"]] {
        let refused = schedule(&lab, &[&["trigger", "nightly"], here].concat()).expect_code(1);
        assert!(refused.err.contains(&format!("run {run} of etl/nightly goes on")), "{}", refused.err);
    }
    fs::remove_file(lab.path("hold")).unwrap();
    until("it ends", || instants(&lab)[0]["status"] == "succeeded");
    assert_eq!(instants(&lab)[0]["run"], run.as_str());

    let waited = schedule(&lab, &["trigger", "nightly", "--wait", "--json"]).expect_code(0).lines().remove(0);
    assert_eq!((&waited["status"], &waited["executed"]), (&"succeeded".into(), &1.into()));
    lab.write("fail", "");
    let failed = schedule(&lab, &["trigger", "nightly", "--wait"]).expect_code(1);
    assert!(failed.err.contains("✗ failed"), "{}", failed.err);
    assert_eq!((lab.ran_as("rounds7"), lab.ran_as("rounds5")), (1, 2));
    daemon.signal(Signal::TERM);
    daemon.end().expect_code(0);
    assert_eq!(instants(&lab).len(), 3);
}

#[test]
fn a_run_here_replaces_that_of_the_daemon() {
    let lab = Lab::new();
    let daemon = serve(&lab, "overlap = \"replace\"\n");
    lab.write("hold", "");
    schedule(&lab, &["trigger", "nightly"]).expect_code(0);
    until("the daemon runs it", || lab.ran() == 1);
    let here = Live::verb(&lab, "here", &["schedule", "trigger", "nightly", "--here"]);
    until("the second runs", || lab.ran() == 2);
    fs::remove_file(lab.path("hold")).unwrap();
    here.end().expect_code(0);
    let statuses: Vec<_> =
        instants(&lab).iter().map(|past| past["status"].as_str().unwrap().to_owned()).collect();
    assert_eq!(statuses, ["succeeded", "cancelled"]);
    daemon.signal(Signal::TERM);
    daemon.end().expect_code(0);
}

#[test]
fn what_waits_for_its_turn_is_waited_for() {
    let lab = Lab::new();
    let daemon = serve(&lab, "overlap = \"queue\"\n");
    lab.write("hold", "");
    schedule(&lab, &["trigger", "nightly"]).expect_code(0);
    until("the daemon runs it", || lab.ran() == 1);
    let second = Live::verb(&lab, "second", &["schedule", "trigger", "nightly", "--wait", "--json"]);
    until("it is accepted", || {
        let db = rusqlite::Connection::open(lab.home().join("runner.db")).unwrap();
        let accepted = "SELECT count(*) FROM schedule_request WHERE answer LIKE '%accepted%'";
        db.query_row(accepted, [], |row| row.get::<_, i64>(0)).unwrap() == 2
    });
    fs::remove_file(lab.path("hold")).unwrap();
    let run = second.end().expect_code(0).lines().remove(0);
    assert_eq!((&run["status"], lab.ran()), (&"succeeded".into(), 2));
    // One that waits when its daemon ends never begins.
    lab.write("hold", "");
    schedule(&lab, &["trigger", "nightly", "-i", "rounds=2"]).expect_code(0);
    until("the daemon runs it", || lab.ran_as("rounds2") == 1);
    let third = Live::verb(&lab, "third", &["schedule", "trigger", "nightly", "--wait"]);
    until("it is accepted", || !third.said().out.is_empty());
    daemon.signal(Signal::TERM);
    until("it ends", || daemon.said().out.contains(r#""event":"stopping""#));
    fs::remove_file(lab.path("hold")).unwrap();
    daemon.end().expect_code(0);
    let third = third.end().expect_code(1);
    assert!(third.err.contains("did not begin: its daemon has ended"), "{}", third.err);
}

#[test]
fn a_file_that_does_not_load_is_listed_as_the_daemon_has_it() {
    let lab = Lab::new();
    let daemon = serve(&lab, "jitter = \"30s\"\noverlap = \"queue\"\n");
    let listed = || schedule(&lab, &["list", "--json"]).expect_code(0).lines().remove(0);
    let before = listed();
    lab.write("etl.toml", "nonsense = [");
    until("the daemon sees it", || daemon.said().out.contains(r#""event":"broken""#));
    let after = listed();
    assert!(after["mistakes"][0].as_str().unwrap().contains("etl.toml:1:"), "{after}");
    for key in ["cron", "timezone", "words", "overlap", "jitter_s", "next", "served"] {
        assert_eq!(after[key], before[key], "{key}");
    }
    assert_eq!(after["overlap"], "queue");
    daemon.signal(Signal::TERM);
    daemon.end().expect_code(0);
    // Without a daemon nobody runs it as it was.
    let row = listed();
    assert!(row["next"].is_null() && row["cron"] == serde_json::json!([]), "{row}");
}

#[test]
fn a_run_by_exec_claims_no_instant_and_holds_no_schedule_up() {
    let lab = Lab::new();
    let daemon = serve(&lab, "");
    lab.write("hold", "");
    let exec = Live::verb(&lab, "exec", &["exec", "etl.toml", "--schedule", "nightly", "--json"]);
    exec.until("node_started", "t");
    let triggered = schedule(&lab, &["trigger", "nightly"]).expect_code(0);
    fs::remove_file(lab.path("hold")).unwrap();
    until("the triggered run ends", || daemon.said().out.contains(r#""event":"ended""#));
    let by_exec = exec.end().expect_code(0).events("run_started").remove(0);
    assert_eq!((&by_exec["schedule"], &by_exec["trigger"]), (&"etl/nightly".into(), &"schedule".into()));
    let runs: Vec<_> = instants(&lab).iter().map(|instant| instant["run"].clone()).collect();
    assert_eq!(runs, [triggered.out.trim()]);
    // It succeeded all the same: a backfill leaves its instant out.
    let at = by_exec["scheduled_at"].as_str().unwrap();
    let left = schedule(&lab, &["backfill", "nightly", "--from", at, "--to", at, "-n"]).expect_code(0);
    assert!(left.err.contains("0 instants") || left.out.is_empty(), "{}{}", left.out, left.err);
    daemon.signal(Signal::TERM);
    daemon.end().expect_code(0);
}
