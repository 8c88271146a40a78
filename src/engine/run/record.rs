//! A result on its way into the cache: recorded, acknowledged, and only then reported.

use serde_json::Value as Json;

use super::cost::AttemptCost;
use super::{Engine, InFlight};
use crate::core::digest::Digest;
use crate::core::event::{CacheStatus, Event, NodeFinished, Status, StoredAs, Warning};
use crate::core::value::Value;
use crate::engine::attempt::perform::{Success, log_path};
use crate::engine::lookup::cache::to_record;
use crate::engine::schedule::{UnitId, UnitState};
use crate::engine::scope::frames::NodeInstance;
use crate::storage::contents::{Execution, NamedFile};
use crate::storage::memo::{FoundResult, MemoEntry};
use crate::storage::writer::{Acknowledged, MemoRow, NewResult};

/// The end of a unit, to be reported once its result is stored.
pub(super) struct StoredEnd {
    pub event: NodeFinished,
    /// The status if the result is stored.
    pub stored: CacheStatus,
    /// Whether it is to be uploaded then.
    pub uploads: bool,
    /// Identical work goes on waiting until the result is there to be found.
    pub _held: Option<Box<dyn Send>>,
    /// What the attempt left elsewhere, until the result is safe.
    pub _hold: Option<Box<dyn Send>>,
}

impl Engine {
    /// An attempt succeeded: its result is recorded, or reported at once where there is nothing to record.
    pub(super) fn succeed(
        &mut self,
        unit: UnitId,
        spot: &NodeInstance,
        flight: InFlight,
        success: Success,
        took: AttemptCost,
    ) {
        for note in success.notes {
            self.bus.warn(Some(spot.label()), note);
        }
        let log = log_path(&self.context.logs, &spot.name, spot.event_index(), flight.attempts);
        let mut event = NodeFinished {
            cache: Some(flight.cache),
            key: flight.key,
            attempts: flight.attempts,
            duration_ms: took.duration_ms,
            cpu_ms: took.usage.cpu_ms,
            peak_memory: took.usage.peak_memory,
            outputs: self.outputs_json(spot, &success.outputs),
            log: Some(log.display().to_string()),
            ..flight.placed(self.finished(spot, Status::Succeeded, &flight.inputs))
        };
        (event.reason, event.why) = (flight.reason, flight.why);
        let mut key = flight.key.filter(|_| self.options.mode.writes());
        let is_sure = success.changed.is_none() && success.unseen.is_none() && success.unstorable.is_none();
        if is_sure && key.is_none() {
            event.work = Some(flight.work);
        }
        let changed = success.changed.map(|path| {
            format!("{} changed while the task ran: its result was used, but not stored", path.display())
        });
        let unseen = success.unseen.map(|path| {
            format!(
                "{} was loaded by a name that only the run knew, so that changes of it would not count: the result was used, \
                 but not stored; put the file in `sources`",
                path.display()
            )
        });
        if let Some(reason) = changed.or(unseen).or(success.unstorable)
            && key.take().is_some()
        {
            self.bus.warn(Some(spot.label()), reason.clone());
            event.reason = Some(reason);
        }
        let mut row = key.and_then(|key| self.row(spot, key, &event, &success.outputs));
        if let Some(row) = &mut row {
            row.upload = self.upload_wish(spot, &success.outputs, flight.replaces);
        }
        let files = self.files_of(spot, &flight.inputs, &success.outputs, &event);
        if row.is_none() && success.blobs.is_empty() {
            if let Some(files) = files {
                self.recorder.files(files);
            }
            self.tell(unit, event);
        } else {
            let stored = match flight.cache {
                CacheStatus::Miss if row.is_some() => CacheStatus::Populated,
                other => other,
            };
            if let Some(row) = &row {
                event.stored = Some(Box::new(StoredAs {
                    version: row.entry.version.clone(),
                    definition: row.entry.found.definition,
                    interface: row.entry.interface,
                }));
                self.cache.add_pending(&row.entry, &success.outputs);
            }
            // Counted now: what it belongs to may end before the result is stored.
            self.count(unit, &event);
            self.bus.hold(unit);
            let uploads = row.as_ref().is_some_and(|row| row.upload.is_some());
            self.unacknowledged
                .insert(unit, StoredEnd { event, stored, uploads, _held: flight.held, _hold: success.hold });
            self.recorder.result(NewResult { unit, row: row.map(Box::new), blobs: success.blobs, files });
        }
        self.keep_outputs(unit, success.outputs);
        self.finish(unit, UnitState::Succeeded, "");
    }

    /// The files that a node used and made; `None` if it had nothing to do with any.
    pub(super) fn files_of(
        &self,
        spot: &NodeInstance,
        inputs: &[Value],
        outputs: &[Value],
        event: &NodeFinished,
    ) -> Option<Box<Execution>> {
        let task = spot.node().task()?;
        let used = NamedFile::all(task.inputs.iter().map(|input| &*input.name), inputs);
        let made = NamedFile::all(task.outputs.iter().map(|output| &*output.name), outputs);
        (!used.is_empty() || !made.is_empty()).then(|| {
            Box::new(Execution {
                run: self.context.run,
                node: spot.label(),
                task: task.name.clone(),
                key: event.key,
                time: event.time,
                used,
                made,
            })
        })
    }

    /// What the memo is to keep of a result.
    pub(super) fn row(
        &self,
        spot: &NodeInstance,
        key: Digest,
        event: &NodeFinished,
        outputs: &[Value],
    ) -> Option<MemoRow> {
        let task = spot.node().task()?;
        let state = self.cache.task(task, &self.files).ok()?;
        let names = task.outputs.iter().map(|output| &*output.name);
        let entry = MemoEntry {
            key,
            project: self.context.scope.project.clone(),
            domain: self.context.scope.domain.clone(),
            task: task.name.clone(),
            version: state.version.to_string(),
            inputs: Json::Object(event.inputs.clone()).to_string(),
            interface: Some(state.interface_digest),
            found: FoundResult {
                definition: state.definition_digest,
                outputs: Json::Object(to_record(names, outputs)).to_string(),
                run: self.context.run,
                node: spot.label(),
                created: event.time,
                duration_ms: event.duration_ms,
                provenance: None,
                used: event.time,
            },
        };
        let definition = Some(state.definition.clone());
        Some(MemoRow { entry, definition, interface: state.interface.clone(), upload: None })
    }

    /// A result that was found under a name that the task had before is stored under the one that it has now.
    pub(super) fn record_alias(
        &self,
        unit: UnitId,
        spot: &NodeInstance,
        key: Digest,
        event: &NodeFinished,
        found: FoundResult,
    ) {
        let Some(mut row) = self.row(spot, key, event, &[]) else { return };
        (row.entry.found, row.definition) = (found, None);
        // No unit waits for this row: without it the next lookup uses the alias again.
        self.recorder.result(NewResult { unit, row: Some(Box::new(row)), blobs: Vec::new(), files: None });
    }

    /// The writer has stored a result, or could not.
    pub(super) fn acknowledged(&mut self, answer: Acknowledged) {
        let Some(StoredEnd { mut event, stored, uploads, .. }) = self.unacknowledged.remove(&answer.unit)
        else {
            return;
        };
        if let Some(key) = &event.key {
            self.cache.remove_pending(key);
        }
        let mut events = Vec::with_capacity(2);
        match answer.result {
            Ok(()) => {
                if let (Some(remote), Some(key), true) = (&self.remote, event.key, uploads) {
                    remote.upload(key);
                }
                event.cache = Some(stored);
                event.reason = event.reason.filter(|_| stored != CacheStatus::Populated);
            }
            Err(problem) => {
                let reason = format!("its result could not be stored: {problem}");
                let label = event.path().to_string();
                events.push(Event::Warning(Warning {
                    time: event.time,
                    message: reason.clone(),
                    node: Some(label),
                }));
                event.cache = event.cache.map(|cache| match cache {
                    CacheStatus::Disabled | CacheStatus::Hit => cache,
                    _ => CacheStatus::PutFailure,
                });
                event.reason = Some(reason);
                event.stored = None;
            }
        }
        events.push(Event::NodeFinished(event));
        self.bus.settle(answer.unit, events);
    }
}
