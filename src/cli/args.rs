//! Flags that several verbs share: which workflow, in what scope, with which inputs and nodes.

use std::path::PathBuf;

use clap::{Arg, ValueEnum};

use super::Failure;
use crate::core::node_path::NodeRef;
use crate::core::run_request::{CacheMode, GivenInputs, RunRequest, Selection};
use crate::ops::node_arg::node_ref;
use crate::ops::remote::RemoteChoice;
use crate::python::interpreter;
use crate::workflow::config::MAX_JOBS;
use crate::workflow::label::check_label;

/// Which workflow, and what it is given.
#[derive(Clone, clap::Args)]
pub struct Target {
    /// The workflow file
    #[arg(value_name = "WORKFLOW")]
    pub workflow: PathBuf,
    /// Keep results apart by project [default: $RUNNER_PROJECT, else the file's, else the settings', else "default"]
    #[arg(long, value_name = "P")]
    pub project: Option<String>,
    /// Keep results apart by domain [default: $RUNNER_DOMAIN, else the file's, else the settings', else "development"]
    #[arg(long, value_name = "D")]
    pub domain: Option<String>,
    /// Give an input of the workflow; lists, maps and json are written as JSON
    #[arg(short, long = "input", value_name = "NAME=VALUE")]
    pub inputs: Vec<String>,
    /// Take inputs from a TOML or JSON file; -i wins
    #[arg(long = "inputs", value_name = "FILE")]
    pub inputs_file: Option<PathBuf>,
    /// Set a policy for this run: tasks.train.timeout=2h, nodes.fit.retries=3, defaults.cache=true
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub settings: Vec<String>,
    /// The Python of functions: a folder with bin/python, or an interpreter [default: $RUNNER_PYTHON_ENV, else the
    /// file's, else a .venv beside it or above, else the active one]
    #[arg(long, value_name = "ENV")]
    pub python_env: Option<PathBuf>,
}

/// One task instead of the whole workflow.
#[derive(Clone, clap::Args, Default)]
pub struct OneTask {
    /// One task of the file, which may be a library, as a workflow of that one node; -i gives the task's inputs
    #[arg(long, value_name = "NAME", help_heading = "Which nodes")]
    pub task: Option<String>,
}

impl OneTask {
    /// The request for that task, where one is named.
    pub fn of(&self, request: RunRequest) -> RunRequest {
        RunRequest { task: self.task.clone(), ..request }
    }
}

/// Which nodes; each takes names or globs, separated by commas.
#[derive(Clone, clap::Args, Default)]
#[command(next_help_heading = "Which nodes")]
pub struct Nodes {
    /// Run only these; what they need must be in the cache
    #[arg(long, value_name = "NODE", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Run these and everything that depends on them
    #[arg(long, value_name = "NODE", value_delimiter = ',')]
    pub from: Vec<String>,
    /// Run these and everything they depend on
    #[arg(long, value_name = "NODE", value_delimiter = ',')]
    pub until: Vec<String>,
    /// Skip these and everything that depends on them
    #[arg(long, value_name = "NODE", value_delimiter = ',')]
    pub skip: Vec<String>,
}

impl Nodes {
    pub fn selection(&self) -> Selection {
        Selection {
            only: self.only.clone(),
            from: self.from.clone(),
            until: self.until.clone(),
            skip: self.skip.clone(),
        }
    }
}

const RUN: &str =
    "A run's id, a unique prefix of one, @last, @last-failed, or @-2 for the one before the last";

/// The argument of a verb that takes a past run where `exec` takes a workflow.
pub fn in_place_of_workflow(arg: Arg) -> Arg {
    arg.value_name("RUN").help(RUN)
}

/// The argument that names another `what` than the past run's; variables do not.
pub fn replaced(arg: Arg, what: &str) -> Arg {
    arg.help(format!("Use this {what} instead of the run's"))
}

/// Which past run.
#[derive(Clone, clap::Args)]
pub struct RunArg {
    #[arg(value_name = "RUN", help = RUN)]
    pub run: String,
}

/// Which node or element of a past run.
#[derive(Clone, clap::Args)]
pub struct NodeArg {
    #[command(flatten)]
    pub of: RunArg,
    /// The node: `train`; inside a sub-workflow `prep/clean`, of an element `prep[3]/clean`
    #[arg(value_name = "NODE")]
    pub node: String,
    /// Which element of a `foreach` or `matrix` node, counted from 0
    #[arg(long, value_name = "N")]
    pub index: Option<u64>,
}

impl NodeArg {
    /// # Errors
    /// The node and `--index` name two elements.
    pub fn node(&self) -> Result<NodeRef<'_>, Failure> {
        node_ref(&self.node, self.index).map_err(Failure::usage)
    }
}

/// A past run, and which of its nodes if one is meant.
#[derive(Clone, clap::Args)]
pub struct MaybeUnit {
    #[command(flatten)]
    pub of: RunArg,
    /// The node: `train`; inside a sub-workflow `prep/clean`, of an element `prep[3]/clean`
    #[arg(value_name = "NODE")]
    pub node: Option<String>,
    /// Which element of the node, counted from 0
    #[arg(long, value_name = "N", requires = "node")]
    pub index: Option<u64>,
}

impl MaybeUnit {
    /// # Errors
    /// The node and `--index` name two elements.
    pub fn node(&self) -> Result<Option<NodeRef<'_>>, Failure> {
        let node = self.node.as_deref().map(|node| node_ref(node, self.index));
        node.transpose().map_err(Failure::usage)
    }
}

/// How the cache is used.
#[derive(Clone, clap::Args, Default)]
#[command(next_help_heading = "The cache")]
pub struct CacheFlags {
    /// Read and write the cache, only read it, only write it, or neither [default: rw]
    #[arg(long, value_name = "MODE")]
    pub cache: Option<CacheChoice>,
    /// Run these nodes (all, if none is named) even where the cache has a result, and store the new one
    #[arg(long, value_name = "NODE", value_delimiter = ',', num_args = 0.., require_equals = true)]
    pub overwrite: Option<Vec<String>>,
    #[command(flatten)]
    pub remote: RemoteFlags,
}

/// The shared cache.
#[derive(Clone, clap::Args, Default)]
#[command(next_help_heading = "The cache")]
pub struct RemoteFlags {
    /// Use this shared cache, s3://BUCKET/PREFIX or file:///FOLDER, or off [default: $RUNNER_CACHE_REMOTE, else the settings']
    #[arg(long, value_name = "URL")]
    pub remote: Option<String>,
    /// Read and write the shared cache, only read it, only write it, or neither [default: $RUNNER_CACHE_REMOTE_MODE, else the
    /// settings', else rw]
    #[arg(long, value_name = "MODE")]
    pub remote_mode: Option<CacheChoice>,
}

impl RemoteFlags {
    /// What these flags say, else the variables.
    ///
    /// # Errors
    /// A variable that is not understood.
    pub fn choice(&self) -> Result<RemoteChoice, Failure> {
        let request = with_remote(RunRequest {
            remote: self.remote.clone(),
            remote_mode: self.remote_mode.map(CacheMode::from),
            ..RunRequest::default()
        })?;
        Ok(RemoteChoice { url: request.remote, mode: request.remote_mode })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum CacheChoice {
    Rw,
    Ro,
    Wo,
    Off,
}

impl From<CacheChoice> for CacheMode {
    fn from(choice: CacheChoice) -> Self {
        match choice {
            CacheChoice::Rw => Self::ReadWrite,
            CacheChoice::Ro => Self::ReadOnly,
            CacheChoice::Wo => Self::WriteOnly,
            CacheChoice::Off => Self::Off,
        }
    }
}

/// How much runs at once.
#[derive(Clone, clap::Args)]
#[command(next_help_heading = "Running")]
pub struct Resources {
    /// How many nodes may run at once [default: $RUNNER_JOBS, else the settings', else the number of processors]
    #[arg(short, long, value_name = "N", value_parser = parse_jobs)]
    pub jobs: Option<u32>,
    /// How much of a resource there is: gpu=2, memory=16GiB
    #[arg(long = "resource", value_name = "NAME=N")]
    pub resources: Vec<String>,
    /// Run all nodes, or those that match, by this executor of the settings; the last match wins [default: $RUNNER_EXECUTOR,
    /// else what node, task and settings say]
    #[arg(long = "executor", value_name = "[GLOB=]NAME")]
    pub executors: Vec<String>,
}

/// The request that these flags and the environment make.
///
/// # Errors
/// A variable that stands in for a flag and is not understood.
pub fn request(
    target: &Target,
    resources: &Resources,
    cache: &CacheFlags,
    nodes: &Nodes,
) -> Result<RunRequest, Failure> {
    with_scope(with_remote(with_jobs(given(target, resources, cache, nodes))?)?)
}

/// The request that these flags and the environment make of one that a past run made: project and domain are the run's
/// where no flag names others.
///
/// # Errors
/// As [`request`].
pub fn request_on_top(
    target: &Target,
    resources: &Resources,
    cache: &CacheFlags,
    nodes: &Nodes,
) -> Result<RunRequest, Failure> {
    with_remote(with_jobs(given(target, resources, cache, nodes))?)
}

/// What the environment alone asks for: project, domain, jobs and the shared cache.
///
/// # Errors
/// A variable that stands in for a flag and is not understood.
pub fn from_environment() -> Result<RunRequest, Failure> {
    with_remote(with_jobs(with_scope(RunRequest::default())?)?)
}

/// The request that these flags make alone.
fn given(target: &Target, resources: &Resources, cache: &CacheFlags, nodes: &Nodes) -> RunRequest {
    RunRequest {
        selection: nodes.selection(),
        cache: cache.cache.map(CacheMode::from),
        remote: cache.remote.remote.clone(),
        remote_mode: cache.remote.remote_mode.map(CacheMode::from),
        overwrite: cache.overwrite.clone(),
        jobs: resources.jobs,
        resources: resources.resources.clone(),
        executors: resources.executors.clone(),
        ..target.given()
    }
}

fn with_jobs(request: RunRequest) -> Result<RunRequest, Failure> {
    let jobs = match request.jobs {
        None => variable("RUNNER_JOBS", |text| parse_jobs(text).map_err(|problem| format!(": {problem}")))?,
        jobs => jobs,
    };
    let mut executors = request.executors;
    if let Some(general) = variable("RUNNER_EXECUTOR", |text| Ok(text.to_owned()))? {
        executors.insert(0, general);
    }
    Ok(RunRequest { jobs, executors, ..request })
}

/// The same request with the shared cache that the environment names, where no flag does.
///
/// # Errors
/// A variable that stands in for a flag and is not understood.
pub(super) fn with_remote(request: RunRequest) -> Result<RunRequest, Failure> {
    let remote = match request.remote {
        None => variable("RUNNER_CACHE_REMOTE", |text| Ok(text.to_owned()))?,
        remote => remote,
    };
    let mode = |text: &str| {
        let choice = CacheChoice::from_str(text, false);
        choice.map(CacheMode::from).map_err(|_| format!(": expected rw, ro, wo or off, found {text:?}"))
    };
    let remote_mode = match request.remote_mode {
        None => variable("RUNNER_CACHE_REMOTE_MODE", mode)?,
        mode => mode,
    };
    Ok(RunRequest { remote, remote_mode, ..request })
}

fn with_scope(request: RunRequest) -> Result<RunRequest, Failure> {
    let label = |text: &str| match check_label(text) {
        Ok(()) => Ok(text.to_owned()),
        Err(problem) => Err(format!(" {problem}")),
    };
    let named = |flag: &Option<String>, name| match flag {
        Some(flag) => Ok(Some(flag.clone())),
        None => variable(name, label),
    };
    let project = named(&request.project, "RUNNER_PROJECT")?;
    let domain = named(&request.domain, "RUNNER_DOMAIN")?;
    Ok(RunRequest { project, domain, ..request })
}

impl Target {
    /// The request that these flags and the environment make: all nodes.
    ///
    /// # Errors
    /// As [`request`].
    pub fn request(&self) -> Result<RunRequest, Failure> {
        with_scope(self.given())
    }

    fn given(&self) -> RunRequest {
        let mut given = Vec::new();
        given.extend(self.inputs_file.clone().map(GivenInputs::File));
        if !self.inputs.is_empty() {
            let dir = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
            given.push(GivenInputs::Assignments { dir, values: self.inputs.clone() });
        }
        RunRequest {
            workflow: self.workflow.clone(),
            project: self.project.clone(),
            domain: self.domain.clone(),
            given,
            settings: self.settings.clone(),
            // A retry may be asked for in another folder.
            python_env: self.python_env.as_deref().map(|path| {
                let path = match path.to_str().is_some_and(interpreter::is_name) {
                    true => path.to_owned(),
                    false => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
                };
                path.to_string_lossy().into_owned()
            }),
            ..RunRequest::default()
        }
    }
}

/// # Errors
/// The text is no positive number.
pub fn parse_jobs(text: &str) -> Result<u32, String> {
    let jobs = text.trim().parse().ok().filter(|jobs| (1..=MAX_JOBS).contains(jobs));
    jobs.ok_or_else(|| format!("expected a number from 1 to {MAX_JOBS}, found {text:?}"))
}

/// What a variable says that stands in for a flag; an empty one says nothing. `parse` gives the rest of a sentence that
/// begins with its name.
fn variable<T>(name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, Failure> {
    let Some(text) = std::env::var_os(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    let parsed = text.to_str().ok_or_else(|| " is not UTF-8 text".to_owned()).and_then(parse);
    parsed.map(Some).map_err(|problem| Failure::usage(format!("the variable {name}{problem}")))
}
