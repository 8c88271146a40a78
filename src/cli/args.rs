//! Flags that several verbs share: which workflow, in what scope, with which inputs and nodes.

use std::path::PathBuf;

use crate::core::run_request::{CacheMode, GivenInputs, RunRequest, Selection};

/// Which workflow, and what it is given.
#[derive(Clone, clap::Args)]
pub struct Target {
    /// The workflow file
    #[arg(value_name = "WORKFLOW")]
    pub workflow: PathBuf,
    /// Keep results apart by project [default: the file's, else "default"]
    #[arg(long, value_name = "P", env = "RUNNER_PROJECT", hide_env_values = true)]
    pub project: Option<String>,
    /// Keep results apart by domain [default: the file's, else "development"]
    #[arg(long, value_name = "D", env = "RUNNER_DOMAIN", hide_env_values = true)]
    pub domain: Option<String>,
    /// Give an input of the workflow; lists, maps and json as JSON
    #[arg(short, long = "input", value_name = "NAME=VALUE")]
    pub inputs: Vec<String>,
    /// Take inputs from a TOML or JSON file; -i wins
    #[arg(long = "inputs", value_name = "FILE")]
    pub inputs_file: Option<PathBuf>,
    /// Set a policy otherwise than the file: tasks.train.timeout=2h, nodes.fit.retries=3, defaults.cache=true
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub settings: Vec<String>,
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
    /// Only these; what they need must be in the cache
    #[arg(long, value_name = "NODE", value_delimiter = ',')]
    pub only: Vec<String>,
    /// These and everything that waits for them
    #[arg(long, value_name = "NODE", value_delimiter = ',')]
    pub from: Vec<String>,
    /// These and everything they wait for
    #[arg(long, value_name = "NODE", value_delimiter = ',')]
    pub until: Vec<String>,
    /// Not these, nor what waits for them
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

/// How the cache is used.
#[derive(Clone, clap::Args, Default)]
#[command(next_help_heading = "The cache")]
pub struct CacheFlags {
    /// Read and write it, only read, only write, or neither [default: rw]
    #[arg(long, value_name = "MODE")]
    pub cache: Option<CacheChoice>,
    /// Run these nodes (all, if none is named) whatever the cache has, and store the results
    #[arg(long, value_name = "NODE", value_delimiter = ',', num_args = 0.., require_equals = true)]
    pub overwrite: Option<Vec<String>>,
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
    /// How many nodes may run at once [default: the number of processors]
    #[arg(short, long, value_name = "N", env = "RUNNER_JOBS", hide_env_values = true,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub jobs: Option<u32>,
    /// Say how much of a resource there is: gpu=2, memory=16GiB
    #[arg(long = "resource", value_name = "NAME=N")]
    pub resources: Vec<String>,
}

/// The request that these flags make.
pub fn request(target: &Target, resources: &Resources, cache: &CacheFlags, nodes: &Nodes) -> RunRequest {
    RunRequest {
        selection: nodes.selection(),
        cache: cache.cache.map(CacheMode::from),
        overwrite: cache.overwrite.clone(),
        jobs: resources.jobs,
        resources: resources.resources.clone(),
        ..target.request()
    }
}

impl Target {
    /// The request that these flags make alone: all nodes.
    pub fn request(&self) -> RunRequest {
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
            ..RunRequest::default()
        }
    }
}
