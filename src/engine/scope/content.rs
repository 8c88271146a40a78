//! The store seam: what the engine needs from the content-addressed store, except for attempts and publishing.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::core::digest::Digest;
use crate::core::value::Artifact;
use crate::storage::store::{Damage, FileError, FileKey, Snapshot, StatEntry, Store};

/// Content by digest, and the user's own files as artifacts.
pub trait ContentStore: Send + Sync {
    /// The artifact of a user's file or directory, and how it looked when it was read.
    ///
    /// # Errors
    /// The file cannot be read, or is of another kind.
    fn fingerprint(&self, path: &Path, is_dir: bool) -> Result<(Artifact, Snapshot), FileError>;

    /// Reads many files and directories (those with `true`) ahead, on `threads` threads. What cannot be read is left for
    /// [`ContentStore::fingerprint`] to report.
    fn fingerprint_all(&self, paths: &[(PathBuf, bool)], threads: usize);

    /// Checks that the content of an artifact is there and undamaged.
    ///
    /// # Errors
    /// The content is missing, damaged or unreadable.
    fn verify(&self, artifact: &Artifact, is_dir: bool) -> Result<(), Damage>;

    /// Where the blob of a digest lies once it is committed.
    fn blob_path(&self, digest: &Digest) -> PathBuf;

    /// The text of a stored file of at most `max_bytes`.
    fn text(&self, digest: &Digest, max_bytes: u64) -> Option<String>;

    /// What a folder holds, as records by path, if it has that content: from the store, or else from `origin`.
    fn folder(&self, digest: &Digest, origin: Option<&Path>) -> Option<Json>;

    /// New entries of the stat cache, for the writer to persist.
    fn drain_stats(&self) -> Vec<(FileKey, StatEntry)>;
}

impl ContentStore for Store {
    fn fingerprint(&self, path: &Path, is_dir: bool) -> Result<(Artifact, Snapshot), FileError> {
        self.fingerprint(path, is_dir)
    }

    fn fingerprint_all(&self, paths: &[(PathBuf, bool)], threads: usize) {
        self.fingerprint_all(paths, threads);
    }

    fn verify(&self, artifact: &Artifact, is_dir: bool) -> Result<(), Damage> {
        self.verify(artifact, is_dir)
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.blob_path(digest)
    }

    fn text(&self, digest: &Digest, max_bytes: u64) -> Option<String> {
        self.text(digest, max_bytes)
    }

    fn folder(&self, digest: &Digest, origin: Option<&Path>) -> Option<Json> {
        self.folder(digest, origin)
    }

    fn drain_stats(&self) -> Vec<(FileKey, StatEntry)> {
        self.stats().drain_fresh()
    }
}
