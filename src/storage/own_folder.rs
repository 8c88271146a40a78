//! Folders of the home: opened without following a link, checked, and only then used.
//!
//! A folder that is a link, belongs to another user or may be written to by others is refused by name: what is removed or
//! written below it would belong to another user. The home itself may be a link. Knows nothing of what the folders hold.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, flock, openat, statat, unlinkat};
use rustix::io::Errno;

use super::own_file::refused;
use super::removal::remove_below;

/// The folders that a home may have. Others come and go below them.
const ALL: [&str; 13] = [
    "store",
    "store/blobs",
    "store/tmp",
    "store/damaged",
    "store/generations",
    "logs",
    "outputs",
    "scratch",
    "kept",
    "work.holders",
    "serve",
    "python",
    "python/described",
];
/// Permission bits of others that a folder may not have: they could put things into it.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Opens a folder of the home.
///
/// # Errors
/// It is not there, or a sentence that names what is wrong with it.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let folder = match openat(CWD, path, flags, Mode::empty()) {
        Err(Errno::LOOP | Errno::NOTDIR) => {
            let is_link = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|found| rustix::fs::FileType::from_raw_mode(found.st_mode).is_symlink());
            return Err(refused(path, if is_link { "a symbolic link" } else { "no folder" }));
        }
        opened => File::from(opened?),
    };
    let found = folder.metadata()?;
    let me = rustix::process::geteuid().as_raw();
    if found.uid() != me {
        return Err(refused(path, &format!("a folder of another user (id {})", found.uid())));
    }
    if found.mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(refused(
            path,
            &format!("a folder that others may write to (mode {:o})", found.mode() & 0o7777),
        ));
    }
    Ok(folder)
}

/// Makes a folder for its owner alone, and those above it, unless it is there; opens it.
///
/// # Errors
/// As [`open`].
pub fn make(path: &Path) -> io::Result<File> {
    match open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(path)?;
            open(path)
        }
        opened => opened,
    }
}

/// Checks each folder that a home has.
///
/// # Errors
/// A sentence that names the first that is not ours alone.
pub fn check_all(home: &Path) -> io::Result<()> {
    for name in ALL {
        match open(&home.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            checked => drop(checked?),
        }
    }
    Ok(())
}

/// Shares the lock of a folder until its descriptor is closed; waits for who has it alone. Without locks on this file system
/// nothing is locked.
pub fn share(folder: &File) {
    while flock(folder, FlockOperation::LockShared) == Err(Errno::INTR) {}
}

/// Takes the lock of a folder alone, until its descriptor is closed. False if others have it.
#[must_use]
pub fn exclude(folder: &File) -> bool {
    flock(folder, FlockOperation::NonBlockingLockExclusive) != Err(Errno::WOULDBLOCK)
}

/// Removes a file below an open folder; it is no error if it is gone.
///
/// # Errors
/// It cannot be removed.
pub fn remove_file(folder: &File, name: &str) -> io::Result<()> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        removed => Ok(removed?),
    }
}

/// Removes whatever is at `path`, in a folder of the home that is checked as by [`open`]; links are removed, never followed.
/// It is no error if nothing is there.
///
/// # Errors
/// The folder around it does not belong to the home, or something cannot be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    match open(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        folder => remove_below(&folder?, name),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn each_folder_must_be_ours_alone() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::create_dir(&victim).unwrap();
        for name in ALL {
            let home = dir.path().join(name.replace('/', "-"));
            make(&home.join(name)).unwrap();
            check_all(&home).unwrap();
            fs::set_permissions(home.join(name), fs::Permissions::from_mode(0o770)).unwrap();
            let error = check_all(&home).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("770"), "{error}");
            fs::remove_dir(home.join(name)).unwrap();
            symlink(&victim, home.join(name)).unwrap();
            let error = check_all(&home).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("symbolic link"), "{error}");
            fs::remove_file(home.join(name)).unwrap();
            fs::write(home.join(name), "").unwrap();
            let error = check_all(&home).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("no folder"), "{error}");
        }
    }

    #[test]
    fn nothing_is_removed_behind_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir_all(path("victim/run")).unwrap();
        fs::write(path("victim/run/f"), "kept").unwrap();
        fs::create_dir_all(path("home/scratch/run/locked")).unwrap();
        fs::write(path("home/scratch/run/locked/f"), "").unwrap();
        fs::set_permissions(path("home/scratch/run/locked"), fs::Permissions::from_mode(0o000)).unwrap();
        symlink(path("victim"), path("home/scratch/run/link")).unwrap();
        remove(&path("home/scratch/run")).unwrap();
        assert!(!path("home/scratch/run").exists());
        // The folder itself was replaced since it was checked.
        fs::remove_dir(path("home/scratch")).unwrap();
        symlink(path("victim"), path("home/scratch")).unwrap();
        let error = remove(&path("home/scratch/run")).unwrap_err().to_string();
        assert!(error.contains("symbolic link"), "{error}");
        assert_eq!(fs::read_to_string(path("victim/run/f")).unwrap(), "kept");
        remove(&path("home/nothing/run")).unwrap();
    }

    #[test]
    fn a_missing_folder_is_made_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        assert_eq!(open(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(make(&path).unwrap().metadata().unwrap().mode() & 0o777, 0o700);
        make(&path).unwrap();
    }
}
