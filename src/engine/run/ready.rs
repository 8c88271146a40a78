//! A unit that has become ready: skipped, spread over its elements, entered, looked up, or queued to run.

use std::time::Instant;

use super::aside;
use super::finish::IdleReason;
use super::seams::LockAttempt;
use super::single_flight::LockWaiter;
use super::{Engine, InFlight};
use crate::core::clock::millis;
use crate::core::event::{CacheStatus, Event, NodeExpanded, NodeStarted, Status};
use crate::core::value::Value;
use crate::core::why::Why;
use crate::engine::attempt::perform::{AttemptJob, log_path};
use crate::engine::attempt::placement::Placement;
use crate::engine::attempt::prepare::TaskInstance;
use crate::engine::lookup::cache::CacheRequest;
use crate::engine::lookup::decision::{Decision, Miss};
use crate::engine::lookup::identity::TaskRequest;
use crate::engine::plan;
use crate::engine::schedule::{UnitId, UnitState};
use crate::engine::scope::frames::{Frame, NodeInstance, ValueScope};
use crate::engine::scope::scatter::ScatteredInputs;
use crate::engine::scope::site::{FrameChain, NodeSite};
use crate::storage::locks::Holder;
use crate::storage::memo::explain::Detail;
use crate::workflow::graph::select::Role;
use crate::workflow::policy::AttemptPolicy;
use crate::workflow::{Body, Task};

impl Engine {
    pub(super) fn unit_ready(&mut self, unit: UnitId) {
        let (group, i) = self.scheduler.locate(unit);
        let Some(spot) = self.spot(unit) else { return };
        match &self.groups[group] {
            ValueScope::Elements(elements) => {
                let inputs = elements.spread.element(i);
                self.begin(unit, &spot, inputs);
            }
            ValueScope::Frame(_) => self.node_ready(unit, group, &spot),
            ValueScope::Closed => {}
        }
    }

    fn node_ready(&mut self, unit: UnitId, group: usize, spot: &NodeInstance) {
        if self.options.roles[spot.number] == Role::Skip {
            return self.skip(unit, "skipped on request");
        }
        let ValueScope::Frame(frame) = &self.groups[group] else { return };
        let values = frame.values(&self.files);
        let node = spot.node();
        match values.holds(node) {
            Ok(true) => {}
            Ok(false) => {
                let condition = values.condition_of(node);
                return self.skip(unit, condition);
            }
            Err(error) => return self.fail_before(unit, spot, Vec::new(), &error),
        }
        let inputs = match values.inputs_of(node) {
            Ok(inputs) => inputs,
            Err(error) => return self.fail_before(unit, spot, Vec::new(), &error),
        };
        let Some(scatter) = &node.scatter else { return self.begin(unit, spot, inputs) };
        match ScatteredInputs::new(node, scatter, inputs) {
            Err(error) => self.fail_before(unit, spot, Vec::new(), &error),
            Ok(spread) => {
                let ahead = self.options.ahead(spot.number);
                let at_once = scatter.concurrency.map_or(ahead, |most| ahead.min(most as usize));
                let tolerated = scatter.tolerates(spread.count());
                self.expand(unit, spot, spread, at_once, tolerated);
            }
        }
    }

    fn expand(
        &mut self,
        unit: UnitId,
        spot: &NodeInstance,
        spread: ScatteredInputs,
        at_once: usize,
        tolerated: usize,
    ) {
        let count = spread.count();
        let each = match spot.node().body {
            Body::Task(_) => 1,
            Body::Workflow(_) => self.leaves(self.outline.inside(spot.number)),
        };
        self.total = self.total.saturating_sub(each) + each * count as u64;
        self.bus.emit(Event::NodeExpanded(NodeExpanded {
            time: self.clock.now(),
            node: spot.name.clone(),
            index: spot.event_index(),
            elements: count as u64,
            total: self.total,
        }));
        let number = self.scheduler.open_elements(unit, count, at_once);
        self.add_group(number, ValueScope::elements(unit, spot.clone(), spread, tolerated));
    }

    /// The inputs of a unit that is not spread any further are known.
    fn begin(&mut self, unit: UnitId, spot: &NodeInstance, inputs: Vec<Value>) {
        match &spot.node().body {
            Body::Task(task) => self.look_up(unit, spot, task, inputs),
            Body::Workflow(inner) => {
                let numbers = (spot.number + 1, self.outline.offsets(inner));
                let prefix = format!("{}/", spot.label());
                self.open(Frame::new(inner.clone(), numbers, Some(unit), prefix, inputs.into()));
            }
        }
    }

    /// Hit, or queue it to run.
    fn look_up(&mut self, unit: UnitId, spot: &NodeInstance, task: &Task, inputs: Vec<Value>) {
        let identity = match self.cache.task(task, &self.files) {
            Ok(identity) => identity,
            Err(error) => return self.fail_before(unit, spot, inputs, &error),
        };
        let work = identity.key(task, &inputs);
        let key = task.cache.enabled.then_some(work);
        let request = CacheRequest {
            task,
            identity: &identity,
            work: &work,
            inputs: &inputs,
            mode: self.options.mode,
            overwrite: self.options.overwrite[spot.number],
            node: &|| self.outline.name(spot.number),
        };
        let mut missed = None;
        let (cache, reason) = match self.cache.decide(&request) {
            Decision::Hit(hit) => return self.settle_hit(unit, spot, inputs, (key, work), *hit),
            Decision::Disabled => (CacheStatus::Disabled, None),
            Decision::Skipped(_) => (CacheStatus::Skipped, None),
            Decision::Miss(miss) => {
                missed = Some(miss);
                (CacheStatus::Miss, None)
            }
            Decision::Failed(error) => (CacheStatus::LookupFailure, Some(error.to_string())),
        };
        let flight = InFlight {
            inputs,
            key,
            work,
            cache,
            reason,
            why: None,
            attempts: 0,
            ready: Instant::now(),
            held: None,
            replaces: cache == CacheStatus::Skipped,
            place: None,
        };
        match missed {
            None => self.go_on(unit, spot, task, flight),
            Some(miss) => match self.question(task, &identity, &work) {
                Some(wanted) => self.ask_remote(unit, flight, miss, wanted),
                None => self.missed(unit, spot, task, flight, miss),
            },
        }
    }

    /// No cache has the result of a unit.
    pub(super) fn missed(
        &mut self,
        unit: UnitId,
        spot: &NodeInstance,
        task: &Task,
        mut flight: InFlight,
        miss: Miss,
    ) {
        if let Ok(identity) = self.cache.task(task, &self.files) {
            let asked =
                TaskRequest { task, identity: &identity, label: &spot.label(), inputs: &flight.inputs };
            flight.why = self.explain(unit, spot, &asked, miss);
        }
        self.go_on(unit, spot, task, flight);
    }

    /// A unit whose result is not had from a cache.
    fn go_on(&mut self, unit: UnitId, spot: &NodeInstance, task: &Task, flight: InFlight) {
        let cache = flight.cache;
        if self.options.roles[spot.number] == Role::Supply {
            return self.fail_supply(unit, spot, flight.inputs, cache);
        }
        if let (CacheStatus::LookupFailure, Some(reason)) = (cache, &flight.reason) {
            self.bus.warn(Some(spot.label()), reason.clone());
        }
        let in_turn = task.cache.serialize && self.options.mode.writes() && cache == CacheStatus::Miss;
        match flight.key.filter(|_| in_turn) {
            Some(key) => {
                let waiting = LockWaiter { unit, key, reported: false };
                self.in_flight.insert(unit, flight);
                self.try_key_lock(waiting);
            }
            None => {
                self.in_flight.insert(unit, flight);
                self.enqueue(unit);
            }
        }
    }

    /// Explains why the lookup of a unit missed.
    fn explain(
        &self,
        unit: UnitId,
        spot: &NodeInstance,
        asked: &TaskRequest,
        miss: Miss,
    ) -> Option<Box<Why>> {
        let Self { outline, options, cache, files, explained, .. } = self;
        let explainer = plan::explainer(outline, options, cache, files, explained, Detail::Line);
        self.with_scene(unit, &mut |scene| {
            let site = NodeSite { scene, node: spot.node, element: spot.index };
            Box::new(explainer.explain(asked, miss.clone(), site))
        })
    }

    /// Calls `look` with the use of a workflow that a unit, or the node that it is an element of, belongs to.
    fn with_scene<T>(&self, unit: UnitId, look: &mut dyn FnMut(&FrameChain) -> T) -> Option<T> {
        let (group, _) = self.scheduler.locate(unit);
        let frame = match self.groups.get(group)? {
            ValueScope::Frame(frame) => frame,
            ValueScope::Elements(elements) => return self.with_scene(elements.parent, look),
            ValueScope::Closed => return None,
        };
        let Some(parent) = frame.parent else { return Some(look(&FrameChain { frame, outer: None })) };
        let spot = self.spot(parent)?;
        self.with_scene(parent, &mut |outer| {
            look(&FrameChain { frame, outer: Some((outer, spot.node, spot.index)) })
        })
    }

    /// Tries the locks of identical work again.
    pub(super) fn try_locks(&mut self) {
        for waiting in self.serial.take() {
            if self.in_flight.contains_key(&waiting.unit) {
                self.try_key_lock(waiting);
            }
        }
    }

    /// Queues a unit that holds the lock of its key, or keeps it waiting for the holder.
    fn try_key_lock(&mut self, mut waiting: LockWaiter) {
        let Some(spot) = self.spot(waiting.unit) else { return };
        let holder = Holder { run: self.context.run, node: spot.label() };
        match self.serial.try_take(&waiting.key, &holder) {
            Ok(LockAttempt::Taken(held)) => {
                if let Some(flight) = self.in_flight.get_mut(&waiting.unit) {
                    flight.held = Some(held);
                }
                self.look_again(&waiting, &spot);
            }
            Ok(LockAttempt::Busy(_)) if self.is_made_by(waiting.unit, &waiting.key) => {
                let inputs = self.in_flight.remove(&waiting.unit).map(|flight| flight.inputs);
                let problem =
                    "it is made by the same task with the same inputs, so that it would wait for itself";
                self.fail_before(waiting.unit, &spot, inputs.unwrap_or_default(), &problem);
                self.close_ended();
            }
            Ok(LockAttempt::Busy(other)) => {
                if !std::mem::replace(&mut waiting.reported, true) {
                    let run = self.context.run;
                    let whom = match other {
                        Some(other) if other.run == run => {
                            format!("for {}, which does the same work", other.node)
                        }
                        Some(other) => {
                            format!("for {} of run {}, which does the same work", other.node, other.run)
                        }
                        None => "for another run, which does the same work".into(),
                    };
                    self.tell_waits(&spot, whom);
                }
                self.serial.wait(waiting);
            }
            Err(problem) => {
                if let Some(problem) = self.serial.give_up(&problem) {
                    self.bus.warn(None, problem);
                }
                self.enqueue(waiting.unit);
            }
        }
    }

    /// The lock is held: its former holder may have stored the result.
    fn look_again(&mut self, waiting: &LockWaiter, spot: &NodeInstance) {
        let LockWaiter { unit, key, .. } = waiting;
        if let Some(task) = spot.node().task() {
            self.cache.refresh();
            if let Ok(identity) = self.cache.task(task, &self.files)
                && let Decision::Hit(hit) = self.cache.decide(&CacheRequest {
                    task,
                    identity: &identity,
                    work: key,
                    inputs: self.in_flight.get(unit).map_or(&[], |flight| &flight.inputs),
                    mode: self.options.mode,
                    overwrite: false,
                    node: &|| self.outline.name(spot.number),
                })
                && let Some(flight) = self.in_flight.remove(unit)
            {
                return self.settle_hit(*unit, spot, flight.inputs, (Some(*key), *key), *hit);
            }
        }
        self.enqueue(*unit);
    }

    /// A unit has to run.
    pub(super) fn enqueue(&mut self, unit: UnitId) {
        let Some(spot) = self.spot(unit) else { return };
        if let Some(execution) = spot.node().execution() {
            self.scheduler.enqueue(unit, &self.options.reservation(spot.number, &execution.resources));
        }
    }

    /// A queued unit has a slot: its next attempt begins.
    pub(super) fn start(&mut self, unit: UnitId) {
        let Some(spot) = self.spot(unit) else { return };
        let (Some(task), Some(policy @ AttemptPolicy { timeout, grace, .. })) =
            (spot.node().task(), spot.node().execution())
        else {
            return;
        };
        let Some(flight) = self.in_flight.get_mut(&unit) else { return };
        flight.attempts += 1;
        let attempt = flight.attempts;
        let (work, is_waited_for) = (flight.work, flight.held.is_some());
        let waited = flight.ready.elapsed();
        let sources = self.cache.task(task, &self.files).map(|state| state.sources.clone());
        let subject = TaskInstance {
            name: spot.name.clone(),
            index: spot.event_index(),
            task: task.clone(),
            workflow_dir: spot.workflow.dir().to_owned(),
            inputs: flight.inputs.clone(),
            sources: sources.unwrap_or_default(),
            attempt,
        };
        let job = AttemptJob {
            unit,
            subject,
            timeout: *timeout,
            grace: *grace,
            snapshots: self.files.snapshots(&flight.inputs),
            placement: None,
        };
        let log = log_path(&self.context.logs, &spot.name, spot.event_index(), attempt).display().to_string();
        self.announced_waiting.remove(&unit);
        if let Some(executor) = self.options.executor(spot.number) {
            let placement = self.placement(executor.clone(), work, policy, spot.number);
            let placement = Placement { alone: is_waited_for, ..placement };
            let job = AttemptJob { placement: Some(placement), ..job };
            return aside::attempt(unit, attempt, self.ended.0.clone(), self.attempts.clone().run(job));
        }
        let now = self.clock.now();
        let number = spot.number;
        let known = self.options.alone_ms[number].map(|alone| {
            // What waits for a slot is taken to be as long; elements are in their node's time already.
            let queued = if spot.event_index().is_none() { self.scheduler.queued() } else { 0 };
            let turns = (queued + 1).div_ceil(self.options.jobs.max(1)) as u64;
            self.options.remaining_ms[number].max(alone.saturating_mul(turns))
        });
        let remaining_ms = self.outlook.started(number, known, now);
        self.bus.emit(Event::NodeStarted(NodeStarted {
            time: now,
            node: spot.name.clone(),
            index: spot.event_index(),
            attempt,
            log: Some(log),
            queued: self.scheduler.queued() as u64,
            waited_ms: millis(waited),
            remaining_ms,
            executor: None,
            job: None,
            host: None,
            adopted: None,
        }));
        aside::attempt(unit, attempt, self.ended.0.clone(), self.attempts.clone().run(job));
    }

    pub(super) fn skip(&mut self, unit: UnitId, reason: impl Into<IdleReason>) {
        self.settle_idle(unit, Status::Skipped, reason);
        self.finish(unit, UnitState::Skipped, "was skipped");
    }

    /// Keeps the outputs of a unit for the units that use them.
    pub(super) fn keep_outputs(&mut self, unit: UnitId, outputs: Box<[Value]>) {
        let (group, i) = self.scheduler.locate(unit);
        if let Some(group) = self.groups.get_mut(group) {
            group.set_outputs(i, outputs);
        }
    }
}
