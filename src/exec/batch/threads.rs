//! The two threads behind the jobs of an executor: one looks and decides, one calls. A call that hangs holds up no record.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::book::Book;
use super::booked::{AdoptedJob, BookedJob, ReadyAttempt};
use super::chunks::{Chunk, SeatRequest};
use super::folder::JobFolder;
use super::system::{JobIntent, JobRequest, JobWish, SubmitFault, SystemJob};
use super::{BatchParts, BatchSettings, Seat};
use crate::exec::Level;

/// What the thread that decides hears.
pub enum Message {
    /// An attempt waits for a place.
    Seat(Box<(JobWish, SeatRequest)>),
    /// An attempt is ready in its place.
    Ready(String, usize, ReadyAttempt),
    /// The same of a job that another run submitted.
    Adopt(Box<(AdoptedJob, JobWish)>, usize, ReadyAttempt),
    Cancel(Level),
    GiveBack,
    /// All jobs are left to themselves.
    LetGo,
    /// What the user should know of the batch system.
    Note(String),
    Submitted(String, Result<String, SubmitFault>),
    /// What was asked for at that instant.
    Status(Instant, Result<Vec<SystemJob>, String>),
    /// Nobody needs what an attempt left in its job.
    Settle(String, JobFolder, usize),
    Close(oneshot::Sender<()>),
}

/// What the thread that calls is to do.
pub enum BatchCall {
    Submit(Vec<(JobIntent, JobRequest)>),
    Status,
    Cancel(Vec<(String, Option<String>)>),
    Forget(JobFolder, usize),
    Settle(String, JobFolder),
    Close(oneshot::Sender<()>),
}

/// Status calls in a row without an answer, before a warning.
const MAX_SILENT: u32 = 3;
/// Time between two warnings about a batch system that does not answer.
const WARN_AGAIN: Duration = Duration::from_secs(600);
/// Maximum time between two status calls to one that does not answer.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// Minimum time between two calls that are to explain an end.
const WORD_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum time between two looks where there is nothing to wait for.
const IDLE: Duration = Duration::from_secs(3600);

/// The thread that calls, one after the other.
pub fn attend(
    parts: &BatchParts,
    calls: &Receiver<BatchCall>,
    answers: &Sender<Message>,
    letting_go: &AtomicBool,
) {
    let BatchParts { system, ledger, .. } = parts;
    while let Ok(call) = calls.recv() {
        match call {
            BatchCall::Submit(jobs) => submit(parts, jobs, answers, letting_go),
            BatchCall::Status => {
                let asked = Instant::now();
                let _ = answers.send(Message::Status(asked, system.status()));
                for note in system.take_notes() {
                    let _ = answers.send(Message::Note(note));
                }
            }
            BatchCall::Cancel(jobs) => {
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
            BatchCall::Forget(folder, attempt) => ledger.forget(&folder, attempt),
            BatchCall::Settle(name, folder) => ledger.settle(&name, &folder),
            BatchCall::Close(done) => {
                let _ = done.send(());
                return;
            }
        }
    }
}

fn submit(
    parts: &BatchParts,
    jobs: Vec<(JobIntent, JobRequest)>,
    answers: &Sender<Message>,
    letting_go: &AtomicBool,
) {
    let (intents, requests): (Vec<_>, Vec<_>) = jobs.into_iter().unzip();
    let intended = parts.ledger.intend(&intents);
    let mut ids = Vec::new();
    for (intent, request) in intents.into_iter().zip(requests) {
        let folder = JobFolder::new(intent.folder);
        let written = || {
            intended.as_ref().map_err(|problem| format!("the intent cannot be written: {problem}"))?;
            let script = (parts.script)(&folder)?;
            folder.write_script(&script).map_err(|error| format!("the job cannot be written: {error}"))
        };
        let answer = match written() {
            Ok(()) if letting_go.load(Ordering::Relaxed) => {
                Err(SubmitFault::Later("the run submits nothing more".to_owned()))
            }
            Ok(()) => parts.system.submit(&request),
            Err(problem) => Err(SubmitFault::Refused(problem)),
        };
        if let Ok(id) = &answer {
            ids.push((request.name.clone(), id.clone()));
        }
        let _ = answers.send(Message::Submitted(request.name, answer));
    }
    parts.ledger.submitted(&ids);
}

/// The thread that looks and decides.
pub struct Desk {
    book: Book,
    settings: BatchSettings,
    messages: Sender<Message>,
    calls: Sender<BatchCall>,
    /// Whether the run begins nothing more.
    stopped: Arc<AtomicBool>,
    /// How many attempts of each job are still needed.
    unsettled: HashMap<String, usize>,
    /// How many jobs were made.
    made: u64,
    next_poll: Instant,
    next_look: Instant,
    next_word: Instant,
    polling: bool,
    /// Status calls in a row without an answer, and when that was told.
    silent: u32,
    told: Option<Instant>,
}

impl Desk {
    pub fn new(
        settings: BatchSettings,
        messages: Sender<Message>,
        calls: Sender<BatchCall>,
        stopped: Arc<AtomicBool>,
    ) -> Self {
        let now = Instant::now();
        Self {
            book: Book::new(settings.clone()),
            messages,
            calls,
            stopped,
            unsettled: HashMap::new(),
            made: 0,
            next_poll: now + settings.poll_interval,
            next_look: now + settings.record_interval,
            next_word: now,
            polling: false,
            silent: 0,
            told: None,
            settings,
        }
    }

    /// Works until it is closed.
    pub fn work(mut self, inbox: &Receiver<Message>) {
        loop {
            let mut message = match inbox.recv_timeout(self.pause()) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let now = Instant::now();
            // What has come together is looked at together: one call ends many jobs.
            while let Some(one) = message {
                if let Message::Close(done) = one {
                    self.send_cancels();
                    let _ = self.calls.send(BatchCall::Close(done));
                    return;
                }
                self.hear(one, now);
                message = inbox.try_recv().ok();
            }
            self.act(now);
        }
    }

    /// How long nothing is to be done.
    fn pause(&self) -> Duration {
        let mut next = Instant::now() + IDLE;
        if !self.book.is_empty() {
            next = next.min(self.next_poll).min(self.next_look);
        }
        if self.book.free() > 0
            && let Some(due) = self.book.waiting.due()
        {
            next = next.min(due);
        }
        next.saturating_duration_since(Instant::now())
    }

    fn hear(&mut self, message: Message, now: Instant) {
        match message {
            // One that is dropped is given back.
            Message::Seat(_) if self.stopped.load(Ordering::Relaxed) => {}
            Message::Seat(asked) => self.book.waiting.add(asked.0, asked.1, now),
            Message::Ready(name, attempt, ready) => self.book.ready(&name, attempt, ready, now),
            Message::Adopt(adopted, attempt, ready) => {
                let (adopted, wish) = *adopted;
                if !self.unsettled.contains_key(&adopted.name) {
                    // A job of another run is looked at first.
                    (self.next_poll, self.next_look) = (now, now);
                    let is_left = |attempt: &usize| adopted.folder.scratch(*attempt).is_dir();
                    let left = (1..=adopted.size).filter(is_left).count();
                    self.unsettled.insert(adopted.name.clone(), left);
                }
                self.book.adopt(adopted, wish, attempt, ready, now);
            }
            Message::Cancel(level) => self.book.cancel(level, now),
            Message::GiveBack => self.book.give_back(),
            Message::LetGo => self.book.let_go(),
            Message::Note(note) => self.book.warn(&note),
            Message::Submitted(name, answer) => self.book.submitted(&name, answer, now),
            Message::Status(asked, answer) => self.answered(asked, answer, now),
            Message::Settle(name, folder, attempt) => self.settle(name, folder, attempt, now),
            // It ends the thread.
            Message::Close(_) => {}
        }
    }

    fn answered(&mut self, asked: Instant, answer: Result<Vec<SystemJob>, String>, now: Instant) {
        self.polling = false;
        match answer {
            Ok(known) => {
                (self.silent, self.told) = (0, None);
                self.book.heard(known, asked, now);
            }
            Err(problem) => {
                self.silent += 1;
                let pause = self.settings.poll_interval.saturating_mul(1 << self.silent.min(6));
                self.next_poll = now + pause.min(MAX_PAUSE).max(self.settings.poll_interval);
                let is_due = self.told.is_none_or(|told| now.duration_since(told) >= WARN_AGAIN);
                if self.silent >= MAX_SILENT && is_due {
                    self.told = Some(now);
                    self.book.warn(&format!("the batch system does not answer: {problem}"));
                }
            }
        }
    }

    /// Removes what an attempt left, and its job's folder and row with the last of them.
    fn settle(&mut self, name: String, folder: JobFolder, attempt: usize, now: Instant) {
        self.book.leave(&name, attempt, now);
        let left = self.unsettled.get_mut(&name).map_or(0, |left| {
            *left = left.saturating_sub(1);
            *left
        });
        let call = if left > 0 {
            BatchCall::Forget(folder, attempt)
        } else {
            self.unsettled.remove(&name);
            BatchCall::Settle(name, folder)
        };
        let _ = self.calls.send(call);
    }

    fn act(&mut self, now: Instant) {
        let (poll, look) = (self.settings.poll_interval, self.settings.record_interval);
        if now >= self.next_look {
            self.book.look(now);
            self.next_look = now + look;
        }
        self.make_jobs(now);
        let wants_word = self.silent == 0 && now >= self.next_word && self.book.wants_status_now();
        let wants = now >= self.next_poll && self.book.wants_status() || wants_word;
        if wants && !self.polling {
            self.polling = true;
            let _ = self.calls.send(BatchCall::Status);
            (self.next_poll, self.next_word) = (now + poll, now + WORD_INTERVAL);
        } else if now >= self.next_poll {
            self.next_poll = now + poll;
        }
        let due = self.book.take_due(now);
        if !due.is_empty() {
            let _ = self.calls.send(BatchCall::Submit(due));
        }
        self.send_cancels();
    }

    /// Makes jobs of what waits, as far as there may be more.
    fn make_jobs(&mut self, now: Instant) {
        let free = self.book.free();
        if free == 0 || self.book.waiting.is_empty() {
            return;
        }
        let (poll, look) = (self.settings.poll_interval, self.settings.record_interval);
        for Chunk { wish, requests } in self.book.waiting.take(free, now) {
            if self.book.is_empty() {
                (self.next_poll, self.next_look) = (now + poll, now + look);
            }
            let (name, folder) = self.new_folder();
            let works = requests.iter().map(|request| request.work.clone()).collect();
            let label = requests.first().map_or_else(String::new, |request| request.label.clone());
            self.unsettled.insert(name.clone(), requests.len());
            self.book.gather(BookedJob::new(name.clone(), folder.clone(), wish, works, label, now));
            for (i, request) in requests.into_iter().enumerate() {
                let (name, folder, messages) = (name.clone(), folder.clone(), self.messages.clone());
                // One that was given up meanwhile comes back as one to be settled.
                let _ = request.reply.send(Seat { name, folder, attempt: i + 1, messages });
            }
        }
    }

    /// The folder of the next job. One that cannot be made is found by the attempts that are to use it.
    fn new_folder(&mut self) -> (String, JobFolder) {
        loop {
            self.made += 1;
            let name = format!("{}{}", self.settings.prefix, self.made);
            let path = self.settings.folder.join(&name);
            match JobFolder::create(path.clone()) {
                Ok(folder) => return (name, folder),
                // The run goes on where it was left.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(_) => return (name, JobFolder::new(path)),
            }
        }
    }

    fn send_cancels(&mut self) {
        /// Maximum jobs that one call ends.
        const MAX_AT_ONCE: usize = 100;
        for part in self.book.take_unwanted().chunks(MAX_AT_ONCE) {
            let _ = self.calls.send(BatchCall::Cancel(part.to_vec()));
        }
    }
}
