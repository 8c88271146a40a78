//! Programs written with flytekit, as paths name them, and what the documents that are made from one have in common.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::syntax::Table;

/// Ends the name of a document that was made from a program.
pub(super) const MADE: &str = "#python";
/// Ends what stands before that, for a launch plan.
pub(super) const PLAN: &str = "@plan";

/// A program as a path names it: `FILE.py` or `FILE.py:NAME`.
pub struct ProgramRef<'p> {
    folder: &'p Path,
    pub(super) base: &'p str,
    pub(super) name: Option<&'p str>,
}

impl<'p> ProgramRef<'p> {
    /// `None` for the path of a workflow file.
    pub fn of(path: &'p Path) -> Option<Self> {
        let last = path.file_name()?.to_str()?;
        let (base, name) = match last.split_once(".py:") {
            Some((stem, name)) if !name.is_empty() => (&last[..stem.len() + 3], Some(name)),
            _ => (last.strip_suffix(':').unwrap_or(last), None),
        };
        base.ends_with(".py").then(|| Self { folder: path.parent().unwrap_or(Path::new("")), base, name })
    }

    /// The file that a path means: that of the program, if it names one.
    pub fn file_of(path: &Path) -> PathBuf {
        ProgramRef::of(path).map_or_else(|| path.to_owned(), |program| program.file())
    }

    /// The file of the program.
    pub fn file(&self) -> PathBuf {
        self.folder.join(self.base)
    }
}

/// The path that a person writes for what a document was made from: `FILE.py:NAME`.
pub fn path_of(document: &Path) -> Option<PathBuf> {
    let made = document.file_name()?.to_str()?.strip_suffix(MADE)?;
    made.contains(".py:").then(|| document.with_file_name(made.strip_suffix(PLAN).unwrap_or(made)))
}

/// What all tasks of a program have in common.
#[derive(Debug, Serialize, Deserialize)]
pub struct ProgramFacts {
    pub(super) interpreter: PathBuf,
    pub(super) root: PathBuf,
    pub(super) python: String,
    /// The files of the project with the SHA-256 of what was read.
    pub(super) files: Vec<(PathBuf, String)>,
    /// What has no effect; said once.
    pub(super) notes: RefCell<Vec<String>>,
}

impl ProgramFacts {
    /// Those of a document, if it was made from a program.
    pub fn of(document: &Path, tree: &Table) -> Option<Self> {
        path_of(document)?;
        serde_json::from_value(tree.get("program")?.kind.to_json()).ok()
    }
}
