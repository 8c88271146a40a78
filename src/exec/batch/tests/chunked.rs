//! Jobs of several attempts.

use super::*;
use crate::core::chunk::ChunkSize;

#[test]
fn each_attempt_of_a_chunk_ends_with_its_own_record() {
    let mut desk = Desk::submitted_of(3);
    desk.claim();
    desk.record_of(1, End::Exited(3));
    desk.begins(2);
    assert_eq!(desk.ends.lock().unwrap()[..], [(1, End::Exited(3))], "the others go on");
    desk.record_of(2, End::Exited(0));
    desk.record_of(3, End::Exited(0));
    desk.look();
    assert_eq!(desk.kinds(), [(1, None), (2, None), (3, None)]);
    assert!(desk.book.is_empty());
}

#[test]
fn of_a_chunk_whose_job_ended_only_what_had_begun_is_to_blame() {
    for (state, kind) in [
        (SystemState::TimedOut, JobFaultKind::Crowded),
        (SystemState::Lost, JobFaultKind::Lost),
        (SystemState::OutOfMemory, JobFaultKind::Signal),
        (SystemState::Ended, JobFaultKind::Signal),
    ] {
        let mut desk = Desk::submitted_of(4);
        desk.claim();
        desk.record_of(1, End::Exited(0));
        desk.begins(2);
        desk.status(state);
        desk.wait(61);
        desk.look();
        let idle = Some(JobFaultKind::NotBegun);
        assert_eq!(desk.kinds(), [(1, None), (2, Some(kind)), (3, idle), (4, idle)], "{state:?}");
        assert!(desk.book.is_empty());
    }
    // What somebody else cancelled is not done again.
    let mut desk = Desk::submitted_of(2);
    desk.claim();
    desk.status(SystemState::Cancelled);
    desk.wait(61);
    desk.look();
    let cancelled = Some(JobFaultKind::Cancelled);
    assert_eq!(desk.kinds(), [(1, cancelled), (2, cancelled)]);
}

#[test]
fn the_first_that_has_no_line_may_have_begun_on_a_node_that_failed() {
    let mut desk = Desk::submitted_of(3);
    desk.claim();
    desk.record_of(1, End::Exited(0));
    desk.status(SystemState::Lost);
    assert_eq!(desk.kinds(), [(1, None), (2, Some(JobFaultKind::Lost)), (3, Some(JobFaultKind::NotBegun))]);
}

#[test]
fn what_has_not_begun_is_given_back_when_the_run_stops() {
    let mut desk = Desk::submitted_of(3);
    desk.add("r-2", 2);
    desk.claim();
    desk.book.give_back();
    assert_eq!(
        desk.kinds(),
        [(1, Some(JobFaultKind::GivenBack)), (2, Some(JobFaultKind::GivenBack))],
        "of r-2"
    );
    assert!(desk.folder.is_stopped());
    desk.record_of(1, End::Exited(0));
    for attempt in [2, 3] {
        desk.record_of(attempt, ends::fault(JobFaultKind::NotBegun, ""));
    }
    desk.ends.lock().unwrap().clear();
    desk.look();
    let back = Some(JobFaultKind::GivenBack);
    assert_eq!(desk.kinds(), [(1, None), (2, back), (3, back)]);
}

#[test]
fn attempts_of_a_job_of_another_run_are_asked_for_one_by_one() {
    let mut desk = Desk::new();
    desk.add("r-2", 3);
    let other = JobFolder::new(desk.dir.path().join("jobs/r-2"));
    desk.book = Book::new(settings());
    let holder = ClaimHolder { host: Some("n1".into()), job: Some("7".into()) };
    assert!(other.claim(&holder).unwrap());
    desk.folder = other;
    desk.adopt("r-2", 3, 3);
    desk.record_of(1, End::Exited(0));
    desk.look();
    assert!(desk.kinds().is_empty());
    desk.adopt("r-2", 1, 3);
    desk.look();
    assert_eq!(desk.kinds(), [(1, None)], "its record was read before it was asked for");
    desk.record_of(3, End::Exited(0));
    desk.look();
    assert_eq!(desk.kinds(), [(1, None), (3, None)]);
    desk.record_of(2, End::Exited(0));
    desk.adopt("r-2", 2, 3);
    desk.look();
    assert_eq!(desk.kinds().len(), 3, "also after the others had ended");
}

#[test]
fn one_that_cannot_be_made_ready_is_no_part_of_its_job() {
    let mut desk = Desk::new();
    let folder = JobFolder::create(desk.dir.path().join("jobs/r-2")).unwrap();
    let works = vec!["v".to_owned(), "w".to_owned()];
    desk.book.gather(BookedJob::new("r-2".into(), folder, JobWish::default(), works, "n".into(), desk.now));
    desk.book.ready("r-2", 2, desk.ready(2), desk.now);
    assert_eq!(desk.book.take_due(desk.now).len(), 1, "only r-1");
    desk.book.submitted("r-1", Ok("7".into()), desk.now);
    desk.book.leave("r-2", 1, desk.now);
    assert_eq!(desk.book.take_due(desk.now).len(), 1);
}

#[test]
fn a_chunk_asks_for_the_sum_of_its_times_and_for_what_runs_at_once() {
    let chunk = Chunking { size: ChunkSize::Of(5), time: SECOND, max: 5, parallel: 2 };
    let (cpus, memory, gpus, limit) = (3, Some(10), None, Some(SECOND * 100));
    let needs = JobNeeds { cpus, memory, gpus, limit, ..JobNeeds::default() };
    let wish = JobWish { needs, chunk, ..JobWish::default() };
    let request = wish.request("r-1", &JobFolder::new("/w/r-1".into()), 5).needs;
    assert_eq!((request.cpus, request.memory, request.limit), (6, Some(20), Some(SECOND * 360)));
    let alone = wish.request("r-1", &JobFolder::new("/w/r-1".into()), 1).needs;
    assert_eq!((alone.cpus, alone.limit), (3, Some(SECOND * 160)));
}
