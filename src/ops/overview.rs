//! Everything about one run at a glance: its state, its failures, the runs before and after it.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::Error;
use super::home::HomeReader;
use super::nodes::RunNodes;
use crate::core::event::{NodeFinished, NodeKind, VERSION};
use crate::storage::history::neighbours::neighbours;
use crate::view::model::run::{Bucket, Keep, NodeState};
use crate::view::model::run_row::RunRow;

pub use crate::storage::history::neighbours::Neighbours;

/// Maximum failures that are named one by one.
pub const MAX_FAILURES: usize = 20;

/// A run with its neighbours.
pub struct Overview {
    pub row: RunRow,
    pub nodes: RunNodes,
    pub neighbours: Neighbours,
}

/// The run that a person means by `name`; `keep` says how much of its nodes is held.
///
/// # Errors
/// The run is not known, or the history cannot be read.
pub fn overview(home: Option<&Path>, name: &str, keep: Keep) -> Result<Overview, Error> {
    let view = HomeReader::open(home)?;
    let run = view.find(name)?;
    let neighbours = match &view.db {
        Some(db) => neighbours(db, &run).map_err(Error::history)?,
        None => Neighbours::default(),
    };
    let mut nodes = RunNodes::of(&view, &run, keep)?;
    let state = &mut nodes.run;
    let mut row = RunRow::from(run);
    // The events are ahead of the row while the run goes on.
    if state.ended.is_none() {
        (row.counts, row.saved_ms) = (state.counts, state.saved_ms);
    }
    if state.workflow.is_empty() {
        state.workflow = row.workflow.clone();
        (state.project, state.domain) = (row.project.clone(), row.domain.clone());
        state.started = Some(row.started);
    }
    Ok(Overview { row, nodes, neighbours })
}

impl Overview {
    /// What failed, the first [`MAX_FAILURES`] of it in order; not what failed because of it.
    pub fn failures(&self) -> impl Iterator<Item = &NodeFinished> {
        let failed = self.nodes.run.all().filter(|unit| unit.bucket() == Bucket::Failed && unit.own);
        failed.filter_map(|unit: &NodeState| unit.finished.as_ref()).take(MAX_FAILURES)
    }

    /// One document: the run's line, and what else is known of it.
    pub fn to_json(&self) -> Json {
        let state = &self.nodes.run;
        let mut document = json!(self.row);
        let failures = self.failures().map(|node| {
            let error = node.error.as_ref();
            json!({
                "node": node.node,
                "index": node.index,
                "task": node.task,
                "kind": error.map(|error| error.kind),
                "message": error.map_or_else(|| node.failure(), |error| error.message.clone()),
                "exit_code": error.and_then(|error| error.exit_code),
                "attempts": node.attempts,
                "has_log": node.kind == NodeKind::Task && node.log.is_some(),
                "tail": error.map(|error| error.tail.clone()).unwrap_or_default(),
            })
        });
        let warnings = state.warnings.iter();
        let more = [
            ("v", json!(VERSION)),
            ("trigger", json!(state.trigger)),
            ("schedule", json!(state.schedule)),
            ("scheduled_at", json!(state.scheduled_at)),
            ("retry_of", json!(state.retry_of)),
            ("request", json!(state.request)),
            ("failures", failures.collect()),
            (
                "warnings",
                warnings
                    .map(|warning| json!({"time": warning.time, "node": warning.node, "message": warning.message}))
                    .collect(),
            ),
            ("outputs", json!(state.outputs)),
            ("previous", json!(self.neighbours.previous)),
            ("next", json!(self.neighbours.next)),
            ("last_success", json!(self.neighbours.last_success)),
        ];
        if let Json::Object(fields) = &mut document {
            fields.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
        }
        document
    }
}
