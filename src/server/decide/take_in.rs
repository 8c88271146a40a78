//! Which instants have become due since the last decision, and which of these were missed or fell into a pause.

use jiff::{SignedDuration, Timestamp};

use super::{Action, Due, Kind, ON_TIME, Queue, Subject, Verdict};
use crate::core::cron::Rhythm;
use crate::core::schedule::{CatchUp, Schedule};
use crate::storage::schedules::Became;
use crate::storage::schedules::retention::KEPT_INSTANTS;
use crate::storage::schedules::tick::Standing;

/// Takes in what is due, and passes over what was missed and is not to be caught up.
pub(super) fn take_in(now: Timestamp, subject: &Subject) -> Verdict {
    let Subject { name, schedule, standing, queue } = subject;
    if standing.accounted > now {
        return set_back(now, queue);
    }
    let mut actions = Vec::new();
    let mut waiting: Vec<Due> = queue.waiting.clone();
    // Another daemon may have settled what waits here; or the clock was set back.
    waiting.retain(|due| {
        !due.is_instant()
            || (due.fires <= now && due.at > standing.accounted && !standing.settled.contains(&due.at))
    });
    let is_freed = queue.accounted.is_some_and(|before| standing.accounted < before);
    let seen = queue.seen.filter(|seen| *seen <= now && !is_freed);
    let seen = seen.unwrap_or(standing.accounted).max(standing.accounted);
    let mut last = None;
    let mut missed: Vec<(Timestamp, Timestamp)> = Vec::new();
    let mut on_time = Vec::new();
    let due = schedule.rhythm.after(within_reach(seen, now, schedule));
    let due = due.map(|instant| (instant.at, schedule.fires(name, instant.at)));
    for (at, fires) in due.take_while(|(_, fires)| *fires <= now) {
        last = Some(at);
        if standing.settled.contains(&at) || waiting.iter().any(|due| due.is_instant() && due.at == at) {
            continue;
        }
        if is_paused(standing, fires) {
            let reason = "the schedule was paused";
            actions.push(Action::Record { at, fires, became: Became::Paused, reason });
        } else if now.duration_since(fires) > ON_TIME {
            missed.push((at, fires));
        } else {
            on_time.push(Due { at, fires, since: fires, kind: Kind::OnTime });
        }
    }
    if schedule.catch_up == CatchUp::Latest && !(missed.is_empty() && on_time.is_empty()) {
        // A newer one takes the place of one that still waits to be caught up.
        waiting.retain(|due| match due.kind {
            Kind::Missed => {
                missed.push((due.at, due.fires));
                false
            }
            _ => true,
        });
        missed.sort();
    }
    let is_within = |fires: Timestamp| now.duration_since(fires) <= schedule.catch_up_window;
    let newest = missed.len().wrapping_sub(1);
    for (k, (at, fires)) in missed.into_iter().enumerate() {
        let is_wanted = match schedule.catch_up {
            CatchUp::None => false,
            CatchUp::Latest => k == newest && on_time.is_empty(),
            CatchUp::All => true,
        };
        if is_wanted && is_within(fires) {
            waiting.push(Due { at, fires, since: now, kind: Kind::Missed });
            continue;
        }
        let reason = match schedule.catch_up {
            CatchUp::None => "no daemon was there; catch_up is none",
            _ if !is_within(fires) => "no daemon was there; older than catch_up_window",
            _ => "no daemon was there; a newer one was caught up",
        };
        actions.push(Action::Record { at, fires, became: Became::Missed, reason });
    }
    waiting.extend(on_time);
    let seen = last.unwrap_or(seen);
    let next = schedule.rhythm.next(seen).map(|instant| schedule.fires(name, instant.at));
    let queue = Queue { waiting, seen: Some(seen), accounted: Some(standing.accounted) };
    Verdict { actions, queue, next, again: false }
}

/// The clock was set back behind what is accounted for. What lies ahead comes again, but for what became something: those
/// instants have rows, which are read once this is written.
fn set_back(now: Timestamp, queue: &Queue) -> Verdict {
    let from = now.saturating_sub(ON_TIME).unwrap_or(now);
    let asked = queue.waiting.iter().filter(|due| !due.is_instant()).cloned().collect();
    Verdict {
        actions: vec![Action::Account(from)],
        queue: Queue { waiting: asked, ..Queue::default() },
        next: None,
        again: true,
    }
}

/// Where to begin to look at instants: not so far back that there would be more than are kept.
fn within_reach(seen: Timestamp, now: Timestamp, schedule: &Schedule) -> Timestamp {
    let wanted = match schedule.catch_up {
        CatchUp::All => schedule.catch_up_window,
        CatchUp::None | CatchUp::Latest => SignedDuration::ZERO,
    };
    let mut reach =
        wanted.max(SignedDuration::from_hours(1)) + schedule.jitter + SignedDuration::from_secs(1);
    loop {
        let from = now.saturating_sub(reach).unwrap_or(seen);
        if from <= seen {
            return seen;
        }
        if has_more_than(&schedule.rhythm, from, now, KEPT_INSTANTS) {
            return from;
        }
        reach = reach.saturating_add(reach);
    }
}

fn has_more_than(rhythm: &Rhythm, from: Timestamp, to: Timestamp, count: u64) -> bool {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    rhythm.after(from).take(count).take_while(|instant| instant.at <= to).count() >= count
}

fn is_paused(standing: &Standing, fires: Timestamp) -> bool {
    let covers = |(since, until): &(Timestamp, Option<Timestamp>)| {
        *since <= fires && until.is_none_or(|until| fires < until)
    };
    standing.pauses.iter().any(covers)
}
