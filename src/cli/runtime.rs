//! The threads that a run needs, or a message where the system refuses them.

use std::panic::{self, AssertUnwindSafe};

use tokio::runtime::{Builder, Runtime};

use super::Failure;
use crate::ops::run::NO_THREAD;

/// A runtime of two threads.
pub fn runtime() -> Result<Runtime, Failure> {
    // Where the system refuses the first thread, the builder panics; where it refuses only the second, one does the work.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let built = panic::catch_unwind(AssertUnwindSafe(|| {
        Builder::new_multi_thread().worker_threads(2).enable_all().build()
    }));
    panic::set_hook(hook);
    match built {
        Ok(Ok(runtime)) => Ok(runtime),
        Ok(Err(error)) => {
            Err(Failure::store(format!("the threads of the runner cannot be started: {error}")))
        }
        Err(_) => Err(Failure::store(NO_THREAD)),
    }
}
