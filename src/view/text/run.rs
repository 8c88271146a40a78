//! A run's view as a person reads it: tables, failures, and what to do next.

use std::collections::HashMap;

use jiff::Zoned;

use crate::core::event::{Counts, NodeFinished, Status};
use crate::core::why;
use crate::view::model::run::{Bucket, NodeState, RunState};
use crate::view::text::commands::{after, after_detached, command, logs_command, table};
use crate::view::text::narrator::warning_line;
use crate::view::text::phrases::{counts, details, mark, summed, usage};
use crate::view::text::style::{BAD, Cell, FAINT, Ink, PLAIN, STRONG, columns};
use crate::view::text::value::by_place;
use crate::view::text::{age, count, cut, duration, inert};

/// Maximum hits with a line each, without `all`.
const SHOWN_HITS: usize = 10;
/// Maximum nodes of each other kind with a line each, without `all`.
const SHOWN_OTHERS: usize = 50;
/// Maximum failures shown with the end of their logs.
const DETAILED_FAILURES: usize = 10;
/// Minimum processor time that is shown, in milliseconds.
const WORTH_TELLING: u64 = 100;
/// The most columns that the reason of a miss may take.
const WHY_WIDTH: usize = 40;
/// The most columns that an output's value may take.
pub(in crate::view) const OUTPUT_WIDTH: usize = 200;

/// The rows of the table, and what it leaves out.
struct Rows<'a> {
    all: bool,
    run_status: &'a str,
    now: &'a Zoned,
    rows: Vec<Vec<Cell>>,
    seen: HashMap<Bucket, usize>,
    /// How many faster nodes than those that are listed there are.
    faster: usize,
}

/// The order of the nodes of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As their first events came.
    #[default]
    Events,
    /// The slowest first; elements count one by one.
    Time,
}

impl RunState {
    /// The run for a person, ages as seen from `now`. Without `all`, long lists are cut and counted.
    pub fn render(&self, all: bool, order: Order, color: bool, now: &Zoned) -> String {
        let ink = Ink(color);
        let mut text = self.header(ink, now);
        if let Some(request) = &self.request {
            text.push_str(&format!("\n{}", request.render(ink)));
        }
        if !self.nodes.is_empty() {
            text.push('\n');
            text.push_str(&self.table(all, order, ink, now));
        }
        self.write_failures(&mut text, ink);
        if !self.warnings.is_empty() {
            text.push('\n');
            text.extend(self.warnings.iter().map(|warning| warning_line(warning, ink)));
        }
        if !self.outputs.is_empty() {
            text.push_str(&format!("\n{}\n", ink.paint(STRONG, "outputs")));
            for (name, value) in &self.outputs {
                text.push_str(&format!("  {name} = {}\n", by_place(value, OUTPUT_WIDTH)));
            }
        }
        let next = self.next();
        if !next.is_empty() {
            text.push_str(&format!("\n{}\n{}", ink.paint(STRONG, "next"), table(&next, ink)));
        }
        text
    }

    fn header(&self, ink: Ink, now: &Zoned) -> String {
        let Self { id: run, workflow, project, domain, status, .. } = self;
        let (mark, style) = self.ended.map_or(("…", PLAIN), |status| mark(status, None));
        let mut text = format!("run {}  {workflow}  {project}/{domain}\n", ink.paint(STRONG, run));
        if let Some(before) = &self.retry_of {
            text.push_str(&ink.paint(FAINT, format!("retry of run {before}\n")));
        }
        text.push_str(&ink.paint(style.bold(), format!("{mark} {status}")));
        if let Some(ms) = self.duration_ms {
            text.push_str(&format!(" in {}", duration(ms)));
        }
        if let (true, Some(started)) = (self.goes_on(), self.started) {
            let ms = now.timestamp().as_millisecond() - started.as_millisecond();
            text.push_str(&format!(" for {}", duration(u64::try_from(ms).unwrap_or(0))));
        }
        if let Some(started) = self.started {
            let local = started.to_zoned(now.time_zone().clone()).strftime("%Y-%m-%d %H:%M:%S");
            text.push_str(&format!(", started {} ({local})", age(started, now)));
        }
        text.push('\n');
        if self.ended.is_some() || self.counts.finished() > 0 {
            let succeeded = self.ended == Some(Status::Succeeded);
            text.push_str(&format!("{}\n", counts(&self.counts, self.saved_ms, succeeded)));
        }
        text
    }

    fn table(&self, all: bool, order: Order, ink: Ink, now: &Zoned) -> String {
        let head = ["NODE", "STATUS", "CACHE", "TIME", ""].map(|name| Cell::new(FAINT, name));
        let mut rows = Rows {
            all,
            run_status: &self.status,
            now,
            rows: vec![head.to_vec()],
            seen: HashMap::new(),
            faster: 0,
        };
        match order {
            Order::Events => self.nodes.iter().for_each(|node| rows.add(node)),
            Order::Time => rows.add_slowest(self, now),
        }
        if rows.rows.len() == 1 {
            return format!("{}\n", ink.paint(FAINT, "nothing was executed in this run"));
        }
        let mut text = columns(&rows.rows, ink);
        let hidden = rows.hidden();
        if !hidden.is_empty() {
            text.push_str(&ink.paint(FAINT, format!("{hidden}; --all lists them")));
            text.push('\n');
        }
        text
    }

    /// The failures that were news.
    fn failed(&self) -> impl Iterator<Item = &NodeState> {
        self.nodes.iter().flat_map(NodeState::inside_first).filter(|node| node.has_failed())
    }

    fn write_failures(&self, text: &mut String, ink: Ink) {
        for node in self.failed().take(DETAILED_FAILURES) {
            let Some(finished) = &node.finished else { continue };
            let label = node.path();
            text.push_str(&format!(
                "\n{} {label}  {}\n",
                ink.paint(BAD, "✗"),
                ink.paint(BAD, finished.failure())
            ));
            for attempt in node.attempts.iter().filter_map(|attempt| attempt.failed.as_ref()) {
                // The last attempt's error is the node's own.
                if attempt.attempt < finished.attempts {
                    let (n, time) = (attempt.attempt, duration(attempt.duration_ms));
                    text.push_str(&format!("  attempt {n}: {} ({time})\n", attempt.error.gist()));
                }
            }
            text.push_str(&details(finished, &self.id, ink));
        }
    }

    /// Commands that lead on from here.
    fn next(&self) -> Vec<(String, &'static str)> {
        let ran = |node: &&NodeState| node.finished.as_ref().is_some_and(|node| node.attempts > 0);
        let failed = self.failed().find(ran).map(NodeState::path);
        // A run that was killed is retried like one that was cancelled.
        if self.status == "abandoned" {
            return after_detached(&self.id);
        }
        let ended = self.ended.or((!self.goes_on()).then_some(Status::Cancelled));
        let mut next = ended.map_or_else(Vec::new, |status| after(&self.id, status, failed));
        if self.goes_on() {
            next.push((command(&format!("logs {} -f", self.id)), "follows what its tasks print"));
        }
        // A failure is shown with its own command.
        let logged = self.logged.as_ref().filter(|_| self.failed().next().is_none() && !self.goes_on());
        next.extend(
            logged.map(|path| (logs_command(&self.id, &path.node, path.index), "all that it printed")),
        );
        next
    }
}

impl Rows<'_> {
    /// A row for `node`, and one for each notable unit inside it.
    fn add(&mut self, node: &NodeState) {
        self.row(node);
        for inner in &node.inside {
            let telling = matches!(inner.bucket(), Bucket::Failed | Bucket::Unfinished) && inner.own;
            if self.all || telling {
                self.row(inner);
            }
        }
        if node.unkept_failures > 0 {
            *self.seen.entry(Bucket::Failed).or_default() += node.unkept_failures;
        }
    }

    /// The nodes and elements that worked longest, the slowest first.
    fn add_slowest(&mut self, run: &RunState, now: &Zoned) {
        let time = |node: &&NodeState| match &node.finished {
            Some(finished) => (finished.attempts > 0).then_some(finished.duration_ms),
            None if run.goes_on() => node.elapsed_ms(now.timestamp()),
            None => None,
        };
        let mut timed: Vec<(u64, &NodeState)> =
            run.all().filter(|node| node.own).filter_map(|node| Some((time(&node)?, node))).collect();
        timed.sort_by_key(|(ms, _)| std::cmp::Reverse(*ms));
        let shown = if self.all { timed.len() } else { timed.len().min(SHOWN_OTHERS) };
        self.rows.extend(timed[..shown].iter().map(|(_, node)| node.row(self.run_status, self.now)));
        self.faster = timed.len() - shown;
    }

    /// A row, unless there are enough of its group; what sums up others always has one.
    fn row(&mut self, node: &NodeState) {
        let group = node.bucket();
        let sums_up = !node.own || node.spread.is_some();
        let so_far = self.seen.entry(group).or_default();
        *so_far += usize::from(!sums_up);
        if self.all || sums_up || *so_far <= group.shown() {
            self.rows.push(node.row(self.run_status, self.now));
        }
    }

    /// What is left out, in words.
    fn hidden(&self) -> String {
        let more = |group: &Bucket| {
            let more =
                self.seen.get(group)?.checked_sub(group.shown()).filter(|more| *more > 0 && !self.all)?;
            Some(format!("{} more {}", count(more as u64), group.words()))
        };
        let faster =
            (self.faster > 0).then(|| format!("{} more that were faster", count(self.faster as u64)));
        Bucket::ALL.iter().filter_map(more).chain(faster).collect::<Vec<_>>().join(", ")
    }
}

impl NodeState {
    fn row(&self, run_status: &str, now: &Zoned) -> Vec<Cell> {
        let label = self.path();
        let Some(node) = &self.finished else {
            let mut row = vec![Cell::new(PLAIN, format!("… {label}")), Cell::new(PLAIN, run_status)];
            let elapsed = self.elapsed_ms(now.timestamp()).filter(|_| run_status == "running");
            if let (Some(ms), None) = (elapsed, &self.spread) {
                row.extend([Cell::default(), Cell::new(PLAIN, duration(ms))]);
            }
            if let Some(spread) = &self.spread {
                let mut far = format!("{} of {} elements", count(spread.done), count(spread.elements));
                if spread.failed > 0 {
                    far.push_str(&format!(", {} failed", count(spread.failed)));
                }
                row.extend([Cell::default(), Cell::default(), Cell::new(FAINT, far)]);
            }
            return row;
        };
        let (mark, style) = mark(node.status, node.cache);
        let cell = |text: String| Cell::new(PLAIN, text);
        let worked = node.attempts > 0 || node.counts.is_some();
        let time = if worked { duration(node.duration_ms) } else { String::new() };
        vec![
            Cell::new(style, mark).and(PLAIN, format!(" {label}")),
            Cell::new(style, node.status.name()),
            cell(node.cache.map_or_else(String::new, |cache| cache.to_string())),
            cell(time),
            Cell::new(FAINT, self.remark(node, now)),
        ]
    }

    /// What is worth knowing beside: why it failed, where it came from, why it did not run.
    fn remark(&self, node: &NodeFinished, now: &Zoned) -> String {
        let mut parts = Vec::new();
        if node.status == Status::Failed {
            parts.push(node.failure());
        } else if node.attempts > 1 {
            parts.push(format!("attempt {}", node.attempts));
        }
        if let Some(source) = &node.source {
            let (run, node, note) = (&source.run, &source.node, source.note());
            parts.push(format!("from {run}/{node}, {}{}", age(source.time, now), inert(&note)));
        }
        parts.extend(node.reason.as_ref().map(|reason| inert(reason).into_owned()));
        // Why it ran, where there is something to tell: not of a first time.
        let missed = node
            .why
            .as_ref()
            .filter(|missed| missed.kind != why::MissKind::First && node.status != Status::Failed);
        parts.extend(missed.map(|why| cut(&inert(&why.text()), WHY_WIDTH).into_owned()));
        match &node.counts {
            // The failure has said how many failed.
            Some(all) if node.status == Status::Failed => {
                let others = Counts { failed: 0, ..*all };
                if others.finished() > 0 {
                    parts.push(counts(&others, 0, false));
                }
            }
            _ => parts.push(summed(node, self.spread.map(|spread| spread.elements))),
        }
        if node.cpu_ms >= Some(WORTH_TELLING) || node.peak_memory.is_some() {
            parts.push(usage(node.usage()));
        }
        parts.retain(|part| !part.is_empty());
        parts.join("; ")
    }
}

impl Bucket {
    /// In the order in which the counts of hidden rows are shown.
    const ALL: [Self; 5] = [Self::Failed, Self::Unfinished, Self::Idle, Self::Executed, Self::Cached];

    fn shown(self) -> usize {
        match self {
            Self::Cached => SHOWN_HITS,
            Self::Executed | Self::Failed | Self::Idle | Self::Unfinished => SHOWN_OTHERS,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Cached => "from the cache",
            Self::Executed => "executed",
            Self::Failed => "failed",
            Self::Idle => "skipped or cancelled",
            Self::Unfinished => "unfinished",
        }
    }
}

#[cfg(test)]
mod tests;
