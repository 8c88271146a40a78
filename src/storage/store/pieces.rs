//! What staging works with: the pieces of an artifact, the form in which they are put somewhere, and what is there
//! afterwards. Writes nothing but empty folders.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::Store;
use super::error::FileError;
use super::manifest::ManifestItem;
use super::scan::{Reach, ScannedKind, scan};
use super::stat::FileStat;
use crate::core::digest::Digest;
use crate::core::staging::Staging;
use crate::core::value::Artifact;

/// Files over this many bytes are not copied, if there is a choice.
pub(super) const LARGE: u64 = 16 << 20;

/// What an artifact consists of.
pub(super) enum Pieces {
    File(FileSource),
    /// Sorted by name.
    Folder(Vec<(String, Part)>),
}

/// Where a file's content is read.
pub(super) struct FileSource {
    pub place: Place,
    /// In bytes, when it was recorded.
    pub size: u64,
    pub executable: bool,
}

pub(super) enum Place {
    Blob(Digest),
    Origin(PathBuf),
}

/// One entry of a directory to be put somewhere.
pub(super) enum Part {
    Folder,
    Link(String),
    File(FileSource),
}

/// The form in which an artifact is put somewhere.
#[derive(Clone, Copy)]
pub(super) struct PutForm<'a> {
    pub staging: Staging,
    pub large: LargeFiles<'a>,
    pub writable: bool,
    /// Whether all of it must be on the disk before the call returns.
    pub sync: bool,
}

/// How large files are brought by [`Staging::Auto`] where the file system cannot share blocks.
#[derive(Clone, Copy, Debug)]
pub enum LargeFiles<'a> {
    /// By a view, whose layers are made in this folder, where nothing is yet.
    View(&'a Path),
    Copy,
    /// By a hard link to what the store holds, else by a symbolic link.
    HardLink,
    Symlink,
    /// By a symbolic link to a copy in this folder, which is made once, whatever the file system can.
    Shared(&'a Path),
}

/// A link that a task could write through, and how the original looked before.
#[derive(Clone, Debug)]
pub struct Guard {
    pub(super) path: PathBuf,
    pub(super) blob: Option<Digest>,
    pub(super) stat: FileStat,
    /// Whether the original was too young for its looks to be trusted.
    pub(super) young: bool,
    /// Whether it is but a copy, which is made anew.
    pub(super) is_copy: bool,
}

/// What was staged, beside what lies in its place.
#[derive(Debug, Default)]
pub struct Staged {
    /// To be given to [`Store::check`] when the task is done.
    pub guards: Vec<Guard>,
    /// Nothing is at its path: this must be mounted there, in the folder that holds it.
    pub view: Option<ViewTree>,
    /// Whether there is a symbolic link to a large file.
    pub has_symlink: bool,
}

/// The tree of one artifact, and where the originals of its large files lie.
#[derive(Clone, Debug)]
pub struct ViewTree {
    /// Holds the tree, as `lower`.
    pub layers: PathBuf,
    /// Holds the originals; its path is free of links.
    pub data: PathBuf,
    /// A stub below `lower`, and its original below `data`.
    pub files: Vec<(PathBuf, PathBuf)>,
    /// The file system of `data`.
    pub(super) dev: u64,
}

impl Store {
    /// What an artifact consists of.
    pub(super) fn pieces(&self, artifact: &Artifact, is_dir: bool) -> Result<Pieces, FileError> {
        if is_dir {
            return self.items(artifact).map(Pieces::Folder);
        }
        let place = match &artifact.origin {
            Some(origin) => Place::Origin(origin.to_path_buf()),
            None => Place::Blob(artifact.digest),
        };
        Ok(Pieces::File(FileSource { place, size: artifact.size, executable: artifact.executable }))
    }

    /// What a directory holds, sorted by name.
    pub(super) fn items(&self, artifact: &Artifact) -> Result<Vec<(String, Part)>, FileError> {
        if let Some(origin) = &artifact.origin {
            let entries = scan(origin, Reach::Anywhere)?.into_iter().map(|entry| {
                let part = match entry.kind {
                    ScannedKind::Folder => Part::Folder,
                    ScannedKind::Link(target) => Part::Link(target),
                    ScannedKind::File => Part::File(FileSource {
                        place: Place::Origin(entry.path),
                        size: entry.stat.size,
                        executable: entry.stat.executable(),
                    }),
                };
                (entry.name, part)
            });
            return Ok(entries.collect());
        }
        let entries = self.manifest(&artifact.digest)?.entries.into_iter().map(|(name, item)| {
            let part = match item {
                ManifestItem::Folder => Part::Folder,
                ManifestItem::Link(target) => Part::Link(target),
                ManifestItem::File { executable, size, digest } => {
                    Part::File(FileSource { place: Place::Blob(digest), size, executable })
                }
            };
            (name, part)
        });
        Ok(entries.collect())
    }
}

impl Pieces {
    /// Whether it holds a file that is not copied if there is a choice.
    pub(super) fn has_large(&self) -> bool {
        let is_large = |source: &FileSource| source.size > LARGE && source.may_link();
        match self {
            Self::File(source) => is_large(source),
            Self::Folder(items) => {
                items.iter().any(|(_, part)| matches!(part, Part::File(source) if is_large(source)))
            }
        }
    }
}

impl FileSource {
    /// Whether the original can stand for a copy: a blob has no executable bit to lend.
    pub(super) fn may_link(&self) -> bool {
        !(self.executable && self.place.blob().is_some())
    }
}

impl Place {
    pub(super) fn blob(&self) -> Option<Digest> {
        match self {
            Self::Blob(digest) => Some(*digest),
            Self::Origin(_) => None,
        }
    }
}

/// Makes a folder that its owner can still fill.
///
/// # Errors
/// What the system says.
pub(super) fn make_open_folder(path: &Path) -> Result<(), FileError> {
    DirBuilder::new().mode(0o700).create(path).map_err(|e| FileError::at(path, e))
}
