//! Why a lookup missed: the nearest earlier result, what differs, and where that comes from.
//!
//! Shared by runs, plans and `why`, so that all of them give the same reason.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Map as JsonMap, Value as Json};
use similar::{DiffOp, TextDiff};

use crate::core::digest::Digest;
use crate::core::value::Value;
use crate::core::why::{Change, InputChange, Kind, Upstream, Why};
use crate::engine::RunOptions;
use crate::engine::lookup::cache::{Cache, Miss, TaskIdentity};
use crate::engine::plan::upstream::NodeSite;
use crate::engine::scope::values::Files;
use crate::storage::memo::explain::{Detail, Parts};
use crate::storage::memo::{EarlierResult, earlier, sqlite};
use crate::storage::store::read_text;
use crate::workflow::Task;
use crate::workflow::graph::outline::Outline;

/// So many earlier results of one node are compared,
pub(in crate::engine) const OF_NODE: u32 = 200;
/// and if it has none, so many of its task; where the whole history is asked for, all,
const OF_TASK: u32 = 50;
/// as long as no more than so many were compared: a node may have very many elements.
const MOST_COMPARED: u64 = 5_000_000;
/// Of a task that has no result, so many of nodes with the same name: it may have been renamed.
const OF_LABEL: u32 = 100;
/// The largest file whose lines are compared, in bytes.
const LARGEST: u64 = 1 << 20;
/// In so many files of a run lines are compared.
const MOST_FILES: u32 = 32;
/// How long the lines of one file may be compared.
const PATIENCE: Duration = Duration::from_millis(200);

/// What explanations keep between lookups.
#[derive(Default)]
pub struct ExplainMemory {
    /// By task: its results, the newest first, as many as are asked for.
    of_task: RefCell<HashMap<String, Rc<[EarlierResult]>>>,
    /// By label, output and hash of what it was: the root of its being another.
    pub(in crate::engine) roots: RefCell<HashMap<(String, usize, u64), Option<Upstream>>>,
    /// How many results were compared.
    compared: Cell<u64>,
    /// How many files were compared line by line.
    files: Cell<u32>,
}

/// PriorRun results to compare with: the first so many of a list.
struct Candidates {
    list: Rc<[EarlierResult]>,
    most: usize,
}

impl Candidates {
    fn all(list: impl Into<Rc<[EarlierResult]>>) -> Self {
        Self { list: list.into(), most: usize::MAX }
    }
}

impl std::ops::Deref for Candidates {
    type Target = [EarlierResult];

    fn deref(&self) -> &[EarlierResult] {
        &self.list[..self.list.len().min(self.most)]
    }
}

/// Explains misses.
#[derive(Clone, Copy)]
pub struct Explainer<'e> {
    pub outline: &'e Outline,
    pub options: &'e RunOptions,
    pub cache: &'e Cache,
    pub files: &'e Files,
    /// `Full` looks at the whole history.
    pub detail: Detail,
}

/// A task with its inputs, as a node asks for it.
pub struct TaskRequest<'a> {
    pub task: &'a Task,
    pub state: &'a TaskIdentity,
    /// Of the node or element.
    pub label: &'a str,
    pub inputs: &'a [Value],
}

impl<'a> TaskRequest<'a> {
    pub fn parts(&self, cache: &'a Cache) -> Parts<'a> {
        let keyed = self.state.keyed(self.task, self.inputs);
        let inputs = keyed.map(|(name, value)| (name.to_owned(), value.to_record())).collect();
        let key = Some(self.state.key(self.task, self.inputs));
        parts(self.task, self.state, cache, self.label, key, inputs)
    }
}

fn parts<'a>(
    task: &'a Task,
    state: &'a TaskIdentity,
    cache: &'a Cache,
    node: &'a str,
    key: Option<Digest>,
    inputs: JsonMap<String, Json>,
) -> Parts<'a> {
    Parts {
        key,
        scope: cache.scope(),
        task: &task.name,
        version: &state.version,
        definition: &state.definition,
        interface: &state.interface,
        interface_digest: state.interface_digest,
        inputs,
        node,
    }
}

impl Explainer<'_> {
    /// Why the cache does not have what is asked for at a site.
    pub fn explain(&self, asked: &TaskRequest, miss: Miss, site: NodeSite) -> Why {
        match miss {
            Miss::Aged(text) => return Why::plain(Kind::Aged, text),
            Miss::Unusable(text) => return Why::plain(Kind::Unusable, text),
            Miss::Nothing => {}
        }
        let project = &self.cache.scope().project;
        let none = || Why::first(&asked.task.name, None, project);
        let Some(db) = self.cache.database() else { return none() };
        let parts = asked.parts(self.cache);
        let candidates = self.candidates(db, asked.task, asked.state, asked.label);
        let Some(nearest) = parts.nearest(&candidates) else { return none() };
        if Some(nearest.key) == parts.key {
            return Why::plain(Kind::Unusable, "the row of the stored result is damaged".into());
        }
        let elsewhere = parts.elsewhere(&candidates).map(EarlierResult::nearest);
        if elsewhere.as_ref().is_some_and(|other| other.key == nearest.key) {
            return Why { nearest: elsewhere.clone(), ..Why::first(&asked.task.name, elsewhere, project) };
        }
        let mut changes = self.changes(db, &parts, nearest);
        for change in &mut changes {
            if let Change::Input(change) = change {
                let input = asked.task.inputs.iter().position(|input| *input.name == *change.name);
                let from = input.and_then(|i| self.of_input(site, i, nearest));
                change.from = from.map(Box::new);
            }
        }
        Why::changed(nearest.nearest(), changes, elsewhere, asked.label, project)
    }

    /// What differs already, of a node that waits for another: `known` are its inputs by name that do not. The parts
    /// of its key come as well.
    pub fn explain_waiting<'a>(
        &'a self,
        task: &'a Task,
        state: &'a TaskIdentity,
        label: &'a str,
        known: JsonMap<String, Json>,
        reason: &str,
    ) -> (Why, Parts<'a>) {
        let parts = parts(task, state, self.cache, label, None, known);
        let mut why = Why::plain(Kind::Waiting, reason.to_owned());
        if let Some(db) = self.cache.database() {
            let candidates = self.candidates(db, task, state, label);
            if let Some(nearest) = parts.nearest(&candidates) {
                why.changes = self.changes(db, &parts, nearest);
                why.changes.retain(|change| match change {
                    Change::Input(change) => parts.inputs.contains_key(&change.name),
                    Change::Unrecorded => false,
                    _ => true,
                });
                why.nearest = Some(nearest.nearest());
            }
        }
        (why, parts)
    }

    /// PriorRun results to compare with; what cannot be read explains nothing, and the lookup itself has told of it.
    fn candidates(&self, db: &Connection, task: &Task, state: &TaskIdentity, label: &str) -> Candidates {
        let found = || -> rusqlite::Result<Candidates> {
            let of_task = self.of_task(db, &task.name)?;
            let whole = self.detail == Detail::Full;
            if of_task.is_empty() {
                return Ok(Candidates::all(if whole {
                    self.of_label(db, task, state, label)?
                } else {
                    of_task
                }));
            }
            if whole && self.may_compare(of_task.len()) {
                return Ok(Candidates::all(of_task));
            }
            let own = earlier::of_node(db, &task.name, label, OF_NODE)?;
            Ok(match own.is_empty() {
                true => Candidates { list: of_task, most: OF_TASK as usize },
                false => Candidates::all(own),
            })
        };
        found().unwrap_or_else(|_| Candidates::all(Vec::new()))
    }

    /// Whether so many more results may be compared.
    pub(in crate::engine) fn may_compare(&self, results: usize) -> bool {
        let compared = &self.cache.explained.compared;
        compared.set(compared.get() + results as u64);
        compared.get() <= MOST_COMPARED
    }

    /// Results of nodes of that name under another task, which may be the same one renamed or moved.
    fn of_label(
        &self,
        db: &Connection,
        task: &Task,
        state: &TaskIdentity,
        label: &str,
    ) -> rusqlite::Result<Rc<[EarlierResult]>> {
        let (workflow, _) = task.name.rsplit_once('.').unwrap_or_default();
        let mut named = earlier::of_label(db, label, OF_LABEL)?;
        named.retain(|past| {
            let same_file = past.task.rsplit_once('.').is_some_and(|(other, _)| other == workflow);
            same_file || past.definition == state.definition_digest
        });
        Ok(named.into())
    }

    /// The results of a task, the newest first, read once.
    pub(in crate::engine) fn of_task(
        &self,
        db: &Connection,
        task: &str,
    ) -> rusqlite::Result<Rc<[EarlierResult]>> {
        if let Some(known) = self.cache.explained.of_task.borrow().get(task) {
            return Ok(known.clone());
        }
        let limit = if self.detail == Detail::Full { u32::MAX } else { OF_TASK };
        let found: Rc<[EarlierResult]> = match earlier::has_any(db, task)? {
            true => earlier::of_task(db, task, limit)?.into(),
            false => [].into(),
        };
        self.cache.explained.of_task.borrow_mut().insert(task.to_owned(), found.clone());
        Ok(found)
    }

    /// What differs, without where it comes from.
    pub(in crate::engine) fn changes(
        &self,
        db: &Connection,
        parts: &Parts,
        past: &EarlierResult,
    ) -> Vec<Change> {
        // Read only where they can differ: most misses are of another input.
        let other = past.interface.filter(|digest| *digest != parts.interface_digest);
        let interface = other.and_then(|digest| earlier::interface(db, &digest).ok().flatten());
        let edited = !parts.same_version(past);
        let definition = edited.then(|| sqlite::definition(db, &past.definition).ok().flatten()).flatten();
        let mut changes = parts.changes(past, interface.as_ref(), definition.as_ref(), self.detail);
        for change in &mut changes {
            match change {
                Change::Input(change) => change.lines = self.lines(change),
                Change::Definition(part) if self.detail == Detail::Full => {
                    if let (Some(was), Some(now)) = (&part.was, &part.now)
                        && part.name.starts_with("source ")
                    {
                        part.diff = self.source_diff(was, now);
                    }
                }
                _ => {}
            }
        }
        changes
    }

    /// How many lines differ between two files, if both can be read.
    fn lines(&self, change: &InputChange) -> Option<u64> {
        let compared = &self.cache.explained.files;
        if compared.get() >= MOST_FILES && self.detail == Detail::Line {
            return None;
        }
        let (was, now) = (self.text(&change.was)?, self.text(&change.now)?);
        compared.set(compared.get() + 1);
        let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(&was, &now);
        let differing = |op: &DiffOp| match *op {
            DiffOp::Equal { .. } => 0,
            DiffOp::Delete { old_len, .. } => old_len,
            DiffOp::Insert { new_len, .. } => new_len,
            DiffOp::Replace { old_len, new_len, .. } => old_len.max(new_len),
        };
        Some(diff.ops().iter().map(differing).sum::<usize>() as u64).filter(|lines| *lines > 0)
    }

    /// The text of the file that a record names, if it has that content still.
    fn text(&self, record: &Json) -> Option<String> {
        let digest = record.get("digest")?.as_str()?.parse().ok()?;
        if record.get("size")?.as_u64()? > LARGEST {
            return None;
        }
        let origin = record.get("origin").and_then(Json::as_str).map(Path::new);
        self.content(&digest, origin)
    }

    fn content(&self, digest: &Digest, origin: Option<&Path>) -> Option<String> {
        let stored = self.cache.store().text(digest, LARGEST);
        // A file of the user's may be another one by now.
        stored.or_else(|| read_text(origin?, LARGEST).filter(|text| Digest::of(text) == *digest))
    }

    /// The difference between two sources, of which a definition has the digests.
    fn source_diff(&self, was: &str, now: &str) -> Option<String> {
        let text = |part: &str| {
            let digest = part.split(' ').next()?.parse().ok()?;
            self.content(&digest, None)
        };
        Some(crate::storage::memo::explain::text_diff(&text(was)?, &text(now)?))
    }
}
