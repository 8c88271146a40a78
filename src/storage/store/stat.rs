//! The stat cache: the digest of a file that has not changed, without reading it.
//!
//! An entry is trusted while size, mtime and ctime are equal. It is made only for a file that had been still
//! for longer than the file system's clock ticks before it was read: whoever writes to it later, in the
//! same size and with the old mtime restored, cannot help giving it another ctime. Knows nothing of where
//! entries are kept between runs.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::OFlags;

use super::error::FileError;
use crate::core::digest::{Digest, Hasher};
use crate::core::lock::lock;
use crate::storage::own_file::{self, Access};

/// Creates the stat cache's table; part of the database's schema, see `db.rs`.
pub const STAT_SCHEMA: &str = "
    CREATE TABLE file_stat (
        dev INTEGER NOT NULL,
        ino INTEGER NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        ctime_ns INTEGER NOT NULL,
        digest BLOB NOT NULL,
        PRIMARY KEY (dev, ino)
    ) WITHOUT ROWID;
";

/// Which file, on this machine and for as long as it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileKey {
    pub dev: u64,
    pub ino: u64,
}

/// What is known of a file that looked like this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatEntry {
    /// In bytes.
    pub size: u64,
    /// In nanoseconds since 1970.
    pub mtime_ns: i64,
    /// In nanoseconds since 1970.
    pub ctime_ns: i64,
    pub digest: Digest,
}

/// Finds an entry that an earlier run recorded.
pub type StatLookup = Box<dyn Fn(FileKey) -> Option<StatEntry> + Send + Sync>;

/// How a file looks from outside. Two equal ones of a file that had been still mean the same content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileStat {
    pub key: FileKey,
    pub size: u64,
    pub mtime_ns: i64,
    pub ctime_ns: i64,
    pub mode: u32,
}

/// A file's content together with how the file looked while it was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub stat: FileStat,
    pub digest: Digest,
    /// Whether the file was too young for its stat alone to be trusted later.
    pub young: bool,
}

/// Digests of files by how they look. Shared between threads.
pub struct StatCache {
    lookup: StatLookup,
    /// `None`: whatever the lookup says of that file is not to be trusted.
    known: Mutex<HashMap<FileKey, Option<StatEntry>>>,
    fresh: Mutex<Vec<(FileKey, StatEntry)>>,
}

/// How long a file must have been still where times have sub-second parts: several ticks of any kernel.
const FINE_NS: i64 = 50_000_000;
/// The same where times are whole seconds, or pairs of them.
const COARSE_NS: i64 = 2_000_000_000;
/// Maximum reads of a file that changes while it is read.
pub(super) const MAX_READS: usize = 3;
/// Size of one read.
const READ_BYTES: usize = 256 * 1024;

impl StatCache {
    /// An empty cache in front of `lookup`.
    pub fn new(lookup: StatLookup) -> Self {
        Self { lookup, known: Mutex::default(), fresh: Mutex::default() }
    }

    /// The entries recorded since the last call, for the caller to persist.
    pub fn drain_fresh(&self) -> Vec<(FileKey, StatEntry)> {
        std::mem::take(&mut lock(&self.fresh))
    }

    /// The digest of a file that looks like `stat`, if it is known without reading.
    pub(super) fn known(&self, stat: &FileStat) -> Option<Digest> {
        let remembered = lock(&self.known).get(&stat.key).copied();
        let entry = match remembered {
            Some(entry) => entry?,
            None => {
                let entry = (self.lookup)(stat.key)?;
                lock(&self.known).entry(stat.key).or_insert(Some(entry));
                entry
            }
        };
        let same =
            entry.size == stat.size && entry.mtime_ns == stat.mtime_ns && entry.ctime_ns == stat.ctime_ns;
        same.then_some(entry.digest)
    }

    /// Records a file that certainly no process writes to.
    pub(super) fn record(&self, stat: &FileStat, digest: Digest) {
        let FileStat { key, size, mtime_ns, ctime_ns, .. } = *stat;
        let entry = StatEntry { size, mtime_ns, ctime_ns, digest };
        lock(&self.known).insert(key, Some(entry));
        lock(&self.fresh).push((key, entry));
    }

    /// Trusts nothing that is known of a file.
    pub(super) fn forget(&self, key: FileKey) {
        lock(&self.known).insert(key, None);
    }

    /// The digest of the regular file at `path`, which looked like `stat` a moment ago; reads it if it must.
    pub(super) fn digest(&self, path: &Path, stat: &FileStat) -> Result<Seen, FileError> {
        let mut stat = *stat;
        for _ in 0..MAX_READS {
            if let Some(digest) = self.known(&stat) {
                return Ok(Seen { stat, digest, young: false });
            }
            let seen = read(path)?;
            if let Some(seen) = seen {
                if !seen.young {
                    self.record(&seen.stat, seen.digest);
                }
                return Ok(seen);
            }
            stat = FileStat::of(&std::fs::metadata(path).map_err(|e| FileError::at(path, e))?);
        }
        Err(FileError::Unstable(path.to_owned()))
    }
}

impl FileStat {
    pub fn of(metadata: &Metadata) -> Self {
        let ns = |s: i64, ns: i64| s.saturating_mul(1_000_000_000).saturating_add(ns);
        Self {
            key: FileKey { dev: metadata.dev(), ino: metadata.ino() },
            size: metadata.size(),
            mtime_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
            ctime_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
            mode: metadata.mode(),
        }
    }

    /// Whether the owner may execute it: the one bit of a file's mode that counts.
    pub fn executable(&self) -> bool {
        self.mode & 0o100 != 0
    }

    /// Whether, at `now_ns`, the file might still change without getting another ctime.
    pub fn young(&self, now_ns: i64) -> bool {
        let granularity = if self.ctime_ns % 1_000_000_000 == 0 { COARSE_NS } else { FINE_NS };
        // A ctime in the future lies in this range as well.
        now_ns.saturating_sub(self.ctime_ns) <= granularity
    }
}

/// The wall clock, in nanoseconds since 1970.
pub(super) fn now_ns() -> i64 {
    ns_of(SystemTime::now())
}

/// A time in nanoseconds since 1970.
pub(super) fn ns_of(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Reads and hashes the regular file at `path`; `None` if it changed meanwhile.
pub(super) fn read(path: &Path) -> Result<Option<Seen>, FileError> {
    // Before the first byte is read: a write in the same tick as the last one must not pass unseen.
    let now = now_ns();
    let (file, stat) = open(path)?;
    let fail = |e| FileError::at(path, e);
    let (digest, size) = hash(&file).map_err(fail)?;
    let after = FileStat::of(&file.metadata().map_err(fail)?);
    let stable = after == stat && size == stat.size;
    Ok(stable.then_some(Seen { stat, digest, young: stat.young(now) }))
}

/// Opens a regular file for reading; never waits for a fifo or a device.
pub(super) fn open(path: &Path) -> Result<(File, FileStat), FileError> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32;
    let fail = |e| FileError::at(path, e);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(fail)?;
    let metadata = file.metadata().map_err(fail)?;
    regular(path, &metadata)?;
    Ok((file, FileStat::of(&metadata)))
}

/// Opens a file of the store for reading; never through a link.
pub(super) fn open_own(path: &Path) -> Result<(File, FileStat), FileError> {
    let fail = |e| FileError::at(path, e);
    let file = own_file::open(path, Access::Read).map_err(fail)?;
    let stat = FileStat::of(&file.metadata().map_err(fail)?);
    Ok((file, stat))
}

/// The error if `path`, which looks like `metadata`, is no regular file.
pub(super) fn regular(path: &Path, metadata: &Metadata) -> Result<(), FileError> {
    match metadata.is_file() {
        true => Ok(()),
        false if metadata.is_dir() => Err(FileError::IsDirectory(path.to_owned())),
        false => Err(special(path, metadata)),
    }
}

/// The error that says what stands at `path` in place of a file or a directory.
pub(super) fn special(path: &Path, metadata: &Metadata) -> FileError {
    let found = metadata.file_type();
    let kind = if found.is_fifo() {
        "a fifo"
    } else if found.is_socket() {
        "a socket"
    } else if found.is_char_device() || found.is_block_device() {
        "a device"
    } else {
        "something odd"
    };
    FileError::Special { path: path.to_owned(), kind }
}

/// The digest and the number of all bytes that are left in `file`.
fn hash(mut file: &File) -> io::Result<(Digest, u64)> {
    thread_local! {
        static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
    }
    BUFFER.with_borrow_mut(|buffer| {
        let mut hasher = Hasher::default();
        let mut size = 0;
        loop {
            match file.read(buffer) {
                Ok(0) => return Ok((hasher.finish(), size)),
                Ok(n) => {
                    hasher.update(&buffer[..n]);
                    size += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::testing::age;
    use super::*;

    fn stat(path: &Path) -> FileStat {
        FileStat::of(&fs::metadata(path).unwrap())
    }

    fn empty() -> StatCache {
        StatCache::new(Box::new(|_| None))
    }

    #[test]
    fn only_a_still_file_is_recorded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let cache = empty();
        let mut second = 0;
        // A file this young may be read while the machine is so busy that it ages: try until it does not.
        for i in 0.. {
            fs::write(&path, format!("{i}")).unwrap();
            let seen = cache.digest(&path, &stat(&path)).unwrap();
            assert_eq!(seen.digest, Digest::of(format!("{i}")));
            assert_eq!(cache.drain_fresh().is_empty(), seen.young);
            if seen.young {
                second = i;
                break;
            }
        }
        age(&path);
        let seen = cache.digest(&path, &stat(&path)).unwrap();
        assert!(!seen.young);
        let fresh = cache.drain_fresh();
        assert_eq!(fresh.len(), 1);
        assert_eq!(fresh[0].1.digest, Digest::of(format!("{second}")));
        assert_eq!(cache.known(&stat(&path)), Some(seen.digest));
        assert!(cache.drain_fresh().is_empty());
    }

    #[test]
    fn a_known_file_is_not_read_until_it_changes_behind_a_restored_mtime() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "one").unwrap();
        age(&path);
        let before = stat(&path);
        let claimed = Digest::of("what an earlier run found");
        let FileStat { key, size, mtime_ns, ctime_ns, .. } = before;
        let entry = StatEntry { size, mtime_ns, ctime_ns, digest: claimed };
        let cache = StatCache::new(Box::new(move |asked| (asked == key).then_some(entry)));
        assert_eq!(cache.digest(&path, &before).unwrap().digest, claimed);

        let mtime = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, "two").unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(mtime).unwrap();
        let after = stat(&path);
        assert_eq!((after.key, after.size, after.mtime_ns), (before.key, before.size, before.mtime_ns));
        assert_eq!(cache.digest(&path, &after).unwrap().digest, Digest::of("two"));
    }

    #[test]
    fn edits_in_a_row_of_one_size_are_all_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let cache = empty();
        for i in 100..400 {
            fs::write(&path, format!("{i}")).unwrap();
            assert_eq!(cache.digest(&path, &stat(&path)).unwrap().digest, Digest::of(format!("{i}")));
        }
    }

    #[test]
    fn a_forgotten_file_stays_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "one").unwrap();
        let stat = stat(&path);
        let FileStat { key, size, mtime_ns, ctime_ns, .. } = stat;
        let entry = StatEntry { size, mtime_ns, ctime_ns, digest: Digest::of("wrong") };
        let cache = StatCache::new(Box::new(move |_| Some(entry)));
        cache.forget(key);
        assert_eq!(cache.digest(&path, &stat).unwrap().digest, Digest::of("one"));
    }

    #[test]
    fn youth_goes_by_the_file_systems_clock() {
        let at =
            |ctime_ns| FileStat { key: FileKey { dev: 0, ino: 0 }, size: 0, mtime_ns: 0, ctime_ns, mode: 0 };
        let (fine, coarse) = (at(10_000_000_001), at(10_000_000_000));
        assert!(fine.young(10_050_000_000) && !fine.young(10_051_000_000));
        assert!(coarse.young(12_000_000_000) && !coarse.young(12_000_000_001));
        assert!(fine.young(5_000_000_000), "a ctime in the future");
    }
}
