//! The lines of one frame: which of the running attempts, elements and waits it shows, and in which order.
//!
//! Knows the state of a run and the time of the frame, neither a terminal nor a clock.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::core::node_path::{NodePath, NodeRef};
use crate::view::model::live::{Live, LiveAttempt, Wait};
use crate::view::model::tally::{Spread, Tally};
use crate::view::terminal::frame::{Line, LineState, Moment, Progress, SHOWN};
use crate::view::text::{duration, inert};

/// The log that has a line's words, and what is to stand before them.
pub(super) struct LogSource {
    pub log: String,
    pub prefix: String,
}

/// All that belongs to a node with elements.
struct Fold<'a> {
    spread: Spread,
    running: u64,
    /// The oldest attempt; one that rests only if all do.
    oldest: Option<(&'a NodePath, &'a LiveAttempt)>,
    waits: Option<&'a Wait>,
}

/// What may become a line, with what it is sorted by: the state, and since when.
type Row = (LineState, Timestamp, Line, Option<LogSource>);

impl Live {
    /// The frame of number `turn`, and for each line the log with its words.
    pub(super) fn moment(
        &self,
        now: Timestamp,
        tally: &Tally,
        turn: usize,
    ) -> (Moment, Vec<Option<LogSource>>) {
        let mut rows = self.rows(now, tally);
        rows.sort_by(|a, b| (a.0, a.1, &a.2.label).cmp(&(b.0, b.1, &b.2.label)));
        let more = rows.len().saturating_sub(SHOWN);
        let (lines, sources) =
            rows.into_iter().take(SHOWN).map(|(_, _, line, source)| (line, source)).unzip();
        let moment = Moment {
            lines,
            more,
            running: self.running.len(),
            queued: self.queued,
            uploads: self.uploads,
            counts: tally.counts,
            total: tally.total,
            saved_ms: tally.saved_ms,
            elapsed_ms: tally.begun.as_ref().map_or(0, |run| between(run.time, now)),
            left_ms: self
                .running
                .values()
                .filter_map(|attempt| attempt.end)
                .max()
                .map_or(0, |end| between(now, end)),
            turn,
        };
        (moment, sources)
    }

    fn rows(&self, now: Timestamp, tally: &Tally) -> Vec<Row> {
        let outermost = tally.spread.iter().filter(|(node, _)| !NodeRef::new(node, None).is_in_element());
        let mut folds: HashMap<&str, Fold> =
            outermost.map(|(node, spread)| (&**node, Fold::new(*spread))).collect();
        let mut rows = Vec::new();
        for (unit, attempt) in &self.running {
            match unit.borrowed().outermost() {
                Some(node) => fold(&mut folds, node, attempt.since).run(unit, attempt),
                None => rows.push(attempt.row(&unit.node, now)),
            }
        }
        for (unit, wait) in &self.waiting {
            match unit.borrowed().outermost() {
                Some(node) => {
                    fold(&mut folds, node, wait.since).waits.get_or_insert(wait);
                }
                None => rows.push(wait.row(&unit.node)),
            }
        }
        rows.extend(folds.into_iter().map(|(node, fold)| fold.row(node, now)));
        rows
    }
}

/// The fold of `node`, which ought to be known before anything happens in it.
fn fold<'f, 'a>(
    folds: &'f mut HashMap<&'a str, Fold<'a>>,
    node: &'a str,
    since: Timestamp,
) -> &'f mut Fold<'a> {
    folds.entry(node).or_insert_with(|| Fold::new(Spread::new(since, 0)))
}

impl LiveAttempt {
    fn row(&self, node: &str, now: Timestamp) -> Row {
        let (state, words, source) = self.words("", now);
        let elapsed_ms = Some(between(self.since, now));
        // What rests belongs among what runs.
        (
            LineState::Runs,
            self.since,
            Line { label: node.into(), elapsed_ms, state, progress: None, words },
            source,
        )
    }

    /// What there is to say, or where to read it; `prefix` stands before either.
    fn words(&self, prefix: &str, now: Timestamp) -> (LineState, String, Option<LogSource>) {
        match &self.retry {
            Some((begins, error)) => {
                let words = format!("{prefix}{error}, again in {}", duration(between(now, *begins)));
                (LineState::Rests, words, None)
            }
            None => {
                let place =
                    self.place.as_ref().map_or_else(String::new, |place| format!("{prefix}{}", inert(place)));
                let prefix = if place.is_empty() { prefix.to_owned() } else { format!("{place} ") };
                let source = self.log.clone().map(|log| LogSource { log, prefix });
                (LineState::Runs, place, source)
            }
        }
    }
}

impl Wait {
    fn words(&self) -> String {
        inert(&self.words).into_owned()
    }

    fn row(&self, node: &str) -> Row {
        let state = LineState::Waits;
        let line = Line { label: node.into(), elapsed_ms: None, state, progress: None, words: self.words() };
        (state, self.since, line, None)
    }
}

impl<'a> Fold<'a> {
    fn new(spread: Spread) -> Self {
        Self { spread, running: 0, oldest: None, waits: None }
    }

    fn run(&mut self, unit: &'a NodePath, attempt: &'a LiveAttempt) {
        self.running += 1;
        let age = |attempt: &LiveAttempt| (attempt.retry.is_some(), attempt.since);
        if self.oldest.is_none_or(|(_, oldest)| age(attempt) < age(oldest)) {
            self.oldest = Some((unit, attempt));
        }
    }

    fn row(self, node: &str, now: Timestamp) -> Row {
        let Spread { since, elements, done, failed, .. } = self.spread;
        let (state, words, source) = match (self.oldest, self.waits) {
            (Some((unit, attempt)), _) => {
                let label = unit.borrowed().label();
                attempt.words(&format!("{} ", &label[node.len()..]), now)
            }
            (None, Some(wait)) => (LineState::Waits, wait.words(), None),
            (None, None) => (LineState::Runs, String::new(), None),
        };
        // Where nothing runs, others that do come first.
        let rank = if self.oldest.is_some() { LineState::Runs } else { LineState::Rests };
        let progress = Some(Progress { done, elements, running: self.running, failed });
        let elapsed_ms = Some(between(since, now));
        (rank, since, Line { label: node.into(), elapsed_ms, state, progress, words }, source)
    }
}

/// From `then` to `now` in milliseconds; 0 if it is the other way round.
fn between(then: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(now.duration_since(then).as_millis()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::{AttemptFailed, Counts, Event, NodeKind, Status};
    use crate::view::sample::*;
    use crate::view::text::style::Ink;

    /// What is shown after `events`, five seconds after the run began.
    fn shown(events: &[Event], columns: usize) -> Vec<String> {
        let (mut live, tally) = (Live::default(), Tally::of(events));
        events.iter().for_each(|event| live.step(event));
        let (moment, sources) = live.moment(at(5), &tally, 1);
        assert_eq!(moment.lines.len(), sources.len());
        moment.lines(columns, 24, Ink(false))
    }

    #[test]
    fn elements_are_one_line_that_tells_what_their_oldest_says() {
        let mut events = vec![run_started(1), expanded("each", 100, 100)];
        for i in 0..60 {
            events.push(element_started("each", i, 99 - i, 1));
            if i < 56 {
                events.push(element(i, if i == 10 { failed("each") } else { executed("each") }));
            }
        }
        assert_eq!(
            shown(&events, 80),
            [
                "⠙ each     5.0s  56/100  4 running  1 failed",
                "━━━━━─────  56/100  5.0s  1 failed  4 running  40 queued  55 executed",
            ]
        );
        assert_eq!(
            shown(&events, 40),
            ["⠙ each     5.0s  56/100  1 failed", "56/100  5.0s  1 failed  4 running"]
        );
        let rests = |i| {
            let Event::AttemptFailed(attempt) = attempt_failed("each") else { unreachable!() };
            Event::AttemptFailed(AttemptFailed { index: Some(i), ..attempt })
        };
        events.extend([rests(56), rests(58)]);
        assert_eq!(shown(&events, 80)[0], "⠙ each     5.0s  56/100  4 running  1 failed");
        events.extend([rests(57), rests(59)]);
        assert_eq!(
            shown(&events, 80)[0],
            "↻ each     5.0s  56/100  4 running  1 failed  [56] exit 3, again in 2.0s"
        );
    }

    #[test]
    fn a_thousand_workflows_are_one_line() {
        let mut events = vec![run_started(2), expanded("prep", 1000, 2000)];
        for i in 0..1000 {
            let (clean, sort) = (format!("prep[{i}]/clean"), format!("prep[{i}]/sort"));
            events.extend([node_started(&clean, 1, 1), Event::NodeFinished(executed(&clean))]);
            if i < 990 {
                let end =
                    sum("prep", NodeKind::Workflow, Counts { nodes: 2, executed: 2, ..Counts::default() });
                events.extend([Event::NodeFinished(executed(&sort)), element(i, end)]);
            } else {
                events.push(node_started(&sort, 1, 2));
            }
        }
        events.push(waiting("prep[995]/sort", None, "for gpu: all 2 are taken"));
        assert_eq!(
            shown(&events, 80),
            [
                "⠙ prep     5.0s  990/1,000  9 running",
                "━━━━━━━━━─  1,990/2,000  5.0s  9 running  1,990 executed",
            ]
        );
        let why = "1 node of the workflow failed";
        events.push(Event::NodeFinished(failed("prep[990]/sort")));
        events.push(element(990, sum_failed("prep", NodeKind::Workflow, Counts::default(), why)));
        assert_eq!(shown(&events, 80)[0], "⠙ prep     5.0s  991/1,000  8 running  1 failed");
    }

    #[test]
    fn what_waits_comes_after_what_runs_until_it_ends() {
        let mut events = vec![
            run_started(12),
            expanded("each", 2, 14),
            waiting("train", None, "for run k3v9x2qm, whose node train does the same work"),
            waiting("each", Some(1), "for each[0], which does the same work"),
            node_started("hash", 1, 3),
        ];
        assert_eq!(
            shown(&events, 80),
            [
                "⠙ hash      2.0s",
                "⋯ each      5.0s  0/2  waiting for each[0], which does the same work",
                "⋯ train  waiting for run k3v9x2qm, whose node train does the same work",
                "──────────  0/14  5.0s  1 running",
            ]
        );
        assert_eq!(shown(&events, 40)[2], "⋯ train  waiting for run k3v9x2qm, whos…");
        events.extend([element(1, hit("each")), Event::NodeFinished(hit("train"))]);
        assert_eq!(shown(&events, 80)[1], "⠙ each     5.0s  1/2");
        events.extend((0..9).map(|i| waiting(&format!("n{i}"), None, "for gpu: all 2 are taken")));
        let lines = shown(&events, 80);
        assert_eq!((&*lines[7], &*lines[8]), ("⋯ n5    waiting for gpu: all 2 are taken", "  and 3 more"));
    }

    #[test]
    fn what_is_called_off_leaves_the_queue() {
        let mut events = vec![run_started(9), element_started("each", 0, 3, 1)];
        assert_eq!(shown(&events, 80)[1], "──────────  0/9  5.0s  1 running  3 queued");
        let never = idle("each", Status::Cancelled, "the run stopped first");
        events.extend((1..4).map(|i| element(i, never.clone())));
        assert_eq!(shown(&events, 80)[1], "━━━───────  3/9  5.0s  1 running  3 cancelled");
    }
}
