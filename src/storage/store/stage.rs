//! Artifacts put where somebody reads them: read-only copies or links for tasks, and whether a task wrote
//! through a link to the original.
//!
//! Never by hard link: whoever runs as root could write through it into the store, unseen.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::Store;
use super::error::{Damage, FileError, Wrong};
use super::manifest::Item;
use super::scan::{Kind, Reach, scan};
use super::stat::{self, FileStat, now_ns};
use super::temp::{Blob, PendingBlob};
use crate::core::digest::Digest;
use crate::core::staging::Staging;
use crate::core::value::Artifact;

/// A link that a task could write through, and how the original looked before.
#[derive(Clone, Debug)]
pub struct Guard {
    path: PathBuf,
    blob: Option<Digest>,
    stat: FileStat,
    /// Whether the original was too young for its looks to be trusted.
    young: bool,
}

/// An original that was changed behind a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoiled {
    pub path: PathBuf,
    /// The blob that it was, which is in `damaged/` now; `None` for a user's own file.
    pub blob: Option<Digest>,
}

/// The form in which an artifact is put somewhere.
#[derive(Clone, Copy)]
pub(super) struct Form {
    pub staging: Staging,
    pub writable: bool,
    /// Whether all of it must be on the disk before the call returns.
    pub sync: bool,
}

/// Where a file's content is read.
pub(super) struct Source {
    pub place: Place,
    /// In bytes, when it was recorded.
    pub size: u64,
    pub executable: bool,
}

pub(super) enum Place {
    Blob(Digest),
    Origin(PathBuf),
}

/// Files over this many bytes are linked to rather than copied, if there is a choice.
const LARGE: u64 = 16 << 20;
/// Files up to this many bytes are copied through memory, which takes the fewest calls.
const SMALL: u64 = 64 << 10;

impl Store {
    /// Puts an artifact at exactly `target`, where nothing is yet, read-only: from the store, or from its origin.
    /// What is read from an origin is not compared with the digest. After the task is done the guards must
    /// be given to [`Store::check`].
    pub fn stage(
        &self,
        artifact: &Artifact,
        is_dir: bool,
        target: &Path,
        how: Staging,
    ) -> Result<Vec<Guard>, FileError> {
        self.put(artifact, is_dir, target, Form { staging: how, writable: false, sync: false })
    }

    /// Finds out which originals were changed behind their links. Spoiled blobs are set aside.
    pub fn check(&self, guards: &[Guard]) -> Vec<Spoiled> {
        let changed = |guard: &&Guard| {
            let now = fs::metadata(&guard.path).map(|metadata| FileStat::of(&metadata));
            let untouched = now.is_ok_and(|now| now == guard.stat);
            match &guard.blob {
                None => !untouched,
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
        form: Form,
    ) -> Result<Vec<Guard>, FileError> {
        let mut guards = Vec::new();
        if is_dir {
            self.put_folder(artifact, target, form, &mut guards)?;
        } else {
            let place = match &artifact.origin {
                Some(origin) => Place::Origin(origin.to_path_buf()),
                None => Place::Blob(artifact.digest),
            };
            let source = Source { place, size: artifact.size, executable: artifact.executable };
            guards.extend(self.put_file(&source, target, form)?);
        }
        Ok(guards)
    }

    fn put_folder(
        &self,
        artifact: &Artifact,
        target: &Path,
        form: Form,
        guards: &mut Vec<Guard>,
    ) -> Result<(), FileError> {
        // Folders come before what they hold, and get their final mode after it.
        let mut folders = vec![target.to_owned()];
        make_open_folder(target)?;
        for (name, item) in self.items(artifact)? {
            let path = target.join(name);
            match item {
                Part::Folder => {
                    make_open_folder(&path)?;
                    folders.push(path);
                }
                Part::Link(to) => symlink(&to, &path).map_err(|e| FileError::at(&path, e))?,
                Part::File(source) => guards.extend(self.put_file(&source, &path, form)?),
            }
        }
        let mode = if form.writable { 0o755 } else { 0o555 };
        for folder in folders.iter().rev() {
            let finish = || {
                fs::set_permissions(folder, Permissions::from_mode(mode))?;
                if form.sync { File::open(folder)?.sync_all() } else { Ok(()) }
            };
            finish().map_err(|e| FileError::at(folder, e))?;
        }
        Ok(())
    }

    /// What a directory holds, sorted by name.
    pub(super) fn items(&self, artifact: &Artifact) -> Result<Vec<(String, Part)>, FileError> {
        if let Some(origin) = &artifact.origin {
            let entries = scan(origin, Reach::Anywhere)?.into_iter().map(|entry| {
                let part = match entry.kind {
                    Kind::Folder => Part::Folder,
                    Kind::Link(target) => Part::Link(target),
                    Kind::File => Part::File(Source {
                        place: Place::Origin(entry.path),
                        size: entry.stat.size,
                        executable: entry.stat.executable(),
                    }),
                };
                (entry.name, part)
            });
            return Ok(entries.collect());
        }
        let entries = self.manifest(&artifact.digest)?.entries.into_iter().map(|(name, item)| {
            let part = match item {
                Item::Folder => Part::Folder,
                Item::Link(target) => Part::Link(target),
                Item::File { executable, size, digest } => {
                    Part::File(Source { place: Place::Blob(digest), size, executable })
                }
            };
            (name, part)
        });
        Ok(entries.collect())
    }

    pub(super) fn put_file(
        &self,
        source: &Source,
        target: &Path,
        form: Form,
    ) -> Result<Option<Guard>, FileError> {
        let large = source.size > LARGE;
        // A blob has no executable bit to lend.
        let may_link = !(source.executable && matches!(source.place, Place::Blob(_)));
        if form.staging == Staging::Link && may_link {
            return self.link(source, target).map(Some);
        }
        let mode = match (form.writable, source.executable) {
            (false, false) => 0o444,
            (false, true) => 0o555,
            (true, false) => 0o644,
            (true, true) => 0o755,
        };
        let (mut from, _) = self.open_source(&source.place)?;
        let cloned = large && reflink_copy::reflink_file_to_path(&from, target).is_ok();
        if large && !cloned && form.staging == Staging::Auto && may_link {
            return self.link(source, target).map(Some);
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
        copy().map_err(|e| FileError::at(target, e))?;
        Ok(None)
    }

    fn link(&self, source: &Source, target: &Path) -> Result<Guard, FileError> {
        let (path, blob) = match &source.place {
            Place::Origin(path) => (path.clone(), None),
            Place::Blob(digest) => {
                // A link needs the final name.
                if let Some(temp) = self.pending.get(digest) {
                    let path = temp.path().to_owned();
                    self.commit(&[PendingBlob(Blob::Temp(temp))])
                        .map_err(|error| FileError::Io { path, error })?;
                }
                (self.blob_path(digest), Some(*digest))
            }
        };
        let now = now_ns();
        let (_, stat) = self.open_source(&source.place)?;
        symlink(&path, target).map_err(|e| FileError::at(target, e))?;
        Ok(Guard { path, blob, young: stat.young(now), stat })
    }

    /// Opens a file's content, wherever it is just now.
    fn open_source(&self, place: &Place) -> Result<(File, FileStat), FileError> {
        let digest = match place {
            Place::Origin(path) => return stat::open(path),
            Place::Blob(digest) => digest,
        };
        let path = self.blob_path(digest);
        let opened = match stat::open(&self.locate(digest)) {
            // It may have got its final name a moment ago.
            Err(FileError::Missing(_)) => stat::open(&path),
            opened => opened,
        };
        opened.map_err(|error| match error {
            FileError::Missing(_) => Damage { digest: *digest, path, wrong: Wrong::Missing }.into(),
            error => error,
        })
    }
}

/// One entry of a directory to be put somewhere.
pub(super) enum Part {
    Folder,
    Link(String),
    File(Source),
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

fn make_open_folder(path: &Path) -> Result<(), FileError> {
    DirBuilder::new().mode(0o700).create(path).map_err(|e| FileError::at(path, e))
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
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::super::testing::{Place, place, reopen};
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn stage(
        p: &Place,
        artifact: &Artifact,
        is_dir: bool,
        name: &str,
        how: Staging,
    ) -> (PathBuf, Vec<Guard>) {
        let target = p.path(name);
        let guards = p.store.stage(artifact, is_dir, &target, how).unwrap();
        (target, guards)
    }

    #[test]
    fn files_come_back_read_only_before_and_after_commit() {
        let p = place();
        for (i, (text, bits)) in [("plain", 0o600), ("tool", 0o700)].into_iter().enumerate() {
            set_mode(&p.write("attempt/f", text), bits);
            let (artifact, blobs) = p.seal("attempt/f", false).unwrap();
            let (early, _) = stage(&p, &artifact, false, &format!("user/early{i}"), Staging::Auto);
            p.store.commit(&blobs).unwrap();
            let (late, guards) = stage(&p, &artifact, false, &format!("user/late{i}"), Staging::Auto);
            assert!(guards.is_empty());
            for path in [early, late] {
                assert_eq!(fs::read_to_string(&path).unwrap(), text);
                assert_eq!(mode(&path), if bits == 0o700 { 0o555 } else { 0o444 });
            }
        }
    }

    #[test]
    fn a_changed_copy_never_reaches_the_store() {
        let p = place();
        p.write("attempt/f", "content");
        let artifact = p.keep("attempt/f", false);
        for how in [Staging::Auto, Staging::Copy] {
            let (path, guards) = stage(&p, &artifact, false, &format!("user/{how:?}"), how);
            assert!(guards.is_empty());
            set_mode(&path, 0o644);
            fs::write(&path, "CONTENT").unwrap();
        }
        reopen(p.dir.path()).verify(&artifact, false).unwrap();
    }

    #[test]
    fn directories_round_trip_from_store_and_origin() {
        let p = place();
        for root in ["attempt/d", "user/d"] {
            set_mode(&p.write(&format!("{root}/s/tool"), "#!"), 0o755);
            p.write(&format!("{root}/odd \n\u{e9}\"'"), "odd");
            fs::create_dir(p.path(&format!("{root}/empty"))).unwrap();
            symlink("s/tool", p.path(&format!("{root}/link"))).unwrap();
            symlink("..", p.path(&format!("{root}/s/up"))).unwrap();
        }
        let (own, _) = p.store.fingerprint(&p.path("user/d"), true).unwrap();
        let stored = p.keep("attempt/d", true);
        assert_eq!(own.digest, stored.digest);
        for (artifact, name) in [(&own, "user/own"), (&stored, "user/stored")] {
            let (path, _) = stage(&p, artifact, true, name, Staging::Auto);
            let (again, _) = p.store.fingerprint(&path, true).unwrap();
            assert_eq!(again.digest, stored.digest, "{name}");
            assert_eq!(fs::read_link(path.join("link")).unwrap(), Path::new("s/tool"));
            let modes = ["", "s", "empty", "s/tool", "odd \n\u{e9}\"'"].map(|entry| mode(&path.join(entry)));
            assert_eq!(modes, [0o555, 0o555, 0o555, 0o555, 0o444]);
        }
    }

    #[test]
    fn links_are_guarded_and_a_spoiled_blob_is_set_aside() {
        let p = place();
        p.write("attempt/f", "content");
        // Not committed yet: the link must hold all the same.
        let (artifact, _blobs) = p.seal("attempt/f", false).unwrap();
        let (path, guards) = stage(&p, &artifact, false, "user/link", Staging::Link);
        assert_eq!(fs::read_link(&path).unwrap(), p.store.blob_path(&artifact.digest));
        assert_eq!(p.store.check(&guards), []);
        // Only opened up: nothing is spoiled, and it is closed again.
        set_mode(&path, 0o644);
        assert_eq!(p.store.check(&guards), []);
        assert_eq!(mode(&fs::canonicalize(&path).unwrap()), 0o444);
        let mtime = fs::metadata(&path).unwrap().modified().unwrap();
        set_mode(&path, 0o644);
        fs::write(&path, "CONTENT").unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(mtime).unwrap();
        set_mode(&path, 0o444);
        let spoiled = p.store.check(&guards);
        assert_eq!(spoiled.iter().map(|s| s.blob).collect::<Vec<_>>(), [Some(artifact.digest)]);
        assert!(p.path("store/damaged").join(artifact.digest.hex()).exists());
        assert_eq!(p.store.verify(&artifact, false).unwrap_err().wrong, Wrong::Missing);
    }

    #[test]
    fn links_to_a_users_own_files_are_guarded() {
        let p = place();
        p.write("user/d/a", "a");
        p.write("user/d/b", "b");
        let (artifact, _) = p.store.fingerprint(&p.path("user/d"), true).unwrap();
        let (path, guards) = stage(&p, &artifact, true, "user/staged", Staging::Link);
        assert_eq!(guards.len(), 2);
        assert_eq!(p.store.check(&guards), []);
        fs::write(path.join("b"), "longer").unwrap();
        assert_eq!(p.store.check(&guards), [Spoiled { path: p.path("user/d/b"), blob: None }]);
    }

    #[test]
    fn large_files_are_not_copied_unless_asked_for_or_executable() {
        let p = place();
        let large = |mode| {
            let file = File::create(p.path("attempt/f")).unwrap();
            file.set_len(LARGE + 1).unwrap();
            set_mode(&p.path("attempt/f"), mode);
        };
        large(0o644);
        let mut artifact = p.keep("attempt/f", false);
        let (auto, guards) = stage(&p, &artifact, false, "user/auto", Staging::Auto);
        // One or the other, as the file system can.
        assert_eq!(fs::symlink_metadata(&auto).unwrap().is_symlink(), guards.len() == 1);
        let (copy, guards) = stage(&p, &artifact, false, "user/copy", Staging::Copy);
        assert!(guards.is_empty() && mode(&copy) == 0o444);
        assert_eq!(fs::metadata(&copy).unwrap().len(), LARGE + 1);
        artifact.executable = true;
        for how in [Staging::Auto, Staging::Link] {
            let (tool, guards) = stage(&p, &artifact, false, &format!("user/tool-{how:?}"), how);
            assert!(guards.is_empty() && mode(&tool) == 0o555);
        }
    }

    #[test]
    fn what_is_in_the_way_or_missing_is_an_error() {
        let p = place();
        p.write("attempt/f", "content");
        let artifact = p.keep("attempt/f", false);
        let there = p.write("user/there", "mine");
        symlink("there", p.path("user/planted")).unwrap();
        for name in ["user/there", "user/planted"] {
            assert!(p.store.stage(&artifact, false, &p.path(name), Staging::Auto).is_err());
        }
        assert_eq!(fs::read_to_string(there).unwrap(), "mine");
        fs::remove_file(p.store.blob_path(&artifact.digest)).unwrap();
        let error = p.store.stage(&artifact, false, &p.path("user/new"), Staging::Auto).unwrap_err();
        assert!(error.to_string().contains("is missing"), "{error}");
    }
}
