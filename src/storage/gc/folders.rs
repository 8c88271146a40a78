//! Folders of runs: what they take, those that no run owns, and removing them.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use crate::core::run_id::RunId;
use crate::storage::home::Home;
use crate::storage::own_folder;

/// The size of a run's logs, events and output files, in bytes.
pub fn of_run(home: &Home, run: RunId) -> u64 {
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

/// Runs that have folders and no row: those removed by a collection that did not come to its end, or of a database that
/// was lost.
///
/// # Errors
/// A folder cannot be read.
pub(super) fn strays(home: &Home, known: &HashSet<RunId>) -> io::Result<Vec<RunId>> {
    let mut strays = Vec::new();
    for folder in ["logs", "outputs"] {
        let entries = match fs::read_dir(home.path().join(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let run = entry?.file_name().to_str().and_then(|name| RunId::parse(name).ok());
            strays.extend(run.filter(|run| !known.contains(run)));
        }
    }
    strays.sort();
    strays.dedup();
    Ok(strays)
}

/// Removes the folders of runs that are no more.
///
/// # Errors
/// A folder resists.
pub fn remove(home: &Home, runs: impl Iterator<Item = RunId>) -> io::Result<()> {
    for run in runs {
        own_folder::remove(&home.logs(run))?;
        own_folder::remove(&home.outputs(run))?;
    }
    Ok(())
}
