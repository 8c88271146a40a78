//! Runs, and the nodes of a run, as comma-separated values (RFC 4180) for spreadsheets and scripts.
//!
//! The columns are a promise to scripts: others may join at the end, none is renamed or moved. Times are RFC 3339 in UTC,
//! durations milliseconds, sizes bytes; what is not known is empty. A line ends with a newline alone.
//!
//! Rows are written as the events are read, without a `RunState`: memory holds only the units that have not ended.

use std::collections::HashMap;
use std::io::{self, Write};

use jiff::Timestamp;

use crate::core::digest::Digest;
use crate::core::event::{Event, NodeFinished, NodeKind};
use crate::view::model::run_row::RunRow;

const RUN_COLUMNS: [&str; 14] = [
    "run",
    "workflow",
    "project",
    "domain",
    "status",
    "started",
    "duration_ms",
    "nodes",
    "executed",
    "cached",
    "failed",
    "skipped",
    "cancelled",
    "saved_ms",
];

const NODE_COLUMNS: [&str; 19] = [
    "node",
    "index",
    "task",
    "kind",
    "status",
    "cache",
    "key",
    "attempts",
    "started",
    "finished",
    "duration_ms",
    "cpu_ms",
    "peak_memory",
    "saved_ms",
    "error_kind",
    "exit_code",
    "message",
    "source_run",
    "source_node",
];

/// One row a run, in their order, below a row of names.
pub fn runs(rows: &[RunRow]) -> String {
    let mut text = line(&RUN_COLUMNS.map(str::to_owned));
    for row in rows {
        let counts = &row.counts;
        text.push_str(&line(&[
            row.id.to_string(),
            row.workflow.clone(),
            row.project.clone(),
            row.domain.clone(),
            row.status.clone(),
            row.started.to_string(),
            shown(row.duration_ms),
            counts.nodes.to_string(),
            counts.executed.to_string(),
            counts.cached.to_string(),
            counts.failed.to_string(),
            counts.skipped.to_string(),
            counts.cancelled.to_string(),
            row.saved_ms.to_string(),
        ]));
    }
    text
}

/// One row for each node and element of a run, in the order in which they ended, below a row of names; last come those
/// that have not ended, with `status` as theirs.
///
/// # Errors
/// Those of `out`.
pub fn nodes(out: &mut impl Write, events: impl Iterator<Item = Event>, status: &str) -> io::Result<()> {
    out.write_all(line(&NODE_COLUMNS.map(str::to_owned)).as_bytes())?;
    // When the first attempt of each node that goes on began.
    let mut open: HashMap<(String, Option<u64>), Timestamp> = HashMap::new();
    for event in events {
        match event {
            Event::NodeStarted(node) => {
                open.entry((node.node, node.index)).or_insert(node.time);
            }
            Event::NodeFinished(node) => {
                let started = open.remove(&(node.node.clone(), node.index));
                out.write_all(line(&row(&node, started)).as_bytes())?;
            }
            _ => {}
        }
    }
    let mut open: Vec<_> = open.into_iter().collect();
    open.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
    for ((node, index), started) in open {
        let mut row = [const { String::new() }; NODE_COLUMNS.len()];
        (row[0], row[1], row[4], row[8]) = (node, shown(index), status.to_owned(), started.to_string());
        out.write_all(line(&row).as_bytes())?;
    }
    out.flush()
}

fn row(node: &NodeFinished, started: Option<Timestamp>) -> [String; NODE_COLUMNS.len()] {
    let kind = match node.kind {
        NodeKind::Task => "task",
        NodeKind::Elements => "elements",
        NodeKind::Workflow => "workflow",
    };
    let (error, source) = (node.error.as_ref(), node.source.as_ref());
    [
        node.node.clone(),
        shown(node.index),
        node.task.clone(),
        kind.into(),
        node.status.to_string(),
        shown(node.cache),
        node.key.as_ref().map(Digest::hex).unwrap_or_default(),
        node.attempts.to_string(),
        shown(started),
        node.time.to_string(),
        node.duration_ms.to_string(),
        shown(node.cpu_ms),
        shown(node.peak_memory),
        node.saved_ms.to_string(),
        shown(error.map(|error| error.kind)),
        shown(error.and_then(|error| error.exit_code)),
        error.map(|error| error.message.clone()).unwrap_or_default(),
        shown(source.map(|source| source.run)),
        source.map(|source| source.node.clone()).unwrap_or_default(),
    ]
}

fn shown(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// Fields as a line. One that holds a comma, a quote or a line break stands in quotes, with its quotes doubled.
fn line(fields: &[String]) -> String {
    let mut text = String::new();
    for (i, field) in fields.iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        match field.contains([',', '"', '\n', '\r']) {
            true => text.push_str(&format!("\"{}\"", field.replace('"', "\"\""))),
            false => text.push_str(field),
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::sample;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        let fields = ["a", "b,c", "say \"x\"", "two\nlines", "", " "].map(str::to_owned);
        assert_eq!(line(&fields), "a,\"b,c\",\"say \"\"x\"\"\",\"two\nlines\",, \n");
    }

    #[test]
    fn nodes_that_ended_come_first_and_those_that_go_on_last() {
        let mut events = sample::failed_run();
        events.pop();
        events.push(sample::node_started("late", 1, 0));
        let mut text = Vec::new();
        nodes(&mut text, events.into_iter(), "interrupted").unwrap();
        let text = String::from_utf8(text).unwrap();
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
        assert!(rows.iter().all(|row| row.len() == NODE_COLUMNS.len()), "{text}");
        let ends: Vec<_> = rows[1..].iter().map(|row| (row[0], row[4])).collect();
        assert_eq!(ends[0], ("fetch", "succeeded"));
        assert_eq!(ends.last(), Some(&("late", "interrupted")));
        let train = rows.iter().find(|row| row[0] == "train").unwrap();
        assert_eq!((train[4], train[7], train[14], train[15]), ("failed", "2", "exit", "3"));
    }
}
