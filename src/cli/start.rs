//! Starting what was prepared: the flags that `exec`, `retry` and `rerun` have in common, and what they print in the end.

use std::path::Path;

use super::screen::{ColorChoice, note, print, reporters};
use super::{Failure, Outcome, args, code, signals};
use crate::core::event::Status;
use crate::core::run_request::RunRequest;
use crate::engine::PublishedOutput;
use crate::ops;
use crate::ops::home::HomeWriter;
use crate::ops::open::Prepared;
use crate::ops::run::RunResult;
use crate::view::Verbosity;

/// The flags of every verb that runs a workflow.
#[derive(Clone, clap::Args)]
pub struct Flags {
    #[command(flatten)]
    pub target: args::Target,
    #[command(flatten)]
    pub resources: args::Resources,
    /// After a failure, still run everything that does not depend on the failed node
    #[arg(short, long, help_heading = "Running")]
    pub keep_going: bool,
    #[command(flatten)]
    pub cache: args::CacheFlags,
    #[command(flatten)]
    pub nodes: args::Nodes,
    /// Let published outputs replace files that `runner` did not publish; never a workflow, source or input file
    #[arg(long, help_heading = "Running")]
    replace_outputs: bool,
    /// Only say what would run; nothing is run or written
    #[arg(short = 'n', long, help_heading = "Running")]
    pub dry_run: bool,
    /// Print events as JSON Lines on standard output
    #[arg(long, help_heading = "What is printed")]
    json: bool,
    /// Print only failures
    #[arg(short, long, help_heading = "What is printed")]
    pub quiet: bool,
    /// Print starts, hits, keys and reasons as well
    #[arg(short, long, conflicts_with = "quiet", help_heading = "What is printed")]
    verbose: bool,
}

/// Runs what was prepared, or says what would run, as the flags want.
pub fn start(flags: &Flags, prepared: Prepared, home: Option<&Path>, color: ColorChoice) -> Outcome {
    if flags.dry_run {
        return super::plan::show(&prepared, home, color, flags.json).map(drop);
    }
    // Before the home folder comes into being.
    prepared.pools()?;
    let home = HomeWriter::open(home)?;
    let verbosity = match (flags.quiet, flags.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    let listeners = reporters(color, verbosity, flags.json);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(
            |error| Failure::store(format!("the threads of the runner cannot be started: {error}")),
        )?;
    let result =
        runtime.block_on(async { ops::run::run(prepared, home, listeners, signals::listen()).await });
    runtime.shutdown_background();
    let RunResult { run, summary, history, collected } = result?;
    if let Some(problem) = history {
        note(&format!("warning: the history of run {run} is incomplete: {problem}"));
    }
    if let Some(collected) = collected.filter(|_| !flags.quiet) {
        super::cache::gc::tell_after_run(&collected);
    }
    if !flags.json {
        print(&outputs_toml(&summary.outputs));
    }
    match (summary.signal, summary.status) {
        (Some(signal), _) => Err(Failure::silent(128 + signal as u8)),
        (None, Status::Succeeded) => Ok(()),
        (None, _) => Err(Failure::silent(code::FAILED)),
    }
}

impl Flags {
    /// The request that the flags make.
    pub fn request(&self) -> RunRequest {
        RunRequest {
            keep_going: self.keep_going,
            replace_outputs: self.replace_outputs,
            ..args::request(&self.target, &self.resources, &self.cache, &self.nodes)
        }
    }
}

/// The outputs as a TOML document. Null has no form in TOML: it is left out, and in a list an empty table.
fn outputs_toml(outputs: &[(String, PublishedOutput)]) -> String {
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
