//! The phrases that live reports and views share, so that one thing is said in one way.

use anstyle::Style;

use super::style::{BAD, CACHED, CAUTION, FAINT, GOOD, Ink, STRONG};
use super::text::{count, duration, inert};
use crate::event::{CacheStatus, Counts, ErrorKind, Kind, NodeFinished, Status, TaskError};

/// The node of the file that an event belongs to, if it is only a part of it: an element, or inside of one.
/// `each` for element 3 of `each`, `prep` for `prep[3]/clean`.
pub(super) fn family(node: &str, index: Option<u64>) -> Option<&str> {
    match node.find('[') {
        Some(at) => Some(&node[..at]),
        None => index.map(|_| node),
    }
}

/// `100 elements: 3 executed, 97 cached`, for a node that sums up others.
pub(super) fn sum(node: &NodeFinished) -> Option<String> {
    let sum = node.counts.as_ref()?;
    let what = match (node.kind, sum.nodes) {
        (Kind::Elements, 1) => "1 element".into(),
        (Kind::Elements, n) => format!("{} elements", count(n)),
        (Kind::Workflow | Kind::Task, 1) => "1 node".into(),
        (Kind::Workflow | Kind::Task, n) => format!("{} nodes", count(n)),
    };
    Some(match sum.nodes {
        0 => what,
        _ => format!("{what}: {}", counts(sum, node.saved_ms)),
    })
}

/// The mark before a finished node or run.
pub(super) fn mark(status: Status, cache: Option<CacheStatus>) -> (&'static str, Style) {
    match (status, cache) {
        (Status::Succeeded, Some(CacheStatus::Hit)) => ("✓", CACHED),
        (Status::Succeeded, _) => ("✓", GOOD),
        (Status::Failed, _) => ("✗", BAD),
        (Status::Skipped, _) => ("○", FAINT),
        (Status::Cancelled, _) => ("○", CAUTION),
    }
}

/// An error in one line: `exit 3`, else the first line of its message.
pub(super) fn gist(error: &TaskError) -> String {
    match (error.kind, error.exit_code) {
        (ErrorKind::Exit, Some(code)) => format!("exit {code}"),
        (kind, _) => match error.message.lines().find(|line| !line.trim().is_empty()) {
            Some(line) => inert(line.trim_end()).into_owned(),
            None => kind.to_string(),
        },
    }
}

/// Why a node failed, in one line: `exit 3 after 2 attempts`.
pub(super) fn failure(node: &NodeFinished) -> String {
    let gist = node.error.as_ref().map_or_else(|| "failed".into(), gist);
    match node.attempts {
        0 | 1 => gist,
        attempts => format!("{gist} after {attempts} attempts"),
    }
}

/// What stands below a failed node, indented: the rest of the message, the end of its log, where the log is
/// and how to see all of it. Each line ends with a newline.
pub(super) fn details(node: &NodeFinished, run: &str, ink: Ink) -> String {
    let Some(error) = &node.error else { return String::new() };
    let mut text = String::new();
    for line in error.message.lines().skip_while(|line| line.trim().is_empty()).skip(1) {
        text.push_str(&format!("  {}\n", inert(line)));
    }
    for line in &error.tail {
        text.push_str(&format!("{}{}\n", quote_mark(ink), inert(line)));
    }
    if let Some(log) = error.log.as_ref().or(node.log.as_ref()) {
        text.push_str(&format!("  {} {}\n", ink.paint(FAINT, "log: "), inert(log)));
        let command = ink.paint(STRONG, logs_command(run, &node.node, node.index));
        text.push_str(&format!("  {} {command}\n", ink.paint(FAINT, "more:")));
    }
    text
}

/// What stands before a line quoted from a log.
pub(super) fn quote_mark(ink: Ink) -> String {
    format!("  {} ", ink.paint(FAINT, "│"))
}

/// The command that prints a node's log.
pub(super) fn logs_command(run: &str, node: &str, index: Option<u64>) -> String {
    let index = index.map_or_else(String::new, |index| format!(" --index {index}"));
    format!("runner logs {run} {node}{index}")
}

/// `1 failed, 3 executed, 40 cached (saved 4m 10s)`.
pub(super) fn counts(counts: &Counts, saved_ms: u64) -> String {
    let saved = match saved_ms {
        0 => String::new(),
        ms => format!(" (saved {})", duration(ms)),
    };
    let parts = [
        (counts.failed, "failed", ""),
        (counts.executed, "executed", ""),
        (counts.cached, "cached", &*saved),
        (counts.skipped, "skipped", ""),
        (counts.cancelled, "cancelled", ""),
    ];
    let parts: Vec<_> = parts
        .iter()
        .filter(|(n, ..)| *n > 0)
        .map(|(n, word, more)| format!("{} {word}{more}", count(*n)))
        .collect();
    if parts.is_empty() { "nothing to do".into() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn counts_leave_out_what_is_zero() {
        let mut all = Counts { nodes: 43, executed: 3, cached: 1040, ..Counts::default() };
        assert_eq!(counts(&all, 250_000), "3 executed, 1,040 cached (saved 4m 10s)");
        all.failed = 1;
        all.cancelled = 2;
        assert_eq!(counts(&all, 0), "1 failed, 3 executed, 1,040 cached, 2 cancelled");
        assert_eq!(counts(&Counts::default(), 0), "nothing to do");
    }

    #[test]
    fn details_are_inert_and_complete() {
        let mut node = sample::failed("train");
        node.index = Some(3);
        node.error = Some(TaskError {
            message: "output `a` is missing\nfound: \x1b[2Jb".into(),
            tail: vec!["\x1b[31mTraceback\x1b[0m".into(), "\tboom".into()],
            ..TaskError::new(ErrorKind::Output, "")
        });
        node.log = Some("/logs/train".into());
        assert_eq!(failure(&node), "output `a` is missing after 2 attempts");
        assert_eq!(
            details(&node, "k3v9", Ink(false)),
            "  found: b\n  │ Traceback\n  │     boom\n  log:  /logs/train\n  more: runner logs k3v9 train --index 3\n"
        );
    }
}
