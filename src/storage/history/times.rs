//! How long nodes took when they last ran: what schedules and estimates go by.

use std::collections::HashMap;

use rusqlite::{Connection, params};

/// Creates the table; part of the database's schema, see `db.rs`.
pub const SCHEMA: &str = "
    CREATE TABLE node_time (
        workflow TEXT NOT NULL,
        node TEXT NOT NULL,
        duration_ms INTEGER NOT NULL,
        PRIMARY KEY (workflow, node)
    ) WITHOUT ROWID;
";

/// What was added later: how long one attempt took on average, which tells how long any number of elements will.
pub const MEANS: &str = "
    ALTER TABLE node_time ADD COLUMN mean_ms INTEGER;
";

/// How long a node took, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeTime {
    /// From its start to its end, had it been alone.
    pub wall: u64,
    /// One attempt, on average.
    pub mean: u64,
}

/// The times of one run of a workflow, by the names of its nodes.
#[derive(Default)]
pub struct Times {
    pub workflow: String,
    pub nodes: Vec<(String, NodeTime)>,
}

/// Keeps the times of nodes that ran, in place of earlier ones.
///
/// # Errors
/// The database cannot be written.
pub fn record(db: &Connection, times: &Times) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached(
        "INSERT INTO node_time (workflow, node, duration_ms, mean_ms) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (workflow, node) DO UPDATE SET duration_ms = ?3, mean_ms = ?4",
    )?;
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    for (node, time) in &times.nodes {
        statement.execute(params![times.workflow, node, signed(time.wall), signed(time.mean)])?;
    }
    Ok(())
}

/// The times that are known of a workflow's nodes.
///
/// # Errors
/// The database cannot be read.
pub fn of_workflow(db: &Connection, workflow: &str) -> rusqlite::Result<HashMap<String, NodeTime>> {
    let mut statement = db.prepare("SELECT node, duration_ms, mean_ms FROM node_time WHERE workflow = ?1")?;
    let times = statement.query_map([workflow], |row| {
        let wall = row.get::<_, i64>(1)?.unsigned_abs();
        let mean = row.get::<_, Option<i64>>(2)?.map_or(wall, i64::unsigned_abs);
        Ok((row.get(0)?, NodeTime { wall, mean }))
    });
    times?.collect()
}
