//! Claims, their ends and their reports, on a database of its own.

mod edges;

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use tempfile::TempDir;

use super::claimant::Claimant;
use super::known::{Loaded, Server};
use super::listing::Failures;
use super::requests::{Answer, Request, State};
use super::tick::{Claim, Record, Tick, note_end, note_not_begun, note_panicked};
use super::{Became, EndedBy, backfill, known, listing, requests, retention};
use crate::core::event::{Counts, Status};
use crate::core::run_id::RunId;
use crate::core::schedule::Trigger;
use crate::storage::db;
use crate::storage::history::{self, RUNNING, Run};
use crate::storage::home::{Home, RunLock};

const NAME: &str = "etl/nightly";

struct World {
    _dir: TempDir,
    home: Home,
    db: Connection,
    claimant: Claimant,
}

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + minute * 60).unwrap()
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::locate(Some(dir.path())).unwrap();
    home.create().unwrap();
    let (db, _) = db::open(home.path()).unwrap();
    let claimant = Claimant::new(&home).unwrap();
    let mut world = World { _dir: dir, home, db, claimant };
    world.serve("@hourly", at(0));
    world
}

impl World {
    fn serve(&mut self, times: &str, now: Timestamp) {
        let server = Server { claimant: self.claimant.id, pid: 1, started: at(0), url: None };
        let loaded =
            Loaded { name: NAME.into(), path: "/w.toml".into(), times: times.into(), settings: "{}".into() };
        known::serve(&mut self.db, &self.home, &server, &[loaded], now).unwrap();
    }

    fn claim(&mut self, minute: i64, trigger: Trigger, claimant: RunId) -> Option<RunId> {
        let run = RunId::make();
        let tick = Tick::begin(&mut self.db, &self.home).unwrap();
        let claim = Claim {
            schedule: NAME,
            at: at(minute),
            fires: at(minute),
            became: Became::Fired,
            trigger,
            run,
            claimant,
            now: at(minute),
        };
        let claimed = tick.claim(&claim).unwrap();
        if claimed {
            tick.account(NAME, at(minute)).unwrap();
        }
        tick.commit().unwrap();
        claimed.then_some(run)
    }

    /// Claims an instant and runs it to this end.
    fn run(&mut self, minute: i64, status: &str) -> RunId {
        let run = self.claim(minute, Trigger::Schedule, self.claimant.id).unwrap();
        let _lock = self.begin(run);
        self.row(run, status);
        run
    }

    fn begin(&mut self, run: RunId) -> RunLock {
        let lock = self.home.begin_run(run).unwrap();
        self.row(run, RUNNING);
        lock
    }

    fn row(&mut self, run: RunId, status: &str) {
        let row = Run {
            id: run,
            workflow: "etl".into(),
            path: "/w.toml".into(),
            project: "p".into(),
            domain: "d".into(),
            status: status.into(),
            started: at(0),
            finished: (status != RUNNING).then(|| at(1)),
            counts: Counts { nodes: 2, cached: 2, ..Counts::default() },
            saved_ms: 0,
        };
        history::record_run(&self.db, &row).unwrap();
        let invocation = format!(r#"{{"scheduled":{{"schedule":"{NAME}","scheduled_at":"{}"}}}}"#, at(7));
        self.db.execute("UPDATE run SET invocation = ?2 WHERE run = ?1", (run, invocation)).unwrap();
    }

    fn status(&self, run: RunId) -> String {
        listing::of_run(&self.db, &self.home, run).unwrap().unwrap().run.unwrap().status
    }

    fn failures(&self) -> Failures {
        listing::failures_in_a_row(&self.db, &self.home, NAME).unwrap()
    }
}

#[test]
fn an_instant_is_claimed_once_by_whoever_comes_first() {
    let mut world = world();
    let (mut other, _) = db::open(world.home.path()).unwrap();
    let first = world.claim(60, Trigger::Schedule, world.claimant.id);
    assert!(first.is_some());
    std::mem::swap(&mut world.db, &mut other);
    assert_eq!(world.claim(60, Trigger::Schedule, world.claimant.id), None);
    assert_eq!(world.claim(60, Trigger::CatchUp, world.claimant.id), None);
    assert!(world.claim(60, Trigger::Manual, world.claimant.id).is_some(), "a request is no instant");
    assert_eq!(world.status(first.unwrap()), RUNNING, "its process is about to begin it");
}

#[test]
fn what_becomes_of_a_run_stands_with_its_instant_and_outlives_its_row() {
    let mut world = world();
    let run = world.claim(60, Trigger::Schedule, world.claimant.id).unwrap();
    let lock = world.begin(run);
    assert_eq!(world.status(run), RUNNING);
    let tick = Tick::begin(&mut world.db, &world.home).unwrap();
    let live = tick.standing(NAME).unwrap().unwrap().live;
    assert_eq!(live.iter().map(|live| live.run).collect::<Vec<_>>(), [run]);
    drop(tick);
    world.row(run, "succeeded");
    drop(lock);
    world.db.execute("DELETE FROM run", []).unwrap();
    let past = listing::last(&world.db, &world.home, NAME).unwrap().unwrap();
    let ended = past.run.unwrap();
    assert!(ended.is_no_op() && ended.counts.cached == 2 && ended.duration_ms() == Some(60_000), "{ended:?}");
    let tick = Tick::begin(&mut world.db, &world.home).unwrap();
    assert_eq!(tick.standing(NAME).unwrap().unwrap().live, []);
}

#[test]
fn a_claim_whose_process_died_is_free_unless_its_run_had_begun() {
    let mut world = world();
    world.run(1, "succeeded");
    let dies = Claimant::new(&world.home).unwrap();
    let dead = dies.id;
    let never = world.claim(60, Trigger::Schedule, dead).unwrap();
    let began = world.claim(61, Trigger::Schedule, dead).unwrap();
    let lock = world.begin(began);
    // Killed between its first event and its first row.
    let early = world.claim(62, Trigger::Schedule, dead).unwrap();
    world.home.begin_run(early).unwrap();
    world.home.create_events(early).unwrap();
    drop((lock, dies));
    let tick = Tick::begin(&mut world.db, &world.home).unwrap();
    let died: Vec<_> = tick.free_dead().unwrap().iter().map(|died| (died.run, died.begun)).collect();
    assert_eq!(died, [(never, false), (began, true), (early, true)]);
    let standing = tick.standing(NAME).unwrap().unwrap();
    assert_eq!(standing.accounted, at(60) - SignedDuration::from_millis(1));
    assert_eq!(standing.settled.into_iter().collect::<Vec<_>>(), [at(61), at(62)]);
    assert_eq!(standing.live, []);
    tick.commit().unwrap();
    assert_eq!(world.status(began), "interrupted");
    assert_eq!(world.failures().count, 2);
    assert!(world.claim(60, Trigger::CatchUp, world.claimant.id).is_some());
}

#[test]
fn what_is_noted_of_one_run_leaves_dead_claims_to_who_tells_of_them() {
    let mut world = world();
    let own = world.claim(60, Trigger::Schedule, world.claimant.id).unwrap();
    let dead = world.claim(61, Trigger::Schedule, RunId::make()).unwrap();
    note_end(&world.db, own, EndedBy::Timeout).unwrap();
    note_not_begun(&world.db, own, Status::Failed, "no such file").unwrap();
    assert_eq!(world.status(own), "failed");
    let tick = Tick::begin(&mut world.db, &world.home).unwrap();
    assert_eq!(tick.free_dead().unwrap().iter().map(|died| died.run).collect::<Vec<_>>(), [dead]);
}

#[test]
fn a_dead_claim_holds_nobody_up_and_is_left_to_the_daemon() {
    let mut world = world();
    let dies = Claimant::new(&world.home).unwrap();
    let begun = world.claim(60, Trigger::Schedule, dies.id).unwrap();
    drop((world.begin(begun), dies));
    let waits = world.claim(61, Trigger::Schedule, world.claimant.id).unwrap();
    let tick = Tick::begin(&mut world.db, &world.home).unwrap();
    assert_eq!(tick.live(NAME).unwrap().iter().map(|live| live.run).collect::<Vec<_>>(), [waits]);
    tick.commit().unwrap();
    let claim = backfill_claim(world.claimant.id, 60);
    let answer = backfill::claim(&mut world.db, &world.home, &claim, at(90), false).unwrap();
    assert_eq!(answer, backfill::BackfillAnswer::Claimed);
    let tick = Tick::begin(&mut world.db, &world.home).unwrap();
    assert_eq!(tick.free_dead().unwrap().iter().map(|died| died.run).collect::<Vec<_>>(), [begun]);
}

#[test]
fn a_panic_ends_the_run_or_the_claim_with_its_reason() {
    let mut world = world();
    let early = world.claim(60, Trigger::Schedule, world.claimant.id).unwrap();
    let late = world.claim(61, Trigger::Schedule, world.claimant.id).unwrap();
    drop(world.begin(late));
    let done = world.run(62, "succeeded");
    for run in [early, late, done] {
        note_panicked(&world.db, run, "a fault").unwrap();
    }
    let ends = [early, late, done].map(|run| world.status(run));
    assert_eq!(ends, ["failed", "interrupted", "succeeded"]);
    let past = listing::of_run(&world.db, &world.home, early).unwrap().unwrap();
    assert_eq!(past.reason.as_deref(), Some("a fault"));
    assert_eq!(Tick::begin(&mut world.db, &world.home).unwrap().live(NAME).unwrap(), []);
}

#[test]
fn a_dead_claim_of_older_times_is_missed() {
    let mut world = world();
    let dead = RunId::make();
    world.claim(60, Trigger::Schedule, dead).unwrap();
    world.serve("@daily", at(70));
    let tick = Tick::begin(&mut world.db, &world.home).unwrap();
    assert_eq!(tick.free_dead().unwrap().len(), 1);
    assert_eq!(tick.standing(NAME).unwrap().unwrap().accounted, at(70));
    tick.commit().unwrap();
    let past = listing::last(&world.db, &world.home, NAME).unwrap().unwrap();
    assert_eq!((past.became, past.run), (Became::Missed, None));
}

#[test]
fn edited_times_begin_anew_and_the_same_ones_do_not() {
    let mut world = world();
    world.run(60, "succeeded");
    let standing = |world: &mut World| {
        let tick = Tick::begin(&mut world.db, &world.home).unwrap();
        let standing = tick.standing(NAME).unwrap().unwrap();
        (standing.since, standing.accounted)
    };
    world.serve("@hourly", at(90));
    assert_eq!(standing(&mut world), (at(0), at(60)));
    world.serve("@daily", at(90));
    assert_eq!(standing(&mut world), (at(90), at(90)));
}

#[test]
fn pauses_are_stretches_and_a_daemon_is_known_while_it_lives() {
    let mut world = world();
    let pause = |world: &mut World, name: &str, minute| {
        known::pause(&mut world.db, name, Path::new("/w.toml"), at(minute), "ada", Some("holiday")).unwrap()
    };
    assert!(pause(&mut world, NAME, 10) && !pause(&mut world, NAME, 11));
    assert!(pause(&mut world, "etl/other", 10), "one that nobody serves");
    let found = known::find(&world.db, &world.home, NAME).unwrap().unwrap();
    let paused = found.paused.unwrap();
    assert_eq!((paused.since, &*paused.by, paused.reason.as_deref()), (at(10), "ada", Some("holiday")));
    assert_eq!(found.served.unwrap().claimant, world.claimant.id);
    assert!(known::resume(&mut world.db, NAME, at(20)).unwrap());
    assert!(!known::resume(&mut world.db, NAME, at(21)).unwrap());
    let tick = Tick::begin(&mut world.db, &world.home).unwrap();
    assert_eq!(tick.standing(NAME).unwrap().unwrap().pauses, [(at(10), Some(at(20)))]);
    assert_eq!(tick.standing("etl/nobody").unwrap(), None);
    drop(tick);
    world.claimant = Claimant::new(&world.home).unwrap();
    let all = known::all(&world.db, &world.home).unwrap();
    assert_eq!(all.iter().map(|known| known.served.is_some()).collect::<Vec<_>>(), [false, false]);
    known::leave(&mut world.db, world.claimant.id).unwrap();
}

#[test]
fn failures_in_a_row_count_interruptions_and_timeouts_but_nothing_that_was_cancelled() {
    let mut world = world();
    world.run(1, "failed");
    let success = world.run(2, "succeeded");
    world.run(3, "failed");
    world.run(4, "cancelled");
    let late = world.claim(5, Trigger::Manual, world.claimant.id).unwrap();
    let lock = world.begin(late);
    let tick = Tick::begin(&mut world.db, &world.home).unwrap();
    tick.ends(late, EndedBy::Timeout).unwrap();
    tick.commit().unwrap();
    world.row(late, "cancelled");
    drop(lock);
    let refused = world.claim(6, Trigger::Schedule, world.claimant.id).unwrap();
    let tick = Tick::begin(&mut world.db, &world.home).unwrap();
    note_not_begun(&tick.transaction, refused, Status::Failed, "no such file").unwrap();
    tick.commit().unwrap();
    let expected = Failures { count: 3, since: Some(at(3)), last_success: Some(success) };
    assert_eq!(world.failures(), expected);
    let past = listing::of_run(&world.db, &world.home, refused).unwrap().unwrap();
    assert_eq!(past.reason.as_deref(), Some("no such file"));
    assert!(past.has_not_begun());
    let timed_out = listing::of_run(&world.db, &world.home, late).unwrap().unwrap();
    assert_eq!((timed_out.ended_by, timed_out.has_not_begun()), (Some(EndedBy::Timeout), false));
    let not_begun = |before, not_by: &[Trigger]| {
        let found = listing::not_begun(&world.db, &world.home, NAME, before, not_by, 9).unwrap();
        found.into_iter().map(|past| past.at).collect::<Vec<_>>()
    };
    assert_eq!(not_begun(at(7), &[Trigger::Backfill]), [at(6)]);
    assert_eq!((not_begun(at(6), &[]), not_begun(at(7), &[Trigger::Schedule])), (vec![], vec![]));
}

#[test]
fn instants_are_listed_newest_first_in_pages() {
    let mut world = world();
    world.run(3, "succeeded");
    let tick = Tick::begin(&mut world.db, &world.home).unwrap();
    let record = Record {
        schedule: NAME,
        at: at(2),
        fires: at(2),
        became: Became::Missed,
        reason: Some("nobody was there"),
        claimant: world.claimant.id,
        now: at(4),
    };
    assert!(tick.record(&record).unwrap());
    assert!(!tick.record(&Record { at: at(3), ..record }).unwrap(), "it has run");
    tick.commit().unwrap();
    world.run(1, "failed");
    let page = |before| listing::instants(&world.db, &world.home, NAME, before, 2).unwrap();
    let first = page(None);
    assert_eq!(first.iter().map(|past| past.at).collect::<Vec<_>>(), [at(3), at(2)]);
    assert_eq!(page(first.last()).iter().map(|past| past.at).collect::<Vec<_>>(), [at(1)]);
    assert_eq!(listing::counts(&world.db).unwrap()[&(NAME.to_owned(), Became::Fired)], 2);
}

#[test]
fn a_daemon_answers_what_it_is_asked() {
    let mut world = world();
    let request =
        Request::Trigger { run: RunId::make(), at: at(9), given: Vec::new(), trigger: Trigger::Manual };
    let ask = |world: &mut World, name: &str| {
        requests::ask(&mut world.db, &world.home, name, &request, at(9)).unwrap()
    };
    assert_eq!(ask(&mut world, "etl/nobody"), None);
    let id = ask(&mut world, NAME).unwrap();
    let state = |world: &World| requests::state(&world.db, &world.home, id).unwrap();
    assert_eq!(state(&world), State::Waiting);
    let tick = Tick::begin(&mut world.db, &world.home).unwrap();
    let asked = tick.asked(world.claimant.id).unwrap();
    assert_eq!((asked.len(), &asked[0].request, &*asked[0].schedule), (1, &request, NAME));
    tick.answer(id, &Answer::Accepted).unwrap();
    assert_eq!(tick.asked(world.claimant.id).unwrap(), []);
    tick.commit().unwrap();
    assert_eq!(state(&world), State::Answered(Answer::Accepted));
    let lost = ask(&mut world, NAME).unwrap();
    world.claimant = Claimant::new(&world.home).unwrap();
    assert_eq!(requests::state(&world.db, &world.home, lost).unwrap(), State::Lost);
}

fn backfill_claim(claimant: RunId, minute: i64) -> Claim<'static> {
    Claim {
        schedule: NAME,
        at: at(minute),
        fires: at(minute),
        became: Became::Fired,
        trigger: Trigger::Backfill,
        run: RunId::make(),
        claimant,
        now: at(100),
    }
}

#[test]
fn backfills_share_the_work() {
    let mut world = world();
    world.run(1, "succeeded");
    world.run(2, "failed");
    let claim = |world: &mut World, minute, all| {
        let claim = backfill_claim(world.claimant.id, minute);
        (backfill::claim(&mut world.db, &world.home, &claim, at(99), all).unwrap(), claim.run)
    };
    assert_eq!(claim(&mut world, 1, false).0, backfill::BackfillAnswer::Done);
    let (answer, run) = claim(&mut world, 2, false);
    assert_eq!(answer, backfill::BackfillAnswer::Claimed);
    assert_eq!(claim(&mut world, 2, false).0, backfill::BackfillAnswer::Busy(run));
    let lock = world.begin(run);
    world.row(run, "failed");
    drop(lock);
    assert_eq!(claim(&mut world, 2, false).0, backfill::BackfillAnswer::Done, "another one has just run it");
    // One whose process was killed has run nothing.
    let (answer, dead) = claim(&mut world, 3, false);
    assert_eq!(answer, backfill::BackfillAnswer::Claimed);
    drop(world.begin(dead));
    assert_eq!(claim(&mut world, 3, false).0, backfill::BackfillAnswer::Claimed);
    assert_eq!(claim(&mut world, 1, true).0, backfill::BackfillAnswer::Claimed);
    // The rows say in their requests that they are of minute 7.
    let found = backfill::succeeded(&world.db, NAME, at(0), at(9)).unwrap();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [at(1), at(7)]);
    assert_eq!(world.failures().count, 1, "backfills do not count");
}

#[test]
fn old_runs_and_instants_go_and_those_that_go_on_stay() {
    let mut world = world();
    let runs: Vec<RunId> = (1..=4).map(|minute| world.run(minute, "succeeded")).collect();
    let live = world.claim(5, Trigger::Schedule, world.claimant.id).unwrap();
    let _lock = world.begin(live);
    assert_eq!(retention::prune(&mut world.db, &world.home, NAME, 2).unwrap(), 3);
    let is_there = |run: &RunId| (history::is_known(&world.db, *run), world.home.logs(*run).exists());
    assert!(runs[..3].iter().all(|run| is_there(run) == (false, false)));
    assert_eq!((is_there(&runs[3]), is_there(&live)), ((true, true), (true, true)));
    assert_eq!(listing::instants(&world.db, &world.home, NAME, None, 9).unwrap().len(), 5);
    let many = "INSERT INTO instant (schedule, at_ms, fires_ms, became, trigger, claimant, claimed_ms) \
                WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2) \
                SELECT ?1, i + 2000000000000, i, 'missed', 'schedule', 'x', 0 FROM n";
    world.db.execute(many, (NAME, 10_002)).unwrap();
    retention::prune(&mut world.db, &world.home, NAME, 2).unwrap();
    let left = listing::instants(&world.db, &world.home, NAME, None, 20_000).unwrap();
    assert_eq!(left.len(), 10_001, "the newest, and the one that goes on");
    assert_eq!(left.last().unwrap().at, at(5));
}
