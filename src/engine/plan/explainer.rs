//! Earlier results of a task, and what differs between one of them and a key that missed. What an explanation keeps between
//! lookups is here as well.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use serde_json::Value as Json;

use crate::core::digest::Digest;
use crate::core::why::{Change, DefinitionChange, InputChange, Upstream, difference};
use crate::engine::attempt::source::SourceFile;
use crate::engine::lookup::cache::Cache;
use crate::engine::lookup::identity::TaskIdentity;
use crate::engine::options::RunOptions;
use crate::engine::scope::frames::Frame;
use crate::engine::scope::values::UserFiles;
use crate::storage::memo::explain::{Detail, Parts, text_change};
use crate::storage::memo::{EarlierResult, earlier, sqlite};
use crate::storage::store::read_text;
use crate::workflow::Task;
use crate::workflow::graph::outline::Outline;

/// Maximum earlier results of one node to compare.
pub(super) const MAX_OF_NODE: u32 = 200;
/// Maximum earlier results of its task to compare where the node has none. An explanation in full compares all.
const MAX_OF_TASK: u32 = 50;
/// Maximum results that one run or plan compares in all: a node may have very many elements.
const MAX_COMPARED: u64 = 5_000_000;
/// Maximum results of nodes with the same name to compare where a task has none: it may have been renamed.
const MAX_OF_LABEL: u32 = 100;
/// Size in bytes of the largest file whose lines are compared.
const MAX_TEXT_BYTES: u64 = 1 << 20;
/// Maximum names of a task to look for its results under.
const MAX_NAMES: usize = 8;
/// Maximum files of a run whose lines are compared.
const MAX_COMPARED_FILES: u32 = 32;
/// Maximum differences line by line that the explanations of a run hold.
const MAX_DIFFERENCES: u32 = 200;

/// What explanations keep between lookups.
#[derive(Default)]
pub struct ExplainMemory {
    /// By task: its results, the newest first, as many as are asked for.
    of_task: RefCell<HashMap<String, Arc<[EarlierResult]>>>,
    /// By definition: the names of the tasks that have results of it.
    definitions: OnceCell<HashMap<Digest, Vec<String>>>,
    /// By label, output and hash of what it was: the root of its being another.
    pub(super) roots: RefCell<HashMap<(String, usize, u64), Option<Upstream>>>,
    /// How many results were compared.
    compared: Cell<u64>,
    /// How many files were compared.
    files: Cell<u32>,
    /// How many differences line by line were given.
    differences: Cell<u32>,
}

/// Earlier results to compare with: a prefix of a list.
pub(super) struct Candidates {
    list: Arc<[EarlierResult]>,
    most: usize,
}

impl Candidates {
    fn all(list: impl Into<Arc<[EarlierResult]>>) -> Self {
        Self { list: list.into(), most: usize::MAX }
    }
}

impl std::ops::Deref for Candidates {
    type Target = [EarlierResult];

    fn deref(&self) -> &[EarlierResult] {
        &self.list[..self.list.len().min(self.most)]
    }
}

/// Fills in the outputs of a frame's nodes, as far as the cache has them. A parameter, because that is a plan, and
/// plans explain misses.
pub type Fill = fn(&Explainer, &mut Frame);

/// Explains misses.
#[derive(Clone, Copy)]
pub struct Explainer<'e> {
    pub(super) outline: &'e Outline,
    pub(super) options: &'e RunOptions,
    pub(super) cache: &'e Cache,
    pub(super) files: &'e UserFiles,
    pub(super) memory: &'e ExplainMemory,
    /// `Full` looks at the whole history.
    pub(super) detail: Detail,
    pub(super) fill: Fill,
}

impl Explainer<'_> {
    /// Earlier results to compare with; a result that cannot be read is skipped, because the lookup has reported it.
    pub(super) fn candidates(
        &self,
        db: &Connection,
        task: &Task,
        identity: &TaskIdentity,
        label: &str,
    ) -> Candidates {
        let found = || -> rusqlite::Result<Candidates> {
            let of_task = self.of_task(db, &task.name)?;
            let whole = self.detail == Detail::Full;
            if of_task.is_empty() {
                let mut found = self.renamed(db, identity, label)?;
                if found.is_empty() {
                    found = self.of_gone_tasks(db, task, label)?;
                }
                if found.is_empty() && whole {
                    found = self.of_label(db, task, label)?;
                }
                return Ok(Candidates::all(found));
            }
            if whole && self.may_compare(of_task.len()) {
                return Ok(Candidates::all(of_task));
            }
            let own = earlier::of_node(db, &task.name, label, MAX_OF_NODE)?;
            Ok(match own.is_empty() {
                true => Candidates { list: of_task, most: MAX_OF_TASK as usize },
                false => Candidates::all(own),
            })
        };
        found().unwrap_or_else(|_| Candidates::all(Vec::new()))
    }

    /// Whether `results` more results may be compared.
    pub(super) fn may_compare(&self, results: usize) -> bool {
        let compared = &self.memory.compared;
        compared.set(compared.get() + results as u64);
        compared.get() <= MAX_COMPARED
    }

    /// Results of tasks with the same definition and another name: the same task after it or its workflow was renamed.
    fn renamed(
        &self,
        db: &Connection,
        identity: &TaskIdentity,
        label: &str,
    ) -> rusqlite::Result<Vec<EarlierResult>> {
        let named = self.definitions(db)?.get(&identity.definition_digest);
        let mut found = Vec::new();
        for task in named.into_iter().flatten().take(MAX_NAMES) {
            found.extend(earlier::of_node(db, task, label, MAX_OF_NODE)?);
        }
        Ok(found)
    }

    /// By definition: the names of the tasks that have results of it, read once.
    fn definitions(&self, db: &Connection) -> rusqlite::Result<&HashMap<Digest, Vec<String>>> {
        if let Some(known) = self.memory.definitions.get() {
            return Ok(known);
        }
        let mut tasks: HashMap<Digest, Vec<String>> = HashMap::new();
        for (definition, task) in earlier::definitions(db)? {
            tasks.entry(definition).or_default().push(task);
        }
        Ok(self.memory.definitions.get_or_init(|| tasks))
    }

    /// Results of the node under tasks that the workflow had and has no more: its task may have been renamed and edited.
    fn of_gone_tasks(
        &self,
        db: &Connection,
        task: &Task,
        label: &str,
    ) -> rusqlite::Result<Vec<EarlierResult>> {
        let (workflow, _) = task.name.rsplit_once('.').unwrap_or_default();
        let has = |name: &String| self.outline.workflow().tasks.iter().any(|task| *task.name == **name);
        let is_gone =
            |name: &&String| name.rsplit_once('.').is_some_and(|(other, _)| other == workflow) && !has(name);
        let gone: BTreeSet<&String> = self.definitions(db)?.values().flatten().filter(is_gone).collect();
        let mut found = Vec::new();
        for task in gone.into_iter().take(MAX_NAMES) {
            found.extend(earlier::of_node(db, task, label, MAX_OF_NODE)?);
        }
        Ok(found)
    }

    /// Results of nodes of that name under another task of the same workflow.
    fn of_label(&self, db: &Connection, task: &Task, label: &str) -> rusqlite::Result<Vec<EarlierResult>> {
        let (workflow, _) = task.name.rsplit_once('.').unwrap_or_default();
        let mut named = earlier::of_label(db, label, MAX_OF_LABEL)?;
        named.retain(|past| past.task.rsplit_once('.').is_some_and(|(other, _)| other == workflow));
        Ok(named)
    }

    /// The results of a task, the newest first, read once.
    pub(super) fn of_task(&self, db: &Connection, task: &str) -> rusqlite::Result<Arc<[EarlierResult]>> {
        if let Some(known) = self.memory.of_task.borrow().get(task) {
            return Ok(known.clone());
        }
        let limit = if self.detail == Detail::Full { u32::MAX } else { MAX_OF_TASK };
        let found: Arc<[EarlierResult]> = match earlier::has_any(db, task)? {
            true => earlier::of_task(db, task, limit)?.into(),
            false => [].into(),
        };
        self.memory.of_task.borrow_mut().insert(task.to_owned(), found.clone());
        Ok(found)
    }

    /// What differs, without where it comes from.
    pub(super) fn changes(
        &self,
        db: &Connection,
        parts: &Parts,
        sources: &[SourceFile],
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
                Change::Input(change) => self.add_content(change),
                Change::Definition(part) => {
                    if let Some(path) = part.name.strip_prefix("source ")
                        && let (Some(was), Some(now)) = (&part.was, &part.now)
                        && let Some(changed) = self.source_change(&part.name, path, was, now, sources)
                    {
                        *part = changed;
                    }
                }
                _ => {}
            }
            // A run may have very many misses: what their events hold stays small.
            if self.detail == Detail::Line && self.memory.differences.get() >= MAX_DIFFERENCES {
                match change {
                    Change::Input(change) => change.diff = None,
                    Change::Definition(part) => part.diff = None,
                    _ => {}
                }
            }
            let has_diff = match change {
                Change::Input(change) => change.diff.is_some(),
                Change::Definition(part) => part.diff.is_some(),
                _ => false,
            };
            self.memory.differences.set(self.memory.differences.get() + u32::from(has_diff));
        }
        changes
    }

    /// Whether one more file may be compared.
    fn may_read(&self) -> bool {
        let compared = &self.memory.files;
        compared.set(compared.get() + 1);
        compared.get() <= MAX_COMPARED_FILES || self.detail == Detail::Full
    }

    /// Adds which lines differ between two files, or which entries between two folders, if both can be read.
    fn add_content(&self, change: &mut InputChange) {
        let differs =
            change.was.get("digest").is_some() && change.was.get("digest") != change.now.get("digest");
        if !differs || !self.may_read() {
            return;
        }
        if let (Some(was), Some(now)) = (self.text(&change.was), self.text(&change.now)) {
            change.lines = difference::lines(&was, &now).map(|found| found.lines);
            change.diff = change.lines.map(|_| difference::unified(&was, &now, self.detail.lines()));
        } else if let (Some(was), Some(now)) = (self.folder(&change.was), self.folder(&change.now)) {
            change.items = difference::items(&was, &now);
            // Of the one file that differs in it, the lines.
            let mut at = String::new();
            let (was, now) = difference::focus(&was, &now, &mut at);
            if let (Some(was), Some(now)) = (self.text(was), self.text(now)) {
                change.lines = difference::lines(&was, &now).map(|found| found.lines);
                change.diff = change.lines.map(|_| difference::unified(&was, &now, self.detail.lines()));
            }
        }
    }

    /// The entries of the folder that a record names, by name, as records.
    fn folder(&self, record: &Json) -> Option<Json> {
        let digest = record.get("digest")?.as_str()?.parse().ok()?;
        let origin = record.get("origin").and_then(Json::as_str).map(Path::new);
        self.cache.store().folder(&digest, origin)
    }

    /// The text of the file that a record names, if it has that content still.
    fn text(&self, record: &Json) -> Option<String> {
        let digest = record.get("digest")?.as_str()?.parse().ok()?;
        if record.get("size")?.as_u64()? > MAX_TEXT_BYTES {
            return None;
        }
        let origin = record.get("origin").and_then(Json::as_str).map(Path::new);
        self.content(&digest, origin)
    }

    fn content(&self, digest: &Digest, origin: Option<&Path>) -> Option<String> {
        let stored = self.cache.store().text(digest, MAX_TEXT_BYTES);
        // A file of the user's may be another one by now.
        stored.or_else(|| read_text(origin?, MAX_TEXT_BYTES).filter(|text| Digest::of(text) == *digest))
    }

    /// The change of a source, of which a definition has the digests.
    fn source_change(
        &self,
        name: &str,
        path: &str,
        was: &str,
        now: &str,
        sources: &[SourceFile],
    ) -> Option<DefinitionChange> {
        if !self.may_read() {
            return None;
        }
        let origin = sources.iter().find(|source| source.path == Path::new(path));
        let origin = origin.and_then(|source| source.artifact.origin.as_deref());
        let text = |part: &str, origin: Option<&Path>| {
            let digest = part.split(' ').next()?.parse().ok()?;
            self.content(&digest, origin)
        };
        let (was, now) = (text(was, None)?, text(now, origin)?);
        (was != now).then(|| text_change(name.to_owned(), &was, &now, self.detail.lines()))
    }
}
