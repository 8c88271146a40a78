//! An output file of a node or a run, found by the name of the output, and opened.

use std::fs::File;
use std::path::Path;

use serde_json::{Map as JsonMap, Value as Json};

use super::Error;
use super::home::HomeReader;
use super::node_arg::unknown;
use crate::core::digest::Digest;
use crate::core::event::Event;
use crate::core::node_path::NodeRef;
use crate::core::value::Artifact;
use crate::storage::history::Run;
use crate::storage::own_file::{self, Access};
use crate::storage::store::files_of_directory;

/// Which file is meant.
#[derive(Clone, Copy, Debug)]
pub struct OutputRef<'a> {
    /// Of this node; `None` for the outputs of the run.
    pub node: Option<NodeRef<'a>>,
    pub output: &'a str,
    /// Inside a list its number, inside a map its key, inside a directory its path, one behind the other.
    pub path: &'a str,
}

/// What was found.
pub enum OutputContent {
    File {
        name: String,
        size: u64,
        file: File,
    },
    /// A directory: the paths of its files.
    Directory(Vec<String>),
}

/// Opens an output file of the run that a person means by `name`, or of one of its nodes.
///
/// # Errors
/// There is no such run, node, output or file, or its content is not kept any more.
pub fn output_file(home: Option<&Path>, name: &str, wanted: OutputRef) -> Result<OutputContent, Error> {
    let view = HomeReader::open(home)?;
    let run = view.find(name)?;
    let outputs = outputs(&view, &run, wanted.node)?;
    let of = wanted.node.map_or_else(|| format!("run {}", run.id), |node| format!("`{}`", node.label()));
    let value = outputs
        .get(wanted.output)
        .ok_or_else(|| Error::not_found(format!("{of} has no output `{}`", wanted.output)))?;
    let (artifact, rest) = pick(value, wanted.path)
        .ok_or_else(|| Error::not_found(format!("output `{}` of {of} has no file there", wanted.output)))?;
    let store = view.store()?;
    let blob = store.blob_path(&artifact.digest);
    let gone = |error: std::io::Error| {
        Error::not_found(format!("the content of `{}` is not kept any more: {error}", artifact.name))
    };
    let files = files_of_directory(&blob).map_err(gone)?;
    let open = |digest: &Digest, name: &str| {
        let file = own_file::open(&store.blob_path(digest), Access::Read).map_err(gone)?;
        let size = file.metadata().map_err(gone)?.len();
        let name = name.rsplit('/').next().unwrap_or(name).to_owned();
        Ok(OutputContent::File { name, size, file })
    };
    if !files.is_empty() && rest.is_empty() {
        return Ok(OutputContent::Directory(files.into_iter().map(|(name, _)| name).collect()));
    }
    if rest.is_empty() {
        return open(&artifact.digest, &artifact.name);
    }
    match files.iter().find(|(name, _)| name == rest) {
        Some((name, digest)) => open(digest, name),
        None => Err(Error::not_found(format!("`{}` has no file `{rest}`", artifact.name))),
    }
}

/// The outputs of a node, or of the run.
fn outputs(view: &HomeReader, run: &Run, node: Option<NodeRef>) -> Result<JsonMap<String, Json>, Error> {
    let events = view.events(run.id)?;
    let mut found = None;
    for event in events {
        match (event, node) {
            (Event::NodeFinished(end), Some(node)) if end.path() == node => found = Some(end.outputs),
            (Event::RunFinished(end), None) => found = Some(end.outputs),
            _ => {}
        }
    }
    match (found, node) {
        (Some(outputs), _) => Ok(outputs),
        (None, None) => Err(Error::conflict(format!("run {} has not ended", run.id))),
        (None, Some(node)) => {
            let events: Vec<_> = view.events(run.id)?.collect();
            Err(Error::not_found(unknown(&events, node, &run.id)))
        }
    }
}

/// The file or directory at a path in a value, and what of the path is left for the inside of a directory.
fn pick<'p>(value: &Json, path: &'p str) -> Option<(Artifact, &'p str)> {
    if value.get("digest").is_some_and(Json::is_string) {
        return Some((artifact(value)?, path));
    }
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    match value {
        Json::Array(items) => pick(items.get(first.parse::<usize>().ok()?)?, rest),
        // A key may have a `/` itself.
        Json::Object(fields) => match fields.get(path) {
            Some(value) => pick(value, ""),
            None => pick(fields.get(first)?, rest),
        },
        _ => None,
    }
}

/// A file as events have it, which name it by its path or its base name.
fn artifact(value: &Json) -> Option<Artifact> {
    let name = ["name", "origin", "path"].iter().find_map(|key| value.get(key)?.as_str())?;
    let name = name.rsplit('/').next().unwrap_or(name);
    Some(Artifact {
        digest: value.get("digest")?.as_str()?.trim_start_matches("sha256:").parse().ok()?,
        size: value.get("size")?.as_u64()?,
        name: name.into(),
        executable: false,
        origin: None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn files_are_found_inside_lists_maps_and_directories() {
        let file = |name: &str| json!({"digest": format!("sha256:{}", "0".repeat(64)), "size": 1, "path": format!("/s/{name}")});
        let found = |value: &Json, path: &str| {
            pick(value, path).map(|(artifact, rest)| (artifact.name.to_string(), rest.to_owned()))
        };
        let some = |name: &str, rest: &str| Some((name.to_owned(), rest.to_owned()));
        assert_eq!(found(&file("a.txt"), ""), some("a.txt", ""));
        assert_eq!(found(&file("d"), "x/y.txt"), some("d", "x/y.txt"));
        let list = json!([file("a"), file("b")]);
        assert_eq!(found(&list, "1"), some("b", ""));
        assert_eq!(found(&list, "1/x"), some("b", "x"));
        assert_eq!(found(&list, "2"), None);
        let map = json!({"k/1": file("c"), "k": [file("d")]});
        assert_eq!(found(&map, "k/1"), some("c", ""));
        assert_eq!(found(&map, "k/0/in"), some("d", "in"));
        assert_eq!(found(&json!("text"), ""), None);
    }
}
