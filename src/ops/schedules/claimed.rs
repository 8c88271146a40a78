//! The run of a claimed instant in this process, from the claim to its end: it is ended as a daemon would end it, when it takes
//! longer than its schedule allows or when a later run replaces it.

use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::core::event::{Counts, Status, VERSION};
use crate::core::reporter::Reporter;
use crate::core::run_id::RunId;
use crate::core::run_request::RunRequest;
use crate::engine::Interrupt;
use crate::ops::Error;
use crate::ops::open::{PreparedRun, prepare};
use crate::ops::run::{RunResult, run};
use crate::ops::run_lock::{Turn, take_turn_as};
use crate::storage::db;
use crate::storage::home::Home;
use crate::storage::schedules::EndedBy;
use crate::storage::schedules::claimant::Claimant;
use crate::storage::schedules::listing;
use crate::storage::schedules::tick::{note_end, note_not_begun};
use crate::view::model::schedule_row::InstantRun;

/// The time between two looks at whether a run is to be ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// A home in which this process may claim instants.
pub(super) struct Claims<'f> {
    pub flag: Option<&'f Path>,
    pub home: Home,
    pub claimant: Claimant,
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
        let home = Home::locate(flag).map_err(Error::store)?;
        home.create().map_err(Error::store)?;
        let claimant = Claimant::new(&home).map_err(|error| {
            Error::store(format!("no instant can be claimed in {}: {error}", home.path().display()))
        })?;
        Ok(Self { flag, home, claimant })
    }

    /// A connection for claims.
    ///
    /// # Errors
    /// The database cannot be opened.
    pub fn connect(&self) -> Result<Connection, Error> {
        db::open(self.home.path()).map(|(db, _)| db).map_err(|error| Error::store(error.to_string()))
    }

    /// Runs what `id` was claimed for. A run that cannot begin is noted as a failure of its instant.
    ///
    /// # Errors
    /// The run could not begin: the workflow, its inputs or the home cannot be used.
    pub async fn run(
        &self,
        id: RunId,
        request: RunRequest,
        limit: Option<SignedDuration>,
        listeners: Vec<Box<dyn Reporter>>,
        interrupts: UnboundedReceiver<Interrupt>,
    ) -> Result<Ended, Error> {
        let scheduled = request.scheduled.clone();
        let ended = match prepare(request) {
            Ok(prepared) => self.run_prepared(id, prepared, limit, listeners, interrupts).await,
            Err(error) => Err(error),
        };
        match ended {
            Ok(mut ended) => {
                if let Some(scheduled) = scheduled {
                    ended.run.schedule = scheduled.schedule;
                    ended.run.at = scheduled.at.unwrap_or(ended.run.at);
                }
                Ok(ended)
            }
            Err(error) => {
                self.note_not_begun(id, &error.to_string());
                Err(error)
            }
        }
    }

    /// Notes that a claimed run could not begin.
    fn note_not_begun(&self, id: RunId, reason: &str) {
        // If that fails as well, the claim is freed when this process has ended.
        let Ok(db) = self.connect() else { return };
        let _ = note_not_begun(&db, id, Status::Failed, reason);
    }

    async fn run_prepared(
        &self,
        id: RunId,
        prepared: PreparedRun,
        limit: Option<SignedDuration>,
        mut listeners: Vec<Box<dyn Reporter>>,
        mut interrupts: UnboundedReceiver<Interrupt>,
    ) -> Result<Ended, Error> {
        let prepared = prepared.ready()?;
        let turn = take_turn_as(id, &prepared, self.flag, &mut listeners, &mut interrupts).await?;
        let turn = match turn {
            Turn::Taken(turn) => turn,
            Turn::Skipped => {
                return Ok(self.not_begun(id, "another run of the workflow holds its lock", None));
            }
            Turn::Interrupted(Interrupt(signal)) => {
                return Ok(self.not_begun(id, "it was ended before it began", Some(signal)));
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
                    if watch.is_to_end() {
                        // The receiver lives as long as the run.
                        let _ = sender.send(Interrupt(libc::SIGTERM));
                    }
                }
            }
        };
        let taken = u64::try_from(Timestamp::now().duration_since(began).as_millis()).ok();
        Ok(ended(result, watch.ended, taken))
    }

    fn not_begun(&self, id: RunId, reason: &str, signal: Option<i32>) -> Ended {
        self.note_not_begun(id, reason);
        let run = InstantRun {
            status: Some("failed".into()),
            reason: Some(reason.to_owned()),
            ..instant_run(id, Counts::default(), None)
        };
        Ended { run, signal, warnings: Vec::new() }
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
    /// Whether the run is to be ended now; true once only.
    fn is_to_end(&mut self) -> bool {
        if self.ended.is_some() {
            return false;
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
        self.ended.is_some()
    }

    /// Why another process wants it to end, if one does.
    fn asked_to_end(&self) -> Option<EndedBy> {
        let db = db::open_reader(self.home.path()).ok()?;
        listing::of_run(&db, self.home, self.id).ok()??.ended_by
    }
}

fn ended(result: RunResult, by: Option<EndedBy>, taken: Option<u64>) -> Ended {
    let RunResult { run, summary, history, warnings, .. } = result;
    let (status, reason) = match by {
        Some(EndedBy::Timeout) if summary.status != Status::Succeeded => {
            ("failed", Some(EndedBy::Timeout.reason()))
        }
        Some(EndedBy::Replaced) if summary.status != Status::Succeeded => {
            (summary.status.name(), Some(EndedBy::Replaced.reason()))
        }
        _ => (summary.status.name(), None),
    };
    let incomplete = history.map(|problem| format!("the history of run {run} is incomplete: {problem}"));
    Ended {
        run: InstantRun {
            status: Some(status.into()),
            no_op: summary.counts.is_no_op(status),
            reason: reason.map(str::to_owned),
            ..instant_run(run, summary.counts, taken)
        },
        signal: summary.signal.filter(|_| by.is_none()),
        warnings: warnings.into_iter().chain(incomplete).collect(),
    }
}

/// The line of a run; schedule and instant are filled in by the caller.
pub(super) fn instant_run(run: RunId, counts: Counts, duration_ms: Option<u64>) -> InstantRun {
    InstantRun {
        v: VERSION,
        schedule: String::new(),
        at: Timestamp::UNIX_EPOCH,
        run: Some(run),
        status: None,
        no_op: false,
        executed: Some(counts.executed),
        nodes: Some(counts.nodes),
        duration_ms,
        reason: None,
        counts,
    }
}
