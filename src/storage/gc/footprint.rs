//! How much disk everything takes that is kept, so that the end of a run costs no walk over it.
//!
//! The writer adds what it stores. That is an estimate: what is stored twice counts twice, and a crash may lose a
//! part. A collection counts anew.

use crate::core::run_id::RunId;
use rusqlite::{Connection, params};

/// Creates the table, and adds a column to the runs; part of the database's schema, see `db.rs`. `bytes` is null
/// before the first count; `floor` is the size that a collection could not get below.
pub const SCHEMA: &str = "
    CREATE TABLE footprint (
        id INTEGER PRIMARY KEY CHECK (id = 0),
        bytes INTEGER,
        floor INTEGER NOT NULL DEFAULT 0
    );
    INSERT INTO footprint (id) VALUES (0);
    ALTER TABLE run ADD COLUMN bytes INTEGER;
";

/// What a row of the memo takes beside its texts, in bytes: its other columns and its place in three indexes.
pub const ROW: u64 = 350;

/// What is known of it, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// `None` before the first count.
    pub bytes: Option<u64>,
    /// What the last collection could not get below; 0 if it could.
    pub floor: u64,
}

impl Footprint {
    /// Whether a collection is due. One that could not get below the cap is not tried again before a tenth has
    /// been added.
    pub fn passes(self, cap: u64) -> bool {
        self.bytes.is_none_or(|bytes| bytes > cap.max(self.floor.saturating_add(self.floor / 10)))
    }
}

/// # Errors
/// The database cannot be read.
pub fn read(db: &Connection) -> rusqlite::Result<Footprint> {
    db.query_row("SELECT bytes, floor FROM footprint", [], |row| {
        let bytes = row.get::<_, Option<i64>>(0)?.map(|bytes| bytes.max(0).unsigned_abs());
        Ok(Footprint { bytes, floor: row.get::<_, i64>(1)?.unsigned_abs() })
    })
}

/// Adds what was stored.
///
/// # Errors
/// The database cannot be written.
pub fn add(db: &Connection, bytes: u64) -> rusqlite::Result<()> {
    if bytes > 0 {
        db.prepare_cached("UPDATE footprint SET bytes = bytes + ?1")?.execute([signed(bytes)])?;
    }
    Ok(())
}

/// Keeps what was counted.
///
/// # Errors
/// The database cannot be written.
pub fn set(db: &Connection, footprint: Footprint) -> rusqlite::Result<()> {
    db.execute(
        "UPDATE footprint SET bytes = ?1, floor = ?2",
        params![footprint.bytes.map(signed), signed(footprint.floor)],
    )?;
    Ok(())
}

/// Keeps what the folders of a run take.
///
/// # Errors
/// The database cannot be written.
pub fn record_run(db: &Connection, run: RunId, bytes: u64) -> rusqlite::Result<()> {
    db.execute("UPDATE run SET bytes = ?2 WHERE run = ?1", params![run, signed(bytes)])?;
    add(db, bytes)
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_has_counted_stays_unknown() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(&[crate::storage::history::SCHEMA, SCHEMA].concat()).unwrap();
        add(&db, 5).unwrap();
        assert_eq!(read(&db).unwrap(), Footprint { bytes: None, floor: 0 });
        set(&db, Footprint { bytes: Some(100), floor: 7 }).unwrap();
        add(&db, 5).unwrap();
        assert_eq!(read(&db).unwrap(), Footprint { bytes: Some(105), floor: 7 });
    }

    #[test]
    fn a_cap_that_could_not_be_met_is_left_alone_for_a_while() {
        let with = |bytes, floor| Footprint { bytes, floor };
        assert!(with(None, 0).passes(100));
        assert!(!with(Some(100), 0).passes(100) && with(Some(101), 0).passes(100));
        assert!(!with(Some(210), 200).passes(100) && with(Some(221), 200).passes(100));
    }
}
