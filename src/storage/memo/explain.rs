//! Which earlier result is nearest to a key that missed, and in which parts it differs.
//!
//! The parts are those of the key (see `key.rs`): scope, version, signature, input values. Under an automatic
//! version the parts of the definition stand for it.

use std::cmp::Reverse;

use serde_json::{Map as JsonMap, Value as Json};

use super::{EarlierResult, Interface, Scope, Version};
use crate::core::definition::Definition;
use crate::core::digest::Digest;
pub use crate::core::why::difference::same;
use crate::core::why::difference::{
    LineChanges, MAX_EXCERPT_CHARS, around, excerpts, focus, items, lines, unified,
};
use crate::core::why::{Change, DefinitionChange, InputChange};

/// What a key is made of.
pub struct Parts<'p> {
    /// `None` where not all inputs are known.
    pub key: Option<Digest>,
    pub scope: &'p Scope,
    /// The qualified name of the task.
    pub task: &'p str,
    pub version: &'p Version,
    pub definition: &'p Definition,
    pub interface: &'p Interface,
    pub interface_digest: Digest,
    /// Records of the inputs that are in the key, as far as they are known.
    pub inputs: JsonMap<String, Json>,
    /// Who asks: its own earlier results are nearer than others that differ in as many parts.
    pub node: &'p str,
}

/// How much is said of what differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// What fits into a line.
    Line,
    /// More lines of texts that differ.
    Full,
}

impl Detail {
    /// Maximum lines of a difference between two texts.
    pub fn lines(self) -> usize {
        match self {
            Self::Line => 8,
            Self::Full => 60,
        }
    }
}

/// What older rows say of an automatic version.
const AUTOMATIC: &str = "auto:";

impl Parts<'_> {
    /// The result of the same project and domain that differs in the fewest parts; if there is none there, of any.
    pub fn nearest<'c>(&self, candidates: &'c [EarlierResult]) -> Option<&'c EarlierResult> {
        candidates.iter().min_by_key(|past| {
            (!self.in_scope(past), self.distance(past), past.node != self.node, Reverse(past.created))
        })
    }

    /// The very same result under another project or domain, the newest.
    pub fn elsewhere<'c>(&self, candidates: &'c [EarlierResult]) -> Option<&'c EarlierResult> {
        let same = candidates.iter().filter(|past| !self.in_scope(past) && self.distance(past) == 0);
        same.max_by_key(|past| past.created)
    }

    fn in_scope(&self, past: &EarlierResult) -> bool {
        past.project == self.scope.project && past.domain == self.scope.domain
    }

    /// In how many parts beside the scope `past` differs.
    fn distance(&self, past: &EarlierResult) -> usize {
        let interface = past.interface.is_some_and(|digest| digest != self.interface_digest);
        usize::from(past.task != self.task)
            + usize::from(!self.same_version(past))
            + usize::from(interface)
            + self.names(past, None).filter(|name| self.differs(past, name)).count()
    }

    /// Whether the cache version is the same.
    pub fn same_version(&self, past: &EarlierResult) -> bool {
        match self.version {
            Version::Pinned(version) => *version == past.version,
            Version::Automatic(digest) => past.version.starts_with(AUTOMATIC) && *digest == past.definition,
        }
    }

    /// The inputs that are in either key, by name. What the earlier one left out is in its interface, if that is known.
    fn names<'n>(
        &'n self,
        past: &'n EarlierResult,
        interface: Option<&'n Interface>,
    ) -> impl Iterator<Item = &'n String> {
        let interface = interface.unwrap_or(self.interface);
        let gone = past.inputs.keys().filter(move |name| {
            !self.inputs.contains_key(*name) && interface.keys(name) && self.interface.keys(name)
        });
        self.inputs.keys().chain(gone)
    }

    fn differs(&self, past: &EarlierResult, name: &str) -> bool {
        match (past.inputs.get(name), self.inputs.get(name)) {
            (Some(was), Some(now)) => !same(was, now),
            (was, now) => was.is_some() != now.is_some(),
        }
    }

    /// What differs, from `past` to these parts; its interface and definition where they are on record.
    pub fn changes(
        &self,
        past: &EarlierResult,
        interface: Option<&Interface>,
        definition: Option<&Definition>,
        detail: Detail,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let pair = |was: &str, now: &str| (was != now).then(|| (was.to_owned(), now.to_owned()));
        changes
            .extend(pair(&past.project, &self.scope.project).map(|(was, now)| Change::Project { was, now }));
        changes.extend(pair(&past.domain, &self.scope.domain).map(|(was, now)| Change::Domain { was, now }));
        changes.extend(pair(&past.task, self.task).map(|(was, now)| Change::Task { was, now }));
        if !self.same_version(past) {
            self.version_changes(past, definition, detail, &mut changes);
        }
        if let Some(was) = interface {
            self.interface_changes(was, &mut changes);
        }
        for name in self.names(past, interface).filter(|name| self.differs(past, name)) {
            // An input that is new, gone, or newly ignored is already in the list.
            let known = interface.is_none_or(|was| {
                let has =
                    |side: &Interface| side.inputs.iter().any(|(other, _)| other == name) && side.keys(name);
                has(was) && has(self.interface)
            });
            if known {
                let value = |inputs: &JsonMap<String, Json>| inputs.get(name).cloned().unwrap_or_default();
                changes.push(Change::Input(input_change(
                    name,
                    &value(&past.inputs),
                    &value(&self.inputs),
                    detail,
                )));
            }
        }
        if changes.is_empty() {
            changes.push(Change::Unrecorded);
        }
        changes
    }

    fn version_changes(
        &self,
        past: &EarlierResult,
        definition: Option<&Definition>,
        detail: Detail,
        changes: &mut Vec<Change>,
    ) {
        let was = if past.version.starts_with(AUTOMATIC) { "automatic" } else { &past.version };
        let now = match self.version {
            Version::Pinned(version) => version,
            Version::Automatic(_) => "automatic",
        };
        let parts = match (definition, self.version) {
            (Some(was), Version::Automatic(_)) if past.version.starts_with(AUTOMATIC) => {
                definition_changes(was, self.definition, detail)
            }
            _ => Vec::new(),
        };
        match parts.is_empty() {
            true => changes.push(Change::CacheVersion { was: was.into(), now: now.into() }),
            false => changes.extend(parts.into_iter().map(Change::Definition)),
        }
    }

    fn interface_changes(&self, was: &Interface, changes: &mut Vec<Change>) {
        for (name, was, now) in types_that_differ(&was.inputs, &self.interface.inputs) {
            changes.push(Change::InputType { name, was, now });
        }
        for (name, was, now) in types_that_differ(&was.outputs, &self.interface.outputs) {
            changes.push(Change::OutputType { name, was, now });
        }
        for (name, _) in &self.interface.inputs {
            let now = !self.interface.keys(name);
            if now == was.keys(name) && was.inputs.iter().any(|(other, _)| other == name) {
                changes.push(Change::Ignored { name: name.clone(), now });
            }
        }
    }
}

type TypeChange = (String, Option<String>, Option<String>);

/// Name and both types of what is in one list only, or there with another type. The lists are sorted by name.
fn types_that_differ(was: &[(String, String)], now: &[(String, String)]) -> Vec<TypeChange> {
    let find = |list: &[(String, String)], name: &str| {
        list.iter().find(|(other, _)| other == name).map(|(_, ty)| ty.clone())
    };
    let mut names: Vec<&String> = was.iter().chain(now).map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    let differing = names.into_iter().map(|name| (name.clone(), find(was, name), find(now, name)));
    differing.filter(|(_, was, now)| was != now).collect()
}

/// The parts of a definition that differ.
pub fn definition_changes(was: &Definition, now: &Definition, detail: Detail) -> Vec<DefinitionChange> {
    let part = |name: String| {
        let (was, now) = (was.parts.get(&name), now.parts.get(&name));
        match (was, now) {
            (Some(was), Some(now)) if name == "run" => text_change(name, was, now, detail.lines()),
            (Some(was), Some(now)) => {
                let (was, now) = around(was, now, MAX_EXCERPT_CHARS);
                plain_change(name, Some(was), Some(now))
            }
            (was, now) => {
                let short = |text: Option<&String>| text.map(|text| around(text, "", MAX_EXCERPT_CHARS).0);
                plain_change(name, short(was), short(now))
            }
        }
    };
    now.differences(was).into_iter().map(part).collect()
}

fn plain_change(name: String, was: Option<String>, now: Option<String>) -> DefinitionChange {
    DefinitionChange { name, was, now, line: None, lines: None, diff: None }
}

/// The change of a script or source, of which both texts are known; with at most `most` lines of the difference.
pub fn text_change(name: String, was: &str, now: &str, most: usize) -> DefinitionChange {
    match lines(was, now) {
        Some(LineChanges { line, was: before, now: after, lines }) => DefinitionChange {
            line: Some(line),
            lines: Some(lines),
            diff: Some(unified(was, now, most)),
            ..plain_change(name, Some(before), Some(after))
        },
        // Only the end of the last line differs.
        None => plain_change(name, Some(String::new()), Some(String::new())),
    }
}

fn input_change(name: &str, was: &Json, now: &Json, detail: Detail) -> InputChange {
    let mut at = String::new();
    let (was, now) = focus(was, now, &mut at);
    let (mut count, mut diff) = (None, None);
    if let (Json::String(was), Json::String(now)) = (was, now)
        && (was.trim_end().contains('\n') || now.trim_end().contains('\n'))
    {
        count = lines(was, now).map(|found| found.lines);
        diff = count.map(|_| unified(was, now, detail.lines()));
    }
    let items = items(was, now);
    let (was, now) = excerpts(was, now);
    InputChange { name: name.into(), at, was, now, lines: count, items, diff, from: None }
}
