//! A stored result: outputs, where they came from, and what was known of the task then.

use jiff::Timestamp;

use crate::core::digest::{Digest, Hasher};
use crate::core::run_id::RunId;

/// The definition of a result whose own is not known: one that was recovered from the events of an older program.
pub const UNKNOWN_DEFINITION: Digest = Digest([0; 32]);

/// A row of the memo.
#[derive(Clone, Debug, PartialEq)]
pub struct MemoEntry {
    pub key: Digest,
    pub project: String,
    pub domain: String,
    /// The qualified name of the task.
    pub task: String,
    /// The cache version as shown to people.
    pub version: String,
    /// A JSON object by name, files by their content.
    pub inputs: String,
    /// Of the task's interface; `None` for results that are older than this record.
    pub interface: Option<Digest>,
    pub found: FoundResult,
}

/// What a lookup needs of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundResult {
    /// Of the definition that produced the result.
    pub definition: Digest,
    /// A JSON object by name, files by their content.
    pub outputs: String,
    pub run: RunId,
    pub node: String,
    pub created: Timestamp,
    /// What the successful attempt took, in milliseconds.
    pub duration_ms: u64,
    /// A [`crate::core::provenance::Provenance`] as JSON; `None` for a result of the task's own run.
    pub provenance: Option<String>,
    /// When it was last used, give or take a day; if never, when it was made.
    pub used: Timestamp,
}

impl FoundResult {
    /// A checksum over the key and all fields but `used`: a row that fails it was damaged on disk, and counts as a miss.
    pub fn checksum(&self, key: &Digest) -> i64 {
        let mut hasher = Hasher::default();
        hasher.update(&key.0);
        hasher.update(&self.definition.0);
        for text in [&*self.outputs, &self.run, &self.node] {
            hasher.frame(text.as_bytes());
        }
        hasher.update(&self.created.as_millisecond().to_le_bytes());
        hasher.update(&self.duration_ms.to_le_bytes());
        // Rows without one are as old as the table.
        if let Some(provenance) = &self.provenance {
            hasher.frame(provenance.as_bytes());
        }
        let Digest(bytes) = hasher.finish();
        let mut first = [0; 8];
        first.copy_from_slice(&bytes[..8]);
        i64::from_le_bytes(first)
    }
}
