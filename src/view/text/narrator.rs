//! Tells a run in lines: which events deserve words, and which words. The terminal and the plain log both
//! print what it says.

use std::collections::HashSet;

use jiff::tz::TimeZone;

use crate::core::counted::counted;
use crate::core::digest::Digest;
use crate::core::event::{
    AttemptFailed, AttemptLost, CacheStatus, Event, LockBusy, NodeExpanded, NodeFinished, NodeKind,
    NodeStarted, NodeSubmitted, NodeWaiting, RunFinished, RunStarted, RunUploading, Status, Warning,
    WorkflowMade,
};
use crate::core::node_path::NodePath;
use crate::view::Verbosity;
use crate::view::model::tally::{Added, Tally};
use crate::view::text::commands::{after, command, table};
use crate::view::text::phrases::{counts, details, mark, summed, usage};
use crate::view::text::style::{BAD, CAUTION, FAINT, Ink, STRONG};
use crate::view::text::why;
use crate::view::text::{age, count, duration, inert, named};

/// Maximum skipped or cancelled nodes with a line each; the others share one line at the end.
const IDLE_LINES: u64 = 5;
/// Maximum failures shown with the end of their log; later ones get one line each.
const DETAILED_FAILURES: u64 = 10;
/// Maximum failures with a line; later failures of elements get none.
const TOLD_FAILURES: u64 = 50;
/// Maximum failures repeated at the end.
const REPEATED_FAILURES: usize = 20;
/// Minimum number of later messages after which a single failure is repeated at the end.
const STILL_IN_SIGHT: u64 = 8;
/// Minimum wait for a slot that is shown, in milliseconds.
const WORTH_TELLING: u64 = 100;
/// Maximum warnings that a quiet run keeps for its end.
const HELD_WARNINGS: usize = 1000;

pub(in crate::view) struct Narrator {
    ink: Ink,
    verbosity: Verbosity,
    /// Whether a failed attempt that is followed by another is worth a line.
    tells_retries: bool,
    zone: TimeZone,
    pub tally: Tally,
    /// The label of each of the first failed nodes, and why it failed.
    failures: Vec<(String, String)>,
    /// The first nodes whose commands ran and failed.
    ran_and_failed: Vec<NodePath>,
    /// The tasks that were executed and are not cached.
    uncached: HashSet<String>,
    /// How many failures had a line.
    told: u64,
    /// How many things were said since the last failure.
    since_failure: u64,
    idle: Idle,
    /// Whether it was said that the end of the run waits for uploads.
    said_uploading: bool,
    /// How many jobs were left to themselves.
    left: u64,
    /// What a quiet run was warned of, with the node: said only if that node or, without one, the run fails.
    held: Vec<Warning>,
}

/// How many nodes never ran, and how many of them had no line of their own.
#[derive(Default)]
struct Idle {
    told: u64,
    skipped: u64,
    cancelled: u64,
    detached: u64,
}

impl Narrator {
    pub fn new(verbosity: Verbosity, ink: Ink, zone: TimeZone) -> Self {
        Self {
            ink,
            verbosity,
            tells_retries: verbosity == Verbosity::Verbose,
            zone,
            tally: Tally::default(),
            failures: Vec::new(),
            ran_and_failed: Vec::new(),
            uncached: HashSet::new(),
            told: 0,
            since_failure: 0,
            idle: Idle::default(),
            said_uploading: false,
            left: 0,
            held: Vec::new(),
        }
    }

    /// Tells of retries in a run of normal verbosity as well.
    pub fn with_retries(mut self) -> Self {
        self.tells_retries |= self.verbosity == Verbosity::Normal;
        self
    }

    /// What to say about `event`: paragraphs of one or more lines, each line ending with a newline.
    pub fn tell(&mut self, event: &Event) -> Vec<String> {
        let added = self.tally.step(event);
        let said = match event {
            Event::RunWaiting(busy) => self.run_held(busy, "⋯", "waiting for"),
            Event::RunSkipped(busy) => self.run_held(busy, "○", "nothing was run:"),
            Event::RunStarted(run) => self.run_started(run),
            Event::NodeExpanded(node) => self.node_expanded(node),
            Event::WorkflowMade(made) => self.workflow_made(made),
            Event::NodeWaiting(node) => self.node_waiting(node),
            Event::NodeSubmitted(node) => self.node_submitted(node),
            Event::NodeStarted(node) => self.node_started(node),
            Event::AttemptLost(lost) => self.attempt_lost(lost),
            Event::AttemptFailed(attempt) => self.attempt_failed(attempt),
            Event::NodeFinished(node) => self.node_finished(node, added),
            Event::Warning(warning) => self.warning(warning),
            Event::RunUploading(uploading) => self.run_uploading(uploading),
            Event::RunFinished(run) => self.run_finished(run),
        };
        self.since_failure += said.len() as u64;
        said
    }

    /// See [`Reporter::passes_over_hits`].
    ///
    /// [`Reporter::passes_over_hits`]: crate::core::reporter::Reporter::passes_over_hits
    pub fn passes_over_hits(&self) -> bool {
        !self.verbose()
    }

    fn run(&self) -> &str {
        self.tally.begun.as_ref().map_or("", |run| &run.run)
    }

    fn verbose(&self) -> bool {
        self.verbosity == Verbosity::Verbose
    }

    fn quiet(&self) -> bool {
        self.verbosity == Verbosity::Quiet
    }

    fn run_held(&self, busy: &LockBusy, mark: &str, words: &str) -> Vec<String> {
        if self.quiet() {
            return Vec::new();
        }
        let holder =
            busy.holder.as_ref().map_or_else(|| "another run".into(), |run| format!("run {}", inert(run)));
        let link = if words.ends_with(':') { "" } else { ", which" };
        let mark = self.ink.paint(FAINT, mark);
        vec![format!("{mark} {words} {holder}{link} holds the lock {}\n", inert(&busy.lock))]
    }

    fn run_started(&self, run: &RunStarted) -> Vec<String> {
        if !self.verbose() {
            return Vec::new();
        }
        let RunStarted { run, workflow, project, domain, nodes, jobs, retry_of, .. } = run;
        let jobs = if *jobs > 0 { format!(", {jobs} at once") } else { String::new() };
        let again = retry_of.as_ref().map_or_else(String::new, |before| format!(", retry of {before}"));
        vec![format!("run {run}: {workflow} ({project}/{domain}), {} nodes{jobs}{again}\n", count(*nodes))]
    }

    fn run_uploading(&mut self, uploading: &RunUploading) -> Vec<String> {
        if self.quiet() || std::mem::replace(&mut self.said_uploading, true) {
            return Vec::new();
        }
        let RunUploading { remote, left, wait_ms, .. } = uploading;
        let mark = self.ink.paint(FAINT, "⋯");
        vec![format!(
            "{mark} uploading {} to {}, for up to {}; Ctrl-C leaves them for the next run or `runner cache push`\n",
            named(*left, "result"),
            inert(remote),
            duration(*wait_ms)
        )]
    }

    fn node_expanded(&self, node: &NodeExpanded) -> Vec<String> {
        if !self.verbose() {
            return Vec::new();
        }
        let label = node.path();
        vec![format!("{} {label}  {} elements\n", self.ink.paint(FAINT, "›"), count(node.elements))]
    }

    fn workflow_made(&self, made: &WorkflowMade) -> Vec<String> {
        if !self.verbose() {
            return Vec::new();
        }
        let (label, nodes, document) = (made.path(), named(made.nodes, "node"), inert(&made.document));
        vec![format!("{} {label}  made {nodes}, as {document} says\n", self.ink.paint(FAINT, "›"))]
    }

    fn node_waiting(&self, node: &NodeWaiting) -> Vec<String> {
        if !self.verbose() {
            return Vec::new();
        }
        let label = node.path();
        vec![format!("{} {label}  waiting {}\n", self.ink.paint(FAINT, "⋯"), inert(&node.reason))]
    }

    fn node_started(&self, node: &NodeStarted) -> Vec<String> {
        if !self.verbose() {
            return Vec::new();
        }
        let label = node.path();
        let waited = match node.waited_ms {
            0..WORTH_TELLING => String::new(),
            ms => format!(", waited {}", duration(ms)),
        };
        let host = node.host.as_ref().map_or_else(String::new, |host| format!(" on {}", inert(host)));
        vec![format!(
            "{} {label}  started{host}, attempt {}{waited}\n",
            self.ink.paint(FAINT, "›"),
            node.attempt
        )]
    }

    fn node_submitted(&self, node: &NodeSubmitted) -> Vec<String> {
        if !self.verbose() {
            return Vec::new();
        }
        let (label, job, executor) = (node.path(), inert(&node.job), inert(&node.executor));
        vec![format!("{} {label}  queued as job {job} of {executor}\n", self.ink.paint(FAINT, "⋯"))]
    }

    fn attempt_lost(&self, lost: &AttemptLost) -> Vec<String> {
        if self.quiet() {
            return Vec::new();
        }
        let (label, job, reason) = (lost.path(), inert(&lost.job), inert(&lost.reason));
        let host = lost.host.as_ref().map_or_else(String::new, |host| format!(" on {}", inert(host)));
        let again = if lost.again { ", done again" } else { "" };
        vec![format!("{} {label}  lost job {job}{host}: {reason}{again}\n", self.ink.paint(CAUTION, "↻"))]
    }

    fn attempt_failed(&self, attempt: &AttemptFailed) -> Vec<String> {
        let alone = !attempt.path().is_in_element();
        let (true, Some(wait)) = (self.verbose() || self.tells_retries && alone, attempt.retry_in_ms) else {
            return Vec::new();
        };
        vec![format!(
            "{} {}  attempt {}: {}, again in {}\n",
            self.ink.paint(CAUTION, "↻"),
            attempt.path(),
            attempt.attempt,
            attempt.error.gist(),
            duration(wait)
        )]
    }

    fn node_finished(&mut self, node: &NodeFinished, added: Added) -> Vec<String> {
        self.left += u64::from(node.status == Status::Detached && node.job.is_some());
        let executed = node.status == Status::Succeeded && node.kind == NodeKind::Task;
        if executed && node.cache == Some(CacheStatus::Disabled) && !self.uncached.contains(&node.task) {
            self.uncached.insert(node.task.clone());
        }
        if added.allows_failures(node) {
            let elements = format!("{}[", node.node);
            self.failures.retain(|(label, _)| !label.starts_with(&elements));
            let is_allowed = |failed: &NodePath| failed.to_string().starts_with(&elements);
            self.ran_and_failed.retain(|failed| !is_allowed(failed));
        }
        if node.status == Status::Succeeded && node.cache == Some(CacheStatus::Hit) && !self.verbose() {
            return Vec::new();
        }
        // The node with the elements has the line for everything inside them, and the nodes of a sub-workflow for it.
        let inside = node.path().is_in_element();
        let spoken_for = inside || node.kind == NodeKind::Workflow;
        let sum = summed(node, added.spread.map(|spread| spread.elements));
        match node.status {
            Status::Failed if added.own => self.node_failed(node, inside),
            _ if spoken_for && !self.verbose() => Vec::new(),
            Status::Failed => vec![self.line(node, &self.ink.paint(BAD, node.failure()))],
            _ if self.quiet() => Vec::new(),
            Status::Succeeded => {
                let mut paragraph = self.line(node, &self.success(node, &sum));
                if let Some(why) = node.why.as_ref().filter(|_| self.verbose()) {
                    paragraph.push_str(&why::details(why, 2, self.ink));
                }
                vec![paragraph]
            }
            Status::Skipped | Status::Cancelled | Status::Detached => self.node_idle(node, &sum),
        }
    }

    /// `✓ hash  0.4s` and so on; `words` is what follows the label.
    fn line(&self, node: &NodeFinished, words: &str) -> String {
        let (mark, style) = mark(node.status, node.cache);
        let mut more = String::new();
        if self.verbose() {
            let used = usage(node.usage());
            let key = node.key.as_ref().map(|key| format!("key {}", short(key)));
            for part in Some(used).filter(|used| !used.is_empty()).into_iter().chain(key) {
                more.push_str(&self.ink.paint(FAINT, format!("  {part}")));
            }
        }
        format!("{} {}  {words}{more}\n", self.ink.paint(style, mark), node.path())
    }

    /// `sum` is what it sums up, if it does.
    fn success(&self, node: &NodeFinished, sum: &str) -> String {
        let mut words = match (&node.source, node.cache) {
            _ if !sum.is_empty() => format!("{}  {sum}", duration(node.duration_ms)),
            (source, Some(CacheStatus::Hit)) => {
                let source = source.as_ref().map_or_else(String::new, |source| {
                    let age = age(source.time, &node.time.to_zoned(self.zone.clone()));
                    format!(" from {}/{}, {age}{}", source.run, source.node, inert(&source.note()))
                });
                return format!("cached{}", self.ink.paint(FAINT, source));
            }
            _ => duration(node.duration_ms),
        };
        if node.attempts > 1 {
            words.push_str(&format!("  attempt {}", node.attempts));
        }
        if let (Some(cache), true) = (node.cache, self.verbose() && sum.is_empty()) {
            words.push_str(&format!("  {cache}"));
        }
        let why = node.why.as_ref().filter(|_| self.verbose()).map(|why| why.text());
        for reason in node.reason.iter().chain(&why) {
            words.push_str(&self.ink.paint(FAINT, format!("  {}", inert(reason))));
        }
        words
    }

    /// A failure that is news; `inside` if it belongs to an element.
    fn node_failed(&mut self, node: &NodeFinished, inside: bool) -> Vec<String> {
        let label = node.path().label();
        let held = self.held.extract_if(.., |warning| warning.node.as_deref() == Some(&*label));
        let mut said: Vec<_> = held.map(|warning| warning_line(&warning, self.ink)).collect();

        let words = node.failure();
        self.since_failure = 0;
        let has_room = self.ran_and_failed.len() < REPEATED_FAILURES;
        if has_room && node.kind == NodeKind::Task && node.attempts > 0 {
            self.ran_and_failed.push(node.path().to_owned());
        }
        if self.failures.len() < REPEATED_FAILURES {
            self.failures.push((label.into_owned(), words.clone()));
        }
        if inside && self.told >= TOLD_FAILURES && !self.verbose() {
            return said;
        }
        self.told += 1;
        let time =
            if node.attempts > 0 { format!("  {}", duration(node.duration_ms)) } else { String::new() };
        let mut paragraph = self.line(node, &format!("{}{time}", self.ink.paint(BAD, words)));
        if self.told <= DETAILED_FAILURES {
            paragraph.push_str(&details(node, self.run(), self.ink));
        }
        said.push(paragraph);
        said
    }

    fn node_idle(&mut self, node: &NodeFinished, sum: &str) -> Vec<String> {
        if self.idle.told == IDLE_LINES && !self.verbose() {
            match node.status {
                Status::Cancelled => self.idle.cancelled += 1,
                Status::Detached => self.idle.detached += 1,
                Status::Succeeded | Status::Failed | Status::Skipped => self.idle.skipped += 1,
            }
            return Vec::new();
        }
        self.idle.told += 1;
        let reason = node.reason.as_ref().map_or_else(String::new, |reason| format!(": {}", inert(reason)));
        let sum = if sum.is_empty() { String::new() } else { format!("  {sum}") };
        vec![self.line(node, &format!("{}{}{sum}", node.status, self.ink.paint(FAINT, reason)))]
    }

    fn warning(&mut self, warning: &Warning) -> Vec<String> {
        if !self.quiet() {
            return vec![warning_line(warning, self.ink)];
        }
        if self.held.len() < HELD_WARNINGS {
            self.held.push(warning.clone());
        }
        Vec::new()
    }

    fn run_finished(&mut self, run: &RunFinished) -> Vec<String> {
        let mut said = Vec::new();
        if run.status != Status::Succeeded {
            let general = self.held.iter().filter(|warning| warning.node.is_none());
            said.extend(general.map(|warning| warning_line(warning, self.ink)));
        }
        if self.idle.skipped + self.idle.cancelled + self.idle.detached > 0 {
            let part = |n, word| (n > 0).then(|| format!("{} more {word}", count(n)));
            let Idle { skipped, cancelled, detached, .. } = self.idle;
            let parts = [(skipped, "skipped"), (cancelled, "cancelled"), (detached, "detached")];
            let parts = parts.map(|(n, word)| part(n, word));
            let parts = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
            said.push(format!("{} {parts}\n", self.ink.paint(FAINT, "○")));
        }
        let failed = self.tally.failed;
        let out_of_sight = failed > 1 || failed == 1 && self.since_failure > STILL_IN_SIGHT;
        if out_of_sight && run.status != Status::Succeeded {
            said.push(self.failures_again());
        }
        let next = after(&run.run, run.status, self.ran_and_failed.first().map(NodePath::borrowed));
        if !next.is_empty() && (!self.quiet() || run.status == Status::Detached) {
            said.push(format!("next:\n{}", table(&next, self.ink)));
        }
        let is_first = self.tally.begun.as_ref().is_some_and(|begun| begun.first);
        if is_first && run.status == Status::Succeeded && !self.quiet() && !self.uncached.is_empty() {
            let tasks = match self.uncached.len() {
                1 => "1 task is not cached; `cache = true` keeps its results".to_owned(),
                n => format!("{n} tasks are not cached; `cache = true` keeps their results"),
            };
            said.push(format!("{} {tasks}\n", self.ink.paint(FAINT, "·")));
        }
        if !self.quiet() || run.status != Status::Succeeded {
            said.push(summary(run, self.left, self.ink));
        }
        said
    }

    fn failures_again(&self) -> String {
        let mut text = format!("{}\n", self.ink.paint(BAD, "failed:"));
        let widest = self.failures.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
        for (label, words) in &self.failures {
            text.push_str(&format!("  {} {label:widest$}  {words}\n", self.ink.paint(BAD, "✗")));
        }
        let more = self.tally.failed.saturating_sub(self.failures.len() as u64);
        if more > 0 {
            let command = self.ink.paint(STRONG, command(&format!("show {}", self.run())));
            text.push_str(&format!("  and {} more: {command}\n", count(more)));
        }
        text
    }
}

/// The first digits of a key, enough to find it by.
pub(in crate::view) fn short(key: &Digest) -> String {
    let mut digits = key.hex();
    digits.truncate(12);
    digits
}

/// `! hash: message`, further lines of the message below it.
pub(in crate::view) fn warning_line(warning: &Warning, ink: Ink) -> String {
    let node = warning.node.as_ref().map_or_else(String::new, |node| format!("{node}: "));
    let mut lines = warning.message.trim().lines();
    let mut text =
        format!("{} {node}{}\n", ink.paint(CAUTION, "!"), inert(lines.next().unwrap_or("warning")));
    for line in lines {
        text.push_str(&format!("  {}\n", inert(line)));
    }
    text
}

/// The last line of a run: `✓ succeeded in 12.3s: 3 executed, 40 cached (saved 4m 10s)  run k3v9x2qm`.
fn summary(run: &RunFinished, left: u64, ink: Ink) -> String {
    let (own, style) = mark(run.status, None);
    let mark = match run.status {
        Status::Succeeded | Status::Detached => own,
        Status::Failed | Status::Skipped | Status::Cancelled => "✗",
    };
    let verdict = ink.paint(style.bold(), format!("{mark} {}", run.status));
    let how = if run.status == Status::Detached { "after" } else { "in" };
    let mut counts = counts(&run.counts, run.saved_ms, run.status == Status::Succeeded);
    if run.status == Status::Detached {
        let left = format!("{} {}", counted(left, "job"), if left == 1 { "goes on" } else { "go on" });
        counts = if run.counts.finished() == 0 { left } else { format!("{left}, {counts}") };
    }
    format!(
        "{verdict} {how} {}: {counts}  {} {}\n",
        duration(run.duration_ms),
        ink.paint(FAINT, "run"),
        run.run
    )
}
