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

/// The times of one run of a workflow, in milliseconds, by the names of its nodes.
#[derive(Default)]
pub struct Times {
    pub workflow: String,
    pub nodes: Vec<(String, u64)>,
}

/// Keeps the times of nodes that ran, in place of earlier ones.
pub fn record(db: &Connection, times: &Times) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached(
        "INSERT INTO node_time (workflow, node, duration_ms) VALUES (?1, ?2, ?3) \
         ON CONFLICT (workflow, node) DO UPDATE SET duration_ms = ?3",
    )?;
    for (node, duration_ms) in &times.nodes {
        statement.execute(params![times.workflow, node, i64::try_from(*duration_ms).unwrap_or(i64::MAX)])?;
    }
    Ok(())
}

/// The times that are known of a workflow's nodes.
pub fn of_workflow(db: &Connection, workflow: &str) -> rusqlite::Result<HashMap<String, u64>> {
    let mut statement = db.prepare("SELECT node, duration_ms FROM node_time WHERE workflow = ?1")?;
    let times =
        statement.query_map([workflow], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())));
    times?.collect()
}
