//! The difference between two artifacts, as far as a few words can describe it.

use std::collections::BTreeSet;

use super::Store;
use crate::core::value::Artifact;

impl Store {
    /// The names of what two directories do not have in common.
    pub fn differing_entries(&self, a: &Artifact, b: &Artifact) -> Vec<String> {
        let read = |artifact: &Artifact| self.manifest(&artifact.digest).unwrap_or_default().entries;
        let (a, b) = (read(a), read(b));
        let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        names.into_iter().filter(|name| a.get(*name) != b.get(*name)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::place;

    #[test]
    fn entries_of_directories_are_compared() {
        let p = place();
        for (name, text) in [("a/same", "1"), ("a/x", "1"), ("b/same", "1"), ("b/x", "2"), ("b/new", "\0")] {
            p.write(&format!("attempt/{name}"), text);
        }
        let (a, b) = (p.keep("attempt/a", true), p.keep("attempt/b", true));
        assert_eq!(p.store.differing_entries(&a, &b), ["new", "x"]);
        assert!(p.store.differing_entries(&a, &a).is_empty());
    }
}
