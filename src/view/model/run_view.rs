//! One run as its events tell it, long after: folded into nodes, and as one document.
//!
//! What a person sees of it is in `view/text/run.rs`.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::{Map as JsonMap, Value as Json};

use crate::core::event::{
    AttemptFailed, CacheStatus, Counts, Event, NodeFinished, NodeStarted, Status, Warning,
};
use crate::core::node_path::NodeRef;
use crate::view::model::tally::{Spread, Tally};

/// How much of a run is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// What a person is shown at first: of the elements of a node only those that failed, up to so many, and
    /// those that have not ended.
    Outline,
    Everything,
}

/// So many failures inside of one node an outline keeps.
const KEPT_FAILURES: usize = 50;

/// A run.
#[derive(Debug, Default)]
pub struct RunView {
    pub run: String,
    pub workflow: String,
    pub project: String,
    pub domain: String,
    /// The run that this one retries.
    pub retry_of: Option<String>,
    /// `succeeded`, `failed`, `cancelled`, or the caller's word for a run without an end.
    pub status: String,
    pub started: Option<Timestamp>,
    pub duration_ms: Option<u64>,
    pub counts: Counts,
    pub saved_ms: u64,
    pub outputs: JsonMap<String, Json>,
    pub warnings: Vec<Warning>,
    /// In the order in which they were first heard of.
    pub(in crate::view) nodes: Vec<NodeView>,
    pub(in crate::view) ended: Option<Status>,
    /// The first that had a log.
    pub(in crate::view) logged: Option<Unit>,
}

/// A node or an element of one, by name and number.
pub(in crate::view) type Unit = (String, Option<u64>);

/// A node, or something inside of one.
#[derive(Debug)]
pub(in crate::view) struct NodeView {
    pub node: String,
    pub index: Option<u64>,
    /// When its last attempt began.
    started: Option<Timestamp>,
    /// The log of its last attempt.
    log: Option<String>,
    pub failed_attempts: Vec<AttemptFailed>,
    /// None if the node had not ended when the events did.
    pub finished: Option<NodeFinished>,
    /// Whether its end was news; if not it only sums up what is listed as well.
    pub own: bool,
    /// What is known of its elements.
    pub spread: Option<Spread>,
    /// Its elements and all that is inside of them, as far as it is kept.
    pub inside: Vec<NodeView>,
    /// How many failures in there were not kept.
    pub unkept_failures: usize,
}

/// What is shown, and left out, together.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::view) enum Group {
    Cached,
    Executed,
    Failed,
    Idle,
    Unfinished,
}

/// A view in the making.
struct Folding {
    keep: Keep,
    view: RunView,
    tally: Tally,
    /// Where the nodes are that stand alone.
    places: HashMap<String, usize>,
    /// What is inside of nodes with elements and has not ended.
    open: HashMap<Unit, NodeView>,
}

impl RunView {
    /// Folds the events of one run; `unfinished` is the word for the state of a run whose end is not among
    /// them, such as `running` or `interrupted`.
    pub fn from_events(events: impl IntoIterator<Item = Event>, unfinished: &str, keep: Keep) -> Self {
        let view = Self { status: unfinished.into(), ..Self::default() };
        let mut folding =
            Folding { keep, view, tally: Tally::default(), places: HashMap::new(), open: HashMap::new() };
        for event in events {
            folding.add(event);
        }
        folding.end()
    }
}

impl Folding {
    fn add(&mut self, event: Event) {
        match event {
            Event::RunStarted(run) => {
                let view = &mut self.view;
                view.started = Some(run.time);
                (view.run, view.workflow, view.project, view.domain) =
                    (run.run, run.workflow, run.project, run.domain);
                view.retry_of = run.retry_of;
            }
            Event::NodeExpanded(node) => {
                self.tally.expand(&node);
                let name = node.path().outermost().unwrap_or(&node.node).to_owned();
                self.alone(&name);
            }
            Event::NodeWaiting(_) => {}
            Event::NodeStarted(NodeStarted { time, node, index, log, .. }) => {
                self.logged(&node, index, log.as_ref());
                let unit = self.unit(&node, index);
                (unit.started, unit.log) = (Some(time), log);
            }
            Event::AttemptFailed(attempt) => {
                self.unit(&attempt.node, attempt.index).failed_attempts.push(attempt);
            }
            Event::NodeFinished(node) => self.finished(node),
            Event::Warning(warning) => self.view.warnings.push(warning),
            Event::RunFinished(run) => {
                let view = &mut self.view;
                view.status = run.status.to_string();
                view.ended = Some(run.status);
                view.duration_ms = Some(run.duration_ms);
                self.tally.counts = run.counts;
                self.tally.saved_ms = run.saved_ms;
                view.outputs = run.outputs;
            }
        }
    }

    fn logged(&mut self, node: &str, index: Option<u64>, log: Option<&String>) {
        if log.is_some() && self.view.logged.is_none() {
            self.view.logged = Some((node.to_owned(), index));
        }
    }

    fn finished(&mut self, mut node: NodeFinished) {
        let added = self.tally.add(&node);
        self.logged(&node.node, node.index, node.log.as_ref());
        if self.keep == Keep::Outline {
            (node.outputs, node.inputs) = Default::default();
        }
        let Some(family) = node.path().outermost() else {
            let view = self.alone(&node.node);
            view.spread = added.spread;
            view.finish(node, added.own);
            return;
        };
        let view = match self.open.is_empty() {
            true => None,
            false => self.open.remove(&(node.node.clone(), node.index)),
        };
        let keep = self.keep;
        let around = self.alone(family);
        if keep == Keep::Outline {
            if node.status != Status::Failed || !added.own {
                return;
            }
            if around.inside.len() >= KEPT_FAILURES {
                around.unkept_failures += 1;
                return;
            }
        }
        let mut view = view.unwrap_or_else(|| NodeView::new(&node.node, node.index));
        view.spread = added.spread;
        view.finish(node, added.own);
        around.inside.push(view);
    }

    /// A node that is not inside of another one's elements.
    fn alone(&mut self, node: &str) -> &mut NodeView {
        let nodes = &mut self.view.nodes;
        let place = match self.places.get(node) {
            Some(place) => *place,
            None => {
                self.places.insert(node.to_owned(), nodes.len());
                nodes.push(NodeView::new(node, None));
                nodes.len() - 1
            }
        };
        &mut nodes[place]
    }

    /// Something that has not ended.
    fn unit(&mut self, node: &str, index: Option<u64>) -> &mut NodeView {
        match NodeRef::new(node, index).outermost() {
            None => self.alone(node),
            Some(_) => {
                self.open.entry((node.to_owned(), index)).or_insert_with(|| NodeView::new(node, index))
            }
        }
    }

    fn end(mut self) -> RunView {
        for ((node, index), view) in std::mem::take(&mut self.open) {
            let family = NodeRef::new(&node, index).outermost().unwrap_or(&node);
            self.alone(family).inside.push(view);
        }
        for (node, spread) in std::mem::take(&mut self.tally.spread) {
            if let Some(place) = self.places.get(&node) {
                self.view.nodes[*place].spread = Some(spread);
            }
        }
        for node in &mut self.view.nodes {
            // They have ended in any order, and a person looks them up by number.
            node.inside.sort_by_cached_key(|inner| NodeView::order(&inner.node, inner.index, inner.own));
        }
        (self.view.counts, self.view.saved_ms) = (self.tally.counts, self.tally.saved_ms);
        self.view
    }
}

impl NodeView {
    pub fn path(&self) -> NodeRef<'_> {
        NodeRef::new(&self.node, self.index)
    }

    fn new(node: &str, index: Option<u64>) -> Self {
        Self {
            node: node.into(),
            index,
            started: None,
            log: None,
            failed_attempts: Vec::new(),
            finished: None,
            own: true,
            spread: None,
            inside: Vec::new(),
            unkept_failures: 0,
        }
    }

    fn finish(&mut self, node: NodeFinished, own: bool) {
        if node.log.is_some() {
            self.log.clone_from(&node.log);
        }
        self.own = own;
        self.finished = Some(node);
    }

    /// By the numbers in the name, and what sums up others behind them.
    pub fn order(node: &str, index: Option<u64>, own: bool) -> (Vec<u64>, bool, String) {
        let numbers = node.split('[').skip(1).filter_map(|rest| rest.split(']').next()?.parse().ok());
        (numbers.chain(index).collect(), !own, node.to_owned())
    }

    /// It, behind what is inside of it.
    pub fn all(&self) -> impl Iterator<Item = &Self> {
        self.inside.iter().chain([self])
    }

    pub fn group(&self) -> Group {
        match &self.finished {
            None => Group::Unfinished,
            Some(node) => match node.status {
                Status::Succeeded if node.cache == Some(CacheStatus::Hit) => Group::Cached,
                Status::Succeeded => Group::Executed,
                Status::Failed => Group::Failed,
                Status::Skipped | Status::Cancelled => Group::Idle,
            },
        }
    }
}

#[cfg(test)]
pub(in crate::view) mod tests {
    use super::*;
    use crate::core::event::Kind;
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
        events.push(Event::NodeFinished(sum_failed("each", Kind::Elements, counts, error)));
        for i in 0..3 {
            events.push(Event::NodeFinished(hit(&format!("prep[{i}]/clean"))));
            events.push(element(i, sum("prep", Kind::Workflow, Counts { nodes: 1, ..Counts::default() })));
        }
        events.push(node_started("prep[3]/clean", 1, 2));
        events
    }

    #[test]
    fn an_outline_keeps_what_failed_and_what_is_open() {
        let outline = RunView::from_events(with_elements(), "running", Keep::Outline);
        let inside = |name: &str| &outline.nodes.iter().find(|node| node.node == name).unwrap().inside;
        assert_eq!((outline.nodes.len(), inside("each").len(), inside("prep").len()), (2, 20, 1));
        assert_eq!((outline.counts.executed, outline.counts.failed, outline.counts.cached), (180, 20, 3));
        let finished = inside("each")[0].finished.as_ref().unwrap();
        assert_eq!((finished.index, finished.outputs.len()), (Some(7), 0));
    }
}
