//! Whether the process may open as many files as a run needs: else the run does not begin, in place of tasks that fail for
//! it one by one.

use rustix::process::{Resource, getrlimit};

use super::super::Error;

/// What a run needs beside its tasks: the database twice, its log and index, locks, events, pipes of the runtime.
const FOR_THE_RUN: u64 = 32;
/// How many tasks are counted with one descriptor each. A run with more of them seldom opens files for all at once.
const MAX_COUNTED_JOBS: u64 = 32;

/// Refuses a run that would run out of descriptors.
///
/// # Errors
/// Fewer are allowed than the run needs.
pub fn expect_enough(jobs: usize) -> Result<(), Error> {
    check(getrlimit(Resource::Nofile).current, jobs)
}

fn check(allowed: Option<u64>, jobs: usize) -> Result<(), Error> {
    let needed = FOR_THE_RUN + MAX_COUNTED_JOBS.min(jobs as u64);
    match allowed {
        Some(allowed) if allowed < needed => Err(Error::store(format!(
            "only {allowed} files may be open at once (`ulimit -n`), and a run of {jobs} jobs needs {needed}: raise the \
             limit, or allow fewer jobs with -j"
        ))),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_need_grows_with_jobs_up_to_a_bound() {
        assert!(check(Some(34), 2).is_ok() && check(Some(64), 1000).is_ok() && check(None, 8).is_ok());
        let error = check(Some(33), 2).unwrap_err().to_string();
        assert!(error.contains("only 33 files") && error.contains("needs 34"), "{error}");
    }
}
