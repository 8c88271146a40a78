//! A process that may claim instants: a lock in the home that lives as long as the process does, and the file that wakes
//! daemons. Not in `scratch/`: a daemon that runs nothing keeps no collection waiting.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::core::run_id::RunId;
use crate::storage::home::Home;
use crate::storage::own_file::{self, Access};
use crate::storage::own_folder;

/// The folder of the locks, inside the home folder.
const FOLDER: &str = "serve";
/// The file that daemons watch, inside that folder.
const WAKE: &str = "wake";

/// A process that may claim instants.
pub struct Claimant {
    pub id: RunId,
    path: PathBuf,
    _lock: File,
}

impl Claimant {
    /// Takes a lock under a new id, and removes those of dead processes.
    ///
    /// # Errors
    /// The lock cannot be made.
    pub fn new(home: &Home) -> io::Result<Self> {
        let folder = home.path().join(FOLDER);
        own_folder::make(&folder)?;
        sweep(&folder);
        let id = RunId::make();
        let path = folder.join(id.as_str());
        loop {
            // Until it is locked another process may take it for a dead one's, and remove it.
            let lock = own_file::open(&path, Access::Keep)?;
            lock.lock()?;
            if fs::metadata(&path)
                .is_ok_and(|found| lock.metadata().is_ok_and(|own| own.ino() == found.ino()))
            {
                return Ok(Self { id, path, _lock: lock });
            }
        }
    }
}

impl Drop for Claimant {
    fn drop(&mut self) {
        // What stays is swept by the next one.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether the process of a claimant lives.
pub fn is_alive(home: &Home, id: RunId) -> bool {
    match own_file::open(&home.path().join(FOLDER).join(id.as_str()), Access::Read) {
        // Shared: two that ask at once do not take each other for the claimant.
        Ok(file) => !matches!(file.try_lock_shared(), Ok(())),
        // What cannot be asked may live: only a lock that is not there has no holder.
        Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
    }
}

/// Makes every daemon of the home look at what is asked of it.
pub fn wake(home: &Home) {
    // Without daemons there is no folder, and none to wake.
    let file = own_file::open(&home.path().join(FOLDER).join(WAKE), Access::Replace);
    let _ = file.and_then(|mut file| file.write_all(b"."));
}

/// The file that [`wake`] writes; its folder is there once a claimant is.
pub fn wake_file(home: &Home) -> PathBuf {
    home.path().join(FOLDER).join(WAKE)
}

/// Removes the locks of dead processes.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| RunId::parse(name).is_ok())
            && let Ok(lock) = own_file::open(&entry.path(), Access::Keep)
            && lock.try_lock().is_ok()
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimant_lives_as_long_as_it_is_held_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(dir.path())).unwrap();
        let first = Claimant::new(&home).unwrap();
        let second = Claimant::new(&home).unwrap();
        assert!(is_alive(&home, first.id) && is_alive(&home, second.id));
        let id = first.id;
        drop(first);
        assert!(!is_alive(&home, id) && is_alive(&home, second.id));
        // One that was killed leaves its file.
        let dead = RunId::make();
        fs::write(dir.path().join(FOLDER).join(dead.as_str()), "").unwrap();
        assert!(!is_alive(&home, dead));
        wake(&home);
        drop(Claimant::new(&home).unwrap());
        drop(second);
        let left: Vec<_> = fs::read_dir(dir.path().join(FOLDER)).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!(left[0].path(), wake_file(&home));
    }
}
