//! A run's events folded into what its page shows: nodes with their attempts, and elements as far as a page of sane
//! size can hold them.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::{Map as JsonMap, Value as Json};

use crate::core::event::{
    AttemptFailed, CacheStatus, Counts, Event, Kind, NodeFinished, NodeStarted, RunStarted, Status, Usage,
    Warning,
};
use crate::core::node_path::NodeRef;
use crate::view::draw::State;
use crate::view::model::tally::{Spread, Tally};

/// So many elements of a node, and so many of its failed ones, have a row of their own.
const KEPT: usize = 50;

/// A run.
#[derive(Default)]
pub struct PageModel {
    pub run: String,
    pub workflow: String,
    pub project: String,
    pub domain: String,
    pub started: Option<Timestamp>,
    /// When the last thing happened that is known.
    pub last: Option<Timestamp>,
    /// `succeeded`, `failed`, `cancelled`, or the caller's word for a run without an end.
    pub status: String,
    pub ended: Option<Status>,
    pub duration_ms: Option<u64>,
    pub counts: Counts,
    pub saved_ms: u64,
    pub outputs: JsonMap<String, Json>,
    pub warnings: Vec<Warning>,
    /// What all attempts used.
    pub usage: Usage,
    /// In the order in which they were first heard of; the elements of a node are behind it.
    pub units: Vec<Unit>,
    /// By name without the numbers of elements: how that ended, all in all.
    pub sums: HashMap<String, Counts>,
}

/// A node, or something inside of its elements.
pub struct Unit {
    pub node: String,
    pub index: Option<u64>,
    pub attempts: Vec<Attempt>,
    /// None if it had not ended when the events did.
    pub finished: Option<NodeFinished>,
    /// Whether its end was news; if not it only sums up what is told as well.
    pub own: bool,
    pub spread: Option<Spread>,
    /// Of a node with elements: when they worked.
    pub spans: Vec<Span>,
    /// Its elements and all that is inside of them, as far as it is kept,
    pub inside: Vec<Unit>,
    /// how many of them failed,
    failed: usize,
    /// and how many more there are.
    pub unkept: u64,
}

pub struct Attempt {
    pub number: u32,
    pub began: Timestamp,
    pub waited_ms: u64,
    pub log: Option<String>,
    pub failed: Option<AttemptFailed>,
    /// Of one that ended the node.
    pub ended: Option<Timestamp>,
}

/// When something was done, in milliseconds since the run's start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    pub from: u64,
    pub to: u64,
    pub what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It could have run, or was to be tried again.
    Waited,
    Executed,
    Failed,
    Cached,
    Cancelled,
    /// It has not ended.
    Running,
}

impl What {
    pub fn name(self) -> &'static str {
        match self {
            Self::Waited => "waited",
            Self::Executed => "executed",
            Self::Failed => "failed",
            Self::Cached => "cached",
            Self::Cancelled => "cancelled",
            Self::Running => "running",
        }
    }
}

struct Folding {
    told: PageModel,
    tally: Tally,
    /// Where the units are that are not inside of elements.
    places: HashMap<String, usize>,
    /// What is inside of elements and has not ended.
    open: HashMap<(String, Option<u64>), Unit>,
}

impl PageModel {
    /// Folds the events of one run; `unfinished` is the word for the state of a run whose end is not among them.
    pub fn from_events(events: impl IntoIterator<Item = Event>, unfinished: &str) -> Self {
        let told = Self { status: unfinished.into(), ..Self::default() };
        let mut folding =
            Folding { told, tally: Tally::default(), places: HashMap::new(), open: HashMap::new() };
        events.into_iter().for_each(|event| folding.add(event));
        folding.end()
    }

    /// Every unit that is kept.
    pub fn all(&self) -> impl Iterator<Item = &Unit> {
        self.units.iter().flat_map(|unit| std::iter::once(unit).chain(&unit.inside))
    }

    /// Milliseconds since the run's start.
    pub fn since_start(&self, time: Timestamp) -> u64 {
        self.started.map_or(0, |started| ms_between(started, time))
    }

    /// How long it took, or has taken so far.
    pub fn length_ms(&self) -> u64 {
        let so_far = self.last.map_or(0, |last| self.since_start(last));
        self.duration_ms.unwrap_or(0).max(so_far)
    }
}

fn ms_between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_millisecond() - from.as_millisecond()).unwrap_or(0)
}

impl Folding {
    fn add(&mut self, event: Event) {
        match event {
            Event::RunStarted(RunStarted { time, run, workflow, project, domain, .. }) => {
                self.heard(time);
                let told = &mut self.told;
                told.started = Some(time);
                (told.run, told.workflow, told.project, told.domain) = (run, workflow, project, domain);
            }
            Event::NodeExpanded(node) => {
                self.heard(node.time);
                self.tally.expand(&node);
                let name = node.path().outermost().unwrap_or(&node.node).to_owned();
                self.alone(&name);
            }
            Event::NodeWaiting(_) => {}
            Event::NodeStarted(NodeStarted { time, node, index, attempt, log, waited_ms, .. }) => {
                self.heard(time);
                let attempt =
                    Attempt { number: attempt, began: time, waited_ms, log, failed: None, ended: None };
                self.unit(&node, index).attempts.push(attempt);
            }
            Event::AttemptFailed(failed) => {
                self.heard(failed.time);
                let unit = self.unit(&failed.node, failed.index);
                let mut usage = Usage::default();
                if let Some(attempt) = unit.attempts.iter_mut().find(|a| a.number == failed.attempt) {
                    // The last attempt's use is told by the end of its node.
                    if failed.retry_in_ms.is_some() {
                        usage = failed.usage();
                    }
                    attempt.failed = Some(failed);
                }
                self.told.usage += usage;
            }
            Event::NodeFinished(node) => self.finished(node),
            Event::Warning(warning) => {
                self.heard(warning.time);
                self.told.warnings.push(warning);
            }
            Event::RunFinished(run) => {
                self.heard(run.time);
                let told = &mut self.told;
                (told.status, told.ended) = (run.status.to_string(), Some(run.status));
                told.duration_ms = Some(run.duration_ms);
                (self.tally.counts, self.tally.saved_ms) = (run.counts, run.saved_ms);
                told.outputs = run.outputs;
            }
        }
    }

    fn heard(&mut self, time: Timestamp) {
        self.told.last = self.told.last.max(Some(time));
    }

    fn finished(&mut self, node: NodeFinished) {
        self.heard(node.time);
        let added = self.tally.add(&node);
        if node.kind == Kind::Task {
            self.told.usage += node.usage();
            self.told.sums.entry(node.path().family().into_owned()).or_default().add(node.status, node.cache);
        }
        let Some(family) = node.path().outermost().map(str::to_owned) else {
            let unit = self.alone(&node.node);
            unit.spread = added.spread;
            unit.finish(node, added.own);
            return;
        };
        let unit = self.open.remove(&(node.node.clone(), node.index));
        let mut unit = unit.unwrap_or_else(|| Unit::new(&node.node, node.index));
        unit.spread = added.spread;
        let failed = added.own && node.status == Status::Failed;
        let is_task = node.kind == Kind::Task;
        unit.finish(node, added.own);
        let spans = if is_task { unit.work(&self.told) } else { Vec::new() };
        let around = self.alone(&family);
        around.spans.extend(spans);
        let others = around.inside.len() - around.failed;
        if failed && around.failed < KEPT || !failed && others < KEPT {
            around.failed += usize::from(failed);
            around.inside.push(unit);
        } else if is_task {
            around.unkept += 1;
        }
    }

    /// A node that is not inside of another one's elements.
    fn alone(&mut self, node: &str) -> &mut Unit {
        let units = &mut self.told.units;
        let place = match self.places.get(node) {
            Some(place) => *place,
            None => {
                self.places.insert(node.to_owned(), units.len());
                units.push(Unit::new(node, None));
                units.len() - 1
            }
        };
        &mut units[place]
    }

    /// Something that has not ended.
    fn unit(&mut self, node: &str, index: Option<u64>) -> &mut Unit {
        match NodeRef::new(node, index).outermost() {
            None => self.alone(node),
            Some(_) => self.open.entry((node.to_owned(), index)).or_insert_with(|| Unit::new(node, index)),
        }
    }

    fn end(mut self) -> PageModel {
        for ((node, index), unit) in std::mem::take(&mut self.open) {
            let spans = unit.work(&self.told);
            let family = NodeRef::new(&node, index).outermost().unwrap_or(&node).to_owned();
            let around = self.alone(&family);
            around.spans.extend(spans);
            around.inside.push(unit);
        }
        for (node, spread) in std::mem::take(&mut self.tally.spread) {
            if let Some(place) = self.places.get(&node) {
                self.told.units[*place].spread = Some(spread);
            }
        }
        for unit in &mut self.told.units {
            unit.inside.sort_by_cached_key(Unit::order);
        }
        (self.told.counts, self.told.saved_ms) = (self.tally.counts, self.tally.saved_ms);
        self.told
    }
}

impl Unit {
    fn new(node: &str, index: Option<u64>) -> Self {
        Self {
            node: node.into(),
            index,
            attempts: Vec::new(),
            finished: None,
            own: true,
            spread: None,
            spans: Vec::new(),
            inside: Vec::new(),
            failed: 0,
            unkept: 0,
        }
    }

    fn finish(&mut self, node: NodeFinished, own: bool) {
        if let Some(last) = self.attempts.last_mut() {
            last.ended = Some(node.time);
        }
        self.own = own;
        self.finished = Some(node);
    }

    /// By the numbers in the name.
    fn order(&self) -> (Vec<u64>, bool, String) {
        let numbers = self.node.split('[').skip(1).filter_map(|rest| rest.split(']').next()?.parse().ok());
        (numbers.chain(self.index).collect(), !self.own, self.node.clone())
    }

    /// How it ended, or how far it is.
    pub fn state(&self, run_goes_on: bool) -> State {
        match &self.finished {
            None if self.attempts.is_empty() && self.spread.is_none() => State::Waiting,
            None if run_goes_on => State::Running,
            None => State::Cancelled,
            Some(node) => match (node.status, node.cache) {
                (Status::Succeeded, Some(CacheStatus::Hit)) => State::Cached,
                (Status::Succeeded, _) => State::Executed,
                (Status::Failed, _) => State::Failed,
                (Status::Skipped, _) => State::Skipped,
                (Status::Cancelled, _) => State::Cancelled,
            },
        }
    }

    /// When it worked and waited; what it sums up is not its own work.
    pub fn work(&self, told: &PageModel) -> Vec<Span> {
        let mut spans = Vec::new();
        for attempt in &self.attempts {
            let from = told.since_start(attempt.began);
            if attempt.waited_ms > 0 {
                spans.push(Span {
                    from: from.saturating_sub(attempt.waited_ms),
                    to: from,
                    what: What::Waited,
                });
            }
            let (to, what) = match (&attempt.failed, attempt.ended, &self.finished) {
                (Some(failed), ..) => (told.since_start(failed.time), What::Failed),
                (None, Some(ended), Some(node)) => {
                    let what = match node.status {
                        Status::Succeeded => What::Executed,
                        Status::Failed => What::Failed,
                        Status::Skipped | Status::Cancelled => What::Cancelled,
                    };
                    (told.since_start(ended), what)
                }
                _ => (told.length_ms(), What::Running),
            };
            spans.push(Span { from, to, what });
            if let Some(ms) = attempt.failed.as_ref().and_then(|failed| failed.retry_in_ms) {
                spans.push(Span { from: to, to: to.saturating_add(ms), what: What::Waited });
            }
        }
        if let Some(node) = &self.finished
            && node.kind == Kind::Task
            && node.cache == Some(CacheStatus::Hit)
        {
            let at = told.since_start(node.time);
            spans.push(Span { from: at, to: at, what: What::Cached });
        }
        spans
    }
}
