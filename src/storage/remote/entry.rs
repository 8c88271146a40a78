//! An entry of the shared cache: a result as others may use it, its bytes, its signature, and whether it is what was asked
//! for. Pure: knows neither where entries are kept nor how blobs come here.
//!
//! An entry is one line `runner-entry 1 <algorithm> <key id> <signature in hex>`, a newline, and JSON. The signature is over
//! `runner-entry-v1`, a zero byte and the JSON's bytes as they stand. It is verified before anything is parsed: what nobody
//! vouches for never reaches the parser. `none - -` stands for no signature.

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map as JsonMap, Value as Json};

use super::key::{SigningKey, TrustedKey};
use crate::core::digest::Digest;
use crate::core::json;
use crate::core::run_id::RunId;
use crate::core::value::Artifact;

/// Maximum size of an entry, in bytes.
pub const MAX_ENTRY_BYTES: u64 = 4 << 20;
/// Maximum length of its first line, in bytes.
const MAX_LINE_BYTES: usize = 512;
/// The version of the JSON.
const VERSION: u32 = 1;
/// What the first line begins with.
const MAGIC: &str = "runner-entry 1 ";
/// What is signed before the JSON.
const SIGNED: &[u8] = b"runner-entry-v1\0";
/// The algorithm of an entry that nobody signed.
const UNSIGNED: &str = "none";

/// A result in the shared cache.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RemoteEntry {
    pub v: u32,
    pub key: Digest,
    pub project: String,
    pub domain: String,
    /// The qualified name of the task.
    pub task: String,
    /// Digest of the task's interface.
    pub interface: Digest,
    /// By name, files by their content.
    pub outputs: JsonMap<String, Json>,
    /// Everything that the outputs consist of, also what the manifests of directories name.
    pub blobs: Vec<RemoteBlob>,
    /// What the attempt took that made it.
    pub duration_ms: u64,
    pub created: Timestamp,
    pub source: EntrySource,
}

/// A blob that an entry names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteBlob {
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
}

/// The run and the node that made a result, on the machine of whoever wrote the entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntrySource {
    pub run: RunId,
    pub node: String,
}

/// What a lookup asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteLookup {
    pub key: Digest,
    pub project: String,
    pub domain: String,
    pub task: String,
    pub interface: Digest,
    /// An older entry counts as none.
    pub max_age: Option<SignedDuration>,
}

/// Whose entries count.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    pub keys: Vec<TrustedKey>,
    /// Whether entries without a signature count.
    pub unsigned: bool,
}

/// Why an entry does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl RemoteEntry {
    /// An entry of this version.
    pub const VERSION: u32 = VERSION;

    /// The bytes of the entry, signed by `key`.
    pub fn seal(&self, key: Option<&SigningKey>) -> Vec<u8> {
        let body = serde_json::to_vec(self).unwrap_or_default();
        let line = match key {
            Some(key) => {
                let signature: String =
                    key.sign(&signed(&body)).iter().map(|byte| format!("{byte:02x}")).collect();
                format!("{MAGIC}{} {} {signature}\n", key.algorithm().name(), key.id())
            }
            None => format!("{MAGIC}{UNSIGNED} - -\n"),
        };
        [line.as_bytes(), &body].concat()
    }

    /// Reads an entry that somebody vouches for whom `trust` names.
    ///
    /// # Errors
    /// Nobody does, or it is no entry.
    pub fn open(bytes: &[u8], trust: &Trust) -> Result<Self, Refusal> {
        let text = verified(bytes, trust)?;
        let refuse = |problem: &str| Refusal(format!("its text is no entry: {problem}"));
        let json = json::parse(text).map_err(|problem| refuse(&problem))?;
        let version = json.get("v").and_then(Json::as_u64);
        if version != Some(u64::from(VERSION)) {
            return Err(refuse(&format!("its version is not {VERSION}")));
        }
        let entry: Self = serde_json::from_value(json).map_err(|error| refuse(&error.to_string()))?;
        entry.check_files()?;
        Ok(entry)
    }

    /// Whether this is what was asked for.
    ///
    /// # Errors
    /// Which field is another one.
    pub fn expect(&self, wanted: &RemoteLookup) -> Result<(), Refusal> {
        let differs =
            |name: &str| Err(Refusal(format!("it is an entry of another {name}, put in this place")));
        match () {
            () if self.key != wanted.key => differs("key"),
            () if self.project != wanted.project => differs("project"),
            () if self.domain != wanted.domain => differs("domain"),
            () if self.task != wanted.task => differs("task"),
            () if self.interface != wanted.interface => differs("interface"),
            () => Ok(()),
        }
    }

    /// Whether the entry is too old for `wanted`, or dated in the future where its age counts.
    pub fn is_aged(&self, wanted: &RemoteLookup, now: Timestamp) -> bool {
        wanted.max_age.is_some_and(|most| {
            let age = now.duration_since(self.created);
            age < SignedDuration::ZERO || age > most
        })
    }

    /// The size of all of its blobs, in bytes.
    pub fn size(&self) -> u64 {
        self.blobs.iter().fold(0, |sum, blob| sum.saturating_add(blob.size))
    }

    /// Whether each file among the outputs is one of the blobs, and none lies at a path of somebody's machine.
    fn check_files(&self) -> Result<(), Refusal> {
        let sizes: BTreeMap<Digest, u64> = self.blobs.iter().map(|blob| (blob.digest, blob.size)).collect();
        if sizes.len() != self.blobs.len() {
            return Err(Refusal("it names a blob twice".into()));
        }
        let files = files_of(&self.outputs);
        if files.iter().any(|file| file.origin.is_some()) {
            return Err(Refusal("it names a file by a path of another machine".into()));
        }
        match files.iter().all(|file| sizes.contains_key(&file.digest)) {
            true => Ok(()),
            false => Err(Refusal("an output is a file that it does not name as a blob".into())),
        }
    }
}

/// The files and directories among outputs; what only looks like one counts as well.
pub fn files_of(outputs: &JsonMap<String, Json>) -> Vec<Artifact> {
    fn collect(value: &Json, files: &mut Vec<Artifact>) {
        match value {
            Json::Array(items) => items.iter().for_each(|item| collect(item, files)),
            Json::Object(entries) => match Artifact::from_record(value) {
                Ok(artifact) => files.push(artifact),
                Err(_) => entries.values().for_each(|item| collect(item, files)),
            },
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
    }
    let mut files = Vec::new();
    outputs.values().for_each(|value| collect(value, &mut files));
    files
}

/// What a signature is made over.
fn signed(body: &[u8]) -> Vec<u8> {
    [SIGNED, body].concat()
}

/// The JSON of an entry, once somebody vouches for it whom `trust` names.
fn verified<'a>(bytes: &'a [u8], trust: &Trust) -> Result<&'a str, Refusal> {
    let refuse = |problem: &str| Err(Refusal(problem.to_owned()));
    if bytes.len() as u64 > MAX_ENTRY_BYTES {
        return refuse("it is larger than an entry may be");
    }
    let line = bytes.iter().take(MAX_LINE_BYTES).position(|byte| *byte == b'\n');
    let Some((line, body)) = line.map(|at| (&bytes[..at], &bytes[at + 1..])) else {
        return refuse("it is no entry");
    };
    let Some(line) = str::from_utf8(line).ok().and_then(|line| line.strip_prefix(MAGIC)) else {
        return refuse("it is no entry of this version");
    };
    let words: Vec<&str> = line.split(' ').collect();
    let [algorithm, id, signature] = words[..] else { return refuse("its first line is no signature") };
    if algorithm == UNSIGNED {
        if !trust.unsigned {
            return refuse("nobody has signed it");
        }
    } else {
        let Some(signature) = from_hex(signature) else { return refuse("its first line is no signature") };
        let mut known = trust.keys.iter().filter(|key| key.id() == id).peekable();
        if known.peek().is_none() {
            return Err(Refusal(format!("it is signed by a key that is not trusted ({})", shown(id))));
        }
        let message = signed(body);
        if !known.any(|key| key.verify(algorithm, &message, &signature)) {
            return refuse("its signature does not fit");
        }
    }
    str::from_utf8(body).or_else(|_| refuse("its text is not UTF-8"))
}

/// A key id of somebody else, made harmless.
fn shown(id: &str) -> String {
    id.chars().take(8).filter(char::is_ascii_alphanumeric).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let is_hex = !digits.is_empty()
        && digits.len().is_multiple_of(2)
        && digits.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let byte = |pair: &[u8]| str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    if is_hex { digits.chunks(2).map(byte).collect() } else { None }
}

#[cfg(test)]
mod tests;
