//! What is known of each job, and what follows from it. Files are looked at, time is given: nothing here waits or calls.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::booked::{BookedJob, JobEnd, NewJob, Stage};
use super::folder::{ClaimHolder, JobRecord, RecordedEnd};
use super::system::{JobIntent, JobRequest, SubmitFault, SystemJob, SystemState};
use super::{BatchSettings, JobFault, JobFaultKind, JobNews};
use crate::exec::{End, Level, Outcome};

/// All jobs of one executor in a run.
pub struct Book {
    settings: BatchSettings,
    jobs: BTreeMap<String, BookedJob>,
    /// Those to be submitted, in their order.
    queue: VecDeque<String>,
    /// When jobs were submitted in the last minute.
    submits: VecDeque<Instant>,
    /// Names of jobs that are to leave the batch system, with their ids where known.
    unwanted: Vec<(String, Option<String>)>,
    refusals: u32,
}

const MINUTE: Duration = Duration::from_secs(60);
/// Status calls that must have missed a job before it is lost.
const MIN_ABSENT: u32 = 2;

impl Book {
    pub fn new(settings: BatchSettings) -> Self {
        Self {
            settings,
            jobs: BTreeMap::new(),
            queue: VecDeque::new(),
            submits: VecDeque::new(),
            unwanted: Vec::new(),
            refusals: 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
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
            (job.new.news)(JobNews::Warning(message.to_owned()));
        }
    }

    pub fn add(&mut self, new: NewJob, now: Instant) {
        let name = new.request.name.clone();
        if new.submitted.is_none() {
            self.queue.push_back(name.clone());
        }
        self.jobs.insert(name, BookedJob::new(new, now));
    }

    /// Jobs to be submitted now.
    pub fn take_due(&mut self, now: Instant) -> Vec<(JobIntent, JobRequest)> {
        while self.submits.front().is_some_and(|at| now.duration_since(*at) >= MINUTE) {
            self.submits.pop_front();
        }
        let flying = self.jobs.values().filter(|job| !matches!(job.stage, Stage::Waiting(_))).count();
        if self.jobs.values().any(|job| job.stage == Stage::Submitting) {
            // What comes meanwhile is submitted together: its intents are one transaction.
            return Vec::new();
        }
        let mut free = self.settings.max_in_flight.saturating_sub(flying);
        free = free.min(self.settings.submits_per_minute.saturating_sub(self.submits.len()));
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
                    due.push((job.new.intent.clone(), job.new.request.clone()));
                }
                Stage::Submitting | Stage::Submitted => {}
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
        let lets_go = job.let_go;
        match answer {
            Ok(id) => {
                self.refusals = 0;
                (job.new.news)(JobNews::Submitted { job: id.clone(), name: name.to_owned() });
                job.id = Some(id);
            }
            Err(SubmitFault::Later(_)) if lets_go => return self.end(name, End::Cancelled),
            Err(SubmitFault::Unknown(words)) => {
                let message = format!(
                    "the answer to a submission was lost ({words}); the job is looked for by its name"
                );
                (job.new.news)(JobNews::Warning(message));
            }
            Err(SubmitFault::Later(words)) => {
                let wait = Duration::from_secs(1 << self.refusals.min(6)).min(MINUTE);
                if self.refusals == 0 {
                    (job.new.news)(JobNews::Warning(format!(
                        "a job cannot be submitted now: {words}; trying again"
                    )));
                }
                self.refusals += 1;
                job.stage = Stage::Waiting(now + wait);
                self.queue.push_back(name.to_owned());
            }
            Err(SubmitFault::Refused(words)) => {
                self.end(
                    name,
                    fault(JobFaultKind::Spawn, format!("the batch system refused the job: {words}")),
                );
            }
        }
        if lets_go {
            self.leave(name);
        }
    }

    /// Looks at the files of the jobs.
    pub fn look(&mut self, now: Instant) {
        let names: Vec<String> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.stage == Stage::Submitted)
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            self.look_at(&name, now);
        }
    }

    fn look_at(&mut self, name: &str, now: Instant) {
        let Some(job) = self.jobs.get_mut(name) else { return };
        job.look_for_life(now);
        if let Some(record) = job.new.folder.record() {
            return self.recorded(name, record, now);
        }
        if job.new.folder.claimant() == Some(ClaimHolder::RUNNER) {
            // Only a job of another run is still here then.
            return self.lose(name, "the run that submitted it gave it up");
        }
        let (record_wait, lost_after) = (self.settings.record_wait, self.settings.lost_after);
        let Some(job) = self.jobs.get_mut(name) else { return };
        if job.asked == Level::Kill && now.duration_since(job.since) >= record_wait {
            // Nobody answers, and the user has no more patience.
            self.end(name, End::Cancelled);
        } else if let Some((since, state, words)) = job.over.clone() {
            // What a node writes may be late here.
            if now.duration_since(since) >= record_wait || state == SystemState::Lost {
                job.new.folder.refresh();
                match job.new.folder.record() {
                    Some(record) => self.recorded(name, record, now),
                    None => self.ended_without_record(name, state, &words),
                }
            }
        } else if job.absent >= MIN_ABSENT && now.duration_since(job.seen) >= lost_after {
            self.lose(name, "it is neither in the queue nor gives a sign of life");
        } else if let Some(since) = job.stuck
            && now.duration_since(since) >= self.settings.stuck_after
        {
            let message = format!(
                "the job waited for {} for something that never comes",
                shown(self.settings.stuck_after)
            );
            if self.fence(name) {
                self.end(name, fault(JobFaultKind::Spawn, message));
            }
        }
    }

    /// The record of a job was found.
    fn recorded(&mut self, name: &str, record: JobRecord, now: Instant) {
        let record_wait = self.settings.record_wait;
        let Some(job) = self.jobs.get_mut(name) else { return };
        job.host = Some(record.host.clone());
        job.begin();
        job.mirror();
        if record.end == RecordedEnd::Cancelled && job.asked == Level::None {
            if job.new.folder.asked_to_end() > Level::None {
                let message = "the run that submitted it ended it".to_owned();
                return self.end(name, fault(JobFaultKind::Lost, message));
            }
            // Somebody else ended the job: only the batch system knows why.
            let since = *job.unexplained.get_or_insert(now);
            let waited = now.duration_since(since) >= record_wait;
            let Some((_, state, words)) = job.over.clone() else {
                if waited || job.absent >= MIN_ABSENT {
                    let message = "the job was ended from outside by a signal";
                    self.end(name, fault(JobFaultKind::Signal, message.into()));
                }
                return;
            };
            return self.ended_without_record(name, state, &words);
        }
        let mut outcome = record.outcome();
        if job.asked > Level::None && !matches!(outcome.end, End::Exited(0)) {
            outcome.end = End::Cancelled;
        }
        let host = job.host.clone();
        self.finish(name, JobEnd { outcome, record: Some(record), host });
    }

    /// What the batch system says of all jobs, as asked for at the instant `asked`.
    pub fn heard(&mut self, known: Vec<SystemJob>, asked: Instant, now: Instant) {
        let mut by_id: HashMap<&str, Vec<&SystemJob>> = HashMap::new();
        known.iter().for_each(|job| by_id.entry(&job.id).or_default().push(job));
        let all: Vec<&SystemJob> = known.iter().collect();
        let names: Vec<String> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.stage == Stage::Submitted)
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
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
            (job.new.news)(JobNews::Submitted { job: found.id.clone(), name: name.to_owned() });
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
            SystemState::Pending if job.begun => {
                self.lose(name, "the batch system began it again");
            }
            SystemState::Pending | SystemState::Running => {}
            SystemState::Stuck => {
                if job.stuck.is_none() {
                    job.stuck = Some(now);
                    let (words, wait) = (&found.words, shown(stuck_after));
                    let message = format!(
                        "the job waits for something that may never come: {words}; it is cancelled after {wait}"
                    );
                    (job.new.news)(JobNews::Warning(message));
                }
            }
            over => {
                job.over.get_or_insert((now, over, found.words));
                self.look_at(name, now);
            }
        }
    }

    fn ended_without_record(&mut self, name: &str, state: SystemState, words: &str) {
        let Some(job) = self.jobs.get_mut(name) else { return };
        let id = job.id.clone().unwrap_or_default();
        if job.asked > Level::None {
            return self.end(name, End::Cancelled);
        }
        let claimed = job.new.folder.claimant().is_some();
        let end = match state {
            SystemState::Lost => return self.lose(name, words),
            // It had a node and never began: its launch failed, and the batch system gave it up.
            SystemState::Cancelled if !claimed && job.host.is_some() => return self.lose(name, words),
            SystemState::Cancelled => {
                fault(JobFaultKind::Cancelled, format!("job {id} was cancelled from outside"))
            }
            SystemState::TimedOut => {
                let limit =
                    job.new.request.limit.map_or_else(String::new, |limit| format!(" of {}", shown(limit)));
                fault(JobFaultKind::Timeout, format!("the job's time limit{limit} ended"))
            }
            SystemState::OutOfMemory => {
                let asked = job.new.request.memory.map_or_else(
                    || "than it was given".to_owned(),
                    |memory| format!("than the {} that were asked for", bytesize::ByteSize(memory)),
                );
                fault(JobFaultKind::Signal, format!("the job used more memory {asked}"))
            }
            _ if claimed => fault(
                JobFaultKind::Signal,
                format!("the job ended without a record: the batch system says {words}"),
            ),
            _ if job.said().is_empty() => return self.lose(name, words),
            _ => fault(JobFaultKind::Spawn, format!("the job ended before it began: {}", job.said())),
        };
        job.add_system_log();
        self.end(name, end);
    }

    /// A job that is gone: it can never begin any more, and its attempt may be done again.
    fn lose(&mut self, name: &str, reason: &str) {
        if self.fence(name) {
            self.end(name, fault(JobFaultKind::Lost, reason.to_owned()));
        }
    }

    /// Makes sure that a job begins nothing any more. False if it turns out that it has ended with a record.
    fn fence(&mut self, name: &str) -> bool {
        let Some(job) = self.jobs.get_mut(name) else { return false };
        let folder = job.new.folder.clone();
        if !folder.claim(&ClaimHolder::RUNNER).unwrap_or(false) {
            folder.revoke();
            folder.refresh();
            // One that was ended from outside has not ended by itself.
            let record = folder.record().filter(|record| record.end != RecordedEnd::Cancelled);
            if let Some(record) = record {
                self.unwanted.push((name.to_owned(), self.jobs.get(name).and_then(|job| job.id.clone())));
                let Some(job) = self.jobs.get_mut(name) else { return false };
                job.mirror();
                let (outcome, host) = (record.outcome(), Some(record.host.clone()));
                self.finish(name, JobEnd { outcome, record: Some(record), host });
                return false;
            }
        }
        let id = self.jobs.get(name).and_then(|job| job.id.clone());
        self.unwanted.push((name.to_owned(), id));
        true
    }

    /// The run ends a job.
    pub fn cancel(&mut self, name: &str, level: Level, now: Instant) {
        let Some(job) = self.jobs.get_mut(name) else { return };
        (job.asked, job.since) = (job.asked.max(level), now);
        if matches!(job.stage, Stage::Waiting(_)) {
            return self.end(name, End::Cancelled);
        }
        let id = job.id.clone();
        let folder = job.new.folder.clone();
        // One that has not begun never will.
        if folder.claim(&ClaimHolder::RUNNER).unwrap_or(false) {
            self.end(name, End::Cancelled);
        } else {
            folder.ask_to_end(level);
        }
        self.unwanted.push((name.to_owned(), id));
    }

    /// The run leaves a job to itself, if it was submitted.
    pub fn let_go(&mut self, name: &str) {
        let Some(job) = self.jobs.get_mut(name) else { return };
        match job.stage {
            Stage::Waiting(_) => self.end(name, End::Cancelled),
            Stage::Submitting => job.let_go = true,
            Stage::Submitted => self.leave(name),
        }
    }

    fn leave(&mut self, name: &str) {
        let Some(job) = self.jobs.get(name) else { return };
        let message = match &job.id {
            Some(id) => format!("job {id} goes on"),
            None => format!("the job {name} may have been submitted"),
        };
        self.end(name, fault(JobFaultKind::Left, message));
    }

    /// Jobs that are to leave the batch system.
    pub fn take_unwanted(&mut self) -> Vec<(String, Option<String>)> {
        std::mem::take(&mut self.unwanted)
    }

    fn end(&mut self, name: &str, end: End) {
        let Some(job) = self.jobs.get_mut(name) else { return };
        job.mirror();
        let host = job.host.clone();
        let outcome = Outcome { end, duration: Duration::ZERO, leftovers: 0, usage: None };
        self.finish(name, JobEnd { outcome, record: None, host });
    }

    fn finish(&mut self, name: &str, end: JobEnd) {
        if let Some(job) = self.jobs.remove(name) {
            (job.new.done)(end);
        }
    }
}

fn fault(kind: JobFaultKind, message: String) -> End {
    End::Job(JobFault { kind, message })
}

fn shown(duration: Duration) -> String {
    jiff::SignedDuration::try_from(duration).map(|duration| format!("{duration:#}")).unwrap_or_default()
}
