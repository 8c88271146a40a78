//! Past instants of a schedule on request: those that have no successful run, or all. Each is claimed before its run begins, so
//! that several backfills share the work, and the next one continues one that was killed.

use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::claimed::{Claims, Ended, failed_line, line, row};
use super::lookup::{Named, named};
use crate::core::lock::lock;
use crate::core::reporter::Reporter;
use crate::core::run_id::RunId;
use crate::core::run_request::RunRequest;
use crate::core::schedule::{ScheduledRun, Trigger};
use crate::engine::Interrupt;
use crate::ops::home::HomeReader;
use crate::ops::{Error, ErrorKind};
use crate::storage::schedules::Became;
use crate::storage::schedules::backfill::{BackfillAnswer, claim, succeeded};
use crate::storage::schedules::tick::Claim;
use crate::view::model::schedule_row::{InstantRow, InstantRun};
use crate::view::text::count;

/// More instants than these want to be confirmed.
pub const MAX_UNCONFIRMED: usize = 1000;

/// More instants than these are not even counted.
const MAX_INSTANTS: usize = 1_000_000;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct BackfillRequest {
    /// The first instant that counts, and the last one.
    pub from: Timestamp,
    pub to: Timestamp,
    /// Also those that have a successful run.
    pub all: bool,
    pub newest_first: bool,
    /// Maximum runs at once.
    pub jobs: usize,
    /// Whether the others are run after a failure.
    pub keep_going: bool,
}

/// A backfill that can begin.
pub struct Backfill {
    named: Named,
    wanted: BackfillRequest,
    /// What every run is asked for besides.
    base: RunRequest,
    began: Timestamp,
    /// In the order in which they are run.
    instants: Vec<Timestamp>,
}

/// How a backfill ended.
#[derive(Debug, Default)]
pub struct BackfillSummary {
    pub succeeded: usize,
    pub failed: usize,
    /// Runs that were ended before they were done.
    pub cancelled: usize,
    /// Instants that another process ran, or is running.
    pub left: usize,
    /// Instants that were not reached.
    pub not_reached: usize,
}

/// Who hears of a backfill. It is told from several threads.
pub struct Hearers<'h> {
    /// The listeners of one more run.
    pub listeners: &'h (dyn Fn() -> Vec<Box<dyn Reporter>> + Sync),
    /// Each instant that is done with, and warnings about its run.
    pub ended: &'h (dyn Fn(&InstantRun, &[String]) + Sync),
}

/// Ends a backfill from outside.
#[derive(Default)]
pub struct Stop(Mutex<Stopped>);

#[derive(Default)]
struct Stopped {
    /// Whether nothing further is begun.
    holds: bool,
    by: Option<Interrupt>,
    live: Vec<UnboundedSender<Interrupt>>,
}

impl Stop {
    /// No further instant is begun, and what runs is ended as by this signal; each one is passed on.
    pub fn interrupt(&self, interrupt: Interrupt) {
        let mut stopped = lock(&self.0);
        stopped.by.get_or_insert(interrupt);
        stopped.live.retain(|run| run.send(interrupt).is_ok());
    }

    /// No further instant is begun, and what runs is finished.
    pub fn hold(&self) {
        lock(&self.0).holds = true;
    }

    fn goes_on(&self) -> bool {
        let stopped = lock(&self.0);
        !stopped.holds && stopped.by.is_none()
    }

    /// The first signal that came.
    pub fn signal(&self) -> Option<i32> {
        lock(&self.0).by.map(Interrupt::signal)
    }

    fn passes_on_to(&self, run: UnboundedSender<Interrupt>) {
        let mut stopped = lock(&self.0);
        stopped.live.retain(|run| !run.is_closed());
        if let Some(interrupt) = stopped.by {
            let _ = run.send(interrupt);
        }
        stopped.live.push(run);
    }
}

impl Backfill {
    /// Finds the instants.
    ///
    /// # Errors
    /// No or several schedules have that name; its file has errors; the home cannot be read.
    pub fn new(
        flag: Option<&Path>,
        name: &str,
        wanted: BackfillRequest,
        base: RunRequest,
    ) -> Result<Self, Error> {
        let home = HomeReader::open(flag)?;
        let named = named(&home, name, &[])?;
        let rhythm = &named.runnable()?.schedule().rhythm;
        let began = Timestamp::now();
        let last = wanted.to.min(began);
        let before = wanted.from.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(wanted.from);
        let all = rhythm.after(before).map(|instant| instant.at).take_while(|at| *at <= last);
        let all: Vec<_> = all.take(MAX_INSTANTS + 1).collect();
        if all.len() > MAX_INSTANTS {
            let message = format!("there are more than {} instants in that time", count(MAX_INSTANTS as u64));
            return Err(Error::invalid(message).hint("ask for a shorter time"));
        }
        let done = match &home.db {
            Some(db) if !wanted.all => {
                succeeded(db, &named.name, wanted.from, last).map_err(Error::history)?
            }
            _ => Default::default(),
        };
        let mut instants: Vec<_> = all.into_iter().filter(|at| !done.contains(at)).collect();
        if wanted.newest_first {
            instants.reverse();
        }
        Ok(Self { named, wanted, base, began, instants })
    }

    /// The whole name of the schedule.
    pub fn schedule(&self) -> &str {
        &self.named.name
    }

    /// The instants, in the order in which they are run.
    pub fn instants(&self) -> &[Timestamp] {
        &self.instants
    }

    /// Runs them in this process, to the end.
    ///
    /// # Errors
    /// The home cannot be used, or a run could not begin: nothing further is begun then.
    pub fn run(&self, flag: Option<&Path>, hearers: &Hearers, stop: &Stop) -> Result<BackfillSummary, Error> {
        let work = Work {
            backfill: self,
            claims: Claims::begin(flag)?,
            hearers,
            stop,
            state: Mutex::new(State { todo: self.instants.iter().copied().collect(), ..State::default() }),
        };
        std::thread::scope(|scope| {
            let jobs = self.wanted.jobs.clamp(1, self.instants.len().max(1));
            let mut threads = Vec::new();
            for _ in 0..jobs {
                match std::thread::Builder::new().spawn_scoped(scope, || work.go()) {
                    Ok(thread) => threads.push(thread),
                    Err(error) => {
                        work.give_up(Error::no_thread(error));
                        break;
                    }
                }
            }
            for thread in threads {
                thread.join().unwrap_or_else(|panic| resume_unwind(panic));
            }
        });
        let State { todo, mut summary, failure } =
            work.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        summary.not_reached = todo.len();
        match failure {
            Some(error) => Err(error),
            None => Ok(summary),
        }
    }
}

#[derive(Default)]
struct State {
    todo: VecDeque<Timestamp>,
    summary: BackfillSummary,
    /// Why nothing further is begun.
    failure: Option<Error>,
}

/// A backfill at work on several threads.
struct Work<'b> {
    backfill: &'b Backfill,
    claims: Claims<'b>,
    hearers: &'b Hearers<'b>,
    stop: &'b Stop,
    state: Mutex<State>,
}

impl Work<'_> {
    /// Runs one instant after the other, until none is left or none is to be begun.
    fn go(&self) {
        // On this thread alone: a builder of more threads panics where the system refuses one.
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return self.give_up(Error::no_thread(error)),
        };
        while let Some(at) = self.next() {
            match self.one(at, &runtime) {
                Ok(ended) => self.note(&ended),
                Err(error) => self.give_up(error),
            }
        }
        runtime.shutdown_background();
    }

    fn next(&self) -> Option<Timestamp> {
        let mut state = lock(&self.state);
        let BackfillSummary { failed, cancelled, .. } = state.summary;
        let goes_on = self.backfill.wanted.keep_going || failed + cancelled == 0;
        match goes_on && state.failure.is_none() && self.stop.goes_on() {
            true => state.todo.pop_front(),
            false => None,
        }
    }

    fn give_up(&self, error: Error) {
        lock(&self.state).failure.get_or_insert(error);
    }

    fn note(&self, ended: &Ended) {
        {
            let summary = &mut lock(&self.state).summary;
            match ended.run.instant.status.as_deref() {
                None => summary.left += 1,
                Some("succeeded") => summary.succeeded += 1,
                Some("cancelled") => summary.cancelled += 1,
                Some(_) => summary.failed += 1,
            }
        }
        (self.hearers.ended)(&ended.run, &ended.warnings);
    }

    /// Claims an instant and runs it, unless another process has.
    fn one(&self, at: Timestamp, runtime: &tokio::runtime::Runtime) -> Result<Ended, Error> {
        let Backfill { named, wanted, base, began, .. } = self.backfill;
        let schedule = named.runnable()?.schedule();
        let name = &*named.name;
        let run = RunId::make();
        let fires = schedule.fires(name, at);
        let wanted_claim = Claim {
            schedule: name,
            at,
            fires,
            became: Became::CaughtUp,
            trigger: Trigger::Backfill,
            run,
            claimant: self.claims.claimant.id,
            now: Timestamp::now(),
        };
        let answer = claim(&mut self.claims.connect()?, &self.claims.home, &wanted_claim, *began, wanted.all)
            .map_err(|error| Error::store(format!("the instant {at} cannot be claimed: {error}")))?;
        let left = |other: Option<RunId>, reason: &str| Ended {
            run: line(
                &wanted_claim,
                InstantRow { run: other, reason: Some(reason.to_owned()), ..row(&wanted_claim) },
            ),
            signal: None,
            warnings: Vec::new(),
        };
        match answer {
            BackfillAnswer::Claimed => {}
            BackfillAnswer::Busy(other) => return Ok(left(Some(other), "another process is running it")),
            BackfillAnswer::Done => return Ok(left(None, "another process has run it")),
        }
        let request = RunRequest {
            workflow: named.path.clone(),
            trigger: Trigger::Backfill,
            scheduled: Some(ScheduledRun { schedule: name.to_owned(), at: Some(at) }),
            ..base.clone()
        };
        let (sender, interrupts) = unbounded_channel();
        self.stop.passes_on_to(sender);
        let listeners = (self.hearers.listeners)();
        let ended = self.claims.run(&wanted_claim, request, schedule.max_runtime, listeners, interrupts);
        match runtime.block_on(ended) {
            // What one run lacks the others may have: an input file of its day.
            Err(error) if wanted.keep_going && error.kind != ErrorKind::Store => Ok(Ended {
                run: failed_line(&wanted_claim, &error.to_string()),
                signal: None,
                warnings: Vec::new(),
            }),
            ended => ended,
        }
    }
}
