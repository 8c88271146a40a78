//! What a batch system can do: three commands. What implements it spells them, and says what its states mean here.

use std::path::PathBuf;
use std::time::Duration;

use super::folder::JobFolder;
use crate::core::chunk::ChunkSize;
use crate::exec::call::CallFault;

/// What an attempt, or a job of several, needs of the batch system.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobNeeds {
    pub cpus: u64,
    /// In bytes.
    pub memory: Option<u64>,
    pub gpus: Option<u64>,
    /// How long it may take.
    pub limit: Option<Duration>,
    /// Arguments of the user's own.
    pub args: Vec<String>,
    /// Nodes that lost an earlier job of the same attempt.
    pub exclude: Vec<String>,
}

impl JobNeeds {
    /// The memory in whole MiB, as batch systems count it.
    pub fn memory_mib(&self) -> Option<u64> {
        self.memory.map(|bytes| bytes.div_ceil(1 << 20))
    }
}

/// What an attempt asks of the job that it is part of. Attempts with equal wishes may share one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobWish {
    /// Only attempts of one kind share a job.
    pub kind: String,
    pub needs: JobNeeds,
    pub chunk: Chunking,
}

/// How attempts share jobs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chunking {
    pub size: ChunkSize,
    /// How long a job is to take, and how many attempts it has at most, where the size is left open.
    pub time: Duration,
    pub max: usize,
    /// How many attempts of a job run at once.
    pub parallel: usize,
}

impl Chunking {
    /// A job of its own.
    pub fn alone(self) -> Self {
        Self { size: ChunkSize::Of(1), parallel: 1, ..self }
    }
}

impl JobWish {
    /// What a job of `attempts` such attempts asks for.
    pub fn request(&self, name: &str, folder: &JobFolder, attempts: usize) -> JobRequest {
        /// What a job needs beside its attempts.
        const MORE: Duration = Duration::from_secs(60);
        let parallel = self.chunk.parallel.clamp(1, attempts.max(1));
        let (at_once, in_turn) = (parallel as u64, attempts.div_ceil(parallel));
        let in_turn = u32::try_from(in_turn).unwrap_or(u32::MAX);
        let JobNeeds { cpus, memory, gpus, limit, args, exclude } = self.needs.clone();
        let needs = JobNeeds {
            cpus: cpus.saturating_mul(at_once),
            memory: memory.map(|memory| memory.saturating_mul(at_once)),
            gpus: gpus.map(|gpus| gpus.saturating_mul(at_once)),
            limit: limit.map(|limit| limit.saturating_mul(in_turn).saturating_add(MORE)),
            args,
            exclude,
        };
        JobRequest { name: name.to_owned(), script: folder.script(), log: folder.system_log(), needs }
    }
}

/// A job to be submitted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobRequest {
    pub name: String,
    pub script: PathBuf,
    /// The file for what the batch system itself says.
    pub log: PathBuf,
    pub needs: JobNeeds,
}

/// Why a job was not submitted, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubmitFault {
    /// It never will be.
    Refused(String),
    /// Not now.
    Later(String),
    /// The answer was lost: there may be a job.
    Unknown(String),
}

impl From<CallFault> for SubmitFault {
    fn from(fault: CallFault) -> Self {
        match fault {
            CallFault::NotCalled(problem) => Self::Refused(problem),
            CallFault::NoAnswer(problem) => Self::Unknown(problem),
        }
    }
}

/// A job as the batch system sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemJob {
    pub id: String,
    pub name: String,
    pub state: SystemState,
    /// Its own words.
    pub words: String,
    pub host: Option<String>,
}

impl SystemJob {
    /// Whether this is the job of that name, which has this id where it is known. Some systems cut names short or do not
    /// say them: then the id decides.
    pub fn is(&self, name: &str, id: Option<&str>) -> bool {
        match id {
            Some(id) => id == self.id && name.starts_with(&self.name),
            None => name == self.name,
        }
    }
}

/// What a state means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemState {
    Pending,
    Running,
    /// It waits for something that never comes.
    Stuck,
    /// The node failed, or the job was taken from it: it may be done again.
    Lost,
    Cancelled,
    TimedOut,
    OutOfMemory,
    /// In some other way; only a record can say that it went well.
    Ended,
}

impl SystemState {
    /// Whether nothing of the job is left in the queue.
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Pending | Self::Running | Self::Stuck)
    }
}

/// The three commands.
pub trait BatchSystem: Send {
    /// Submits a job; its id.
    ///
    /// # Errors
    /// It was refused, or nobody knows.
    fn submit(&self, job: &JobRequest) -> Result<String, SubmitFault>;

    /// All jobs of this user.
    ///
    /// # Errors
    /// No answer, which says nothing about jobs.
    fn status(&self) -> Result<Vec<SystemJob>, String>;

    /// Takes jobs that have not begun out of the queue, and asks the others to end.
    ///
    /// # Errors
    /// No answer.
    fn cancel(&self, jobs: &[SystemJob]) -> Result<(), String>;

    /// What the user should know of the answers so far, once each.
    fn take_notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The intents of a run: a row for each job, written before it is submitted.
pub trait JobLedger: Send {
    /// Writes intents, all or none.
    ///
    /// # Errors
    /// They cannot be written: a sentence.
    fn intend(&self, intents: &[JobIntent]) -> Result<(), String>;

    /// Notes the ids of jobs by their names.
    fn submitted(&self, ids: &[(String, String)]);

    /// Removes what one attempt of a job left, which nobody needs any more.
    fn forget(&self, folder: &JobFolder, attempt: usize);

    /// Removes the folder of a job that nobody needs any more, and then its row.
    fn settle(&self, name: &str, folder: &JobFolder);
}

/// That a job is about to be submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobIntent {
    pub name: String,
    /// What each of its attempts works on, as the caller knows it.
    pub works: Vec<String>,
    /// The node, for people.
    pub label: String,
    pub folder: PathBuf,
}
