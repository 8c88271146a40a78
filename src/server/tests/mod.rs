//! A daemon in this process: a clock that a test sets, and runs that end in a fault of the program.

pub(in crate::server) mod decisions;
mod ends;

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::daemon::Daemon;
use super::events::ServerEvent;
use super::runs::{Job, News};
use super::tick::About;
use super::*;
use crate::core::clock::{Clock, SystemClock};
use crate::core::run_id::RunId;
use crate::core::schedule::Trigger;
use crate::engine::Interrupt;
use crate::ops::prepare::prepare_opened;
use crate::storage::history::{self, RUNNING, Run};
use crate::storage::home::Home;
use crate::storage::schedules::claimant::wake;
use crate::storage::schedules::tick::{Claim, Record, Tick};
use crate::storage::schedules::{Became, listing};

/// The system's clock, moved by what a test says.
#[derive(Default)]
struct MovedClock(Mutex<SignedDuration>);

impl MovedClock {
    fn add(&self, more: SignedDuration) {
        *self.0.lock().unwrap() += more;
    }

    fn set(&self, to: &str) {
        *self.0.lock().unwrap() = to.parse::<Timestamp>().unwrap().duration_since(Timestamp::now());
    }
}

impl Clock for MovedClock {
    fn now(&self) -> Timestamp {
        Timestamp::now() + *self.0.lock().unwrap()
    }
}

/// A folder with one workflow of one task and this schedule.
pub(in crate::server) fn place(schedule: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "[workflow]\nname = 'w'\n[[schedules]]\nname = 's'\n{schedule}\n[tasks.t]\nrun = 'true'\n[nodes.t]\n"
    );
    fs::write(dir.path().join("w.toml"), text).unwrap();
    dir
}

fn options(dir: &tempfile::TempDir) -> Options {
    Options {
        paths: vec![dir.path().join("w.toml")],
        home: Some(dir.path().join("home")),
        jobs: None,
        max_runs: 4,
        once: false,
        on_exit: OnExit::Finish,
        schedules: true,
        web: None,
    }
}

/// A daemon at work on a thread of its own, under a clock that a test sets.
struct LiveDaemon {
    home: Home,
    clock: Arc<MovedClock>,
    events: Arc<Mutex<Vec<Json>>>,
    signals: UnboundedSender<Interrupt>,
    thread: std::thread::JoinHandle<()>,
}

impl LiveDaemon {
    fn begin(dir: &tempfile::TempDir, at: &str) -> Self {
        let (clock, events) = (Arc::new(MovedClock::default()), Arc::new(Mutex::new(Vec::new())));
        clock.set(at);
        let heard = events.clone();
        let listener = Box::new(move |event: &ServerEvent| heard.lock().unwrap().push(event.to_json()));
        let (signals, receiver) = unbounded_channel();
        let (options, own) = (options(dir), clock.clone());
        let home = Home::locate(options.home.as_deref()).unwrap();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(serve(options, own, listener, receiver)).unwrap();
        });
        let served = Self { home, clock, events, signals, thread };
        served.wait("it is ready", || served.events.lock().unwrap().iter().any(|e| e["event"] == "serving"));
        served
    }

    /// Sets the clock, and wakes the daemon, which would notice it by itself within ten seconds.
    fn set(&self, to: &str) {
        self.clock.set(to);
        wake(&self.home);
    }

    /// What became of instants, with the end of each.
    fn became(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        let instants = events.iter().filter(|event| event["event"] == "instant");
        instants
            .map(|e| format!("{} {}", &e["at"].as_str().unwrap()[..16], e["became"].as_str().unwrap()))
            .collect()
    }

    fn wait(&self, what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < Duration::from_secs(60), "in vain: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn end(self) {
        self.signals.send(Interrupt::Signal(libc::SIGTERM)).unwrap();
        self.thread.join().unwrap();
    }
}

#[test]
fn a_clock_that_jumps_is_noticed_and_one_that_is_set_back_fires_nothing_twice() {
    let dir = place("cron = '0 * * * *'");
    let served = LiveDaemon::begin(&dir, "2031-01-01T00:59:58Z");
    let waits = |count: usize| served.wait("instants", || served.became().len() >= count);
    waits(1);
    assert_eq!(served.became(), ["2031-01-01T01:00 fired"]);
    // An outage of three hours and a bit.
    served.set("2031-01-01T04:30:00Z");
    waits(4);
    assert_eq!(
        served.became()[1..],
        ["2031-01-01T02:00 missed", "2031-01-01T03:00 missed", "2031-01-01T04:00 caught_up"]
    );
    // A clock that had been wrong by years is set right; 01:00 of that day comes again, and is done already.
    served.set("2031-01-01T00:59:58Z");
    std::thread::sleep(Duration::from_millis(2500));
    served.set("2026-03-10T11:59:58Z");
    waits(5);
    assert_eq!(served.became()[4..], ["2026-03-10T12:00 fired"]);
    served.end();
}

#[test]
fn edited_times_have_missed_nothing_and_edited_jitter_counts_at_once() {
    let dir = place("cron = '0 * * * *'\ncatch_up = 'all'");
    let path = dir.path().join("w.toml");
    let served = LiveDaemon::begin(&dir, "2031-01-01T00:30:00Z");
    let edit = |from: &str, to: &str| {
        let loaded = || served.events.lock().unwrap().iter().filter(|e| e["event"] == "loaded").count();
        let before = loaded();
        fs::write(&path, fs::read_to_string(&path).unwrap().replace(from, to)).unwrap();
        served.wait("the edit is loaded", || loaded() > before);
    };
    served.set("2031-01-01T00:59:55Z");
    // With a jitter of nearly an hour the next run is far away; without it, at the hour.
    edit("catch_up", "jitter = '59m'\ncatch_up");
    edit("jitter = '59m'\n", "");
    served.wait("it fires", || served.became() == ["2031-01-01T01:00 fired"]);
    edit("0 * * * *", "*/30 * * * *");
    served.set("2031-01-01T01:29:58Z");
    served.wait("the new time", || served.became().len() == 2);
    assert_eq!(served.became()[1], "2031-01-01T01:30 fired");
    served.end();
}

/// Claims an instant for a run of a daemon.
fn claim(daemon: &mut Daemon, minute: i64) -> (RunId, Timestamp) {
    let (run, at) = (RunId::make(), Timestamp::from_second(1_800_000_000 + minute * 60).unwrap());
    let claim = Claim {
        schedule: "w/s",
        at,
        fires: at,
        became: Became::Fired,
        trigger: Trigger::Schedule,
        run,
        claimant: daemon.claimant.id,
        now: at,
    };
    let mut db = daemon.open_database().unwrap();
    let tick = Tick::begin(&mut db, &daemon.home).unwrap();
    assert!(tick.claim(&claim).unwrap());
    tick.commit().unwrap();
    (run, at)
}

/// A run that the history knows, as far as its first row.
fn row(run: RunId) -> Run {
    Run {
        id: run,
        workflow: "w".into(),
        path: "/w.toml".into(),
        project: "default".into(),
        domain: "development".into(),
        status: RUNNING.into(),
        started: Timestamp::UNIX_EPOCH,
        finished: None,
        counts: Default::default(),
        saved_ms: 0,
    }
}

#[test]
fn a_panic_ends_the_run_that_it_is_in_and_no_other() {
    let dir = place("every = '1000h'\n[[notify]]\ncommand = ['sh', '-c', 'cat >> ../told']\n");
    // The command's folder is the workflow's.
    let flow = dir.path().join("flow");
    fs::create_dir(&flow).unwrap();
    fs::rename(dir.path().join("w.toml"), flow.join("w.toml")).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = told.clone();
    let listener = Box::new(move |event: &ServerEvent| heard.lock().unwrap().push(event.to_json()));
    let options = Options { paths: vec![flow.join("w.toml")], ..options(&dir) };
    let (mut daemon, mut news, _commands) = Daemon::new(options, Arc::new(SystemClock), listener).unwrap();
    daemon.load(false);
    daemon.register().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    daemon.begin_notices();

    let (early, late, fine) = (claim(&mut daemon, 1), claim(&mut daemon, 2), claim(&mut daemon, 3));
    let job = |of: (RunId, Timestamp), prepare| Job {
        run: of.0,
        of: Some(("w/s".to_owned(), of.1)),
        prepare,
        max_runtime: None,
    };
    daemon.runs.start(job(early, Box::new(|| panic!("before it began"))));
    let (home, run) = (daemon.home.clone(), late.0);
    let after_its_row = move || {
        let _lock = home.begin_run(run).unwrap();
        let (db, _) = crate::storage::db::open(home.path()).unwrap();
        history::record_run(&db, &row(run)).unwrap();
        panic!("in the middle");
    };
    daemon.runs.start(job(late, Box::new(after_its_row)));
    let opened = daemon.schedules["w/s"].opened.clone();
    let request = crate::core::run_request::RunRequest {
        workflow: flow.join("w.toml"),
        trigger: Trigger::Schedule,
        scheduled: Some(crate::core::schedule::ScheduledRun { schedule: "w/s".into(), at: Some(fine.1) }),
        ..Default::default()
    };
    daemon.runs.start(job(fine, Box::new(move || prepare_opened(request, (*opened).clone()))));
    for _ in 0..3 {
        match runtime.block_on(news.recv()).unwrap() {
            News::Ended(end) => daemon.take_end(*end),
            _ => panic!("only ends are expected"),
        }
    }
    assert_eq!(daemon.runs.count(), 0);

    let mut db = daemon.open_database().unwrap();
    let past = |db: &rusqlite::Connection, run| listing::of_run(db, &daemon.home, run).unwrap().unwrap();
    let status = |db: &rusqlite::Connection, run| past(db, run).run.unwrap().status;
    assert_eq!([early, late, fine].map(|(run, _)| status(&db, run)), ["failed", "interrupted", "succeeded"]);
    let reason = past(&db, early.0).reason.unwrap();
    assert_eq!(reason, "a fault of runner ended it: before it began");
    // Nothing of it holds the next run up.
    let tick = Tick::begin(&mut db, &daemon.home).unwrap();
    assert_eq!((tick.live("w/s").unwrap(), tick.free_dead().unwrap()), (vec![], vec![]));
    drop(tick);
    let ended: Vec<_> = told.lock().unwrap().iter().filter(|e| e["event"] == "ended").cloned().collect();
    assert_eq!(ended.iter().filter(|event| event["status"] == "interrupted").count(), 2, "{ended:?}");
    runtime.block_on(daemon.end_notices());
    let text = fs::read_to_string(dir.path().join("told")).unwrap();
    for part in ["w/s could not begin", "before it began", "w/s was interrupted"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn what_a_daemon_did_not_tell_before_it_died_is_told_by_the_next_one_and_once() {
    let notify = "[[notify]]\non = ['failure', 'missed']\ncommand = ['sh', '-c', 'cat >> ../told']\n";
    let dir = place(&format!("every = '1000h'\n{notify}"));
    let flow = dir.path().join("flow");
    fs::create_dir(&flow).unwrap();
    fs::rename(dir.path().join("w.toml"), flow.join("w.toml")).unwrap();
    let begin = || {
        let options = Options { paths: vec![flow.join("w.toml")], ..options(&dir) };
        let (mut daemon, ..) = Daemon::new(options, Arc::new(SystemClock), Box::new(|_| {})).unwrap();
        daemon.load(false);
        daemon.register().unwrap();
        daemon
    };
    let mut dies = begin();
    let (failed, fine) = (claim(&mut dies, 1).0, claim(&mut dies, 2).0);
    let mut db = dies.open_database().unwrap();
    for (run, status) in [(failed, "failed"), (fine, "succeeded")] {
        history::record_run(&db, &Run { status: status.into(), ..row(run) }).unwrap();
    }
    let at = Timestamp::from_second(1_700_000_000).unwrap();
    let (schedule, claimant) = ("w/s", dies.claimant.id);
    let record = Record { schedule, at, fires: at, became: Became::Missed, reason: None, claimant, now: at };
    let home = dies.home.clone();
    let tick = Tick::begin(&mut db, &home).unwrap();
    assert!(tick.record(&record).unwrap());
    tick.commit().unwrap();

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let next = || {
        let mut daemon = begin();
        daemon.begin_notices();
        daemon.tick(About { all: true, asked: true }).unwrap();
        runtime.block_on(daemon.end_notices());
        let told = fs::read_to_string(dir.path().join("told")).unwrap_or_default();
        ["w/s failed", "w/s missed 1 instant"].map(|part| told.matches(&format!(" {part}\",")).count())
    };
    assert_eq!(next(), [0, 0], "it lives, and tells of it itself");
    drop(dies);
    assert_eq!(next(), [1, 1]);
    let untold = |db: &rusqlite::Connection| -> i64 {
        db.query_row("SELECT count(*) FROM instant WHERE untold", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(untold(&db), 0, "of the success as well, which nobody wants to hear of");
    assert_eq!(next(), [1, 1]);
}

/// What this process holds at rest: open files, and memory in KiB. The end of a run and its removal take a moment.
fn held_at_rest() -> (usize, u64) {
    let looks = (0..40).map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        held()
    });
    looks.reduce(|one, other| (one.0.min(other.0), one.1.min(other.1))).unwrap()
}

fn held() -> (usize, u64) {
    let files = fs::read_dir("/proc/self/fd").unwrap().count();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    (files, memory.trim().trim_end_matches(" kB").parse().unwrap())
}

/// A schedule each minute: fifty of them, and with `RUNNER_FAULTS=full`, alone in its process, a whole day.
#[test]
fn a_day_of_minutes_leaves_files_memory_and_history_as_they_were() {
    let is_full = std::env::var("RUNNER_FAULTS").is_ok_and(|asked| asked == "full");
    let minutes = if is_full { 24 * 60 } else { 50 };
    let dir = place("cron = '* * * * *'\nkeep_runs = 5");
    let served = LiveDaemon::begin(&dir, "2031-01-01T00:00:01Z");
    let ended = || served.events.lock().unwrap().iter().filter(|event| event["event"] == "ended").count();
    let mut first = None;
    for minute in 1..=minutes {
        served.clock.add(SignedDuration::from_secs(60));
        wake(&served.home);
        served.wait("a run", || ended() >= minute);
        if minute == minutes / 4 {
            first = Some(held_at_rest());
        }
    }
    let ((files, memory), (files_then, memory_then)) = (held_at_rest(), first.unwrap());
    let runs = |home: &Home| -> i64 {
        let (db, _) = crate::storage::db::open(home.path()).unwrap();
        db.query_row("SELECT count(*) FROM run", [], |row| row.get(0)).unwrap()
    };
    let (kept_late, home) = (runs(&served.home), served.home.clone());
    let events = served.events.lock().unwrap().clone();
    assert!(
        events.iter().filter(|event| event["event"] == "ended").all(|event| event["status"] == "succeeded")
    );
    served.end();
    // Old runs go while it runs, each twenty of them, and the rest at its end.
    assert!(kept_late <= 5 + 2 * 20, "{kept_late}");
    assert_eq!(runs(&home), 5);
    if is_full {
        assert!(files <= files_then + 2, "{files_then} open files became {files}");
        assert!(memory <= memory_then + 5 * 1024, "{memory_then} KiB became {memory}");
    }
}
