//! What the cache says of a node: its key, and a hit or the reason for a miss.
//!
//! Shared by runs and plans, so that a plan cannot say anything else than the run that follows it does.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use serde_json::{Map as JsonMap, Value as Json};

use crate::core::definition::Definition;
use crate::core::digest::Digest;
use crate::core::event::Source;
use crate::core::signature::Signature;
use crate::core::types::Type;
use crate::core::value::{Artifact, Value};
use crate::engine::lookup::prior_run::PriorRun;
use crate::engine::plan::explain::ExplainMemory;
use crate::engine::scope::values::Files;
use crate::storage::db;
use crate::storage::memo::{Entry, Found, Interface, KeyMaker, Scope, Version, sqlite};
use crate::storage::store::{Snapshot, Store};
use crate::workflow::Task;
use crate::workflow::definition::sources_of;

/// A file that a task needs beside its inputs.
pub struct SourceFile {
    /// Relative to the file that defines the task, and to the scratch folder.
    pub path: PathBuf,
    pub artifact: Arc<Artifact>,
    pub snapshot: Arc<Snapshot>,
}

/// What the cache needs to know of a task, worked out once a run.
pub struct TaskIdentity {
    maker: KeyMaker,
    pub version: Version,
    pub interface: Arc<Interface>,
    pub interface_digest: Digest,
    pub definition: Arc<Definition>,
    pub definition_digest: Digest,
    pub sources: Arc<[SourceFile]>,
    /// Indices of the inputs that are in the key, sorted by name.
    keyed: Box<[usize]>,
}

impl TaskIdentity {
    fn new(task: &Task, scope: &Scope, files: &Files) -> Result<Self, String> {
        let mut sources = Vec::new();
        for path in sources_of(task)? {
            let (artifact, snapshot) = files.get(&task.dir.join(&path), false)?;
            sources.push(SourceFile { path, artifact, snapshot });
        }
        let mut content = |path: &std::path::Path| {
            let (artifact, _) = files.get(path, false)?;
            let bit = if artifact.executable { " executable" } else { "" };
            Ok(format!("{}{bit}", artifact.digest))
        };
        let definition = Definition::of(task, &crate::engine::attempt::environment::matching, &mut content)?;
        let definition_digest = definition.digest();
        let version = match &task.cache.version {
            Some(version) => Version::Pinned(version.clone()),
            None => Version::Automatic(definition_digest),
        };
        let mut keyed: Vec<usize> = (0..task.inputs.len())
            .filter(|i| !task.cache.ignore_inputs.iter().any(|name| **name == *task.inputs[*i].name))
            .collect();
        keyed.sort_by(|a, b| task.inputs[*a].name.cmp(&task.inputs[*b].name));
        let signature = Signature::of(task);
        let interface = Interface::of(&signature, &task.cache.ignore_inputs);
        Ok(Self {
            maker: KeyMaker::new(scope, &version, &signature),
            version,
            interface_digest: interface.digest(),
            interface: Arc::new(interface),
            definition: Arc::new(definition),
            definition_digest,
            sources: sources.into(),
            keyed: keyed.into(),
        })
    }

    /// The key of this task for these inputs, which are in the task's order.
    pub fn key(&self, task: &Task, inputs: &[Value]) -> Digest {
        self.maker.key(self.keyed(task, inputs))
    }

    /// The inputs that are in the key, sorted by name.
    pub fn keyed<'a>(
        &'a self,
        task: &'a Task,
        inputs: &'a [Value],
    ) -> impl ExactSizeIterator<Item = (&'a str, &'a Value)> {
        self.keyed.iter().map(|i| (&*task.inputs[*i].name, &inputs[*i]))
    }
}

/// A cached result.
pub struct Hit {
    pub outputs: Box<[Value]>,
    pub source: Source,
    /// What the attempt that made it took.
    pub duration_ms: u64,
    /// Something the user should know of it.
    pub warning: Option<String>,
}

/// What is under a key that did not hit.
#[derive(Clone, Debug)]
pub enum Miss {
    Nothing,
    /// A result that does not count, in words.
    Aged(String),
    Unusable(String),
}

/// What a lookup found.
pub enum Lookup {
    Hit(Box<Hit>),
    Miss(Miss),
    /// The cache could not be asked.
    Failure(String),
}

/// The cache as one run or plan sees it.
pub struct Cache {
    scope: Scope,
    store: Arc<Store>,
    /// `None` where nothing was ever stored.
    db: Option<Connection>,
    /// Where to note that the database seems damaged; `None` for a plan, which changes nothing.
    home: Option<PathBuf>,
    /// Results of the run that this one is another try of.
    earlier: Option<PriorRun>,
    /// By qualified name, which no two tasks share.
    tasks: RefCell<HashMap<String, Result<Arc<TaskIdentity>, String>>>,
    /// Results of this run whose rows are not visible yet.
    pending: RefCell<HashMap<Digest, Pending>>,
    /// Tasks whose edit under a pinned version was spoken of already.
    warned: RefCell<HashSet<String>>,
    /// Results that were handed out and had not been for so long that it has to be noted.
    used: RefCell<Vec<Digest>>,
    /// Before this, use is long ago.
    long_ago: Timestamp,
    pub(in crate::engine) explained: ExplainMemory,
}

/// Use is noted if the last one that was is older than this: a run that follows on another writes nothing.
const NOTED: SignedDuration = SignedDuration::from_hours(24);

struct Pending {
    outputs: Box<[Value]>,
    source: Source,
    duration_ms: u64,
}

impl Cache {
    pub fn new(scope: Scope, store: Arc<Store>, db: Option<Connection>, home: Option<PathBuf>) -> Self {
        Self {
            scope,
            store,
            db,
            home,
            earlier: None,
            tasks: RefCell::default(),
            pending: RefCell::default(),
            warned: RefCell::default(),
            used: RefCell::default(),
            long_ago: Timestamp::now().checked_sub(NOTED).unwrap_or(Timestamp::MIN),
            explained: ExplainMemory::default(),
        }
    }

    /// Results that were handed out, as far as that has to be noted.
    pub fn take_used(&self) -> Vec<Digest> {
        self.used.take()
    }

    pub(in crate::engine) fn database(&self) -> Option<&Connection> {
        self.db.as_ref()
    }

    pub(in crate::engine) fn store(&self) -> &Store {
        &self.store
    }

    /// The same with results of an earlier run, which count as well.
    pub fn with_earlier(mut self, earlier: Option<PriorRun>) -> Self {
        self.earlier = earlier;
        self
    }

    /// The result that a node had in the earlier run, if there is one and its files can be had.
    pub fn earlier(&self, node: impl FnOnce() -> String, task: &Task, work: &Digest) -> Option<Hit> {
        let done = self.earlier.as_ref()?.find(&node(), work)?;
        let outputs = read_record(task, &done.outputs).ok()?;
        self.verify(&outputs).ok()?;
        let (source, duration_ms) = (done.source.clone(), done.duration_ms);
        Some(Hit { outputs, source, duration_ms, warning: None })
    }

    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Begins to read from one state of the database: many lookups in one transaction are cheap.
    pub fn begin(&self) {
        if let Some(db) = &self.db {
            // Without a transaction each lookup is one of its own: slower, not wrong.
            let _ = db.execute_batch("BEGIN");
        }
    }

    /// Ends what [`Cache::begin`] began, so that later lookups see what others stored.
    pub fn end(&self) {
        if let Some(db) = &self.db {
            let _ = db.execute_batch("COMMIT");
        }
    }

    /// Sees what others have stored since [`Cache::begin`].
    pub fn refresh(&self) {
        if let Some(db) = &self.db
            && !db.is_autocommit()
        {
            self.end();
            self.begin();
        }
    }

    /// What is known of a task.
    ///
    /// # Errors
    /// Its sources cannot be read.
    pub fn task(&self, task: &Task, files: &Files) -> Result<Arc<TaskIdentity>, String> {
        if let Some(known) = self.tasks.borrow().get(&task.name) {
            return known.clone();
        }
        let state = TaskIdentity::new(task, &self.scope, files).map(Arc::new);
        self.tasks.borrow_mut().insert(task.name.clone(), state.clone());
        state
    }

    /// Looks a key up, and makes sure that every file of a hit can be had.
    pub fn lookup(&self, task: &Task, state: &TaskIdentity, key: &Digest) -> Lookup {
        if let Some(pending) = self.pending.borrow().get(key) {
            return Lookup::Hit(Box::new(Hit {
                outputs: pending.outputs.clone(),
                source: pending.source.clone(),
                duration_ms: pending.duration_ms,
                warning: None,
            }));
        }
        let Some(db) = &self.db else { return Lookup::Miss(Miss::Nothing) };
        let found = match sqlite::lookup(db, key) {
            Ok(Some(found)) => found,
            Ok(None) => return Lookup::Miss(Miss::Nothing),
            Err(error) => {
                if let Some(home) = &self.home {
                    db::suspect(home, &error);
                }
                return Lookup::Failure(format!("the cache could not be read: {error}"));
            }
        };
        if let Some(most) = task.cache.max_age
            && let Some(age) = older_than(found.created, most)
        {
            return Lookup::Miss(Miss::Aged(age));
        }
        let outputs = match read_outputs(task, &found.outputs) {
            Ok(outputs) => outputs,
            Err(problem) => {
                return Lookup::Miss(Miss::Unusable(format!("the stored result cannot be used: {problem}")));
            }
        };
        if let Err(damage) = self.verify(&outputs) {
            return Lookup::Miss(Miss::Unusable(format!("a stored file cannot be used: {damage}")));
        }
        let warning = self.edited(task, state, &found.definition);
        if found.used < self.long_ago {
            self.used.borrow_mut().push(*key);
        }
        Lookup::Hit(Box::new(Hit {
            outputs,
            source: Source { run: found.run, node: found.node, time: found.created },
            duration_ms: found.duration_ms,
            warning,
        }))
    }

    fn verify(&self, outputs: &[Value]) -> Result<(), String> {
        let mut verdict = Ok(());
        for value in outputs {
            value.for_each_artifact(&mut |artifact, is_dir| {
                if verdict.is_ok() {
                    verdict = self.store.verify(artifact, is_dir).map_err(|damage| damage.to_string());
                }
            });
        }
        verdict
    }

    /// A warning if the task was edited under its pinned version since the result was stored, whose definition this is;
    /// once a task.
    pub fn edited(&self, task: &Task, state: &TaskIdentity, definition: &Digest) -> Option<String> {
        let Version::Pinned(version) = &state.version else { return None };
        if *definition == state.definition_digest || !self.warned.borrow_mut().insert(task.name.clone()) {
            return None;
        }
        let old = self.db.as_ref().and_then(|db| sqlite::definition(db, definition).ok().flatten());
        let changed = old.map(|old| state.definition.differences(&old)).filter(|changed| !changed.is_empty());
        let what = changed.map_or("its definition".into(), |changed| format!("`{}`", changed.join("`, `")));
        Some(format!(
            "`{}` was edited since this result was stored ({what} changed), but its cache_version is still \"{version}\", \
             so the result counts: bump cache_version to run it again",
            task.name
        ))
    }

    /// A result of this run that will be visible soon: identical work finds it already.
    pub fn add_pending(&self, entry: &Entry, outputs: &[Value]) {
        let Found { run, node, created, duration_ms, .. } = entry.found.clone();
        let source = Source { run, node, time: created };
        let pending = Pending { outputs: outputs.into(), source, duration_ms };
        self.pending.borrow_mut().insert(entry.key, pending);
    }

    pub fn remove_pending(&self, key: &Digest) {
        self.pending.borrow_mut().remove(key);
    }
}

/// What to say of a result that is older than `most`.
fn older_than(created: Timestamp, most: Duration) -> Option<String> {
    let age = Timestamp::now().duration_since(created);
    let most = SignedDuration::try_from(most).ok().filter(|most| age > *most)?;
    let age = SignedDuration::from_secs(age.as_secs());
    Some(format!("the stored result is {age:#} old, and cache_max_age is {most:#}"))
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
