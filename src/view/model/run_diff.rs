//! What changed between two runs, from their events: a pure comparison, and the document that it is.
//!
//! What a person sees of it is in `view/text/diff.rs`. The events of each run are read twice and not folded into a
//! `RunState`, so that of very many elements only a few words each are in memory, and the whole only of what is shown.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;
use serde_json::{Map as JsonMap, Value as Json, json};

use crate::core::digest::Digest;
use crate::core::event::{CacheStatus, Event, NodeFinished, NodeKind, Status, VERSION};
use crate::core::node_path::{NodePath, NodeRef};
use crate::core::why;
use crate::view::model::by_name::ByName;
use crate::view::model::run_row::RunRow;

use inside::count_inside;

/// Maximum elements of one node listed one by one.
const TOLD_ELEMENTS: usize = 20;
/// Minimum difference of two durations that counts as a change, in milliseconds; it must also be half of the shorter.
const NOTABLE_MS: u64 = 1000;

/// What events do not tell: how the nodes hang together, and what was edited. All of it by names without the numbers
/// of elements.
#[derive(Debug, Default)]
pub struct RunDiffContext {
    /// Of each node those that it waits for; `None` if that is not known any more.
    pub suppliers: Option<HashMap<String, Vec<String>>>,
    /// The parts of each node's definition that were edited.
    pub edits: HashMap<String, Vec<String>>,
    /// What the runs were asked for, by a name for each.
    pub asked: Vec<NamedPair<Json>>,
}

/// Something that was one thing and is another; null where it was not there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NamedPair<T> {
    pub name: String,
    pub before: T,
    pub after: T,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair<T> {
    pub before: T,
    pub after: T,
}

/// What a difference is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DiffRole {
    /// It has changed although nothing before it has.
    Cause,
    /// Something that it waits for has changed.
    Consequence,
    /// It has the same result, but was taken from the cache in one run only, or took another time.
    Aside,
}

/// A node or an element that differs. What is the same in both runs is left out.
#[derive(Clone, Debug, Serialize)]
pub struct NodeDiff {
    pub node: String,
    pub index: Option<u64>,
    pub role: DiffRole,
    /// Those that it waits for and that have changed.
    pub because: Vec<String>,
    /// Null where there was no such node, or it had not ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Pair<Option<Status>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<Pair<Option<CacheStatus>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Pair<Option<Digest>>>,
    /// The parts of its definition that were edited.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub definition: Vec<String>,
    /// What differs in its key beside inputs, as far as the memo still has both results.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<KeyChange>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<NamedPair<Json>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<NamedPair<Json>>,
    /// Why it failed, in a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Pair<Option<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<Pair<u64>>,
}

/// A part of a key that differs, with its text.
#[derive(Clone, Debug, Serialize)]
pub struct KeyChange {
    #[serde(flatten)]
    pub change: why::Change,
    pub text: String,
}

/// How many of a node's elements, and of the nodes inside them, differ.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Folded {
    pub node: String,
    pub before: u64,
    pub after: u64,
    /// In more than that a result was taken from the cache.
    pub differ: u64,
}

/// What changed between two runs.
#[derive(Debug)]
pub struct RunDiff {
    pub before: RunRow,
    pub after: RunRow,
    pub asked: Vec<NamedPair<Json>>,
    pub outputs: Vec<NamedPair<Json>>,
    /// In the order of the later run; of the elements of a node only the first that differ.
    pub nodes: Vec<NodeDiff>,
    /// The nodes with elements that differ.
    pub folded: Vec<Folded>,
    /// How many nodes and elements are the same in both.
    pub same: u64,
    /// Whether it is known which nodes wait for which: else every difference counts as a cause.
    pub linked: bool,
}

/// What is kept of everything.
#[derive(Clone, Copy, PartialEq)]
struct Brief {
    kind: NodeKind,
    status: Option<Status>,
    cache: Option<CacheStatus>,
    key: Option<Digest>,
    inputs: u64,
    outputs: u64,
    /// `None` if nothing ran.
    duration_ms: Option<u64>,
}

/// Compares two runs. `read` gives the events of the earlier one (`false`) or the later one (`true`) from the start.
///
/// # Errors
/// The first error of `read`.
pub fn compare<I, E>(
    rows: (RunRow, RunRow),
    known: RunDiffContext,
    mut read: impl FnMut(bool) -> Result<I, E>,
) -> Result<RunDiff, E>
where
    I: Iterator<Item = Event>,
{
    let (before, mut outputs_before) = briefs(read(false)?);
    let (after, outputs_after) = briefs(read(true)?);
    let outputs = changes(&mut outputs_before, &outputs_after);
    let mut folding = Folding { before, after, ..Folding::default() };
    folding.collect(read(true)?, true);
    folding.collect(read(false)?, false);
    Ok(folding.end(rows, known, outputs))
}

/// Every unit that began in a run, and the outputs of the run.
fn briefs(events: impl Iterator<Item = Event>) -> (HashMap<NodePath, Brief>, JsonMap<String, Json>) {
    let (mut units, mut outputs) = (HashMap::new(), JsonMap::new());
    for event in events {
        match event {
            Event::NodeStarted(node) => {
                units.entry(node.path().to_owned()).or_insert(Brief {
                    kind: NodeKind::Task,
                    status: None,
                    cache: None,
                    key: None,
                    inputs: 0,
                    outputs: 0,
                    duration_ms: None,
                });
            }
            Event::NodeFinished(node) => {
                let brief = Brief::of(&node);
                units.insert(node.path().to_owned(), brief);
            }
            Event::RunFinished(run) => outputs = run.outputs,
            _ => {}
        }
    }
    (units, outputs)
}

impl Brief {
    fn of(node: &NodeFinished) -> Self {
        let hash = |values: &JsonMap<String, Json>| {
            let canonical: BTreeMap<_, _> =
                values.iter().map(|(name, value)| (name, content(value))).collect();
            let digest = Digest::of(json!(canonical).to_string());
            digest.0.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
        };
        Self {
            kind: node.kind,
            status: Some(node.status),
            cache: node.cache,
            key: node.key,
            inputs: hash(&node.inputs),
            // The elements have their own.
            outputs: if node.kind == NodeKind::Elements { 0 } else { hash(&node.outputs) },
            duration_ms: (node.attempts > 0).then_some(node.duration_ms),
        }
    }

    /// Whether both came to the same result in the same way, whether or not the cache had it.
    fn same_work(&self, other: &Self) -> bool {
        let essence = |brief: &Self| (brief.status, brief.key, brief.inputs, brief.outputs);
        essence(self) == essence(other)
    }

    fn notable(&self, other: &Self) -> Option<Pair<u64>> {
        let (before, after) = (self.duration_ms?, other.duration_ms?);
        let by = before.abs_diff(after);
        (self.kind == NodeKind::Task && by >= NOTABLE_MS && by >= before.min(after) / 2)
            .then_some(Pair { before, after })
    }
}

/// A value without where it lies: of a file only what a task can see of it.
fn content(value: &Json) -> Json {
    match value {
        Json::Object(file) if file.contains_key("digest") && file.contains_key("size") => {
            let name = file.get("name").and_then(Json::as_str).or_else(|| {
                let path = file.get("origin").or(file.get("path"))?.as_str()?;
                // A blob in the store has no name of its own.
                path.rsplit('/').next().filter(|name| name.len() != 64)
            });
            json!({"name": name, "digest": file["digest"], "size": file["size"]})
        }
        Json::Object(map) => {
            map.iter().map(|(key, value)| (key.clone(), content(value))).collect::<JsonMap<_, _>>().into()
        }
        Json::Array(list) => list.iter().map(content).collect(),
        other => other.clone(),
    }
}

/// What differs between two sets of values.
fn changes(before: &mut JsonMap<String, Json>, after: &JsonMap<String, Json>) -> Vec<NamedPair<Json>> {
    let mut all = Vec::new();
    for (name, after) in after {
        let (before, after) =
            (before.remove(name).map_or(Json::Null, |value| content(&value)), content(after));
        if before != after {
            all.push(NamedPair { name: name.clone(), before, after });
        }
    }
    for (name, gone) in std::mem::take(before) {
        if !gone.is_null() {
            all.push(NamedPair { name, before: content(&gone), after: Json::Null });
        }
    }
    all
}

/// A comparison in the making.
#[derive(Default)]
struct Folding {
    before: HashMap<NodePath, Brief>,
    after: HashMap<NodePath, Brief>,
    /// The units that differ and are listed, in order.
    told: Vec<NodePath>,
    full: HashMap<NodePath, (Option<NodeFinished>, Option<NodeFinished>)>,
    folded: ByName<Folded>,
    same: u64,
}

impl Folding {
    /// Collects from one run the units that differ and are listed.
    fn collect(&mut self, events: impl Iterator<Item = Event>, later: bool) {
        let mut met = HashSet::new();
        for event in events {
            match event {
                Event::NodeExpanded(node) => {
                    let family = node.path().family();
                    let folded = self.family(&family);
                    *(if later { &mut folded.after } else { &mut folded.before }) += node.elements;
                }
                // A unit that never ended is listed at the place of its start.
                Event::NodeStarted(node) => {
                    let unit = node.path().to_owned();
                    let briefs = if later { &self.after } else { &self.before };
                    if briefs.get(&unit).is_some_and(|brief| brief.status.is_none())
                        && met.insert(unit.clone())
                    {
                        self.meet(unit, None, later);
                    }
                }
                Event::NodeFinished(node) => self.meet(node.path().to_owned(), Some(node), later),
                _ => {}
            }
        }
    }

    fn meet(&mut self, unit: NodePath, node: Option<NodeFinished>, later: bool) {
        if let Some((before, after)) = self.full.get_mut(&unit) {
            *(if later { after } else { before }) = node;
            return;
        }
        let (before, after) = (self.before.get(&unit), self.after.get(&unit));
        let both = before.zip(after);
        if !later && both.is_some() {
            return;
        }
        let is_element = unit.borrowed().is_in_element();
        if let Some((before, after)) = both
            && before.same_work(after)
        {
            self.same += u64::from(after.kind == NodeKind::Task);
            let aside = before.cache != after.cache && after.kind == NodeKind::Task
                || before.notable(after).is_some();
            if !aside || is_element {
                return;
            }
        } else if is_element {
            let family = unit.borrowed().family();
            // What sums up others follows from them.
            let sums_up = before.or(after).is_some_and(|brief| brief.kind != NodeKind::Task);
            let folded = self.family(&family);
            folded.differ += u64::from(!sums_up);
            if sums_up || folded.differ > TOLD_ELEMENTS as u64 {
                return;
            }
        }
        let ends = if later { (None, node) } else { (node, None) };
        self.full.insert(unit.clone(), ends);
        self.told.push(unit);
    }

    fn family(&mut self, name: &str) -> &mut Folded {
        self.folded.entry(name, || Folded { node: name.to_owned(), ..Folded::default() })
    }

    fn end(
        mut self,
        rows: (RunRow, RunRow),
        known: RunDiffContext,
        outputs: Vec<NamedPair<Json>>,
    ) -> RunDiff {
        let changed = self.changed();
        let mut nodes: Vec<NodeDiff> = Vec::with_capacity(self.told.len());
        for unit in std::mem::take(&mut self.told) {
            let (before, after) = self.full.remove(&unit).unwrap_or_default();
            let briefs = (self.before.get(&unit).copied(), self.after.get(&unit).copied());
            nodes.push(node_diff(unit, briefs, (before, after), &known, &changed));
        }
        let mut folded = self.folded.into_values();
        count_inside(&mut folded, self.before.keys(), self.after.keys());
        folded.retain(|folded| folded.differ > 0 || folded.before != folded.after);
        RunDiff {
            before: rows.0,
            after: rows.1,
            asked: known.asked,
            outputs,
            nodes,
            folded,
            same: self.same,
            linked: known.suppliers.is_some(),
        }
    }

    /// The nodes, without numbers, that ended otherwise or handed something else over.
    fn changed(&self) -> HashSet<String> {
        let result = |brief: &Brief| (brief.status, brief.outputs);
        let mut changed = HashSet::new();
        for (unit, after) in &self.after {
            if self.before.get(unit).is_none_or(|before| result(before) != result(after)) {
                changed.insert(unit.borrowed().family().into_owned());
            }
        }
        let gone = self.before.keys().filter(|unit| !self.after.contains_key(*unit));
        changed.extend(gone.map(|unit| unit.borrowed().family().into_owned()));
        changed
    }
}

fn node_diff(
    NodePath { node, index }: NodePath,
    (before, after): (Option<Brief>, Option<Brief>),
    (full_before, full_after): (Option<NodeFinished>, Option<NodeFinished>),
    known: &RunDiffContext,
    changed: &HashSet<String>,
) -> NodeDiff {
    let name = NodeRef::new(&node, index).family().into_owned();
    let both = before.zip(after);
    let of = |brief: Option<Brief>| brief.and_then(|brief| brief.status);
    let values = |full: &Option<NodeFinished>, of: fn(&NodeFinished) -> &JsonMap<String, Json>| {
        full.as_ref().map(|node| of(node).clone()).unwrap_or_default()
    };
    let ran = |brief: Brief| matches!(brief.status, Some(Status::Succeeded | Status::Failed));
    // A unit that never ran has no inputs, and a failed one no outputs: only units that have both are compared.
    let compared = |of: fn(&NodeFinished) -> &JsonMap<String, Json>, told: bool| match both {
        Some((Brief { kind: NodeKind::Task | NodeKind::Workflow, .. }, _)) if told => {
            changes(&mut values(&full_before, of), &values(&full_after, of))
        }
        _ => Vec::new(),
    };
    let because = match both.is_some_and(|(before, after)| before.same_work(&after)) {
        true => Vec::new(),
        false => because(&name, known, changed),
    };
    let errors = Pair {
        before: full_before.as_ref().filter(|node| node.error.is_some()).map(NodeFinished::failure),
        after: full_after.as_ref().filter(|node| node.error.is_some()).map(NodeFinished::failure),
    };
    let role = match both {
        Some((before, after)) if before.same_work(&after) => DiffRole::Aside,
        _ if !because.is_empty() => DiffRole::Consequence,
        // It sums up units that are listed themselves.
        Some((Brief { kind: NodeKind::Elements | NodeKind::Workflow, .. }, _)) => DiffRole::Consequence,
        _ => DiffRole::Cause,
    };
    NodeDiff {
        role,
        because,
        status: (of(before) != of(after) || both.is_none())
            .then(|| Pair { before: of(before), after: of(after) }),
        cache: both
            .filter(|(before, after)| before.cache != after.cache)
            .map(|(before, after)| Pair { before: before.cache, after: after.cache }),
        key: both
            .filter(|(before, after)| before.key != after.key)
            .map(|(before, after)| Pair { before: before.key, after: after.key }),
        definition: both.and(known.edits.get(&name)).cloned().unwrap_or_default(),
        changes: Vec::new(),
        inputs: compared(|node| &node.inputs, both.is_some_and(|(before, after)| ran(before) && ran(after))),
        outputs: compared(|node| &node.outputs, of(before) == of(after)),
        error: (errors.before != errors.after).then_some(errors),
        duration_ms: both.and_then(|(before, after)| before.notable(&after)),
        node,
        index,
    }
}

/// Those that a node waits for, itself or by a node that encloses it, and that have changed.
fn because(name: &str, known: &RunDiffContext, changed: &HashSet<String>) -> Vec<String> {
    let Some(links) = &known.suppliers else { return Vec::new() };
    let (mut found, mut around) = (Vec::new(), Some(name));
    while let Some(inner) = around {
        let suppliers = links.get(inner).map(Vec::as_slice).unwrap_or_default();
        found.extend(suppliers.iter().filter(|supplier| changed.contains(*supplier)).cloned());
        around = NodeRef::new(inner, None).parent();
    }
    found.dedup();
    found
}

impl NodeDiff {
    pub fn path(&self) -> NodeRef<'_> {
        NodeRef::new(&self.node, self.index)
    }
}

impl RunDiff {
    /// Whether nothing differs but times and what the cache had.
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
            && self.outputs.is_empty()
            && self.folded.is_empty()
            && self.before.status == self.after.status
            && self.nodes.iter().all(|node| node.role == DiffRole::Aside)
    }

    /// One document.
    pub fn to_json(&self) -> Json {
        json!({
            "v": VERSION,
            "before": self.before,
            "after": self.after,
            "asked": self.asked,
            "outputs": self.outputs,
            "nodes": self.nodes,
            "elements": self.folded,
            "same": self.same,
        })
    }
}

mod inside;
#[cfg(test)]
mod tests;
