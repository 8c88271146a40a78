//! Trees for views: an artifact as it is staged, with a stub for each large file, whose original is shown in its place.
//!
//! Knows nothing of how a view is shown. What is not on the file system of the folder that holds the originals, or outside
//! of it, is copied.

use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Store;
use super::error::FileError;
use super::pieces::{FileSource, Pieces, PutForm, Staged, ViewTree, make_open_folder};
use crate::core::value::Artifact;
use crate::storage::home::make_private;

impl Store {
    /// Stages an artifact for a view that is shown in the folder of `target`; in its place if no file of it needs a view.
    pub(super) fn stage_view(
        &self,
        artifact: &Artifact,
        pieces: &Pieces,
        target: &Path,
        layers: &Path,
        form: PutForm,
    ) -> Result<Staged, FileError> {
        let lower = layers.join("lower");
        if let Some(parent) = layers.parent() {
            make_private(parent).map_err(|e| FileError::at(parent, e))?;
        }
        make_open_folder(layers)?;
        make_open_folder(&lower)?;
        let data = match (&artifact.origin, pieces) {
            // Its own folder is made when the first blob gets its name.
            (None, _) => canonical(&self.folder)?,
            (Some(origin), Pieces::Folder(_)) => canonical(origin)?,
            (Some(origin), Pieces::File(_)) => {
                let file = canonical(origin)?;
                file.parent().unwrap_or(&file).to_owned()
            }
        };
        let dev = fs::metadata(&data).map_err(|e| FileError::at(&data, e))?.dev();
        let view = ViewTree { layers: layers.to_owned(), data, files: Vec::new(), dev };
        let mut staged = Staged { view: Some(view), ..Staged::default() };
        let tree = lower.join(&*artifact.name);
        self.put_pieces(pieces, &tree, form, &mut staged)?;
        if staged.view.take_if(|view| view.files.is_empty()).is_some() {
            put_in_place(&tree, target)?;
        }
        Ok(staged)
    }

    /// Puts an empty file of the right size in place of a large one; not if its original cannot be shown.
    pub(super) fn put_stub(
        &self,
        source: &FileSource,
        target: &Path,
        mode: u32,
        view: &mut ViewTree,
    ) -> Result<bool, FileError> {
        let original = canonical(&self.lasting_path(&source.place)?)?;
        let (_, stat) = self.open_source(&source.place)?;
        let (Ok(below), Ok(name)) =
            (original.strip_prefix(&view.data), target.strip_prefix(view.layers.join("lower")))
        else {
            return Ok(false);
        };
        if stat.key.dev != view.dev {
            return Ok(false);
        }
        let make = || {
            let stub = OpenOptions::new().write(true).create_new(true).mode(0o600).open(target)?;
            stub.set_len(stat.size)?;
            stub.set_permissions(Permissions::from_mode(mode))
        };
        make().map_err(|e| FileError::at(target, e))?;
        view.files.push((name.to_owned(), below.to_owned()));
        Ok(true)
    }
}

fn canonical(path: &Path) -> Result<PathBuf, FileError> {
    fs::canonicalize(path).map_err(|e| FileError::at(path, e))
}

/// Moves a tree that turned out to need no view.
fn put_in_place(tree: &Path, target: &Path) -> Result<(), FileError> {
    let fail = |e| FileError::at(target, e);
    if fs::symlink_metadata(target).is_ok() {
        return Err(fail(std::io::ErrorKind::AlreadyExists.into()));
    }
    let mode = fs::metadata(tree).map_err(fail)?.permissions();
    // A folder that may not be written to cannot be moved by its owner.
    fs::set_permissions(tree, Permissions::from_mode(0o700)).map_err(fail)?;
    fs::rename(tree, target).map_err(fail)?;
    File::open(target).and_then(|moved| moved.set_permissions(mode)).map_err(fail)
}
