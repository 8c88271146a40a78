//! Ends of runs: what is noted, told and removed; places for runs.

use std::sync::mpsc;

use super::decisions::{HeldDaemon, edit};
use super::*;
use crate::core::event::{Counts, Status};
use crate::ops::Error;
use crate::ops::notify::NotifyRules;
use crate::ops::prepare::prepare;
use crate::ops::run_lock::{Turn, take_turn};
use crate::server::runs::{RunEnd, RunEnding};

fn job(
    run: RunId,
    prepare: impl FnOnce() -> Result<crate::ops::prepare::PreparedRun, Error> + Send + 'static,
) -> Job {
    Job { run, of: None, prepare: Box::new(prepare), max_runtime: None }
}

#[test]
fn runs_that_were_asked_for_wait_for_a_place() {
    let dir = place("every = '1000h'");
    let mut held = HeldDaemon::new(&dir, |options| options.max_runs = 1);
    let (go, wait) = mpsc::channel::<()>();
    let held_up = job(RunId::make(), move || {
        let _ = wait.recv();
        Err(Error::invalid("it was only to take a place"))
    });
    held.daemon.asked.push_back(held_up);
    held.daemon.asked.push_back(job(RunId::make(), || Err(Error::invalid("as well"))));
    held.daemon.start_asked();
    assert_eq!((held.daemon.runs.count(), held.daemon.asked.len()), (1, 1));
    go.send(()).unwrap();
    held.ends(1);
    assert_eq!(held.daemon.served.failed, 1);
    held.daemon.start_asked();
    assert_eq!((held.daemon.runs.count(), held.daemon.asked.len()), (1, 0));
    held.ends(1);
    assert_eq!(held.daemon.runs.count(), 0);
}

#[test]
fn old_runs_are_removed_each_twenty_runs_and_at_the_end() {
    let dir = place("every = '1000h'\nkeep_runs = 7");
    let mut held = HeldDaemon::new(&dir, |_| {});
    let daemon = &mut held.daemon;
    let due = vec![("w/s".to_owned(), 7)];
    daemon.begun.insert("w/s".into(), 19);
    assert_eq!(daemon.take_unpruned(false), []);
    daemon.begun.insert("w/s".into(), 20);
    assert_eq!(daemon.take_unpruned(false), due);
    assert_eq!(daemon.take_unpruned(false), [], "they are counted anew");
    assert_eq!(daemon.take_unpruned(true), due);
}

#[test]
fn warnings_about_a_run_are_said_with_its_id() {
    let dir = place("every = '1000h'");
    let mut held = HeldDaemon::new(&dir, |_| {});
    let run = RunId::make();
    let warnings = vec!["its history is incomplete".to_owned()];
    let outcome = RunEnding::Ran { status: Status::Succeeded, counts: Counts::default(), warnings };
    let (rules, duration) = (NotifyRules::default(), Duration::ZERO);
    held.daemon.take_end(RunEnd { run, of: None, outcome, rules, duration });
    assert_eq!(held.said("warning")[0]["message"], format!("run {run}: its history is incomplete"));
    assert_eq!(held.daemon.served.failed, 0);
}

#[test]
fn a_run_that_a_fault_ended_counts_as_failed() {
    let dir = place("every = '1000h'");
    let mut held = HeldDaemon::new(&dir, |_| {});
    held.daemon.runs.start(job(RunId::make(), || panic!("a fault")));
    held.ends(1);
    assert_eq!(held.said("ended")[0]["status"], "interrupted");
    assert_eq!(held.daemon.served.failed, 1);
}

#[test]
fn a_run_that_finds_its_workflow_running_is_skipped_and_no_failure() {
    let dir = place("every = '1000h'");
    edit(&dir, "name = 'w'", "name = 'w'\nexclusive = 'skip'");
    let mut held = HeldDaemon::new(&dir, |_| {});
    let request =
        crate::core::run_request::RunRequest { workflow: dir.path().join("w.toml"), ..Default::default() };
    let home = dir.path().join("home");
    let (_sender, mut interrupts) = unbounded_channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let prepared = prepare(request.clone()).unwrap();
    let taken = take_turn(RunId::make(), &prepared, Some(&home), &mut [], &mut interrupts);
    let Turn::Taken(_turn) = runtime.block_on(taken).unwrap() else { panic!("nobody has it") };
    held.daemon.runs.start(job(RunId::make(), move || prepare(request)));
    held.ends(1);
    let ended = held.said("ended").remove(0);
    assert_eq!((&ended["status"], held.daemon.served.failed), (&"skipped".into(), 0));
}

#[test]
fn a_run_is_told_of_as_its_own_text_says_and_files_as_often_as_they_break() {
    let dir = place("every = '1000h'");
    let flow = dir.path().join("flow");
    fs::create_dir(&flow).unwrap();
    let path = flow.join("w.toml");
    // One write each: two messages at once would else be mixed.
    let notify = r#"[[notify]]
on = ['success', 'broken']
command = ['sh', '-c', 'message=$(cat); printf "%s\n" "$message" >> ../told']
"#;
    let text = fs::read_to_string(dir.path().join("w.toml")).unwrap();
    let telling = format!("{text}{notify}");
    fs::write(&path, &telling).unwrap();
    let mut held = HeldDaemon::new(&dir, |options| options.paths = vec![path.clone()]);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let entered = runtime.enter();
    held.daemon.begin_notices();
    let told = |held: &mut HeldDaemon| -> Vec<String> {
        runtime.block_on(held.daemon.end_notices());
        held.daemon.begin_notices();
        let text = fs::read_to_string(dir.path().join("told")).unwrap_or_default();
        let titles = text.lines().map(|line| serde_json::from_str::<Json>(line).unwrap()["title"].clone());
        titles.map(|title| title.as_str().unwrap().replace(&path.display().to_string(), "FILE")).collect()
    };
    let write = |held: &mut HeldDaemon, text: &str| {
        fs::write(&path, text).unwrap();
        held.daemon.load(true);
    };
    write(&mut held, "nonsense = [");
    write(&mut held, &telling);
    assert_eq!(told(&mut held).len(), 2, "broken and whole again");
    // One more load is no news.
    write(&mut held, &format!("{telling}\n"));
    let mut titles = told(&mut held);
    titles.sort();
    assert_eq!(titles, ["✓ FILE loads again", "✗ FILE does not load: 1 error"]);

    // A run whose file was edited before it ended.
    let of = claim(&mut held.daemon, 1);
    let opened = held.daemon.schedules["w/s"].opened.clone();
    let request = crate::core::run_request::RunRequest {
        workflow: path.clone(),
        trigger: Trigger::Schedule,
        scheduled: Some(crate::core::schedule::ScheduledRun { schedule: "w/s".into(), at: Some(of.1) }),
        ..Default::default()
    };
    let prepare = Box::new(move || prepare_opened(request, (*opened).clone()));
    held.daemon.runs.start(Job { run: of.0, of: Some(("w/s".into(), of.1)), prepare, max_runtime: None });
    write(&mut held, &text);
    drop(entered);
    held.ends(1);
    let _entered = runtime.enter();
    assert_eq!(told(&mut held).last().unwrap(), "✓ w/s: succeeded, 1 of 1 nodes ran");
}
