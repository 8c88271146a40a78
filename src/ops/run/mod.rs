//! One run from its beginning to its end: home, writer, engine and listeners joined.
//!
//! | file | owns |
//! |---|---|
//! | `beside.rs` | blocking work before the run, while interrupts are still heard |
//! | `cancel_requests.rs` | requests of other processes to end the run |
//! | `descriptors.rs`, `home_inside.rs`, `warnings.rs` | what the user should know, or mend, before the run begins |
//! | `record.rs` | the run's rows in the history |
//! | `honour.rs` | a run that is had from a receipt |
//! | `leftovers.rs` | jobs that nobody attends to |
//! | `end.rs` | what is closed, collected and looked at after the last node |
//!
//! Any number of runs may go on in one process: the engine's future is `Send` and `'static`. Lookups block the thread that
//! polls it for moments, so a caller with several runs gives each a thread with a runtime of
//! its own. Between them they share the home's locks, which know of several runs in one process.

pub mod beside;
mod cancel_requests;
mod descriptors;
mod end;
mod home_inside;
mod honour;
mod leftovers;
mod record;
mod warnings;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::mpsc::UnboundedReceiver;

use self::beside::beside;
use self::cancel_requests::with_requests;
use self::descriptors::expect_enough;
use self::home_inside::home_inside;
pub use self::honour::honour;
use self::record::RunRecord;
use super::Error;
use super::attach;
use super::cap;
use super::collect::AfterRun;
use super::executors;
use super::home::HomeWriter;
use super::open::Opened;
use super::prepare::PreparedRun;
use super::receipt::ReceiptKeeper;
use super::remote;
use super::run_lock::RunTurn;
use crate::core::clock::SystemClock;
use crate::core::event::Status;
use crate::core::reporter::Reporter;
use crate::core::run_id::RunId;
use crate::core::run_request::CacheMode;
use crate::core::value::Value;
use crate::engine::attempt::environment::{self, HostEnv};
use crate::engine::attempt::perform::AttemptShared;
use crate::engine::attempt::placement::BLOBS;
use crate::engine::attempt::scratch::Scratch;
use crate::engine::lookup::cache::Cache;
use crate::engine::scope::values::{UserFiles, workflow_inputs};
use crate::engine::{
    Engine, EngineInputs, EventLog, Interrupt, PublishOptions, RunContext, RunOptions, StorePublisher,
    Summary, WorkLocks, protected, refused_outputs,
};
use crate::exec::{self, Cancel, ForkServers, Local, ProcessRecorder, sweep_strays};
use crate::storage::db;
use crate::storage::history::{has_succeeded, times::of_workflow};
use crate::storage::home::{Home, RunLock};
use crate::storage::locks::Locks;
use crate::storage::publish::Protected;
use crate::storage::remote::{RemoteCache, RemoteSession};
use crate::storage::store::{Store, collect_shared};
use crate::workflow::binding::{Binding, ValueError};
use crate::workflow::graph::remaining::remaining;

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
    /// Jobs that runs left which are gone: of each run how many.
    pub left: Vec<(RunId, usize)>,
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
    mut listeners: Vec<Box<dyn Reporter>>,
    mut interrupts: UnboundedReceiver<Interrupt>,
) -> Result<RunResult, Error> {
    let cap = cap::from_environment()?;
    let prepared = prepared.ready()?;
    let shared_cache = shared_cache(&prepared)?;
    let pools = prepared.pools()?;
    expect_enough(prepared.options.jobs)?;
    let PreparedRun {
        request,
        opened,
        scope,
        inputs: bindings,
        mut options,
        config,
        prior,
        receipt,
        is_begun,
    } = prepared;
    // The locks are held until this function returns.
    let RunTurn { run, locks: held } = turn;
    let mut pending = receipt;

    let flag = home.map(Path::to_owned);
    let opening = beside(&mut interrupts, move || HomeWriter::open(flag.as_deref()));
    let HomeWriter { home, db, store, mut warnings } = opening.await??;
    if let Some(pending) = &mut pending {
        pending.reader = None;
        warnings.append(&mut pending.warnings);
    }
    warnings.extend_from_slice(&config.warnings);
    let inside = home_inside(&opened, &bindings, home.path());
    let (files, inputs) = evaluate(&opened, bindings, store.clone(), &inside, &mut interrupts).await?;
    warnings.extend(inside);
    let protected = protect(&opened, &inputs)?;
    warnings.extend(warnings::changed_inputs(prior.as_ref(), &opened.workflow, &inputs));
    let secrets = environment::secrets_of(opened.tasks());
    let masker = environment::masker_of(&secrets);
    warnings.extend(warnings::unmasked(&secrets, &masker, &opened.workflow, &inputs));

    let Hold { lock, events, processes, reader } = Hold::take(&home, run, is_begun)?;
    warnings.extend(warnings::of_texts(&opened, &reader));
    estimate(&mut options, &opened, &reader);
    let key = pending.filter(|_| held.is_empty() && prior.is_none()).map(|pending| pending.key);
    let receipt =
        ReceiptKeeper::begin(key, &request.given, &opened, &config, &mut listeners, &store, &reader);
    let row = record::first_row(run, &opened, &scope, &options);
    let (recording, acknowledged) = RunRecord::start(row, db, store.clone(), &home)?;
    let locks = work_locks(&home, &mut warnings);
    let (replace, python_env) = (request.replace_outputs, request.python_env.clone());
    let recorded = recording.begin(request, &opened, &inputs);

    let mut bus = EventLog::new(listeners, events).masking(masker.clone());
    for warning in warnings {
        bus.warn(None, warning);
    }
    let round = if is_begun { home.earlier_events(run).len() } else { 0 };
    let servers = Arc::<ForkServers>::default();
    let shared = AttemptShared {
        executor: Local::forking(Arc::clone(&servers)),
        store: store.clone(),
        run,
        scope: scope.clone(),
        scheduled_at: options.scheduled.as_ref().and_then(|scheduled| scheduled.at),
        caller: HostEnv::now(),
        scratch: Scratch::new(lock.scratch.clone()),
        logs: home.logs(run),
        cancel: Cancel::default(),
        let_go: Cancel::default(),
        masker,
        large: Default::default(),
        batch: executors::places(&options.executors, &config, &home, run, round, &opened)?,
        out_of_memory: Default::default(),
        python_env,
    };
    let batch: Vec<_> = shared.batch.values().cloned().collect();
    let (logs, cancel, let_go) = (shared.logs.clone(), shared.cancel.clone(), shared.let_go.clone());
    let context = RunContext { run, scope: scope.clone(), logs, cancel, let_go };
    let cache = Cache::new(scope, store.clone(), Some(reader), Some(home.path().to_owned()));
    let cache = cache.with_prior(prior.map(|prior| prior.earlier));
    let publishing = PublishOptions { home: home.path().to_owned(), protected, replace };
    let publisher = StorePublisher::new(store.clone(), home.outputs(run), publishing);
    let remote = shared_cache.map(|cache| RemoteSession::open(cache, store.clone(), home.path()));
    if let Some(remote) = &remote {
        remote.upload_queued();
    }
    let engine = Engine::new(EngineInputs {
        outline: opened.outline.clone(),
        options,
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
        locks,
        remote,
        recorder: Box::new(recording.recorder()),
    });
    // Before any work begins: a run that is killed at once is in the history.
    let _ = recorded.await;
    let interrupts = with_requests(home.clone(), run, interrupts);
    let summary = engine.run(acknowledged, interrupts).await;
    let mut left = Vec::new();
    for place in batch {
        place.batch.close().await;
        if summary.status != Status::Detached {
            let (blobs, jobs) = (place.work_dir.join(BLOBS), place.work_dir.join("jobs"));
            left.extend(leftovers::settle(place, run, is_begun, &config, home.path()).await);
            collect_shared(&blobs, &jobs);
        }
    }
    servers.close().await;
    sweep_strays().await;
    drop(processes);
    let mut result = end::close(summary, recording, lock, &home, &store, cap);
    let is_whole = result.history.is_none() && result.missing.is_empty() && result.warnings.is_empty();
    if let Some(receipt) = receipt.filter(|_| is_whole) {
        receipt.keep(run, &result.summary, &opened, &home, &store);
    }
    result.left = leftovers::summed(left);
    drop(held);
    Ok(result)
}

/// The shared cache of the run; none where the run uses no cache.
///
/// # Errors
/// Its settings cannot be used.
fn shared_cache(prepared: &PreparedRun) -> Result<Option<Arc<RemoteCache>>, Error> {
    if prepared.options.mode == CacheMode::Off {
        return Ok(None);
    }
    Ok(remote::open(&prepared.config, &prepared.remote_choice())?.map(Arc::new))
}

/// The values of the workflow's inputs, and the user's files that were digested for them. `inside` says where an input
/// holds the home: a home that changes while it is read may be why a file cannot be read.
///
/// # Errors
/// An input without a value, or an interrupt that came first.
async fn evaluate(
    opened: &Opened,
    bindings: Vec<Binding>,
    store: Arc<Store>,
    inside: &[String],
    interrupts: &mut UnboundedReceiver<Interrupt>,
) -> Result<(UserFiles, Box<[Value]>), Error> {
    let (files, workflow) = (UserFiles::new(store), opened.workflow.clone());
    let work = move || {
        let inputs = workflow_inputs(&workflow, &files, &bindings);
        (files, inputs)
    };
    let (files, inputs) = beside(interrupts, work).await?;
    let inputs = inputs.map_err(|error| match error.problem {
        ValueError::File(_) => Error::invalid([&[error.to_string()], inside].concat().join("\n")),
        ValueError::Unknown(_) | ValueError::Unfit(_) => error.into(),
    })?;
    Ok((files, inputs))
}

/// The files that no output of the run may replace.
///
/// # Errors
/// An output of the workflow names one of them.
fn protect(opened: &Opened, inputs: &[Value]) -> Result<Protected, Error> {
    let read = opened.documents.iter().map(|document| document.path.as_path());
    let protected = protected(&opened.workflows, read, inputs);
    let refused = refused_outputs(&opened.workflow, &protected);
    if refused.is_empty() {
        return Ok(protected);
    }
    let messages: Vec<String> = refused.into_iter().map(|refused| refused.message).collect();
    Err(Error::invalid(messages.join("\n")))
}

/// What a run holds of its home until it ends.
struct Hold {
    lock: RunLock,
    events: File,
    processes: ProcessRecorder,
    reader: Connection,
}

impl Hold {
    /// Takes hold of the home for a run, which is new or was begun before.
    ///
    /// # Errors
    /// A file of the run cannot be made, or the database cannot be read.
    fn take(home: &Home, run: RunId, is_begun: bool) -> Result<Self, Error> {
        let no_home =
            |error| Error::store(format!("cannot use the home folder {}: {error}", home.path().display()));
        let lock = home.begin_run(run).map_err(no_home)?;
        if is_begun {
            // Another process may have been quicker.
            attach::expect_unattended(home, run)?;
            home.put_events_aside(run).map_err(no_home)?;
        }
        let events = home.create_events(run).map_err(no_home)?;
        let processes = home.create_processes(run).and_then(exec::record).map_err(no_home)?;
        let reader = db::open_reader(home.path()).map_err(|error| Error::store(error.to_string()))?;
        Ok(Self { lock, events, processes, reader })
    }
}

/// The locks of identical work; without them the run goes on, with a warning.
fn work_locks(home: &Home, warnings: &mut Vec<String>) -> Option<Box<dyn WorkLocks>> {
    match Locks::open(home.path()) {
        Ok(locks) => Some(Box::new(locks)),
        Err(error) => {
            warnings.push(format!(
                "cache_serialize does nothing in this run: its locks cannot be opened: {error}"
            ));
            None
        }
    }
}

/// Fills in how long nodes took in earlier runs, and whether any of them succeeded. If the history cannot be read, all
/// nodes count the same, and messages for a first run are left out.
fn estimate(options: &mut RunOptions, opened: &Opened, reader: &Connection) {
    let (name, outline) = (&opened.workflow.name, &opened.outline);
    let times = of_workflow(reader, name).unwrap_or_default();
    options.remaining_ms = remaining(outline, |node| times.get(node).map(|time| time.wall));
    options.alone_ms = outline.places().map(|place| times.get(&place.name()).map(|time| time.wall)).collect();
    if !options.executors.is_empty() {
        let mean = |name: &str| times.get(name).map(|time| time.mean);
        options.mean_ms = outline.places().map(|place| mean(&place.name())).collect();
    }
    options.first = !has_succeeded(reader, name).unwrap_or(true);
}
