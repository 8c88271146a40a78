//! Large input files of a run's attempts: how they are brought, what is said of it, and outputs that are links to them.
//!
//! A view is gone when its command has ended. An output that is a link to a file of it leads nowhere then, where a link
//! to a small input, which is a copy, leads to the copy: so the copy is made then.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use walkdir::WalkDir;

use crate::core::staging::Staging;
use crate::engine::attempt::error::AttemptError;
use crate::engine::attempt::prepare::{Guarded, LargeInputs, StagedView};
use crate::exec::VIEWS_SUPPORTED;
use crate::storage::store::{LargeFiles, Store};

/// What a run has found out about views on this system, and said.
#[derive(Default)]
pub struct LargeInputState {
    /// Why this system shows no views, once that is known.
    refused: OnceLock<String>,
    noted: AtomicBool,
}

impl LargeInputState {
    pub fn placement(&self) -> LargeInputs {
        match VIEWS_SUPPORTED && self.refused.get().is_none() {
            true => LargeInputs::View,
            false => LargeInputs::Link,
        }
    }

    /// Notes that no view can be shown, and why.
    pub fn refuse(&self, reason: String) {
        let _ = self.refused.set(reason);
    }

    /// The sentence about symbolic links, for the first attempt of the run that has one.
    pub fn note(&self, guarded: &[Guarded], staging: Staging) -> Option<String> {
        let name = &guarded.iter().find(|guarded| guarded.has_symlink)?.name;
        if self.noted.swap(true, Ordering::Relaxed) {
            return None;
        }
        let why = match (staging, self.refused.get()) {
            (Staging::Link, _) => "as stage = \"link\" asks for".to_owned(),
            (_, Some(reason)) => format!("because large files cannot be shown otherwise here ({reason})"),
            (_, None) => "because large files cannot be shown otherwise on this system".to_owned(),
        };
        Some(format!(
            "{name} is a symbolic link to the original, {why}: programs that look at links (tar, find -type f) see one. \
             stage = \"copy\" gives a regular file. Said once a run"
        ))
    }
}

/// Makes copies of those large inputs that links in `folders` lead to.
///
/// # Errors
/// The task may have changed such an input, and its view is gone.
pub fn settle_links(store: &Store, views: &[StagedView], folders: &[PathBuf]) -> Result<(), AttemptError> {
    let links = folders.iter().flat_map(|folder| WalkDir::new(folder).into_iter().flatten());
    for link in links.filter(walkdir::DirEntry::path_is_symlink) {
        let Some(target) = target_of(link.path()) else { continue };
        let Some(staged) = views.iter().find(|staged| target.starts_with(&staged.path)) else { continue };
        let fail = |problem: String| {
            let name = link.path().file_name().unwrap_or_default().display();
            let input = &staged.input;
            AttemptError::output(format!(
                "{name} is a link to the input `{input}`, {problem}: copy the file instead"
            ))
        };
        if fs::symlink_metadata(&staged.path).is_ok() {
            continue;
        }
        if !is_untouched(staged) {
            return Err(fail("which the task may have changed and which is gone now".into()));
        }
        store
            .stage(&staged.artifact, staged.is_dir, &staged.path, Staging::Copy, LargeFiles::Copy)
            .map_err(|error| fail(format!("which cannot be copied ({error})")))?;
    }
    Ok(())
}

/// Whether it is sure that the command left the view as it was.
fn is_untouched(staged: &StagedView) -> bool {
    let layers = &staged.view.layers;
    // Layers inside the folder of the originals were in memory, which is gone.
    let in_memory = fs::canonicalize(layers).map_or(true, |layers| layers.starts_with(&staged.view.data));
    // Where originals were bound, the task could not write to them, and there may be no upper layer.
    let unchanged = fs::read_dir(layers.join("upper")).map_or(true, |mut upper| upper.next().is_none());
    !in_memory && unchanged
}

/// Where a link leads, by its text alone.
fn target_of(link: &Path) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for part in link.parent()?.join(fs::read_link(link).ok()?).components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::CurDir => {}
            part => path.push(part),
        }
    }
    Some(path)
}
