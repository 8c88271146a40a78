//! Which earlier result is nearest to a key that missed, and in which parts it differs.
//!
//! The parts are those of the key (see `key.rs`): scope, version, signature, input values. Under an automatic
//! version the parts of the definition stand for it.

use std::cmp::Reverse;

use serde_json::{Map as JsonMap, Value as Json};
use similar::TextDiff;

use super::{EarlierResult, Interface, Scope, Version};
use crate::core::definition::Definition;
use crate::core::digest::Digest;
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
    /// Differences of scripts as well.
    Full,
}

/// What older rows say of an automatic version.
const AUTOMATIC: &str = "auto:";
/// Text of at most so many bytes is told as it is.
const SHORT: usize = 100;

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
            // An input that is new, gone, or newly ignored is told already.
            let known = interface.is_none_or(|was| {
                let has =
                    |side: &Interface| side.inputs.iter().any(|(other, _)| other == name) && side.keys(name);
                has(was) && has(self.interface)
            });
            if known {
                let value = |inputs: &JsonMap<String, Json>| inputs.get(name).cloned().unwrap_or_default();
                changes.push(Change::Input(input_change(name, &value(&past.inputs), &value(&self.inputs))));
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
        let diff = match (was, now) {
            (Some(was), Some(now)) if detail == Detail::Full && name == "run" => Some(text_diff(was, now)),
            _ => None,
        };
        let short = |text: &String| shorten(text);
        DefinitionChange { was: was.map(short), now: now.map(short), diff, name }
    };
    now.differences(was).into_iter().map(part).collect()
}

/// As `diff -u` writes it, with little around what differs.
pub fn text_diff(was: &str, now: &str) -> String {
    let diff = TextDiff::from_lines(was, now);
    diff.unified_diff().context_radius(1).missing_newline_hint(false).to_string()
}

fn shorten(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    match text.trim().lines().nth(1) {
        None if line.len() <= SHORT => text.to_owned(),
        _ => format!("{}...", beginning(line, SHORT)),
    }
}

fn input_change(name: &str, was: &Json, now: &Json) -> InputChange {
    let mut at = String::new();
    let (was, now) = focus(was, now, &mut at);
    InputChange { name: name.into(), at, was: excerpt(was), now: excerpt(now), lines: None, from: None }
}

/// The one place in which two values differ, as deep as it is only one.
fn focus<'j>(was: &'j Json, now: &'j Json, at: &mut String) -> (&'j Json, &'j Json) {
    match (was, now) {
        (Json::Array(a), Json::Array(b)) if a.len() == b.len() => {
            let mut differing = (0..a.len()).filter(|i| !same(&a[*i], &b[*i]));
            if let (Some(i), None) = (differing.next(), differing.next()) {
                at.push_str(&format!("[{i}]"));
                return focus(&a[i], &b[i], at);
            }
        }
        (Json::Object(a), Json::Object(b))
            if !is_file(a) && !is_file(b) && a.len() == b.len() && a.keys().eq(b.keys()) =>
        {
            let mut differing = a.keys().filter(|key| !same(&a[*key], &b[*key]));
            if let (Some(key), None) = (differing.next(), differing.next()) {
                at.push_str(&format!(".{key}"));
                return focus(&a[key], &b[key], at);
            }
        }
        _ => {}
    }
    (was, now)
}

/// A value, or what there is room for: events and rows hold many.
fn excerpt(value: &Json) -> Json {
    const MAX_SHOWN_BYTES: usize = 400;
    let cut = |text: &str| Json::String(format!("{}...", beginning(text, MAX_SHOWN_BYTES)));
    match value {
        Json::String(text) if text.len() > MAX_SHOWN_BYTES => cut(text),
        Json::Array(_) | Json::Object(_) => {
            let text = value.to_string();
            if text.len() > MAX_SHOWN_BYTES { cut(&text) } else { value.clone() }
        }
        value => value.clone(),
    }
}

/// At most so many characters of a text.
fn beginning(text: &str, most: usize) -> &str {
    text.char_indices().nth(most).map_or(text, |(end, _)| &text[..end])
}

fn is_file(object: &JsonMap<String, Json>) -> bool {
    ["digest", "size", "name"].iter().all(|key| object.contains_key(*key))
}

/// Whether two records are of one value: where a user's file lies does not count.
pub fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Object(a), Json::Object(b)) if is_file(a) && is_file(b) => {
            let part = |key: &str| a.get(key) == b.get(key);
            part("digest") && part("name") && part("executable")
        }
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (a, b) => a == b,
    }
}
