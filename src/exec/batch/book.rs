//! What is known of each job, and what follows from it. Files are looked at, time is given: nothing here waits or calls.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::booked::{AdoptedJob, BookedJob, JobEnd, JobPart, ReadyAttempt, Stage};
use super::chunks::Waiting;
use super::ends::{fault, given_back, outcome, shown};
use super::folder::ClaimHolder;
use super::record::{JobRecord, RecordedEnd};
use super::system::{JobIntent, JobRequest, JobWish, SubmitFault, SystemJob, SystemState};
use super::{BatchSettings, JobFaultKind, JobNews};
use crate::exec::{End, Level};

/// All jobs of one executor in a run.
pub struct Book {
    settings: BatchSettings,
    /// Attempts without a job.
    pub waiting: Waiting,
    pub(super) jobs: BTreeMap<String, BookedJob>,
    /// Those to be submitted, in their order.
    queue: VecDeque<String>,
    /// When jobs were submitted in the last minute.
    submits: VecDeque<Instant>,
    /// Names of jobs that are to leave the batch system, with their ids where known.
    pub(super) unwanted: Vec<(String, Option<String>)>,
    refusals: u32,
    pub(super) asked: Level,
    /// Whether the run leaves its jobs to themselves.
    pub(super) lets_go: bool,
}

const MINUTE: Duration = Duration::from_secs(60);
/// Status calls that must have missed a job before it is lost.
const MIN_ABSENT: u32 = 2;

impl Book {
    pub fn new(settings: BatchSettings) -> Self {
        Self {
            settings,
            waiting: Waiting::default(),
            jobs: BTreeMap::new(),
            queue: VecDeque::new(),
            submits: VecDeque::new(),
            unwanted: Vec::new(),
            refusals: 0,
            asked: Level::None,
            lets_go: false,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// How many jobs may be made now.
    pub fn free(&self) -> usize {
        self.settings.max_in_flight.saturating_sub(self.jobs.len())
    }

    /// Whether a status call could say something new.
    pub fn wants_status(&self) -> bool {
        self.jobs.values().any(|job| job.stage == Stage::Submitted)
    }

    /// Whether something can only be understood by a status call, which must not wait for the next poll.
    pub fn wants_status_now(&self) -> bool {
        self.jobs.values().any(|job| job.unexplained.is_some() && job.over.is_none())
    }

    /// Says something about the whole executor, by way of one of its jobs.
    pub fn warn(&self, message: &str) {
        if let Some(job) = self.jobs.values().next() {
            job.tell_one(JobNews::Warning(message.to_owned()));
        }
    }

    /// A job whose attempts are about to be made ready.
    pub fn gather(&mut self, job: BookedJob) {
        self.jobs.insert(job.name.clone(), job);
    }

    /// An attempt is ready to be part of its job.
    pub fn ready(&mut self, name: &str, attempt: usize, ready: ReadyAttempt, now: Instant) {
        match self.jobs.get_mut(name) {
            Some(job) if job.asked == Level::None && job.parts.contains_key(&attempt) => {
                job.add(attempt, ready);
                self.queue_if_ready(name, now);
            }
            _ => {
                let is_over = self.asked > Level::None || self.lets_go;
                let end = if is_over { End::Cancelled } else { given_back() };
                (ready.done)(JobEnd { outcome: outcome(end), record: None, host: None });
            }
        }
    }

    /// Nobody needs an attempt any more; before its job was submitted it is no part of it.
    pub fn leave(&mut self, name: &str, attempt: usize, now: Instant) {
        if let Some(job) = self.jobs.get_mut(name)
            && matches!(job.parts.get(&attempt), Some(JobPart::Preparing))
        {
            job.parts.remove(&attempt);
            self.queue_if_ready(name, now);
        }
    }

    fn queue_if_ready(&mut self, name: &str, now: Instant) {
        let Some(job) = self.jobs.get_mut(name) else { return };
        if job.parts.is_empty() {
            self.jobs.remove(name);
        } else if job.stage == Stage::Gathering && job.is_ready() {
            job.stage = Stage::Waiting(now);
            self.queue.push_back(name.to_owned());
        }
    }

    /// An attempt of a job that another run submitted.
    pub fn adopt(
        &mut self,
        adopted: AdoptedJob,
        wish: JobWish,
        attempt: usize,
        ready: ReadyAttempt,
        now: Instant,
    ) {
        let name = adopted.name.clone();
        let job = self.jobs.entry(name).or_insert_with(|| BookedJob::adopted(adopted, wish, now));
        job.add(attempt, ready);
    }

    /// Jobs to be submitted now.
    pub fn take_due(&mut self, now: Instant) -> Vec<(JobIntent, JobRequest)> {
        while self.submits.front().is_some_and(|at| now.duration_since(*at) >= MINUTE) {
            self.submits.pop_front();
        }
        if self.queue.is_empty() || self.jobs.values().any(|job| job.stage == Stage::Submitting) {
            // What comes meanwhile is submitted together: its intents are one transaction.
            return Vec::new();
        }
        let free = self.settings.submits_per_minute.saturating_sub(self.submits.len());
        let mut due = Vec::new();
        let mut later = VecDeque::new();
        while due.len() < free
            && let Some(name) = self.queue.pop_front()
        {
            let Some(job) = self.jobs.get_mut(&name) else { continue };
            match job.stage {
                Stage::Waiting(at) if at > now => later.push_back(name),
                Stage::Waiting(_) => {
                    job.stage = Stage::Submitting;
                    self.submits.push_back(now);
                    due.push((job.intent(), job.request()));
                }
                Stage::Gathering | Stage::Submitting | Stage::Submitted => {}
            }
        }
        later.append(&mut self.queue);
        self.queue = later;
        due
    }

    /// The answer to a submission.
    pub fn submitted(&mut self, name: &str, answer: Result<String, SubmitFault>, now: Instant) {
        let Some(job) = self.jobs.get_mut(name) else {
            // It was cancelled meanwhile: its claim is taken, and now it can leave the queue.
            let id = answer.ok();
            return self.unwanted.push((name.to_owned(), id));
        };
        (job.stage, job.seen, job.since, job.absent) = (Stage::Submitted, now, now, 0);
        match answer {
            Ok(id) => {
                self.refusals = 0;
                job.tell(&JobNews::Submitted { job: id.clone(), name: name.to_owned() });
                job.id = Some(id);
            }
            Err(SubmitFault::Later(_)) if self.lets_go => return self.end_all(name, &End::Cancelled),
            Err(SubmitFault::Unknown(words)) => {
                let message = format!(
                    "the answer to a submission was lost ({words}); the job is looked for by its name"
                );
                job.tell_one(JobNews::Warning(message));
            }
            Err(SubmitFault::Later(words)) => {
                let wait = Duration::from_secs(1 << self.refusals.min(6)).min(MINUTE);
                if self.refusals == 0 {
                    job.tell_one(JobNews::Warning(format!(
                        "a job cannot be submitted now: {words}; trying again"
                    )));
                }
                self.refusals += 1;
                job.stage = Stage::Waiting(now + wait);
                self.queue.push_back(name.to_owned());
            }
            Err(SubmitFault::Refused(words)) => {
                let message = format!("the batch system refused the job: {words}");
                self.end_all(name, &fault(JobFaultKind::Spawn, &message));
            }
        }
        if self.lets_go {
            self.leave_alone(name);
        }
    }

    /// Looks at the files of the jobs.
    pub fn look(&mut self, now: Instant) {
        for name in self.submitted_names() {
            self.look_at(&name, now);
        }
    }

    fn submitted_names(&self) -> Vec<String> {
        let submitted = self.jobs.iter().filter(|(_, job)| job.stage == Stage::Submitted);
        submitted.map(|(name, _)| name.clone()).collect()
    }

    fn look_at(&mut self, name: &str, now: Instant) {
        self.take_records(name, now);
        let (record_wait, lost_after) = (self.settings.record_wait, self.settings.lost_after);
        let Some(job) = self.jobs.get_mut(name) else { return };
        if !job.claimed && job.folder.claimant() == Some(ClaimHolder::RUNNER) {
            // Only a job of another run is still here then.
            return self.lose(name, "the run that submitted it gave it up", now);
        }
        if let Some(since) = job.unexplained {
            // Somebody else ended the job: only the batch system knows why.
            let waited = now.duration_since(since) >= record_wait;
            if let Some((_, state, words)) = job.over.clone() {
                self.ended_without_record(name, state, &words, now);
            } else if waited || job.absent >= MIN_ABSENT {
                let message = "the job was ended from outside by a signal";
                self.end_suspects(name, &fault(JobFaultKind::Signal, message), message);
            }
        } else if job.asked == Level::Kill && now.duration_since(job.since) >= record_wait {
            // Nobody answers, and the user has no more patience.
            self.end_all(name, &End::Cancelled);
        } else if let Some((since, state, words)) = job.over.clone() {
            // What a node writes may be late here.
            if now.duration_since(since) >= record_wait || state == SystemState::Lost {
                job.folder.refresh();
                self.take_records(name, now);
                self.ended_without_record(name, state, &words, now);
            }
        } else if job.absent >= MIN_ABSENT && now.duration_since(job.seen) >= lost_after {
            self.lose(name, "it is neither in the queue nor gives a sign of life", now);
        } else if let Some(since) = job.stuck
            && now.duration_since(since) >= self.settings.stuck_after
        {
            let wait = shown(self.settings.stuck_after);
            let message = format!("the job waited for {wait} for something that never comes");
            self.fence(name, now);
            self.end_all(name, &fault(JobFaultKind::Spawn, &message));
        }
    }

    /// Ends the attempts that have records.
    fn take_records(&mut self, name: &str, now: Instant) {
        let Some(job) = self.jobs.get_mut(name) else { return };
        for (attempt, record) in job.look(now) {
            self.recorded(name, attempt, record, now);
        }
    }

    /// The record of an attempt was found.
    pub(super) fn recorded(&mut self, name: &str, attempt: usize, record: JobRecord, now: Instant) {
        let Some(job) = self.jobs.get_mut(name) else { return };
        job.host = Some(record.host.clone());
        if record.end == RecordedEnd::NotBegun {
            let kind = if job.given_back { JobFaultKind::GivenBack } else { JobFaultKind::NotBegun };
            let end = if job.asked > Level::None { End::Cancelled } else { fault(kind, "it never began") };
            return self.finish(name, attempt, outcome(end), Some(record));
        }
        if record.end == RecordedEnd::Cancelled && job.asked == Level::None {
            if job.folder.asked_to_end() > Level::None {
                let end = fault(JobFaultKind::Lost, "the run that submitted it ended it");
                return self.finish(name, attempt, outcome(end), None);
            }
            job.unexplained.get_or_insert(now);
            return;
        }
        job.begin(attempt);
        let mut outcome = record.outcome();
        if job.asked > Level::None && !matches!(outcome.end, End::Exited(0)) {
            outcome.end = End::Cancelled;
        }
        self.waiting.took(&job.wish.kind, outcome.duration);
        self.finish(name, attempt, outcome, Some(record));
    }

    /// What the batch system says of all jobs, as asked for at the instant `asked`.
    pub fn heard(&mut self, known: Vec<SystemJob>, asked: Instant, now: Instant) {
        let mut by_id: HashMap<&str, Vec<&SystemJob>> = HashMap::new();
        known.iter().for_each(|job| by_id.entry(&job.id).or_default().push(job));
        let all: Vec<&SystemJob> = known.iter().collect();
        for name in self.submitted_names() {
            let Some(job) = self.jobs.get_mut(&name) else { continue };
            if job.since > asked {
                continue;
            }
            // Known by name and id together: a controller that crashed gives ids a second time.
            let id = job.id.as_deref();
            let mut same = match id {
                Some(id) => by_id.get(id).map_or(&[][..], Vec::as_slice).iter().copied(),
                None => all.iter().copied(),
            };
            match same.find(|found| found.is(&name, id)).cloned() {
                Some(found) => self.found(&name, found, now),
                None => {
                    job.absent += 1;
                    job.stuck = None;
                }
            }
        }
    }

    fn found(&mut self, name: &str, found: SystemJob, now: Instant) {
        let stuck_after = self.settings.stuck_after;
        let Some(job) = self.jobs.get_mut(name) else { return };
        if job.id.is_none() {
            job.tell(&JobNews::Submitted { job: found.id.clone(), name: name.to_owned() });
        }
        job.id = Some(found.id);
        (job.seen, job.absent) = (now, 0);
        if found.host.is_some() {
            job.host = found.host;
        }
        if found.state != SystemState::Stuck {
            job.stuck = None;
        }
        match found.state {
            SystemState::Pending if job.claimed => {
                self.lose(name, "the batch system began it again", now);
            }
            SystemState::Pending | SystemState::Running => {}
            SystemState::Stuck => {
                if job.stuck.is_none() {
                    job.stuck = Some(now);
                    let (words, wait) = (&found.words, shown(stuck_after));
                    let message = format!(
                        "the job waits for something that may never come: {words}; it is cancelled after {wait}"
                    );
                    job.tell_one(JobNews::Warning(message));
                }
            }
            over => {
                job.over.get_or_insert((now, over, found.words));
                self.look_at(name, now);
            }
        }
    }
}
