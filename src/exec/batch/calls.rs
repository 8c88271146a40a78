//! How often a batch system is called.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::system::{BatchSystem, JobRequest, SubmitFault, SystemJob};
use crate::core::executor_calls::ExecutorCalls;

/// The calls of one executor in one run.
#[derive(Default)]
pub struct CallCounts {
    submit: AtomicU64,
    status: AtomicU64,
    cancel: AtomicU64,
}

impl CallCounts {
    pub fn so_far(&self) -> ExecutorCalls {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ExecutorCalls { submit: of(&self.submit), status: of(&self.status), cancel: of(&self.cancel) }
    }
}

/// A batch system whose calls are counted.
pub struct Counted {
    pub system: Box<dyn BatchSystem>,
    pub counts: Arc<CallCounts>,
}

impl BatchSystem for Counted {
    fn submit(&self, job: &JobRequest) -> Result<String, SubmitFault> {
        self.counts.submit.fetch_add(1, Ordering::Relaxed);
        self.system.submit(job)
    }

    fn status(&self) -> Result<Vec<SystemJob>, String> {
        self.counts.status.fetch_add(1, Ordering::Relaxed);
        self.system.status()
    }

    fn cancel(&self, jobs: &[SystemJob]) -> Result<(), String> {
        self.counts.cancel.fetch_add(1, Ordering::Relaxed);
        self.system.cancel(jobs)
    }

    fn take_notes(&self) -> Vec<String> {
        self.system.take_notes()
    }
}
