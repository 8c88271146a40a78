//! What a run had of a shared cache, counted while several threads use it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::core::event::RemoteCounts;

/// Counts of one run.
#[derive(Debug, Default)]
pub struct RemoteTally {
    pub hits: AtomicU64,
    pub misses: AtomicU64,
    pub refused: AtomicU64,
    pub uploaded: AtomicU64,
    pub conflicts: AtomicU64,
    pub errors: AtomicU64,
    pub bytes_down: AtomicU64,
    pub bytes_up: AtomicU64,
}

/// Counts one.
pub fn one(count: &AtomicU64) {
    more(count, 1);
}

/// Counts more.
pub fn more(count: &AtomicU64, by: u64) {
    count.fetch_add(by, Ordering::Relaxed);
}

impl RemoteTally {
    /// The counts so far; what is queued is not counted here.
    pub fn counts(&self) -> RemoteCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        RemoteCounts {
            hits: read(&self.hits),
            misses: read(&self.misses),
            refused: read(&self.refused),
            uploaded: read(&self.uploaded),
            queued: 0,
            conflicts: read(&self.conflicts),
            errors: read(&self.errors),
            bytes_down: read(&self.bytes_down),
            bytes_up: read(&self.bytes_up),
        }
    }
}
