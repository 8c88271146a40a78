//! The threads on which an operation of the engine runs.

use std::future::Future;

use super::Failure;

/// Runs `work` to its end on threads of its own. What it leaves behind in the background is not waited for.
pub fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime =
        builder.worker_threads(2).enable_all().build().map_err(|error| {
            Failure::store(format!("the threads of the runner cannot be started: {error}"))
        })?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    Ok(done)
}
