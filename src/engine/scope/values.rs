//! What bindings are evaluated over: a workflow's inputs, outputs of nodes that have ended, and the user's files.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::core::condition::Condition;
use crate::core::types::Type;
use crate::core::value::{Artifact, Value};
use crate::engine::scope::content::ContentStore;
use crate::engine::scope::error::{InputError, NodeError};
use crate::storage::store::{FileError, Snapshot};
use crate::workflow::binding::{self, Binding, Failure, Reference, ValueError};
use crate::workflow::paths::find_files;
use crate::workflow::{Node, Workflow};

/// The user's own files, each digested once a run.
pub struct UserFiles {
    store: Arc<dyn ContentStore>,
    /// By path, and whether it was read as a directory.
    seen: RefCell<HashMap<(PathBuf, bool), Seen>>,
    /// Files by folder and pattern: a list is the same for the whole run.
    found: RefCell<HashMap<Pattern, Arc<[PathBuf]>>>,
}

/// The content of a file or directory, and how it looked when it was digested.
type Seen = (Arc<Artifact>, Arc<Snapshot>);

/// A folder, and a pattern that is relative to it.
type Pattern = (PathBuf, String);

/// The files that a pattern named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    pub dir: PathBuf,
    pub pattern: String,
    /// Absolute and sorted.
    pub found: Vec<PathBuf>,
}

impl Listing {
    /// Whether it names the same files now.
    pub fn holds(&self) -> bool {
        find_files(&self.dir, &self.pattern).is_ok_and(|now| now == self.found)
    }
}

impl UserFiles {
    pub fn new(store: Arc<dyn ContentStore>) -> Self {
        Self { store, seen: RefCell::default(), found: RefCell::default() }
    }

    /// The content of a file or directory, and how it looked when it was digested.
    ///
    /// # Errors
    /// The file cannot be read, or is not of the expected kind.
    pub fn get(&self, path: &Path, is_dir: bool) -> Result<Seen, FileError> {
        let key = (path.to_owned(), is_dir);
        if let Some(seen) = self.seen.borrow().get(&key) {
            return Ok(seen.clone());
        }
        let (artifact, snapshot) = self.store.fingerprint(path, is_dir)?;
        let seen = (Arc::new(artifact), Arc::new(snapshot));
        self.seen.borrow_mut().insert(key, seen.clone());
        Ok(seen)
    }

    /// The files that match a pattern, absolute and sorted.
    fn find(&self, dir: &Path, pattern: &str) -> Result<Arc<[PathBuf]>, String> {
        let key = (dir.to_owned(), pattern.to_owned());
        if let Some(found) = self.found.borrow().get(&key) {
            return Ok(found.clone());
        }
        let found: Arc<[PathBuf]> = find_files(dir, pattern)?.into();
        self.found.borrow_mut().insert(key, found.clone());
        Ok(found)
    }

    /// How all of them looked when they were digested.
    pub(in crate::engine) fn all_snapshots(&self) -> Vec<Arc<Snapshot>> {
        self.seen.borrow().values().map(|(_, snapshot)| snapshot.clone()).collect()
    }

    /// Every list of files that was asked for.
    pub(in crate::engine) fn listings(&self) -> Vec<Listing> {
        let found = self.found.borrow();
        let listing = |((dir, pattern), found): (&Pattern, &Arc<[PathBuf]>)| Listing {
            dir: dir.clone(),
            pattern: pattern.clone(),
            found: found.to_vec(),
        };
        found.iter().map(listing).collect()
    }

    /// The snapshots of all of the user's files in `values`.
    pub fn snapshots(&self, values: &[Value]) -> Vec<Arc<Snapshot>> {
        let seen = self.seen.borrow();
        let mut snapshots = Vec::new();
        for value in values {
            value.for_each_artifact(&mut |artifact, is_dir| {
                if let Some(origin) = &artifact.origin
                    && let Some((_, snapshot)) = seen.get(&(origin.to_path_buf(), is_dir))
                {
                    snapshots.push(snapshot.clone());
                }
            });
        }
        snapshots
    }
}

/// What the bindings of one workflow are evaluated over, in one use of it.
pub struct ScopeValues<'v> {
    pub workflow: &'v Workflow,
    pub files: &'v UserFiles,
    /// The workflow's inputs, as far as they have been evaluated.
    pub inputs: &'v [Value],
    /// By node; `None` until it has ended.
    pub outputs: &'v [Option<Box<[Value]>>],
    pub failure: Option<&'v RunFailure>,
}

/// The first failure of a run.
#[derive(Clone, Debug)]
pub struct RunFailure {
    pub node: String,
    pub message: String,
}

impl ScopeValues<'_> {
    /// The values of a node's inputs, in the order of those that it runs.
    ///
    /// # Errors
    /// The first input without a value.
    pub fn inputs_of(&self, node: &Node) -> Result<Vec<Value>, NodeError> {
        (0..node.inputs.len()).map(|i| self.input_of(node, i)).collect()
    }

    /// The value of one of a node's inputs.
    ///
    /// # Errors
    /// As [`ScopeValues::inputs_of`]; also where what it refers to has not ended.
    pub fn input_of(&self, node: &Node, i: usize) -> Result<Value, NodeError> {
        let input = &node.body.inputs()[i];
        let ty = node.bound_type(i);
        let value = node.inputs[i].evaluate(&ty, self).and_then(|value| {
            // The elements of a list are checked one by one.
            if matches!(ty, Cow::Borrowed(_)) {
                input.check_choice(&value)?;
            }
            Ok(value)
        });
        value.map_err(|problem| NodeError::Input { input: input.name.clone(), element: None, problem })
    }

    /// Whether a node's condition holds, and it has one of the branches that it joins; true without either.
    ///
    /// # Errors
    /// The condition has no truth value.
    pub fn holds(&self, node: &Node) -> Result<bool, NodeError> {
        Ok(self.condition_holds(node)? && self.missing_branch(node).is_none())
    }

    /// The first input that takes whichever branch ran, where none did.
    fn missing_branch<'n>(&self, node: &'n Node) -> Option<&'n Binding> {
        (0..node.inputs.len()).filter(|i| node.joins_branches(*i)).map(|i| &node.inputs[i]).find(|binding| {
            let mut all_null = true;
            binding.for_each_reference(&mut |reference| {
                all_null &= binding::Values::get(self, reference).is_ok_and(|value| value == Value::Null);
            });
            all_null
        })
    }

    fn condition_holds(&self, node: &Node) -> Result<bool, NodeError> {
        let Some(condition) = &node.condition else { return Ok(true) };
        match condition.evaluate(&Type::Bool, self) {
            Ok(value) => Ok(value == Value::Bool(true)),
            // Anything may be in a json, a truth value as well.
            Err(problem) => match condition.evaluate(&Type::Json, self) {
                Ok(Value::Json(json)) if json.is_boolean() => Ok(*json == true),
                _ => Err(NodeError::Condition(problem)),
            },
        }
    }
}

impl ScopeValues<'_> {
    /// The condition of a node, with the values that it refers to.
    pub fn condition_of(&self, node: &Node) -> Condition {
        let missing = match self.condition_holds(node) {
            Ok(true) => self.missing_branch(node),
            Ok(false) | Err(_) => None,
        };
        let Some(condition) = missing.or(node.condition.as_deref()) else {
            return Condition::new("true".into(), []);
        };
        let mut references = Vec::new();
        condition.for_each_reference(&mut |reference| {
            if !references.contains(&reference) {
                references.push(reference);
            }
        });
        let values: Vec<(String, Json)> = references
            .into_iter()
            .filter_map(|reference| {
                let value = binding::Values::get(self, reference).ok()?;
                Some((self.name_of(reference)?, value.to_record()))
            })
            .collect();
        let expression = match (condition, values.first()) {
            (Binding::Template(bound), _) => bound.source().to_owned(),
            (Binding::Reference(_), Some((name, _))) => format!("{{{{ {name} }}}}"),
            _ => "false".into(),
        };
        Condition::new(expression, values)
    }

    /// `inputs.mode`, `count.rows`
    fn name_of(&self, reference: Reference) -> Option<String> {
        Some(match reference {
            Reference::Input(input) => format!("inputs.{}", self.workflow.inputs.get(input as usize)?.name),
            Reference::Output { node, output } => {
                let node = self.workflow.nodes.get(node as usize)?;
                format!("{}.{}", node.name, node.body.outputs().get(output as usize)?.0)
            }
            Reference::Failure(Failure::Node) => "failure.node".into(),
            Reference::Failure(Failure::Message) => "failure.message".into(),
        })
    }
}

/// The values of a workflow's inputs. `bindings` has one for each.
///
/// # Errors
/// An input that cannot be read, or that `one_of` does not allow.
pub fn workflow_inputs(
    workflow: &Workflow,
    files: &UserFiles,
    bindings: &[Binding],
) -> Result<Box<[Value]>, InputError> {
    let mut inputs = Vec::with_capacity(bindings.len());
    for (input, binding) in workflow.inputs.iter().zip(bindings) {
        let known = ScopeValues { workflow, files, inputs: &inputs, outputs: &[], failure: None };
        let value = binding.evaluate(&input.ty, &known).and_then(|value| {
            input.check_choice(&value)?;
            Ok(value)
        });
        inputs.push(value.map_err(|problem| InputError { input: input.name.clone(), problem })?);
    }
    Ok(inputs.into())
}

impl binding::Values for ScopeValues<'_> {
    fn get(&self, reference: Reference) -> Result<Value, ValueError> {
        match reference {
            Reference::Input(index) => {
                let unknown = || ValueError::Unknown("an input is not known yet".into());
                self.inputs.get(index as usize).cloned().ok_or_else(unknown)
            }
            Reference::Output { node, output } => {
                let outputs = self.outputs.get(node as usize).and_then(|outputs| outputs.as_deref());
                outputs.and_then(|outputs| outputs.get(output as usize)).cloned().ok_or_else(|| {
                    let name = &self.workflow.nodes[node as usize].name;
                    ValueError::Unknown(format!("`{name}` has no outputs yet"))
                })
            }
            Reference::Failure(part) => Ok(match (self.failure, part) {
                (None, _) => Value::Null,
                (Some(failure), Failure::Node) => Value::String(failure.node.as_str().into()),
                (Some(failure), Failure::Message) => Value::String(failure.message.as_str().into()),
            }),
        }
    }

    fn fingerprint(&self, path: &Path, is_dir: bool) -> Result<Arc<Artifact>, ValueError> {
        let found = self.files.get(path, is_dir).map_err(|error| ValueError::File(error.to_string()))?;
        Ok(found.0)
    }

    fn glob(&self, dir: &Path, pattern: &str) -> Result<Value, ValueError> {
        let found = self.files.find(dir, pattern)?;
        found.iter().map(|path| self.fingerprint(path, false).map(Value::File)).collect()
    }
}
