//! Receipts: of a run that only hit, everything that it relied on and handed back. While all of that is as it was, the same
//! request has the same result, and neither workflow nor memo has to be read.
//!
//! A receipt counts only while no row of the memo was removed or changed since before that run began: triggers count each such
//! change in the transaction that makes it. What stands in a receipt is the business of `ops::receipt`; here it is text and
//! [`Evidence`], found by the digest of a request, and whole or not there.
//!
//! [`Evidence`]: crate::storage::store::Evidence

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::core::digest::{Digest, Hasher};

/// Creates the tables and the triggers; part of the database's schema, see `db.rs`. That a result is used is no change.
pub const SCHEMA: &str = "
    CREATE TABLE receipt (
        request BLOB PRIMARY KEY,
        changes INTEGER NOT NULL,
        checksum BLOB NOT NULL,
        text TEXT NOT NULL,
        evidence BLOB NOT NULL,
        written_ms INTEGER NOT NULL
    );
    CREATE TABLE memo_changes (
        id INTEGER PRIMARY KEY CHECK (id = 0),
        count INTEGER NOT NULL
    );
    INSERT INTO memo_changes (id, count) VALUES (0, 0);
    CREATE TRIGGER memo_removed AFTER DELETE ON memo BEGIN
        UPDATE memo_changes SET count = count + 1;
    END;
    CREATE TRIGGER memo_changed AFTER UPDATE OF key, definition, outputs, run, node, created_ms, duration_ms, checksum, provenance
    ON memo BEGIN
        UPDATE memo_changes SET count = count + 1;
    END;
    CREATE TRIGGER memo_older AFTER UPDATE OF used_ms ON memo WHEN NEW.used_ms < coalesce(OLD.used_ms, OLD.created_ms) BEGIN
        UPDATE memo_changes SET count = count + 1;
    END;
";

/// Maximum receipts that are kept: the oldest go first.
const MAX_RECEIPTS: i64 = 100;
/// Maximum bytes of all receipts together, but for the newest.
const MAX_BYTES: i64 = 64 << 20;

/// A receipt as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptReceipt {
    /// [`changes`] before the run looked anything up.
    pub changes: i64,
    pub text: String,
    /// Encoded.
    pub evidence: Vec<u8>,
}

impl KeptReceipt {
    fn checksum(&self, request: &Digest) -> Digest {
        let mut hasher = Hasher::default();
        hasher.update(&request.0);
        hasher.update(&self.changes.to_le_bytes());
        hasher.frame(self.text.as_bytes());
        hasher.frame(&self.evidence);
        hasher.finish()
    }
}

/// How often a row of the memo was removed or changed.
///
/// # Errors
/// The database cannot be read.
pub fn changes(db: &Connection) -> rusqlite::Result<i64> {
    db.query_row("SELECT count FROM memo_changes", [], |row| row.get(0))
}

/// The receipt of a request; `None` as well for one that was damaged.
///
/// # Errors
/// The database cannot be read.
pub fn find(db: &Connection, request: &Digest) -> rusqlite::Result<Option<KeptReceipt>> {
    let found = db
        .query_row(
            "SELECT changes, checksum, text, evidence FROM receipt WHERE request = ?1",
            [&request.0[..]],
            |row| {
                let kept = KeptReceipt { changes: row.get(0)?, text: row.get(2)?, evidence: row.get(3)? };
                Ok((kept, Digest(row.get(1)?)))
            },
        )
        .optional()?;
    Ok(found.filter(|(kept, checksum)| kept.checksum(request) == *checksum).map(|(kept, _)| kept))
}

/// Whether a receipt of the request is in this very database, and no row of the memo was removed or changed since.
///
/// # Errors
/// The database cannot be read.
pub fn stands(db: &Connection, request: &Digest, receipt: &KeptReceipt) -> rusqlite::Result<bool> {
    db.query_row(
        "SELECT EXISTS (SELECT 1 FROM receipt JOIN memo_changes ON changes = count WHERE request = ?1 AND changes = ?2)",
        params![&request.0[..], receipt.changes],
        |row| row.get(0),
    )
}

/// Keeps the receipt of a request, in place of an older one, and makes room.
///
/// # Errors
/// The database cannot be written.
pub fn keep(
    db: &Connection,
    request: &Digest,
    receipt: &KeptReceipt,
    now: Timestamp,
) -> rusqlite::Result<()> {
    db.execute(
        "INSERT OR REPLACE INTO receipt (request, changes, checksum, text, evidence, written_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            &request.0[..],
            receipt.changes,
            &receipt.checksum(request).0[..],
            receipt.text,
            receipt.evidence,
            now.as_millisecond()
        ],
    )?;
    db.execute(
        "DELETE FROM receipt WHERE request IN (
            SELECT request FROM (
                SELECT request, row_number() OVER newest AS place,
                    sum(length(text) + length(evidence)) OVER newest AS bytes
                FROM receipt WINDOW newest AS (ORDER BY written_ms DESC, rowid DESC)
            ) WHERE place > 1 AND (place > ?1 OR bytes > ?2))",
        [MAX_RECEIPTS, MAX_BYTES],
    )?;
    Ok(())
}

/// Forgets the receipt of a request: something that it rests on is no longer so.
///
/// # Errors
/// The database cannot be written.
pub fn forget(db: &Connection, request: &Digest) -> rusqlite::Result<()> {
    db.execute("DELETE FROM receipt WHERE request = ?1", [&request.0[..]])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::db;
    use crate::storage::memo::{FoundResult, MemoEntry, sqlite};

    fn database() -> (tempfile::TempDir, Connection) {
        let dir = tempfile::tempdir().unwrap();
        let db = db::open(dir.path()).unwrap().0;
        (dir, db)
    }

    fn receipt(text: &str) -> KeptReceipt {
        KeptReceipt { changes: 3, text: text.into(), evidence: vec![1, 0, 2] }
    }

    fn count(db: &Connection) -> i64 {
        db.query_row("SELECT count(*) FROM receipt", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn what_is_kept_is_found_and_what_is_damaged_is_not() {
        let (_dir, db) = database();
        let request = Digest::of("request");
        assert_eq!(find(&db, &request).unwrap(), None);
        for text in ["one", "two"] {
            keep(&db, &request, &receipt(text), Timestamp::UNIX_EPOCH).unwrap();
            assert_eq!(find(&db, &request).unwrap(), Some(receipt(text)));
        }
        assert_eq!(count(&db), 1);
        for damage in ["text = 'twp'", "evidence = x'010003'", "changes = 4", "request = zeroblob(32)"] {
            db.execute_batch("SAVEPOINT sound").unwrap();
            db.execute(&format!("UPDATE receipt SET {damage}"), []).unwrap();
            assert_eq!(find(&db, &request).unwrap(), None, "{damage}");
            assert_eq!(find(&db, &Digest([0; 32])).unwrap(), None, "{damage}");
            db.execute_batch("ROLLBACK TO sound; RELEASE sound").unwrap();
        }
        assert_eq!(find(&db, &request).unwrap(), Some(receipt("two")));
        assert!(!stands(&db, &request, &receipt("two")).unwrap());
        db.execute("UPDATE memo_changes SET count = 3", []).unwrap();
        assert!(stands(&db, &request, &receipt("two")).unwrap());
        assert!(!stands(&db, &Digest::of("another"), &receipt("two")).unwrap());
        forget(&db, &request).unwrap();
        assert_eq!(find(&db, &request).unwrap(), None);
    }

    #[test]
    fn the_oldest_make_room() {
        let (_dir, db) = database();
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        for i in 0..MAX_RECEIPTS + 5 {
            keep(&db, &Digest::of(i.to_string()), &receipt("r"), at(i)).unwrap();
        }
        assert_eq!(count(&db), MAX_RECEIPTS);
        assert_eq!(find(&db, &Digest::of("4")).unwrap(), None);
        assert!(find(&db, &Digest::of("5")).unwrap().is_some());
        // One that is larger than all may be stays until a newer one comes.
        let large =
            KeptReceipt { evidence: vec![0; usize::try_from(MAX_BYTES).unwrap()], ..receipt("large") };
        keep(&db, &Digest::of("large"), &large, at(1000)).unwrap();
        assert_eq!((count(&db), find(&db, &Digest::of("large")).unwrap()), (1, Some(large)));
        keep(&db, &Digest::of("small"), &receipt("r"), at(1001)).unwrap();
        assert_eq!(count(&db), 1);
    }

    #[test]
    fn every_change_of_the_memo_counts_and_a_use_does_not() {
        let (_dir, db) = database();
        let entry = |outputs: &str| MemoEntry {
            key: Digest::of("key"),
            project: "p".into(),
            domain: "d".into(),
            task: "w.t".into(),
            version: "1".into(),
            inputs: "{}".into(),
            interface: None,
            found: FoundResult {
                definition: Digest::of("definition"),
                outputs: outputs.into(),
                run: "r".into(),
                node: "n".into(),
                created: Timestamp::UNIX_EPOCH,
                duration_ms: 1,
                provenance: None,
                used: Timestamp::UNIX_EPOCH,
            },
        };
        assert_eq!(changes(&db).unwrap(), 0);
        sqlite::record(&db, &entry("{}")).unwrap();
        assert_eq!(changes(&db).unwrap(), 0, "what is new takes nothing away");
        sqlite::record_use(&db, &[Digest::of("key")], Timestamp::now()).unwrap();
        assert_eq!(changes(&db).unwrap(), 0);
        for (n, (what, change)) in [
            ("a use forgotten", "UPDATE memo SET used_ms = used_ms - 1"),
            ("changed", "UPDATE memo SET outputs = '{}'"),
            ("removed", "DELETE FROM memo"),
        ]
        .into_iter()
        .enumerate()
        {
            sqlite::record(&db, &entry(r#"{"y":1}"#)).unwrap();
            assert_eq!(changes(&db).unwrap(), 2 * n as i64 + 1, "replaced");
            sqlite::record_use(&db, &[Digest::of("key")], Timestamp::now()).unwrap();
            db.execute(change, []).unwrap();
            assert_eq!(changes(&db).unwrap(), 2 * n as i64 + 2, "{what}");
        }
    }
}
