//! What can be wrong with a file, an output or a blob, in words that name the path.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::core::digest::Digest;

/// A file or directory that cannot be used as it was meant to be.
#[derive(Debug)]
pub enum FileError {
    /// Nothing is there.
    Missing(PathBuf),
    /// A directory where a file was expected.
    IsDirectory(PathBuf),
    /// Something else where a directory was expected.
    NotDirectory(PathBuf),
    /// Neither a file nor a directory, such as "a fifo".
    Special { path: PathBuf, kind: &'static str },
    /// A link to nothing.
    Dangling { path: PathBuf, target: PathBuf },
    /// A link that leads back to itself or to a folder around it.
    Loop(PathBuf),
    /// A link of a task that leads out of the task's own folders.
    Outside { path: PathBuf, target: PathBuf },
    /// A name, or the target of a link, that is not UTF-8.
    NotUnicode(PathBuf),
    /// A path without a base name, such as `/`.
    Nameless(PathBuf),
    /// A file that was written to each time it was read.
    Unstable(PathBuf),
    /// Content that the store should hold, and does not.
    Damage(Damage),
    /// Anything else that the operating system said.
    Io { path: PathBuf, error: io::Error },
}

/// Why outputs could not be sealed.
#[derive(Debug)]
pub enum SealError {
    /// An output is not what it was declared to be: the task's fault.
    Output {
        /// Which of the outputs, counted from 0.
        index: usize,
        error: FileError,
    },
    /// The store failed, because of the disk.
    Store(io::Error),
}

/// Content that cannot be had as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Of the content that was wanted.
    pub digest: Digest,
    /// Where it should be.
    pub path: PathBuf,
    pub wrong: Wrong,
}

/// What is wrong with recorded content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    Missing,
    /// Something else stands there.
    Damaged,
    /// It could not be read; why.
    Unreadable(String),
}

impl FileError {
    /// What `error` means when it came from opening or asking for `path`.
    pub(super) fn at(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
            return Self::Loop(path);
        }
        if error.kind() == io::ErrorKind::NotFound {
            return match std::fs::read_link(&path) {
                Ok(target) => Self::Dangling { path, target },
                Err(_) => Self::Missing(path),
            };
        }
        Self::Io { path, error }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(f, "{path:?} does not exist"),
            Self::IsDirectory(path) => write!(f, "{path:?} is a directory, but a file is expected"),
            Self::NotDirectory(path) => write!(f, "{path:?} is not a directory, but one is expected"),
            Self::Special { path, kind } => write!(f, "{path:?} is {kind}, neither a file nor a directory"),
            Self::Dangling { path, target } => {
                write!(f, "{path:?} is a link to {target:?}, which does not exist")
            }
            Self::Loop(path) => write!(f, "{path:?} is a link that leads in a circle"),
            Self::Outside { path, target } => {
                write!(f, "{path:?} leads outside the task's folders, to {target:?}")
            }
            Self::NotUnicode(path) => write!(f, "{path:?} has a name or a link target that is not UTF-8"),
            Self::Nameless(path) => write!(f, "{path:?} has no base name"),
            Self::Unstable(path) => write!(f, "{path:?} keeps changing while it is read"),
            Self::Damage(damage) => damage.fmt(f),
            Self::Io { path, error } if error.kind() == io::ErrorKind::PermissionDenied => {
                write!(f, "no permission to use {path:?}")
            }
            Self::Io { path, error } => write!(f, "{path:?}: {error}"),
        }
    }
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output { error, .. } => error.fmt(f),
            Self::Store(error) => write!(f, "the store failed: {error}"),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { digest, path, wrong } = self;
        match wrong {
            Wrong::Missing => write!(f, "{path:?} (sha256 {digest}) is missing"),
            Wrong::Damaged => write!(f, "{path:?} no longer has the content sha256 {digest}"),
            Wrong::Unreadable(why) => write!(f, "{path:?} (sha256 {digest}) cannot be read: {why}"),
        }
    }
}

impl std::error::Error for FileError {}
impl std::error::Error for SealError {}
impl std::error::Error for Damage {}

impl From<Damage> for FileError {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}
