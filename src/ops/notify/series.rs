//! The runs that a run is compared with: those of its schedule, or of its workflow if it has none.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::Connection;

use super::decide::{FailureShape, SeriesRun, ToldRun};
use crate::core::definition::Definition;
use crate::core::event::{NodeFinished, Status};
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
use crate::storage::memo::Scope;
use crate::storage::outbox;
use crate::storage::refusals::{self, RunRefusal};
use crate::storage::schedules::listing::{self, PastInstant};
use crate::view::model::run::{Keep, RunState};

/// Maximum runs of a series that are looked at.
const MAX_RUNS: usize = 1000;

/// Triggers of runs that do not count and cause no notification.
const NOT_COUNTED: [Trigger; 3] = [Trigger::Backfill, Trigger::Retry, Trigger::Api];

/// A run of a series.
pub enum Member {
    Run(Run),
    NotBegun(RunNotBegun),
}

/// A run that could not begin, and is in no history.
#[derive(Clone, Debug)]
pub struct RunNotBegun {
    pub run: RunId,
    /// When it was to begin.
    pub began: Timestamp,
    pub reason: String,
    /// Whether it is the run of an instant, which shows it.
    pub is_of_instant: bool,
}

/// Whose run it is; of a workflow that does not load as much as is known.
#[derive(Clone, Debug, Default)]
pub struct SeriesOwner {
    pub workflow: Option<String>,
    pub scope: Option<Scope>,
    pub scheduled: Option<ScheduledRun>,
}

/// A run that ended by itself, with those before it.
pub struct Series {
    /// The schedule's whole name, or a name of the workflow's runs without a schedule.
    pub name: String,
    pub owner: SeriesOwner,
    pub newest: Member,
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
        let (newest, trigger, owner) = match past.filter(PastInstant::has_not_begun) {
            Some(past) => {
                let workflow = past.schedule.rsplit_once('/').map(|(workflow, _)| workflow.to_owned());
                let owner = SeriesOwner { workflow, scope: None, scheduled: claimed };
                (Member::of_instant(past.clone(), run), past.trigger, owner)
            }
            None => {
                let run = view.find(run.as_str())?;
                let request = invocation(db, run.id).map(|invocation| invocation.request).unwrap_or_default();
                let owner = SeriesOwner {
                    workflow: Some(run.workflow.clone()),
                    scope: Some(Scope { project: run.project.clone(), domain: run.domain.clone() }),
                    scheduled: request.scheduled.or(claimed),
                };
                (Member::Run(run), request.trigger, owner)
            }
        };
        if !newest.counts() || NOT_COUNTED.contains(&trigger) {
            return Ok(None);
        }
        Self::ending_with(view, db, newest, owner).map(Some)
    }

    /// The series that ends with a run that could not begin and is nobody's instant.
    ///
    /// # Errors
    /// The history cannot be read.
    pub fn of_refused(view: &HomeReader, refused: RunNotBegun, owner: SeriesOwner) -> Result<Self, Error> {
        let db = view.db.as_ref().ok_or_else(|| Error::not_found("there is no history"))?;
        Self::ending_with(view, db, Member::NotBegun(refused), owner)
    }

    fn ending_with(
        view: &HomeReader,
        db: &Connection,
        newest: Member,
        owner: SeriesOwner,
    ) -> Result<Self, Error> {
        let (name, schedule) = (owner.name(), owner.schedule());
        let scope = owner.scope.as_ref().filter(|_| schedule.is_none() || matches!(newest, Member::Run(_)));
        let filter = RunFilter {
            workflow: owner.workflow.clone(),
            project: scope.map(|scope| scope.project.clone()),
            domain: scope.map(|scope| scope.domain.clone()),
            schedule: schedule.map(str::to_owned),
            unscheduled: schedule.is_none(),
            not_by: NOT_COUNTED.to_vec(),
            ..newest.earlier()
        };
        let earlier = select(db, &filter, MAX_RUNS, view).map_err(Error::history)?;
        let mut earlier: Vec<Member> = earlier.into_iter().map(Member::Run).collect();
        if let Some(schedule) = schedule {
            let not_begun =
                listing::not_begun(db, &view.home, schedule, newest.began(), &NOT_COUNTED, MAX_RUNS);
            let not_begun = not_begun.map_err(Error::history)?.into_iter();
            earlier.extend(not_begun.filter_map(|past| {
                let run = past.run.as_ref()?.run;
                Some(Member::of_instant(past, run))
            }));
        }
        let refused = refusals::of_series(db, &name, newest.began(), MAX_RUNS).map_err(Error::history)?;
        earlier.extend(refused.into_iter().map(|RunRefusal { run, refused, reason, .. }| {
            Member::NotBegun(RunNotBegun { run, began: refused, reason, is_of_instant: false })
        }));
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
        Ok(Self { name, owner, newest, runs, is_same })
    }

    /// The schedule's whole name.
    pub fn schedule(&self) -> Option<&str> {
        self.owner.schedule()
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

impl SeriesOwner {
    pub fn schedule(&self) -> Option<&str> {
        self.scheduled.as_ref().map(|scheduled| &*scheduled.schedule)
    }

    /// What its runs are called together.
    fn name(&self) -> String {
        let workflow = self.workflow.as_deref().unwrap_or_default();
        match (self.schedule(), &self.scope) {
            (Some(schedule), _) => schedule.to_owned(),
            (None, Some(Scope { project, domain })) => format!("{workflow} in {project}/{domain}"),
            (None, None) => workflow.to_owned(),
        }
    }
}

impl Member {
    /// A run that could not begin at its instant.
    fn of_instant(past: PastInstant, run: RunId) -> Self {
        let reason = past.reason.unwrap_or_default();
        Self::NotBegun(RunNotBegun { run, began: past.claimed, reason, is_of_instant: true })
    }

    pub fn id(&self) -> RunId {
        match self {
            Self::Run(run) => run.id,
            Self::NotBegun(not_begun) => not_begun.run,
        }
    }

    /// When it began, or was to begin.
    fn began(&self) -> Timestamp {
        match self {
            Self::Run(run) => run.started,
            Self::NotBegun(not_begun) => not_begun.began,
        }
    }

    /// Which runs of the history came before it.
    fn earlier(&self) -> RunFilter {
        match self {
            Self::Run(run) => RunFilter { before: Some(run.id), ..RunFilter::default() },
            Self::NotBegun(not_begun) => RunFilter { until: Some(not_begun.began), ..RunFilter::default() },
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
}

/// Everything in a run that failed by itself.
pub fn failures(view: &HomeReader, run: &Run) -> Vec<NodeFinished> {
    let events = view.events(run.id).into_iter().flatten();
    RunState::from_events(run.id, events, &run.status, Keep::FAILURES).failures().cloned().collect()
}

fn shape(view: &HomeReader, db: &Connection, member: &Member) -> FailureShape {
    let mut shape = FailureShape::default();
    let run = match member {
        Member::Run(run) => run,
        Member::NotBegun(not_begun) => {
            shape.failed.insert((String::new(), not_begun.reason.clone(), None));
            return shape;
        }
    };
    if run.status == INTERRUPTED {
        shape.failed.insert((String::new(), INTERRUPTED.to_owned(), None));
    }
    let failed = failures(view, run);
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
