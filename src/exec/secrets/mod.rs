//! Masking: replaces secret values by `***`, in a text or in a stream of which any part may come at any time.
//!
//! A secret counts in each of its forms (`forms.rs`): as it is, escaped as in JSON or a URL, in base64. Every byte that
//! belongs to an occurrence of one is masked; occurrences that overlap become one `***`. A value counts without the
//! white space around it (tools drop a trailing newline), and one that is too short not at all.

mod forms;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

pub use forms::{MIN_SECRET_CHARS, is_maskable};

use forms::{SecretForm, forms};

/// What stands in place of a secret.
const MASK: &[u8] = b"***";

/// How encoders break lines, also inside a JSON text.
const BREAKS: [&[u8]; 4] = [b"\n", b"\r\n", b"\\n", b"\\r\\n"];

/// A set of secrets. Clones share it.
#[derive(Clone, Default)]
pub struct Masker(Arc<Patterns>);

#[derive(Default)]
struct Patterns {
    all: Vec<SecretForm>,
    /// Which of them begin with these two bytes.
    by_start: HashMap<[u8; 2], Vec<u32>>,
    /// Which bytes one begins with.
    begins: BTreeSet<u8>,
}

/// What a stretch of text and a pattern have in common from their starts on.
enum Match {
    Not,
    /// Number of bytes of the text that are an occurrence.
    Bytes(usize),
    /// The text ends before it is decided.
    Undecided,
}

impl Masker {
    /// Masks `secrets` in every form that they take.
    pub fn new(secrets: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        let forms: BTreeSet<SecretForm> =
            secrets.into_iter().flat_map(|secret| forms(secret.as_ref())).collect();
        Self::of_forms(forms)
    }

    /// Each form has two bytes at least.
    fn of_forms(forms: impl IntoIterator<Item = SecretForm>) -> Self {
        let mut patterns = Patterns { all: forms.into_iter().collect(), ..Patterns::default() };
        for (i, form) in patterns.all.iter().enumerate() {
            if let [first, second, ..] = form.bytes[..] {
                patterns.begins.insert(first);
                patterns.by_start.entry([first, second]).or_default().push(i as u32);
            }
        }
        Self(Arc::new(patterns))
    }

    /// Whether there is nothing to mask.
    pub fn is_empty(&self) -> bool {
        self.0.all.is_empty()
    }

    /// `text` with its secrets masked.
    pub fn mask(&self, text: &str) -> String {
        if self.is_empty() {
            return text.to_owned();
        }
        let mut masked = Vec::with_capacity(text.len());
        let mut stream = self.stream();
        stream.push(text.as_bytes(), &mut masked);
        stream.finish(&mut masked);
        String::from_utf8_lossy(&masked).into_owned()
    }

    /// Whether a secret is in `text`.
    pub fn is_in(&self, text: &str) -> bool {
        !self.is_empty() && self.mask(text) != text
    }

    /// A stream to be masked.
    pub fn stream(&self) -> MaskedStream {
        let mut begins = [false; 256];
        self.0.begins.iter().for_each(|byte| begins[usize::from(*byte)] = true);
        MaskedStream { masker: self.clone(), begins, held: Vec::new(), covered: 0 }
    }
}

impl Patterns {
    /// The longest occurrence at the start of `text`. The text goes on behind what is there, unless it is the `last`.
    fn longest(&self, text: &[u8], last: bool) -> Match {
        let Some((first, rest)) = text.split_first() else { return Match::Not };
        let mut longest = Match::Not;
        let mut seconds = [rest.first().copied(), None];
        match line_break(rest) {
            Match::Not => {}
            Match::Bytes(length) => seconds[1] = rest.get(length).copied(),
            Match::Undecided if !last => return Match::Undecided,
            Match::Undecided => {}
        }
        if seconds.iter().flatten().next().is_none() {
            return if last { Match::Not } else { Match::Undecided };
        }
        for second in seconds.into_iter().flatten() {
            for i in self.by_start.get(&[*first, second]).into_iter().flatten() {
                match matches(&self.all[*i as usize], text) {
                    Match::Undecided if !last => return Match::Undecided,
                    Match::Bytes(found) if !matches!(longest, Match::Bytes(length) if length >= found) => {
                        longest = Match::Bytes(found);
                    }
                    Match::Not | Match::Bytes(_) | Match::Undecided => {}
                }
            }
        }
        longest
    }
}

/// Whether `text` begins with `form`.
fn matches(form: &SecretForm, text: &[u8]) -> Match {
    if !form.breaks {
        return match form.bytes.len() {
            length if text.starts_with(&form.bytes) => Match::Bytes(length),
            length if text.len() < length && form.bytes.starts_with(text) => Match::Undecided,
            _ => Match::Not,
        };
    }
    let mut at = 0;
    for (i, byte) in form.bytes.iter().enumerate() {
        if i > 0 && text.get(at).is_some_and(|found| found != byte) {
            match line_break(&text[at..]) {
                Match::Bytes(length) => at += length,
                other => return other,
            }
        }
        match text.get(at) {
            None => return Match::Undecided,
            Some(found) if found != byte => return Match::Not,
            Some(_) => at += 1,
        }
    }
    Match::Bytes(at)
}

/// The line break that `text` begins with.
fn line_break(text: &[u8]) -> Match {
    if let Some(found) = BREAKS.iter().find(|line_break| text.starts_with(line_break)) {
        return Match::Bytes(found.len());
    }
    match BREAKS.iter().any(|line_break| line_break.starts_with(text)) {
        true if !text.is_empty() => Match::Undecided,
        _ => Match::Not,
    }
}

/// A stream that is being masked. It holds back no more than the longest form of a secret with its line breaks.
pub struct MaskedStream {
    masker: Masker,
    /// Which bytes a secret begins with.
    begins: [bool; 256],
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
        let patterns = &*self.masker.0;
        let mut at = 0;
        while let Some(rest) = self.held.get(at..).filter(|rest| !rest.is_empty()) {
            // Bytes that no secret begins with need no closer look.
            let plain = rest.iter().position(|byte| self.begins[usize::from(*byte)]).unwrap_or(rest.len());
            if plain > 0 {
                let hidden = plain.min(self.covered);
                masked.extend_from_slice(&rest[hidden..plain]);
                self.covered -= hidden;
                at += plain;
                continue;
            }
            match patterns.longest(rest, last) {
                Match::Undecided => break,
                Match::Bytes(length) => {
                    if self.covered == 0 {
                        masked.extend_from_slice(MASK);
                    }
                    self.covered = self.covered.max(length);
                }
                Match::Not => {}
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
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_masked_whole() {
        let mask = |secrets: &[&str], text: &str| Masker::new(secrets).mask(text);
        assert_eq!(mask(&["hunter2"], "user=me password=hunter2;"), "user=me password=***;");
        assert_eq!(mask(&["key1", "key1-long"], "key1-long key1"), "*** ***");
        assert_eq!(mask(&["abcd", "cdef"], "xabcdefy"), "x***y");
        assert_eq!(mask(&["abcd"], "abcdabcd"), "******");
        assert_eq!(mask(&["token\n"], "the token."), "the ***.");
        assert_eq!(mask(&["", " \n", "abc"], "a b abc"), "a b abc");
        assert_eq!(mask(&["größe"], "die größe, grö"), "die ***, grö");
    }

    #[test]
    fn encoded_values_are_masked() {
        let masker = Masker::new(["it's \"hunter2\"\nand /more/ than that, äöü"]);
        let value = "it's \"hunter2\"\nand /more/ than that, äöü";
        let base64 = STANDARD.encode(format!("Authorization: {value}; for the rest of the world"));
        // As `base64` of coreutils breaks lines, at every place.
        for width in 1..90 {
            let broken: Vec<&str> =
                base64.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
            for line_break in ["\n", "\r\n", "\\n"] {
                let masked = masker.mask(&broken.join(line_break)).replace(line_break, "");
                assert_eq!(
                    masked, "QXV0aG9yaXphdGlvbjog***DsgZm9yIHRoZSByZXN0IG9mIHRoZSB3b3JsZA==",
                    "{width}"
                );
            }
        }
        for (text, expected) in [
            (json!({ "a": value }).to_string(), r#"{"a":"***"}"#),
            (json!({ "a": json!([value]).to_string() }).to_string(), r#"{"a":"[\"***\"]"}"#),
            (STANDARD.encode(value), "***"),
            (STANDARD.encode(format!("{value}\n")), "***"),
            (value.replace('\n', "\r\n"), "***\r\n***"),
        ] {
            assert_eq!(masker.mask(&text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_held_back_stays_small() {
        let secret = "0123456789".repeat(100);
        let mut stream = Masker::new([&secret]).stream();
        let mut masked = Vec::new();
        for _ in 0..10_000 {
            stream.push(&secret.as_bytes()[..999], &mut masked);
            assert!(stream.held.len() <= 20 * secret.len());
        }
        let mut held = stream.held.len();
        for _ in 0..1000 {
            stream.push(b"MDEyMzQ1Njc4OTAxMjM0NTY3ODkw\n\n", &mut masked);
            held = held.max(stream.held.len());
        }
        assert!(held <= 20 * secret.len(), "{held}");
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
        for value in secrets {
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
            secrets in prop::collection::vec("[ab]{2,5}c?", 0..4),
            chunks in prop::collection::vec("[abcd]{0,6}", 0..12),
        ) {
            let raw = |secret: &String| SecretForm { bytes: secret.clone().into_bytes(), breaks: false };
            let masker = Masker::of_forms(secrets.iter().map(raw));
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
