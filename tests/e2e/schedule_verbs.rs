//! Schedules without and beside a daemon: list, show, pause, resume, trigger, backfill.

use std::collections::BTreeSet;
use std::fs;

use jiff::Timestamp;
use rustix::process::Signal;
use serde_json::Value;

use crate::common::live::{Live, until};
use crate::common::{Done, Lab};
use runner::core::run_id::RunId;
use runner::storage::db;
use runner::storage::home::Home;
use runner::storage::schedules::claimant::Claimant;
use runner::storage::schedules::known::{self, Loaded, Server};
use runner::storage::schedules::requests::{Answer, Request};
use runner::storage::schedules::tick::Tick;

/// A workflow whose task writes its day to the file that counts; it goes on while a file `hold` or `hold-DAY` is there, and fails
/// where there is a file `fail-DAY`.
const ETL: &str = "\
[workflow]
name = \"etl\"
[inputs]
day = \"date\"
rounds = { type = \"int\", default = 1 }
[tasks.t]
inputs = { day = \"date\", rounds = \"int\" }
outputs = { text = { type = \"string\", from = \"stdout\" } }
run = '''
echo \"$day\" >> @COUNT@
while [ -e @DIR@/hold ] || [ -e \"@DIR@/hold-$day\" ]; do sleep 0.05; done
[ ! -e \"@DIR@/fail-$day\" ]
printf '%s %s' \"$day\" \"$rounds\"
'''
[nodes.t]
inputs = { day = \"{{ inputs.day }}\", rounds = \"{{ inputs.rounds }}\" }
[outputs]
text = \"{{ t.text }}\"
[[schedules]]
name = \"nightly\"
cron = \"0 2 * * *\"
timezone = \"Europe/Berlin\"
inputs = { rounds = 5 }
scheduled_at_input = \"day\"
jitter = \"30s\"
";

fn lab(extra: &str) -> Lab {
    let lab = Lab::new();
    lab.write("etl.toml", &format!("{ETL}{extra}"));
    lab
}

fn schedule(lab: &Lab, args: &[&str]) -> Done {
    lab.run(&[&["schedule"][..], args].concat())
}

/// The one document that a verb prints.
fn json(lab: &Lab, args: &[&str]) -> Value {
    let done = schedule(lab, &[args, &["--json"]].concat()).expect_code(0);
    assert_eq!(done.out.lines().count(), 1, "{}", done.out);
    done.lines().remove(0)
}

/// Days of a backfill from 1 to 5 January 2020, and what else is asked for.
fn backfill(lab: &Lab, args: &[&str]) -> Done {
    let days = ["backfill", "nightly", "--from", "2020-01-01", "--to", "2020-01-05"];
    schedule(lab, &[&days, args].concat())
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a_list_has_what_a_script_needs_and_reads_well() {
    let lab = lab("");
    let row = json(&lab, &["list"]);
    for key in [
        "v",
        "schedule",
        "workflow",
        "path",
        "cron",
        "every",
        "timezone",
        "words",
        "overlap",
        "catch_up",
        "catch_up_window_s",
        "jitter_s",
        "paused",
        "served",
        "mistakes",
        "next",
        "last",
        "consecutive_failures",
    ] {
        assert!(keys(&row).contains(key), "{key} is missing in {row}");
    }
    assert_eq!(row["schedule"], "etl/nightly");
    assert_eq!(row["path"], lab.path("etl.toml").to_str().unwrap());
    assert_eq!(row["cron"], serde_json::json!(["0 2 * * *"]));
    assert_eq!((&row["words"], &row["timezone"]), (&"daily at 02:00".into(), &"Europe/Berlin".into()));
    assert_eq!((&row["overlap"], &row["catch_up"]), (&"skip".into(), &"latest".into()));
    assert_eq!((&row["catch_up_window_s"], &row["jitter_s"]), (&86_400.into(), &30.into()));
    assert_eq!((&row["served"], &row["mistakes"]), (&false.into(), &serde_json::json!([])));
    assert!(row["every"].is_null() && row["paused"].is_null() && row["last"].is_null(), "{row}");
    let time = |key: &str| row["next"][key].as_str().unwrap().parse::<Timestamp>().unwrap();
    let delay = time("fires").duration_since(time("at")).as_millis();
    assert!((0..30_000).contains(&delay) && time("fires") > Timestamp::now(), "{row}");
    // Looking makes no home.
    assert!(!lab.home().exists());

    schedule(&lab, &["trigger", "nightly"]).expect_code(0);
    let row = json(&lab, &["list", "etl.toml"]);
    for key in ["at", "became", "run", "status", "no_op", "executed", "nodes", "duration_ms"] {
        assert!(keys(&row["last"]).contains(key), "{key} is missing in {row}");
    }
    let last = &row["last"];
    assert_eq!(
        (&last["became"], &last["status"], &last["executed"]),
        (&"fired".into(), &"succeeded".into(), &1.into())
    );
    let table = schedule(&lab, &["list"]).expect_code(0);
    let line = table.out.lines().nth(1).unwrap();
    assert!(line.starts_with("etl/nightly  daily at 02:00, Europe/Berlin  "), "{}", table.out);
    assert!(
        line.contains("✓ succeeded  ") && table.err.contains("no daemon serves them"),
        "{line}\n{}",
        table.err
    );

    lab.write("broken.toml", "[workflow]\nname = 1\n");
    let warned = schedule(&lab, &["list"]).expect_code(0);
    assert!(warned.err.contains("warning: broken.toml has"), "{}", warned.err);
    lab.write("broken.toml", ETL);
    let twice = schedule(&lab, &["list", "--json"]).expect_code(0).lines();
    let mistakes = |n: usize| twice[n]["mistakes"].as_array().unwrap().len();
    assert_eq!((twice.len(), mistakes(0), mistakes(1)), (2, 0, 1));
}

#[test]
fn a_pause_is_shown_outlasts_edits_and_names_who_and_why() {
    let lab = lab("");
    let mut pause = lab.command(&["schedule", "pause", "nightly", "--reason", "source is down"]);
    let paused = crate::common::finish(pause.env("LOGNAME", "ada")).expect_code(0);
    assert_eq!(paused.err, "paused etl/nightly\n");
    let again = schedule(&lab, &["pause", "etl/nightly"]).expect_code(0);
    assert!(again.err.contains("is paused already, since just now"), "{}", again.err);
    lab.write("etl.toml", &ETL.replace("0 2 * * *", "0 3 * * *"));
    let row = json(&lab, &["list"]);
    assert_eq!((&row["paused"]["by"], &row["paused"]["reason"]), (&"ada".into(), &"source is down".into()));
    assert!(row["paused"]["since"].as_str().unwrap().parse::<Timestamp>().is_ok(), "{row}");
    let text = schedule(&lab, &["show", "nightly"]).expect_code(0).out;
    assert!(text.contains("by ada: source is down"), "{text}");
    // Also where its file is out of sight.
    let elsewhere = Lab::new();
    let mut list = elsewhere.command(&["schedule", "list"]);
    let listed = crate::common::finish(list.env("RUNNER_HOME", lab.home())).expect_code(0).out;
    assert!(listed.contains("etl/nightly  daily at 03:00") && listed.contains("paused by ada"), "{listed}");
    // A file that does not load shows its mistakes.
    lab.write("etl.toml", &ETL.replace("0 2 * * *", "0 25 * * *"));
    let row = json(&lab, &["list"]);
    let mistake = row["mistakes"][0].as_str().unwrap();
    assert!(mistake.contains("etl.toml:21:11: `cron`: 25 is out of range"), "{mistake}");
    lab.write("etl.toml", ETL);

    let resumed = schedule(&lab, &["resume", "nightly"]).expect_code(0).err;
    assert!(
        resumed.contains("resumed etl/nightly") && resumed.contains("backfill etl/nightly --from "),
        "{resumed}"
    );
    assert!(schedule(&lab, &["resume", "nightly"]).expect_code(0).err.contains("is not paused"));
    assert!(json(&lab, &["list"])["paused"].is_null());
    assert_eq!(schedule(&lab, &["pause", "--all"]).expect_code(0).err, "paused etl/nightly\n");
    assert_eq!(schedule(&lab, &["resume", "--all"]).expect_code(0).err, "resumed etl/nightly\n");
    for verb in ["pause", "resume", "trigger", "show"] {
        let unknown = schedule(&lab, &[verb, "nighly"]).expect_code(2);
        assert!(unknown.err.contains("there is no schedule \"nighly\""), "{}", unknown.err);
    }
    schedule(&lab, &["pause"]).expect_code(2);
}

#[test]
fn a_triggered_run_is_the_schedules_own_and_moves_no_instant() {
    let lab = lab("");
    schedule(&lab, &["pause", "nightly"]).expect_code(0);
    let done = schedule(&lab, &["trigger", "nightly", "--at", "2020-02-01T02:00"]).expect_code(0);
    let run = done.out.trim_end();
    assert!(RunId::parse(run).is_ok(), "{:?}", done.out);
    let shown = lab.run(&["show", run, "--json"]).expect_code(0).lines().remove(0);
    assert_eq!(shown["outputs"]["text"], "2020-02-01 5");
    let listed = lab.run(&["runs", "--schedule", "nightly", "--trigger", "manual", "--json"]);
    assert_eq!(listed.out.lines().count(), 1);
    let given = schedule(&lab, &["trigger", "nightly", "--at", "2020-02-02", "-i", "rounds=7", "--json"]);
    let line = given.expect_code(0).lines().remove(0);
    assert_eq!((&line["schedule"], &line["status"]), (&"etl/nightly".into(), &"succeeded".into()));
    assert_eq!(line["at"], "2020-02-01T23:00:00Z");
    let again = lab.run(&["show", line["run"].as_str().unwrap(), "--json"]).lines().remove(0);
    assert_eq!(again["outputs"]["text"], "2020-02-02 7");

    let view = json(&lab, &["show", "nightly", "--limit", "1"]);
    let instants = view["instants"].as_array().unwrap();
    assert_eq!(instants.len(), 1);
    for key in ["at", "fires", "became", "trigger", "run", "status", "no_op", "reason"] {
        assert!(keys(&instants[0]).contains(key), "{key} is missing in {view}");
    }
    assert_eq!(
        (&instants[0]["trigger"], &instants[0]["at"]),
        (&"manual".into(), &"2020-02-01T23:00:00Z".into())
    );
    assert_eq!(view["schedule"], "etl/nightly");

    lab.write("fail-2020-02-03", "");
    let failed = schedule(&lab, &["trigger", "nightly", "--at", "2020-02-03", "--wait"]).expect_code(1);
    assert!(RunId::parse(failed.out.trim_end()).is_ok(), "{}", failed.out);
    assert_eq!(json(&lab, &["list"])["consecutive_failures"], 1);
    let shown = schedule(&lab, &["show", "nightly"]).expect_code(0).out;
    assert!(shown.contains("✗ failed") && shown.contains("1 in a row"), "{shown}");
    // What does not fit is refused before anything is claimed.
    let wrong = schedule(&lab, &["trigger", "nightly", "-i", "rounds=many"]).expect_code(2);
    assert!(wrong.err.contains("rounds") && wrong.out.is_empty(), "{}", wrong.err);
    assert_eq!(json(&lab, &["show", "nightly"])["instants"].as_array().unwrap().len(), 3);
}

/// Starts a triggered run that goes on while `hold` is there.
fn held<'l>(lab: &'l Lab, name: &str) -> Live<'l> {
    let before = lab.ran();
    lab.write("hold", "");
    let live = Live::verb(lab, name, &["schedule", "trigger", "nightly"]);
    until("its task runs", || lab.ran() > before);
    live
}

fn let_go(lab: &Lab) {
    fs::remove_file(lab.path("hold")).unwrap();
}

#[test]
fn a_trigger_goes_by_overlap() {
    let skip = lab("");
    let live = held(&skip, "first");
    let refused = schedule(&skip, &["trigger", "nightly"]).expect_code(1);
    let run = live.said().out.trim_end().to_owned();
    assert!(refused.err.contains(&format!("run {run} of etl/nightly goes on")), "{}", refused.err);
    assert_eq!(refused.out, "");
    let_go(&skip);
    live.end().expect_code(0);
    assert_eq!(skip.ran(), 1);

    let queue = lab("overlap = \"queue\"\n");
    let first = held(&queue, "first");
    let second = Live::verb(&queue, "second", &["schedule", "trigger", "nightly"]);
    until("it says for whom it waits", || second.said().err.contains("waiting for run"));
    assert_eq!(queue.ran(), 1);
    let_go(&queue);
    first.end().expect_code(0);
    second.end().expect_code(0);
    assert_eq!(queue.ran(), 2);

    let allow = lab("overlap = \"allow\"\n");
    let (first, second) = (held(&allow, "first"), held(&allow, "second"));
    let_go(&allow);
    first.end().expect_code(0);
    second.end().expect_code(0);

    let replace = lab("overlap = \"replace\"\n");
    let first = held(&replace, "first");
    let second = Live::verb(&replace, "second", &["schedule", "trigger", "nightly"]);
    until("the second runs", || replace.ran() == 2);
    let_go(&replace);
    second.end().expect_code(0);
    // Replaced is cancelled, and no failure.
    first.end().expect_code(0);
    let view = json(&replace, &["show", "nightly"]);
    let statuses: Vec<_> =
        view["instants"].as_array().unwrap().iter().map(|past| past["status"].clone()).collect();
    assert_eq!(statuses, ["succeeded", "cancelled"], "{view}");
    assert_eq!(view["instants"][1]["reason"], "replaced by a later run");
    assert_eq!(view["consecutive_failures"], 0);
}

#[test]
fn a_run_that_takes_longer_than_its_schedule_allows_is_ended_and_has_failed() {
    let lab = lab("max_runtime = \"1s\"\n");
    lab.write("hold", "");
    let done = schedule(&lab, &["trigger", "nightly", "--json"]).expect_code(1);
    let line = done.lines().remove(0);
    assert_eq!(
        (&line["status"], &line["reason"]),
        (&"failed".into(), &"it took longer than max_runtime".into())
    );
    let view = json(&lab, &["show", "nightly"]);
    assert_eq!(
        (&view["instants"][0]["status"], &view["consecutive_failures"]),
        (&"failed".into(), &1.into())
    );
    assert!(lab.alive().is_empty());
}

#[test]
fn a_daemon_that_serves_the_schedule_is_asked_and_answers() {
    let lab = lab("");
    fs::create_dir(lab.home()).unwrap();
    runner::storage::home::make_private(&lab.home()).unwrap();
    let home = Home::locate(Some(&lab.home())).unwrap();
    home.create().unwrap();
    let (mut daemon, _) = db::open(home.path()).unwrap();
    let claimant = Claimant::new(&home).unwrap();
    let server = Server {
        claimant: claimant.id,
        pid: 4711,
        started: Timestamp::now(),
        url: Some("http://127.0.0.1:1/".into()),
    };
    let loaded = Loaded {
        name: "etl/nightly".into(),
        path: lab.path("etl.toml"),
        times: "0 2 * * *".into(),
        settings: String::new(),
    };
    known::serve(&mut daemon, &home, &server, &[loaded], Timestamp::now()).unwrap();
    assert_eq!(json(&lab, &["list"])["served"], true);
    let shown = schedule(&lab, &["show", "nightly"]).expect_code(0).out;
    assert!(shown.contains("by process 4711, http://127.0.0.1:1/"), "{shown}");

    let mut answer = |live: Live, answer: &dyn Fn(&Request) -> Answer| -> Done {
        let mut request = None;
        until("it is asked", || {
            let tick = Tick::begin(&mut daemon, &home).unwrap();
            let asked = tick.asked(claimant.id).unwrap();
            if let Some(asked) = asked.first() {
                tick.answer(asked.id, &answer(&asked.request)).unwrap();
                request = Some(asked.clone());
            }
            tick.commit().unwrap();
            request.is_some()
        });
        assert_eq!(request.unwrap().schedule, "etl/nightly");
        live.end()
    };
    let trigger = |name: &str| Live::verb(&lab, name, &["schedule", "trigger", "nightly", "-i", "rounds=7"]);
    let accepted = answer(trigger("accepted"), &|request| {
        let Request::Trigger { given, .. } = request else { panic!("{request:?}") };
        assert_eq!(given.len(), 1);
        Answer::Accepted
    });
    assert_eq!(accepted.code, Some(0), "{}", accepted.err);
    assert!(RunId::parse(accepted.out.trim_end()).is_ok(), "{}", accepted.out);
    let other = RunId::make();
    let overlaps = answer(trigger("overlaps"), &|_| Answer::Overlap { run: other });
    assert_eq!((overlaps.code, &*overlaps.out), (Some(1), ""));
    assert!(overlaps.err.contains(&format!("run {other} of etl/nightly goes on")), "{}", overlaps.err);
    let refused = answer(trigger("refused"), &|_| Answer::Refused { reason: "not today".into() });
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("not today"), "{}", refused.err);
    // Nothing ran here; with --here it does, and so it does when the daemon is gone.
    assert_eq!(lab.ran(), 0);
    schedule(&lab, &["trigger", "nightly", "--here"]).expect_code(0);
    drop(claimant);
    schedule(&lab, &["trigger", "nightly"]).expect_code(0);
    assert_eq!(lab.ran(), 2);
}

#[test]
fn a_backfill_runs_what_lacks_a_success_oldest_first() {
    let lab = lab("");
    lab.write("fail-2020-01-03", "");
    let listed = backfill(&lab, &["-n"]).expect_code(0);
    assert_eq!(listed.out.lines().count(), 5);
    assert_eq!(listed.out.lines().next().unwrap(), "Wed 2020-01-01 02:00  2020-01-01T01:00:00Z");
    assert!(listed.err.contains("5 instants would run"), "{}", listed.err);
    assert!(!lab.home().exists());

    // One that was run with its instant counts, whatever ran it.
    lab.ok("etl.toml", &["--schedule", "nightly", "--scheduled-at", "2020-01-02T02:00"]);
    let stopped = backfill(&lab, &[]).expect_code(1);
    assert!(stopped.err.contains("1 succeeded, 1 failed, 2 not reached"), "{}", stopped.err);
    assert_eq!(
        lab.read("count").split_whitespace().collect::<Vec<_>>(),
        ["2020-01-02", "2020-01-01", "2020-01-03"]
    );
    let went_on = backfill(&lab, &["-k", "--newest-first", "--json"]).expect_code(1);
    let lines = went_on.lines();
    let told: Vec<_> =
        lines.iter().map(|line| (line["at"].as_str().unwrap(), line["status"].as_str().unwrap())).collect();
    assert_eq!(
        told,
        [
            ("2020-01-05T01:00:00Z", "succeeded"),
            ("2020-01-04T01:00:00Z", "succeeded"),
            ("2020-01-03T01:00:00Z", "failed")
        ]
    );
    fs::remove_file(lab.path("fail-2020-01-03")).unwrap();
    backfill(&lab, &[]).expect_code(0);
    let idle = backfill(&lab, &[]).expect_code(0);
    assert!(idle.err.contains("nothing to do"), "{}", idle.err);
    let before = lab.ran();
    let all = backfill(&lab, &["--all", "-j", "3"]).expect_code(0);
    assert!(all.err.contains("5 succeeded") && lab.ran() == before + 5, "{}", all.err);
    let runs = lab.run(&["runs", "--trigger", "backfill", "--json", "--limit", "100"]);
    assert_eq!(runs.out.lines().count(), 11);
    // They are none of the schedule's own runs.
    assert_eq!(json(&lab, &["list"])["consecutive_failures"], 0);

    for (args, expected) in [
        (&["--from", "2020-01-02", "--to", "2020-01-01T00:00:00Z"][..], "--to lies before --from"),
        (&["--from", "2015-01-01", "--to", "2019-12-31"], "1,826 instants would run: add --yes"),
        (&["--from", "soon", "--to", "2019-12-31"], "--from: `soon` is no time"),
        (&["--from", "2020-01-01"], "--to"),
    ] {
        let refused = schedule(&lab, &[&["backfill", "nightly"], args].concat()).expect_code(2);
        assert!(refused.err.contains(expected), "{args:?}: {}", refused.err);
    }
    // What has not come yet is no part of it.
    let future = schedule(&lab, &["backfill", "nightly", "--from", "2098-01-01", "--to", "2099-01-01", "-n"]);
    assert_eq!(future.expect_code(0).out, "");
}

#[test]
fn two_backfills_share_the_work() {
    let lab = lab("");
    lab.write("hold", "");
    let args = ["schedule", "backfill", "nightly", "--from", "2020-01-01", "--to", "2020-01-12"];
    let one = Live::verb(&lab, "one", &args);
    let two = Live::verb(&lab, "two", &args);
    // Each has claimed one: they have not the same.
    until("both run something", || lab.ran() == 2);
    let_go(&lab);
    one.end().expect_code(0);
    two.end().expect_code(0);
    let days = lab.read("count");
    let days: Vec<_> = days.split_whitespace().collect();
    let different: BTreeSet<_> = days.iter().collect();
    assert_eq!((days.len(), different.len()), (12, 12), "{days:?}");
    assert!(backfill(&lab, &[]).expect_code(0).err.contains("nothing to do"));
}

#[test]
fn a_backfill_that_was_killed_is_gone_on_with_by_the_next() {
    let lab = lab("");
    lab.write("hold-2020-01-03", "");
    let killed = Live::verb(
        &lab,
        "killed",
        &["schedule", "backfill", "nightly", "--from", "2020-01-01", "--to", "2020-01-05"],
    );
    until("the third runs", || lab.ran_as("2020-01-03") == 1);
    killed.signal(Signal::KILL);
    drop(killed);
    fs::remove_file(lab.path("hold-2020-01-03")).unwrap();
    let listed = backfill(&lab, &["-n"]).expect_code(0);
    assert_eq!(listed.out.lines().count(), 3, "{}", listed.out);
    backfill(&lab, &[]).expect_code(0);
    for (day, times) in
        [("2020-01-01", 1), ("2020-01-02", 1), ("2020-01-03", 2), ("2020-01-04", 1), ("2020-01-05", 1)]
    {
        assert_eq!(lab.ran_as(day), times, "{day}");
    }
    let view = json(&lab, &["show", "nightly"]);
    let of_third =
        view["instants"].as_array().unwrap().iter().filter(|past| past["at"] == "2020-01-03T01:00:00Z");
    let statuses: Vec<_> = of_third.map(|past| past["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["succeeded", "interrupted"], "{view}");
}

#[test]
fn a_signal_ends_a_backfill_and_what_it_runs() {
    let lab = lab("");
    lab.write("hold-2020-01-02", "");
    let args = ["schedule", "backfill", "nightly", "--from", "2020-01-01", "--to", "2020-01-05", "-k"];
    let live = Live::verb(&lab, "live", &args);
    until("the second runs", || lab.ran_as("2020-01-02") == 1);
    live.signal(Signal::INT);
    let ended = live.end().expect_code(130);
    assert!(ended.err.contains("1 succeeded, 1 cancelled, 3 not reached"), "{}", ended.err);
    assert_eq!(lab.ran(), 2);
    assert!(lab.alive().is_empty());
}

#[test]
fn names_of_schedules_are_completed() {
    let lab = lab("");
    let offered = |words: &[&str]| {
        let mut command = lab.command(&[&["--", "runner"], words].concat());
        let done = crate::common::finish(command.env("_RUNNER_COMPLETE", "zsh")).expect_code(0);
        done.out.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for verb in ["show", "next", "pause", "resume", "trigger", "backfill"] {
        assert_eq!(offered(&["schedule", verb, "et"]), ["etl/nightly"], "{verb}");
        assert_eq!(offered(&["schedule", verb, "ni"]), ["nightly"], "{verb}");
    }
    assert_eq!(offered(&["exec", "etl.toml", "--schedule", ""]), ["nightly"]);
    assert_eq!(offered(&["runs", "--schedule", ""]), ["etl/nightly"]);
    // Known to the home, and in no file here.
    schedule(&lab, &["pause", "nightly"]).expect_code(0);
    fs::rename(lab.path("etl.toml"), lab.path("etl.txt")).unwrap();
    assert_eq!(offered(&["schedule", "resume", ""]), ["etl/nightly"]);
}
