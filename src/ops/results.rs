//! Stored results, by the beginnings of their keys and by what else is known of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;
use serde::Serialize;
use serde_json::{Map as JsonMap, Value as Json, json};

use super::Error;
use super::home::HomeReader;
use crate::core::closest::closest;
use crate::core::digest::Digest;
use crate::core::event::VERSION;
use crate::core::provenance::Provenance;
use crate::core::run_id::RunId;
use crate::storage::memo::MemoEntry;
use crate::storage::memo::listing::{self, Listed};

pub use crate::storage::memo::listing::{EntryFilter, files_in};

/// Digits of a key that are shown: enough to distinguish it from all others in practice.
pub const KEY_DIGITS: usize = 10;

/// A stored result in short.
#[derive(Clone, Debug, Serialize)]
pub struct StoredResult {
    pub v: u32,
    pub key: Digest,
    pub task: String,
    pub project: String,
    pub domain: String,
    /// The cache version.
    pub version: String,
    /// Of its files, in bytes.
    pub size: u64,
    /// How many files and directories.
    pub files: usize,
    pub duration_ms: u64,
    pub created: Timestamp,
    /// When it was last used, give or take a day.
    pub used: Timestamp,
    pub run: RunId,
    pub node: String,
}

impl StoredResult {
    pub fn new(entry: &MemoEntry) -> Self {
        let files = files_in(&entry.found.outputs);
        Self {
            v: VERSION,
            key: entry.key,
            task: entry.task.clone(),
            project: entry.project.clone(),
            domain: entry.domain.clone(),
            version: entry.version.clone(),
            size: files.iter().map(|(_, file)| file.size).sum(),
            files: files.len(),
            duration_ms: entry.found.duration_ms,
            created: entry.found.created,
            used: entry.found.used,
            run: entry.found.run,
            node: entry.found.node.clone(),
        }
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// A file or directory of a result.
#[derive(Serialize)]
pub struct StoredFile {
    /// The output that it is, or is a part of.
    pub output: String,
    pub name: String,
    pub size: u64,
    pub digest: Digest,
    /// Of the blob; for a directory the list of what is in it.
    pub path: PathBuf,
    /// Why it cannot be used; null if it can.
    pub problem: Option<String>,
}

/// A stored result with everything that its row has.
pub struct ResultDetail {
    pub entry: MemoEntry,
    /// Whether its row is undamaged.
    pub intact: bool,
    pub files: Vec<StoredFile>,
}

impl ResultDetail {
    /// Whether it can be used.
    pub fn is_sound(&self) -> bool {
        self.intact && self.files.iter().all(|file| file.problem.is_none())
    }

    /// One document.
    pub fn to_json(&self) -> Json {
        let entry = &self.entry;
        let record = |text: &str| serde_json::from_str::<JsonMap<String, Json>>(text).unwrap_or_default();
        let mut document = StoredResult::new(entry).json();
        document["definition"] = json!(entry.found.definition);
        document["inputs"] = record(&entry.inputs).into();
        document["outputs"] = record(&entry.found.outputs).into();
        document["files"] = json!(self.files);
        document["provenance"] = json!(Provenance::from_record(entry.found.provenance.as_deref()));
        document["sound"] = self.is_sound().into();
        document
    }
}

/// Conditions on stored results.
#[derive(Default)]
pub struct ResultQuery {
    pub filter: EntryFilter,
    /// Unused for longer than this.
    pub older_than: Option<Duration>,
    /// In bytes.
    pub larger_than: Option<u64>,
}

/// The results that match, in no order; `None` where nothing is stored yet.
///
/// # Errors
/// The cache cannot be read.
pub fn list(home: Option<&Path>, query: &ResultQuery) -> Result<Option<Vec<StoredResult>>, Error> {
    let view = HomeReader::open(home)?;
    let Some(db) = &view.db else { return Ok(None) };
    let now = Timestamp::now();
    let mut results = Vec::new();
    listing::visit(db, &query.filter, &mut |listed| {
        let result = StoredResult::new(&listed.entry);
        let idle = Duration::try_from(now.duration_since(result.used)).unwrap_or_default();
        let fits = query.older_than.is_none_or(|age| idle > age)
            && query.larger_than.is_none_or(|size| result.size > size);
        if fits {
            results.push(result);
        }
    })
    .map_err(Error::cache)?;
    Ok(Some(results))
}

/// The one result whose key begins with `prefix`, with the state of its files.
///
/// # Errors
/// There is none, or more than one; or the cache cannot be read.
pub fn show(home: Option<&Path>, prefix: &str) -> Result<ResultDetail, Error> {
    let view = HomeReader::open(home)?;
    let db = view.db.as_ref().ok_or_else(|| Error::not_found("nothing is stored yet"))?;
    let Listed { entry, intact } = by_key(db, prefix)?;
    let store = view.store()?;
    let files = files_in(&entry.found.outputs).into_iter().map(|(output, artifact)| StoredFile {
        output,
        name: artifact.name.to_string(),
        size: artifact.size,
        digest: artifact.digest,
        path: store.blob_path(&artifact.digest),
        problem: store
            .verify(&artifact, store.parts(&artifact.digest).is_ok_and(|parts| !parts.is_empty()))
            .err()
            .map(|damage| damage.to_string()),
    });
    let files = files.collect();
    Ok(ResultDetail { entry, intact, files })
}

/// The message for a filter that no result of the home fits.
///
/// # Errors
/// The cache cannot be read.
pub fn none_in(home: Option<&Path>, filter: &EntryFilter) -> Result<String, Error> {
    match &HomeReader::open(home)?.db {
        Some(db) => none(db, filter),
        None => Ok("nothing is stored yet".into()),
    }
}

/// The message for a filter that fits no result.
///
/// # Errors
/// The cache cannot be read.
pub(super) fn none(db: &Connection, filter: &EntryFilter) -> Result<String, Error> {
    let Some(task) = &filter.task else { return Ok("no stored result fits".into()) };
    let tasks = listing::tasks(db).map_err(Error::cache)?;
    if tasks.contains(task) {
        return Ok(format!("no stored result of task `{task}` fits"));
    }
    let near = closest(task, tasks.iter().map(String::as_str));
    let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    Ok(format!("there is no stored result of a task `{task}`{hint}"))
}

/// The one result whose key begins so.
///
/// # Errors
/// There is none, or more than one; or the cache cannot be read.
pub(super) fn by_key(db: &Connection, prefix: &str) -> Result<Listed, Error> {
    let found = listing::with_prefix(db, prefix).map_err(Error::cache)?;
    let mut found = found.ok_or_else(|| {
        Error::invalid(format!("`{prefix}` is no key: expected up to 64 hexadecimal digits"))
    })?;
    match found.len() {
        0 => Err(Error::not_found(format!(
            "no stored result has a key that begins with `{prefix}`; `runner cache ls` lists them"
        ))),
        1 => Ok(found.remove(0)),
        n => {
            let some = found.iter().take(3).map(|listed| {
                let key = listed.entry.key.hex();
                format!("{} ({})", &key[..KEY_DIGITS.max(prefix.len() + 1).min(key.len())], listed.entry.task)
            });
            let some = some.collect::<Vec<_>>().join(", ");
            let more = if n > 3 { ", ..." } else { "" };
            Err(Error::not_found(format!("{n} keys begin with `{prefix}`: {some}{more}; give more of it")))
        }
    }
}
