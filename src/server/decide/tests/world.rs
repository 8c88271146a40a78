//! One schedule with a clock of its own, runs that take a set time, and the rows that a database would have.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Map as JsonMap;

use super::super::*;
use crate::core::cron::{Expression, Rhythm};
use crate::core::schedule::CatchUp;
use crate::core::zone::named_zone;

/// A schedule with a clock, runs that take a set time, and the rows that a database would have.
pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) schedule: Schedule,
    pub(super) accounted: Timestamp,
    pub(super) rows: BTreeMap<Timestamp, Became>,
    pub(super) pauses: Vec<(Timestamp, Option<Timestamp>)>,
    pub(super) live: Vec<(LiveRun, Timestamp)>,
    pub(super) queue: Queue,
    pub(super) next: Option<Timestamp>,
    /// How long a run takes, in seconds.
    pub(super) takes: i64,
    pub(super) slots: usize,
    /// What happened: `HH:MM:SS what HH:MM`, the instant last.
    pub(super) log: Vec<String>,
}

pub(super) const NAME: &str = "etl/nightly";

pub(super) fn at(text: &str) -> Timestamp {
    let day = if text.contains('T') { "" } else { "2026-03-10T" };
    let seconds = if text.len() == 5 { ":00" } else { "" };
    format!("{day}{text}{seconds}Z").parse().unwrap()
}

pub(super) fn secs(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

pub(super) fn schedule(cron: &str, zone_name: &str) -> Schedule {
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
pub(super) fn hourly(now: &str) -> World {
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

pub(super) fn with(now: &str, change: impl FnOnce(&mut World)) -> World {
    let mut world = hourly(now);
    change(&mut world);
    world
}

impl World {
    pub(super) fn standing(&self) -> Standing {
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
    pub(super) fn tick(&mut self) {
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

    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::Run { at, became, trigger, asked, .. } => {
                let what = asked.as_ref().map_or(became.name(), |_| "asked");
                self.note(what, at);
                let run = asked.as_ref().map_or_else(RunId::make, |asked| asked.run);
                if let Some(asked) = &asked {
                    assert_eq!(trigger, asked.trigger);
                } else {
                    assert_eq!(trigger == Trigger::CatchUp, became == Became::CaughtUp);
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

    pub(super) fn note(&mut self, what: &str, at: Timestamp) {
        let second = self.now.strftime("%H:%M:%S");
        self.log.push(format!("{second} {what} {}", at.strftime("%H:%M")));
    }

    /// Lets time pass: decides when something is due and when a run ends.
    pub(super) fn until(mut self, end: &str) -> Self {
        self.run_until(at(end));
        self
    }

    pub(super) fn run_until(&mut self, end: Timestamp) {
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
    pub(super) fn away_until(mut self, end: &str) -> Self {
        self.queue = Queue::default();
        self.live.clear();
        self.now = at(end);
        self
    }

    pub(super) fn ask(&mut self) {
        self.ask_at(self.now);
    }

    pub(super) fn ask_at(&mut self, at: Timestamp) {
        let now = self.now;
        let asked = AskedRun {
            request: Some(1),
            run: RunId::make(),
            at,
            given: Vec::new(),
            trigger: Trigger::Manual,
        };
        self.queue.ask(asked, now);
        self.tick();
    }

    pub(super) fn log(self) -> String {
        self.log.join(", ")
    }
}
