//! Collecting: what is worth least goes when it is asked for, or when a run passed the cap; picked results go at once.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value as Json, json};

use super::Error;
use super::home::{HomeReader, HomeWriter};
use super::results::StoredResult;
use crate::core::event::VERSION;
use crate::python;
use crate::storage::db;
use crate::storage::gc::footprint::Footprint;
use crate::storage::gc::{self, Wanted};
use crate::storage::home::Home;
use crate::storage::memo::MemoEntry;
use crate::storage::memo::listing::{self, EntryFilter};
use crate::storage::store::Store;

pub use crate::storage::gc::{Collected, Limits};
pub use crate::storage::recovery::unclaimed::FILE as UNCLAIMED_FILE;

/// How many of the newest runs of each workflow keep all that they need, by default.
pub const KEEP_RUNS: usize = 3;
/// How long a collection waits until no run counts on the store.
pub const GC_LOCK_WAIT: Duration = Duration::from_millis(500);

/// What may stay.
pub struct Collect {
    pub limits: Limits,
    pub keep_runs: usize,
    /// Only say what would go.
    pub dry_run: bool,
}

/// Removes what is worth least until the rest fits; `None` where nothing is stored yet. Warnings about the home come
/// beside it.
///
/// # Errors
/// The home cannot be used.
pub fn collect(home: Option<&Path>, request: Collect) -> Result<(Option<Collected>, Vec<String>), Error> {
    let Collect { limits, keep_runs, dry_run } = request;
    let wanted = Wanted { limits, keep_runs, patience: GC_LOCK_WAIT };
    let failed = |error: gc::GcError| Error::store(error.to_string());
    if dry_run {
        let reader = HomeReader::open(home)?;
        let Some(db) = &reader.db else { return Ok((None, Vec::new())) };
        let collected = gc::preview(&reader.home, db, &reader.store()?, wanted).map_err(failed)?;
        return Ok((Some(collected), Vec::new()));
    }
    Home::locate(home).map_err(Error::store)?.give_up_reserve();
    let HomeWriter { home, mut db, store, warnings } = HomeWriter::open(home)?;
    let collected = gc::collect(&home, &mut db, &store, wanted).map_err(failed)?;
    python::remove_unused(home.path());
    Ok((Some(collected), warnings))
}

/// The results that a collection removed, or would remove, with the sizes of their files.
pub fn results_of(collected: &Collected) -> Vec<StoredResult> {
    let sized = |(i, entry): (&usize, _)| {
        let files = &collected.inventory.stock.results[*i].outputs;
        let size = files.iter().map(|file| collected.inventory.stock.files[*file]).sum();
        StoredResult { size, files: files.len(), ..StoredResult::new(entry) }
    };
    collected.plan.results.iter().zip(collected.results()).map(sized).collect()
}

/// A collection as one document.
pub fn document(collected: &Collected, dry_run: bool) -> Json {
    json!({
        "v": VERSION,
        "dry_run": dry_run,
        "results": results_of(collected).iter().map(StoredResult::json).collect::<Vec<_>>(),
        "runs": collected.runs().collect::<Vec<_>>(),
        "files": collected.plan.files.len(),
        "freed": collected.freed(),
        "pending": collected.pending,
        "left": collected.plan.after,
        "live_runs": collected.inventory.live,
        "unclaimed": {
            "files": collected.inventory.unclaimed.blobs.len(),
            "bytes": collected.inventory.unclaimed_size(),
            "runs": collected.inventory.unclaimed.runs,
        },
    })
}

/// A collection at the end of a run that passed the cap.
pub struct AfterRun {
    /// In bytes.
    pub cap: u64,
    pub collected: Collected,
}

/// Collects at the end of a run, if that is due. `None` where there is nothing to say about it: it only frees space, and the
/// next run tries again. Beside it comes what there is to say about the home.
pub fn after_run(
    home: &Home,
    store: &Store,
    footprint: Option<Footprint>,
    cap: Option<u64>,
) -> (Option<AfterRun>, Option<String>) {
    if !gc::is_due(store, footprint, cap) {
        return (None, None);
    }
    let passed = cap.filter(|cap| footprint.is_some_and(|footprint| footprint.passes(*cap)));
    // Without a count, or with garbage left, the collection itself decides.
    let passed = passed.filter(|_| footprint.is_some_and(|footprint| footprint.bytes.is_some()));
    let limit = passed.map(|cap| cap / 10 * 9).or(cap);
    let wanted =
        Wanted { limits: Limits { size: limit, age: None }, keep_runs: KEEP_RUNS, patience: Duration::ZERO };
    let mut db = match db::open(home.path()) {
        Ok((db, None)) => db,
        // A database that was just begun anew is no reason to remove anything.
        Ok((_, warning)) => return (None, warning),
        Err(_) => return (None, None),
    };
    match gc::collect(home, &mut db, store, wanted) {
        Ok(collected) => (passed.map(|cap| AfterRun { cap, collected }), None),
        Err(error) => (None, Some(format!("old results were not collected: {error}"))),
    }
}

/// Removes the picked results: all that `filter` fits, or of those with the keys that begin as `keys` say.
/// The removed ones, how many rows that were, and what the collection did.
///
/// # Errors
/// Nothing is picked or what is named is not there, or the home cannot be used.
pub fn evict(home: Option<&Path>, filter: &EntryFilter, keys: &[String]) -> Result<Evicted, Error> {
    Home::locate(home).map_err(Error::store)?.give_up_reserve();
    let HomeWriter { home, mut db, store, warnings } = HomeWriter::open(home)?;
    let picked = pick(&db, filter, keys)?;
    let wanted = Wanted { limits: Limits::default(), keep_runs: KEEP_RUNS, patience: GC_LOCK_WAIT };
    let (removed, collected) = gc::evict(&home, &mut db, &store, &picked, wanted)
        .map_err(|error| Error::store(error.to_string()))?;
    Ok(Evicted { picked, removed, collected, warnings })
}

/// Results that were removed because the user selected them.
pub struct Evicted {
    pub picked: Vec<MemoEntry>,
    pub removed: usize,
    pub collected: Collected,
    /// What there is to say about the home.
    pub warnings: Vec<String>,
}

impl Evicted {
    /// One document.
    pub fn to_json(&self) -> Json {
        let results: Vec<_> = self.picked.iter().map(|entry| StoredResult::new(entry).json()).collect();
        json!({
            "v": VERSION,
            "results": results,
            "freed": self.collected.freed(),
            "pending": self.collected.pending,
            "live_runs": self.collected.inventory.live,
        })
    }
}

fn pick(db: &Connection, filter: &EntryFilter, keys: &[String]) -> Result<Vec<MemoEntry>, Error> {
    let mut picked: Vec<MemoEntry> = Vec::new();
    if keys.is_empty() {
        listing::visit(db, filter, &mut |listed| picked.push(listed.entry)).map_err(Error::cache)?;
    }
    for key in keys {
        let entry = super::results::by_key(db, key)?.entry;
        if !filter.fits(&entry) {
            let task = &entry.task;
            return Err(Error::invalid(format!(
                "the result with key `{key}` is one of task `{task}`, project `{}` and domain `{}`: leave out what \
                 does not fit",
                entry.project, entry.domain
            )));
        }
        picked.push(entry);
    }
    if picked.is_empty() {
        return Err(Error::not_found(super::results::none(db, filter)?));
    }
    Ok(picked)
}
