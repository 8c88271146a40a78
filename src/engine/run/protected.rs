//! The files that a run is made of, which no publication may replace, and outputs that would.

use std::path::Path;
use std::sync::Arc;

use crate::core::value::Value;
use crate::storage::publish::Protected;
use crate::workflow::definition::sources_of;
use crate::workflow::diagnostic::SourceSpan;
use crate::workflow::{Published, Workflow};

/// The workflow files and libraries in `documents`, the sources of all tasks, the files that nodes are bound to, and those
/// among the run's `inputs`.
pub fn protected<'d>(
    workflows: &[Arc<Workflow>],
    documents: impl Iterator<Item = &'d Path>,
    inputs: &[Value],
) -> Protected {
    let mut protected = Protected::default();
    let is_workflow = |path: &Path| workflows.iter().any(|workflow| workflow.path == path);
    for path in documents {
        let what = if is_workflow(path) { "a workflow file of the run" } else { "a library of the run" };
        protected.add(path, false, what.into());
    }
    let (root, inputs_of_root) = (workflows.first(), inputs.iter());
    for (input, value) in root.iter().flat_map(|workflow| &workflow.inputs).zip(inputs_of_root) {
        value.for_each_artifact(&mut |artifact, is_dir| {
            if let Some(origin) = &artifact.origin {
                protected.add(origin, is_dir, format!("the input `{}` of the run", input.name));
            }
        });
    }
    for workflow in workflows {
        for node in &workflow.nodes {
            for (i, binding) in node.inputs.iter().enumerate() {
                binding.for_each_path(&node.bound_type(i), &mut |path, is_dir| {
                    protected.add(path, is_dir, format!("an input of the node `{}`", node.name));
                });
            }
        }
        for task in &workflow.tasks {
            // What is wrong with them, the lookup says.
            for source in sources_of(task).unwrap_or_default() {
                protected.add(
                    &task.dir.join(source.path),
                    false,
                    format!("a source of the task `{}`", task.name),
                );
            }
        }
    }
    protected
}

/// An output whose path is one of the files that the run is made of.
pub struct RefusedOutput {
    pub place: SourceSpan,
    pub message: String,
}

/// The outputs of `workflow` that must not be published where they should be.
pub fn refused_outputs(workflow: &Workflow, protected: &Protected) -> Vec<RefusedOutput> {
    let refused = |output: &Published| {
        let (path, place) = (output.path.as_deref()?, output.path_place?);
        let what = protected.names(path)?;
        let message =
            format!("output `{}`: its path {} is {what}, and is never replaced", output.name, path.display());
        Some(RefusedOutput { place, message })
    };
    workflow.outputs.iter().filter_map(refused).collect()
}
