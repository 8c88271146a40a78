//! Collecting: what is kept, what goes, and removing it safely beside runs.
//!
//! | file | owns |
//! |---|---|
//! | `policy.rs` | what goes: pure |
//! | `inventory.rs` | what there is, and what kept runs need |
//! | `files.rs` | the files that the store holds |
//! | `footprint.rs` | how much disk everything takes, kept up to date as it grows |
//! | `folders.rs` | folders of runs: their sizes, and those that no run owns |
//!
//! Removing a row is safe at any time: who has found a result has read its row. Removing a blob is safe only while nobody
//! has the store open (`store/hold.rs` says why). So a collection goes in these steps, and a crash behind any of
//! them needs nothing but the next collection, or the next run that ends alone:
//!
//! | step | left by a crash behind it |
//! |---|---|
//! | 1. the store is marked: something is about to become garbage | a mark without garbage |
//! | 2. if nobody else has the store open, nobody can open it from now on | the same: the lock dies with the process |
//! | 3. rows are read, then blobs are listed: no row names a blob that came later | the same |
//! | 4. rows of results and runs are removed, in one transaction, and of files that will go | garbage under a mark |
//! | 5. if nobody else had the store open: blobs and folders are removed, | some garbage under a mark |
//! | 6. and so is the mark | nothing |
//!
//! If others have the store open, steps 5 and 6 are left to whoever ends alone: a run does so if it finds a mark.

mod files;
mod folders;
pub mod footprint;
mod inventory;
pub mod policy;

use std::fmt;
use std::io;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior, params};

pub use files::Files;
pub use folders::of_run;
pub use inventory::Inventory;
pub use policy::{Limits, Plan};

use self::footprint::Footprint;
use crate::storage::history::invocation;
use crate::storage::home::Home;
use crate::storage::memo::{Entry, listing};
use crate::storage::store::Store;

/// What to collect.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub limits: Limits,
    /// How many of the newest runs of each workflow stay with all that they need.
    pub keep_runs: usize,
    /// How long to try to be alone with the store.
    pub patience: Duration,
}

/// What was collected.
#[derive(Debug)]
pub struct Collected {
    pub inventory: Inventory,
    pub plan: Plan,
    /// Whether files were removed as well as rows; else others have the store open.
    pub swept: bool,
}

/// Why it was not.
#[derive(Debug)]
pub enum Error {
    Database(rusqlite::Error),
    Io(io::Error),
}

/// How often it is tried to be alone.
const TURN: Duration = Duration::from_millis(20);

/// Collects.
///
/// # Errors
/// Something could not be read or removed; what was removed before stays so, and nothing is left half done that
/// the next collection would not finish.
pub fn collect(home: &Home, db: &mut Connection, store: &Store, wanted: Wanted) -> Result<Collected, Error> {
    store.mark_unswept()?;
    let mut waited = Duration::ZERO;
    let mut alone = store.alone();
    while alone.is_none() && waited < wanted.patience {
        std::thread::sleep(TURN);
        waited += TURN;
        alone = store.alone();
    }
    let inventory = Inventory::take(home, db, store, wanted.keep_runs)?;
    let plan = policy::plan(&inventory.stock, wanted.limits);
    let floor = match wanted.limits.size {
        Some(size) if plan.after > size => plan.after,
        _ => 0,
    };
    let rows: u64 = plan.results.iter().map(|i| inventory.stock.results[*i].size).sum();
    let left = if alone.is_some() { plan.after } else { plan.before.saturating_sub(rows) };
    let left = Footprint { bytes: Some(left), floor };
    remove_rows(db, &inventory, &plan, alone.is_some(), left)?;
    if let Some(alone) = &alone {
        for file in &plan.files {
            alone.remove(&inventory.blobs[*file].digest)?;
        }
        alone.remove_damaged()?;
        let gone = plan.runs.iter().map(|i| inventory.runs[*i].as_str());
        folders::remove(home, gone.chain(inventory.strays.iter().map(String::as_str)))?;
        alone.swept()?;
    }
    Ok(Collected { inventory, plan, swept: alone.is_some() })
}

/// What [`collect`] would do; changes nothing.
///
/// # Errors
/// Something could not be read.
pub fn preview(home: &Home, db: &Connection, store: &Store, wanted: Wanted) -> Result<Collected, Error> {
    let inventory = Inventory::take(home, db, store, wanted.keep_runs)?;
    let plan = policy::plan(&inventory.stock, wanted.limits);
    Ok(Collected { swept: inventory.live.is_empty(), inventory, plan })
}

/// Forgets results, whoever needs them, and then removes files that nothing names any more; how many results.
///
/// # Errors
/// As [`collect`].
pub fn evict(
    home: &Home,
    db: &mut Connection,
    store: &Store,
    results: &[Entry],
    wanted: Wanted,
) -> Result<(usize, Collected), Error> {
    store.mark_unswept()?;
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut removed = 0;
    for entry in results {
        removed += usize::from(listing::remove(&transaction, entry)?);
    }
    transaction.commit()?;
    Ok((removed, collect(home, db, store, wanted)?))
}

/// Whether a run that has ended should collect: others left garbage, or the cap was passed.
pub fn is_due(store: &Store, footprint: Option<Footprint>, cap: Option<u64>) -> bool {
    store.is_unswept() || cap.zip(footprint).is_some_and(|(cap, footprint)| footprint.passes(cap))
}

fn remove_rows(
    db: &mut Connection,
    inventory: &Inventory,
    plan: &Plan,
    alone: bool,
    left: Footprint,
) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for i in &plan.results {
        listing::remove(&transaction, &inventory.results[*i])?;
    }
    for i in &plan.runs {
        transaction.prepare_cached("DELETE FROM run WHERE run = ?1")?.execute([&inventory.runs[*i]])?;
    }
    if alone {
        let mut forget = transaction.prepare("DELETE FROM file_stat WHERE dev = ?1 AND ino = ?2")?;
        for file in &plan.files {
            let key = inventory.blobs[*file].key;
            forget.execute(params![key.dev as i64, key.ino as i64])?;
        }
    }
    if !plan.results.is_empty() {
        listing::remove_unused(&transaction)?;
    }
    if !plan.runs.is_empty() {
        invocation::remove_unused(&transaction)?;
    }
    footprint::set(&transaction, left)?;
    transaction.commit()
}

impl Collected {
    /// The results that go.
    pub fn results(&self) -> impl Iterator<Item = &Entry> {
        self.plan.results.iter().map(|i| &self.inventory.results[*i])
    }

    /// The runs that go.
    pub fn runs(&self) -> impl Iterator<Item = &str> {
        self.plan.runs.iter().map(|i| self.inventory.runs[*i].as_str())
    }

    /// In bytes.
    pub fn freed(&self) -> u64 {
        self.plan.before - self.plan.after
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => write!(f, "the database refused: {error}"),
            Self::Io(error) => write!(f, "the store refused: {error}"),
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
