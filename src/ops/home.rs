//! Home, database and store, opened for a run or for looking only.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use super::Error;
use crate::core::event::{Counts, Event};
use crate::core::run_id::RunId;
use crate::exec::{ProcessRecord, end_marked};
use crate::storage::damage;
use crate::storage::db;
use crate::storage::history::{self, ABANDONED, INTERRUPTED};
use crate::storage::home::Home;
use crate::storage::jobs;
use crate::storage::store::{StatCache, Store};
use crate::storage::writer::stat_lookup;
use crate::view::model::tally::Tally;

/// A home that a run may write to.
pub struct HomeWriter {
    pub home: Home,
    pub db: Connection,
    pub store: Arc<Store>,
    /// What the user should know before the run begins.
    pub warnings: Vec<String>,
}

impl HomeWriter {
    /// Opens the home folder, creating what is not there, and sweeps up what killed runs left behind.
    ///
    /// # Errors
    /// The home, its database or its store cannot be created or opened (kind: store).
    pub fn open(flag: Option<&Path>) -> Result<Self, Error> {
        let home = Home::locate(flag).map_err(Error::store)?;
        home.create().map_err(Error::store)?;
        let (db, warning) = db::open(home.path()).map_err(|error| Error::store(error.to_string()))?;
        let stats = StatCache::new(stat_lookup(home.path().to_owned()));
        let store = Store::open(home.path(), stats).map_err(|error| {
            Error::store(format!("cannot use the store in {}: {error}", home.path().display()))
        })?;
        let mut session = Self { home, db, store: Arc::new(store), warnings: warning.into_iter().collect() };
        session.recover();
        Ok(session)
    }

    /// Marks runs as interrupted whose process is gone, and ends and removes what they left.
    fn recover(&mut self) {
        let unfinished = match history::unfinished(&self.db) {
            Ok(runs) => runs,
            Err(error) => {
                damage::suspect(self.home.path(), &error);
                self.warnings.push(format!("the history cannot be read: {error}"));
                return;
            }
        };
        let dead: Vec<_> = unfinished.into_iter().filter(|run| !self.home.is_alive(run.id)).collect();
        // A run that was killed before its first row, or whose history is lost, left its folder only.
        let mut swept: Vec<_> = dead.iter().map(|run| run.id).chain(self.home.dead_scratch()).collect();
        swept.sort();
        swept.dedup();
        // A run that was killed at its very end has its last row, and may still have left temporaries. What
        // resists costs space and nothing else.
        let _ = self.store.sweep();
        if swept.is_empty() {
            return;
        }
        // Waiting for processes to end takes a clock; it is needed so seldom that it is made here.
        let clock = tokio::runtime::Builder::new_current_thread().enable_time().build();
        for run in &swept {
            // A run that had only just begun is no dead one: its processes are left alone.
            let Some(claim) = self.home.claim_dead(*run) else { continue };
            if claim.is_copy {
                self.warnings.push(format!(
                    "this home was copied while run {run} was running: it is interrupted here, and its processes are \
                     left to the original"
                ));
            } else if let Ok(clock) = &clock {
                let record = self.home.processes(*run).ok().and_then(ProcessRecord::read);
                clock.block_on(end_marked(run, record.as_ref()));
            }
            self.home.sweep_scratch(*run);
        }
        for mut run in dead {
            run.status = INTERRUPTED.into();
            run.counts = counts_so_far(&self.home, run.id, run.counts);
            if let Err(error) = history::record_run(&self.db, &run) {
                self.warnings.push(format!("the interrupted run {} cannot be marked: {error}", run.id));
            }
        }
    }
}

/// The outcomes that the events of an interrupted run have.
fn counts_so_far(home: &Home, run: RunId, planned: Counts) -> Counts {
    let mut tally = Tally::default();
    for event in history::events(&home.events(run)).into_iter().flatten() {
        tally.step(&event);
    }
    Counts { nodes: planned.nodes, ..tally.counts }
}

/// A home for looking only: nothing is created or changed.
pub struct HomeReader {
    pub home: Home,
    /// `None` where there is no database yet.
    pub db: Option<Connection>,
}

impl HomeReader {
    /// # Errors
    /// The home or its database cannot be opened (kind: store).
    pub fn open(flag: Option<&Path>) -> Result<Self, Error> {
        let home = Home::locate(flag).map_err(Error::store)?;
        home.check().map_err(Error::store)?;
        let db = db::open_read_only(home.path()).map_err(|error| Error::store(error.to_string()))?;
        Ok(Self { home, db })
    }

    /// The home for a short look that changes nothing, not even the version of its database; `None` where there is nothing
    /// to be read.
    pub fn peek(flag: Option<&Path>) -> Option<Self> {
        let home = Home::locate(flag).ok()?;
        let db = db::peek(home.path())?;
        Some(Self { home, db: Some(db) })
    }

    /// The store, for looking only.
    ///
    /// # Errors
    /// The store cannot be opened (kind: store).
    pub fn store(&self) -> Result<Store, Error> {
        let stats = StatCache::new(stat_lookup(self.home.path().to_owned()));
        Store::open_read_only(self.home.path(), stats).map_err(|error| {
            Error::store(format!("cannot use the store in {}: {error}", self.home.path().display()))
        })
    }

    /// The run that a person means by `name`.
    ///
    /// # Errors
    /// No run, or more than one, has this name (kind: not found), or the database cannot be read (kind: store).
    pub fn find(&self, name: &str) -> Result<history::Run, Error> {
        let db = self.db.as_ref().ok_or_else(|| {
            Error::not_found(format!(
                "there is no run yet: nothing was ever run with the home {}",
                self.home.path().display()
            ))
        })?;
        let mut run = history::find(db, name)?;
        run.status = self.status(&run);
        Ok(run)
    }

    /// A run's status; one whose process is gone was interrupted, even before the next run marks it so, and is abandoned
    /// while it has jobs.
    pub fn status(&self, run: &history::Run) -> String {
        let is_dead = run.status == history::RUNNING && !self.home.is_alive(run.id);
        if !is_dead && run.status != INTERRUPTED {
            return run.status.clone();
        }
        let has_jobs = self.db.as_ref().is_some_and(|db| jobs::has(db, run.id).unwrap_or(false));
        if has_jobs { ABANDONED.into() } else { INTERRUPTED.into() }
    }

    /// The events of a run.
    ///
    /// # Errors
    /// The file of events cannot be opened (kind: store).
    pub fn events(&self, run: RunId) -> Result<impl Iterator<Item = Event> + use<>, Error> {
        history::events(&self.home.events(run))
            .map_err(|error| Error::store(format!("the history cannot be read: {error}")))
    }
}
