//! How jobs end without a record, and how they are called off.

use std::time::Instant;

use super::book::Book;
use super::booked::{JobEnd, Stage};
use super::ends::{fault, given_back, outcome, shown};
use super::folder::ClaimHolder;
use super::record::{JobRecord, RecordedEnd};
use super::system::SystemState;
use super::{JobFault, JobFaultKind};
use crate::exec::{End, Level, Outcome};

impl Book {
    /// What has no record ends as the end of its job says.
    pub(super) fn ended_without_record(&mut self, name: &str, state: SystemState, words: &str, now: Instant) {
        let Some(job) = self.jobs.get_mut(name) else { return };
        let id = job.id.clone().unwrap_or_default();
        if job.asked > Level::None {
            return self.end_all(name, &End::Cancelled);
        }
        let claimed = job.claimed || job.folder.claimant().is_some();
        let request = job.request();
        let of_suspects = match state {
            SystemState::Lost => return self.lose(name, words, now),
            // It had a node and never began: its launch failed, and the batch system gave it up.
            SystemState::Cancelled if !claimed && job.host.is_some() => return self.lose(name, words, now),
            SystemState::Cancelled => {
                let message = format!("job {id} was cancelled from outside");
                return self.end_all(name, &fault(JobFaultKind::Cancelled, &message));
            }
            SystemState::TimedOut => {
                let limit =
                    request.needs.limit.map_or_else(String::new, |limit| format!(" of {}", shown(limit)));
                // One that shared a job may have had too little of its time.
                let kind = if job.size > 1 { JobFaultKind::Crowded } else { JobFaultKind::Timeout };
                fault(kind, &format!("the job's time limit{limit} ended"))
            }
            SystemState::OutOfMemory => {
                let asked = request.needs.memory.map_or_else(
                    || "than it was given".to_owned(),
                    |memory| format!("than the {} that were asked for", bytesize::ByteSize(memory)),
                );
                fault(JobFaultKind::Signal, &format!("the job used more memory {asked}"))
            }
            _ if claimed => fault(
                JobFaultKind::Signal,
                &format!("the job ended without a record: the batch system says {words}"),
            ),
            _ if job.said().is_empty() => return self.lose(name, words, now),
            _ => {
                let message = format!("the job ended before it began: {}", job.said());
                return self.end_all(name, &fault(JobFaultKind::Spawn, &message));
            }
        };
        self.end_suspects(name, &of_suspects, words);
    }

    /// Ends the attempts that had begun, or may have; the others are to be done again.
    pub(super) fn end_suspects(&mut self, name: &str, end: &End, words: &str) {
        let Some(job) = self.jobs.get(name) else { return };
        for attempt in job.suspects() {
            if let Some(job) = self.jobs.get(name) {
                job.add_system_log(attempt);
            }
            self.finish(name, attempt, outcome(end.clone()), None);
        }
        self.end_all(name, &fault(JobFaultKind::NotBegun, words));
    }

    /// A job that is gone: it can never begin any more, and its attempts may be done again.
    pub(super) fn lose(&mut self, name: &str, reason: &str, now: Instant) {
        let lost = fault(JobFaultKind::Lost, reason);
        match self.fence(name, now) {
            true => self.end_all(name, &lost),
            false => self.end_suspects(name, &lost, reason),
        }
    }

    /// Makes sure that a job begins nothing any more, and takes what it has ended. Whether nothing had begun.
    pub(super) fn fence(&mut self, name: &str, now: Instant) -> bool {
        let Some(job) = self.jobs.get_mut(name) else { return true };
        let (folder, id) = (job.folder.clone(), job.id.clone());
        let is_idle = folder.claim(&ClaimHolder::RUNNER).unwrap_or(false);
        if !is_idle {
            folder.revoke();
            folder.refresh();
            for (attempt, record) in job.look(now) {
                // One that was ended from outside has not ended by itself.
                if !matches!(record.end, RecordedEnd::Cancelled | RecordedEnd::NotBegun) {
                    self.recorded(name, attempt, record, now);
                }
            }
        }
        self.unwanted.push((name.to_owned(), id));
        is_idle
    }

    /// The run ends all jobs.
    pub fn cancel(&mut self, level: Level, now: Instant) {
        self.asked = self.asked.max(level);
        for name in self.jobs.keys().cloned().collect::<Vec<_>>() {
            self.cancel_one(&name, level, now);
        }
    }

    fn cancel_one(&mut self, name: &str, level: Level, now: Instant) {
        let Some(job) = self.jobs.get_mut(name) else { return };
        if job.asked >= level {
            return;
        }
        (job.asked, job.since) = (level, now);
        if matches!(job.stage, Stage::Gathering | Stage::Waiting(_)) {
            return self.end_all(name, &End::Cancelled);
        }
        let (id, folder) = (job.id.clone(), job.folder.clone());
        // One that has not begun never will.
        if folder.claim(&ClaimHolder::RUNNER).unwrap_or(false) {
            self.end_all(name, &End::Cancelled);
        } else {
            folder.ask_to_end(level);
        }
        self.unwanted.push((name.to_owned(), id));
    }

    /// The run begins nothing more: what has not begun never will.
    pub fn give_back(&mut self) {
        self.waiting.clear();
        for name in self.jobs.keys().cloned().collect::<Vec<_>>() {
            let Some(job) = self.jobs.get_mut(&name) else { continue };
            job.given_back = true;
            let (id, folder) = (job.id.clone(), job.folder.clone());
            let is_here = matches!(job.stage, Stage::Gathering | Stage::Waiting(_));
            if is_here {
                self.end_all(&name, &given_back());
            } else if folder.claim(&ClaimHolder::RUNNER).unwrap_or(false) {
                self.end_all(&name, &given_back());
                self.unwanted.push((name, id));
            } else if job.size > 1 {
                folder.stop();
            }
        }
    }

    /// The run leaves to themselves the jobs that were submitted; the others end.
    pub fn let_go(&mut self) {
        self.lets_go = true;
        self.waiting.clear();
        for name in self.jobs.keys().cloned().collect::<Vec<_>>() {
            match self.jobs.get(&name).map(|job| job.stage) {
                Some(Stage::Gathering | Stage::Waiting(_)) => self.end_all(&name, &End::Cancelled),
                Some(Stage::Submitted) => self.leave_alone(&name),
                // Its answer is waited for.
                Some(Stage::Submitting) | None => {}
            }
        }
    }

    pub(super) fn leave_alone(&mut self, name: &str) {
        let Some(job) = self.jobs.get(name) else { return };
        let message = match &job.id {
            Some(id) => format!("job {id} goes on"),
            None => format!("the job {name} may have been submitted"),
        };
        self.end_all(name, &fault(JobFaultKind::Left, &message));
    }

    /// Jobs that are to leave the batch system.
    pub fn take_unwanted(&mut self) -> Vec<(String, Option<String>)> {
        std::mem::take(&mut self.unwanted)
    }

    /// Ends all attempts of a job that have not ended.
    pub(super) fn end_all(&mut self, name: &str, end: &End) {
        let Some(job) = self.jobs.get(name) else { return };
        let needs_words = matches!(end, End::Job(JobFault { kind, .. })
            if matches!(kind, JobFaultKind::Cancelled | JobFaultKind::Spawn) && job.stage == Stage::Submitted);
        for attempt in job.parts.keys().copied().collect::<Vec<_>>() {
            if needs_words && let Some(job) = self.jobs.get(name) {
                job.add_system_log(attempt);
            }
            self.finish(name, attempt, outcome(end.clone()), None);
        }
    }

    pub(super) fn finish(&mut self, name: &str, attempt: usize, outcome: Outcome, record: Option<JobRecord>) {
        let Some(job) = self.jobs.get_mut(name) else { return };
        let host = job.host.clone();
        let ended = job.take(attempt);
        if job.parts.is_empty() {
            self.jobs.remove(name);
        }
        if let Some(ready) = ended {
            (ready.done)(JobEnd { outcome, record, host });
        }
    }
}
