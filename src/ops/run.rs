//! One run from its beginning to its end: home, writer, engine and listeners joined.
//!
//! Any number of runs may go on in one process: the engine's future is `Send` and `'static`. Lookups block the thread that
//! polls it for moments, so a caller with several runs gives each a thread with a runtime of
//! its own. Between them they share the home's locks, which know of several runs in one process.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value as Json;
use tokio::sync::mpsc::UnboundedReceiver;

use super::Error;
use super::beside::beside;
use super::cap;
use super::collect::{AfterRun, after_run};
use super::descriptors::expect_enough;
use super::home::HomeWriter;
use super::home_inside::home_inside;
use super::open::{Opened, PreparedRun};
use super::run_lock::RunTurn;
use crate::core::clock::SystemClock;
use crate::core::event::Counts;
use crate::core::reporter::Reporter;
use crate::core::run_id::RunId;
use crate::core::run_request::RunRequest;
use crate::core::value::{Artifact, Value};
use crate::engine::attempt::environment::{self, HostEnv};
use crate::engine::attempt::perform::AttemptShared;
use crate::engine::attempt::scratch::Scratch;
use crate::engine::lookup::cache::{Cache, to_record};
use crate::engine::scope::values::{UserFiles, workflow_inputs};
use crate::engine::{
    Engine, EngineInputs, EventLog, Interrupt, PublishOptions, RunContext, StorePublisher, Summary,
    WorkLocks, protected, refused_outputs,
};
use crate::exec::{self, Cancel, Local, MIN_SECRET_CHARS, Masker, is_maskable, sweep_strays};
use crate::storage::db;
use crate::storage::gc;
use crate::storage::history::invocation::{Beginning, Invocation, Text, has_read};
use crate::storage::history::times::of_workflow;
use crate::storage::history::{self, RUNNING};
use crate::storage::locks::Locks;
use crate::storage::memo::Scope;
use crate::storage::writer::{Closed, Writer};
use crate::workflow::Workflow;
use crate::workflow::diagnostic::Diagnostic;
use crate::workflow::documents::Document;
use crate::workflow::graph::remaining::remaining;
use crate::workflow::graph::select::leaves;
use crate::workflow::lint;

/// Why a run cannot begin where the system has no thread left.
pub const NO_THREAD: &str = "the system refuses another thread; end other processes or raise `ulimit -u`";

/// A run that has ended.
pub struct RunResult {
    pub run: RunId,
    pub summary: Summary,
    /// Why its history is incomplete, if it is.
    pub history: Option<String>,
    /// The collection that the run's end called for.
    pub collected: Option<AfterRun>,
    /// What the user should know of the home after the run.
    pub warnings: Vec<String>,
    /// Output files of the run that do not exist.
    pub missing: Vec<String>,
}

/// Runs a prepared request to its end, in its turn. Nothing is printed: `listeners` hear every event, and an interrupt from outside
/// winds the run down.
///
/// # Errors
/// The run could not begin: a resource or an input cannot be had, or the home cannot be used. A run that began always
/// ends with a result.
pub async fn run(
    prepared: PreparedRun,
    turn: RunTurn,
    home: Option<&Path>,
    listeners: Vec<Box<dyn Reporter>>,
    mut interrupts: UnboundedReceiver<Interrupt>,
) -> Result<RunResult, Error> {
    let cap = cap::from_environment()?;
    let prepared = prepared.ready()?;
    let pools = prepared.pools()?;
    expect_enough(prepared.options.jobs)?;
    let PreparedRun { request, mut opened, scope, inputs: bindings, options: mut order, config, prior } =
        prepared;
    let flag = home.map(Path::to_owned);
    let opening = beside(&mut interrupts, move || HomeWriter::open(flag.as_deref()));
    let HomeWriter { home, db, store, mut warnings } = opening.await??;
    warnings.extend(config.warnings);
    let documents = std::mem::take(&mut opened.documents);
    let (workflow, outline) = (&opened.workflow, &opened.outline);
    // The locks are held until this function returns.
    let RunTurn { run, locks: _held } = turn;
    let inside = home_inside(&opened, &bindings, home.path());
    let (files, inputs) = beside(&mut interrupts, {
        let (files, workflow) = (UserFiles::new(store.clone()), workflow.clone());
        move || {
            let inputs = workflow_inputs(&workflow, &files, &bindings);
            (files, inputs)
        }
    })
    .await?;
    let inputs = inputs.map_err(|problem| {
        // A home that changes while it is read as an input may be the cause.
        Error::invalid([&[problem], &inside[..]].concat().join("\n"))
    })?;
    warnings.extend(inside);
    let read = documents.iter().map(|document| document.path.as_path());
    let protected = protected(&opened.workflows, read, &inputs);
    let refused = refused_outputs(workflow, &protected);
    if !refused.is_empty() {
        let messages: Vec<String> = refused.into_iter().map(|refused| refused.message).collect();
        return Err(Error::invalid(messages.join("\n")));
    }
    let replace = request.replace_outputs;
    if let Some(prior) = &prior {
        for (input, value) in workflow.inputs.iter().zip(&inputs) {
            prior.changed_files(&input.name, &value.to_record(), &mut |path| {
                let id = &prior.run;
                warnings.push(format!("{path} has changed since run {id}: what depends on it runs again"));
            });
        }
    }
    let tasks = opened.workflows.iter().flat_map(|workflow| &workflow.tasks).map(|task| &**task);
    let secrets = environment::secrets_of(tasks);
    let masker = environment::masker_of(&secrets);
    warnings.extend(unmasked(&secrets, &masker, workflow, &inputs));
    let no_home =
        |error| Error::store(format!("cannot use the home folder {}: {error}", home.path().display()));
    let lock = home.begin_run(run).map_err(no_home)?;
    let events = home.create_events(run).map_err(no_home)?;
    let recorder = home.create_processes(run).and_then(exec::record).map_err(no_home)?;
    let reader = db::open_reader(home.path()).map_err(|error| Error::store(error.to_string()))?;
    // Once for each definition: a user who keeps it has decided.
    if documents.iter().any(|document| !has_read(&reader, &document.text)) {
        let undeclared = lint::undeclared(&opened.workflows, &opened.sources);
        warnings.extend(undeclared.into_iter().map(|lint| {
            let Diagnostic { message, help, .. } = lint.diagnostic;
            format!("{message}: {}. Said once for this workflow", help.join("; "))
        }));
    }
    let (writer, handle, acknowledged) = Writer::start(db, store.clone(), home.path().to_owned())
        .map_err(|error| Error::store(format!("{NO_THREAD}: {error}")))?;
    let locks = match Locks::open(home.path()) {
        Ok(locks) => Some(locks),
        Err(error) => {
            warnings.push(format!(
                "cache_serialize does nothing in this run: its locks cannot be opened: {error}"
            ));
            None
        }
    };
    // Without times all nodes count the same.
    let times = of_workflow(&reader, &workflow.name).unwrap_or_default();
    order.remaining_ms = remaining(outline, |node| times.get(node).map(|time| time.wall));
    order.alone_ms = outline.places().map(|place| times.get(&place.name()).map(|time| time.wall)).collect();
    // If the history cannot be read, messages for a first run are left out.
    order.first = !history::has_succeeded(&reader, &workflow.name).unwrap_or(true);
    let started = Timestamp::now();
    let taking_part = leaves(outline, &order.roles, 0..outline.len());
    let mut row = history::Run {
        id: run,
        workflow: workflow.name.clone(),
        path: workflow.path.display().to_string(),
        project: scope.project.clone(),
        domain: scope.domain.clone(),
        status: RUNNING.into(),
        started,
        finished: None,
        counts: Counts { nodes: taking_part, ..Counts::default() },
        saved_ms: 0,
    };
    let recorded = writer.begin(Beginning {
        run: row.clone(),
        invocation: invocation(request, &opened, &scope, &inputs),
        texts: documents.into_iter().map(text).collect(),
    });
    let mut bus = EventLog::new(listeners, events).masking(masker.clone());
    for warning in warnings {
        bus.warn(None, warning);
    }
    let shared = AttemptShared {
        executor: Local::new(),
        store: store.clone(),
        run,
        scope: scope.clone(),
        scheduled_at: order.scheduled.as_ref().and_then(|scheduled| scheduled.at),
        caller: HostEnv::now(),
        scratch: Scratch::new(lock.scratch.clone()),
        logs: home.logs(run),
        cancel: Cancel::default(),
        masker,
        large: Default::default(),
        out_of_memory: Default::default(),
    };
    let context = RunContext {
        run: shared.run,
        scope: shared.scope.clone(),
        logs: shared.logs.clone(),
        cancel: shared.cancel.clone(),
    };
    let cache = Cache::new(scope, store.clone(), Some(reader), Some(home.path().to_owned()));
    let cache = cache.with_prior(prior.map(|prior| prior.earlier));
    let options = PublishOptions { home: home.path().to_owned(), protected, replace };
    let publisher = StorePublisher::new(store.clone(), home.outputs(run), options);
    let engine = Engine::new(EngineInputs {
        outline: outline.clone(),
        options: order,
        pools,
        context,
        attempts: Arc::new(shared),
        store: store.clone(),
        publisher: Box::new(publisher),
        clock: Arc::new(SystemClock),
        bus,
        files,
        inputs,
        cache,
        locks: locks.map(|locks| Box::new(locks) as Box<dyn WorkLocks>),
        recorder: Box::new(writer.clone()),
    });
    // Before any work begins: a run that is killed at once is in the history.
    let _ = recorded.await;
    let summary = engine.run(acknowledged, interrupts).await;
    sweep_strays().await;
    drop(recorder);
    row.status = summary.status.name().into();
    row.finished = Some(Timestamp::now());
    row.counts = summary.counts;
    row.saved_ms = summary.saved_ms;
    writer.size(run, gc::of_run(&home, run));
    writer.run(row);
    drop(writer);
    let history = summary.history.as_ref().map(ToString::to_string);
    let Closed { failure, footprint } = handle.join();
    home.sweep_scratch(run);
    // The run has ended: a collection need not spare anything for it.
    drop(lock);
    let (collected, warning) = match gc::is_due(&store, footprint, cap) {
        true => after_run(&home, &store, footprint, cap),
        false => (None, None),
    };
    let missing = missing(&summary, &home.outputs(run));
    let warnings = warning.into_iter().collect();
    Ok(RunResult { run, summary, history: failure.or(history), collected, warnings, missing })
}

/// The files among the outputs of a run that should be in `folder` and are not.
fn missing(summary: &Summary, folder: &Path) -> Vec<String> {
    fn collect(value: &Json, folder: &Path, missing: &mut Vec<String>) {
        match value {
            Json::Array(items) => items.iter().for_each(|item| collect(item, folder, missing)),
            Json::Object(entries) => {
                match (entries.get("path").and_then(Json::as_str), entries.get("digest")) {
                    (Some(path), Some(_)) if Artifact::from_record(value).is_ok() => {
                        if Path::new(path).starts_with(folder) && std::fs::metadata(path).is_err() {
                            missing.push(path.to_owned());
                        }
                    }
                    _ => entries.values().for_each(|item| collect(item, folder, missing)),
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
    }
    let mut missing = Vec::new();
    summary.outputs.iter().for_each(|(_, handed)| collect(&handed.event, folder, &mut missing));
    missing
}

/// Warnings about secrets that will be seen: those that are too short to be masked, and inputs that hold one.
fn unmasked(
    secrets: &BTreeMap<String, OsString>,
    masker: &Masker,
    workflow: &Workflow,
    inputs: &[Value],
) -> Vec<String> {
    let is_short = |value: &OsString| {
        let value = value.as_encoded_bytes();
        !value.trim_ascii().is_empty() && !is_maskable(value)
    };
    let short = secrets.iter().filter(|(_, value)| is_short(value)).map(|(name, _)| {
        format!(
            "the secret `{name}` is shorter than {MIN_SECRET_CHARS} characters and is not masked: in logs and records it \
             stands in clear"
        )
    });
    let shown =
        workflow.inputs.iter().zip(inputs).filter(|(_, value)| masker.is_in(&value.to_record().to_string()));
    let shown = shown.map(|(input, _)| {
        format!("the input `{}` holds the value of a secret, and inputs are recorded in clear", input.name)
    });
    short.chain(shown).collect()
}

/// The record of the request, with everything that was decided when the run began.
fn invocation(request: RunRequest, opened: &Opened, scope: &Scope, inputs: &[Value]) -> Invocation {
    let workflow = &opened.workflow;
    let tasks = opened.workflows.iter().flat_map(|workflow| &workflow.tasks);
    let environment = environment::remember(tasks.map(|task| &**task));
    let here = std::env::current_dir().unwrap_or_default();
    let request = RunRequest {
        // Records are text, whatever bytes a path holds.
        workflow: workflow.path.display().to_string().into(),
        project: Some(scope.project.clone()),
        domain: Some(scope.domain.clone()),
        // The values that came of them are recorded below.
        given: Vec::new(),
        cache: Some(request.cache.unwrap_or_default()),
        ..request
    };
    Invocation {
        runner: env!("CARGO_PKG_VERSION").into(),
        dir: here.display().to_string(),
        request,
        inputs: to_record(workflow.inputs.iter().map(|input| &*input.name), inputs),
        environment: environment.base,
        passed: environment.passed,
        ..Invocation::default()
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
