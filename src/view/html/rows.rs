//! A node's row: how it ended, when it worked, and behind it its inputs, its outputs and its log.

use jiff::Zoned;

use super::values::{Field, ShownValues};
use super::{Failure, PageSources, gantt, label, lines};
use crate::core::event::{Counts, NodeFinished, Status};
use crate::core::node_path::NodeRef;
use crate::view::draw::{Picture, State};
use crate::view::model::run::{AttemptState, Bucket, NodeState, RunState};
use crate::view::text::commands::logs_command;
use crate::view::text::phrases::summed;
use crate::view::text::style::Ink;
use crate::view::text::why::details;
use crate::view::text::{age, count, duration, inert, size};

/// Maximum rows of a page.
const MAX_ROWS: usize = 3000;
/// Maximum bytes shown of one log, of all logs but those of failures, and of the logs of failures.
const LOG: u64 = 8 << 10;
const ALL_LOGS: u64 = 2 << 20;
const ALL_FAILED_LOGS: u64 = 2 << 20;
/// Maximum failures listed at the top.
const MAX_FAILURES: usize = 20;

pub struct NodeRow {
    /// What leads here.
    pub number: usize,
    pub label: String,
    /// Whether it is inside the node above.
    pub inside: bool,
    /// The number of that node's row, if it may be folded into it: failures always show.
    pub around: Option<usize>,
    pub state: &'static str,
    pub status: String,
    pub cache: String,
    pub task: String,
    pub key: String,
    /// For a person, and for sorting.
    pub began: (String, u64),
    pub took: (String, u64),
    pub waited: (String, u64),
    pub cpu: (String, u64),
    pub memory: (String, u64),
    pub remark: String,
    pub from: String,
    /// Elements and lines that differ from an earlier result.
    pub differs: String,
    pub bars: Vec<gantt::Bar>,
    pub inputs: Vec<Field>,
    pub outputs: Vec<Field>,
    pub attempts: Vec<Tried>,
}

impl NodeRow {
    /// Whether there is more than the row.
    pub fn has_details(&self) -> bool {
        !self.contents().is_empty()
    }

    /// What the details are about.
    pub fn contents(&self) -> String {
        let parts = [
            (!self.differs.is_empty(), "what differs"),
            (!self.inputs.is_empty(), "inputs"),
            (!self.outputs.is_empty(), "outputs"),
            (self.attempts.iter().any(|attempt| attempt.log.is_some()), "log"),
            (self.attempts.iter().any(|attempt| attempt.failed), "attempts"),
            (!self.key.is_empty(), "key"),
        ];
        parts.iter().filter(|(there, _)| *there).map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
    }
}

/// An attempt on the page.
pub struct Tried {
    pub title: String,
    pub failed: bool,
    pub error: String,
    pub log: Option<Log>,
}

pub struct Log {
    pub path: String,
    pub text: String,
    pub is_all: bool,
}

/// Makes the rows of a page.
pub struct Rows<'t> {
    run: &'t RunState,
    sources: &'t dyn PageSources,
    values: ShownValues<'t>,
    now: &'t Zoned,
    logs_left: u64,
    failed_logs_left: u64,
}

impl<'t> Rows<'t> {
    pub fn new(run: &'t RunState, sources: &'t dyn PageSources, now: &'t Zoned) -> Self {
        let values = ShownValues::new(sources);
        Self { run, sources, values, now, logs_left: ALL_LOGS, failed_logs_left: ALL_FAILED_LOGS }
    }

    /// A row for each unit that has one.
    pub fn all(&mut self) -> Vec<NodeRow> {
        let chosen = self.chosen();
        let mut rows: Vec<NodeRow> =
            chosen.into_iter().enumerate().map(|(number, unit)| self.row(number, unit)).collect();
        let mut around = None;
        for row in &mut rows {
            match row.inside {
                false => around = Some((row.number, row.label.clone())),
                true => {
                    let node = around.as_ref().filter(|(_, node)| row.label.starts_with(&format!("{node}[")));
                    row.around =
                        node.filter(|_| row.state != State::Failed.name()).map(|(number, _)| *number);
                }
            }
        }
        rows
    }

    /// The units that have rows: all, or if they are too many, rather those that ran or failed.
    fn chosen(&self) -> Vec<&'t NodeState> {
        let mut units: Vec<(usize, &NodeState)> = self.run.all().enumerate().collect();
        if units.len() > MAX_ROWS {
            units.sort_by_key(|(at, unit)| {
                let rank = match state_of(unit, false) {
                    State::Failed => 0,
                    _ if unit.spread.is_some() => 1,
                    State::Executed | State::Running | State::Cancelled => 2,
                    State::Cached | State::Skipped | State::Waiting => 3,
                };
                (rank, *at)
            });
            units.truncate(MAX_ROWS);
            units.sort_by_key(|(at, _)| *at);
        }
        units.into_iter().map(|(_, unit)| unit).collect()
    }

    /// What has no row, in words.
    pub fn left_out(&self) -> String {
        let elements: u64 = self.run.nodes.iter().map(|unit| unit.unkept).sum();
        let nodes = self.run.all().count().saturating_sub(MAX_ROWS) as u64;
        match elements + nodes {
            0 => String::new(),
            n => format!(
                "{} more nodes and elements are not listed; `runner show {} --all` lists them",
                count(n),
                self.run.id
            ),
        }
    }

    fn goes_on(&self) -> bool {
        self.run.status == "running"
    }

    fn row(&mut self, number: usize, unit: &NodeState) -> NodeRow {
        let state = state_of(unit, self.goes_on());
        let node = unit.finished.as_ref();
        let begins = unit.attempts.iter().map(|attempt| attempt.began).min();
        let begins = begins.map(|time| self.run.since_start(time));
        let first = begins.or_else(|| unit.spans.iter().map(|span| span.from).min());
        let first = first
            .or_else(|| node.map(|node| self.run.since_start(node.time).saturating_sub(node.duration_ms)));
        let waited: u64 = unit.attempts.iter().map(|attempt| attempt.waited_ms).sum();
        let worked = node.filter(|node| node.attempts > 0 || node.counts.is_some());
        let shown = |ms: Option<u64>| (ms.map_or_else(String::new, duration), ms.unwrap_or(0));
        let elapsed = unit.elapsed_ms(self.now.timestamp()).filter(|_| self.goes_on());
        let memory = node.and_then(|node| node.peak_memory);
        NodeRow {
            number,
            label: label(&unit.node, unit.index),
            inside: NodeRef::new(&unit.node, unit.index).is_in_element(),
            around: None,
            state: state.name(),
            status: node.map_or_else(|| self.run.status.clone(), |node| node.status.to_string()),
            cache: node.and_then(|node| node.cache).map_or_else(String::new, |cache| cache.to_string()),
            task: node.map_or_else(String::new, |node| inert(&node.task).into_owned()),
            key: node.and_then(|node| node.key).map_or_else(String::new, |key| key.hex()),
            began: shown(first),
            took: shown(worked.map(|node| node.duration_ms).or(elapsed)),
            waited: shown(Some(waited).filter(|ms| *ms > 0)),
            cpu: shown(node.and_then(|node| node.cpu_ms)),
            memory: (memory.map_or_else(String::new, size), memory.unwrap_or(0)),
            remark: node.map_or_else(|| so_far(unit), |node| remark(node, unit)),
            from: node.map_or_else(String::new, |node| self.from(node)),
            differs: node
                .and_then(|node| node.why.as_deref())
                .map(|why| details(why, 0, Ink(false)))
                .unwrap_or_default(),
            bars: gantt::bars(self.run, unit),
            inputs: node.map_or_else(Vec::new, |node| self.values.inputs(&node.inputs)),
            outputs: node.map_or_else(Vec::new, |node| self.values.outputs(&node.outputs)),
            attempts: unit.attempts.iter().map(|attempt| self.attempt(attempt, unit)).collect(),
        }
    }

    /// Where a result came from.
    fn from(&self, node: &NodeFinished) -> String {
        let Some(source) = &node.source else { return String::new() };
        let when = age(source.time, self.now);
        inert(&format!("run {}, node {}, {when}{}", source.run, source.node, source.note())).into_owned()
    }

    fn attempt(&mut self, attempt: &AttemptState, unit: &NodeState) -> Tried {
        // The last attempt's error may be the node's own.
        let is_last = unit.attempts.last().is_some_and(|last| last.number == attempt.number);
        let own = unit.finished.as_ref().filter(|_| is_last).and_then(|node| node.error.as_ref());
        let error = attempt.failed.as_ref().map(|failed| &failed.error).or(own);
        let mut title = format!("attempt {}", attempt.number);
        if let Some(error) = error {
            title.push_str(&format!(": {}", error.gist()));
        }
        if let Some(failed) = &attempt.failed {
            title.push_str(&format!(", {}", duration(failed.duration_ms)));
        }
        let failed = error.is_some();
        let log = attempt.log.as_deref().and_then(|path| self.log(path, failed));
        Tried { title, failed, error: error.map_or_else(String::new, |error| lines(&error.message)), log }
    }

    fn log(&mut self, path: &str, failed: bool) -> Option<Log> {
        let left = if failed { &mut self.failed_logs_left } else { &mut self.logs_left };
        let limit = LOG.min(*left);
        if limit == 0 {
            return None;
        }
        let (bytes, is_all) = self.sources.log(path, limit)?;
        *left = left.saturating_sub(bytes.len() as u64);
        let text = lines(String::from_utf8_lossy(&bytes).trim_end());
        Some(Log { path: inert(path).into_owned(), text, is_all })
    }

    /// The failures that were news.
    pub fn failures(&self, rows: &[NodeRow]) -> Vec<Failure> {
        let chosen = self.chosen();
        let failures = chosen.iter().filter(|unit| unit.has_failed()).take(MAX_FAILURES);
        failures
            .filter_map(|unit| {
                let node = unit.finished.as_ref()?;
                let label = label(&unit.node, unit.index);
                let row = rows.iter().find(|row| row.label == label)?.number;
                let error = node.error.as_ref();
                Some(Failure {
                    label,
                    row,
                    gist: node.failure(),
                    message: error.map_or_else(String::new, |error| lines(&error.message)),
                    tail: error.map_or_else(String::new, |error| lines(&error.tail.join("\n"))),
                    command: logs_command(&self.run.id, &unit.node, unit.index),
                })
            })
            .collect()
    }
}

/// How a node ended, or how far it is.
fn state_of(node: &NodeState, run_goes_on: bool) -> State {
    match node.bucket() {
        Bucket::Unfinished if node.attempts.is_empty() && node.spread.is_none() => State::Waiting,
        Bucket::Unfinished if run_goes_on => State::Running,
        Bucket::Unfinished => State::Cancelled,
        Bucket::Cached => State::Cached,
        Bucket::Executed => State::Executed,
        Bucket::Failed => State::Failed,
        Bucket::Idle => match node.finished.as_ref().map(|node| node.status) {
            Some(Status::Skipped) => State::Skipped,
            _ => State::Cancelled,
        },
    }
}

/// What is worth knowing beside how it ended.
fn remark(node: &NodeFinished, unit: &NodeState) -> String {
    let mut parts = Vec::new();
    match (node.status, node.attempts) {
        (Status::Failed, _) => parts.push(node.failure()),
        (_, attempts) if attempts > 1 => parts.push(format!("attempt {attempts}")),
        _ => {}
    }
    parts.extend(node.reason.as_ref().map(|reason| inert(reason).into_owned()));
    parts.extend(node.why.as_ref().map(|why| inert(&why.text()).into_owned()));
    // The failure has said how many failed.
    if node.status != Status::Failed {
        parts.push(summed(node, unit.spread.map(|spread| spread.elements)));
    }
    if node.saved_ms > 0 {
        parts.push(format!("saved {}", duration(node.saved_ms)));
    }
    parts.retain(|part| !part.is_empty());
    parts.join("; ")
}

fn so_far(unit: &NodeState) -> String {
    match &unit.spread {
        Some(spread) => format!("{} of {} elements", count(spread.done), count(spread.elements)),
        None => String::new(),
    }
}

/// Colours a picture by how its nodes ended, and links them to their rows.
pub fn colour(picture: &mut Picture, run: &RunState, rows: &[NodeRow]) {
    let by_name: std::collections::HashMap<&str, &NodeRow> =
        rows.iter().map(|row| (row.label.as_str(), row)).collect();
    let states: std::collections::HashMap<&str, State> = run
        .all()
        .filter(|unit| unit.index.is_none())
        .map(|unit| (&*unit.node, state_of(unit, run.status == "running")))
        .collect();
    let first_inside: std::collections::HashMap<String, usize> =
        rows.iter().rev().map(|row| (NodeRef::parse(&row.label).family().into_owned(), row.number)).collect();
    colour_level(picture, &|node| {
        let sum = run.families.get(&node.name);
        let state =
            states.get(&*node.name).copied().or_else(|| sum.map(all_in_all)).unwrap_or(State::Waiting);
        let row = by_name.get(&*node.name);
        let number = row.map(|row| row.number).or_else(|| first_inside.get(&node.name).copied());
        let mut remarks = Vec::new();
        match (row, sum) {
            (Some(row), _) => {
                remarks.extend((!row.took.0.is_empty()).then(|| format!("took {}", row.took.0)));
                remarks.extend((!row.remark.is_empty()).then(|| row.remark.clone()));
                remarks.extend((!row.from.is_empty()).then(|| format!("from {}", row.from)));
            }
            (None, Some(sum)) => remarks.push(crate::view::text::phrases::counts(sum, 0, sum.failed == 0)),
            (None, None) => {}
        }
        (state, number.map(|number| format!("#n{number}")), remarks)
    });
}

/// Colours a picture by how the nodes of a run stand, which must be folded with their families; `link` says where each node
/// leads.
pub fn colour_by_state(picture: &mut Picture, run: &RunState, link: &dyn Fn(&str) -> Option<String>) {
    let states: std::collections::HashMap<&str, State> =
        run.nodes.iter().map(|unit| (&*unit.node, state_of(unit, run.goes_on()))).collect();
    colour_level(picture, &|node| {
        let sum = run.families.get(&node.name);
        let state =
            states.get(&*node.name).copied().or_else(|| sum.map(all_in_all)).unwrap_or(State::Waiting);
        let remarks =
            sum.map(|sum| crate::view::text::phrases::counts(sum, 0, sum.failed == 0)).into_iter().collect();
        // What runs only inside elements has no end of its own to lead to.
        let is_known = states.contains_key(&*node.name);
        (state, is_known.then(|| link(&node.name)).flatten(), remarks)
    });
}

type Known = (State, Option<String>, Vec<String>);

fn colour_level(picture: &mut Picture, known: &dyn Fn(&crate::view::draw::Node) -> Known) {
    for node in &mut picture.nodes {
        let (state, link, remarks) = known(node);
        node.state = Some(state);
        node.link = link;
        node.remarks.extend(remarks);
        if let Some(inside) = &mut node.inside {
            colour_level(inside, known);
        }
    }
}

/// How several ended, in one word.
fn all_in_all(sum: &Counts) -> State {
    match sum {
        Counts { failed: 1.., .. } => State::Failed,
        Counts { cancelled: 1.., .. } => State::Cancelled,
        Counts { executed: 1.., .. } => State::Executed,
        Counts { cached: 1.., .. } => State::Cached,
        _ => State::Skipped,
    }
}
