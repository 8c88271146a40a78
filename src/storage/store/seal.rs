//! From what a finished task left to content that the store holds, though under no name yet.
//!
//! All outputs of a task are looked at before the first one is taken, for one may be a link to another or
//! lie within it. A file that no other process can hold is moved, anything else is copied.

use std::collections::BTreeMap;
use std::fs::{self, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::Store;
use super::error::{FileError, SealError};
use super::fingerprint::manifest_of;
use super::scan::{Reach, scan};
use super::stat::{self, FileStat, Seen, regular};
use super::temp::{Blob, PendingBlob, TempFolder};
use crate::core::digest::Digest;
use crate::core::value::Artifact;
use crate::storage::own_file::{self, Access};

/// An output to take into the store.
#[derive(Clone, Copy, Debug)]
pub struct NewOutput<'a> {
    /// Where the task should have left it.
    pub path: &'a Path,
    /// Whether it must be a directory; else it must be a file.
    pub is_dir: bool,
    /// The base name that its artifact gets.
    pub name: &'a str,
}

/// Outputs that the store holds. They can be staged now, as long as `blobs` live or are committed.
pub struct Sealed {
    /// One for each output, in order.
    pub artifacts: Vec<Artifact>,
    /// What must be committed before a row may name the artifacts.
    pub blobs: Vec<PendingBlob>,
}

/// Content to take in.
pub(super) enum Content {
    File(PathBuf),
    /// The manifest of a directory.
    Bytes(Vec<u8>),
}

/// A blob that the store has already.
pub(super) enum Held {
    /// Known to the stat cache: whoever recorded it had seen to its folder, or found a row that names it.
    Durable,
    /// Perhaps given its name by another process a moment ago.
    Visible(Seen),
}

impl Store {
    /// Checks, hashes and takes in the outputs that a task left below `root`, the folder of its attempt. Nobody
    /// may hold these files any more; they may be gone from their places afterwards, also after an error of
    /// the store, but not after an error of an output.
    ///
    /// # Errors
    /// An output breaks a rule or cannot be read, or the store cannot be written to.
    pub fn seal(&self, outputs: &[NewOutput<'_>], root: &Path) -> Result<Sealed, SealError> {
        let mut contents = BTreeMap::new();
        let artifacts = outputs
            .iter()
            .enumerate()
            .map(|(index, output)| {
                examine(output, root, &mut contents).map_err(|error| SealError::Output { index, error })
            })
            .collect::<Result<Vec<_>, _>>()?;
        if contents.is_empty() {
            return Ok(Sealed { artifacts, blobs: Vec::new() });
        }
        let temp_folder = self.lease().map_err(SealError::Store)?;
        let mut blobs = Vec::with_capacity(contents.len());
        for (digest, content) in contents {
            blobs.extend(self.take(digest, &content, &temp_folder).map_err(SealError::Store)?);
        }
        Ok(Sealed { artifacts, blobs })
    }

    /// Brings content into a temporary, unless the store has it; `None` if it is known to be durable there.
    pub(super) fn take(
        &self,
        digest: Digest,
        content: &Content,
        temp_folder: &Arc<TempFolder>,
    ) -> io::Result<Option<PendingBlob>> {
        if let Some(temp) = self.pending.get(&digest).filter(|temp| !temp.lost()) {
            return Ok(Some(PendingBlob(Blob::Temp(temp))));
        }
        match self.held(&digest) {
            Some(Held::Durable) => return Ok(None),
            Some(Held::Visible(seen)) => return Ok(Some(PendingBlob(Blob::Held(seen)))),
            None => {}
        }
        let path = temp_folder.fresh_path();
        let taken = match content {
            Content::File(from) => take_file(from, &path, &digest),
            Content::Bytes(bytes) => {
                own_file::open(&path, Access::New).and_then(|mut file| file.write_all(bytes))
            }
        };
        match taken.and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o444))) {
            Ok(()) => Ok(Some(PendingBlob(Blob::Temp(self.pending.add(digest, path, temp_folder))))),
            Err(e) => {
                // What cannot be removed now is swept later.
                let _ = fs::remove_file(&path);
                Err(e)
            }
        }
    }

    /// Whether the blob of that digest is there and right. A wrong one is set aside.
    pub(super) fn held(&self, digest: &Digest) -> Option<Held> {
        let path = self.blob_path(digest);
        let metadata = fs::symlink_metadata(&path).ok().filter(|found| !self.is_condemned(digest, found))?;
        if self.stats.known(&FileStat::of(&metadata)) == Some(*digest) {
            return Some(Held::Durable);
        }
        // Not through the cache, which would record it: only what is durable may be known there.
        match regular(&path, &metadata).and_then(|()| read(&path)) {
            Ok(seen) if seen.digest == *digest => Some(Held::Visible(seen)),
            // One that cannot be read just now, or that another process replaces while it is read, is replaced when
            // ours gets its name.
            Err(FileError::Io { .. } | FileError::Unstable(_)) => None,
            Ok(_) | Err(_) => {
                self.set_aside(digest);
                None
            }
        }
    }
}

/// Looks at an output and notes what the store must take in for it.
fn examine(
    output: &NewOutput<'_>,
    root: &Path,
    contents: &mut BTreeMap<Digest, Content>,
) -> Result<Artifact, FileError> {
    let (path, metadata) = settle(output.path, root)?;
    let mut artifact = Artifact {
        digest: Digest([0; 32]),
        size: 0,
        name: output.name.into(),
        executable: false,
        origin: None,
    };
    if !output.is_dir {
        regular(&path, &metadata)?;
        let seen = read(&path)?;
        contents.insert(seen.digest, Content::File(path));
        artifact.digest = seen.digest;
        artifact.size = seen.stat.size;
        artifact.executable = seen.stat.executable();
        return Ok(artifact);
    }
    let real_root = fs::canonicalize(root).map_err(|e| FileError::at(root, e))?;
    let mut entries = scan(&path, Reach::Below(&real_root))?;
    let manifest = manifest_of(&mut entries, |entry| {
        let seen = read(&entry.path)?;
        contents.insert(seen.digest, Content::File(entry.path.clone()));
        Ok(seen)
    })?;
    let bytes = manifest.encode();
    artifact.size = manifest.size();
    artifact.digest = Digest::of(&bytes);
    contents.insert(artifact.digest, Content::Bytes(bytes));
    Ok(artifact)
}

/// The real place of `path` below `root`, with no link on the way, and what is there.
fn settle(path: &Path, root: &Path) -> Result<(PathBuf, Metadata), FileError> {
    let mut here = root.to_owned();
    let mut found = None;
    for part in path.strip_prefix(root).unwrap_or(Path::new("..")).components() {
        here.push(part);
        found = match fs::symlink_metadata(&here) {
            _ if !matches!(part, Component::Normal(_)) => None,
            Ok(metadata) if !metadata.is_symlink() => Some(metadata),
            Ok(_) => None,
            Err(e) => return Err(FileError::at(path, e)),
        };
        if found.is_none() {
            break;
        }
    }
    if let Some(found) = found {
        return Ok((here, found));
    }
    let fail = |e| FileError::at(path, e);
    let real = fs::canonicalize(path).map_err(fail)?;
    match real.starts_with(fs::canonicalize(root).map_err(fail)?) {
        true => fs::symlink_metadata(&real).map(|metadata| (real, metadata)).map_err(fail),
        false => Err(FileError::Outside { path: path.to_owned(), target: real }),
    }
}

/// A file's content, which does not change any more.
fn read(path: &Path) -> Result<Seen, FileError> {
    stat::read(path)?.ok_or_else(|| FileError::Unstable(path.to_owned()))
}

/// Moves the file `from` to `to` if no other process can hold it; else copies it.
fn take_file(from: &Path, to: &Path, digest: &Digest) -> io::Result<()> {
    let metadata = fs::symlink_metadata(from)?;
    let ours = metadata.nlink() == 1 && metadata.uid() == rustix::process::geteuid().as_raw();
    if ours && fs::rename(from, to).is_ok() {
        return Ok(());
    }
    fs::copy(from, to)?;
    // A file with another name somewhere may have been written to since it was hashed.
    match read(to) {
        Ok(copy) if copy.digest == *digest => Ok(()),
        Ok(_) => Err(io::Error::other(FileError::Unstable(from.to_owned()))),
        Err(error) => Err(io::Error::other(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::testing::{place, reopen};
    use super::*;

    fn message(sealed: Result<(Artifact, Vec<PendingBlob>), SealError>) -> String {
        match sealed {
            Err(SealError::Output { index: 0, error }) => error.to_string(),
            Err(error) => panic!("{error}"),
            Ok((artifact, _)) => panic!("{artifact:?}"),
        }
    }

    #[test]
    fn a_file_is_moved_in_and_appears_at_commit() {
        let p = place();
        let path = p.write("attempt/out/hash", "content");
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        let (artifact, blobs) = p.seal("attempt/out/hash", false).unwrap();
        assert_eq!((artifact.digest, artifact.size, &*artifact.name), (Digest::of("content"), 7, "result"));
        assert!(artifact.executable && artifact.origin.is_none() && !path.exists());
        let blob = p.store.blob_path(&artifact.digest);
        assert!(!blob.exists());
        p.store.verify(&artifact, false).unwrap();
        p.store.commit(&blobs).unwrap();
        drop(blobs);
        p.store.verify(&artifact, false).unwrap();
        assert_eq!(fs::read_to_string(&blob).unwrap(), "content");
        assert_eq!(fs::metadata(&blob).unwrap().mode() & 0o7777, 0o444);
        assert_eq!(p.store.stats().drain_fresh().len(), 1, "known without another reading");
        reopen(p.dir.path()).verify(&artifact, false).unwrap();
    }

    #[test]
    fn equal_content_is_kept_once_and_outlives_its_first_owner() {
        let p = place();
        p.write("attempt/a", "same");
        p.write("attempt/b", "same");
        let (artifact, first) = p.seal("attempt/a", false).unwrap();
        let (_, second) = p.seal("attempt/b", false).unwrap();
        drop(first);
        p.store.verify(&artifact, false).unwrap();
        p.store.commit(&second).unwrap();
        p.store.commit(&second).unwrap();
        p.write("attempt/c", "same");
        let (_, third) = p.seal("attempt/c", false).unwrap();
        assert!(third.is_empty(), "known to be durable");
        // Another process has the blob to check first.
        let path = p.path("attempt/c");
        let other = reopen(p.dir.path());
        let output = NewOutput { path: &path, is_dir: false, name: "c" };
        let sealed = other.seal(&[output], &p.path("attempt")).unwrap();
        assert_eq!(sealed.blobs.len(), 1);
        other.commit(&sealed.blobs).unwrap();
        drop(sealed);
        other.verify(&artifact, false).unwrap();
    }

    #[test]
    fn outputs_may_lie_in_and_link_to_each_other() {
        let p = place();
        let (dir, inner, link) =
            (p.path("attempt/out/d"), p.write("attempt/out/d/f", "f"), p.path("attempt/out/l"));
        symlink("d/f", &link).unwrap();
        let outputs = [(inner.as_path(), false), (&dir, true), (&link, false)]
            .map(|(path, is_dir)| NewOutput { path, is_dir, name: "x" });
        let Sealed { artifacts, blobs } = p.store.seal(&outputs, &p.path("attempt")).unwrap();
        assert_eq!(artifacts[0].digest, artifacts[2].digest);
        assert_eq!(blobs.len(), 2);
        p.store.commit(&blobs).unwrap();
        p.store.verify(&artifacts[1], true).unwrap();
    }

    #[test]
    fn what_somebody_else_may_hold_is_copied() {
        let p = place();
        let path = p.write("attempt/f", "shared");
        let other = p.path("user/other-name");
        fs::hard_link(&path, &other).unwrap();
        let artifact = p.keep("attempt/f", false);
        fs::write(&other, "SHARED").unwrap();
        reopen(p.dir.path()).verify(&artifact, false).unwrap();
    }

    #[test]
    fn verdicts_on_outputs_name_what_was_found() {
        let p = place();
        let user = p.write("user/secret", "s");
        p.write("attempt/f", "f");
        p.write("attempt/d/x", "x");
        symlink(&user, p.path("attempt/leak")).unwrap();
        symlink(p.path("user"), p.path("attempt/leak-dir")).unwrap();
        symlink("../../user/secret", p.path("attempt/d/leak")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, p.path("attempt/fifo"), 0o600.into()).unwrap();
        for (name, is_dir, expected) in [
            ("attempt/gone", false, "does not exist"),
            ("attempt/gone", true, "does not exist"),
            ("attempt/d", false, "is a directory, but a file is expected"),
            ("attempt/f", true, "is not a directory"),
            ("attempt/fifo", false, "is a fifo"),
            ("attempt/leak", false, "leads outside"),
            ("attempt/leak-dir/secret", false, "leads outside"),
            ("attempt/leak-dir", true, "leads outside"),
            ("attempt/d", true, "leads outside"),
            ("attempt/../user/secret", false, "leads outside"),
        ] {
            let message = message(p.seal(name, is_dir));
            assert!(message.contains(expected), "{name}: {message}");
        }
        assert_eq!(fs::read_to_string(user).unwrap(), "s");
        assert!(p.path("attempt/f").exists(), "an error of an output takes nothing");
    }

    #[test]
    fn links_of_a_directory_to_elsewhere_in_the_attempt_count_by_content() {
        let p = place();
        p.write("attempt/scratch/x", "x");
        p.write("attempt/out/d/f", "f");
        symlink("../../scratch/x", p.path("attempt/out/d/x")).unwrap();
        symlink("f", p.path("attempt/out/d/l")).unwrap();
        let artifact = p.keep("attempt/out/d", true);
        let manifest = p.store.manifest(&artifact.digest).unwrap();
        assert_eq!(manifest.entries["l"], super::super::manifest::ManifestItem::Link("f".into()));
        assert!(
            matches!(&manifest.entries["x"], super::super::manifest::ManifestItem::File { digest, .. } if *digest == Digest::of("x"))
        );
        p.store.verify(&artifact, true).unwrap();
    }

    #[test]
    fn a_store_for_reading_takes_nothing() {
        let p = place();
        let path = p.write("attempt/f", "f");
        let store =
            Store::open_read_only(p.dir.path(), crate::storage::store::StatCache::new(Box::new(|_| None)))
                .unwrap();
        let output = NewOutput { path: &path, is_dir: false, name: "f" };
        assert!(matches!(store.seal(&[output], &p.path("attempt")), Err(SealError::Store(_))));
        assert!(path.exists());
    }
}
