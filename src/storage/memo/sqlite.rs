//! The memo's tables: looking a key up, and recording a result.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{FoundResult, MemoEntry};
use crate::core::definition::Definition;
use crate::core::digest::Digest;
use crate::core::run_id::RunId;

/// Creates the tables; part of the database's schema, see `db.rs`.
pub const SCHEMA: &str = "
    CREATE TABLE memo (
        id INTEGER PRIMARY KEY,
        key BLOB NOT NULL,
        project TEXT NOT NULL,
        domain TEXT NOT NULL,
        task TEXT NOT NULL,
        version TEXT NOT NULL,
        definition BLOB NOT NULL,
        inputs TEXT NOT NULL,
        outputs TEXT NOT NULL,
        run TEXT NOT NULL,
        node TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        duration_ms INTEGER NOT NULL,
        checksum INTEGER NOT NULL
    );
    CREATE UNIQUE INDEX memo_key ON memo (key);
    CREATE TABLE definition (
        digest BLOB PRIMARY KEY,
        parts TEXT NOT NULL
    ) WITHOUT ROWID;
";

/// What was added to them later: what explanations and evictions go by. `interface` names a row of its own table, and
/// is null for results that are older than it; `used_ms` is when a result was last used, give or take a day, and
/// null if that is no later than `created_ms`.
pub const EXPLAINED: &str = "
    ALTER TABLE memo ADD COLUMN interface BLOB;
    ALTER TABLE memo ADD COLUMN used_ms INTEGER;
    CREATE INDEX memo_task ON memo (task, node);
    CREATE TABLE interface (
        digest BLOB PRIMARY KEY,
        parts TEXT NOT NULL
    ) WITHOUT ROWID;
";

/// How a result came under its key, see [`FoundResult::provenance`].
pub const PROVENANCE: &str = "ALTER TABLE memo ADD COLUMN provenance TEXT;";

/// The run of a row. One that was damaged on disk has another name, so that its checksum fails.
pub fn run_of(row: &Row, column: usize) -> RunId {
    row.get(column).unwrap_or(RunId::UNKNOWN)
}

/// The result under `key`; `None` as well for a row that was damaged.
///
/// # Errors
/// The database cannot be read.
pub fn lookup(db: &Connection, key: &Digest) -> rusqlite::Result<Option<FoundResult>> {
    let mut statement = db.prepare_cached(
        "SELECT definition, outputs, run, node, created_ms, duration_ms, checksum, used_ms, provenance FROM memo WHERE key = ?1",
    )?;
    let row = statement
        .query_row([&key.0[..]], |row| {
            let created = instant(row.get(4)?);
            let found = FoundResult {
                definition: Digest(row.get(0)?),
                outputs: row.get(1)?,
                run: run_of(row, 2),
                node: row.get(3)?,
                created,
                duration_ms: row.get::<_, i64>(5)?.unsigned_abs(),
                provenance: row.get(8)?,
                used: row.get::<_, Option<i64>>(7)?.map_or(created, instant),
            };
            Ok((found, row.get::<_, i64>(6)?))
        })
        .optional()?;
    Ok(row.filter(|(found, checksum)| found.checksum(key) == *checksum).map(|(found, _)| found))
}

/// A time of the table.
pub(super) fn instant(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Records that results were used at `now`.
///
/// # Errors
/// The database cannot be written.
pub fn record_use(db: &Connection, keys: &[Digest], now: Timestamp) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached("UPDATE memo SET used_ms = ?2 WHERE key = ?1")?;
    for key in keys {
        statement.execute(params![&key.0[..], now.as_millisecond()])?;
    }
    Ok(())
}

/// Stores `entry`, in place of an older one under its key.
///
/// # Errors
/// The database cannot be written.
pub fn record(db: &Connection, entry: &MemoEntry) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached(
        "INSERT INTO memo (key, project, domain, task, version, definition, inputs, outputs, run, node, created_ms, \
         duration_ms, checksum, interface, provenance) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) \
         ON CONFLICT (key) DO UPDATE SET definition = ?6, inputs = ?7, outputs = ?8, run = ?9, node = ?10, \
         created_ms = ?11, duration_ms = ?12, checksum = ?13, project = ?2, domain = ?3, task = ?4, version = ?5, \
         interface = ?14, provenance = ?15, used_ms = NULL",
    )?;
    statement.execute(params![
        &entry.key.0[..],
        entry.project,
        entry.domain,
        entry.task,
        entry.version,
        &entry.found.definition.0[..],
        entry.inputs,
        entry.found.outputs,
        entry.found.run,
        entry.found.node,
        entry.found.created.as_millisecond(),
        i64::try_from(entry.found.duration_ms).unwrap_or(i64::MAX),
        entry.found.checksum(&entry.key),
        entry.interface.as_ref().map(|digest| &digest.0[..]),
        entry.found.provenance,
    ])?;
    Ok(())
}

/// Stores a definition under its digest, so that later runs can say in what it differs from theirs.
///
/// # Errors
/// The database cannot be written.
pub fn record_definition(db: &Connection, digest: &Digest, definition: &Definition) -> rusqlite::Result<()> {
    let parts = serde_json::to_string(&definition.parts).unwrap_or_default();
    db.prepare_cached("INSERT OR IGNORE INTO definition (digest, parts) VALUES (?1, ?2)")?
        .execute(params![&digest.0[..], parts])?;
    Ok(())
}

/// The definition with this digest, if it was recorded.
///
/// # Errors
/// The database cannot be read.
pub fn definition(db: &Connection, digest: &Digest) -> rusqlite::Result<Option<Definition>> {
    let parts: Option<String> = db
        .prepare_cached("SELECT parts FROM definition WHERE digest = ?1")?
        .query_row([&digest.0[..]], |row| row.get(0))
        .optional()?;
    Ok(parts.and_then(|parts| serde_json::from_str(&parts).ok()).map(|parts| Definition { parts }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(&[SCHEMA, EXPLAINED, PROVENANCE].concat()).unwrap();
        db
    }

    fn entry(key: &str, outputs: &str) -> MemoEntry {
        MemoEntry {
            key: Digest::of(key),
            project: "p".into(),
            domain: "d".into(),
            task: "wf.t".into(),
            version: "1".into(),
            inputs: "{}".into(),
            interface: Some(Digest::of("interface")),
            found: FoundResult {
                definition: Digest::of("definition"),
                outputs: outputs.into(),
                run: "r".into(),
                node: "n".into(),
                created: Timestamp::from_millisecond(1_700_000_000_123).unwrap(),
                duration_ms: 42,
                provenance: None,
                used: Timestamp::from_millisecond(1_700_000_000_123).unwrap(),
            },
        }
    }

    #[test]
    fn what_is_recorded_is_found() {
        let db = database();
        let first = entry("a", "{}");
        record(&db, &first).unwrap();
        assert_eq!(lookup(&db, &first.key).unwrap(), Some(first.found.clone()));
        assert_eq!(lookup(&db, &Digest::of("b")).unwrap(), None);
        let mut second = entry("a", r#"{"y":1}"#);
        second.found.run = "later".into();
        record(&db, &second).unwrap();
        assert_eq!(lookup(&db, &first.key).unwrap(), Some(second.found));
    }

    #[test]
    fn use_is_noted_until_the_result_is_replaced() {
        let db = database();
        let entry = entry("a", "{}");
        record(&db, &entry).unwrap();
        let later = Timestamp::from_millisecond(1_800_000_000_000).unwrap();
        record_use(&db, &[entry.key, Digest::of("b")], later).unwrap();
        assert_eq!(lookup(&db, &entry.key).unwrap().unwrap().used, later);
        record(&db, &entry).unwrap();
        assert_eq!(lookup(&db, &entry.key).unwrap().unwrap().used, entry.found.created);
    }

    #[test]
    fn a_damaged_row_is_a_miss() {
        let db = database();
        let entry = entry("a", r#"{"y":1}"#);
        record(&db, &entry).unwrap();
        let mut accepted = entry.clone();
        accepted.found.provenance = Some("{}".into());
        record(&db, &accepted).unwrap();
        assert_eq!(lookup(&db, &entry.key).unwrap(), Some(accepted.found));
        db.execute("UPDATE memo SET provenance = NULL", []).unwrap();
        assert_eq!(lookup(&db, &entry.key).unwrap(), None);
        record(&db, &entry).unwrap();
        for damage in ["outputs = '{\"y\":2}'", "run = '?'"] {
            record(&db, &entry).unwrap();
            db.execute(&format!("UPDATE memo SET {damage}"), []).unwrap();
            assert_eq!(lookup(&db, &entry.key).unwrap(), None, "{damage}");
        }
    }

    #[test]
    fn definitions_read_back() {
        let db = database();
        let definition_in = Definition { parts: [("run".to_owned(), "echo".to_owned())].into() };
        record_definition(&db, &definition_in.digest(), &definition_in).unwrap();
        record_definition(&db, &definition_in.digest(), &definition_in).unwrap();
        assert_eq!(definition(&db, &definition_in.digest()).unwrap(), Some(definition_in));
    }
}
