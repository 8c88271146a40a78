//! Whether an artifact can still be had, bit for bit, and setting aside what is wrong.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Store;
use super::blobs::BlobFile;
use super::error::{Damage, FileError, Wrong};
use super::manifest::{MAX_MANIFEST_BYTES, Manifest, ManifestItem};
use super::stat::{self, FileStat, MAX_READS, now_ns, regular};
use crate::core::digest::Digest;
use crate::core::parallel::in_parallel;
use crate::core::value::Artifact;
use crate::storage::own_file;
use crate::storage::own_folder;

impl Store {
    /// Checks that all content of an artifact is there and right; reads what the stat cache does not vouch for.
    /// A wrong blob is moved to `damaged/`, so that it is a missing one from now on.
    ///
    /// # Errors
    /// The first content that is missing, damaged or cannot be read.
    pub fn verify(&self, artifact: &Artifact, is_dir: bool) -> Result<(), Damage> {
        if let Some(origin) = &artifact.origin {
            let damage = |wrong| Damage { digest: artifact.digest, path: origin.to_path_buf(), wrong };
            self.verified(&artifact.digest, None);
            return match self.fingerprint(origin, is_dir) {
                Ok((now, _)) if now.digest == artifact.digest => Ok(()),
                Ok(_) => Err(damage(Wrong::Damaged)),
                Err(FileError::Missing(_)) => Err(damage(Wrong::Missing)),
                Err(error) => Err(damage(Wrong::Unreadable(error.to_string()))),
            };
        }
        if !is_dir {
            return self.check_blob(&artifact.digest);
        }
        let now = now_ns();
        let looks = fs::symlink_metadata(self.blob_path(&artifact.digest)).ok();
        self.manifest(&artifact.digest)?.entries.values().try_for_each(|item| match item {
            ManifestItem::File { digest, .. } => self.check_blob(digest),
            ManifestItem::Folder | ManifestItem::Link(_) => Ok(()),
        })?;
        let looks = looks.map(|looks| FileStat::of(&looks)).filter(|looks| !looks.young(now));
        self.verified(&artifact.digest, looks);
        Ok(())
    }

    /// Reads blobs on `threads` threads, whatever the stat cache knows of them, and sets wrong ones aside; `tell`s of
    /// each when it is read. One that is gone meanwhile is not damaged.
    pub fn reread(
        &self,
        blobs: &[BlobFile],
        threads: usize,
        tell: &(dyn Fn(&BlobFile, Result<(), Damage>) + Sync),
    ) {
        in_parallel(threads, blobs, |blob| {
            let path = self.blob_path(&blob.digest);
            let damage = |wrong| Damage { digest: blob.digest, path: path.clone(), wrong };
            // Another process that gives it its name again changes its metadata, not its content.
            let read = || {
                let found = fs::symlink_metadata(&path).map_err(|error| FileError::at(&path, error))?;
                regular(&path, &found).and_then(|()| stat::read(&path))
            };
            let mut read_now = read();
            for _ in 1..MAX_READS {
                if matches!(read_now, Ok(None)) {
                    read_now = read();
                }
            }
            let verdict = match read_now {
                Ok(Some(seen)) if seen.digest == blob.digest => Ok(()),
                Err(FileError::Missing(_)) => Ok(()),
                // The trouble may be ours, such as too many open files.
                Err(FileError::Io { error, .. }) => Err(damage(Wrong::Unreadable(error.to_string()))),
                Ok(None) => Err(damage(Wrong::Unreadable(FileError::Unstable(path.clone()).to_string()))),
                Ok(Some(_)) | Err(_) => {
                    self.set_aside(&blob.digest);
                    Err(damage(Wrong::Damaged))
                }
            };
            tell(blob, verdict);
        });
    }

    /// The manifest of a directory that the store holds. A blob with the right bytes that are no manifest is a file: it
    /// stays where it is.
    pub(super) fn manifest(&self, digest: &Digest) -> Result<Manifest, Damage> {
        let path = self.blob_path(digest);
        if self.pending.get(digest).is_none()
            && fs::symlink_metadata(&path).is_ok_and(|found| self.is_condemned(digest, &found))
        {
            return Err(Damage { digest: *digest, path, wrong: Wrong::Missing });
        }
        let bytes = self.read_located(digest, |path| {
            // What is no file of ours is as wrong as wrong bytes.
            match fs::symlink_metadata(path)?.is_file() {
                true => own_file::read(path, MAX_MANIFEST_BYTES).map(Some),
                false => Ok(None),
            }
        });
        let bytes = bytes.map_err(|error| unreadable(digest, path.clone(), error))?;
        let right = bytes.filter(|bytes| Digest::of(bytes) == *digest);
        if right.is_none() {
            self.set_aside(digest);
        }
        let manifest = right.and_then(|bytes| Manifest::decode(&bytes));
        manifest.ok_or(Damage { digest: *digest, path, wrong: Wrong::Damaged })
    }

    /// Reads content wherever it is just now: as a temporary, or under its final name.
    pub(super) fn read_located<T>(
        &self,
        digest: &Digest,
        read: impl Fn(&Path) -> io::Result<T>,
    ) -> io::Result<T> {
        match read(&self.locate(digest)) {
            // It may have got its final name a moment ago.
            Err(error) if error.kind() == io::ErrorKind::NotFound => read(&self.blob_path(digest)),
            read => read,
        }
    }

    /// Checks one blob; a wrong one is set aside.
    pub(super) fn check_blob(&self, digest: &Digest) -> Result<(), Damage> {
        // Asked before its final name: it moves from there to here, never back.
        if self.pending.get(digest).is_some() {
            self.verified(digest, None);
            return Ok(());
        }
        let path = self.blob_path(digest);
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) if self.is_condemned(digest, &metadata) => {
                return Err(Damage { digest: *digest, path, wrong: Wrong::Missing });
            }
            found => found.map_err(|e| unreadable(digest, path.clone(), e))?,
        };
        let seen =
            regular(&path, &metadata).and_then(|()| self.stats.digest(&path, &FileStat::of(&metadata)));
        match seen {
            Ok(seen) if seen.digest == *digest => {
                self.verified(digest, (!seen.young).then_some(seen.stat));
                Ok(())
            }
            // The trouble may be ours, such as too many open files.
            Err(FileError::Io { error, .. }) => Err(unreadable(digest, path, error)),
            // Other processes give it its name over and over.
            Err(error @ FileError::Unstable(_)) => Err(unreadable(digest, path, io::Error::other(error))),
            Ok(_) | Err(_) => {
                self.set_aside(digest);
                Err(Damage { digest: *digest, path, wrong: Wrong::Damaged })
            }
        }
    }

    /// Moves what stands in the place of a blob to `damaged/` and forgets it.
    pub(super) fn set_aside(&self, digest: &Digest) {
        let path = self.blob_path(digest);
        if let Ok(metadata) = fs::symlink_metadata(&path) {
            self.stats.forget(FileStat::of(&metadata).key);
        }
        if self.writable {
            // If it cannot be moved it stays, and is found to be wrong again.
            let _ = move_into(&path, &self.folder.join("damaged"), &digest.hex());
        }
    }
}

fn move_into(path: &Path, folder: &Path, name: &str) -> io::Result<()> {
    own_folder::make(folder)?;
    let target = folder.join(name);
    match fs::rename(path, &target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
        // What was set aside before is of another kind: a folder, or not one.
        Err(_) => own_folder::remove(&target).and_then(|()| fs::rename(path, &target)),
        Ok(()) => Ok(()),
    }
}

pub(super) fn unreadable(digest: &Digest, path: PathBuf, error: io::Error) -> Damage {
    let wrong = match error.kind() {
        io::ErrorKind::NotFound => Wrong::Missing,
        _ => Wrong::Unreadable(error.to_string()),
    };
    Damage { digest: *digest, path, wrong }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::super::testing::{Place, place, reopen};
    use super::super::{StatCache, Store};
    use super::*;

    /// Does something to a blob that its owner must not do.
    fn spoil(p: &Place, digest: &Digest, spoil: impl Fn(&Path)) {
        let blob = p.store.blob_path(digest);
        fs::set_permissions(&blob, Permissions::from_mode(0o644)).unwrap();
        spoil(&blob);
    }

    fn wrong(p: &Place, artifact: &Artifact, is_dir: bool) -> Wrong {
        p.store.verify(artifact, is_dir).unwrap_err().wrong
    }

    #[test]
    fn damage_is_found_set_aside_and_healed() {
        type Spoil = fn(&Path);
        let flip: Spoil = |blob| {
            let mtime = fs::metadata(blob).unwrap().modified().unwrap();
            fs::write(blob, "cantent").unwrap();
            File::options().write(true).open(blob).unwrap().set_modified(mtime).unwrap();
        };
        let truncate: Spoil = |blob| File::options().write(true).open(blob).unwrap().set_len(3).unwrap();
        let replace: Spoil = |blob| {
            fs::remove_file(blob).unwrap();
            fs::create_dir(blob).unwrap();
        };
        let link: Spoil = |blob| {
            let equal = blob.with_extension("equal");
            fs::rename(blob, &equal).unwrap();
            std::os::unix::fs::symlink(equal, blob).unwrap();
        };
        for harm in [flip, truncate, replace, link] {
            let p = place();
            p.write("attempt/f", "content");
            let artifact = p.keep("attempt/f", false);
            p.store.verify(&artifact, false).unwrap();
            spoil(&p, &artifact.digest, harm);
            assert_eq!(wrong(&p, &artifact, false), Wrong::Damaged);
            assert!(p.path("store/damaged").join(artifact.digest.hex()).exists());
            assert_eq!(wrong(&p, &artifact, false), Wrong::Missing);
            p.write("attempt/f", "content");
            assert_eq!(p.keep("attempt/f", false), artifact);
            p.store.verify(&artifact, false).unwrap();
            // What was set aside before, of whatever kind, makes room.
            let damaged = p.path("store/damaged").join(artifact.digest.hex());
            own_folder::remove(&damaged).unwrap();
            p.write(&format!("store/damaged/{}/in-it", artifact.digest.hex()), "");
            spoil(&p, &artifact.digest, harm);
            assert_eq!(wrong(&p, &artifact, false), Wrong::Damaged);
            assert_eq!(wrong(&p, &artifact, false), Wrong::Missing);
            p.write("attempt/f", "content");
            p.keep("attempt/f", false);
            // The same when the damage is first met by the one who has the content again.
            spoil(&p, &artifact.digest, harm);
            p.write("attempt/f", "content");
            p.keep("attempt/f", false);
            reopen(p.dir.path()).verify(&artifact, false).unwrap();
        }
    }

    #[test]
    fn rereading_trusts_no_looks() {
        let p = place();
        for text in ["good", "wrong"] {
            p.write(&format!("attempt/{text}"), text);
            p.keep(&format!("attempt/{text}"), false);
        }
        let wrong = Digest::of("wrong");
        spoil(&p, &wrong, |blob| fs::write(blob, "WRONG").unwrap());
        // The stat cache vouches for the damaged file as it is now.
        let metadata = fs::symlink_metadata(p.store.blob_path(&wrong)).unwrap();
        p.store.stats().record(&FileStat::of(&metadata), wrong);
        p.store.check_blob(&wrong).unwrap();
        let found = std::sync::Mutex::new(Vec::new());
        let blobs = p.store.blobs().unwrap();
        p.store.reread(&blobs, 2, &|_, verdict| found.lock().unwrap().extend(verdict.err()));
        let [damage] = &found.into_inner().unwrap()[..] else { panic!("one") };
        assert_eq!((damage.digest, &damage.wrong), (wrong, &Wrong::Damaged));
        assert_eq!(p.store.check_blob(&wrong).unwrap_err().wrong, Wrong::Missing);
        p.store.reread(&blobs, 2, &|_, verdict| verdict.unwrap());
        let good = p.store.blob_path(&Digest::of("good"));
        fs::rename(&good, good.with_extension("equal")).unwrap();
        std::os::unix::fs::symlink(good.with_extension("equal"), &good).unwrap();
        p.store.reread(&blobs, 1, &|blob, verdict| {
            assert_eq!(verdict.is_err(), blob.digest == Digest::of("good"), "a link is no blob");
        });
    }

    #[test]
    fn a_directory_is_as_good_as_its_worst_blob() {
        let p = place();
        p.write("attempt/d/a", "a");
        p.write("attempt/d/s/b", "b");
        let artifact = p.keep("attempt/d", true);
        p.store.verify(&artifact, true).unwrap();
        fs::remove_file(p.store.blob_path(&Digest::of("b"))).unwrap();
        let damage = p.store.verify(&artifact, true).unwrap_err();
        assert_eq!((damage.digest, damage.wrong), (Digest::of("b"), Wrong::Missing));
        spoil(&p, &artifact.digest, |manifest| fs::write(manifest, "runner-manifest 1\n").unwrap());
        assert_eq!(wrong(&p, &artifact, true), Wrong::Damaged);
    }

    /// An explanation of a miss asks whether a file is a directory: the answer costs no result.
    #[test]
    fn a_file_that_is_taken_for_a_directory_stays() {
        let p = place();
        p.write("attempt/f", "\0content");
        let artifact = p.keep("attempt/f", false);
        assert_eq!(wrong(&p, &artifact, true), Wrong::Damaged);
        assert_eq!(p.store.folder(&artifact.digest, None), None);
        p.store.verify(&artifact, false).unwrap();
        assert!(!p.dir.path().join("store/damaged").exists());
    }

    #[test]
    fn an_origin_is_checked_by_content() {
        let p = place();
        let path = p.write("user/f", "one");
        let (artifact, _) = p.store.fingerprint(&path, false).unwrap();
        p.store.verify(&artifact, false).unwrap();
        p.write("user/f", "two");
        assert_eq!(wrong(&p, &artifact, false), Wrong::Damaged);
        fs::remove_file(&path).unwrap();
        assert_eq!(wrong(&p, &artifact, false), Wrong::Missing);
    }

    #[test]
    fn looking_only_moves_nothing_and_needs_no_store() {
        let p = place();
        p.write("attempt/f", "content");
        let artifact = p.keep("attempt/f", false);
        spoil(&p, &artifact.digest, |blob| fs::write(blob, "CONTENT").unwrap());
        let looking = Store::open_read_only(p.dir.path(), StatCache::new(Box::new(|_| None))).unwrap();
        assert_eq!(looking.verify(&artifact, false).unwrap_err().wrong, Wrong::Damaged);
        assert!(p.store.blob_path(&artifact.digest).exists());
        let nowhere = p.dir.path().join("nowhere");
        let looking = Store::open_read_only(&nowhere, StatCache::new(Box::new(|_| None))).unwrap();
        assert_eq!(looking.verify(&artifact, false).unwrap_err().wrong, Wrong::Missing);
        assert!(!nowhere.exists());
    }
}
