//! Who may remove blobs, and when: every open store belongs to a generation.
//!
//! A run counts on blobs that no row names and no folder shows: it found a result and has not staged it yet, or it made
//! content that the store already holds. No other run can know of that. So each opener of the store shares a lock
//! (`flock`, on a descriptor of its own: threads and processes are the same case) until it drops the [`Store`]: open
//! one store for each run and drop it at the end. A process without runs holds nothing.
//!
//! The lock is on the file of the newest generation, `generations/<n>`; generation 0 is the store's folder itself.
//!
//! A collector removes blobs in one of two ways:
//! - **alone**: it locks every generation exclusively, without waiting. No other process has the store open, and whoever opens
//!   it waits. Everything that is garbage goes.
//! - **beside runs**: it *condemns* the garbage, in a list `generations/<n>.condemned` of the newest generation n, and
//!   then begins generation n+1. Once all locks of generations up to n are free, every run that could count on a
//!   condemned blob has ended, and what is still garbage goes. Runs that overlap for ever delay nothing for ever.
//!
//! For this to be right, a store treats blobs that were condemned before it was opened as missing: a lookup misses, and
//! equal content is written anew over the blob. The list names a blob by digest, inode and time, so the new file is not
//! the condemned one. Replacing a condemned blob and removing it exclude each other by a lock on `blobs/`. A later
//! collection takes blobs that are needed again off the lists.
//!
//! A crash leaves a list or a generation too many, which the next collection finishes. Where the file system has no
//! locks no process can have one exclusively: nothing is lost, and nothing is removed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::Store;
use crate::core::digest::Digest;
use crate::storage::own_file::{self, Access};
use crate::storage::own_folder;

/// The folder of generations, below the store's.
const FOLDER: &str = "generations";
/// The extension of a list of condemned blobs.
const LIST: &str = "condemned";
/// How often opening a store follows a generation that ends meanwhile, before it joins generation 0, which delays
/// collections and is always right.
const MAX_OPENINGS: usize = 100;

/// The lock of one who has a store open.
pub(super) struct SharedLock {
    file: File,
    generation: u64,
    /// Blobs that were condemned before the lock was taken: missing, as far as this store is concerned.
    condemned: HashMap<Digest, BlobId>,
}

/// A blob's file: another file of the same content has another id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlobId {
    ino: u64,
    mtime_ns: i64,
}

/// Proof that no other opener of the store exists; until it is dropped, no other can open it.
pub struct ExclusiveLock<'a> {
    pub(super) store: &'a Store,
    /// The other generations, locked.
    _others: Vec<File>,
}

/// A collection beside runs; there is one at a time.
pub struct Collector<'a> {
    store: &'a Store,
    folder: PathBuf,
    /// The greatest generation up to which all openers are gone.
    ended: Option<u64>,
    lists: BTreeMap<u64, HashMap<Digest, BlobId>>,
    /// Of the folder of generations.
    _lock: File,
}

impl SharedLock {
    /// Joins the newest generation; waits while a collector is alone. `None` without locks, or where there is no store.
    ///
    /// # Errors
    /// The generations or the lists of condemned blobs cannot be read: it is unknown what may be counted on.
    pub fn take(store: &Path) -> io::Result<Option<Self>> {
        let folder = store.join(FOLDER);
        for _ in 0..MAX_OPENINGS {
            let generation = newest(&folder)?;
            let Ok(file) = open(store, generation) else { continue };
            if share(&file).is_none() {
                return Ok(None);
            }
            // Otherwise a collector may have found this generation free before it was joined.
            if newest(&folder)? == generation {
                return Ok(Some(Self { file, generation, condemned: condemned(&folder)? }));
            }
        }
        let Ok(file) = open(store, 0) else { return Ok(None) };
        if share(&file).is_none() {
            return Ok(None);
        }
        Ok(Some(Self { file, generation: 0, condemned: condemned(&folder)? }))
    }
}

impl Store {
    /// Whether the file of a blob was condemned before this store was opened.
    pub(super) fn is_condemned(&self, digest: &Digest, found: &Metadata) -> bool {
        let lock = self.lock.as_ref();
        lock.is_some_and(|lock| lock.condemned.get(digest) == Some(&BlobId::of(found)))
    }

    /// Excludes collectors while condemned blobs among `digests` are replaced.
    pub(super) fn lock_condemned<'d>(&self, mut digests: impl Iterator<Item = &'d Digest>) -> Option<File> {
        let condemned = &self.lock.as_ref()?.condemned;
        if condemned.is_empty() || !digests.any(|digest| condemned.contains_key(digest)) {
            return None;
        }
        let folder = own_folder::open(&self.folder.join("blobs")).ok()?;
        share(&folder)?;
        Some(folder)
    }

    /// The store for this caller alone; `None` if it is open elsewhere, in this process or another.
    #[must_use]
    pub fn alone(&self) -> Option<ExclusiveLock<'_>> {
        let own = self.lock.as_ref().filter(|_| self.writable)?;
        let folder = self.folder.join(FOLDER);
        let (before, mut others) = (newest(&folder).ok()?, Vec::new());
        let mut lock = |generation: u64| {
            if generation == own.generation {
                return exclude(&own.file);
            }
            let file = open(&self.folder, generation).ok()?;
            exclude(&file)?;
            others.push(file);
            Some(())
        };
        let all = generations(&folder).ok().and_then(|all| all.into_iter().try_for_each(&mut lock));
        if all.is_some() && newest(&folder).is_ok_and(|newest| newest == before) {
            return Some(ExclusiveLock { store: self, _others: others });
        }
        // The attempt may have cost the shared lock. A caller that wants to be alone counts on no blob.
        drop(others);
        let _ = share(&own.file);
        None
    }

    /// Begins a collection beside runs; `None` while another one goes on, or without locks.
    #[must_use]
    pub fn collect_beside(&self) -> Option<Collector<'_>> {
        let own = self.lock.as_ref().filter(|_| self.writable)?;
        let folder = self.folder.join(FOLDER);
        let lock = own_folder::make(&folder).ok()?;
        exclude(&lock)?;
        // Its own generation counts as open: a run of this process may use the same store.
        let is_free = |generation: &u64| {
            *generation != own.generation
                && open(&self.folder, *generation).is_ok_and(|file| exclude(&file).is_some())
        };
        let ended = generations(&folder).ok()?.into_iter().take_while(is_free).last();
        Some(Collector { store: self, ended, lists: lists(&folder).ok()?, folder, _lock: lock })
    }

    /// Whether a collection could remove garbage now that an earlier one had to leave.
    #[must_use]
    pub fn can_sweep(&self) -> bool {
        if self.alone().is_some() {
            return true;
        }
        self.collect_beside()
            .is_some_and(|c| c.lists.keys().next().is_some_and(|first| Some(*first) <= c.ended))
    }
}

impl ExclusiveLock<'_> {
    /// Removes a blob; it is no error if it is gone already.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&self, digest: &Digest) -> io::Result<()> {
        // Not `remove_file`: something else may stand there.
        own_folder::remove(&self.store.blob_path(digest))
    }

    /// Ends the collection: nothing is garbage or condemned any more.
    ///
    /// # Errors
    /// A file of the store cannot be removed.
    pub fn swept(&self) -> io::Result<()> {
        let folder = self.store.folder.join(FOLDER);
        for generation in lists(&folder)?.keys() {
            own_folder::remove(&folder.join(format!("{generation}.{LIST}")))?;
        }
        self.store.remove_generations(u64::MAX)?;
        self.store.clear_unswept()
    }
}

impl Drop for ExclusiveLock<'_> {
    fn drop(&mut self) {
        if let Some(lock) = &self.store.lock {
            // It can only fail where taking it would have.
            let _ = share(&lock.file);
        }
    }
}

impl Collector<'_> {
    /// Whether every run has ended that could count on the blob, which was condemned before.
    #[must_use]
    pub fn is_due(&self, digest: &Digest) -> bool {
        let Some(ended) = self.ended else { return false };
        let id = fs::symlink_metadata(self.store.blob_path(digest)).ok().map(|found| BlobId::of(&found));
        id.is_some() && self.lists.range(..=ended).any(|(_, list)| list.get(digest).copied() == id)
    }

    /// Removes those blobs that are due; the others stay.
    ///
    /// # Errors
    /// A blob cannot be removed.
    pub fn remove<'d>(&self, blobs: impl Iterator<Item = &'d Digest>) -> io::Result<()> {
        // Excludes runs that replace condemned blobs; they hold it for some renames.
        let folder = match own_folder::open(&self.store.folder.join("blobs")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            folder => folder?,
        };
        while let Err(error) = flock(&folder, FlockOperation::LockExclusive) {
            if error != Errno::INTR {
                return Err(error.into());
            }
        }
        for digest in blobs {
            if self.is_due(digest) {
                own_folder::remove(&self.store.blob_path(digest))?;
            }
        }
        Ok(())
    }

    /// Ends the collection: condemns the `garbage` that is left, and takes everything else off the lists. Whether
    /// nothing waits for another collection.
    ///
    /// # Errors
    /// A list cannot be written or removed. Garbage stays for a later collection.
    pub fn finish(mut self, garbage: &HashSet<Digest>) -> io::Result<bool> {
        if let Some(ended) = self.ended {
            let rest = self.lists.split_off(&(ended + 1));
            for generation in std::mem::replace(&mut self.lists, rest).keys() {
                own_folder::remove(&self.list_path(*generation))?;
            }
            self.store.remove_generations(ended)?;
        }
        let mut waiting = HashSet::new();
        for (generation, list) in &self.lists {
            let kept: HashMap<Digest, BlobId> = list
                .iter()
                .filter(|(digest, id)| garbage.contains(digest) && self.id(digest) == Some(**id))
                .map(|(digest, id)| (*digest, *id))
                .collect();
            if kept.is_empty() {
                own_folder::remove(&self.list_path(*generation))?;
            } else if kept.len() < list.len() {
                self.write_list(*generation, &kept)?;
            }
            waiting.extend(kept.into_keys());
        }
        let ids = garbage.iter().filter(|digest| !waiting.contains(digest));
        let new: HashMap<Digest, BlobId> =
            ids.filter_map(|digest| Some((*digest, self.id(digest)?))).collect();
        if new.is_empty() {
            return Ok(waiting.is_empty());
        }
        let current = newest(&self.folder)?;
        // A generation has a list already only where a collection died before it began the next one.
        let mut list = self.lists.remove(&current).unwrap_or_default();
        list.retain(|digest, _| waiting.contains(digest));
        list.extend(new);
        self.write_list(current, &list)?;
        own_file::open(&self.folder.join((current + 1).to_string()), Access::New)?;
        Ok(false)
    }

    fn id(&self, digest: &Digest) -> Option<BlobId> {
        fs::symlink_metadata(self.store.blob_path(digest)).ok().map(|found| BlobId::of(&found))
    }

    fn list_path(&self, generation: u64) -> PathBuf {
        self.folder.join(format!("{generation}.{LIST}"))
    }

    /// Writes a list in one step: an opener of the store sees the old one or the new one.
    fn write_list(&self, generation: u64, list: &HashMap<Digest, BlobId>) -> io::Result<()> {
        let lines = list.iter().map(|(digest, id)| format!("{} {} {}\n", digest.hex(), id.ino, id.mtime_ns));
        let new = self.folder.join("new");
        own_file::open(&new, Access::Replace)?.write_all(lines.collect::<String>().as_bytes())?;
        fs::rename(&new, self.list_path(generation))
    }
}

impl Store {
    /// Removes the files of generations up to `last`, but for the newest and the own.
    fn remove_generations(&self, last: u64) -> io::Result<()> {
        let folder = self.folder.join(FOLDER);
        let (newest, own) = (newest(&folder)?, self.lock.as_ref().map(|lock| lock.generation));
        let over = |n: &u64| *n > 0 && *n <= last && *n < newest && Some(*n) != own;
        let mut old = generations(&folder)?.into_iter().filter(over);
        old.try_for_each(|generation| own_folder::remove(&folder.join(generation.to_string())))
    }
}

impl BlobId {
    fn of(found: &Metadata) -> Self {
        let mtime_ns = found.mtime().saturating_mul(1_000_000_000).saturating_add(found.mtime_nsec());
        Self { ino: found.ino(), mtime_ns }
    }
}

/// Shares a lock, and waits for it. `None` where there are no locks.
fn share(file: &File) -> Option<()> {
    while let Err(error) = flock(file, FlockOperation::LockShared) {
        if error != Errno::INTR {
            return None;
        }
    }
    Some(())
}

/// Takes a lock exclusively, without waiting.
fn exclude(file: &File) -> Option<()> {
    flock(file, FlockOperation::NonBlockingLockExclusive).ok()
}

/// Opens the file that stands for a generation.
fn open(store: &Path, generation: u64) -> io::Result<File> {
    match generation {
        0 => own_folder::open(store),
        n => own_file::open(&store.join(FOLDER).join(n.to_string()), Access::Read),
    }
}

/// The names in the folder of generations; none where there is no folder yet.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        entries => entries?,
    };
    entries.map(|entry| Ok(entry?.file_name().into_string().unwrap_or_default())).collect()
}

/// All generations, in order.
fn generations(folder: &Path) -> io::Result<Vec<u64>> {
    let mut all: Vec<u64> = names(folder)?.iter().filter_map(|name| name.parse().ok()).collect();
    all.push(0);
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

fn newest(folder: &Path) -> io::Result<u64> {
    Ok(generations(folder)?.last().copied().unwrap_or(0))
}

/// Maximum size of a list, in bytes.
const MAX_LIST_BYTES: u64 = 1 << 30;

/// The lists of condemned blobs, by generation. A line that does not read condemns nothing.
fn lists(folder: &Path) -> io::Result<BTreeMap<u64, HashMap<Digest, BlobId>>> {
    let line = |line: &str| {
        let mut words = line.split(' ');
        let digest = words.next()?.parse().ok()?;
        let id = BlobId { ino: words.next()?.parse().ok()?, mtime_ns: words.next()?.parse().ok()? };
        Some((digest, id))
    };
    let mut lists = BTreeMap::new();
    for name in names(folder)? {
        let generation = name.strip_suffix(LIST).and_then(|name| name.strip_suffix('.')?.parse().ok());
        let Some(generation) = generation else { continue };
        let bytes = match own_file::read(&folder.join(&name), MAX_LIST_BYTES) {
            // Another collection has ended meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            bytes => bytes?,
        };
        lists.insert(generation, String::from_utf8_lossy(&bytes).lines().filter_map(line).collect());
    }
    Ok(lists)
}

/// All condemned blobs; where two lists name one, the later list counts.
fn condemned(folder: &Path) -> io::Result<HashMap<Digest, BlobId>> {
    Ok(lists(folder)?.into_values().flatten().collect())
}

#[cfg(test)]
mod tests;
