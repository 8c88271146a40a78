//! Copies of a user's own small files: what a result came from can be looked at, and compared line by line, after
//! the file has changed.
//!
//! A convenience of the cache: what cannot be kept is not, and nobody is worse off than without it.

use std::fs;
use std::path::Path;

use super::seal::Content;
use super::{PendingBlob, Store};
use crate::core::digest::Digest;
use crate::core::value::Artifact;

/// Maximum size of a file that is copied.
const MAX_COPY_BYTES: u64 = 256 << 10;

impl Store {
    /// Takes in a copy of a user's own file, if it is small, the store lacks it, and it still has the content that
    /// `artifact` names.
    pub fn keep(&self, artifact: &Artifact) -> Option<PendingBlob> {
        let origin = artifact.origin.as_deref().filter(|_| artifact.size <= MAX_COPY_BYTES)?;
        let there = fs::symlink_metadata(self.blob_path(&artifact.digest));
        if there.is_ok_and(|found| !self.is_condemned(&artifact.digest, &found)) {
            return None;
        }
        let bytes = fs::read(origin).ok()?;
        if Digest::of(&bytes) != artifact.digest {
            return None;
        }
        let temp_folder = self.lease().ok()?;
        self.take(artifact.digest, &Content::Bytes(bytes), &temp_folder).ok()?
    }
}

impl Store {
    /// The text that the store holds under a digest, if it is one of at most so many bytes.
    pub fn text(&self, digest: &Digest, most: u64) -> Option<String> {
        // A damaged blob is none.
        read_text(&self.locate(digest), most).filter(|text| Digest::of(text) == *digest)
    }
}

/// A text file of at most so many bytes.
pub fn read_text(path: &Path, most: u64) -> Option<String> {
    let small = fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() <= most);
    let text = small.then(|| fs::read_to_string(path).ok()).flatten()?;
    (!text.contains('\0')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::super::testing::place;

    #[test]
    fn a_small_file_is_kept_as_it_was() {
        let p = place();
        let path = p.write("user/f", "one");
        let (artifact, _) = p.store.fingerprint(&path, false).unwrap();
        let blob = p.store.keep(&artifact).unwrap();
        p.store.commit(&[blob]).unwrap();
        assert_eq!(std::fs::read(p.store.blob_path(&artifact.digest)).unwrap(), b"one");
        assert!(p.store.keep(&artifact).is_none(), "it is there");

        p.write("user/f", "two");
        let (artifact, _) = p.store.fingerprint(&path, false).unwrap();
        p.write("user/f", "changed since");
        assert!(p.store.keep(&artifact).is_none(), "not what it was");
        let large = p.write("user/large", &"x".repeat((256 << 10) + 1));
        assert!(p.store.keep(&p.store.fingerprint(&large, false).unwrap().0).is_none());
    }
}
