//! Past runs as a table: one line a run.

use jiff::{Timestamp, Zoned};
use serde::Serialize;

use super::style::{Cell, FAINT, Ink, PLAIN, STRONG, columns};
use super::text::{age, duration};
use super::words::{counts, mark};
use crate::event::{Counts, Status};

/// A run in short; as JSON, one line of `runner runs --json`.
#[derive(Clone, Debug, Serialize)]
pub struct RunRow {
    #[serde(rename = "run")]
    pub id: String,
    pub workflow: String,
    pub project: String,
    pub domain: String,
    /// `succeeded`, `failed`, `cancelled`, or a word for a run without an end: `running`, `interrupted`.
    pub status: String,
    pub started: Timestamp,
    /// Null for a run without an end.
    pub duration_ms: Option<u64>,
    #[serde(flatten)]
    pub counts: Counts,
    pub saved_ms: u64,
}

/// Which column shows project and domain.
const SCOPE: usize = 2;

/// The rows in the order given. The shortest beginning that sets an id apart from the others is emphasised.
pub fn render(rows: &[RunRow], color: bool, now: &Zoned) -> String {
    if rows.is_empty() {
        return "no runs yet\n".into();
    }
    let mut sorted: Vec<&str> = rows.iter().map(|row| &*row.id).collect();
    sorted.sort_unstable();
    // Where nobody uses scopes they would only take the room that narrow terminals lack.
    let scoped = rows.iter().any(|row| (&*row.project, &*row.domain) != ("default", "development"));
    let mut head = vec!["RUN", "WORKFLOW", "PROJECT/DOMAIN", "STATUS", "STARTED", "TIME", "NODES"];
    if !scoped {
        head.remove(SCOPE);
    }
    let mut table = vec![head.into_iter().map(|name| Cell::new(FAINT, name)).collect::<Vec<_>>()];
    for row in rows {
        let (own, rest) = row.id.split_at(unique_prefix(&row.id, &sorted));
        let (mark, style) = match &*row.status {
            "succeeded" => mark(Status::Succeeded, None),
            "failed" => mark(Status::Failed, None),
            "cancelled" => mark(Status::Cancelled, None),
            _ => ("…", PLAIN),
        };
        let begun = row.duration_ms.is_some() || row.counts.finished() > 0;
        let counts = counts(&row.counts, row.saved_ms, row.status == Status::Succeeded.name());
        let mut cells = vec![
            Cell::new(STRONG, own).and(FAINT, rest),
            Cell::new(PLAIN, &*row.workflow),
            Cell::new(PLAIN, format!("{}/{}", row.project, row.domain)),
            Cell::new(style, format!("{mark} {}", row.status)),
            Cell::new(PLAIN, age(row.started, now)),
            Cell::new(PLAIN, row.duration_ms.map_or_else(String::new, duration)),
            Cell::new(PLAIN, if begun { counts } else { String::new() }),
        ];
        if !scoped {
            cells.remove(SCOPE);
        }
        table.push(cells);
    }
    columns(&table, Ink(color))
}

/// The length in bytes of the shortest beginning of `id` that no other of the `sorted` ids has.
fn unique_prefix(id: &str, sorted: &[&str]) -> usize {
    let place = sorted.partition_point(|other| *other < id);
    let before = place.checked_sub(1).and_then(|i| sorted.get(i));
    let after = sorted.get(place + 1);
    let common = before.into_iter().chain(after).map(|other| shared_prefix(id, other)).max().unwrap_or(0);
    // One character more than any other id shares.
    common + id[common..].chars().next().map_or(0, char::len_utf8)
}

/// The length in bytes of what both texts begin with.
fn shared_prefix(a: &str, b: &str) -> usize {
    a.char_indices().zip(b.chars()).find(|((_, x), y)| x != y).map_or(a.len().min(b.len()), |((i, _), _)| i)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::at;

    fn row(id: &str, status: &str, minutes: i64) -> RunRow {
        let ended = status == "succeeded";
        RunRow {
            id: id.into(),
            workflow: "hash-strings".into(),
            project: "demo".into(),
            domain: "development".into(),
            status: status.into(),
            started: at(-60 * minutes),
            duration_ms: ended.then_some(12_300),
            counts: Counts { nodes: 43, executed: if ended { 43 } else { 0 }, ..Counts::default() },
            saved_ms: 0,
        }
    }

    #[test]
    fn a_line_for_each_run() {
        let now = at(0).to_zoned(jiff::tz::TimeZone::UTC);
        let rows = [row("k3v9", "running", 3), row("k3a1", "succeeded", 60), row("b7", "interrupted", 1500)];
        assert_eq!(
            render(&rows, false, &now),
            "\
RUN   WORKFLOW      PROJECT/DOMAIN    STATUS         STARTED          TIME   NODES
k3v9  hash-strings  demo/development  … running      3 min ago
k3a1  hash-strings  demo/development  ✓ succeeded    today 02:00      12.3s  43 executed
b7    hash-strings  demo/development  … interrupted  yesterday 02:00
"
        );
        let coloured = render(&rows, true, &now);
        assert!(coloured.contains("\x1b[1mk3v\x1b[0m\x1b[2m9\x1b[0m"), "{coloured:?}");
        assert_eq!(render(&[], true, &now), "no runs yet\n");
    }

    #[test]
    fn prefixes_set_ids_apart() {
        let sorted = ["a", "ab", "abc", "b", "éa", "éb"];
        for (id, length) in [("a", 1), ("ab", 2), ("abc", 3), ("b", 1), ("éb", 3)] {
            assert_eq!(unique_prefix(id, &sorted), length, "{id}");
        }
    }

    #[test]
    fn a_row_is_one_flat_object() {
        let json = serde_json::to_value(row("k3v9", "running", 0)).unwrap();
        assert_eq!(
            (&json["run"], &json["cached"], &json["duration_ms"]),
            (&"k3v9".into(), &0.into(), &().into())
        );
    }
}
