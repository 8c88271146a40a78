//! Plans: what a run would do, found out without doing anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cache::{Cache, Lookup};
use super::groups::Frame;
use super::publish;
use super::spread::{Spread, gather};
use super::values::Files;
use super::{CacheMode, Order};
use crate::graph::outline::Outline;
use crate::graph::select::Role;
use crate::workflow::value::Value;
use crate::workflow::{Body, Node, Task, Workflow};

/// What the cache would say of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Expectation {
    /// It would be looked up by nobody.
    Skipped,
    Hit,
    Disabled,
    /// Below a node that would run: its inputs are not known yet.
    Unknown,
    Miss,
}

impl Expectation {
    pub fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Unknown => "unknown",
            Self::Disabled => "disabled",
            Self::Skipped => "skipped",
        }
    }
}

/// One node of a plan.
#[derive(Debug)]
pub struct Planned {
    /// In the outline.
    pub number: usize,
    /// Of several elements the one that comes last in the order of [`Expectation`].
    pub cache: Expectation,
    pub reason: String,
    /// Whether its command would run, as far as can be told.
    pub runs: bool,
    /// `None` for a plain node.
    pub elements: Option<Elements>,
}

/// What is known of the elements of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Elements {
    pub count: usize,
    /// How many would run.
    pub runs: usize,
    /// How many the cache has.
    pub hits: usize,
}

/// What is known of one unit.
struct Verdict {
    cache: Expectation,
    reason: String,
    runs: bool,
}

/// What is known of a task with its inputs, and its outputs where the cache has them.
type Looked = (Verdict, Option<Box<[Value]>>);

fn verdict(cache: Expectation, reason: impl Into<String>, runs: bool) -> Verdict {
    Verdict { cache, reason: reason.into(), runs }
}

/// The nodes that take part in a run and are no sub-workflows, in an order in which they could run.
pub fn plan(
    outline: &Outline,
    order: &Order,
    cache: &Cache,
    files: &Files,
    inputs: Box<[Value]>,
) -> Vec<Planned> {
    let mut planner = Planner { outline, order, cache, files, planned: Vec::new(), known: BTreeMap::new() };
    let workflow = outline.workflow().clone();
    cache.begin();
    let numbers = (0, outline.offsets(&workflow));
    let mut frame = Frame::new(workflow, numbers, None, String::new(), inputs.into());
    planner.frame(&mut frame, false);
    cache.end();
    for planned in &mut planner.planned {
        if let Some(Elements { count, runs, .. }) = planned.elements
            && planned.cache != Expectation::Skipped
        {
            let elements = if count == 1 { "element" } else { "elements" };
            planned.reason = match (count, runs) {
                (0, _) => "there are no elements".into(),
                (_, 0) => format!("{count} {elements}; {}", planned.reason),
                _ => format!("{runs} of {count} {elements} would run; {}", planned.reason),
            };
        }
    }
    planner.planned
}

struct Planner<'a> {
    outline: &'a Outline,
    order: &'a Order,
    cache: &'a Cache,
    files: &'a Files,
    planned: Vec<Planned>,
    /// By number in the outline: the place in `planned`.
    known: BTreeMap<usize, usize>,
}

/// What a unit hands back, as far as is known.
enum Handed {
    Outputs(Box<[Value]>),
    Skipped,
    Unknown,
}

impl Planner<'_> {
    /// Plans one use of a workflow. False if something in it is not known yet.
    fn frame(&mut self, frame: &mut Frame, is_element: bool) -> bool {
        let graph = self.outline.graph(&frame.workflow);
        let workflow = frame.workflow.clone();
        let mut skipped = vec![false; workflow.nodes.len()];
        let mut complete = true;
        for index in graph.order().unwrap_or_default() {
            let node = &workflow.nodes[index];
            let number = frame.number(index);
            let role = self.order.roles[number];
            if role == Role::Out {
                continue;
            }
            let above: Vec<usize> = graph
                .dependencies(index)
                .filter(|d| self.order.roles[frame.number(*d)] != Role::Out)
                .collect();
            let tolerated = |d: usize| graph.edges(d).any(|(to, tolerant)| to == index && tolerant);
            let name = |n: usize| self.outline.name(frame.number(n));
            let handed = if role == Role::Skip {
                self.all(number, is_element, "skipped on request", Expectation::Skipped);
                Handed::Skipped
            } else if let Some(cause) = above.iter().find(|n| skipped[**n] && !tolerated(**n)) {
                self.all(number, is_element, &format!("`{}` is skipped", name(*cause)), Expectation::Skipped);
                Handed::Skipped
            } else if let Some(cause) = above.iter().find(|n| frame.outputs[**n].is_none()) {
                self.all(number, is_element, &format!("waits for `{}`", name(*cause)), Expectation::Unknown);
                Handed::Unknown
            } else {
                match self.planned_node(frame, node, number, is_element) {
                    Ok(handed) => handed,
                    Err(problem) => {
                        let reason = format!("it would fail: {problem}");
                        self.all(number, is_element, &reason, Expectation::Unknown);
                        Handed::Unknown
                    }
                }
            };
            match handed {
                Handed::Outputs(outputs) => frame.outputs[index] = Some(outputs),
                Handed::Skipped => {
                    skipped[index] = true;
                    frame.outputs[index] = Some(node.body.nothing());
                }
                Handed::Unknown => complete = false,
            }
        }
        complete
    }

    /// A node for which nothing has to be waited.
    ///
    /// # Errors
    /// Why it would fail before anything of it runs: a sentence.
    fn planned_node(
        &mut self,
        frame: &Frame,
        node: &Node,
        number: usize,
        is_element: bool,
    ) -> Result<Handed, String> {
        let values = frame.values(self.files);
        if !values.holds(node)? {
            self.all(number, is_element, "its condition is false", Expectation::Skipped);
            return Ok(Handed::Skipped);
        }
        let inputs = values.inputs_of(node)?;
        self.node(node, number, inputs, is_element)
    }

    /// The same is to be said of a node and of all that is inside of it.
    fn all(&mut self, number: usize, is_element: bool, reason: &str, cache: Expectation) {
        let inside = self.outline.inside(number);
        for number in std::iter::once(number).chain(inside) {
            let place = self.outline.place(number);
            if self.order.roles[number] != Role::Out && place.node().task().is_some() {
                self.add(number, verdict(cache, reason, cache == Expectation::Unknown), is_element);
            }
        }
    }

    fn node(
        &mut self,
        node: &Node,
        number: usize,
        inputs: Vec<Value>,
        is_element: bool,
    ) -> Result<Handed, String> {
        let Some(scatter) = &node.scatter else { return self.unit(node, number, inputs, is_element) };
        let spread = Spread::new(node, scatter, inputs)?;
        let (mut known, mut skipped) = (true, false);
        let mut outputs = Vec::with_capacity(spread.count());
        if spread.count() == 0 {
            self.none(number);
        }
        for index in 0..spread.count() {
            match self.unit(node, number, spread.element(index), true)? {
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

    /// A node without elements has nothing to do, and a line of the plan all the same.
    fn none(&mut self, number: usize) {
        for number in std::iter::once(number).chain(self.outline.inside(number)) {
            if self.outline.place(number).node().task().is_some() && !self.known.contains_key(&number) {
                self.known.insert(number, self.planned.len());
                let (cache, elements) = (Expectation::Hit, Some(Elements::default()));
                self.planned.push(Planned { number, cache, reason: String::new(), runs: false, elements });
            }
        }
    }

    fn unit(
        &mut self,
        node: &Node,
        number: usize,
        inputs: Vec<Value>,
        is_element: bool,
    ) -> Result<Handed, String> {
        match &node.body {
            Body::Task(task) => {
                let (verdict, outputs) = self.task(task, number, &inputs)?;
                self.add(number, verdict, is_element);
                Ok(outputs.map_or(Handed::Unknown, Handed::Outputs))
            }
            Body::Workflow(inner) => self.sub_workflow(inner, number, inputs, is_element),
        }
    }

    fn sub_workflow(
        &mut self,
        inner: &Arc<Workflow>,
        number: usize,
        inputs: Vec<Value>,
        is_element: bool,
    ) -> Result<Handed, String> {
        let numbers = (number + 1, self.outline.offsets(inner));
        let mut frame = Frame::new(inner.clone(), numbers, None, String::new(), inputs.into());
        if !self.frame(&mut frame, is_element) {
            return Ok(Handed::Unknown);
        }
        Ok(match publish::interface(&frame, self.files)? {
            Some(outputs) if publish::lacks(inner, &outputs) => Handed::Skipped,
            Some(outputs) => Handed::Outputs(outputs),
            None => Handed::Unknown,
        })
    }

    fn add(&mut self, number: usize, verdict: Verdict, is_element: bool) {
        let Verdict { cache, reason, runs } = verdict;
        let mapped = is_element && (cache != Expectation::Skipped || runs);
        let one =
            Elements { count: 1, runs: usize::from(runs), hits: usize::from(cache == Expectation::Hit) };
        match self.known.get(&number) {
            None => {
                self.known.insert(number, self.planned.len());
                let elements = mapped.then_some(one);
                self.planned.push(Planned { number, cache, reason, runs, elements });
            }
            Some(at) => {
                let planned = &mut self.planned[*at];
                if cache > planned.cache {
                    (planned.cache, planned.reason) = (cache, reason);
                }
                planned.runs |= runs;
                if mapped {
                    let all = planned.elements.get_or_insert_default();
                    all.count += one.count;
                    all.runs += one.runs;
                    all.hits += one.hits;
                }
            }
        }
    }

    /// What the cache says of a task with these inputs; its outputs where it has them.
    fn task(&self, task: &Task, number: usize, inputs: &[Value]) -> Result<Looked, String> {
        let state = self.cache.task(task, self.files)?;
        // What is not selected does not run: the run would fail.
        let selected = self.order.roles[number] != Role::Supply;
        let note = |reason: &str| match selected {
            true => reason.to_owned(),
            false => format!("{reason}; it is needed, but not selected"),
        };
        let skipped = |reason| Ok((verdict(Expectation::Skipped, note(reason), selected), None));
        if !task.cache.enabled {
            return Ok((verdict(Expectation::Disabled, note("the task is not cached"), selected), None));
        }
        if self.order.overwrite[number] {
            return skipped("its result is to be overwritten");
        }
        match self.order.mode {
            CacheMode::WriteOnly => return skipped("the cache is only written"),
            CacheMode::Off => return skipped("the cache is off"),
            CacheMode::ReadWrite | CacheMode::ReadOnly => {}
        }
        Ok(match self.cache.lookup(task, &state, &state.key(task, inputs)) {
            Lookup::Hit(hit) => {
                let time = hit.source.time.strftime("%Y-%m-%d %H:%M:%S UTC");
                let reason = format!("from run {}, node `{}`, {time}", hit.source.run, hit.source.node);
                (verdict(Expectation::Hit, reason, false), Some(hit.outputs))
            }
            Lookup::Miss(reason) | Lookup::Failure(reason) => {
                (verdict(Expectation::Miss, note(&reason), selected), None)
            }
        })
    }
}
