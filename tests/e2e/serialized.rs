//! `cache_serialize` and `cache_max_age`: identical work in turn, among nodes, elements and processes, and
//! results that are too old to count.

use std::fs;

use crate::common::live::{Live, until};
use crate::common::one_task::OneTask;
use crate::common::{Done, Lab};
use jiff::{SignedDuration, Timestamp};
use runner::storage::memo::{MemoEntry, sqlite};
use rustix::process::Signal;
use serde_json::json;

const SERIAL: &str = "cache = true\ncache_version = '1'\ncache_serialize = true";

/// The first execution says that it began, and does not end before the file `go` is there.
const FIRST_BLOCKS: &str = "if mkdir @DIR@/began 2> /dev/null; then\n\
                            while test -e @COUNT@ && ! test -e @DIR@/go; do sleep 0.01; done\nfi\n\
                            printf %s \"$x\" > \"$OUT/y\"";

/// Like it, and the first execution fails.
const FIRST_BLOCKS_AND_FAILS: &str = "if mkdir @DIR@/began 2> /dev/null; then\n\
                                      while test -e @COUNT@ && ! test -e @DIR@/go; do sleep 0.01; done\nexit 3\nfi\n\
                                      printf %s \"$x\" > \"$OUT/y\"";

/// One node over a serialised task.
fn one(run: &str) -> String {
    OneTask { cache: SERIAL, run, ..OneTask::default() }.text()
}

/// Nodes of these names over one serialised task, all of which do the same.
fn same(names: &[&str], policies: &str, run: &str) -> String {
    let nodes: String =
        names.iter().map(|name| format!("[nodes.{name}]\ntask = 't'\ninputs = {{ x = 'a' }}\n")).collect();
    format!(
        "[workflow]\nname = 'wf'\n[tasks.t]\n{SERIAL}\n{policies}\ninputs = {{ x = 'string' }}\n\
         outputs = {{ y = 'string' }}\nrun = '''\necho t >> @COUNT@\n{run}\n'''\n{nodes}"
    )
}

const HAND_ON: &str = "printf %s \"$x\" > \"$OUT/y\"";

/// A run whose task has begun and goes on until [`Live::go`].
fn holding(lab: &Lab) -> Live<'_> {
    let holder = Live::start(lab, "holder", &[]);
    until("the holder's task begins", || lab.path("began").exists());
    holder
}

fn reasons(run: &Done) -> Vec<String> {
    let events = run.events("node_waiting");
    events.iter().map(|event| event["reason"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn two_nodes_that_do_the_same_run_once() {
    let lab = Lab::new();
    lab.write("w.toml", &same(&["a", "b"], "", HAND_ON));
    let run = lab.ok("w.toml", &["-j", "2"]);
    assert_eq!(lab.ran(), 1);
    assert_eq!((run.cache("a"), run.cache("b")), ("populated".into(), "hit".into()));
    assert_eq!(run.key("a"), run.key("b"));
    let (hit, this) = (run.node("b"), run.finished()["run"].clone());
    assert_eq!((&hit["source"]["run"], &hit["source"]["node"]), (&this, &json!("a")));
    assert_eq!(hit["outputs"], run.node("a")["outputs"]);
    assert_eq!(hit["attempts"], 0);
    let waiting = run.events("node_waiting");
    assert_eq!(waiting.len(), 1, "told once: {waiting:?}");
    assert_eq!(waiting[0]["node"], "b");
    assert!(reasons(&run)[0].contains("for a"), "{waiting:?}");
}

#[test]
fn without_it_they_run_twice() {
    let lab = Lab::new();
    lab.write("w.toml", &same(&["a", "b"], "", HAND_ON).replace("cache_serialize = true", ""));
    let run = lab.ok("w.toml", &["-j", "2"]);
    assert_eq!((lab.ran(), reasons(&run).len()), (2, 0));
}

#[test]
fn equal_elements_run_once() {
    let lab = Lab::new();
    let text = OneTask {
        cache: SERIAL,
        workflow_inputs: "",
        bind: "x = ['p', 'q', 'p', 'p']",
        extra: "",
        ..OneTask::default()
    };
    lab.write("w.toml", &text.text().replace("task = \"t\"", "task = 't'\nforeach = ['x']"));
    let run = lab.ok("w.toml", &["-j", "4"]);
    assert_eq!(lab.ran(), 2);
    assert_eq!(run.outputs()["y"], json!(["p", "q", "p", "p"]));
    assert_eq!((&run.finished()["executed"], &run.finished()["cached"]), (&json!(2), &json!(2)));
    let mut who: Vec<_> =
        run.events("node_waiting").iter().map(|event| event["index"].as_u64().unwrap()).collect();
    who.sort_unstable();
    assert_eq!(who, [2, 3]);
    assert!(reasons(&run).iter().all(|reason| reason.contains("n[0]")), "{:?}", reasons(&run));
}

#[test]
fn when_the_first_fails_the_next_one_makes_an_attempt_of_its_own() {
    let lab = Lab::new();
    let fails_once = format!("mkdir @DIR@/failed 2> /dev/null && exit 3\n{HAND_ON}");
    lab.write("w.toml", &same(&["a", "b", "c"], "", &fails_once));
    let run = lab.exec("w.toml", &["-j", "3", "-k"]).expect_code(1);
    assert_eq!(lab.ran(), 2);
    assert_eq!((&run.node("a")["status"], run.cache("a")), (&json!("failed"), "miss".into()));
    let mut others = [run.cache("b"), run.cache("c")];
    others.sort();
    assert_eq!(others, ["hit", "populated"]);
    let own = ["b", "c"].map(|name| run.node(name)["attempts"].as_u64().unwrap());
    assert_eq!(own.iter().sum::<u64>(), 1, "it counts from one again: {own:?}");
}

#[test]
fn who_waits_when_the_run_stops_is_cancelled() {
    let lab = Lab::new();
    lab.write("w.toml", &same(&["a", "b"], "", "exit 3"));
    let run = lab.exec("w.toml", &["-j", "2"]).expect_code(1);
    assert_eq!(lab.ran(), 1);
    assert_eq!(run.node("b")["status"], "cancelled");
}

#[test]
fn the_first_one_keeps_its_turn_between_its_attempts() {
    let lab = Lab::new();
    let second = format!("test $RUNNER_ATTEMPT = 2\n{HAND_ON}");
    lab.write("w.toml", &same(&["a", "b"], "retries = 1\nretry_delay = '10ms'", &second));
    let run = lab.ok("w.toml", &["-j", "2"]);
    assert_eq!((lab.ran(), &run.node("a")["attempts"], run.cache("b")), (2, &json!(2), "hit".into()));
}

#[test]
fn another_process_waits_says_for_whom_and_takes_the_result_over() {
    let lab = Lab::new();
    lab.write("w.toml", &one(FIRST_BLOCKS));
    let holder = holding(&lab);
    let waiter = Live::start(&lab, "waiter", &[]);
    let waits = waiter.until("node_waiting", "n");
    let reason = waits["reason"].as_str().unwrap();
    assert!(reason.contains("n of run") && reason.contains(&holder.run()), "{reason}");
    lab.write("go", "");
    let (first, second) = (holder.end().expect_code(0), waiter.end().expect_code(0));
    assert_eq!(lab.ran(), 1);
    assert_eq!((first.cache("n"), second.cache("n")), ("populated".into(), "hit".into()));
    assert_eq!(second.node("n")["source"]["run"], first.finished()["run"]);
    assert_eq!(second.outputs(), json!({ "y": "a" }));
    assert!(second.events("node_started").is_empty());
}

#[test]
fn a_person_is_told_with_v() {
    let lab = Lab::new();
    lab.write("w.toml", &same(&["a", "b"], "", HAND_ON));
    let run = lab.run(&["exec", "w.toml", "-j", "2", "-v"]).expect_code(0);
    assert!(run.err.contains("b  waiting for a"), "{}", run.err);
}

#[test]
fn who_waits_holds_no_slot() {
    let lab = Lab::new();
    let other = "[tasks.other]\nrun = 'echo other >> @COUNT@'\n[nodes.other]\nneeds = ['before']\n\
                 [tasks.before]\nrun = 'true'\n[nodes.before]\n";
    lab.write("w.toml", &one(FIRST_BLOCKS));
    let holder = holding(&lab);
    lab.write(
        "w.toml",
        &OneTask { cache: SERIAL, run: FIRST_BLOCKS, extra: other, ..OneTask::default() }.text(),
    );
    let waiter = Live::start(&lab, "waiter", &["-j", "1"]);
    waiter.until("node_waiting", "n");
    assert_eq!(waiter.until("node_finished", "other")["status"], "succeeded");
    assert_eq!((lab.ran_as("other"), waiter.said().events("run_finished").len()), (1, 0));
    lab.write("go", "");
    holder.end().expect_code(0);
    assert_eq!(waiter.end().expect_code(0).cache("n"), "hit");
}

#[test]
fn another_process_takes_over_what_failed() {
    let lab = Lab::new();
    lab.write("w.toml", &one(FIRST_BLOCKS_AND_FAILS));
    let holder = holding(&lab);
    let waiter = Live::start(&lab, "waiter", &[]);
    waiter.until("node_waiting", "n");
    lab.write("go", "");
    assert_eq!(holder.end().expect_code(1).cache("n"), "miss");
    let second = waiter.end().expect_code(0);
    assert_eq!(
        (lab.ran(), second.cache("n"), &second.node("n")["attempts"]),
        (2, "populated".into(), &json!(1))
    );
}

#[test]
fn another_process_takes_over_from_one_that_was_killed() {
    let lab = Lab::new();
    lab.write("w.toml", &one(FIRST_BLOCKS));
    let holder = holding(&lab);
    let waiter = Live::start(&lab, "waiter", &[]);
    waiter.until("node_waiting", "n");
    holder.signal(Signal::KILL);
    // Only the first execution blocks: nobody lets it go on.
    let second = waiter.end().expect_code(0);
    assert_eq!(
        (lab.ran(), second.cache("n"), &second.node("n")["attempts"]),
        (2, "populated".into(), &json!(1))
    );
    assert_eq!(lab.ok("w.toml", &[]).cache("n"), "hit");
}

#[test]
fn who_waits_can_be_interrupted() {
    let lab = Lab::new();
    lab.write("w.toml", &one(FIRST_BLOCKS));
    let holder = holding(&lab);
    let waiter = Live::start(&lab, "waiter", &[]);
    waiter.until("node_waiting", "n");
    waiter.signal(Signal::INT);
    assert_eq!(waiter.end().expect_code(130).node("n")["status"], "cancelled");
    lab.write("go", "");
    assert_eq!(holder.end().expect_code(0).cache("n"), "populated");
    assert_eq!(lab.ran(), 1);
}

#[test]
fn other_keys_do_not_wait() {
    let lab = Lab::new();
    lab.write("w.toml", &one(FIRST_BLOCKS));
    let holder = holding(&lab);
    for other in [&["-i", "x=b"][..], &["--project", "other"], &["--domain", "other"]] {
        let run = lab.ok("w.toml", other);
        assert_eq!((run.cache("n"), reasons(&run).len()), ("populated".into(), 0), "{other:?}");
    }
    lab.write("go", "");
    assert_eq!(holder.end().expect_code(0).cache("n"), "populated");
    assert_eq!(lab.ran(), 4);
}

#[test]
fn what_will_not_be_stored_does_not_wait() {
    let lab = Lab::new();
    lab.write("w.toml", &one(FIRST_BLOCKS));
    let holder = holding(&lab);
    for (mode, status) in [("off", "skipped"), ("ro", "miss")] {
        let run = lab.ok("w.toml", &["--cache", mode]);
        assert_eq!((run.cache("n"), reasons(&run).len()), (status.into(), 0), "{mode}");
    }
    lab.write("go", "");
    holder.end().expect_code(0);
    assert_eq!(lab.ran(), 3);
}

#[test]
fn without_locks_the_run_goes_on_and_says_so() {
    let lab = Lab::new();
    lab.write("w.toml", &same(&["a", "b"], "", HAND_ON));
    lab.ok("w.toml", &[]);
    let lock = lab.home().join("work.lock");
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    lab.write("count", "");
    let run = lab.ok("w.toml", &["-j", "2", "--project", "other"]);
    assert_eq!(run.warnings().matches("cache_serialize").count(), 1, "{}", run.warnings());
    assert_eq!((lab.ran(), run.cache("a"), run.cache("b")), (2, "populated".into(), "populated".into()));
    assert_eq!(lab.ok("w.toml", &["--project", "other"]).finished()["cached"], 2);
}

/// One node whose results count for an hour.
fn for_an_hour(policies: &str) -> String {
    let cache = format!("cache = true\ncache_version = '1'\ncache_max_age = '1h'\n{policies}");
    OneTask { cache: &cache, ..OneTask::default() }.text()
}

/// Makes the one result of the home older.
fn age(lab: &Lab, by: SignedDuration) {
    let db = rusqlite::Connection::open(lab.home().join("runner.db")).unwrap();
    let row = "SELECT key, project, domain, task, version, inputs FROM memo";
    let (key, [project, domain, task, version, inputs]) = db
        .query_row(row, [], |row| {
            let text = |i| row.get::<_, String>(i);
            Ok((
                runner::core::digest::Digest(row.get(0)?),
                [text(1)?, text(2)?, text(3)?, text(4)?, text(5)?],
            ))
        })
        .unwrap();
    let interface = None;
    let mut found = sqlite::lookup(&db, &key).unwrap().unwrap();
    found.created = Timestamp::now() - by;
    sqlite::record(&db, &MemoEntry { key, project, domain, task, version, inputs, interface, found })
        .unwrap();
}

#[test]
fn an_older_result_is_a_miss_and_is_replaced() {
    let lab = Lab::new();
    lab.write("w.toml", &for_an_hour(""));
    let first = lab.ok("w.toml", &[]);
    age(&lab, SignedDuration::from_mins(50));
    assert_eq!(lab.ok("w.toml", &[]).cache("n"), "hit");

    age(&lab, SignedDuration::from_mins(125));
    let planned = lab.run(&["plan", "w.toml", "--json"]).expect_code(0).events("node_planned").remove(0);
    let again = lab.ok("w.toml", &[]);
    assert_eq!((lab.ran(), again.cache("n"), again.key("n")), (2, "populated".into(), first.key("n")));
    assert_eq!(planned["cache"], "miss");
    let reason = planned["reason"].as_str().unwrap();
    assert!(reason.contains("2h 5m") && reason.contains("cache_max_age is 1h"), "{reason}");
    let last = lab.ok("w.toml", &[]);
    assert_eq!((lab.ran(), last.cache("n")), (2, "hit".into()));
    assert_eq!(last.node("n")["source"]["run"], again.finished()["run"], "the old one is gone");
}

#[test]
fn the_age_that_counts_is_what_the_file_says_now() {
    let lab = Lab::new();
    lab.write("w.toml", &for_an_hour(""));
    let key = lab.ok("w.toml", &[]).key("n");
    age(&lab, SignedDuration::from_hours(3));
    lab.write("w.toml", &for_an_hour("").replace("'1h'", "'1d'"));
    let run = lab.ok("w.toml", &[]);
    assert_eq!((run.cache("n"), run.key("n")), ("hit".into(), key), "it is no part of the key");
    lab.write("w.toml", &for_an_hour("").replace("'1h'", "'1ms'"));
    assert_eq!(lab.ok("w.toml", &[]).cache("n"), "populated");
}

#[test]
fn identical_work_after_a_result_that_is_too_old_runs_once() {
    let lab = Lab::new();
    let nodes = same(&["a", "b"], "cache_max_age = '1h'", HAND_ON);
    lab.write("w.toml", &nodes);
    lab.ok("w.toml", &[]);
    age(&lab, SignedDuration::from_hours(2));
    let run = lab.ok("w.toml", &["-j", "2"]);
    assert_eq!((lab.ran(), run.cache("a"), run.cache("b")), (2, "populated".into(), "hit".into()));
}
