//! Flags that several verbs share: which workflow, in what scope, with which inputs and nodes.

use std::path::PathBuf;

use crate::engine::CacheMode;
use crate::workflow::graph::select::Selection;

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

#[derive(Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum CacheChoice {
    #[default]
    Rw,
    Ro,
    Wo,
    Off,
}

impl CacheChoice {
    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rw => "rw",
            Self::Ro => "ro",
            Self::Wo => "wo",
            Self::Off => "off",
        }
    }
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
