//! One fold from events to the state of a run: nodes with their attempts, and their elements as far as they are kept.
//!
//! `show`, the report page and whatever else renders a run read this. Knows events; knows no rendering and no clock.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::{Map as JsonMap, Value as Json};

use crate::core::event::{
    AttemptFailed, CacheStatus, Counts, Event, NodeFinished, NodeKind, NodeStarted, Status, Usage, Warning,
};
use crate::core::node_path::{NodePath, NodeRef};
use crate::core::run_id::RunId;
use crate::core::schedule::Trigger;
use crate::view::model::by_name::ByName;
use crate::view::model::request::RequestView;
use crate::view::model::tally::{Added, Spread, Tally};
use crate::view::model::timeline::{Activity, ActivitySpan};

/// Limits of what a fold holds in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Maximum number of failed elements kept of a node.
    failures: usize,
    /// Maximum number of other finished elements kept of a node.
    others: usize,
    /// Whether inputs and outputs of nodes are kept.
    values: bool,
    /// Whether the times of elements that are not kept, and the counts of families, are kept.
    timeline: bool,
}

impl Keep {
    /// What a person sees first: of elements only those that failed and those that have not ended.
    pub const OUTLINE: Self = Self { failures: 50, others: 0, values: false, timeline: false };
    /// What fits on a page.
    pub const PAGE: Self = Self { failures: 50, others: 50, values: true, timeline: true };
    /// Everything that failed.
    pub const FAILURES: Self = Self { failures: usize::MAX, others: 0, values: false, timeline: false };
    /// Every node and element with its times.
    pub const TIMES: Self = Self { failures: usize::MAX, others: usize::MAX, values: false, timeline: false };
    pub const EVERYTHING: Self =
        Self { failures: usize::MAX, others: usize::MAX, values: true, timeline: false };
}

/// A run.
#[derive(Debug)]
pub struct RunState {
    pub id: RunId,
    pub workflow: String,
    pub project: String,
    pub domain: String,
    /// The run that this one retries.
    pub retry_of: Option<RunId>,
    /// What made it begin.
    pub trigger: Trigger,
    /// The whole name of its schedule, and the instant that it is for.
    pub schedule: Option<String>,
    pub scheduled_at: Option<Timestamp>,
    /// What it was asked for, where that is on record; no event says it.
    pub request: Option<RequestView>,
    /// `succeeded`, `failed`, `cancelled`, or the caller's word for a run without an end.
    pub status: String,
    pub ended: Option<Status>,
    pub started: Option<Timestamp>,
    /// The time of the last event.
    pub last: Option<Timestamp>,
    pub duration_ms: Option<u64>,
    pub counts: Counts,
    pub saved_ms: u64,
    /// What all attempts used.
    pub usage: Usage,
    pub outputs: JsonMap<String, Json>,
    pub warnings: Vec<Warning>,
    /// In the order of their first events.
    pub nodes: Vec<NodeState>,
    /// Outcome counts by name without the numbers of elements; only with [`Keep::PAGE`].
    pub families: HashMap<String, Counts>,
    /// The first node that had a log.
    pub logged: Option<NodePath>,
}

/// A node, or something inside its elements.
#[derive(Debug)]
pub struct NodeState {
    pub node: String,
    pub index: Option<u64>,
    pub attempts: Vec<AttemptState>,
    /// None if the node had not ended when the events did.
    pub finished: Option<NodeFinished>,
    /// Whether its end was news; if not, it only sums up nodes that are listed as well.
    pub own: bool,
    /// How far its elements are.
    pub spread: Option<Spread>,
    /// When its elements worked; only with [`Keep::PAGE`].
    pub spans: Vec<ActivitySpan>,
    /// Its elements and everything inside them, as far as they are kept.
    pub inside: Vec<Self>,
    /// How many of `inside` failed.
    failures: usize,
    /// How many finished elements were not kept.
    pub unkept: u64,
    /// How many of those failed.
    pub unkept_failures: usize,
}

/// One attempt of a node.
#[derive(Debug)]
pub struct AttemptState {
    /// Counts from 1.
    pub number: u32,
    pub began: Timestamp,
    pub waited_ms: u64,
    pub log: Option<String>,
    pub failed: Option<Box<AttemptFailed>>,
    /// When the node ended with this attempt.
    pub ended: Option<Timestamp>,
}

/// How a node stands, in the groups that renderings count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bucket {
    Cached,
    Executed,
    Failed,
    Idle,
    Unfinished,
}

struct Folding {
    keep: Keep,
    run: RunState,
    tally: Tally,
    /// The nodes that are not inside elements.
    nodes: ByName<NodeState>,
    /// Units inside elements that have not ended.
    open: HashMap<NodePath, NodeState>,
}

impl RunState {
    /// A run without events.
    fn new(id: RunId) -> Self {
        Self {
            id,
            workflow: String::new(),
            project: String::new(),
            domain: String::new(),
            retry_of: None,
            trigger: Trigger::default(),
            schedule: None,
            scheduled_at: None,
            request: None,
            status: String::new(),
            ended: None,
            started: None,
            last: None,
            duration_ms: None,
            counts: Counts::default(),
            saved_ms: 0,
            usage: Usage::default(),
            outputs: JsonMap::new(),
            warnings: Vec::new(),
            nodes: Vec::new(),
            families: HashMap::new(),
            logged: None,
        }
    }

    /// Folds the events of one run; `unfinished` is the status of a run whose end is not among them, such as `running` or
    /// `interrupted`.
    pub fn from_events(
        id: RunId,
        events: impl IntoIterator<Item = Event>,
        unfinished: &str,
        keep: Keep,
    ) -> Self {
        let (run, tally) = (Self::new(id), Tally::default());
        let mut folding = Folding { keep, run, tally, nodes: ByName::default(), open: HashMap::new() };
        events.into_iter().for_each(|event| folding.add(event));
        folding.end(unfinished)
    }

    /// Every node and element that is kept, each node before what is inside it.
    pub fn all(&self) -> impl Iterator<Item = &NodeState> {
        self.nodes.iter().flat_map(|node| std::iter::once(node).chain(&node.inside))
    }

    /// What failed, in the order in which it began; not what failed because of it.
    pub fn failures(&self) -> impl Iterator<Item = &NodeFinished> {
        self.all().filter(|unit| unit.has_failed()).filter_map(|unit| unit.finished.as_ref())
    }

    /// Milliseconds since the run's start.
    pub fn since_start(&self, time: Timestamp) -> u64 {
        self.started
            .map_or(0, |started| u64::try_from(time.as_millisecond() - started.as_millisecond()).unwrap_or(0))
    }

    /// Whether it goes on: no event says so, since a run that was killed has no end either.
    pub fn goes_on(&self) -> bool {
        self.ended.is_none() && self.status == "running"
    }

    /// How long it took, or has taken so far.
    pub fn length_ms(&self) -> u64 {
        let so_far = self.last.map_or(0, |last| self.since_start(last));
        self.duration_ms.unwrap_or(0).max(so_far)
    }
}

impl Folding {
    fn add(&mut self, event: Event) {
        let added = self.tally.step(&event);
        self.run.started = self.tally.begun.as_ref().map(|run| run.time);
        self.run.last = self.tally.last;
        match event {
            Event::NodeExpanded(node) => {
                let name = node.path().outermost().unwrap_or(&node.node).to_owned();
                self.alone(&name);
            }
            Event::NodeStarted(node) => {
                self.logged(node.path(), node.log.as_ref());
                let NodeStarted { time, node, index, attempt: number, log, waited_ms, .. } = node;
                let attempt = AttemptState { number, began: time, waited_ms, log, failed: None, ended: None };
                self.unit(NodeRef::new(&node, index)).attempts.push(attempt);
            }
            Event::WorkflowMade(made) => {
                if let Some(attempt) = self.unit(made.path()).attempts.last_mut() {
                    attempt.ended = Some(made.time);
                }
            }
            Event::AttemptFailed(failed) => {
                let attempts = &mut self.unit(failed.path()).attempts;
                if let Some(attempt) = attempts.iter_mut().find(|a| a.number == failed.attempt) {
                    attempt.failed = Some(Box::new(failed));
                }
            }
            Event::NodeFinished(node) => self.finished(node, added),
            Event::Warning(warning) => self.run.warnings.push(warning),
            Event::RunWaiting(_) | Event::RunSkipped(_) | Event::RunStarted(_) => {}
            Event::NodeSubmitted(_)
            | Event::AttemptLost(_)
            | Event::NodeWaiting(_)
            | Event::RunUploading(_)
            | Event::RunFinished(_) => {}
        }
    }

    fn logged(&mut self, node: NodeRef, log: Option<&String>) {
        if log.is_some() && self.run.logged.is_none() {
            self.run.logged = Some(node.to_owned());
        }
    }

    fn finished(&mut self, mut node: NodeFinished, added: Added) {
        self.logged(node.path(), node.log.as_ref());
        let (keep, is_task) = (self.keep, node.kind == NodeKind::Task);
        if is_task && keep.timeline {
            let family = node.path().family().into_owned();
            self.run.families.entry(family).or_default().add(node.status, node.cache);
        }
        if !keep.values {
            (node.outputs, node.inputs) = Default::default();
        }
        let Some(outermost) = node.path().outermost() else {
            let state = self.alone(&node.node);
            state.spread = added.spread;
            state.finish(node, added.own);
            return;
        };
        let open = match self.open.is_empty() {
            true => None,
            false => self.open.remove(&node.path().to_owned()),
        };
        let failed = added.own && node.status == Status::Failed;
        let around = self.alone(outermost);
        let room = match failed {
            true => around.failures < keep.failures,
            false => around.inside.len() - around.failures < keep.others,
        };
        around.unkept += u64::from(!room && is_task);
        around.unkept_failures += usize::from(!room && failed);
        if !room && !keep.timeline {
            return;
        }
        let outermost = outermost.to_owned();
        let mut state = open.unwrap_or_else(|| NodeState::new(node.path()));
        state.spread = added.spread;
        state.finish(node, added.own);
        let spans = if keep.timeline && is_task { state.activity(&self.run) } else { Vec::new() };
        let around = self.alone(&outermost);
        around.spans.extend(spans);
        if room {
            around.failures += usize::from(failed);
            around.inside.push(state);
        }
    }

    /// A node that is not inside another one's elements.
    fn alone(&mut self, node: &str) -> &mut NodeState {
        self.nodes.entry(node, || NodeState::new(NodeRef::new(node, None)))
    }

    /// A node or element that has not ended.
    fn unit(&mut self, path: NodeRef) -> &mut NodeState {
        match path.is_in_element() {
            false => self.alone(path.node),
            true => self.open.entry(path.to_owned()).or_insert_with(|| NodeState::new(path)),
        }
    }

    fn end(mut self, unfinished: &str) -> RunState {
        self.run.status = self.tally.status(unfinished);
        if let Some(begun) = self.tally.begun.take() {
            let run = &mut self.run;
            (run.workflow, run.retry_of) = (begun.workflow, begun.retry_of);
            (run.project, run.domain) = (begun.project, begun.domain);
            (run.trigger, run.schedule, run.scheduled_at) =
                (begun.trigger, begun.schedule, begun.scheduled_at);
        }
        if let Some(ended) = self.tally.ended.take() {
            let is_cancelled = ended.status == Status::Detached && unfinished == Status::Cancelled.name();
            self.run.ended = Some(if is_cancelled { Status::Cancelled } else { ended.status });
            self.run.duration_ms = Some(ended.duration_ms);
            self.run.outputs = ended.outputs;
        }
        for (path, state) in std::mem::take(&mut self.open) {
            let spans = if self.keep.timeline { state.activity(&self.run) } else { Vec::new() };
            let around = self.alone(path.borrowed().outermost().unwrap_or(&path.node));
            around.spans.extend(spans);
            around.inside.push(state);
        }
        for (node, spread) in std::mem::take(&mut self.tally.spread) {
            if let Some(node) = self.nodes.get_mut(&node) {
                node.spread = Some(spread);
            }
        }
        self.run.nodes = self.nodes.into_values();
        for node in &mut self.run.nodes {
            // Elements end in any order, and people look them up by number.
            node.inside.sort_by_cached_key(|inner| NodeState::order(inner.path(), inner.own));
        }
        (self.run.counts, self.run.saved_ms) = (self.tally.counts, self.tally.saved_ms);
        self.run.usage = self.tally.usage;
        self.run
    }
}

impl NodeState {
    fn new(path: NodeRef) -> Self {
        let NodePath { node, index } = path.to_owned();
        Self {
            node,
            index,
            attempts: Vec::new(),
            finished: None,
            own: true,
            spread: None,
            spans: Vec::new(),
            inside: Vec::new(),
            failures: 0,
            unkept: 0,
            unkept_failures: 0,
        }
    }

    pub fn path(&self) -> NodeRef<'_> {
        NodeRef::new(&self.node, self.index)
    }

    fn finish(&mut self, node: NodeFinished, own: bool) {
        if let Some(last) = self.attempts.last_mut() {
            last.ended.get_or_insert(node.time);
        }
        self.own = own;
        self.finished = Some(node);
    }

    /// A key to sort by: the numbers of elements, then nodes that sum up others behind these.
    pub fn order(path: NodeRef, own: bool) -> (Vec<u64>, bool, String) {
        let (numbers, name) = path.order();
        (numbers, !own, name)
    }

    /// What is inside it, and then itself.
    pub fn inside_first(&self) -> impl Iterator<Item = &Self> {
        self.inside.iter().chain([self])
    }

    /// How long its present attempt has been running.
    pub fn elapsed_ms(&self, now: Timestamp) -> Option<u64> {
        let attempt =
            self.attempts.last().filter(|attempt| attempt.ended.is_none() && attempt.failed.is_none())?;
        let ms = now.as_millisecond() - attempt.began.as_millisecond();
        self.finished.is_none().then(|| u64::try_from(ms).unwrap_or(0))
    }

    /// Whether it failed by itself: what sums it up is no failure of its own.
    pub fn has_failed(&self) -> bool {
        self.own && self.bucket() == Bucket::Failed
    }

    pub fn bucket(&self) -> Bucket {
        match &self.finished {
            None => Bucket::Unfinished,
            Some(node) => match node.status {
                Status::Succeeded if node.cache == Some(CacheStatus::Hit) => Bucket::Cached,
                Status::Succeeded => Bucket::Executed,
                Status::Failed => Bucket::Failed,
                Status::Skipped | Status::Cancelled => Bucket::Idle,
                Status::Detached => Bucket::Unfinished,
            },
        }
    }

    /// When it worked and waited; a node that sums up others does neither.
    pub fn activity(&self, run: &RunState) -> Vec<ActivitySpan> {
        let mut spans = Vec::new();
        for attempt in &self.attempts {
            let from = run.since_start(attempt.began);
            if attempt.waited_ms > 0 {
                let since = from.saturating_sub(attempt.waited_ms);
                spans.push(ActivitySpan { from: since, to: from, activity: Activity::Waited });
            }
            let (to, activity) = match (&attempt.failed, attempt.ended, &self.finished) {
                (Some(failed), ..) => (run.since_start(failed.time), Activity::Failed),
                // It made a workflow, which runs on.
                (None, Some(ended), None) => (run.since_start(ended), Activity::ended(Status::Succeeded)),
                (None, Some(ended), Some(node)) => (run.since_start(ended), Activity::ended(node.status)),
                _ => (run.length_ms(), Activity::Running),
            };
            spans.push(ActivitySpan { from, to, activity });
            if let Some(ms) = attempt.failed.as_ref().and_then(|failed| failed.retry_in_ms) {
                spans.push(ActivitySpan { from: to, to: to.saturating_add(ms), activity: Activity::Waited });
            }
        }
        let hit = self
            .finished
            .as_ref()
            .filter(|node| node.kind == NodeKind::Task && node.cache == Some(CacheStatus::Hit));
        if let Some(node) = hit {
            let at = run.since_start(node.time);
            spans.push(ActivitySpan { from: at, to: at, activity: Activity::Cached });
        }
        spans
    }
}

#[cfg(test)]
pub(in crate::view) mod tests {
    use super::*;
    use crate::view::sample::*;

    /// `each` with 200 elements, of which every tenth fails, and a sub-workflow for each of four elements of `prep`.
    pub fn with_elements() -> Vec<Event> {
        let mut events = vec![run_started(3), expanded("each", 200, 202), expanded("prep", 4, 205)];
        for i in 0..200 {
            events.push(element_started("each", i, 0, 1));
            let end = if i % 10 == 7 { failed("each") } else { executed("each") };
            events.push(element(i, end));
        }
        let counts = Counts { nodes: 200, executed: 180, failed: 20, ..Counts::default() };
        let error = "20 of 200 elements failed";
        events.push(Event::NodeFinished(sum_failed("each", NodeKind::Elements, counts, error)));
        for i in 0..3 {
            events.push(Event::NodeFinished(hit(&format!("prep[{i}]/clean"))));
            events
                .push(element(i, sum("prep", NodeKind::Workflow, Counts { nodes: 1, ..Counts::default() })));
        }
        events.push(node_started("prep[3]/clean", 1, 2));
        events
    }

    #[test]
    fn an_outline_keeps_what_failed_and_what_is_open() {
        let outline = RunState::from_events(RUN.into(), with_elements(), "running", Keep::OUTLINE);
        let inside = |name: &str| &outline.nodes.iter().find(|node| node.node == name).unwrap().inside;
        assert_eq!((outline.nodes.len(), inside("each").len(), inside("prep").len()), (2, 20, 1));
        assert_eq!((outline.counts.executed, outline.counts.failed, outline.counts.cached), (180, 20, 3));
        let finished = inside("each")[0].finished.as_ref().unwrap();
        assert_eq!((finished.index, finished.outputs.len()), (Some(7), 0));
    }
}
