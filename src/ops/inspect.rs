//! Looking at past runs: a list of them, one as a whole, one of its nodes. Nothing is created or changed.

use std::io::{self, Write};
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use super::Error;
use super::home::HomeReader;
use super::node_arg::unknown;
use crate::core::closest::closest;
use crate::core::event::{Event, Status};
use crate::core::node_path::NodeRef;
use crate::core::run_id::RunId;
use crate::core::schedule::Trigger;
use crate::storage::history::filter::{RunFacts, origin, select, workflows};
use crate::storage::history::invocation::{Invocation, invocation};
use crate::storage::history::{Run, places};
use crate::view::csv;
use crate::view::json::run_document;
use crate::view::model::request::RequestView;
use crate::view::model::run::{Keep, RunState};
use crate::view::model::run_row::RunRow;
use crate::view::text::node::NodeStory;

pub use crate::storage::history::filter::RunFilter;
pub use crate::storage::history::{ABANDONED, DETACHED, INTERRUPTED, RUNNING};

/// The runs that match a filter, newest first.
pub struct RunList {
    pub rows: Vec<RunRow>,
    /// Whether anything was ever run with this home.
    pub has_history: bool,
    /// If nothing matches: the name of a workflow in the history that is close to the one asked for.
    pub near: Option<String>,
}

impl From<Run> for RunRow {
    fn from(run: Run) -> Self {
        let duration = run.finished.map(|end| end.as_millisecond() - run.started.as_millisecond());
        Self {
            id: run.id,
            workflow: run.workflow,
            project: run.project,
            domain: run.domain,
            status: run.status,
            started: run.started,
            duration_ms: duration.map(|ms| u64::try_from(ms).unwrap_or(0)),
            counts: run.counts,
            saved_ms: run.saved_ms,
        }
    }
}

impl RunFacts for HomeReader {
    fn status(&self, run: &Run) -> String {
        HomeReader::status(self, run)
    }

    fn failed_nodes(&self, run: &Run) -> String {
        // A history that cannot be read has no names.
        let names = self.events(run.id).into_iter().flatten().filter_map(|event| match event {
            Event::NodeFinished(node) if node.status == Status::Failed => {
                Some(node.path().label().to_ascii_lowercase() + "\n")
            }
            _ => None,
        });
        names.collect()
    }
}

/// Lists at most `limit` runs.
///
/// # Errors
/// The history cannot be read.
pub fn runs(home: Option<&Path>, filter: &RunFilter, limit: usize) -> Result<RunList, Error> {
    let view = HomeReader::open(home)?;
    let Some(db) = &view.db else {
        return Ok(RunList { rows: Vec::new(), has_history: false, near: None });
    };
    let runs = select(db, filter, limit, &view).map_err(Error::history)?;
    let near = match &filter.workflow {
        Some(name) if runs.is_empty() => {
            let known = workflows(db).unwrap_or_default();
            let near = closest(name, known.iter().map(String::as_str)).map(str::to_owned);
            near.filter(|_| !known.contains(name))
        }
        _ => None,
    };
    Ok(RunList { rows: runs.into_iter().map(RunRow::from).collect(), has_history: true, near })
}

/// A run in a list, with what made it begin.
#[derive(Clone, Debug, Serialize)]
pub struct ListedRun {
    #[serde(flatten)]
    pub row: RunRow,
    pub trigger: Trigger,
    /// The whole name of its schedule, and the instant that it is for.
    pub schedule: Option<String>,
    pub scheduled_at: Option<Timestamp>,
}

/// The runs of a list with what made each begin.
pub struct ListedRuns {
    pub rows: Vec<ListedRun>,
    /// Whether anything was ever run with this home.
    pub has_history: bool,
}

/// Lists at most `limit` runs with what made each begin.
///
/// # Errors
/// The history cannot be read.
pub fn listed(home: Option<&Path>, filter: &RunFilter, limit: usize) -> Result<ListedRuns, Error> {
    let view = HomeReader::open(home)?;
    let Some(db) = &view.db else { return Ok(ListedRuns { rows: Vec::new(), has_history: false }) };
    let runs = select(db, filter, limit, &view).map_err(Error::history)?;
    let with_origin = |run: Run| {
        let (trigger, scheduled) = origin(db, run.id)?.unwrap_or_default();
        let (schedule, scheduled_at) = scheduled.map(|run| (run.schedule, run.at)).unzip();
        Ok(ListedRun { row: run.into(), trigger, schedule, scheduled_at: scheduled_at.flatten() })
    };
    let rows: rusqlite::Result<Vec<_>> = runs.into_iter().map(with_origin).collect();
    Ok(ListedRuns { rows: rows.map_err(Error::history)?, has_history: true })
}

/// The runs that are under way, in any process.
///
/// # Errors
/// The history cannot be read.
pub fn live(home: Option<&Path>) -> Result<Vec<RunRow>, Error> {
    let running = RunFilter { statuses: [RUNNING.to_owned()].into(), ..RunFilter::default() };
    Ok(runs(home, &running, usize::MAX)?.rows)
}

/// The run that a person means by `name`.
///
/// # Errors
/// The run is not known, or the history cannot be read.
pub fn run(home: Option<&Path>, name: &str, keep: Keep) -> Result<RunState, Error> {
    let view = HomeReader::open(home)?;
    let run = view.find(name)?;
    let request = request(&view, run.id);
    Ok(RunState { request, ..RunState::from_events(run.id, view.events(run.id)?, &run.status, keep) })
}

/// What a run was asked for; `None` if that is not on record.
pub(super) fn request(view: &HomeReader, run: RunId) -> Option<RequestView> {
    let Invocation { runner, dir, request, inputs, .. } = invocation(view.db.as_ref()?, run).ok()?;
    Some(RequestView {
        workflow: request.workflow.display().to_string(),
        dir,
        project: request.project.clone().unwrap_or_default(),
        domain: request.domain.clone().unwrap_or_default(),
        inputs,
        flags: request.flags(),
        runner,
    })
}

/// Writes the run that a person means by `name` as one JSON document; the inner result is that of the writing.
///
/// # Errors
/// The run is not known, or the history cannot be read.
pub fn document(home: Option<&Path>, name: &str, out: &mut impl Write) -> Result<io::Result<()>, Error> {
    let view = HomeReader::open(home)?;
    let run = view.find(name)?;
    let path = view.home.events(run.id);
    let mut again = places::Events::open(&path).map_err(Error::history)?;
    let events = places::events(&path).map_err(Error::history)?;
    let request = request(&view, run.id);
    let written = run_document::write(out, events, |place| again.at(place), &run.status, request.as_ref());
    Ok(written.and_then(|()| out.flush()))
}

/// Writes the nodes of the run that a person means by `name` as comma-separated values; the inner result is that of the
/// writing.
///
/// # Errors
/// The run is not known, or the history cannot be read.
pub fn csv(home: Option<&Path>, name: &str, out: &mut impl Write) -> Result<io::Result<()>, Error> {
    let view = HomeReader::open(home)?;
    let run = view.find(name)?;
    Ok(csv::nodes(out, view.events(run.id)?, &run.status))
}

/// One node or element of the run that a person means by `name`.
///
/// # Errors
/// The run or the node is not known, or the history cannot be read.
pub fn node(home: Option<&Path>, name: &str, wanted: NodeRef) -> Result<NodeStory, Error> {
    let view = HomeReader::open(home)?;
    let run = view.find(name)?;
    match NodeStory::from_events(view.events(run.id)?, run.id, &run.status, wanted) {
        Some(story) => Ok(story),
        None => {
            let events: Vec<_> = view.events(run.id)?.collect();
            Err(Error::not_found(unknown(&events, wanted, &run.id)))
        }
    }
}
