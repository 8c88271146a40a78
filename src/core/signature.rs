//! A task's signature: its qualified name and the names and types of its inputs and outputs.
//!
//! Nothing else is in it: a task that is edited cosmetically keeps its results. Sorted by name, so that
//! the order in the file does not count.

use super::digest::Hasher;

/// The parts of a signature in the order in which they are hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    pub task: String,
    /// (name, type), sorted.
    pub inputs: Vec<(String, String)>,
    /// (name, type), sorted.
    pub outputs: Vec<(String, String)>,
}

impl Signature {
    /// Appends the signature, framed.
    pub fn hash_into(&self, hasher: &mut Hasher) {
        hasher.frame(self.task.as_bytes());
        for pairs in [&self.inputs, &self.outputs] {
            hasher.update(&(pairs.len() as u64).to_le_bytes());
            for (name, ty) in pairs {
                hasher.frame(name.as_bytes());
                hasher.frame(ty.as_bytes());
            }
        }
    }
}
