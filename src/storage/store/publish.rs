//! Writable copies at a user's own path: what an artifact puts there, entry by entry, and how one entry is placed: all of
//! the new content or all of the old, at any instant. Whether an entry may be replaced is decided in `storage::publish`.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use tempfile::TempDir;

use super::error::FileError;
use super::manifest::EntryContent;
use super::pieces::{FileSource, LargeFiles, Part, Place, PutForm, Staged};
use super::{Store, remove_tree};
use crate::core::staging::Staging;
use crate::core::value::Artifact;

/// One entry of what an artifact puts somewhere.
pub struct PublishEntry {
    /// Below the artifact's own place, parts joined by `/`; empty for that place itself.
    pub name: String,
    pub content: EntryContent,
    source: Option<FileSource>,
}

impl PublishEntry {
    /// A folder by itself.
    pub fn folder() -> Self {
        Self { name: String::new(), content: EntryContent::Folder, source: None }
    }
}

/// Copies that last: a crash of the system leaves them whole.
const FORM: PutForm = PutForm { staging: Staging::Copy, large: LargeFiles::Copy, writable: true, sync: true };

impl Store {
    /// What an artifact puts at a place, folders before what they hold.
    ///
    /// # Errors
    /// The manifest of the directory is missing or damaged.
    pub fn publish_entries(&self, artifact: &Artifact, is_dir: bool) -> Result<Vec<PublishEntry>, FileError> {
        if !is_dir {
            let place = match &artifact.origin {
                Some(origin) => Place::Origin(origin.to_path_buf()),
                None => Place::Blob(artifact.digest),
            };
            let (digest, executable) = (artifact.digest, artifact.executable);
            return Ok(vec![PublishEntry {
                name: String::new(),
                content: EntryContent::File { digest, executable },
                source: Some(FileSource { place, size: artifact.size, executable }),
            }]);
        }
        let mut entries = vec![PublishEntry::folder()];
        for (name, part) in self.items(artifact)? {
            let (content, source) = match part {
                Part::Folder => (EntryContent::Folder, None),
                Part::Link(target) => (EntryContent::Link(target), None),
                Part::File(source) => {
                    let digest = match &source.place {
                        Place::Blob(digest) => *digest,
                        Place::Origin(path) => self.fingerprint(path, false)?.0.digest,
                    };
                    (EntryContent::File { digest, executable: source.executable }, Some(source))
                }
            };
            entries.push(PublishEntry { name, content, source });
        }
        Ok(entries)
    }

    /// Puts an entry at `target`, whose folder exists; with `replace` in place of the file or link that stands there.
    ///
    /// # Errors
    /// The content is missing or damaged, or the target cannot be written.
    pub fn place(&self, entry: &PublishEntry, target: &Path, replace: bool) -> Result<(), FileError> {
        let fail = |e| FileError::at(target, e);
        match (&entry.content, &entry.source) {
            (EntryContent::Folder, _) => {
                if replace {
                    fs::remove_file(target).map_err(fail)?;
                }
                fs::create_dir(target).map_err(fail)?;
                fs::set_permissions(target, Permissions::from_mode(0o755)).map_err(fail)
            }
            (EntryContent::Link(to), _) => {
                self.place_new(target, replace, |new| symlink(to, new).map_err(|e| FileError::at(new, e)))
            }
            (EntryContent::File { .. }, Some(source)) => self
                .place_new(target, replace, |new| self.put_file(source, new, FORM, &mut Staged::default())),
            // A file has a source wherever it is made.
            (EntryContent::File { .. }, None) => Err(FileError::Missing(target.to_owned())),
        }
    }

    /// Puts a whole directory at `target`, where nothing is, in one step.
    ///
    /// # Errors
    /// The content is missing or damaged, or the target exists or cannot be written.
    pub fn place_folder(&self, artifact: &Artifact, target: &Path) -> Result<(), FileError> {
        self.place_new(target, false, |new| self.put(artifact, true, new, FORM))
    }

    /// Makes something under another name on the same file system, and gives it the name `target`.
    fn place_new(
        &self,
        target: &Path,
        replace: bool,
        make: impl Fn(&Path) -> Result<(), FileError>,
    ) -> Result<(), FileError> {
        let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(FileError::Nameless(target.to_owned()));
        };
        let mut place = self.place_near(parent, name)?;
        loop {
            let new = place.path().join("new");
            make(&new)?;
            match rename(&new, target, replace) {
                // One file system that is mounted twice.
                Err(e)
                    if e.kind() == io::ErrorKind::CrossesDevices && place.path().parent() != Some(parent) =>
                {
                    let left = place.keep();
                    remove_tree(&left).map_err(|error| FileError::Io { path: left, error })?;
                    place = beside(parent, name)?;
                }
                done => return done.map_err(|e| FileError::at(target, e)),
            }
        }
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

/// Brings the names in a folder to the disk.
///
/// # Errors
/// The folder cannot be opened or synced.
pub fn sync_folder(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(|e| FileError::at(path, e))
}

/// A hidden folder in `parent`.
fn beside(parent: &Path, name: &OsStr) -> Result<TempDir, FileError> {
    let prefix = [OsStr::new("."), name, OsStr::new(".")].join(OsStr::new(""));
    tempfile::Builder::new().prefix(&prefix).tempdir_in(parent).map_err(|e| FileError::at(parent, e))
}

/// Gives `new` the name `target`. Without `replace`, nothing that came there meanwhile is replaced, where the file system
/// can say so.
fn rename(new: &Path, target: &Path, replace: bool) -> io::Result<()> {
    if replace {
        return fs::rename(new, target);
    }
    match renameat_with(CWD, new, CWD, target, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => fs::rename(new, target),
        done => Ok(done?),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::place;
    use super::*;

    #[test]
    fn entries_are_placed_one_by_one_and_replaced_only_if_told_so() {
        let p = place();
        p.write("attempt/d/s/f", "one");
        symlink("s/f", p.path("attempt/d/l")).unwrap();
        fs::set_permissions(p.path("attempt/d/s/f"), Permissions::from_mode(0o755)).unwrap();
        let artifact = p.keep("attempt/d", true);
        let entries = p.store.publish_entries(&artifact, true).unwrap();
        assert_eq!(entries.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), ["", "l", "s", "s/f"]);
        let target = p.path("user/results");
        for replace in [false, true] {
            for entry in &entries {
                let at = if entry.name.is_empty() { target.clone() } else { target.join(&entry.name) };
                let done = p.store.place(entry, &at, replace && entry.content != EntryContent::Folder);
                assert_eq!(done.is_ok(), !replace || entry.content != EntryContent::Folder, "{}", entry.name);
            }
        }
        assert_eq!(p.store.fingerprint(&target, true).unwrap().0.digest, artifact.digest);
        assert_eq!(fs::metadata(target.join("s/f")).unwrap().mode() & 0o7777, 0o755);
        fs::write(target.join("s/f"), "a user's edit").unwrap();
        assert!(p.store.place(&entries[3], &target.join("s/f"), false).is_err(), "in the way");
        assert_eq!(fs::read_to_string(target.join("s/f")).unwrap(), "a user's edit");
        p.store.verify(&artifact, true).unwrap();
        let left = p.store.lease().unwrap().fresh_folder().unwrap();
        assert_eq!(fs::read_dir(left.path().parent().unwrap()).unwrap().count(), 1, "nothing is left");
    }

    #[test]
    fn a_whole_folder_appears_at_once_and_replaces_nothing() {
        let p = place();
        p.write("attempt/d/s/f", "one");
        let artifact = p.keep("attempt/d", true);
        let target = p.path("user/results");
        p.store.place_folder(&artifact, &target).unwrap();
        assert_eq!(p.store.fingerprint(&target, true).unwrap().0.digest, artifact.digest);
        assert!(p.store.place_folder(&artifact, &target).is_err());
        assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_users_own_file_and_folder_can_be_published_too() {
        let p = place();
        let (file, _) = p.store.fingerprint(&p.write("user/d/f", "own"), false).unwrap();
        let (dir, _) = p.store.fingerprint(&p.path("user/d"), true).unwrap();
        let entries = p.store.publish_entries(&file, false).unwrap();
        p.store.place(&entries[0], &p.path("user/copy"), false).unwrap();
        assert_eq!(fs::read_to_string(p.path("user/copy")).unwrap(), "own");
        let names = p.store.publish_entries(&dir, true).unwrap();
        assert_eq!(names[1].content, EntryContent::File { digest: file.digest, executable: false });
    }
}
