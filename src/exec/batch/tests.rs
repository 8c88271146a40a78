//! Jobs over a fake batch system: what the book makes of files, answers and time. Nothing runs and nothing waits.

mod chunked;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::book::Book;
use super::booked::{AdoptedJob, BookedJob, JobEnd, ReadyAttempt};
use super::system::JobNeeds;
use super::*;
use crate::exec::ProcessUsage;

const SECOND: Duration = Duration::from_secs(1);

/// A book with one job `r-1`, what was heard of it, and how it ended.
struct Desk {
    book: Book,
    folder: JobFolder,
    now: Instant,
    news: Arc<Mutex<Vec<JobNews>>>,
    ended: Arc<Mutex<Vec<Outcome>>>,
    /// By the attempts' numbers.
    ends: Arc<Mutex<Vec<(usize, End)>>>,
    dir: tempfile::TempDir,
}

fn settings() -> BatchSettings {
    BatchSettings {
        max_in_flight: 2,
        submits_per_minute: 3,
        poll_interval: SECOND * 15,
        record_interval: SECOND,
        record_wait: SECOND * 60,
        lost_after: SECOND * 120,
        stuck_after: SECOND * 600,
        folder: PathBuf::new(),
        prefix: String::new(),
    }
}

impl Desk {
    fn new() -> Self {
        Self::of(1)
    }

    /// With a job of so many attempts.
    fn of(attempts: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut desk = Self {
            book: Book::new(settings()),
            folder: JobFolder::new(dir.path().join("jobs/r-1")),
            now: Instant::now(),
            news: Arc::default(),
            ended: Arc::default(),
            ends: Arc::default(),
            dir,
        };
        desk.add("r-1", attempts);
        desk
    }

    /// With its job submitted as 7.
    fn submitted() -> Self {
        Self::submitted_of(1)
    }

    fn submitted_of(attempts: usize) -> Self {
        let mut desk = Self::of(attempts);
        assert_eq!(desk.book.take_due(desk.now).len(), 1);
        desk.book.submitted("r-1", Ok("7".into()), desk.now);
        desk.wait(1);
        desk
    }

    fn ready(&self, attempt: usize) -> ReadyAttempt {
        let (news, ended, ends) = (Arc::clone(&self.news), Arc::clone(&self.ended), Arc::clone(&self.ends));
        ReadyAttempt {
            mirror: self.dir.path().join(format!("mirror{attempt}")),
            news: Box::new(move |one| news.lock().unwrap().push(one)),
            done: Box::new(move |end: JobEnd| {
                ends.lock().unwrap().push((attempt, end.outcome.end.clone()));
                ended.lock().unwrap().push(end.outcome);
            }),
        }
    }

    fn add(&mut self, name: &str, attempts: usize) {
        let folder = JobFolder::create(self.dir.path().join("jobs").join(name)).unwrap();
        let works = vec!["w".to_owned(); attempts];
        let needs = JobNeeds { limit: Some(SECOND * 60), ..JobNeeds::default() };
        let wish = JobWish { needs, ..JobWish::default() };
        self.book.gather(BookedJob::new(name.into(), folder, wish, works, "n".into(), self.now));
        for attempt in 1..=attempts {
            self.book.ready(name, attempt, self.ready(attempt), self.now);
        }
    }

    fn adopt(&mut self, name: &str, attempt: usize, size: usize) {
        let folder = JobFolder::new(self.dir.path().join("jobs").join(name));
        let adopted = AdoptedJob { name: name.into(), folder, id: None, size };
        self.book.adopt(adopted, JobWish::default(), attempt, self.ready(attempt), self.now);
    }

    fn begins(&mut self, attempt: usize) {
        self.folder.open_journal().unwrap().begins(attempt).unwrap();
        self.look();
    }

    fn record_of(&self, attempt: usize, end: End) {
        let usage = Some(ProcessUsage::default());
        let outcome = Outcome { end, duration: SECOND, leftovers: 0, usage };
        let record = JobRecord::of(outcome, "n1".into(), Vec::new());
        self.folder.open_journal().unwrap().ended(attempt, record).unwrap();
    }

    /// How the attempts ended, by their numbers; the kinds of those without a record.
    fn kinds(&self) -> Vec<(usize, Option<JobFaultKind>)> {
        let mut ends: Vec<_> = self.ends.lock().unwrap().clone();
        ends.sort_by_key(|(attempt, _)| *attempt);
        let kind = |end| match end {
            End::Job(fault) => Some(fault.kind),
            _ => None,
        };
        ends.into_iter().map(|(attempt, end)| (attempt, kind(end))).collect()
    }

    fn wait(&mut self, seconds: u32) {
        self.now += SECOND * seconds;
    }

    fn status(&mut self, state: SystemState) {
        self.wait(1);
        let job = SystemJob { id: "7".into(), name: "r-1".into(), state, words: "W".into(), host: None };
        self.book.heard(vec![job], self.now, self.now);
    }

    /// A status call that has other jobs only.
    fn absent(&mut self) {
        self.wait(1);
        let other = |id: &str, name: &str| SystemJob {
            id: id.into(),
            name: name.into(),
            state: SystemState::Running,
            words: String::new(),
            host: None,
        };
        // The id went to another job, and the name to another id.
        self.book.heard(vec![other("7", "other"), other("8", "r-1")], self.now, self.now);
    }

    fn claim(&mut self) {
        let holder = ClaimHolder { host: Some("n1".into()), job: Some("7".into()) };
        assert!(self.folder.claim(&holder).unwrap());
        self.begins(1);
    }

    fn record(&self, end: End) {
        self.record_of(1, end);
    }

    fn look(&mut self) {
        self.book.look(self.now);
    }

    fn end(&self) -> Option<End> {
        self.ended.lock().unwrap().last().map(|outcome| outcome.end.clone())
    }

    fn fault(&self) -> Option<JobFaultKind> {
        match self.end() {
            Some(End::Job(fault)) => Some(fault.kind),
            _ => None,
        }
    }
}

#[test]
fn only_a_record_ends_an_attempt_well() {
    let mut desk = Desk::submitted();
    desk.claim();
    desk.status(SystemState::Running);
    desk.status(SystemState::Ended);
    assert_eq!(desk.end(), None, "the record may be late");
    desk.record(End::Exited(0));
    desk.look();
    assert_eq!(desk.end(), Some(End::Exited(0)));
    let news = desk.news.lock().unwrap();
    assert_eq!(
        news[..],
        [
            JobNews::Submitted { job: "7".into(), name: "r-1".into() },
            JobNews::Started { job: "7".into(), host: Some("n1".into()) },
        ]
    );
}

#[test]
fn a_claimed_job_that_ended_without_a_record_has_failed() {
    let mut desk = Desk::submitted();
    desk.claim();
    desk.status(SystemState::Ended);
    desk.wait(61);
    desk.look();
    assert_eq!(desk.fault(), Some(JobFaultKind::Signal));
}

#[test]
fn a_failed_node_is_fenced_and_the_job_is_lost() {
    let mut desk = Desk::submitted();
    desk.status(SystemState::Lost);
    assert_eq!(desk.fault(), Some(JobFaultKind::Lost));
    assert_eq!(desk.folder.claimant(), Some(ClaimHolder::RUNNER), "it can never begin");
    assert_eq!(desk.book.take_unwanted(), [("r-1".to_owned(), Some("7".to_owned()))]);

    let mut desk = Desk::submitted();
    desk.claim();
    desk.status(SystemState::Lost);
    assert_eq!(desk.fault(), Some(JobFaultKind::Lost));
    assert_eq!(desk.folder.asked_to_end(), Level::Kill, "its claim is revoked");
}

#[test]
fn a_job_in_neither_place_is_lost_after_a_while_and_ids_count_with_names() {
    let mut desk = Desk::submitted();
    desk.absent();
    desk.wait(200);
    desk.look();
    assert_eq!(desk.end(), None, "one status call is not enough");
    desk.absent();
    desk.look();
    assert_eq!(desk.fault(), Some(JobFaultKind::Lost));
}

#[test]
fn signs_of_life_keep_a_job_that_the_queue_forgot() {
    let mut desk = Desk::submitted();
    desk.claim();
    let alive = desk.folder.begin_life().unwrap();
    for i in 1..5 {
        desk.absent();
        desk.wait(100);
        let sign = std::time::SystemTime::UNIX_EPOCH + SECOND * i;
        alive.set_modified(sign).unwrap();
        desk.look();
        assert_eq!(desk.end(), None);
    }
    desk.wait(121);
    desk.look();
    assert_eq!(desk.fault(), Some(JobFaultKind::Lost));
}

#[test]
fn an_answer_that_is_older_than_the_claim_says_nothing() {
    let mut desk = Desk::submitted();
    let asked = desk.now;
    desk.wait(1);
    desk.claim();
    let pending = SystemJob {
        id: "7".into(),
        name: "r-1".into(),
        state: SystemState::Pending,
        words: "PENDING".into(),
        host: None,
    };
    desk.book.heard(vec![pending.clone()], asked, desk.now);
    assert_eq!(desk.end(), None);
    desk.wait(1);
    desk.book.heard(vec![pending], desk.now, desk.now);
    assert_eq!(desk.fault(), Some(JobFaultKind::Lost), "now it was requeued after it had begun");
}

#[test]
fn a_cancelled_job_that_never_began_never_will() {
    let mut desk = Desk::submitted();
    desk.book.cancel(Level::Terminate, desk.now);
    assert_eq!(desk.end(), Some(End::Cancelled));
    assert_eq!(desk.folder.claimant(), Some(ClaimHolder::RUNNER));
    assert_eq!(desk.book.take_unwanted().len(), 1);
}

#[test]
fn a_running_job_is_asked_to_end_and_its_record_awaited() {
    let mut desk = Desk::submitted();
    desk.claim();
    desk.book.cancel(Level::Terminate, desk.now);
    assert_eq!(desk.end(), None);
    assert_eq!(desk.folder.asked_to_end(), Level::Terminate);
    desk.record(End::Cancelled);
    desk.look();
    assert_eq!(desk.end(), Some(End::Cancelled));
}

#[test]
fn an_end_from_outside_is_explained_by_the_batch_system() {
    for (state, kind) in [
        (SystemState::Cancelled, JobFaultKind::Cancelled),
        (SystemState::TimedOut, JobFaultKind::Timeout),
        (SystemState::Lost, JobFaultKind::Lost),
        (SystemState::OutOfMemory, JobFaultKind::Signal),
    ] {
        let mut desk = Desk::submitted();
        desk.claim();
        desk.record(End::Cancelled);
        desk.look();
        assert!(desk.end().is_none() && desk.book.wants_status_now());
        desk.status(state);
        assert_eq!(desk.fault(), Some(kind), "{state:?}");
    }
}

#[test]
fn a_job_that_was_cancelled_in_the_queue_has_failed_and_one_whose_launch_failed_is_lost() {
    for (host, kind) in [(None, JobFaultKind::Cancelled), (Some("n1"), JobFaultKind::Lost)] {
        let mut desk = Desk::submitted();
        let job = SystemJob {
            id: "7".into(),
            name: "r-1".into(),
            state: SystemState::Cancelled,
            words: "CANCELLED".into(),
            host: host.map(str::to_owned),
        };
        desk.wait(1);
        desk.book.heard(vec![job], desk.now, desk.now);
        desk.wait(60);
        desk.look();
        assert_eq!(desk.fault(), Some(kind));
    }
}

#[test]
fn a_stuck_job_is_told_of_at_once_and_cancelled_later() {
    let mut desk = Desk::submitted();
    desk.status(SystemState::Stuck);
    desk.status(SystemState::Stuck);
    let warnings =
        desk.news.lock().unwrap().iter().filter(|news| matches!(news, JobNews::Warning(_))).count();
    assert_eq!(warnings, 1);
    desk.wait(600);
    desk.look();
    assert_eq!(desk.fault(), Some(JobFaultKind::Spawn));
}

#[test]
fn submissions_keep_to_their_limits() {
    let mut desk = Desk::new();
    assert_eq!(desk.book.free(), 1);
    desk.add("r-2", 1);
    assert_eq!(desk.book.free(), 0, "two in flight");
    for name in ["r-3", "r-4"] {
        desk.add(name, 1);
    }
    let due = |desk: &mut Desk| -> Vec<String> {
        desk.book.take_due(desk.now).into_iter().map(|(intent, _)| intent.name).collect()
    };
    assert_eq!(due(&mut desk), ["r-1", "r-2", "r-3"], "three a minute");
    desk.book.submitted("r-1", Err(SubmitFault::Refused("no".into())), desk.now);
    assert_eq!(desk.fault(), Some(JobFaultKind::Spawn));
    for name in ["r-2", "r-3"] {
        desk.book.submitted(name, Ok("2".into()), desk.now);
    }
    assert_eq!(due(&mut desk), [""; 0]);
    desk.wait(60);
    assert_eq!(due(&mut desk), ["r-4"]);
}

#[test]
fn a_submission_is_tried_again_later_and_one_without_an_answer_is_looked_for() {
    let mut desk = Desk::new();
    desk.book.take_due(desk.now);
    desk.book.submitted("r-1", Err(SubmitFault::Later("busy".into())), desk.now);
    assert!(desk.book.take_due(desk.now).is_empty());
    desk.wait(1);
    assert_eq!(desk.book.take_due(desk.now).len(), 1);
    desk.book.submitted("r-1", Err(SubmitFault::Unknown("timed out".into())), desk.now);
    desk.status(SystemState::Running);
    let adopted = JobNews::Submitted { job: "7".into(), name: "r-1".into() };
    assert!(desk.news.lock().unwrap().contains(&adopted), "it was found by its name");
}

#[test]
fn a_job_of_another_run_is_not_submitted_again() {
    let mut desk = Desk::submitted();
    desk.adopt("r-2", 1, 1);
    assert!(desk.book.take_due(desk.now).is_empty());
    assert!(desk.book.wants_status());
}

#[test]
fn what_another_run_gave_up_or_ended_is_done_again() {
    let mut desk = Desk::submitted();
    assert!(desk.folder.claim(&ClaimHolder::RUNNER).unwrap());
    desk.look();
    assert_eq!(desk.fault(), Some(JobFaultKind::Lost));

    let mut desk = Desk::submitted();
    desk.claim();
    desk.folder.ask_to_end(Level::Terminate);
    desk.record(End::Cancelled);
    desk.look();
    assert_eq!(desk.fault(), Some(JobFaultKind::Lost));
}

#[test]
fn what_the_command_prints_is_copied_once() {
    let mut desk = Desk::submitted();
    std::fs::write(desk.folder.log(1), "one\n").unwrap();
    desk.claim();
    desk.look();
    std::fs::write(desk.folder.log(1), "one\ntwo\n").unwrap();
    desk.record(End::Exited(0));
    desk.look();
    assert_eq!(std::fs::read_to_string(desk.dir.path().join("mirror1")).unwrap(), "one\ntwo\n");
}
