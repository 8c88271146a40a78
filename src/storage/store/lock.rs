//! Who may remove blobs, and when: the lock on the store's folder.
//!
//! A run may count on a blob that no row names and no task's folder shows: it has found a result and not staged it yet,
//! or made content that the store has already. Nobody else can know of that. So whoever has the store open
//! shares a lock on its folder, and only one who can have that lock alone, without waiting, removes blobs. The
//! system gives the lock back when a process dies, however it dies.
//!
//! Where the file system has no locks nobody can have it alone: nothing is lost, and nothing is removed.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::Store;
use super::manifest::{HEADER, Item, Manifest};
use super::stat::FileKey;
use super::temp::remove_tree;
use crate::core::digest::Digest;

/// The file that marks garbage.
const UNSWEPT: &str = "unswept";

/// The lock of one who has a store open.
pub(super) struct SharedLock(File);

/// Proof that nobody else has the store open; until it is dropped, nobody else can open it.
pub struct ExclusiveLock<'a>(&'a Store);

/// A file below `blobs/` that is named as a blob is.
#[derive(Clone, Copy, Debug)]
pub struct BlobFile {
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    pub key: FileKey,
}

impl SharedLock {
    /// Shares the lock of an open store; waits while somebody removes blobs. `None` without locks.
    pub fn share(folder: File) -> Option<Self> {
        while let Err(error) = flock(&folder, FlockOperation::LockShared) {
            if error != Errno::INTR {
                return None;
            }
        }
        Some(Self(folder))
    }
}

impl Store {
    /// The store for this process alone; `None` if another has it open.
    pub fn alone(&self) -> Option<ExclusiveLock<'_>> {
        let hold = self.hold.as_ref().filter(|_| self.writable)?;
        match flock(&hold.0, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Some(ExclusiveLock(self)),
            Err(_) => {
                // The attempt may have cost the shared one.
                let _ = flock(&hold.0, FlockOperation::LockShared);
                None
            }
        }
    }

    /// Every blob, in no order. Files with other names are nobody's business here.
    pub fn blobs(&self) -> io::Result<Vec<BlobFile>> {
        let entries = match fs::read_dir(self.folder.join("blobs")) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut blobs = Vec::new();
        for entry in entries {
            let entry = entry?;
            let Some(digest) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            match entry.metadata() {
                Ok(found) => {
                    let key = FileKey { dev: found.dev(), ino: found.ino() };
                    blobs.push(BlobFile { digest, size: found.len(), key });
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        Ok(blobs)
    }

    /// What blobs that were found to be wrong take, in bytes.
    pub fn damaged_size(&self) -> u64 {
        let entries = fs::read_dir(self.folder.join("damaged")).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.metadata().ok()).map(|found| found.len()).sum()
    }

    /// Marks that something is about to become garbage: the next one who is alone here removes it.
    pub fn mark_unswept(&self) -> io::Result<()> {
        File::create(self.folder.join(UNSWEPT)).map(drop)
    }

    /// Whether garbage may be left from a time when nobody was alone.
    pub fn is_unswept(&self) -> bool {
        self.folder.join(UNSWEPT).exists()
    }

    /// The files that a directory's blob names, each once; none for any other blob.
    pub fn parts(&self, digest: &Digest) -> Vec<Digest> {
        let Ok(mut file) = File::open(self.blob_path(digest)) else { return Vec::new() };
        let mut bytes = vec![0; HEADER.len()];
        if file.read_exact(&mut bytes).is_err() || bytes != HEADER || file.read_to_end(&mut bytes).is_err() {
            return Vec::new();
        }
        let items = Manifest::decode(&bytes).unwrap_or_default().entries.into_values();
        let digests: BTreeSet<Digest> = items
            .filter_map(|item| match item {
                Item::File { digest, .. } => Some(digest),
                Item::Folder | Item::Link(_) => None,
            })
            .collect();
        digests.into_iter().collect()
    }

    /// The bytes that were added to the store since this was last asked.
    pub fn take_added(&self) -> u64 {
        self.added.swap(0, Ordering::Relaxed)
    }
}

impl ExclusiveLock<'_> {
    /// Removes a blob; it is no error if it is gone already.
    pub fn remove(&self, digest: &Digest) -> io::Result<()> {
        // Not `remove_file`: something else may stand there.
        remove_tree(&self.0.blob_path(digest))
    }

    /// Nothing is garbage any more.
    pub fn swept(&self) -> io::Result<()> {
        remove_tree(&self.0.folder.join(UNSWEPT))
    }

    /// Removes blobs that were found to be wrong.
    pub fn remove_damaged(&self) -> io::Result<()> {
        remove_tree(&self.0.folder.join("damaged"))
    }
}

impl Drop for ExclusiveLock<'_> {
    fn drop(&mut self) {
        if let Some(hold) = &self.0.hold {
            // It can only fail where taking it would have.
            let _ = flock(&hold.0, FlockOperation::LockShared);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{place, reopen};
    use super::super::{StatCache, Store};

    #[test]
    fn nobody_is_alone_while_others_have_the_store_open() {
        let p = place();
        p.write("attempt/f", "content");
        let artifact = p.keep("attempt/f", false);
        let [blob] = p.store.blobs().unwrap()[..] else { panic!("one blob") };
        assert_eq!((blob.digest, blob.size), (artifact.digest, 7));
        let looking = || Store::open_read_only(p.dir.path(), StatCache::new(Box::new(|_| None))).unwrap();
        for open in [&|| reopen(p.dir.path()), &looking as &dyn Fn() -> Store] {
            let other = open();
            assert!(p.store.alone().is_none());
            assert!(other.alone().is_none());
        }
        let alone = p.store.alone().unwrap();
        alone.remove(&artifact.digest).unwrap();
        alone.remove(&artifact.digest).unwrap();
        drop(alone);
        assert!(p.store.blobs().unwrap().is_empty());
        drop(reopen(p.dir.path()));
        assert!(p.store.alone().is_some());
    }

    #[test]
    fn whoever_opens_the_store_waits_until_blobs_are_removed() {
        let p = place();
        let alone = p.store.alone().unwrap();
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                send.send("begun").unwrap();
                drop(reopen(p.dir.path()));
                send.send("open").unwrap();
            });
            assert_eq!(receive.recv(), Ok("begun"));
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert!(receive.try_recv().is_err());
            drop(alone);
            assert_eq!(receive.recv(), Ok("open"));
        });
    }
}
