//! The seam of the shared cache: objects by name, made only where there is none, or replaced. Knows nothing of what they hold.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::time::Instant;

use jiff::Timestamp;

use crate::core::digest::Digest;

/// The version of the layout: what every name begins with.
const LAYOUT: &str = "v1";

/// An object of the layout. Names come from digests alone: nothing that stands in an entry becomes part of one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectName {
    Entry(Digest),
    Blob(Digest),
    /// What a trial of the settings writes.
    Check(Digest),
}

/// What can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    Entries,
    Blobs,
}

impl ObjectKind {
    /// What the names of its objects begin with.
    pub fn folder(self) -> String {
        match self {
            Self::Entries => format!("{LAYOUT}/entries"),
            Self::Blobs => format!("{LAYOUT}/blobs"),
        }
    }

    /// The object whose name behind [`ObjectKind::folder`] is `rest`; `None` for what is no object of the layout.
    pub fn parse(self, rest: &str) -> Option<ObjectName> {
        let (first, hex) = rest.split_once('/')?;
        let digest: Digest = hex.parse().ok()?;
        let name = match self {
            Self::Entries => ObjectName::Entry(digest),
            Self::Blobs => ObjectName::Blob(digest),
        };
        (digest.hex() == hex && hex.starts_with(first) && first.len() == 2).then_some(name)
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (folder, digest) = match self {
            Self::Entry(digest) => (ObjectKind::Entries.folder(), digest),
            Self::Blob(digest) => (ObjectKind::Blobs.folder(), digest),
            Self::Check(digest) => return write!(f, "{LAYOUT}/check/{digest}"),
        };
        let hex = digest.hex();
        write!(f, "{folder}/{}/{hex}", &hex[..2])
    }
}

/// How an object looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectLooks {
    /// In bytes.
    pub size: u64,
    /// By the clock of the store.
    pub modified: Option<Timestamp>,
}

/// An object that is being read.
pub struct ReadObject {
    pub looks: ObjectLooks,
    pub content: Box<dyn Read + Send>,
}

/// What an object is to hold.
#[derive(Clone, Copy)]
pub enum ObjectContent<'a> {
    Bytes(&'a [u8]),
    /// All of a file, from its beginning, with this digest.
    File {
        file: &'a File,
        size: u64,
        digest: Digest,
    },
}

impl ObjectContent<'_> {
    /// In bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size, .. } => *size,
        }
    }

    pub fn digest(&self) -> Digest {
        match self {
            Self::Bytes(bytes) => Digest::of(bytes),
            Self::File { digest, .. } => *digest,
        }
    }
}

/// What has become of making an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    Made,
    /// There is one already, perhaps made by this very process, whose answer was lost.
    Exists,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFault {
    pub message: String,
    /// Whether the same request may succeed a moment later.
    pub passes: bool,
    /// Whether it took all the time that a request has.
    pub is_timeout: bool,
}

impl RemoteFault {
    /// A fault that lasts.
    pub fn lasting(message: impl Into<String>) -> Self {
        Self { message: message.into(), passes: false, is_timeout: false }
    }

    /// No answer came in time: to wait as long again is no use.
    pub fn timeout() -> Self {
        Self { message: "no answer in time".into(), passes: false, is_timeout: true }
    }

    /// A fault that may be over soon.
    pub fn passing(message: impl Into<String>) -> Self {
        Self { message: message.into(), passes: true, is_timeout: false }
    }
}

impl fmt::Display for RemoteFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Where a shared cache is kept. Every call is one request, made once; used by several threads at a time.
pub trait Backend: Send + Sync {
    /// Reads an object; `None` if there is none.
    ///
    /// # Errors
    /// The request failed.
    fn get(&self, name: &ObjectName) -> Result<Option<ReadObject>, RemoteFault>;

    /// Looks at an object; `None` if there is none.
    ///
    /// # Errors
    /// The request failed.
    fn look(&self, name: &ObjectName) -> Result<Option<ObjectLooks>, RemoteFault>;

    /// Makes an object where there is none: of several that try, one makes it. It is seen as a whole or not at all.
    ///
    /// # Errors
    /// The request failed; it may have made the object.
    fn create(&self, name: &ObjectName, content: ObjectContent) -> Result<Creation, RemoteFault>;

    /// Makes an object in place of the one that is there.
    ///
    /// # Errors
    /// The request failed; it may have replaced the object.
    fn replace(&self, name: &ObjectName, content: ObjectContent) -> Result<(), RemoteFault>;

    /// Removes an object, if there is one.
    ///
    /// # Errors
    /// The request failed.
    fn remove(&self, name: &ObjectName) -> Result<(), RemoteFault>;

    /// Visits all objects of a kind; what is no object of the layout is passed over.
    ///
    /// # Errors
    /// A request failed.
    fn list(
        &self,
        kind: ObjectKind,
        visit: &mut dyn FnMut(ObjectName, ObjectLooks),
    ) -> Result<(), RemoteFault>;

    /// When requests that are under way made progress last; now if none is. `None` if each is bounded in time by itself.
    fn last_progress(&self) -> Option<Instant> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_nothing_else_is_one() {
        let digest = Digest::of("x");
        let hex = digest.hex();
        let name = ObjectName::Blob(digest).to_string();
        assert_eq!(name, format!("v1/blobs/{}/{hex}", &hex[..2]));
        let rest = name.strip_prefix("v1/blobs/").unwrap();
        assert_eq!(ObjectKind::Blobs.parse(rest), Some(ObjectName::Blob(digest)));
        for odd in
            [hex.as_str(), &format!("zz/{hex}"), &format!("{}/{}", &hex[..2], &hex[1..]), "../../x", ""]
        {
            assert_eq!(ObjectKind::Entries.parse(odd), None, "{odd}");
        }
    }
}
