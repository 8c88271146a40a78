//! One attempt of a node: a fresh scratch folder, the inputs staged, the command run, the outputs taken in.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map as JsonMap, Value as Json};

use super::cache::SourceFile;
use super::scratch::{Folder, Scratch};
use super::{collect, environment};
use crate::digest::Digest;
use crate::event::{ErrorKind, TaskError};
use crate::exec::{Attempt, Cancel, End, Executor, Masker, Outcome, Usage, signal_name, tail};
use crate::home::make_private;
use crate::memo::Scope;
use crate::schedule::Unit;
use crate::store::{Guard, PendingBlob, Snapshot, Store};
use crate::workflow::template::Lookup;
use crate::workflow::value::{Artifact, Value};
use crate::workflow::{Capture, Command, Task};

/// Values longer than this, in bytes, are only in `$RUNNER_INPUTS`: no variable can hold them.
const LONGEST_VARIABLE: usize = 100 * 1024;
/// Scripts longer than this, in bytes, are handed over as a file: no argument can hold them.
const LONGEST_SCRIPT: usize = 64 * 1024;
/// How many of a log's last lines are shown with a failure.
const TAIL: usize = 10;
/// Files of fewer bytes than this are read and written in no time.
pub const LIGHT: u64 = 1 << 20;
/// Shells that take a script as an argument behind `-c`, with `$0` and parameters after it.
const SHELLS: [&str; 7] = ["sh", "bash", "dash", "zsh", "ksh", "mksh", "ash"];

/// What all attempts of a run share.
pub struct Shared<E> {
    pub executor: E,
    pub store: Arc<Store>,
    pub run: String,
    pub scope: Scope,
    pub scratch: Scratch,
    /// The run's folder of logs.
    pub logs: PathBuf,
    pub cancel: Cancel,
}

/// What is to be done.
pub struct Job {
    pub unit: Unit,
    /// Of the node, with those of the nodes that it is inside of.
    pub name: String,
    /// The element's number.
    pub index: Option<u64>,
    pub task: Arc<Task>,
    /// The folder of the workflow file.
    pub workflow_dir: PathBuf,
    /// In the order of the task's inputs.
    pub inputs: Vec<Value>,
    /// Counts from 1.
    pub attempt: u32,
    pub timeout: Option<Duration>,
    pub grace: Duration,
    pub sources: Arc<[SourceFile]>,
    /// How the user's files among the inputs looked when they were digested.
    pub snapshots: Vec<Arc<Snapshot>>,
}

/// What came of it.
pub struct Ended {
    pub unit: Unit,
    pub attempt: u32,
    pub duration: Duration,
    /// `None` if nothing ran.
    pub usage: Option<Usage>,
    pub result: Result<Success, TaskError>,
}

pub struct Success {
    /// In the order of the task's outputs.
    pub outputs: Box<[Value]>,
    /// What must be committed before a row may name the outputs.
    pub blobs: Vec<PendingBlob>,
    /// A declared input or source that changed while the task ran.
    pub changed: Option<PathBuf>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// What a failed attempt is reported with.
type Failure = (ErrorKind, String);

/// The longest name of a file that is made from the names of nodes, in bytes.
const LONGEST_NAME: usize = 160;

/// The file that receives what an attempt prints.
pub fn log_path(logs: &Path, node: &str, index: Option<u64>, attempt: u32) -> PathBuf {
    logs.join(format!("{}.{attempt}.log", file_name(node, index)))
}

/// A name for files of a node or element: `prep/clean[3]` is `prep.clean-3`.
fn file_name(node: &str, index: Option<u64>) -> String {
    let label = crate::event::node_label(node, index);
    let name: String = label
        .chars()
        .filter(|c| *c != ']')
        .map(|c| match c {
            '/' => '.',
            '[' => '-',
            c => c,
        })
        .collect();
    if name.len() <= LONGEST_NAME {
        return name;
    }
    // Deep in sub-workflows: the end tells most, and the digest keeps such names apart.
    let digest = Digest::of(&*label).hex();
    format!("{}..{}", &digest[..16], &name[name.len() - (LONGEST_NAME - 18)..])
}

/// Runs one attempt to its end.
pub async fn run<E: Executor>(shared: Arc<Shared<E>>, job: Job) -> Ended {
    let log = log_path(&shared.logs, &job.name, job.index, job.attempt);
    let name = format!("{}.{}", file_name(&job.name, job.index), job.attempt);
    let (mut duration, mut usage) = (Duration::ZERO, None);
    let mut exit_code = None;
    let result = match shared.scratch.take(&name) {
        Err(error) => Err((ErrorKind::Spawn, format!("the scratch folder cannot be made: {error}"))),
        Ok(folder) => {
            let result = match in_place(is_heavy(&job), || prepare(&shared, &job, &folder, &log)) {
                Err(failure) => Err(failure),
                Ok(Prepared { attempt, guards, masker }) => {
                    let outcome = shared.executor.run(attempt, shared.cancel.clone()).await;
                    (duration, usage) = (outcome.duration, outcome.usage);
                    if let End::Exited(code) = outcome.end {
                        exit_code = Some(code);
                    }
                    let heavy = is_heavy(&job) || collect::is_heavy(&job.task, &folder.out());
                    in_place(heavy, || finish(&shared, &job, &folder, &guards, &masker, &outcome))
                }
            };
            shared.scratch.give_back(folder, result.is_ok());
            result
        }
    };
    let result = result.map_err(|(kind, message)| TaskError {
        kind,
        message,
        exit_code: exit_code.filter(|_| kind == ErrorKind::Exit),
        log: Some(log.display().to_string()),
        tail: tail(&log, TAIL),
    });
    Ended { unit: job.unit, attempt: job.attempt, duration, usage, result }
}

/// Does work that may keep a thread for a while. Handing the thread's other tasks to another one first costs more
/// than light work does.
fn in_place<T>(heavy: bool, work: impl FnOnce() -> T) -> T {
    if heavy { tokio::task::block_in_place(work) } else { work() }
}

/// Whether there is much to stage, or to look at again afterwards.
fn is_heavy(job: &Job) -> bool {
    let mut size = 0;
    for value in &job.inputs {
        value.for_each_artifact(&mut |artifact, is_dir| size += if is_dir { LIGHT } else { artifact.size });
    }
    !job.sources.is_empty() || size >= LIGHT
}

struct Prepared {
    attempt: Attempt,
    guards: Vec<Guarded>,
    masker: Masker,
}

fn prepare<E>(shared: &Shared<E>, job: &Job, folder: &Folder, log: &Path) -> Result<Prepared, Failure> {
    let io =
        |error: io::Error| (ErrorKind::Spawn, format!("the scratch folder cannot be written to: {error}"));
    let (work, out) = (folder.work(), folder.out());
    let task = &*job.task;
    let mut staged = Staged::default();
    stage_inputs(shared, job, folder, &mut staged)?;
    if !task.in_workflow_dir {
        stage_sources(shared, job, &work, &mut staged)?;
    }
    let (mut env, secrets) = environment::of_task(task).map_err(|problem| (ErrorKind::Input, problem))?;
    let inputs_file = folder.write_inputs(&inputs_json(job, &staged)).map_err(io)?;
    export_inputs(job, &staged, &mut env)?;
    let mut own = |name: &str, value: OsString| env.insert(name.into(), value);
    own("OUT", out.clone().into());
    own("RUNNER_INPUTS", inputs_file.into());
    own("RUNNER_WORKFLOW_DIR", job.workflow_dir.clone().into());
    own("RUNNER_RUN_ID", shared.run.clone().into());
    own("RUNNER_NODE", job.name.clone().into());
    if let Some(index) = job.index {
        own("RUNNER_INDEX", index.to_string().into());
    }
    own("RUNNER_ATTEMPT", job.attempt.to_string().into());
    own("RUNNER_PROJECT", shared.scope.project.clone().into());
    own("RUNNER_DOMAIN", shared.scope.domain.clone().into());
    let program = program(job, folder, &staged)?;
    let captures = task.outputs.iter().any(|output| output.capture == Capture::Stdout);
    let attempt = Attempt {
        label: file_name(&job.name, job.index),
        program,
        dir: if task.in_workflow_dir { job.workflow_dir.clone() } else { work },
        env: env.into_iter().collect(),
        log: log.to_owned(),
        stdout: captures.then(|| folder.stdout()),
        timeout: job.timeout,
        grace: job.grace,
        secrets: secrets.clone(),
        out,
    };
    Ok(Prepared { attempt, guards: staged.guards, masker: Masker::new(secrets) })
}

/// Where the files of the inputs were put.
#[derive(Default)]
struct Staged {
    /// By digest, name and executable bit: one place for each distinct artifact.
    places: Vec<(Arc<Artifact>, PathBuf)>,
    guards: Vec<Guarded>,
}

/// Originals that the task could write to, through links.
struct Guarded {
    /// The input or source they belong to.
    name: String,
    guards: Vec<Guard>,
}

impl Staged {
    fn place(&self, artifact: &Artifact) -> String {
        let place = self.places.iter().find(|(known, _)| **known == *artifact);
        place.map(|(_, path)| path.display().to_string()).unwrap_or_default()
    }
}

fn stage_inputs<E>(
    shared: &Shared<E>,
    job: &Job,
    folder: &Folder,
    staged: &mut Staged,
) -> Result<(), Failure> {
    for (input, value) in job.task.inputs.iter().zip(&job.inputs) {
        let mut artifacts = Vec::new();
        value.for_each_artifact(&mut |artifact, is_dir| artifacts.push((artifact.clone(), is_dir)));
        let many = matches!(value, Value::List(_) | Value::Map(_));
        for (i, (artifact, is_dir)) in artifacts.into_iter().enumerate() {
            if !staged.place(&artifact).is_empty() {
                continue;
            }
            let fail = |error: String| {
                (ErrorKind::Input, format!("input `{}` cannot be staged: {error}", input.name))
            };
            let mut dir = folder.input(&input.name).map_err(|e| fail(e.to_string()))?;
            if many {
                dir.push(i.to_string());
                make_private(&dir).map_err(|e| fail(e.to_string()))?;
            }
            let target = dir.join(&*artifact.name);
            let guards = shared
                .store
                .stage(&artifact, is_dir, &target, job.task.staging)
                .map_err(|error| fail(error.to_string()))?;
            staged.guards.push(Guarded { name: format!("input `{}`", input.name), guards });
            staged.places.push((artifact, target));
        }
    }
    Ok(())
}

fn stage_sources<E>(shared: &Shared<E>, job: &Job, work: &Path, staged: &mut Staged) -> Result<(), Failure> {
    for source in job.sources.iter() {
        let shown = source.path.display();
        let fail = |error: String| (ErrorKind::Input, format!("source `{shown}` cannot be staged: {error}"));
        let target = work.join(&source.path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(|e| fail(e.to_string()))?;
        }
        let guards = shared
            .store
            .stage(&source.artifact, false, &target, job.task.staging)
            .map_err(|error| fail(error.to_string()))?;
        staged.guards.push(Guarded { name: format!("source `{shown}`"), guards });
    }
    Ok(())
}

fn inputs_json(job: &Job, staged: &Staged) -> String {
    let place = |artifact: &Artifact| staged.place(artifact);
    let pairs = job.task.inputs.iter().zip(&job.inputs);
    let object: JsonMap<String, Json> =
        pairs.map(|(input, value)| (input.name.to_string(), value.to_task_json(&place))).collect();
    Json::Object(object).to_string()
}

fn export_inputs(job: &Job, staged: &Staged, env: &mut BTreeMap<OsString, OsString>) -> Result<(), Failure> {
    for (input, value) in job.task.inputs.iter().zip(&job.inputs) {
        match value.to_task_text(&|artifact| staged.place(artifact)) {
            Some(text) if text.contains('\0') => {
                let message = format!(
                    "input `{}` holds a NUL character, which no variable can: read $RUNNER_INPUTS, and declare \
                             the input as json",
                    input.name
                );
                return Err((ErrorKind::Input, message));
            }
            Some(text) if text.len() <= LONGEST_VARIABLE => {
                env.insert((*input.name).into(), text.into());
            }
            // A variable of that name from the caller must not be taken for the input.
            Some(_) | None => {
                env.remove(std::ffi::OsStr::new(&*input.name));
            }
        }
    }
    Ok(())
}

/// The inputs of a task as the variables of its templates.
struct Inputs<'a>(&'a Job, &'a Staged);

impl Lookup for Inputs<'_> {
    fn root<'p>(&self, path: &'p [String]) -> Result<(&'p [String], Value), String> {
        let index = self.0.task.inputs.iter().position(|input| *input.name == *path[0]);
        let value = index.and_then(|i| self.0.inputs.get(i));
        value
            .map(|value| (&path[..1], value.clone()))
            .ok_or_else(|| format!("there is no input `{}`", path[0]))
    }

    fn text(&self, value: &Value) -> Result<String, String> {
        Ok(value.to_task_text(&|artifact| self.1.place(artifact)).unwrap_or_default())
    }
}

fn program(job: &Job, folder: &Folder, staged: &Staged) -> Result<Vec<String>, Failure> {
    let lookup = Inputs(job, staged);
    let mut words = Vec::new();
    let (name, templates) = match &job.task.command {
        Command::Program(argv) => ("argv", argv),
        Command::Script { script, shell, args } => {
            words.extend_from_slice(shell);
            let task = job.task.name.rsplit('.').next().unwrap_or_default();
            let base = Path::new(&shell[0]).file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if SHELLS.contains(&base) && script.len() <= LONGEST_SCRIPT {
                words.extend(["-c".into(), script.clone(), task.into()]);
            } else {
                let path = folder.path().join(task);
                fs::write(&path, script)
                    .map_err(|error| (ErrorKind::Spawn, format!("the script cannot be written: {error}")))?;
                words.push(path.display().to_string());
            }
            ("args", args)
        }
    };
    for template in templates {
        let fail = |problem: String| (ErrorKind::Input, format!("`{name}`: {problem}"));
        match template.render_list(&lookup).map_err(fail)? {
            Some(list) => words.extend(list),
            None => words.push(template.render(&lookup).map_err(fail)?),
        }
    }
    if words.first().is_none_or(String::is_empty) {
        return Err((ErrorKind::Spawn, "the command has no program: its first word is empty".into()));
    }
    Ok(words)
}

fn finish<E>(
    shared: &Shared<E>,
    job: &Job,
    folder: &Folder,
    guarded: &[Guarded],
    masker: &Masker,
    outcome: &Outcome,
) -> Result<Success, Failure> {
    let spoiled: Vec<&str> = guarded
        .iter()
        .filter(|guarded| !shared.store.check(&guarded.guards).is_empty())
        .map(|guarded| guarded.name.as_str())
        .collect();
    match &outcome.end {
        End::Exited(0) => {}
        End::Exited(code) => return Err((ErrorKind::Exit, exit_message(*code))),
        End::Signalled(signal) => {
            return Err((ErrorKind::Signal, format!("ended by {}", signal_name(*signal))));
        }
        End::TimedOut => {
            let limit = job.timeout.unwrap_or_default();
            let limit = jiff::SignedDuration::try_from(limit).map(|d| format!("{d:#}")).unwrap_or_default();
            return Err((ErrorKind::Timeout, format!("took longer than its timeout of {limit}")));
        }
        End::Cancelled => return Err((ErrorKind::Cancelled, "the run was cancelled".into())),
        End::NotStarted(message) => return Err((ErrorKind::Spawn, message.clone())),
        End::Unsound(message) => return Err((ErrorKind::Output, message.clone())),
    }
    if !spoiled.is_empty() {
        let message = format!(
            "the task changed its own {}, which is a link to the original: let it work on a copy, or set stage = \"copy\"",
            spoiled.join(", ")
        );
        return Err((ErrorKind::Input, message));
    }
    let mut notes = Vec::new();
    if outcome.leftovers > 0 {
        let n = outcome.leftovers;
        let processes = if n == 1 { "process" } else { "processes" };
        notes.push(format!("the command left {n} {processes} running, which had to be ended"));
    }
    let places = collect::Places {
        out: &folder.out(),
        work: &if job.task.in_workflow_dir { job.workflow_dir.clone() } else { folder.work() },
        stdout: &folder.stdout(),
        root: folder.path(),
    };
    let collected = collect::outputs(&shared.store, &job.task, &places, masker, &mut notes)
        .map_err(|message| (ErrorKind::Output, message))?;
    let mut blobs = collected.blobs;
    if job.task.cache.enabled {
        blobs.extend(keep_small_files(&shared.store, job));
    }
    let sources = job.sources.iter().map(|source| &source.snapshot);
    let changed = job.snapshots.iter().chain(sources).find_map(|snapshot| snapshot.changed(&shared.store));
    Ok(Success { outputs: collected.values, blobs, changed, notes })
}

/// The user's own small files, as the result came from them: what differs can be told when they have changed.
fn keep_small_files(store: &Store, job: &Job) -> Vec<PendingBlob> {
    let mut blobs: Vec<_> = job.sources.iter().filter_map(|source| store.keep(&source.artifact)).collect();
    for value in &job.inputs {
        value.for_each_artifact(&mut |artifact, is_dir| {
            if !is_dir {
                blobs.extend(store.keep(artifact));
            }
        });
    }
    blobs
}

fn exit_message(code: i32) -> String {
    match code {
        126 => "exit code 126: a command was found but cannot be executed".into(),
        127 => "exit code 127: a command was not found".into(),
        128.. => {
            let signal = signal_name(code - 128);
            format!("exit code {code}: a command was ended by {signal}")
        }
        _ => format!("exit code {code}"),
    }
}
