//! A laboratory for the loop: fakes of its seams, without a process and without a disk, and a builder that reads like a
//! specification.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value as Json;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::ran::Ran;
use super::world::{FakeWorld, Recording};
use crate::core::clock::Clock;
use crate::core::event::{Event, TaskError, TaskErrorKind};
use crate::core::lock::lock;
use crate::core::reporter::Reporter;
use crate::core::run_request::CacheMode;
use crate::core::run_request::Selection;
use crate::core::schedule::Trigger;
use crate::core::types::Type;
use crate::core::value::Value;
use crate::engine::attempt::perform::{AttemptEnded, AttemptFuture, AttemptJob, AttemptRunner, Success};
use crate::engine::lookup::cache::Cache;
use crate::engine::lookup::memo::Memo;
use crate::engine::lookup::prior_run::PriorRun;
use crate::engine::options::RunOptions;
use crate::engine::run::publish::RunOutputError;
use crate::engine::run::seams::{PublishedOutputs, Publisher, WorkLocks};
use crate::engine::run::{Engine, EngineInputs, EventLog, Interrupt, PublishedOutput, RunContext};
use crate::engine::schedule::pools::Pools;
use crate::engine::scope::content::ContentStore;
use crate::engine::scope::frames::Frame;
use crate::engine::scope::interface::interface;
use crate::engine::scope::values::{UserFiles, workflow_inputs};
use crate::exec::{Cancel, Level};
use crate::storage::memo::Scope;
use crate::workflow::documents::{Document, Texts};
use crate::workflow::graph::outline::Outline;
use crate::workflow::graph::select::{Role, matching, roles};
use crate::workflow::load::load_from;

/// One attempt, as a script sees it.
pub struct Call {
    /// `prep/clean`, `train[3]`.
    pub node: String,
    /// Counts from 1.
    pub attempt: u32,
    pub inputs: BTreeMap<String, Value>,
    interrupts: UnboundedSender<Interrupt>,
}

impl Call {
    /// Interrupts the run, as a signal does.
    pub fn interrupt(&self, signal: i32) {
        let _ = self.interrupts.send(Interrupt::Signal(signal));
    }

    /// The input of a name, as JSON.
    pub fn input(&self, name: &str) -> Json {
        self.inputs[name].to_record()
    }
}

/// How a scripted attempt ends.
pub enum Reply {
    /// Each output is the node's name, 1, true, or a list of that.
    Done,
    Outputs(Vec<(&'static str, Value)>),
    Failed(TaskErrorKind),
    /// It succeeds, and this file changed while it ran.
    Changed(&'static str),
    /// It runs until the run is cancelled.
    UntilCancelled,
}

type Script = Box<dyn Fn(&Call) -> Reply + Send + Sync>;

/// Runs no process: each attempt ends as the script says.
struct Scripted {
    script: Script,
    calls: Mutex<Vec<String>>,
    running: AtomicUsize,
    at_once: AtomicUsize,
    cancel: Cancel,
    interrupts: UnboundedSender<Interrupt>,
}

impl AttemptRunner for Scripted {
    fn run(self: Arc<Self>, job: AttemptJob) -> AttemptFuture {
        Box::pin(async move {
            let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.at_once.fetch_max(now, Ordering::SeqCst);
            let task = job.subject.task.clone();
            let names = task.inputs.iter().map(|input| input.name.to_string());
            let call = Call {
                node: match job.subject.index {
                    Some(index) => format!("{}[{index}]", job.subject.name),
                    None => job.subject.name.clone(),
                },
                attempt: job.subject.attempt,
                inputs: names.zip(job.subject.inputs.iter().cloned()).collect(),
                interrupts: self.interrupts.clone(),
            };
            lock(&self.calls).push(format!("{}#{}", call.node, call.attempt));
            let reply = (self.script)(&call);
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            let done = |changed: Option<PathBuf>, named: &[(&'static str, Value)]| {
                let outputs = task.outputs.iter().map(|output| {
                    let given = named.iter().find(|(name, _)| *name == &*output.name);
                    given.map_or_else(|| sample(&output.ty, &call.node), |(_, value)| value.clone())
                });
                Ok(Success {
                    outputs: outputs.collect(),
                    blobs: Vec::new(),
                    changed,
                    unseen: None,
                    made: None,
                    unstorable: None,
                    notes: Vec::new(),
                    hold: None,
                })
            };
            let result = match reply {
                Reply::Done => done(None, &[]),
                Reply::Outputs(named) => done(None, &named),
                Reply::Changed(path) => done(Some(path.into()), &[]),
                Reply::Failed(kind) => Err(TaskError::new(kind, format!("{} said no", call.node))),
                Reply::UntilCancelled => {
                    self.cancel.reached(Level::Terminate).await;
                    Err(TaskError::new(TaskErrorKind::Cancelled, "the run was cancelled"))
                }
            };
            self.running.fetch_sub(1, Ordering::SeqCst);
            let duration = Duration::from_millis(5);
            AttemptEnded {
                unit: job.unit,
                attempt: job.subject.attempt,
                duration,
                usage: None,
                result,
                left: false,
                given_back: false,
                is_final: false,
            }
        })
    }
}

fn sample(ty: &Type, node: &str) -> Value {
    match ty.required() {
        Type::Int => Value::Int(1),
        Type::Bool => Value::Bool(true),
        Type::List(item) => [sample(item, node)].into_iter().collect(),
        _ => Value::String(node.into()),
    }
}

struct Interfaces;

impl Publisher for Interfaces {
    fn publish(&self, frame: &Frame, files: &UserFiles) -> Result<PublishedOutputs, RunOutputError> {
        let values = interface(frame, files)?.unwrap_or_default();
        let names = frame.workflow.outputs.iter().map(|output| output.name.to_string());
        let handed = |value: &Value| PublishedOutput::of(value.clone(), Vec::new());
        Ok(names.zip(values.iter().map(handed)).collect())
    }
}

struct Listener(Arc<Mutex<Vec<Event>>>, FakeWorld);

impl Reporter for Listener {
    fn event(&mut self, event: &Event, _: &str) {
        if matches!(event, Event::RunFinished(_)) {
            self.1.state().heard_of_end = true;
        }
        lock(&self.0).push(event.clone());
    }
}

/// A run to be made.
pub struct Lab {
    pub world: FakeWorld,
    documents: Vec<Document>,
    script: Script,
    mode: CacheMode,
    keep_going: bool,
    jobs: usize,
    resources: BTreeMap<String, u64>,
    selection: Selection,
    overwrite: Vec<String>,
    locks: bool,
    prior: Option<PriorRun>,
}

impl Lab {
    /// A run of a workflow, whose name and tables follow.
    pub fn of(toml: &str) -> Self {
        let lab = Self {
            world: FakeWorld::default(),
            documents: Vec::new(),
            script: Box::new(|_| Reply::Done),
            mode: CacheMode::ReadWrite,
            keep_going: false,
            jobs: 4,
            resources: BTreeMap::from([("cpus".into(), 64)]),
            selection: Selection::default(),
            overwrite: Vec::new(),
            locks: true,
            prior: None,
        };
        lab.file("main.toml", &format!("[workflow]\nname = \"w\"\n{toml}"))
    }

    /// Another workflow file beside the first.
    pub fn file(mut self, name: &str, text: &str) -> Self {
        let path = Path::new("/lab").join(name);
        self.documents.push(Document { path, asked: Vec::new(), text: text.into() });
        self
    }

    pub fn in_world(mut self, world: &FakeWorld) -> Self {
        self.world = world.clone();
        self
    }

    pub fn script(mut self, script: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        self.script = Box::new(script);
        self
    }

    pub fn mode(mut self, mode: CacheMode) -> Self {
        self.mode = mode;
        self
    }

    pub fn keep_going(mut self) -> Self {
        self.keep_going = true;
        self
    }

    pub fn jobs(mut self, jobs: usize) -> Self {
        self.jobs = jobs;
        self
    }

    pub fn resource(mut self, name: &str, amount: u64) -> Self {
        self.resources.insert(name.into(), amount);
        self
    }

    pub fn select(mut self, selection: Selection) -> Self {
        self.selection = selection;
        self
    }

    pub fn overwrite(mut self, node: &str) -> Self {
        self.overwrite.push(node.into());
        self
    }

    /// Another run holds every lock for the first `tries` tries.
    pub fn busy_for(self, tries: usize) -> Self {
        self.world.state().busy = tries;
        self
    }

    pub fn without_locks(mut self) -> Self {
        self.locks = false;
        self
    }

    pub fn retry_of(mut self, ran: &Ran) -> Self {
        self.prior = Some(PriorRun::of("first".into(), ran.events.clone()));
        self
    }

    /// Makes the run.
    pub fn run(self) -> Ran {
        let loaded = load_from(Texts::recorded(self.documents), Path::new("/lab/main.toml"), &[]);
        let problems = loaded.sources.render(&loaded.diagnostics, false);
        assert!(loaded.diagnostics.is_empty(), "{problems}");
        let workflow = loaded.workflow.unwrap();
        let outline = Arc::new(Outline::of(workflow.clone()));
        let roles = roles(&outline, &self.selection).unwrap();
        let overwrite = match self.overwrite.is_empty() {
            true => vec![false; outline.len()],
            false => matching(&outline, "--overwrite", &self.overwrite).unwrap(),
        };
        assert!(roles.contains(&Role::Run));
        let world = self.world;
        let store: Arc<dyn ContentStore> = Arc::new(world.clone());
        let files = UserFiles::new(store.clone());
        let bindings: Vec<_> = workflow.inputs.iter().map(|input| input.default.clone().unwrap()).collect();
        let inputs = workflow_inputs(&workflow, &files, &bindings).unwrap();
        let scope = Scope { project: "default".into(), domain: "development".into() };
        let context = RunContext {
            run: "second".into(),
            scope: scope.clone(),
            logs: "/logs".into(),
            cancel: Cancel::default(),
            let_go: Cancel::default(),
        };
        let (interrupt, interrupts) = unbounded_channel();
        let (acknowledge, acknowledged) = unbounded_channel();
        let attempts = Arc::new(Scripted {
            script: self.script,
            calls: Mutex::default(),
            running: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
            cancel: context.cancel.clone(),
            interrupts: interrupt,
        });
        let events = Arc::new(Mutex::new(Vec::new()));
        let clock: Arc<dyn Clock> = Arc::new(world.clone());
        let memo: Box<dyn Memo> = Box::new(world.clone());
        let engine = Engine::new(EngineInputs {
            outline: outline.clone(),
            options: RunOptions {
                roles,
                remaining_ms: vec![0; outline.len()],
                alone_ms: vec![None; outline.len()],
                mean_ms: Vec::new(),
                overwrite,
                mode: self.mode,
                keep_going: self.keep_going,
                jobs: self.jobs,
                trigger: Trigger::Manual,
                scheduled: None,
                retry_of: None,
                first: false,
                executors: Vec::new(),
                detach: false,
            },
            pools: Pools::new(self.jobs, self.resources),
            context,
            attempts: attempts.clone(),
            store: store.clone(),
            publisher: Box::new(Interfaces),
            clock: clock.clone(),
            bus: EventLog::new(vec![Box::new(Listener(events.clone(), world.clone()))], io::sink()),
            files,
            inputs,
            cache: Cache::with_memo(scope, store, Some(memo), clock).with_prior(self.prior),
            locks: self.locks.then(|| Box::new(world.clone()) as Box<dyn WorkLocks>),
            remote: None,
            recorder: Box::new(Recording(world, acknowledge)),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let summary = runtime.block_on(is_free(engine.run(acknowledged, interrupts)));
        let calls = lock(&attempts.calls).clone();
        let events = lock(&events).clone();
        Ran { summary, events, calls, at_once: attempts.at_once.load(Ordering::SeqCst) }
    }
}

/// The future of a run may go to any thread and outlive its caller.
fn is_free<F: Future + Send + 'static>(future: F) -> F {
    future
}

/// A string value.
pub fn text(text: &str) -> Value {
    Value::String(text.into())
}
