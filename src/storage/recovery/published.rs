//! What earlier runs published, from the outputs in their last events: files there may be replaced by later runs, as before
//! the database was lost.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::{Map as JsonMap, Value as Json};

use crate::core::digest::Digest;
use crate::core::value::Artifact;
use crate::storage::home::Home;
use crate::storage::publish::record::{self, PlacedContent, PublishedRow, PublishingWorkflow};
use crate::storage::store::{EntryContent, directory_entries};

/// Writes the rows of what a run published.
///
/// # Errors
/// The database refuses a row.
pub(super) fn recover(
    db: &Connection,
    home: &Home,
    workflow: &str,
    file: &Path,
    outputs: &JsonMap<String, Json>,
) -> rusqlite::Result<()> {
    let by = PublishingWorkflow { workflow, dir: file.parent().unwrap_or(Path::new("")) };
    let mut found = Vec::new();
    outputs.values().for_each(|value| collect(home, value, true, &mut found));
    for Published { path, root, digest } in found {
        let write = |path: &Path, content: PlacedContent| {
            let row = PublishedRow { root: root.clone(), content, previous: None, placed: true };
            record::write(db, by, path, &row)
        };
        let is_dir = std::fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
        let entries = is_dir.then(|| directory_entries(home.path(), &digest)).flatten();
        if root != path {
            write(&root, PlacedContent::Folder)?;
        }
        match entries {
            Some(entries) => {
                write(&path, PlacedContent::Folder)?;
                for (name, content) in entries {
                    let content = match content {
                        EntryContent::Folder => PlacedContent::Folder,
                        EntryContent::Link(target) => PlacedContent::Link(target),
                        EntryContent::File { digest, .. } => PlacedContent::File(digest),
                    };
                    write(&path.join(name), content)?;
                }
            }
            None if is_dir => {}
            None => write(&path, PlacedContent::File(digest))?,
        }
    }
    Ok(())
}

struct Published {
    path: PathBuf,
    /// The path of the output that it belongs to.
    root: PathBuf,
    digest: Digest,
}

/// The files of an output that lie outside the home.
fn collect(home: &Home, value: &Json, is_top: bool, found: &mut Vec<Published>) {
    match value {
        Json::Array(items) => items.iter().for_each(|item| collect(home, item, false, found)),
        Json::Object(entries) => {
            match (entries.get("path").and_then(Json::as_str), Artifact::from_record(value)) {
                (Some(path), Ok(artifact)) => {
                    let Some(path) = real(Path::new(path)).filter(|path| !path.starts_with(home.path()))
                    else {
                        return;
                    };
                    let root = match path.parent() {
                        Some(parent) if !is_top => parent.to_owned(),
                        _ => path.clone(),
                    };
                    found.push(Published { path, root, digest: artifact.digest });
                }
                _ => entries.values().for_each(|item| collect(home, item, false, found)),
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

/// The path with the links of its folder followed, as the record holds it.
fn real(path: &Path) -> Option<PathBuf> {
    Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?))
}
