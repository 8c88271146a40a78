//! Runs that were to be told of and could not begin: they have no place in the history, but count as failures of their series.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::core::run_id::RunId;

/// Creates the table; part of the database's schema, see `db.rs`. Times are in milliseconds.
pub const SCHEMA: &str = "
    CREATE TABLE refusal (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL UNIQUE,
        series TEXT NOT NULL,
        refused_ms INTEGER NOT NULL,
        reason TEXT NOT NULL
    );
    CREATE INDEX refusal_of ON refusal (series, refused_ms);
";

/// Maximum refusals that are kept; older ones go.
const MAX_KEPT: i64 = 10_000;

/// A run that could not begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRefusal {
    /// The id that it would have had.
    pub run: RunId,
    /// The series of runs that it would have been one of.
    pub series: String,
    pub refused: Timestamp,
    pub reason: String,
}

/// Writes one down.
///
/// # Errors
/// The database cannot be written.
pub fn record(db: &Connection, refusal: &RunRefusal) -> rusqlite::Result<()> {
    let RunRefusal { run, series, refused, reason } = refusal;
    db.prepare_cached("INSERT INTO refusal (run, series, refused_ms, reason) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![run, series, refused.as_millisecond(), reason])?;
    db.execute("DELETE FROM refusal WHERE id <= (SELECT max(id) FROM refusal) - ?1", [MAX_KEPT])?;
    Ok(())
}

/// Those of a series before an instant, the newest first, at most `limit`.
///
/// # Errors
/// The database cannot be read.
pub fn of_series(
    db: &Connection,
    series: &str,
    before: Timestamp,
    limit: usize,
) -> rusqlite::Result<Vec<RunRefusal>> {
    db.prepare_cached(
        "SELECT run, refused_ms, reason FROM refusal WHERE series = ?1 AND refused_ms < ?2 ORDER BY id DESC LIMIT ?3",
    )?
    .query_map(params![series, before.as_millisecond(), i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
        Ok(RunRefusal {
            run: row.get(0)?,
            series: series.to_owned(),
            refused: Timestamp::from_millisecond(row.get(1)?).unwrap_or(Timestamp::UNIX_EPOCH),
            reason: row.get(2)?,
        })
    })?
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_a_series_come_first_and_only_the_newest_are_kept() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(SCHEMA).unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        let refuse = |series: &str, second| {
            let refusal = RunRefusal {
                run: RunId::make(),
                series: series.into(),
                refused: at(second),
                reason: format!("{series} at {second}"),
            };
            record(&db, &refusal).unwrap();
            refusal
        };
        let (first, second) = (refuse("w/s", 1), refuse("w/s", 2));
        refuse("w/other", 2);
        assert_eq!(of_series(&db, "w/s", at(3), 9).unwrap(), [second.clone(), first]);
        assert_eq!(of_series(&db, "w/s", at(2), 9).unwrap().len(), 1);
        assert_eq!(of_series(&db, "w/s", at(3), 1).unwrap(), [second]);
        db.execute("UPDATE refusal SET id = id + ?1 WHERE id > 1", [MAX_KEPT]).unwrap();
        refuse("w/s", 4);
        assert_eq!(of_series(&db, "w/s", at(5), 9).unwrap().len(), 2);
    }
}
