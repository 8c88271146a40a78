//! The use that one run makes of a shared cache: lookups, and uploads behind them, on threads of their own (`workers.rs`).
//!
//! What is to be uploaded stands in the database. Here are only the keys: whatever happens to this process, the next run or
//! `runner cache push` goes on where it ended.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::backend::ObjectName;
use super::client::RemoteCache;
use super::entry::RemoteLookup;
use super::tally::one;
use super::workers::{RemoteMessage, Workers};
use crate::core::digest::Digest;
use crate::core::event::RemoteCounts;
use crate::storage::store::Store;
use crate::storage::upload_queue::UploadWish;

/// The use of a shared cache by a run.
pub struct RemoteSession {
    workers: Arc<Workers>,
    messages: UnboundedReceiver<RemoteMessage>,
}

impl RemoteSession {
    /// Begins to use a shared cache. Nothing is asked of it yet.
    pub fn open(cache: Arc<RemoteCache>, store: Arc<Store>, home: &Path) -> Self {
        let (sender, messages) = unbounded_channel();
        Self { workers: Workers::new(cache, store, home, sender), messages }
    }

    /// Uploads what earlier runs left in the queue, if the mode allows it.
    pub fn upload_queued(&self) {
        if self.cache().mode.writes() {
            self.workers.upload(self.workers.queued());
        }
    }

    /// The cache that is used.
    pub fn cache(&self) -> &RemoteCache {
        &self.workers.cache
    }

    /// Looks a result up; the answer comes with this number.
    pub fn ask(&self, unit: u32, wanted: RemoteLookup) {
        self.workers.ask(unit, wanted);
    }

    /// Uploads a result that is queued in the database.
    pub fn upload(&self, key: Digest) {
        self.workers.upload([key]);
    }

    /// The wish for a result, if results are uploaded and this one is not too large.
    pub fn wish(&self, size: u64, replaces: bool) -> Option<UploadWish> {
        let RemoteCache { url, mode, max_size, .. } = self.cache();
        (mode.writes() && size <= *max_size).then(|| UploadWish { remote: url.clone(), replaces })
    }

    /// The next report. Requests that make no progress for too long are given up: those of a folder whose server is gone may
    /// never end by themselves.
    pub async fn next(&mut self) -> Option<RemoteMessage> {
        loop {
            let Some(due) = self.workers.due() else { return self.messages.recv().await };
            tokio::select! {
                message = self.messages.recv() => return message,
                () = tokio::time::sleep_until(due.into()) => self.workers.give_up_stalled(Instant::now()),
            }
        }
    }

    /// A report that is there already.
    pub fn reported(&mut self) -> Option<RemoteMessage> {
        self.messages.try_recv().ok()
    }

    /// Whether the remote is left alone just now. Then nothing is asked, but for the warning that says so.
    pub fn is_off(&self) -> bool {
        self.has_warned() && !self.cache().breaker.admits(Instant::now())
    }

    /// Whether the user knows already that the remote does not work.
    pub fn has_warned(&self) -> bool {
        self.workers.has_warned()
    }

    /// The address of the entry of a key.
    pub fn entry_place(&self, key: &Digest) -> String {
        self.cache().place(&ObjectName::Entry(*key))
    }

    /// How many uploads are waiting or going on.
    pub fn uploads_left(&self) -> u64 {
        self.workers.uploads_left()
    }

    /// Nothing else is going on: uploads get all threads, and the last one is reported.
    pub fn hurry(&self) {
        self.workers.hurry();
    }

    /// How long the end of a run may wait for uploads.
    pub fn upload_wait(&self) -> Duration {
        self.cache().upload_wait
    }

    /// A lookup was a hit.
    pub fn count_hit(&self) {
        one(&self.workers.tally.hits);
    }

    /// What came was not usable after all.
    pub fn count_refused(&self) {
        one(&self.workers.tally.refused);
    }

    /// A warning that the remote does not work; the first time only.
    pub fn trouble(&self, problem: &dyn std::fmt::Display) -> Option<String> {
        self.workers.trouble(problem)
    }

    /// What the run has had of it.
    pub fn counts(&self) -> RemoteCounts {
        RemoteCounts { queued: self.workers.count_queued(), ..self.workers.tally.counts() }
    }
}

impl Drop for RemoteSession {
    /// Requests that go on end by themselves.
    fn drop(&mut self) {
        self.workers.close();
    }
}

#[cfg(test)]
mod tests;
