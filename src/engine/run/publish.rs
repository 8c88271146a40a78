//! The workflow's own outputs: values, and files put where people can read them.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::core::staging::Staging;
use crate::core::value::{Artifact, Value};
use crate::engine::scope::content::ContentStore;
use crate::engine::scope::error::OutputError;
use crate::engine::scope::frames::Frame;
use crate::engine::scope::interface;
use crate::engine::scope::values::UserFiles;
use crate::storage::db::{self, DbError};
use crate::storage::home::make_private;
use crate::storage::publish::record::PublishingWorkflow;
use crate::storage::publish::{Item, Protected, Publication, PublishError, Tree};
use crate::storage::store::{LargeFiles, Store, remove_tree};

/// A published output.
#[derive(Clone, Debug)]
pub struct PublishedOutput {
    /// As it stands in events: files with path, digest and size.
    pub event: Json,
    /// As people and scripts read it: each file is the text of its path.
    pub plain: Value,
    pub value: Value,
    /// Where its files lie, in the order of a walk over the value.
    pub places: Vec<PathBuf>,
}

/// A value with its files as they lie in the store.
pub(super) fn in_store(store: &dyn ContentStore, value: &Value) -> Json {
    value.to_json(&|artifact, _| {
        let path = match &artifact.origin {
            Some(origin) => origin.to_path_buf(),
            None => store.blob_path(&artifact.digest),
        };
        artifact_json(artifact, &path)
    })
}

/// It reads back as a value, see [`Value::from_json`].
fn artifact_json(artifact: &Artifact, path: &Path) -> Json {
    let mut json = json!({
        "path": path.display().to_string(),
        "digest": format!("sha256:{}", artifact.digest),
        "size": artifact.size,
        "name": artifact.name,
    });
    if artifact.executable {
        json["executable"] = true.into();
    }
    json
}

/// The outputs of a run.
pub(super) struct HandedOut {
    /// By name, in the file's order.
    pub outputs: Vec<(String, PublishedOutput)>,
    /// What a user should know.
    pub notes: Vec<String>,
}

/// Why the outputs of a run are not handed out.
#[derive(Debug)]
pub enum RunOutputError {
    /// An output has no value.
    Value(OutputError),
    /// The value of an output cannot be put anywhere: why.
    Place {
        output: Box<str>,
        problem: String,
    },
    /// The record of published files cannot be opened.
    Database(DbError),
    Publish(PublishError),
}

impl From<OutputError> for RunOutputError {
    fn from(error: OutputError) -> Self {
        Self::Value(error)
    }
}

impl From<DbError> for RunOutputError {
    fn from(error: DbError) -> Self {
        Self::Database(error)
    }
}

impl From<PublishError> for RunOutputError {
    fn from(error: PublishError) -> Self {
        Self::Publish(error)
    }
}

impl fmt::Display for RunOutputError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Value(error) => error.fmt(f),
            Self::Place { output, problem } => write!(f, "output `{output}`: {problem}"),
            Self::Database(error) => error.fmt(f),
            Self::Publish(error) => error.fmt(f),
        }
    }
}

/// How outputs with a path are published.
pub struct PublishOptions {
    /// The home folder, which keeps the record of what was published.
    pub home: PathBuf,
    /// What no publication may replace.
    pub protected: Protected,
    /// Whether files of the user's are taken over.
    pub replace: bool,
}

/// Evaluates the outputs, publishes those with a path, and puts read-only copies or links of other files
/// below `dir`. Outputs that depend on nodes that are not part of the run are left out.
///
/// # Errors
/// An output has no value or cannot be put in its place.
pub(super) fn hand_out(
    frame: &Frame,
    files: &UserFiles,
    store: &Store,
    dir: &Path,
    options: &PublishOptions,
) -> Result<HandedOut, RunOutputError> {
    let mut values = Vec::new();
    let mut items = Vec::new();
    for output in frame.workflow.outputs.iter().filter(|output| interface::is_available(output, frame)) {
        let unplaced = |problem| RunOutputError::Place { output: output.name.clone(), problem };
        let value = interface::evaluate(output, frame, files)?;
        let names = match &output.path {
            Some(path) => publishable(&value).map_err(unplaced)?.map(|(tree, names)| {
                items.push(Item { output: output.name.to_string(), path: path.clone(), tree });
                names
            }),
            None => None,
        };
        values.push((output, value, names));
    }
    let by = PublishingWorkflow { workflow: &frame.workflow.name, dir: frame.workflow.dir() };
    let PublishOptions { home, protected, replace } = options;
    let publication = Publication { store, home, by, items: &items, protected, replace: *replace };
    let notes = match items.is_empty() {
        true => Vec::new(),
        false => publication.run(&mut db::open_writer(home)?)?,
    };
    let mut handed = Vec::with_capacity(values.len());
    for (output, value, names) in values {
        let places = match (&output.path, names) {
            (Some(path), Some(names)) => names
                .iter()
                .map(|name| if name.is_empty() { path.clone() } else { path.join(name) })
                .collect(),
            _ => stage_output(&output.name, &value, store, dir)
                .map_err(|problem| RunOutputError::Place { output: output.name.clone(), problem })?,
        };
        handed.push((output.name.to_string(), PublishedOutput::of(value, places)));
    }
    Ok(HandedOut { outputs: handed, notes })
}

/// What a value puts at the path of its output, and the name of each of its files there, in the order of a walk over the
/// value: the empty one for the path itself. `None` if there is nothing to be published.
///
/// # Errors
/// A key that cannot be the name of a file.
fn publishable(value: &Value) -> Result<Option<(Tree, Vec<String>)>, String> {
    let mut parts: Vec<(String, Arc<Artifact>, bool)> = Vec::new();
    let mut taken = BTreeSet::new();
    match value {
        Value::File(artifact) => return Ok(Some((Tree::File(artifact.clone()), vec![String::new()]))),
        Value::Dir(artifact) => return Ok(Some((Tree::Dir(artifact.clone()), vec![String::new()]))),
        Value::List(items) => {
            // The first of equal names stays as it is; the others get an unused number.
            let base: BTreeSet<&str> = items.iter().filter_map(artifact).map(|(a, _)| &*a.name).collect();
            for (artifact, is_dir) in items.iter().filter_map(artifact) {
                let mut name = artifact.name.to_string();
                let mut number = 1;
                while !taken.insert(name.clone()) {
                    name = loop {
                        number += 1;
                        let name = format!("{number}-{}", artifact.name);
                        if !base.contains(&*name) {
                            break name;
                        }
                    };
                }
                parts.push((name, artifact.clone(), is_dir));
            }
        }
        Value::Map(entries) => {
            for (key, value) in &**entries {
                let Some((artifact, is_dir)) = artifact(value) else { continue };
                if key.is_empty() || key == "." || key == ".." || key.contains(['/', '\0']) {
                    return Err(format!("the key {key:?} cannot be the name of a file"));
                }
                let name = with_extension(key, &artifact.name);
                if !taken.insert(name.clone()) {
                    return Err(format!("two of its keys give the name {name:?} of a file"));
                }
                parts.push((name, artifact.clone(), is_dir));
            }
        }
        _ => return Ok(None),
    }
    let mut count = 0;
    value.for_each_artifact(&mut |_, _| count += 1);
    if count != parts.len() {
        return Err("a list or map of files can be published, and nothing that is deeper nested".into());
    }
    let names = parts.iter().map(|(name, _, _)| name.clone()).collect();
    Ok(Some((Tree::Folder(parts), names)))
}

fn artifact(value: &Value) -> Option<(&Arc<Artifact>, bool)> {
    match value {
        Value::File(artifact) => Some((artifact, false)),
        Value::Dir(artifact) => Some((artifact, true)),
        _ => None,
    }
}

/// `key` with the extension of `name`, also a double one such as `.csv.gz`, unless it has it already.
fn with_extension(key: &str, name: &str) -> String {
    let Some((stem, last)) =
        name.rsplit_once('.').filter(|(stem, last)| !stem.is_empty() && !last.is_empty())
    else {
        return key.into();
    };
    let inner = stem.rsplit_once('.').filter(|(stem, inner)| !stem.is_empty() && !inner.is_empty());
    let extension = match inner {
        Some((_, inner)) if ["gz", "bz2", "xz", "zst", "lz4", "Z"].contains(&last) => {
            format!(".{inner}.{last}")
        }
        _ => format!(".{last}"),
    };
    if key.ends_with(&extension) { key.into() } else { format!("{key}{extension}") }
}

/// Puts read-only copies or links of a value's files below `dir`; where they lie, in the order of a walk over the value.
///
/// # Errors
/// A sentence that names the file.
pub fn stage_output(output: &str, value: &Value, store: &Store, dir: &Path) -> Result<Vec<PathBuf>, String> {
    let mut artifacts = Vec::new();
    value.for_each_artifact(&mut |artifact, is_dir| artifacts.push((artifact.clone(), is_dir)));
    let folder = dir.join(output);
    let single = matches!(value, Value::File(_) | Value::Dir(_));
    let mut places = Vec::with_capacity(artifacts.len());
    for (i, (artifact, is_dir)) in artifacts.into_iter().enumerate() {
        let parent = if single { folder.clone() } else { folder.join(i.to_string()) };
        let target = parent.join(&*artifact.name);
        let failed = |e: std::io::Error| format!("{}: {e}", target.display());
        make_private(&parent).map_err(failed)?;
        if fs::symlink_metadata(&target).is_ok() {
            remove_tree(&target).map_err(failed)?;
        }
        store
            .stage(&artifact, is_dir, &target, Staging::Auto, LargeFiles::Symlink)
            .map_err(|error| error.to_string())?;
        places.push(target);
    }
    Ok(places)
}

impl PublishedOutput {
    /// A value whose files lie in `places`, in the order of a walk over the value.
    pub fn of(value: Value, places: Vec<PathBuf>) -> Self {
        let next = std::cell::Cell::new(0);
        let place = || {
            let number = next.replace(next.get() + 1);
            places.get(number).map(PathBuf::as_path).unwrap_or(Path::new(""))
        };
        let event = value.to_json(&|artifact, _| artifact_json(artifact, place()));
        next.set(0);
        let plain = with_paths(&value, &|| place().display().to_string());
        Self { event, plain, value, places }
    }
}

/// The value with a path in place of each file, in the order of a walk over it.
fn with_paths(value: &Value, next: &dyn Fn() -> String) -> Value {
    match value {
        Value::File(_) | Value::Dir(_) => Value::String(next().into()),
        Value::List(items) => items.iter().map(|item| with_paths(item, next)).collect(),
        Value::Map(entries) => {
            let entries = entries.iter().map(|(key, item)| (key.clone(), with_paths(item, next)));
            Value::Map(Arc::new(entries.collect()))
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::digest::Digest;

    fn file(name: &str) -> Value {
        let (digest, name) = (Digest::of(name), name.into());
        Value::File(Arc::new(Artifact { digest, size: 0, name, executable: false, origin: None }))
    }

    fn names(value: Value) -> Result<Vec<String>, String> {
        publishable(&value).map(|found| found.map(|(_, names)| names).unwrap_or_default())
    }

    #[test]
    fn lists_are_published_by_base_name_and_repeated_ones_by_number() {
        let list = |names: &[&str]| Value::List(names.iter().map(|name| file(name)).collect());
        assert_eq!(names(list(&["a.csv", "b.csv"])).unwrap(), ["a.csv", "b.csv"]);
        assert_eq!(names(list(&["a.csv", "a.csv", "a.csv"])).unwrap(), ["a.csv", "2-a.csv", "3-a.csv"]);
        assert_eq!(names(list(&["a.csv", "a.csv", "2-a.csv"])).unwrap(), ["a.csv", "3-a.csv", "2-a.csv"]);
        let some = Value::List([Value::Null, file("a")].into_iter().collect());
        assert_eq!(names(some).unwrap(), ["a"]);
        let nested = Value::List([list(&["a"])].into_iter().collect());
        assert!(names(nested).unwrap_err().contains("deeper nested"));
    }

    #[test]
    fn maps_are_published_by_key_and_extension() {
        let map = |entries: &[(&str, &str)]| {
            let entries = entries.iter().map(|(key, name)| ((*key).to_owned(), file(name)));
            Value::Map(Arc::new(entries.collect()))
        };
        let found = names(map(&[("de", "x.csv"), ("en", "x.tar.gz"), ("fr.csv", "fr.csv"), ("it", "none")]));
        assert_eq!(found.unwrap(), ["de.csv", "en.tar.gz", "fr.csv", "it"]);
        assert!(names(map(&[("a/b", "x")])).is_err());
        assert!(names(map(&[("a", "x.csv"), ("a.csv", "y.csv")])).unwrap_err().contains("two of its keys"));
        assert_eq!(with_extension("a", ".profile"), "a");
        assert_eq!(with_extension("a", "v1.2.report.csv"), "a.csv");
    }
}
