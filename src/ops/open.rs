//! From a file to a workflow without errors.

use std::path::Path;
use std::sync::Arc;

use super::{Error, WorkflowErrors};
use crate::workflow::diagnostic::Sources;
use crate::workflow::documents::Document;
use crate::workflow::graph::Graph;
use crate::workflow::graph::outline::Outline;
use crate::workflow::load::{LoadedWorkflow, load};
use crate::workflow::{Task, Workflow};

/// A workflow without errors, and all of its nodes.
#[derive(Clone)]
pub struct Opened {
    pub workflow: Arc<Workflow>,
    pub outline: Arc<Outline>,
    /// The workflow and all of its sub-workflows, each once.
    pub workflows: Vec<Arc<Workflow>>,
    /// Every file that was read.
    pub documents: Vec<Document>,
    /// The texts of those, for messages about places in them.
    pub sources: Sources,
}

/// Reads and checks a workflow, with policies that `settings` change.
///
/// # Errors
/// What is wrong with the workflow.
pub fn open(path: &Path, settings: &[String]) -> Result<Opened, Error> {
    check(load(path, settings)).map_err(Error::from)
}

/// A workflow that was read, if nothing is wrong with it.
///
/// # Errors
/// Everything that is wrong with it.
pub fn check(loaded: LoadedWorkflow) -> Result<Opened, WorkflowErrors> {
    let LoadedWorkflow { workflow, workflows, documents, sources, mut diagnostics } = loaded;
    for workflow in &workflows {
        diagnostics.extend(Graph::of(workflow).diagnose_cycles(workflow));
    }
    match workflow {
        Some(workflow) if diagnostics.is_empty() => {
            let outline = Outline::of(workflow.clone());
            Ok(Opened { outline: Arc::new(outline), workflow, workflows, documents, sources })
        }
        _ => Err(WorkflowErrors { diagnostics, sources }),
    }
}

impl Opened {
    /// The tasks of the workflow and of its sub-workflows.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> + Clone {
        self.workflows.iter().flat_map(|workflow| &workflow.tasks).map(|task| &**task)
    }
}
