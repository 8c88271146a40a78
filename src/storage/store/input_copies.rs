//! Copies of a user's own small files, and lists of what folders hold: what a result came from can be looked at, and compared line by line, after
//! the file has changed.
//!
//! A convenience of the cache: what cannot be kept is left out without an error.

use std::fs;
use std::io::Read;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::fingerprint::manifest_of;
use super::manifest::{Manifest, ManifestItem};
use super::scan::{Reach, scan};
use super::seal::Content;
use super::{PendingBlob, Store, stat};
use crate::core::digest::Digest;
use crate::core::value::Artifact;
use crate::storage::own_file;

/// Maximum size of a file that is copied.
const MAX_COPY_BYTES: u64 = 256 << 10;
/// Maximum number of entries of a folder that is read again to say what differs.
const MAX_ENTRIES: usize = 5000;

impl Store {
    /// Takes in a copy of a user's own file, if it is small, the store lacks it, and it still has the content that
    /// `artifact` names.
    pub fn keep(&self, artifact: &Artifact) -> Option<PendingBlob> {
        let origin = artifact.origin.as_deref().filter(|_| artifact.size <= MAX_COPY_BYTES)?;
        self.keep_file(&artifact.digest, origin)
    }

    fn keep_file(&self, digest: &Digest, path: &Path) -> Option<PendingBlob> {
        if self.has(digest) {
            return None;
        }
        self.keep_bytes(digest, read_user(path, MAX_COPY_BYTES)?)
    }

    fn keep_bytes(&self, digest: &Digest, bytes: Vec<u8>) -> Option<PendingBlob> {
        if Digest::of(&bytes) != *digest {
            return None;
        }
        let temp_folder = self.lease().ok()?;
        self.take(*digest, &Content::Bytes(bytes), &temp_folder).ok()?
    }

    fn has(&self, digest: &Digest) -> bool {
        let there = fs::symlink_metadata(self.blob_path(digest));
        there.is_ok_and(|found| !self.is_condemned(digest, &found))
    }

    /// Takes in the names and digests of what a user's own folder holds, and copies of its files if they are small
    /// together.
    pub fn keep_folder(&self, artifact: &Artifact) -> Vec<PendingBlob> {
        let Some(origin) = artifact.origin.as_deref().filter(|_| !self.has(&artifact.digest)) else {
            return Vec::new();
        };
        let Some((manifest, bytes)) = self.manifest_of_origin(&artifact.digest, origin) else {
            return Vec::new();
        };
        let mut blobs: Vec<_> = self.keep_bytes(&artifact.digest, bytes).into_iter().collect();
        if artifact.size <= MAX_COPY_BYTES {
            for (name, item) in &manifest.entries {
                if let ManifestItem::File { digest, .. } = item {
                    blobs.extend(self.keep_file(digest, &origin.join(name)));
                }
            }
        }
        blobs
    }

    /// What a user's own folder holds, if it still has that digest and few enough entries.
    fn manifest_of_origin(&self, digest: &Digest, origin: &Path) -> Option<(Manifest, Vec<u8>)> {
        let mut entries =
            scan(origin, Reach::Anywhere).ok().filter(|entries| entries.len() <= MAX_ENTRIES)?;
        let manifest =
            manifest_of(&mut entries, |entry| self.stats().digest(&entry.path, &entry.stat)).ok()?;
        let bytes = manifest.encode();
        (Digest::of(&bytes) == *digest).then_some((manifest, bytes))
    }

    /// What a folder holds, as records by path: from the store, or else from `origin`; `None` if neither has it.
    pub fn folder(&self, digest: &Digest, origin: Option<&Path>) -> Option<Json> {
        let stored = || self.has(digest).then(|| self.manifest(digest).ok()).flatten();
        let manifest = stored().or_else(|| Some(self.manifest_of_origin(digest, origin?)?.0))?;
        let record = |(name, item): (&String, &ManifestItem)| {
            let record = match item {
                ManifestItem::Folder => json!({"kind": "folder"}),
                ManifestItem::Link(target) => json!({"kind": "link", "target": target}),
                ManifestItem::File { executable, size, digest } => {
                    let mut record = json!({"name": name, "digest": digest.hex(), "size": size});
                    if *executable {
                        record["executable"] = true.into();
                    }
                    if let Some(path) =
                        origin.and_then(|origin| origin.join(name).to_str().map(str::to_owned))
                    {
                        record["origin"] = path.into();
                    }
                    record
                }
            };
            (name.clone(), record)
        };
        Some(Json::Object(manifest.entries.iter().map(record).collect()))
    }
}

impl Store {
    /// The text that the store holds under a digest, unless it has more bytes than this.
    pub fn text(&self, digest: &Digest, most: u64) -> Option<String> {
        // A damaged blob is none.
        let bytes = self.read_located(digest, |path| own_file::read(path, most)).ok()?;
        let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))?;
        (Digest::of(&text) == *digest).then_some(text)
    }
}

/// A text file, unless it has more bytes than this.
pub fn read_text(path: &Path, most: u64) -> Option<String> {
    let text = String::from_utf8(read_user(path, most)?).ok()?;
    (!text.contains('\0')).then_some(text)
}

/// A regular file of a user, within a maximum size in bytes.
fn read_user(path: &Path, most: u64) -> Option<Vec<u8>> {
    let (file, stat) = stat::open(path).ok().filter(|(_, stat)| stat.size <= most)?;
    let mut bytes = Vec::with_capacity(usize::try_from(stat.size).ok()?);
    file.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
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

    #[test]
    fn a_folder_is_known_by_its_entries() {
        let p = place();
        p.write("user/d/s/a", "one");
        p.write("user/d/b", "two");
        let (artifact, _) = p.store.fingerprint(&p.path("user/d"), true).unwrap();
        let entries = |origin| p.store.folder(&artifact.digest, origin);
        assert_eq!(entries(None), None);
        let seen = entries(artifact.origin.as_deref()).unwrap();
        assert_eq!(seen["s/a"]["size"], 3);
        let blobs = p.store.keep_folder(&artifact);
        assert_eq!(blobs.len(), 3);
        p.store.commit(&blobs).unwrap();
        p.write("user/d/b", "changed");
        let kept = entries(None).unwrap();
        assert_eq!(kept.as_object().unwrap().keys().collect::<Vec<_>>(), ["b", "s", "s/a"]);
        assert_eq!(p.store.text(&kept["b"]["digest"].as_str().unwrap().parse().unwrap(), 99).unwrap(), "two");
        assert!(p.store.keep_folder(&artifact).is_empty(), "it is there");
    }

    /// Content that gets its final name while it is read is found there.
    #[test]
    fn text_is_found_while_it_is_committed() {
        let p = place();
        for round in 0..200 {
            let text = format!("text {round}");
            p.write("attempt/f", &text);
            let (artifact, blobs) = p.seal("attempt/f", false).unwrap();
            std::thread::scope(|scope| {
                let committing = scope.spawn(|| p.store.commit(&blobs).unwrap());
                while !committing.is_finished() {
                    assert_eq!(p.store.text(&artifact.digest, 99).as_ref(), Some(&text));
                }
            });
        }
    }
}
