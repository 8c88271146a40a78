//! `runner exec`: runs a workflow.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::open::{Opened, jobs, open, order, pools, scope};
use super::screen::{ColorChoice, note, print, reporters};
use super::session::Session;
use super::{Failure, Outcome, args, code, inputs, signals};
use crate::db;
use crate::engine::attempt::Shared;
use crate::engine::cache::Cache;
use crate::engine::scratch::Scratch;
use crate::engine::values::{Files, workflow_inputs};
use crate::engine::{Bus, Engine, Handed, Order, Parts, Summary};
use crate::event::{Counts, Status};
use crate::exec::{Cancel, Local, sweep_strays};
use crate::graph::remaining::remaining;
use crate::graph::select::leaves;
use crate::history::times::of_workflow;
use crate::history::{self, RUNNING};
use crate::locks::Locks;
use crate::memo::Scope;
use crate::report::Verbosity;
use crate::schedule::pools::Pools;
use crate::workflow::binding::Binding;
use crate::writer::Writer;

/// Run a workflow; what the cache has is not run again
///
/// Standard output carries the workflow's outputs as TOML (with --json: events as JSON Lines) and nothing
/// else; everything for people goes to standard error.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner exec workflow.toml
  runner exec workflow.toml --project shop --domain production -i day=2026-01-31
  runner exec workflow.toml --until train -j 4 --keep-going")]
pub struct Args {
    #[command(flatten)]
    target: args::Target,
    #[command(flatten)]
    resources: args::Resources,
    /// After a failure, still run everything that does not depend on it
    #[arg(short, long, help_heading = "Running")]
    keep_going: bool,
    #[command(flatten)]
    cache: args::CacheFlags,
    #[command(flatten)]
    nodes: args::Nodes,
    /// Only say what would run; nothing is run or written
    #[arg(short = 'n', long, help_heading = "Running")]
    dry_run: bool,
    /// Print events as JSON Lines on standard output
    #[arg(long, help_heading = "What is printed")]
    json: bool,
    /// Print only failures
    #[arg(short, long, help_heading = "What is printed")]
    quiet: bool,
    /// Print starts, hits, keys and reasons as well
    #[arg(short, long, conflicts_with = "quiet", help_heading = "What is printed")]
    verbose: bool,
}

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let opened = open(&args.target.workflow, &args.target.settings, color)?;
    let scope = scope(&opened.workflow, &args.target)?;
    let inputs = inputs::resolve(&opened.workflow, &args.target)?;
    let order = order(&opened, &args.nodes, &args.cache, args.keep_going, jobs(&args.resources))?;
    let pools = pools(&opened, &order, &args.resources)?;
    if args.dry_run {
        let request = super::plan::Request { opened: &opened, scope, inputs: &inputs, order: &order };
        return super::plan::show(request, home, color, args.json).map(|_| ());
    }
    let session = Session::open(home)?;
    let verbosity = match (args.quiet, args.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    let request = Request { opened: &opened, scope, inputs: &inputs, order, pools };
    let listeners = reporters(color, verbosity, args.json);
    let summary = execute(request, session, listeners)?;
    if !args.json {
        print(&outputs_toml(&summary.outputs));
    }
    match (summary.signal, summary.status) {
        (Some(signal), _) => Err(Failure::silent(128 + signal as u8)),
        (None, Status::Succeeded) => Ok(()),
        (None, _) => Err(Failure::silent(code::FAILED)),
    }
}

/// A run, decided in every detail.
struct Request<'a> {
    opened: &'a Opened,
    scope: Scope,
    inputs: &'a [Binding],
    order: Order,
    pools: Pools,
}

fn execute(
    mut request: Request,
    session: Session,
    listeners: Vec<Box<dyn crate::report::Reporter>>,
) -> Result<Summary, Failure> {
    let Session { home, db, store, mut warnings } = session;
    let Opened { workflow, outline } = request.opened;
    let run = new_run_id();
    let files = Files::new(store.clone());
    let inputs = workflow_inputs(workflow, &files, request.inputs).map_err(Failure::usage)?;
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
        remaining(outline, |node| times.get(node).copied())
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
    writer.run(row.clone());
    let mut bus = Bus::new(listeners, events);
    for warning in warnings {
        bus.warn(None, warning);
    }
    let shared = Shared {
        executor: Local::new(),
        store: store.clone(),
        run: run.clone(),
        scope: request.scope.clone(),
        scratch: Scratch::new(lock.scratch.clone()),
        logs: home.logs(&run),
        cancel: Cancel::default(),
    };
    let cache = Cache::new(request.scope, store, Some(reader), Some(home.path().to_owned()));
    let engine = Engine::new(Parts {
        outline,
        order: request.order,
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
    writer.run(row);
    drop(writer);
    let history = summary.history.as_ref().map(ToString::to_string);
    if let Some(problem) = handle.join().or(history) {
        note(&format!("warning: the history of run {run} is incomplete: {problem}"));
    }
    home.sweep_scratch(&run);
    Ok(summary)
}

/// Eight letters and digits, the first a letter: easy to type, and never taken for a flag or a number.
fn new_run_id() -> String {
    const LETTERS: &[u8; 22] = b"abcdefghjkmnpqrstvwxyz";
    const ALL: &[u8; 30] = b"abcdefghjkmnpqrstvwxyz23456789";
    // Seeded by the operating system, anew for each instance.
    let mut random = RandomState::new().hash_one((std::process::id(), Timestamp::now().as_nanosecond()));
    let mut id = String::from(char::from(LETTERS[(random % 22) as usize]));
    random /= 22;
    for _ in 0..7 {
        id.push(char::from(ALL[(random % 30) as usize]));
        random /= 30;
    }
    id
}

/// The outputs as a TOML document. Null has no form in TOML: it is left out, and in a list an empty table.
fn outputs_toml(outputs: &[(String, Handed)]) -> String {
    let mut text = String::new();
    for (name, handed) in outputs {
        if let Some(value) = to_toml(&handed.plain) {
            text.push_str(&format!("{name} = {value}\n"));
        }
    }
    text
}

fn to_toml(json: &serde_json::Value) -> Option<toml::Value> {
    use serde_json::Value as Json;
    Some(match json {
        Json::Null => return None,
        Json::Bool(value) => (*value).into(),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => value.into(),
            (None, Some(value)) => value.into(),
            (None, None) => number.to_string().into(),
        },
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => {
            // What stands for null keeps its place: the others must keep theirs.
            let item = |item| to_toml(item).unwrap_or_else(|| toml::Value::Table(toml::Table::new()));
            toml::Value::Array(items.iter().map(item).collect())
        }
        Json::Object(entries) => {
            toml::Value::Table(entries.iter().filter_map(|(k, v)| Some((k.clone(), to_toml(v)?))).collect())
        }
    })
}
