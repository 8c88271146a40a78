//! How units end: hits, results on their way into the cache, failures and what follows from them.

use std::fmt;

use serde_json::{Map as JsonMap, Value as Json};

use super::cost::AttemptCost;
use super::{Engine, publish};
use crate::core::clock::millis;
use crate::core::condition::Condition;
use crate::core::digest::Digest;
use crate::core::event::{
    AttemptFailed, CacheStatus, Event, NodeFinished, NodeKind, Status, TaskError, TaskErrorKind,
};
use crate::core::value::Value;
use crate::engine::attempt::perform::AttemptEnded;
use crate::engine::lookup::cache::to_record;
use crate::engine::lookup::decision::Hit;
use crate::engine::schedule::{UnitId, UnitState};
use crate::engine::scope::frames::{NodeInstance, ValueScope};
use crate::engine::scope::values::RunFailure;
use crate::workflow::Body;

/// Why a part of an element did not run.
pub(super) const DOOMED: &str = "another part of this element failed";

/// Why a unit never ran.
pub(super) struct IdleReason {
    reason: String,
    condition: Option<Box<Condition>>,
}

impl From<&str> for IdleReason {
    fn from(reason: &str) -> Self {
        Self { reason: reason.to_owned(), condition: None }
    }
}

impl From<Condition> for IdleReason {
    fn from(condition: Condition) -> Self {
        Self { reason: condition.reason(), condition: Some(Box::new(condition)) }
    }
}

impl Engine {
    /// A unit that has its end from somewhere else than an attempt.
    pub(super) fn finished(&self, spot: &NodeInstance, status: Status, inputs: &[Value]) -> NodeFinished {
        let (kind, name) = match &spot.node().body {
            Body::Task(task) => (NodeKind::Task, &task.name),
            Body::Workflow(inner) => (NodeKind::Workflow, &inner.name),
        };
        let declared = spot.node().body.inputs().iter();
        NodeFinished {
            time: self.clock.now(),
            node: spot.name.clone(),
            index: spot.event_index(),
            task: name.clone(),
            kind,
            status,
            cache: None,
            key: None,
            work: None,
            attempts: 0,
            duration_ms: 0,
            cpu_ms: None,
            peak_memory: None,
            saved_ms: 0,
            outputs: JsonMap::new(),
            source: None,
            error: None,
            inputs: to_record(declared.map(|input| &*input.name), inputs),
            reason: None,
            condition: None,
            log: None,
            why: None,
            counts: None,
            stored: None,
            executor: None,
            job: None,
            host: None,
            adopted: None,
        }
    }

    /// Emits an end and counts it in every scope around the unit.
    pub(super) fn tell(&mut self, unit: UnitId, event: NodeFinished) {
        self.count(unit, &event);
        self.bus.emit(Event::NodeFinished(event));
    }

    pub(super) fn count(&mut self, unit: UnitId, event: &NodeFinished) {
        // A workflow that a task made sums up its nodes, but the command that made it ran and counts.
        let (status, cache) = match event.kind {
            NodeKind::Task => (event.status, event.cache),
            NodeKind::Workflow if event.attempts > 0 => (Status::Succeeded, None),
            NodeKind::Workflow | NodeKind::Elements => return,
        };
        self.counts.add(status, cache);
        self.saved_ms += event.saved_ms;
        let mut around = Some(unit);
        while let Some(unit) = around {
            let (group, _) = self.scheduler.locate(unit);
            let Some(group) = self.groups.get_mut(group) else { break };
            if let Some(sum) = group.sum() {
                sum.counts.add(status, cache);
                sum.counts.nodes += 1;
                sum.saved_ms += event.saved_ms;
                sum.usage += event.usage();
            }
            around = group.parent();
        }
    }

    pub(super) fn outputs_json(&self, spot: &NodeInstance, outputs: &[Value]) -> JsonMap<String, Json> {
        let names = spot.node().body.outputs();
        let values = outputs.iter().map(|value| publish::in_store(&*self.store, value));
        names.into_iter().map(|(name, _)| name.to_owned()).zip(values).collect()
    }

    /// The cache had the result.
    pub(super) fn settle_hit(
        &mut self,
        unit: UnitId,
        spot: &NodeInstance,
        inputs: Vec<Value>,
        (key, work): (Option<Digest>, Digest),
        hit: Hit,
    ) {
        let event = NodeFinished {
            cache: Some(CacheStatus::Hit),
            key,
            work: key.is_none().then_some(work),
            saved_ms: hit.duration_ms,
            outputs: self.outputs_json(spot, &hit.outputs),
            source: Some(hit.source),
            ..self.finished(spot, Status::Succeeded, &inputs)
        };
        if let (Some(found), Some(key), true) = (hit.alias, key, self.options.mode.writes()) {
            self.record_alias(unit, spot, key, &event, *found);
        }
        if let Some(edited) = hit.edited {
            self.bus.warn(Some(spot.label()), edited.to_string());
        }
        self.keep_outputs(unit, hit.outputs);
        self.tell(unit, event);
        self.finish(unit, UnitState::Succeeded, "");
    }

    /// Tells the scheduler of an end, and the user what is skipped in consequence of it; `what` happened.
    pub(super) fn finish(&mut self, unit: UnitId, end: UnitState, what: &str) {
        let in_consequence = self.scheduler.finish(unit, end);
        if in_consequence.is_empty() {
            return;
        }
        let reason = self.spot(unit).map_or_else(String::new, |cause| format!("`{}` {what}", cause.label()));
        for skipped in in_consequence {
            self.settle_idle(skipped, Status::Skipped, &*reason);
        }
    }

    /// Ends a unit that never ran, and of which the scheduler knows or will be notified. The outputs of a skipped one
    /// are null.
    pub(super) fn settle_idle(&mut self, unit: UnitId, status: Status, why: impl Into<IdleReason>) {
        let Some(spot) = self.spot(unit) else { return };
        let flight = self.in_flight.remove(&unit);
        let mut event = match flight {
            Some(flight) => NodeFinished {
                cache: Some(flight.cache),
                key: flight.key,
                attempts: flight.attempts,
                ..flight.placed(self.finished(&spot, status, &flight.inputs))
            },
            None => self.finished(&spot, status, &[]),
        };
        let IdleReason { reason, condition } = why.into();
        (event.reason, event.condition) = (Some(reason), condition);
        if status == Status::Skipped {
            let nothing = spot.node().body.nothing();
            event.outputs = self.outputs_json(&spot, &nothing);
            self.keep_outputs(unit, nothing);
        }
        // It stands for all that it would have had in it.
        event.kind = NodeKind::Task;
        self.tell(unit, event);
    }

    /// A unit failed before there was anything to run.
    pub(super) fn fail_before(
        &mut self,
        unit: UnitId,
        spot: &NodeInstance,
        inputs: Vec<Value>,
        problem: &dyn fmt::Display,
    ) {
        let error = TaskError::new(TaskErrorKind::Input, problem.to_string());
        let event = NodeFinished {
            error: Some(error),
            kind: NodeKind::Task,
            ..self.finished(spot, Status::Failed, &inputs)
        };
        self.fail(unit, spot, event);
    }

    /// A node that was not selected, and whose outputs the cache does not have.
    pub(super) fn fail_supply(
        &mut self,
        unit: UnitId,
        spot: &NodeInstance,
        inputs: Vec<Value>,
        cache: CacheStatus,
    ) {
        let name = &spot.name;
        let why = match cache {
            CacheStatus::Disabled => "its task is not cached",
            CacheStatus::Skipped => "the cache is not read in this run",
            _ => "the cache does not have it",
        };
        let problem = format!(
            "`{name}` was not selected, but a selected node needs its result, and {why}: select `{name}` as well, \
             or use --until, which takes along what a node needs"
        );
        self.fail_before(unit, spot, inputs, &problem);
    }

    pub(super) fn fail(&mut self, unit: UnitId, spot: &NodeInstance, event: NodeFinished) {
        let message = event.error.as_ref().map_or_else(String::new, |error| error.message.clone());
        self.tell(unit, event);
        self.finish(unit, UnitState::Failed, "failed");
        self.doom(unit, RunFailure { node: spot.label(), message });
    }

    /// A unit has failed: so does every node that encloses it, up to a node that may lose an element. If nothing
    /// stops it the run has failed.
    fn doom(&mut self, failed: UnitId, failure: RunFailure) {
        let mut unit = failed;
        loop {
            let (group, i) = self.scheduler.locate(unit);
            let parent = match self.groups.get_mut(group) {
                Some(ValueScope::Elements(elements)) => {
                    elements.doomed.insert(i);
                    if elements.doomed.len() <= elements.tolerated {
                        if unit != failed && !self.options.keep_going {
                            // The element has failed; cancel the rest of it.
                            let (idle, never) = self.scheduler.abandon_below(unit);
                            self.counts.cancelled += never as u64;
                            self.cancel(idle, DOOMED);
                        }
                        return;
                    }
                    Some(elements.parent)
                }
                Some(group) => group.parent(),
                None => None,
            };
            match parent {
                Some(parent) => unit = parent,
                None => break,
            }
        }
        self.failure.get_or_insert_with(|| std::sync::Arc::new(failure));
        if !self.options.keep_going {
            self.stop();
        }
    }

    /// Whether a unit belongs to a failed element, whose other units must be cancelled.
    pub(super) fn is_doomed(&self, mut unit: UnitId) -> bool {
        loop {
            let (group, i) = self.scheduler.locate(unit);
            let group = self.groups.get(group);
            if let Some(ValueScope::Elements(elements)) = group
                && elements.doomed.contains(&i)
            {
                return !self.options.keep_going;
            }
            match group.and_then(ValueScope::parent) {
                Some(parent) => unit = parent,
                None => return false,
            }
        }
    }

    fn cancel(&mut self, units: Vec<UnitId>, reason: &str) {
        for unit in units {
            self.settle_idle(unit, Status::Cancelled, reason);
        }
    }

    /// Nothing new begins any more; units that rest before another attempt, or wait for others, end now.
    pub(super) fn stop(&mut self) {
        if self.scheduler.is_stopped() {
            return;
        }
        self.scheduler.stop();
        // Jobs that are let go are not to be ended.
        if !self.lets_go {
            self.attempts.give_back();
        }
        let mut resting: Vec<UnitId> = self
            .in_flight
            .keys()
            .copied()
            .filter(|unit| self.scheduler.state(*unit) == UnitState::Taken)
            .collect();
        resting.sort_unstable();
        for unit in resting {
            let begun = self.in_flight.get(&unit).is_some_and(|flight| flight.attempts > 0);
            let reason =
                if begun { "the run stopped before its next attempt" } else { "the run stopped first" };
            self.settle_idle(unit, Status::Cancelled, reason);
            self.finish(unit, UnitState::Cancelled, "was cancelled");
        }
    }

    /// Ends the units that never began, after the run was stopped.
    pub(super) fn abandon(&mut self) {
        let (idle, never) = self.scheduler.abandon();
        self.counts.cancelled += never as u64;
        self.cancel(idle, "the run stopped first");
        self.close_ended();
    }

    /// An attempt has ended: the unit succeeds, tries again or fails.
    pub(super) fn attempt_ended(&mut self, ended: AttemptEnded) {
        let unit = ended.unit;
        self.drain_news();
        self.scheduler.release(unit);
        let Some(spot) = self.spot(unit) else { return };
        let Some(execution) = spot.node().execution() else { return };
        if let (true, Err(why)) = (ended.left, &ended.result) {
            self.leave(unit, &spot, why.clone());
            return self.close_ended();
        }
        if ended.given_back {
            self.settle_idle(unit, Status::Cancelled, "the run stopped first");
            self.finish(unit, UnitState::Cancelled, "was cancelled");
            return self.close_ended();
        }
        let took = AttemptCost::new(ended.duration, ended.usage);
        match ended.result {
            Ok(success) if success.made.is_some() => {
                if let Some(flight) = self.in_flight.remove(&unit) {
                    self.grow(unit, &spot, flight, success, took);
                }
            }
            Ok(success) => {
                let (total, count) = self.times.entry(spot.number).or_default();
                (*total, *count) = (*total + took.duration_ms, *count + 1);
                if let Some(flight) = self.in_flight.remove(&unit) {
                    self.succeed(unit, &spot, flight, success, took);
                }
            }
            Err(error) => {
                let retryable = matches!(
                    error.kind,
                    TaskErrorKind::Exit
                        | TaskErrorKind::Signal
                        | TaskErrorKind::Timeout
                        | TaskErrorKind::Output
                );
                let over = self.scheduler.is_stopped() || self.is_doomed(unit);
                let again = retryable && !ended.is_final && ended.attempt <= execution.retries && !over;
                let wait = again.then(|| execution.wait_after(ended.attempt));
                self.bus.emit(Event::AttemptFailed(AttemptFailed {
                    time: self.clock.now(),
                    node: spot.name.clone(),
                    index: spot.event_index(),
                    attempt: ended.attempt,
                    duration_ms: took.duration_ms,
                    cpu_ms: took.usage.cpu_ms,
                    peak_memory: took.usage.peak_memory,
                    retry_in_ms: wait.map(millis),
                    error: error.clone(),
                }));
                match wait {
                    Some(wait) => {
                        let retry_due = self.retry_due.0.clone();
                        tokio::spawn(async move {
                            tokio::time::sleep(wait).await;
                            // The receiver is gone if the run has ended meanwhile.
                            let _ = retry_due.send(unit);
                        });
                    }
                    None => self.fail_attempted(unit, &spot, error, took),
                }
            }
        }
        self.close_ended();
    }

    pub(super) fn fail_attempted(
        &mut self,
        unit: UnitId,
        spot: &NodeInstance,
        error: TaskError,
        took: AttemptCost,
    ) {
        let Some(flight) = self.in_flight.remove(&unit) else { return };
        // A job that somebody else cancelled has failed.
        let cancelled = error.kind == TaskErrorKind::Cancelled && self.interrupt.is_some();
        let status = if cancelled { Status::Cancelled } else { Status::Failed };
        let event = NodeFinished {
            cache: Some(flight.cache),
            key: flight.key,
            attempts: flight.attempts,
            duration_ms: took.duration_ms,
            cpu_ms: took.usage.cpu_ms,
            peak_memory: took.usage.peak_memory,
            log: error.log.clone(),
            error: Some(error),
            ..flight.placed(self.finished(spot, status, &flight.inputs))
        };
        let event = NodeFinished { why: flight.why, ..event };
        if !cancelled {
            return self.fail(unit, spot, event);
        }
        self.tell(unit, event);
        self.finish(unit, UnitState::Cancelled, "was cancelled");
    }
}
