//! Folders of runs: what they take, those that no run owns, and removing them.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use crate::core::run_id::RunId;
use crate::storage::home::Home;
use crate::storage::store::remove_tree;

/// What a run's logs, events and handed back files take, in bytes.
pub fn of_run(home: &Home, run: &str) -> u64 {
    size(&home.logs(run)) + size(&home.outputs(run))
}

/// All files below a folder; links count as themselves.
fn size(folder: &Path) -> u64 {
    let files = walkdir::WalkDir::new(folder).into_iter().flatten();
    files
        .filter(|entry| entry.file_type().is_file())
        .filter_map(|entry| entry.metadata().ok())
        .map(|m| m.len())
        .sum()
}

/// Runs that have folders and no row: those of a database that was lost, or removed by a collection that
/// did not come to its end.
pub(super) fn strays(home: &Home, known: &HashSet<&str>) -> Vec<String> {
    let below = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    let all = ["logs", "outputs"].into_iter().flat_map(|name| below(&home.path().join(name)));
    let names = all.filter_map(|entry| entry.file_name().into_string().ok());
    let mut strays: Vec<String> =
        names.filter(|name| RunId::parse(name).is_ok() && !known.contains(&**name)).collect();
    strays.sort();
    strays.dedup();
    strays
}

/// Removes the folders of runs that are no more.
pub(super) fn remove<'r>(home: &Home, runs: impl Iterator<Item = &'r str>) -> io::Result<()> {
    for run in runs {
        remove_tree(&home.logs(run))?;
        remove_tree(&home.outputs(run))?;
    }
    Ok(())
}
