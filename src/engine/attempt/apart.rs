//! Work of an attempt that keeps a thread for a while, away from the threads that poll attempts. Knows nothing of what the
//! work is.

use std::panic::resume_unwind;

use crate::core::background::begin_or_do;

/// Does the work on a thread of its own and waits for its result. Where the system has no thread left it is done by this
/// one, and the other attempts of this thread wait.
pub async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match begin_or_do("attempt", work).await {
        Ok(result) => result,
        Err(panic) => resume_unwind(panic),
    }
}
