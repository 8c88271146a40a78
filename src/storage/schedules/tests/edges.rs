//! Cases in which one condition alone decides: each of these fails without it.

use super::*;
use crate::storage::own_file::{self, Access};
use crate::storage::schedules::claimant::{is_alive, wake, wake_file};
use crate::storage::schedules::retention::prune;

fn count(world: &World, query: &str) -> i64 {
    world.db.query_row(query, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_run_whose_lock_is_gone_is_over_although_its_daemon_lives() {
    let mut world = world();
    let run = world.claim(60, Trigger::Schedule, world.claimant.id).unwrap();
    drop(world.begin(run));
    assert_eq!(world.status(run), "interrupted");
    let tick = Tick::begin(&mut world.db, &world.home).unwrap();
    assert_eq!(tick.live(NAME).unwrap(), []);
    assert_eq!(tick.free_dead().unwrap().len(), 1);
}

#[test]
fn a_dead_request_and_a_dead_backfill_are_over_and_free_no_instant() {
    let mut world = world();
    let dead = RunId::make();
    world.claim(60, Trigger::Schedule, world.claimant.id).unwrap();
    let asked = world.claim(61, Trigger::Manual, dead).unwrap();
    let filled = backfill_claim(dead, 62);
    backfill::claim(&mut world.db, &world.home, &filled, at(90), false).unwrap();
    let tick = Tick::begin(&mut world.db, &world.home).unwrap();
    assert_eq!(tick.live(NAME).unwrap().len(), 1);
    assert_eq!(tick.free_dead().unwrap().len(), 2);
    assert_eq!(tick.standing(NAME).unwrap().unwrap().accounted, at(61));
    tick.commit().unwrap();
    assert_eq!([world.status(asked), world.status(filled.run)], ["interrupted", "interrupted"]);
}

#[test]
fn backfills_do_not_count_as_going_on() {
    let mut world = world();
    let claim = backfill_claim(world.claimant.id, 60);
    backfill::claim(&mut world.db, &world.home, &claim, at(90), false).unwrap();
    let tick = Tick::begin(&mut world.db, &world.home).unwrap();
    assert_eq!(tick.live(NAME).unwrap(), []);
    drop(tick);
    // A backfill that begins later runs again what failed in an earlier one.
    let _lock = world.begin(claim.run);
    world.row(claim.run, "failed");
    let later = backfill_claim(world.claimant.id, 60);
    let answer = backfill::claim(&mut world.db, &world.home, &later, at(101), false).unwrap();
    assert_eq!(answer, backfill::BackfillAnswer::Claimed);
}

#[test]
fn a_missed_instant_gives_way_and_is_no_settled_one() {
    let mut world = world();
    let claimant = world.claimant.id;
    let missed = |minute, became| Record {
        schedule: NAME,
        at: at(minute),
        fires: at(minute),
        became,
        reason: None,
        claimant,
        now: at(99),
    };
    let tick = Tick::begin(&mut world.db, &world.home).unwrap();
    assert!(tick.record(&missed(60, Became::Missed)).unwrap());
    assert!(tick.record(&missed(61, Became::Paused)).unwrap());
    let settled = tick.standing(NAME).unwrap().unwrap().settled;
    assert_eq!(settled.into_iter().collect::<Vec<_>>(), [at(61)]);
    assert!(!tick.record(&missed(61, Became::Missed)).unwrap());
    tick.commit().unwrap();
    assert!(world.claim(60, Trigger::CatchUp, claimant).is_some());
    assert!(world.claim(61, Trigger::CatchUp, claimant).is_none());
}

#[test]
fn accounting_behind_the_first_sight_moves_it() {
    let mut world = world();
    let tick = Tick::begin(&mut world.db, &world.home).unwrap();
    tick.account(NAME, at(-10)).unwrap();
    let standing = tick.standing(NAME).unwrap().unwrap();
    assert_eq!((standing.accounted, standing.since), (at(-10), at(-10)));
}

#[test]
fn an_end_and_a_reason_are_noted_of_runs_that_go_on_only() {
    let mut world = world();
    let done = world.run(1, "succeeded");
    let begun = world.claim(2, Trigger::Schedule, world.claimant.id).unwrap();
    let _lock = world.begin(begun);
    note_end(&world.db, done, EndedBy::Timeout).unwrap();
    note_not_begun(&world.db, begun, Status::Failed, "no").unwrap();
    let past = |run| listing::of_run(&world.db, &world.home, run).unwrap().unwrap();
    assert_eq!((past(done).ended_by, past(begun).reason), (None, None));
}

#[test]
fn daemons_are_known_with_what_they_serve_now_and_forgotten() {
    let mut world = world();
    let serve = |world: &mut World, names: &[&str]| {
        let server = Server { claimant: world.claimant.id, pid: 1, started: at(0), url: None };
        let loaded = names.iter().map(|name| Loaded {
            name: (*name).into(),
            path: "/w.toml".into(),
            times: "x".into(),
            settings: "{}".into(),
        });
        known::serve(&mut world.db, &world.home, &server, &loaded.collect::<Vec<_>>(), at(1)).unwrap();
    };
    let served = |world: &World| {
        let all = known::all(&world.db, &world.home).unwrap();
        all.into_iter().filter(|known| known.served.is_some()).map(|known| known.name).collect::<Vec<_>>()
    };
    serve(&mut world, &["etl/a", "etl/b"]);
    assert_eq!(served(&world), ["etl/a", "etl/b"]);
    serve(&mut world, &["etl/b"]);
    assert_eq!(served(&world), ["etl/b"]);
    // A daemon that was killed is nobody to ask, and the next one clears up behind it.
    world.claimant = Claimant::new(&world.home).unwrap();
    let cancel = Request::Cancel { run: RunId::make() };
    assert_eq!(requests::ask(&mut world.db, &world.home, "etl/b", &cancel, at(2)).unwrap(), None);
    assert!(served(&world).is_empty());
    serve(&mut world, &["etl/a"]);
    assert_eq!(count(&world, "SELECT count(*) FROM claimant"), 1);
    // What another one is asked is none of its business.
    let id = requests::ask(&mut world.db, &world.home, "etl/a", &cancel, at(2)).unwrap().unwrap();
    let tick = Tick::begin(&mut world.db, &world.home).unwrap();
    assert_eq!(tick.asked(RunId::make()).unwrap(), []);
    assert_eq!(tick.asked(world.claimant.id).unwrap().len(), 1);
    tick.answer(id, &Answer::Accepted).unwrap();
    assert_eq!(tick.asked(world.claimant.id).unwrap(), []);
    tick.commit().unwrap();
    known::leave(&mut world.db, world.claimant.id).unwrap();
    for table in ["claimant", "schedule_served", "schedule_request"] {
        assert_eq!(count(&world, &format!("SELECT count(*) FROM {table}")), 0, "{table}");
    }
}

#[test]
fn locks_of_the_dead_are_swept_and_those_of_the_living_stay() {
    let world = world();
    let folder = wake_file(&world.home).parent().unwrap().to_owned();
    let dead = RunId::make();
    own_file::open(&folder.join(dead.as_str()), Access::Keep).unwrap();
    let second = Claimant::new(&world.home).unwrap();
    assert!(!folder.join(dead.as_str()).exists());
    assert!(folder.join(world.claimant.id.as_str()).exists() && is_alive(&world.home, world.claimant.id));
    let path = folder.join(second.id.as_str());
    drop(second);
    assert!(!path.exists());
    wake(&world.home);
    assert!(wake_file(&world.home).exists());
}

#[test]
fn pauses_that_are_over_go_and_the_one_that_lasts_stays() {
    let mut world = world();
    known::pause(&mut world.db, NAME, Path::new("/w.toml"), at(1), "ada", None).unwrap();
    known::resume(&mut world.db, NAME, at(2)).unwrap();
    known::pause(&mut world.db, NAME, Path::new("/w.toml"), at(5), "ada", None).unwrap();
    world.claim(10, Trigger::Schedule, world.claimant.id).unwrap();
    prune(&mut world.db, &world.home, NAME, 9).unwrap();
    assert_eq!(count(&world, "SELECT count(*) FROM schedule_pause"), 1);
    assert_eq!(count(&world, "SELECT count(*) FROM schedule_pause WHERE until_ms IS NULL"), 1);
}

#[test]
fn a_run_that_goes_on_stays_however_old_it_is() {
    let mut world = world();
    let live = world.claim(1, Trigger::Schedule, world.claimant.id).unwrap();
    let _lock = world.begin(live);
    world.run(2, "succeeded");
    let last = world.run(3, "succeeded");
    assert_eq!(prune(&mut world.db, &world.home, NAME, 1).unwrap(), 1);
    assert!(history::is_known(&world.db, live) && history::is_known(&world.db, last));
}

#[test]
fn a_dead_run_that_somebody_marked_is_still_the_daemons_to_tell() {
    let mut world = world();
    let dies = Claimant::new(&world.home).unwrap();
    let run = world.claim(60, Trigger::Schedule, dies.id).unwrap();
    drop((world.begin(run), dies));
    // As any process does that opens the home.
    world.row(run, "interrupted");
    assert_eq!(world.status(run), "interrupted");
    let tick = Tick::begin(&mut world.db, &world.home).unwrap();
    assert_eq!(tick.live(NAME).unwrap(), []);
    assert_eq!(tick.free_dead().unwrap().iter().map(|died| died.run).collect::<Vec<_>>(), [run]);
    tick.commit().unwrap();
    let past = listing::of_run(&world.db, &world.home, run).unwrap().unwrap();
    assert!(past.run.unwrap().finished.is_some());
}
