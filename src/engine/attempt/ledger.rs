//! The rows of a run's jobs in the home: intents before submissions, and jobs of runs that are gone, to be taken over.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use rusqlite::Connection;

use crate::core::lock::lock;
use crate::core::run_id::RunId;
use crate::exec::batch::{JobFolder, JobIntent, JobLedger};
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
    /// Attempts of jobs of other runs, and of this one from before it was taken up again, by what they work on.
    others: HashMap<String, Vec<(Arc<JobRow>, usize)>>,
    /// The names of those jobs that were taken over, and of those that somebody else took.
    taken: HashMap<String, bool>,
}

/// An attempt of a job that another run submitted.
pub struct TakenOver {
    pub job: Arc<JobRow>,
    /// Its number in the job, from 1.
    pub attempt: usize,
}

impl HomeLedger {
    pub fn new(home: Home, run: RunId, executor: Arc<str>) -> Self {
        Self { home, run, executor, open: Mutex::new(None) }
    }

    /// Takes over an attempt of a job of a run that is gone, if one works on the same; no other run has the job then.
    ///
    /// # Errors
    /// The database cannot be used: a sentence.
    pub fn take_over(&self, work: &str) -> Result<Option<TakenOver>, String> {
        self.with(|open| {
            let OpenLedger { db, others, taken } = open;
            let Some(rows) = others.get_mut(work) else { return Ok(None) };
            // Asked now: a run that lived when the rows were read may be gone.
            let is_free = |(job, _): &(Arc<JobRow>, usize), taken: &HashMap<String, bool>| {
                taken.get(&job.name).copied().unwrap_or_else(|| self.is_gone(job))
            };
            while let Some(gone) = rows.iter().position(|row| is_free(row, taken)) {
                let (job, attempt) = rows.remove(gone);
                let ours = match taken.get(&job.name) {
                    Some(ours) => *ours,
                    None => jobs::take_over(db, &job, self.run)?,
                };
                taken.insert(job.name.clone(), ours);
                if ours {
                    return Ok(Some(TakenOver { job, attempt }));
                }
            }
            Ok(None)
        })
    }

    /// Whether nobody attends to a job that stood in the database when this run came.
    fn is_gone(&self, row: &JobRow) -> bool {
        row.run == self.run || !self.home.is_alive(row.run)
    }

    /// Jobs of runs that are gone, of which nothing in this run has taken anything over, and those of this run with what
    /// it has not. Where no job of this run made anybody look, `looks` says whether to look now. An error is none.
    pub fn left_over(&self, looks: bool) -> Vec<JobRow> {
        if !looks && lock(&self.open).is_none() {
            return Vec::new();
        }
        let left = self.with(|open| {
            let all = open.others.values().flatten().map(|(row, _)| (row.name.clone(), Arc::clone(row)));
            let all: BTreeMap<String, Arc<JobRow>> = all.collect();
            let is_left = |row: &JobRow| match open.taken.get(&row.name) {
                Some(_) => row.run == self.run && Path::new(&row.folder).exists(),
                None => self.is_gone(row),
            };
            Ok(all.values().filter(|row| is_left(row)).map(|row| (**row).clone()).collect())
        });
        left.unwrap_or_default()
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
                        if is_gone && all_stored(&open.db, row)? && remove_tree(&entry.path()).is_ok() {
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
                if all_stored(&open.db, row)? {
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
        let mut others: HashMap<String, Vec<(Arc<JobRow>, usize)>> = HashMap::new();
        for row in rows.into_iter().map(Arc::new) {
            for (i, work) in row.works.iter().enumerate() {
                others.entry(work.clone()).or_default().push((Arc::clone(&row), i + 1));
            }
        }
        Ok(OpenLedger { db, others, taken: HashMap::new() })
    }
}

/// Whether nobody can ask for an attempt of a job any more.
fn all_stored(db: &Connection, row: &JobRow) -> rusqlite::Result<bool> {
    for work in &row.works {
        if !jobs::is_stored(db, work)? {
            return Ok(false);
        }
    }
    Ok(true)
}

impl JobLedger for Arc<HomeLedger> {
    fn intend(&self, intents: &[JobIntent]) -> Result<(), String> {
        let row = |intent: &JobIntent| JobRow {
            name: intent.name.clone(),
            run: self.run,
            works: intent.works.clone(),
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

    fn forget(&self, folder: &JobFolder, attempt: usize) {
        let _ = fs::remove_file(folder.log(attempt));
        let _ = fs::remove_file(folder.spec(attempt));
        let _ = remove_tree(&folder.scratch(attempt));
    }

    fn settle(&self, name: &str, folder: &JobFolder) {
        // The row last: what it names is gone then.
        if remove_tree(folder.path()).is_ok() || !folder.exists() {
            let _ = self.with(|open| jobs::remove(&open.db, name));
        }
    }
}
