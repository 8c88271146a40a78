//! Copies of large files in a folder that other machines see: made once, and linked to by all that use them.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::Store;
use super::error::FileError;
use super::pieces::{FileSource, Guard, Place, Staged};
use super::stat::{self, now_ns};
use crate::core::digest::Digest;
use crate::core::lock::lock;
use crate::storage::home::make_private;

/// What a copy is called until it is whole, and what one is called that is about to be removed.
const NEW: &str = "new.";
const GONE: &str = "gone.";

impl Store {
    /// Puts a link to a copy of a file, which is made in `folder` unless it is there.
    pub(super) fn put_shared(
        &self,
        source: &FileSource,
        folder: &Path,
        target: &Path,
        staged: &mut Staged,
    ) -> Result<(), FileError> {
        let (from, stat) = self.open_source(&source.place)?;
        let digest = match &source.place {
            Place::Blob(digest) => *digest,
            // A file of the user's is another one when it looks different.
            Place::Origin(path) => Digest::of(format!("{} {stat:?}", path.display())),
        };
        let mark = if source.executable { "x" } else { "" };
        let path = folder.join(format!("{}{mark}", digest.hex()));
        let is_there = || fs::metadata(&path).is_ok_and(|found| found.len() == source.size);
        if !is_there() {
            // One after the other: many attempts want the same file at once.
            static BRINGS: Mutex<()> = Mutex::new(());
            let _one = lock(&BRINGS);
            if !is_there() {
                bring(&from, source.executable, folder, &path)
                    .map_err(|error| FileError::at(&path, error))?;
            }
        }
        let now = now_ns();
        let (_, stat) = stat::open(&path)?;
        symlink(&path, target).map_err(|error| FileError::at(target, error))?;
        staged.has_symlink = true;
        staged.guards.push(Guard { path, blob: None, young: stat.young(now), stat, is_copy: true });
        Ok(())
    }
}

/// Makes a copy, which nobody sees before it is whole.
fn bring(mut from: &File, executable: bool, folder: &Path, path: &Path) -> io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    make_private(folder)?;
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let new = folder.join(format!("{NEW}{}.{number}", std::process::id()));
    let mut copied = || {
        let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        io::copy(&mut from, &mut to)?;
        to.set_permissions(Permissions::from_mode(if executable { 0o555 } else { 0o444 }))?;
        // Another runner may have been faster: what is linked to stays.
        match renameat_with(CWD, &new, CWD, path, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) if fs::metadata(path)?.len() == to.metadata()?.len() => fs::remove_file(&new),
            Ok(()) => Ok(()),
            // It is not whole, or the file system knows no such call.
            Err(_) => fs::rename(&new, path),
        }
    };
    let done = copied();
    if done.is_err() {
        let _ = fs::remove_file(&new);
    }
    done
}

/// Removes the copies in `folder` if nobody has a folder in `users`, which is where those who use them have theirs.
pub fn collect_shared(folder: &Path, users: &Path) {
    let is_free = || fs::read_dir(users).is_ok_and(|mut entries| entries.next().is_none());
    let Ok(entries) = fs::read_dir(folder) else { return };
    if !is_free() {
        return;
    }
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let gone = folder.join(format!("{GONE}{name}"));
        if name.starts_with(GONE) {
            let _ = fs::remove_file(path);
        } else if fs::rename(&path, &gone).is_ok() {
            // Somebody may have come meanwhile, and have linked to it.
            let _ = if is_free() { fs::remove_file(gone) } else { fs::rename(gone, path) };
        }
    }
    let _ = fs::remove_dir(folder);
}
