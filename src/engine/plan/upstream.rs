//! Which node upstream is the root of a change: from an input that differs to what it is bound to, and on from there.

use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::Timestamp;
use rusqlite::Connection;
use serde_json::Value as Json;

use super::explainer::{Explainer, MAX_OF_NODE};
use crate::core::why::{Because, Change, Upstream};
use crate::engine::lookup::identity::TaskRequest;
use crate::engine::scope::frames::Frame;
use crate::engine::scope::scatter::ScatteredInputs;
use crate::engine::scope::site::{FrameChain, NodeSite};
use crate::storage::memo::EarlierResult;
use crate::storage::memo::earlier;
use crate::storage::memo::explain::{Detail, same};

use crate::core::value::Value;
use crate::workflow::binding::{Binding, Reference};
use crate::workflow::{Body, Task};

/// Maximum nodes that one walk follows a change upward; what an earlier walk followed is known.
const MAX_DEPTH: usize = 64;
/// Maximum nodes on the way that are named.
const MAX_NAMED: usize = 8;
/// How many of a task's newest results are searched for one that another node produced first.
const MAX_NEWEST: usize = 50;
/// Size of the largest sub-workflow that is looked into, in nodes.
const MAX_INNER_NODES: usize = 200;

/// A value that differs, on its way up.
struct Trail<'t> {
    /// What it was; for an element of a node its own part of the list.
    was: &'t Json,
    /// The number of the element that it belongs to.
    element: Option<usize>,
    /// The result that it belonged to: its number, and when it was recorded.
    before: (i64, Timestamp),
    depth: usize,
}

impl Explainer<'_> {
    /// Where an input that differs from what it was in `before` comes from, if it is a node whose outputs are not
    /// the ones of then.
    pub(super) fn of_input(&self, site: NodeSite, input: usize, before: &EarlierResult) -> Option<Upstream> {
        let NodeSite { scene, node, element } = site;
        let source = &scene.frame.workflow.nodes[node];
        let was = before.inputs.get(&*source.body.inputs()[input].name).unwrap_or(&Json::Null);
        self.of_binding(
            scene,
            &source.inputs[input],
            &Trail { was, element, before: (before.id, before.created), depth: 0 },
        )
    }

    fn of_binding(&self, scene: &FrameChain, binding: &Binding, trail: &Trail) -> Option<Upstream> {
        let mut references = Vec::new();
        binding.for_each_reference(&mut |reference| references.push(reference));
        references.into_iter().find_map(|reference| match reference {
            Reference::Input(input) => {
                let (outer, node, element) = scene.outer?;
                let binding = outer.frame.workflow.nodes[node].inputs.get(input as usize)?;
                self.of_binding(outer, binding, &Trail { element, ..*trail })
            }
            Reference::Output { node, output } => {
                self.of_output(scene, node as usize, output as usize, trail)
            }
            Reference::Failure(_) => None,
        })
    }

    /// `None` if the output is what it was.
    fn of_output(&self, scene: &FrameChain, node: usize, output: usize, trail: &Trail) -> Option<Upstream> {
        let now = scene.frame.outputs.get(node)?.as_ref()?.get(output)?.to_record();
        if holds(trail.was, &now) || trail.element.is_some() && holds(&now, trail.was) {
            return None;
        }
        let source = &scene.frame.workflow.nodes[node];
        let label = format!("{}{}", scene.frame.prefix, source.name);
        let unknown = root(label.clone(), Because::Unknown);
        if trail.depth >= MAX_DEPTH {
            return Some(unknown);
        }
        let inputs = scene.frame.values(self.files).inputs_of(source).ok();
        let found = inputs.and_then(|inputs| match (&source.body, &source.scatter) {
            (Body::Task(task), None) => {
                let site = NodeSite { scene, node, element: None };
                self.of_task_output(site, task, label, inputs, output, trail)
            }
            (Body::Task(task), Some(scatter)) => {
                let element = differing(trail, &now)?;
                let spread = ScatteredInputs::new(source, scatter, inputs)
                    .ok()
                    .filter(|spread| element < spread.count())?;
                let was = trail.was.as_array().and_then(|list| list.get(element)).unwrap_or(trail.was);
                let inner = Trail { was, element: Some(element), ..*trail };
                let label = format!("{label}[{element}]");
                let site = NodeSite { scene, node, element: Some(element) };
                self.of_task_output(site, task, label, spread.element(element), output, &inner)
            }
            (Body::Workflow(inner), None) if inner.size <= MAX_INNER_NODES => {
                let number = scene.frame.number(node);
                let numbers = (number + 1, self.outline.offsets(inner));
                let mut frame = Frame::new(inner.clone(), numbers, None, format!("{label}/"), inputs.into());
                (self.fill)(self, &mut frame);
                let within = FrameChain { frame: &frame, outer: Some((scene, node, None)) };
                self.of_binding(&within, &inner.outputs.get(output)?.value, trail)
            }
            (Body::Workflow(_), _) => None,
        });
        Some(found.unwrap_or(unknown))
    }

    fn of_task_output(
        &self,
        site: NodeSite,
        task: &Task,
        label: String,
        inputs: Vec<Value>,
        output: usize,
        trail: &Trail,
    ) -> Option<Upstream> {
        if !task.cache.enabled {
            return Some(root(label, Because::NotCached));
        }
        // Many nodes may hang on one: the way up from it is followed once.
        let key = (label.clone(), output, hash(trail.was));
        if let Some(known) = self.memory.roots.borrow().get(&key) {
            return known.clone();
        }
        let found = self.root_of(site, task, label, &inputs, output, trail);
        self.memory.roots.borrow_mut().insert(key, found.clone());
        found
    }

    fn root_of(
        &self,
        site: NodeSite,
        task: &Task,
        label: String,
        inputs: &[Value],
        output: usize,
        trail: &Trail,
    ) -> Option<Upstream> {
        let NodeSite { scene, node, element } = site;
        let db = self.cache.history()?;
        let identity = self.cache.task(task, self.files).ok()?;
        let asked = TaskRequest { task, identity: &identity, label: &label, inputs };
        let parts = asked.parts(self.cache.scope());
        let name = &*task.outputs.get(output)?.name;
        let (mut earlier, mut ran_again) = (Vec::new(), false);
        self.earlier(db, &asked, &mut |past| {
            let handed = past.outputs.get(name).unwrap_or(&Json::Null);
            let handed_it = holds(handed, trail.was) || holds(trail.was, handed);
            if Some(past.key) == parts.key {
                // It came to something else, or it was there before what it is held against and has been replaced since.
                let (id, created) = trail.before;
                ran_again = handed_it || past.id < id && past.created > created;
            } else if handed_it {
                earlier.push(past.clone());
            }
        })
        .ok()?;
        let Some(before) = parts.nearest(&earlier) else {
            return Some(root(label, if ran_again { Because::RanAgain } else { Because::Unknown }));
        };
        let changes = self.changes(db, &parts, &identity.sources, before);
        // A node that has a reason of its own is the root; else what it takes in is followed further up.
        let above = |change: &Change| {
            let Change::Input(change) = change else { return None };
            let was = before.inputs.get(&change.name).unwrap_or(&Json::Null);
            let trail = Trail { was, element, before: (before.id, before.created), depth: trail.depth + 1 };
            let input = task.inputs.iter().position(|input| *input.name == *change.name)?;
            self.of_binding(scene, scene.frame.workflow.nodes[node].inputs.get(input)?, &trail)
        };
        let first = changes.first().and_then(above);
        if let Some(mut found) = first.filter(|_| changes[1..].iter().all(|change| above(change).is_some())) {
            if found.via.len() < MAX_NAMED {
                found.via.insert(0, label);
            }
            return Some(found);
        }
        Some(Upstream { changes, ..root(label, Because::Changed) })
    }

    /// Visits earlier results of a node, and of its task where another node came to them first.
    fn earlier(
        &self,
        db: &Connection,
        asked: &TaskRequest,
        visit: &mut dyn FnMut(&EarlierResult),
    ) -> rusqlite::Result<()> {
        let of_task = self.of_task(db, &asked.task.name)?;
        if self.detail == Detail::Full && self.may_compare(of_task.len()) {
            of_task.iter().for_each(visit);
            return Ok(());
        }
        earlier::of_node(db, &asked.task.name, asked.label, MAX_OF_NODE)?.iter().for_each(&mut *visit);
        of_task.iter().take(MAX_NEWEST).filter(|past| past.node != asked.label).for_each(visit);
        Ok(())
    }
}

/// A node as a root without changes.
fn root(node: String, because: Because) -> Upstream {
    Upstream { node, via: Vec::new(), because, changes: Vec::new() }
}

fn hash(value: &Json) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    hasher.finish()
}

/// The number of the element whose output differs.
fn differing(trail: &Trail, now: &Json) -> Option<usize> {
    match (trail.was.as_array(), now.as_array()) {
        (Some(was), Some(now)) if was.len() == now.len() => {
            was.iter().zip(now).position(|(was, now)| !same(was, now))
        }
        (Some(_), Some(_)) => None,
        _ => trail.element,
    }
}

/// Whether a value is another one or a part of it.
fn holds(whole: &Json, part: &Json) -> bool {
    same(whole, part)
        || match whole {
            Json::Array(items) => items.iter().any(|item| holds(item, part)),
            Json::Object(entries) if !entries.contains_key("digest") => {
                entries.values().any(|item| holds(item, part))
            }
            _ => false,
        }
}
