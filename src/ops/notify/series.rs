//! The runs that a run is compared with: those of its schedule, or of its workflow if it has none.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use jiff::Timestamp;
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
use crate::ops::scheduled::is_called;
use crate::storage::history::filter::{RunFilter, select};
use crate::storage::history::invocation::{Invocation, invocation};
use crate::storage::history::{INTERRUPTED, Run};
use crate::storage::outbox;
use crate::storage::schedules::listing::{self, PastInstant};

/// Maximum runs of a series that are looked at.
const MAX_RUNS: usize = 1000;

/// Triggers of runs that do not count and cause no notification.
const NOT_COUNTED: [Trigger; 3] = [Trigger::Backfill, Trigger::Retry, Trigger::Api];

/// A run of a series.
pub enum Member {
    Run(Run),
    /// It could not begin: it is in no history, and all that is known of it stands with its instant.
    NotBegun(PastInstant),
}

/// A run that ended by itself, with those before it.
pub struct Series {
    /// The schedule's whole name, or a name of the workflow's runs without a schedule.
    pub name: String,
    /// The whole name.
    pub schedule: Option<String>,
    pub newest: Member,
    pub scheduled: Option<ScheduledRun>,
    /// Newest first, this one included.
    pub runs: Vec<SeriesRun>,
    /// Whether it failed like the failure before it.
    pub is_same: bool,
}

impl Series {
    /// The series that ends with `run`; `None` if the run goes on, was cancelled, or is one without notifications.
    ///
    /// # Errors
    /// The history cannot be read.
    pub fn of(view: &HomeReader, run: RunId) -> Result<Option<Self>, Error> {
        let Some(db) = &view.db else { return Ok(None) };
        let past = listing::of_run(db, &view.home, run).map_err(Error::history)?;
        // One that died early has not recorded what was asked for; its instant knows.
        let claimed =
            past.as_ref().map(|past| ScheduledRun { schedule: past.schedule.clone(), at: Some(past.at) });
        let newest = match past.filter(PastInstant::has_not_begun) {
            Some(past) => Member::NotBegun(past),
            None => Member::Run(view.find(run.as_str())?),
        };
        let (trigger, scheduled, filter) = match &newest {
            Member::Run(run) => {
                let request = invocation(db, run.id).map(|invocation| invocation.request).unwrap_or_default();
                let filter = RunFilter {
                    workflow: Some(run.workflow.clone()),
                    project: Some(run.project.clone()),
                    domain: Some(run.domain.clone()),
                    before: Some(run.id),
                    ..RunFilter::default()
                };
                (request.trigger, request.scheduled.or(claimed), filter)
            }
            Member::NotBegun(past) => {
                let filter = RunFilter { until: Some(past.claimed), ..RunFilter::default() };
                (past.trigger, claimed, filter)
            }
        };
        if !newest.counts() || NOT_COUNTED.contains(&trigger) {
            return Ok(None);
        }
        let schedule = scheduled.as_ref().map(|scheduled| scheduled.schedule.clone());
        let filter = RunFilter {
            schedule: schedule.clone(),
            unscheduled: schedule.is_none(),
            not_by: NOT_COUNTED.to_vec(),
            ..filter
        };
        let earlier = select(db, &filter, MAX_RUNS, view).map_err(Error::history)?;
        let mut earlier: Vec<Member> = earlier.into_iter().map(Member::Run).collect();
        if let Some(name) = &schedule {
            let not_begun = listing::not_begun(db, &view.home, name, newest.began(), &NOT_COUNTED, MAX_RUNS);
            earlier.extend(not_begun.map_err(Error::history)?.into_iter().map(Member::NotBegun));
        }
        earlier.retain(Member::counts);
        earlier.sort_by_key(|member| Reverse(member.began()));
        let is_same = match earlier.first() {
            Some(before) if !newest.succeeded() && !before.succeeded() => {
                shape(view, db, &newest) == shape(view, db, before)
            }
            _ => false,
        };
        let runs = std::iter::once(&newest).chain(&earlier).map(|member| SeriesRun {
            run: member.id(),
            started: member.began(),
            succeeded: member.succeeded(),
        });
        let runs = runs.collect();
        let name = schedule.clone().unwrap_or_else(|| newest.series_of_workflow());
        Ok(Some(Self { name, schedule, newest, scheduled, runs, is_same }))
    }

    /// What a rule told of these runs.
    ///
    /// # Errors
    /// The outbox cannot be read.
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

impl Member {
    fn id(&self) -> RunId {
        match self {
            Self::Run(run) => run.id,
            // Only an instant with a run is a member.
            Self::NotBegun(past) => past.run.as_ref().map_or_else(RunId::make, |run| run.run),
        }
    }

    /// When it began, or was to begin.
    fn began(&self) -> Timestamp {
        match self {
            Self::Run(run) => run.started,
            Self::NotBegun(past) => past.claimed,
        }
    }

    fn succeeded(&self) -> bool {
        matches!(self, Self::Run(run) if run.status == Status::Succeeded.name())
    }

    /// Whether it ended by itself.
    fn counts(&self) -> bool {
        match self {
            Self::Run(run) => {
                self.succeeded() || run.status == Status::Failed.name() || run.status == INTERRUPTED
            }
            Self::NotBegun(_) => true,
        }
    }

    /// What the runs of a workflow without a schedule are called together.
    fn series_of_workflow(&self) -> String {
        match self {
            Self::Run(run) => format!("{} in {}/{}", run.workflow, run.project, run.domain),
            Self::NotBegun(past) => past.schedule.clone(),
        }
    }
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

fn shape(view: &HomeReader, db: &Connection, member: &Member) -> FailureShape {
    let mut shape = FailureShape::default();
    let run = match member {
        Member::Run(run) => run,
        Member::NotBegun(past) => {
            shape.failed.insert((String::new(), past.reason.clone().unwrap_or_default(), None));
            return shape;
        }
    };
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
