//! After the last node of a run: the history is closed, the scratch folder goes, a collection that is due is made, and the
//! outputs are looked at.

use std::path::Path;

use serde_json::Value as Json;

use super::super::collect::after_run;
use super::RunResult;
use super::record::RunRecord;
use crate::core::value::Artifact;
use crate::engine::Summary;
use crate::storage::home::{Home, RunLock};
use crate::storage::store::Store;
use crate::storage::writer::Closed;

/// Closes a run. `cap` is the size, in bytes, above which it collects.
pub fn close(
    summary: Summary,
    recording: RunRecord,
    lock: RunLock,
    home: &Home,
    store: &Store,
    cap: Option<u64>,
) -> RunResult {
    let run = recording.run();
    let Closed { failure, footprint } = recording.close(home);
    home.sweep_scratch(run);
    // The run has ended: a collection need not spare anything for it.
    drop(lock);
    let (collected, warning) = after_run(home, store, footprint, cap);
    let missing = missing(&summary, &home.outputs(run));
    let history = failure.or_else(|| summary.history.as_ref().map(ToString::to_string));
    RunResult {
        run,
        summary,
        history,
        collected,
        warnings: warning.into_iter().collect(),
        missing,
        left: Vec::new(),
    }
}

/// The files among the outputs of a run that should be in `folder` and are not.
fn missing(summary: &Summary, folder: &Path) -> Vec<String> {
    fn collect(value: &Json, folder: &Path, missing: &mut Vec<String>) {
        match value {
            Json::Array(items) => items.iter().for_each(|item| collect(item, folder, missing)),
            Json::Object(entries) => {
                match (entries.get("path").and_then(Json::as_str), entries.get("digest")) {
                    (Some(path), Some(_)) if Artifact::from_record(value).is_ok() => {
                        if Path::new(path).starts_with(folder) && std::fs::metadata(path).is_err() {
                            missing.push(path.to_owned());
                        }
                    }
                    _ => entries.values().for_each(|item| collect(item, folder, missing)),
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
    }
    let mut missing = Vec::new();
    summary.outputs.iter().for_each(|(_, handed)| collect(&handed.event, folder, &mut missing));
    missing
}
