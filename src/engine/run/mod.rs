//! The loop of a run: it joins scheduler, cache and executor, and emits every step as an event.
//!
//! | file | owns |
//! |---|---|
//! | `ready.rs`, `single_flight.rs` | a unit whose dependencies have ended: skipped, scattered, entered, looked up, queued |
//! | `finish.rs`, `aggregate.rs` | how a unit finishes, also one that aggregates others |
//! | `grow.rs` | a workflow that a task returned, which runs inside its node |
//! | `record.rs`, `cost.rs` | a result on its way into the cache, and what its attempt cost |
//! | `remote.rs` | lookups in the shared cache, and the uploads that the end of the run waits for |
//! | `elsewhere.rs` | attempts that are made elsewhere, and what is heard of them |
//! | `outlook.rs` | how long the run still takes |
//! | `interrupt.rs` | a run that is to end before it is done, or that lets its jobs go |
//! | `hooks.rs`, `summary.rs` | the node that runs last, and the summary of the run |
//! | `event_log.rs` | events on their way to reporters and history |
//! | `publish.rs`, `protected.rs` | the workflow's own outputs, and the files that none of them may replace |
//! | `seams.rs` | what the loop needs of writer, publishing and locks |
//!
//! The future of a run is `Send` and `'static`: it owns or shares by `Arc` all that it needs, so that any number of runs
//! go on in one process. Each is best driven by a thread of its own (`Handle::block_on`), because lookups and small reads
//! block it for moments; its attempts are tasks of the shared runtime.

mod aggregate;
mod aside;
mod cost;
mod elsewhere;
mod event_log;
mod finish;
mod grow;
mod hooks;
mod interrupt;
mod outlook;
pub(super) mod protected;
mod publish;
mod ready;
mod record;
mod remote;
pub mod seams;
mod single_flight;
mod summary;

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::MissedTickBehavior;

use self::finish::DOOMED;
use self::seams::{Publisher, Recorder, WorkLocks};
use self::single_flight::SingleFlight;
use crate::core::background::{Background, begin_or_do};
use crate::core::clock::Clock;
use crate::core::digest::Digest;
use crate::core::event::{CacheStatus, Counts, Event, NodeWaiting, RemoteCounts, RunStarted, Status};
use crate::core::run_id::RunId;
use crate::core::value::Value;
use crate::core::why::Why;
use crate::engine::RunOptions;
use crate::engine::attempt::perform::{AttemptEnded, AttemptRunner};
use crate::engine::attempt::placement::AttemptNews;
use crate::engine::lookup::cache::Cache;
use crate::engine::lookup::decision::Miss;
use crate::engine::plan::explainer::ExplainMemory;
use crate::engine::schedule::pools::Pools;
use crate::engine::schedule::{Scheduler, UnitId, UnitState};
use crate::engine::scope::content::ContentStore;
use crate::engine::scope::frames::{Frame, NodeInstance, ValueScope};
use crate::engine::scope::values::{Listing, RunFailure, UserFiles};
use crate::exec::Cancel;
use crate::storage::memo::Scope;
use crate::storage::remote::RemoteSession;
use crate::storage::store::Snapshot;
use crate::storage::writer::Acknowledged;
use crate::workflow::graph::outline::Outline;
use crate::workflow::graph::select::{Role, leaves};

/// How a run ended.
pub struct Summary {
    pub status: Status,
    pub duration_ms: u64,
    pub counts: Counts,
    pub saved_ms: u64,
    /// By name, in the file's order; only of a run that succeeded.
    pub outputs: Vec<(String, PublishedOutput)>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Why the file of its events is not complete.
    pub history: Option<std::io::Error>,
    /// What it had of the shared cache, if there is one.
    pub remote: Option<RemoteCounts>,
    /// What its lookups relied on, if it only hit.
    pub relied: Option<Relied>,
}

/// What the lookups of a run relied on, beside blobs and rows.
#[derive(Debug)]
pub struct Relied {
    /// The user's files, as they looked.
    pub files: Vec<Arc<Snapshot>>,
    pub listings: Vec<Listing>,
    /// The names of the tasks that were looked up.
    pub tasks: Vec<String>,
    /// Until when its hits stay hits that record nothing.
    pub until: Timestamp,
}

pub use event_log::EventLog;
pub use interrupt::Interrupt;
pub use publish::{PublishOptions, PublishedOutput, stage_output};

/// A unit between its lookup and its end.
struct InFlight {
    inputs: Vec<Value>,
    key: Option<Digest>,
    /// What the key is made of, or would be.
    work: Digest,
    /// What the lookup said.
    cache: CacheStatus,
    /// Why the lookup failed.
    reason: Option<String>,
    /// Why it was a miss.
    why: Option<Box<Why>>,
    /// How many attempts were begun.
    attempts: u32,
    /// Since when it could run.
    ready: Instant,
    /// Keeps identical work waiting until this has ended.
    held: Option<Box<dyn Send>>,
    /// Whether its result takes the place of what the shared cache has.
    replaces: bool,
    /// Where its attempt is, if not on this machine.
    place: Option<Box<elsewhere::AttemptPlace>>,
}

/// One run.
pub struct Engine {
    outline: Arc<Outline>,
    options: RunOptions,
    context: RunContext,
    attempts: Arc<dyn AttemptRunner>,
    store: Arc<dyn ContentStore>,
    publisher: Box<dyn Publisher>,
    clock: Arc<dyn Clock>,
    bus: EventLog,
    files: UserFiles,
    cache: Cache,
    explained: ExplainMemory,
    scheduler: Scheduler,
    /// By the scheduler's number.
    groups: Vec<ValueScope>,
    /// By the unit that a group is: its number.
    inside: HashMap<UnitId, usize>,
    in_flight: HashMap<UnitId, InFlight>,
    /// Units inside which a workflow runs that they made.
    makers: HashMap<UnitId, grow::MakerUnit>,
    serial: SingleFlight,
    /// The shared cache.
    remote: Option<RemoteSession>,
    /// Units that the shared cache was asked for, and why the lookup here missed.
    asked: HashMap<UnitId, Miss>,
    /// Ends that wait for the writer's acknowledgement.
    unacknowledged: HashMap<UnitId, record::StoredEnd>,
    /// Units whose wait for a resource was reported.
    announced_waiting: HashSet<UnitId>,
    counts: Counts,
    /// How many nodes and elements there are, as far as is known.
    total: u64,
    saved_ms: u64,
    /// By node of the outline: the time that its attempts took, in milliseconds, and how many there were.
    times: HashMap<usize, (u64, u64)>,
    outlook: outlook::Outlook,
    recorder: Box<dyn Recorder>,
    failure: Option<Arc<RunFailure>>,
    /// The workflow's outputs, once all but the last node has ended.
    handed: Vec<(String, PublishedOutput)>,
    interrupt: Option<Interrupt>,
    /// Whether jobs are left to themselves.
    lets_go: bool,
    ended: (UnboundedSender<AttemptEnded>, UnboundedReceiver<AttemptEnded>),
    /// Units whose wait before another attempt is over.
    retry_due: (UnboundedSender<UnitId>, UnboundedReceiver<UnitId>),
    /// What is heard of attempts that are made elsewhere.
    news: (UnboundedSender<AttemptNews>, UnboundedReceiver<AttemptNews>),
}

/// What an engine is made of. `for_home` makes one for a home; tests hand in fakes.
pub struct EngineInputs {
    pub outline: Arc<Outline>,
    pub options: RunOptions,
    pub pools: Pools,
    pub context: RunContext,
    pub attempts: Arc<dyn AttemptRunner>,
    pub store: Arc<dyn ContentStore>,
    pub publisher: Box<dyn Publisher>,
    pub clock: Arc<dyn Clock>,
    pub bus: EventLog,
    pub files: UserFiles,
    /// The values of the workflow's inputs.
    pub inputs: Box<[Value]>,
    pub cache: Cache,
    /// Locks of identical work; `None` where the file system has none.
    pub locks: Option<Box<dyn WorkLocks>>,
    /// The shared cache, if there is one.
    pub remote: Option<RemoteSession>,
    pub recorder: Box<dyn Recorder>,
}

/// What a run is known by, and how it is cancelled.
#[derive(Clone)]
pub struct RunContext {
    /// The id of the run.
    pub run: RunId,
    pub scope: Scope,
    /// The run's folder of logs.
    pub logs: PathBuf,
    pub cancel: Cancel,
    /// How its jobs are left to themselves.
    pub let_go: Cancel,
}

/// Maximum units processed before the loop polls signals and finished attempts (about 10 ms).
const MAX_READY_BATCH: usize = 1000;
/// Interval at which the locks of identical work are tried again while a unit waits for one.
const LOCK_POLL: Duration = Duration::from_millis(20);

impl Engine {
    pub fn new(parts: EngineInputs) -> Self {
        let mut engine = Self {
            outline: parts.outline,
            options: parts.options,
            context: parts.context,
            attempts: parts.attempts,
            store: parts.store,
            publisher: parts.publisher,
            clock: parts.clock,
            bus: parts.bus,
            files: parts.files,
            cache: parts.cache,
            explained: ExplainMemory::default(),
            scheduler: Scheduler::new(parts.pools),
            groups: Vec::new(),
            inside: HashMap::new(),
            in_flight: HashMap::new(),
            makers: HashMap::new(),
            serial: SingleFlight::new(parts.locks),
            remote: parts.remote,
            asked: HashMap::new(),
            unacknowledged: HashMap::new(),
            announced_waiting: HashSet::new(),
            counts: Counts::default(),
            total: 0,
            saved_ms: 0,
            times: HashMap::new(),
            outlook: outlook::Outlook::default(),
            recorder: parts.recorder,
            failure: None,
            handed: Vec::new(),
            interrupt: None,
            lets_go: false,
            ended: unbounded_channel(),
            retry_due: unbounded_channel(),
            news: unbounded_channel(),
        };
        let workflow = engine.outline.workflow().clone();
        let numbers = (0, engine.outline.offsets(&workflow));
        engine.open(Frame::new(workflow, numbers, None, String::new(), parts.inputs.into()));
        engine.counts.nodes = engine.leaves(0..engine.outline.len());
        engine.total = engine.counts.nodes;
        engine
    }

    /// How many nodes of a part of the outline take part and are not sub-workflows.
    fn leaves(&self, numbers: Range<usize>) -> u64 {
        leaves(&self.outline, &self.options.roles, numbers)
    }

    /// Runs the workflow to its end.
    pub async fn run(
        mut self,
        mut acknowledged: UnboundedReceiver<Acknowledged>,
        mut interrupts: UnboundedReceiver<Interrupt>,
    ) -> Summary {
        let started = Instant::now();
        let scheduled = self.options.scheduled.as_ref();
        self.bus.emit(Event::RunStarted(RunStarted {
            time: self.clock.now(),
            run: self.context.run,
            workflow: self.outline.workflow().name.clone(),
            project: self.context.scope.project.clone(),
            domain: self.context.scope.domain.clone(),
            nodes: self.counts.nodes,
            jobs: self.options.jobs as u64,
            trigger: self.options.trigger,
            schedule: scheduled.map(|scheduled| scheduled.schedule.clone()),
            scheduled_at: scheduled.and_then(|scheduled| scheduled.at),
            retry_of: self.options.retry_of,
            first: self.options.first,
            executor: self.executors_used(),
        }));
        if let Some(reading) = self.read_files_ahead() {
            tokio::select! {
                _ = reading => {}
                Some(interrupt) = interrupts.recv() => self.interrupted(interrupt),
            }
        }
        let mut hooks_begun = false;
        let mut lock_poll = tokio::time::interval(LOCK_POLL);
        lock_poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let more = self.proceed();
            if self.scheduler.is_stopped() {
                self.abandon();
            }
            if !more && self.scheduler.open() == 0 && self.unacknowledged.is_empty() {
                if std::mem::replace(&mut hooks_begun, true) {
                    break;
                }
                self.hand_out();
                if !self.begin_hook() {
                    break;
                }
                continue;
            }
            if self.scheduler.running() == 0 && !self.unacknowledged.is_empty() {
                self.recorder.flush_now();
            }
            self.bus.flush();
            tokio::select! {
                Some(ended) = self.ended.1.recv() => self.attempt_ended(ended),
                Some(news) = self.news.1.recv(), if !self.options.executors.is_empty() => self.news(news),
                Some(answer) = acknowledged.recv() => self.acknowledged(answer),
                Some(message) = remote::next(&mut self.remote) => self.heard(message),
                Some(unit) = self.retry_due.1.recv() => self.retry_due(unit),
                Some(interrupt) = interrupts.recv() => self.interrupted(interrupt),
                _ = lock_poll.tick(), if self.serial.waits() => self.try_locks(),
                () = tokio::task::yield_now(), if more => {}
            }
        }
        self.await_uploads(&mut interrupts).await;
        self.conclude(started).await
    }

    /// Digests the user's files that are known beforehand, in parallel and beside the engine, which must hear
    /// of signals meanwhile.
    fn read_files_ahead(&self) -> Option<Background<()>> {
        let mut paths = Vec::new();
        for (number, place) in self.outline.places().enumerate() {
            if self.options.roles[number] == Role::Run {
                let node = place.node();
                for (i, binding) in node.inputs.iter().enumerate() {
                    binding.for_each_path(&node.bound_type(i), &mut |path, is_dir| {
                        paths.push((path.to_owned(), is_dir));
                    });
                }
            }
        }
        if paths.is_empty() {
            return None;
        }
        paths.sort();
        paths.dedup();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let store = self.store.clone();
        Some(begin_or_do("aside", move || store.fingerprint_all(&paths, threads)))
    }

    /// Opens a frame below the unit that it is.
    fn open(&mut self, frame: Frame) {
        let graph = self.outline.graph(&frame.workflow);
        let role = |node: usize| self.options.roles[frame.number(node)];
        let remaining = |node: usize| self.options.remaining_ms[frame.number(node)];
        let takes_part = |node| role(node) != Role::Out;
        let number = self.scheduler.open_frame(frame.parent, graph, takes_part, remaining);
        self.add_group(number, ValueScope::Frame(frame));
    }

    fn add_group(&mut self, number: usize, group: ValueScope) {
        debug_assert_eq!(number, self.groups.len());
        if let Some(parent) = group.parent() {
            self.inside.insert(parent, number);
        }
        self.groups.push(group);
    }

    /// Does what can be done without waiting; true if there is more of it: signals must be heard meanwhile.
    fn proceed(&mut self) -> bool {
        let mut left = MAX_READY_BATCH;
        loop {
            self.cache.begin();
            while left > 0
                && let Some(unit) = self.scheduler.take_ready()
            {
                left -= 1;
                self.unit_ready(unit);
                self.close_ended();
            }
            self.cache.end();
            self.close_ended();
            while let Some(unit) = self.scheduler.take_start() {
                self.start(unit);
            }
            self.recorder.stats(self.store.drain_stats());
            if left == 0 || !self.scheduler.has_ready() {
                break;
            }
        }
        self.tell_waiting();
        left == 0 && !self.scheduler.is_stopped()
    }

    fn close_ended(&mut self) {
        while let Some(unit) = self.scheduler.take_closed() {
            self.close(unit);
        }
    }

    /// Reports units that would have a slot, but lack a resource.
    fn tell_waiting(&mut self) {
        for (unit, resource) in self.scheduler.lacking() {
            if self.announced_waiting.insert(unit)
                && let Some(spot) = self.spot(unit)
            {
                self.tell_waits(&spot, format!("for {resource} (in use)"));
            }
        }
    }

    fn tell_waits(&mut self, spot: &NodeInstance, reason: String) {
        self.bus.emit(Event::NodeWaiting(NodeWaiting {
            time: self.clock.now(),
            node: spot.name.clone(),
            index: spot.event_index(),
            reason,
        }));
    }

    fn retry_due(&mut self, unit: UnitId) {
        if self.scheduler.state(unit) != UnitState::Taken || self.scheduler.is_stopped() {
            return; // StoredEnd when the run stopped.
        }
        if self.is_doomed(unit) {
            self.settle_idle(unit, Status::Cancelled, DOOMED);
            self.finish(unit, UnitState::Cancelled, "was cancelled");
            return self.close_ended();
        }
        if let Some(flight) = self.in_flight.get_mut(&unit) {
            flight.ready = Instant::now();
        }
        self.enqueue(unit);
    }

    /// Where a unit stands; `None` if what it belongs to has ended.
    fn spot(&self, unit: UnitId) -> Option<NodeInstance> {
        let (group, i) = self.scheduler.locate(unit);
        self.groups.get(group)?.spot(i)
    }
}

#[cfg(test)]
mod tests;
