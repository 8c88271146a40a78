//! Accepting earlier results: a user vouches that they stand although the definition or the cache version changed.
//!
//! A node's result is accepted where nothing else differs. What hangs on it has its inputs then, and may be accepted in
//! the same call: the plan is made again until nothing more is accepted.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior};
use serde_json::{Map as JsonMap, Value as Json};

use super::Error;
use super::home::{HomeReader, HomeWriter};
use super::plan::look_with;
use super::prepare::PreparedRun;
use super::why::AskedNodes;
use crate::core::digest::Digest;
use crate::core::event::ResultSource;
use crate::core::provenance::{Accepted, Provenance};
use crate::core::value::Value;
use crate::core::why::Why;
use crate::engine::lookup::cache::Cache;
use crate::engine::lookup::identity::TaskIdentity;
use crate::engine::plan::planned::{Expectation, PlanObserver, PlannedUnit};
use crate::engine::scope::values::UserFiles;
use crate::storage::gc::footprint;
use crate::storage::memo::explain::same;
use crate::storage::memo::{EarlierResult, FoundResult, MemoEntry, earlier, sqlite};
use crate::storage::store::Store;
use crate::storage::writer::MemoRow;
use crate::workflow::Task;
use crate::workflow::graph::select::matching;

/// What was asked for.
pub struct Acceptance<'a> {
    /// Names, globs or labels of nodes and elements.
    pub nodes: &'a [String],
    /// Who vouches.
    pub by: &'a str,
    /// Only say what would be accepted.
    pub dry_run: bool,
}

/// A node or element, and what became of it.
pub struct Judged {
    pub label: String,
    pub verdict: AcceptVerdict,
}

/// What became of a node or element.
pub enum AcceptVerdict {
    /// An earlier result is recorded under the present key.
    Accepted { key: Digest, version: String, from: Box<ResultSource> },
    /// There is a result under the present key already.
    Stored { key: Option<Digest> },
    /// Why there is nothing to accept.
    Refused(String),
}

/// Everything that was judged, in the order of the plan, and warnings about the home.
pub struct AcceptResult {
    pub judged: Vec<Judged>,
    pub warnings: Vec<String>,
}

/// Records earlier results under the present keys of nodes, where only the cache version differs.
///
/// # Errors
/// A name that fits nothing, an input file that cannot be read, or a home that cannot be used.
pub fn accept(
    prepared: &PreparedRun,
    home: Option<&Path>,
    request: &Acceptance,
) -> Result<AcceptResult, Error> {
    let asked = AskedNodes::read(request.nodes);
    let wants = matching(&prepared.opened.outline, "node", &asked.globs).map_err(Error::not_found)?;
    // Held until the rows are written: what they name cannot be collected meanwhile.
    let store = Arc::new(HomeReader::open(home)?.store()?);
    let history = HomeReader::open(home)?.db;
    let files = UserFiles::new(store.clone());
    let cache = Cache::new(prepared.scope.clone(), store.clone(), HomeReader::open(home)?.db, None);
    let mut judge =
        Judge { prepared, request, cache: &cache, files: &files, history, of_task: BTreeMap::new() };
    let mut order: Vec<String> = Vec::new();
    let mut verdicts: BTreeMap<String, AcceptVerdict> = BTreeMap::new();
    let mut rows: Vec<MemoRow> = Vec::new();
    loop {
        let mut units = Vec::new();
        let mut tell = |told: &PlannedUnit| {
            if asked.means(told.label) {
                units.push(Unit::of(told));
            }
        };
        look_with(prepared, &cache, &files, PlanObserver { wants: wants.clone(), tell: &mut tell })?;
        let before = rows.len();
        for unit in units {
            if !verdicts.contains_key(&unit.label) {
                order.push(unit.label.clone());
            }
            if matches!(verdicts.get(&unit.label), Some(AcceptVerdict::Accepted { .. })) {
                continue;
            }
            let (verdict, row) = judge.judge(&unit)?;
            rows.extend(row);
            verdicts.insert(unit.label, verdict);
        }
        if rows.len() == before {
            break;
        }
    }
    let warnings = match request.dry_run || rows.is_empty() {
        true => Vec::new(),
        false => record(home, &store, &rows)?,
    };
    let judged =
        order.into_iter().filter_map(|label| Some(Judged { verdict: verdicts.remove(&label)?, label }));
    let judged: Vec<_> = judged.collect();
    if judged.is_empty() {
        let named = request.nodes.join("`, `");
        return Err(Error::not_found(format!("`{named}` would not run: nothing is known of its key")));
    }
    Ok(AcceptResult { judged, warnings })
}

/// What a plan says of a unit.
struct Unit {
    number: usize,
    label: String,
    cache: Expectation,
    reason: String,
    why: Option<Why>,
    key: Option<Digest>,
    inputs: JsonMap<String, Json>,
}

impl Unit {
    fn of(told: &PlannedUnit) -> Self {
        Self {
            number: told.number,
            label: told.label.to_owned(),
            cache: told.cache,
            reason: told.reason.to_owned(),
            why: told.why.cloned(),
            key: told.parts.as_ref().and_then(|parts| parts.key),
            inputs: told.parts.as_ref().map_or_else(JsonMap::new, |parts| parts.inputs.clone()),
        }
    }
}

/// A stored result with its outputs, or why it does not count.
type Checked = Result<(FoundResult, Box<[Value]>), String>;

struct Judge<'j> {
    prepared: &'j PreparedRun,
    request: &'j Acceptance<'j>,
    cache: &'j Cache,
    files: &'j UserFiles,
    history: Option<Connection>,
    /// By qualified name: every result of the task.
    of_task: BTreeMap<String, Arc<[EarlierResult]>>,
}

impl Judge<'_> {
    fn judge(&mut self, unit: &Unit) -> Result<(AcceptVerdict, Option<MemoRow>), Error> {
        let place = self.prepared.opened.outline.place(unit.number);
        let (Some(task), Some(key)) = (place.node().task(), unit.key) else {
            return Ok((AcceptVerdict::Refused(unit.reason.clone()), None));
        };
        match unit.cache {
            Expectation::Miss => {}
            Expectation::Hit => return Ok((AcceptVerdict::Stored { key: Some(key) }, None)),
            Expectation::Skipped | Expectation::Disabled | Expectation::Unknown => {
                return Ok((AcceptVerdict::Refused(unit.reason.clone()), None));
            }
        }
        let identity =
            self.cache.task(task, self.files).map_err(|error| Error::invalid(error.to_string()))?;
        let Some(past) = self.nearest(task, &identity, unit, &key)? else {
            let why = unit.why.as_ref().map_or_else(|| unit.reason.clone(), Why::text);
            return Ok((AcceptVerdict::Refused(format!("more than the cache version differs: {why}")), None));
        };
        Ok(match self.usable(task, &past)? {
            Ok((found, outputs)) => {
                let row = self.row(task, &identity, unit, key, &past, found);
                self.cache.add_pending(&row.entry, &outputs);
                let source = ResultSource {
                    run: past.run,
                    node: past.node.clone(),
                    time: past.created,
                    provenance: Provenance::from_record(row.entry.found.provenance.as_deref()),
                };
                let version = past.version.clone();
                (AcceptVerdict::Accepted { key, version, from: Box::new(source) }, Some(row))
            }
            Err(problem) => {
                let refused = format!("the result of run {} cannot be used: {problem}", past.run);
                (AcceptVerdict::Refused(refused), None)
            }
        })
    }

    /// The newest result whose key differs in nothing but the cache version.
    fn nearest(
        &mut self,
        task: &Task,
        identity: &TaskIdentity,
        unit: &Unit,
        key: &Digest,
    ) -> Result<Option<EarlierResult>, Error> {
        let Some(db) = &self.history else { return Ok(None) };
        let results = match self.of_task.get(&task.name) {
            Some(known) => known.clone(),
            None => {
                let read: Arc<[_]> = earlier::of_task(db, &task.name, u32::MAX).map_err(Error::cache)?.into();
                self.of_task.entry(task.name.clone()).or_insert(read).clone()
            }
        };
        let scope = self.cache.scope();
        let mut best: Option<&EarlierResult> = None;
        for past in results.iter() {
            let same_scope = past.project == scope.project && past.domain == scope.domain;
            if past.key == *key || !same_scope || best.is_some_and(|best| best.created >= past.created) {
                continue;
            }
            let equal =
                |(name, value): (&String, &Json)| past.inputs.get(name).is_some_and(|was| same(was, value));
            if unit.inputs.iter().all(equal) && has_signature(db, past, identity)? {
                best = Some(past);
            }
        }
        Ok(best.cloned())
    }

    /// The stored result behind an earlier one, if it would count; else why not.
    fn usable(&self, task: &Task, past: &EarlierResult) -> Result<Checked, Error> {
        let found = match &self.history {
            Some(db) => sqlite::lookup(db, &past.key).map_err(Error::cache)?,
            None => None,
        };
        let Some(found) = found else { return Ok(Err("its row is damaged".into())) };
        Ok(self.cache.usable(task, &found).map(|outputs| (found, outputs)).map_err(|miss| miss.to_string()))
    }

    fn row(
        &self,
        task: &Task,
        identity: &TaskIdentity,
        unit: &Unit,
        key: Digest,
        past: &EarlierResult,
        found: FoundResult,
    ) -> MemoRow {
        let accepted = Accepted {
            by: self.request.by.to_owned(),
            time: Timestamp::now(),
            from: past.key,
            version: past.version.clone(),
        };
        let provenance =
            Provenance { accepted: Some(accepted), ..Provenance::from_record(found.provenance.as_deref()) };
        let scope = self.cache.scope();
        let entry = MemoEntry {
            key,
            project: scope.project.clone(),
            domain: scope.domain.clone(),
            task: task.name.clone(),
            version: identity.version.to_string(),
            inputs: Json::Object(unit.inputs.clone()).to_string(),
            interface: Some(identity.interface_digest),
            // The user vouches for the present definition: it is no edit that goes unnoticed.
            found: FoundResult {
                definition: identity.definition_digest,
                provenance: provenance.to_record(),
                ..found
            },
        };
        MemoRow {
            entry,
            definition: Some(identity.definition.clone()),
            interface: identity.interface.clone(),
            upload: None,
        }
    }
}

/// Whether an earlier result has the task's present inputs and outputs, by name and type.
fn has_signature(db: &Connection, past: &EarlierResult, identity: &TaskIdentity) -> Result<bool, Error> {
    let Some(digest) = &past.interface else { return Ok(false) };
    if *digest == identity.interface_digest {
        return Ok(true);
    }
    let interface = earlier::interface(db, digest).map_err(Error::cache)?;
    let now = &identity.interface;
    Ok(interface.is_some_and(|was| was.inputs == now.inputs && was.outputs == now.outputs))
}

/// Writes the rows in one transaction; warnings about the home.
fn record(home: Option<&Path>, store: &Store, rows: &[MemoRow]) -> Result<Vec<String>, Error> {
    let HomeWriter { mut db, warnings, .. } = HomeWriter::open(home)?;
    let write = |db: &mut Connection| {
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut added = store.take_added();
        for MemoRow { entry, definition, interface, .. } in rows {
            sqlite::record(&transaction, entry)?;
            added += footprint::ROW + (entry.inputs.len() + entry.found.outputs.len()) as u64;
            if let Some(definition) = definition {
                sqlite::record_definition(&transaction, &entry.found.definition, definition)?;
            }
            if let Some(digest) = &entry.interface {
                earlier::record_interface(&transaction, digest, interface)?;
            }
        }
        footprint::add(&transaction, added)?;
        transaction.commit()
    };
    write(&mut db).map_err(Error::cache)?;
    Ok(warnings)
}
