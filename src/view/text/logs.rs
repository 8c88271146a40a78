//! The logs of a run as a list: what there is, and how to get it.

use crate::view::text::commands::logs_command;
use crate::view::text::count;
use crate::view::text::style::{BAD, Cell, FAINT, Ink, PLAIN, columns};

/// A node that printed something, or all of its elements.
pub struct Logged {
    /// Without numbers of elements.
    pub name: String,
    /// Of the last attempt.
    pub path: String,
    /// How many elements ran; 1 for a plain node.
    pub units: u64,
    /// How many attempts one had at most.
    pub attempts: u32,
    pub failed: u64,
    /// An element, best one that failed.
    pub example: Option<(String, Option<u64>)>,
}

/// Maximum logs that are listed.
const SHOWN: usize = 100;

/// One line a node.
pub fn render(logs: &[Logged], run: &str, color: bool) -> String {
    let ink = Ink(color);
    let head = ["NODE", "RAN", "FAILED", ""].map(|name| Cell::new(FAINT, name)).to_vec();
    let rows = logs.iter().take(SHOWN).map(|log| {
        let (node, index) = log.example.clone().unwrap_or((log.name.clone(), None));
        let ran = match (&log.example, log.attempts) {
            (Some(_), _) if log.units == 1 => "1 element".into(),
            (Some(_), _) => format!("{} elements", count(log.units)),
            (None, 0 | 1) => String::new(),
            (None, attempts) => format!("{attempts} attempts"),
        };
        let failed = if log.failed > 0 { count(log.failed) } else { String::new() };
        vec![
            Cell::new(PLAIN, &*log.name),
            Cell::new(PLAIN, ran),
            Cell::new(BAD, failed),
            Cell::new(FAINT, logs_command(run, &node, index)),
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    let mut text = columns(&rows, ink);
    if logs.len() > SHOWN {
        text.push_str(&format!("{} more\n", count((logs.len() - SHOWN) as u64)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_have_one_line_with_an_example() {
        let log = |name: &str, units, attempts, failed, example| Logged {
            name: name.into(),
            path: String::new(),
            units,
            attempts,
            failed,
            example,
        };
        let logs = [log("hash", 1, 2, 0, None), log("each", 1200, 1, 3, Some(("each".into(), Some(7))))];
        assert_eq!(
            render(&logs, "k3v9", false),
            "NODE  RAN             FAILED\n\
             hash  2 attempts              runner logs k3v9 hash\n\
             each  1,200 elements  3       runner logs k3v9 each --index 7\n"
        );
    }
}
