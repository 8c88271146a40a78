//! How much is stored, and how much time it has saved.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use rusqlite::Connection;
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::Error;
use super::home::HomeReader;
use crate::core::event::VERSION;
use crate::core::provenance::Provenance;
use crate::storage::gc::{self, footprint::ROW};
use crate::storage::history;
use crate::storage::memo::MemoEntry;
use crate::storage::memo::listing::{self, EntryFilter};
use crate::storage::upload_queue;

/// Everything that is stored, in numbers.
#[derive(Default)]
pub struct CacheStats {
    pub results: u64,
    pub files: usize,
    pub file_bytes: u64,
    pub row_bytes: u64,
    pub runs: usize,
    pub run_bytes: u64,
    /// Nodes and elements of all runs that came from the cache.
    pub hits: u64,
    /// Nodes and elements of all runs that were executed.
    pub executed: u64,
    pub saved_ms: u64,
    /// The start of the first run.
    pub since: Option<Timestamp>,
    pub tasks: Vec<ResultSum>,
    pub projects: Vec<ResultSum>,
    pub domains: Vec<ResultSum>,
    /// By the address of the shared cache.
    pub remotes: Vec<RemoteSum>,
}

/// What came from a shared cache, and what is on its way there.
#[derive(Default, Serialize)]
pub struct RemoteSum {
    pub url: String,
    /// Results that came from it and are still here.
    pub results: u64,
    /// The time that their tasks took elsewhere.
    pub saved_ms: u64,
    /// Results that are still to be uploaded.
    pub queued: u64,
}

impl CacheStats {
    /// All that is kept, in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.file_bytes + self.row_bytes + self.run_bytes
    }

    /// One document, with the cap in force.
    pub fn to_json(&self, cap: Option<u64>) -> Json {
        json!({
            "v": VERSION,
            "results": self.results,
            "files": self.files,
            "file_bytes": self.file_bytes,
            "row_bytes": self.row_bytes,
            "runs": self.runs,
            "run_bytes": self.run_bytes,
            "bytes": self.total_bytes(),
            "cap": cap,
            "hits": self.hits,
            "executed": self.executed,
            "saved_ms": self.saved_ms,
            "since": self.since,
            "tasks": self.tasks,
            "projects": self.projects,
            "domains": self.domains,
            "remotes": self.remotes,
        })
    }
}

/// Results of one task, project or domain.
#[derive(Default, Serialize)]
pub struct ResultSum {
    pub name: String,
    pub results: u64,
    /// Of their files, in bytes; a file of several results counts for each.
    pub size: u64,
    /// The time that their tasks took.
    pub duration_ms: u64,
}

impl ResultSum {
    fn add(&mut self, size: u64, entry: &MemoEntry) {
        self.results += 1;
        self.size += size;
        self.duration_ms += entry.found.duration_ms;
    }
}

#[derive(Default)]
struct Sums {
    all: ResultSum,
    /// The size of the rows themselves, in bytes.
    rows: u64,
    tasks: BTreeMap<String, ResultSum>,
    projects: BTreeMap<String, ResultSum>,
    domains: BTreeMap<String, ResultSum>,
    remotes: BTreeMap<String, RemoteSum>,
}

impl Sums {
    fn read(db: &Connection) -> rusqlite::Result<Self> {
        let mut stats = Self::default();
        listing::visit(db, &EntryFilter::default(), &mut |listed| {
            let entry = &listed.entry;
            let size = listing::files_in(&entry.found.outputs).iter().map(|(_, file)| file.size).sum();
            stats.rows += ROW + (entry.inputs.len() + entry.found.outputs.len()) as u64;
            stats.all.add(size, entry);
            stats.tasks.entry(entry.task.clone()).or_default().add(size, entry);
            stats.projects.entry(entry.project.clone()).or_default().add(size, entry);
            stats.domains.entry(entry.domain.clone()).or_default().add(size, entry);
            if let Some(url) = Provenance::from_record(entry.found.provenance.as_deref()).remote {
                let sum = stats.remotes.entry(url).or_default();
                sum.results += 1;
                sum.saved_ms += entry.found.duration_ms;
            }
        })?;
        for (url, queued) in upload_queue::counts(db)? {
            stats.remotes.entry(url).or_default().queued = queued;
        }
        Ok(stats)
    }
}

/// Largest first.
fn ranked(sums: BTreeMap<String, ResultSum>) -> Vec<ResultSum> {
    let mut sums: Vec<ResultSum> = sums.into_iter().map(|(name, sum)| ResultSum { name, ..sum }).collect();
    sums.sort_by_key(|sum| std::cmp::Reverse((sum.size, sum.duration_ms)));
    sums
}

/// Counts what is stored; `None` where nothing is stored yet.
///
/// # Errors
/// The cache, the history or the store cannot be read.
pub fn stats(home: Option<&Path>) -> Result<Option<CacheStats>, Error> {
    let view = HomeReader::open(home)?;
    let Some(db) = &view.db else { return Ok(None) };
    let Sums { all, rows, tasks, projects, domains, remotes } = Sums::read(db).map_err(Error::cache)?;
    let runs = history::latest(db, usize::MAX).map_err(Error::cache)?;
    let blobs = view.store()?.blobs().map_err(|e| Error::store(format!("the store cannot be read: {e}")))?;
    Ok(Some(CacheStats {
        results: all.results,
        files: blobs.len(),
        file_bytes: blobs.iter().map(|blob| blob.size).sum(),
        row_bytes: rows,
        runs: runs.len(),
        run_bytes: runs.iter().map(|run| gc::of_run(&view.home, run.id)).sum(),
        hits: runs.iter().map(|run| run.counts.cached).sum(),
        executed: runs.iter().map(|run| run.counts.executed + run.counts.failed).sum(),
        saved_ms: runs.iter().map(|run| run.saved_ms).sum(),
        since: runs.last().map(|run| run.started),
        tasks: ranked(tasks),
        projects: ranked(projects),
        domains: ranked(domains),
        remotes: remotes.into_iter().map(|(url, sum)| RemoteSum { url, ..sum }).collect(),
    }))
}
