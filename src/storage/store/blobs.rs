//! What the store holds: its blobs, the parts of directories, damaged blobs, and the mark of garbage.
//!
//! Knows nothing of who may remove them: see `generation`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering;

use super::Store;
use super::manifest::{HEADER, Item, Manifest};
use super::stat::FileKey;
use super::temp::remove_tree;
use crate::core::digest::Digest;

/// The file that marks garbage.
const UNSWEPT: &str = "unswept";

/// A file below `blobs/` that is named as a blob is.
#[derive(Clone, Copy, Debug)]
pub struct BlobFile {
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    pub key: FileKey,
}

impl Store {
    /// Every blob, in no order. Files with other names are left out.
    ///
    /// # Errors
    /// The folder cannot be read.
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

    /// The size of the blobs that were found to be wrong, in bytes.
    pub fn damaged_size(&self) -> u64 {
        let entries = fs::read_dir(self.folder.join("damaged")).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.metadata().ok()).map(|found| found.len()).sum()
    }

    /// Marks that something is about to become garbage, which a collection must remove.
    ///
    /// # Errors
    /// The mark cannot be written.
    pub fn mark_unswept(&self) -> io::Result<()> {
        File::create(self.folder.join(UNSWEPT)).map(drop)
    }

    /// Whether garbage may be left that no collection could remove yet.
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

    /// The number of bytes added to the store since the last call.
    pub fn take_added(&self) -> u64 {
        self.added.swap(0, Ordering::Relaxed)
    }

    /// Removes blobs that were found to be wrong: nobody reads them.
    ///
    /// # Errors
    /// One cannot be removed.
    pub fn remove_damaged(&self) -> io::Result<()> {
        remove_tree(&self.folder.join("damaged"))
    }

    /// Notes that nothing is garbage any more.
    ///
    /// # Errors
    /// The mark cannot be removed.
    pub fn clear_unswept(&self) -> io::Result<()> {
        remove_tree(&self.folder.join(UNSWEPT))
    }
}
