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
//! Removing a row is safe at any time: who has found a result has read its row. Removing a blob is safe only when nobody
//! can count on it any more (`store/generation.rs` says how that is known). So a collection goes in these steps, and a
//! crash behind any of them needs nothing but the next collection:
//!
//! | step | left by a crash behind it |
//! |---|---|
//! | 1. the store is marked: something is about to become garbage | a mark without garbage |
//! | 2. if no other process has the store open, none can open it from now on; else the collection goes beside them | the same: the locks die with the process |
//! | 3. rows are read, then blobs are listed: no row names a blob that came later | the same |
//! | 4. rows of results and runs are removed, in one transaction, and of files that will go | garbage under a mark |
//! | 5. alone: blobs and folders are removed; beside others: those blobs that earlier collections condemned and that no process can count on now, and folders of removed runs | some garbage under a mark |
//! | 6. beside others: what is garbage now is condemned | garbage under a mark |
//! | 7. if no garbage is left, the mark is removed | nothing |
//!
//! Nothing goes that was there when a database was lost and that no later database knows; and where rows, events or
//! blobs cannot be read, nothing goes at all.
//!
//! A run that ends collects again if it finds the mark and something can be removed. A run under way is never touched:
//! its lock in `scratch/` says that it lives, in this process or another.

mod files;
mod folders;
pub mod footprint;
mod inventory;
pub mod policy;

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, TransactionBehavior, params};

pub use files::StoredFiles;
pub use folders::{of_run, remove as remove_run_folders};
pub use inventory::Inventory;
pub use policy::{GcPlan, Limits};

use self::footprint::Footprint;
use crate::core::digest::Digest;
use crate::storage::contents;
use crate::storage::history::{self, invocation};
use crate::storage::home::{Home, is_full, no_space};
use crate::storage::memo::{MemoEntry, listing};
use crate::storage::recovery::evicted;
use crate::storage::recovery::unclaimed::Unclaimed;
use crate::storage::store::{ExclusiveLock, Store};

/// What to collect.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub limits: Limits,
    /// How many of the newest runs of each workflow stay with all that they need.
    pub keep_runs: usize,
    /// How long to try to be alone with the store, before the collection goes beside others.
    pub patience: Duration,
}

/// What was collected.
#[derive(Debug)]
pub struct Collected {
    pub inventory: Inventory,
    pub plan: GcPlan,
    /// Bytes of what goes and is not removed yet: it waits until the runs that have the store open have ended.
    pub pending: u64,
}

/// Why it was not.
#[derive(Debug)]
pub enum GcError {
    Database(rusqlite::Error),
    Io(io::Error),
    /// The disk of this folder is full.
    NoSpace(PathBuf),
}

/// Interval between attempts to be alone with the store.
const ALONE_POLL: Duration = Duration::from_millis(20);

/// Collects. `store` must be one that no run uses: each run opens its own.
///
/// # Errors
/// Something could not be read or removed; what was removed before stays so, and nothing is left half done that
/// the next collection would not finish.
pub fn collect(
    home: &Home,
    db: &mut Connection,
    store: &Store,
    wanted: Wanted,
) -> Result<Collected, GcError> {
    home.give_up_reserve();
    let collected = sweep(home, db, store, wanted).map_err(|error| error.in_home(home))?;
    home.keep_reserve();
    Ok(collected)
}

fn sweep(home: &Home, db: &mut Connection, store: &Store, wanted: Wanted) -> Result<Collected, GcError> {
    mark_unswept(store)?;
    let mut waited = Duration::ZERO;
    let mut exclusive = alone(home, store);
    while exclusive.is_none() && waited < wanted.patience {
        std::thread::sleep(ALONE_POLL);
        waited += ALONE_POLL;
        exclusive = alone(home, store);
    }
    let beside = if exclusive.is_none() { store.collect_beside() } else { None };
    let inventory = Inventory::take(home, db, store, wanted.keep_runs)?;
    let plan = policy::plan(&inventory.stock, wanted.limits);
    let floor = match wanted.limits.size {
        Some(size) if plan.after > size => plan.after,
        _ => 0,
    };
    let is_due = |digest: &Digest| match (&exclusive, &beside) {
        (Some(_), _) => true,
        (None, Some(beside)) => beside.is_due(digest),
        (None, None) => false,
    };
    let (due, waiting): (Vec<usize>, Vec<usize>) =
        plan.files.iter().partition(|file| is_due(&inventory.blobs[**file].digest));
    let size = |file: &usize| inventory.stock.files[*file];
    let rows: u64 = plan.results.iter().map(|i| inventory.stock.results[*i].size).sum();
    let total = plan.before - plan.after;
    let pending = match (&exclusive, &beside) {
        (Some(_), _) => 0,
        (None, Some(_)) => waiting.iter().map(size).sum::<u64>().min(total),
        (None, None) => total.saturating_sub(rows),
    };
    let left = match &exclusive {
        Some(_) => plan.after,
        None => plan.before.saturating_sub(rows + due.iter().map(size).sum::<u64>()),
    };
    // What a row names now may go with it later: it leaves the list before the row does.
    if inventory.unclaimed != Unclaimed::read(home.path())? {
        inventory.unclaimed.write(home.path())?;
    }
    remove_rows(db, &inventory, &plan, &due, Footprint { bytes: Some(left), floor })?;
    let digest = |file: &usize| &inventory.blobs[*file].digest;
    let gone = plan.runs.iter().map(|i| inventory.runs[*i]);
    let gone = gone.chain(inventory.strays.iter().copied());
    if let Some(exclusive) = &exclusive {
        for file in &due {
            exclusive.remove(digest(file))?;
        }
        store.remove_damaged()?;
        folders::remove(home, gone)?;
        exclusive.swept()?;
    } else if let Some(beside) = beside {
        if !due.is_empty() {
            beside.remove(due.iter().map(digest))?;
        }
        store.remove_damaged()?;
        // A run may have begun since: its lock, or else its row, says so.
        folders::remove(home, gone.filter(|run| !home.is_alive(*run) && !history::is_known(db, *run)))?;
        let waiting: HashSet<Digest> = waiting.iter().map(digest).copied().collect();
        // What only a run under way needs may be garbage when it ends.
        if beside.finish(&waiting)? && inventory.live.is_empty() {
            store.clear_unswept()?;
        }
    }
    Ok(Collected { inventory, plan, pending })
}

/// Marks the store. A disk without room for the mark is a reason to go on: a collection follows at once.
fn mark_unswept(store: &Store) -> io::Result<()> {
    match store.mark_unswept() {
        Err(error) if is_full(&error) => Ok(()),
        marked => marked,
    }
}

/// The store for the collection alone: no other process has it open, and no run is under way.
fn alone<'s>(home: &Home, store: &'s Store) -> Option<ExclusiveLock<'s>> {
    let idle = || home.live_runs().is_empty();
    if idle() { store.alone().filter(|_| idle()) } else { None }
}

/// What [`collect`] would do; changes nothing.
///
/// # Errors
/// Something could not be read.
pub fn preview(home: &Home, db: &Connection, store: &Store, wanted: Wanted) -> Result<Collected, GcError> {
    let inventory = Inventory::take(home, db, store, wanted.keep_runs)?;
    let plan = policy::plan(&inventory.stock, wanted.limits);
    let pending = if inventory.live.is_empty() { 0 } else { plan.before - plan.after };
    Ok(Collected { inventory, plan, pending })
}

/// Removes results, even if runs need them, and then files that no row names any more; returns the number of results.
///
/// # Errors
/// As [`collect`].
pub fn evict(
    home: &Home,
    db: &mut Connection,
    store: &Store,
    results: &[MemoEntry],
    wanted: Wanted,
) -> Result<(usize, Collected), GcError> {
    home.give_up_reserve();
    mark_unswept(store)?;
    evicted::add(home.path(), results)?;
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
    (store.is_unswept() && store.can_sweep())
        || cap.zip(footprint).is_some_and(|(cap, footprint)| footprint.passes(cap))
}

fn remove_rows(
    db: &mut Connection,
    inventory: &Inventory,
    plan: &GcPlan,
    files: &[usize],
    left: Footprint,
) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for i in &plan.results {
        listing::remove(&transaction, &inventory.results[*i])?;
    }
    for i in &plan.runs {
        transaction.prepare_cached("DELETE FROM run WHERE run = ?1")?.execute([&inventory.runs[*i]])?;
    }
    {
        let mut forget = transaction.prepare("DELETE FROM file_stat WHERE dev = ?1 AND ino = ?2")?;
        for file in files {
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
    contents::remove_unused(&transaction)?;
    footprint::set(&transaction, left)?;
    transaction.commit()
}

impl Collected {
    /// The results that go.
    pub fn results(&self) -> impl Iterator<Item = &MemoEntry> {
        self.plan.results.iter().map(|i| &self.inventory.results[*i])
    }

    /// The runs that go.
    pub fn runs(&self) -> impl Iterator<Item = &str> {
        self.plan.runs.iter().map(|i| self.inventory.runs[*i].as_str())
    }

    /// Bytes that are removed, or that will be.
    pub fn total(&self) -> u64 {
        self.plan.before - self.plan.after
    }

    /// Whether nothing is left to remove when runs that go on have ended, as far as is known now.
    pub fn is_complete(&self) -> bool {
        self.pending == 0 && (self.inventory.live.is_empty() || self.freed() > 0)
    }

    /// Bytes that are removed already.
    pub fn freed(&self) -> u64 {
        self.total() - self.pending
    }
}

impl GcError {
    /// The same, or that the home's disk is full if that is the cause.
    fn in_home(self, home: &Home) -> Self {
        let full = match &self {
            Self::Database(error) => error.sqlite_error_code() == Some(ErrorCode::DiskFull),
            Self::Io(error) => is_full(error),
            Self::NoSpace(_) => false,
        };
        if full { Self::NoSpace(home.path().to_owned()) } else { self }
    }
}

impl fmt::Display for GcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => write!(f, "the database refused: {error}"),
            Self::Io(error) => write!(f, "the store refused: {error}"),
            Self::NoSpace(folder) => f.write_str(&no_space(folder)),
        }
    }
}

impl From<rusqlite::Error> for GcError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl From<io::Error> for GcError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
