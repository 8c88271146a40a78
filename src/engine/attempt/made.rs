//! A workflow that the command of a task returned in place of its outputs: found, kept for the user, and read.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::AttemptError;
use super::function::call_of;
use super::prepare::TaskInstance;
use super::scratch::Folder;
use crate::core::node_path::NodeRef;
use crate::core::value::Value;
use crate::exec::Masker;
use crate::storage::store::{NewOutput, PendingBlob, SealError, Store};
use crate::workflow::definition::sources_of;
use crate::workflow::made::{BoundPaths, MadeDocument, MadeWorkflow, load_made};
use crate::workflow::source::read_text;

/// What an attempt made, and what must be committed with it.
pub struct MadeBlobs {
    pub made: Box<MadeWorkflow>,
    pub blobs: Vec<PendingBlob>,
}

/// Where the attempt of a task left things, and how they are kept.
pub struct MadePlaces<'a> {
    pub store: &'a Store,
    pub folder: &'a Folder,
    /// The run's folder of logs.
    pub logs: &'a Path,
    pub masker: &'a Masker,
    /// The environment of all Python functions, from the command line.
    pub python_env: Option<&'a str>,
}

/// Whether the command of a task wrote a workflow.
pub fn is_there(subject: &TaskInstance, folder: &Folder) -> bool {
    subject.task.dynamic && fs::symlink_metadata(folder.made()).is_ok()
}

/// The workflow that the command of a task wrote; `None` if it wrote none.
///
/// # Errors
/// It cannot be read or run, or a file that it names cannot be kept.
pub fn collect(
    places: &MadePlaces,
    subject: &TaskInstance,
    notes: &mut Vec<String>,
) -> Result<Option<MadeBlobs>, AttemptError> {
    if !is_there(subject, places.folder) {
        return Ok(None);
    }
    let MadePlaces { store, folder, logs, masker, python_env } = places;
    let written = folder.made();
    if fs::symlink_metadata(&written).is_ok_and(|found| found.is_symlink()) {
        return Err(AttemptError::output("$RUNNER_WORKFLOW is a link: write the workflow itself there"));
    }
    let text = read_text(&written).map_err(AttemptError::output)?;
    let masked = masker.mask(&text);
    if masked != *text {
        notes.push(
            "the workflow that it wrote held the value of a secret, which was replaced by `***`".into(),
        );
    }
    let extension = if masked.trim_start().starts_with('{') { "json" } else { "toml" };
    let name = NodeRef::new(&subject.name, subject.index).file_name();
    let kept = logs.join(format!("{name}.{}.{extension}", subject.attempt));
    write(&kept, &masked)
        .map_err(|error| AttemptError::output(format!("{} cannot be written: {error}", kept.display())))?;
    let document =
        MadeDocument { text: &masked, kept: &kept, dir: &subject.workflow_dir, python_env: *python_env };
    let mut blobs = Vec::new();
    let mut keep = |paths: &BoundPaths| {
        let inside: Vec<_> = paths.iter().filter(|(path, _)| path.starts_with(folder.path())).collect();
        if let Some((path, input)) = inside.iter().find_map(|(path, _)| Some((path, input_of(path, folder)?)))
        {
            let problem = format!(
                "the file of the input `{input}` is gone when this runs: write \"{{{{ inputs.{input} }}}}\", and declare the \
                 input in [inputs] of the workflow"
            );
            return Err((path.clone(), problem));
        }
        let names: Vec<_> =
            inside.iter().map(|(path, _)| path.file_name().unwrap_or_default().to_string_lossy()).collect();
        let outputs: Vec<_> = inside
            .iter()
            .zip(&names)
            .map(|((path, is_dir), name)| NewOutput { path, is_dir: *is_dir, name })
            .collect();
        let sealed = store.seal(&outputs, folder.path()).map_err(|error| match error {
            SealError::Output { index, error } => (inside[index].0.clone(), error.to_string()),
            SealError::Store(error) => {
                (PathBuf::new(), format!("the store cannot take in the files that it names: {error}"))
            }
        })?;
        blobs.extend(sealed.blobs);
        let values =
            sealed.artifacts.into_iter().map(Arc::new).zip(&inside).map(|(artifact, (_, is_dir))| {
                if *is_dir { Value::Dir(artifact) } else { Value::File(artifact) }
            });
        Ok(inside.iter().map(|own| (*own).clone()).zip(values).collect())
    };
    let made = load_made(&document, &subject.task, &mut keep).map_err(AttemptError::output)?;
    Ok(Some(MadeBlobs { made: Box::new(made), blobs }))
}

/// The input whose staged file a path names.
fn input_of(path: &Path, folder: &Folder) -> Option<String> {
    let input = path.strip_prefix(folder.path().join("in")).ok()?;
    Some(input.iter().next()?.to_string_lossy().into_owned())
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

/// Why the outputs of a made workflow cannot be stored: it reads a file that is not in the automatic version of the task that
/// made it.
pub fn undeclared(subject: &TaskInstance, made: &MadeWorkflow) -> Option<String> {
    let task = &subject.task;
    if !task.cache.enabled || task.cache.version.is_some() {
        return None;
    }
    let sources = sources_of(task).unwrap_or_default();
    let mut known: Vec<PathBuf> = sources.into_iter().map(|source| source.path).collect();
    known.extend(call_of(task).into_iter().flat_map(|call| call.read.iter().map(|(path, _)| path.clone())));
    for value in &subject.inputs {
        value.for_each_artifact(&mut |artifact, _| {
            known.extend(artifact.origin.as_deref().map(Path::to_owned));
        });
    }
    let known: Vec<PathBuf> = known.into_iter().map(|path| task.dir.join(path)).collect();
    let is_known = |path: &Path| {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        known.iter().any(|known| path.starts_with(fs::canonicalize(known).as_deref().unwrap_or(known)))
    };
    made.reads.iter().find(|path| !is_known(path)).map(|path| {
        format!(
            "the workflow that it made reads {}, so that changes of it would not count: the result was used, but not stored; \
             name the file in `sources`, or as an input",
            path.display()
        )
    })
}
