//! A workflow that a task returns in place of its outputs: its document read, and held against the task.
//!
//! Knows the document and the task; knows neither the attempt that wrote it nor how its nodes run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::binding::Binding;
use super::diagnostic::{Diagnostic, FileId, Sources, Span};
use super::functions::is_record;
use super::graph::Graph;
use super::load::read_made;
use super::places::Places;
use super::{Body, Node, SourceSpan, Task, Workflow};
use crate::core::closest::closest;
use crate::core::counted::counted;
use crate::core::types::Type;
use crate::core::value::Value;

/// Maximum number of errors in a document that a message describes.
const MAX_TOLD: usize = 5;

/// A document as a task wrote it.
pub struct MadeDocument<'a> {
    pub text: &'a str,
    /// Where it is kept, for messages.
    pub kept: &'a Path,
    /// The folder that its paths are relative to.
    pub dir: &'a Path,
    /// The environment of all Python functions, from the command line.
    pub python_env: Option<&'a str>,
}

/// A workflow that a task made.
#[derive(Debug)]
pub struct MadeWorkflow {
    /// Its outputs are those of the task, in the task's order and with their types.
    pub workflow: Arc<Workflow>,
    /// By input of the workflow: the index of the task's input whose value it gets; `None` for its default.
    pub inputs: Box<[Option<usize>]>,
    /// Where the document is kept.
    pub kept: PathBuf,
    /// The user's files that it reads.
    pub reads: Vec<PathBuf>,
}

/// Files and directories that do not outlive the attempt, by path and whether it is a directory, as values that do.
pub type KeptFiles = BTreeMap<(PathBuf, bool), Value>;

/// The paths that nodes are bound to, each with whether it is a directory.
pub type BoundPaths = BTreeSet<(PathBuf, bool)>;

/// Keeps files of an attempt.
pub type KeepFiles<'k> = &'k mut dyn FnMut(&BoundPaths) -> Result<KeptFiles, (PathBuf, String)>;

/// Reads a document and holds it against the task. `keep` is handed the paths that its nodes are bound to, and returns values
/// for those that do not outlive the attempt, or the path that cannot be kept and why.
///
/// # Errors
/// What is wrong with it, each error with its place.
pub fn load_made(document: &MadeDocument, task: &Task, keep: KeepFiles) -> Result<MadeWorkflow, String> {
    let name = document.kept.file_name().unwrap_or_default();
    let loaded = read_made(document.kept, document.dir.join(name), document.text, document.python_env);
    let mut check = Check { sources: loaded.sources, diagnostics: loaded.diagnostics, task };
    for workflow in &loaded.workflows {
        check.diagnostics.extend(Graph::of(workflow).diagnose_cycles(workflow));
        check.secrets(workflow);
    }
    let Some(mut workflow) = loaded.workflow.filter(|_| check.diagnostics.is_empty()) else {
        return Err(check.message());
    };
    drop(loaded.workflows);
    let inputs = check.inputs(&workflow);
    let mut reads: Vec<PathBuf> = loaded.documents.into_iter().map(|document| document.path).collect();
    reads.retain(|path| !is_record(path));
    let own = Arc::get_mut(&mut workflow).ok_or("the workflow that it wrote is in use")?;
    check.outputs(own);
    if check.diagnostics.is_empty() {
        let mut paths = BTreeSet::new();
        for node in &own.nodes {
            for (i, binding) in node.inputs.iter().enumerate() {
                binding.for_each_path(&node.bound_type(i), &mut |path, is_dir| {
                    paths.insert((path.to_owned(), is_dir));
                });
            }
        }
        match keep(&paths) {
            Ok(kept) => replace(own, &kept),
            Err((path, problem)) => check.unkept(own, &path, problem),
        }
    }
    if !check.diagnostics.is_empty() {
        return Err(check.message());
    }
    add_reads(&workflow, &mut reads);
    Ok(MadeWorkflow { workflow, inputs, kept: document.kept.to_owned(), reads })
}

/// Puts values in place of paths.
fn replace(workflow: &mut Workflow, kept: &KeptFiles) {
    for node in &mut workflow.nodes {
        let types: Vec<Type> = (0..node.inputs.len()).map(|i| node.bound_type(i).into_owned()).collect();
        for (binding, ty) in node.inputs.iter_mut().zip(&types) {
            replace_in(binding, ty, kept);
        }
    }
}

fn replace_in(binding: &mut Binding, ty: &Type, kept: &KeptFiles) {
    let element = match ty.required() {
        Type::List(element) | Type::Map(element) => element,
        other => other,
    };
    match binding {
        Binding::Path(path) => {
            if let Some(value) = kept.get(&(path.to_path_buf(), *ty.required() == Type::Dir)) {
                *binding = Binding::Literal(value.clone());
            }
        }
        Binding::List(items) => {
            let mut own = items.to_vec();
            own.iter_mut().for_each(|item| replace_in(item, element, kept));
            *items = own.into();
        }
        Binding::Map(entries) => {
            let mut own = (**entries).clone();
            own.values_mut().for_each(|item| replace_in(item, element, kept));
            *entries = Arc::new(own);
        }
        Binding::Literal(_) | Binding::Reference(_) | Binding::Template(_) => {}
    }
}

/// Adds the user's files that the nodes of a workflow and its tasks read.
fn add_reads(workflow: &Workflow, reads: &mut Vec<PathBuf>) {
    for node in &workflow.nodes {
        for (i, binding) in node.inputs.iter().enumerate() {
            binding.for_each_path(&node.bound_type(i), &mut |path, _| reads.push(path.to_owned()));
        }
        match &node.body {
            Body::Workflow(inner) => add_reads(inner, reads),
            Body::Task(task) => {
                let sources = super::definition::sources_of(task).unwrap_or_default();
                reads.extend(sources.into_iter().map(|source| task.dir.join(source.path)));
            }
        }
    }
}

struct Check<'t> {
    sources: Sources,
    diagnostics: Vec<Diagnostic>,
    task: &'t Task,
}

impl Check<'_> {
    /// Where something stands in the document; its beginning, where it is not there.
    fn place(&self, keys: &[&str]) -> SourceSpan {
        // The document was read first.
        let file = FileId(0);
        let place = Places::of(&self.sources, file).place(keys);
        place.unwrap_or(SourceSpan { file, span: Span::default() })
    }

    /// The masker of the run knows the secrets of the workflow file alone.
    fn secrets(&mut self, workflow: &Workflow) {
        for task in &workflow.tasks {
            for secret in task.secrets.iter().filter(|secret| !self.task.secrets.contains(secret)) {
                let message = format!(
                    "task `{}` uses the secret `{secret}`, which `{}` does not name",
                    task.name, self.task.name
                );
                let help = format!(
                    "add it to `secrets` of `{}` as well: else it could not be masked",
                    self.task.name
                );
                self.diagnostics.push(Diagnostic::at(task.place, message, "not known to the run").help(help));
            }
        }
    }

    /// By input: the task's input of that name.
    fn inputs(&mut self, workflow: &Workflow) -> Box<[Option<usize>]> {
        let own = &self.task.inputs;
        let mut found = Vec::with_capacity(workflow.inputs.len());
        for input in &workflow.inputs {
            let at = own.iter().position(|own| own.name == input.name);
            let problem = match at.map(|at| &own[at].ty) {
                Some(ty) if !input.ty.accepts(ty) => {
                    Some(format!("input `{}` is {}, and the task's is {ty}", input.name, input.ty))
                }
                None if input.default.is_none() => {
                    let near = closest(&input.name, own.iter().map(|own| &*own.name));
                    let near = near.map_or_else(String::new, |near| format!(": did you mean `{near}`?"));
                    Some(format!(
                        "input `{}` has no default, and the task `{}` has no input of that name{near}",
                        input.name, self.task.name
                    ))
                }
                _ => None,
            };
            if let Some(message) = problem {
                let help = "the inputs of a workflow that a task makes are those of the task, by their names"
                    .to_owned();
                let place = self.place(&["inputs", &input.name]);
                self.diagnostics.push(Diagnostic::at(place, message, "has no value").help(help));
            }
            found.push(at);
        }
        found.into()
    }

    /// Its outputs must be the task's.
    fn outputs(&mut self, workflow: &mut Workflow) {
        let task = self.task;
        let mut ordered = Vec::with_capacity(task.outputs.len());
        for output in &task.outputs {
            let Some(at) = workflow.outputs.iter().position(|own| own.name == output.name) else {
                let message =
                    format!("there is no output `{}`, which the task `{}` has", output.name, task.name);
                let help = format!("add {} = \"{{{{ NODE.OUTPUT }}}}\" to [outputs]", output.name);
                let place = self.place(&["outputs"]);
                self.diagnostics.push(Diagnostic::at(place, message, "lacks one").help(help));
                continue;
            };
            let mut own = workflow.outputs.swap_remove(at);
            if let Some(ty) = own.ty.as_ref().filter(|ty| !output.ty.accepts(ty.required())) {
                let message = format!("output `{}` is {ty}, and the task's is {}", output.name, output.ty);
                let place = self.place(&["outputs", &output.name]);
                self.diagnostics.push(Diagnostic::at(place, message, "another type"));
            }
            (own.ty, own.path, own.path_place) = (Some(output.ty.clone()), None, None);
            ordered.push(own);
        }
        for other in &workflow.outputs {
            let near = closest(&other.name, task.outputs.iter().map(|output| &*output.name));
            let label =
                near.map_or("not one of its outputs".into(), |near| format!("did you mean `{near}`?"));
            let message = format!("the task `{}` has no output `{}`", task.name, other.name);
            let place = self.place(&["outputs", &other.name]);
            self.diagnostics.push(Diagnostic::at(place, message, label));
        }
        workflow.outputs = ordered;
    }

    /// A file that nodes are bound to cannot be kept.
    fn unkept(&mut self, workflow: &Workflow, path: &Path, problem: String) {
        let is_bound = |node: &&Node| {
            let mut found = false;
            for (i, binding) in node.inputs.iter().enumerate() {
                binding.for_each_path(&node.bound_type(i), &mut |bound, _| found |= bound == path);
            }
            found
        };
        let place = workflow.nodes.iter().find(is_bound).map(|node| node.place).unwrap_or_default();
        self.diagnostics.push(Diagnostic::at(place, problem, "bound here"));
    }

    /// Everything that is wrong, a line for each.
    fn message(&self) -> String {
        let mut lines = Vec::new();
        for diagnostic in self.diagnostics.iter().take(MAX_TOLD) {
            let Diagnostic { message, primary, help, .. } = diagnostic;
            let (place, label) = match primary {
                Some((place, label)) => {
                    let (line, column) = self.sources.line_column(*place);
                    let path = self.sources.path(place.file).display();
                    (format!("{path}:{line}:{column}: "), label.as_str())
                }
                None => (String::new(), ""),
            };
            let label = if label.is_empty() { String::new() } else { format!(" ({label})") };
            let help = if help.is_empty() { String::new() } else { format!("\n  help: {}", help.join("; ")) };
            lines.push(format!("{place}{message}{label}{help}"));
        }
        let all = self.diagnostics.len();
        if all > MAX_TOLD {
            lines.push(format!("... and {} more", all - MAX_TOLD));
        }
        format!("the workflow that it wrote has {}:\n{}", counted(all as u64, "error"), lines.join("\n"))
    }
}
