//! The cache as one run or plan sees it, and its one decision: hit, miss, skipped, disabled or failed.
//!
//! Runs and plans ask the same function, so that a plan cannot say anything else than the run that follows it does.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use serde_json::{Map as JsonMap, Value as Json};

use super::decision::{Decision, Edited, Hit, Miss, SkipCause};
use super::identity::TaskIdentity;
use super::memo::{Memo, MemoError, SqliteMemo};
use super::prior_run::PriorRun;
use crate::core::clock::{Clock, SystemClock};
use crate::core::digest::Digest;
use crate::core::event::ResultSource;
use crate::core::provenance::Provenance;
use crate::core::run_request::CacheMode;
use crate::core::types::Type;
use crate::core::value::Value;
use crate::engine::scope::content::ContentStore;
use crate::engine::scope::error::SourceError;
use crate::engine::scope::values::UserFiles;
use crate::storage::memo::{FoundResult, MemoEntry, Scope, UNKNOWN_DEFINITION, Version};
use crate::storage::store::Damage;
use crate::workflow::Task;

/// The unit to decide for.
pub struct CacheRequest<'a> {
    pub task: &'a Task,
    pub identity: &'a TaskIdentity,
    /// The key of the task with its inputs, also where the task is not cached.
    pub work: &'a Digest,
    /// In the task's order.
    pub inputs: &'a [Value],
    pub mode: CacheMode,
    /// Whether the user asked for the result to be overwritten.
    pub overwrite: bool,
    /// The name of the node without numbers of elements, by which a prior run knows its results.
    pub node: &'a dyn Fn() -> String,
}

/// The cache as one run or plan sees it.
pub struct Cache {
    scope: Scope,
    store: Arc<dyn ContentStore>,
    /// `None` where nothing was ever stored.
    memo: Option<Box<dyn Memo>>,
    clock: Arc<dyn Clock>,
    /// Results of the run that this one is a retry of.
    prior: Option<PriorRun>,
    /// By address, with the qualified name: workflows that tasks made may each have a task of one name.
    tasks: RefCell<HashMap<usize, (String, KnownIdentity)>>,
    /// Results of this run whose rows are not visible yet.
    pending: RefCell<HashMap<Digest, Pending>>,
    /// Tasks whose edit under a pinned version was reported already.
    warned: RefCell<HashSet<String>>,
    /// Hits whose last recorded use is more than [`USE_RECORDED_EVERY`] ago.
    used: RefCell<Vec<Digest>>,
    /// Before this instant, a recorded use is that long ago.
    long_ago: Timestamp,
    /// Until when the hits so far stay hits that record nothing.
    until: Cell<Timestamp>,
}

/// The identity of a task, or why it has none.
type KnownIdentity = Result<Arc<TaskIdentity>, SourceError>;

/// How old the recorded use of a result has to be before a hit records a new one: a run right after another writes
/// nothing.
const USE_RECORDED_EVERY: SignedDuration = SignedDuration::from_hours(24);

struct Pending {
    outputs: Box<[Value]>,
    source: ResultSource,
    duration_ms: u64,
}

impl Cache {
    /// A cache over the database of a home.
    pub fn new(
        scope: Scope,
        store: Arc<dyn ContentStore>,
        db: Option<Connection>,
        home: Option<PathBuf>,
    ) -> Self {
        let memo = db.map(|db| Box::new(SqliteMemo::new(db, home)) as Box<dyn Memo>);
        Self::with_memo(scope, store, memo, Arc::new(SystemClock))
    }

    /// A cache over any memo.
    pub fn with_memo(
        scope: Scope,
        store: Arc<dyn ContentStore>,
        memo: Option<Box<dyn Memo>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let long_ago = clock.now().checked_sub(USE_RECORDED_EVERY).unwrap_or(Timestamp::MIN);
        Self {
            scope,
            store,
            memo,
            clock,
            prior: None,
            tasks: RefCell::default(),
            pending: RefCell::default(),
            warned: RefCell::default(),
            used: RefCell::default(),
            long_ago,
            until: Cell::new(Timestamp::MAX),
        }
    }

    /// The same with results of the run that this one is a retry of.
    pub fn with_prior(mut self, prior: Option<PriorRun>) -> Self {
        self.prior = prior;
        self
    }

    /// The project and domain of the run.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The database with earlier results.
    pub(in crate::engine) fn history(&self) -> Option<&Connection> {
        self.memo.as_ref()?.history()
    }

    pub(in crate::engine) fn store(&self) -> &dyn ContentStore {
        &*self.store
    }

    /// Until when the hits so far stay hits, and record nothing: the first `cache_max_age` ends, or a recorded use is long
    /// ago.
    pub fn hits_until(&self) -> Timestamp {
        self.until.get()
    }

    /// The names of the tasks that were looked up.
    pub fn tasks(&self) -> Vec<String> {
        let names: BTreeSet<String> = self.tasks.borrow().values().map(|(name, _)| name.clone()).collect();
        names.into_iter().collect()
    }

    fn ends_at(&self, instant: Option<Timestamp>) {
        self.until.set(self.until.get().min(instant.unwrap_or(Timestamp::MIN)));
    }

    /// Hits whose use must be recorded.
    pub fn take_used(&self) -> Vec<Digest> {
        self.used.take()
    }

    /// See [`Memo::begin`].
    pub fn begin(&self) {
        if let Some(memo) = &self.memo {
            memo.begin();
        }
    }

    /// See [`Memo::end`].
    pub fn end(&self) {
        if let Some(memo) = &self.memo {
            memo.end();
        }
    }

    /// See [`Memo::refresh`].
    pub fn refresh(&self) {
        if let Some(memo) = &self.memo {
            memo.refresh();
        }
    }

    /// The identity of a task, computed once a run.
    ///
    /// # Errors
    /// Its sources cannot be read.
    pub fn task(&self, task: &Task, files: &UserFiles) -> Result<Arc<TaskIdentity>, SourceError> {
        // The outline of the run keeps every task, so that no other takes its address.
        let own = std::ptr::from_ref(task).addr();
        if let Some((_, known)) = self.tasks.borrow().get(&own) {
            return known.clone();
        }
        let identity = TaskIdentity::new(task, &self.scope, files).map(Arc::new);
        self.tasks.borrow_mut().insert(own, (task.name.clone(), identity.clone()));
        identity
    }

    /// Decides whether a task with its inputs runs. The files of a hit were checked.
    pub fn decide(&self, request: &CacheRequest) -> Decision {
        let prior = || self.prior(request).map(|hit| Decision::Hit(Box::new(hit)));
        if !request.task.cache.enabled {
            return prior().unwrap_or(Decision::Disabled);
        }
        if request.overwrite {
            return Decision::Skipped(SkipCause::Overwrite);
        }
        match request.mode {
            CacheMode::WriteOnly => return Decision::Skipped(SkipCause::WriteOnly),
            CacheMode::Off => return Decision::Skipped(SkipCause::Off),
            CacheMode::ReadWrite | CacheMode::ReadOnly => {}
        }
        match self.lookup(request) {
            Ok(Ok(hit)) => Decision::Hit(Box::new(hit)),
            // The memo comes first: it knows whether a task was edited under its pinned version.
            Ok(Err(miss)) => prior().unwrap_or(Decision::Miss(miss)),
            Err(error) => Decision::Failed(error),
        }
    }

    /// The result that a node had in the prior run, if there is one and its files are there.
    fn prior(&self, request: &CacheRequest) -> Option<Hit> {
        let done = self.prior.as_ref()?.find(&(request.node)(), request.work)?;
        let outputs = read_record(request.task, &done.outputs).ok()?;
        self.verify(&outputs).ok()?;
        let (source, duration_ms) = (done.source.clone(), done.duration_ms);
        Some(Hit { outputs, source, duration_ms, edited: None, alias: None })
    }

    fn lookup(&self, request: &CacheRequest) -> Result<Result<Hit, Miss>, MemoError> {
        let CacheRequest { task, work: key, .. } = *request;
        if let Some(pending) = self.pending.borrow().get(key) {
            let Pending { outputs, source, duration_ms } = pending;
            let (outputs, source) = (outputs.clone(), source.clone());
            return Ok(Ok(Hit { outputs, source, duration_ms: *duration_ms, edited: None, alias: None }));
        }
        let Some(memo) = &self.memo else { return Ok(Err(Miss::Nothing)) };
        let Some(found) = memo.lookup(key)? else {
            return Ok(self.under_alias(&**memo, request)?.ok_or(Miss::Nothing));
        };
        Ok(self.usable(task, &found).map(|outputs| {
            self.ends_at(found.used.checked_add(USE_RECORDED_EVERY).ok());
            if let Some(max_age) = task.cache.max_age {
                self.ends_at(found.created.checked_add(max_age).ok());
            }
            if found.used < self.long_ago {
                self.used.borrow_mut().push(*key);
            }
            self.hit(request, outputs, found)
        }))
    }

    fn hit(&self, request: &CacheRequest, outputs: Box<[Value]>, found: FoundResult) -> Hit {
        Hit {
            outputs,
            edited: self.edited(request.task, request.identity, &found.definition),
            duration_ms: found.duration_ms,
            source: source_of(found),
            alias: None,
        }
    }

    /// The result that the task has under a name that it had before, with all else equal.
    fn under_alias(&self, memo: &dyn Memo, request: &CacheRequest) -> Result<Option<Hit>, MemoError> {
        for (name, key) in request.identity.alias_keys(request.task, request.inputs) {
            let Some(mut found) = memo.lookup(&key)? else { continue };
            let Ok(outputs) = self.usable(request.task, &found) else { continue };
            let mut provenance = Provenance::from_record(found.provenance.as_deref());
            provenance.alias.get_or_insert_with(|| name.to_owned());
            found.provenance = provenance.to_record();
            let hit = self.hit(request, outputs, found.clone());
            return Ok(Some(Hit { alias: Some(Box::new(found)), ..hit }));
        }
        Ok(None)
    }

    /// The outputs of a stored result, if it counts.
    ///
    /// # Errors
    /// Why it does not count.
    pub fn usable(&self, task: &Task, found: &FoundResult) -> Result<Box<[Value]>, Miss> {
        if let Some(max_age) = task.cache.max_age {
            self.check_age(found.created, max_age)?;
        }
        let outputs = read_outputs(task, &found.outputs).map_err(Miss::Unreadable)?;
        self.verify(&outputs).map_err(Miss::Damaged)?;
        Ok(outputs)
    }

    fn check_age(&self, created: Timestamp, max_age: Duration) -> Result<(), Miss> {
        let age = self.clock.now().duration_since(created);
        if age < SignedDuration::ZERO {
            return Err(Miss::FromFuture { created });
        }
        match SignedDuration::try_from(max_age) {
            Ok(max_age) if age > max_age => {
                Err(Miss::Aged { age: SignedDuration::from_secs(age.as_secs()), max_age })
            }
            _ => Ok(()),
        }
    }

    fn verify(&self, outputs: &[Value]) -> Result<(), Damage> {
        let mut verdict = Ok(());
        for value in outputs {
            value.for_each_artifact(&mut |artifact, is_dir| {
                if verdict.is_ok() {
                    verdict = self.store.verify(artifact, is_dir);
                }
            });
        }
        verdict
    }

    /// Whether the task was edited under its pinned version since a result with this `definition` was stored; once a
    /// task.
    pub fn edited(&self, task: &Task, identity: &TaskIdentity, definition: &Digest) -> Option<Edited> {
        let Version::Pinned(version) = &identity.version else { return None };
        let is_same = *definition == identity.definition_digest || *definition == UNKNOWN_DEFINITION;
        if is_same || !self.warned.borrow_mut().insert(task.name.clone()) {
            return None;
        }
        let old = self.memo.as_ref().and_then(|memo| memo.definition(definition));
        let changed = old.map(|old| identity.definition.differences(&old)).unwrap_or_default();
        Some(Edited { task: task.name.clone(), version: version.to_string(), changed })
    }

    /// Adds a result of this run that will be visible soon: identical work hits it already.
    pub fn add_pending(&self, entry: &MemoEntry, outputs: &[Value]) {
        let duration_ms = entry.found.duration_ms;
        let pending =
            Pending { outputs: outputs.into(), source: source_of(entry.found.clone()), duration_ms };
        self.pending.borrow_mut().insert(entry.key, pending);
    }

    /// Removes what [`Cache::add_pending`] added.
    pub fn remove_pending(&self, key: &Digest) {
        self.pending.borrow_mut().remove(key);
    }
}

/// Where a stored result came from.
pub fn source_of(found: FoundResult) -> ResultSource {
    let provenance = Provenance::from_record(found.provenance.as_deref());
    ResultSource { run: found.run, node: found.node, time: found.created, provenance }
}

/// Named values as the memo and the history keep them.
pub fn to_record<'v>(names: impl Iterator<Item = &'v str>, values: &[Value]) -> JsonMap<String, Json> {
    names.zip(values).map(|(name, value)| (name.to_owned(), value.to_record())).collect()
}

fn read_outputs(task: &Task, text: &str) -> Result<Box<[Value]>, String> {
    let record: JsonMap<String, Json> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    read_record(task, &record)
}

fn read_record(task: &Task, record: &JsonMap<String, Json>) -> Result<Box<[Value]>, String> {
    task.outputs
        .iter()
        .map(|output| match record.get(&*output.name) {
            Some(json) => Value::from_json(&output.ty, json),
            None if matches!(output.ty, Type::Optional(_)) => Ok(Value::Null),
            None => Err(format!("it lacks the output `{}`", output.name)),
        })
        .collect()
}
