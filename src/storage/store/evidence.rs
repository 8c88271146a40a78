//! How everything looked that a run relied on: the user's files and folders, and blobs of this store. While all of it looks
//! the same, none of it has to be read again.
//!
//! The same trust as the stat cache's: a file counts only if it had been still for longer than the file system's
//! clock ticks when it was looked at, so that whoever changes it later gives it another ctime.
//!
//! As bytes: three lists, each a count (u32) and its items. A file is its framed path and its looks; a folder its framed
//! path and the list of its entries, each a letter (`d` folder, `f` file, `l` link), its framed name, and its looks or, for a
//! link, its framed target; a blob is its digest and its looks. Looks are six u64: device, inode, size, mtime and ctime in
//! nanoseconds, mode. Framed: the length (u32), then the bytes; numbers are little-endian.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use super::Store;
use super::fingerprint::Snapshot;
use super::framing::{Bytes, Rest};
use super::scan::{Reach, ScannedEntry, ScannedKind, scan};
use super::stat::{FileKey, FileStat, ns_of};
use crate::core::digest::Digest;
use crate::core::lock::lock;
use crate::core::parallel::in_parallel;

/// Maximum blobs whose looks are noted: a run with more is checked in full each time.
const MAX_BLOBS: usize = 1_000_000;
/// Items from which on looking at them is shared between threads.
const MANY: usize = 2_000;
/// Items that a thread takes at once.
const SHARE: usize = 256;

/// How files, folders and blobs looked.
#[derive(Debug, Default, PartialEq)]
pub struct Evidence {
    files: Vec<(PathBuf, FileStat)>,
    folders: Vec<(PathBuf, Vec<Entry>)>,
    blobs: Vec<(Digest, FileStat)>,
}

/// What a folder holds.
#[derive(Debug, PartialEq)]
struct Entry {
    name: String,
    kind: EntryKind,
}

#[derive(Debug, PartialEq)]
enum EntryKind {
    Folder,
    File(FileStat),
    Link(String),
}

/// The blobs that a run was told are sound.
#[derive(Debug, Default)]
pub(super) struct VerifiedBlobs {
    blobs: Vec<(Digest, FileStat)>,
    /// Whether something was relied on whose looks say nothing.
    unsure: bool,
}

impl VerifiedBlobs {
    /// Notes a blob and how it looked when it was found to be sound; `None` where that says nothing.
    pub(super) fn add(&mut self, digest: &Digest, looks: Option<FileStat>) {
        match looks.filter(|_| self.blobs.len() < MAX_BLOBS) {
            Some(looks) => self.blobs.push((*digest, looks)),
            None => self.unsure = true,
        }
    }
}

impl Evidence {
    /// Adds how the user's files looked when they were read; false if one was too young for that to say anything.
    #[must_use]
    pub fn add_read(&mut self, snapshots: &[Arc<Snapshot>]) -> bool {
        for snapshot in snapshots {
            for (path, seen) in &snapshot.files {
                if seen.young {
                    return false;
                }
                self.files.push((path.clone(), seen.stat));
            }
            for folder in &snapshot.folders {
                if !folder.young.is_empty() {
                    return false;
                }
                self.folders.push((folder.path.clone(), folder.entries.iter().map(Entry::of).collect()));
            }
        }
        true
    }

    /// Adds how the file or folder at `path` looks; false if it is not there, is anything else, or may have changed since
    /// that time.
    #[must_use]
    pub fn add_unchanged(&mut self, path: &Path, since: SystemTime) -> bool {
        let since = ns_of(since);
        let Ok(metadata) = fs::metadata(path) else { return false };
        if metadata.is_file() {
            let stat = FileStat::of(&metadata);
            self.files.push((path.to_owned(), stat));
            return !stat.young(since);
        }
        let Ok(entries) = scan(path, Reach::Anywhere) else { return false };
        let is_young = |entry: &ScannedEntry| entry.kind == ScannedKind::File && entry.stat.young(since);
        let young = entries.iter().any(is_young);
        self.folders.push((path.to_owned(), entries.iter().map(Entry::of).collect()));
        !young
    }

    /// Adds the blobs that `store` found to be sound since it was told to note them; false if that is not known of all.
    #[must_use]
    pub fn add_verified(&mut self, store: &Store) -> bool {
        let Some(verified) = lock(&store.verified).take() else { return false };
        self.blobs.extend(verified.blobs);
        !verified.unsure
    }

    /// Whether the user's files and folders look as they did.
    pub fn holds(&self) -> bool {
        let same = |(path, then): &(PathBuf, FileStat)| {
            fs::metadata(path).is_ok_and(|now| now.is_file() && FileStat::of(&now) == *then)
        };
        all(&self.files, same)
            && self.folders.iter().all(|(path, entries)| {
                scan(path, Reach::Anywhere).is_ok_and(|now| {
                    now.len() == entries.len()
                        && now.iter().zip(entries).all(|(now, then)| Entry::of(now) == *then)
                })
            })
    }

    /// Whether the blobs look as they did. While `store` is open, no collection removes them.
    pub fn holds_in(&self, store: &Store) -> bool {
        let same = |(digest, then): &(Digest, FileStat)| {
            fs::symlink_metadata(store.blob_path(digest)).is_ok_and(|now| {
                now.is_file() && FileStat::of(&now) == *then && !store.is_condemned(digest, &now)
            })
        };
        all(&self.blobs, same)
    }

    /// The user's files and folders among them.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(path, _)| &**path).chain(self.folders.iter().map(|(path, _)| &**path))
    }

    /// See the top of this file.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Bytes::default();
        out.count(self.files.len());
        for (path, looks) in &self.files {
            out.framed(path.as_os_str().as_bytes());
            put_looks(&mut out, looks);
        }
        out.count(self.folders.len());
        for (path, entries) in &self.folders {
            out.framed(path.as_os_str().as_bytes());
            out.count(entries.len());
            for Entry { name, kind } in entries {
                out.byte(match kind {
                    EntryKind::Folder => b'd',
                    EntryKind::File(_) => b'f',
                    EntryKind::Link(_) => b'l',
                });
                out.framed(name.as_bytes());
                match kind {
                    EntryKind::Folder => {}
                    EntryKind::File(looks) => put_looks(&mut out, looks),
                    EntryKind::Link(target) => out.framed(target.as_bytes()),
                }
            }
        }
        out.count(self.blobs.len());
        for (digest, looks) in &self.blobs {
            out.bytes(&digest.0);
            put_looks(&mut out, looks);
        }
        out.done()
    }

    /// Reads what [`Evidence::encode`] wrote; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = Rest::of(bytes);
        let files = rest.list(|rest| Some((take_path(rest)?, take_looks(rest)?)))?;
        let folders = rest.list(|rest| {
            let path = take_path(rest)?;
            let entries = rest.list(|rest| {
                let letter = rest.byte()?;
                let name = rest.text()?;
                let kind = match letter {
                    b'd' => EntryKind::Folder,
                    b'f' => EntryKind::File(take_looks(rest)?),
                    b'l' => EntryKind::Link(rest.text()?),
                    _ => return None,
                };
                Some(Entry { name, kind })
            })?;
            Some((path, entries))
        })?;
        let blobs = rest.list(|rest| Some((Digest(*rest.chunk()?), take_looks(rest)?)))?;
        rest.is_empty().then_some(Self { files, folders, blobs })
    }
}

impl Entry {
    fn of(scanned: &ScannedEntry) -> Self {
        let kind = match &scanned.kind {
            ScannedKind::Folder => EntryKind::Folder,
            ScannedKind::File => EntryKind::File(scanned.stat),
            ScannedKind::Link(target) => EntryKind::Link(target.clone()),
        };
        Self { name: scanned.name.clone(), kind }
    }
}

/// Whether `test` holds for each of them; many are shared between threads.
fn all<T: Sync>(items: &[T], test: impl Fn(&T) -> bool + Sync) -> bool {
    if items.len() < MANY {
        return items.iter().all(test);
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let holds = AtomicBool::new(true);
    let shares: Vec<&[T]> = items.chunks(SHARE).collect();
    in_parallel(threads, &shares, |share| {
        if holds.load(Ordering::Relaxed) && !share.iter().all(&test) {
            holds.store(false, Ordering::Relaxed);
        }
    });
    holds.into_inner()
}

fn put_looks(bytes: &mut Bytes, looks: &FileStat) {
    let FileStat { key: FileKey { dev, ino }, size, mtime_ns, ctime_ns, mode } = *looks;
    for number in [dev, ino, size, mtime_ns.cast_unsigned(), ctime_ns.cast_unsigned(), mode.into()] {
        bytes.number(number);
    }
}

fn take_looks(rest: &mut Rest) -> Option<FileStat> {
    Some(FileStat {
        key: FileKey { dev: rest.number()?, ino: rest.number()? },
        size: rest.number()?,
        mtime_ns: rest.number()?.cast_signed(),
        ctime_ns: rest.number()?.cast_signed(),
        mode: u32::try_from(rest.number()?).ok()?,
    })
}

fn take_path(rest: &mut Rest) -> Option<PathBuf> {
    Some(OsStr::from_bytes(rest.framed()?).into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::testing::{Place, age, place};
    use super::*;

    /// A store that notes what it finds to be sound, a file, a folder and a blob, all of which are old enough.
    fn looked() -> (Place, Evidence, Digest) {
        let p = place();
        let file = p.write("user/f", "one");
        let held = p.write("user/d/s/g", "two");
        symlink("s/g", p.path("user/d/l")).unwrap();
        p.write("attempt/b", "three");
        let blob = p.keep("attempt/b", false);
        [&file, &held].into_iter().for_each(|path| age(path));
        p.store.note_verified();
        p.store.verify(&blob, false).unwrap();
        let mut evidence = Evidence::default();
        let read = [(file, false), (p.path("user/d"), true)];
        let read = read.map(|(path, is_dir)| Arc::new(p.store.fingerprint(&path, is_dir).unwrap().1));
        assert!(evidence.add_read(&read) && evidence.add_verified(&p.store));
        (p, evidence, blob.digest)
    }

    #[test]
    fn they_hold_until_something_changes_and_read_back() {
        let (p, evidence, digest) = looked();
        assert!(evidence.holds() && evidence.holds_in(&p.store));
        let bytes = evidence.encode();
        assert_eq!(Evidence::decode(&bytes).unwrap(), evidence);
        for end in 0..bytes.len() {
            assert_eq!(Evidence::decode(&bytes[..end]), None, "torn at {end}");
        }
        assert_eq!(Evidence::decode(&[&bytes[..], b"x"].concat()), None);

        let again = |change: &dyn Fn(&Place, &Digest)| {
            let (p, evidence, digest) = looked();
            change(&p, &digest);
            (evidence.holds(), evidence.holds_in(&p.store))
        };
        let files = (false, true);
        assert_eq!(again(&|p, _| drop(p.write("user/f", "ONE"))), files, "edited");
        assert_eq!(again(&|p, _| fs::remove_file(p.path("user/f")).unwrap()), files, "removed");
        assert_eq!(again(&|p, _| fs::rename(p.write("user/g", "one"), p.path("user/f")).unwrap()), files);
        assert_eq!(again(&|p, _| drop(p.write("user/d/new", ""))), files, "added to a folder");
        assert_eq!(again(&|p, _| drop(p.write("user/d/s/g", "TWO"))), files, "edited in a folder");
        assert_eq!(
            again(&|p, _| fs::remove_file(p.path("user/d/l")).unwrap()),
            files,
            "removed from a folder"
        );
        let turn = |p: &Place, _: &Digest| {
            fs::remove_file(p.path("user/d/l")).unwrap();
            symlink("s", p.path("user/d/l")).unwrap();
        };
        assert_eq!(again(&turn), files, "a link leads elsewhere");
        let gone = |p: &Place, digest: &Digest| fs::remove_file(p.store.blob_path(digest)).unwrap();
        assert_eq!(again(&gone), (true, false), "a blob is gone");
        let linked = |p: &Place, digest: &Digest| {
            let blob = p.store.blob_path(digest);
            fs::rename(&blob, p.path("user/blob")).unwrap();
            symlink(p.path("user/blob"), blob).unwrap();
        };
        assert_eq!(again(&linked), (true, false), "a link to the same content is no blob");
        drop((p, digest));
    }

    #[test]
    fn what_is_young_or_not_there_says_nothing() {
        let p = place();
        let mut evidence = Evidence::default();
        let before = SystemTime::now();
        assert!(!evidence.add_unchanged(&p.path("user/gone"), before));
        let path = p.write("user/f", "");
        assert!(!evidence.add_unchanged(&path, before) && !evidence.add_unchanged(&p.path("user"), before));
        age(&path);
        let now = SystemTime::now();
        assert!(
            !evidence.add_unchanged(&path, before),
            "it may have changed since then, however old it is now"
        );
        assert!(evidence.add_unchanged(&path, now) && evidence.add_unchanged(&p.path("user"), now));
        assert!(!Evidence::default().add_verified(&p.store), "nothing was noted");
    }

    #[test]
    fn many_are_looked_at_by_several_threads() {
        let p = place();
        let mut evidence = Evidence::default();
        for i in 0..MANY + 10 {
            let path = p.write(&format!("user/{i}"), "");
            let stat = FileStat::of(&fs::metadata(&path).unwrap());
            evidence.files.push((path, stat));
        }
        assert!(evidence.holds());
        fs::remove_file(p.path(&format!("user/{}", MANY + 9))).unwrap();
        assert!(!evidence.holds());
    }
}
