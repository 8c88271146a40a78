//! One decision: a transaction reads the state of the schedules and writes what is decided; then it is carried out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;

use super::daemon::Daemon;
use super::decide::{Action, AskedRun, Queue, Subject, Verdict, decide};
use super::events::ServerEvent;
use super::notices::Notices;
use super::runs::Job;
use crate::core::event::Status;
use crate::core::run_id::RunId;
use crate::core::run_request::RunRequest;
use crate::core::schedule::{ScheduledRun, Trigger};
use crate::engine::Interrupt;
use crate::ops::prepare::prepare_opened;
use crate::ops::schedules::LoadedSchedule;
use crate::storage::damage::suspect;
use crate::storage::db;
use crate::storage::schedules::requests::{Answer, Request, ask_within};
use crate::storage::schedules::tick::{
    Claim, Died, Record, Standing, Tick, note_end, note_not_begun, note_panicked,
};
use crate::storage::schedules::untold::UntoldEvent;
use crate::storage::schedules::{Became, EndedBy, claimant};

/// What a decision is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct About {
    /// All schedules, not only those of which something is due.
    pub all: bool,
    /// What other processes have asked for as well.
    pub asked: bool,
}

/// What follows from a decision once it is written.
#[derive(Default)]
struct Consequences {
    jobs: Vec<Job>,
    /// Runs of this process that are ended, with the signal.
    ends: Vec<RunId>,
    /// Whether another daemon was asked for something.
    wake: bool,
    events: Vec<ServerEvent>,
    missed: BTreeMap<String, Vec<Timestamp>>,
    died: Vec<Died>,
    untold: Vec<UntoldEvent>,
    verdicts: Vec<(String, Verdict)>,
    /// Schedules that the database does not know any more.
    unknown: bool,
}

impl Daemon {
    /// Decides and acts on it; nothing is written where nothing is due. Whether to decide again at once.
    ///
    /// # Errors
    /// The database refuses; nothing has changed then.
    pub(super) fn tick(&mut self, about: About) -> Result<bool, String> {
        let now = self.clock.now();
        let mut names: BTreeSet<String> =
            self.schedules.keys().filter(|name| about.all || self.is_due(name, now)).cloned().collect();
        if names.is_empty() && !about.asked {
            return Ok(false);
        }
        let mut db = self.open_database()?;
        let settled = self.notices.as_ref().map(Notices::take_settled).unwrap_or_default();
        let done = self.decide_in(&mut db, &mut names, now, about, &settled);
        let done = done.map_err(|error| {
            suspect(self.home.path(), &error);
            format!("the database refused: {error}")
        })?;
        let again = done.verdicts.iter().any(|(_, verdict)| verdict.again);
        self.follow(done);
        Ok(again)
    }

    fn is_due(&self, name: &str, now: Timestamp) -> bool {
        self.queues.get(name).is_some_and(Queue::is_waiting)
            || self.next.get(name).is_none_or(|next| next.is_some_and(|next| next <= now))
    }

    /// The database for one transaction: while nothing is due it is not open.
    pub(super) fn open_database(&mut self) -> Result<Connection, String> {
        let (db, warning) = db::open(self.home.path()).map_err(|error| error.to_string())?;
        if let Some(message) = warning {
            // What was registered may be gone.
            self.registered = None;
            self.tell(ServerEvent::Warning { message });
        }
        Ok(db)
    }

    fn decide_in(
        &self,
        db: &mut Connection,
        names: &mut BTreeSet<String>,
        now: Timestamp,
        about: About,
        settled: &[UntoldEvent],
    ) -> rusqlite::Result<Consequences> {
        let tick = Tick::begin(db, &self.home)?;
        settled.iter().try_for_each(|event| tick.settle(event))?;
        let mut done = Consequences { died: tick.free_dead()?, ..Consequences::default() };
        done.untold = tick.take_untold(self.claimant.id, |name| self.schedules.contains_key(name))?;
        let mut queues: BTreeMap<String, Queue> = BTreeMap::new();
        // A freed instant comes again at once.
        for Died { schedule, .. } in done.died.iter().filter(|died| !died.begun) {
            if self.schedules.contains_key(schedule) {
                let known = || self.queues.get(schedule).cloned().unwrap_or_default();
                queues.entry(schedule.clone()).or_insert_with(known).look_again();
                names.insert(schedule.clone());
            }
        }
        if about.asked {
            self.take_requests(&tick, &mut queues, names, now, &mut done)?;
        }
        let mut standings: Vec<(&LoadedSchedule, Standing, Queue)> = Vec::new();
        for name in names.iter() {
            let Some(served) = self.schedules.get(name) else { continue };
            let Some(standing) = tick.standing(name)? else {
                done.unknown = true;
                continue;
            };
            let known = || self.queues.get(name).cloned().unwrap_or_default();
            let queue = queues.remove(name).unwrap_or_else(known);
            standings.push((served, standing, queue));
        }
        let subjects: Vec<Subject> = standings
            .iter()
            .map(|(served, standing, queue)| Subject {
                name: &served.name,
                schedule: served.schedule(),
                standing,
                queue,
            })
            .collect();
        let slots = self.options.max_runs.saturating_sub(self.runs.count());
        for (verdict, (served, ..)) in decide(now, slots, &subjects).into_iter().zip(&standings) {
            for action in &verdict.actions {
                self.write(&tick, served, action, now, &mut done)?;
            }
            done.verdicts.push((served.name.clone(), verdict));
        }
        tick.commit()?;
        Ok(done)
    }

    /// Takes up what other processes ask for.
    fn take_requests(
        &self,
        tick: &Tick,
        queues: &mut BTreeMap<String, Queue>,
        names: &mut BTreeSet<String>,
        now: Timestamp,
        done: &mut Consequences,
    ) -> rusqlite::Result<()> {
        for request in tick.asked(self.claimant.id)? {
            let name = request.schedule;
            match request.request {
                Request::Cancel { run } => {
                    done.ends.push(run);
                    tick.answer(request.id, &Answer::Accepted)?;
                }
                Request::Trigger { run, at, given, trigger } if self.schedules.contains_key(&name) => {
                    let known = || self.queues.get(&name).cloned().unwrap_or_default();
                    let queue = queues.entry(name.clone()).or_insert_with(known);
                    queue.ask(AskedRun { request: Some(request.id), run, at, given, trigger }, now);
                    names.insert(name);
                }
                Request::Trigger { .. } => {
                    let reason = "the daemon does not serve it any more".to_owned();
                    tick.answer(request.id, &Answer::Refused { reason })?;
                }
            }
        }
        Ok(())
    }

    /// Writes one action, and notes what follows from it.
    fn write(
        &self,
        tick: &Tick,
        served: &LoadedSchedule,
        action: &Action,
        now: Timestamp,
        done: &mut Consequences,
    ) -> rusqlite::Result<()> {
        let (schedule, claimant) = (&*served.name, self.claimant.id);
        let mut became_known = |at: Timestamp, became: Became, run: Option<RunId>| {
            done.events.push(ServerEvent::Instant { schedule: schedule.to_owned(), at, became, run });
        };
        match action {
            Action::Run { at, fires, became, trigger, asked } => {
                let run = asked.as_ref().map_or_else(RunId::make, |asked| asked.run);
                let claim = Claim {
                    schedule,
                    at: *at,
                    fires: *fires,
                    became: *became,
                    trigger: *trigger,
                    run,
                    claimant,
                    now,
                };
                if tick.claim(&claim)? {
                    became_known(*at, *became, Some(run));
                    done.jobs.push(self.job(served, run, *at, *trigger, asked.as_deref()));
                }
            }
            Action::Record { at, fires, became, reason } => {
                let record = Record {
                    schedule,
                    at: *at,
                    fires: *fires,
                    became: *became,
                    reason: Some(reason),
                    claimant,
                    now,
                };
                if tick.record(&record)? {
                    became_known(*at, *became, None);
                    if *became == Became::Missed {
                        done.missed.entry(schedule.to_owned()).or_default().push(*at);
                    }
                }
            }
            Action::End(live) => {
                tick.ends(live.run, EndedBy::Replaced)?;
                if live.claimant == claimant {
                    done.ends.push(live.run);
                } else {
                    ask_within(tick, live.claimant, schedule, &Request::Cancel { run: live.run }, now)?;
                    done.wake = true;
                }
            }
            Action::Answer { request, answer } => tick.answer(*request, answer)?,
            Action::Account(up_to) => tick.account(schedule, *up_to)?,
        }
        Ok(())
    }

    /// The run of an instant, with the workflow as it last loaded.
    fn job(
        &self,
        served: &LoadedSchedule,
        run: RunId,
        at: Timestamp,
        trigger: Trigger,
        asked: Option<&AskedRun>,
    ) -> Job {
        let request = RunRequest {
            workflow: served.path().to_owned(),
            given: asked.map(|asked| asked.given.clone()).unwrap_or_default(),
            jobs: self.options.jobs,
            trigger,
            scheduled: Some(ScheduledRun { schedule: served.name.clone(), at: Some(at) }),
            ..RunRequest::default()
        };
        let opened = served.opened.clone();
        Job {
            run,
            of: Some((served.name.clone(), at)),
            prepare: Box::new(move || prepare_opened(request, (*opened).clone())),
            max_runtime: served.schedule().max_runtime.and_then(|limit| Duration::try_from(limit).ok()),
        }
    }

    /// Does what was decided, now that it is written.
    fn follow(&mut self, done: Consequences) {
        for (name, verdict) in done.verdicts {
            if verdict.again {
                self.next.remove(&name);
            } else {
                self.next.insert(name.clone(), verdict.next);
            }
            self.queues.insert(name, verdict.queue);
        }
        for job in done.jobs {
            if let Some((name, _)) = &job.of {
                *self.begun.entry(name.clone()).or_default() += 1;
            }
            self.runs.start(job);
        }
        for run in done.ends {
            self.runs.interrupt(run, Interrupt::Cancel);
        }
        if done.wake {
            claimant::wake(&self.home);
        }
        for event in done.events {
            self.tell(event);
        }
        if done.unknown {
            self.registered = None;
        }
        for (name, instants) in done.missed {
            self.tell_missed(&name, instants);
        }
        for died in done.died {
            self.tell_died(&died);
        }
        for event in done.untold {
            self.tell_untold(event);
        }
    }

    /// Notes why a run is being ended, and then ends it.
    pub(super) fn end_overdue(&mut self, run: RunId) {
        self.note(|db| note_end(db, run, EndedBy::Timeout));
        self.runs.interrupt(run, Interrupt::Overdue);
    }

    /// Notes that a fault of this program ended a run.
    pub(super) fn note_panicked(&mut self, run: RunId, reason: &str) {
        self.note(|db| note_panicked(db, run, reason));
    }

    /// Notes that a run did not begin.
    pub(super) fn note_not_begun(&mut self, run: RunId, status: Status, reason: &str) {
        self.note(|db| note_not_begun(db, run, status, reason));
    }

    /// Writes something down; where that fails, people are warned. Claims of dead processes are left for the next decision, which
    /// tells of them.
    pub(super) fn note(&mut self, write: impl FnOnce(&Connection) -> rusqlite::Result<()>) {
        let noted = self.open_database().and_then(|db| write(&db).map_err(|error| error.to_string()));
        if let Err(message) = noted {
            self.tell(ServerEvent::Warning { message });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::runs::News;
    use crate::server::tests::decisions::{ALL, HeldDaemon, ask, edit};
    use crate::server::tests::place;
    use crate::storage::schedules::listing;

    #[test]
    fn a_run_has_the_jobs_of_the_daemon_and_the_time_of_its_schedule() {
        let dir = place("every = '1000h'\nmax_runtime = '7m'");
        let HeldDaemon { daemon, .. } = HeldDaemon::new(&dir, |options| options.jobs = Some(3));
        let served = &daemon.schedules["w/s"];
        let job = daemon.job(served, RunId::make(), Timestamp::now(), Trigger::Schedule, None);
        assert_eq!(job.max_runtime, Some(Duration::from_secs(7 * 60)));
        assert_eq!((job.prepare)().unwrap().request.jobs, Some(3));
    }

    #[test]
    fn a_run_that_takes_too_long_is_ended_and_why_is_noted() {
        let dir = place("every = '1000h'\nmax_runtime = '1s'");
        edit(&dir, "run = 'true'", "run = 'sleep 600; : overdue'");
        let mut held = HeldDaemon::new(&dir, |_| {});
        let run = RunId::make();
        ask(&mut held, run);
        held.daemon.tick(ALL).unwrap();
        match held.news.blocking_recv().unwrap() {
            News::Overdue(overdue) => held.daemon.end_overdue(overdue),
            _ => panic!("it takes too long first"),
        }
        held.ends(1);
        let (db, home) = (held.database(), held.daemon.home.clone());
        assert_eq!(listing::of_run(&db, &home, run).unwrap().unwrap().ended_by, Some(EndedBy::Timeout));
        assert_ne!(held.said("ended")[0]["status"], "succeeded");
    }

    #[test]
    fn what_another_one_has_claimed_is_neither_run_nor_told() {
        let dir = place("every = '1000h'");
        let HeldDaemon { mut daemon, .. } = HeldDaemon::new(&dir, |_| {});
        let mut db = daemon.open_database().unwrap();
        let home = daemon.home.clone();
        let tick = Tick::begin(&mut db, &home).unwrap();
        let served = &daemon.schedules["w/s"];
        let now = Timestamp::now();
        let at = |minute: i64| Timestamp::from_second(1_800_000_000 + minute * 60).unwrap();
        let other = RunId::make();
        for minute in [1, 2] {
            let (at, became, trigger) = (at(minute), Became::Fired, Trigger::Schedule);
            let (run, schedule, fires) = (RunId::make(), "w/s", at);
            let claim = Claim { schedule, at, fires, became, trigger, run, claimant: other, now };
            assert!(tick.claim(&claim).unwrap());
        }
        let run = |minute| Action::Run {
            at: at(minute),
            fires: at(minute),
            became: Became::Fired,
            trigger: Trigger::Schedule,
            asked: None,
        };
        let record =
            |minute, became| Action::Record { at: at(minute), fires: at(minute), became, reason: "" };
        let mut done = Consequences::default();
        for action in [run(1), record(2, Became::Missed)] {
            daemon.write(&tick, served, &action, now, &mut done).unwrap();
        }
        assert_eq!((done.jobs.len(), done.events.len(), done.missed.len()), (0, 0, 0));
        for action in [run(3), record(4, Became::Missed), record(5, Became::Overlapped)] {
            daemon.write(&tick, served, &action, now, &mut done).unwrap();
        }
        assert_eq!((done.jobs.len(), done.events.len()), (1, 3));
        assert_eq!(done.missed["w/s"], [at(4)]);
    }
}
