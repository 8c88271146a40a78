//! The rows of a run's jobs in the home: intents before submissions, and jobs of runs that are gone, to be taken over.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use rusqlite::Connection;

use crate::core::lock::lock;
use crate::core::run_id::RunId;
use crate::exec::batch::{JobIntent, JobLedger};
use crate::storage::db;
use crate::storage::home::Home;
use crate::storage::jobs::{self, JobRow};
use crate::storage::store::remove_tree;

/// The jobs of one executor in one run, as rows. The database is opened when the first job comes.
pub struct HomeLedger {
    home: Home,
    run: RunId,
    executor: Arc<str>,
    open: Mutex<Option<OpenLedger>>,
}

struct OpenLedger {
    db: Connection,
    /// Jobs of other runs, and of this one from before it was taken up again, by what they work on.
    others: HashMap<String, Vec<JobRow>>,
}

impl HomeLedger {
    pub fn new(home: Home, run: RunId, executor: Arc<str>) -> Self {
        Self { home, run, executor, open: Mutex::new(None) }
    }

    /// Takes over a job of a run that is gone, if one works on the same; no other run has it then.
    ///
    /// # Errors
    /// The database cannot be used: a sentence.
    pub fn take_over(&self, work: &str) -> Result<Option<JobRow>, String> {
        self.with(|open| {
            let Some(rows) = open.others.get_mut(work) else { return Ok(None) };
            // Asked now: a run that lived when the rows were read may be gone.
            let is_gone = |row: &JobRow| row.run == self.run || !self.home.is_alive(row.run);
            while let Some(gone) = rows.iter().position(is_gone) {
                let row = rows.remove(gone);
                if jobs::take_over(&open.db, &row, self.run)? {
                    return Ok(Some(row));
                }
            }
            Ok(None)
        })
    }

    /// Jobs of runs that are gone, which nothing in this run has taken over. Where no job of this run made anybody look,
    /// `looks` says whether to look now. An error is none.
    pub fn left_over(&self, looks: bool) -> Vec<JobRow> {
        if !looks && lock(&self.open).is_none() {
            return Vec::new();
        }
        let left = self.with(|open| Ok(open.others.values().flatten().cloned().collect::<Vec<_>>()));
        let is_gone = |row: &JobRow| row.run == self.run || !self.home.is_alive(row.run);
        left.unwrap_or_default().into_iter().filter(is_gone).collect()
    }

    /// Removes what runs that are gone left in `folder`, where jobs have theirs, and nobody needs: jobs whose result is
    /// stored, and folders of jobs that were never to be submitted. Their names begin with `prefix`.
    pub fn sweep(&self, folder: &Path, prefix: &str) {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let run_of = |name: &str| RunId::parse(name.strip_prefix(prefix)?.rsplit_once('-')?.0).ok();
        let left: Vec<_> = entries
            .filter_map(|entry| Some((run_of(entry.file_name().to_str()?)?, entry)))
            .filter(|(run, _)| *run == self.run || !self.home.is_alive(*run))
            .collect();
        if left.is_empty() && lock(&self.open).is_none() {
            return;
        }
        // What cannot be swept now is swept later.
        let _ = self.with(|open| {
            let rows = jobs::all(&open.db, &self.executor)?;
            let known: HashMap<&str, &JobRow> = rows.iter().map(|row| (row.name.as_str(), row)).collect();
            for (run, entry) in left {
                let name = entry.file_name().to_string_lossy().into_owned();
                match known.get(name.as_str()) {
                    Some(row) => {
                        let is_gone = row.run == self.run || !self.home.is_alive(row.run);
                        if is_gone
                            && jobs::is_stored(&open.db, &row.work)?
                            && remove_tree(&entry.path()).is_ok()
                        {
                            jobs::remove(&open.db, &name)?;
                        }
                    }
                    // Without an intent nothing was submitted. A run that this home does not know is another home's.
                    None if jobs::is_run(&open.db, run)? => drop(remove_tree(&entry.path())),
                    None => {}
                }
            }
            let is_left = |row: &&JobRow| {
                !Path::new(&row.folder).exists() && (row.run == self.run || !self.home.is_alive(row.run))
            };
            for row in rows.iter().filter(is_left) {
                if jobs::is_stored(&open.db, &row.work)? {
                    jobs::remove(&open.db, &row.name)?;
                }
            }
            Ok(())
        });
    }

    /// Removes folders and rows of jobs that nobody needs any more.
    pub fn settle_all(&self, rows: &[JobRow]) {
        for row in rows {
            if remove_tree(Path::new(&row.folder)).is_ok() || !Path::new(&row.folder).exists() {
                let _ = self.with(|open| jobs::remove(&open.db, &row.name));
            }
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut OpenLedger) -> rusqlite::Result<T>) -> Result<T, String> {
        let mut open = lock(&self.open);
        let ledger = match &mut *open {
            Some(ledger) => ledger,
            none => none.insert(self.open()?),
        };
        work(ledger).map_err(|error| error.to_string())
    }

    fn open(&self) -> Result<OpenLedger, String> {
        let db = db::open_writer(self.home.path()).map_err(|error| error.to_string())?;
        let rows = jobs::all(&db, &self.executor).map_err(|error| error.to_string())?;
        let mut others: HashMap<String, Vec<JobRow>> = HashMap::new();
        for row in rows {
            others.entry(row.work.clone()).or_default().push(row);
        }
        Ok(OpenLedger { db, others })
    }
}

impl JobLedger for Arc<HomeLedger> {
    fn intend(&self, intents: &[JobIntent]) -> Result<(), String> {
        let row = |intent: &JobIntent| JobRow {
            name: intent.name.clone(),
            run: self.run,
            work: intent.work.clone(),
            node: intent.label.clone(),
            folder: intent.folder.display().to_string(),
            id: None,
        };
        let rows: Vec<_> = intents.iter().map(row).collect();
        self.with(|open| jobs::add(&mut open.db, &self.executor, &rows, Timestamp::now().as_millisecond()))
    }

    fn submitted(&self, ids: &[(String, String)]) {
        // Without its id a job is still known by its name.
        let _ = self.with(|open| jobs::note_ids(&mut open.db, ids));
    }

    fn settle(&self, name: &str, folder: &Path) {
        // The row last: what it names is gone then.
        if remove_tree(folder).is_ok() || !folder.exists() {
            let _ = self.with(|open| jobs::remove(&open.db, name));
        }
    }
}
