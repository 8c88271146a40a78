//! The walk of a plan: each node with what is known of its inputs, and what the cache says of it.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::explainer::Explainer;
use super::planned::{ElementTally, Expectation, PlanObserver, Planned, PlannedUnit, Root};
use crate::core::counted::counted;
use crate::core::node_path::NodeRef;
use crate::core::value::Value;
use crate::core::why::{MissKind, Why};
use crate::engine::lookup::cache::CacheRequest;
use crate::engine::lookup::decision::{Decision, Edited, Hit};
use crate::engine::lookup::identity::TaskRequest;
use crate::engine::scope::error::NodeError;
use crate::engine::scope::frames::Frame;
use crate::engine::scope::interface;
use crate::engine::scope::scatter::{ScatteredInputs, gather};
use crate::engine::scope::site::{FrameChain, NodeSite};
use crate::workflow::graph::select::Role;
use crate::workflow::{Body, Node, Task, Workflow};

/// The nodes that take part in a run and are no sub-workflows, in an order in which they could run.
pub fn plan(explainer: Explainer, inputs: Box<[Value]>, curious: Option<PlanObserver>) -> Vec<Planned> {
    let workflow = explainer.outline.workflow().clone();
    let numbers = (0, explainer.outline.offsets(&workflow));
    let mut frame = Frame::new(workflow, numbers, None, String::new(), inputs.into());
    let mut planner = Planner::new(explainer, curious);
    explainer.cache.begin();
    planner.frame(&mut frame, None, false);
    explainer.cache.end();
    let mut planned = planner.planned;
    for planned in &mut planned {
        if let Some(ElementTally { count, runs, .. }) = planned.elements
            && planned.cache != Expectation::Skipped
        {
            let elements = counted(count as u64, "element");
            planned.reason = match (count, runs) {
                (0, _) => "there are no elements".into(),
                (_, 0) => format!("{elements}; {}", planned.reason),
                _ => format!("{runs} of {elements} would run; {}", planned.reason),
            };
        }
    }
    planned
}

/// Fills in the outputs of a frame's nodes, as far as the cache has them.
pub(super) fn fill(explainer: &Explainer, frame: &mut Frame) {
    Planner::new(*explainer, None).frame(frame, None, false);
}

/// What is known of one unit.
struct Verdict {
    cache: Expectation,
    reason: String,
    runs: bool,
    why: Option<Box<Why>>,
    root: Option<Rc<Root>>,
    saved_ms: u64,
    edited: Option<Edited>,
}

fn verdict(cache: Expectation, reason: impl Into<String>, runs: bool) -> Verdict {
    Verdict { cache, reason: reason.into(), runs, why: None, root: None, saved_ms: 0, edited: None }
}

/// What is known of a task with its inputs, and what the cache has.
type Looked = (Verdict, Option<Box<Hit>>);

/// Where a node stands that is looked at: in which use of a workflow, its index there, its number in the outline, and
/// that of the element.
#[derive(Clone, Copy)]
struct Visit<'s> {
    scene: &'s FrameChain<'s>,
    index: usize,
    number: usize,
    element: Option<usize>,
    /// Whether it, or a node that encloses it, is an element.
    is_element: bool,
}

impl Visit<'_> {
    fn node(&self) -> &Node {
        &self.scene.frame.workflow.nodes[self.index]
    }

    /// `prep/clean`, `train[3]`
    fn label(&self) -> String {
        let name = format!("{}{}", self.scene.frame.prefix, self.node().name);
        NodeRef::new(&name, self.element.map(|element| element as u64)).to_string()
    }
}

/// Walks the nodes of a workflow.
pub struct Planner<'a, 'c> {
    explainer: Explainer<'a>,
    curious: Option<PlanObserver<'c>>,
    pub planned: Vec<Planned>,
    /// By number in the outline: the place in `planned`.
    known: BTreeMap<usize, usize>,
}

/// The outputs of a unit, as far as they are known.
enum Handed {
    Outputs(Box<[Value]>),
    Skipped,
    Unknown,
}

impl<'a, 'c> Planner<'a, 'c> {
    pub fn new(explainer: Explainer<'a>, curious: Option<PlanObserver<'c>>) -> Self {
        Self { explainer, curious, planned: Vec::new(), known: BTreeMap::new() }
    }

    fn role(&self, number: usize) -> Role {
        self.explainer.options.roles[number]
    }

    /// Plans one use of a workflow. False if something in it is not known yet. `outer` is where it stands itself.
    pub fn frame(
        &mut self,
        frame: &mut Frame,
        outer: Option<(&FrameChain, usize, Option<usize>)>,
        is_element: bool,
    ) -> bool {
        let outline = self.explainer.outline;
        let graph = outline.graph(&frame.workflow);
        let workflow = frame.workflow.clone();
        let mut skipped = vec![false; workflow.nodes.len()];
        let mut complete = true;
        for index in graph.order().unwrap_or_default() {
            let number = frame.number(index);
            let role = self.role(number);
            if role == Role::Out {
                continue;
            }
            let above: Vec<usize> =
                graph.dependencies(index).filter(|d| self.role(frame.number(*d)) != Role::Out).collect();
            let tolerated = |d: usize| graph.edges(d).any(|(to, tolerant)| to == index && tolerant);
            let name = |n: usize| outline.name(frame.number(n));
            let scene = FrameChain { frame, outer };
            let spot = Visit { scene: &scene, index, number, element: None, is_element };
            let handed = if role == Role::Skip {
                self.all(spot, "skipped on request", Expectation::Skipped, None);
                Handed::Skipped
            } else if let Some(cause) = above.iter().find(|n| skipped[**n] && !tolerated(**n)) {
                let reason = format!("`{}` is skipped", name(*cause));
                self.all(spot, &reason, Expectation::Skipped, None);
                Handed::Skipped
            } else if let Some(cause) = above.iter().find(|n| frame.outputs[**n].is_none()) {
                let root = self.root(frame.number(*cause));
                let reason = match &root {
                    Some(root) if root.node != name(*cause) => {
                        format!("waits for `{}`, below `{}`: {}", name(*cause), root.node, root.reason)
                    }
                    Some(root) => format!("waits for `{}`: {}", root.node, root.reason),
                    None => format!("waits for `{}`", name(*cause)),
                };
                self.all(spot, &reason, Expectation::Unknown, root);
                Handed::Unknown
            } else {
                self.planned_node(spot).unwrap_or_else(|error| {
                    let reason = format!("it would fail: {error}");
                    self.all(spot, &reason, Expectation::Unknown, None);
                    Handed::Unknown
                })
            };
            match handed {
                Handed::Outputs(outputs) => frame.outputs[index] = Some(outputs),
                Handed::Skipped => {
                    skipped[index] = true;
                    frame.outputs[index] = Some(workflow.nodes[index].body.nothing());
                }
                Handed::Unknown => complete = false,
            }
        }
        complete
    }

    /// The node because of which what waits for this one is not known.
    fn root(&self, number: usize) -> Option<Rc<Root>> {
        let inside = self.explainer.outline.inside(number);
        let planned = std::iter::once(number).chain(inside).filter_map(|n| self.known.get(&n));
        let cause = planned.map(|at| &self.planned[*at]).find(|planned| planned.runs)?;
        Some(cause.root.clone().unwrap_or_else(|| {
            let node = self.explainer.outline.name(cause.number);
            Rc::new(Root { node, reason: cause.reason.clone() })
        }))
    }

    /// A node for which nothing has to be waited.
    ///
    /// # Errors
    /// Why it would fail before anything of it runs.
    fn planned_node(&mut self, spot: Visit) -> Result<Handed, NodeError> {
        let values = spot.scene.frame.values(self.explainer.files);
        if !values.holds(spot.node())? {
            let reason = values.condition_of(spot.node()).reason();
            self.all(spot, &reason, Expectation::Skipped, None);
            return Ok(Handed::Skipped);
        }
        let inputs = values.inputs_of(spot.node())?;
        self.node(spot, inputs)
    }

    /// Reports the same for a node and all nodes inside it.
    fn all(&mut self, spot: Visit, reason: &str, cache: Expectation, root: Option<Rc<Root>>) {
        let inside = self.explainer.outline.inside(spot.number);
        for number in std::iter::once(spot.number).chain(inside) {
            let place = self.explainer.outline.place(number);
            if self.role(number) != Role::Out && place.node().task().is_some() {
                let waits = cache == Expectation::Unknown;
                let why = waits.then(|| Box::new(Why::plain(MissKind::Waiting, reason.to_owned())));
                let verdict = Verdict { root: root.clone(), why, ..verdict(cache, reason, waits) };
                if self.wants(number) {
                    match number == spot.number && cache == Expectation::Unknown {
                        true => self.tell_waiting(spot, &verdict),
                        false => {
                            let label = if number == spot.number { spot.label() } else { place.name() };
                            self.tell(number, &label, &verdict, None, None);
                        }
                    }
                }
                self.add(number, verdict, spot.is_element);
            }
        }
    }

    fn node(&mut self, spot: Visit, inputs: Vec<Value>) -> Result<Handed, NodeError> {
        let node = spot.node();
        let Some(scatter) = &node.scatter else { return self.unit(spot, inputs) };
        let spread = ScatteredInputs::new(node, scatter, inputs)?;
        let (mut known, mut skipped) = (true, false);
        let mut outputs = Vec::with_capacity(spread.count());
        if spread.count() == 0 {
            self.none(spot.number);
        }
        for index in 0..spread.count() {
            let spot = Visit { element: Some(index), is_element: true, ..spot };
            match self.unit(spot, spread.element(index))? {
                Handed::Outputs(values) => outputs.push(Some(values)),
                Handed::Skipped => skipped = true,
                Handed::Unknown => known = false,
            }
        }
        Ok(match known {
            _ if skipped => Handed::Skipped,
            true => Handed::Outputs(gather(&outputs, node.body.outputs().len())),
            false => Handed::Unknown,
        })
    }

    /// Adds the line of a node without elements, which has nothing to do.
    fn none(&mut self, number: usize) {
        for number in std::iter::once(number).chain(self.explainer.outline.inside(number)) {
            let runs_task = self.explainer.outline.place(number).node().task().is_some();
            if runs_task && !self.known.contains_key(&number) {
                self.known.insert(number, self.planned.len());
                let nothing = verdict(Expectation::Hit, "there are no elements", false);
                self.planned.push(planned(number, nothing, Some(ElementTally::default())));
            }
        }
    }

    fn unit(&mut self, spot: Visit, inputs: Vec<Value>) -> Result<Handed, NodeError> {
        match &spot.node().body {
            Body::Task(task) => {
                let (verdict, hit) = self.task(task, spot, &inputs)?;
                if self.wants(spot.number) {
                    self.tell(spot.number, &spot.label(), &verdict, hit.as_deref(), Some((task, &inputs)));
                }
                self.add(spot.number, verdict, spot.is_element);
                Ok(hit.map_or(Handed::Unknown, |hit| Handed::Outputs(hit.outputs)))
            }
            Body::Workflow(inner) => self.sub_workflow(inner, spot, inputs),
        }
    }

    fn sub_workflow(
        &mut self,
        inner: &Arc<Workflow>,
        spot: Visit,
        inputs: Vec<Value>,
    ) -> Result<Handed, NodeError> {
        let numbers = (spot.number + 1, self.explainer.outline.offsets(inner));
        let mut frame = Frame::new(inner.clone(), numbers, None, format!("{}/", spot.label()), inputs.into());
        let outer = Some((spot.scene, spot.index, spot.element));
        if !self.frame(&mut frame, outer, spot.is_element) {
            return Ok(Handed::Unknown);
        }
        Ok(match interface::interface(&frame, self.explainer.files)? {
            Some(outputs) if interface::lacks(inner, &outputs) => Handed::Skipped,
            Some(outputs) => Handed::Outputs(outputs),
            None => Handed::Unknown,
        })
    }

    fn wants(&self, number: usize) -> bool {
        self.curious.as_ref().is_some_and(|curious| curious.wants[number])
    }

    fn tell(
        &mut self,
        number: usize,
        label: &str,
        verdict: &Verdict,
        hit: Option<&Hit>,
        asked: Option<(&Task, &[Value])>,
    ) {
        let Explainer { cache, files, .. } = self.explainer;
        let Some(curious) = &mut self.curious else { return };
        let state = asked.and_then(|(task, _)| cache.task(task, files).ok());
        let parts = asked.zip(state.as_ref()).filter(|((task, _), _)| task.cache.enabled);
        let asked = parts.map(|((task, inputs), state)| TaskRequest { task, identity: state, label, inputs });
        (curious.tell)(&PlannedUnit {
            number,
            label,
            cache: verdict.cache,
            reason: &verdict.reason,
            runs: verdict.runs,
            why: verdict.why.as_deref(),
            hit,
            parts: asked.as_ref().map(|asked| asked.parts(cache.scope())),
        });
    }

    /// A node that waits for another: what is known of its key differs from its last result already, or not.
    fn tell_waiting(&mut self, spot: Visit, verdict: &Verdict) {
        let explainer = self.explainer;
        let node = spot.node();
        let task = node.task().filter(|task| task.cache.enabled && node.scatter.is_none());
        let state = task.and_then(|task| explainer.cache.task(task, explainer.files).ok());
        let (Some(task), Some(state)) = (task, state) else {
            return self.tell(spot.number, &spot.label(), verdict, None, None);
        };
        let values = spot.scene.frame.values(explainer.files);
        let keyed = task.inputs.iter().enumerate().filter(|(_, input)| state.interface.keys(&input.name));
        let known = keyed.filter_map(|(i, input)| {
            Some((input.name.to_string(), values.input_of(node, i).ok()?.to_record()))
        });
        let label = spot.label();
        let (why, parts) = explainer.explain_waiting(task, &state, &label, known.collect(), &verdict.reason);
        if let Some(curious) = &mut self.curious {
            (curious.tell)(&PlannedUnit {
                number: spot.number,
                label: &label,
                cache: verdict.cache,
                reason: &verdict.reason,
                runs: verdict.runs,
                why: Some(&why),
                hit: None,
                parts: Some(parts),
            });
        }
    }

    fn add(&mut self, number: usize, verdict: Verdict, is_element: bool) {
        let mapped = is_element && (verdict.cache != Expectation::Skipped || verdict.runs);
        let one = ElementTally {
            count: 1,
            runs: usize::from(verdict.runs),
            hits: usize::from(verdict.cache == Expectation::Hit),
        };
        match self.known.get(&number) {
            None => {
                self.known.insert(number, self.planned.len());
                self.planned.push(planned(number, verdict, mapped.then_some(one)));
            }
            Some(at) => {
                let planned = &mut self.planned[*at];
                planned.runs |= verdict.runs;
                planned.saved_ms += verdict.saved_ms;
                planned.edited = planned.edited.take().or_else(|| verdict.edited.clone());
                if verdict.cache > planned.cache {
                    let Verdict { cache, reason, why, root, .. } = verdict;
                    (planned.cache, planned.reason, planned.why, planned.root) = (cache, reason, why, root);
                }
                if mapped {
                    let all = planned.elements.get_or_insert_default();
                    all.count += one.count;
                    all.runs += one.runs;
                    all.hits += one.hits;
                }
            }
        }
    }

    /// Whether it is known of a node that the cache does not have it, or an element of it.
    fn is_missing(&self, number: usize) -> bool {
        self.known.get(&number).is_some_and(|at| self.planned[*at].cache == Expectation::Miss)
    }

    /// What the cache says of a task with these inputs.
    fn task(&self, task: &Task, spot: Visit, inputs: &[Value]) -> Result<Looked, NodeError> {
        let Explainer { options, cache, files, .. } = self.explainer;
        let state = cache.task(task, files)?;
        // What is not selected does not run: the run would fail.
        let selected = self.role(spot.number) != Role::Supply;
        let note = |reason: &str| match selected {
            true => reason.to_owned(),
            false => format!("{reason}; it is needed, but not selected"),
        };
        let found = |hit: Hit| {
            let time = hit.source.time.strftime("%Y-%m-%d %H:%M:%S UTC");
            let (run, node, note) = (&hit.source.run, &hit.source.node, hit.source.note());
            let reason = format!("from run {run}, node `{node}`, {time}{note}");
            let saved_ms = hit.duration_ms;
            (
                Verdict { saved_ms, edited: hit.edited.clone(), ..verdict(Expectation::Hit, reason, false) },
                Some(Box::new(hit)),
            )
        };
        let work = state.key(task, inputs);
        let request = CacheRequest {
            task,
            identity: &state,
            work: &work,
            inputs,
            mode: options.mode,
            overwrite: options.overwrite[spot.number],
            node: &|| self.explainer.outline.name(spot.number),
        };
        Ok(match cache.decide(&request) {
            Decision::Hit(hit) => found(*hit),
            Decision::Disabled => {
                (verdict(Expectation::Disabled, note("the task is not cached"), selected), None)
            }
            Decision::Skipped(cause) => {
                (verdict(Expectation::Skipped, note(&cause.to_string()), selected), None)
            }
            // A plan shows one reason for all elements of a node.
            Decision::Miss(_)
                if spot.element.is_some() && !self.wants(spot.number) && self.is_missing(spot.number) =>
            {
                (verdict(Expectation::Miss, String::new(), selected), None)
            }
            Decision::Miss(miss) => {
                let label = spot.label();
                let asked = TaskRequest { task, identity: &state, label: &label, inputs };
                let site = NodeSite { scene: spot.scene, node: spot.index, element: spot.element };
                let why = self.explainer.explain(&asked, miss, site);
                let missed = verdict(Expectation::Miss, note(&why.text()), selected);
                (Verdict { why: Some(Box::new(why)), ..missed }, None)
            }
            Decision::Failed(error) => (verdict(Expectation::Miss, note(&error.to_string()), selected), None),
        })
    }
}

fn planned(number: usize, verdict: Verdict, elements: Option<ElementTally>) -> Planned {
    let Verdict { cache, reason, runs, why, root, saved_ms, edited } = verdict;
    Planned { number, cache, reason, why, saved_ms, root, edited, runs, elements }
}
