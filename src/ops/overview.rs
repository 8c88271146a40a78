//! Everything about one run at a glance: its state, its failures, the runs before and after it.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::Error;
use super::home::HomeReader;
use super::nodes::RunNodes;
use crate::core::event::{Counts, NodeFinished, NodeKind, VERSION};
use crate::storage::history::neighbours::neighbours;
use crate::view::model::run::Keep;
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
    // The events are ahead of the row until it has the end.
    if row.duration_ms.is_none() || state.ended.is_none() {
        // How many there are to be is in the row alone.
        let nodes = row.counts.nodes.max(state.counts.nodes);
        (row.counts, row.saved_ms) = (Counts { nodes, ..state.counts }, state.saved_ms);
    }
    if row.duration_ms.is_none() && state.ended.is_some() {
        (row.status, row.duration_ms) = (state.status.clone(), Some(state.length_ms()));
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
        self.nodes.run.failures().take(MAX_FAILURES)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::{Counts, Status};
    use crate::core::run_id::RunId;
    use crate::storage::db;
    use crate::storage::history::{RUNNING, Run, record_run};
    use crate::view::sample;

    /// A page that is made in between would say for good that the run goes on.
    #[test]
    fn a_run_whose_end_is_told_and_not_yet_in_its_row_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let (db, _) = db::open(dir.path()).unwrap();
        let id: RunId = sample::RUN.into();
        let counts = Counts { nodes: 1, cancelled: 1, ..Counts::default() };
        let events = [sample::run_started(1), sample::run_finished(Status::Cancelled, counts, 0)];
        let run = Run {
            id,
            workflow: "w".into(),
            path: "/w.toml".into(),
            project: "p".into(),
            domain: "d".into(),
            status: RUNNING.into(),
            started: events[0].time(),
            finished: None,
            counts: Counts::default(),
            saved_ms: 0,
        };
        record_run(&db, &run).unwrap();
        let folder = dir.path().join("logs").join(id.as_str());
        std::fs::create_dir_all(&folder).unwrap();
        let lines: String = events.iter().map(|event| event.to_line() + "\n").collect();
        std::fs::write(folder.join("events.jsonl"), lines).unwrap();
        let row = overview(Some(dir.path()), id.as_str(), Keep::OUTLINE).unwrap().row;
        assert_eq!((&*row.status, row.counts), ("cancelled", counts));
        assert!(row.duration_ms.is_some());
    }
}
