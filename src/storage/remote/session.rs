//! The use that one run makes of a shared cache: lookups, and uploads behind them, on threads of their own. Threads begin when
//! there is work for them; at most as many as requests may go on at once.
//!
//! What is to be uploaded stands in the database. Here are only the keys: whatever happens to this process, the next run or
//! `runner cache push` goes on where it ended.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::backend::{ObjectName, RemoteFault};
use super::client::{Fetched, RemoteCache, UploadError, Uploaded};
use super::entry::RemoteLookup;
use super::outgoing::outgoing;
use super::tally::{RemoteTally, one};
use crate::core::digest::Digest;
use crate::core::event::RemoteCounts;
use crate::core::lock::lock;
use crate::storage::db;
use crate::storage::memo::listing;
use crate::storage::store::Store;
use crate::storage::upload_queue::{self, QueuedUpload, UploadWish};

/// How many uploads are taken off the queue in one transaction.
const DONE_BATCH: usize = 64;

/// The use of a shared cache by a run.
pub struct RemoteSession {
    shared: Arc<Shared>,
    messages: UnboundedReceiver<RemoteMessage>,
}

/// What the threads report.
pub enum RemoteMessage {
    /// The answer to a lookup, with the number that it was asked with.
    Answer(u32, Fetched),
    /// An upload has ended: it is done, or it stays queued.
    Ended(Digest, Result<Uploaded, UploadError>),
    Warning(String),
}

struct Shared {
    cache: Arc<RemoteCache>,
    store: Arc<Store>,
    home: PathBuf,
    tally: RemoteTally,
    state: Mutex<SessionState>,
    work: Condvar,
    messages: UnboundedSender<RemoteMessage>,
    /// The first is for reading, the second for writing; opened when an upload needs them.
    databases: Mutex<Option<(Connection, Connection)>>,
    /// Uploads that came true, and are still queued.
    done: Mutex<Vec<QueuedUpload>>,
    /// Whether the user knows already that the remote does not work.
    told: AtomicBool,
}

#[derive(Default)]
struct SessionState {
    lookups: VecDeque<(u32, RemoteLookup)>,
    uploads: VecDeque<Digest>,
    /// Uploads that go on just now.
    uploading: usize,
    threads: usize,
    /// Threads that wait for work.
    idle: usize,
    closed: bool,
}

enum Work {
    Lookup(u32, RemoteLookup),
    Upload(Digest),
}

impl RemoteSession {
    /// Begins to use a shared cache; what earlier runs left in the queue is uploaded if the mode allows it.
    pub fn open(cache: Arc<RemoteCache>, store: Arc<Store>, home: &Path) -> Self {
        let (sender, messages) = unbounded_channel();
        let shared = Arc::new(Shared {
            cache,
            store,
            home: home.to_owned(),
            tally: RemoteTally::default(),
            state: Mutex::default(),
            work: Condvar::new(),
            messages: sender,
            databases: Mutex::default(),
            done: Mutex::default(),
            told: AtomicBool::new(false),
        });
        Self { shared, messages }
    }

    /// Uploads what is queued already.
    pub fn upload_queued(&self) {
        if !self.shared.cache.mode.writes() {
            return;
        }
        let queued = self.shared.with_databases(|(db, _)| upload_queue::all(db, &self.shared.cache.url));
        for upload in queued.unwrap_or_default() {
            self.upload(upload.key);
        }
    }

    /// The cache that is used.
    pub fn cache(&self) -> &RemoteCache {
        &self.shared.cache
    }

    /// Looks a result up; the answer comes with this number.
    pub fn ask(&self, unit: u32, wanted: RemoteLookup) {
        lock(&self.shared.state).lookups.push_back((unit, wanted));
        self.shared.clone().awake();
    }

    /// Uploads a result that is queued in the database.
    pub fn upload(&self, key: Digest) {
        lock(&self.shared.state).uploads.push_back(key);
        self.shared.clone().awake();
    }

    /// The wish for a result, if results are uploaded and this one is not too large.
    pub fn wish(&self, size: u64, replaces: bool) -> Option<UploadWish> {
        let RemoteCache { url, mode, max_size, .. } = &*self.shared.cache;
        (mode.writes() && size <= *max_size).then(|| UploadWish { remote: url.clone(), replaces })
    }

    /// The next report.
    pub async fn next(&mut self) -> Option<RemoteMessage> {
        self.messages.recv().await
    }

    /// A report that is there already.
    pub fn reported(&mut self) -> Option<RemoteMessage> {
        self.messages.try_recv().ok()
    }

    /// Whether the remote is left alone just now. Then nothing is asked, but for the warning that says so.
    pub fn is_off(&self) -> bool {
        self.shared.told.load(Ordering::Relaxed) && !self.shared.cache.breaker.admits(Instant::now())
    }

    /// The address of the entry of a key.
    pub fn entry_place(&self, key: &Digest) -> String {
        self.shared.cache.place(&ObjectName::Entry(*key))
    }

    /// Whether uploads are waiting or going on.
    pub fn uploads(&self) -> bool {
        let state = lock(&self.shared.state);
        state.uploading > 0 || !state.uploads.is_empty()
    }

    /// How long the end of a run may wait for them.
    pub fn upload_wait(&self) -> Duration {
        self.shared.cache.upload_wait
    }

    /// A lookup was a hit.
    pub fn count_hit(&self) {
        one(&self.shared.tally.hits);
    }

    /// What came was not usable after all.
    pub fn count_refused(&self) {
        one(&self.shared.tally.refused);
    }

    /// A warning that the remote does not work; the first time only.
    pub fn trouble(&self, problem: &dyn std::fmt::Display) -> Option<String> {
        self.shared.trouble(problem)
    }

    /// What the run has had of it.
    pub fn counts(&self) -> RemoteCounts {
        self.shared.flush_done();
        let queued = self.shared.with_databases(|(db, _)| upload_queue::count(db, &self.shared.cache.url));
        RemoteCounts { queued: queued.unwrap_or(0), ..self.shared.tally.counts() }
    }
}

impl Drop for RemoteSession {
    /// Requests that go on end by themselves.
    fn drop(&mut self) {
        let mut state = lock(&self.shared.state);
        state.closed = true;
        state.lookups.clear();
        state.uploads.clear();
        drop(state);
        self.shared.work.notify_all();
        self.shared.flush_done();
    }
}

impl Shared {
    /// Lets a thread take up what was queued; begins another one if all are at work.
    fn awake(self: Arc<Self>) {
        let mut state = lock(&self.state);
        if state.idle > 0 || state.threads >= self.cache.jobs.max(1) {
            drop(state);
            self.work.notify_one();
            return;
        }
        state.threads += 1;
        drop(state);
        let shared = self.clone();
        let begun = std::thread::Builder::new().name("remote".into()).spawn(move || shared.serve());
        if begun.is_err() {
            let mut state = lock(&self.state);
            state.threads -= 1;
            let is_alone = state.threads == 0;
            drop(state);
            // A system without room for a thread: it is done here, one by one.
            while is_alone && let Some(work) = self.try_take() {
                self.perform(work);
            }
        }
    }

    fn serve(&self) {
        while let Some(work) = self.take() {
            self.perform(work);
        }
    }

    fn pick(state: &mut SessionState) -> Option<Work> {
        if let Some((unit, wanted)) = state.lookups.pop_front() {
            return Some(Work::Lookup(unit, wanted));
        }
        let key = state.uploads.pop_front()?;
        state.uploading += 1;
        Some(Work::Upload(key))
    }

    fn try_take(&self) -> Option<Work> {
        Self::pick(&mut lock(&self.state))
    }

    /// The next piece of work; nothing at the end. Lookups come first: nodes wait for them.
    fn take(&self) -> Option<Work> {
        let mut state = lock(&self.state);
        loop {
            if state.closed {
                return None;
            }
            if let Some(work) = Self::pick(&mut state) {
                return Some(work);
            }
            state.idle += 1;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    fn perform(&self, work: Work) {
        // The receiver is gone when the run has ended.
        match work {
            Work::Lookup(unit, wanted) => {
                // The unit waits for an answer, whatever happens here.
                let fetch = || self.cache.fetch(&wanted, &self.store, &self.tally);
                let fetched =
                    catch_unwind(AssertUnwindSafe(fetch)).unwrap_or_else(|_| Fetched::Failed(panicked()));
                let _ = self.messages.send(RemoteMessage::Answer(unit, fetched));
            }
            Work::Upload(key) => {
                let ended = catch_unwind(AssertUnwindSafe(|| self.upload(&key)))
                    .unwrap_or_else(|_| Err(UploadError::Remote(panicked())));
                if let Err(UploadError::Remote(fault)) = &ended {
                    let warning = self.trouble(fault);
                    warning.map(|text| self.messages.send(RemoteMessage::Warning(text)));
                }
                lock(&self.state).uploading -= 1;
                let _ = self.messages.send(RemoteMessage::Ended(key, ended));
            }
        }
    }

    fn upload(&self, key: &Digest) -> Result<Uploaded, UploadError> {
        let local = |problem: String| UploadError::Local(problem);
        let url = &*self.cache.url;
        let found = self.with_databases(|(db, _)| {
            let wish = upload_queue::find(db, url, key)?;
            Ok((wish, listing::intact(db, key)?))
        });
        let (Some(wish), row) = found.map_err(|error| local(error.to_string()))? else {
            // Another run was faster.
            return Ok(Uploaded::Same);
        };
        let entry = outgoing(row.as_ref().map(|row| &row.entry), &self.store).map_err(local);
        let uploaded =
            entry.and_then(|entry| self.cache.upload(&entry, &self.store, wish.replaces, &self.tally));
        // What cannot be had here any more never will.
        if !matches!(uploaded, Err(UploadError::Remote(_))) {
            let mut done = lock(&self.done);
            done.push(wish);
            let is_full = done.len() >= DONE_BATCH;
            drop(done);
            let state = lock(&self.state);
            let is_last = state.uploads.is_empty() && state.uploading <= 1;
            drop(state);
            if is_full || is_last {
                self.flush_done();
            }
        }
        uploaded
    }

    /// Takes off the queue what came true. If that fails it is uploaded again, which changes nothing.
    fn flush_done(&self) {
        let done = std::mem::take(&mut *lock(&self.done));
        if !done.is_empty() {
            let _ = self.with_databases(|(_, db)| upload_queue::remove(db, &self.cache.url, &done));
        }
    }

    fn with_databases<T>(
        &self,
        work: impl FnOnce(&mut (Connection, Connection)) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let mut databases = lock(&self.databases);
        if databases.is_none() {
            let closed = |_| rusqlite::Error::InvalidQuery;
            let reader = db::open_reader(&self.home).map_err(closed)?;
            let writer = db::open_writer(&self.home).map_err(closed)?;
            // A queue that was not shortened costs a look at what is there.
            writer.execute_batch("PRAGMA synchronous = NORMAL")?;
            *databases = Some((reader, writer));
        }
        match databases.as_mut() {
            Some(databases) => work(databases),
            None => Err(rusqlite::Error::InvalidQuery),
        }
    }

    fn trouble(&self, problem: &dyn std::fmt::Display) -> Option<String> {
        let url = &self.cache.url;
        (!self.told.swap(true, Ordering::Relaxed)).then(|| {
            format!(
                "the shared cache {url} does not work: {problem}. What it might have runs here, and results stay queued \
                 for it"
            )
        })
    }
}

/// A fault of this program, which costs a lookup or an upload and not the run.
fn panicked() -> RemoteFault {
    RemoteFault::lasting("a thread of the runner panicked")
}
