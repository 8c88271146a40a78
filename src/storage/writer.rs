//! The writer of a run: a thread that makes results durable and visible, in batches.
//!
//! For each batch it commits the blobs to the store and then, in one transaction, the rows that name them
//! together with the stats that came meanwhile. Only then is a result acknowledged. It knows nothing of
//! nodes beyond the number that it returns.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior, params};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::core::definition::Definition;
use crate::core::digest::Digest;
use crate::core::lock::lock;
use crate::core::run_id::RunId;
use crate::storage::contents::{self, Execution, Indexed};
use crate::storage::damage;
use crate::storage::db;
use crate::storage::gc::footprint::{self, Footprint, ROW};
use crate::storage::history::invocation::{Beginning, record_beginning, write_copy};
use crate::storage::history::times::{self, Times};
use crate::storage::history::{self, Run};
use crate::storage::home::Home;
use crate::storage::memo::{Interface, MemoEntry, earlier, sqlite};
use crate::storage::store::{FileKey, PendingBlob, StatEntry, StatLookup, Store};
use crate::storage::upload_queue::{self, UploadWish};

/// Maximum results of a batch: it is committed when it has this many.
const MAX_BATCH_RESULTS: usize = 32;
/// Maximum age of a batch's first result before the batch is committed.
const MAX_BATCH_AGE: Duration = Duration::from_millis(20);
/// Maximum messages in the queue; a sender waits for room. Bounds memory, not throughput.
const MAX_QUEUED_MESSAGES: usize = 1024;

/// A successful attempt's result, on its way into the cache.
pub struct NewResult {
    /// Returned with the acknowledgement.
    pub unit: u32,
    /// `None` for a result whose files are kept for this run and its history, but not found again.
    pub row: Option<Box<MemoRow>>,
    pub blobs: Vec<PendingBlob>,
    /// The files that the node used and made, to be found by content.
    pub files: Option<Box<Execution>>,
}

/// What makes a result findable.
pub struct MemoRow {
    pub entry: MemoEntry,
    /// `None` where it is recorded already: the result was stored before, under another key.
    pub definition: Option<Arc<Definition>>,
    pub interface: Arc<Interface>,
    /// Set if others are to have it.
    pub upload: Option<UploadWish>,
}

/// The outcome of storing a result.
pub struct Acknowledged {
    pub unit: u32,
    pub result: Result<(), String>,
}

enum Message {
    Result(NewResult),
    /// Files of a node that leaves nothing else to be stored.
    Files(Box<Execution>),
    Stats(Vec<(FileKey, StatEntry)>),
    /// Answered when it was committed, or could not be.
    Begin(Box<Beginning>, oneshot::Sender<()>),
    /// Answered in the same way.
    Run(Box<Run>, oneshot::Sender<()>),
    Times(Times),
    /// Results that were used.
    Used(Vec<Digest>),
    /// What the folders of a run take, in bytes.
    Size(RunId, u64),
    /// Nothing else is going on: commit at once.
    FlushNow,
}

/// The sending side. Dropping the last one lets the thread commit what is left and end.
#[derive(Clone)]
pub struct Writer(SyncSender<Message>);

/// The thread, to be waited for at the end of a run.
pub struct Handle(JoinHandle<Closed>);

/// The state of the database at the end.
pub struct Closed {
    /// The first thing that went wrong with history.
    pub failure: Option<String>,
    /// What everything takes that is kept; `None` if the database does not say.
    pub footprint: Option<Footprint>,
}

impl Writer {
    /// Starts the thread on a database that `db::open` prepared.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(
        db: Connection,
        store: Arc<Store>,
        home: PathBuf,
    ) -> io::Result<(Self, Handle, UnboundedReceiver<Acknowledged>)> {
        let (sender, receiver) = sync_channel(MAX_QUEUED_MESSAGES);
        let (acknowledge, acknowledged) = unbounded_channel();
        let work = Work {
            db,
            durability: Durability::Now,
            store,
            home,
            acknowledge,
            batch: Batch::default(),
            failure: None,
            refused: Vec::new(),
            closing: false,
        };
        let thread = std::thread::Builder::new().name("writer".into()).spawn(move || work.run(&receiver))?;
        Ok((Self(sender), Handle(thread), acknowledged))
    }

    fn send(&self, message: Message) {
        // The thread ends only after the last sender: a failure to send cannot lose anything.
        let _ = self.0.send(message);
    }

    pub fn result(&self, result: NewResult) {
        self.send(Message::Result(result));
    }

    /// Indexes the files of a node that leaves nothing else to be stored.
    pub fn files(&self, files: Box<Execution>) {
        self.send(Message::Files(files));
    }

    pub fn stats(&self, stats: Vec<(FileKey, StatEntry)>) {
        if !stats.is_empty() {
            self.send(Message::Stats(stats));
        }
    }

    /// Records how long nodes took.
    pub fn times(&self, times: Times) {
        if !times.nodes.is_empty() {
            self.send(Message::Times(times));
        }
    }

    /// Records that results were used.
    pub fn used(&self, keys: Vec<Digest>) {
        if !keys.is_empty() {
            self.send(Message::Used(keys));
        }
    }

    /// Records what the folders of a run take, in bytes.
    pub fn size(&self, run: RunId, bytes: u64) {
        self.send(Message::Size(run, bytes));
    }

    /// Records a run that begins. The receiver ends when that is done, or when it failed, which the run's end reports.
    pub fn begin(&self, beginning: Beginning) -> oneshot::Receiver<()> {
        let (done, recorded) = oneshot::channel();
        self.send(Message::Begin(Box::new(beginning), done));
        recorded
    }

    /// Records what has become of a run. The receiver ends as that of [`Writer::begin`] does.
    pub fn run(&self, run: Run) -> oneshot::Receiver<()> {
        let (done, recorded) = oneshot::channel();
        self.send(Message::Run(Box::new(run), done));
        recorded
    }

    pub fn flush_now(&self) {
        self.send(Message::FlushNow);
    }
}

impl Handle {
    /// Waits until everything is written.
    pub fn join(self) -> Closed {
        let stopped = |_| Closed { failure: Some("the writer stopped unexpectedly".into()), footprint: None };
        self.0.join().unwrap_or_else(stopped)
    }
}

/// Messages that one transaction commits.
#[derive(Default)]
struct Batch {
    results: Vec<NewResult>,
    files: Vec<Execution>,
    beginnings: Vec<Beginning>,
    /// Dropped with the batch, when it was written: that is the answer.
    answers: Vec<oneshot::Sender<()>>,
    runs: Vec<Run>,
    /// Sent once a run, at its end.
    times: Times,
    used: Vec<Digest>,
    size: Option<(RunId, u64)>,
    stats: Vec<(FileKey, StatEntry)>,
    since: Option<Instant>,
    flush_now: bool,
}

impl Batch {
    fn add(&mut self, message: Message) {
        self.since.get_or_insert_with(Instant::now);
        match message {
            Message::Result(result) => {
                if self.results.is_empty() {
                    self.since = Some(Instant::now());
                }
                self.results.push(result);
            }
            Message::Files(files) => self.files.push(*files),
            Message::Stats(stats) => self.stats.extend(stats),
            Message::Begin(mut beginning, done) => {
                beginning.digest_texts();
                self.beginnings.push(*beginning);
                self.answers.push(done);
                self.flush_now = true;
            }
            Message::Run(run, done) => {
                self.runs.push(*run);
                self.answers.push(done);
                self.flush_now = true;
            }
            Message::Times(times) => self.times = times,
            Message::Used(keys) => self.used = keys,
            Message::Size(run, bytes) => self.size = Some((run, bytes)),
            Message::FlushNow => self.flush_now = true,
        }
    }

    fn is_empty(&self) -> bool {
        self.results.is_empty()
            && self.files.is_empty()
            && self.beginnings.is_empty()
            && self.runs.is_empty()
            && self.stats.is_empty()
            && self.times.nodes.is_empty()
            && self.used.is_empty()
            && self.size.is_none()
    }

    /// The time until the batch is committed.
    fn time_left(&self) -> Duration {
        if self.flush_now || self.results.len() >= MAX_BATCH_RESULTS {
            return Duration::ZERO;
        }
        self.since.map_or(MAX_BATCH_AGE, |since| MAX_BATCH_AGE.saturating_sub(since.elapsed()))
    }
}

/// When a commit is on the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Durability {
    /// When it returns.
    Now,
    /// With the next one that is durable at once, or when the system gets to it; the order is kept.
    Soon,
}

impl Durability {
    fn pragma(self) -> &'static str {
        match self {
            Self::Now => "PRAGMA synchronous = FULL",
            Self::Soon => "PRAGMA synchronous = NORMAL",
        }
    }
}

struct Work {
    db: Connection,
    /// As `db::open` set it, at first.
    durability: Durability,
    store: Arc<Store>,
    home: PathBuf,
    acknowledge: UnboundedSender<Acknowledged>,
    batch: Batch,
    /// The first thing that went wrong with history.
    failure: Option<String>,
    /// Blobs that could not be committed.
    refused: Vec<PendingBlob>,
    /// Whether this is the last commit: what is refused then is not tried again.
    closing: bool,
}

impl Work {
    fn run(mut self, receiver: &Receiver<Message>) -> Closed {
        loop {
            if self.batch.is_empty() {
                self.batch.flush_now = false;
                self.batch.since = None;
                match receiver.recv() {
                    Ok(message) => self.batch.add(message),
                    Err(_) => break,
                }
                continue;
            }
            match receiver.recv_timeout(self.batch.time_left()) {
                Ok(message) => self.batch.add(message),
                Err(RecvTimeoutError::Timeout) => self.commit(),
                Err(RecvTimeoutError::Disconnected) => {
                    self.closing = true;
                    self.commit();
                    break;
                }
            }
        }
        db::trim_log(&self.db, &self.home);
        Closed { failure: self.failure, footprint: footprint::read(&self.db).ok() }
    }

    fn commit(&mut self) {
        let mut batch = std::mem::take(&mut self.batch);
        for Beginning { run, invocation, .. } in &batch.beginnings {
            // A copy: what the database keeps is what counts while there is one.
            let _ = write_copy(&Home::at(&self.home).request(run.id), invocation);
        }
        let stored = self.commit_blobs(&mut batch.results);
        batch.stats.extend(self.store.stats().drain_fresh());
        let written = self.write(&batch, stored.is_ok());
        if let Err(error) = &written {
            damage::suspect(&self.home, error);
            self.failure.get_or_insert_with(|| format!("the database refused a write: {error}"));
            if !self.closing {
                self.batch.beginnings = std::mem::take(&mut batch.beginnings);
                self.batch.runs = std::mem::take(&mut batch.runs);
            }
        }
        let result = stored.and_then(|()| written.map_err(|error| error.to_string()));
        drop(batch.answers);
        for new in batch.results {
            // The receiver is gone when the run is being torn down; the result is stored anyway.
            let _ = self.acknowledge.send(Acknowledged { unit: new.unit, result: result.clone() });
        }
    }

    fn commit_blobs(&mut self, results: &mut [NewResult]) -> Result<(), String> {
        let blobs: Vec<PendingBlob> = results.iter_mut().flat_map(|new| new.blobs.drain(..)).collect();
        if blobs.is_empty() {
            return Ok(());
        }
        self.store.commit(&blobs).map_err(|error| {
            // Nodes of this run may still read them: as temporaries they live as long as this does.
            self.refused.extend(blobs);
            format!("the store refused a file: {error}")
        })
    }

    fn write(&mut self, batch: &Batch, with_results: bool) -> rusqlite::Result<()> {
        // A row of the memo must survive a power cut once it is acknowledged; history and stats need not.
        let wanted = if batch.results.is_empty() { Durability::Soon } else { Durability::Now };
        if self.durability != wanted {
            self.db.execute_batch(wanted.pragma())?;
            self.durability = wanted;
        }
        // Directories are read before the database is locked.
        let of_results = batch.results.iter().filter(|_| with_results).filter_map(|new| new.files.as_deref());
        let indexed: Vec<_> =
            of_results.chain(&batch.files).map(|files| Indexed::new(files, &self.store)).collect();
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for indexed in &indexed {
            contents::record(&transaction, indexed)?;
        }
        if with_results {
            let mut known: Option<(Digest, Option<Digest>)> = None;
            let mut added = self.store.take_added() + indexed.iter().map(Indexed::size).sum::<u64>();
            for MemoRow { entry, definition, interface, upload } in
                batch.results.iter().filter_map(|new| new.row.as_deref())
            {
                sqlite::record(&transaction, entry)?;
                if let Some(wish) = upload {
                    upload_queue::add(&transaction, &entry.key, wish, Timestamp::now())?;
                }
                added += ROW + (entry.inputs.len() + entry.found.outputs.len()) as u64;
                let described = (entry.found.definition, entry.interface);
                if known != Some(described) {
                    if let Some(definition) = definition {
                        sqlite::record_definition(&transaction, &entry.found.definition, definition)?;
                    }
                    if let Some(digest) = &entry.interface {
                        earlier::record_interface(&transaction, digest, interface)?;
                    }
                    known = Some(described);
                }
            }
            footprint::add(&transaction, added)?;
        }
        for beginning in &batch.beginnings {
            record_beginning(&transaction, beginning)?;
        }
        for run in &batch.runs {
            history::record_run(&transaction, run)?;
        }
        if let Some((run, bytes)) = &batch.size {
            footprint::record_run(&transaction, *run, *bytes)?;
        }
        times::record(&transaction, &batch.times)?;
        sqlite::record_use(&transaction, &batch.used, Timestamp::now())?;
        record_stats(&transaction, &batch.stats)?;
        transaction.commit()
    }
}

fn record_stats(db: &Connection, stats: &[(FileKey, StatEntry)]) -> rusqlite::Result<()> {
    if stats.is_empty() {
        return Ok(());
    }
    let mut statement = db.prepare_cached(
        "INSERT OR REPLACE INTO file_stat (dev, ino, size, mtime_ns, ctime_ns, digest) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for (key, entry) in stats {
        // SQLite's integers are signed: the bits are kept, the sign has no meaning.
        let (dev, ino, size) = (key.dev as i64, key.ino as i64, entry.size as i64);
        statement.execute(params![dev, ino, size, entry.mtime_ns, entry.ctime_ns, &entry.digest.0[..]])?;
    }
    Ok(())
}

/// The stat cache's lookup. Read from the database when the first file is asked for: all of it if it is small,
/// else entry by entry. A failing database only means that files are read.
pub fn stat_lookup(home: PathBuf) -> StatLookup {
    let known = OnceLock::new();
    Box::new(move |key| {
        let known = known.get_or_init(|| db::open_read_only(&home).ok().flatten().map(Known::read));
        match known.as_ref()? {
            Known::All(entries) => entries.get(&key).copied(),
            Known::Asked(db) => {
                let db = lock(db);
                let mut statement =
                    db.prepare_cached("SELECT * FROM file_stat WHERE dev = ?1 AND ino = ?2").ok()?;
                let found = statement.query_row(params![key.dev as i64, key.ino as i64], read_stat);
                found.ok().map(|(_, entry)| entry)
            }
        }
    })
}

/// Maximum entries of the stat cache that are read at once (about 5 ms); with more, each is looked up.
const MAX_PRELOADED_STATS: usize = 20_000;

enum Known {
    All(HashMap<FileKey, StatEntry>),
    Asked(Mutex<Connection>),
}

impl Known {
    fn read(db: Connection) -> Self {
        let all = || -> rusqlite::Result<HashMap<_, _>> {
            let mut statement = db.prepare("SELECT * FROM file_stat LIMIT ?1")?;
            let limit = i64::try_from(MAX_PRELOADED_STATS + 1).unwrap_or(i64::MAX);
            statement.query_map([limit], read_stat)?.collect()
        };
        match all() {
            Ok(entries) if entries.len() <= MAX_PRELOADED_STATS => Self::All(entries),
            _ => Self::Asked(Mutex::new(db)),
        }
    }
}

fn read_stat(row: &rusqlite::Row) -> rusqlite::Result<(FileKey, StatEntry)> {
    let unsigned = |column| row.get::<_, i64>(column).map(|value| value as u64);
    let key = FileKey { dev: unsigned(0)?, ino: unsigned(1)? };
    let (mtime_ns, ctime_ns) = (row.get(3)?, row.get(4)?);
    Ok((key, StatEntry { size: unsigned(2)?, mtime_ns, ctime_ns, digest: Digest(row.get(5)?) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::history::invocation::tests::beginning;
    use crate::storage::store::StatCache;

    #[test]
    fn a_beginning_is_answered_when_others_can_see_it() {
        let dir = tempfile::tempdir().unwrap();
        let (db, _) = db::open(dir.path()).unwrap();
        let store = Arc::new(Store::open(dir.path(), StatCache::new(Box::new(|_| None))).unwrap());
        let (writer, handle, _acknowledged) = Writer::start(db, store, dir.path().to_owned()).unwrap();
        let begun = beginning("k3v9x2qm", "text");
        let run = begun.run.id;
        // Answered by its end: nothing is sent.
        assert!(writer.begin(begun).blocking_recv().is_err());
        assert!(history::is_known(&db::open_reader(dir.path()).unwrap(), run));
        drop(writer);
        assert_eq!(handle.join().failure, None);
    }
}
