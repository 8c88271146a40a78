//! Receipts: a run that only hit leaves one, and the same request has the same result at once while it stands.
//!
//! | file | owns |
//! |---|---|
//! | `request.rs` | which requests may have a receipt, and the digest by which it is found |
//! | `listener.rs` | whether a run only hit, and the lines of its events |
//! | `keep.rs` | from a run that has ended to a receipt |
//! | `standing.rs` | whether a receipt still stands |
//!
//! A receipt may never be less truthful than the full way: read the workflow, make the keys, look them up, check the blobs.
//! What could make that way end otherwise, and why it cannot while a receipt stands:
//!
//! | what may differ | how a receipt knows |
//! |---|---|
//! | the request, the folder it is made in, the program, variables that settings and home go by | they are the digest that it is found by |
//! | workflow files, sub-workflows, libraries, files of inputs | each looks as when it was read; none was too young for that to count |
//! | settings files | they are read anew, and set the same project, domain, jobs and shared cache |
//! | the shared cache | it cannot take a hit away; nothing is queued for it, and the run had nothing of it |
//! | the user's files and folders, also sources | each looks as when it was digested |
//! | which files a pattern names | each pattern is searched anew and names the same |
//! | variables that tasks see or are keyed on | their digest is equal |
//! | the machine: processors and memory, which a task may lack | equal |
//! | rows of the memo | none was removed or changed since before the run's first lookup: a counter that triggers keep; rows that joined cannot take a hit away |
//! | blobs | each looks as when it was verified, none is condemned, and the open store keeps collectors from them |
//! | published files | each looks as after the run had published it |
//! | `cache_max_age`, uses that have to be recorded | the first of them to end is the receipt's end; a clock that was set back ends it as well |
//! | secrets, locks, conditions of other runs | a run with secrets, locks, hooks, a retry or an overwrite leaves no receipt |
//! | the code of Python functions, packages, which Python it is | what was asked of a Python has the same answer still, by all that it was read from |
//! | warnings, also those that come only once | a run with any leaves no receipt |
//! | the receipt itself, and the events that are copied | both have checksums |
//!
//! In doubt, the run goes the full way. From a receipt to a run: `ops/run/honour.rs`.

mod keep;
mod listener;
mod request;
mod standing;

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

pub(super) use self::keep::ReceiptKeeper;
pub(super) use self::listener::{EventLines, time_at};
pub use self::request::{PendingReceipt, ReceiptKey, receipt_key};
pub(super) use self::standing::{StandingReceipt, standing};
use super::config::{processors, total_memory};
use crate::core::digest::Digest;
use crate::core::event::{Counts, RunStarted};
use crate::engine::attempt::environment;
use crate::engine::scope::values::Listing;
use crate::python::question::PythonQuestion;
use crate::storage::history::invocation::Invocation;
use crate::workflow::config::Config;

/// A run that only hit, with its outputs.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Its first event, with its id.
    pub started: RunStarted,
    /// The workflow file, absolute.
    pub path: String,
    pub invocation: Invocation,
    pub lines: EventLines,
    pub counts: Counts,
    pub saved_ms: u64,
    /// Whether there is a shared cache.
    pub remote: bool,
    pub outputs: Vec<ReceiptOutput>,
    pub surroundings: Surroundings,
    pub listings: Vec<Listing>,
    /// What Pythons were asked of functions.
    #[serde(default)]
    pub python: Vec<PythonQuestion>,
    /// When it was written; it counts from then on and before `until`.
    pub written: Timestamp,
    pub until: Timestamp,
}

/// An output of the workflow.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct ReceiptOutput {
    pub name: String,
    /// Of the value: it reads back by this type.
    pub ty: String,
    pub value: Json,
    /// Where its files were published; `None` where each run has copies of its own.
    pub places: Option<Vec<PathBuf>>,
}

/// What tasks and settings depend on beside files.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Surroundings {
    /// Patterns of the variables that tasks ask for.
    patterns: Vec<String>,
    /// Digest of these and of those that every task sees.
    variables: Digest,
    processors: usize,
    /// In bytes.
    memory: u64,
    project: Option<String>,
    domain: Option<String>,
    jobs: Option<u32>,
    /// Every setting of the shared cache.
    remote: Option<String>,
}

impl Surroundings {
    /// Those of this process, with settings that were read.
    pub(super) fn now(patterns: Vec<String>, config: &Config) -> Self {
        let text = |name| config.text(name).map(str::to_owned);
        let of_remote = config.values().filter(|(name, _)| name.starts_with("cache."));
        let remote: Vec<_> = of_remote.map(|(name, setting)| format!("{name}={}\n", setting.value)).collect();
        Self {
            variables: environment::digest_of(&patterns),
            patterns,
            processors: processors(),
            memory: total_memory(),
            project: text("project"),
            domain: text("domain"),
            jobs: config.jobs(),
            remote: (!remote.is_empty()).then(|| remote.concat()),
        }
    }
}
