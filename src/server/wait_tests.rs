//! What a daemon waits for, and what it does when that comes.

use std::fs;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::*;
use crate::core::run_id::RunId;
use crate::ops::Error;
use crate::ops::schedules::backfill::{Backfill, BackfillRequest};
use crate::server::tests::decisions::{ALL, HeldDaemon, ask, edit};
use crate::server::tests::place;
use crate::storage::schedules::requests::{self, Answer, State};

struct Ends {
    signals: UnboundedSender<Interrupt>,
    _commands: UnboundedSender<DaemonCommand>,
}

/// What a daemon waits for, with the other ends. Its news come from now on to the waits.
fn waits(held: &mut HeldDaemon) -> (Waits, Ends) {
    let (signals, interrupts) = unbounded_channel();
    let (commands, asked) = unbounded_channel();
    let (_, nothing) = unbounded_channel();
    let news = std::mem::replace(&mut held.news, nothing);
    (Waits::new(&held.daemon, interrupts, news, asked), Ends { signals, _commands: commands })
}

fn fails(run: RunId) -> Job {
    let prepare = Box::new(|| Err(Error::invalid("it was only to take a place")));
    Job { run, of: None, prepare, max_runtime: None }
}

/// A backfill of two instants of `w/s`, one after the other.
fn two_instants(dir: &tempfile::TempDir) -> Backfill {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let wanted = BackfillRequest {
        from: at("2026-01-01T00:00:00Z"),
        to: at("2026-01-01T00:10:00Z"),
        all: true,
        newest_first: false,
        jobs: 1,
        keep_going: true,
    };
    let backfill = Backfill::new(Some(&dir.path().join("home")), "w/s", wanted, Default::default()).unwrap();
    assert_eq!(backfill.instants().len(), 2);
    backfill
}

#[test]
fn it_waits_for_whatever_comes_first() {
    let dir = place("every = '1000h'");
    let mut held = HeldDaemon::new(&dir, |_| {});
    let (mut waits, _ends) = waits(&mut held);
    let daemon = &mut held.daemon;
    let second = Duration::from_secs(1);
    let now = daemon.clock.now();
    assert_eq!(daemon.pause(&waits, None), Duration::ZERO, "the first look at files comes at once");
    waits.look = Instant::now() + LOOK;
    assert!(daemon.pause(&waits, None) > 1000 * second);
    daemon.next.insert("w/s".into(), Some(now + SignedDuration::from_secs(60)));
    assert!(daemon.pause(&waits, None) <= 60 * second);
    waits.look = Instant::now() + 30 * second;
    assert!(daemon.pause(&waits, None) <= 30 * second);
    daemon.next.insert("w/s".into(), Some(now - SignedDuration::from_secs(1)));
    assert_eq!(daemon.pause(&waits, None), Duration::ZERO);
    // After a fault what is due has to wait.
    assert!(daemon.pause(&waits, Some(Instant::now() + 20 * second)) > second);
    // Where nothing begins any more there is no look at files either.
    waits.look = Instant::now();
    daemon.stopping = Some(libc::SIGTERM);
    assert!(daemon.pause(&waits, None) > second);
}

#[test]
fn a_clock_that_was_set_is_noticed_in_either_direction() {
    let dir = place("every = '1000h'");
    let mut held = HeldDaemon::new(&dir, |_| {});
    let (mut waits, _ends) = waits(&mut held);
    let now = held.daemon.clock.now();
    for (drift, was_set) in [(0, false), (5, true), (0, true), (-5, true), (-5, false)] {
        waits.anchor.1 = Instant::now();
        assert_eq!(waits.clock_was_set(now + SignedDuration::from_secs(drift)), was_set, "{drift}");
    }
}

#[test]
fn a_decision_that_could_not_be_made_is_still_to_be_made_later() {
    let mut undecided = Undecided { about: ALL, held_off: None };
    undecided.take(&Err("it is locked".into()));
    assert_eq!(undecided.about, ALL);
    assert!(undecided.held_off.is_some_and(|until| until > Instant::now()));
    undecided.take(&Ok(()));
    assert_eq!((undecided.about, undecided.held_off), (About::default(), None));
}

#[test]
fn once_is_done_when_nothing_waits_or_runs() {
    let dir = place("every = '1000h'");
    let mut held = HeldDaemon::new(&dir, |options| options.once = true);
    held.daemon.act(ALL).unwrap();
    assert!(held.daemon.is_done());
    held.daemon.options.max_runs = 0;
    held.daemon.asked.push_back(fails(RunId::make()));
    assert!(!held.daemon.is_done(), "a run waits for a place");
    held.daemon.asked.clear();
    ask(&mut held, RunId::make());
    held.daemon.act(ALL).unwrap();
    assert!(!held.daemon.is_done(), "a run of a schedule waits for a place");
    held.daemon.options.max_runs = 1;
    held.daemon.act(ALL).unwrap();
    assert!(!held.daemon.is_done(), "it runs");
    held.ends(1);
    assert!(held.daemon.is_done());
}

#[tokio::test]
async fn one_run_is_cancelled_and_no_other() {
    let dir = place("every = '1000h'");
    edit(&dir, "run = 'true'", "run = 'sleep 600; : cancelled'");
    let mut held = HeldDaemon::new(&dir, |_| {});
    let runs = [RunId::make(), RunId::make()];
    for run in runs {
        let request = crate::core::run_request::RunRequest {
            workflow: dir.path().join("w.toml"),
            ..Default::default()
        };
        let prepare = Box::new(move || crate::ops::prepare::prepare(request));
        held.daemon.runs.start(Job { run, of: None, prepare, max_runtime: None });
    }
    for left in [1, 0] {
        let (reply, answer) = oneshot::channel();
        held.daemon.take_command(DaemonCommand::Cancel { run: runs[left], reply });
        assert!(answer.await.unwrap());
        let Some(News::Ended(end)) = held.news.recv().await else { panic!("it ends") };
        assert_eq!(end.run, runs[left]);
        held.daemon.take_end(*end);
        assert_eq!(held.daemon.runs.count(), left);
        // Whatever else was ended would be heard of by now.
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(held.news.try_recv().is_err());
    }
}

#[test]
fn a_file_that_does_not_load_is_looked_at_more_often() {
    let dir = place("every = '1000h'");
    let mut held = HeldDaemon::new(&dir, |_| {});
    let (mut waits, _ends) = waits(&mut held);
    held.daemon.look(&mut waits);
    assert!(waits.look > Instant::now() + 2 * BROKEN_LOOK);
    edit(&dir, "every", "nonsense = [");
    held.daemon.look(&mut waits);
    assert!(waits.look <= Instant::now() + BROKEN_LOOK);
    assert_eq!(held.said("broken").len(), 1);
}

#[test]
fn one_look_does_all_that_is_due() {
    let dir = place("every = '1000h'");
    let mut held = HeldDaemon::new(&dir, |_| {});
    // The clock had been ahead, and is set right.
    let ahead = held.daemon.clock.now() + SignedDuration::from_hours(1);
    let sql = "UPDATE schedule SET accounted_ms = ?1, since_ms = ?1";
    held.database().execute(sql, [ahead.as_millisecond()]).unwrap();
    held.daemon.asked.push_back(fails(RunId::make()));
    held.daemon.act(ALL).unwrap();
    assert!(held.daemon.next.contains_key("w/s"), "it has decided again");
    assert_eq!(held.daemon.runs.count(), 1);
    held.ends(1);
}

#[tokio::test]
async fn what_was_asked_before_the_first_look_is_done_and_warnings_are_said() {
    let dir = place("every = '1000h'");
    let mut held = HeldDaemon::new(&dir, |options| options.once = true);
    let (run, home) = (RunId::make(), held.daemon.home.clone());
    let request = ask(&mut held, run);
    held.daemon.runs.sender().send(News::Warning("beside it".into())).unwrap();
    let (waits, _ends) = waits(&mut held);
    held.daemon.live(waits).await;
    let db = held.database();
    assert_eq!(requests::state(&db, &home, request).unwrap(), State::Answered(Answer::Accepted));
    assert_eq!(held.said("ended")[0]["status"], "succeeded");
    assert_eq!(held.said("warning")[0]["message"], "beside it");
}

#[tokio::test]
async fn once_with_a_database_that_refuses_is_a_failure() {
    let dir = place("every = '1000h'");
    let mut held = HeldDaemon::new(&dir, |options| options.once = true);
    let database = dir.path().join("home/runner.db");
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", database.display()));
    }
    fs::create_dir(&database).unwrap();
    let (waits, _ends) = waits(&mut held);
    held.daemon.live(waits).await;
    assert_eq!((held.daemon.served.failed, held.said("warning").len()), (1, 1), "{:?}", held.events);
}

#[tokio::test]
async fn commands_begin_and_end_what_they_name_and_nothing_while_it_stops() {
    let dir = place("every = '10m'");
    let mut held = HeldDaemon::new(&dir, |options| options.max_runs = 0);
    let (one, other) = (RunId::make(), RunId::make());
    held.daemon.asked.extend([fails(one), fails(other)]);
    let (reply, answer) = oneshot::channel();
    held.daemon.take_command(DaemonCommand::Cancel { run: one, reply });
    assert!(answer.await.unwrap());
    assert_eq!(held.daemon.asked.iter().map(|job| job.run).collect::<Vec<_>>(), [other]);
    let (reply, answer) = oneshot::channel();
    held.daemon.take_command(DaemonCommand::Cancel { run: one, reply });
    assert!(!answer.await.unwrap(), "it is none of its runs");
    let mut about = About::default();
    held.daemon.take_signal(libc::SIGTERM, &mut about);
    assert!(held.daemon.asked.is_empty());
    let (reply, answer) = oneshot::channel();
    held.daemon.take_command(DaemonCommand::Backfill { backfill: Box::new(two_instants(&dir)), reply });
    assert!(!answer.await.unwrap() && held.daemon.runs.is_idle());
    let prepared = crate::ops::prepare::prepare(crate::core::run_request::RunRequest {
        workflow: dir.path().join("w.toml"),
        ..Default::default()
    });
    let (reply, answer) = oneshot::channel();
    let prepared = Box::new(prepared.unwrap());
    held.daemon.take_command(DaemonCommand::Start { run: one, prepared, reply });
    assert!(answer.await.unwrap().is_err() && held.daemon.asked.is_empty());
}

#[tokio::test]
async fn a_backfill_is_finished_after_one_signal_and_ended_by_the_second() {
    let dir = place("every = '10m'");
    edit(
        &dir,
        "run = 'true'",
        "run = 'echo x >> count; while [ ! -e go ]; do sleep 0.02; done'\ncache = false\ncwd = 'workflow'",
    );
    for signals in [1, 2] {
        for name in ["count", "go"] {
            let _ = fs::remove_file(dir.path().join(name));
        }
        // Its own instants are none of this.
        let mut held = HeldDaemon::new(&dir, |options| options.max_runs = 0);
        held.daemon.runs.start_backfill(two_instants(&dir));
        assert!(!held.daemon.runs.is_idle());
        let (waits, ends) = waits(&mut held);
        let count = || fs::read_to_string(dir.path().join("count")).unwrap_or_default().lines().count();
        let said = held.events.clone();
        let acts = async {
            while count() == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            for _ in 0..signals {
                ends.signals.send(Interrupt::Signal(libc::SIGTERM)).unwrap();
            }
            while !said.lock().unwrap().iter().any(|event| event["event"] == "stopping") {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            // With one signal it goes on until it is done by itself.
            if signals == 1 {
                fs::write(dir.path().join("go"), "").unwrap();
            }
        };
        let both = async { tokio::join!(held.daemon.live(waits), acts) };
        tokio::time::timeout(Duration::from_secs(60), both).await.expect("it ends");
        assert_eq!(count(), 1, "no further instant is begun");
        assert!(held.daemon.runs.is_idle());
    }
}
