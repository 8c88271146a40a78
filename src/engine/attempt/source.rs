//! A source file of a task, as it is staged beside the inputs.

use std::path::PathBuf;
use std::sync::Arc;

use crate::core::value::Artifact;
use crate::storage::store::Snapshot;

/// A file that a task needs beside its inputs.
pub struct SourceFile {
    /// Relative to the file that defines the task, and to the scratch folder.
    pub path: PathBuf,
    pub artifact: Arc<Artifact>,
    pub snapshot: Arc<Snapshot>,
}
