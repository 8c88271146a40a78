//! Single decisions of a daemon: what is registered, written and passed on.

use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::mpsc::UnboundedReceiver;

use super::*;
use crate::storage::schedules::EndedBy;
use crate::storage::schedules::claimant::wake_file;
use crate::storage::schedules::known;
use crate::storage::schedules::requests::{self, Answer, Request, State};

pub(in crate::server) const ALL: About = About { all: true, asked: true };

/// A daemon that has loaded and registered its file, with its news and what it said.
pub(in crate::server) struct HeldDaemon {
    pub(in crate::server) daemon: Daemon,
    pub(in crate::server) news: UnboundedReceiver<News>,
    pub(in crate::server) events: Arc<Mutex<Vec<Json>>>,
}

impl HeldDaemon {
    pub(in crate::server) fn new(dir: &tempfile::TempDir, change: impl FnOnce(&mut Options)) -> Self {
        let events = Arc::new(Mutex::new(Vec::new()));
        let heard = events.clone();
        let listener = Box::new(move |event: &ServerEvent| heard.lock().unwrap().push(event.to_json()));
        let mut options = options(dir);
        change(&mut options);
        let (mut daemon, news, _) = Daemon::new(options, Arc::new(SystemClock), listener).unwrap();
        daemon.load(false);
        daemon.register().unwrap();
        Self { daemon, news, events }
    }

    pub(in crate::server) fn said(&self, kind: &str) -> Vec<Json> {
        self.events.lock().unwrap().iter().filter(|event| event["event"] == kind).cloned().collect()
    }

    /// Takes in ends until this number of runs has ended.
    pub(in crate::server) fn ends(&mut self, count: usize) {
        for _ in 0..count {
            match self.news.blocking_recv().unwrap() {
                News::Ended(end) => self.daemon.take_end(*end),
                _ => panic!("only ends are expected"),
            }
        }
    }

    pub(in crate::server) fn database(&mut self) -> Connection {
        self.daemon.open_database().unwrap()
    }
}

pub(in crate::server) fn edit(dir: &tempfile::TempDir, from: &str, to: &str) {
    let path = dir.path().join("w.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from}: {text}");
    fs::write(&path, text.replace(from, to)).unwrap();
}

/// As if the schedule had been accounted for until `minutes` minutes ago.
fn was_away(held: &mut HeldDaemon, minutes: i64) {
    let then = Timestamp::now() - SignedDuration::from_mins(minutes);
    let sql = "UPDATE schedule SET accounted_ms = ?1, since_ms = ?1";
    held.database().execute(sql, [then.as_millisecond()]).unwrap();
}

/// Asks for a run of `w/s` under this id.
pub(in crate::server) fn ask(held: &mut HeldDaemon, run: RunId) -> i64 {
    let now = Timestamp::now();
    let request = Request::Trigger { run, at: now, given: Vec::new(), trigger: Trigger::Manual };
    let (mut db, home) = (held.database(), held.daemon.home.clone());
    requests::ask(&mut db, &home, "w/s", &request, now).unwrap().unwrap()
}

/// How often others have changed the database, as this connection sees it.
fn version(db: &Connection) -> i64 {
    db.query_row("PRAGMA data_version", [], |row| row.get(0)).unwrap()
}

#[test]
fn what_is_served_is_written_when_it_changes_and_forgotten_at_the_end() {
    let dir = place("every = '1000h'");
    let mut held = HeldDaemon::new(&dir, |_| {});
    let watching = held.database();
    let before = version(&watching);
    held.daemon.register().unwrap();
    assert_eq!(version(&watching), before, "nothing has changed");
    assert!(held.daemon.handle.snapshot().schedules.contains_key("w/s"));
    held.daemon.tick(ALL).unwrap();
    assert_eq!(held.daemon.next.len(), 1);
    edit(&dir, "[[schedules]]\nname = 's'\nevery = '1000h'\n", "");
    held.daemon.load(false);
    held.daemon.register().unwrap();
    assert_eq!((held.daemon.next.len(), held.daemon.queues.len()), (0, 0));
    held.daemon.end();
    let left = |table: &str| -> i64 {
        watching.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!((left("claimant"), left("schedule_served")), (0, 0));
}

#[test]
fn without_schedules_nothing_is_due_but_all_is_shown() {
    let dir = place("every = '1s'");
    let held = HeldDaemon::new(&dir, |options| options.schedules = false);
    assert!(held.daemon.schedules.is_empty());
    assert!(held.daemon.handle.snapshot().schedules.contains_key("w/s"));
}

#[test]
fn what_waits_is_kept_over_edits_and_forgotten_with_the_times() {
    let dir = place("every = '10m'\noverlap = 'queue'");
    let mut held = HeldDaemon::new(&dir, |options| options.max_runs = 0);
    was_away(&mut held, 15);
    held.daemon.tick(ALL).unwrap();
    let waits = |held: &HeldDaemon| held.daemon.queues["w/s"].is_waiting();
    assert!(waits(&held));
    for (from, to) in [("overlap", "keep_runs = 7\noverlap"), ("overlap = 'queue'", "overlap = 'allow'")] {
        edit(&dir, from, to);
        held.daemon.load(false);
        held.daemon.register().unwrap();
        assert!(waits(&held), "{to}");
    }
    edit(&dir, "'10m'", "'11m'");
    held.daemon.load(false);
    held.daemon.register().unwrap();
    assert!(!waits(&held));
}

#[test]
fn where_nothing_is_due_no_database_is_opened_and_a_lost_one_is_filled_again() {
    let dir = place("every = '1000h'");
    let mut held = HeldDaemon::new(&dir, |_| {});
    held.daemon.tick(ALL).unwrap();
    let path = dir.path().join("home/runner.db");
    let away = dir.path().join("away.db");
    fs::rename(&path, &away).unwrap();
    assert!(!held.daemon.tick(About::default()).unwrap());
    assert!(!path.exists());
    fs::rename(&away, &path).unwrap();
    // A row that is gone is written again.
    held.database().execute("DELETE FROM schedule", []).unwrap();
    held.daemon.tick(ALL).unwrap();
    assert!(held.daemon.registered.is_none());
    held.daemon.register().unwrap();
    assert!(held.daemon.registered.is_some());
    // A database that is none is set aside, which is said.
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", path.display()));
    }
    fs::write(&path, "this is no database, however long it may be looked at").unwrap();
    held.daemon.tick(ALL).unwrap();
    assert!(held.daemon.registered.is_none());
    assert_eq!(held.said("warning").len(), 1, "{:?}", held.events);
    held.daemon.register().unwrap();
    let (db, home) = (held.database(), held.daemon.home.clone());
    assert!(known::find(&db, &home, "w/s").unwrap().is_some());
}

#[test]
fn requests_are_answered_also_those_that_cannot_be_met() {
    let dir = place("every = '1000h'");
    let mut held = HeldDaemon::new(&dir, |_| {});
    let (run, home) = (RunId::make(), held.daemon.home.clone());
    let accepted = ask(&mut held, run);
    held.daemon.tick(ALL).unwrap();
    assert_eq!(held.daemon.runs.count(), 1);
    assert_eq!(held.daemon.begun["w/s"], 1);
    held.ends(1);
    assert_eq!(held.said("ended")[0]["run"], run.as_str());
    // It is not the schedule's turn any more, and the daemon has just heard of it.
    let late = ask(&mut held, RunId::make());
    held.daemon.schedules.clear();
    held.daemon.tick(ALL).unwrap();
    let db = held.database();
    assert_eq!(requests::state(&db, &home, accepted).unwrap(), State::Answered(Answer::Accepted));
    let State::Answered(Answer::Refused { reason }) = requests::state(&db, &home, late).unwrap() else {
        panic!("refused")
    };
    assert!(reason.contains("does not serve it any more"), "{reason}");
}

#[test]
fn a_run_of_another_daemon_is_replaced_by_asking_for_that_run_alone() {
    let script = |name: &str| format!("run = 'touch {name}; sleep 600; : {name}'");
    let dir = place("every = '1000h'\noverlap = 'replace'");
    edit(&dir, "run = 'true'", &script("began"));
    let mut first = HeldDaemon::new(&dir, |_| {});
    let (old, other) = (RunId::make(), RunId::make());
    ask(&mut first, old);
    first.daemon.tick(ALL).unwrap();
    // Beside it a run that belongs to nobody's schedule.
    let opened = first.daemon.schedules["w/s"].opened.clone();
    let request =
        crate::core::run_request::RunRequest { workflow: dir.path().join("w.toml"), ..Default::default() };
    let prepare = Box::new(move || prepare_opened(request, (*opened).clone()));
    first.daemon.runs.start(Job { run: other, of: None, prepare, max_runtime: None });

    let mut second = HeldDaemon::new(&dir, |_| {});
    let wake = wake_file(&second.daemon.home);
    let woken = || fs::metadata(&wake).and_then(|found| found.modified()).ok();
    // The first one is asked last: it serves the schedule as well.
    let (mut db, home) = (second.database(), second.daemon.home.clone());
    db.execute("DELETE FROM schedule_served WHERE claimant = ?1", [first.daemon.claimant.id]).unwrap();
    let now = Timestamp::now();
    let next = Request::Trigger { run: RunId::make(), at: now, given: Vec::new(), trigger: Trigger::Manual };
    requests::ask(&mut db, &home, "w/s", &next, now).unwrap().unwrap();
    let _ = fs::remove_file(&wake);
    second.daemon.tick(ALL).unwrap();
    assert!(woken().is_some(), "the first daemon is woken");
    let past = listing::of_run(&db, &home, old).unwrap().unwrap();
    assert_eq!(past.ended_by, Some(EndedBy::Replaced));
    assert_eq!(second.daemon.runs.count(), 0, "it waits for the end of the other one");

    first.daemon.tick(ALL).unwrap();
    let answered: Option<String> = db
        .query_row(
            "SELECT answer FROM schedule_request WHERE claimant = ?1 ORDER BY id DESC",
            [first.daemon.claimant.id],
            |row| row.get(0),
        )
        .unwrap();
    assert!(answered.unwrap().contains("accepted"));
    first.ends(1);
    let ended = first.said("ended").remove(0);
    assert_eq!((&ended["run"], &ended["status"]), (&old.as_str().into(), &"cancelled".into()));
    assert_eq!(first.daemon.runs.count(), 1, "the other run goes on");
    second.daemon.tick(ALL).unwrap();
    assert_eq!(second.daemon.runs.count(), 1);
    first.daemon.runs.interrupt_all(libc::SIGTERM);
    second.daemon.runs.interrupt_all(libc::SIGTERM);
    first.ends(1);
    second.ends(1);
}

#[test]
fn the_instant_of_a_daemon_that_died_before_its_run_began_comes_to_one_that_has_seen_it_settled() {
    let dir = place("every = '1s'\noverlap = 'allow'\ncatch_up = 'all'");
    let (mut dies, mut lives) =
        (HeldDaemon::new(&dir, |_| {}), HeldDaemon::new(&dir, |options| options.max_runs = 8));
    was_away(&mut lives, 0);
    while dies.said("instant").is_empty() {
        dies.daemon.tick(ALL).unwrap();
    }
    // Claimed, and its run has left no trace.
    let of = dies.said("instant").remove(0);
    let run: RunId = RunId::parse(of["run"].as_str().unwrap()).unwrap();
    dies.ends(dies.daemon.runs.count());
    lives.daemon.tick(ALL).unwrap();
    let db = lives.database();
    db.execute("UPDATE instant SET begun = 0, outcome = NULL WHERE run = ?1", [run]).unwrap();
    let home = lives.daemon.home.clone();
    fs::remove_dir_all(home.logs(run)).unwrap();
    drop(dies);
    lives.daemon.tick(ALL).unwrap();
    let came: Vec<Json> = lives.said("instant").into_iter().filter(|event| event["at"] == of["at"]).collect();
    assert_eq!(came.len(), 1, "{:?}", lives.said("instant"));
    lives.ends(lives.daemon.runs.count());
}
