//! The run of a claimed instant in this process, from the claim to its end: it is ended as a daemon would end it, when it takes
//! longer than its schedule allows or when a later run replaces it.

use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::core::event::{Status, VERSION};
use crate::core::reporter::Reporter;
use crate::core::run_id::RunId;
use crate::core::run_request::RunRequest;
use crate::engine::Interrupt;
use crate::ops::prepare::{PreparedRun, prepare};
use crate::ops::run::{RunResult, run};
use crate::ops::run_lock::{Turn, take_turn};
use crate::ops::{Error, ErrorKind};
use crate::storage::db;
use crate::storage::home::Home;
use crate::storage::schedules::EndedBy;
use crate::storage::schedules::claimant::Claimant;
use crate::storage::schedules::listing;
use crate::storage::schedules::tick::{Claim, note_end, note_not_begun};
use crate::view::model::schedule_row::{InstantRow, InstantRun};

/// The time between two looks at whether a run is to be ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// A home in which this process may claim instants.
pub(super) struct Claims<'f> {
    pub flag: Option<&'f Path>,
    pub home: Home,
    pub claimant: Claimant,
}

/// The home of that flag, made if need be, and the right to claim instants in it.
///
/// # Errors
/// The home cannot be used.
pub fn begin_claims(flag: Option<&Path>) -> Result<(Home, Claimant), Error> {
    let home = Home::locate(flag).map_err(Error::store)?;
    home.create().map_err(Error::store)?;
    let claimant = Claimant::new(&home).map_err(|error| {
        Error::store(format!("cannot use the home folder {}: {error}", home.path().display()))
    })?;
    Ok((home, claimant))
}

/// A run that has ended, or that could not begin.
pub struct Ended {
    pub run: InstantRun,
    /// What interrupted it from outside.
    pub signal: Option<i32>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

impl<'f> Claims<'f> {
    /// # Errors
    /// The home cannot be used.
    pub fn begin(flag: Option<&'f Path>) -> Result<Self, Error> {
        let (home, claimant) = begin_claims(flag)?;
        Ok(Self { flag, home, claimant })
    }

    /// A connection for claims.
    ///
    /// # Errors
    /// The database cannot be opened.
    pub fn connect(&self) -> Result<Connection, Error> {
        db::open(self.home.path()).map(|(db, _)| db).map_err(|error| Error::store(error.to_string()))
    }

    /// Runs what was claimed. A run that cannot begin is noted as a failure of its instant.
    ///
    /// # Errors
    /// The run could not begin: the workflow, its inputs or the home cannot be used.
    pub async fn run(
        &self,
        claim: &Claim<'_>,
        request: RunRequest,
        limit: Option<SignedDuration>,
        listeners: Vec<Box<dyn Reporter>>,
        interrupts: UnboundedReceiver<Interrupt>,
    ) -> Result<Ended, Error> {
        let ended = match prepare(request) {
            Ok(prepared) => self.run_prepared(claim, prepared, limit, listeners, interrupts).await,
            Err(error) => Err(error),
        };
        ended.inspect_err(|error| match error.kind {
            // A signal came while it opened the home.
            ErrorKind::Interrupted(_) => {
                self.note_not_begun(claim.run, Status::Cancelled, "it was ended before it began");
            }
            _ => self.note_not_begun(claim.run, Status::Failed, &error.to_string()),
        })
    }

    /// Notes that a claimed run could not begin.
    fn note_not_begun(&self, id: RunId, status: Status, reason: &str) {
        // If that fails as well, the claim is freed when this process has ended.
        let Ok(db) = self.connect() else { return };
        let _ = note_not_begun(&db, id, status, reason);
    }

    async fn run_prepared(
        &self,
        claim: &Claim<'_>,
        prepared: PreparedRun,
        limit: Option<SignedDuration>,
        mut listeners: Vec<Box<dyn Reporter>>,
        mut interrupts: UnboundedReceiver<Interrupt>,
    ) -> Result<Ended, Error> {
        let id = claim.run;
        let prepared = prepared.ready()?;
        let turn = take_turn(id, &prepared, self.flag, &mut listeners, &mut interrupts).await?;
        let turn = match turn {
            Turn::Taken(turn) => turn,
            Turn::Skipped => {
                return Ok(self.not_begun(claim, "another run of the workflow holds its lock", None));
            }
            Turn::Interrupted(interrupt) => {
                return Ok(self.not_begun(claim, "it was ended before it began", Some(interrupt.signal())));
            }
        };
        let began = Timestamp::now();
        let (sender, own) = unbounded_channel();
        let work = run(prepared, turn, self.flag, listeners, own);
        tokio::pin!(work);
        let mut watch =
            Watch { id, home: &self.home, deadline: limit.map(|limit| began + limit), ended: None };
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        let result = loop {
            tokio::select! {
                result = &mut work => break result?,
                Some(interrupt) = interrupts.recv() => drop(sender.send(interrupt)),
                _ = looks.tick() => {
                    if let Some(by) = watch.is_to_end() {
                        let interrupt = match by {
                            EndedBy::Timeout => Interrupt::Overdue,
                            EndedBy::Replaced => Interrupt::Cancel,
                        };
                        // The receiver lives as long as the run.
                        let _ = sender.send(interrupt);
                    }
                }
            }
        };
        let taken = u64::try_from(Timestamp::now().duration_since(began).as_millis()).ok();
        Ok(ended(claim, result, watch.ended, taken))
    }

    fn not_begun(&self, claim: &Claim, reason: &str, signal: Option<i32>) -> Ended {
        self.note_not_begun(claim.run, Status::Failed, reason);
        Ended { run: failed_line(claim, reason), signal, warnings: Vec::new() }
    }
}

/// Watches over a run from beside it.
struct Watch<'h> {
    id: RunId,
    home: &'h Home,
    deadline: Option<Timestamp>,
    /// Why it was told to end.
    ended: Option<EndedBy>,
}

impl Watch<'_> {
    /// Why the run is to be ended now; once only.
    fn is_to_end(&mut self) -> Option<EndedBy> {
        if self.ended.is_some() {
            return None;
        }
        let is_late = self.deadline.is_some_and(|deadline| Timestamp::now() >= deadline);
        self.ended = match is_late {
            true => Some(EndedBy::Timeout),
            false => self.asked_to_end(),
        };
        if is_late && let Ok((db, _)) = db::open(self.home.path()) {
            // The run is ended in any case; without this it counts as cancelled.
            let _ = note_end(&db, self.id, EndedBy::Timeout);
        }
        self.ended
    }

    /// Why another process wants it to end, if one does.
    fn asked_to_end(&self) -> Option<EndedBy> {
        let db = db::open_reader(self.home.path()).ok()?;
        listing::of_run(&db, self.home, self.id).ok()??.ended_by
    }
}

fn ended(claim: &Claim, result: RunResult, by: Option<EndedBy>, taken: Option<u64>) -> Ended {
    let RunResult { run, summary, history, warnings, .. } = result;
    let status = summary.status.name();
    let reason = by.filter(|_| summary.status != Status::Succeeded).map(EndedBy::reason);
    let counts = summary.counts;
    let incomplete = history.map(|problem| format!("the history of run {run} is incomplete: {problem}"));
    Ended {
        run: line(
            claim,
            InstantRow {
                status: Some(status.into()),
                no_op: counts.is_no_op(status),
                executed: Some(counts.executed),
                nodes: Some(counts.nodes),
                duration_ms: taken,
                reason: reason.map(str::to_owned),
                counts,
                ..row(claim)
            },
        ),
        signal: summary.signal.filter(|_| by.is_none()),
        warnings: warnings.into_iter().chain(incomplete).collect(),
    }
}

/// What was claimed, as long as nothing else is known of it.
pub(super) fn row(claim: &Claim) -> InstantRow {
    InstantRow::new(claim.at, claim.fires, claim.became.name(), claim.trigger, Some(claim.run))
}

/// The line of an instant of the schedule of a claim.
pub(super) fn line(claim: &Claim, instant: InstantRow) -> InstantRun {
    InstantRun { v: VERSION, schedule: claim.schedule.to_owned(), instant }
}

/// The line of a run that could not begin.
pub(super) fn failed_line(claim: &Claim, reason: &str) -> InstantRun {
    let status = Some(Status::Failed.name().to_owned());
    line(claim, InstantRow { status, reason: Some(reason.to_owned()), ..row(claim) })
}
