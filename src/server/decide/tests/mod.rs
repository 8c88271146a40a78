//! Each rule of schedules.

mod edges;
mod long;
mod world;

use jiff::SignedDuration;

use self::world::{NAME, at, hourly, schedule, secs, with};
use super::*;
use crate::core::cron::Rhythm;
use crate::core::schedule::CatchUp;

#[test]
fn an_instant_fires_at_its_time_and_once() {
    assert_eq!(hourly("09:30").until("11:30").log(), "10:00:00 fired 10:00, 11:00:00 fired 11:00");
    // Nothing before the schedule was seen, not even a moment before.
    assert_eq!(hourly("10:00").until("10:59").log(), "");
}

#[test]
fn late_by_up_to_a_minute_is_on_time() {
    let late = |back: &str| hourly("09:30").until("09:31").away_until(back).until("10:30").log();
    assert_eq!(late("10:01:00"), "10:01:00 fired 10:00");
    assert_eq!(late("10:01:01"), "10:01:01 caught_up 10:00");
}

#[test]
fn of_missed_instants_the_newest_is_caught_up() {
    let world = hourly("09:30").until("10:30").away_until("13:30").until("14:00");
    assert_eq!(
        world.log(),
        "10:00:00 fired 10:00, 13:30:00 missed 11:00, 13:30:00 missed 12:00, 13:30:00 caught_up 13:00, \
         14:00:00 fired 14:00"
    );
    // One that is on time is the newest.
    let world = hourly("09:30").until("09:40").away_until("12:00:30").until("12:10");
    assert_eq!(world.log(), "12:00:30 missed 10:00, 12:00:30 missed 11:00, 12:00:30 fired 12:00");
}

#[test]
fn catch_up_none_passes_over_all() {
    let world = with("09:30", |world| world.schedule.catch_up = CatchUp::None);
    let world = world.until("09:31").away_until("11:30").until("11:40");
    assert_eq!(world.log(), "11:30:00 missed 10:00, 11:30:00 missed 11:00");
}

#[test]
fn catch_up_all_runs_each_in_order_one_at_a_time_whatever_overlap_says() {
    for overlap in [Overlap::Skip, Overlap::Queue, Overlap::Replace, Overlap::Allow] {
        let world = with("09:30", |world| {
            world.schedule.catch_up = CatchUp::All;
            world.schedule.overlap = overlap;
            world.takes = 600;
        });
        let world = world.until("09:31").away_until("12:05").until("12:40");
        assert_eq!(
            world.log(),
            "12:05:00 caught_up 10:00, 12:15:00 caught_up 11:00, 12:25:00 caught_up 12:00",
            "{overlap:?}"
        );
    }
}

#[test]
fn what_is_due_while_others_are_caught_up_goes_by_overlap() {
    let all = |overlap| {
        let world = with("09:30", |world| {
            world.schedule.catch_up = CatchUp::All;
            world.schedule.overlap = overlap;
            world.takes = 600;
        });
        world.until("09:31").away_until("12:55").until("13:30").log()
    };
    let first = "12:55:00 caught_up 10:00, ";
    assert_eq!(
        all(Overlap::Skip),
        format!("{first}13:00:00 overlapped 13:00, 13:05:00 caught_up 11:00, 13:15:00 caught_up 12:00")
    );
    assert_eq!(
        all(Overlap::Queue),
        format!("{first}13:05:00 caught_up 11:00, 13:15:00 caught_up 12:00, 13:25:00 fired 13:00")
    );
    assert_eq!(
        all(Overlap::Replace),
        format!(
            "{first}13:00:00 end 10:00, 13:00:05 fired 13:00, 13:10:05 caught_up 11:00, 13:20:05 caught_up 12:00"
        )
    );
    assert_eq!(
        all(Overlap::Allow),
        format!("{first}13:00:00 fired 13:00, 13:10:00 caught_up 11:00, 13:20:00 caught_up 12:00")
    );
}

#[test]
fn what_is_older_than_the_window_is_passed_over() {
    let world = with("09:30", |world| {
        world.schedule.catch_up = CatchUp::All;
        world.schedule.catch_up_window = SignedDuration::from_hours(2);
    });
    let world = world.until("09:31").away_until("12:30").until("12:40");
    assert_eq!(world.log(), "12:30:00 missed 10:00, 12:30:00 caught_up 11:00, 12:30:01 caught_up 12:00");
    let world = with("09:30", |world| world.schedule.catch_up_window = secs(1200));
    assert_eq!(world.until("09:31").away_until("10:30").until("10:40").log(), "10:30:00 missed 10:00");
}

#[test]
fn skip_passes_over_what_overlaps() {
    let world = with("09:30", |world| world.takes = 5400);
    let log = world.until("12:00").log();
    assert_eq!(log, "10:00:00 fired 10:00, 11:00:00 overlapped 11:00, 12:00:00 fired 12:00");
}

#[test]
fn queue_runs_every_instant_in_order() {
    let world = with("09:30", |world| {
        world.schedule.overlap = Overlap::Queue;
        world.takes = 5400;
    });
    let mut world = world.until("12:59");
    assert!(world.queue.is_waiting());
    world.takes = 60;
    let log = world.until("15:00").log();
    assert_eq!(
        log,
        "10:00:00 fired 10:00, 11:30:00 fired 11:00, 13:00:00 fired 12:00, 13:01:00 fired 13:00, 14:00:00 fired 14:00, \
         15:00:00 fired 15:00"
    );
}

#[test]
fn what_waits_in_the_queue_for_longer_than_the_window_is_missed_and_lost_with_the_daemon() {
    let world = with("09:30", |world| {
        world.schedule.overlap = Overlap::Queue;
        world.schedule.catch_up_window = secs(3600);
        world.takes = 9000;
    });
    assert_eq!(
        world.until("13:00").log(),
        "10:00:00 fired 10:00, 12:30:00 missed 11:00, 12:30:00 fired 12:00"
    );
    let world = with("09:30", |world| {
        world.schedule.overlap = Overlap::Queue;
        world.takes = 9000;
    });
    let world = world.until("11:10").away_until("11:20").until("11:30");
    assert_eq!(world.log(), "10:00:00 fired 10:00, 11:20:00 caught_up 11:00");
}

#[test]
fn replace_ends_the_run_that_is_going_and_begins_when_it_has_ended() {
    let world = with("09:30", |world| {
        world.schedule.overlap = Overlap::Replace;
        world.takes = 5400;
    });
    let log = world.until("11:10").log();
    assert_eq!(log, "10:00:00 fired 10:00, 11:00:00 end 10:00, 11:00:05 fired 11:00");
}

#[test]
fn allow_runs_beside_as_far_as_there_are_places_and_the_rest_waits() {
    let world = with("09:30", |world| {
        world.schedule.overlap = Overlap::Allow;
        world.takes = 9000;
        world.slots = 2;
    });
    let log = world.until("12:45").log();
    assert_eq!(log, "10:00:00 fired 10:00, 11:00:00 fired 11:00, 12:30:00 fired 12:00");
}

#[test]
fn of_several_schedules_what_has_waited_longest_begins_first() {
    let (early, late) = (schedule("0 10 * * *", "UTC"), schedule("30 10 * * *", "UTC"));
    let mut standings = [0, 1].map(|_| Standing { accounted: at("09:00"), ..Standing::default() });
    let (mut first, mut second) = (Queue::default(), Queue::default());
    let mut begun = Vec::new();
    for (now, slots) in [("10:00", 0), ("10:30", 0), ("10:31", 1), ("10:32", 1)] {
        let subjects = [
            Subject { name: "w/late", schedule: &late, standing: &standings[0], queue: &second },
            Subject { name: "w/early", schedule: &early, standing: &standings[1], queue: &first },
        ];
        let mut verdicts = decide(at(now), slots, &subjects).into_iter();
        let (late, early) = (verdicts.next().unwrap(), verdicts.next().unwrap());
        (second, first) = (late.queue, early.queue);
        for (i, (name, actions)) in [("late", late.actions), ("early", early.actions)].into_iter().enumerate()
        {
            if let Some(Action::Account(up_to)) = actions.last() {
                standings[i].accounted = *up_to;
            }
            let runs = actions.iter().any(|action| matches!(action, Action::Run { .. }));
            begun.extend(runs.then(|| format!("{now} {name}")));
        }
    }
    assert_eq!(begun, ["10:31 early", "10:32 late"]);
}

#[test]
fn what_falls_into_a_pause_is_never_caught_up() {
    let mut world = hourly("09:30").until("10:30");
    world.pauses.push((at("10:40"), None));
    let mut world = world.until("12:10");
    world.pauses = vec![(at("10:40"), Some(at("12:10")))];
    let world = world.until("13:00");
    assert_eq!(
        world.log(),
        "10:00:00 fired 10:00, 11:00:00 paused 11:00, 12:00:00 paused 12:00, 13:00:00 fired 13:00"
    );
    // Paused and resumed while no daemon was there; what was missed beside that is caught up.
    let mut world = hourly("09:30").until("09:31").away_until("12:30");
    world.schedule.catch_up = CatchUp::All;
    world.pauses = vec![(at("10:40"), Some(at("11:40")))];
    let log = world.until("12:40").log();
    assert_eq!(log, "12:30:00 paused 11:00, 12:30:00 caught_up 10:00, 12:30:01 caught_up 12:00");
}

#[test]
fn what_waits_when_a_pause_begins_is_paused() {
    let world = with("09:30", |world| {
        world.schedule.overlap = Overlap::Queue;
        world.takes = 5400;
    });
    let mut world = world.until("11:10");
    world.pauses.push((at("11:10"), None));
    assert_eq!(world.until("11:40").log(), "10:00:00 fired 10:00, 11:10:00 paused 11:00");
}

#[test]
fn edited_times_have_missed_nothing_before() {
    let mut world = hourly("09:30").until("10:30").away_until("15:30");
    world.accounted = at("15:30");
    assert_eq!(world.until("16:00").log(), "10:00:00 fired 10:00, 16:00:00 fired 16:00");
}

#[test]
fn a_clock_that_is_set_back_fires_nothing_twice() {
    let mut world = hourly("09:30").until("12:10");
    world.now = at("10:30");
    assert_eq!(
        world.until("14:00").log(),
        "10:00:00 fired 10:00, 11:00:00 fired 11:00, 12:00:00 fired 12:00, 13:00:00 fired 13:00, 14:00:00 fired 14:00"
    );
    // Nor is it dead until a wrong clock's time comes again; what that clock had missed is none of it.
    let mut world = hourly("09:30").until("10:30");
    world.now = at("2031-01-01T00:30:00");
    let mut world = world.until("2031-01-01T01:00:00");
    world.log.clear();
    world.live.clear();
    world.now = at("10:50");
    assert_eq!(world.until("12:30").log(), "11:00:00 fired 11:00, 12:00:00 fired 12:00");
    // A step of milliseconds between noticing an instant and the next look.
    let mut world = hourly("09:30").until("10:00");
    world.now = at("09:59:59.990");
    assert_eq!(world.until("10:30").log(), "10:00:00 fired 10:00");
}

#[test]
fn a_clock_that_jumps_ahead_has_missed_what_lies_between() {
    let mut world = hourly("09:30").until("10:30");
    world.now = at("13:20");
    assert_eq!(
        world.until("13:30").log(),
        "10:00:00 fired 10:00, 13:20:00 missed 11:00, 13:20:00 missed 12:00, 13:20:00 caught_up 13:00"
    );
    let mut world = hourly("09:30").until("09:59");
    world.now = at("10:00:40");
    assert_eq!(world.until("10:30").log(), "10:00:40 fired 10:00");
}

#[test]
fn jitter_delays_the_run_and_not_the_instant() {
    let world = with("09:30", |world| world.schedule.jitter = secs(1800));
    let due = world.schedule.fires(NAME, at("10:00"));
    assert!(due > at("10:00") && due < at("10:30"));
    let log = world.until("10:45").log();
    assert_eq!(log, format!("{} fired 10:00", due.strftime("%H:%M:%S")));
}

#[test]
fn nothing_comes_before_start() {
    let world = with("09:30", |world| {
        let Rhythm::Cron { start, .. } = &mut world.schedule.rhythm else { unreachable!() };
        *start = Some(at("11:00"));
    });
    assert_eq!(world.until("11:30").log(), "11:00:00 fired 11:00");
}

#[test]
fn a_request_goes_by_overlap_moves_no_instant_and_works_while_paused() {
    let mut world = hourly("09:30").until("09:40");
    world.takes = 3000;
    world.pauses.push((at("09:35"), None));
    world.ask();
    world.ask();
    world.pauses.clear();
    assert_eq!(
        world.until("10:40").log(),
        "09:40:00 accepte 09:40, 09:40:00 asked 09:40, 09:40:00 overlap 09:40, 10:00:00 overlapped 10:00"
    );
    let mut world = with("09:30", |world| {
        world.schedule.overlap = Overlap::Queue;
        world.takes = 3600;
    });
    world = world.until("10:10");
    world.ask();
    assert_eq!(
        world.until("12:00").log(),
        "10:00:00 fired 10:00, 10:10:00 accepte 10:10, 11:00:00 asked 10:10, 12:00:00 fired 11:00"
    );
    let mut world = with("09:30", |world| {
        world.schedule.overlap = Overlap::Replace;
        world.takes = 3000;
    });
    world = world.until("10:10");
    world.ask();
    assert_eq!(
        world.until("10:20").log(),
        "10:00:00 fired 10:00, 10:10:00 accepte 10:10, 10:10:00 end 10:00, 10:10:05 asked 10:10"
    );
}

#[test]
fn what_another_daemon_settled_is_left_alone() {
    let mut world = hourly("09:30").until("09:40");
    world.rows.insert(at("10:00"), Became::Fired);
    assert_eq!(world.until("11:00").log(), "11:00:00 fired 11:00");
}
