//! From a receipt to a run: what the earlier run told is told again, recorded and handed back.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior};
use serde_json::Map as JsonMap;

use super::super::cap;
use super::super::collect::after_run;
use super::super::home::HomeWriter;
use super::super::receipt::{
    Receipt, ReceiptKey, ReceiptOutput, StandingReceipt, ToldLines, standing, time_at,
};
use super::RunResult;
use crate::core::event::{Event, RunFinished, RunStarted, Status, Warning};
use crate::core::reporter::Reporter;
use crate::core::run_id::RunId;
use crate::core::types::Type;
use crate::core::value::Value;
use crate::engine::{PublishedOutput, Relied, Summary, stage_output};
use crate::storage::db;
use crate::storage::gc::{self, footprint};
use crate::storage::history::invocation::{Beginning, record_beginning, write_copy};
use crate::storage::history::{self, is_known};
use crate::storage::home::Home;
use crate::storage::own_file;
use crate::storage::receipts::{self, KeptReceipt};
use crate::storage::store::Store;

/// Runs a request whose receipt stands; `None` if there is none, and then nobody was told anything and nothing is left behind.
pub fn honour(
    key: &ReceiptKey,
    workflow: &Path,
    home: Option<&Path>,
    listeners: impl FnOnce() -> Vec<Box<dyn Reporter>>,
) -> Option<RunResult> {
    let started = Instant::now();
    let cap = cap::from_environment().ok()?;
    let StandingReceipt { kept, receipt, evidence, reader } =
        standing(key, workflow, &Home::locate(home).ok()?)?;
    let HomeWriter { home, mut db, store, warnings } = HomeWriter::open(home).ok()?;
    drop(reader);
    if !evidence.holds_in(&store) {
        let _ = receipts::forget(&db, &key.request);
        return None;
    }
    let run = RunId::make();
    let lock = home.begin_run(run).ok()?;
    let said = Said::again(run, &receipt, &home, &store, warnings, started)
        .and_then(|said| record(&mut db, &kept, &receipt, &said, &home).is_some().then_some(said));
    home.sweep_scratch(run);
    drop(lock);
    let Some(said) = said else {
        home.sweep_run(run);
        return None;
    };
    said.tell(listeners(), &receipt.told);
    let footprint = footprint::read(&db).ok();
    db::trim_log(&db, home.path());
    drop(db);
    let (collected, warning) = match gc::is_due(&store, footprint, cap) {
        true => after_run(&home, &store, footprint, cap),
        false => (None, None),
    };
    let summary = Summary {
        status: Status::Succeeded,
        counts: receipt.counts,
        saved_ms: receipt.saved_ms,
        duration_ms: said.last.duration_ms,
        outputs: said.outputs,
        signal: None,
        history: None,
        relied: Relied::default(),
    };
    let warnings = warning.into_iter().collect();
    Some(RunResult { run, summary, history: None, collected, warnings, missing: Vec::new() })
}

/// What the run says: its events, and its outputs.
struct Said {
    run: RunId,
    warnings: Vec<Event>,
    first: RunStarted,
    /// The lines between the first and the last event, each with a newline.
    lines: String,
    last: RunFinished,
    outputs: Vec<(String, PublishedOutput)>,
}

impl Said {
    /// Says again what the earlier run said, and puts the files of its outputs where this one's belong.
    fn again(
        run: RunId,
        receipt: &Receipt,
        home: &Home,
        store: &Store,
        warnings: Vec<String>,
        started: Instant,
    ) -> Option<Self> {
        let time = Timestamp::now();
        let warning = |message| Event::Warning(Warning { time, message, node: None });
        let text = events_of(&receipt.told, home, receipt.started.run)?;
        let lines = at(told_lines(&receipt.told, &text)?, &receipt.told.others, time)?;
        drop(text);
        let folder = home.outputs(run);
        let outputs: Option<Vec<_>> =
            receipt.outputs.iter().map(|output| hand_back(output, store, &folder)).collect();
        let outputs = outputs?;
        let last = RunFinished {
            time: Timestamp::now(),
            run,
            status: Status::Succeeded,
            duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            counts: receipt.counts,
            saved_ms: receipt.saved_ms,
            outputs: outputs
                .iter()
                .map(|(name, handed)| (name.clone(), handed.event.clone()))
                .collect::<JsonMap<_, _>>(),
        };
        let first = RunStarted { time, run, ..receipt.started.clone() };
        Some(Self { run, warnings: warnings.into_iter().map(warning).collect(), first, lines, last, outputs })
    }

    /// Writes all events as they stand in the history.
    fn write(&self, mut file: File) -> io::Result<()> {
        let line = |event: &Event| event.to_line() + "\n";
        let warnings: String = self.warnings.iter().map(line).collect();
        file.write_all((warnings + &line(&Event::RunStarted(self.first.clone()))).as_bytes())?;
        file.write_all(self.lines.as_bytes())?;
        file.write_all(line(&Event::RunFinished(self.last.clone())).as_bytes())
    }

    fn tell(&self, listeners: Vec<Box<dyn Reporter>>, told: &ToldLines) {
        let first = Event::RunStarted(self.first.clone());
        let last = Event::RunFinished(self.last.clone());
        for mut listener in listeners {
            let mut tell = |event: &Event| listener.event(event, &event.to_line());
            self.warnings.iter().for_each(&mut tell);
            tell(&first);
            let mut others = told.others.iter().peekable();
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
fn events_of(told: &ToldLines, home: &Home, run: RunId) -> Option<Vec<u8>> {
    /// Room for the first and the last event, in bytes.
    const MORE: u64 = 64 << 20;
    own_file::read(&home.events(run), told.bytes + MORE).ok()
}

/// The lines that the run told between the first event and the last, from its events.
fn told_lines<'e>(told: &ToldLines, events: &'e [u8]) -> Option<&'e str> {
    let begin = memchr::memchr(b'\n', events)? + 1;
    let lines = events.get(begin..)?.get(..usize::try_from(told.bytes).ok()?)?;
    (crc32fast::hash(lines) == told.crc).then_some(())?;
    str::from_utf8(lines).ok()
}

/// The same lines, told at another time; what sums up others took no time now.
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

fn hand_back(output: &ReceiptOutput, store: &Store, folder: &Path) -> Option<(String, PublishedOutput)> {
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
    kept: &KeptReceipt,
    receipt: &Receipt,
    said: &Said,
    home: &Home,
) -> Option<()> {
    let Said { run, first, last, .. } = said;
    let beginning = Beginning {
        run: history::Run {
            id: *run,
            workflow: first.workflow.clone(),
            path: receipt.path.clone(),
            project: first.project.clone(),
            domain: first.domain.clone(),
            status: last.status.name().into(),
            started: first.time,
            finished: Some(last.time),
            counts: last.counts,
            saved_ms: last.saved_ms,
        },
        invocation: receipt.invocation.clone(),
        texts: Vec::new(),
    };
    let _ = write_copy(&home.request(*run), &beginning.invocation);
    said.write(home.create_events(*run).ok()?).ok()?;
    // History need not survive a power cut.
    db.execute_batch("PRAGMA synchronous = NORMAL").ok()?;
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate).ok()?;
    let stands =
        receipts::changes(&transaction).ok()? == kept.changes && is_known(&transaction, receipt.started.run);
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
    fn lines_are_told_at_another_time() {
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
