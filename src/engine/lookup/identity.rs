//! The identity of a task in the cache: its version, signature, definition and sources, and the key that follows for given
//! inputs. It knows neither what is stored nor where.

use std::sync::Arc;

use serde_json::{Map as JsonMap, Value as Json};

use crate::core::definition::Definition;
use crate::core::digest::Digest;
use crate::core::signature::Signature;
use crate::core::value::Value;
use crate::engine::attempt::environment::matching;
use crate::engine::attempt::source::SourceFile;
use crate::engine::scope::error::SourceError;
use crate::engine::scope::values::UserFiles;
use crate::storage::memo::explain::Parts;
use crate::storage::memo::{Interface, KeyMaker, Scope, Version};
use crate::workflow::Task;
use crate::workflow::definition::sources_of;

/// What identifies a task in the cache, computed once a run.
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
    /// Names that the task had before, with the makers of the keys that it had then.
    aliases: Box<[(String, KeyMaker)]>,
}

impl TaskIdentity {
    /// # Errors
    /// A source cannot be read.
    pub(super) fn new(task: &Task, scope: &Scope, files: &UserFiles) -> Result<Self, SourceError> {
        let mut sources = Vec::new();
        for source in sources_of(task)? {
            let (artifact, snapshot) = files.get(&task.dir.join(&source.path), false)?;
            sources.push(SourceFile { path: source.staged, artifact, snapshot });
        }
        let mut content = |path: &std::path::Path| {
            let (artifact, _) = files.get(path, false)?;
            let bit = if artifact.executable { " executable" } else { "" };
            Ok::<_, SourceError>(format!("{}{bit}", artifact.digest))
        };
        let definition = Definition::of(task, &matching, &mut content)?;
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
        let alias = |name: &String| {
            let signature = Signature { task: name.clone(), ..signature.clone() };
            (name.clone(), KeyMaker::new(scope, &version, &signature))
        };
        let aliases = task.cache.aliases.iter().map(alias).collect();
        Ok(Self {
            maker: KeyMaker::new(scope, &version, &signature),
            version,
            interface_digest: interface.digest(),
            interface: Arc::new(interface),
            definition: Arc::new(definition),
            definition_digest,
            sources: sources.into(),
            keyed: keyed.into(),
            aliases,
        })
    }

    /// The key of this task for these inputs, which are in the task's order.
    pub fn key(&self, task: &Task, inputs: &[Value]) -> Digest {
        self.maker.key(self.keyed(task, inputs))
    }

    /// Each name that this task had before, and the key that it had then for these inputs.
    pub fn alias_keys<'a>(
        &'a self,
        task: &'a Task,
        inputs: &'a [Value],
    ) -> impl Iterator<Item = (&'a str, Digest)> {
        self.aliases.iter().map(|(name, maker)| (&**name, maker.key(self.keyed(task, inputs))))
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

/// A task with its inputs: what is looked up.
pub struct TaskRequest<'a> {
    pub task: &'a Task,
    pub identity: &'a TaskIdentity,
    /// Of the node or element.
    pub label: &'a str,
    pub inputs: &'a [Value],
}

impl<'a> TaskRequest<'a> {
    /// The parts of its key, to be compared with those of earlier results.
    pub fn parts(&self, scope: &'a Scope) -> Parts<'a> {
        let keyed = self.identity.keyed(self.task, self.inputs);
        let inputs = keyed.map(|(name, value)| (name.to_owned(), value.to_record())).collect();
        let key = Some(self.identity.key(self.task, self.inputs));
        parts(self.task, self.identity, scope, self.label, key, inputs)
    }
}

/// The parts of a key; `key` is `None` where not all `inputs` are known.
pub fn parts<'a>(
    task: &'a Task,
    identity: &'a TaskIdentity,
    scope: &'a Scope,
    node: &'a str,
    key: Option<Digest>,
    inputs: JsonMap<String, Json>,
) -> Parts<'a> {
    Parts {
        key,
        scope,
        task: &task.name,
        version: &identity.version,
        definition: &identity.definition,
        interface: &identity.interface,
        interface_digest: identity.interface_digest,
        inputs,
        node,
    }
}
