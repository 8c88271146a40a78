//! What a run would do, and how long that would take. Reads the home and changes nothing.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::Error;
use super::estimate::Estimate;
use super::home::HomeReader;
use super::needs::UNPROVIDED;
use super::prepare::PreparedRun;
use crate::core::event::VERSION;
use crate::core::value::Value;
use crate::engine;
use crate::engine::lookup::cache::Cache;
use crate::engine::plan::explainer::ExplainMemory;
use crate::engine::plan::planned::{ElementTally, Expectation, PlanObserver, Planned, PlannedUnit};
use crate::engine::scope::values::{UserFiles, workflow_inputs};
use crate::storage::history::times::of_workflow;
use crate::storage::memo::explain::Detail;
use crate::workflow::graph::outline::Outline;

/// What a plan knows of the shared cache, in JSON.
pub const NOT_ASKED: &str = "not_asked";

/// A plan.
pub struct Plan {
    /// By number in the outline, in order.
    pub nodes: Vec<Planned>,
    pub estimate: Estimate,
    /// The shared cache that was not asked, and that a run would ask.
    pub unasked: Option<String>,
}

impl Plan {
    /// A line for each node.
    pub fn lines(&self, outline: &Outline) -> impl Iterator<Item = Json> {
        self.nodes.iter().map(|node| {
            let elements = node.elements.map(
                |ElementTally { count, runs, hits }| json!({"count": count, "runs": runs, "hits": hits}),
            );
            json!({
                "v": VERSION,
                "event": "node_planned",
                "node": outline.name(node.number),
                "cache": node.cache.name(),
                "reason": node.reason,
                "why": node.why.as_ref().map(|why| why.with_text()),
                "runs": node.runs,
                "elements": elements,
                "estimated_ms": self.estimate.wall_of.get(&node.number),
                "saved_ms": node.saved_ms,
                "remote": self.unasked.as_ref().filter(|_| may_be_shared(outline, node.number, node.cache)).map(|_| NOT_ASKED),
                "warning": node.edited.as_ref().map(ToString::to_string),
            })
        })
    }

    /// One document, with how many nodes and elements would run and how many would come from the cache.
    pub fn to_json(&self, prepared: &PreparedRun) -> Json {
        let runs = |node: &Planned| node.elements.map_or(usize::from(node.runs), |all| all.runs);
        let hit = |node: &Planned| usize::from(node.cache == Expectation::Hit);
        let hits = |node: &Planned| node.elements.map_or_else(|| hit(node), |all| all.hits);
        json!({
            "v": VERSION,
            "items": self.lines(&prepared.opened.outline).collect::<Vec<_>>(),
            "would_run": self.nodes.iter().map(runs).sum::<usize>(),
            "cached": self.nodes.iter().map(hits).sum::<usize>(),
            "estimate_ms": self.estimate.wall_ms,
        })
    }
}

/// Plans a prepared run.
///
/// # Errors
/// A resource that can never be had, an input file that cannot be read, or a home that cannot be.
pub fn plan(prepared: &PreparedRun, home: Option<&Path>) -> Result<Plan, Error> {
    let never = prepared.lacking()?.into_iter().filter(|lint| lint.name == UNPROVIDED);
    let never: Vec<_> = never.map(|lint| lint.diagnostic).collect();
    if !never.is_empty() {
        return Err(Error::invalid(prepared.opened.sources.render(&never, false)));
    }
    let reader = HomeReader::open(home)?;
    let opened = &prepared.opened;
    // Without times there is no estimate.
    let times = reader.db.as_ref().and_then(|db| of_workflow(db, &opened.workflow.name).ok());
    let nodes = look(prepared, reader, Detail::Line, None)?;
    let estimate = Estimate::of(&opened.outline, &nodes, &times.unwrap_or_default(), prepared.options.jobs);
    let unasked = prepared
        .asked_remote()
        .filter(|_| nodes.iter().any(|node| may_be_shared(&opened.outline, node.number, node.cache)));
    Ok(Plan { nodes, estimate, unasked })
}

/// Whether a run would ask the shared cache for a node: this home lacks the result, or may do so.
pub fn may_be_shared(outline: &Outline, number: usize, cache: Expectation) -> bool {
    let lacks = matches!(cache, Expectation::Miss | Expectation::Unknown);
    lacks && outline.place(number).node().task().is_some_and(|task| task.cache.is_shared())
}

/// Explains the nodes that `wants` picks by number in the outline, in full; `tell` receives each node and element.
///
/// # Errors
/// An input file that cannot be read, or a home that cannot be.
pub fn explain(
    prepared: &PreparedRun,
    home: Option<&Path>,
    wants: Vec<bool>,
    tell: &mut dyn FnMut(&PlannedUnit),
) -> Result<(), Error> {
    let observer = PlanObserver { wants, tell };
    look(prepared, HomeReader::open(home)?, Detail::Full, Some(observer)).map(drop)
}

/// Walks the plan over a cache that the caller has, in full; `observer` hears of each node and element that it wants.
///
/// # Errors
/// An input file that cannot be read.
pub(super) fn look_with(
    prepared: &PreparedRun,
    cache: &Cache,
    files: &UserFiles,
    observer: PlanObserver,
) -> Result<(), Error> {
    let PreparedRun { opened, options, .. } = prepared;
    let inputs = workflow_inputs(&opened.workflow, files, &prepared.inputs)?;
    let memory = ExplainMemory::default();
    let explainer = engine::plan::explainer(&opened.outline, options, cache, files, &memory, Detail::Full);
    engine::plan::plan(explainer, inputs, Some(observer));
    Ok(())
}

fn look(
    prepared: &PreparedRun,
    reader: HomeReader,
    detail: Detail,
    observer: Option<PlanObserver>,
) -> Result<Vec<Planned>, Error> {
    let PreparedRun { opened, options, prior, .. } = prepared;
    let store = Arc::new(reader.store()?);
    let files = UserFiles::new(store.clone());
    let inputs: Box<[Value]> = workflow_inputs(&opened.workflow, &files, &prepared.inputs)?;
    let earlier = prior.as_ref().map(|prior| prior.earlier.clone());
    let cache = Cache::new(prepared.scope.clone(), store, reader.db, None).with_prior(earlier);
    let memory = ExplainMemory::default();
    let explainer = engine::plan::explainer(&opened.outline, options, &cache, &files, &memory, detail);
    Ok(engine::plan::plan(explainer, inputs, observer))
}
