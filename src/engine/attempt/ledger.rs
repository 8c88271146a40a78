//! The rows of a run's jobs in the home: intents before submissions, and jobs of runs that are gone, to be taken over.

use std::collections::HashMap;
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
    /// Jobs of runs that are gone, by what they work on.
    left: HashMap<String, Vec<JobRow>>,
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
            while let Some(row) =
                open.left.get_mut(work).and_then(|rows| (!rows.is_empty()).then(|| rows.remove(0)))
            {
                if jobs::take_over(&open.db, &row, self.run)? {
                    return Ok(Some(row));
                }
            }
            Ok(None)
        })
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
        let mut alive: HashMap<RunId, bool> = HashMap::from([(self.run, true)]);
        let mut left: HashMap<String, Vec<JobRow>> = HashMap::new();
        for row in rows {
            if !*alive.entry(row.run).or_insert_with(|| self.home.is_alive(row.run)) {
                left.entry(row.work.clone()).or_default().push(row);
            }
        }
        Ok(OpenLedger { db, left })
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
