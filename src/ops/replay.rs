//! An attempt of a past run: found in the history, and prepared again in a scratch folder of its own.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use super::Error;
use crate::core::event::{Event, NodeFinished, NodeKind, Status};
use crate::core::node_path::NodeRef;
use crate::core::run_id::RunId;
use crate::core::run_request::RunRequest;
use crate::core::staging::Staging;
use crate::core::value::{Artifact, Value};
use crate::engine::attempt::environment::{HostEnv, Remembered};
use crate::engine::attempt::prepare::{AttemptContext, LargeInputs, PreparedAttempt, TaskInstance, prepare};
use crate::engine::attempt::scratch::{Folder, Scratch};
use crate::engine::attempt::source::SourceFile;
use crate::ops::home::{HomeReader, HomeWriter};
use crate::ops::node_arg::{ends, is_inside, unknown, which};
use crate::ops::recorded::{Again, as_it_was};
use crate::storage::history::{RUNNING, Run};
use crate::storage::home::{RunLock, make_private};
use crate::storage::memo::Scope;
use crate::storage::store::{Damage, FileError, Store};
use crate::view::text::commands::command_of;
use crate::workflow::Task;
use crate::workflow::definition::sources_of;
use crate::workflow::graph::outline::Outline;
use crate::workflow::made::{MadeDocument, load_made};
use crate::workflow::policy::AttemptPolicy;
use crate::workflow::source::read_text;

/// A node or element of a past run, with what its last attempt saw.
pub struct Replay {
    pub run: Run,
    /// The node's name, with the number of the element.
    pub label: String,
    /// How it ended.
    pub end: NodeFinished,
    pub subject: TaskInstance,
    /// The instant of its schedule that the run was for.
    pub scheduled_at: Option<Timestamp>,
    /// What an attempt may take, and how long it is given to end.
    pub timeout: Option<Duration>,
    pub grace: Duration,
    /// What is remembered of the environment.
    environment: Remembered,
    /// What is not as it was then, in sentences.
    pub notes: Vec<String>,
}

/// A past attempt made ready in a scratch folder, which is removed when this is given to [`Ready::close`].
pub struct Ready {
    pub folder: Folder,
    pub prepared: PreparedAttempt,
    /// Names the scratch folder, and nothing else.
    pub id: RunId,
    /// Whether the folder stays.
    pub is_kept: bool,
    _lock: RunLock,
}

impl Replay {
    /// Finds what `wanted` was in `run`; `verb` is the one that asks, for messages.
    ///
    /// # Errors
    /// The run has no such node (kind: not found), it never ran or is made of others (kind: invalid), it still runs (kind:
    /// conflict), or something that it needs is gone (kind: failed).
    pub fn find(
        view: &HomeReader,
        store: &Store,
        run: Run,
        wanted: NodeRef,
        verb: &str,
    ) -> Result<Self, Error> {
        let events: Vec<Event> = view.events(run.id)?.collect();
        let end = find_end(&events, &run, wanted, verb)?;
        let label = wanted.to_string();
        let Again { invocation, opened } = as_it_was(view, &run).map_err(|error| Error {
            message: format!("`{label}` cannot be had as it was: {}", error.message),
            ..error
        })?;
        let outline = &with_made(&events, &opened.outline, &end, &invocation.request)?;
        let place = outline.places().find(|place| place.name() == end.path().family());
        let place_of = |place: crate::workflow::graph::outline::OutlineNode| {
            let node = place.node();
            Some((node.task()?.clone(), place.workflow.dir().to_owned(), node.execution()?.clone()))
        };
        let Some((task, workflow_dir, AttemptPolicy { timeout, grace, .. })) = place.and_then(place_of)
        else {
            return Err(Error::invalid(never_ready(&label, &end, &run)));
        };
        if end.cache.is_none() && end.inputs.len() < task.inputs.len() {
            return Err(Error::invalid(never_ready(&label, &end, &run)));
        }
        let mut notes = Vec::new();
        let inputs = inputs(&task, &end, store, &mut notes)?;
        let sources = sources(&task, store, &run, &mut notes)?;
        let environment = Remembered { base: invocation.environment, passed: invocation.passed };
        let subject = TaskInstance {
            name: end.node.clone(),
            index: end.index,
            task,
            workflow_dir,
            inputs,
            sources,
            attempt: end.attempts.max(1),
        };
        let scheduled_at = invocation.request.scheduled.and_then(|scheduled| scheduled.at);
        Ok(Self { run, label, end, subject, scheduled_at, timeout, grace, environment, notes })
    }

    /// The environment of the process that started the run; a note names what may differ.
    pub fn caller(&mut self) -> HostEnv {
        let (caller, notes) = HostEnv::then(&self.environment, &self.subject.task);
        self.notes.extend(notes);
        caller
    }

    /// Makes it ready in a scratch folder of its own: a new one in the folder of kept ones if it is to be kept.
    ///
    /// # Errors
    /// The scratch folder cannot be created, or the attempt cannot be prepared in it.
    pub fn prepare(
        &self,
        session: &HomeWriter,
        caller: &HostEnv,
        staging: Option<Staging>,
        large: LargeInputs,
        keep: bool,
    ) -> Result<Ready, Error> {
        let HomeWriter { home, store, .. } = session;
        let id = RunId::make();
        let no_folder = |error: std::io::Error| {
            Error::store(format!("cannot use the home folder {}: {error}", home.path().display()))
        };
        let lock = home.hold(id).map_err(no_folder)?;
        let root = if keep { home.kept(id) } else { lock.scratch.clone() };
        make_private(&root).map_err(no_folder)?;
        let subject = &self.subject;
        let folder = Scratch::new(root).take(&subject.path().file_name()).map_err(no_folder)?;
        let scope = Scope { project: self.run.project.clone(), domain: self.run.domain.clone() };
        let around = AttemptContext {
            store,
            run: self.run.id,
            scope: &scope,
            scheduled_at: self.scheduled_at,
            caller,
            staging,
            large,
            shared: None,
        };
        match prepare(&around, subject, &folder) {
            Ok(prepared) => Ok(Ready { folder, prepared, id, is_kept: keep, _lock: lock }),
            Err(error) => {
                home.sweep_scratch(id);
                if keep {
                    home.sweep_kept(id);
                }
                Err(Error::failed(format!("`{}`: {}", self.label, error.message)))
            }
        }
    }
}

impl Ready {
    /// Removes the scratch folder, unless it is kept.
    pub fn close(self, session: &HomeWriter) {
        session.home.sweep_scratch(self.id);
    }
}

/// The outline of a run with the workflows that tasks made around a node, as their documents were kept.
fn with_made(
    events: &[Event],
    outline: &Arc<Outline>,
    end: &NodeFinished,
    request: &RunRequest,
) -> Result<Arc<Outline>, Error> {
    let mut outline = Arc::clone(outline);
    // The outermost was made first.
    for event in events {
        let Event::WorkflowMade(made) = event else { continue };
        let is_around =
            end.node.strip_prefix(&*made.path().label()).is_some_and(|rest| rest.starts_with('/'));
        let family = made.path().family();
        let maker = outline.places().position(|place| place.name() == family).filter(|_| is_around);
        let Some((number, task, dir)) = maker.and_then(|number| {
            let place = outline.place(number);
            Some((number, place.node().task()?.clone(), place.workflow.dir().to_owned()))
        }) else {
            continue;
        };
        let kept = Path::new(&made.document);
        let lost = |problem: String| {
            let node = end.path();
            Error::failed(format!("`{node}` cannot be had as it was: {problem}"))
        };
        let text = read_text(kept).map_err(lost)?;
        let python_env = request.python_env.as_deref();
        let document = MadeDocument { text: &text, kept, dir: &dir, python_env };
        // What its nodes were given, the events say.
        let made = load_made(&document, &task, &mut |_| Ok(Default::default())).map_err(lost)?;
        Arc::make_mut(&mut outline).grow(number, &made.workflow);
    }
    Ok(outline)
}

/// How `wanted` ended, if it was work of its own.
fn find_end(events: &[Event], run: &Run, wanted: NodeRef, verb: &str) -> Result<NodeFinished, Error> {
    let label = wanted.label();
    let own = |node: &&NodeFinished| node.path() == wanted;
    match ends(events).filter(own).last() {
        Some(end) if end.kind == NodeKind::Task => Ok(end.clone()),
        Some(_) => {
            let inside: Vec<_> = ends(events).filter(|node| is_inside(node, &label)).collect();
            let failed: Vec<_> =
                inside.iter().copied().filter(|node| node.status == Status::Failed).collect();
            match failed.first().or(inside.first()) {
                Some(one) => {
                    let example = command_of(verb, &run.id, &one.node, one.index);
                    Err(Error::invalid(which(events, wanted, &failed, &example)))
                }
                None => {
                    Err(Error::invalid(format!("`{label}` has no elements in run {}: nothing ran", run.id)))
                }
            }
        }
        None => {
            let started =
                events.iter().any(|event| matches!(event, Event::NodeStarted(node) if node.path() == wanted));
            Err(match (started, run.status == RUNNING) {
                (true, true) => {
                    Error::conflict(format!("`{label}` is still running in run {}: wait for its end", run.id))
                }
                (true, false) => Error::invalid(format!(
                    "`{label}` was running when run {} was interrupted, and what it was given is recorded only when \
                     it ends: run it again",
                    run.id
                )),
                (false, true) => {
                    Error::conflict(format!("`{label}` has not run yet in run {}, which still runs", run.id))
                }
                (false, false) => Error::not_found(unknown(events, wanted, &run.id)),
            })
        }
    }
}

/// That there never was anything to run.
fn never_ready(label: &str, end: &NodeFinished, run: &Run) -> String {
    let why = end.error.as_ref().map(|error| &error.message).or(end.reason.as_ref());
    let why = why.map_or(String::new(), |why| format!(" ({why})"));
    format!("`{label}` was never ready to run in run {}: it was {}{why}", run.id, end.status)
}

/// The values of the inputs, with files that can be had now.
fn inputs(
    task: &Task,
    end: &NodeFinished,
    store: &Store,
    notes: &mut Vec<String>,
) -> Result<Vec<Value>, Error> {
    let mut values = Vec::with_capacity(task.inputs.len());
    for input in &task.inputs {
        let recorded = end.inputs.get(&*input.name).unwrap_or(&serde_json::Value::Null);
        let value = Value::from_json(&input.ty, recorded).map_err(|problem| {
            Error::failed(format!("input `{}` as it was recorded: {problem}", input.name))
        })?;
        let mut find = |artifact: &Arc<Artifact>, is_dir: bool| {
            find_file(artifact, is_dir, store, notes)
                .map_err(|gone| Error::failed(format!("input `{}`: {gone}", input.name)))
        };
        values.push(value.map_artifacts(&mut find)?);
    }
    Ok(values)
}

/// A file of an input that cannot be had any more.
enum GoneFile {
    /// Another node made it.
    Output { name: String, damage: Damage },
    /// It was the user's own, and not kept.
    Own(FileError),
}

impl fmt::Display for GoneFile {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Output { name, damage } => {
                write!(f, "{name}, which another node made, cannot be had any more: {damage}")
            }
            Self::Own(error) => write!(f, "{error}; it was a file of yours, and was not kept"),
        }
    }
}

/// A file or directory of an input: as it was, from the store or where the user keeps it; else as it is now.
fn find_file(
    artifact: &Arc<Artifact>,
    is_dir: bool,
    store: &Store,
    notes: &mut Vec<String>,
) -> Result<Arc<Artifact>, GoneFile> {
    let kept = Artifact { origin: None, ..(**artifact).clone() };
    let damage = match store.verify(&kept, is_dir) {
        Ok(()) => return Ok(Arc::new(kept)),
        Err(damage) => damage,
    };
    let Some(origin) = &artifact.origin else {
        return Err(GoneFile::Output { name: artifact.name.to_string(), damage });
    };
    match store.fingerprint(origin, is_dir) {
        Ok((now, _)) if now.digest == artifact.digest => Ok(artifact.clone()),
        Ok((now, _)) => {
            notes.push(format!("{} has changed since the run: here it is as it is now", origin.display()));
            Ok(Arc::new(now))
        }
        Err(error) => Err(GoneFile::Own(error)),
    }
}

/// The task's sources as they are now: what they were is not kept.
fn sources(
    task: &Task,
    store: &Store,
    run: &Run,
    notes: &mut Vec<String>,
) -> Result<Arc<[SourceFile]>, Error> {
    let mut sources = Vec::new();
    for source in sources_of(task).map_err(Error::failed)? {
        let full = task.dir.join(&source.path);
        let (artifact, snapshot) =
            store.fingerprint(&full, false).map_err(|error| Error::failed(error.to_string()))?;
        if changed_after(&full, run) {
            notes.push(format!("{} was changed after the run: here it is as it is now", full.display()));
        }
        sources.push(SourceFile {
            path: source.staged,
            artifact: Arc::new(artifact),
            snapshot: Arc::new(snapshot),
        });
    }
    Ok(sources.into())
}

fn changed_after(path: &Path, run: &Run) -> bool {
    let changed = std::fs::metadata(path).and_then(|metadata| metadata.modified());
    changed.is_ok_and(|changed| changed > SystemTime::from(run.started))
}
