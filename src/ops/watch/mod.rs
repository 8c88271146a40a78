//! Waiting until a file changes that a run depends on.
//!
//! What counts is how files look, compared with how they looked before the run read them: so nothing that happens
//! during a run is missed, and it does not matter how an editor replaces a file. The system only says when to look.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use super::config::settings_files;
use super::open::check;
use super::{Error, inputs};
use crate::core::run_request::{GivenInputs, RunRequest};
use crate::engine::Interrupt;
use crate::storage::home::Home;
use crate::workflow::documents::Texts;
use crate::workflow::load::load_requested;

mod folders;
mod watched;

pub use folders::FolderWatch;
pub use watched::{Looks, Watched};

/// How long nothing must change after a change: editors and checkouts write several files.
const QUIET: Duration = Duration::from_millis(200);
/// Maximum time between two checks, for changes that the system does not report.
const AT_LEAST: Duration = Duration::from_secs(5);
/// Time between two checks where the system reports no changes.
const POLL: Duration = Duration::from_millis(500);

/// The files that a run depends on. Of a workflow that cannot be run all that is known: what it read, and what counted
/// before.
///
/// # Errors
/// There is no place for a home folder.
pub fn dependencies(request: &RunRequest, home: Option<&Path>, before: Watched) -> Result<Watched, Error> {
    let home = Home::locate(home).map_err(Error::store)?;
    let loaded = load_requested(Texts::default(), request);
    let mut watched = Watched::new(home.path());
    watched.file(&request.workflow);
    loaded.documents.iter().for_each(|document| watched.file(&document.path));
    for given in &request.given {
        if let GivenInputs::File(file) = given {
            watched.file(file);
        }
    }
    Ok(match check(loaded) {
        Ok(opened) => {
            opened.workflows.iter().for_each(|workflow| watched.workflow(workflow));
            settings_files(&opened.workflow.path).iter().for_each(|file| watched.file(file));
            // What is wrong with them, the run says.
            let bindings = inputs::resolve(&opened.workflow, &request.given).unwrap_or_default();
            for (input, binding) in opened.workflow.inputs.iter().zip(&bindings) {
                binding.for_each_path(&input.ty, &mut |path, is_dir| watched.path(path, is_dir));
                watched.patterns(binding);
            }
            watched
        }
        Err(_) => watched.with(before),
    })
}

/// Waits for changes and signals.
pub struct Waiter {
    folders: FolderWatch,
    interrupts: UnboundedReceiver<Interrupt>,
}

impl Waiter {
    /// A waiter that ends by `interrupts`. They are to be listened to from before the first run: a signal between two
    /// runs must not be lost.
    pub fn new(interrupts: UnboundedReceiver<Interrupt>) -> Self {
        Self { folders: FolderWatch::new(), interrupts }
    }

    /// Watches these folders and no others. Folders, because a file that is replaced is another one.
    pub fn watch(&mut self, folders: &BTreeSet<PathBuf>) {
        self.folders.watch(folders);
    }

    /// Waits until files look otherwise than `before`; which do, or the interrupt that came first.
    ///
    /// # Errors
    /// The interrupt that came before a change.
    pub async fn wait(&mut self, watched: &Watched, before: &Looks) -> Result<Vec<PathBuf>, Interrupt> {
        let most = if self.folders.is_told() { AT_LEAST } else { POLL };
        loop {
            if !differences(before, &watched.looks()).is_empty() {
                self.settle().await?;
                // It may be as it was.
                let changed = differences(before, &watched.looks());
                if !changed.is_empty() {
                    return Ok(changed);
                }
            }
            tokio::select! {
                Some(interrupt) = self.interrupts.recv() => return Err(interrupt),
                () = self.folders.changed() => self.settle().await?,
                () = tokio::time::sleep(most) => {}
            }
        }
    }

    /// Waits until nothing more happens, though not for ever.
    async fn settle(&mut self) -> Result<(), Interrupt> {
        for _ in 0..10 {
            tokio::select! {
                Some(interrupt) = self.interrupts.recv() => return Err(interrupt),
                () = self.folders.changed() => {}
                () = tokio::time::sleep(QUIET) => break,
            }
            tokio::time::sleep(QUIET / 4).await;
        }
        Ok(())
    }
}

/// The files that look otherwise, are gone or are new.
fn differences(before: &Looks, now: &Looks) -> Vec<PathBuf> {
    let all: BTreeSet<&PathBuf> = before.keys().chain(now.keys()).collect();
    all.into_iter().filter(|path| before.get(*path) != now.get(*path)).cloned().collect()
}
