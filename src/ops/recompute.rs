//! Running the work behind stored results again, in scratch, to find those that were wrongly cached. Nothing that comes
//! of it is stored.
//!
//! A result is checked only if everything that its key stands for can be had as it was: the definition of the task and
//! the content of every input. Where that is not so it is said why.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use globset::Glob;
use rusqlite::Connection;
use serde::Serialize;
use tokio::sync::mpsc::UnboundedReceiver;

use super::Error;
use super::output_diff::{Difference, differences};
use crate::core::closest::closest;
use crate::core::digest::Digest;
use crate::core::event::{TaskError, TaskErrorKind};
use crate::core::node_path::NodeRef;
use crate::core::run_id::RunId;
use crate::core::value::{Artifact, Value};
use crate::engine::Interrupt;
use crate::engine::attempt::environment;
use crate::engine::attempt::perform::{AttemptJob, AttemptShared, perform};
use crate::engine::attempt::scratch::Scratch;
use crate::engine::lookup::cache::{Cache, to_record};
use crate::engine::scope::error::SourceError;
use crate::engine::scope::values::UserFiles;
use crate::exec::{Cancel, Level, Local, sweep_strays};
use crate::ops::home::{HomeReader, HomeWriter};
use crate::ops::replay::Replay;
use crate::storage::history::filter::runs_of;
use crate::storage::home::make_private;
use crate::storage::memo::listing::{self, EntryFilter, Listed};
use crate::storage::memo::{Scope, sqlite};
use crate::workflow::Task;

pub use crate::storage::memo::MemoEntry;

/// Which results.
pub struct Picked {
    /// A node as history calls it, or a glob.
    pub node: Option<String>,
    /// The name of the workflow whose runs the results came from.
    pub workflow: Option<String>,
    /// The qualified name of their task.
    pub task: Option<String>,
    /// How many of a hundred.
    pub sample: Option<f64>,
    /// Which ones of many that is: the same of the same.
    pub seed: u64,
}

/// A result that was run again, or was to be.
pub struct RecomputedResult {
    pub entry: MemoEntry,
    pub verdict: Verdict,
}

/// What came of it.
#[derive(Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    Same,
    Differs {
        outputs: Vec<Difference>,
        /// What is not as it was, beside what the key stands for.
        notes: Vec<String>,
    },
    /// It no longer succeeds.
    Fails {
        error: String,
        notes: Vec<String>,
    },
    /// It could not be checked; why.
    Unchecked {
        reason: String,
    },
}

impl Verdict {
    /// Whether the result was wrongly cached, as far as the comparison shows.
    pub fn is_wrong(&self) -> bool {
        matches!(self, Self::Differs { .. } | Self::Fails { .. })
    }
}

/// What was run again, and the signal that ended it before it was through.
pub struct Recomputed {
    pub checked: Vec<RecomputedResult>,
    /// How many results there were to pick from.
    pub of: usize,
    pub signal: Option<i32>,
}

impl Recomputed {
    /// Whether something could be checked, and all of that was right.
    pub fn is_sound(&self) -> bool {
        let verdicts = || self.checked.iter().map(|checked| &checked.verdict);
        !verdicts().any(Verdict::is_wrong) && verdicts().any(|verdict| matches!(verdict, Verdict::Same))
    }
}

/// The results that are to be run again, with the home that they are in.
pub struct Recomputing {
    session: HomeWriter,
    view: HomeReader,
    entries: Vec<MemoEntry>,
    of: usize,
}

impl Recomputing {
    /// Opens the home and picks the results.
    ///
    /// # Errors
    /// No result came from such a node, or the home cannot be used.
    pub fn pick(home: Option<&Path>, picked: &Picked) -> Result<Self, Error> {
        let session = HomeWriter::open(home)?;
        let view = HomeReader::open(home)?;
        let (entries, of) = pick(&session.db, picked)?;
        Ok(Self { session, view, entries, of })
    }

    /// Warnings about the home.
    pub fn warnings(&self) -> &[String] {
        &self.session.warnings
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Runs them again, one after the other; `tell` receives each before it begins.
    ///
    /// # Errors
    /// The home cannot be used.
    pub async fn recompute(
        self,
        mut interrupts: UnboundedReceiver<Interrupt>,
        tell: &dyn Fn(&MemoEntry),
    ) -> Result<Recomputed, Error> {
        let Self { session, view, entries, of } = self;
        let (session, view) = (&session, &view);
        let id = RunId::make();
        let no_home = |error: io::Error| {
            Error::store(format!("cannot use the home folder {}: {error}", session.home.path().display()))
        };
        let lock = session.home.hold(id).map_err(no_home)?;
        let again = Again { session, view, id, scratch: lock.scratch.clone(), cancel: Cancel::default() };
        let mut done = Recomputed { checked: Vec::with_capacity(entries.len()), of, signal: None };
        for entry in entries {
            tell(&entry);
            let verdict = again.check(&entry, &mut interrupts, &mut done.signal).await;
            if done.signal.is_some() {
                break;
            }
            done.checked.push(RecomputedResult { entry, verdict });
        }
        sweep_strays().await;
        session.home.sweep_scratch(id);
        Ok(done)
    }
}

fn pick(db: &Connection, picked: &Picked) -> Result<(Vec<MemoEntry>, usize), Error> {
    let mut all = Vec::new();
    let filter = EntryFilter { task: picked.task.clone(), ..EntryFilter::default() };
    listing::visit(db, &filter, &mut |Listed { entry, intact }| {
        if intact {
            all.push(entry);
        }
    })
    .map_err(Error::cache)?;
    if let Some(workflow) = &picked.workflow {
        let of_workflow = runs_of(db, workflow).map_err(Error::history)?;
        all.retain(|entry| of_workflow.contains(&entry.found.run));
    }
    if let Some(wanted) = &picked.node {
        let glob = Glob::new(wanted).ok().map(|glob| glob.compile_matcher());
        let known: Vec<String> = all.iter().map(|entry| entry.found.node.clone()).collect();
        all.retain(|entry| {
            let label = &entry.found.node;
            let name = NodeRef::parse(label).family();
            label == wanted
                || name == wanted.as_str()
                || glob.as_ref().is_some_and(|glob| glob.is_match(&*name))
        });
        if all.is_empty() {
            let near = closest(wanted, known.iter().map(String::as_str));
            let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            let of = match (&picked.task, &picked.workflow) {
                (Some(task), _) => format!(" with the task `{task}`"),
                (None, Some(workflow)) => format!(" in a run of the workflow `{workflow}`"),
                (None, None) => String::new(),
            };
            return Err(Error::failed(format!("no stored result came from a node `{wanted}`{of}{hint}")));
        }
    }
    let of = all.len();
    if let Some(percent) = picked.sample {
        // By a digest of seed and key: any part of the results is as likely as another.
        all.sort_by_cached_key(|entry| Digest::of([&picked.seed.to_le_bytes()[..], &entry.key.0].concat()));
        all.truncate(((of as f64 * percent / 100.0).ceil() as usize).clamp(1, of.max(1)));
    }
    Ok((all, of))
}

/// What all of it shares.
struct Again<'a> {
    session: &'a HomeWriter,
    view: &'a HomeReader,
    /// Names the scratch folder, and processes if this one is killed.
    id: RunId,
    scratch: PathBuf,
    cancel: Cancel,
}

/// Work that is about to be done again.
struct Ready {
    /// What is not as it was, beside what the key stands for.
    notes: Vec<String>,
    task: Arc<Task>,
    job: AttemptJob,
    shared: AttemptShared<Local>,
}

/// Why the work behind a result cannot be done again.
#[derive(Debug)]
enum LostWork {
    /// The run that made the result is gone.
    Run(RunId),
    /// The attempt cannot be had as it was: why.
    Attempt(String),
    /// The node of that run runs another task.
    OtherTask {
        node: String,
        task: String,
    },
    InWorkflowDir,
    /// The record of the inputs does not parse.
    Inputs,
    /// An input has another value now.
    Input(String),
    Sources(SourceError),
    /// Parts of the definition that are different now; none where they are not known.
    Definition(Vec<String>),
    Scratch(io::Error),
}

impl fmt::Display for LostWork {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Run(run) => write!(f, "run {run} is gone"),
            Self::Attempt(problem) => f.write_str(problem),
            Self::OtherTask { node, task } => {
                write!(f, "what its run calls `{node}` is another task, {task}")
            }
            Self::InWorkflowDir => {
                f.write_str("it works in the folder of its workflow, where it could change something")
            }
            Self::Inputs => f.write_str("its inputs cannot be read"),
            Self::Input(name) => write!(f, "its input `{name}` is not what it was, and was not kept"),
            Self::Sources(error) => error.fmt(f),
            Self::Definition(parts) if parts.is_empty() => {
                f.write_str("its definition cannot be had as it was")
            }
            Self::Definition(parts) => write!(f, "`{}` cannot be had as it was", parts.join("`, `")),
            Self::Scratch(error) => write!(f, "the scratch folder cannot be made: {error}"),
        }
    }
}

impl Again<'_> {
    async fn check(
        &self,
        entry: &MemoEntry,
        interrupts: &mut UnboundedReceiver<Interrupt>,
        signal: &mut Option<i32>,
    ) -> Verdict {
        let Ready { notes, task, job, shared } = match self.prepare(entry) {
            Ok(ready) => ready,
            Err(lost) => return Verdict::Unchecked { reason: lost.to_string() },
        };
        let running = perform(Arc::new(shared), job);
        tokio::pin!(running);
        let ended = loop {
            tokio::select! {
                ended = &mut running => break ended,
                Some(interrupt) = interrupts.recv() => {
                    self.cancel.raise(if signal.is_none() { Level::Terminate } else { Level::Kill });
                    signal.get_or_insert(interrupt.signal());
                }
            }
        };
        match ended.result {
            Ok(success) if success.made.is_some() => Verdict::Unchecked {
                reason: "its command returned a workflow, whose nodes are checked by themselves".into(),
            },
            Ok(success) => match success.changed {
                Some(path) => {
                    Verdict::Unchecked { reason: format!("{} changed while it ran", path.display()) }
                }
                None => match differences(&self.session.store, &task, &entry.found.outputs, &success.outputs)
                {
                    Ok(outputs) if outputs.is_empty() => Verdict::Same,
                    Ok(outputs) => Verdict::Differs { outputs, notes },
                    Err(problem) => Verdict::Unchecked { reason: problem },
                },
            },
            Err(TaskError {
                kind: TaskErrorKind::Input | TaskErrorKind::Spawn | TaskErrorKind::Cancelled,
                message,
                ..
            }) => Verdict::Unchecked { reason: message },
            Err(error) => Verdict::Fails { error: error.message, notes },
        }
    }

    /// The work behind a result as it was.
    fn prepare(&self, entry: &MemoEntry) -> Result<Ready, LostWork> {
        let store = &self.session.store;
        let run = self.view.find(&entry.found.run).map_err(|_| LostWork::Run(entry.found.run))?;
        let wanted = NodeRef::parse(&entry.found.node);
        let mut past = Replay::find(self.view, store, run, wanted, "show")
            .map_err(|error| LostWork::Attempt(error.message))?;
        let task = past.subject.task.clone();
        if task.name != entry.task {
            return Err(LostWork::OtherTask { node: entry.found.node.clone(), task: task.name.to_string() });
        }
        if task.in_workflow_dir {
            return Err(LostWork::InWorkflowDir);
        }
        let names = task.inputs.iter().map(|input| &*input.name);
        let then: serde_json::Value = serde_json::from_str(&entry.inputs).map_err(|_| LostWork::Inputs)?;
        for (name, now) in to_record(names, &content(&past.subject.inputs)) {
            if Some(&now) != without_origins(then.get(&name)).as_ref() {
                return Err(LostWork::Input(name));
            }
        }
        let scope = Scope { project: entry.project.clone(), domain: entry.domain.clone() };
        let files = UserFiles::new(store.clone());
        let cache = Cache::new(scope.clone(), store.clone(), None, None);
        let state = cache.task(&task, &files).map_err(LostWork::Sources)?;
        if state.definition_digest != entry.found.definition {
            let db = self.view.db.as_ref();
            let old = db.and_then(|db| sqlite::definition(db, &entry.found.definition).ok().flatten());
            let parts = old.map(|old| state.definition.differences(&old)).unwrap_or_default();
            return Err(LostWork::Definition(parts));
        }
        // What was noted before is about inputs and sources, which are as they were.
        past.notes.clear();
        let caller = past.caller();
        let snapshots = files.snapshots(&past.subject.inputs);
        let Replay { subject, scheduled_at, timeout, grace, notes, .. } = past;
        // A folder of its own: many results may be of one node.
        let scratch = self.scratch.join(entry.key.hex());
        let logs = scratch.join("logs");
        make_private(&logs).map_err(LostWork::Scratch)?;
        let shared = AttemptShared {
            executor: Local::new(),
            store: store.clone(),
            run: self.id,
            scope,
            scheduled_at,
            caller,
            scratch: Scratch::new(scratch),
            logs,
            cancel: self.cancel.clone(),
            let_go: Cancel::default(),
            masker: environment::masker_of(&environment::secrets_of(std::iter::once(&*task))),
            large: Default::default(),
            batch: Default::default(),
            out_of_memory: Default::default(),
            python_env: None,
        };
        let job = AttemptJob { unit: 0, subject, timeout, grace, snapshots, placement: None };
        Ok(Ready { notes, task, job, shared })
    }
}

/// Values whose files count by content alone.
fn content(values: &[Value]) -> Vec<Value> {
    let mut plain = |artifact: &Arc<Artifact>, _| {
        Ok::<_, std::convert::Infallible>(Arc::new(Artifact { origin: None, ..(**artifact).clone() }))
    };
    values
        .iter()
        .map(|value| match value.map_artifacts(&mut plain) {
            Ok(value) => value,
            Err(never) => match never {},
        })
        .collect()
}

/// A record whose files count by content alone.
fn without_origins(record: Option<&serde_json::Value>) -> Option<serde_json::Value> {
    use serde_json::Value as Json;
    Some(match record? {
        Json::Array(items) => items.iter().filter_map(|item| without_origins(Some(item))).collect(),
        Json::Object(entries) => {
            let is_file = Artifact::from_record(record?).is_ok();
            let kept = entries.iter().filter(|(name, _)| !(is_file && *name == "origin"));
            kept.filter_map(|(name, item)| Some((name.clone(), without_origins(Some(item))?))).collect()
        }
        other => other.clone(),
    })
}
