//! One run as its events tell it, long after: folded into nodes, and shown to a person or as one document.

use std::collections::{HashMap, HashSet};

use jiff::{Timestamp, Zoned};
use serde::Serialize;
use serde_json::{Map as JsonMap, Value as Json, json};

use super::narrator::warning_line;
use super::style::{BAD, Cell, FAINT, Ink, PLAIN, STRONG, columns};
use super::tally::Tally;
use super::text::{age, count, cut, duration, inert, size};
use super::words::{counts, details, failure, family, gist, logs_command, mark, sum};
use crate::event::{
    AttemptFailed, CacheStatus, Counts, Event, NodeFinished, NodeStarted, Status, VERSION, Warning,
    node_label,
};

/// Without `all`, so many hits get a line of their own...
const SHOWN_HITS: usize = 10;
/// ... and so many nodes of each other kind.
const SHOWN_OTHERS: usize = 50;
/// So many failures are shown with the end of their logs.
const DETAILED_FAILURES: usize = 10;
/// The most columns that an output's value may take.
const OUTPUT_WIDTH: usize = 200;

/// A run.
#[derive(Debug, Default)]
pub struct RunView {
    pub run: String,
    pub workflow: String,
    pub project: String,
    pub domain: String,
    /// `succeeded`, `failed`, `cancelled`, or the caller's word for a run without an end.
    pub status: String,
    pub started: Option<Timestamp>,
    pub duration_ms: Option<u64>,
    pub counts: Counts,
    pub saved_ms: u64,
    pub outputs: JsonMap<String, Json>,
    /// In the order in which they were first heard of.
    pub nodes: Vec<NodeView>,
    pub warnings: Vec<Warning>,
    ended: Option<Status>,
}

/// A node, or an element of one.
#[derive(Debug)]
pub struct NodeView {
    pub node: String,
    pub index: Option<u64>,
    /// When its last attempt began.
    pub started: Option<Timestamp>,
    /// The log of its last attempt.
    pub log: Option<String>,
    pub failed_attempts: Vec<AttemptFailed>,
    /// None if the node had not ended when the events did.
    pub finished: Option<NodeFinished>,
    /// Whether it stands for the elements listed before it.
    pub sums_up: bool,
}

/// Nodes that are shown, and left out, together.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Cached,
    Executed,
    Failed,
    Idle,
    Unfinished,
}

impl RunView {
    /// Folds the events of one run; `unfinished` is the word for the state of a run whose end is not among
    /// them, such as `running` or `interrupted`.
    pub fn from_events(events: impl IntoIterator<Item = Event>, unfinished: &str) -> Self {
        let mut view = Self { status: unfinished.into(), ..Self::default() };
        let mut tally = Tally::default();
        let mut places: HashMap<(String, Option<u64>), usize> = HashMap::new();
        for event in events {
            match event {
                Event::RunStarted(run) => {
                    view.started = Some(run.time);
                    (view.run, view.workflow, view.project, view.domain) =
                        (run.run, run.workflow, run.project, run.domain);
                }
                Event::NodeExpanded(_) | Event::NodeWaiting(_) => {}
                Event::NodeStarted(NodeStarted { time, node, index, log, .. }) => {
                    let node = view.node(&mut places, &node, index);
                    (node.started, node.log) = (Some(time), log);
                }
                Event::AttemptFailed(attempt) => {
                    view.node(&mut places, &attempt.node, attempt.index).failed_attempts.push(attempt);
                }
                Event::NodeFinished(finished) => {
                    let own = tally.add(&finished);
                    let node = view.node(&mut places, &finished.node, finished.index);
                    if finished.log.is_some() {
                        node.log.clone_from(&finished.log);
                    }
                    node.sums_up = !own;
                    node.finished = Some(finished);
                }
                Event::Warning(warning) => view.warnings.push(warning),
                Event::RunFinished(run) => {
                    view.status = run.status.to_string();
                    view.ended = Some(run.status);
                    view.duration_ms = Some(run.duration_ms);
                    tally.counts = run.counts;
                    tally.saved_ms = run.saved_ms;
                    view.outputs = run.outputs;
                }
            }
        }
        (view.counts, view.saved_ms) = (tally.counts, tally.saved_ms);
        view
    }

    fn node(
        &mut self,
        places: &mut HashMap<(String, Option<u64>), usize>,
        node: &str,
        index: Option<u64>,
    ) -> &mut NodeView {
        let place = *places.entry((node.into(), index)).or_insert_with(|| {
            let (node, failed_attempts) = (node.into(), Vec::new());
            self.nodes.push(NodeView {
                node,
                index,
                started: None,
                log: None,
                failed_attempts,
                finished: None,
                sums_up: false,
            });
            self.nodes.len() - 1
        });
        &mut self.nodes[place]
    }

    /// The run for a person, ages as seen from `now`. Without `all`, what is many is told by its number.
    pub fn render(&self, all: bool, color: bool, now: &Zoned) -> String {
        let ink = Ink(color);
        let mut text = self.header(ink, now);
        if !self.nodes.is_empty() {
            text.push('\n');
            text.push_str(&self.table(all, ink, now));
        }
        self.failures(&mut text, ink);
        if !self.warnings.is_empty() {
            text.push('\n');
            text.extend(self.warnings.iter().map(|warning| warning_line(warning, ink)));
        }
        if !self.outputs.is_empty() {
            text.push_str(&format!("\n{}\n", ink.paint(STRONG, "outputs")));
            for (name, value) in &self.outputs {
                text.push_str(&format!("  {name} = {}\n", output(value)));
            }
        }
        let next = self.next();
        if !next.is_empty() {
            text.push_str(&format!("\n{}\n", ink.paint(STRONG, "next")));
            text.push_str(&columns(&next, ink));
        }
        text
    }

    fn header(&self, ink: Ink, now: &Zoned) -> String {
        let Self { run, workflow, project, domain, status, .. } = self;
        let (mark, style) = self.ended.map_or(("…", PLAIN), |status| mark(status, None));
        let mut text = format!("run {}  {workflow}  {project}/{domain}\n", ink.paint(STRONG, run));
        text.push_str(&ink.paint(style.bold(), format!("{mark} {status}")));
        if let Some(ms) = self.duration_ms {
            text.push_str(&format!(" in {}", duration(ms)));
        }
        if let Some(started) = self.started {
            let local = started.to_zoned(now.time_zone().clone()).strftime("%Y-%m-%d %H:%M:%S");
            text.push_str(&format!(", started {} ({local})", age(started, now)));
        }
        text.push('\n');
        if self.ended.is_some() || self.counts.finished() > 0 {
            text.push_str(&format!("{}\n", counts(&self.counts, self.saved_ms)));
        }
        text
    }

    fn table(&self, all: bool, ink: Ink, now: &Zoned) -> String {
        let head = ["NODE", "STATUS", "CACHE", "TIME", ""].map(|name| Cell::new(FAINT, name));
        let mut rows = vec![head.to_vec()];
        let mut seen: HashMap<Kind, usize> = HashMap::new();
        let summed_up: HashSet<&str> =
            self.nodes.iter().filter(|node| node.sums_up).map(|node| &*node.node).collect();
        for node in &self.nodes {
            let kind = node.kind();
            let is_part = family(&node.node, node.index).is_some_and(|family| summed_up.contains(family));
            if is_part && !all && matches!(kind, Kind::Executed | Kind::Cached | Kind::Idle) {
                continue; // Told by the line of the node that it is part of.
            }
            let so_far = seen.entry(kind).or_default();
            *so_far += usize::from(!node.sums_up);
            if all || node.sums_up || *so_far <= kind.shown() {
                rows.push(node.row(&self.status, now));
            }
        }
        let mut text = columns(&rows, ink);
        let hidden: Vec<_> = Kind::ALL
            .iter()
            .filter_map(|kind| {
                let more = seen.get(kind)?.checked_sub(kind.shown()).filter(|more| *more > 0 && !all)?;
                Some(format!("{} more {}", count(more as u64), kind.words()))
            })
            .collect();
        if !hidden.is_empty() {
            text.push_str(&ink.paint(FAINT, format!("{}; --all lists them", hidden.join(", "))));
            text.push('\n');
        }
        text
    }

    fn failures(&self, text: &mut String, ink: Ink) {
        let failed = self.nodes.iter().filter(|node| node.kind() == Kind::Failed && !node.sums_up);
        for node in failed.take(DETAILED_FAILURES) {
            let Some(finished) = &node.finished else { continue };
            let label = node_label(&node.node, node.index);
            text.push_str(&format!(
                "\n{} {label}  {}\n",
                ink.paint(BAD, "✗"),
                ink.paint(BAD, failure(finished))
            ));
            for attempt in &node.failed_attempts {
                // The last attempt's error is the node's own.
                if attempt.attempt < finished.attempts {
                    let (n, time) = (attempt.attempt, duration(attempt.duration_ms));
                    text.push_str(&format!("  attempt {n}: {} ({time})\n", gist(&attempt.error)));
                }
            }
            text.push_str(&details(finished, &self.run, ink));
        }
    }

    /// Commands that lead on from here.
    fn next(&self) -> Vec<Vec<Cell>> {
        let row = |command: String, what: &str| {
            vec![Cell::new(STRONG, format!("  {command}")), Cell::new(FAINT, what)]
        };
        let run = &self.run;
        // A failure is shown with its own command.
        let told = self.nodes.iter().any(|node| node.kind() == Kind::Failed);
        let node = self.nodes.iter().find(|node| node.log.is_some() && !told);
        node.map(|node| row(logs_command(run, &node.node, node.index), "all that it printed"))
            .into_iter()
            .collect()
    }

    /// The run as one document. A node is what its `node_finished` event was, with its `failed_attempts`.
    pub fn to_json(&self) -> Json {
        let nodes: Vec<_> = self.nodes.iter().map(|node| node.to_json(&self.status)).collect();
        let warnings: Vec<_> = self
            .warnings
            .iter()
            .map(|w| json!({"time": w.time, "node": w.node, "message": w.message}))
            .collect();
        json!({
            "v": VERSION,
            "run": self.run,
            "workflow": self.workflow,
            "project": self.project,
            "domain": self.domain,
            "status": self.status,
            "started": self.started,
            "duration_ms": self.duration_ms,
            "counts": as_json(&self.counts),
            "saved_ms": self.saved_ms,
            "outputs": self.outputs,
            "nodes": nodes,
            "warnings": warnings,
        })
    }
}

impl NodeView {
    fn kind(&self) -> Kind {
        match &self.finished {
            None => Kind::Unfinished,
            Some(node) => match node.status {
                Status::Succeeded if node.cache == Some(CacheStatus::Hit) => Kind::Cached,
                Status::Succeeded => Kind::Executed,
                Status::Failed => Kind::Failed,
                Status::Skipped | Status::Cancelled => Kind::Idle,
            },
        }
    }

    fn row(&self, run_status: &str, now: &Zoned) -> Vec<Cell> {
        let label = node_label(&self.node, self.index);
        let Some(node) = &self.finished else {
            let name = Cell::new(PLAIN, format!("… {label}"));
            return vec![name, Cell::new(PLAIN, run_status)];
        };
        let (mark, style) = mark(node.status, node.cache);
        let cell = |text: String| Cell::new(PLAIN, text);
        let time = if node.attempts > 0 || node.counts.is_some() {
            duration(node.duration_ms)
        } else {
            String::new()
        };
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
            parts.push(failure(node));
        } else if node.attempts > 1 {
            parts.push(format!("attempt {}", node.attempts));
        }
        parts.extend(sum(node));
        if let Some(source) = &node.source {
            parts.push(format!("from {}/{}, {}", source.run, source.node, age(source.time, now)));
        }
        parts.extend(node.reason.as_ref().map(|reason| inert(reason).into_owned()));
        parts.join("; ")
    }

    fn to_json(&self, run_status: &str) -> Json {
        let mut node = match &self.finished {
            Some(node) => as_json(node),
            None => json!({"node": self.node, "index": self.index, "status": run_status}),
        };
        node["started"] = as_json(&self.started);
        node["log"] = as_json(&self.log);
        node["failed_attempts"] = as_json(&self.failed_attempts);
        node
    }
}

impl Kind {
    /// In the order in which what is left out is told.
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

/// An output's value in one line: a file by its path and size, anything else as JSON.
fn output(value: &Json) -> String {
    match (value.get("path").and_then(Json::as_str), value.get("size").and_then(Json::as_u64)) {
        (Some(path), Some(bytes)) => format!("{} ({})", inert(path), size(bytes)),
        _ => cut(&inert(&value.to_string()), OUTPUT_WIDTH).into_owned(),
    }
}

/// These types always have a JSON form.
fn as_json(value: &impl Serialize) -> Json {
    serde_json::to_value(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::*;

    fn now() -> Zoned {
        at(16 + 180).to_zoned(jiff::tz::TimeZone::UTC)
    }

    #[test]
    fn a_failed_run_reads_well() {
        let view = RunView::from_events(failed_run(), "running");
        let expected = "\
run k3v9x2qm  nightly-train  demo/development
✗ failed in 16.3s, started 3 min ago (2026-01-02 03:00:00)
1 failed, 1 executed, 1 cached (saved 1.5s), 1 skipped, 1 cancelled

NODE      STATUS     CACHE      TIME
✓ fetch   succeeded  hit               from a1b2c3d4/fetch, yesterday 03:00
✓ hash    succeeded  populated  0.4s
✗ train   failed     miss       12.0s  exit 3 after 2 attempts
○ report  cancelled                    train failed
○ notify  skipped                      its condition is false

✗ train  exit 3 after 2 attempts
  attempt 1: exit 3 (2.0s)
  │ epoch 1
  │ ValueError: no data
  log:  /home/ada/runs/k3v9x2qm/train.2.log
  more: runner logs k3v9x2qm train

! train: the pinned version 1.0.0 hides a change of the command
";
        assert_eq!(view.render(false, false, &now()), expected);
        let coloured = view.render(false, true, &now());
        let stripped: Vec<_> = coloured.lines().map(|line| inert(line).into_owned()).collect();
        assert!(coloured.contains('\x1b'));
        assert_eq!(stripped.join("\n") + "\n", expected);
    }

    #[test]
    fn many_hits_are_told_by_their_number() {
        let mut events = vec![run_started(100_001)];
        events.extend((0..99_999).map(|i| Event::NodeFinished(hit(&format!("n{i}")))));
        events.push(Event::NodeFinished(NodeFinished { index: Some(0), ..hit("each") }));
        events.push(Event::NodeFinished(summed_up("each", 1)));
        let counts = Counts { nodes: 100_000, cached: 100_000, ..Counts::default() };
        events.push(run_finished(Status::Succeeded, counts, 0));
        let view = RunView::from_events(events, "running");
        let text = view.render(false, false, &now());
        assert!(text.contains("99,989 more from the cache; --all lists them\n"), "{text}");
        assert!(text.contains("\n✓ each "), "{text}");
        assert!(text.contains("outputs\n  hash = \"2cf24d\"\n  model = /home/ada/out/model.bin (3.0 MiB)\n"));
        assert_eq!(view.render(true, false, &now()).matches("succeeded  hit").count(), 100_000);
    }

    #[test]
    fn a_run_without_an_end_says_so() {
        let events = [run_started(2), node_started("hash", 1, 0)];
        let view = RunView::from_events(events, "interrupted");
        let text = view.render(false, false, &now());
        assert!(text.contains("\n… interrupted, started 3 min ago (2026-01-02 03:00:00)\n\nNODE "), "{text}");
        assert!(text.contains("\n… hash  interrupted\n"), "{text}");
        let document = view.to_json();
        assert_eq!(document["nodes"][0]["status"], "interrupted");
        assert_eq!(document["duration_ms"], Json::Null);
    }

    #[test]
    fn the_document_keeps_everything() {
        let document = RunView::from_events(failed_run(), "running").to_json();
        assert_eq!(document["run"], RUN);
        assert_eq!(document["status"], "failed");
        assert_eq!(document["counts"]["cancelled"], 1);
        let train = &document["nodes"][2];
        assert_eq!((&train["node"], &train["error"]["exit_code"]), (&json!("train"), &json!(3)));
        assert_eq!(train["failed_attempts"][0]["attempt"], 1);
        assert_eq!(document["nodes"][0]["source"]["run"], "a1b2c3d4");
        assert_eq!(document["warnings"][0]["node"], "train");
    }
}
