//! Earlier results of a task, to compare a key with that missed.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Map as JsonMap, Value as Json};

use super::Interface;
use super::sqlite::run_of;
use crate::core::digest::Digest;
use crate::core::run_id::RunId;
use crate::core::why::Nearest;

/// The parts of a row's key, as it was stored.
#[derive(Clone, Debug, PartialEq)]
pub struct EarlierResult {
    /// Grows with each new key; a result that replaces one keeps its number.
    pub id: i64,
    pub key: Digest,
    pub project: String,
    pub domain: String,
    pub task: String,
    /// As shown to people: `1.0`, or `auto:` and digits.
    pub version: String,
    pub definition: Digest,
    /// `None` for results that are older than this record.
    pub interface: Option<Digest>,
    pub inputs: JsonMap<String, Json>,
    pub outputs: JsonMap<String, Json>,
    pub run: RunId,
    pub node: String,
    pub created: Timestamp,
}

impl EarlierResult {
    pub fn nearest(&self) -> Nearest {
        Nearest {
            key: self.key,
            project: self.project.clone(),
            domain: self.domain.clone(),
            run: self.run,
            node: self.node.clone(),
            time: self.created,
        }
    }
}

const COLUMNS: &str =
    "key, project, domain, task, version, definition, interface, inputs, outputs, run, node, created_ms, id";

fn read(row: &Row) -> rusqlite::Result<EarlierResult> {
    let object = |text: String| serde_json::from_str(&text).unwrap_or_default();
    Ok(EarlierResult {
        id: row.get(12)?,
        key: Digest(row.get(0)?),
        project: row.get(1)?,
        domain: row.get(2)?,
        task: row.get(3)?,
        version: row.get(4)?,
        definition: Digest(row.get(5)?),
        interface: row.get::<_, Option<[u8; 32]>>(6)?.map(Digest),
        inputs: object(row.get(7)?),
        outputs: object(row.get(8)?),
        run: run_of(row, 9),
        node: row.get(10)?,
        created: Timestamp::from_millisecond(row.get(11)?).unwrap_or(Timestamp::UNIX_EPOCH),
    })
}

/// The results of a task that a node came to, the newest `limit` of them.
///
/// # Errors
/// The database cannot be read.
pub fn of_node(db: &Connection, task: &str, node: &str, limit: u32) -> rusqlite::Result<Vec<EarlierResult>> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM memo WHERE task = ?1 AND node = ?2 ORDER BY created_ms DESC LIMIT ?3"
    ))?;
    statement.query_map(params![task, node, limit], read)?.collect()
}

/// The results of a task, the newest `limit` of them by the order of their rows, which needs no sorting.
///
/// # Errors
/// The database cannot be read.
pub fn of_task(db: &Connection, task: &str, limit: u32) -> rusqlite::Result<Vec<EarlierResult>> {
    let mut statement =
        db.prepare_cached(&format!("SELECT {COLUMNS} FROM memo WHERE +task = ?1 ORDER BY id DESC LIMIT ?2"))?;
    statement.query_map(params![task, limit], read)?.collect()
}

/// Whether a task has any result.
///
/// # Errors
/// The database cannot be read.
pub fn has_any(db: &Connection, task: &str) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM memo WHERE task = ?1)")?
        .query_row([task], |row| row.get(0))
}

/// The results that nodes of a name came to, whatever their task is called, the newest `limit` of them. Reads the
/// whole table.
///
/// # Errors
/// The database cannot be read.
pub fn of_label(db: &Connection, node: &str, limit: u32) -> rusqlite::Result<Vec<EarlierResult>> {
    let mut statement =
        db.prepare_cached(&format!("SELECT {COLUMNS} FROM memo WHERE node = ?1 ORDER BY id DESC LIMIT ?2"))?;
    statement.query_map(params![node, limit], read)?.collect()
}

/// Every definition with the tasks that have results of it. Reads the whole table.
///
/// # Errors
/// The database cannot be read.
pub fn definitions(db: &Connection) -> rusqlite::Result<Vec<(Digest, String)>> {
    let mut statement = db.prepare("SELECT DISTINCT definition, task FROM memo")?;
    statement.query_map([], |row| Ok((Digest(row.get(0)?), row.get(1)?)))?.collect()
}

/// Stores an interface under its digest.
///
/// # Errors
/// The database cannot be written.
pub fn record_interface(db: &Connection, digest: &Digest, interface: &Interface) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR IGNORE INTO interface (digest, parts) VALUES (?1, ?2)")?
        .execute(params![&digest.0[..], interface.to_json()])?;
    Ok(())
}

/// The interface with this digest, if it was recorded.
///
/// # Errors
/// The database cannot be read.
pub fn interface(db: &Connection, digest: &Digest) -> rusqlite::Result<Option<Interface>> {
    let parts: Option<String> = db
        .prepare_cached("SELECT parts FROM interface WHERE digest = ?1")?
        .query_row([&digest.0[..]], |row| row.get(0))
        .optional()?;
    Ok(parts.and_then(|parts| serde_json::from_str(&parts).ok()))
}
