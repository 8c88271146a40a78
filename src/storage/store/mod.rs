//! The content-addressed store: files and directories, kept and found by the SHA-256 of their content.
//!
//! On disk, below `<home>/store`: `blobs/<64 hex>` (mode 0444, named by the digest of their bytes; one folder,
//! because each folder that a group of blobs touches has to be written to the disk by itself), `tmp/`
//! (one locked folder for each process that writes) and `damaged/` (blobs found to be wrong). A directory is a
//! blob as well: its manifest. A blob appears under its name only when its bytes are on the disk, by rename,
//! so a crash leaves nothing but temporaries. Knows nothing of tasks, keys or the database.
//!
//! | file | owns |
//! |---|---|
//! | `error` | what can be wrong with a file, an output or a blob |
//! | `stat` | digests of unchanged files without reading them |
//! | `scan` | what a directory holds, and where its links lead |
//! | `framing` | bytes that read back in one way only |
//! | `manifest` | the canonical bytes of a directory |
//! | `fingerprint` | a user's own files as artifacts, and whether they changed since |
//! | `evidence` | how everything looked that a run relied on, and whether it still does |
//! | `temp` | temporaries: who owns them, and what becomes of a dead process's |
//! | `receive` | content from elsewhere, checked while it comes |
//! | `seal`, `commit` | from a task's output to a durable blob |
//! | `sync` | many files brought to the disk at once |
//! | `input_copies` | copies of a user's own small files, for later explanations |
//! | `verify` | whether an artifact can still be had |
//! | `blobs` | what the store holds, and the mark of garbage |
//! | `generation` | who may remove blobs, and when |
//! | `compare` | what two artifacts differ in |
//! | `pieces` | what staging works with: the pieces of an artifact, the form they are put in, what is there afterwards |
//! | `stage` | read-only copies or links for tasks, and whether a task changed the original |
//! | `view` | the tree of an artifact whose large files are shown where they lie |
//! | `publish` | writable copies at a user's own path |

mod blobs;
mod commit;
mod compare;
mod error;
mod evidence;
mod fingerprint;
mod framing;
mod generation;
mod input_copies;
mod manifest;
mod pieces;
mod publish;
mod receive;
mod scan;
mod seal;
mod shared;
mod stage;
mod stat;
mod sync;
mod temp;
mod verify;
mod view;

use std::io;
use std::path::{Path, PathBuf, absolute};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

pub use super::removal::remove_tree;
pub use blobs::{BlobFile, files_of_directory};
pub use error::{Damage, FileError, SealError, Wrong};
pub use evidence::Evidence;
pub use fingerprint::{Snapshot, check_there};
pub use generation::{Collector, ExclusiveLock};
pub use input_copies::read_text;
pub use manifest::{EntryContent, directory_entries};
pub use pieces::{Guard, LargeFiles, Staged, ViewTree};
pub use publish::{PublishEntry, sync_folder};
pub use receive::{BlobContent, InStore, ReceiveError};
pub use seal::{NewOutput, Sealed};
pub use shared::collect_shared;
pub use stage::Spoiled;
pub use stat::{FileKey, STAT_SCHEMA, StatCache, StatEntry, StatLookup};
pub use temp::PendingBlob;

use crate::core::digest::Digest;
use crate::core::lock::lock;
use crate::storage::own_folder;
use evidence::VerifiedBlobs;
use generation::SharedLock;
use temp::{Pending, TempFolder};

/// The store below one home folder. Shared between threads behind an `Arc`.
pub struct Store {
    folder: PathBuf,
    writable: bool,
    stats: StatCache,
    /// Where this process keeps its temporaries; made when the first one is needed.
    temp_folder: Mutex<Option<Arc<TempFolder>>>,
    /// Sealed content that has no final name yet.
    pending: Arc<Pending>,
    /// Held by the one thread that is giving blobs their names.
    committing: Mutex<()>,
    /// Keeps others from removing blobs; see `generation`.
    lock: Option<SharedLock>,
    /// Bytes that got their final names here.
    added: AtomicU64,
    /// Blobs that were found to be sound; `None` while they are not noted.
    verified: Mutex<Option<VerifiedBlobs>>,
}

impl Store {
    /// Opens the store below `home` and makes its folder (0700) if there is none. Fails if something else
    /// stands there: a file, a link, or a folder that another user owns or may write to.
    ///
    /// # Errors
    /// The folder cannot be created or read, or is not a folder of this user alone.
    pub fn open(home: &Path, stats: StatCache) -> io::Result<Self> {
        let folder = absolute(home)?.join("store");
        own_folder::make(&folder)?;
        Self::at(folder, true, stats)
    }

    /// Opens the store below `home` for looking only: creates, moves and removes nothing, and works when there
    /// is no store at all. Sealing, committing and publishing fail.
    ///
    /// # Errors
    /// The folder exists but cannot be read.
    pub fn open_read_only(home: &Path, stats: StatCache) -> io::Result<Self> {
        let folder = absolute(home)?.join("store");
        match own_folder::open(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Self::at(folder, false, stats),
        }
    }

    fn at(folder: PathBuf, writable: bool, stats: StatCache) -> io::Result<Self> {
        let lock = SharedLock::take(&folder)?;
        Ok(Self {
            folder,
            writable,
            stats,
            temp_folder: Mutex::default(),
            pending: Arc::default(),
            committing: Mutex::default(),
            lock,
            added: AtomicU64::new(0),
            verified: Mutex::default(),
        })
    }

    /// The stat cache, whose fresh entries the caller must persist.
    pub fn stats(&self) -> &StatCache {
        &self.stats
    }

    /// Notes from now on which blobs are found to be sound, for [`Evidence::add_verified`].
    pub fn note_verified(&self) {
        *lock(&self.verified) = Some(VerifiedBlobs::default());
    }

    fn verified(&self, digest: &Digest, looks: Option<stat::FileStat>) {
        if let Some(verified) = &mut *lock(&self.verified) {
            verified.add(digest, looks);
        }
    }

    /// Where the blob of that digest lies once it is committed.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.folder.join("blobs").join(digest.hex())
    }

    /// Where the content of that digest lies now: as a temporary, or under its final name.
    fn locate(&self, digest: &Digest) -> PathBuf {
        match self.pending.get(digest) {
            Some(temp) => temp.path().to_owned(),
            None => self.blob_path(digest),
        }
    }

    /// The folder of this process's temporaries.
    fn lease(&self) -> io::Result<Arc<TempFolder>> {
        if !self.writable {
            return Err(io::Error::other("the store is open for reading only"));
        }
        let mut temp_folder = lock(&self.temp_folder);
        match &*temp_folder {
            Some(temp_folder) => Ok(Arc::clone(temp_folder)),
            None => Ok(Arc::clone(temp_folder.insert(Arc::new(TempFolder::take(&self.folder.join("tmp"))?)))),
        }
    }

    /// Removes the temporaries of processes that are no more. Those of living ones, ours too, are left alone.
    ///
    /// # Errors
    /// The folder of temporary files cannot be read, or something in it cannot be removed.
    pub fn sweep(&self) -> io::Result<()> {
        temp::sweep(&self.folder.join("tmp"))
    }
}

/// What the tests of all files here share.
#[cfg(test)]
mod testing {
    use std::fs;

    use super::*;
    use crate::core::value::Artifact;

    /// A home folder with a store, and in it, for tests, an attempt and a user's files as well.
    pub struct Place {
        pub dir: tempfile::TempDir,
        pub store: Store,
    }

    pub fn place() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let store = reopen(dir.path());
        for folder in ["attempt", "user"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        Place { dir, store }
    }

    /// The same store as a new process would see it that has no database.
    pub fn reopen(home: &Path) -> Store {
        Store::open(home, StatCache::new(Box::new(|_| None))).unwrap()
    }

    /// Waits until the file is old enough for its stat to be trusted.
    pub fn age(path: &Path) {
        while stat::FileStat::of(&fs::metadata(path).unwrap()).young(stat::now_ns()) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    impl Place {
        /// A path below the home folder; folders above it are made.
        pub fn path(&self, name: &str) -> PathBuf {
            let path = self.dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            path
        }

        pub fn write(&self, name: &str, text: &str) -> PathBuf {
            let path = self.path(name);
            fs::write(&path, text).unwrap();
            path
        }

        pub fn seal(&self, name: &str, is_dir: bool) -> Result<(Artifact, Vec<PendingBlob>), SealError> {
            let path = self.path(name);
            let output = NewOutput { path: &path, is_dir, name: "result" };
            let sealed = self.store.seal(&[output], &self.path("attempt"))?;
            Ok((sealed.artifacts[0].clone(), sealed.blobs))
        }

        /// Seals and commits.
        pub fn keep(&self, name: &str, is_dir: bool) -> Artifact {
            let (artifact, blobs) = self.seal(name, is_dir).unwrap();
            self.store.commit(&blobs).unwrap();
            artifact
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn open(home: &Path) -> io::Result<Store> {
        Store::open(home, StatCache::new(Box::new(|_| None)))
    }

    #[test]
    fn opening_makes_one_private_folder() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("some/home");
        open(&home).unwrap();
        let store = home.join("store");
        assert_eq!(fs::metadata(&store).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(&store).unwrap().count(), 0);
        open(&home).unwrap();
    }

    #[test]
    fn what_somebody_else_may_have_put_there_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store");
        symlink(dir.path(), &store).unwrap();
        assert!(open(dir.path()).is_err());
        fs::remove_file(&store).unwrap();
        fs::write(&store, "").unwrap();
        assert!(open(dir.path()).is_err());
        fs::remove_file(&store).unwrap();
        fs::create_dir(&store).unwrap();
        fs::set_permissions(&store, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(open(dir.path()).is_err());
    }
}
