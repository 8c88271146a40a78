//! Runs in this process, each on a thread and a runtime of its own. A panic in one ends that one.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::core::event::{Counts, Status};
use crate::core::reporter::Reporter;
use crate::core::run_id::RunId;
use crate::engine::Interrupt;
use crate::ops::notify::NotifyRules;
use crate::ops::prepare::PreparedRun;
use crate::ops::run::RunResult;
use crate::ops::run_lock::{Turn, take_turn};
use crate::ops::schedules::backfill::{Backfill, Hearers, Stop};
use crate::ops::{Error, ErrorKind, NO_THREAD};
use crate::view::model::schedule_row::InstantRun;

/// The runs that go on in this process.
pub struct Runs {
    home: Option<PathBuf>,
    live: BTreeMap<RunId, UnboundedSender<Interrupt>>,
    /// Backfills that go on, by a number of their own.
    backfills: BTreeMap<u64, Arc<Stop>>,
    next_backfill: u64,
    news: UnboundedSender<News>,
}

/// A run that is to begin.
pub struct Job {
    pub run: RunId,
    /// Its schedule by whole name, and the instant.
    pub of: Option<(String, Timestamp)>,
    /// Reads and checks what is to be run, on the run's own thread.
    pub prepare: Box<dyn FnOnce() -> Result<PreparedRun, Error> + Send>,
    pub max_runtime: Option<Duration>,
}

/// What a run has to tell.
pub enum News {
    /// It takes longer than it may.
    Overdue(RunId),
    /// Something that is to be said.
    Warning(String),
    Ended(Box<RunEnd>),
    /// A backfill has ended.
    BackfillEnded(u64),
}

/// The end of a run.
pub struct RunEnd {
    pub run: RunId,
    pub of: Option<(String, Timestamp)>,
    pub outcome: RunEnding,
    /// Who is told of it.
    pub rules: NotifyRules,
    pub duration: Duration,
}

/// How it ended.
pub enum RunEnding {
    Ran {
        status: Status,
        counts: Counts,
        warnings: Vec<String>,
    },
    /// Nothing of it ran.
    NotBegun {
        status: Status,
        reason: String,
    },
    /// This fault of the program ended it; it counts as interrupted.
    Panicked(String),
}

impl Runs {
    /// No runs yet; `news` comes from all of them.
    pub fn new(home: Option<PathBuf>) -> (Self, UnboundedReceiver<News>) {
        let (news, receiver) = unbounded_channel();
        let (live, backfills) = (BTreeMap::new(), BTreeMap::new());
        (Self { home, live, backfills, next_backfill: 0, news }, receiver)
    }

    pub fn count(&self) -> usize {
        self.live.len()
    }

    /// Whether nothing goes on.
    pub fn is_idle(&self) -> bool {
        self.live.is_empty() && self.backfills.is_empty()
    }

    /// Runs past instants of a schedule on threads of their own, beside everything else.
    pub fn start_backfill(&mut self, backfill: Backfill) {
        let (number, stop) = (self.next_backfill, Arc::<Stop>::default());
        self.next_backfill += 1;
        self.backfills.insert(number, stop.clone());
        let (news, home) = (self.news.clone(), self.home.clone());
        let told = news.clone();
        let name = format!("the backfill of {}", backfill.schedule());
        let work = move || {
            let hears = |_: &InstantRun, warnings: &[String]| {
                for warning in warnings {
                    let _ = news.send(News::Warning(format!("{name}: {warning}")));
                }
            };
            let nobody = || -> Vec<Box<dyn Reporter>> { Vec::new() };
            let hearers = Hearers { listeners: &nobody, ended: &hears };
            let done = catch_unwind(AssertUnwindSafe(|| backfill.run(home.as_deref(), &hearers, &stop)));
            let problem = match done {
                Ok(Ok(_)) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("a fault of runner ended it".to_owned()),
            };
            if let Some(problem) = problem {
                let _ = news.send(News::Warning(format!("{name} ended: {problem}")));
            }
            let _ = news.send(News::BackfillEnded(number));
        };
        if let Err(error) = std::thread::Builder::new().name("backfill".into()).spawn(work) {
            let _ = told.send(News::Warning(format!("a backfill cannot begin: {NO_THREAD}: {error}")));
            let _ = told.send(News::BackfillEnded(number));
        }
    }

    /// No backfill begins another run.
    pub fn hold_backfills(&self) {
        self.backfills.values().for_each(|stop| stop.hold());
    }

    /// Forgets a backfill that has ended.
    pub fn backfill_ended(&mut self, number: u64) {
        self.backfills.remove(&number);
    }

    /// Where news goes.
    pub fn sender(&self) -> UnboundedSender<News> {
        self.news.clone()
    }

    /// Begins a run. Whatever becomes of it, its end is told.
    pub fn start(&mut self, job: Job) {
        let (interrupt, interrupts) = unbounded_channel();
        let (run, of) = (job.run, job.of.clone());
        let (news, home) = (self.news.clone(), self.home.clone());
        self.live.insert(run, interrupt);
        let thread = std::thread::Builder::new().name(format!("run {run}"));
        let told = news.clone();
        let spawned = thread.spawn(move || {
            let (run, of, begun) = (job.run, job.of.clone(), Instant::now());
            let mut rules = NotifyRules::default();
            let outcome =
                catch_unwind(AssertUnwindSafe(|| perform(job, home, interrupts, &news, &mut rules)));
            let outcome = outcome.unwrap_or_else(|panic| RunEnding::Panicked(panic_text(&*panic)));
            // The daemon may have ended without waiting.
            let _ = news.send(News::Ended(Box::new(RunEnd {
                run,
                of,
                outcome,
                rules,
                duration: begun.elapsed(),
            })));
        });
        if let Err(error) = spawned {
            let outcome =
                RunEnding::NotBegun { status: Status::Failed, reason: format!("{NO_THREAD}: {error}") };
            let (rules, duration) = (NotifyRules::default(), Duration::ZERO);
            let _ = told.send(News::Ended(Box::new(RunEnd { run, of, outcome, rules, duration })));
        }
    }

    /// Ends a run as a signal would; false if it is none of this process.
    pub fn interrupt(&self, run: RunId, interrupt: Interrupt) -> bool {
        // One that has just ended hears nothing any more.
        self.live.get(&run).is_some_and(|sender| sender.send(interrupt).is_ok())
    }

    /// Ends all of them.
    pub fn interrupt_all(&self, signal: i32) {
        for sender in self.live.values() {
            let _ = sender.send(Interrupt::Signal(signal));
        }
        self.backfills.values().for_each(|stop| stop.interrupt(Interrupt::Signal(signal)));
    }

    /// Forgets a run that has ended.
    pub fn ended(&mut self, run: RunId) {
        self.live.remove(&run);
    }
}

fn perform(
    job: Job,
    home: Option<PathBuf>,
    interrupts: UnboundedReceiver<Interrupt>,
    news: &UnboundedSender<News>,
    rules: &mut NotifyRules,
) -> RunEnding {
    // On this thread alone: a builder of more threads panics where the system refuses one.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let reason = format!("{NO_THREAD}: {error}");
            return RunEnding::NotBegun { status: Status::Failed, reason };
        }
    };
    let outcome = runtime.block_on(async {
        let (run, limit) = (job.run, job.max_runtime);
        let whole = run_to_its_end(job, home, interrupts, rules);
        tokio::pin!(whole);
        if let Some(limit) = limit {
            tokio::select! {
                outcome = &mut whole => return outcome,
                () = tokio::time::sleep(limit) => drop(news.send(News::Overdue(run))),
            }
        }
        whole.await
    });
    runtime.shutdown_background();
    outcome
}

async fn run_to_its_end(
    job: Job,
    home: Option<PathBuf>,
    mut interrupts: UnboundedReceiver<Interrupt>,
    rules: &mut NotifyRules,
) -> RunEnding {
    let not_begun = |status, reason| RunEnding::NotBegun { status, reason };
    let failed = |error: Error| match error.kind {
        // A signal came while it opened the home.
        ErrorKind::Interrupted(_) => not_begun(Status::Cancelled, "ended before it began".into()),
        _ => not_begun(Status::Failed, error.one_line()),
    };
    let prepared = match (job.prepare)() {
        Ok(prepared) => prepared,
        Err(error) => return failed(error),
    };
    *rules = NotifyRules::of_prepared(&prepared);
    let prepared = match prepared.ready() {
        Ok(prepared) => prepared,
        Err(error) => return failed(error),
    };
    let home = home.as_deref();
    let turn = match take_turn(job.run, &prepared, home, &mut [], &mut interrupts).await {
        Ok(Turn::Taken(turn)) => turn,
        Ok(Turn::Skipped) => {
            return not_begun(Status::Skipped, "another run holds the lock of the workflow".into());
        }
        Ok(Turn::Interrupted(_)) => {
            return not_begun(Status::Cancelled, "ended while it waited for a lock".into());
        }
        Err(error) => return failed(error),
    };
    match crate::ops::run::run(prepared, turn, home, Vec::new(), interrupts).await {
        Ok(RunResult { summary, history, mut warnings, missing, .. }) => {
            warnings.extend(history.map(|problem| format!("its history is incomplete: {problem}")));
            if !missing.is_empty() {
                warnings.push(format!("some of its output files do not exist: {}", missing.join(", ")));
            }
            RunEnding::Ran { status: summary.status, counts: summary.counts, warnings }
        }
        Err(error) => failed(error),
    }
}

/// What a panic says, in one line.
fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a message").replace('\n', "; ")
}
