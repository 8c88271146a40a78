//! Attempts as jobs of a batch system. Knows no batch system: one is behind [`BatchSystem`].
//!
//! | file | owns |
//! |---|---|
//! | `system.rs` | the three commands, and the intents that are written before the first |
//! | `folder.rs` | the folder in which runner and job meet |
//! | `job.rs` | the job on its node |
//! | `calls.rs` | how often the batch system is called |
//! | `left.rs` | jobs that no runner attends to, and their end |
//! | `booked.rs` | where one job stands, and what it prints |
//! | `book.rs` | what is known of each job, and what follows |
//! | this file | two threads: one that looks and decides, one that calls; and the future of an attempt |
//!
//! Only a record ends an attempt well. What the batch system says explains, and never proves success.

mod book;
mod booked;
mod calls;
mod folder;
mod job;
mod left;
mod system;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use self::book::Book;
use self::booked::{JobEnd, NewJob};
use self::calls::{CallCounts, Counted};
use crate::core::background::{begin, begin_or_do};
use crate::core::executor_calls::ExecutorCalls;
use crate::core::lock::lock;

use super::{Cancel, End, Level, Outcome};

pub use folder::{ClaimHolder, JobFolder, JobRecord, JobSpec, RecordedEnd, RecordedFile};
pub use job::run_job;
pub use left::{LeftJob, end_left};
pub use system::{BatchSystem, JobIntent, JobLedger, JobRequest, SubmitFault, SystemJob, SystemState};

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
}

/// What is heard of a job while it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobNews {
    Submitted { job: String, name: String },
    Started { job: String, host: Option<String> },
    Warning(String),
}

/// What a job without a good end is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFault {
    pub kind: JobFaultKind,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobFaultKind {
    /// It may be done again.
    Lost,
    Spawn,
    Signal,
    Timeout,
    /// By somebody else.
    Cancelled,
    Output,
    /// It goes on without the runner.
    Left,
}

/// An attempt as a job.
pub struct JobAttempt {
    pub folder: JobFolder,
    pub request: JobRequest,
    pub intent: JobIntent,
    /// The file that gets what the command prints.
    pub log: PathBuf,
    /// For a job that another run submitted: its id, if that is known.
    pub submitted: Option<Option<String>>,
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
    calls: Arc<CallCounts>,
    /// Whether nothing more is to be submitted.
    letting_go: Arc<AtomicBool>,
}

struct BatchParts {
    system: Box<dyn BatchSystem>,
    ledger: Box<dyn JobLedger>,
}

enum Message {
    Run(Box<NewJob>),
    Cancel(String, Level),
    LetGo(String),
    Submitted(String, Result<String, SubmitFault>),
    /// What was asked for at that instant.
    Status(Instant, Result<Vec<SystemJob>, String>),
    /// What the user should know of the batch system.
    Note(String),
    Settle(String, PathBuf),
    Close(oneshot::Sender<()>),
}

enum Call {
    Submit(Vec<(JobIntent, JobRequest)>),
    Status,
    Cancel(Vec<(String, Option<String>)>),
    Settle(String, PathBuf),
    Close(oneshot::Sender<()>),
}

/// Status calls in a row without an answer, before a warning.
const MAX_SILENT: u32 = 3;
/// Minimum time between two calls that are to explain an end.
const WORD_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum time between two looks where there is nothing to wait for.
const IDLE: Duration = Duration::from_secs(3600);

impl Batch {
    pub fn new(settings: BatchSettings, system: Box<dyn BatchSystem>, ledger: Box<dyn JobLedger>) -> Self {
        let calls: Arc<CallCounts> = Arc::default();
        let system = Box::new(Counted { system, counts: Arc::clone(&calls) });
        let parts = Mutex::new(Some(BatchParts { system, ledger }));
        Self { settings, parts, messages: OnceLock::new(), calls, letting_go: Arc::default() }
    }

    /// How often the batch system was called.
    pub fn calls(&self) -> ExecutorCalls {
        self.calls.so_far()
    }

    /// Runs an attempt as a job to its end, or until `cancel` calls it off or `let_go` leaves it to itself.
    pub async fn run(&self, attempt: JobAttempt, cancel: Cancel, let_go: Cancel) -> JobOutcome {
        let name = attempt.request.name.clone();
        let (done, ended) = oneshot::channel::<JobEnd>();
        let new = NewJob {
            folder: attempt.folder,
            request: attempt.request,
            intent: attempt.intent,
            mirror: attempt.log,
            submitted: attempt.submitted,
            news: attempt.news,
            done: Box::new(move |end| drop(done.send(end))),
        };
        if let Err(problem) = self.send(Message::Run(Box::new(new))) {
            return JobOutcome { outcome: never(End::NotStarted(problem)), host: None };
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
                    self.letting_go.store(true, Ordering::Relaxed);
                    let _ = self.send(Message::LetGo(name.clone()));
                }
                () = cancel.reached(next), if heard < Level::Kill && !left => {
                    heard = cancel.level();
                    let _ = self.send(Message::Cancel(name.clone(), heard));
                }
            }
        };
        let Ok(JobEnd { outcome, record, host }) = end else {
            let message = "the thread that attends to jobs ended early".to_owned();
            return JobOutcome { outcome: never(End::NotStarted(message)), host: None };
        };
        let outcome = match (&outcome.end, record) {
            (End::Exited(0), Some(record)) => self.arrived(outcome, record).await,
            _ => outcome,
        };
        JobOutcome { outcome, host }
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

    /// Removes the folder and the row of a job that nobody needs any more.
    pub fn settle(&self, name: String, folder: PathBuf) {
        let _ = self.send(Message::Settle(name, folder));
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
        let messages = self.messages.get_or_init(|| self.begin()).as_ref().map_err(Clone::clone)?;
        lock(messages).send(message).map_err(|_| "the thread that attends to jobs ended early".to_owned())
    }

    /// Starts the two threads.
    fn begin(&self) -> Result<Mutex<Sender<Message>>, String> {
        let BatchParts { system, ledger } = lock(&self.parts).take().ok_or("the jobs were closed")?;
        let (messages, inbox) = channel();
        let (calls, called) = channel();
        let (answers, settings) = (messages.clone(), self.settings.clone());
        let letting_go = Arc::clone(&self.letting_go);
        let refused =
            |error: std::io::Error| format!("the threads that attend to jobs cannot be started: {error}");
        drop(
            begin("calls", move || attend(&*system, &*ledger, &called, &answers, &letting_go))
                .map_err(|r| refused(r.error))?,
        );
        drop(begin("jobs", move || decide(settings, &inbox, &calls)).map_err(|r| refused(r.error))?);
        Ok(Mutex::new(messages))
    }
}

fn never(end: End) -> Outcome {
    Outcome { end, duration: Duration::ZERO, leftovers: 0, usage: None }
}

/// The thread that calls, one after the other. A call that hangs holds up no record.
fn attend(
    system: &dyn BatchSystem,
    ledger: &dyn JobLedger,
    calls: &Receiver<Call>,
    answers: &Sender<Message>,
    letting_go: &AtomicBool,
) {
    while let Ok(call) = calls.recv() {
        match call {
            Call::Submit(jobs) => {
                let (intents, requests): (Vec<_>, Vec<_>) = jobs.into_iter().unzip();
                let intended = ledger.intend(&intents);
                let mut ids = Vec::new();
                for request in requests {
                    let answer = match &intended {
                        Ok(()) if letting_go.load(Ordering::Relaxed) => {
                            Err(SubmitFault::Later("the run submits nothing more".to_owned()))
                        }
                        Ok(()) => system.submit(&request),
                        Err(problem) => {
                            Err(SubmitFault::Refused(format!("the intent cannot be written: {problem}")))
                        }
                    };
                    if let Ok(id) = &answer {
                        ids.push((request.name.clone(), id.clone()));
                    }
                    let _ = answers.send(Message::Submitted(request.name, answer));
                }
                ledger.submitted(&ids);
            }
            Call::Status => {
                let asked = Instant::now();
                let _ = answers.send(Message::Status(asked, system.status()));
                for note in system.take_notes() {
                    let _ = answers.send(Message::Note(note));
                }
            }
            Call::Cancel(jobs) => {
                // Nothing is cancelled by its id alone.
                let Ok(known) = system.status() else { continue };
                let is_meant = |found: &SystemJob| {
                    let same = |(name, id): &(String, Option<String>)| found.is(name, id.as_deref());
                    !found.state.is_over() && jobs.iter().any(same)
                };
                let meant: Vec<_> = known.into_iter().filter(is_meant).collect();
                if !meant.is_empty() {
                    let _ = system.cancel(&meant);
                }
            }
            Call::Settle(name, folder) => ledger.settle(&name, &folder),
            Call::Close(done) => {
                let _ = done.send(());
                return;
            }
        }
    }
}

/// The thread that looks and decides.
fn decide(settings: BatchSettings, inbox: &Receiver<Message>, calls: &Sender<Call>) {
    let (poll, look) = (settings.poll_interval, settings.record_interval);
    let mut book = Book::new(settings);
    let (mut next_poll, mut next_look) = (Instant::now() + poll, Instant::now() + look);
    let mut next_word = Instant::now();
    let (mut polling, mut silent) = (false, 0);
    loop {
        let now = Instant::now();
        let wait =
            if book.is_empty() { IDLE } else { next_poll.min(next_look).saturating_duration_since(now) };
        let mut message = match inbox.recv_timeout(wait) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let now = Instant::now();
        // What has come together is looked at together: one call ends many jobs.
        while let Some(one) = message {
            match one {
                Message::Run(job) => {
                    if book.is_empty() {
                        (next_poll, next_look) = (now + poll, now + look);
                    }
                    if job.submitted.is_some() {
                        // A job of another run is looked at first.
                        (next_poll, next_look) = (now, now);
                    }
                    book.add(*job, now);
                }
                Message::Cancel(name, level) => book.cancel(&name, level, now),
                Message::LetGo(name) => book.let_go(&name),
                Message::Submitted(name, answer) => book.submitted(&name, answer, now),
                Message::Status(asked, Ok(known)) => {
                    (polling, silent) = (false, 0);
                    book.heard(known, asked, now);
                }
                Message::Status(_, Err(problem)) => {
                    (polling, silent) = (false, silent + 1);
                    if silent == MAX_SILENT {
                        book.warn(&format!("the batch system does not answer: {problem}"));
                    }
                }
                Message::Note(note) => book.warn(&note),
                Message::Settle(name, folder) => drop(calls.send(Call::Settle(name, folder))),
                Message::Close(done) => {
                    send_cancels(&mut book, calls);
                    drop(calls.send(Call::Close(done)));
                }
            }
            message = inbox.try_recv().ok();
        }
        if now >= next_look {
            book.look(now);
            next_look = now + look;
        }
        let wants = now >= next_poll && book.wants_status() || now >= next_word && book.wants_status_now();
        if wants && !polling {
            polling = true;
            let _ = calls.send(Call::Status);
            (next_poll, next_word) = (now + poll, now + WORD_INTERVAL);
        } else if now >= next_poll {
            next_poll = now + poll;
        }
        let due = book.take_due(now);
        if !due.is_empty() {
            let _ = calls.send(Call::Submit(due));
        }
        send_cancels(&mut book, calls);
    }
}

fn send_cancels(book: &mut Book, calls: &Sender<Call>) {
    /// Maximum jobs that one call ends.
    const MAX_AT_ONCE: usize = 100;
    for part in book.take_unwanted().chunks(MAX_AT_ONCE) {
        let _ = calls.send(Call::Cancel(part.to_vec()));
    }
}
