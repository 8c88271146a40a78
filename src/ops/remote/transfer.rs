//! Results there and back, as a user asks for them: what is queued, and what is named.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior};
use serde_json::{Value as Json, json};

use super::care::failed;
use crate::core::digest::Digest;
use crate::core::event::VERSION;
use crate::core::lock::lock;
use crate::core::parallel::in_parallel;
use crate::core::provenance::Provenance;
use crate::ops::Error;
use crate::ops::home::HomeWriter;
use crate::ops::results::by_key;
use crate::storage::gc::footprint;
use crate::storage::memo::listing::{self, EntryFilter};
use crate::storage::memo::{FoundResult, MemoEntry, UNKNOWN_DEFINITION, sqlite};
use crate::storage::remote::backend::{ObjectKind, ObjectName};
use crate::storage::remote::{
    Fetched, FetchedResult, RemoteCache, RemoteEntry, RemoteLookup, RemoteTally, UploadError, Uploaded,
    outgoing,
};
use crate::storage::store::Store;
use crate::storage::upload_queue::{self, QueuedUpload, UploadWish};

/// Which results.
#[derive(Clone, Debug, Default)]
pub struct PickedResults {
    pub filter: EntryFilter,
    /// The beginnings of keys, in hexadecimal.
    pub keys: Vec<String>,
}

impl PickedResults {
    /// Whether nothing is named.
    fn is_empty(&self) -> bool {
        self.filter.is_empty() && self.keys.is_empty()
    }
}

/// What has become of one result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transferred {
    pub key: Digest,
    pub task: String,
    pub outcome: TransferOutcome,
}

/// How a transfer of a result ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferOutcome {
    Uploaded,
    Fetched,
    /// It is there already.
    Present,
    /// Another result is there, which stays.
    Conflict,
    /// It could not be done; a sentence.
    Failed(String),
}

impl Transferred {
    /// One line of JSON.
    pub fn to_json(&self) -> Json {
        let (outcome, error) = match &self.outcome {
            TransferOutcome::Uploaded => ("uploaded", None),
            TransferOutcome::Fetched => ("fetched", None),
            TransferOutcome::Present => ("present", None),
            TransferOutcome::Conflict => ("conflict", None),
            TransferOutcome::Failed(problem) => ("failed", Some(problem)),
        };
        json!({"v": VERSION, "key": self.key, "task": self.task, "outcome": outcome, "error": error})
    }

    pub fn is_failure(&self) -> bool {
        matches!(self.outcome, TransferOutcome::Failed(_))
    }
}

/// Hears of each result when its transfer ends.
pub type Tell<'a> = &'a (dyn Fn(&Transferred) + Sync);

/// How many results are recorded, or taken off the queue, in one transaction.
const BATCH: usize = 64;

/// Uploads what is queued for the shared cache, and what is picked; warnings about the home. `tell` hears of each.
///
/// # Errors
/// The shared cache is only read, a key names no result, or the home cannot be used.
pub fn push(
    home: Option<&Path>,
    cache: &RemoteCache,
    picked: &PickedResults,
    tell: Tell,
) -> Result<Vec<String>, Error> {
    if !cache.mode.writes() {
        return Err(Error::invalid(format!("the shared cache {} is only read", cache.url))
            .hint("--remote-mode rw, and a key that signs"));
    }
    let HomeWriter { home: _, mut db, store, warnings } = HomeWriter::open(home)?;
    wish(&mut db, cache, picked)?;
    let queued = upload_queue::all(&db, &cache.url).map_err(Error::cache)?;
    let tally = RemoteTally::default();
    for batch in queued.chunks(BATCH) {
        let mut rows = Vec::with_capacity(batch.len());
        for upload in batch {
            let row = listing::intact(&db, &upload.key).map_err(Error::cache)?;
            rows.push((*upload, row.map(|row| row.entry)));
        }
        let done: Mutex<Vec<QueuedUpload>> = Mutex::default();
        in_parallel(cache.jobs, &rows, |(upload, row)| {
            let task = row.as_ref().map(|row| row.task.clone()).unwrap_or_default();
            let entry = outgoing(row.as_ref()).map_err(UploadError::Local);
            let ended = entry.and_then(|entry| cache.upload(entry, &store, upload.replaces, &tally));
            if !matches!(ended, Err(UploadError::Remote(_))) {
                lock(&done).push(*upload);
            }
            let outcome = match ended {
                Ok(Uploaded::Done) => TransferOutcome::Uploaded,
                Ok(Uploaded::Same) => TransferOutcome::Present,
                Ok(Uploaded::Conflict) => TransferOutcome::Conflict,
                Err(UploadError::Remote(fault)) => TransferOutcome::Failed(fault.message),
                Err(UploadError::Local(problem)) => TransferOutcome::Failed(problem),
            };
            tell(&Transferred { key: upload.key, task, outcome });
        });
        let done = std::mem::take(&mut *lock(&done));
        upload_queue::remove(&mut db, &cache.url, &done).map_err(Error::cache)?;
    }
    Ok(warnings)
}

/// Queues what is picked.
fn wish(db: &mut Connection, cache: &RemoteCache, picked: &PickedResults) -> Result<(), Error> {
    if picked.is_empty() {
        return Ok(());
    }
    let mut keys = Vec::new();
    for key in &picked.keys {
        let entry = by_key(db, key)?.entry;
        if !picked.filter.fits(&entry) {
            return Err(Error::invalid(format!(
                "the result with key `{key}` is one of task `{}`, project `{}` and domain `{}`: leave out what does not fit",
                entry.task, entry.project, entry.domain
            )));
        }
        keys.push(entry.key);
    }
    if picked.keys.is_empty() {
        listing::visit(db, &picked.filter, &mut |row| keys.push(row.entry.key)).map_err(Error::cache)?;
    }
    let wish = UploadWish { remote: cache.url.clone(), replaces: false };
    let add = |db: &mut Connection| -> rusqlite::Result<()> {
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for key in &keys {
            upload_queue::add(&transaction, key, &wish, Timestamp::now())?;
        }
        transaction.commit()
    };
    add(db).map_err(Error::cache)
}

/// Brings results here that are in the shared cache: all, or what is picked; warnings about the home. `tell` hears of each.
///
/// # Errors
/// The shared cache cannot be read, or the home cannot be used.
pub fn pull(
    home: Option<&Path>,
    cache: &RemoteCache,
    picked: &PickedResults,
    tell: Tell,
) -> Result<Vec<String>, Error> {
    if !cache.mode.reads() {
        return Err(Error::invalid(format!("the shared cache {} is only written", cache.url))
            .hint("--remote-mode ro reads it"));
    }
    for prefix in &picked.keys {
        if prefix.is_empty()
            || prefix.len() > 64
            || !prefix.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        {
            return Err(Error::invalid(format!(
                "{prefix:?} is not the beginning of a key, which is hexadecimal"
            )));
        }
    }
    let HomeWriter { home: _, mut db, store, warnings } = HomeWriter::open(home)?;
    let mut names = Vec::new();
    cache
        .backend
        .list(ObjectKind::Entries, &mut |name, _| names.extend(key_of(&name)))
        .map_err(|fault| failed(cache, &fault))?;
    names.sort();
    let is_picked = |key: &Digest| {
        let hex = key.hex();
        picked.keys.is_empty() || picked.keys.iter().any(|prefix| hex.starts_with(prefix))
    };
    names.retain(is_picked);
    if let Some(missing) =
        picked.keys.iter().find(|prefix| !names.iter().any(|key| key.hex().starts_with(*prefix)))
    {
        return Err(Error::not_found(format!(
            "the shared cache {} has no result with key {missing}",
            cache.url
        )));
    }
    let here = local_keys(&db).map_err(Error::cache)?;
    for batch in names.chunks(BATCH) {
        let fetched: Mutex<HashMap<Digest, FetchedResult>> = Mutex::default();
        in_parallel(cache.jobs, batch, |key| {
            if let Some(result) = fetch(cache, &store, key, picked, &here, tell) {
                lock(&fetched).insert(*key, result);
            }
        });
        let mut fetched: Vec<_> = std::mem::take(&mut *lock(&fetched)).into_iter().collect();
        fetched.sort_by_key(|(key, _)| *key);
        record(&mut db, &store, cache, &fetched)?;
        for (key, result) in fetched {
            tell(&Transferred { key, task: result.entry.task, outcome: TransferOutcome::Fetched });
        }
    }
    Ok(warnings)
}

fn key_of(name: &ObjectName) -> Option<Digest> {
    match name {
        ObjectName::Entry(key) => Some(*key),
        ObjectName::Blob(_) | ObjectName::Check(_) => None,
    }
}

fn local_keys(db: &Connection) -> rusqlite::Result<HashSet<Digest>> {
    let mut keys = HashSet::new();
    listing::visit(db, &EntryFilter::default(), &mut |row| {
        if row.intact {
            keys.insert(row.entry.key);
        }
    })?;
    Ok(keys)
}

/// Fetches one result, unless it is here or was not picked.
fn fetch(
    cache: &RemoteCache,
    store: &Arc<Store>,
    key: &Digest,
    picked: &PickedResults,
    here: &HashSet<Digest>,
    tell: Tell,
) -> Option<FetchedResult> {
    let tally = RemoteTally::default();
    let end = |task: &str, outcome| tell(&Transferred { key: *key, task: task.into(), outcome });
    let name = ObjectName::Entry(*key);
    let entry = match cache.attempt(&tally, || cache.read_entry(&name)) {
        // Somebody removed it meanwhile.
        Ok(None) => return None,
        Ok(Some((bytes, _))) => RemoteEntry::open(&bytes, &cache.trust).map_err(|refusal| refusal.0),
        Err(fault) => Err(fault.message),
    };
    let entry = match entry {
        Ok(entry) => entry,
        Err(problem) => {
            end("", TransferOutcome::Failed(format!("{} is not used: {problem}", cache.place(&name))));
            return None;
        }
    };
    if !picked.filter.fits_names(&entry.task, &entry.project, &entry.domain) {
        return None;
    }
    if here.contains(key) {
        end(&entry.task, TransferOutcome::Present);
        return None;
    }
    let RemoteEntry { project, domain, task, interface, .. } = entry;
    let shown = task.clone();
    let wanted = RemoteLookup { key: *key, project, domain, task, interface, max_age: None };
    match cache.fetch(&wanted, store, &tally) {
        Fetched::Found(result) => return Some(*result),
        Fetched::Absent => {}
        Fetched::Refused(problem) => end(&shown, TransferOutcome::Failed(problem)),
        Fetched::Failed(fault) => end(&shown, TransferOutcome::Failed(fault.message)),
    }
    None
}

/// Stores what has come: its files, then its rows.
fn record(
    db: &mut Connection,
    store: &Store,
    cache: &RemoteCache,
    fetched: &[(Digest, FetchedResult)],
) -> Result<(), Error> {
    for (_, result) in fetched {
        store
            .commit(&result.blobs)
            .map_err(|error| Error::store(format!("the store refused a file: {error}")))?;
    }
    let provenance = Provenance { remote: Some(cache.url.to_string()), ..Provenance::default() }.to_record();
    let write = |db: &mut Connection| -> rusqlite::Result<()> {
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut added = store.take_added();
        for (key, FetchedResult { entry, .. }) in fetched {
            let found = FoundResult {
                definition: UNKNOWN_DEFINITION,
                outputs: Json::Object(entry.outputs.clone()).to_string(),
                run: entry.source.run,
                node: entry.source.node.clone(),
                created: entry.created,
                duration_ms: entry.duration_ms,
                provenance: provenance.clone(),
                used: Timestamp::now(),
            };
            let row = MemoEntry {
                key: *key,
                project: entry.project.clone(),
                domain: entry.domain.clone(),
                task: entry.task.clone(),
                // An entry does not say: it is in the key.
                version: "shared".into(),
                inputs: "{}".into(),
                interface: Some(entry.interface),
                found,
            };
            added += footprint::ROW + (row.inputs.len() + row.found.outputs.len()) as u64;
            sqlite::record(&transaction, &row)?;
        }
        footprint::add(&transaction, added)?;
        transaction.commit()
    };
    write(db).map_err(Error::cache)
}
