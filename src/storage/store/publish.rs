//! Writable copies at a user's own path: all of the new content or all of the old, at any instant.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf, absolute};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use tempfile::TempDir;

use super::Store;
use super::error::FileError;
use super::stage::Form;
use super::temp::remove_tree;
use crate::core::staging::Staging;
use crate::core::value::Artifact;

impl Store {
    /// Puts a writable copy of an artifact at `target`, making the folders above it. What stands there and has
    /// the same content is left alone; anything else of the same kind is replaced in one step.
    pub fn publish(&self, artifact: &Artifact, is_dir: bool, target: &Path) -> Result<(), FileError> {
        let target = &absolute(target).map_err(|e| FileError::at(target, e))?;
        let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(FileError::Nameless(target.to_owned()));
        };
        let old = fs::symlink_metadata(target).ok();
        match &old {
            Some(old) if old.is_dir() && !is_dir => return Err(FileError::IsDirectory(target.to_owned())),
            Some(old) if old.is_file() && is_dir => return Err(FileError::NotDirectory(target.to_owned())),
            Some(_) if self.stands_at(artifact, is_dir, target) => return Ok(()),
            _ => {}
        }
        fs::create_dir_all(parent).map_err(|e| FileError::at(parent, e))?;
        let form = Form { staging: Staging::Copy, writable: true, sync: true };
        let mut place = self.place_near(parent, name)?;
        loop {
            let new = place.path().join("new");
            self.put(artifact, is_dir, &new, form)?;
            match swap_in(&new, target, is_dir && old.is_some()) {
                // One file system that is mounted twice.
                Err(e)
                    if e.kind() == io::ErrorKind::CrossesDevices && place.path().parent() != Some(parent) =>
                {
                    place = beside(parent, name)?;
                }
                done => break done.map_err(|e| FileError::at(target, e))?,
            }
        }
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(|e| FileError::at(parent, e))?;
        // The old directory is in there, and may have read-only folders.
        let left = place.keep();
        remove_tree(&left).map_err(|error| FileError::Io { path: left, error })
    }

    fn stands_at(&self, artifact: &Artifact, is_dir: bool, target: &Path) -> bool {
        self.fingerprint(target, is_dir).is_ok_and(|(found, _)| {
            found.digest == artifact.digest && found.executable == artifact.executable
        })
    }

    /// A folder from which a rename can reach `parent`: among the store's temporaries, where a crash leaves
    /// nothing that is not swept, if that is one file system; else beside the target.
    fn place_near(&self, parent: &Path, name: &OsStr) -> Result<TempDir, FileError> {
        let store = self
            .lease()
            .and_then(|lease| lease.fresh_folder())
            .map_err(|e| FileError::at(&self.folder, e))?;
        let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
        if device(store.path()) == device(parent) { Ok(store) } else { beside(parent, name) }
    }
}

/// A hidden folder in `parent`.
fn beside(parent: &Path, name: &OsStr) -> Result<TempDir, FileError> {
    let prefix = [OsStr::new("."), name, OsStr::new(".")].join(OsStr::new(""));
    tempfile::Builder::new().prefix(&prefix).tempdir_in(parent).map_err(|e| FileError::at(parent, e))
}

/// Gives `new` the name `target`. A directory that stands there changes places with it.
fn swap_in(new: &Path, target: &Path, exchange: bool) -> io::Result<()> {
    if !exchange {
        return fs::rename(new, target);
    }
    match renameat_with(CWD, new, CWD, target, RenameFlags::EXCHANGE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
            move_aside(new, target)
        }
        done => Ok(done?),
    }
}

/// The same in two steps, for file systems that cannot exchange.
fn move_aside(new: &Path, target: &Path) -> io::Result<()> {
    let aside: PathBuf = new.with_file_name("old");
    fs::rename(target, &aside)?;
    fs::rename(new, target).inspect_err(|_| {
        // Nothing better can be done if this fails as well.
        let _ = fs::rename(&aside, target);
    })
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::super::testing::{Place, place};
    use super::*;

    fn publish(p: &Place, artifact: &Artifact, is_dir: bool) -> PathBuf {
        let target = p.dir.path().join("user/results/report");
        p.store.publish(artifact, is_dir, &target).unwrap();
        let beside = fs::read_dir(target.parent().unwrap()).unwrap().count();
        assert_eq!(beside, 1, "nothing is left beside it");
        target
    }

    #[test]
    fn a_file_is_put_left_alone_and_put_again() {
        let p = place();
        fs::set_permissions(p.write("attempt/f", "content"), Permissions::from_mode(0o755)).unwrap();
        let artifact = p.keep("attempt/f", false);
        let target = publish(&p, &artifact, false);
        let first = fs::metadata(&target).unwrap();
        assert_eq!(
            (fs::read_to_string(&target).unwrap().as_str(), first.mode() & 0o7777),
            ("content", 0o755)
        );
        publish(&p, &artifact, false);
        assert_eq!(fs::metadata(&target).unwrap().ino(), first.ino(), "left alone");
        for harm in ["edit", "remove", "mode"] {
            match harm {
                "edit" => fs::write(&target, "CONTENT").unwrap(),
                "remove" => fs::remove_file(&target).unwrap(),
                _ => fs::set_permissions(&target, Permissions::from_mode(0o644)).unwrap(),
            }
            publish(&p, &artifact, false);
            assert_eq!(fs::read_to_string(&target).unwrap(), "content", "{harm}");
            assert_eq!(fs::metadata(&target).unwrap().mode() & 0o777, 0o755, "{harm}");
        }
        fs::write(&target, "a user's edit").unwrap();
        p.store.verify(&artifact, false).unwrap();
    }

    #[test]
    fn a_directory_changes_places_with_the_old_one() {
        let p = place();
        p.write("attempt/d/s/f", "one");
        fs::create_dir(p.path("attempt/d/empty")).unwrap();
        symlink("s/f", p.path("attempt/d/l")).unwrap();
        let one = p.keep("attempt/d", true);
        let target = publish(&p, &one, true);
        assert_eq!(p.store.fingerprint(&target, true).unwrap().0.digest, one.digest);
        assert_eq!(fs::metadata(target.join("s")).unwrap().mode() & 0o7777, 0o755);
        let first = fs::metadata(&target).unwrap().ino();
        publish(&p, &one, true);
        assert_eq!(fs::metadata(&target).unwrap().ino(), first, "left alone");
        p.write("attempt/e/f", "two");
        let two = p.keep("attempt/e", true);
        fs::set_permissions(target.join("s"), Permissions::from_mode(0o555)).unwrap();
        publish(&p, &two, true);
        assert_eq!(p.store.fingerprint(&target, true).unwrap().0.digest, two.digest);
        let lease = p.store.lease().unwrap().fresh_folder().unwrap();
        assert_eq!(fs::read_dir(lease.path().parent().unwrap()).unwrap().count(), 1, "the old one is gone");
    }

    #[test]
    fn without_an_exchange_the_old_one_is_moved_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["new", "target"] {
            fs::create_dir(path(name)).unwrap();
            fs::write(path(name).join(name), "").unwrap();
        }
        move_aside(&path("new"), &path("target")).unwrap();
        assert!(path("target/new").exists() && path("old/target").exists());
        assert!(move_aside(&path("gone"), &path("target")).is_err());
        assert!(path("target/new").exists(), "put back");
    }

    #[test]
    fn another_kind_of_thing_is_not_replaced() {
        let p = place();
        p.write("attempt/f", "f");
        p.write("attempt/d/f", "f");
        let (file, dir) = (p.keep("attempt/f", false), p.keep("attempt/d", true));
        let own_file = p.write("user/file", "mine");
        let own = p.write("user/dir/mine", "mine");
        assert!(matches!(p.store.publish(&dir, true, &own_file), Err(FileError::NotDirectory(_))));
        assert!(matches!(p.store.publish(&file, false, &p.path("user/dir")), Err(FileError::IsDirectory(_))));
        assert!(matches!(p.store.publish(&file, false, &own_file.join("x")), Err(FileError::Io { .. })));
        assert!(own.exists());
        let link = p.path("user/link");
        symlink("dir", &link).unwrap();
        p.store.publish(&file, false, &link).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_file() && own.exists());
    }

    #[test]
    fn a_users_own_file_can_be_published_too() {
        let p = place();
        let (artifact, _) = p.store.fingerprint(&p.write("user/f", "own"), false).unwrap();
        assert_eq!(fs::read_to_string(publish(&p, &artifact, false)).unwrap(), "own");
    }
}
