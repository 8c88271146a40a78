//! Whether a rule sends a message about a run: a pure decision over the runs of a series and earlier messages.
//!
//! Knows no database, no clock and no text.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Map as JsonMap, Value as Json};

use crate::core::notify::{NotifyEvent, NotifyRule};
use crate::core::run_id::RunId;

/// A run that ended by itself; cancelled ones are no part of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesRun {
    pub run: RunId,
    pub started: Timestamp,
    pub succeeded: bool,
}

/// A run that a rule told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldRun {
    pub run: RunId,
    pub event: NotifyEvent,
    pub at: Timestamp,
}

/// What a failure looks like: two of the same shape are one failure that goes on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FailureShape {
    /// Node, kind of error and exit code of everything that failed.
    pub failed: BTreeSet<(String, String, Option<i32>)>,
    /// The workflow's inputs, the one that receives the instant aside.
    pub inputs: JsonMap<String, Json>,
    /// The definition of each node that failed.
    pub definitions: BTreeMap<String, String>,
}

/// Failures in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streak {
    pub count: u64,
    /// When the first of them began.
    pub since: Option<Timestamp>,
}

/// The failures in a row from the newest run on; of a success those before it. The newest run comes first.
pub fn streak(runs: &[SeriesRun]) -> Streak {
    let failures = failures(runs);
    Streak { count: failures.len() as u64, since: failures.last().map(|run| run.started) }
}

fn failures(runs: &[SeriesRun]) -> &[SeriesRun] {
    let runs = match runs.first() {
        Some(newest) if newest.succeeded => &runs[1..],
        _ => runs,
    };
    let count = runs.iter().take_while(|run| !run.succeeded).count();
    &runs[..count]
}

/// What a rule tells of the newest run, which comes first. `is_same` says whether it failed like the failure before it.
pub fn decide(
    rule: &NotifyRule,
    runs: &[SeriesRun],
    told: &[ToldRun],
    is_same: bool,
    now: Timestamp,
) -> Vec<NotifyEvent> {
    let Some(newest) = runs.first() else { return Vec::new() };
    let failures = failures(runs);
    let told_failures = || {
        told.iter().filter(|told| {
            told.event == NotifyEvent::Failure && failures.iter().any(|failure| failure.run == told.run)
        })
    };
    let reached = failures.len() as u64 >= u64::from(rule.after);
    let mut events = Vec::new();
    if newest.succeeded {
        // A rule that tells no failures tells the end of those that it would have told.
        let was_told = match rule.on.contains(&NotifyEvent::Failure) {
            true => told_failures().next().is_some(),
            false => reached && !failures.is_empty(),
        };
        events.extend(was_told.then_some(NotifyEvent::Recovery));
        events.push(NotifyEvent::Success);
    } else if reached {
        let last = told_failures().map(|told| told.at).max();
        let is_due = last.zip(rule.repeat).is_some_and(|(last, repeat)| {
            now.duration_since(last)
                >= jiff::SignedDuration::try_from(repeat).unwrap_or(jiff::SignedDuration::MAX)
        });
        events.extend((last.is_none() || !is_same || is_due).then_some(NotifyEvent::Failure));
    }
    events.retain(|event| rule.on.contains(event));
    events
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::core::notify::NotifyChannel;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3600).unwrap()
    }

    fn rule(on: &[NotifyEvent]) -> NotifyRule {
        NotifyRule {
            name: None,
            on: on.to_vec(),
            channel: NotifyChannel::Command(vec!["tell".into()]),
            body: None,
            schedules: None,
            after: 1,
            repeat: None,
            timeout: Duration::from_secs(10),
            in_settings: false,
        }
    }

    const USUAL: [NotifyEvent; 2] = [NotifyEvent::Failure, NotifyEvent::Recovery];

    /// Runs one an hour, told as the rule decides; `+` succeeds, `f` fails, `g` fails in another way than the one before.
    /// What is told of each run, in the letters of the events.
    fn story(rule: &NotifyRule, runs: &str) -> String {
        let (mut past, mut told, mut story) = (Vec::new(), Vec::new(), String::new());
        for (hour, letter) in runs.chars().enumerate() {
            let now = at(hour as i64);
            let run = RunId::parse(&format!("run{hour:05}")).unwrap();
            past.insert(0, SeriesRun { run, started: now, succeeded: letter == '+' });
            let events = decide(rule, &past, &told, letter == 'f', now);
            let letters: String = events.iter().map(|event| event.name().chars().next().unwrap()).collect();
            story += if letters.is_empty() { "." } else { &letters };
            told.extend(events.into_iter().map(|event| ToldRun { run, event, at: now }));
        }
        story
    }

    #[test]
    fn a_failure_is_told_once_and_its_end_once() {
        assert_eq!(story(&rule(&USUAL), "++fff++f+"), "..f..r.fr");
    }

    #[test]
    fn another_failure_is_told_as_well() {
        assert_eq!(story(&rule(&USUAL), "fgfg+"), "ff.fr");
    }

    #[test]
    fn the_first_message_can_wait_for_several_failures() {
        let patient = NotifyRule { after: 3, ..rule(&USUAL) };
        assert_eq!(story(&patient, "ff+fffff+"), ".....f..r");
        // Nothing was told, so nothing recovers; and other ways to fail count alike.
        assert_eq!(story(&patient, "fg+gggg+"), ".....ffr");
    }

    #[test]
    fn a_failure_that_goes_on_is_repeated() {
        let nagging = NotifyRule { repeat: Some(Duration::from_secs(2 * 3600)), ..rule(&USUAL) };
        assert_eq!(story(&nagging, "ffffff+"), "f.f.f.r");
    }

    #[test]
    fn successes_are_a_heartbeat_and_rules_hear_only_what_they_want() {
        assert_eq!(story(&rule(&[NotifyEvent::Success]), "+f+f"), "s.s.");
        assert_eq!(story(&rule(&[NotifyEvent::Recovery]), "+ff+"), "...r");
        assert_eq!(story(&rule(&[NotifyEvent::Failure]), "f+f"), "f.f");
        assert_eq!(story(&rule(&[NotifyEvent::Missed, NotifyEvent::Broken]), "f+"), "..");
        let all = [USUAL[0], USUAL[1], NotifyEvent::Success];
        assert_eq!(story(&rule(&all), "f+"), "frs");
    }

    #[test]
    fn a_failure_that_nobody_was_told_of_is_told_when_it_comes_again() {
        // As after adding [[notify]] while something fails.
        let run = |n: u64| RunId::parse(&format!("run{n:05}")).unwrap();
        let past = |n| SeriesRun { run: run(n), started: at(n as i64), succeeded: false };
        let events = decide(&rule(&USUAL), &[past(2), past(1)], &[], true, at(2));
        assert_eq!(events, [NotifyEvent::Failure]);
        assert_eq!(streak(&[past(2), past(1)]), Streak { count: 2, since: Some(at(1)) });
        let fine = SeriesRun { run: run(3), started: at(3), succeeded: true };
        assert_eq!(streak(&[fine.clone(), past(2), past(1)]).count, 2);
        assert_eq!(streak(&[fine]), Streak::default());
        assert!(decide(&rule(&USUAL), &[], &[], false, at(0)).is_empty());
    }
}
