//! The seams of the loop: what it needs of the writer, of publishing and of the locks of identical work. Each is a small
//! trait with one implementation for a home and a fake in the tests.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use super::publish::{self, PublishOptions, PublishedOutput, RunOutputError};
use crate::core::digest::Digest;
use crate::core::event::{Counts, Status};
use crate::core::lock::lock;
use crate::engine::scope::frames::Frame;
use crate::engine::scope::values::UserFiles;
use crate::storage::contents::Execution;
use crate::storage::damage;
use crate::storage::history::times::Times;
use crate::storage::locks::{Holder, LockTry, Locks};
use crate::storage::publish::PublishError;
use crate::storage::store::{FileKey, StatEntry, Store};
use crate::storage::writer::NewResult;

/// Records what a run produces. Each result is acknowledged later, on the channel that the run listens to.
pub trait Recorder: Send {
    /// Records a result.
    fn result(&self, result: NewResult);

    /// Indexes the files of a node that leaves nothing else to be stored.
    fn files(&self, files: Box<Execution>);

    /// Records entries of the stat cache.
    fn stats(&self, stats: Vec<(FileKey, StatEntry)>);

    /// Records how long nodes took.
    fn times(&self, times: Times);

    /// Records that results were hits.
    fn used(&self, keys: Vec<Digest>);

    /// Commits at once: nothing else is going on.
    fn flush_now(&self);

    /// Records how the run ended. The receiver ends when that is stored, or when it failed.
    fn end(&self, end: RunVerdict) -> oneshot::Receiver<()>;
}

/// How a run ended.
#[derive(Clone, Copy, Debug)]
pub struct RunVerdict {
    pub status: Status,
    pub duration_ms: u64,
    pub counts: Counts,
    pub saved_ms: u64,
}

/// The workflow's own outputs by name.
pub type PublishedOutputs = Vec<(String, PublishedOutput)>;

/// Publishes the workflow's own outputs.
pub trait Publisher: Send {
    /// The outputs by name, in the file's order. Outputs of nodes that are not part of the run are left out.
    ///
    /// # Errors
    /// An output has no value or cannot be put in its place.
    fn publish(&self, frame: &Frame, files: &UserFiles) -> Result<PublishedOutputs, RunOutputError>;

    /// What a user should know of the last publication.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Publishes from the store of a home.
pub struct StorePublisher {
    store: Arc<Store>,
    /// Where files among the outputs are put that have no path of their own.
    dir: PathBuf,
    options: PublishOptions,
    notes: Mutex<Vec<String>>,
}

impl StorePublisher {
    pub fn new(store: Arc<Store>, dir: PathBuf, options: PublishOptions) -> Self {
        Self { store, dir, options, notes: Mutex::default() }
    }
}

impl Publisher for StorePublisher {
    fn publish(&self, frame: &Frame, files: &UserFiles) -> Result<PublishedOutputs, RunOutputError> {
        let handed =
            publish::hand_out(frame, files, &self.store, &self.dir, &self.options).inspect_err(|error| {
                if let RunOutputError::Publish(PublishError::Record(error)) = error {
                    damage::suspect(&self.options.home, error);
                }
            })?;
        *lock(&self.notes) = handed.notes;
        Ok(handed.outputs)
    }

    fn notes(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.notes))
    }
}

/// Locks of identical work, by key.
pub trait WorkLocks: Send {
    /// Takes the lock of a key for `holder`, or says who holds it. Never waits.
    ///
    /// # Errors
    /// The file system has no locks.
    fn try_take(&self, key: &Digest, holder: &Holder) -> io::Result<LockAttempt>;
}

/// The outcome of trying to take a lock.
pub enum LockAttempt {
    /// The lock is held until this is dropped.
    Taken(Box<dyn Send>),
    /// Someone else holds it; who, if that is known.
    Busy(Option<Holder>),
}

impl WorkLocks for Locks {
    fn try_take(&self, key: &Digest, holder: &Holder) -> io::Result<LockAttempt> {
        Ok(match self.try_take(key, holder)? {
            LockTry::Taken(held) => LockAttempt::Taken(Box::new(held)),
            LockTry::Busy(other) => LockAttempt::Busy(other),
        })
    }
}
