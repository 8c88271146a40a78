//! A result in one line: as JSON, and in a table.

use jiff::{Timestamp, Zoned};
use serde::Serialize;

use crate::core::digest::Digest;
use crate::core::event::VERSION;
use crate::ops::results::KEY_DIGITS;
use crate::storage::memo::{Entry, listing};
use crate::view::text::style::{Cell, FAINT, Ink, PLAIN, STRONG, columns};
use crate::view::text::{age, duration, inert, size};

/// What is told of a result.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub v: u32,
    pub key: Digest,
    pub task: String,
    pub project: String,
    pub domain: String,
    /// The cache version.
    pub version: String,
    /// Of its files, in bytes.
    pub size: u64,
    /// How many files and directories.
    pub files: usize,
    pub duration_ms: u64,
    pub created: Timestamp,
    /// When it was last handed out, give or take a day.
    pub used: Timestamp,
    pub run: String,
    pub node: String,
}

impl Row {
    pub fn new(entry: &Entry) -> Self {
        let files = listing::files_in(&entry.found.outputs);
        Self {
            v: VERSION,
            key: entry.key,
            task: entry.task.clone(),
            project: entry.project.clone(),
            domain: entry.domain.clone(),
            version: entry.version.clone(),
            size: files.iter().map(|(_, file)| file.size).sum(),
            files: files.len(),
            duration_ms: entry.found.duration_ms,
            created: entry.found.created,
            used: entry.found.used,
            run: entry.found.run.clone(),
            node: entry.found.node.clone(),
        }
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// The rows in the order given.
pub fn table(rows: &[Row], color: bool) -> String {
    let now = Zoned::now();
    // What all have in common would only take the room that narrow terminals lack.
    let differ = |of: fn(&Row) -> &str| rows.iter().any(|row| of(row) != of(&rows[0]));
    let (projects, domains) = (differ(|row| &row.project), differ(|row| &row.domain));
    let line = |cells: [Cell; 7]| -> Vec<Cell> {
        let shown = [true, true, true, true, projects, domains, true];
        cells.into_iter().zip(shown).filter(|(_, shown)| *shown).map(|(cell, _)| cell).collect()
    };
    let head = ["KEY", "SIZE", "TOOK", "USED", "PROJECT", "DOMAIN", "TASK"];
    let mut lines = vec![line(head.map(|name| Cell::new(FAINT, name)))];
    lines.extend(rows.iter().map(|row| {
        line([
            Cell::new(STRONG, &row.key.hex()[..KEY_DIGITS]),
            Cell::new(PLAIN, if row.files == 0 { "-".into() } else { size(row.size) }),
            Cell::new(PLAIN, duration(row.duration_ms)),
            Cell::new(PLAIN, age(row.used, &now)),
            Cell::new(PLAIN, inert(&row.project)),
            Cell::new(PLAIN, inert(&row.domain)),
            Cell::new(PLAIN, inert(&row.task)),
        ])
    }));
    columns(&lines, Ink(color))
}
