//! The canonical bytes of a directory: what it holds, in one order and one spelling, so that equal directories
//! have equal digests. Two that differ in times, owners or the path above them are equal.
//!
//! Format 1: the line `runner-manifest 1\n`, then the entries, sorted by the bytes of their names. An entry is
//! a letter (`d` folder, `f` file, `x` executable file, `l` link), its framed name, and then for a file its size
//! (u64) and digest (32 bytes), for a link its framed target. Framed: the length (u32), then the bytes; numbers
//! are little-endian. Every folder is an entry, empty or not, before what it holds.
//!
//! What is read from the store is checked as if an enemy had written it: no name and no link may lead out.

use std::collections::BTreeMap;
use std::path::Path;

use super::framing::{Bytes, Rest};
use super::scan::MAX_HOPS;
use crate::core::digest::Digest;
use crate::storage::own_file;

/// What the bytes of every directory begin with.
pub(super) const HEADER: &[u8] = b"runner-manifest 1\n";

/// Maximum size of a manifest, in bytes: several million entries.
pub(super) const MAX_MANIFEST_BYTES: u64 = 1 << 30;

/// What a directory holds, by name relative to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    pub entries: BTreeMap<String, ManifestItem>,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ManifestItem {
    Folder,
    File {
        executable: bool,
        /// In bytes.
        size: u64,
        digest: Digest,
    },
    /// The relative target of a link.
    Link(String),
}

/// What an entry of a directory, or an artifact itself, is to whoever places it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryContent {
    Folder,
    Link(String),
    File { digest: Digest, executable: bool },
}

impl Manifest {
    /// The sum over its files, in bytes.
    pub fn size(&self) -> u64 {
        let size = |item: &ManifestItem| match item {
            ManifestItem::File { size, .. } => *size,
            ManifestItem::Folder | ManifestItem::Link(_) => 0,
        };
        self.entries.values().map(size).fold(0, u64::saturating_add)
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Bytes::default();
        bytes.bytes(HEADER);
        for (name, item) in &self.entries {
            bytes.byte(match item {
                ManifestItem::Folder => b'd',
                ManifestItem::File { executable: false, .. } => b'f',
                ManifestItem::File { executable: true, .. } => b'x',
                ManifestItem::Link(_) => b'l',
            });
            bytes.framed(name.as_bytes());
            match item {
                ManifestItem::Folder => {}
                ManifestItem::File { size, digest, .. } => {
                    bytes.number(*size);
                    bytes.bytes(&digest.0);
                }
                ManifestItem::Link(target) => bytes.framed(target.as_bytes()),
            }
        }
        bytes.done()
    }

    /// Reads what [`Manifest::encode`] wrote; `None` for anything else, and for names or links that lead out.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = Rest::of(bytes.strip_prefix(HEADER)?);
        let mut manifest = Self::default();
        while let Some(letter) = rest.byte() {
            let name = rest.text()?;
            let item = match letter {
                b'd' => ManifestItem::Folder,
                b'f' | b'x' => ManifestItem::File {
                    executable: letter == b'x',
                    size: rest.number()?,
                    digest: Digest(*rest.chunk()?),
                },
                b'l' => ManifestItem::Link(rest.text()?),
                _ => return None,
            };
            let in_order = manifest.entries.last_key_value().is_none_or(|(last, _)| *last < name);
            if !in_order || !manifest.may_hold(&name) {
                return None;
            }
            manifest.entries.insert(name, item);
        }
        let links_stay = manifest.entries.iter().all(|(name, item)| match item {
            ManifestItem::Link(target) => manifest.leads_inside(name, target),
            ManifestItem::Folder | ManifestItem::File { .. } => true,
        });
        links_stay.then_some(manifest)
    }

    /// Whether an entry can have that name: plain parts, below folders that are here already.
    fn may_hold(&self, name: &str) -> bool {
        let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        name.split('/').all(plain)
            && name
                .rsplit_once('/')
                .is_none_or(|(above, _)| self.entries.get(above) == Some(&ManifestItem::Folder))
    }

    /// Whether the link `name` leads to another entry, or the directory itself, and never leaves it on the way.
    fn leads_inside(&self, name: &str, target: &str) -> bool {
        let mut here: Vec<&str> = name.split('/').collect();
        here.pop();
        let mut left = vec![target];
        let mut hops = 0;
        while let Some(path) = left.pop() {
            if path.starts_with('/') || path.contains('\0') {
                return false;
            }
            let (part, rest) = path.split_once('/').unwrap_or((path, ""));
            if !rest.is_empty() {
                left.push(rest.trim_start_matches('/'));
            }
            match part {
                "" | "." => continue,
                ".." => {
                    if here.pop().is_none() {
                        return false;
                    }
                    continue;
                }
                part => here.push(part),
            }
            match self.entries.get(&here.join("/")) {
                Some(ManifestItem::Folder) => {}
                Some(ManifestItem::File { .. }) => return left.iter().all(|rest| rest.is_empty()),
                Some(ManifestItem::Link(next)) => {
                    here.pop();
                    left.push(next);
                    hops += 1;
                    if hops > MAX_HOPS {
                        return false;
                    }
                }
                None => return false,
            }
        }
        !target.is_empty()
    }
}

/// What the store of a home holds under the digest of a directory: each entry by its name. `None` if it is not there.
pub fn directory_entries(home: &Path, digest: &Digest) -> Option<Vec<(String, EntryContent)>> {
    let path = home.join("store/blobs").join(digest.hex());
    let bytes = own_file::read(&path, MAX_MANIFEST_BYTES).ok()?;
    let manifest = Manifest::decode(&bytes).filter(|_| Digest::of(&bytes) == *digest)?;
    let entry = |(name, item)| match item {
        ManifestItem::Folder => (name, EntryContent::Folder),
        ManifestItem::File { executable, digest, .. } => (name, EntryContent::File { digest, executable }),
        ManifestItem::Link(target) => (name, EntryContent::Link(target)),
    };
    Some(manifest.entries.into_iter().map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str, executable: bool) -> ManifestItem {
        ManifestItem::File { executable, size: text.len() as u64, digest: Digest::of(text) }
    }

    fn manifest(entries: &[(&str, ManifestItem)]) -> Manifest {
        Manifest { entries: entries.iter().map(|(name, item)| ((*name).into(), item.clone())).collect() }
    }

    fn link(target: &str) -> ManifestItem {
        ManifestItem::Link(target.into())
    }

    #[test]
    fn bytes_read_back_and_are_pinned() {
        let all = manifest(&[
            ("a", ManifestItem::Folder),
            ("a/odd\n\" name", file("x", true)),
            ("a-b", file("", false)),
            ("a/empty", ManifestItem::Folder),
            ("l", link("a/up/odd\n\" name")),
            ("a/up", link("../a")),
        ]);
        assert_eq!(Manifest::decode(&all.encode()), Some(all.clone()));
        assert_eq!(all.size(), 1);
        // If this fails, every cached directory is lost: a new format needs a new header.
        let digest = Digest::of(manifest(&[("d", ManifestItem::Folder), ("f", file("abc", false))]).encode());
        let mut bytes = b"runner-manifest 1\nd\x01\0\0\0df\x01\0\0\0f\x03\0\0\0\0\0\0\0".to_vec();
        bytes.extend(Digest::of("abc").0);
        assert_eq!(digest, Digest::of(bytes));
    }

    #[test]
    fn whatever_leads_out_is_refused() {
        for name in ["/etc", "..", "a/../b", "", ".", "a//b", "a/", "no-folder/x", "nul\0"] {
            let bad = manifest(&[("a", ManifestItem::Folder), (name, file("x", false))]);
            assert_eq!(Manifest::decode(&bad.encode()), None, "{name:?}");
        }
        let up = ("d/up", link(".."));
        for target in ["/etc", "..", "../..", "d/up/..", "d/../../x", "", "gone", "l", "f/x", "d/up/up/.."] {
            let bad = manifest(&[
                ("d", ManifestItem::Folder),
                up.clone(),
                ("f", file("x", false)),
                ("l", link(target)),
            ]);
            assert_eq!(Manifest::decode(&bad.encode()), None, "{target:?}");
        }
        for target in [".", "f", "./d//up/f", "d/up/d/up"] {
            let good = manifest(&[
                ("d", ManifestItem::Folder),
                up.clone(),
                ("f", file("x", false)),
                ("l", link(target)),
            ]);
            assert!(Manifest::decode(&good.encode()).is_some(), "{target:?}");
        }
        // A file below a link would be written wherever the link leads.
        let below = manifest(&[("f", file("x", false)), ("l", link("f")), ("l/x", file("x", false))]);
        assert_eq!(Manifest::decode(&below.encode()), None);
    }

    #[test]
    fn other_spellings_and_torn_bytes_are_refused() {
        let good =
            manifest(&[("a", ManifestItem::Folder), ("b", file("x", false)), ("c", link("b"))]).encode();
        for end in HEADER.len() + 1..good.len() {
            if let Some(part) = Manifest::decode(&good[..end]) {
                assert_eq!(part.encode(), good[..end], "a prefix is whole entries or nothing");
            }
        }
        let entry = |name: u8| [b"d\x01\0\0\0".as_slice(), &[name]].concat();
        let unsorted = [HEADER, &entry(b'b'), &entry(b'a')].concat();
        let twice = [HEADER, &entry(b'a'), &entry(b'a')].concat();
        let huge = [HEADER, b"d\xff\xff\xff\xffa"].concat();
        for bytes in [unsorted, twice, huge, b"runner-manifest 2\n".to_vec(), Vec::new()] {
            assert_eq!(Manifest::decode(&bytes), None);
        }
    }

    proptest::proptest! {
        /// What is accepted is exactly what is written again.
        #[test]
        fn mutated_bytes_are_refused_or_read_back(
            edits in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), 0..3u8, proptest::prelude::any::<u8>()), 1..6),
        ) {
            let entries = [
                ("a", ManifestItem::Folder), ("a/b", file("x", true)), ("a/l", link("../c")), ("c", file("", false)), ("d", link("a/b")),
            ];
            let mut bytes = manifest(&entries).encode();
            for (at, how, byte) in edits {
                let at = at.index(bytes.len());
                match how {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => drop(bytes.remove(at)),
                }
            }
            if let Some(read) = Manifest::decode(&bytes) {
                proptest::prop_assert_eq!(read.encode(), bytes);
            }
        }
    }
}
