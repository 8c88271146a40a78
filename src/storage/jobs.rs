//! Jobs of batch systems that were submitted or are about to be: a row for each, written before the submission and removed
//! when nobody needs the job any more. A run that is gone leaves its rows to those that do the same work.

use rusqlite::{Connection, params};

use crate::core::digest::Digest;
use crate::core::run_id::RunId;

/// Creates the table; part of the database's schema, see `db.rs`.
pub const SCHEMA: &str = "
    CREATE TABLE job (
        name TEXT PRIMARY KEY,
        run TEXT NOT NULL,
        executor TEXT NOT NULL,
        work TEXT NOT NULL,
        node TEXT NOT NULL,
        folder TEXT NOT NULL,
        id TEXT,
        intended_ms INTEGER NOT NULL
    ) WITHOUT ROWID;
";

/// A job, as its row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRow {
    /// What the batch system knows it by.
    pub name: String,
    pub run: RunId,
    /// The digests of what its attempts work on, by their numbers.
    pub works: Vec<String>,
    pub node: String,
    pub folder: String,
    /// The batch system's id; none until its answer was noted.
    pub id: Option<String>,
}

/// Adds jobs, all or none.
///
/// # Errors
/// The database cannot be written.
pub fn add(db: &mut Connection, executor: &str, rows: &[JobRow], now_ms: i64) -> rusqlite::Result<()> {
    let transaction = db.transaction()?;
    {
        let mut insert = transaction.prepare_cached(
            "INSERT INTO job (name, run, executor, work, node, folder, id, intended_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
        )?;
        for row in rows {
            let JobRow { name, run, works, node, folder, id } = row;
            let works = works.join(" ");
            insert.execute(params![name, run.as_str(), executor, works, node, folder, id, now_ms])?;
        }
    }
    transaction.commit()
}

/// Notes the ids of jobs by their names.
///
/// # Errors
/// The database cannot be written.
pub fn note_ids(db: &mut Connection, ids: &[(String, String)]) -> rusqlite::Result<()> {
    let transaction = db.transaction()?;
    {
        let mut update = transaction.prepare_cached("UPDATE job SET id = ?2 WHERE name = ?1")?;
        for (name, id) in ids {
            update.execute(params![name, id])?;
        }
    }
    transaction.commit()
}

/// Removes a job.
///
/// # Errors
/// The database cannot be written.
pub fn remove(db: &Connection, name: &str) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM job WHERE name = ?1")?.execute([name]).map(drop)
}

/// All jobs of an executor, the oldest first.
///
/// # Errors
/// The database cannot be read.
pub fn all(db: &Connection, executor: &str) -> rusqlite::Result<Vec<JobRow>> {
    let mut select = db.prepare_cached(
        "SELECT name, run, work, node, folder, id FROM job WHERE executor = ?1 ORDER BY intended_ms, name",
    )?;
    let rows = select.query_map([executor], |row| {
        let run: String = row.get(1)?;
        Ok(RunId::parse(&run)
            .ok()
            .map(|run| (row.get(0), run, row.get::<_, String>(2), row.get(3), row.get(4), row.get(5))))
    })?;
    let mut all = Vec::new();
    for row in rows {
        // The row of a run that no version of ours names is nobody's.
        if let Some((name, run, works, node, folder, id)) = row? {
            let works = works?.split(' ').map(str::to_owned).collect();
            all.push(JobRow { name: name?, run, works, node: node?, folder: folder?, id: id? });
        }
    }
    Ok(all)
}

/// Whether a run has jobs.
///
/// # Errors
/// The database cannot be read.
pub fn has(db: &Connection, run: RunId) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM job WHERE run = ?1")?.exists([run.as_str()])
}

/// The executors that a run has jobs of.
///
/// # Errors
/// The database cannot be read.
pub fn executors(db: &Connection, run: RunId) -> rusqlite::Result<Vec<String>> {
    let mut select = db.prepare_cached("SELECT DISTINCT executor FROM job WHERE run = ?1 ORDER BY 1")?;
    select.query_map([run.as_str()], |row| row.get(0))?.collect()
}

/// Gives the job of a run that is gone to another; false if it was given to somebody else.
///
/// # Errors
/// The database cannot be written.
pub fn take_over(db: &Connection, row: &JobRow, by: RunId) -> rusqlite::Result<bool> {
    let mut update = db.prepare_cached("UPDATE job SET run = ?3 WHERE name = ?1 AND run = ?2")?;
    Ok(update.execute(params![row.name, row.run.as_str(), by.as_str()])? == 1)
}

/// Whether the result of a work, by its digest, is in the cache.
///
/// # Errors
/// The database cannot be read.
pub fn is_stored(db: &Connection, work: &str) -> rusqlite::Result<bool> {
    let Ok(key) = work.parse::<Digest>() else { return Ok(false) };
    db.prepare_cached("SELECT 1 FROM memo WHERE key = ?1")?.exists([&key.0[..]])
}

/// Whether the history knows a run.
///
/// # Errors
/// The database cannot be read.
pub fn is_run(db: &Connection, run: RunId) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM run WHERE run = ?1")?.exists([run.as_str()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_taken_over_once_and_keeps_its_id() {
        let mut db = Connection::open_in_memory().unwrap();
        db.execute_batch(SCHEMA).unwrap();
        let [one, two, three]: [RunId; 3] = ["k3v9x2qm", "k3v9x2qn", "k3v9x2qp"].map(RunId::from);
        let row = JobRow {
            name: "r-k3v9x2qm-1".into(),
            run: one,
            works: vec!["v".into(), "w".into()],
            node: "fit".into(),
            folder: "/work/jobs/r-k3v9x2qm-1".into(),
            id: None,
        };
        add(&mut db, "cl", std::slice::from_ref(&row), 5).unwrap();
        note_ids(&mut db, &[(row.name.clone(), "17".into())]).unwrap();
        let found = all(&db, "cl").unwrap();
        assert_eq!(found, [JobRow { id: Some("17".into()), ..row.clone() }]);
        assert!(all(&db, "other").unwrap().is_empty());
        assert!(take_over(&db, &row, two).unwrap());
        assert!(!take_over(&db, &row, three).unwrap(), "it has another run by now");
        assert_eq!((has(&db, one).unwrap(), has(&db, two).unwrap()), (false, true));
        assert_eq!(executors(&db, two).unwrap(), ["cl"]);
        remove(&db, &row.name).unwrap();
        assert!(all(&db, "cl").unwrap().is_empty());
    }
}
