//! Jobs that no runner attends to: a run let them go, or was killed. They are ended here, without one.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::folder::{ClaimHolder, JobFolder};
use super::system::{BatchSystem, SystemJob};
use crate::exec::Level;

/// A job that no runner attends to.
#[derive(Clone, Debug)]
pub struct LeftJob {
    pub name: String,
    /// The batch system's id, if it was noted.
    pub id: Option<String>,
    pub folder: JobFolder,
}

/// Time between two looks at the records of jobs that are to end.
const LOOK: Duration = Duration::from_millis(200);

/// Ends jobs: one that has not begun never will, one that runs is asked to end within its grace. Waits for them, at most
/// for `patience`; the names of those of which nothing is left to come.
///
/// # Errors
/// The batch system gives no answer; what has not begun never will all the same.
pub fn end_left(
    system: &dyn BatchSystem,
    jobs: &[LeftJob],
    level: Level,
    patience: Duration,
) -> Result<Vec<String>, String> {
    let begun = Instant::now();
    let (mut over, mut running): (Vec<_>, Vec<_>) = jobs.iter().partition(|job| !goes_on(job, level));
    let is_meant = |found: &SystemJob| {
        !found.state.is_over() && jobs.iter().any(|job| found.is(&job.name, job.id.as_deref()))
    };
    let known = system.status()?;
    let meant: Vec<_> = known.into_iter().filter(is_meant).collect();
    // A job that is in the queue no more, and that left no record, is over as well.
    running.retain(|job| {
        let is_known = meant.iter().any(|found| found.is(&job.name, job.id.as_deref()));
        if !is_known {
            over.push(job);
        }
        is_known
    });
    for part in meant.chunks(100) {
        system.cancel(part)?;
    }
    while !running.is_empty() && begun.elapsed() < patience {
        sleep(LOOK);
        running.retain(|job| {
            job.folder.refresh();
            let goes_on = job.folder.exists() && !job.folder.has_ended();
            if !goes_on {
                over.push(job);
            }
            goes_on
        });
    }
    Ok(over.into_iter().map(|job| job.name.clone()).collect())
}

/// Whether a job runs and has not ended; it is asked to end then. One that has not begun never will.
fn goes_on(job: &LeftJob, level: Level) -> bool {
    let folder = &job.folder;
    folder.refresh();
    let is_ours = !folder.exists()
        || folder.claim(&ClaimHolder::RUNNER).unwrap_or(false)
        || folder.claimant() == Some(ClaimHolder::RUNNER);
    if is_ours || folder.has_ended() {
        return false;
    }
    folder.ask_to_end(level);
    true
}
