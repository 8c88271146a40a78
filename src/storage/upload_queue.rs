//! Results on their way to a shared cache: a row for each, written in the transaction that stores the result, and removed
//! when others can have it. It goes with its result.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::core::digest::Digest;

/// Creates the table; part of the database's schema, see `db.rs`.
pub const SCHEMA: &str = "
    CREATE TABLE upload (
        remote TEXT NOT NULL,
        key BLOB NOT NULL,
        replaces INTEGER NOT NULL,
        queued_ms INTEGER NOT NULL,
        PRIMARY KEY (remote, key)
    ) WITHOUT ROWID;
    CREATE INDEX upload_key ON upload (key);
    CREATE TRIGGER upload_gone AFTER DELETE ON memo BEGIN
        DELETE FROM upload WHERE key = OLD.key;
    END;
";

/// That a result is to be uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadWish {
    /// The address of the shared cache.
    pub remote: std::sync::Arc<str>,
    /// Whether it takes the place of what is there: the user asked for that, or what is there is wrong.
    pub replaces: bool,
}

/// A result in the queue of a remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuedUpload {
    pub key: Digest,
    pub replaces: bool,
    /// Of this wish: a later one for the same result is another.
    pub queued_ms: i64,
}

/// Queues a result. A wish to replace what is there stays one.
///
/// # Errors
/// The database cannot be written.
pub fn add(db: &Connection, key: &Digest, wish: &UploadWish, now: Timestamp) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached(
        "INSERT INTO upload (remote, key, replaces, queued_ms) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET replaces = max(replaces, ?3), queued_ms = max(?4, queued_ms + 1)",
    )?;
    statement.execute(params![&*wish.remote, &key.0[..], wish.replaces, now.as_millisecond()])?;
    Ok(())
}

/// What is queued for a remote, oldest first.
///
/// # Errors
/// The database cannot be read.
pub fn all(db: &Connection, remote: &str) -> rusqlite::Result<Vec<QueuedUpload>> {
    let mut statement = db.prepare_cached(
        "SELECT key, replaces, queued_ms FROM upload WHERE remote = ?1 ORDER BY queued_ms, key",
    )?;
    statement.query_map([remote], read)?.collect()
}

/// The wish for one result.
///
/// # Errors
/// The database cannot be read.
pub fn find(db: &Connection, remote: &str, key: &Digest) -> rusqlite::Result<Option<QueuedUpload>> {
    let mut statement =
        db.prepare_cached("SELECT key, replaces, queued_ms FROM upload WHERE remote = ?1 AND key = ?2")?;
    let mut rows = statement.query_map(params![remote, &key.0[..]], read)?;
    rows.next().transpose()
}

fn read(row: &rusqlite::Row) -> rusqlite::Result<QueuedUpload> {
    Ok(QueuedUpload { key: Digest(row.get(0)?), replaces: row.get(1)?, queued_ms: row.get(2)? })
}

/// How many results are queued for a remote.
///
/// # Errors
/// The database cannot be read.
pub fn count(db: &Connection, remote: &str) -> rusqlite::Result<u64> {
    let count: i64 = db
        .prepare_cached("SELECT count(*) FROM upload WHERE remote = ?1")?
        .query_row([remote], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

/// The keys of everything that is queued, for whatever remote.
///
/// # Errors
/// The database cannot be read.
pub fn keys(db: &Connection) -> rusqlite::Result<Vec<Digest>> {
    db.prepare("SELECT DISTINCT key FROM upload")?.query_map([], |row| row.get(0).map(Digest))?.collect()
}

/// How many results are queued for each remote.
///
/// # Errors
/// The database cannot be read.
pub fn counts(db: &Connection) -> rusqlite::Result<Vec<(String, u64)>> {
    db.prepare("SELECT remote, count(*) FROM upload GROUP BY remote ORDER BY remote")?
        .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?
        .collect()
}

/// Removes wishes that came true, but not later ones for the same results.
///
/// # Errors
/// The database cannot be written.
pub fn remove(db: &mut Connection, remote: &str, done: &[QueuedUpload]) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    {
        let mut statement = transaction
            .prepare_cached("DELETE FROM upload WHERE remote = ?1 AND key = ?2 AND queued_ms = ?3")?;
        for upload in done {
            statement.execute(params![remote, &upload.key.0[..], upload.queued_ms])?;
        }
    }
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::memo::sqlite as memo;

    #[test]
    fn wishes_are_queued_removed_and_go_with_their_result() {
        let mut db = Connection::open_in_memory().unwrap();
        db.execute_batch(&[memo::SCHEMA, SCHEMA].concat()).unwrap();
        let (a, b) = (Digest::of("a"), Digest::of("b"));
        let wish = |replaces| UploadWish { remote: "r".into(), replaces };
        let now = Timestamp::from_millisecond(5).unwrap();
        add(&db, &a, &wish(true), now).unwrap();
        add(&db, &b, &wish(false), now).unwrap();
        let first = all(&db, "r").unwrap();
        assert_eq!(first.len(), 2);
        add(&db, &a, &wish(false), now).unwrap();
        let again = find(&db, "r", &a).unwrap().unwrap();
        assert!(again.replaces && again.queued_ms == 6, "a later wish, which still replaces");
        remove(&mut db, "r", &first).unwrap();
        assert_eq!((all(&db, "r").unwrap(), count(&db, "other").unwrap()), (vec![again], 0));
        assert_eq!((keys(&db).unwrap(), counts(&db).unwrap()), (vec![a], vec![("r".into(), 1)]));
        db.execute(
            "INSERT INTO memo VALUES (1, ?1, '', '', '', '', x'', '', '', '', '', 0, 0, 0)",
            [&a.0[..]],
        )
        .unwrap();
        db.execute("DELETE FROM memo", []).unwrap();
        assert_eq!(count(&db, "r").unwrap(), 0);
    }
}
