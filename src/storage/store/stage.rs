//! Artifacts put where tasks and users read them: read-only copies, trees for views, or links for tasks, and whether a task
//! wrote through a link to the original.
//!
//! By link only where nothing better can be had or where it is asked for: whoever runs as root can write through one, so
//! that each is looked at again when the task is done.

use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::Store;
use super::error::{Damage, FileError, Wrong};
use super::pieces::{
    FileSource, Guard, LARGE, LargeFiles, Part, Pieces, Place, PutForm, Staged, make_open_folder,
};
use super::stat::{self, FileStat, now_ns};
use super::sync::sync_each;
use super::temp::{Blob, PendingBlob};
use crate::core::digest::Digest;
use crate::core::staging::Staging;
use crate::core::value::Artifact;

/// An original that was changed behind a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoiled {
    pub path: PathBuf,
    /// The blob that it was, which is in `damaged/` now; `None` for a user's own file.
    pub blob: Option<Digest>,
}

/// Files up to this many bytes are copied through memory, which takes the fewest calls.
const SMALL: u64 = 64 << 10;

impl Store {
    /// Puts an artifact at exactly `target`, where nothing is yet, read-only: from the store, or from its origin.
    /// What is read from an origin is not compared with the digest.
    ///
    /// # Errors
    /// The artifact cannot be read, or `target` cannot be written.
    pub fn stage(
        &self,
        artifact: &Artifact,
        is_dir: bool,
        target: &Path,
        how: Staging,
        large: LargeFiles,
    ) -> Result<Staged, FileError> {
        let form = PutForm { staging: how, large, writable: false, sync: false };
        let pieces = self.pieces(artifact, is_dir)?;
        match large {
            LargeFiles::View(layers) if how == Staging::Auto && pieces.has_large() => {
                self.stage_view(artifact, &pieces, target, layers, form)
            }
            _ => {
                let mut staged = Staged::default();
                self.put_pieces(&pieces, target, form, &mut staged)?;
                Ok(staged)
            }
        }
    }

    /// Finds out which originals were changed behind their links. Spoiled blobs are set aside.
    pub fn check(&self, guards: &[Guard]) -> Vec<Spoiled> {
        let changed = |guard: &&Guard| {
            let now = fs::metadata(&guard.path).map(|metadata| FileStat::of(&metadata));
            let untouched = now.is_ok_and(|now| now == guard.stat);
            match &guard.blob {
                None => {
                    if !untouched && guard.is_copy {
                        let _ = fs::remove_file(&guard.path);
                    }
                    !untouched
                }
                Some(_) if untouched && !guard.young => false,
                Some(digest) => {
                    // Its content decides: another process may have put an equal blob in its place.
                    self.stats.forget(guard.stat.key);
                    let spoiled = self.check_blob(digest).is_err();
                    if !spoiled {
                        // A task may have made it writable, and left it at that.
                        let _ = fs::set_permissions(&guard.path, Permissions::from_mode(0o444));
                    }
                    spoiled
                }
            }
        };
        let spoiled = |guard: &Guard| Spoiled { path: guard.path.clone(), blob: guard.blob };
        guards.iter().filter(changed).map(spoiled).collect()
    }

    /// Puts an artifact at `target`, where nothing is yet.
    pub(super) fn put(
        &self,
        artifact: &Artifact,
        is_dir: bool,
        target: &Path,
        form: PutForm,
    ) -> Result<(), FileError> {
        self.put_pieces(&self.pieces(artifact, is_dir)?, target, form, &mut Staged::default())
    }

    pub(super) fn put_pieces(
        &self,
        pieces: &Pieces,
        target: &Path,
        form: PutForm,
        staged: &mut Staged,
    ) -> Result<(), FileError> {
        let items = match pieces {
            Pieces::File(source) => return self.put_file(source, target, form, staged),
            Pieces::Folder(items) => items,
        };
        // Folders come before what they hold, and get their final mode after it.
        let mut folders = vec![target.to_owned()];
        let mut files = Vec::new();
        make_open_folder(target)?;
        for (name, item) in items {
            let path = target.join(name);
            match item {
                Part::Folder => {
                    make_open_folder(&path)?;
                    folders.push(path);
                }
                Part::Link(to) => symlink(to, &path).map_err(|e| FileError::at(&path, e))?,
                Part::File(source) => {
                    self.put_file(source, &path, PutForm { sync: false, ..form }, staged)?;
                    files.push(path);
                }
            }
        }
        let mode = if form.writable { 0o755 } else { 0o555 };
        for folder in folders.iter().rev() {
            fs::set_permissions(folder, Permissions::from_mode(mode))
                .map_err(|e| FileError::at(folder, e))?;
        }
        if form.sync {
            files.append(&mut folders);
            let sync = |path: &PathBuf| File::open(path).and_then(|file| file.sync_all());
            sync_each(&files, |path| sync(path).map_err(|e| FileError::at(path, e)))?;
        }
        Ok(())
    }

    pub(super) fn put_file(
        &self,
        source: &FileSource,
        target: &Path,
        form: PutForm,
        staged: &mut Staged,
    ) -> Result<(), FileError> {
        match form.large {
            LargeFiles::Shared(folder) if form.staging != Staging::Copy && source.size > LARGE => {
                return self.put_shared(source, folder, target, staged);
            }
            LargeFiles::Shared(_) => {}
            _ if form.staging == Staging::Link && source.may_link() => {
                return self.symlink(source, target, staged);
            }
            _ => {}
        }
        let mode = match (form.writable, source.executable) {
            (false, false) => 0o444,
            (false, true) => 0o555,
            (true, false) => 0o644,
            (true, true) => 0o755,
        };
        let (mut from, _) = self.open_source(&source.place)?;
        let large = source.size > LARGE;
        let cloned = large && reflink_copy::reflink_file_to_path(&from, target).is_ok();
        if large && !cloned && form.staging == Staging::Auto && source.may_link() {
            match form.large {
                LargeFiles::View(_) => {
                    if let Some(view) = &mut staged.view
                        && self.put_stub(source, target, mode, view)?
                    {
                        return Ok(());
                    }
                }
                LargeFiles::HardLink => return self.hard_link(source, target, staged),
                LargeFiles::Symlink => return self.symlink(source, target, staged),
                LargeFiles::Copy | LargeFiles::Shared(_) => {}
            }
        }
        let mut copy = || {
            let to = if cloned {
                File::open(target)?
            } else {
                let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(target)?;
                copy_bytes(&mut from, &mut to, source.size)?;
                to
            };
            to.set_permissions(Permissions::from_mode(mode))?;
            if form.sync { to.sync_all() } else { Ok(()) }
        };
        copy().map_err(|e| FileError::at(target, e))
    }

    /// The path of a file's content, which stays: a blob gets its final name.
    pub(super) fn lasting_path(&self, place: &Place) -> Result<PathBuf, FileError> {
        match place {
            Place::Origin(path) => Ok(path.clone()),
            Place::Blob(digest) => {
                if let Some(temp) = self.pending.get(digest) {
                    let path = temp.path().to_owned();
                    self.commit(&[PendingBlob(Blob::Temp(temp))])
                        .map_err(|error| FileError::Io { path, error })?;
                }
                Ok(self.blob_path(digest))
            }
        }
    }

    fn symlink(&self, source: &FileSource, target: &Path, staged: &mut Staged) -> Result<(), FileError> {
        let path = self.lasting_path(&source.place)?;
        let now = now_ns();
        let (_, stat) = self.open_source(&source.place)?;
        symlink(&path, target).map_err(|e| FileError::at(target, e))?;
        staged.has_symlink = true;
        staged.guards.push(Guard {
            path,
            blob: source.place.blob(),
            young: stat.young(now),
            stat,
            is_copy: false,
        });
        Ok(())
    }

    /// A hard link where that is possible and the file is the store's own. It gives the blob another ctime, so that
    /// its content is looked at when it is needed next.
    fn hard_link(&self, source: &FileSource, target: &Path, staged: &mut Staged) -> Result<(), FileError> {
        let Some(digest) = source.place.blob() else { return self.symlink(source, target, staged) };
        let path = self.lasting_path(&source.place)?;
        if fs::hard_link(&path, target).is_err() {
            return self.symlink(source, target, staged);
        }
        let (_, stat) = stat::open(target)?;
        staged.guards.push(Guard { path, blob: Some(digest), young: true, stat, is_copy: false });
        Ok(())
    }

    /// Opens a file's content, wherever it is just now.
    pub(super) fn open_source(&self, place: &Place) -> Result<(File, FileStat), FileError> {
        let digest = match place {
            Place::Origin(path) => return stat::open(path),
            Place::Blob(digest) => digest,
        };
        let path = self.blob_path(digest);
        let opened = match stat::open_own(&self.locate(digest)) {
            // It may have got its final name a moment ago.
            Err(FileError::Missing(_)) => stat::open_own(&path),
            opened => opened,
        };
        opened.map_err(|error| match error {
            FileError::Missing(_) => Damage { digest: *digest, path, wrong: Wrong::Missing }.into(),
            error => error,
        })
    }
}

impl fmt::Display for Spoiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.blob {
            Some(_) => {
                write!(f, "the stored file {:?} was changed through a link; it is set aside", self.path)
            }
            None => write!(f, "{:?} was changed through a link", self.path),
        }
    }
}

/// Copies all that is left in `from`, about `size` bytes.
fn copy_bytes(from: &mut File, to: &mut File, size: u64) -> io::Result<()> {
    if size > SMALL {
        // Inside the kernel where it can, which also shares blocks where the file system can.
        return io::copy(from, to).map(drop);
    }
    let mut bytes = Vec::with_capacity(size as usize + 1);
    // Behind `take` the file is not asked for its size again.
    from.take(u64::MAX).read_to_end(&mut bytes)?;
    to.write_all(&bytes)
}

#[cfg(test)]
mod tests;
