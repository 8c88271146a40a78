//! Masking: replaces secret values by `***`, in a text or in a stream of which any part may come at any time.
//!
//! Every byte that belongs to an occurrence of a secret is masked; occurrences that overlap become one `***`. A
//! value counts without the white space around it (tools drop a trailing newline), and an empty one not at all.

use std::sync::Arc;

/// What stands in place of a secret.
const MASK: &[u8] = b"***";

/// A set of secrets. Clones share it.
#[derive(Clone)]
pub struct Masker(Arc<Secrets>);

struct Secrets {
    /// Longest first.
    values: Vec<Vec<u8>>,
    /// Which bytes a secret begins with.
    begins: [bool; 256],
}

impl Masker {
    /// Masks `secrets`.
    pub fn new(secrets: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let mut values: Vec<Vec<u8>> = secrets
            .into_iter()
            .map(|value| value.as_ref().trim().as_bytes().to_vec())
            .filter(|value| !value.is_empty())
            .collect();
        values.sort_unstable_by_key(|value| std::cmp::Reverse(value.len()));
        let mut begins = [false; 256];
        for value in &values {
            begins[usize::from(value[0])] = true;
        }
        Self(Arc::new(Secrets { values, begins }))
    }

    /// `text` with its secrets masked.
    pub fn mask(&self, text: &str) -> String {
        let mut masked = Vec::with_capacity(text.len());
        let mut stream = self.stream();
        stream.push(text.as_bytes(), &mut masked);
        stream.finish(&mut masked);
        String::from_utf8_lossy(&masked).into_owned()
    }

    /// A stream to be masked.
    pub fn stream(&self) -> MaskedStream {
        MaskedStream { masker: self.clone(), held: Vec::new(), covered: 0 }
    }
}

/// A stream that is being masked. It holds back no more than the longest secret.
pub struct MaskedStream {
    masker: Masker,
    /// What may be the beginning of a secret.
    held: Vec<u8>,
    /// How many bytes at the start of `held` and behind it belong to a secret whose mask is written already.
    covered: usize,
}

impl MaskedStream {
    /// Takes in `bytes` and appends to `masked` all that is decided by now.
    pub fn push(&mut self, bytes: &[u8], masked: &mut Vec<u8>) {
        self.held.extend_from_slice(bytes);
        self.advance(masked, false);
    }

    /// Appends the rest: nothing follows.
    pub fn finish(mut self, masked: &mut Vec<u8>) {
        self.advance(masked, true);
    }

    fn advance(&mut self, masked: &mut Vec<u8>, last: bool) {
        let secrets = &*self.masker.0;
        let mut at = 0;
        while let Some(rest) = self.held.get(at..).filter(|rest| !rest.is_empty()) {
            // Bytes that no secret begins with need no closer look.
            let plain = rest.iter().position(|byte| secrets.begins[usize::from(*byte)]).unwrap_or(rest.len());
            if plain > 0 {
                let hidden = plain.min(self.covered);
                masked.extend_from_slice(&rest[hidden..plain]);
                self.covered -= hidden;
                at += plain;
                continue;
            }
            if !last && secrets.values.iter().any(|value| value.len() > rest.len() && value.starts_with(rest))
            {
                break;
            }
            if let Some(value) = secrets.values.iter().find(|value| rest.starts_with(value)) {
                if self.covered == 0 {
                    masked.extend_from_slice(MASK);
                }
                self.covered = self.covered.max(value.len());
            }
            if self.covered == 0 {
                masked.push(rest[0]);
            }
            self.covered = self.covered.saturating_sub(1);
            at += 1;
        }
        self.held.drain(..at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_masked_whole() {
        let mask = |secrets: &[&str], text: &str| Masker::new(secrets).mask(text);
        assert_eq!(mask(&["hunter2"], "user=me password=hunter2;"), "user=me password=***;");
        assert_eq!(mask(&["key", "key-long"], "key-long key"), "*** ***");
        assert_eq!(mask(&["abc", "bcd"], "xabcdy"), "x***y");
        assert_eq!(mask(&["ab"], "abab"), "******");
        assert_eq!(mask(&["token\n"], "the token."), "the ***.");
        assert_eq!(mask(&["", " \n"], "a b"), "a b");
        assert_eq!(mask(&["größe"], "die größe, grö"), "die ***, grö");
    }

    #[test]
    fn only_what_may_become_a_secret_is_held_back() {
        let mut stream = Masker::new(["hunter2"]).stream();
        let mut masked = Vec::new();
        stream.push(b"password: hun", &mut masked);
        assert_eq!(masked, b"password: ");
        stream.push(b"ger", &mut masked);
        assert_eq!(masked, b"password: hunger");
        stream.push(b"hunter", &mut masked);
        stream.push(b"2", &mut masked);
        stream.push(b"hunt", &mut masked);
        stream.finish(&mut masked);
        assert_eq!(masked, b"password: hunger***hunt");
    }

    /// The plain statement of what masking means.
    fn expected(secrets: &[String], text: &[u8]) -> Vec<u8> {
        let mut covered_by = vec![Vec::new(); text.len()];
        let mut found: Vec<(usize, usize)> = Vec::new();
        for value in secrets.iter().map(|value| value.trim()).filter(|value| !value.is_empty()) {
            for at in 0..text.len() {
                if text[at..].starts_with(value.as_bytes()) {
                    found.push((at, at + value.len()));
                }
            }
        }
        found.sort_unstable();
        let mut merged: Vec<(usize, usize)> = Vec::new();
        for (start, end) in found {
            match merged.last_mut() {
                Some(last) if start < last.1 => last.1 = last.1.max(end),
                _ => merged.push((start, end)),
            }
        }
        for (start, end) in merged {
            covered_by[start].extend_from_slice(MASK);
            covered_by[start..end].iter_mut().for_each(|byte| byte.push(0));
        }
        let byte = |(at, cover): (usize, Vec<u8>)| {
            if cover.is_empty() {
                vec![text[at]]
            } else {
                cover.into_iter().filter(|byte| *byte != 0).collect()
            }
        };
        covered_by.into_iter().enumerate().flat_map(byte).collect()
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same(
            secrets in prop::collection::vec("[ab]{0,5}c?", 0..4),
            chunks in prop::collection::vec("[abcd]{0,6}", 0..12),
        ) {
            let masker = Masker::new(&secrets);
            let longest = secrets.iter().map(String::len).max().unwrap_or(0);
            let mut stream = masker.stream();
            let mut masked = Vec::new();
            for chunk in &chunks {
                stream.push(chunk.as_bytes(), &mut masked);
                prop_assert!(stream.held.len() <= longest);
            }
            stream.finish(&mut masked);
            let text = chunks.concat();
            prop_assert_eq!(&masked, &expected(&secrets, text.as_bytes()));
            prop_assert_eq!(String::from_utf8(masked).unwrap(), masker.mask(&text));
        }
    }
}
