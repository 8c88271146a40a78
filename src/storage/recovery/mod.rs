//! Recovery of a lost database: runs and results are read from the events and requests that runs left in their
//! folders; the rest is listed, and stays where it is.
//!
//! A result that comes back is looked up like any other: its files are verified before it counts. What a user evicted
//! does not come back. Knows nothing of how a database is found to be damaged.
//!
//! | file | owns |
//! |---|---|
//! | `unclaimed.rs` | what no database knows, and no collection may remove |
//! | `evicted.rs` | the results that users evicted |
//! | `published.rs` | what earlier runs published |

pub mod evicted;
mod published;
pub mod unclaimed;

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, params};
use serde_json::Value as Json;

use crate::core::digest::Digest;
use crate::core::event::{CacheStatus, Counts, Event, NodeFinished, NodeKind, RunStarted, Status};
use crate::core::run_id::RunId;
use crate::storage::history::invocation::{self, Invocation};
use crate::storage::history::{self, INTERRUPTED, RUNNING, Run};
use crate::storage::home::Home;
use crate::storage::memo::{FoundResult, MemoEntry, UNKNOWN_DEFINITION, sqlite};

/// What was restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    pub runs: usize,
    pub results: usize,
    /// Runs whose events cannot be read.
    pub unreadable: usize,
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, results, unreadable } = self;
        write!(f, "{runs} runs and {results} results were taken up again from the files of the runs")?;
        if *unreadable > 0 {
            write!(f, "; the events of {unreadable} runs cannot be read, and their files are kept")?;
        }
        Ok(())
    }
}

/// Writes the rows of all runs that left events in `home`. The caller holds a transaction on a new database.
///
/// # Errors
/// The database refuses a row. What cannot be read is left out and counted.
pub fn recover(db: &Connection, home: &Path) -> rusqlite::Result<Recovered> {
    let home = Home::at(home);
    let mut recovered = Recovered::default();
    let mut begun: Vec<RunStarted> = Vec::new();
    for run in run_folders(&home) {
        match first_start(&home, run) {
            Ok(Some(start)) => begun.push(start),
            // A run that was killed before its first event.
            Ok(None) if fs::metadata(home.events(run)).is_ok_and(|found| found.len() == 0) => {}
            Ok(None) | Err(_) => recovered.unreadable += 1,
        }
    }
    begun.sort_by(|a, b| (a.time, &a.run).cmp(&(b.time, &b.run)));
    let evicted = evicted::read(home.path());
    for start in &begun {
        let mut taking = TakingUp { db, home: &home, start, results: 0, finished: None };
        let whole = taking.events(&evicted)?;
        taking.run()?;
        recovered.runs += 1;
        recovered.results += taking.results;
        recovered.unreadable += usize::from(!whole);
    }
    Ok(recovered)
}

/// The event of a run's start; warnings may come before it.
fn first_start(home: &Home, run: RunId) -> io::Result<Option<RunStarted>> {
    for event in history::events_checked(&home.events(run))? {
        if let Event::RunStarted(start) = event? {
            return Ok((start.run == run).then_some(start));
        }
    }
    Ok(None)
}

fn run_folders(home: &Home) -> Vec<RunId> {
    let entries = fs::read_dir(home.path().join("logs")).into_iter().flatten().flatten();
    entries.filter_map(|entry| RunId::parse(entry.file_name().to_str()?).ok()).collect()
}

/// One run.
struct TakingUp<'a> {
    db: &'a Connection,
    home: &'a Home,
    start: &'a RunStarted,
    results: usize,
    finished: Option<Finished>,
}

struct Finished {
    time: Option<Timestamp>,
    status: String,
    counts: Counts,
    saved_ms: u64,
    outputs: serde_json::Map<String, Json>,
}

impl TakingUp<'_> {
    /// Restores the results; returns whether all events could be read.
    fn events(&mut self, evicted: &evicted::EvictedKeys) -> rusqlite::Result<bool> {
        let Ok(events) = history::events_checked(&self.home.events(self.start.run)) else {
            return Ok(false);
        };
        let mut counts = Counts { nodes: self.start.nodes, ..Counts::default() };
        let mut whole = true;
        for event in events {
            match event {
                Ok(Event::NodeFinished(node)) => {
                    if node.kind == NodeKind::Task {
                        counts.add(node.status, node.cache);
                    }
                    self.result(&node, evicted)?;
                }
                Ok(Event::RunFinished(end)) => {
                    self.finished = Some(Finished {
                        time: Some(end.time),
                        status: end.status.name().into(),
                        counts: end.counts,
                        saved_ms: end.saved_ms,
                        outputs: end.outputs,
                    });
                }
                Ok(_) => {}
                Err(_) => whole = false,
            }
        }
        let status = if self.home.is_alive(self.start.run) { RUNNING } else { INTERRUPTED };
        let outputs = serde_json::Map::new();
        self.finished.get_or_insert(Finished {
            time: None,
            status: status.into(),
            counts,
            saved_ms: 0,
            outputs,
        });
        Ok(whole)
    }

    /// The row of a result that the cache stored.
    fn result(&mut self, node: &NodeFinished, evicted: &evicted::EvictedKeys) -> rusqlite::Result<()> {
        let populated = node.cache == Some(CacheStatus::Populated);
        let (Some(key), true, true) =
            (node.key, node.status == Status::Succeeded, populated || node.stored.is_some())
        else {
            return Ok(());
        };
        if evicted.contains(&key, node.time) {
            return Ok(());
        }
        let stored = node.stored.as_deref();
        let entry = MemoEntry {
            key,
            project: self.start.project.clone(),
            domain: self.start.domain.clone(),
            task: node.task.clone(),
            version: stored.map_or_else(|| "unknown".into(), |stored| stored.version.clone()),
            inputs: Json::Object(node.inputs.clone()).to_string(),
            interface: stored.and_then(|stored| stored.interface),
            found: FoundResult {
                definition: stored.map_or(UNKNOWN_DEFINITION, |stored| stored.definition),
                outputs: Json::Object(node.outputs.clone()).to_string(),
                run: self.start.run,
                node: node.path().to_string(),
                created: node.time,
                duration_ms: node.duration_ms,
                used: node.time,
                provenance: None,
            },
        };
        sqlite::record(self.db, &entry)?;
        self.results += 1;
        Ok(())
    }

    /// The row of the run, what it was asked for, and what it published.
    fn run(&self) -> rusqlite::Result<()> {
        let Some(finished) = &self.finished else { return Ok(()) };
        let asked = invocation::read_copy(&self.home.request(self.start.run));
        let path =
            asked.as_ref().map_or_else(String::new, |asked| asked.request.workflow.display().to_string());
        history::record_run(
            self.db,
            &Run {
                id: self.start.run,
                workflow: self.start.workflow.clone(),
                path: path.clone(),
                project: self.start.project.clone(),
                domain: self.start.domain.clone(),
                status: finished.status.clone(),
                started: self.start.time,
                finished: finished.time,
                counts: finished.counts,
                saved_ms: finished.saved_ms,
            },
        )?;
        if let Some(asked) = asked {
            self.asked(&asked)?;
            published::recover(
                self.db,
                self.home,
                &self.start.workflow,
                Path::new(&path),
                &finished.outputs,
            )?;
        }
        Ok(())
    }

    fn asked(&self, asked: &Invocation) -> rusqlite::Result<()> {
        let text = serde_json::to_string(asked).unwrap_or_default();
        self.db
            .prepare_cached("UPDATE run SET invocation = ?2 WHERE run = ?1")?
            .execute(params![self.start.run, text])?;
        // The texts were in the database only; a file that still has its text gives it back.
        let mut insert =
            self.db.prepare_cached("INSERT OR IGNORE INTO document (digest, text) VALUES (?1, ?2)")?;
        for file in &asked.files {
            if let Some(text) = same_text(Path::new(&file.path), &file.digest) {
                insert.execute(params![&file.digest.0[..], text])?;
            }
        }
        Ok(())
    }
}

/// Maximum size of a workflow file whose text is recovered, in bytes.
const MAX_TEXT_BYTES: u64 = 64 << 20;

/// The text of a user's file, if it still has this digest.
fn same_text(path: &Path, digest: &Digest) -> Option<String> {
    let text = crate::storage::store::read_text(path, MAX_TEXT_BYTES)?;
    (Digest::of(&text) == *digest).then_some(text)
}
