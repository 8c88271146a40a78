//! What a task sees: the inputs staged, the sources beside them, the environment, the program. The same for an attempt of
//! a run and for one that is looked into by hand.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use serde_json::{Map as JsonMap, Value as Json};

use crate::core::node_path::NodeRef;
use crate::core::run_id::RunId;
use crate::core::staging::Staging;
use crate::core::value::{Artifact, Value};
use crate::engine::attempt::environment::{self, HostEnv};
use crate::engine::attempt::error::AttemptError;
use crate::engine::attempt::function::{self, FunctionStart, call_of};
use crate::engine::attempt::scratch::Folder;
use crate::engine::attempt::source::SourceFile;
use crate::exec::{Fork, Original, View, Views};
use crate::storage::home::make_private;
use crate::storage::memo::Scope;
use crate::storage::store::{Guard, LargeFiles, Staged as Placed, Store};
use crate::workflow::template::Lookup;
use crate::workflow::{Pass, Task, TaskCommand};

/// The longest value that is exported as a variable, in bytes.
const MAX_VARIABLE_BYTES: usize = 100 * 1024;
/// Maximum length of a script that is passed as an argument, in bytes; a longer one becomes a file.
const MAX_SCRIPT_BYTES: usize = 64 * 1024;
/// Shells that take a script as an argument behind `-c`, with `$0` and parameters after it.
const SHELLS: [&str; 7] = ["sh", "bash", "dash", "zsh", "ksh", "mksh", "ash"];

/// What an attempt is of.
pub struct TaskInstance {
    /// The node's name, after the names of the nodes that enclose it.
    pub name: String,
    /// The element's number.
    pub index: Option<u64>,
    pub task: Arc<Task>,
    /// The folder of the workflow file.
    pub workflow_dir: PathBuf,
    /// In the order of the task's inputs.
    pub inputs: Vec<Value>,
    pub sources: Arc<[SourceFile]>,
    /// Counts from 1.
    pub attempt: u32,
}

impl TaskInstance {
    pub fn path(&self) -> NodeRef<'_> {
        NodeRef::new(&self.name, self.index)
    }
}

/// What it takes place in.
pub struct AttemptContext<'a> {
    pub store: &'a Store,
    pub run: RunId,
    pub scope: &'a Scope,
    /// The instant of its schedule that the run is for.
    pub scheduled_at: Option<Timestamp>,
    pub caller: &'a HostEnv,
    /// How files are brought, if not as the task says.
    pub staging: Option<Staging>,
    pub large: LargeInputs,
    /// A folder that the attempt sees as well, where it sees no other: large files are brought there once.
    pub shared: Option<&'a Path>,
}

/// How large input files are brought, where the task leaves that open and the file system cannot share blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LargeInputs {
    /// In a view, which the executor mounts when it starts the command.
    View,
    Copy,
    /// By a hard link to the store, else a symbolic link.
    Link,
}

/// What has been made ready in a scratch folder.
pub struct PreparedAttempt {
    /// The program and its arguments.
    pub program: Vec<String>,
    /// How a process that does the same is forked.
    pub fork: Option<Fork>,
    /// Which of these words is the text of the task's script, if one is.
    pub inline: Option<usize>,
    /// The working directory.
    pub dir: PathBuf,
    /// All of it.
    pub env: BTreeMap<OsString, OsString>,
    /// The values of secrets.
    pub secrets: Vec<String>,
    pub guards: Vec<Guarded>,
    /// The views that the command needs.
    pub views: Vec<StagedView>,
}

/// An input that is not at its path, but must be mounted there.
pub struct StagedView {
    pub view: View,
    pub input: String,
    pub artifact: Arc<Artifact>,
    pub is_dir: bool,
    /// Where it is shown.
    pub path: PathBuf,
}

impl PreparedAttempt {
    /// What is known of an attempt that another run made ready.
    pub fn elsewhere(dir: PathBuf) -> Self {
        Self {
            program: Vec::new(),
            fork: None,
            inline: None,
            dir,
            env: BTreeMap::new(),
            secrets: Vec::new(),
            guards: Vec::new(),
            views: Vec::new(),
        }
    }

    /// What the command is to see in a mount namespace of its own.
    pub fn views(&self, folder: &Folder) -> Option<Views> {
        let list: Vec<View> = self.views.iter().map(|staged| staged.view.clone()).collect();
        (!list.is_empty()).then(|| Views { list, plan: folder.views_plan() })
    }
}

impl TaskInstance {
    /// What the script is called, to itself and as a file.
    pub fn script_name(&self) -> &str {
        self.task.name.rsplit('.').next().unwrap_or_default()
    }
}

/// Makes everything ready in an empty scratch folder.
///
/// # Errors
/// An input or source cannot be staged, a template cannot be filled in, or the scratch folder cannot be written to.
pub fn prepare(
    around: &AttemptContext,
    subject: &TaskInstance,
    folder: &Folder,
) -> Result<PreparedAttempt, AttemptError> {
    let io =
        |error: io::Error| AttemptError::spawn(format!("the scratch folder cannot be written to: {error}"));
    let task = &*subject.task;
    let work = folder.work();
    let mut staged = Staged::default();
    stage_inputs(around, subject, folder, &mut staged)?;
    if !task.in_workflow_dir {
        stage_sources(around, subject, &work, &mut staged)?;
    }
    let (mut env, secrets) =
        environment::of_task(task, around.caller).map_err(|error| AttemptError::input(error.to_string()))?;
    let inputs_file = folder.write_inputs(&inputs_json(subject, &staged)).map_err(io)?;
    if call_of(task).is_none() {
        export_inputs(subject, folder, &staged, &mut env)?;
    }
    let mut own = |name: &str, value: OsString| env.insert(name.into(), value);
    own("OUT", folder.out().into());
    own("RUNNER_INPUTS", inputs_file.into());
    own("RUNNER_WORKFLOW_DIR", subject.workflow_dir.clone().into());
    if task.dynamic {
        own("RUNNER_WORKFLOW", folder.made().into());
    }
    own("RUNNER_RUN_ID", around.run.as_str().into());
    own("RUNNER_NODE", subject.name.clone().into());
    if let Some(index) = subject.index {
        own("RUNNER_INDEX", index.to_string().into());
    }
    own("RUNNER_ATTEMPT", subject.attempt.to_string().into());
    own("RUNNER_PROJECT", around.scope.project.clone().into());
    own("RUNNER_DOMAIN", around.scope.domain.clone().into());
    if let Some(instant) = around.scheduled_at {
        own("RUNNER_SCHEDULED_AT", instant.to_string().into());
    }
    let (program, inline, fork) = match call_of(task) {
        Some(call) => {
            let FunctionStart { program, fork } = function::start(task, call, folder, &mut env)?;
            (program, None, fork)
        }
        None => {
            let (program, inline) = program(subject, folder, &staged)?;
            (program, inline, None)
        }
    };
    let dir = if task.in_workflow_dir { subject.workflow_dir.clone() } else { work };
    let Staged { guards, views, .. } = staged;
    Ok(PreparedAttempt { program, fork, inline, dir, env, secrets, guards, views })
}

/// Where the files of the inputs were put.
#[derive(Default)]
struct Staged {
    /// By digest, name and executable bit: one place for each distinct artifact.
    places: Vec<(Arc<Artifact>, PathBuf)>,
    guards: Vec<Guarded>,
    views: Vec<StagedView>,
}

/// Originals that the task could write to, through links.
pub struct Guarded {
    /// The input or source they belong to.
    pub name: String,
    pub guards: Vec<Guard>,
    /// Whether one of the links is a symbolic one.
    pub has_symlink: bool,
}

impl Staged {
    fn place(&self, artifact: &Artifact) -> String {
        let place = self.places.iter().find(|(known, _)| **known == *artifact);
        place.map(|(_, path)| path.display().to_string()).unwrap_or_default()
    }
}

fn stage_inputs(
    around: &AttemptContext,
    subject: &TaskInstance,
    folder: &Folder,
    staged: &mut Staged,
) -> Result<(), AttemptError> {
    for (input, value) in subject.task.inputs.iter().zip(&subject.inputs) {
        let mut artifacts = Vec::new();
        value.for_each_artifact(&mut |artifact, is_dir| artifacts.push((artifact.clone(), is_dir)));
        let many = matches!(value, Value::List(_) | Value::Map(_));
        for (i, (artifact, is_dir)) in artifacts.into_iter().enumerate() {
            if !staged.place(&artifact).is_empty() {
                continue;
            }
            let fail = |error: String| {
                AttemptError::input(format!("input `{}` cannot be staged: {error}", input.name))
            };
            let mut dir = folder.input(&input.name).map_err(|e| fail(e.to_string()))?;
            if many {
                dir.push(i.to_string());
                make_private(&dir).map_err(|e| fail(e.to_string()))?;
            }
            let target = dir.join(&*artifact.name);
            let layers = folder.views().join(staged.places.len().to_string());
            let large = match (around.shared, around.large) {
                (Some(folder), _) => LargeFiles::Shared(folder),
                (None, LargeInputs::View) => LargeFiles::View(&layers),
                (None, LargeInputs::Copy) => LargeFiles::Copy,
                (None, LargeInputs::Link) => LargeFiles::HardLink,
            };
            let Placed { guards, view, has_symlink } = around
                .store
                .stage(&artifact, is_dir, &target, around.staging.unwrap_or(subject.task.staging), large)
                .map_err(|error| fail(error.to_string()))?;
            staged.guards.push(Guarded { name: format!("input `{}`", input.name), guards, has_symlink });
            if let Some(view) = view {
                let files = view.files.into_iter().map(|(name, path)| Original { name, path }).collect();
                let view = View { target: dir, layers: view.layers, data: view.data, files };
                staged.views.push(StagedView {
                    view,
                    input: input.name.to_string(),
                    artifact: artifact.clone(),
                    is_dir,
                    path: target.clone(),
                });
            }
            staged.places.push((artifact, target));
        }
    }
    Ok(())
}

fn stage_sources(
    around: &AttemptContext,
    subject: &TaskInstance,
    work: &Path,
    staged: &mut Staged,
) -> Result<(), AttemptError> {
    for source in subject.sources.iter() {
        let shown = source.path.display();
        let fail = |error: String| AttemptError::input(format!("source `{shown}` cannot be staged: {error}"));
        let target = work.join(&source.path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(|e| fail(e.to_string()))?;
        }
        // In the working folder a task may rename and remove: large files are copied.
        let how = match around.shared {
            Some(_) => Staging::Copy,
            None => around.staging.unwrap_or(subject.task.staging),
        };
        let Placed { guards, has_symlink, .. } = around
            .store
            .stage(&source.artifact, false, &target, how, LargeFiles::Copy)
            .map_err(|error| fail(error.to_string()))?;
        staged.guards.push(Guarded { name: format!("source `{shown}`"), guards, has_symlink });
    }
    Ok(())
}

fn inputs_json(subject: &TaskInstance, staged: &Staged) -> String {
    let place = |artifact: &Artifact| staged.place(artifact);
    let pairs = subject.task.inputs.iter().zip(&subject.inputs);
    let object: JsonMap<String, Json> =
        pairs.map(|(input, value)| (input.name.to_string(), value.to_task_json(&place))).collect();
    Json::Object(object).to_string()
}

fn export_inputs(
    subject: &TaskInstance,
    folder: &Folder,
    staged: &Staged,
    env: &mut BTreeMap<OsString, OsString>,
) -> Result<(), AttemptError> {
    for (input, value) in subject.task.inputs.iter().zip(&subject.inputs) {
        match value.to_task_text(&|artifact| staged.place(artifact)) {
            Some(text) if input.pass == Pass::File => {
                let is_json = matches!(value, Value::List(_) | Value::Map(_) | Value::Json(_));
                let extension = if is_json { "json" } else { "txt" };
                let path = folder.write_value(&input.name, extension, &text).map_err(|error| {
                    AttemptError::input(format!(
                        "input `{}` cannot be written to a file: {error}",
                        input.name
                    ))
                })?;
                env.insert((*input.name).into(), path.into());
            }
            Some(text) if text.contains('\0') => {
                let message = format!(
                    "input `{}` holds a NUL character, which no variable can: read $RUNNER_INPUTS, and declare \
                             the input as json",
                    input.name
                );
                return Err(AttemptError::input(message));
            }
            Some(text) if text.len() > MAX_VARIABLE_BYTES => {
                let (name, ty) = (&input.name, &input.ty);
                let message = format!(
                    "input `{name}` has {} KiB, and a variable holds at most {} KiB: declare it as {name} = {{ type = \"{ty}\", \
                     pass = \"file\" }}, and ${name} is the path of a file with the value",
                    text.len().div_ceil(1024),
                    MAX_VARIABLE_BYTES / 1024
                );
                return Err(AttemptError::input(message));
            }
            Some(text) => {
                env.insert((*input.name).into(), text.into());
            }
            // A variable of that name from the caller must not be taken for the input.
            None => {
                env.remove(OsStr::new(&*input.name));
            }
        }
    }
    Ok(())
}

/// The inputs of a task as the variables of its templates.
struct Inputs<'a>(&'a TaskInstance, &'a Staged);

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

/// The program with its arguments; and which word is the text of the script, if one is.
fn program(
    subject: &TaskInstance,
    folder: &Folder,
    staged: &Staged,
) -> Result<(Vec<String>, Option<usize>), AttemptError> {
    let lookup = Inputs(subject, staged);
    let mut words = Vec::new();
    let mut inline = None;
    let (name, templates) = match &subject.task.command {
        TaskCommand::Program(argv) => ("argv", argv),
        TaskCommand::Script { script, shell, args } => {
            words.extend_from_slice(shell);
            let task = subject.script_name();
            let base = Path::new(&shell[0]).file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if SHELLS.contains(&base) && script.len() <= MAX_SCRIPT_BYTES {
                inline = Some(words.len() + 1);
                words.extend(["-c".into(), script.clone(), task.into()]);
            } else {
                let path = folder
                    .write_script(task, script)
                    .map_err(|error| AttemptError::spawn(format!("the script cannot be written: {error}")))?;
                words.push(path.display().to_string());
            }
            ("args", args)
        }
        TaskCommand::Function(_) => return Err(AttemptError::spawn("a function is no command")),
    };
    for template in templates {
        let fail = |problem: String| AttemptError::input(format!("`{name}`: {problem}"));
        match template.render_list(&lookup).map_err(fail)? {
            Some(list) => words.extend(list),
            None => words.push(template.render(&lookup).map_err(fail)?),
        }
    }
    if words.first().is_none_or(String::is_empty) {
        return Err(AttemptError::spawn("the command has no program: its first word is empty"));
    }
    Ok((words, inline))
}
