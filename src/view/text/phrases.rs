//! The phrases that live reports and views share, so that one thing is said in one way.

use anstyle::Style;

use crate::core::event::{CacheStatus, Counts, NodeFinished, NodeKind, Status, Usage};
use crate::view::text::commands::logs_command;
use crate::view::text::style::{BAD, CACHED, CAUTION, FAINT, GOOD, Ink, STRONG};
use crate::view::text::{count, duration, inert, named, size};

/// The mark before a finished node or run.
pub(in crate::view) fn mark(status: Status, cache: Option<CacheStatus>) -> (&'static str, Style) {
    match (status, cache) {
        (Status::Succeeded, Some(CacheStatus::Hit)) => ("✓", CACHED),
        (Status::Succeeded, _) => ("✓", GOOD),
        (Status::Failed, _) => ("✗", BAD),
        (Status::Skipped, _) => ("○", FAINT),
        (Status::Cancelled, _) => ("○", CAUTION),
        (Status::Detached, _) => ("…", CAUTION),
    }
}

/// What attempts used: `cpu 0.4s, 64.0 MiB`; empty if nothing is known.
pub(in crate::view) fn usage(usage: Usage) -> String {
    let cpu = usage.cpu_ms.map(|ms| format!("cpu {}", duration(ms)));
    let memory = usage.peak_memory.map(size);
    cpu.into_iter().chain(memory).collect::<Vec<_>>().join(", ")
}

/// What stands below a failed node, indented: the rest of the message, the end of its log, where the log is
/// and how to see all of it. Each line ends with a newline.
pub(in crate::view) fn details(node: &NodeFinished, run: &str, ink: Ink) -> String {
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
pub(in crate::view) fn quote_mark(ink: Ink) -> String {
    format!("  {} ", ink.paint(FAINT, "│"))
}

/// `1 failed, 3 executed, 40 cached (saved 4m 10s)`; where the whole succeeded, `8 executed, 2 failed (allowed)`.
pub(in crate::view) fn counts(counts: &Counts, saved_ms: u64, succeeded: bool) -> String {
    let parts = parts(counts, saved_ms, succeeded);
    if parts.is_empty() { "nothing to do".into() } else { parts }
}

fn parts(counts: &Counts, saved_ms: u64, succeeded: bool) -> String {
    let saved = match saved_ms {
        0 => String::new(),
        ms => format!(" (saved {})", duration(ms)),
    };
    let mut parts = [
        (counts.failed, "failed", if succeeded { " (allowed)" } else { "" }),
        (counts.executed, "executed", ""),
        (counts.cached, "cached", &*saved),
        (counts.skipped, "skipped", ""),
        (counts.cancelled, "cancelled", ""),
    ];
    if succeeded {
        parts[..3].rotate_left(1);
    }
    let parts: Vec<_> = parts
        .iter()
        .filter(|(n, ..)| *n > 0)
        .map(|(n, word, more)| format!("{} {word}{more}", count(*n)))
        .collect();
    parts.join(", ")
}

/// What a node sums up: `10 elements: 8 executed, 2 failed (allowed)`, `3 nodes: 3 cached`. Empty for work of its own.
pub(in crate::view) fn summed(node: &NodeFinished, elements: Option<u64>) -> String {
    let Some(counts) = &node.counts else { return String::new() };
    let mut text = match node.kind {
        NodeKind::Elements => named(elements.unwrap_or(counts.nodes), "element"),
        NodeKind::Task | NodeKind::Workflow => named(counts.nodes, "node"),
    };
    // Elements that are workflows have several nodes each.
    if elements.is_some_and(|elements| counts.nodes > elements) {
        text.push_str(&format!(" ({})", named(counts.nodes, "node")));
    }
    let parts = parts(counts, 0, node.status == Status::Succeeded);
    if !parts.is_empty() {
        text.push_str(&format!(": {parts}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::{TaskError, TaskErrorKind};
    use crate::view::sample;

    #[test]
    fn counts_leave_out_what_is_zero() {
        let mut all = Counts { nodes: 43, executed: 3, cached: 1040, ..Counts::default() };
        assert_eq!(counts(&all, 250_000, true), "3 executed, 1,040 cached (saved 4m 10s)");
        all.failed = 1;
        all.cancelled = 2;
        assert_eq!(counts(&all, 0, false), "1 failed, 3 executed, 1,040 cached, 2 cancelled");
        assert_eq!(counts(&Counts::default(), 0, true), "nothing to do");
    }

    #[test]
    fn sums_say_of_what() {
        let counts = Counts { nodes: 10, executed: 8, failed: 2, ..Counts::default() };
        let mut node = sample::sum("each", NodeKind::Elements, counts);
        assert_eq!(summed(&node, Some(10)), "10 elements: 8 executed, 2 failed (allowed)");
        assert_eq!(summed(&node, Some(5)), "5 elements (10 nodes): 8 executed, 2 failed (allowed)");
        node.status = Status::Failed;
        assert_eq!(summed(&node, None), "10 elements: 2 failed, 8 executed");
        let one = Counts { nodes: 1, cached: 1, ..Counts::default() };
        assert_eq!(summed(&sample::sum("prep", NodeKind::Workflow, one), None), "1 node: 1 cached");
        assert_eq!(
            summed(&sample::sum("each", NodeKind::Elements, Counts::default()), Some(0)),
            "0 elements"
        );
        assert_eq!(summed(&sample::executed("hash"), None), "");
    }

    #[test]
    fn use_of_resources_is_told_as_far_as_it_is_known() {
        assert_eq!(usage(Usage { cpu_ms: Some(61_000), peak_memory: Some(3 << 29) }), "cpu 1m 01s, 1.5 GiB");
        assert_eq!(usage(Usage { cpu_ms: Some(4), peak_memory: None }), "cpu 4ms");
        assert_eq!(usage(Usage::default()), "");
    }

    #[test]
    fn details_are_inert_and_complete() {
        let mut node = sample::failed("train");
        node.index = Some(3);
        node.error = Some(TaskError {
            message: "output `a` is missing\nfound: \x1b[2Jb".into(),
            tail: vec!["\x1b[31mTraceback\x1b[0m".into(), "\tboom".into()],
            ..TaskError::new(TaskErrorKind::Output, "")
        });
        node.log = Some("/logs/train".into());
        assert_eq!(node.failure(), "output `a` is missing after 2 attempts");
        assert_eq!(
            details(&node, "k3v9", Ink(false)),
            "  found: b\n  │ Traceback\n  │     boom\n  log:  /logs/train\n  more: runner logs k3v9 train --index 3\n"
        );
    }
}
