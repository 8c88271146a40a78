//! A run of a schedule on request. It moves no instant and works while the schedule is paused, but goes by `overlap`: the
//! daemon that serves the schedule runs it as it would an instant; without one it runs in this process.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::mpsc::UnboundedReceiver;

use super::claimed::{Claims, Ended};
use super::lookup::{Named, named};
use crate::core::event::VERSION;
use crate::core::reporter::Reporter;
use crate::core::run_id::RunId;
use crate::core::run_request::RunRequest;
use crate::core::schedule::{Overlap, ScheduledRun, Trigger};
use crate::engine::Interrupt;
use crate::ops::Error;
use crate::ops::home::HomeReader;
use crate::ops::prepare::prepare;
use crate::storage::db;
use crate::storage::history::RUNNING;
use crate::storage::home::Home;
use crate::storage::schedules::claimant::wake;
use crate::storage::schedules::requests::{self, Answer, Request, State};
use crate::storage::schedules::tick::{Claim, Tick};
use crate::storage::schedules::{Became, EndedBy, listing};
use crate::view::model::schedule_row::{InstantRow, InstantRun};

/// How long a daemon may take to answer: it only has to decide.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// The time between two looks for an answer.
const ANSWER_POLL: Duration = Duration::from_millis(20);
/// The time between two looks at runs that go on.
const RUN_POLL: Duration = Duration::from_millis(300);

/// A run that is asked for.
pub struct Triggering {
    named: Named,
    /// What comes on top of what the schedule gives. A daemon takes the inputs only.
    base: RunRequest,
    pub at: Timestamp,
    /// `manual` or `api`.
    trigger: Trigger,
    pub run: RunId,
}

/// A run that is under way in a daemon, or that this process has to do.
pub enum TriggerAnswer {
    /// A daemon has taken it over; the number of the request.
    Accepted(i64),
    /// No daemon serves the schedule.
    Nobody,
}

impl Triggering {
    /// Holds a request against the schedule and its workflow. Without `at` the instant is now.
    ///
    /// # Errors
    /// No or several schedules have that name; the inputs do not fit.
    pub fn new(
        home: Option<&Path>,
        name: &str,
        base: RunRequest,
        at: Option<Timestamp>,
        trigger: Trigger,
    ) -> Result<Self, Error> {
        let named = named(&HomeReader::open(home)?, name, &[])?;
        let now = Timestamp::now();
        let at = at.unwrap_or(Timestamp::from_second(now.as_second()).unwrap_or(now));
        let asked = Self { named, base, at, trigger, run: RunId::make() };
        // A daemon may have it as its file was before; this process has not.
        if asked.named.found.is_ok() {
            prepare(asked.request())?;
        }
        Ok(asked)
    }

    /// The whole name.
    pub fn schedule(&self) -> &str {
        &self.named.name
    }

    fn request(&self) -> RunRequest {
        RunRequest {
            workflow: self.named.path.clone(),
            trigger: self.trigger,
            scheduled: Some(ScheduledRun { schedule: self.named.name.clone(), at: Some(self.at) }),
            ..self.base.clone()
        }
    }

    /// Asks the daemon that serves the schedule, and waits for its answer.
    ///
    /// # Errors
    /// A run goes on and the schedule skips what overlaps (kind: conflict); the daemon refuses, or does not answer.
    pub fn ask(&self, flag: Option<&Path>) -> Result<TriggerAnswer, Error> {
        if self.named.known.as_ref().is_none_or(|known| known.served.is_none()) {
            return Ok(TriggerAnswer::Nobody);
        }
        let home = Home::locate(flag).map_err(Error::store)?;
        let unwritable = |error| Error::store(format!("the daemon cannot be asked: {error}"));
        let (mut db, _) = db::open(home.path()).map_err(|error| Error::store(error.to_string()))?;
        let request = Request::Trigger {
            run: self.run,
            at: self.at,
            given: self.base.given.clone(),
            trigger: self.trigger,
        };
        let asked = requests::ask(&mut db, &home, &self.named.name, &request, Timestamp::now());
        let Some(id) = asked.map_err(unwritable)? else { return Ok(TriggerAnswer::Nobody) };
        let begun = Instant::now();
        loop {
            match requests::state(&db, &home, id).map_err(Error::history)? {
                State::Answered(Answer::Accepted) => return Ok(TriggerAnswer::Accepted(id)),
                State::Answered(Answer::Overlap { run }) => return Err(self.overlaps(run)),
                State::Answered(Answer::Refused { reason }) => return Err(Error::invalid(reason)),
                // It did nothing of it: it answers when it acts.
                State::Lost => return Ok(TriggerAnswer::Nobody),
                State::Waiting if begun.elapsed() > ANSWER_WAIT => {
                    let message =
                        "the daemon that serves the schedule does not answer; it may still run it later";
                    return Err(Error::failed(message));
                }
                State::Waiting => sleep(ANSWER_POLL),
            }
        }
    }

    fn overlaps(&self, run: RunId) -> Error {
        let name = &self.named.name;
        Error::conflict(format!(
            "nothing was started: run {run} of {name} goes on, and the schedule says overlap = \"skip\""
        ))
    }

    /// Runs it in this process, when it is its turn; `told` hears for which run it waits, `begins` that it is claimed.
    ///
    /// # Errors
    /// A run goes on and the schedule skips what overlaps (kind: conflict); the run could not begin.
    pub async fn here(
        &self,
        flag: Option<&Path>,
        listeners: Vec<Box<dyn Reporter>>,
        mut interrupts: UnboundedReceiver<Interrupt>,
        mut told: impl FnMut(RunId),
        begins: impl FnOnce(),
    ) -> Result<Ended, Error> {
        let found = self.named.runnable()?;
        let schedule = found.schedule();
        let claims = Claims::begin(flag)?;
        let mut db = claims.connect()?;
        let mut waits_for = None;
        let claim = loop {
            let other = match self.claim(&mut db, &claims, schedule.overlap)? {
                Ok(claim) => break claim,
                Err(other) => other,
            };
            if waits_for.replace(other) != Some(other) {
                told(other);
            }
            tokio::select! {
                Some(interrupt) = interrupts.recv() => {
                    let instant = InstantRow { status: Some("cancelled".into()), ..self.begun().instant };
                    let run = self.line(instant);
                    return Ok(Ended { run, signal: Some(interrupt.signal()), warnings: Vec::new() });
                }
                () = tokio::time::sleep(RUN_POLL) => {}
            }
        };
        drop(db);
        begins();
        claims.run(&claim, self.request(), schedule.max_runtime, listeners, interrupts).await
    }

    /// Claims the run, or says which run it has to wait for.
    fn claim(
        &self,
        db: &mut Connection,
        claims: &Claims,
        overlap: Overlap,
    ) -> Result<Result<Claim<'_>, RunId>, Error> {
        let unwritable = |error| Error::store(format!("the run cannot be claimed: {error}"));
        let now = Timestamp::now();
        let name = &*self.named.name;
        let tick = Tick::begin(db, &claims.home).map_err(unwritable)?;
        let live = tick.live(name).map_err(unwritable)?;
        if let (Some(other), true) = (live.first(), overlap != Overlap::Allow) {
            if overlap == Overlap::Skip {
                return Err(self.overlaps(other.run));
            }
            let waits_for = other.run;
            if overlap == Overlap::Replace {
                for other in live.iter().filter(|other| other.ended_by.is_none()) {
                    tick.ends(other.run, EndedBy::Replaced).map_err(unwritable)?;
                    let cancel = Request::Cancel { run: other.run };
                    requests::ask_within(&tick, other.claimant, name, &cancel, now).map_err(unwritable)?;
                }
                tick.commit().map_err(unwritable)?;
                wake(&claims.home);
            }
            return Ok(Err(waits_for));
        }
        let claim = Claim {
            schedule: name,
            at: self.at,
            fires: now,
            became: Became::Fired,
            trigger: self.trigger,
            run: self.run,
            claimant: claims.claimant.id,
            now,
        };
        tick.claim(&claim).and_then(|_| tick.commit()).map_err(unwritable)?;
        Ok(Ok(claim))
    }

    /// Waits until a run that a daemon accepted under that request has ended; it may have to wait for its turn.
    ///
    /// # Errors
    /// The home cannot be read, or the daemon's claim is gone.
    pub fn wait(&self, flag: Option<&Path>, request: i64) -> Result<InstantRun, Error> {
        let home = Home::locate(flag).map_err(Error::store)?;
        loop {
            let db = db::open_reader(home.path()).map_err(|error| Error::store(error.to_string()))?;
            // Asked in this order: what begins in between is seen.
            let is_held = requests::is_held(&db, &home, request).map_err(Error::history)?;
            let past = listing::of_run(&db, &home, self.run).map_err(Error::history)?;
            drop(db);
            match past.map(InstantRow::from) {
                None if is_held => sleep(RUN_POLL),
                // Its daemon ended before the run began.
                None => {
                    return Err(Error::failed(format!(
                        "run {} did not begin: its daemon has ended",
                        self.run
                    )));
                }
                Some(instant) if instant.status.as_deref() == Some(RUNNING) => sleep(RUN_POLL),
                Some(instant) => return Ok(self.line(instant)),
            }
        }
    }

    /// The line of a run that a daemon has accepted.
    pub fn begun(&self) -> InstantRun {
        let became = Became::Fired.name();
        self.line(InstantRow::new(self.at, self.at, became, self.trigger, Some(self.run)))
    }

    fn line(&self, instant: InstantRow) -> InstantRun {
        InstantRun { v: VERSION, schedule: self.named.name.clone(), instant }
    }
}
