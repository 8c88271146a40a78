//! A task's interface as the memo keeps it, so that later runs can say in what it differs from theirs.

use serde::{Deserialize, Serialize};

use crate::core::digest::Digest;
use crate::core::signature::Signature;

/// Names and types of inputs and outputs, both sorted, and the inputs that are left out of the key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// (name, type)
    pub inputs: Vec<(String, String)>,
    /// (name, type)
    pub outputs: Vec<(String, String)>,
    pub ignored: Vec<String>,
}

impl Interface {
    /// The interface with this signature whose key leaves out `ignored`.
    pub fn of(signature: &Signature, ignored: &[String]) -> Self {
        let mut ignored = ignored.to_vec();
        ignored.sort();
        Self { inputs: signature.inputs.clone(), outputs: signature.outputs.clone(), ignored }
    }

    pub fn digest(&self) -> Digest {
        Digest::of(self.to_json())
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether an input is in the key.
    pub fn keys(&self, input: &str) -> bool {
        !self.ignored.iter().any(|name| name == input)
    }
}
