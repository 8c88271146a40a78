//! One task of a workflow or library file as a workflow of that one node: its inputs and outputs are the workflow's own.

use std::path::PathBuf;
use std::sync::Arc;

use super::binding::{Binding, Reference};
use super::diagnostic::Diagnostic;
use super::names::did_you_mean;
use super::{Body, Node, Published, Task, Workflow};

/// The file that a task is taken from.
pub struct TaskFile {
    /// Absolute.
    pub path: PathBuf,
    /// Of its workflow or library.
    pub name: String,
    /// The tasks that can be used there, by their qualified names.
    pub tasks: Vec<Arc<Task>>,
}

impl TaskFile {
    /// The task that a person means by `name`: its own name in this file, or its qualified one.
    ///
    /// # Errors
    /// There is no such task.
    pub fn find(&self, name: &str) -> Result<&Arc<Task>, Box<Diagnostic>> {
        let own = format!("{}.{name}", self.name);
        let found = self.tasks.iter().find(|task| task.name == own);
        found.or_else(|| self.tasks.iter().find(|task| task.name == name)).ok_or_else(|| {
            let prefix = format!("{}.", self.name);
            let known = self.tasks.iter().map(|task| task.name.strip_prefix(&prefix).unwrap_or(&task.name));
            let help = did_you_mean(name, known, "tasks");
            let diagnostic = Diagnostic::new(format!("{} has no task `{name}`", self.path.display()));
            Box::new(if help.is_empty() { diagnostic } else { diagnostic.help(help) })
        })
    }

    /// A workflow of one node with the name of the task and all of its outputs.
    pub fn workflow_of(&self, task: &Arc<Task>) -> Workflow {
        let index = |i: usize| u32::try_from(i).unwrap_or(u32::MAX);
        let own = task.name.rsplit('.').next().unwrap_or_default();
        let inputs = (0..task.inputs.len()).map(|i| Binding::Reference(Reference::Input(index(i))));
        let node = Node {
            name: own.into(),
            body: Body::Task(task.clone()),
            inputs: inputs.collect(),
            needs: Box::default(),
            execution: None,
            scatter: None,
            condition: None,
            place: task.place,
        };
        let outputs = task.outputs.iter().enumerate().map(|(i, output)| Published {
            name: output.name.clone(),
            ty: Some(output.ty.clone()),
            value: Binding::Reference(Reference::Output { node: 0, output: index(i) }),
            path: None,
            path_place: None,
        });
        Workflow {
            path: self.path.clone(),
            name: self.name.clone(),
            description: task.description.clone(),
            project: None,
            domain: None,
            inputs: task.inputs.clone(),
            tasks: vec![task.clone()],
            nodes: vec![node],
            size: 1,
            outputs: outputs.collect(),
            resources: Default::default(),
            exclusive: None,
            keeps_going: false,
            schedules: Vec::new(),
            notify: Vec::new(),
            on_failure: None,
            on_success: None,
        }
    }
}
