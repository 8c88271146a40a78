//! From a receipt to a run: its events, its history and its outputs, made from those of the earlier run.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior};
use serde_json::Map as JsonMap;

use super::super::cap;
use super::super::collect::after_run;
use super::super::home::HomeWriter;
use super::super::receipt::{
    EventLines, PendingReceipt, Receipt, ReceiptKey, ReceiptOutput, StandingReceipt, standing, time_at,
};
use super::RunResult;
use crate::core::event::{Event, ExecutorCalls, RemoteCounts, RunFinished, RunStarted, Status, Warning};
use crate::core::reporter::Reporter;
use crate::core::run_id::RunId;
use crate::core::types::Type;
use crate::core::value::Value;
use crate::engine::{PublishedOutput, Summary, stage_output};
use crate::storage::db;
use crate::storage::gc::{self, footprint};
use crate::storage::history::invocation::{Beginning, record_beginning, write_copy};
use crate::storage::history::{self, is_known};
use crate::storage::home::Home;
use crate::storage::own_file;
use crate::storage::receipts::{self, KeptReceipt};
use crate::storage::store::Store;

/// Runs a request whose receipt stands.
///
/// # Errors
/// There is none, or it does not stand: no listener has heard an event, and the run goes the full way.
pub fn honour(
    key: ReceiptKey,
    workflow: &Path,
    home: Option<&Path>,
    listeners: impl FnOnce() -> Vec<Box<dyn Reporter>>,
) -> Result<RunResult, Box<PendingReceipt>> {
    let mut pending = Box::new(PendingReceipt { key, reader: None, warnings: Vec::new() });
    again(&mut pending, workflow, home, listeners).ok_or(pending)
}

fn again(
    pending: &mut PendingReceipt,
    workflow: &Path,
    home: Option<&Path>,
    listeners: impl FnOnce() -> Vec<Box<dyn Reporter>>,
) -> Option<RunResult> {
    let cap = cap::from_environment().ok()?;
    pending.reader = db::peek(Home::locate(home).ok()?.path());
    let StandingReceipt { kept, receipt, evidence } =
        standing(&pending.key, workflow, pending.reader.as_ref()?)?;
    let HomeWriter { home, mut db, store, warnings } = HomeWriter::open(home).ok()?;
    pending.reader = None;
    pending.warnings = warnings;
    if !evidence.holds_in(&store) {
        let _ = receipts::forget(&db, &pending.key.request);
        return None;
    }
    let run = RunId::make();
    let lock = home.begin_run(run).ok()?;
    let replay = Replay::new(run, &receipt, &home, &store, &pending.warnings).and_then(|replay| {
        record(&mut db, &pending.key, &kept, &receipt, &replay, &home)?;
        Some(replay)
    });
    home.sweep_scratch(run);
    drop(lock);
    let Some(replay) = replay else {
        home.sweep_run(run);
        return None;
    };
    replay.report(listeners(), &receipt.lines);
    let footprint = footprint::read(&db).ok();
    db::trim_log(&db, home.path());
    drop(db);
    let (collected, warning) = after_run(&home, &store, footprint, cap);
    let summary = Summary {
        status: Status::Succeeded,
        counts: receipt.counts,
        saved_ms: receipt.saved_ms,
        duration_ms: replay.last.duration_ms,
        outputs: replay.outputs,
        signal: None,
        history: None,
        remote: replay.last.remote,
        relied: None,
    };
    let warnings = warning.into_iter().collect();
    Some(RunResult {
        run,
        summary,
        history: None,
        collected,
        warnings,
        missing: Vec::new(),
        left: Vec::new(),
    })
}

/// The events and the outputs of the run.
struct Replay {
    run: RunId,
    warnings: Vec<Event>,
    first: RunStarted,
    /// The lines between the first and the last event, each with a newline.
    lines: String,
    last: RunFinished,
    outputs: Vec<(String, PublishedOutput)>,
}

impl Replay {
    /// Copies the events of the earlier run, and puts the files of its outputs into the folder of this one.
    fn new(run: RunId, receipt: &Receipt, home: &Home, store: &Store, warnings: &[String]) -> Option<Self> {
        let time = Timestamp::now();
        let warning =
            |message: &String| Event::Warning(Warning { time, message: message.clone(), node: None });
        let text = events_of(&receipt.lines, home, receipt.started.run)?;
        let lines = at(middle_lines(&receipt.lines, &text)?, &receipt.lines.others, time)?;
        drop(text);
        let folder = home.outputs(run);
        let outputs: Option<Vec<_>> =
            receipt.outputs.iter().map(|output| publish_again(output, store, &folder)).collect();
        let outputs = outputs?;
        let finished = Timestamp::now();
        let last = RunFinished {
            time: finished,
            run,
            status: Status::Succeeded,
            // A clock that was set back meanwhile gives no time.
            duration_ms: u64::try_from(finished.duration_since(time).as_millis()).unwrap_or(0),
            counts: receipt.counts,
            saved_ms: receipt.saved_ms,
            outputs: outputs
                .iter()
                .map(|(name, handed)| (name.clone(), handed.event.clone()))
                .collect::<JsonMap<_, _>>(),
            remote: receipt.remote.then(RemoteCounts::default),
            executor_calls: receipt.started.executor.is_some().then(ExecutorCalls::default),
        };
        let first = RunStarted { time, run, ..receipt.started.clone() };
        Some(Self { run, warnings: warnings.iter().map(warning).collect(), first, lines, last, outputs })
    }

    /// Writes all events as they stand in the history.
    fn write(&self, mut file: File) -> io::Result<()> {
        let line = |event: &Event| event.to_line() + "\n";
        let warnings: String = self.warnings.iter().map(line).collect();
        file.write_all((warnings + &line(&Event::RunStarted(self.first.clone()))).as_bytes())?;
        file.write_all(self.lines.as_bytes())?;
        file.write_all(line(&Event::RunFinished(self.last.clone())).as_bytes())
    }

    fn report(&self, listeners: Vec<Box<dyn Reporter>>, lines: &EventLines) {
        let first = Event::RunStarted(self.first.clone());
        let last = Event::RunFinished(self.last.clone());
        for mut listener in listeners {
            let mut report = |event: &Event| listener.event(event, &event.to_line());
            self.warnings.iter().for_each(&mut report);
            report(&first);
            let mut others = lines.others.iter().peekable();
            let all = !listener.passes_over_hits();
            for (number, line) in (0_u32..).zip(self.lines.lines()) {
                let is_other = others.next_if_eq(&&number).is_some();
                if !all && others.peek().is_none() && !is_other {
                    break;
                }
                if (all || is_other)
                    && let Ok(event) = serde_json::from_str(line)
                {
                    listener.event(&event, line);
                }
            }
            listener.event(&last, &last.to_line());
        }
    }
}

/// The events of a run.
fn events_of(lines: &EventLines, home: &Home, run: RunId) -> Option<Vec<u8>> {
    /// Room for the first and the last event, in bytes.
    const MORE: u64 = 64 << 20;
    own_file::read(&home.events(run), lines.bytes + MORE).ok()
}

/// The lines between the first and the last event, if their checksum is right.
fn middle_lines<'e>(lines: &EventLines, events: &'e [u8]) -> Option<&'e str> {
    let begin = memchr::memchr(b'\n', events)? + 1;
    let text = events.get(begin..)?.get(..usize::try_from(lines.bytes).ok()?)?;
    (crc32fast::hash(text) == lines.crc).then_some(())?;
    str::from_utf8(text).ok()
}

/// The same lines with another time; nodes that sum up others take no time.
fn at(lines: &str, others: &[u32], time: Timestamp) -> Option<String> {
    let text = time.to_string();
    let mut again = String::with_capacity(lines.len() + lines.len() / 16);
    let mut others = others.iter().peekable();
    let (mut rest, mut number) = (lines, 0_u32);
    while !rest.is_empty() {
        let (line, next) = rest.split_at(memchr::memchr(b'\n', rest.as_bytes())? + 1);
        if others.next_if_eq(&&number).is_some() {
            let mut event: Event = serde_json::from_str(line).ok()?;
            match &mut event {
                Event::NodeFinished(node) => (node.time, node.duration_ms) = (time, 0),
                Event::NodeExpanded(node) => node.time = time,
                _ => return None,
            }
            again.push_str(&event.to_line());
            again.push('\n');
        } else {
            let (before, after) = line.split_at(time_at(line)?);
            let (_, after) = after.split_at(memchr::memchr(b'"', after.as_bytes())?);
            again.push_str(before);
            again.push_str(&text);
            again.push_str(after);
        }
        (rest, number) = (next, number.checked_add(1)?);
    }
    Some(again)
}

fn publish_again(output: &ReceiptOutput, store: &Store, folder: &Path) -> Option<(String, PublishedOutput)> {
    let value = Value::from_json(&Type::parse(&output.ty).ok()?, &output.value).ok()?;
    let places = match &output.places {
        Some(places) => places.clone(),
        None => stage_output(&output.name, &value, store, folder).ok()?,
    };
    Some((output.name.clone(), PublishedOutput::of(value, places)))
}

/// Records the run as a whole, if the receipt still stands: its events, and its rows in one transaction.
fn record(
    db: &mut Connection,
    key: &ReceiptKey,
    kept: &KeptReceipt,
    receipt: &Receipt,
    replay: &Replay,
    home: &Home,
) -> Option<()> {
    let Replay { run, first, last, .. } = replay;
    let beginning = Beginning {
        run: history::Run {
            id: *run,
            workflow: first.workflow.clone(),
            path: receipt.path.clone(),
            project: first.project.clone(),
            domain: first.domain.clone(),
            status: last.status.name().into(),
            started: first.time,
            finished: Some(first.time + Duration::from_millis(last.duration_ms)),
            counts: last.counts,
            saved_ms: last.saved_ms,
        },
        invocation: receipt.invocation.clone(),
        texts: Vec::new(),
    };
    let _ = write_copy(&home.request(*run), &beginning.invocation);
    replay.write(home.create_events(*run).ok()?).ok()?;
    // History need not survive a power cut.
    db.execute_batch("PRAGMA synchronous = NORMAL").ok()?;
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate).ok()?;
    let stands = receipts::stands(&transaction, &key.request, kept).ok()?
        && is_known(&transaction, receipt.started.run);
    stands.then_some(())?;
    record_beginning(&transaction, &beginning).ok()?;
    footprint::record_run(&transaction, *run, gc::of_run(home, *run)).ok()?;
    transaction.commit().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::NodeFinished;
    use crate::view::sample;

    #[test]
    fn lines_get_another_time() {
        let node = |time: &str, name: &str| {
            let hit = NodeFinished { time: time.parse().unwrap(), ..sample::hit(name) };
            let sum = NodeFinished { duration_ms: 9, ..hit.clone() };
            (Event::NodeFinished(hit).to_line() + "\n", Event::NodeFinished(sum).to_line() + "\n")
        };
        let (old, now) = ("2026-01-02T03:04:05.123Z", "2026-02-03T04:05:06Z");
        let ((hit, sum), (hit_now, _)) = (node(old, "\"time\":\"x"), node(now, "\"time\":\"x"));
        let at = |lines: &str, others: &[u32]| at(lines, others, now.parse().unwrap());
        assert_eq!(at(&format!("{hit}{sum}{hit}"), &[1]).unwrap(), hit_now.repeat(3));
        assert_eq!(at("", &[]).unwrap(), "");
        for torn in [&hit[..hit.len() - 1], "{}\n", "x"] {
            assert_eq!(at(torn, &[]), None, "{torn}");
        }
    }
}
