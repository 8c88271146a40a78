//! Stored results as a table, one line each.

use crate::core::zone::local_now;
use crate::ops::results::{KEY_DIGITS, StoredResult};
use crate::view::text::style::{Cell, FAINT, Ink, PLAIN, STRONG, columns};
use crate::view::text::{age, duration, inert, size};

/// The rows in the order given.
pub fn table(rows: &[StoredResult], color: bool) -> String {
    let now = local_now();
    // What all have in common would only take the room that narrow terminals lack.
    let differ = |of: fn(&StoredResult) -> &str| rows.iter().any(|row| of(row) != of(&rows[0]));
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
