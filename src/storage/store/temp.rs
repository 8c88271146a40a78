//! Temporaries of the store: who owns them, how sealed content is found before it has its final name, and
//! what becomes of those that a dead process left.
//!
//! Each process that writes has a folder of its own below `tmp/` and holds an OS lock on it, which dies with
//! the process: a folder that can be locked has no owner any more.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use tempfile::TempDir;

use super::stat::Seen;
use crate::core::digest::Digest;
use crate::core::lock::lock;
use crate::storage::own_folder;

/// The locked folder of this process.
pub(super) struct TempFolder {
    folder: TempDir,
    next: AtomicU64,
    /// Locked as long as it is open.
    _lock: File,
}

/// Sealed content without a final name, by digest. Each lives as long as a [`PendingBlob`] of it.
#[derive(Default)]
pub(super) struct Pending(Mutex<HashMap<Digest, Weak<Temp>>>);

/// Content in a temporary file, which goes with it unless it was given its final name.
pub(super) struct Temp {
    pub digest: Digest,
    /// Changed only by the thread that commits; never locked for long.
    state: Mutex<TempState>,
    path: PathBuf,
    pending: Arc<Pending>,
    /// Keeps the folder that the file lies in.
    _folder: Arc<TempFolder>,
}

/// How far sealed content has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum TempState {
    Waiting,
    /// It could not be written to the disk, and asking again may wrongly succeed.
    Lost,
    /// It has its final name, and its folder may not be on the disk yet.
    Named,
    Durable,
}

/// A blob that a row may name once it is committed. Dropping one that was not removes its temporary.
pub struct PendingBlob(pub(super) Blob);

pub(super) enum Blob {
    Temp(Arc<Temp>),
    /// The store has it already, perhaps from another process that has not made its name durable yet.
    Held(Seen),
}

impl TempFolder {
    /// Makes and locks a new folder below `tmp`.
    ///
    /// # Errors
    /// The folder cannot be made or locked.
    pub fn take(tmp: &Path) -> io::Result<Self> {
        let prefix = format!("{}-", std::process::id());
        loop {
            // Until the new folder is locked, no process sweeps.
            let no_sweep = own_folder::make(tmp)?;
            own_folder::share(&no_sweep);
            let folder = match tempfile::Builder::new().prefix(&prefix).tempdir_in(tmp) {
                // Another process swept it, or the folder around it, before it was even looked at.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                made => made?,
            };
            // A sweeper that saw it before the lock holds the lock itself, or has removed it already.
            let lock = match own_folder::open(folder.path()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened?,
            };
            match lock.try_lock() {
                Ok(()) if fs::metadata(folder.path()).is_ok() => {
                    return Ok(Self { folder, next: AtomicU64::new(0), _lock: lock });
                }
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(e)) => return Err(e),
            }
        }
    }

    /// A path in the folder that nothing has yet.
    pub fn fresh_path(&self) -> PathBuf {
        self.folder.path().join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// A new folder in the folder; what is left of it when it is dropped goes.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn fresh_folder(&self) -> io::Result<TempDir> {
        tempfile::tempdir_in(self.folder.path())
    }
}

impl Pending {
    /// The temporary that holds that content.
    pub fn get(&self, digest: &Digest) -> Option<Arc<Temp>> {
        lock(&self.0).get(digest).and_then(Weak::upgrade)
    }

    /// The temporary at `path`, of that content, as one that others can find; or another one that was faster.
    pub fn add(self: &Arc<Self>, digest: Digest, path: PathBuf, temp_folder: &Arc<TempFolder>) -> Arc<Temp> {
        let (pending, _folder) = (Arc::clone(self), Arc::clone(temp_folder));
        let ours = Arc::new(Temp { digest, state: Mutex::new(TempState::Waiting), path, pending, _folder });
        let mut all = lock(&self.0);
        let theirs = all.get(&digest).and_then(Weak::upgrade);
        let faster = theirs.as_ref().is_some_and(|theirs| !theirs.lost());
        if !faster {
            all.insert(digest, Arc::downgrade(&ours));
        }
        // Whichever is given up takes the same lock when it goes.
        drop(all);
        if faster { theirs.unwrap_or(ours) } else { ours }
    }

    /// The content is found under its final name from now on.
    pub fn remove(&self, digest: &Digest) {
        lock(&self.0).remove(digest);
    }
}

impl Temp {
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn state(&self) -> TempState {
        *lock(&self.state)
    }

    pub fn becomes(&self, state: TempState) {
        *lock(&self.state) = state;
    }

    /// Whether it can be read, but never committed.
    pub fn lost(&self) -> bool {
        self.state() == TempState::Lost
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let mut all = lock(&self.pending.0);
        // Another one of the same content may have come meanwhile.
        if all.get(&self.digest).is_some_and(|slot| slot.strong_count() == 0) {
            all.remove(&self.digest);
        }
        drop(all);
        if matches!(self.state(), TempState::Waiting | TempState::Lost) {
            // What cannot be removed now is swept later.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes from `tmp` what no living process holds.
pub(super) fn sweep(tmp: &Path) -> io::Result<()> {
    let folder = match own_folder::open(tmp) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        folder => folder?,
    };
    // Another process makes a folder just now, or sweeps.
    if !own_folder::exclude(&folder) {
        return Ok(());
    }
    let mut dead = Vec::new();
    for child in fs::read_dir(tmp)? {
        let child = child?;
        // Another process may sweep at the same time, or end and take its folder along.
        match child.file_type() {
            Ok(kind) if kind.is_dir() => {}
            Ok(_) => {
                dead.push((child.path(), None));
                continue;
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        }
        match own_folder::open(&child.path()) {
            // The lock is held until the folder is gone, so that no process takes it over.
            Ok(folder) if folder.try_lock().is_ok() => dead.push((child.path(), Some(folder))),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    // Removing may take long, and delays no other process any more.
    drop(folder);
    dead.iter().try_for_each(|(path, _lock)| own_folder::remove(path))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::super::testing::{place, reopen};
    use super::*;
    use crate::storage::removal::remove_tree;

    #[test]
    fn a_sweep_takes_what_dead_processes_left_and_nothing_else() {
        let p = place();
        p.write("attempt/out", "alive");
        let (artifact, blobs) = p.seal("attempt/out", false).unwrap();
        p.write("store/tmp/99-dead/0", "dead");
        p.write("store/tmp/stray", "dead");
        reopen(p.dir.path()).sweep().unwrap();
        p.store.sweep().unwrap();
        assert_eq!(fs::read_dir(p.path("store/tmp")).unwrap().count(), 1);
        assert_eq!(fs::read_to_string(p.store.locate(&artifact.digest)).unwrap(), "alive");
        drop(blobs);
        assert!(fs::metadata(p.store.locate(&artifact.digest)).is_err());
        let home = p.dir.path().to_owned();
        drop(p.store);
        assert_eq!(fs::read_dir(home.join("store/tmp")).unwrap().count(), 0);
    }

    /// Folders of temporaries come and go while others sweep: no writer fails, and no temporary in use is removed.
    #[test]
    fn sweeps_beside_new_folders_take_nothing_and_fail_nobody() {
        let p = place();
        let tmp = p.path("store/tmp/x").parent().unwrap().to_owned();
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let sweepers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        while !stop.load(Ordering::Relaxed) {
                            sweep(&tmp).unwrap();
                        }
                    })
                })
                .collect();
            let writers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..300 {
                            let temp_folder = TempFolder::take(&tmp).unwrap();
                            let path = temp_folder.fresh_path();
                            fs::write(&path, "x").unwrap();
                            std::thread::yield_now();
                            assert!(path.exists());
                        }
                    })
                })
                .collect();
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            stop.store(true, Ordering::Relaxed);
            sweepers.into_iter().for_each(|sweeper| sweeper.join().unwrap());
        });
    }

    #[test]
    fn no_sweep_comes_between_a_new_folder_and_its_lock() {
        let p = place();
        let tmp = p.path("store/tmp/new/file").parent().unwrap().parent().unwrap().to_owned();
        let making = own_folder::open(&tmp).unwrap();
        own_folder::share(&making);
        sweep(&tmp).unwrap();
        assert!(tmp.join("new").exists(), "it is about to be locked");
        drop(making);
        sweep(&tmp).unwrap();
        assert!(!tmp.join("new").exists());
    }

    #[test]
    fn a_sweep_without_a_store_is_fine() {
        let dir = tempfile::tempdir().unwrap();
        sweep(&dir.path().join("tmp")).unwrap();
    }

    #[test]
    fn trees_go_read_only_folders_and_all_but_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, kept) = (dir.path().join("tree"), dir.path().join("kept"));
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::create_dir(&kept).unwrap();
        fs::write(tree.join("a/b/f"), "").unwrap();
        fs::write(kept.join("f"), "").unwrap();
        symlink(&kept, tree.join("a/link")).unwrap();
        for (folder, mode) in [("a/b", 0o000), ("a", 0o555), ("", 0o555)] {
            fs::set_permissions(tree.join(folder), Permissions::from_mode(mode)).unwrap();
        }
        remove_tree(&tree).unwrap();
        assert!(!tree.exists() && kept.join("f").exists());
        remove_tree(&tree).unwrap();
        symlink(&kept, &tree).unwrap();
        remove_tree(&tree).unwrap();
        assert!(fs::symlink_metadata(&tree).is_err() && kept.join("f").exists());
    }
}
