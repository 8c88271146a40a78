//! Where an attempt is made that does not run on this machine, and what is heard of it before it has ended.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use crate::core::digest::Digest;
use crate::core::run_id::RunId;
use crate::engine::attempt::ledger::HomeLedger;
use crate::engine::schedule::UnitId;
use crate::engine::schedule::pools::Reservation;
use crate::exec::batch::{Batch, JobNews};

/// An executor whose attempts are jobs of a batch system.
pub struct BatchPlace {
    pub name: Arc<str>,
    pub batch: Batch,
    pub ledger: Arc<HomeLedger>,
    /// A folder that this machine and all nodes see at the same path.
    pub work_dir: PathBuf,
    /// This program on the nodes; a copy in `work_dir` if it is not given.
    pub runner: Option<PathBuf>,
    /// The names of jobs begin with it.
    pub prefix: String,
    /// Shell lines before anything else.
    pub prelude: String,
    pub lost_retries: u32,
    /// The limit of a task without a timeout.
    pub time: Option<Duration>,
    /// The values of all secrets of the run.
    pub secrets: Vec<OsString>,
    pub numbers: AtomicU64,
    /// What stands before these numbers in the names of jobs: `2.` where the run was taken up again once.
    pub round: String,
    pub copied: OnceLock<Result<PathBuf, String>>,
}

/// Where an attempt is to be made, and who hears of it.
pub struct Placement {
    pub executor: Arc<str>,
    /// The digest of what is done: a job of an earlier run that does the same is taken over.
    pub work: Digest,
    pub resources: Reservation,
    /// More arguments of the command that submits.
    pub args: Vec<String>,
    pub news: UnboundedSender<AttemptNews>,
}

/// What is heard of an attempt before it has ended.
pub struct AttemptNews {
    pub unit: UnitId,
    pub attempt: u32,
    pub executor: Arc<str>,
    pub what: PlacedNews,
}

pub enum PlacedNews {
    Job(JobNews),
    /// Another run had submitted the job.
    Adopted {
        name: String,
        run: RunId,
    },
    Lost {
        job: String,
        host: Option<String>,
        reason: String,
        again: bool,
    },
}

/// A job's folder and row, until its result is safe.
pub struct JobHold {
    pub place: Arc<BatchPlace>,
    pub name: String,
    pub folder: PathBuf,
}

impl JobHold {
    /// Leaves the job as it is.
    pub fn keep(mut self) {
        self.name.clear();
    }
}

impl Drop for JobHold {
    fn drop(&mut self) {
        if self.name.is_empty() {
            return;
        }
        self.place.batch.settle(std::mem::take(&mut self.name), std::mem::take(&mut self.folder));
    }
}
