//! The decisions of a daemon: which instants begin, which are passed over, which runs are ended. One pure function of the
//! schedules, their states, the queue, and the time.
//!
//! | step | decides |
//! |---|---|
//! | `take_in.rs` | which instants have become due since, and which of these were missed or fell into a pause |
//! | here | which of those that wait may begin: overlap, places for runs, how long they have waited |
//!
//! Whoever calls it reads where schedules stand and writes what was decided in one transaction, so that several daemons of one
//! home decide one after another. What waits is kept in memory only: it is not claimed, and missed if the daemon dies.
//! `docs/design/schedules.md` says why the rules are as they are.

mod take_in;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::core::run_id::RunId;
use crate::core::run_request::GivenInputs;
use crate::core::schedule::{Overlap, Schedule, Trigger};
use crate::storage::schedules::Became;
use crate::storage::schedules::requests::Answer;
use crate::storage::schedules::tick::{LiveRun, Standing};

/// How late an instant may be noticed and still counts as on time.
pub const ON_TIME: SignedDuration = SignedDuration::from_secs(60);

/// A schedule, where it stands, and what waits.
pub struct Subject<'a> {
    /// The whole name.
    pub name: &'a str,
    pub schedule: &'a Schedule,
    pub standing: &'a Standing,
    pub queue: &'a Queue,
}

/// What a daemon remembers of a schedule between two decisions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Queue {
    /// What is due and has not begun.
    waiting: Vec<Due>,
    /// Every instant up to this one has been taken in.
    seen: Option<Timestamp>,
    /// How far the schedule was settled. If it is less far by now, the claim of a dead daemon was freed, and its instant comes
    /// again.
    accounted: Option<Timestamp>,
}

/// Something that is due.
#[derive(Clone, Debug, PartialEq)]
struct Due {
    at: Timestamp,
    /// The instant with its jitter; of a request when it came.
    fires: Timestamp,
    /// Since when it waits.
    since: Timestamp,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    OnTime,
    Missed,
    Asked(Box<AskedRun>),
}

/// A run that somebody asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct AskedRun {
    /// The request, until it is answered.
    pub request: Option<i64>,
    pub run: RunId,
    pub at: Timestamp,
    pub given: Vec<GivenInputs>,
    pub trigger: Trigger,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// A run begins, once it is claimed.
    Run {
        at: Timestamp,
        fires: Timestamp,
        became: Became,
        trigger: Trigger,
        asked: Option<Box<AskedRun>>,
    },
    /// No run comes of this instant.
    Record {
        at: Timestamp,
        fires: Timestamp,
        became: Became,
        reason: &'static str,
    },
    /// A run is ended, so that the next one can begin.
    End(LiveRun),
    Answer {
        request: i64,
        answer: Answer,
    },
    /// Every instant up to here is settled.
    Account(Timestamp),
}

/// What was decided of a schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// In order.
    pub actions: Vec<Action>,
    /// To be remembered when the actions are written.
    pub queue: Queue,
    /// When the next instant is due.
    pub next: Option<Timestamp>,
    /// The clock was set back: decide again when the actions are written.
    pub again: bool,
}

impl Queue {
    /// Whether something is due that has not begun.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Forgets instants: the times have changed. What was asked for stays.
    pub fn forget_instants(&mut self) {
        self.waiting.retain(|due| !due.is_instant());
        self.seen = None;
    }

    /// Looks again at instants of which no row says what they became: the claim of one was freed.
    pub fn look_again(&mut self) {
        self.seen = None;
    }

    /// Adds a run that somebody asks for.
    pub fn ask(&mut self, asked: AskedRun, now: Timestamp) {
        let due = Due { at: asked.at, fires: now, since: now, kind: Kind::Asked(Box::new(asked)) };
        self.waiting.push(due);
    }
}

impl Due {
    /// Whether it is an instant of the schedule.
    fn is_instant(&self) -> bool {
        matches!(self.kind, Kind::OnTime | Kind::Missed)
    }
}

/// Decides. `slots` runs may begin.
pub fn decide(now: Timestamp, mut slots: usize, subjects: &[Subject]) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = subjects.iter().map(|subject| take_in::take_in(now, subject)).collect();
    let mut order: Vec<(Timestamp, usize, usize)> = Vec::new();
    for (i, verdict) in verdicts.iter_mut().enumerate() {
        verdict.queue.waiting.sort_by_key(|due| (due.fires, due.at));
        order.extend(verdict.queue.waiting.iter().enumerate().map(|(k, due)| (due.fires, i, k)));
    }
    // What has waited longest comes first.
    order.sort();
    let mut floors: Vec<Floor> = subjects.iter().map(Floor::of).collect();
    let mut gone: BTreeSet<(usize, usize)> = BTreeSet::new();
    for (_, i, k) in order {
        let (subject, verdict, floor) = (&subjects[i], &mut verdicts[i], &mut floors[i]);
        let done = floor.step(now, subject, &mut verdict.queue.waiting, k, &mut slots);
        verdict.actions.append(&mut floor.aside);
        if let Some(actions) = done {
            verdict.actions.extend(actions);
            gone.insert((i, k));
        }
    }
    for (i, verdict) in verdicts.iter_mut().enumerate() {
        let mut k = 0;
        verdict.queue.waiting.retain(|_| {
            k += 1;
            !gone.contains(&(i, k - 1))
        });
        account(verdict, subjects[i].standing);
    }
    verdicts
}

/// Adds how far the instants of a schedule are settled, if anything else is written: alone it is worth no transaction.
fn account(verdict: &mut Verdict, standing: &Standing) {
    let settles = |action: &Action| matches!(action, Action::Run { asked: None, .. } | Action::Record { .. });
    if !verdict.actions.iter().any(settles) {
        return;
    }
    let waiting = verdict.queue.waiting.iter().filter(|due| due.is_instant()).map(|due| due.at).min();
    let before = waiting.map(|at| at.saturating_sub(SignedDuration::from_millis(1)).unwrap_or(at));
    if let Some(up_to) = before.or(verdict.queue.seen).filter(|up_to| *up_to > standing.accounted) {
        verdict.queue.accounted = Some(up_to);
        verdict.actions.push(Action::Account(up_to));
    }
}

/// What goes on of a schedule while its waiting runs are looked at in order.
struct Floor {
    /// Runs that go on, those that begin by this decision included.
    live: usize,
    /// Actions of something that goes on waiting.
    aside: Vec<Action>,
}

impl Floor {
    fn of(subject: &Subject) -> Self {
        Self { live: subject.standing.live.len(), aside: Vec::new() }
    }

    /// What becomes of something that waits; `None` if it goes on waiting.
    fn step(
        &mut self,
        now: Timestamp,
        subject: &Subject,
        waiting: &mut [Due],
        k: usize,
        slots: &mut usize,
    ) -> Option<Vec<Action>> {
        let Subject { schedule, standing, .. } = subject;
        let is_newer = |due: &Due| due.kind != Kind::Missed;
        let newer = waiting[k + 1..].iter().any(is_newer);
        let other_first = waiting.iter().any(is_newer);
        let due = &mut waiting[k];
        if let Some(answer) = self.answer(due, schedule, standing) {
            return Some(vec![answer]);
        }
        if due.is_instant() {
            if matches!(standing.pauses.last(), Some((_, None))) {
                return Some(due.record(Became::Paused, "paused while it waited"));
            }
            if now.duration_since(due.since) > schedule.catch_up_window {
                return Some(due.record(Became::Missed, "waited for longer than catch_up_window"));
            }
        }
        let must_wait = match (&due.kind, schedule.overlap) {
            // One at a time, whatever `overlap` says. A newer one would end it at once.
            (Kind::Missed, Overlap::Replace) => self.live > 0 || other_first,
            (Kind::Missed, _) => self.live > 0,
            (Kind::OnTime, Overlap::Skip) if self.live > 0 => {
                return Some(due.record(Became::Overlapped, "the run before it was still going"));
            }
            (Kind::OnTime, Overlap::Replace) if newer => {
                return Some(due.record(Became::Overlapped, "the next one was due before it could begin"));
            }
            (_, Overlap::Skip | Overlap::Queue) => self.live > 0,
            (_, Overlap::Replace) => {
                let going = standing.live.iter().filter(|live| live.ended_by.is_none());
                self.aside.extend(going.cloned().map(Action::End));
                self.live > 0
            }
            (_, Overlap::Allow) => false,
        };
        if must_wait || *slots == 0 {
            return None;
        }
        *slots -= 1;
        self.live += 1;
        Some(vec![due.begin()])
    }

    /// Answers a new request; the answer is all there is if it is refused.
    fn answer(&mut self, due: &mut Due, schedule: &Schedule, standing: &Standing) -> Option<Action> {
        let Kind::Asked(asked) = &mut due.kind else { return None };
        let request = asked.request.take()?;
        match standing.live.first() {
            Some(live) if schedule.overlap == Overlap::Skip => {
                Some(Action::Answer { request, answer: Answer::Overlap { run: live.run } })
            }
            _ => {
                self.aside.push(Action::Answer { request, answer: Answer::Accepted });
                None
            }
        }
    }
}

impl Due {
    fn record(&self, became: Became, reason: &'static str) -> Vec<Action> {
        vec![Action::Record { at: self.at, fires: self.fires, became, reason }]
    }

    fn begin(&self) -> Action {
        let (became, trigger, asked) = match &self.kind {
            Kind::OnTime => (Became::Fired, Trigger::Schedule, None),
            Kind::Missed => (Became::CaughtUp, Trigger::CatchUp, None),
            Kind::Asked(asked) => (Became::Fired, asked.trigger, Some(asked.clone())),
        };
        Action::Run { at: self.at, fires: self.fires, became, trigger, asked }
    }
}
