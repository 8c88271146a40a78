//! What the store holds: its blobs, the parts of directories, damaged blobs, and the mark of garbage.
//!
//! Knows nothing of who may remove them: see `generation`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::Store;
use super::manifest::{HEADER, MAX_MANIFEST_BYTES, Manifest, ManifestItem};
use super::stat::FileKey;
use crate::core::digest::Digest;
use crate::storage::own_file::{self, Access};
use crate::storage::own_folder;

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
        own_file::open(&self.folder.join(UNSWEPT), Access::Replace).map(drop)
    }

    /// Whether garbage may be left that no collection could remove yet.
    pub fn is_unswept(&self) -> bool {
        self.folder.join(UNSWEPT).exists()
    }

    /// The files that a directory's blob names, each once; none for any other blob, and for one that is gone.
    ///
    /// # Errors
    /// The blob cannot be read: its parts are not known.
    pub fn parts(&self, digest: &Digest) -> io::Result<Vec<Digest>> {
        let files = files_of_directory(&self.blob_path(digest))?.into_iter();
        let digests: BTreeSet<Digest> = files.map(|(_, digest)| digest).collect();
        Ok(digests.into_iter().collect())
    }

    /// The number of bytes added to the store since the last call.
    pub fn take_added(&self) -> u64 {
        self.added.swap(0, Ordering::Relaxed)
    }

    /// Removes blobs that were found to be wrong: they are never read.
    ///
    /// # Errors
    /// One cannot be removed.
    pub fn remove_damaged(&self) -> io::Result<()> {
        own_folder::remove(&self.folder.join("damaged"))
    }

    /// Notes that nothing is garbage any more.
    ///
    /// # Errors
    /// The mark cannot be removed.
    pub fn clear_unswept(&self) -> io::Result<()> {
        own_folder::remove(&self.folder.join(UNSWEPT))
    }
}

/// The files of the directory whose manifest is the blob at this path, by name relative to it; none for any other blob.
///
/// # Errors
/// The blob cannot be read: its files are not known.
pub fn files_of_directory(blob: &Path) -> io::Result<Vec<(String, Digest)>> {
    let is_blob = match fs::symlink_metadata(blob) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        // Whatever else stands there names nothing.
        found => found?.is_file(),
    };
    if !is_blob {
        return Ok(Vec::new());
    }
    match own_file::open(blob, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        file => files_of_manifest(file?),
    }
}

/// The files of the directory whose manifest this is, by name relative to it; none for any other content.
pub(super) fn files_of_manifest(mut content: impl Read) -> io::Result<Vec<(String, Digest)>> {
    let mut bytes = vec![0; HEADER.len()];
    match content.read_exact(&mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Vec::new()),
        read => read?,
    }
    if bytes != HEADER {
        return Ok(Vec::new());
    }
    content.take(MAX_MANIFEST_BYTES).read_to_end(&mut bytes)?;
    let entries = Manifest::decode(&bytes).unwrap_or_default().entries.into_iter();
    let file = |(name, item)| match item {
        ManifestItem::File { digest, .. } => Some((name, digest)),
        ManifestItem::Folder | ManifestItem::Link(_) => None,
    };
    Ok(entries.filter_map(file).collect())
}
