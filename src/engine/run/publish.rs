//! The workflow's own outputs: values handed back, files put where people can read them.

use std::fs;
use std::path::Path;

use serde_json::{Value as Json, json};

use crate::core::staging::Staging;
use crate::core::value::{Artifact, Value};
use crate::engine::scope::content::ContentStore;
use crate::engine::scope::frames::Frame;
use crate::engine::scope::interface;
use crate::engine::scope::values::Files;
use crate::storage::home::make_private;
use crate::storage::store::{Store, remove_tree};
use crate::workflow::Published;

/// An output that was handed back.
#[derive(Clone, Debug)]
pub struct PublishedOutput {
    /// As it stands in events: files with path, digest and size.
    pub event: Json,
    /// As people and scripts read it: files as paths.
    pub plain: Json,
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

/// Evaluates the outputs, publishes those with a path, and puts read-only copies or links of other files
/// below `dir`. Outputs that depend on nodes outside of the run are left out.
///
/// # Errors
/// A sentence that names the output.
pub(super) fn hand_out(
    frame: &Frame,
    files: &Files,
    store: &Store,
    dir: &Path,
) -> Result<Vec<(String, PublishedOutput)>, String> {
    let mut handed = Vec::new();
    for output in frame.workflow.outputs.iter().filter(|output| interface::is_available(output, frame)) {
        let fail = |problem: String| format!("output `{}`: {problem}", output.name);
        let value = interface::evaluate(output, frame, files).map_err(fail)?;
        let placed = place(output, &value, store, dir).map_err(fail)?;
        handed.push((output.name.to_string(), placed));
    }
    Ok(handed)
}

fn place(output: &Published, value: &Value, store: &Store, dir: &Path) -> Result<PublishedOutput, String> {
    if let (Some(path), Value::File(artifact) | Value::Dir(artifact)) = (&output.path, value) {
        let is_dir = matches!(value, Value::Dir(_));
        store.publish(artifact, is_dir, path).map_err(|e| format!("cannot be published: {e}"))?;
        return Ok(PublishedOutput {
            event: artifact_json(artifact, path),
            plain: path.display().to_string().into(),
        });
    }
    let mut artifacts = Vec::new();
    value.for_each_artifact(&mut |artifact, is_dir| artifacts.push((artifact.clone(), is_dir)));
    let folder = dir.join(&*output.name);
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
        store.stage(&artifact, is_dir, &target, Staging::Auto).map_err(|e| e.to_string())?;
        places.push((artifact, target));
    }
    // Artifacts come in one order in every walk over a value.
    let next = std::cell::Cell::new(0);
    let event = value.to_json(&|artifact, _| {
        let path = &places[next.replace(next.get() + 1)].1;
        artifact_json(artifact, path)
    });
    next.set(0);
    let plain = value.to_json(&|_, _| places[next.replace(next.get() + 1)].1.display().to_string().into());
    Ok(PublishedOutput { event, plain })
}
