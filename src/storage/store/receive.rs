//! Content that comes from elsewhere, into a temporary: it is only there once its size and its digest are what they must be.
//! And content on its way to elsewhere.

use std::fmt;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;

use super::Store;
use super::blobs::files_of_manifest;
use super::error::Damage;
use super::seal::Held;
use super::temp::{Blob, PendingBlob};
use super::verify::unreadable;
use crate::core::digest::{Digest, Hasher};
use crate::storage::own_file::{self, Access};

/// How much is read at a time, in bytes.
const CHUNK: usize = 64 * 1024;

/// Whether the store has a content.
pub enum InStore {
    No,
    /// It is there to stay, as long as a row names it.
    Durable,
    /// It is there, and is to be committed with the row that names it.
    Pending(PendingBlob),
}

/// Content on its way to elsewhere.
#[derive(Debug)]
pub enum BlobContent {
    /// All of it, at most 64 KiB.
    Small(Vec<u8>),
    Large {
        file: File,
        /// In bytes.
        size: u64,
    },
}

impl BlobContent {
    /// In bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Small(bytes) => bytes.len() as u64,
            Self::Large { size, .. } => *size,
        }
    }

    /// The files that the manifest of a directory names; none for any other content.
    ///
    /// # Errors
    /// It cannot be read: its parts are not known.
    pub fn parts(&self) -> io::Result<Vec<Digest>> {
        let files = match self {
            Self::Small(bytes) => files_of_manifest(&bytes[..]),
            Self::Large { file, .. } => {
                let mut start = file;
                start.rewind().and_then(|()| files_of_manifest(file))
            }
        };
        Ok(files?.into_iter().map(|(_, digest)| digest).collect())
    }
}

/// Why content was not taken in.
#[derive(Debug)]
pub enum ReceiveError {
    /// It could not be read.
    Source(io::Error),
    /// It is other content, or has another size.
    Wrong,
    /// The store cannot be written to.
    Store(io::Error),
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(error) => write!(f, "it broke off: {error}"),
            Self::Wrong => f.write_str("its content is not what its name says"),
            Self::Store(error) => write!(f, "the store refused a file: {error}"),
        }
    }
}

impl Store {
    /// Whether the content is here, and right. A wrong blob is set aside.
    pub fn find(&self, digest: &Digest) -> InStore {
        if let Some(temp) = self.pending.get(digest).filter(|temp| !temp.lost()) {
            return InStore::Pending(PendingBlob(Blob::Temp(temp)));
        }
        match self.held(digest) {
            Some(Held::Durable) => InStore::Durable,
            Some(Held::Visible(seen)) => InStore::Pending(PendingBlob(Blob::Held(seen))),
            None => InStore::No,
        }
    }

    /// Takes in content that must have this digest and this size. At most one byte more than `size` is read.
    ///
    /// # Errors
    /// The content cannot be read, is another one, or cannot be written. Nothing is left of it.
    pub fn receive(
        &self,
        digest: &Digest,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<PendingBlob, ReceiveError> {
        let folder = self.lease().map_err(ReceiveError::Store)?;
        let path = folder.fresh_path();
        let written = own_file::open(&path, Access::New)
            .map_err(ReceiveError::Store)
            .and_then(|mut file| copy_checked(digest, size, content, &mut file))
            .and_then(|()| {
                fs::set_permissions(&path, Permissions::from_mode(0o444)).map_err(ReceiveError::Store)
            });
        match written {
            Ok(()) => Ok(PendingBlob(Blob::Temp(self.pending.add(*digest, path, &folder)))),
            Err(error) => {
                // What cannot be removed now is swept later.
                let _ = fs::remove_file(&path);
                Err(error)
            }
        }
    }

    /// Content that is here and right. Little of it is read at once; a wrong blob is set aside.
    ///
    /// # Errors
    /// It is missing or damaged.
    pub fn content(&self, digest: &Digest) -> Result<BlobContent, Damage> {
        let open = || {
            let opened = self.read_located(digest, |path| {
                let file = own_file::open(path, Access::Read)?;
                let size = file.metadata()?.len();
                Ok((file, size))
            });
            opened.map_err(|error| unreadable(digest, self.blob_path(digest), error))
        };
        let (file, size) = open()?;
        if size <= CHUNK as u64 {
            let mut bytes = Vec::with_capacity(size as usize + 1);
            let read = file.take(size + 1).read_to_end(&mut bytes);
            if read.is_ok() && Digest::of(&bytes) == *digest {
                return Ok(BlobContent::Small(bytes));
            }
        }
        self.check_blob(digest)?;
        let (file, size) = open()?;
        Ok(BlobContent::Large { file, size })
    }
}

fn copy_checked(
    digest: &Digest,
    size: u64,
    content: &mut dyn Read,
    file: &mut File,
) -> Result<(), ReceiveError> {
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; CHUNK.min(usize::try_from(size).unwrap_or(CHUNK).saturating_add(1))];
    let mut left = size;
    loop {
        match content.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) if n as u64 > left => return Err(ReceiveError::Wrong),
            Ok(n) => {
                hasher.update(&buffer[..n]);
                file.write_all(&buffer[..n]).map_err(ReceiveError::Store)?;
                left -= n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ReceiveError::Source(error)),
        }
    }
    if left > 0 || hasher.finish() != *digest { Err(ReceiveError::Wrong) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::super::testing::place;
    use super::*;

    #[test]
    fn what_comes_is_checked_before_it_is_there() {
        let p = place();
        let digest = Digest::of("content");
        let receive = |size, text: &str| p.store.receive(&digest, size, &mut text.as_bytes());
        for (size, text) in [(7, "contest"), (7, "conten"), (7, "contents"), (6, "content"), (8, "content")] {
            assert!(matches!(receive(size, text), Err(ReceiveError::Wrong)), "{size} {text}");
            assert!(matches!(p.store.find(&digest), InStore::No));
        }
        let blob = receive(7, "content").unwrap();
        assert!(matches!(p.store.find(&digest), InStore::Pending(_)));
        p.store.commit(&[blob]).unwrap();
        assert!(matches!(p.store.find(&digest), InStore::Durable));
        let BlobContent::Small(bytes) = p.store.content(&digest).unwrap() else { panic!("it is small") };
        assert_eq!(bytes, b"content");
        let left = p.store.lease().unwrap().fresh_folder().unwrap();
        assert_eq!(fs::read_dir(left.path().parent().unwrap()).unwrap().count(), 1, "nothing is left");
    }

    #[test]
    fn an_endless_content_is_left_after_its_size() {
        let p = place();
        let endless = p.store.receive(&Digest::of("x"), 10, &mut io::repeat(b'x'));
        assert!(matches!(endless, Err(ReceiveError::Wrong)));
    }

    #[test]
    fn a_damaged_blob_does_not_leave() {
        let p = place();
        p.write("attempt/f", "content");
        let artifact = p.keep("attempt/f", false);
        let path = p.store.blob_path(&artifact.digest);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        fs::write(&path, "contest").unwrap();
        assert!(p.store.content(&artifact.digest).is_err());
        assert!(!path.exists(), "it is set aside");
    }

    #[test]
    fn large_content_is_a_file_and_directories_name_their_parts() {
        let p = place();
        let text = "x".repeat(CHUNK + 1);
        p.write("attempt/d/large", &text);
        p.write("attempt/d/deep/small", "small");
        let folder = p.keep("attempt/d", true);
        let manifest = p.store.content(&folder.digest).unwrap();
        let mut parts = manifest.parts().unwrap();
        let mut expected = vec![Digest::of(&text), Digest::of("small")];
        parts.sort();
        expected.sort();
        assert_eq!(parts, expected);
        let large = p.store.content(&Digest::of(&text)).unwrap();
        assert!(matches!(large, BlobContent::Large { size, .. } if size == text.len() as u64), "{large:?}");
        assert_eq!((large.size(), large.parts().unwrap()), (text.len() as u64, Vec::new()));
    }
}
