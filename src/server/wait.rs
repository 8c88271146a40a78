//! Waits for whatever comes first: an instant, a change of a file, a request, a signal, the end of a run.
//!
//! Nothing is polled more often than every ten seconds, at which the clock is compared with the time that has passed: one that
//! was set makes all schedules be looked at.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc::UnboundedReceiver;

use super::daemon::{Daemon, OnExit};
use super::decide::Queue;
use super::events::ServerEvent;
use super::handle::DaemonCommand;
use super::runs::{Job, News};
use super::tick::About;
use crate::core::background::{Background, begin_or_do};
use crate::engine::Interrupt;
use crate::ops::watch::FolderWatch;
use crate::storage::db;
use crate::storage::schedules::claimant::wake_file;
use crate::storage::schedules::retention;

/// Maximum time between two looks at the clock, at other daemons and at files of whose changes nobody tells. Tests have none: what
/// is to be noticed at once cannot hide behind it.
const LOOK: Duration = Duration::from_secs(if cfg!(test) { 3600 } else { 10 });
/// Time between two looks at a file that does not load.
const BROKEN_LOOK: Duration = Duration::from_secs(2);
/// How long nothing must change after a change: editors and checkouts write several files.
const QUIET: Duration = Duration::from_millis(200);
/// How far the clock may differ from the time that has passed.
const MAX_DRIFT: SignedDuration = SignedDuration::from_secs(1);

/// All that a daemon waits for.
pub(super) struct Waits {
    signals: UnboundedReceiver<Interrupt>,
    news: UnboundedReceiver<News>,
    commands: UnboundedReceiver<DaemonCommand>,
    files: FolderWatch,
    requests: FolderWatch,
    /// What the clock and the time that passes were when they were last compared.
    anchor: (Timestamp, Instant),
    /// When the files are to be looked at again.
    look: Instant,
    pruning: Option<Background<Result<(), String>>>,
}

impl Waits {
    pub fn new(
        daemon: &Daemon,
        signals: UnboundedReceiver<Interrupt>,
        news: UnboundedReceiver<News>,
        commands: UnboundedReceiver<DaemonCommand>,
    ) -> Self {
        let (mut files, mut requests) = (FolderWatch::new(), FolderWatch::new());
        files.watch(&daemon.files.folders());
        let folder = wake_file(&daemon.home);
        requests.watch(&folder.parent().map(std::path::Path::to_owned).into_iter().collect::<BTreeSet<_>>());
        let anchor = (daemon.clock.now(), Instant::now());
        // What was edited since the files were loaded was reported to nobody: the first look comes at once.
        Self { signals, news, commands, files, requests, anchor, look: Instant::now(), pruning: None }
    }

    /// Whether the clock was set since the last look.
    fn clock_was_set(&mut self, now: Timestamp) -> bool {
        let (then, instant) = self.anchor;
        let passed = SignedDuration::try_from(instant.elapsed()).unwrap_or(SignedDuration::ZERO);
        let drift = now.duration_since(then) - passed;
        self.anchor = (now, Instant::now());
        drift.abs() > MAX_DRIFT
    }
}

/// What is still to be decided.
#[derive(Clone, Copy)]
struct Undecided {
    about: About,
    /// After a decision that could not be made: when to try again.
    held_off: Option<Instant>,
}

impl Undecided {
    /// Takes in whether the decision could be made: until then it is still about the same.
    fn take(&mut self, made: &Result<(), String>) {
        *self = match made {
            Ok(()) => Self { about: About::default(), held_off: None },
            Err(_) => Self { held_off: Some(Instant::now() + LOOK), ..*self },
        };
    }
}

impl Daemon {
    /// Runs what is due until it is to end.
    pub async fn live(&mut self, mut waits: Waits) {
        // The first look is at everything, at what dead daemons left as well.
        let mut undecided = Undecided { about: About { all: true, asked: true }, held_off: None };
        loop {
            if undecided.held_off.is_none_or(|until| until <= Instant::now()) {
                let made = self.act(undecided.about);
                undecided.take(&made);
                if let Err(message) = made {
                    self.tell(ServerEvent::Warning { message });
                }
            }
            let Undecided { about, held_off } = &mut undecided;
            self.prune(&mut waits);
            if self.options.once && held_off.is_some() {
                self.fail();
                return;
            }
            if self.is_done() {
                return;
            }
            let pause = self.pause(&waits, *held_off);
            tokio::select! {
                Some(interrupt) = waits.signals.recv() => self.take_signal(interrupt.signal(), about),
                Some(news) = waits.news.recv() => match news {
                    News::Overdue(run) => self.end_overdue(run),
                    News::Warning(message) => self.tell(ServerEvent::Warning { message }),
                    News::Ended(end) => self.take_end(*end),
                    News::BackfillEnded(number) => self.runs.backfill_ended(number),
                },
                Some(command) = waits.commands.recv() => self.take_command(command),
                () = waits.requests.changed() => about.asked = true,
                () = waits.files.changed() => {
                    tokio::time::sleep(QUIET).await;
                    waits.look = Instant::now();
                }
                () = tokio::time::sleep(pause) => {}
            }
            if waits.clock_was_set(self.clock.now()) {
                about.all = true;
            }
            if waits.look <= Instant::now() && self.stopping.is_none() {
                self.look(&mut waits);
            }
        }
    }

    /// Looks at the files, and says when to look again.
    fn look(&mut self, waits: &mut Waits) {
        self.load(false);
        waits.files.watch(&self.files.folders());
        let pause = if self.files.has_broken() { BROKEN_LOOK } else { LOOK };
        waits.look = Instant::now() + pause;
    }

    /// Does what is due.
    fn act(&mut self, about: About) -> Result<(), String> {
        if self.stopping.is_some() {
            return Ok(());
        }
        self.register().map_err(|error| error.to_string())?;
        self.start_asked();
        let mut about = about;
        while self.tick(about)? {
            about = About::default();
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        let is_idle = self.runs.is_idle();
        let waits = || self.asked.is_empty() && !self.queues.values().any(Queue::is_waiting);
        is_idle && (self.stopping.is_some() || (self.options.once && waits()))
    }

    /// How long nothing is due.
    fn pause(&self, waits: &Waits, held_off: Option<Instant>) -> Duration {
        if self.stopping.is_some() {
            // Files and instants do not matter any more; ends of runs and signals come by themselves.
            return LOOK;
        }
        let mut pause = LOOK.min(waits.look.saturating_duration_since(Instant::now()));
        if let Some(until) = held_off {
            // What is due has to wait with it.
            return pause.min(until.saturating_duration_since(Instant::now()));
        }
        let now = self.clock.now();
        for next in self.next.values().flatten() {
            let left = Duration::try_from(next.duration_since(now)).unwrap_or(Duration::ZERO);
            pause = pause.min(left);
        }
        pause
    }

    fn take_signal(&mut self, signal: i32, about: &mut About) {
        if signal == libc::SIGHUP {
            self.manager.reloading();
            self.load(true);
            self.manager.ready("files loaded again");
            about.all = true;
            return;
        }
        let is_second = self.stopping.is_some();
        if !is_second {
            self.manager.stopping();
            self.tell(ServerEvent::Stopping { runs: self.runs.count() });
        }
        if is_second || self.options.on_exit == OnExit::Cancel {
            self.runs.interrupt_all(signal);
        }
        self.stopping = Some(signal);
        self.asked.clear();
        self.runs.hold_backfills();
    }

    fn take_command(&mut self, command: DaemonCommand) {
        match command {
            DaemonCommand::Start { run, prepared, reply } => {
                let taken = match self.stopping {
                    Some(_) => Err(crate::ops::Error::conflict("the daemon ends: nothing new begins")),
                    None => Ok(()),
                };
                if taken.is_ok() {
                    let prepare = Box::new(move || Ok(*prepared));
                    self.asked.push_back(Job { run, of: None, prepare, max_runtime: None });
                    self.start_asked();
                }
                let _ = reply.send(taken);
            }
            DaemonCommand::Waits { run, reply } => {
                let _ = reply.send(self.asked.iter().any(|job| job.run == run));
            }
            DaemonCommand::Backfill { backfill, reply } => {
                let taken = self.stopping.is_none();
                if taken {
                    self.runs.start_backfill(*backfill);
                }
                let _ = reply.send(taken);
            }
            DaemonCommand::Cancel { run, reply } => {
                let before = self.asked.len();
                self.asked.retain(|job| job.run != run);
                let was_waiting = self.asked.len() < before;
                let _ = reply.send(was_waiting || self.runs.interrupt(run, Interrupt::Cancel));
            }
        }
    }

    /// Removes what is too old beside everything else.
    fn prune(&mut self, waits: &mut Waits) {
        if waits.pruning.as_ref().is_some_and(|pruning| !pruning.is_finished()) {
            return;
        }
        let due = self.take_unpruned(false);
        if due.is_empty() {
            return;
        }
        let home = self.home.clone();
        waits.pruning = Some(begin_or_do("pruning", move || {
            let (mut db, _) = db::open(home.path()).map_err(|error| error.to_string())?;
            due.iter().try_for_each(|(name, keep)| retention::prune(&mut db, &home, name, *keep).map(drop))
        }));
    }
}

#[cfg(test)]
#[path = "wait_tests.rs"]
mod tests;
