//! Where an attempt is made that does not run on this machine, and what is heard of it before it has ended.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;

use crate::core::chunk::ChunkSize;
use crate::core::digest::Digest;
use crate::core::run_id::RunId;
use crate::engine::attempt::ledger::HomeLedger;
use crate::engine::schedule::UnitId;
use crate::engine::schedule::pools::Reservation;
use crate::exec::batch::{Batch, Chunking, JobNews};

/// The folder in `work_dir` where large inputs are brought once.
pub const BLOBS: &str = "blobs";

/// An executor whose attempts are jobs of a batch system.
pub struct BatchPlace {
    pub name: Arc<str>,
    pub batch: Batch,
    pub ledger: Arc<HomeLedger>,
    /// A folder that this machine and all nodes see at the same path.
    pub work_dir: PathBuf,
    /// The names of jobs begin with it.
    pub prefix: String,
    pub lost_retries: u32,
    /// The limit of a task without a timeout.
    pub time: Option<Duration>,
    /// How attempts share jobs, where neither task nor node says so.
    pub chunking: Chunking,
    /// The values of all secrets of the run.
    pub secrets: Vec<OsString>,
    /// How many attempts are made ready or taken in at once.
    pub hands: Semaphore,
}

/// Where an attempt is to be made, and who hears of it.
pub struct Placement {
    pub executor: Arc<str>,
    /// The digest of what is done: a job of an earlier run that does the same is taken over.
    pub work: Digest,
    pub resources: Reservation,
    /// More arguments of the command that submits.
    pub args: Vec<String>,
    /// What task or node say of chunks.
    pub chunk: Option<ChunkSize>,
    pub parallel: Option<u32>,
    /// Whether somebody waits for this very attempt.
    pub alone: bool,
    /// How long it may take.
    pub expected: Option<Duration>,
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
