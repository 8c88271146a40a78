//! Publishing: outputs put at paths of the user, so that nothing is destroyed that `runner` did not publish.
//!
//! First everything is looked at, and the publication is refused as a whole if a file of the user's is in the way. Then the
//! intention is recorded, entries that left the result are removed, each entry is placed atomically, and the record is
//! confirmed. Knows outputs as artifacts and paths; nothing of tasks or references.
//!
//! | file | owns |
//! |---|---|
//! | `record` | the table of what was published |
//! | `survey` | the action at each path, and what is in the way |

mod error;
pub mod record;
mod survey;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, TransactionBehavior};

pub use self::error::PublishError;
use self::record::{PlacedContent, PublishedRow, PublishingWorkflow};
use self::survey::{Action, Survey, survey};
use crate::core::value::Artifact;
use crate::storage::own_file::{self, Access};
use crate::storage::store::{Store, sync_folder};

/// An output with a path.
pub struct Item {
    /// Its name, for messages.
    pub output: String,
    /// Absolute.
    pub path: PathBuf,
    pub tree: Tree,
}

/// What an output puts at its path.
pub enum Tree {
    File(Arc<Artifact>),
    Dir(Arc<Artifact>),
    /// A folder made of artifacts, each under a name of its own; directories among them with `true`.
    Folder(Vec<(String, Arc<Artifact>, bool)>),
}

/// Files that no publication may replace: what the run itself is made of.
#[derive(Clone, Debug, Default)]
pub struct Protected {
    /// By real path: what it is, as in "the workflow file".
    files: Vec<(PathBuf, String)>,
    /// Input directories.
    folders: Vec<(PathBuf, String)>,
}

impl Protected {
    /// Adds a path; one that does not exist cannot be replaced.
    pub fn add(&mut self, path: &Path, is_dir: bool, what: String) {
        if let Ok(path) = fs::canonicalize(path) {
            let list = if is_dir { &mut self.folders } else { &mut self.files };
            list.push((path, what));
        }
    }

    /// What the run needs `path` for, if `path` is one of the files or folders themselves.
    pub fn names(&self, path: &Path) -> Option<&str> {
        let path = fs::canonicalize(path).ok()?;
        let mut all = self.files.iter().chain(&self.folders);
        all.find(|(own, _)| *own == path).map(|(_, what)| what.as_str())
    }

    /// What the run needs the real path `path` for, if it is a file of it.
    fn file(&self, path: &Path) -> Option<&str> {
        self.files.iter().find(|(own, _)| own == path).map(|(_, what)| what.as_str())
    }

    /// The input directory that `path` lies in.
    fn inside(&self, path: &Path) -> Option<&str> {
        self.folders.iter().find(|(own, _)| path.starts_with(own)).map(|(_, what)| what.as_str())
    }
}

/// What is published, by whom, and how.
pub struct Publication<'a> {
    pub store: &'a Store,
    /// The home folder, which holds the lock of those that publish.
    pub home: &'a Path,
    pub by: PublishingWorkflow<'a>,
    pub items: &'a [Item],
    pub protected: &'a Protected,
    /// Whether files of the user's are taken over.
    pub replace: bool,
}

/// The most paths that one message names.
const MAX_NAMED: usize = 5;

impl Publication<'_> {
    /// Publishes all items, or refuses all of them. `db` is the database of the home. What a user should know besides comes as sentences.
    ///
    /// # Errors
    /// Something is in the way, the record of published files cannot be used, or the system refused a file.
    pub fn run(&self, db: &mut Connection) -> Result<Vec<String>, PublishError> {
        // Two runs that publish at the same path come one after the other.
        let lock = self.home.join("publish.lock");
        let _lock = own_file::open(&lock, Access::Append)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|error| PublishError::Failed(format!("{} cannot be locked: {error}", lock.display())))?;
        let survey = survey(self, db)?;
        self.intend(db, &survey)?;
        let mut notes = survey.notes();
        let (removed, kept) = remove_obsolete(&survey, self.protected, self.store);
        notes.extend(kept);
        self.place(&survey)?;
        self.confirm(db, &survey, &removed)?;
        Ok(notes)
    }

    /// Records what is about to be placed, with what stands there now.
    fn intend(&self, db: &mut Connection, survey: &Survey) -> rusqlite::Result<()> {
        let mut steps = survey.steps.iter().filter(|step| step.action.places()).peekable();
        if steps.peek().is_none() {
            return Ok(());
        }
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for step in steps {
            let previous = step.found.clone();
            let row =
                PublishedRow { root: step.root.clone(), content: step.content(), previous, placed: false };
            record::write(&transaction, self.by, &step.path, &row)?;
        }
        transaction.commit()
    }

    fn place(&self, survey: &Survey) -> Result<(), PublishError> {
        let mut folders = BTreeSet::new();
        let mut whole: Option<&Path> = None;
        for step in survey.steps.iter().filter(|step| step.action.places()) {
            let fail = |error: &dyn fmt::Display| failed(&step.output, error);
            if let Some(root) = whole
                && step.root == *root
                && step.path.starts_with(root)
            {
                continue;
            }
            if let Some(parent) = step.path.parent() {
                if step.root == step.path {
                    fs::create_dir_all(parent)
                        .map_err(|error| fail(&format_args!("{}: {error}", parent.display())))?;
                }
                folders.insert(parent.to_owned());
            }
            if let (Action::Create, Some(artifact)) = (&step.action, &step.whole) {
                self.store.place_folder(artifact, &step.path).map_err(|error| fail(&error))?;
                whole = Some(&step.path);
                continue;
            }
            let replace = matches!(step.action, Action::Replace { .. }) && !step.cleared(survey);
            self.store.place(&step.entry, &step.path, replace).map_err(|error| fail(&error))?;
        }
        for folder in folders {
            sync_folder(&folder)
                .map_err(|error| PublishError::Failed(format!("cannot be published: {error}")))?;
        }
        Ok(())
    }

    /// Records that everything is in its place.
    fn confirm(&self, db: &mut Connection, survey: &Survey, removed: &[PathBuf]) -> rusqlite::Result<()> {
        let mut steps = survey.steps.iter().filter(|step| step.is_new_to_record()).peekable();
        if steps.peek().is_none() && removed.is_empty() {
            return Ok(());
        }
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for path in removed {
            record::forget(&transaction, path)?;
        }
        for step in steps {
            let row = PublishedRow {
                root: step.root.clone(),
                content: step.content(),
                previous: None,
                placed: true,
            };
            record::write(&transaction, self.by, &step.path, &row)?;
        }
        transaction.commit()
    }
}

/// What keeps an output from being published.
fn failed(output: &str, problem: &dyn fmt::Display) -> PublishError {
    PublishError::Failed(format!("output `{output}`: cannot be published: {problem}"))
}

/// Removes entries of earlier results that are no longer part of the result; those that a user edited stay. The paths are
/// those to be forgotten, the sentences name what stays.
fn remove_obsolete(survey: &Survey, protected: &Protected, store: &Store) -> (Vec<PathBuf>, Vec<String>) {
    let mut edited = Vec::new();
    let mut forgotten = Vec::new();
    // What lies in a folder comes behind it in the order of paths.
    for (path, row) in survey.obsolete.iter().rev() {
        let untouched = survey::content_at(store, path).is_some_and(|found| found == row.content);
        let removed = match &row.content {
            _ if protected.file(path).is_some() => Ok(()),
            PlacedContent::Folder => {
                // One that holds something of the user's stays.
                let _ = fs::remove_dir(path);
                Ok(())
            }
            _ if untouched => fs::remove_file(path),
            _ => {
                if fs::symlink_metadata(path).is_ok() {
                    edited.push(path.display().to_string());
                }
                Ok(())
            }
        };
        match removed {
            Ok(()) => forgotten.push(path.clone()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => forgotten.push(path.clone()),
            // It stays recorded, and the next run tries again.
            Err(_) => {}
        }
    }
    edited.sort();
    let kept = (!edited.is_empty()).then(|| {
        format!(
            "{} was edited after it was published: no longer part of the result, but left alone",
            named(&edited)
        )
    });
    (forgotten, kept.into_iter().collect())
}

/// Some of `paths`, and how many more there are.
fn named(paths: &[String]) -> String {
    let more = paths.len().saturating_sub(MAX_NAMED);
    let shown = paths[..paths.len() - more].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}
