//! The runs that a run is compared with: those of its schedule, or of its workflow if it has none.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::decide::{FailureShape, SeriesRun, ToldRun};
use crate::core::definition::Definition;
use crate::core::event::{Event, NodeFinished, Status};
use crate::core::notify::NotifyEvent;
use crate::core::run_id::RunId;
use crate::core::schedule::{ScheduledRun, Trigger};
use crate::ops::Error;
use crate::ops::home::HomeReader;
use crate::ops::recorded::{Again, as_it_was};
use crate::ops::schedules::is_called;
use crate::storage::history::filter::{RunFilter, select};
use crate::storage::history::invocation::{Invocation, invocation};
use crate::storage::history::{INTERRUPTED, Run};
use crate::storage::outbox;

/// Maximum runs of a series that are looked at.
const MAX_RUNS: usize = 1000;

/// A run that ended by itself, with those before it.
pub struct Series {
    /// The schedule's whole name, or a name of the workflow's runs without a schedule.
    pub name: String,
    /// The whole name.
    pub schedule: Option<String>,
    pub run: Run,
    pub scheduled: Option<ScheduledRun>,
    /// Newest first, this one included.
    pub runs: Vec<SeriesRun>,
    /// Whether it failed like the failure before it.
    pub is_same: bool,
}

impl Series {
    /// The series that ends with `run`; `None` if the run is cancelled or goes on.
    pub fn of(view: &HomeReader, run: RunId) -> Result<Option<Self>, Error> {
        let run = view.find(run.as_str())?;
        let Some(db) = &view.db else { return Ok(None) };
        if !counts(&run) {
            return Ok(None);
        }
        let scheduled = invocation(db, run.id).ok().and_then(|invocation| invocation.request.scheduled);
        let schedule = scheduled.as_ref().map(|scheduled| scheduled.schedule.clone());
        let filter = RunFilter {
            workflow: Some(run.workflow.clone()),
            project: Some(run.project.clone()),
            domain: Some(run.domain.clone()),
            schedule: schedule.clone(),
            unscheduled: schedule.is_none(),
            not_by: vec![Trigger::Backfill, Trigger::Retry, Trigger::Api],
            before: Some(run.id),
            ..RunFilter::default()
        };
        let mut earlier = select(db, &filter, MAX_RUNS, |run| view.status(run)).map_err(Error::history)?;
        earlier.retain(counts);
        let is_same = match earlier.first() {
            Some(before) if !succeeded(&run) && !succeeded(before) => {
                shape(view, db, &run) == shape(view, db, before)
            }
            _ => false,
        };
        let runs = std::iter::once(&run).chain(&earlier).map(|run| SeriesRun {
            run: run.id,
            started: run.started,
            succeeded: succeeded(run),
        });
        let name =
            schedule.clone().unwrap_or_else(|| format!("{} in {}/{}", run.workflow, run.project, run.domain));
        Ok(Some(Self { name, schedule, runs: runs.collect(), run, scheduled, is_same }))
    }

    /// What a rule told of these runs.
    pub fn told(&self, db: &Connection, rule: &str) -> Result<Vec<ToldRun>, Error> {
        let told = outbox::told(db, &self.name, rule, 2 * MAX_RUNS).map_err(Error::history)?;
        let told = told.into_iter().filter_map(|(run, event, at)| {
            Some(ToldRun { run: RunId::parse(&run).ok()?, event: NotifyEvent::parse(&event)?, at })
        });
        Ok(told.collect())
    }

    /// The newest success before this run.
    pub fn last_success(&self) -> Option<RunId> {
        self.runs.iter().skip(1).find(|run| run.succeeded).map(|run| run.run)
    }
}

fn succeeded(run: &Run) -> bool {
    run.status == Status::Succeeded.name()
}

/// Whether a run ended by itself.
fn counts(run: &Run) -> bool {
    succeeded(run) || run.status == Status::Failed.name() || run.status == INTERRUPTED
}

/// Everything in a run that failed as work of its own.
pub fn failures(view: &HomeReader, run: RunId) -> Vec<NodeFinished> {
    let events = view.events(run).into_iter().flatten();
    let failed = events.filter_map(|event| match event {
        Event::NodeFinished(node) if node.status == Status::Failed && node.error.is_some() => Some(node),
        _ => None,
    });
    let mut failed: Vec<_> = failed.collect();
    // A node that sums up others fails with their error.
    if failed.iter().any(|node| node.attempts > 0) {
        failed.retain(|node| node.attempts > 0);
    }
    failed
}

fn shape(view: &HomeReader, db: &Connection, run: &Run) -> FailureShape {
    let mut shape = FailureShape::default();
    if run.status == INTERRUPTED {
        shape.failed.insert((String::new(), INTERRUPTED.to_owned(), None));
    }
    let failed = failures(view, run.id);
    for node in &failed {
        if let Some(error) = &node.error {
            shape.failed.insert((node.path().to_string(), error.kind.to_string(), error.exit_code));
        }
    }
    let Ok(Invocation { inputs, request, .. }) = invocation(db, run.id) else { return shape };
    shape.inputs = inputs;
    // A workflow whose text is not kept any more has no definitions that could be compared.
    let Ok(Again { opened, .. }) = as_it_was(view, run) else { return shape };
    let asked = request.scheduled.map(|scheduled| scheduled.schedule).unwrap_or_default();
    let mut schedules = opened.workflow.schedules.iter().map(|placed| &placed.schedule);
    let schedule = schedules.find(|schedule| is_called(schedule, &opened.workflow, &asked));
    if let Some(input) = schedule.and_then(|schedule| schedule.scheduled_at_input.as_ref()) {
        shape.inputs.remove(&input.name);
    }
    let families: BTreeSet<_> = failed.iter().map(|node| node.path().family()).collect();
    for place in opened.outline.places() {
        let name = place.name();
        if families.contains(name.as_str())
            && let Some(task) = place.node().task()
        {
            let definition = Definition::of_text(task, &|_| Vec::new());
            shape.definitions.insert(name, definition.digest().hex().to_string());
        }
    }
    shape
}
