//! Single flight of identical work: units wait while another run, in this process or another, does the same.

use std::io;

use super::seams::{LockAttempt, WorkLocks};
use crate::core::digest::Digest;
use crate::engine::schedule::UnitId;
use crate::storage::locks::Holder;

/// A unit that waits for the lock of its key. It holds no slot.
pub struct LockWaiter {
    pub unit: UnitId,
    pub key: Digest,
    /// Whether the holder that it waits for was reported.
    pub reported: bool,
}

/// The locks, and who waits for one.
pub struct SingleFlight {
    /// `None` where there can be none: identical work may then run twice.
    locks: Option<Box<dyn WorkLocks>>,
    waiting: Vec<LockWaiter>,
}

impl SingleFlight {
    pub fn new(locks: Option<Box<dyn WorkLocks>>) -> Self {
        Self { locks, waiting: Vec::new() }
    }

    pub fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub fn wait(&mut self, waiting: LockWaiter) {
        self.waiting.push(waiting);
    }

    /// All that wait, to be tried again.
    pub fn take(&mut self) -> Vec<LockWaiter> {
        std::mem::take(&mut self.waiting)
    }

    /// Takes the lock of a key for `holder`, or says who holds it.
    ///
    /// # Errors
    /// The file system has no locks.
    pub fn try_take(&self, key: &Digest, holder: &Holder) -> io::Result<LockAttempt> {
        match &self.locks {
            Some(locks) => locks.try_take(key, holder),
            None => Err(io::Error::from(io::ErrorKind::Unsupported)),
        }
    }

    /// Goes on without locks. Returns what to warn of, once.
    pub fn give_up(&mut self, problem: &io::Error) -> Option<String> {
        self.locks.take().map(|_| {
            format!("identical work cannot be kept from running twice (cache_serialize): locks do not work here: {problem}")
        })
    }
}
