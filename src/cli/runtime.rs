//! The threads that a run needs, or a message where the system refuses them.

use std::os::unix::fs::MetadataExt;
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, Runtime};

use super::screen::{ColorChoice, tell_failure};
use super::{Failure, code};
use crate::ops::NO_THREAD;

/// Threads that poll attempts, beside the one that drives the run.
const WORKERS: usize = 2;

/// Runs `work` to its end on threads of its own. What it leaves behind in the background is not waited for.
///
/// # Errors
/// The system has no thread left.
pub fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = runtime()?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    Ok(done)
}

/// A runtime of two threads.
fn runtime() -> Result<Runtime, Failure> {
    let before = threads();
    // Where the system refuses a thread the builder panics, and what it then takes apart may wait for ever: so the process
    // ends before that.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let failure = match panic.payload().downcast_ref::<String>() {
            Some(why) => refused(why),
            None => Failure::store(NO_THREAD),
        };
        tell_failure(ColorChoice::Auto, &failure);
        std::process::exit(code::STORE.into());
    }));
    let built = Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    panic::set_hook(hook);
    let runtime = built.map_err(refused)?;
    if threads() < before + WORKERS {
        // Work that is meant for the missing one would never be done.
        runtime.shutdown_background();
        return Err(Failure::store(NO_THREAD));
    }
    Ok(runtime)
}

fn refused(why: impl std::fmt::Display) -> Failure {
    Failure::store(format!(
        "the threads of the runner cannot be started: {why}; end other processes, or raise `ulimit -u` or `ulimit -n`"
    ))
}

/// How many threads this process has: as many links lead to the folder as it holds folders, and two. Where the system does
/// not tell, the number grows as asked for.
fn threads() -> usize {
    static UNKNOWN: AtomicUsize = AtomicUsize::new(0);
    match std::fs::metadata("/proc/self/task") {
        Ok(folder) => folder.nlink() as usize,
        Err(_) => UNKNOWN.fetch_add(WORKERS, Ordering::Relaxed),
    }
}
