//! A task's definition: everything that decides what its command does, apart from its inputs.
//!
//! Its digest is the automatic cache version; under a pinned version it tells whether, and in which part,
//! the task was edited since a result was stored. Hash and explanation walk the same list of parts.

use std::collections::BTreeMap;

use super::digest::{Digest, Hasher};

/// Named parts of a definition, as text: `run`, `shell`, `env.TZ`, `source scripts/a.py`, ...
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definition {
    pub parts: BTreeMap<String, String>,
}

impl Definition {
    /// The digest of all parts.
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::default();
        for (name, value) in &self.parts {
            hasher.frame(name.as_bytes());
            hasher.frame(value.as_bytes());
        }
        hasher.finish()
    }

    /// The names of the parts that differ from `other`, added and removed ones among them.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut names: Vec<&String> = self.parts.keys().chain(other.parts.keys()).collect();
        names.sort();
        names.dedup();
        names.retain(|name| self.parts.get(*name) != other.parts.get(*name));
        names.into_iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_name_parts() {
        let definition = |pairs: &[(&str, &str)]| Definition {
            parts: pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
        };
        let old = definition(&[("run", "a"), ("env.TZ", "UTC"), ("shell", "sh")]);
        let new = definition(&[("run", "b"), ("shell", "sh"), ("cwd", "workflow")]);
        assert_eq!(new.differences(&old), ["cwd", "env.TZ", "run"]);
        assert_ne!(new.digest(), old.digest());
    }
}
