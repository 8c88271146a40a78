//! Long stretches of simulated time.

use std::collections::BTreeSet;

use super::super::*;
use super::world::{NAME, World, at, hourly, schedule, secs};
use crate::core::schedule::CatchUp;

#[test]
fn a_year_that_was_missed_by_the_second_is_bounded() {
    let mut world = hourly("2025-01-01T00:00:00");
    world.schedule = schedule("* * * * * *", "UTC");
    world.now = at("2026-01-01T00:00:00");
    world.takes = 0;
    world.tick();
    assert!(world.rows.len() < 25_000, "{}", world.rows.len());
    assert_eq!(world.rows.values().filter(|became| **became == Became::Fired).count(), 1);
    let overlapped = world.rows.values().filter(|became| **became == Became::Overlapped);
    assert_eq!(overlapped.count(), 60, "those of the last minute");
    world.schedule.catch_up = CatchUp::All;
    let mut other = hourly("2025-01-01T00:00:00");
    other.schedule = Schedule { catch_up_window: secs(40_000), ..world.schedule.clone() };
    other.now = at("2026-01-01T00:00:00");
    other.tick();
    let queued = other.queue.waiting.iter().filter(|due| due.kind == Kind::Missed).count();
    assert_eq!(queued, 39_939, "all of the window but the last minute, however many they are; one has begun");
}

/// Jitter moves what fires into the window.
#[test]
fn what_fires_within_a_long_window_is_caught_up_also_if_its_instant_lies_before() {
    let mut world = hourly("2026-01-01T00:00:00");
    world.schedule = schedule("* * * * *", "UTC");
    world.schedule.catch_up = CatchUp::All;
    world.schedule.jitter = secs(59);
    world.schedule.catch_up_window = secs(10_000 * 60);
    world.slots = 0;
    let begin = at("2026-01-20T00:00:00");
    let fires = |world: &World, at| world.schedule.fires(NAME, at);
    // An end of the window just behind an instant that its jitter takes into it.
    let first = world.schedule.rhythm.after(begin).map(|instant| instant.at);
    let first = first.take(100).find(|at| fires(&world, *at) > *at + secs(30)).unwrap();
    world.now = first + secs(30) + world.schedule.catch_up_window;
    world.tick();
    assert_eq!(world.queue.waiting.first().map(|due| due.at), Some(first));
}

/// Forty schedules of all kinds for a year, with a daemon that is away now and then: each instant becomes exactly one thing.
#[test]
fn a_year_of_forty_schedules_leaves_no_instant_unaccounted_for() {
    let crons = [
        "0 2 * * *",
        "30 2 * * *",
        "*/30 * * * *",
        "0 */2 * * *",
        "15 3 * * 1-5",
        "0 0 1 * *",
        "0 12 * * sun",
        "5 4 L * *",
        "0 9 15W * *",
        "45 23 * * 5#2",
    ];
    let zones = ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/New_York"];
    let (begin, end) = (at("2026-01-01T00:00:00"), at("2027-01-01T00:00:00"));
    let mut total = 0;
    for (i, cron) in crons.iter().enumerate() {
        for (j, zone) in zones.iter().enumerate() {
            let mut world = hourly("2026-01-01T00:00:00");
            world.schedule = schedule(cron, zone);
            world.schedule.overlap =
                [Overlap::Skip, Overlap::Queue, Overlap::Replace, Overlap::Allow][(i + j) % 4];
            world.schedule.catch_up = [CatchUp::Latest, CatchUp::All, CatchUp::None][(i * 4 + j) % 3];
            world.takes = [1, 600, 4000][(i + 2 * j) % 3];
            let mut away = begin;
            for week in 0..52 {
                away = begin + secs(week * 7 * 86_400);
                world.run_until(away + secs(6 * 86_400 + i64::try_from(i).unwrap() * 1000));
                world.queue = Queue::default();
                world.live.clear();
                world.now = away + secs(7 * 86_400 - i64::try_from(j).unwrap() * 999);
                world.log.clear();
            }
            assert!(away < end);
            world.run_until(end);
            let waiting: BTreeSet<Timestamp> = world.queue.waiting.iter().map(|due| due.at).collect();
            for instant in world.schedule.rhythm.after(begin).take_while(|instant| instant.at <= end) {
                let is_settled = world.rows.contains_key(&instant.at) || waiting.contains(&instant.at);
                assert!(is_settled, "{cron} in {zone}: {}", instant.at);
                total += 1;
            }
        }
    }
    assert!(total > 90_000, "{total}");
}
