//! A user's own files and directories as artifacts, and whether they have changed since.
//!
//! They stay where they are: an artifact made here has an origin, and nothing of it enters the store.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf, absolute};
use std::sync::Mutex;

use super::Store;
use super::error::FileError;
use super::manifest::{Manifest, ManifestItem};
use super::scan::{Reach, ScannedEntry, ScannedKind, scan};
use super::stat::{FileStat, Seen, regular};
use crate::core::digest::Digest;
use crate::core::lock::lock;
use crate::core::parallel::in_parallel;
use crate::core::value::Artifact;

/// What some of the user's files looked like when they were digested.
#[derive(Debug, Default)]
pub struct Snapshot {
    pub(super) files: Vec<(PathBuf, Seen)>,
    pub(super) folders: Vec<FoundFolder>,
}

#[derive(Debug)]
pub(super) struct FoundFolder {
    pub path: PathBuf,
    pub entries: Vec<ScannedEntry>,
    /// The files that were too young for their stat to be trusted, by name.
    pub young: HashMap<String, Digest>,
}

impl Store {
    /// The user's file or directory (if `is_dir`) at `path`, links followed, as an artifact whose origin is the
    /// absolute path, and how it looked. Unchanged files are not read.
    ///
    /// # Errors
    /// The path does not exist, is of the wrong kind, or cannot be read.
    pub fn fingerprint(&self, path: &Path, is_dir: bool) -> Result<(Artifact, Snapshot), FileError> {
        let origin = absolute(path).map_err(|e| FileError::at(path, e))?;
        let mut artifact = Artifact {
            digest: Digest([0; 32]),
            size: 0,
            name: base_name(path)?,
            executable: false,
            origin: Some(origin.as_path().into()),
        };
        let mut snapshot = Snapshot::default();
        if is_dir {
            let mut young = HashMap::new();
            let mut entries = scan(path, Reach::Anywhere)?;
            let manifest = manifest_of(&mut entries, |entry| {
                let seen = self.stats.digest(&entry.path, &entry.stat)?;
                if seen.young {
                    young.insert(entry.name.clone(), seen.digest);
                }
                Ok(seen)
            })?;
            artifact.size = manifest.size();
            artifact.digest = Digest::of(manifest.encode());
            snapshot.folders.push(FoundFolder { path: origin, entries, young });
        } else {
            let metadata = fs::metadata(path).map_err(|e| FileError::at(path, e))?;
            regular(path, &metadata)?;
            let seen = self.stats.digest(path, &FileStat::of(&metadata))?;
            artifact.size = seen.stat.size;
            artifact.digest = seen.digest;
            artifact.executable = seen.stat.executable();
            snapshot.files.push((origin, seen));
        }
        Ok((artifact, snapshot))
    }

    /// Fingerprints many files and directories (those with `true`) on `threads` threads, to have them in the
    /// stat cache. Errors are left for [`Store::fingerprint`] to find again.
    pub fn fingerprint_all(&self, paths: &[(PathBuf, bool)], threads: usize) {
        let files = Mutex::new(Vec::with_capacity(paths.len()));
        in_parallel(threads, paths, |(path, is_dir)| {
            if *is_dir {
                let mut entries = scan(path, Reach::Anywhere).unwrap_or_default();
                entries.retain(|entry| entry.kind == ScannedKind::File);
                lock(&files).extend(entries.into_iter().map(|entry| (entry.path, entry.stat)));
            } else if let Ok(metadata) = fs::metadata(path)
                && metadata.is_file()
            {
                lock(&files).push((path.clone(), FileStat::of(&metadata)));
            }
        });
        let mut files = lock(&files).split_off(0);
        // The largest first, so that no thread is left alone with one at the end.
        files.sort_unstable_by_key(|(_, stat)| std::cmp::Reverse(stat.size));
        in_parallel(threads, &files, |(path, stat)| drop(self.stats.digest(path, stat)));
    }
}

/// Whether a user's file or folder is there and may be read.
///
/// # Errors
/// What is there instead.
pub fn check_there(path: &Path, is_dir: bool) -> Result<(), FileError> {
    let metadata = fs::metadata(path).map_err(|e| FileError::at(path, e))?;
    match (is_dir, metadata.is_dir()) {
        (true, true) => {}
        (true, false) => return Err(FileError::NotDirectory(path.to_owned())),
        (false, _) => regular(path, &metadata)?,
    }
    rustix::fs::access(path, rustix::fs::Access::READ_OK).map_err(|e| FileError::at(path, e.into()))
}

impl Snapshot {
    /// Adds what another snapshot holds.
    pub fn merge(&mut self, other: Self) {
        self.files.extend(other.files);
        self.folders.extend(other.folders);
    }

    /// The first file that no longer looks as it did, was replaced, or is gone; for a directory also an entry
    /// that was added. Files that were too young to be judged by their looks are hashed again.
    pub fn changed(&self, store: &Store) -> Option<PathBuf> {
        let file = self.files.iter().find(|(path, seen)| {
            let now = fs::metadata(path).map(|metadata| FileStat::of(&metadata));
            !now.is_ok_and(|now| {
                now == seen.stat && same(store, path, &now, seen.young.then_some(&seen.digest))
            })
        });
        match file {
            Some((path, _)) => Some(path.clone()),
            None => self.folders.iter().find_map(|folder| folder.changed(store)),
        }
    }
}

impl FoundFolder {
    fn changed(&self, store: &Store) -> Option<PathBuf> {
        let Ok(now) = scan(&self.path, Reach::Anywhere) else {
            return Some(self.path.clone());
        };
        let unlike = self.entries.iter().zip(&now).find(|(before, now)| {
            let young = self.young.get(&before.name);
            let same_file = || before.stat == now.stat && same(store, &now.path, &now.stat, young);
            before.name != now.name
                || before.kind != now.kind
                || (before.kind == ScannedKind::File && !same_file())
        });
        let odd = match unlike {
            // The lesser name is the one that the other side lacks.
            Some((before, now)) => Some(before.name.as_str().min(&now.name)),
            None => {
                let longer = if now.len() > self.entries.len() { &now } else { &self.entries };
                longer.get(now.len().min(self.entries.len())).map(|entry| entry.name.as_str())
            }
        };
        odd.map(|name| self.path.join(name))
    }
}

/// Whether the file still has the content `young`, if it must be read at all to know.
fn same(store: &Store, path: &Path, stat: &FileStat, young: Option<&Digest>) -> bool {
    young.is_none_or(|digest| store.stats.digest(path, stat).is_ok_and(|seen| seen.digest == *digest))
}

/// The manifest of a directory, each file's content as `read` finds it. How a file looked while it was read
/// replaces how it looked in the scan.
pub(super) fn manifest_of(
    entries: &mut [ScannedEntry],
    mut read: impl FnMut(&ScannedEntry) -> Result<Seen, FileError>,
) -> Result<Manifest, FileError> {
    let mut manifest = Manifest::default();
    for entry in entries {
        let item = match &entry.kind {
            ScannedKind::Folder => ManifestItem::Folder,
            ScannedKind::Link(target) => ManifestItem::Link(target.clone()),
            ScannedKind::File => {
                let Seen { stat, digest, .. } = read(entry)?;
                entry.stat = stat;
                ManifestItem::File { executable: stat.executable(), size: stat.size, digest }
            }
        };
        manifest.entries.insert(entry.name.clone(), item);
    }
    Ok(manifest)
}

/// The base name of `path` as given; of the real folder if it ends in `.` or `..`.
fn base_name(path: &Path) -> Result<Box<str>, FileError> {
    let real;
    let name = match path.file_name() {
        Some(name) => name,
        None => {
            real = fs::canonicalize(path).map_err(|e| FileError::at(path, e))?;
            real.file_name().ok_or_else(|| FileError::Nameless(path.to_owned()))?
        }
    };
    name.to_str().map(Box::from).ok_or_else(|| FileError::NotUnicode(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs::{File, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::super::testing::{age, place};
    use super::*;

    #[test]
    fn a_file_counts_by_content_name_and_executable_bit() {
        let p = place();
        let path = p.write("user/a.txt", "hello");
        let (artifact, _) = p.store.fingerprint(&path, false).unwrap();
        assert_eq!((artifact.digest, artifact.size, &*artifact.name), (Digest::of("hello"), 5, "a.txt"));
        assert_eq!(artifact.origin.as_deref(), Some(path.as_path()));
        assert!(!artifact.executable);
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        let link = p.path("user/link.csv");
        symlink("a.txt", &link).unwrap();
        let (artifact, _) = p.store.fingerprint(&link, false).unwrap();
        assert_eq!((artifact.digest, &*artifact.name), (Digest::of("hello"), "link.csv"));
        assert!(artifact.executable);
    }

    #[test]
    fn a_directory_counts_by_what_it_holds() {
        let p = place();
        let print = |name: &str| p.store.fingerprint(&p.path(name), true).unwrap().0.digest;
        for d in ["one", "two"] {
            p.write(&format!("user/{d}/s/f"), "f");
        }
        assert_eq!(print("user/one"), print("user/two"));
        let mut seen = vec![print("user/one")];
        let mut differs = |what: &str| {
            let now = print("user/one");
            assert!(!seen.contains(&now), "{what}");
            seen.push(now);
        };
        fs::create_dir(p.path("user/one/empty")).unwrap();
        differs("an empty folder");
        fs::set_permissions(p.path("user/one/s/f"), Permissions::from_mode(0o755)).unwrap();
        differs("an executable bit");
        symlink("s/f", p.path("user/one/l")).unwrap();
        differs("a link");
        fs::rename(p.path("user/one/l"), p.path("user/one/m")).unwrap();
        differs("a name");
        p.write("user/one/s/f", "g");
        differs("content");
        let (artifact, _) = p.store.fingerprint(&p.path("user/one").join("."), true).unwrap();
        assert_eq!((&*artifact.name, artifact.size), ("one", 1));
    }

    #[test]
    fn errors_name_the_path_and_what_was_found() {
        let p = place();
        let file = p.write("user/f", "");
        let fifo = p.path("user/fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, 0o600.into()).unwrap();
        for (path, is_dir, expected) in [
            (p.path("user/gone"), false, "does not exist"),
            (p.path("user"), false, "is a directory, but a file is expected"),
            (file.clone(), true, "is not a directory"),
            (file.join("x"), false, "Not a directory"),
            (fifo, false, "is a fifo"),
        ] {
            let message = p.store.fingerprint(&path, is_dir).unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains("user"), "{message}");
        }
    }

    #[test]
    fn a_snapshot_notices_edits_replacements_and_removals() {
        let p = place();
        let path = p.write("user/f", "one");
        let take = || p.store.fingerprint(&path, false).unwrap().1;
        let changed = |snapshot: &Snapshot| snapshot.changed(&p.store) == Some(path.clone());
        let snapshot = take();
        assert_eq!(snapshot.changed(&p.store), None);
        // Right away, in the same size, with the old time.
        let mtime = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, "two").unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(mtime).unwrap();
        assert!(changed(&snapshot));
        let snapshot = take();
        fs::rename(p.write("user/g", "two"), &path).unwrap();
        assert!(changed(&snapshot));
        let snapshot = take();
        fs::remove_file(&path).unwrap();
        assert!(changed(&snapshot));
    }

    #[test]
    fn a_snapshot_of_a_directory_names_the_entry() {
        let p = place();
        p.write("user/d/a", "a");
        p.write("user/d/b", "b");
        let take = || p.store.fingerprint(&p.path("user/d"), true).unwrap().1;
        let mut all = Snapshot::default();
        all.merge(take());
        assert_eq!(all.changed(&p.store), None);
        let expect = |snapshot: &Snapshot, name: &str| {
            assert_eq!(snapshot.changed(&p.store), Some(p.dir.path().join("user/d").join(name)));
        };
        p.write("user/d/b", "c");
        expect(&all, "b");
        let snapshot = take();
        p.write("user/d/aa", "");
        expect(&snapshot, "aa");
        let snapshot = take();
        p.write("user/d/z", "");
        expect(&snapshot, "z");
        let snapshot = take();
        fs::remove_file(p.path("user/d/z")).unwrap();
        expect(&snapshot, "z");
        let snapshot = take();
        fs::remove_dir_all(p.path("user/d")).unwrap();
        assert_eq!(snapshot.changed(&p.store), Some(p.dir.path().join("user/d")));
    }

    #[test]
    fn many_are_warmed_in_parallel() {
        let p = place();
        let mut paths: Vec<_> =
            (0..50).map(|i| (p.write(&format!("user/{i}"), &i.to_string()), false)).collect();
        p.write("user/d/x", "x");
        paths.push((p.path("user/d"), true));
        paths.push((p.dir.path().join("user/gone"), false));
        paths.push((p.dir.path().join("user/gone"), true));
        for (path, _) in &paths[..51] {
            age(path);
        }
        age(&p.path("user/d/x"));
        p.store.fingerprint_all(&paths, 4);
        assert_eq!(p.store.stats().drain_fresh().len(), 51);
        p.store.fingerprint_all(&paths, 4);
        assert!(p.store.stats().drain_fresh().is_empty(), "nothing is read twice");
    }
}
