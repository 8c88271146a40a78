//! What is too old to be kept: instants beyond the newest ten thousand of a schedule, and runs beyond those that it keeps.
//! Results in the cache stay.

use rusqlite::{Connection, TransactionBehavior, params};

use crate::core::run_id::RunId;
use crate::storage::gc::remove_run_folders;
use crate::storage::history::invocation::remove_unused;
use crate::storage::home::Home;

/// How many of the newest instants of a schedule are kept.
pub const KEPT_INSTANTS: u64 = 10_000;

/// Removes what a schedule keeps no longer: all but the newest `keep_runs` of its runs, those that go on excepted, and all but
/// the newest instants. How many runs went.
///
/// # Errors
/// The database cannot be written, or a folder cannot be removed.
pub fn prune(db: &mut Connection, home: &Home, schedule: &str, keep_runs: u64) -> Result<usize, String> {
    let gone =
        remove_rows(db, schedule, keep_runs).map_err(|error| format!("the database refused: {error}"))?;
    remove_run_folders(home, gone.iter().copied())
        .map_err(|error| format!("a folder of the history resisted: {error}"))?;
    Ok(gone.len())
}

fn remove_rows(db: &mut Connection, schedule: &str, keep_runs: u64) -> rusqlite::Result<Vec<RunId>> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let skip = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let gone: Vec<RunId> = transaction
        .prepare(
            "SELECT run FROM (SELECT id, run, status FROM run WHERE json_valid(invocation) \
             AND invocation ->> '$.scheduled.schedule' = ?1 ORDER BY id DESC LIMIT -1 OFFSET ?2) \
             WHERE status <> 'running'",
        )?
        .query_map(params![schedule, skip(keep_runs)], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for run in &gone {
        let bytes = "UPDATE footprint SET bytes = max(0, bytes - coalesce((SELECT bytes FROM run WHERE run = ?1), 0))";
        transaction.prepare_cached(bytes)?.execute([run])?;
        transaction.prepare_cached("DELETE FROM run WHERE run = ?1")?.execute([run])?;
    }
    if !gone.is_empty() {
        remove_unused(&transaction)?;
    }
    transaction.execute(
        "DELETE FROM instant WHERE (run IS NULL OR outcome IS NOT NULL) AND id IN (SELECT id FROM instant \
         WHERE schedule = ?1 ORDER BY at_ms DESC, id DESC LIMIT -1 OFFSET ?2)",
        params![schedule, skip(KEPT_INSTANTS)],
    )?;
    transaction.execute(
        "DELETE FROM schedule_pause WHERE schedule = ?1 AND until_ms < (SELECT accounted_ms FROM schedule WHERE name = ?1)",
        [schedule],
    )?;
    transaction.commit()?;
    Ok(gone)
}
