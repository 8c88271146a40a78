//! The files that the store holds, and which of them a directory is made of.

use std::collections::HashMap;
use std::io;

use crate::core::digest::Digest;
use crate::storage::store::{BlobFile, Store};

/// The blobs by number, and the parts of those that are directories.
pub struct Files<'s> {
    store: &'s Store,
    blobs: Vec<BlobFile>,
    numbers: HashMap<Digest, usize>,
    parts: HashMap<usize, Vec<Digest>>,
}

impl<'s> Files<'s> {
    pub fn new(store: &'s Store) -> io::Result<Self> {
        let blobs = store.blobs()?;
        let numbers = blobs.iter().enumerate().map(|(i, blob)| (blob.digest, i)).collect();
        Ok(Self { store, blobs, numbers, parts: HashMap::new() })
    }

    /// The number of a blob and, for a directory, of all that it names, as far as they are there; and whether all are.
    pub fn with_parts(&mut self, digest: &Digest) -> (Vec<usize>, bool) {
        let Some(own) = self.numbers.get(digest).copied() else { return (Vec::new(), false) };
        let parts = self.parts.entry(own).or_insert_with(|| self.store.parts(digest));
        let mut found: Vec<usize> = parts.iter().filter_map(|part| self.numbers.get(part).copied()).collect();
        let complete = found.len() == parts.len();
        found.push(own);
        (found, complete)
    }

    pub(super) fn into_blobs(self) -> Vec<BlobFile> {
        self.blobs
    }
}
