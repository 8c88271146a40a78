//! The cache key: SHA-256 over a length-framed canonical encoding of exactly the following, in this order.
//!
//! | in the key | why |
//! |---|---|
//! | format version | another encoding must never be mistaken for this one |
//! | project, domain | results never leak across them |
//! | cache version | pinned text, or the digest of the task's definition; tagged, so that the two cannot meet |
//! | signature | qualified task name, sorted (name, type) pairs of inputs and outputs: another interface is another task |
//! | input values | sorted by name; canonical and typed, see below |
//!
//! | not in the key | why |
//! |---|---|
//! | workflow, node, run, paths above a file, time | the same work is the same wherever it is asked for |
//! | command, env, sources | in the automatic version; under a pinned version the user vouches for them |
//! | descriptions, defaults, retries, timeouts, resources | they do not change what the result is |
//! | inputs named by `cache_ignore_inputs`, secrets, `pass_env` | the user says that they do not matter |
//!
//! Each value begins with a tag byte of its kind, so int 1, float 1.0, string "1" and true are four values.
//! Text and bytes are framed by their length, lists and maps by their count: `[[1],[2]]`, `[[1,2]]` and
//! `[[],[1,2]]` are three. Maps and JSON objects are sorted by key; lists keep their order. -0.0 is 0.0
//! and all NaNs are one; a JSON number that 64 bits do not hold counts by its digits. Text is not normalised. A file is its base name, executable bit and content; a
//! directory its base name and manifest.

use serde_json::Value as Json;

use crate::core::digest::{Digest, Hasher};
use crate::core::json::{HeldNumber, held};
use crate::core::signature::Signature;
use crate::core::value::{Artifact, Value};

/// The version of the encoding. Any change of it makes every key new.
const FORMAT: &str = "runner-key-1";

/// Where results are kept apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub project: String,
    pub domain: String,
}

/// The cache version of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Version {
    /// As `cache_version` states it.
    Pinned(String),
    /// The digest of the definition.
    Automatic(Digest),
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pinned(version) => f.write_str(version),
            Self::Automatic(digest) => write!(f, "auto:{}", &digest.hex()[..12]),
        }
    }
}

/// Makes the keys of one task: what all of them begin with is hashed once.
#[derive(Clone)]
pub struct KeyMaker(Hasher);

impl KeyMaker {
    pub fn new(scope: &Scope, version: &Version, signature: &Signature) -> Self {
        let mut hasher = Hasher::default();
        hasher.frame(FORMAT.as_bytes());
        hasher.frame(scope.project.as_bytes());
        hasher.frame(scope.domain.as_bytes());
        match version {
            Version::Pinned(text) => {
                hasher.update(b"p");
                hasher.frame(text.as_bytes());
            }
            Version::Automatic(digest) => {
                hasher.update(b"a");
                hasher.update(&digest.0);
            }
        }
        signature.hash_into(&mut hasher);
        Self(hasher)
    }

    /// The key for these inputs, which are sorted by name.
    pub fn key<'a>(&self, inputs: impl ExactSizeIterator<Item = (&'a str, &'a Value)>) -> Digest {
        let mut hasher = self.0.clone();
        count(&mut hasher, inputs.len());
        for (name, value) in inputs {
            hasher.frame(name.as_bytes());
            hash_value(&mut hasher, value);
        }
        hasher.finish()
    }
}

fn count(hasher: &mut Hasher, n: usize) {
    hasher.update(&(n as u64).to_le_bytes());
}

fn hash_value(hasher: &mut Hasher, value: &Value) {
    match value {
        Value::Null => hasher.update(b"0"),
        Value::Bool(value) => hasher.update(if *value { b"b1" } else { b"b0" }),
        Value::Int(value) => {
            hasher.update(b"i");
            hasher.update(&value.to_le_bytes());
        }
        Value::Float(value) => hash_float(hasher, *value),
        Value::String(text) => {
            hasher.update(b"s");
            hasher.frame(text.as_bytes());
        }
        Value::Date(day) => {
            hasher.update(b"c");
            hasher.update(&day.year().to_le_bytes());
            hasher.update(&day.month().to_le_bytes());
            hasher.update(&day.day().to_le_bytes());
        }
        Value::Datetime(instant) => {
            hasher.update(b"t");
            hasher.update(&instant.as_nanosecond().to_le_bytes());
        }
        Value::Duration(duration) => {
            hasher.update(b"d");
            hasher.update(&duration.as_nanos().to_le_bytes());
        }
        Value::File(artifact) => hash_artifact(hasher, b"f", artifact),
        Value::Dir(artifact) => hash_artifact(hasher, b"D", artifact),
        Value::Json(json) => {
            hasher.update(b"j");
            hash_json(hasher, json);
        }
        Value::List(items) => {
            hasher.update(b"l");
            count(hasher, items.len());
            items.iter().for_each(|item| hash_value(hasher, item));
        }
        Value::Map(entries) => {
            hasher.update(b"m");
            count(hasher, entries.len());
            for (key, item) in entries.iter() {
                hasher.frame(key.as_bytes());
                hash_value(hasher, item);
            }
        }
    }
}

fn hash_float(hasher: &mut Hasher, value: f64) {
    let canonical = match value {
        v if v.is_nan() => f64::NAN.to_bits(),
        // Both zeros: they compare equal.
        0.0 => 0.0f64.to_bits(),
        v => v.to_bits(),
    };
    hasher.update(b"F");
    hasher.update(&canonical.to_le_bytes());
}

fn hash_artifact(hasher: &mut Hasher, tag: &[u8], artifact: &Artifact) {
    hasher.update(tag);
    hasher.frame(artifact.name.as_bytes());
    hasher.update(&[u8::from(artifact.executable)]);
    hasher.update(&artifact.digest.0);
}

fn hash_json(hasher: &mut Hasher, json: &Json) {
    match json {
        Json::Null => hasher.update(b"0"),
        Json::Bool(value) => hasher.update(if *value { b"b1" } else { b"b0" }),
        Json::Number(number) => match held(number) {
            HeldNumber::Int(value) => {
                hasher.update(b"i");
                hasher.update(&value.to_le_bytes());
            }
            HeldNumber::Unsigned(value) => {
                hasher.update(b"u");
                hasher.update(&value.to_le_bytes());
            }
            HeldNumber::Float(value) => hash_float(hasher, value),
            HeldNumber::Digits(text) => {
                hasher.update(b"n");
                hasher.frame(text.as_bytes());
            }
        },
        Json::String(text) => {
            hasher.update(b"s");
            hasher.frame(text.as_bytes());
        }
        Json::Array(items) => {
            hasher.update(b"l");
            count(hasher, items.len());
            items.iter().for_each(|item| hash_json(hasher, item));
        }
        Json::Object(entries) => {
            hasher.update(b"m");
            count(hasher, entries.len());
            // Sorted by serde_json itself, whose map is ordered by key.
            for (key, item) in entries {
                hasher.frame(key.as_bytes());
                hash_json(hasher, item);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::core::types::Type;

    fn signature() -> Signature {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        Signature { task: "wf.t".into(), inputs: vec![pair("x", "string")], outputs: vec![pair("y", "file")] }
    }

    fn maker(project: &str, domain: &str, version: Version) -> KeyMaker {
        KeyMaker::new(&Scope { project: project.into(), domain: domain.into() }, &version, &signature())
    }

    fn key_of(value: Value) -> Digest {
        maker("p", "d", Version::Pinned("1".into())).key([("x", &value)].into_iter())
    }

    fn read(ty: &str, text: &str) -> Value {
        Value::from_text(&Type::parse(ty).unwrap(), text).unwrap()
    }

    /// This digest is a promise: if it changes, every result that anybody stored is lost.
    #[test]
    fn the_encoding_is_pinned() {
        let file = Artifact {
            digest: Digest::of("content"),
            size: 7,
            name: "a.csv".into(),
            executable: true,
            origin: None,
        };
        let values = [
            ("bool", read("bool", "true")),
            ("datetime", read("datetime", "2026-01-31T09:00:00+01:00")),
            ("dict", read("map<float>", r#"{"b": 1, "a": -0.5}"#)),
            ("duration", read("duration", "1h30m")),
            ("file", Value::File(Arc::new(file))),
            ("int", read("int", "-7")),
            ("json", read("json", r#"{"z": [1, 1.5, "x", null, true], "a": {}}"#)),
            ("list", read("list<list<int>>", "[[1],[2]]")),
            ("null", Value::Null),
            ("text", read("string", "é\u{1F600}")),
        ];
        let key = maker("p", "d", Version::Pinned("1.0.0".into())).key(values.iter().map(|(n, v)| (*n, v)));
        assert_eq!(key.hex(), "e04c3dc824da333e25d21dca6f5af207786497ea359cad355d756fc0946d4358");
    }

    #[test]
    fn each_part_counts() {
        let x = Value::Int(1);
        let key = |maker: KeyMaker| maker.key([("x", &x)].into_iter());
        let pinned = |v: &str| Version::Pinned(v.into());
        let all = [
            key(maker("p", "d", pinned("1"))),
            key(maker("q", "d", pinned("1"))),
            key(maker("p", "e", pinned("1"))),
            key(maker("pd", "", pinned("1"))),
            key(maker("p", "d", pinned("2"))),
            key(maker("p", "d", Version::Automatic(Digest::of("1")))),
            key(maker("p", "d", pinned(&Digest::of("1").hex()))),
            maker("p", "d", pinned("1")).key([("z", &x)].into_iter()),
        ];
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn values_are_typed_and_framed() {
        let different = [
            read("int", "1"),
            read("float", "1.0"),
            read("string", "1"),
            read("bool", "true"),
            read("json", "1"),
            read("json", "1.0"),
            read("json", "18446744073709551615"),
            read("json", "18446744073709551616"),
            read("json", "18446744073709551617"),
            read("json", "18446744073709551616.0"),
            read("json", "0.1"),
            read("json", "0.1000000000000000055511151231257827"),
            read("json", "1e400"),
            read("json", "1e401"),
            read("json", "\"1e400\""),
            read("duration", "1s"),
            read("date", "2026-01-31"),
            read("date", "2026-01-30"),
            read("datetime", "2026-01-31T00:00:00Z"),
            read("string", "2026-01-31"),
            read("string", ""),
            read("int", "0"),
            Value::Null,
            read("list<int>", "[]"),
            read("map<int>", "{}"),
            read("list<list<int>>", "[[1],[2]]"),
            read("list<list<int>>", "[[1,2]]"),
            read("list<list<int>>", "[[],[1,2]]"),
            read("list<int>", "[1,2]"),
            read("list<int>", "[2,1]"),
            read("list<string>", r#"["ab","c"]"#),
            read("list<string>", r#"["a","bc"]"#),
            read("string", "\u{e9}"),
            read("string", "e\u{301}"),
        ];
        let distinct: std::collections::HashSet<_> = different.iter().cloned().map(key_of).collect();
        assert_eq!(distinct.len(), different.len());
    }

    #[test]
    fn equal_values_have_equal_keys() {
        for (a, b) in [
            (read("float", "-0.0"), read("float", "0.0")),
            (Value::Float(f64::NAN), Value::Float(-f64::NAN)),
            (read("json", r#"{"a":1,"b":2}"#), read("json", r#"{"b":2,"a":1}"#)),
            (read("json", "[1.0, 1e2, 0.10]"), read("json", "[1.00, 100.0, 1e-1]")),
            (read("json", "-0"), read("json", "0.0")),
            (read("json", "10e399"), read("json", "1E400")),
            (read("map<int>", r#"{"a":1,"b":2}"#), read("map<int>", r#"{"b":2,"a":1}"#)),
            (read("datetime", "2026-01-31T08:00:00Z"), read("datetime", "2026-01-31T09:00:00+01:00")),
            (read("duration", "90m"), read("duration", "1h30m")),
        ] {
            assert_eq!(key_of(a.clone()), key_of(b), "{a:?}");
        }
    }

    #[test]
    fn a_file_is_its_name_bit_and_content() {
        let file = |name: &str, content: &str, executable, origin: Option<&str>| {
            let origin = origin.map(|path| std::path::Path::new(path).into());
            let artifact =
                Artifact { digest: Digest::of(content), size: 1, name: name.into(), executable, origin };
            key_of(Value::File(Arc::new(artifact)))
        };
        let key = file("a.csv", "x", false, None);
        assert_eq!(key, file("a.csv", "x", false, Some("/elsewhere/a.csv")));
        assert_ne!(key, file("b.csv", "x", false, None));
        assert_ne!(key, file("a.csv", "y", false, None));
        assert_ne!(key, file("a.csv", "x", true, None));
    }

    // Small and of few letters, so that equal ones and near misses come up.
    fn map() -> impl Strategy<Value = BTreeMap<String, String>> {
        prop::collection::btree_map("[ab]{0,2}", "[ab]{0,2}", 0..3)
    }

    fn lists() -> impl Strategy<Value = Vec<Vec<String>>> {
        prop::collection::vec(prop::collection::vec("[ab]{0,2}", 0..3), 0..3)
    }

    proptest! {
        /// Two maps of texts have one key exactly if they are equal, in whatever order they were written.
        #[test]
        fn maps_are_unordered_and_framed(a in map(), b in map()) {
            let value = |m: &BTreeMap<String, String>| {
                Value::Map(Arc::new(m.iter().map(|(k, v)| (k.clone(), Value::String(v.as_str().into()))).collect()))
            };
            prop_assert_eq!(a == b, key_of(value(&a)) == key_of(value(&b)));
            let json = |pairs: Vec<(&String, &String)>| {
                let mut map = serde_json::Map::new();
                pairs.into_iter().for_each(|(k, v)| { map.insert(k.clone(), v.clone().into()); });
                key_of(Value::Json(Arc::new(Json::Object(map))))
            };
            prop_assert_eq!(json(a.iter().collect()), json(a.iter().rev().collect()));
        }

        #[test]
        fn lists_are_framed(a in lists(), b in lists()) {
            let value = |lists: &Vec<Vec<String>>| -> Value {
                lists.iter().map(|l| l.iter().map(|s| Value::String(s.as_str().into())).collect()).collect()
            };
            prop_assert_eq!(a == b, key_of(value(&a)) == key_of(value(&b)));
        }

        #[test]
        fn floats_follow_equality(a: f64, b: f64) {
            let same = a == b || (a.is_nan() && b.is_nan());
            prop_assert_eq!(same, key_of(Value::Float(a)) == key_of(Value::Float(b)));
        }
    }
}
