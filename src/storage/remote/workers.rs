//! The threads of a session. They begin when there is work for them, at most as many as requests may go on at once. Lookups
//! come first: nodes wait for them. Uploads get another thread only where many wait, because tasks need the processors more;
//! at the end of the run they get all.

use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::mpsc::UnboundedSender;

use super::backend::RemoteFault;
use super::client::{Fetched, RemoteCache, UploadError};
use super::entry::RemoteLookup;
use super::outgoing::outgoing;
use super::tally::{RemoteTally, one};
use crate::core::digest::Digest;
use crate::core::lock::lock;
use crate::storage::db;
use crate::storage::memo::{MemoEntry, listing};
use crate::storage::store::Store;
use crate::storage::upload_queue::{self, QueuedUpload};

/// Maximum results that are read for uploading in one transaction, and waiting ones for which a run has one thread.
const LOAD_BATCH: usize = 64;
/// How many uploads are taken off the queue in one transaction.
const DONE_BATCH: usize = 256;
/// The time after which fewer are.
const DONE_AGE: Duration = Duration::from_secs(1);

/// What the threads report.
pub enum RemoteMessage {
    /// The answer to a lookup, with the number that it was asked with.
    Answer(u32, Fetched),
    /// A result cannot be uploaded, now or later: a sentence.
    Unshared(Digest, String),
    Warning(String),
    /// Nothing is left to be uploaded.
    Idle,
}

pub(super) struct Workers {
    pub cache: Arc<RemoteCache>,
    pub tally: RemoteTally,
    store: Arc<Store>,
    home: PathBuf,
    state: Mutex<WorkState>,
    work: Condvar,
    messages: UnboundedSender<RemoteMessage>,
    /// The first is for reading, the second for writing; opened when an upload needs them.
    databases: Mutex<Option<(Connection, Connection)>>,
    done: Mutex<DoneUploads>,
    has_warned: AtomicBool,
}

#[derive(Default)]
struct WorkState {
    lookups: VecDeque<(u32, RemoteLookup)>,
    /// Units whose lookups go on.
    asking: HashSet<u32>,
    uploads: VecDeque<Digest>,
    /// The same: one that earlier runs left may come again.
    waiting_keys: HashSet<Digest>,
    /// The next uploads, read from the database.
    loaded: VecDeque<LoadedUpload>,
    /// Threads that upload, or read what is to be uploaded; and how many results that are.
    uploading: usize,
    under_way: usize,
    threads: usize,
    /// Threads that wait for work.
    idle: usize,
    /// Since when there has been something to do.
    busy_since: Option<Instant>,
    /// Grows when requests are given up: what their threads still do counts for nothing.
    epoch: u64,
    hurries: bool,
    closed: bool,
}

/// A result that is to be uploaded; `None` if it is damaged.
struct LoadedUpload {
    wish: QueuedUpload,
    entry: Option<MemoEntry>,
}

/// Uploads that came true, and are still queued.
struct DoneUploads {
    uploads: Vec<QueuedUpload>,
    /// When the queue was shortened last.
    since: Instant,
}

enum Work {
    Lookup(u32, RemoteLookup),
    Load(Vec<Digest>),
    Upload(Box<LoadedUpload>),
}

impl WorkState {
    fn is_busy(&self) -> bool {
        !self.asking.is_empty()
            || !self.lookups.is_empty()
            || self.uploading > 0
            || self.waiting_uploads() > 0
    }

    /// Notes that something comes to be done.
    fn begin(&mut self) {
        if !self.is_busy() {
            self.busy_since = Some(Instant::now());
        }
    }

    fn waiting_uploads(&self) -> usize {
        self.uploads.len() + self.loaded.len()
    }

    fn pick(&mut self) -> Option<(Work, u64)> {
        let work = if let Some((unit, wanted)) = self.lookups.pop_front() {
            self.asking.insert(unit);
            Work::Lookup(unit, wanted)
        } else if let Some(loaded) = self.loaded.pop_front() {
            self.uploading += 1;
            self.under_way += 1;
            Work::Upload(Box::new(loaded))
        } else if !self.uploads.is_empty() {
            self.uploading += 1;
            let count = self.uploads.len().min(LOAD_BATCH);
            self.under_way += count;
            let keys: Vec<Digest> = self.uploads.drain(..count).collect();
            keys.iter().for_each(|key| {
                self.waiting_keys.remove(key);
            });
            Work::Load(keys)
        } else {
            return None;
        };
        Some((work, self.epoch))
    }

    /// How many more threads the uploads are worth.
    fn lacks_for_uploads(&self, jobs: usize) -> usize {
        let waiting = self.waiting_uploads();
        let wanted = if self.hurries { waiting } else { waiting.div_ceil(LOAD_BATCH) };
        wanted.min(jobs).saturating_sub(self.uploading)
    }
}

impl Workers {
    pub fn new(
        cache: Arc<RemoteCache>,
        store: Arc<Store>,
        home: &Path,
        messages: UnboundedSender<RemoteMessage>,
    ) -> Arc<Self> {
        Arc::new(Self {
            cache,
            tally: RemoteTally::default(),
            store,
            home: home.to_owned(),
            state: Mutex::default(),
            work: Condvar::new(),
            messages,
            databases: Mutex::default(),
            done: Mutex::new(DoneUploads { uploads: Vec::new(), since: Instant::now() }),
            has_warned: AtomicBool::new(false),
        })
    }

    pub fn ask(self: &Arc<Self>, unit: u32, wanted: RemoteLookup) {
        let mut state = lock(&self.state);
        state.begin();
        state.lookups.push_back((unit, wanted));
        self.engage(state, 1);
    }

    pub fn upload(self: &Arc<Self>, keys: impl IntoIterator<Item = Digest>) {
        let mut state = lock(&self.state);
        state.begin();
        for key in keys {
            if state.waiting_keys.insert(key) {
                state.uploads.push_back(key);
            }
        }
        let lacking = state.lacks_for_uploads(self.cache.jobs);
        self.engage(state, lacking);
    }

    pub fn hurry(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        state.hurries = true;
        let lacking = state.lacks_for_uploads(self.cache.jobs);
        self.engage(state, lacking);
    }

    pub fn uploads_left(&self) -> u64 {
        let state = lock(&self.state);
        (state.waiting_uploads() + state.under_way) as u64
    }

    /// When requests that are under way have made no progress for too long; `None` if none is, or each is bounded by itself.
    pub fn due(&self) -> Option<Instant> {
        let state = lock(&self.state);
        let begun = state.busy_since.filter(|_| state.is_busy())?;
        drop(state);
        // What was given up before may still be under way there.
        Some(self.cache.backend.last_progress()?.max(begun) + self.cache.timeout)
    }

    /// Gives up requests that have made no progress for too long. Their threads may hang for good; what they were to do is
    /// answered here, and others are begun when the remote is asked again.
    pub fn give_up_stalled(&self, now: Instant) {
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        self.cache.breaker.trip(now);
        one(&self.tally.errors);
        let fault = RemoteFault::timeout();
        let mut state = lock(&self.state);
        let mut units: Vec<u32> = state.asking.drain().collect();
        units.extend(state.lookups.drain(..).map(|(unit, _)| unit));
        let uploaded = std::mem::take(&mut state.uploading) > 0;
        state.uploads.clear();
        state.waiting_keys.clear();
        state.loaded.clear();
        state.under_way = 0;
        state.epoch += 1;
        state.threads = state.idle;
        drop(state);
        if uploaded {
            self.warn_of(&fault);
        }
        for unit in units {
            self.report(RemoteMessage::Answer(unit, Fetched::Failed(fault.clone())));
        }
        self.report(RemoteMessage::Idle);
    }

    pub fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        state.lookups.clear();
        state.uploads.clear();
        state.loaded.clear();
        drop(state);
        self.work.notify_all();
        self.shorten_queue();
    }

    /// Lets `count` threads take up what was queued; begins others if all are at work.
    fn engage(self: &Arc<Self>, mut state: MutexGuard<WorkState>, count: usize) {
        let woken = count.min(state.idle);
        let begun = (count - woken).min(self.cache.jobs.max(1).saturating_sub(state.threads));
        state.threads += begun;
        drop(state);
        (0..woken).for_each(|_| self.work.notify_one());
        (0..begun).for_each(|_| self.begin_thread());
    }

    fn begin_thread(self: &Arc<Self>) {
        let workers = self.clone();
        if std::thread::Builder::new().name("remote".into()).spawn(move || workers.serve()).is_ok() {
            return;
        }
        let mut state = lock(&self.state);
        state.threads -= 1;
        let is_alone = state.threads == 0;
        drop(state);
        // A system without room for a thread: it is done here, one by one.
        while is_alone && let Some((work, epoch)) = self.try_take() {
            self.perform(work, epoch);
        }
    }

    fn try_take(&self) -> Option<(Work, u64)> {
        lock(&self.state).pick()
    }

    fn serve(self: &Arc<Self>) {
        while let Some((work, epoch)) = self.take() {
            if !self.perform(work, epoch) {
                return;
            }
        }
    }

    /// The next piece of work; nothing at the end.
    fn take(&self) -> Option<(Work, u64)> {
        let mut state = lock(&self.state);
        loop {
            if state.closed {
                return None;
            }
            if let Some(picked) = state.pick() {
                return Some(picked);
            }
            state.idle += 1;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    /// Whether the thread goes on: not if it was given up meanwhile.
    fn perform(self: &Arc<Self>, work: Work, epoch: u64) -> bool {
        match work {
            Work::Lookup(unit, wanted) => {
                // The unit waits for an answer, whatever happens here.
                let fetch = || self.cache.fetch(&wanted, &self.store, &self.tally);
                let fetched =
                    catch_unwind(AssertUnwindSafe(fetch)).unwrap_or_else(|_| Fetched::Failed(panicked()));
                let mut state = lock(&self.state);
                if state.epoch != epoch {
                    return false;
                }
                state.asking.remove(&unit);
                drop(state);
                self.report(RemoteMessage::Answer(unit, fetched));
                true
            }
            Work::Load(keys) => {
                let loaded = self.load(&keys).unwrap_or_else(|error| {
                    let problem = format!("the database cannot be read: {error}");
                    if let Some(key) = keys.first() {
                        self.report(RemoteMessage::Unshared(*key, problem));
                    }
                    Vec::new()
                });
                self.upload_ended(epoch, keys.len(), loaded)
            }
            Work::Upload(loaded) => {
                if catch_unwind(AssertUnwindSafe(|| self.upload_one(*loaded))).is_err() {
                    self.warn_of(&panicked());
                }
                self.upload_ended(epoch, 1, Vec::new())
            }
        }
    }

    /// A thread has uploaded a result, or read `count` of those that come next.
    fn upload_ended(self: &Arc<Self>, epoch: u64, count: usize, loaded: Vec<LoadedUpload>) -> bool {
        let mut state = lock(&self.state);
        if state.epoch != epoch {
            return false;
        }
        state.uploading -= 1;
        state.under_way -= count;
        let is_loaded = !loaded.is_empty();
        state.loaded.extend(loaded);
        let is_last = state.uploading == 0 && state.waiting_uploads() == 0;
        let hurries = state.hurries;
        if is_loaded {
            // This thread takes one up itself.
            let lacking = state.lacks_for_uploads(self.cache.jobs).saturating_sub(1);
            self.engage(state, lacking);
        } else {
            drop(state);
        }
        let done = lock(&self.done);
        let is_due = done.uploads.len() >= DONE_BATCH || (is_last && done.since.elapsed() >= DONE_AGE);
        drop(done);
        if is_due {
            self.shorten_queue();
        }
        if is_last && hurries {
            self.report(RemoteMessage::Idle);
        }
        true
    }

    /// Results as they are in the database; those that another process has uploaded meanwhile are left out.
    fn load(&self, keys: &[Digest]) -> rusqlite::Result<Vec<LoadedUpload>> {
        self.with_databases(|(db, _)| {
            let transaction = db.transaction()?;
            let mut loaded = Vec::with_capacity(keys.len());
            for key in keys {
                if let Some(wish) = upload_queue::find(&transaction, &self.cache.url, key)? {
                    let entry = listing::intact(&transaction, key)?.map(|row| row.entry);
                    loaded.push(LoadedUpload { wish, entry });
                }
            }
            Ok(loaded)
        })
    }

    fn upload_one(&self, LoadedUpload { wish, entry }: LoadedUpload) {
        let entry = outgoing(entry.as_ref()).map_err(UploadError::Local);
        let uploaded =
            entry.and_then(|entry| self.cache.upload(entry, &self.store, wish.replaces, &self.tally));
        match uploaded {
            Err(UploadError::Remote(fault)) => {
                return self.warn_of(&fault);
            }
            // It never will be.
            Err(UploadError::Local(problem)) => self.report(RemoteMessage::Unshared(wish.key, problem)),
            Ok(_) => {}
        }
        lock(&self.done).uploads.push(wish);
    }

    /// Takes off the queue what came true. If that fails it is uploaded again, which changes nothing.
    fn shorten_queue(&self) {
        let mut done = lock(&self.done);
        done.since = Instant::now();
        let uploads = std::mem::take(&mut done.uploads);
        drop(done);
        if !uploads.is_empty() {
            let _ = self.with_databases(|(_, db)| upload_queue::remove(db, &self.cache.url, &uploads));
        }
    }

    /// The keys that are queued in the database, oldest first.
    pub fn queued(&self) -> Vec<Digest> {
        let queued = self.with_databases(|(db, _)| upload_queue::all(db, &self.cache.url));
        queued.unwrap_or_default().into_iter().map(|upload| upload.key).collect()
    }

    pub fn count_queued(&self) -> u64 {
        self.shorten_queue();
        self.with_databases(|(db, _)| upload_queue::count(db, &self.cache.url)).unwrap_or(0)
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

    pub fn has_warned(&self) -> bool {
        self.has_warned.load(Ordering::Relaxed)
    }

    pub fn trouble(&self, problem: &dyn std::fmt::Display) -> Option<String> {
        let url = &self.cache.url;
        (!self.has_warned.swap(true, Ordering::Relaxed)).then(|| {
            format!(
                "the shared cache {url} does not work: {problem}. What it might have runs here, and results stay queued \
                 for it"
            )
        })
    }

    fn warn_of(&self, fault: &RemoteFault) {
        if let Some(text) = self.trouble(fault) {
            self.report(RemoteMessage::Warning(text));
        }
    }

    /// The receiver is gone when the run has ended.
    fn report(&self, message: RemoteMessage) {
        let _ = self.messages.send(message);
    }
}

/// A fault of this program, which costs a lookup or an upload and not the run.
fn panicked() -> RemoteFault {
    RemoteFault::lasting("a thread of the runner panicked")
}
