//! The values of a run: the workflow's inputs, outputs of nodes that have ended, and the user's files.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::store::{Snapshot, Store};
use crate::workflow::binding::{Binding, Reference, Values};
use crate::workflow::value::{Artifact, Value};
use crate::workflow::{Input, Workflow};

/// The user's own files, each digested once a run.
pub struct Files {
    store: Arc<Store>,
    /// By path, and whether it was read as a directory.
    seen: RefCell<HashMap<(PathBuf, bool), Seen>>,
}

/// The content of a file or directory, and how it looked when it was digested.
type Seen = (Arc<Artifact>, Arc<Snapshot>);

impl Files {
    pub fn new(store: Arc<Store>) -> Self {
        Self { store, seen: RefCell::default() }
    }

    /// The content of a file or directory, and how it looked when it was digested.
    pub fn get(&self, path: &Path, is_dir: bool) -> Result<Seen, String> {
        let key = (path.to_owned(), is_dir);
        if let Some(seen) = self.seen.borrow().get(&key) {
            return Ok(seen.clone());
        }
        let (artifact, snapshot) = self.store.fingerprint(path, is_dir).map_err(|error| error.to_string())?;
        let seen = (Arc::new(artifact), Arc::new(snapshot));
        self.seen.borrow_mut().insert(key, seen.clone());
        Ok(seen)
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

/// What bindings are evaluated over.
pub struct RunValues<'a> {
    pub workflow: &'a Workflow,
    pub files: Files,
    inputs: Vec<Value>,
    /// By node; `None` until it has succeeded.
    outputs: Vec<Option<Box<[Value]>>>,
}

impl<'a> RunValues<'a> {
    /// Values before anything ran. `inputs` has one binding for each of the workflow's inputs.
    ///
    /// # Errors
    /// An input that cannot be read, or that `one_of` does not allow: a sentence that names it.
    pub fn new(workflow: &'a Workflow, store: Arc<Store>, inputs: &[Binding]) -> Result<Self, String> {
        let mut values = Self {
            workflow,
            files: Files::new(store),
            inputs: Vec::new(),
            outputs: vec![None; workflow.nodes.len()],
        };
        let evaluated: Result<Vec<_>, String> = workflow
            .inputs
            .iter()
            .zip(inputs)
            .map(|(input, binding)| {
                evaluate(input, binding, &values).map_err(|e| format!("workflow input `{}`: {e}", input.name))
            })
            .collect();
        values.inputs = evaluated?;
        Ok(values)
    }

    /// The values of a node's inputs, in the order of its task's.
    ///
    /// # Errors
    /// A sentence that names the input.
    pub fn inputs_of(&self, node: usize) -> Result<Vec<Value>, String> {
        let task = self.workflow.task_of(node);
        let bindings = &self.workflow.nodes[node].inputs;
        let evaluate = |(input, binding): (&Input, &Binding)| {
            evaluate(input, binding, self).map_err(|e| format!("input `{}`: {e}", input.name))
        };
        task.inputs.iter().zip(bindings).map(evaluate).collect()
    }

    /// What a node handed back.
    pub fn set_outputs(&mut self, node: usize, outputs: Box<[Value]>) {
        self.outputs[node] = Some(outputs);
    }

    pub fn outputs_of(&self, node: usize) -> Option<&[Value]> {
        self.outputs[node].as_deref()
    }
}

fn evaluate(input: &Input, binding: &Binding, values: &RunValues) -> Result<Value, String> {
    let value = binding.evaluate(&input.ty, values)?;
    input.check_choice(&value)?;
    Ok(value)
}

impl Values for RunValues<'_> {
    fn get(&self, reference: Reference) -> Result<Value, String> {
        match reference {
            Reference::Input(index) => {
                self.inputs.get(index as usize).cloned().ok_or_else(|| "an input is not known yet".into())
            }
            Reference::Output { node, output } => {
                let outputs = self.outputs[node as usize].as_deref();
                outputs.and_then(|outputs| outputs.get(output as usize)).cloned().ok_or_else(|| {
                    format!("`{}` has handed back nothing yet", self.workflow.nodes[node as usize].name)
                })
            }
        }
    }

    fn fingerprint(&self, path: &Path, is_dir: bool) -> Result<Arc<Artifact>, String> {
        self.files.get(path, is_dir).map(|(artifact, _)| artifact)
    }
}
