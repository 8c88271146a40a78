//! `runner exec`: runs a workflow.

use std::path::Path;

use serde_json::Map as JsonMap;

use super::execute::{Request, Retry, execute};
use super::open::{jobs, open, order, pools, scope};
use super::screen::{ColorChoice, print, reporters};
use super::session::HomeWriter;
use super::{Failure, Outcome, args, code, inputs};
use crate::core::event::Status;
use crate::engine::PublishedOutput;
use crate::storage::history::invocation::Invocation;
use crate::view::Verbosity;

/// Run a workflow; what the cache has is not run again
///
/// Standard output carries the workflow's outputs as TOML (with --json: events as JSON Lines) and nothing
/// else; everything for people goes to standard error.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner exec workflow.toml
  runner exec workflow.toml --project shop --domain production -i day=2026-01-31
  runner exec workflow.toml --until train -j 4 --keep-going
  runner exec workflow.toml --watch")]
pub struct Args {
    #[command(flatten)]
    flags: Flags,
    /// Run again whenever a file changes that the run depends on, until Ctrl-C
    ///
    /// The workflow file, what it imports and runs, sources of tasks, and input files are watched. A change during
    /// a run lets it end, and then one more follows.
    #[arg(long, help_heading = "Running")]
    watch: bool,
}

/// What `exec` and `retry` have in common.
#[derive(Clone, clap::Args)]
pub struct Flags {
    #[command(flatten)]
    pub target: args::Target,
    #[command(flatten)]
    pub resources: args::Resources,
    /// After a failure, still run everything that does not depend on it
    #[arg(short, long, help_heading = "Running")]
    pub keep_going: bool,
    #[command(flatten)]
    pub cache: args::CacheFlags,
    #[command(flatten)]
    pub nodes: args::Nodes,
    /// Only say what would run; nothing is run or written
    #[arg(short = 'n', long, help_heading = "Running")]
    dry_run: bool,
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

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    match args.watch {
        true => super::watch::run(&args.flags, home, color),
        false => start(&args.flags, None, home, color),
    }
}

/// Runs a workflow as the flags say; `retry` is the run that this is another try of.
pub fn start(flags: &Flags, mut retry: Option<Retry>, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let mut opened = open(&flags.target.workflow, &flags.target.settings, color)?;
    let scope = scope(&opened.workflow, &flags.target)?;
    let none = JsonMap::new();
    let before = retry.as_ref().map_or(&none, |retry| &retry.inputs);
    let inputs = inputs::resolve_over(&opened.workflow, &flags.target, before)?;
    let order = order(&opened, &flags.nodes, &flags.cache, flags.keep_going, jobs(&flags.resources))?;
    let pools = pools(&opened, &order, &flags.resources)?;
    if let Some(retry) = &mut retry {
        retry.exclude(&opened.outline, &order);
    }
    if flags.dry_run {
        let earlier = retry.map(|retry| retry.earlier);
        let request =
            super::plan::Request { opened: &opened, scope, inputs: &inputs, order: &order, earlier };
        return super::plan::show(request, home, color, flags.json).map(|_| ());
    }
    let session = HomeWriter::open(home)?;
    let verbosity = match (flags.quiet, flags.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    let invocation = flags.invocation();
    let documents = std::mem::take(&mut opened.documents);
    let request = Request {
        opened: &opened,
        scope,
        inputs: &inputs,
        order,
        pools,
        invocation,
        retry,
        documents,
        quiet: flags.quiet,
    };
    let listeners = reporters(color, verbosity, flags.json);
    let summary = execute(request, session, listeners)?;
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
    /// What the flags ask for, to be remembered.
    fn invocation(&self) -> Invocation {
        let args::Nodes { only, from, until, skip } = &self.nodes;
        Invocation {
            settings: self.target.settings.clone(),
            only: only.clone(),
            from: from.clone(),
            until: until.clone(),
            skip: skip.clone(),
            overwrite: self.cache.overwrite.clone(),
            cache: self.cache.cache.unwrap_or_default().name().into(),
            keep_going: self.keep_going,
            jobs: self.resources.jobs,
            resources: self.resources.resources.clone(),
            ..Invocation::default()
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
