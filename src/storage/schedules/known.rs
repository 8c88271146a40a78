//! The schedules that a home knows: by whole name, with who serves them and who paused them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::claimant::is_alive;
use super::instant;
use crate::core::run_id::RunId;
use crate::storage::home::Home;

/// A schedule that a daemon serves, or that a user paused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// `<workflow>/<schedule>`.
    pub name: String,
    /// The workflow file, absolute.
    pub path: PathBuf,
    /// What a daemon loaded last of it, as a text of who gave it; `None` if no daemon ever served it.
    pub settings: Option<String>,
    pub paused: Option<Pause>,
    /// A daemon that lives and serves it.
    pub served: Option<Server>,
}

/// A pause that lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    pub since: Timestamp,
    /// Who paused it.
    pub by: String,
    pub reason: Option<String>,
}

/// A daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub claimant: RunId,
    pub pid: u32,
    pub started: Timestamp,
    /// Where its page is, if it has one.
    pub url: Option<String>,
}

/// A schedule that a daemon has loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    pub name: String,
    pub path: PathBuf,
    /// The text of its rhythm: another one means that it has missed nothing until now.
    pub times: String,
    /// All that is shown of it.
    pub settings: String,
}

/// All schedules, by name.
///
/// # Errors
/// The database cannot be read.
pub fn all(db: &Connection, home: &Home) -> rusqlite::Result<Vec<Known>> {
    let mut pauses: BTreeMap<String, Pause> = db
        .prepare_cached("SELECT schedule, since_ms, by, reason FROM schedule_pause WHERE until_ms IS NULL")?
        .query_map([], |row| {
            let pause = Pause { since: instant(row.get(1)?), by: row.get(2)?, reason: row.get(3)? };
            Ok((row.get(0)?, pause))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut served = BTreeMap::new();
    for server in servers(db, home)? {
        let mut names =
            db.prepare_cached("SELECT schedule FROM schedule_served WHERE claimant = ?1 ORDER BY schedule")?;
        for name in names.query_map([server.claimant], |row| row.get::<_, String>(0))? {
            served.insert(name?, server.clone());
        }
    }
    let mut schedules = db.prepare_cached("SELECT name, path, settings FROM schedule ORDER BY name")?;
    let rows = schedules.query_map([], |row| {
        let name: String = row.get(0)?;
        let path = PathBuf::from(row.get::<_, String>(1)?);
        let settings = row.get(2)?;
        Ok(Known { paused: pauses.remove(&name), served: served.remove(&name), path, settings, name })
    })?;
    rows.collect()
}

/// One schedule by its whole name.
///
/// # Errors
/// The database cannot be read.
pub fn find(db: &Connection, home: &Home, name: &str) -> rusqlite::Result<Option<Known>> {
    Ok(all(db, home)?.into_iter().find(|known| known.name == name))
}

/// The daemons that live.
///
/// # Errors
/// The database cannot be read.
pub fn servers(db: &Connection, home: &Home) -> rusqlite::Result<Vec<Server>> {
    let rows: Vec<_> = claimants(db)?;
    Ok(rows.into_iter().filter(|server| is_alive(home, server.claimant)).collect())
}

fn claimants(db: &Connection) -> rusqlite::Result<Vec<Server>> {
    let mut statement =
        db.prepare_cached("SELECT claimant, pid, started_ms, url FROM claimant ORDER BY started_ms")?;
    let rows = statement.query_map([], |row| {
        Ok(Server {
            claimant: row.get(0)?,
            pid: row.get(1)?,
            started: instant(row.get(2)?),
            url: row.get(3)?,
        })
    })?;
    rows.collect()
}

/// Pauses a schedule, known or not; false if it was paused already.
///
/// # Errors
/// The database cannot be written.
pub fn pause(
    db: &mut Connection,
    name: &str,
    path: &Path,
    now: Timestamp,
    by: &str,
    reason: Option<&str>,
) -> rusqlite::Result<bool> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let ms = now.as_millisecond();
    // Without times: a daemon that serves it sees it for the first time.
    transaction
        .prepare_cached(
            "INSERT INTO schedule (name, path, times, since_ms, accounted_ms) VALUES (?1, ?2, '', ?3, ?3) \
             ON CONFLICT (name) DO NOTHING",
        )?
        .execute(params![name, path.to_string_lossy(), ms])?;
    let inserted = transaction
        .prepare_cached(
            "INSERT INTO schedule_pause (schedule, since_ms, by, reason) SELECT ?1, ?2, ?3, ?4 WHERE NOT EXISTS \
             (SELECT 1 FROM schedule_pause WHERE schedule = ?1 AND until_ms IS NULL)",
        )?
        .execute(params![name, ms, by, reason])?;
    transaction.commit()?;
    Ok(inserted > 0)
}

/// Ends the pause of a schedule; false if there is none.
///
/// # Errors
/// The database cannot be written.
pub fn resume(db: &mut Connection, name: &str, now: Timestamp) -> rusqlite::Result<bool> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let ended = transaction
        .prepare_cached(
            "UPDATE schedule_pause SET until_ms = max(?2, since_ms) WHERE schedule = ?1 AND until_ms IS NULL",
        )?
        .execute(params![name, now.as_millisecond()])?;
    transaction.commit()?;
    Ok(ended > 0)
}

/// Makes a daemon known, with the schedules that it serves from now on and no others.
///
/// # Errors
/// The database cannot be written.
pub fn serve(
    db: &mut Connection,
    home: &Home,
    server: &Server,
    loaded: &[Loaded],
    now: Timestamp,
) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    forget_dead(&transaction, home)?;
    transaction
        .prepare_cached(
            "INSERT INTO claimant (claimant, pid, started_ms, url) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (claimant) DO UPDATE SET url = ?4",
        )?
        .execute(params![server.claimant, server.pid, server.started.as_millisecond(), server.url])?;
    let mut gone: BTreeSet<String> = transaction
        .prepare_cached("SELECT schedule FROM schedule_served WHERE claimant = ?1")?
        .query_map([server.claimant], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for Loaded { name, path, times, settings } in loaded {
        transaction
            .prepare_cached(
                "INSERT INTO schedule (name, path, times, since_ms, accounted_ms, settings) \
                 VALUES (?1, ?2, ?3, ?4, ?4, ?5) \
                 ON CONFLICT (name) DO UPDATE SET path = ?2, times = ?3, settings = ?5, \
                 since_ms = iif(times = ?3, since_ms, ?4), accounted_ms = iif(times = ?3, accounted_ms, ?4)",
            )?
            .execute(params![name, path.to_string_lossy(), times, now.as_millisecond(), settings])?;
        if !gone.remove(name) {
            transaction
                .prepare_cached("INSERT OR IGNORE INTO schedule_served (schedule, claimant) VALUES (?1, ?2)")?
                .execute(params![name, server.claimant])?;
        }
    }
    for name in gone {
        transaction
            .prepare_cached("DELETE FROM schedule_served WHERE schedule = ?1 AND claimant = ?2")?
            .execute(params![name, server.claimant])?;
    }
    transaction.commit()
}

/// Forgets a daemon that ends, and requests that no daemon will answer.
///
/// # Errors
/// The database cannot be written.
pub fn leave(db: &mut Connection, claimant: RunId) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    forget(&transaction, claimant)?;
    transaction.commit()
}

fn forget_dead(transaction: &Transaction, home: &Home) -> rusqlite::Result<()> {
    for dead in claimants(transaction)?.iter().filter(|server| !is_alive(home, server.claimant)) {
        forget(transaction, dead.claimant)?;
    }
    Ok(())
}

fn forget(transaction: &Transaction, claimant: RunId) -> rusqlite::Result<()> {
    for table in ["claimant", "schedule_served", "schedule_request"] {
        transaction.execute(&format!("DELETE FROM {table} WHERE claimant = ?1"), [claimant])?;
    }
    Ok(())
}

/// The daemon that lives and serves a schedule.
pub(super) fn server_of(db: &Connection, home: &Home, name: &str) -> rusqlite::Result<Option<RunId>> {
    let mut statement = db.prepare_cached("SELECT claimant FROM schedule_served WHERE schedule = ?1")?;
    let all: Vec<RunId> = statement.query_map([name], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(all.into_iter().find(|claimant| is_alive(home, *claimant)))
}
