//! Why a lookup did not hit: typed, and complete enough to be explained without the run.
//!
//! An explanation compares the parts of the requested key with those of the nearest earlier result. The memo finds that
//! result. The English is in `phrases.rs`; it is made when it is shown, since paths read best from the folder one is in.

pub mod difference;
mod phrases;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::core::digest::Digest;
use crate::core::run_id::RunId;
use difference::ItemChanges;

/// Why a lookup did not hit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Why {
    pub kind: MissKind,
    /// Who asked; absent in events of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<LookupRequest>,
    /// What the kind alone does not say: which damage, how old, which node it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The explanation in one line, present in JSON that is shown and in events of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// The earlier result that differs least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearest: Option<Nearest>,
    /// From the nearest result to what was asked for, the most telling first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// The very same result, kept under another project or domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<Nearest>,
}

/// Who asked the cache.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LookupRequest {
    /// The task's qualified name.
    pub task: String,
    /// The node, with the number of the element.
    pub node: String,
    pub project: String,
}

/// What kind of miss it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissKind {
    /// No earlier result of the task is there to compare with.
    First,
    /// The nearest earlier result differs in some parts of its key.
    Changed,
    /// There is a result under this key, and it is older than `cache_max_age`.
    Aged,
    /// There is a result under this key, and it cannot be used: damaged, or a file of it is missing.
    Unusable,
    /// Not all inputs are known yet: a node above would run. What differs already is among the changes.
    Waiting,
}

/// An earlier result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Nearest {
    pub key: Digest,
    pub project: String,
    pub domain: String,
    pub run: RunId,
    pub node: String,
    pub time: Timestamp,
}

/// One part of a key that differs. `was` is the earlier one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "part", rename_all = "snake_case")]
pub enum Change {
    Project {
        was: String,
        now: String,
    },
    Domain {
        was: String,
        now: String,
    },
    /// The qualified name.
    Task {
        was: String,
        now: String,
    },
    /// A pinned version, or `automatic`.
    CacheVersion {
        was: String,
        now: String,
    },
    /// A part of the definition, under an automatic version: `run`, `env.TZ`, `source scripts/a.py`...
    Definition(DefinitionChange),
    Input(InputChange),
    /// The type of an input; none where there was, or is, no such input.
    InputType {
        name: String,
        was: Option<String>,
        now: Option<String>,
    },
    /// The type of an output, likewise.
    OutputType {
        name: String,
        was: Option<String>,
        now: Option<String>,
    },
    /// Whether `cache_ignore_inputs` names an input.
    Ignored {
        name: String,
        now: bool,
    },
    /// A part that older results do not record.
    Unrecorded,
}

/// A part of a definition that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DefinitionChange {
    pub name: String,
    /// Long text is cut around the difference. With `line`, that line before and now, empty where it was added or
    /// removed.
    pub was: Option<String>,
    pub now: Option<String>,
    /// The first line that differs, counted from 1, of a script or source whose texts are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// How many lines of it differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<u64>,
    /// Its lines that differ, as `diff -u` writes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}

/// An input whose value differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputChange {
    pub name: String,
    /// Where in the value, if only one place in it differs: `[3].a`; else empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub at: String,
    /// The value there; long ones are cut around the difference. Files as records: name, size, digest.
    pub was: Json,
    pub now: Json,
    /// How many lines of a text file differ, if both contents are there to be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<u64>,
    /// Which elements of a list or map, or entries of a folder, differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<ItemChanges>,
    /// The lines that differ of a text of several lines or a text file, as `diff -u` writes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// The node that is the root of it, if it was handed over by a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Box<Upstream>>,
}

/// The node that is the root of a change: the first on the way up that has a reason of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Upstream {
    pub node: String,
    /// The nodes between it and the input, from the input upwards; of a long way the first ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub via: Vec<String>,
    pub because: Because,
    /// From its earlier outputs to those of now; without the origin of inputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
}

/// Why the outputs of a node differ from earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// Its own key changed.
    Changed,
    /// It is not cached, and came to another result.
    NotCached,
    /// It ran again under the same key, and came to another result.
    RanAgain,
    /// Its earlier outputs are not on record.
    Unknown,
}

impl Why {
    fn new(kind: MissKind) -> Self {
        Self {
            kind,
            request: None,
            detail: None,
            text: None,
            nearest: None,
            changes: Vec::new(),
            elsewhere: None,
        }
    }

    /// An explanation by what differs from the nearest earlier result.
    pub fn changed(
        request: LookupRequest,
        nearest: Nearest,
        changes: Vec<Change>,
        elsewhere: Option<Nearest>,
    ) -> Self {
        Self {
            request: Some(request),
            nearest: Some(nearest),
            changes,
            elsewhere,
            ..Self::new(MissKind::Changed)
        }
    }

    /// Nothing to compare with; `elsewhere` may hold the very result.
    pub fn first(request: LookupRequest, elsewhere: Option<Nearest>) -> Self {
        Self { request: Some(request), elsewhere, ..Self::new(MissKind::First) }
    }

    /// An explanation in words: of a result that is there and does not count, or of one that cannot be looked up yet.
    pub fn plain(kind: MissKind, detail: String) -> Self {
        Self { detail: Some(detail), ..Self::new(kind) }
    }

    /// The explanation in one line. Paths are relative to the current folder where they are below it.
    pub fn text(&self) -> String {
        self.text.clone().unwrap_or_else(|| phrases::why(self))
    }

    /// What keeps the results of a task that was renamed and is otherwise the same.
    pub fn alias_hint(&self) -> Option<String> {
        phrases::alias_hint(&self.changes)
    }

    /// The same with its text, as JSON output has it.
    pub fn with_text(&self) -> Self {
        Self { text: Some(self.text()), ..self.clone() }
    }
}

impl ItemChanges {
    /// Which elements differ: `2 added (c.csv, d.csv), 1 removed (a.csv)`.
    pub fn text(&self) -> String {
        phrases::item_changes(self)
    }
}

impl Change {
    /// In a few words: `cache_version 1.0 -> 1.1`.
    pub fn text(&self) -> String {
        phrases::change(self)
    }

    /// What stands before the details of it: without where it comes from, and without what the lines below it show.
    pub fn headline(&self) -> String {
        match self {
            Self::Definition(part) if part.diff.is_some() => {
                phrases::change(&Self::Definition(DefinitionChange { line: None, ..part.clone() }))
            }
            Self::Input(input) => phrases::change(&Self::Input(InputChange { from: None, ..input.clone() })),
            change => phrases::change(change),
        }
    }
}

impl Upstream {
    /// As what follows the name of an input: "from `clean`, which re-ran because input raw: a.csv changed".
    pub fn text(&self) -> String {
        phrases::upstream(self)
    }
}
