//! The files that the store holds, and which of them a directory is made of.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;

use crate::core::digest::Digest;
use crate::storage::store::{BlobFile, Store};

/// The blobs by number, and the parts of those that are directories.
pub struct StoredFiles<'s> {
    store: &'s Store,
    blobs: Vec<BlobFile>,
    numbers: HashMap<Digest, usize>,
    parts: HashMap<usize, Vec<Digest>>,
}

impl<'s> StoredFiles<'s> {
    /// # Errors
    /// The folders of the store cannot be read.
    pub fn new(store: &'s Store) -> io::Result<Self> {
        let blobs = store.blobs()?;
        let numbers = blobs.iter().enumerate().map(|(i, blob)| (blob.digest, i)).collect();
        Ok(Self { store, blobs, numbers, parts: HashMap::new() })
    }

    /// The number of a blob.
    pub(super) fn number(&self, digest: &Digest) -> Option<usize> {
        self.numbers.get(digest).copied()
    }

    /// The number of a blob and, for a directory, of all that it names, as far as they are there; and whether all are.
    ///
    /// # Errors
    /// The blob cannot be read, so that what it names is not known.
    pub fn with_parts(&mut self, digest: &Digest) -> io::Result<(Vec<usize>, bool)> {
        let Some(own) = self.number(digest) else { return Ok((Vec::new(), false)) };
        let parts = match self.parts.entry(own) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(self.store.parts(digest)?),
        };
        let mut found: Vec<usize> = parts.iter().filter_map(|part| self.numbers.get(part).copied()).collect();
        let complete = found.len() == parts.len();
        found.push(own);
        Ok((found, complete))
    }

    pub(super) fn into_blobs(self) -> Vec<BlobFile> {
        self.blobs
    }
}
