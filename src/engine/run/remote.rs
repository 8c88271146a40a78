//! The shared cache in a run: a unit that misses here asks there, without a slot; what comes is a hit like any other. The end
//! of the run waits for uploads, but not for long.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;
use tokio::sync::mpsc::UnboundedReceiver;

use super::finish::DOOMED;
use super::record::StoredEnd;
use super::{Engine, InFlight, Interrupt};
use crate::core::clock::millis;
use crate::core::digest::Digest;
use crate::core::event::{CacheStatus, Event, NodeFinished, RunUploading, Status};
use crate::core::provenance::Provenance;
use crate::core::value::Value;
use crate::engine::lookup::cache::source_of;
use crate::engine::lookup::decision::Miss;
use crate::engine::lookup::identity::TaskIdentity;
use crate::engine::schedule::{UnitId, UnitState};
use crate::engine::scope::frames::NodeInstance;
use crate::storage::memo::{FoundResult, UNKNOWN_DEFINITION, Version};
use crate::storage::remote::{Fetched, FetchedResult, RemoteLookup, RemoteMessage, RemoteSession};
use crate::storage::upload_queue::UploadWish;
use crate::storage::writer::NewResult;
use crate::workflow::Task;

/// How long the end of a run waits for uploads before it says so, and how often it says how many are left.
const FIRST_WORDS: Duration = Duration::from_millis(500);
const WORDS_EVERY: Duration = Duration::from_secs(1);

/// The next report of the shared cache; never one without it.
pub(super) async fn next(remote: &mut Option<RemoteSession>) -> Option<RemoteMessage> {
    match remote {
        Some(remote) => remote.next().await,
        None => std::future::pending().await,
    }
}

impl Engine {
    /// What to ask the shared cache for a task that missed here; nothing where it is not read.
    pub(super) fn question(
        &self,
        task: &Task,
        identity: &TaskIdentity,
        key: &Digest,
    ) -> Option<RemoteLookup> {
        let remote = self.remote.as_ref().filter(|remote| remote.cache().mode.reads())?;
        if task.cache.is_local || remote.is_off() {
            return None;
        }
        Some(RemoteLookup {
            key: *key,
            project: self.context.scope.project.clone(),
            domain: self.context.scope.domain.clone(),
            task: task.name.clone(),
            interface: identity.interface_digest,
            max_age: task.cache.max_age.and_then(|age| SignedDuration::try_from(age).ok()),
        })
    }

    /// Asks the shared cache; `missed` is why the lookup here missed.
    pub(super) fn ask_remote(&mut self, unit: UnitId, flight: InFlight, missed: Miss, wanted: RemoteLookup) {
        self.in_flight.insert(unit, flight);
        self.asked.insert(unit, missed);
        if let Some(remote) = &self.remote {
            remote.ask(unit, wanted);
        }
    }

    /// The shared cache reports.
    pub(super) fn heard(&mut self, message: RemoteMessage) {
        match message {
            RemoteMessage::Answer(unit, fetched) => {
                self.answered(unit, fetched);
                self.close_ended();
            }
            RemoteMessage::Unshared(key, problem) => {
                let key = &key.hex()[..12];
                self.bus.warn(None, format!("the result {key} cannot be shared: {problem}"));
            }
            RemoteMessage::Warning(text) => self.bus.warn(None, text),
            RemoteMessage::Idle => {}
        }
    }

    fn answered(&mut self, unit: UnitId, fetched: Fetched) {
        let Some(missed) = self.asked.remove(&unit) else { return };
        if self.scheduler.state(unit) != UnitState::Taken || self.scheduler.is_stopped() {
            return; // It ended when the run stopped.
        }
        if self.is_doomed(unit) {
            self.settle_idle(unit, Status::Cancelled, DOOMED);
            return self.finish(unit, UnitState::Cancelled, "was cancelled");
        }
        let (Some(spot), Some(mut flight)) = (self.spot(unit), self.in_flight.remove(&unit)) else { return };
        let Some(task) = spot.node().task() else { return };
        match fetched {
            Fetched::Absent => {}
            Fetched::Found(result) => match self.take_in(unit, &spot, task, flight, *result) {
                None => return,
                Some(left) => flight = left,
            },
            Fetched::Refused(warning) => {
                self.bus.warn(Some(spot.label()), warning);
                flight.replaces = true;
            }
            Fetched::Failed(fault) => {
                if let Some(warning) = self.remote.as_ref().and_then(|remote| remote.trouble(&fault)) {
                    self.bus.warn(None, warning);
                }
            }
        }
        self.missed(unit, &spot, task, flight, missed);
    }

    /// A result has come: it is stored here, and a hit. If it does not fit the task, the unit goes on.
    fn take_in(
        &mut self,
        unit: UnitId,
        spot: &NodeInstance,
        task: &Task,
        mut flight: InFlight,
        result: FetchedResult,
    ) -> Option<InFlight> {
        let FetchedResult { entry, blobs } = result;
        let (Some(remote), Ok(identity)) = (&self.remote, self.cache.task(task, &self.files)) else {
            return Some(flight);
        };
        let definition = match &identity.version {
            Version::Automatic(definition) => *definition,
            // A pinned version stands for more than one definition.
            Version::Pinned(_) => UNKNOWN_DEFINITION,
        };
        let provenance = Provenance { remote: Some(remote.cache().url.to_string()), ..Provenance::default() };
        let found = FoundResult {
            definition,
            outputs: Json::Object(entry.outputs).to_string(),
            run: entry.source.run,
            node: entry.source.node,
            created: entry.created,
            duration_ms: entry.duration_ms,
            provenance: provenance.to_record(),
            used: Timestamp::now(),
        };
        let outputs = match self.cache.usable(task, &found) {
            Ok(outputs) => outputs,
            Err(miss) => {
                if !matches!(miss, Miss::Aged { .. } | Miss::FromFuture { .. }) {
                    remote.count_refused();
                    let place = remote.entry_place(&entry.key);
                    self.bus.warn(Some(spot.label()), format!("{place} is not used: {miss}"));
                    flight.replaces = true;
                }
                return Some(flight);
            }
        };
        remote.count_hit();
        let event = NodeFinished {
            cache: Some(CacheStatus::Hit),
            key: flight.key,
            saved_ms: found.duration_ms,
            outputs: self.outputs_json(spot, &outputs),
            source: Some(source_of(found.clone())),
            ..self.finished(spot, Status::Succeeded, &flight.inputs)
        };
        let key = flight.key.filter(|_| self.options.mode.writes());
        let row = key.and_then(|key| self.row(spot, key, &event, &[])).map(|mut row| {
            row.definition = row.definition.filter(|_| found.definition != UNKNOWN_DEFINITION);
            row.entry.found = found;
            Box::new(row)
        });
        let files = self.files_of(spot, &flight.inputs, &outputs, &event);
        if let Some(row) = &row {
            self.cache.add_pending(&row.entry, &outputs);
        }
        self.count(unit, &event);
        self.bus.hold(unit);
        let stored = CacheStatus::Hit;
        self.unacknowledged
            .insert(unit, StoredEnd { event, stored, uploads: false, _held: flight.held, _hold: None });
        self.recorder.result(NewResult { unit, row, blobs, files });
        self.keep_outputs(unit, outputs);
        self.finish(unit, UnitState::Succeeded, "");
        None
    }

    /// That a result is to be uploaded, if others may have it.
    pub(super) fn upload_wish(
        &self,
        spot: &NodeInstance,
        outputs: &[Value],
        replaces: bool,
    ) -> Option<UploadWish> {
        let remote = self.remote.as_ref()?;
        if spot.node().task().is_none_or(|task| task.cache.is_local) {
            return None;
        }
        let (mut size, mut is_inside) = (0_u64, true);
        for value in outputs {
            value.for_each_artifact(&mut |artifact, _| {
                size = size.saturating_add(artifact.size);
                is_inside &= artifact.origin.is_none();
            });
        }
        remote.wish(size, replaces).filter(|_| is_inside)
    }

    /// Waits until what is uploaded has got there, for as long as the settings allow. An interrupt ends the wait: what is
    /// left stays queued.
    pub(super) async fn await_uploads(&mut self, interrupts: &mut UnboundedReceiver<Interrupt>) {
        if self.interrupt.is_none() {
            self.uploads_end(interrupts).await;
        }
        // What was reported meanwhile.
        while let Some(message) = self.remote.as_mut().and_then(RemoteSession::reported) {
            self.heard(message);
        }
        // Where the remote does not work, the warning that says so is enough.
        let Some(remote) = self.remote.as_ref().filter(|remote| !remote.has_warned()) else { return };
        let left = remote.uploads_left();
        if left > 0 {
            let results = if left == 1 { "1 result is".to_owned() } else { format!("{left} results are") };
            let url = remote.cache().url.clone();
            self.bus.warn(
                None,
                format!("{results} not uploaded to {url} yet: the next run or `runner cache push` goes on"),
            );
        }
    }

    async fn uploads_end(&mut self, interrupts: &mut UnboundedReceiver<Interrupt>) {
        let Some(remote) = self.remote.as_ref().filter(|remote| remote.uploads_left() > 0) else { return };
        self.bus.flush();
        remote.hurry();
        let url = remote.cache().url.to_string();
        let end = Instant::now() + remote.upload_wait();
        let mut words = tokio::time::interval_at((Instant::now() + FIRST_WORDS).into(), WORDS_EVERY);
        loop {
            let left = self.remote.as_ref().map_or(0, RemoteSession::uploads_left);
            if left == 0 {
                break;
            }
            tokio::select! {
                Some(message) = next(&mut self.remote) => self.heard(message),
                Some(_) = interrupts.recv() => break,
                () = tokio::time::sleep_until(end.into()) => break,
                _ = words.tick() => {
                    let wait_ms = millis(end.saturating_duration_since(Instant::now()));
                    let time = self.clock.now();
                    self.bus.emit(Event::RunUploading(RunUploading { time, remote: url.clone(), left, wait_ms }));
                    self.bus.flush();
                }
            }
        }
    }
}
