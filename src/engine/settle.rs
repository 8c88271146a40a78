//! How nodes end: hits, results on their way into the cache, failures and what follows from them.

use jiff::Timestamp;
use serde_json::{Map as JsonMap, Value as Json};

use super::attempt::{Ended, Success, log_path};
use super::cache::{Hit, to_record};
use super::{Engine, InFlight, millis, publish};
use crate::digest::Digest;
use crate::event::{AttemptFailed, CacheStatus, ErrorKind, Event, NodeFinished, Status, TaskError, Warning};
use crate::exec::Executor;
use crate::memo::{Entry, Found};
use crate::schedule::State;
use crate::workflow::value::Value;
use crate::writer::{Acknowledged, NewResult, Row};

/// What is told of a node once its result is stored.
pub(super) struct Settled {
    event: NodeFinished,
    /// The status if the result is stored.
    stored: CacheStatus,
}

impl<E: Executor + Send + Sync + 'static> Engine<'_, E> {
    /// A node that has its end from somewhere else than an attempt.
    fn finished(&self, node: usize, status: Status, inputs: &[Value]) -> NodeFinished {
        let task = self.workflow.task_of(node);
        NodeFinished {
            time: Timestamp::now(),
            node: self.name(node),
            index: None,
            task: task.name.clone(),
            status,
            cache: None,
            key: None,
            attempts: 0,
            duration_ms: 0,
            saved_ms: 0,
            outputs: JsonMap::new(),
            source: None,
            error: None,
            inputs: to_record(task.inputs.iter().map(|input| &*input.name), inputs),
            reason: None,
            log: None,
        }
    }

    fn tell(&mut self, event: NodeFinished) {
        self.counts.add(event.status, event.cache);
        self.bus.emit(Event::NodeFinished(event));
    }

    fn outputs_json(&self, node: usize, outputs: &[Value]) -> JsonMap<String, Json> {
        let names = self.workflow.task_of(node).outputs.iter().map(|output| output.name.to_string());
        names.zip(outputs.iter().map(|value| publish::in_store(&self.shared.store, value))).collect()
    }

    /// The cache had the result.
    pub(super) fn settle_hit(&mut self, node: usize, inputs: Vec<Value>, key: Digest, hit: Hit) {
        let event = NodeFinished {
            cache: Some(CacheStatus::Hit),
            key: Some(key),
            saved_ms: hit.duration_ms,
            outputs: self.outputs_json(node, &hit.outputs),
            source: Some(hit.source),
            ..self.finished(node, Status::Succeeded, &inputs)
        };
        self.saved_ms += hit.duration_ms;
        if let Some(warning) = hit.warning {
            self.bus.warn(Some(self.name(node)), warning);
        }
        self.values.set_outputs(node, hit.outputs);
        self.tell(event);
        self.scheduler.finish(node, State::Succeeded);
    }

    /// A node that never ran, and for which the scheduler knows already or will be told.
    pub(super) fn settle_idle(&mut self, node: usize, status: Status, reason: &str) {
        let flight = self.in_flight.remove(&node);
        let event = match flight {
            Some(flight) => NodeFinished {
                cache: Some(flight.cache),
                key: flight.key,
                attempts: flight.attempts,
                reason: Some(reason.into()),
                ..self.finished(node, status, &flight.inputs)
            },
            None => NodeFinished { reason: Some(reason.into()), ..self.finished(node, status, &[]) },
        };
        self.tell(event);
    }

    pub(super) fn skip_dependents(&mut self, nodes: Vec<usize>, cause: usize, what: &str) {
        let reason = format!("`{}` {what}", self.workflow.nodes[cause].name);
        for node in nodes {
            self.settle_idle(node, Status::Skipped, &reason);
        }
    }

    /// A node failed before there was anything to run.
    pub(super) fn fail_before(&mut self, node: usize, inputs: Vec<Value>, problem: String) {
        let error = TaskError::new(ErrorKind::Input, problem);
        let event = NodeFinished { error: Some(error), ..self.finished(node, Status::Failed, &inputs) };
        self.fail(node, event);
    }

    /// A node that was not selected, and whose outputs the cache does not have.
    pub(super) fn fail_supply(&mut self, node: usize, inputs: Vec<Value>, cache: CacheStatus) {
        let name = self.name(node);
        let why = match cache {
            CacheStatus::Disabled => "its task is not cached",
            CacheStatus::Skipped => "the cache is not read in this run",
            _ => "the cache does not have it",
        };
        let problem = format!(
            "`{name}` was not selected, but a selected node needs its result, and {why}: select `{name}` as well, \
             or use --until, which takes along what a node needs"
        );
        self.fail_before(node, inputs, problem);
    }

    fn fail(&mut self, node: usize, event: NodeFinished) {
        self.tell(event);
        let skipped = self.scheduler.finish(node, State::Failed);
        self.skip_dependents(skipped, node, "failed");
        if !self.order.keep_going {
            self.stop();
        }
    }

    /// Nothing new begins any more; nodes that rest before another attempt end now.
    pub(super) fn stop(&mut self) {
        if self.scheduler.is_stopped() {
            return;
        }
        self.scheduler.stop();
        let resting: Vec<usize> = self
            .in_flight
            .keys()
            .copied()
            .filter(|node| self.scheduler.state(*node) == State::Taken)
            .collect();
        for node in resting {
            self.settle_idle(node, Status::Cancelled, "the run stopped before its next attempt");
            let skipped = self.scheduler.finish(node, State::Cancelled);
            self.skip_dependents(skipped, node, "was cancelled");
        }
    }

    /// An attempt has ended: the node succeeds, tries again or fails.
    pub(super) fn attempt_ended(&mut self, ended: Ended) {
        let node = ended.node;
        let execution = self.workflow.execution_of(node);
        self.scheduler.release(node, &execution.resources);
        match ended.result {
            Ok(success) => {
                if let Some(flight) = self.in_flight.remove(&node) {
                    self.succeed(node, flight, success, millis(ended.duration));
                }
            }
            Err(error) => {
                let retryable = matches!(
                    error.kind,
                    ErrorKind::Exit | ErrorKind::Signal | ErrorKind::Timeout | ErrorKind::Output
                );
                let again = retryable && ended.attempt <= execution.retries && !self.scheduler.is_stopped();
                let wait = again.then(|| execution.wait_after(ended.attempt));
                self.bus.emit(Event::AttemptFailed(AttemptFailed {
                    time: Timestamp::now(),
                    node: self.workflow.nodes[node].name.to_string(),
                    index: None,
                    attempt: ended.attempt,
                    duration_ms: millis(ended.duration),
                    retry_in_ms: wait.map(millis),
                    error: error.clone(),
                }));
                match wait {
                    Some(wait) => {
                        let rested = self.rested.0.clone();
                        tokio::spawn(async move {
                            tokio::time::sleep(wait).await;
                            // Nobody listens when the run has ended meanwhile.
                            let _ = rested.send(node);
                        });
                    }
                    None => self.fail_attempted(node, error, millis(ended.duration)),
                }
            }
        }
    }

    fn fail_attempted(&mut self, node: usize, error: TaskError, duration_ms: u64) {
        let Some(flight) = self.in_flight.remove(&node) else { return };
        let cancelled = error.kind == ErrorKind::Cancelled;
        let event = NodeFinished {
            cache: Some(flight.cache),
            key: flight.key,
            attempts: flight.attempts,
            duration_ms,
            log: error.log.clone(),
            error: Some(error),
            ..self.finished(node, if cancelled { Status::Cancelled } else { Status::Failed }, &flight.inputs)
        };
        if !cancelled {
            return self.fail(node, event);
        }
        self.tell(event);
        let skipped = self.scheduler.finish(node, State::Cancelled);
        self.skip_dependents(skipped, node, "was cancelled");
    }

    fn succeed(&mut self, node: usize, flight: InFlight, success: Success, duration_ms: u64) {
        let name = self.name(node);
        for note in success.notes {
            self.bus.warn(Some(name.clone()), note);
        }
        let mut event = NodeFinished {
            cache: Some(flight.cache),
            key: flight.key,
            attempts: flight.attempts,
            duration_ms,
            outputs: self.outputs_json(node, &success.outputs),
            reason: flight.reason,
            log: Some(log_path(&self.shared.logs, &name, flight.attempts).display().to_string()),
            ..self.finished(node, Status::Succeeded, &flight.inputs)
        };
        let mut key = flight.key.filter(|_| self.order.mode.writes());
        if let Some(path) = success.changed {
            let reason =
                format!("{} changed while the task ran: its result was used, but not stored", path.display());
            if key.take().is_some() {
                self.bus.warn(Some(name.clone()), reason.clone());
                event.reason = Some(reason);
            }
        }
        let row = key.and_then(|key| self.row(node, key, &event, &success.outputs));
        if row.is_none() && success.blobs.is_empty() {
            self.tell(event);
        } else {
            let stored = match flight.cache {
                CacheStatus::Miss if row.is_some() => CacheStatus::Populated,
                other => other,
            };
            if let Some(row) = &row {
                self.cache.add_pending(&row.entry, &success.outputs);
            }
            self.bus.hold(node);
            self.unacknowledged.insert(node, Settled { event, stored });
            self.writer.result(NewResult { node, row: row.map(Box::new), blobs: success.blobs });
        }
        self.values.set_outputs(node, success.outputs);
        self.scheduler.finish(node, State::Succeeded);
    }

    /// What the memo is to keep of a result.
    fn row(&self, node: usize, key: Digest, event: &NodeFinished, outputs: &[Value]) -> Option<Row> {
        let task = self.workflow.task_of(node);
        let state = self.cache.task(node, &self.values.files).ok()?;
        let names = task.outputs.iter().map(|output| &*output.name);
        let entry = Entry {
            key,
            project: self.shared.scope.project.clone(),
            domain: self.shared.scope.domain.clone(),
            task: task.name.clone(),
            version: state.version.to_string(),
            inputs: Json::Object(event.inputs.clone()).to_string(),
            found: Found {
                definition: state.definition_digest,
                outputs: Json::Object(to_record(names, outputs)).to_string(),
                run: self.shared.run.clone(),
                node: event.node.clone(),
                created: event.time,
                duration_ms: event.duration_ms,
            },
        };
        Some(Row { entry, definition: state.definition.clone() })
    }

    /// The writer has stored a result, or could not.
    pub(super) fn acknowledged(&mut self, answer: Acknowledged) {
        let Some(Settled { mut event, stored }) = self.unacknowledged.remove(&answer.node) else { return };
        if let Some(key) = &event.key {
            self.cache.remove_pending(key);
        }
        let mut events = Vec::with_capacity(2);
        match answer.result {
            Ok(()) => {
                event.cache = Some(stored);
                event.reason = event.reason.filter(|_| stored != CacheStatus::Populated);
            }
            Err(problem) => {
                let reason = format!("its result could not be stored: {problem}");
                let (time, node) = (event.time, Some(event.node.clone()));
                events.push(Event::Warning(Warning { time, message: reason.clone(), node }));
                event.cache = event.cache.map(|cache| match cache {
                    CacheStatus::Disabled => cache,
                    _ => CacheStatus::PutFailure,
                });
                event.reason = Some(reason);
            }
        }
        self.counts.add(event.status, event.cache);
        events.push(Event::NodeFinished(event));
        self.bus.settle(answer.node, events);
    }
}
