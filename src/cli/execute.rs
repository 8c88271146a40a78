//! One run from its beginning to its end: home, writer, engine and listeners joined.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map as JsonMap, Value as Json};

use super::cache::{self, cap};
use super::open::Opened;
use super::screen::note;
use super::session::HomeWriter;
use super::{Failure, signals};
use crate::core::event::Counts;
use crate::core::reporter::Reporter;
use crate::core::run_id::RunId;
use crate::core::value::Value;
use crate::engine::attempt::environment::{self, HostEnv};
use crate::engine::attempt::perform::AttemptShared;
use crate::engine::attempt::scratch::Scratch;
use crate::engine::lookup::cache::{Cache, to_record};
use crate::engine::lookup::prior_run::PriorRun;
use crate::engine::schedule::pools::Pools;
use crate::engine::scope::values::{Files, workflow_inputs};
use crate::engine::{Engine, EngineInputs, EventLog, RunOptions, Summary};
use crate::exec::{Cancel, Local, sweep_strays};
use crate::storage::db;
use crate::storage::gc;
use crate::storage::history::invocation::{Beginning, Invocation, Text};
use crate::storage::history::times::of_workflow;
use crate::storage::history::{self, RUNNING};
use crate::storage::locks::Locks;
use crate::storage::memo::Scope;
use crate::storage::writer::{Closed, Writer};
use crate::workflow::binding::Binding;
use crate::workflow::documents::Document;
use crate::workflow::graph::remaining::remaining;
use crate::workflow::graph::select::leaves;

/// A run, decided in every detail.
pub struct Request<'a> {
    pub opened: &'a Opened,
    pub scope: Scope,
    pub inputs: &'a [Binding],
    pub order: RunOptions,
    pub pools: Pools,
    /// What was asked for, as far as flags say it; the rest is filled in when the run begins.
    pub invocation: Invocation,
    /// The run that is tried again.
    pub retry: Option<Retry>,
    /// What was read; handed over, because the texts are not needed once they are recorded.
    pub documents: Vec<Document>,
    /// Whether people are only told of failures.
    pub quiet: bool,
}

/// A run that is tried again.
pub struct Retry {
    pub run: String,
    /// Its inputs, as it recorded them.
    pub inputs: JsonMap<String, Json>,
    /// What it brought to an end.
    pub earlier: PriorRun,
    /// Whether this try was told to overwrite results.
    pub overwrites: bool,
}

/// Runs it.
pub fn execute(
    mut request: Request,
    session: HomeWriter,
    listeners: Vec<Box<dyn Reporter>>,
) -> Result<Summary, Failure> {
    let cap = cap::from_environment()?;
    let HomeWriter { home, db, store, mut warnings } = session;
    let Opened { workflow, outline, .. } = request.opened;
    let run = RunId::make().to_string();
    let files = Files::new(store.clone());
    let inputs = workflow_inputs(workflow, &files, request.inputs).map_err(Failure::usage)?;
    if let Some(Retry { run, inputs: before, .. }) = &request.retry {
        request.invocation.retry_of = Some(run.clone());
        request.order.retry_of = Some(run.clone());
        for (input, value) in workflow.inputs.iter().zip(&inputs) {
            let before = before.get(&*input.name).unwrap_or(&Json::Null);
            changed_files(before, &value.to_record(), &mut |path| {
                warnings.push(format!("{path} has changed since run {run}: what depends on it runs again"));
            });
        }
    }
    let no_home =
        |error| Failure::store(format!("cannot use the home folder {}: {error}", home.path().display()));
    let lock = home.begin_run(&run).map_err(no_home)?;
    let events = home.create_events(&run).map_err(no_home)?;
    let reader = db::open_reader(home.path()).map_err(|error| Failure::store(error.to_string()))?;
    let (writer, handle, acknowledged) = Writer::start(db, store.clone(), home.path().to_owned());
    let locks = match Locks::open(home.path()) {
        Ok(locks) => Some(locks),
        Err(error) => {
            warnings.push(format!(
                "cache_serialize does nothing in this run: its locks cannot be opened: {error}"
            ));
            None
        }
    };
    request.order.remaining_ms = {
        // Without times all nodes count the same.
        let times = of_workflow(&reader, &workflow.name).unwrap_or_default();
        remaining(outline, |node| times.get(node).map(|time| time.wall))
    };
    let started = Timestamp::now();
    let taking_part = leaves(outline, &request.order.roles, 0..outline.len());
    let mut row = history::Run {
        id: run.clone(),
        workflow: workflow.name.clone(),
        path: workflow.path.display().to_string(),
        project: request.scope.project.clone(),
        domain: request.scope.domain.clone(),
        status: RUNNING.into(),
        started,
        finished: None,
        counts: Counts { nodes: taking_part, ..Counts::default() },
        saved_ms: 0,
    };
    writer.begin(Beginning {
        run: row.clone(),
        invocation: invocation(request.invocation, request.opened, &request.scope, &inputs),
        texts: request.documents.into_iter().map(text).collect(),
    });
    let mut bus = EventLog::new(listeners, events);
    for warning in warnings {
        bus.warn(None, warning);
    }
    let shared = AttemptShared {
        executor: Local::new(),
        store: store.clone(),
        run: run.clone(),
        scope: request.scope.clone(),
        caller: HostEnv::now(),
        scratch: Scratch::new(lock.scratch.clone()),
        logs: home.logs(&run),
        cancel: Cancel::default(),
    };
    let cache = Cache::new(request.scope, store.clone(), Some(reader), Some(home.path().to_owned()));
    let cache = cache.with_prior(request.retry.map(|retry| retry.earlier));
    let engine = Engine::new(EngineInputs {
        outline,
        options: request.order,
        pools: request.pools,
        shared: Arc::new(shared),
        outputs_dir: home.outputs(&run),
        bus,
        files,
        inputs,
        cache,
        locks,
        writer: writer.clone(),
    });
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(
            |error| Failure::store(format!("the threads of the runner cannot be started: {error}")),
        )?;
    let summary = runtime.block_on(async {
        let summary = engine.run(acknowledged, signals::listen()).await;
        sweep_strays().await;
        summary
    });
    runtime.shutdown_background();
    row.status = summary.status.name().into();
    row.finished = Some(Timestamp::now());
    row.counts = summary.counts;
    row.saved_ms = summary.saved_ms;
    writer.size(&run, gc::of_run(&home, &run));
    writer.run(row);
    drop(writer);
    let history = summary.history.as_ref().map(ToString::to_string);
    let Closed { failure, footprint } = handle.join();
    if let Some(problem) = failure.or(history) {
        note(&format!("warning: the history of run {run} is incomplete: {problem}"));
    }
    home.sweep_scratch(&run);
    // It has ended: as far as a collection goes, nothing of it is under way.
    drop(lock);
    if gc::is_due(&store, footprint, cap) {
        cache::gc::after_run(&home, &store, footprint, cap, !request.quiet);
    }
    Ok(summary)
}

/// What is known of what was asked for, beside the flags, when the run begins.
fn invocation(flags: Invocation, opened: &Opened, scope: &Scope, inputs: &[Value]) -> Invocation {
    let workflow = &opened.workflow;
    let tasks = opened.workflows.iter().flat_map(|workflow| &workflow.tasks);
    let environment = environment::remember(tasks.map(|task| &**task));
    let here = std::env::current_dir().unwrap_or_default();
    Invocation {
        runner: env!("CARGO_PKG_VERSION").into(),
        workflow: workflow.path.display().to_string(),
        dir: here.display().to_string(),
        project: scope.project.clone(),
        domain: scope.domain.clone(),
        inputs: to_record(workflow.inputs.iter().map(|input| &*input.name), inputs),
        environment: environment.base,
        passed: environment.passed,
        ..flags
    }
}

/// Tells of files that are in the same places, and others now.
fn changed_files(before: &Json, now: &Json, tell: &mut dyn FnMut(&str)) {
    match (before, now) {
        (Json::Object(before), Json::Object(now)) => match (before.get("origin"), now.get("origin")) {
            (Some(Json::String(then)), Some(Json::String(path))) if then == path => {
                if before.get("digest") != now.get("digest") {
                    tell(path);
                }
            }
            _ => before
                .iter()
                .filter_map(|(key, before)| Some((before, now.get(key)?)))
                .for_each(|(before, now)| changed_files(before, now, tell)),
        },
        (Json::Array(before), Json::Array(now)) => {
            before.iter().zip(now).for_each(|(before, now)| changed_files(before, now, tell));
        }
        _ => {}
    }
}

fn text(document: Document) -> Text {
    let shown = |path: &PathBuf| path.display().to_string();
    Text {
        path: shown(&document.path),
        asked: document.asked.iter().map(shown).collect(),
        text: document.text,
    }
}
