//! Each rule of schedules, and long stretches of simulated time.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::Map as JsonMap;

use super::*;
use crate::core::cron::{Expression, Rhythm};
use crate::core::schedule::CatchUp;
use crate::core::zone::named_zone;

/// A schedule with a clock, runs that take a set time, and the rows that a database would have.
struct World {
    now: Timestamp,
    schedule: Schedule,
    accounted: Timestamp,
    rows: BTreeMap<Timestamp, Became>,
    pauses: Vec<(Timestamp, Option<Timestamp>)>,
    live: Vec<(LiveRun, Timestamp)>,
    queue: Queue,
    next: Option<Timestamp>,
    /// How long a run takes, in seconds.
    takes: i64,
    slots: usize,
    /// What happened: `HH:MM:SS what HH:MM`, the instant last.
    log: Vec<String>,
}

const NAME: &str = "etl/nightly";

fn at(text: &str) -> Timestamp {
    let day = if text.contains('T') { "" } else { "2026-03-10T" };
    let seconds = if text.len() == 5 { ":00" } else { "" };
    format!("{day}{text}{seconds}Z").parse().unwrap()
}

fn secs(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

fn schedule(cron: &str, zone_name: &str) -> Schedule {
    Schedule {
        name: "nightly".into(),
        rhythm: Rhythm::Cron {
            expressions: vec![Expression::parse(cron).unwrap()],
            zone: named_zone(zone_name).unwrap(),
            start: None,
        },
        cron: vec![cron.into()],
        timezone: zone_name.into(),
        inputs: JsonMap::new(),
        scheduled_at_input: None,
        overlap: Overlap::Skip,
        catch_up: CatchUp::Latest,
        catch_up_window: SignedDuration::from_hours(24),
        jitter: SignedDuration::ZERO,
        max_runtime: None,
        keep_runs: 1000,
        project: None,
        domain: None,
    }
}

/// An hourly schedule that was first seen at this time; its runs take a second.
fn hourly(now: &str) -> World {
    World {
        now: at(now),
        schedule: schedule("0 * * * *", "UTC"),
        accounted: at(now),
        rows: BTreeMap::new(),
        pauses: Vec::new(),
        live: Vec::new(),
        queue: Queue::default(),
        next: None,
        takes: 1,
        slots: 4,
        log: Vec::new(),
    }
}

fn with(now: &str, change: impl FnOnce(&mut World)) -> World {
    let mut world = hourly(now);
    change(&mut world);
    world
}

impl World {
    fn standing(&self) -> Standing {
        let later = self.rows.range((std::ops::Bound::Excluded(self.accounted), std::ops::Bound::Unbounded));
        let settled = later.filter(|(_, became)| **became != Became::Missed);
        Standing {
            since: self.accounted,
            accounted: self.accounted,
            settled: settled.map(|(at, _)| *at).collect(),
            pauses: self.pauses.clone(),
            live: self.live.iter().map(|(live, _)| live.clone()).collect(),
        }
    }

    /// Decides once, and does what was decided.
    fn tick(&mut self) {
        loop {
            let standing = self.standing();
            let subject =
                Subject { name: NAME, schedule: &self.schedule, standing: &standing, queue: &self.queue };
            let slots = self.slots.saturating_sub(self.live.len());
            let verdict = decide(self.now, slots, &[subject]).pop().unwrap();
            self.queue = verdict.queue;
            self.next = verdict.next;
            verdict.actions.into_iter().for_each(|action| self.act(action));
            if !verdict.again {
                return;
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Run { at, became, trigger, asked, .. } => {
                let what = asked.as_ref().map_or(became.name(), |_| "asked");
                self.note(what, at);
                let run = asked.as_ref().map_or_else(RunId::make, |asked| asked.run);
                if asked.is_none() {
                    assert!(
                        self.rows.insert(at, became).is_none_or(|old| old == Became::Missed),
                        "twice: {at}"
                    );
                }
                let live =
                    LiveRun { run, claimant: RunId::make(), at, trigger, claimed: self.now, ended_by: None };
                self.live.push((live, self.now + secs(self.takes)));
            }
            Action::Record { at, became, .. } => {
                self.note(became.name(), at);
                let old = self.rows.insert(at, became);
                assert!(old.is_none_or(|old| old == Became::Missed), "twice: {at}");
            }
            Action::End(live) => {
                self.note("end", live.at);
                for (one, until) in &mut self.live {
                    if one.run == live.run {
                        one.ended_by = Some(crate::storage::schedules::EndedBy::Replaced);
                        *until = self.now + secs(5);
                    }
                }
            }
            Action::Answer { answer, .. } => self.note(&format!("{answer:?}").to_lowercase()[..7], self.now),
            Action::Account(up_to) => self.accounted = up_to,
        }
    }

    fn note(&mut self, what: &str, at: Timestamp) {
        let second = self.now.strftime("%H:%M:%S");
        self.log.push(format!("{second} {what} {}", at.strftime("%H:%M")));
    }

    /// Lets time pass: decides when something is due and when a run ends.
    fn until(mut self, end: &str) -> Self {
        self.run_until(at(end));
        self
    }

    fn run_until(&mut self, end: Timestamp) {
        self.tick();
        loop {
            let ends = self.live.iter().map(|(_, until)| *until).min();
            let Some(next) = self.next.into_iter().chain(ends).min().filter(|next| *next <= end) else {
                break;
            };
            self.now = self.now.max(next);
            self.live.retain(|(_, until)| *until > next);
            self.tick();
        }
        self.now = end;
    }

    /// The daemon is away: what it remembers is lost, what runs ends.
    fn away_until(mut self, end: &str) -> Self {
        self.queue = Queue::default();
        self.live.clear();
        self.now = at(end);
        self
    }

    fn ask(&mut self) {
        let now = self.now;
        let asked = Asked {
            request: Some(1),
            run: RunId::make(),
            at: now,
            given: Vec::new(),
            trigger: Trigger::Manual,
        };
        self.queue.ask(asked, now);
        self.tick();
    }

    fn log(self) -> String {
        self.log.join(", ")
    }
}

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
    let standing = Standing { accounted: at("09:00"), ..Standing::default() };
    let (mut first, mut second) = (Queue::default(), Queue::default());
    let mut begun = Vec::new();
    for (now, slots) in [("10:00", 0), ("10:30", 0), ("10:31", 1), ("10:32", 1)] {
        let subjects = [
            Subject { name: "w/late", schedule: &late, standing: &standing, queue: &second },
            Subject { name: "w/early", schedule: &early, standing: &standing, queue: &first },
        ];
        let mut verdicts = decide(at(now), slots, &subjects).into_iter();
        let (late, early) = (verdicts.next().unwrap(), verdicts.next().unwrap());
        (second, first) = (late.queue, early.queue);
        for (name, actions) in [("late", late.actions), ("early", early.actions)] {
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
    let due = take_in::fires(NAME, &world.schedule, at("10:00"));
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
