//! The engine: the one loop that joins scheduler, cache and executor, and tells of everything as events.
//!
//! | file | owns |
//! |---|---|
//! | `values.rs` | inputs, outputs and the user's files |
//! | `cache.rs` | keys and lookups, shared with plans |
//! | `attempt.rs`, `environment.rs`, `scratch.rs` | one attempt: what a task sees, and where it works |
//! | `collect.rs` | what it hands back |
//! | `bus.rs` | events on their way to reporters and history |
//! | `settle.rs` | how a node ends, and what is told of it |
//! | `publish.rs` | the workflow's own outputs |
//! | `plan.rs` | what a run would do |

pub mod attempt;
mod bus;
pub mod cache;
mod collect;
mod environment;
pub mod plan;
mod publish;
pub mod scratch;
mod settle;
pub mod values;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use serde_json::Map as JsonMap;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use self::attempt::{Ended, Job, Shared, log_path};
use self::cache::{Cache, Lookup};
use self::values::RunValues;
use crate::digest::Digest;
use crate::event::{CacheStatus, Counts, Event, NodeStarted, RunFinished, RunStarted, Status};
use crate::exec::{Executor, Level, signal_name};
use crate::graph::Graph;
use crate::graph::select::Role;
use crate::schedule::pools::{Pools, Request};
use crate::schedule::{Scheduler, State};
use crate::workflow::Workflow;
use crate::workflow::value::Value;
use crate::writer::{Acknowledged, Writer};

/// Which way results go between the run and the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheMode {
    #[default]
    ReadWrite,
    ReadOnly,
    /// No lookup, but results are stored.
    WriteOnly,
    Off,
}

impl CacheMode {
    pub fn reads(self) -> bool {
        matches!(self, Self::ReadWrite | Self::ReadOnly)
    }

    fn writes(self) -> bool {
        matches!(self, Self::ReadWrite | Self::WriteOnly)
    }
}

/// What a run is to do.
pub struct Order {
    pub roles: Vec<Role>,
    /// Nodes that are not looked up.
    pub overwrite: Vec<bool>,
    pub mode: CacheMode,
    pub keep_going: bool,
    /// How many nodes may run at once.
    pub jobs: usize,
}

/// A run that is called off from outside; the number is the signal's.
pub struct Interrupt(pub i32);

/// How a run ended.
pub struct Summary {
    pub status: Status,
    pub counts: Counts,
    pub saved_ms: u64,
    /// By name, in the file's order; only of a run that succeeded.
    pub outputs: Vec<(String, publish::Handed)>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Why the file of its events is not complete.
    pub history: Option<std::io::Error>,
}

pub use bus::Bus;
pub use publish::Handed;

/// A node between its lookup and its end.
struct InFlight {
    inputs: Vec<Value>,
    key: Option<Digest>,
    /// What the lookup said.
    cache: CacheStatus,
    /// Why it was no hit.
    reason: Option<String>,
    /// How many attempts were begun.
    attempts: u32,
}

/// One run.
pub struct Engine<'a, E> {
    pub workflow: &'a Workflow,
    pub order: Order,
    pub shared: Arc<Shared<E>>,
    /// Where files among the workflow's outputs are put.
    pub outputs_dir: PathBuf,
    bus: Bus,
    values: RunValues<'a>,
    cache: Cache<'a>,
    scheduler: Scheduler<'a>,
    in_flight: HashMap<usize, InFlight>,
    /// Ends that wait for the writer's acknowledgement.
    unacknowledged: HashMap<usize, settle::Settled>,
    counts: Counts,
    saved_ms: u64,
    writer: Writer,
    signal: Option<i32>,
    ended: (UnboundedSender<Ended>, UnboundedReceiver<Ended>),
    /// Nodes whose wait before another attempt is over.
    rested: (UnboundedSender<usize>, UnboundedReceiver<usize>),
}

/// What the composition root hands over.
pub struct Parts<'a, E> {
    pub workflow: &'a Workflow,
    pub graph: &'a Graph,
    pub order: Order,
    pub pools: Pools,
    pub shared: Arc<Shared<E>>,
    pub outputs_dir: PathBuf,
    pub bus: Bus,
    pub values: RunValues<'a>,
    pub cache: Cache<'a>,
    pub writer: Writer,
}

impl<'a, E: Executor + Send + Sync + 'static> Engine<'a, E> {
    pub fn new(parts: Parts<'a, E>) -> Self {
        let roles = &parts.order.roles;
        let scheduler = Scheduler::new(parts.graph, |node| roles[node] != Role::Out, parts.pools);
        Self {
            workflow: parts.workflow,
            order: parts.order,
            shared: parts.shared,
            outputs_dir: parts.outputs_dir,
            bus: parts.bus,
            values: parts.values,
            cache: parts.cache,
            scheduler,
            in_flight: HashMap::new(),
            unacknowledged: HashMap::new(),
            counts: Counts::default(),
            saved_ms: 0,
            writer: parts.writer,
            signal: None,
            ended: unbounded_channel(),
            rested: unbounded_channel(),
        }
    }

    /// Runs the workflow to its end.
    pub async fn run(
        mut self,
        mut acknowledged: UnboundedReceiver<Acknowledged>,
        mut interrupts: UnboundedReceiver<Interrupt>,
    ) -> Summary {
        let started = Instant::now();
        self.counts.nodes = self.scheduler.open() as u64;
        self.bus.emit(Event::RunStarted(RunStarted {
            time: Timestamp::now(),
            run: self.shared.run.clone(),
            workflow: self.workflow.name.clone(),
            project: self.shared.scope.project.clone(),
            domain: self.shared.scope.domain.clone(),
            nodes: self.counts.nodes,
            jobs: self.order.jobs as u64,
        }));
        if let Some(reading) = self.read_files_ahead() {
            tokio::select! {
                _ = reading => {}
                Some(Interrupt(signal)) = interrupts.recv() => self.interrupted(signal),
            }
        }
        self.skip_on_request();
        loop {
            self.proceed();
            if self.scheduler.is_stopped() {
                for node in self.scheduler.abandon() {
                    self.settle_idle(node, Status::Cancelled, "the run stopped first");
                }
            }
            if self.scheduler.open() == 0 && self.unacknowledged.is_empty() {
                break;
            }
            if self.scheduler.running() == 0 && !self.unacknowledged.is_empty() {
                self.writer.hurry();
            }
            self.bus.flush();
            tokio::select! {
                Some(ended) = self.ended.1.recv() => self.attempt_ended(ended),
                Some(answer) = acknowledged.recv() => self.acknowledged(answer),
                Some(node) = self.rested.1.recv() => self.rested(node),
                Some(Interrupt(signal)) = interrupts.recv() => self.interrupted(signal),
            }
        }
        self.conclude(started)
    }

    /// Digests the user's files that are known beforehand, in parallel and beside the engine, which must hear
    /// of signals meanwhile.
    fn read_files_ahead(&self) -> Option<JoinHandle<()>> {
        let mut paths = Vec::new();
        for (i, node) in self.workflow.nodes.iter().enumerate() {
            if self.order.roles[i] == Role::Run {
                let inputs = &self.workflow.task_of(i).inputs;
                for (input, binding) in inputs.iter().zip(&node.inputs) {
                    binding
                        .for_each_path(&input.ty, &mut |path, is_dir| paths.push((path.to_owned(), is_dir)));
                }
            }
        }
        if paths.is_empty() {
            return None;
        }
        paths.sort();
        paths.dedup();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let store = self.shared.store.clone();
        Some(tokio::task::spawn_blocking(move || store.fingerprint_all(&paths, threads)))
    }

    fn skip_on_request(&mut self) {
        let skipped: Vec<usize> =
            (0..self.order.roles.len()).filter(|node| self.order.roles[*node] == Role::Skip).collect();
        for node in skipped {
            if self.scheduler.state(node) == State::Skipped {
                continue; // Something it waits for was skipped before it.
            }
            self.settle_idle(node, Status::Skipped, "skipped on request");
            let consequences = self.scheduler.finish(node, State::Skipped);
            self.skip_dependents(consequences, node, "was skipped");
        }
    }

    /// Does everything that can be done without waiting.
    fn proceed(&mut self) {
        loop {
            self.cache.begin();
            while let Some(node) = self.scheduler.take_ready() {
                self.look_up(node);
            }
            self.cache.end();
            let workflow = self.workflow;
            let request = |node| -> &Request { &workflow.execution_of(node).resources };
            while let Some(node) = self.scheduler.take_start(request) {
                self.start(node);
            }
            self.writer.stats(self.shared.store.stats().drain_fresh());
            if !self.scheduler.has_ready() {
                return;
            }
        }
    }

    /// A node's inputs are known: hit, or queue it to run.
    fn look_up(&mut self, node: usize) {
        let inputs = match self.values.inputs_of(node) {
            Ok(inputs) => inputs,
            Err(problem) => return self.fail_before(node, Vec::new(), problem),
        };
        let task = self.workflow.task_of(node).clone();
        let state = match self.cache.task(node, &self.values.files) {
            Ok(state) => state,
            Err(problem) => return self.fail_before(node, inputs, problem),
        };
        let supply = self.order.roles[node] == Role::Supply;
        let mut key = None;
        let (cache, reason) = if !task.cache.enabled {
            (CacheStatus::Disabled, None)
        } else {
            let digest = state.key(&task, &inputs);
            key = Some(digest);
            if !self.order.mode.reads() || self.order.overwrite[node] {
                (CacheStatus::Skipped, None)
            } else {
                match self.cache.lookup(node, &state, &digest) {
                    Lookup::Hit(hit) => return self.settle_hit(node, inputs, digest, *hit),
                    Lookup::Miss(reason) => (CacheStatus::Miss, Some(reason)),
                    Lookup::Failure(reason) => (CacheStatus::LookupFailure, Some(reason)),
                }
            }
        };
        if supply {
            return self.fail_supply(node, inputs, cache);
        }
        if let (CacheStatus::LookupFailure, Some(reason)) = (cache, &reason) {
            self.bus.warn(Some(self.name(node)), reason.clone());
        }
        self.in_flight.insert(node, InFlight { inputs, key, cache, reason, attempts: 0 });
        self.scheduler.enqueue(node);
    }

    /// A queued node has a slot: its next attempt begins.
    fn start(&mut self, node: usize) {
        let name = self.name(node);
        let Some(flight) = self.in_flight.get_mut(&node) else { return };
        flight.attempts += 1;
        let attempt = flight.attempts;
        let execution = self.workflow.execution_of(node);
        let sources = self.cache.task(node, &self.values.files).map(|state| state.sources.clone());
        let job = Job {
            node,
            name: name.clone(),
            task: self.workflow.task_of(node).clone(),
            inputs: flight.inputs.clone(),
            attempt,
            timeout: execution.timeout,
            grace: execution.grace,
            sources: sources.unwrap_or_default(),
            snapshots: self.values.files.snapshots(&flight.inputs),
        };
        let log = log_path(&self.shared.logs, &name, attempt).display().to_string();
        self.bus.emit(Event::NodeStarted(NodeStarted {
            time: Timestamp::now(),
            node: name,
            index: None,
            attempt,
            log: Some(log),
        }));
        let (shared, ended) = (self.shared.clone(), self.ended.0.clone());
        tokio::spawn(async move {
            // The engine outlives its attempts: somebody listens.
            let _ = ended.send(attempt::run(shared, job).await);
        });
    }

    fn rested(&mut self, node: usize) {
        if self.scheduler.is_stopped() {
            return; // Settled when the run stopped.
        }
        self.scheduler.enqueue(node);
    }

    fn interrupted(&mut self, signal: i32) {
        let first = self.signal.is_none();
        self.signal.get_or_insert(signal);
        self.shared.cancel.raise(if first { Level::Terminate } else { Level::Kill });
        if first {
            let name = signal_name(signal);
            self.bus.warn(None, format!("{name}: stopping what runs; a second signal kills it at once"));
        }
        self.stop();
    }

    fn name(&self, node: usize) -> String {
        self.workflow.nodes[node].name.to_string()
    }

    fn conclude(mut self, started: Instant) -> Summary {
        let mut status = match self.signal {
            Some(_) => Status::Cancelled,
            None if self.counts.failed > 0 => Status::Failed,
            None => Status::Succeeded,
        };
        let mut outputs = Vec::new();
        if status == Status::Succeeded {
            match publish::hand_out(
                self.workflow,
                &self.values,
                &self.shared.store,
                &self.outputs_dir,
                &self.order,
            ) {
                Ok(handed) => outputs = handed,
                Err(problem) => {
                    self.bus.warn(None, problem);
                    status = Status::Failed;
                }
            }
        }
        self.writer.stats(self.shared.store.stats().drain_fresh());
        self.bus.emit(Event::RunFinished(RunFinished {
            time: Timestamp::now(),
            run: self.shared.run.clone(),
            status,
            duration_ms: millis(started.elapsed()),
            counts: self.counts,
            saved_ms: self.saved_ms,
            outputs: outputs
                .iter()
                .map(|(name, handed)| (name.clone(), handed.event.clone()))
                .collect::<JsonMap<_, _>>(),
        }));
        let history = self.bus.close();
        Summary {
            status,
            counts: self.counts,
            saved_ms: self.saved_ms,
            outputs,
            signal: self.signal,
            history,
        }
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
