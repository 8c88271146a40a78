//! Attempts as jobs of a batch system. Knows no batch system: one is behind [`BatchSystem`].
//!
//! | file | owns |
//! |---|---|
//! | `system.rs` | the three commands, and the intents that are written before the first |
//! | `folder.rs`, `record.rs` | the folder in which runner and job meet, and the journal in it |
//! | `job.rs` | the job on its node |
//! | `calls.rs` | how often the batch system is called |
//! | `left.rs` | jobs that no runner attends to, and their end |
//! | `chunks.rs` | attempts that wait for a job, and how many share one |
//! | `booked.rs` | where one job stands, its attempts, and what they print |
//! | `book.rs`, `verdict.rs`, `ends.rs` | what is known of each job, and what follows; how jobs end without a record |
//! | `threads.rs` | two threads: one that looks and decides, one that calls |
//! | this file | what an attempt sees of all this |
//!
//! Only a record ends an attempt well. What the batch system says explains, and never proves success.

mod book;
mod booked;
mod calls;
mod chunks;
mod ends;
mod folder;
mod job;
mod left;
mod record;
mod system;
#[cfg(test)]
mod tests;
mod threads;
mod verdict;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use self::booked::{AdoptedJob, JobEnd, ReadyAttempt};
use self::calls::{CallCounts, Counted};
use self::chunks::SeatRequest;
use self::ends::{given_back, outcome};
use self::threads::{Desk, Message, attend};
use crate::core::background::{begin, begin_or_do};
use crate::core::executor_calls::ExecutorCalls;
use crate::core::lock::lock;

use super::{Cancel, End, Level, Outcome};

pub use folder::{ClaimHolder, JobFolder, JobSpec};
pub use job::run_job;
pub use left::{LeftJob, end_left};
pub use record::{JobRecord, RecordedEnd, RecordedFile};
pub use system::{
    BatchSystem, Chunking, JobIntent, JobLedger, JobNeeds, JobRequest, JobWish, SubmitFault, SystemJob,
    SystemState,
};

/// How an executor treats its jobs.
#[derive(Clone, Debug)]
pub struct BatchSettings {
    pub max_in_flight: usize,
    pub submits_per_minute: usize,
    pub poll_interval: Duration,
    pub record_interval: Duration,
    pub record_wait: Duration,
    pub lost_after: Duration,
    pub stuck_after: Duration,
    /// Where jobs have their folders.
    pub folder: PathBuf,
    /// The names of jobs begin with it.
    pub prefix: String,
}

/// What is heard of a job while it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobNews {
    Submitted { job: String, name: String },
    Started { job: String, host: Option<String> },
    Warning(String),
}

/// What an attempt without a good end is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFault {
    pub kind: JobFaultKind,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobFaultKind {
    /// It may be done again.
    Lost,
    /// The time of its job was up, which it shared with others: it is done again alone.
    Crowded,
    /// Its job ended before it began: it is done again.
    NotBegun,
    /// The run stopped before it began.
    GivenBack,
    Spawn,
    Signal,
    Timeout,
    /// By somebody else.
    Cancelled,
    Output,
    /// It goes on without the runner.
    Left,
}

/// What an attempt wants of a job.
pub struct SeatWish {
    pub wish: JobWish,
    /// Those with a lower number go first.
    pub order: u64,
    /// The digest of what it does, and the node.
    pub work: String,
    pub label: String,
    /// How long it may take, from what is known of earlier ones.
    pub expected: Option<Duration>,
}

/// A place in a job. When it is dropped nobody needs what the attempt left there.
pub struct Seat {
    pub name: String,
    pub folder: JobFolder,
    /// The attempt's number in the job, from 1.
    pub attempt: usize,
    messages: Sender<Message>,
}

impl Seat {
    /// Leaves the job as it is.
    pub fn keep(mut self) {
        self.name.clear();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.name.is_empty() {
            return;
        }
        let (name, folder) = (std::mem::take(&mut self.name), self.folder.clone());
        let _ = self.messages.send(Message::Settle(name, folder, self.attempt));
    }
}

/// An attempt that was made ready in its place.
pub struct JobAttempt<'s> {
    pub seat: &'s Seat,
    /// For a job that another run submitted: its id, if that is known, and how many attempts it has.
    pub submitted: Option<(Option<String>, usize)>,
    pub wish: JobWish,
    /// The file that gets what the command prints.
    pub log: PathBuf,
    pub news: Box<dyn Fn(JobNews) + Send>,
}

/// How a job ended, and where it ran.
pub struct JobOutcome {
    pub outcome: Outcome,
    pub host: Option<String>,
}

/// The jobs of one executor in one run.
pub struct Batch {
    settings: BatchSettings,
    /// Taken when the first job comes.
    parts: Mutex<Option<BatchParts>>,
    messages: OnceLock<Result<Mutex<Sender<Message>>, String>>,
    /// How urgently all jobs were called off.
    asked: AtomicU8,
    /// Whether the run begins nothing more.
    stopped: Arc<AtomicBool>,
    calls: Arc<CallCounts>,
    /// Whether nothing more is to be submitted.
    letting_go: Arc<AtomicBool>,
}

/// What a batch is made of.
pub struct BatchParts {
    pub system: Box<dyn BatchSystem>,
    pub ledger: Box<dyn JobLedger>,
    /// What the batch system starts for a folder.
    pub script: ScriptMaker,
}

/// Makes what a batch system starts for the job of a folder.
pub type ScriptMaker = Box<dyn Fn(&JobFolder) -> Result<String, String> + Send>;

impl Batch {
    pub fn new(settings: BatchSettings, parts: BatchParts) -> Self {
        let calls: Arc<CallCounts> = Arc::default();
        let system = Box::new(Counted { system: parts.system, counts: Arc::clone(&calls) });
        Self {
            settings,
            parts: Mutex::new(Some(BatchParts { system, ..parts })),
            messages: OnceLock::new(),
            asked: AtomicU8::new(0),
            stopped: Arc::default(),
            calls,
            letting_go: Arc::default(),
        }
    }

    /// How often the batch system was called.
    pub fn calls(&self) -> ExecutorCalls {
        self.calls.so_far()
    }

    /// Waits for a place in a job that is about to be submitted.
    ///
    /// # Errors
    /// How the attempt ended instead.
    pub async fn seat(&self, wanted: SeatWish, cancel: &Cancel) -> Result<Seat, End> {
        let (reply, seated) = oneshot::channel();
        let SeatWish { wish, order, work, label, expected } = wanted;
        let request = SeatRequest { order, work, label, expected, reply };
        self.send(Message::Seat(Box::new((wish, request)))).map_err(End::NotStarted)?;
        tokio::select! {
            seat = seated => seat.map_err(|_| given_back()),
            () = cancel.reached(Level::Terminate) => Err(End::Cancelled),
        }
    }

    /// The place of an attempt in a job of another run.
    ///
    /// # Errors
    /// The threads that attend to jobs cannot be started.
    pub fn seat_of(&self, name: String, folder: JobFolder, attempt: usize) -> Result<Seat, String> {
        let messages = lock(self.sender()?).clone();
        Ok(Seat { name, folder, attempt, messages })
    }

    /// Waits for the end of an attempt that is ready; `cancel` calls off all jobs, and `let_go` leaves them to themselves.
    pub async fn run(&self, attempt: JobAttempt<'_>, cancel: &Cancel, let_go: &Cancel) -> JobOutcome {
        let JobAttempt { seat, submitted, wish, log, news } = attempt;
        let (done, ended) = oneshot::channel::<JobEnd>();
        let ready = ReadyAttempt { mirror: log, news, done: Box::new(move |end| drop(done.send(end))) };
        let number = seat.attempt;
        let message = match submitted {
            None => Message::Ready(seat.name.clone(), number, ready),
            Some((id, size)) => {
                let (name, folder) = (seat.name.clone(), seat.folder.clone());
                let adopted = AdoptedJob { name, folder, id, size };
                Message::Adopt(Box::new((adopted, wish)), number, ready)
            }
        };
        if let Err(problem) = self.send(message) {
            return JobOutcome { outcome: outcome(End::NotStarted(problem)), host: None };
        }
        tokio::pin!(ended);
        let (mut heard, mut left) = (Level::None, false);
        let end = loop {
            let next = if heard == Level::None { Level::Terminate } else { Level::Kill };
            tokio::select! {
                biased;
                end = &mut ended => break end,
                () = let_go.reached(Level::Terminate), if !left => {
                    left = true;
                    self.let_go();
                }
                () = cancel.reached(next), if heard < Level::Kill && !left => {
                    heard = cancel.level();
                    self.call_off(heard);
                }
            }
        };
        let Ok(JobEnd { outcome: ended, record, host }) = end else {
            let message = "the thread that attends to jobs ended early".to_owned();
            return JobOutcome { outcome: outcome(End::NotStarted(message)), host: None };
        };
        let outcome = match (&ended.end, record) {
            (End::Exited(0), Some(record)) if !record.results.is_empty() => self.arrived(ended, record).await,
            _ => ended,
        };
        JobOutcome { outcome, host }
    }

    /// Calls off all jobs; the first that asks does it for all.
    fn call_off(&self, level: Level) {
        let urgency = if level == Level::Kill { 2 } else { 1 };
        if self.asked.fetch_max(urgency, Ordering::Relaxed) < urgency {
            let _ = self.send(Message::Cancel(level));
        }
    }

    /// Leaves all jobs to themselves; the first that asks does it for all.
    fn let_go(&self) {
        if !self.letting_go.swap(true, Ordering::Relaxed) {
            let _ = self.send(Message::LetGo);
        }
    }

    /// The run begins nothing more: what has not begun never will.
    pub fn give_back(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        if self.messages.get().is_some() {
            let _ = self.send(Message::GiveBack);
        }
    }

    /// The run begins more after all.
    pub fn resume(&self) {
        self.stopped.store(false, Ordering::Relaxed);
    }

    /// Waits until the files of a record are here: a file system may be late.
    async fn arrived(&self, outcome: Outcome, record: JobRecord) -> Outcome {
        let begun = Instant::now();
        let mut pause = Duration::from_millis(20);
        let mut results = record.results;
        loop {
            let checking = begin_or_do("results", move || (job::check(&results), results));
            let Ok((checked, same)) = checking.await else { return outcome };
            results = same;
            match checked {
                Ok(()) => return outcome,
                Err(message) if begun.elapsed() >= self.settings.record_wait => {
                    let end = End::Job(JobFault { kind: JobFaultKind::Output, message });
                    return Outcome { end, ..outcome };
                }
                Err(_) => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// Waits until everything that was asked for is done; no job is left then.
    pub async fn close(&self) {
        if self.messages.get().is_none() {
            return;
        }
        let (done, closed) = oneshot::channel();
        if self.send(Message::Close(done)).is_ok() {
            let _ = closed.await;
        }
    }

    fn send(&self, message: Message) -> Result<(), String> {
        let sent = lock(self.sender()?).send(message);
        sent.map_err(|_| "the thread that attends to jobs ended early".to_owned())
    }

    fn sender(&self) -> Result<&Mutex<Sender<Message>>, String> {
        self.messages.get_or_init(|| self.begin()).as_ref().map_err(Clone::clone)
    }

    /// Starts the two threads.
    fn begin(&self) -> Result<Mutex<Sender<Message>>, String> {
        let parts = lock(&self.parts).take().ok_or("the jobs were closed")?;
        let (messages, inbox) = channel();
        let (calls, called) = channel();
        let (answers, own) = (messages.clone(), messages.clone());
        let desk = Desk::new(self.settings.clone(), own, calls, Arc::clone(&self.stopped));
        let refused =
            |error: std::io::Error| format!("the threads that attend to jobs cannot be started: {error}");
        let letting_go = Arc::clone(&self.letting_go);
        drop(
            begin("calls", move || attend(&parts, &called, &answers, &letting_go))
                .map_err(|r| refused(r.error))?,
        );
        drop(begin("jobs", move || desk.work(&inbox)).map_err(|r| refused(r.error))?);
        Ok(Mutex::new(messages))
    }
}
