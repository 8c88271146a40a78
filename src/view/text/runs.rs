//! Past runs as a table: one line a run.

use jiff::Zoned;

use crate::core::event::Status;
use crate::view::model::run_row::RunRow;
use crate::view::text::phrases::{counts, mark};
use crate::view::text::style::{Cell, FAINT, Ink, PLAIN, STRONG, columns};
use crate::view::text::{age, cut, duration, inert};

/// Which column shows project and domain.
const SCOPE: usize = 2;
/// Maximum columns of a workflow's name, and of project and domain, on a screen.
const MAX_NAME_CHARS: usize = 20;
/// Minimum columns for the last one beside project and domain.
const LEAST: usize = 16;

/// The rows in the order given, under a line that says what was `asked` for, if anything was. The shortest beginning
/// that sets an id apart from the others is emphasised. On a screen, long names are cut.
pub fn render(rows: &[RunRow], asked: &str, color: bool, screen: Option<usize>, now: &Zoned) -> String {
    let ink = Ink(color);
    let mut caption = Vec::new();
    if !asked.is_empty() {
        caption.push(asked.to_owned());
    }
    let mut sorted: Vec<&str> = rows.iter().map(|row| &*row.id).collect();
    sorted.sort_unstable();
    // Where there is one scope only, it would take the room that narrow terminals lack.
    let scope = |row: &RunRow| format!("{}/{}", row.project, row.domain);
    let scoped = rows.iter().any(|row| scope(row) != scope(&rows[0]));
    if let Some(row) = rows.first()
        && !scoped
        && (&*row.project, &*row.domain) != ("default", "development")
    {
        caption.push(format!("all in {}", scope(row)));
    }
    let short = |text: &str| match screen {
        Some(_) => cut(text, MAX_NAME_CHARS).into_owned(),
        None => text.to_owned(),
    };
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
            "detached" => mark(Status::Detached, None),
            _ => ("…", PLAIN),
        };
        let is_over = row.duration_ms.is_some() && row.status != Status::Detached.name();
        let begun = is_over || row.counts.finished() > 0;
        let counts = counts(&row.counts, 0, row.status == Status::Succeeded.name());
        let mut cells = vec![
            Cell::new(STRONG, own).and(FAINT, rest),
            Cell::new(PLAIN, short(&row.workflow)),
            Cell::new(PLAIN, short(&scope(row))),
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
    // Narrow screens have no room for project and domain.
    if scoped && screen.is_some_and(|screen| room(&table, screen) < LEAST) {
        table.iter_mut().for_each(|row| drop(row.remove(SCOPE)));
    }
    let caption = match caption.is_empty() {
        true => String::new(),
        false => format!("{}\n", ink.paint(FAINT, inert(&caption.join("; ")))),
    };
    caption + &columns(&table, ink)
}

/// How many columns of the screen are left for the last column.
fn room(table: &[Vec<Cell>], screen: usize) -> usize {
    let last = table.first().map_or(0, |row| row.len().saturating_sub(1));
    let widest = |column: usize| table.iter().map(|row| row[column].width()).max().unwrap_or(0);
    screen.saturating_sub((0..last).map(|column| widest(column) + 2).sum())
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
    use crate::core::event::Counts;
    use crate::view::sample::at;

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
        let rows = [
            row("k3v9x2qm", "running", 3),
            row("k3a1b2c3", "succeeded", 60),
            row("b7d4e5f6", "interrupted", 1500),
        ];
        assert_eq!(
            render(&rows, "failed, since 2d", false, None, &now),
            "\
failed, since 2d; all in demo/development
RUN       WORKFLOW      STATUS         STARTED          TIME   NODES
k3v9x2qm  hash-strings  … running      3 min ago
k3a1b2c3  hash-strings  ✓ succeeded    today 02:00      12.3s  43 executed
b7d4e5f6  hash-strings  … interrupted  yesterday 02:00
"
        );
        let coloured = render(&rows, "", true, None, &now);
        assert!(coloured.contains("\x1b[1mk3v\x1b[0m\x1b[2m9x2qm\x1b[0m"), "{coloured:?}");
        let mut rows = rows;
        rows[0].project = "other".into();
        rows[1].workflow = "a-workflow-with-a-rather-long-name".into();
        let wide = render(&rows, "", false, None, &now);
        assert!(wide.contains("  other/development  ") && wide.contains("rather-long-name"), "{wide}");
        let narrow = render(&rows, "", false, Some(80), &now);
        assert!(narrow.contains("  a-workflow-with-a-r…  ✓ "), "{narrow}");
        assert!(!narrow.contains("PROJECT/DOMAIN") && narrow.ends_with("yesterday 02:00\n"), "{narrow}");
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
        let json = serde_json::to_value(row("k3v9x2qm", "running", 0)).unwrap();
        assert_eq!(
            (&json["run"], &json["cached"], &json["duration_ms"]),
            (&"k3v9x2qm".into(), &0.into(), &().into())
        );
    }
}
