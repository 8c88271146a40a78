//! Cases in which a rule alone decides: each of these fails without it.

use jiff::SignedDuration;

use super::super::*;
use super::world::{at, hourly, with};
use crate::core::schedule::{CatchUp, Overlap};

#[test]
fn what_was_missed_once_is_not_missed_again_by_the_next_daemon() {
    let world = hourly("09:30").until("09:31").away_until("12:30").until("12:31");
    let world = world.away_until("14:30").until("14:31");
    assert_eq!(
        world.log(),
        "12:30:00 missed 10:00, 12:30:00 missed 11:00, 12:30:00 caught_up 12:00, 14:30:00 missed 13:00, \
         14:30:00 caught_up 14:00"
    );
}

#[test]
fn of_what_waits_to_be_caught_up_only_the_newest_is_run() {
    let mut world = with("09:30", |world| world.slots = 0).until("09:31");
    for now in ["12:30", "15:30"] {
        world.now = at(now);
        world.tick();
    }
    world.slots = 1;
    assert_eq!(
        world.until("15:40").log(),
        "12:30:00 missed 10:00, 12:30:00 missed 11:00, 15:30:00 missed 12:00, 15:30:00 missed 13:00, \
         15:30:00 missed 14:00, 15:30:00 caught_up 15:00"
    );
}

#[test]
fn what_is_caught_up_has_the_window_from_when_it_was_noticed() {
    let mut world = with("09:30", |world| {
        world.slots = 0;
        world.schedule.catch_up_window = SignedDuration::from_hours(1);
    });
    world = world.until("09:31").away_until("10:40");
    world.tick();
    world.now = at("11:10");
    world.schedule.catch_up = CatchUp::None;
    world.rows.insert(at("11:00"), Became::Fired);
    world.tick();
    world.slots = 1;
    world.tick();
    assert_eq!(world.log(), "11:10:00 caught_up 10:00");
}

#[test]
fn of_what_replaces_only_the_newest_is_run() {
    let mut world = with("09:30", |world| {
        world.slots = 0;
        world.schedule.overlap = Overlap::Replace;
    });
    world = world.until("11:00");
    world.slots = 1;
    world.tick();
    assert_eq!(world.log(), "11:00:00 overlapped 10:00, 11:00:00 fired 11:00");
}

#[test]
fn a_pause_that_begins_with_an_instant_has_it() {
    let mut world = hourly("09:30").until("10:30");
    world.pauses.push((at("11:00"), Some(at("12:00"))));
    assert_eq!(
        world.until("12:10").log(),
        "10:00:00 fired 10:00, 11:00:00 paused 11:00, 12:00:00 fired 12:00",
        "and one that ends with it has not"
    );
}

#[test]
fn a_clock_that_is_set_back_a_little_neither_loses_what_waits_nor_begins_it_early() {
    let mut world = with("11:30", |world| world.slots = 0).until("12:00");
    assert!(world.queue.is_waiting());
    world.slots = 1;
    world.now = at("11:59:59.990");
    world.tick();
    assert_eq!(world.until("12:30").log(), "12:00:00 fired 12:00");
}

#[test]
fn a_clock_that_is_set_right_has_its_last_minute_and_what_was_asked_for() {
    let mut world = hourly("2031-01-01T00:30:00").until("2031-01-01T01:00:00");
    world.log.clear();
    world.live.clear();
    world.slots = 0;
    world.ask();
    world.slots = 4;
    world.schedule.overlap = Overlap::Allow;
    world.now = at("10:00:30");
    assert_eq!(
        world.until("10:01").log(),
        "01:00:00 accepte 01:00, 10:00:30 asked 01:00, 10:00:30 fired 10:00"
    );
}

#[test]
fn what_waits_here_and_another_daemon_settled_is_left_alone() {
    let waiting = || with("09:30", |world| world.slots = 0).until("10:10");
    let mut world = waiting();
    world.rows.insert(at("10:00"), Became::Fired);
    world.slots = 4;
    assert_eq!(world.until("11:00").log(), "11:00:00 fired 11:00");
    // Or passed it over.
    let mut world = waiting();
    world.accounted = at("10:05");
    world.slots = 4;
    assert_eq!(world.until("11:00").log(), "11:00:00 fired 11:00");
}

#[test]
fn edited_times_forget_instants_and_keep_what_was_asked_for() {
    let mut world = with("09:30", |world| world.slots = 0).until("10:10");
    world.schedule.overlap = Overlap::Queue;
    world.ask();
    world.queue.forget_instants();
    world.accounted = at("10:10");
    world.slots = 4;
    world.takes = 1;
    world.tick();
    assert_eq!(world.until("10:20").log(), "10:10:00 accepte 10:10, 10:10:00 asked 10:10");
}

#[test]
fn a_run_that_was_asked_for_takes_its_turn_by_when_it_was_asked() {
    let mut world = with("09:30", |world| {
        world.slots = 0;
        world.schedule.overlap = Overlap::Queue;
    });
    world = world.until("10:10");
    world.ask_at(at("08:00"));
    world.slots = 1;
    world.takes = 60;
    assert_eq!(
        world.until("10:20").log(),
        "10:10:00 accepte 10:10, 10:10:00 fired 10:00, 10:11:00 asked 08:00"
    );
}

#[test]
fn each_of_several_that_begin_at_once_takes_a_place() {
    let mut world = with("09:30", |world| {
        world.slots = 0;
        world.schedule.overlap = Overlap::Allow;
        world.takes = 3000;
    });
    world = world.until("12:10");
    world.slots = 2;
    world.tick();
    assert_eq!(world.live.len(), 2, "{:?}", world.log);
    assert!(world.queue.is_waiting());
}

#[test]
fn a_request_that_comes_with_an_instant_is_the_newer_of_both() {
    let mut world = with("09:30", |world| world.schedule.overlap = Overlap::Replace).until("09:40");
    world.now = at("10:00:20");
    world.ask();
    assert_eq!(world.log(), "10:00:20 overlapped 10:00, 10:00:20 accepte 10:00, 10:00:20 asked 10:00");
}

#[test]
fn nothing_is_written_where_another_daemon_has_settled_all() {
    let mut world = hourly("09:30").until("09:40");
    world.rows.insert(at("10:00"), Became::Fired);
    let standing = world.standing();
    let subject =
        Subject { name: "etl/nightly", schedule: &world.schedule, standing: &standing, queue: &world.queue };
    assert_eq!(decide(at("10:00"), 4, &[subject]).remove(0).actions, []);
}

#[test]
fn what_was_asked_for_and_waits_keeps_no_instant_from_being_settled() {
    let mut world = with("09:30", |world| {
        world.schedule.overlap = Overlap::Allow;
        world.slots = 1;
    });
    world = world.until("09:40");
    world.now = at("10:00:20");
    world.ask_at(at("08:00"));
    assert!(world.queue.is_waiting());
    assert_eq!(world.accounted, at("10:00"), "{:?}", world.log);
}

#[test]
fn instants_that_are_forgotten_come_again_unless_they_are_settled() {
    let mut world = with("09:30", |world| world.slots = 0).until("10:10");
    assert!(world.queue.is_waiting());
    world.queue.forget_instants();
    world.slots = 4;
    assert_eq!(world.until("10:20").log(), "10:10:00 caught_up 10:00");
}

#[test]
fn what_another_daemon_passed_over_is_not_looked_at_again() {
    let mut world = hourly("09:30").until("09:40");
    world.accounted = at("10:30");
    world.now = at("10:40");
    assert_eq!(world.until("11:10").log(), "11:00:00 fired 11:00");
}

#[test]
fn a_pause_has_what_fires_in_it_and_not_what_is_only_due_in_it() {
    let world = |begin: SignedDuration, end: SignedDuration| {
        let mut world = with("09:30", |world| world.schedule.jitter = SignedDuration::from_mins(30));
        let fires = world.schedule.fires("etl/nightly", at("10:00"));
        world.pauses = vec![(at("10:00") + begin, Some(fires + end))];
        world.until("10:50").log()
    };
    let second = SignedDuration::from_secs(1);
    assert!(world(SignedDuration::ZERO, -second).ends_with(" fired 10:00"));
    assert!(world(second, second).ends_with(" paused 10:00"));
}

#[test]
fn the_window_is_as_long_as_it_says() {
    let late = |back: &str| {
        let world = with("09:30", |world| world.schedule.catch_up_window = SignedDuration::from_mins(20));
        world.until("09:31").away_until(back).until("10:30").log()
    };
    assert_eq!(late("10:20:00"), "10:20:00 caught_up 10:00");
    assert_eq!(late("10:20:01"), "10:20:01 missed 10:00");
}

#[test]
fn each_of_several_pauses_counts() {
    let mut world = hourly("09:30").until("09:40").away_until("13:30");
    world.pauses = vec![(at("10:40"), Some(at("11:20"))), (at("12:40"), Some(at("12:50")))];
    assert_eq!(
        world.until("13:40").log(),
        "13:30:00 paused 11:00, 13:30:00 missed 10:00, 13:30:00 missed 12:00, 13:30:00 caught_up 13:00"
    );
}

#[test]
fn an_instant_whose_claim_was_freed_comes_again_to_a_daemon_that_has_seen_it_settled() {
    let mut world = hourly("09:30").until("09:40");
    // Another daemon claims it, and dies before its run begins.
    world.rows.insert(at("10:00"), Became::Fired);
    world.accounted = at("10:00");
    world.now = at("10:00:01");
    world.tick();
    world.rows.remove(&at("10:00"));
    world.accounted = at("09:59:59.999");
    world.now = at("10:00:20");
    world.tick();
    assert_eq!(world.log, ["10:00:20 fired 10:00"]);
    // What still waits does not come twice.
    let mut world = with("09:30", |world| world.slots = 0).until("10:00");
    world.queue.look_again();
    world.tick();
    world.slots = 4;
    world.schedule.overlap = Overlap::Allow;
    world.tick();
    assert_eq!(world.log, ["10:00:00 fired 10:00"]);
}
