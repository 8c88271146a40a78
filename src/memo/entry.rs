//! A stored result: outputs, where they came from, and what was known of the task then.

use jiff::Timestamp;

use crate::digest::{Digest, Hasher};

/// A row of the memo. Inputs and outputs are JSON objects by name, files by their content.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: Digest,
    pub project: String,
    pub domain: String,
    /// The qualified name of the task.
    pub task: String,
    /// The cache version as shown to people.
    pub version: String,
    /// Of the definition that produced the result.
    pub definition: Digest,
    pub inputs: String,
    pub outputs: String,
    pub run: String,
    pub node: String,
    pub created: Timestamp,
    /// What the successful attempt took, in milliseconds.
    pub duration_ms: u64,
}

impl Entry {
    /// A checksum over all fields: a row that fails it was damaged on disk, and counts as a miss.
    pub fn checksum(&self) -> i64 {
        let mut hasher = Hasher::default();
        hasher.update(&self.key.0);
        hasher.update(&self.definition.0);
        for text in [
            &self.project,
            &self.domain,
            &self.task,
            &self.version,
            &self.inputs,
            &self.outputs,
            &self.run,
            &self.node,
        ] {
            hasher.frame(text.as_bytes());
        }
        hasher.update(&self.created.as_millisecond().to_le_bytes());
        hasher.update(&self.duration_ms.to_le_bytes());
        let Digest(bytes) = hasher.finish();
        let mut first = [0; 8];
        first.copy_from_slice(&bytes[..8]);
        i64::from_le_bytes(first)
    }
}
