//! The workflow as a document: read from TOML, checked as a whole, every error reported at once.
//!
//! [`load`] turns a path into a [`Workflow`] in which every name is resolved to an index and every binding
//! fits its type as far as that can be known before anything runs. Knows nothing of graphs, processes or
//! the cache.
//!
//! | file | owns |
//! |---|---|
//! | `syntax.rs` | the TOML tree with spans |
//! | `keys.rs`, `schema.rs` | every key there is, and the JSON schema made from them |
//! | `elsewhere.rs` | keys of other tools, and keys in the wrong table |
//! | `template.rs`, `jinja.rs`, `filters/` | `{{ expressions }}`, values on their way into them, what they can do, and whether what they name exists |
//! | `paths.rs` | globs and paths as files write them |
//! | `reader.rs` | typed access to the tree, with diagnostics |
//! | `spec.rs`, `interface.rs`, `defaults.rs`, `policy.rs` | one file: tasks, their inputs and outputs, defaults, policies |
//! | `binding.rs`, `binder.rs`, `hints.rs` | what an input is bound to, and how to mend what does not fit |
//! | `load.rs`, `import.rs`, `source.rs` | from a path to a workflow: the file, its imports, its sub-workflows |
//! | `made.rs` | a workflow that a task returns in place of its outputs |
//! | `documents.rs` | the texts of those files: from the disk, or as they were read before |
//! | `link.rs`, `names.rs`, `node.rs`, `published.rs` | names and types across one workflow: nodes and outputs |
//! | `label.rs` | names of projects and domains |
//! | `schedules.rs` | when the workflow is due by itself |
//! | `budget.rs` | how much the files of one workflow may hold together |
//! | `functions.rs`, `signatures.rs` | tasks that are Python functions: asking what they are; their inputs and outputs |
//! | `program_ref.rs`, `programs.rs`, `flyte.rs` | programs written with flytekit: their paths, the documents made from one, its tasks |
//! | `settings.rs` | policies that the command line sets |
//! | `config/` | settings files |
//! | `signature.rs`, `definition.rs` | what of a task is in the cache key |
//! | `diagnostic.rs`, `places.rs` | errors, and how they are shown; where something stands in a file |

mod binder;
pub mod binding;
mod budget;
pub mod config;
mod defaults;
pub mod definition;
pub mod diagnostic;
pub mod documents;
mod elsewhere;
pub mod filters;
mod flyte;
pub mod functions;
pub mod graph;
mod hints;
mod import;
mod interface;
mod jinja;
pub mod keys;
pub mod label;
pub mod link;
pub mod lint;
pub mod load;
pub mod made;
mod names;
pub mod node;
mod one_task;
pub mod paths;
pub mod places;
pub mod policy;
pub mod program_ref;
mod programs;
mod published;
pub mod reader;
pub mod schedules;
pub mod schema;
mod settings;
pub mod signature;
mod signatures;
pub mod source;
pub mod spec;
pub mod syntax;
pub mod template;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::binding::{Binding, Reference};
use self::config::notify::PlacedNotify;
use self::diagnostic::SourceSpan;
use self::functions::FunctionCall;
use self::policy::{AttemptPolicy, CachePolicy};
use self::schedules::PlacedSchedule;
use self::template::Template;
use crate::core::run_request::LockMode;
use crate::core::staging::Staging;
use crate::core::types::Type;
use crate::core::value::Value;

/// A workflow whose names are resolved and whose types fit.
#[derive(Debug)]
pub struct Workflow {
    /// The file, absolute.
    pub path: PathBuf,
    pub name: String,
    pub description: Option<String>,
    pub project: Option<String>,
    pub domain: Option<String>,
    pub inputs: Vec<Input>,
    pub tasks: Vec<Arc<Task>>,
    pub nodes: Vec<Node>,
    /// How many nodes there are with those of sub-workflows.
    pub size: usize,
    pub outputs: Vec<Published>,
    /// Capacities that `[resources]` states, of sub-workflows as well.
    pub resources: BTreeMap<String, u64>,
    /// What a second run of this workflow, project and domain does while one goes on.
    pub exclusive: Option<LockMode>,
    /// Whether what can still run does after a failure, as a program of flytekit may say.
    pub keeps_going: bool,
    /// When it is due by itself; those of sub-workflows are not among them.
    pub schedules: Vec<PlacedSchedule>,
    /// Its `[[notify]]` rules; those of sub-workflows are not among them.
    pub notify: Vec<PlacedNotify>,
    /// Index of the node that runs last when the run failed.
    pub on_failure: Option<u32>,
    /// Index of the node that runs last when the run succeeded.
    pub on_success: Option<u32>,
}

/// An input of a task or of the workflow.
#[derive(Clone, Debug)]
pub struct Input {
    pub name: Box<str>,
    pub ty: Type,
    /// The value if none is given: a literal, or null for a `T?`.
    pub default: Option<Binding>,
    pub description: Option<Box<str>>,
    /// The only values allowed; empty for any.
    pub one_of: Vec<Value>,
    pub pass: Pass,
}

/// How the command of a task gets the value of an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pass {
    /// As an environment variable.
    #[default]
    Env,
    /// As the path of a file that holds the text (JSON for lists, maps and json), at any size.
    File,
}

/// A reusable, typed definition.
#[derive(Debug)]
pub struct Task {
    /// Qualified: `<workflow or library>.<task>`.
    pub name: String,
    pub description: Option<String>,
    /// The folder of the file that defines it, absolute.
    pub dir: PathBuf,
    /// Where its header stands.
    pub place: SourceSpan,
    pub inputs: Vec<Input>,
    pub outputs: Vec<Output>,
    pub command: TaskCommand,
    /// Whether it runs in the workflow file's folder instead of a scratch folder.
    pub in_workflow_dir: bool,
    pub env: Vec<(String, String)>,
    pub pass_env: Vec<String>,
    pub secrets: Vec<String>,
    pub sources: Vec<SourceGlob>,
    pub staging: Staging,
    /// Whether its command may return a workflow in place of its outputs.
    pub dynamic: bool,
    pub execution: AttemptPolicy,
    pub cache: CachePolicy,
}

impl Task {
    /// Stands in for a task that could not be found, in a workflow that is not run.
    pub fn unknown() -> Self {
        Self {
            name: String::new(),
            description: None,
            dir: PathBuf::new(),
            place: SourceSpan::default(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            command: TaskCommand::Program(Vec::new()),
            in_workflow_dir: false,
            env: Vec::new(),
            pass_env: Vec::new(),
            secrets: Vec::new(),
            sources: Vec::new(),
            staging: Staging::default(),
            dynamic: false,
            execution: AttemptPolicy::default(),
            cache: CachePolicy::default(),
        }
    }
}

/// Files that a command needs besides its inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceGlob {
    /// Relative to the folder of the task's file.
    pub pattern: String,
    /// The path in the scratch folder that replaces the literal part of the pattern; the same path without one.
    pub staged_as: Option<String>,
}

#[derive(Debug)]
pub struct Output {
    pub name: Box<str>,
    pub ty: Type,
    pub capture: Capture,
}

/// Where an output is found when the command has ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Capture {
    /// `$OUT/<name>`.
    Out,
    Stdout,
    /// This path in the scratch folder.
    Path(String),
    /// In what the function returned.
    Returned,
}

#[derive(Debug)]
pub enum TaskCommand {
    Script { script: String, shell: Vec<String>, args: Vec<Template> },
    Program(Vec<Template>),
    Function(Box<FunctionCall>),
}

/// One use of a task or of another workflow.
#[derive(Debug)]
pub struct Node {
    pub name: Box<str>,
    pub body: Body,
    /// One for each of the body's inputs, in their order.
    pub inputs: Box<[Binding]>,
    /// Nodes that must succeed first without passing any data.
    pub needs: Box<[u32]>,
    /// Set where the node overrides some of its task's policies.
    pub execution: Option<Box<AttemptPolicy>>,
    /// Set where the node runs once for each element of lists.
    pub scatter: Option<Box<Scatter>>,
    /// The condition for the node to run.
    pub condition: Option<Box<Binding>>,
    /// Where its header stands.
    pub place: SourceSpan,
}

/// The task or workflow that a node runs.
#[derive(Clone, Debug)]
pub enum Body {
    Task(Arc<Task>),
    Workflow(Arc<Workflow>),
}

/// How a node is spread over the elements of lists.
#[derive(Clone, Debug, PartialEq)]
pub struct Scatter {
    pub shape: ScatterShape,
    /// Indices of the inputs that are bound to lists, as the file orders them.
    pub over: Vec<u32>,
    /// How many elements may run at once.
    pub concurrency: Option<u32>,
    /// How many of the elements must succeed, from 0 to 1; all, if it is not set.
    pub min_success_ratio: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScatterShape {
    /// The lists side by side: they are of equal length.
    Zip,
    /// Every combination; the last list varies fastest.
    Cross,
}

/// An output of the workflow.
#[derive(Debug)]
pub struct Published {
    pub name: Box<str>,
    /// Unknown for an expression that is more than a reference: its value decides.
    pub ty: Option<Type>,
    pub value: Binding,
    /// Where a file or directory is published, absolute and without `..`.
    pub path: Option<PathBuf>,
    /// Where the file says so.
    pub path_place: Option<SourceSpan>,
}

impl Workflow {
    /// The folder of the file.
    pub fn dir(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// The index of a node by its name.
    pub fn node(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|node| &*node.name == name)
    }

    /// Whether a node runs only when all others have ended.
    pub fn is_hook(&self, node: usize) -> bool {
        [self.on_failure, self.on_success].contains(&Some(node as u32))
    }
}

impl Node {
    pub fn task(&self) -> Option<&Arc<Task>> {
        match &self.body {
            Body::Task(task) => Some(task),
            Body::Workflow(_) => None,
        }
    }

    /// Calls `visit` for each node that must have ended first. The flag says whether this one can run without it:
    /// it feeds only inputs that may be null. A node may be visited more than once.
    pub fn for_each_dependency(&self, visit: &mut dyn FnMut(u32, bool)) {
        self.for_each_supplier(visit);
        self.needs.iter().for_each(|node| visit(*node, false));
    }

    /// Like [`Node::for_each_dependency`], without those that pass no data.
    pub fn for_each_supplier(&self, visit: &mut dyn FnMut(u32, bool)) {
        let mut feed = |binding: &Binding, tolerant: bool| {
            binding.for_each_reference(&mut |reference| {
                if let Reference::Output { node, .. } = reference {
                    visit(node, tolerant);
                }
            });
        };
        for (i, (binding, input)) in self.inputs.iter().zip(self.body.inputs()).enumerate() {
            let tolerant = input.ty.is_optional() && !self.is_spread_over(i);
            feed(binding, tolerant || self.joins_branches(i));
        }
        if let Some(condition) = &self.condition {
            feed(condition, false);
        }
    }

    /// Whether an input takes whichever branch ran, and cannot do without one: only where all are null the node is skipped.
    pub fn joins_branches(&self, input: usize) -> bool {
        let is_joined = matches!(&self.inputs[input], Binding::Template(template) if template.is_coalesce());
        is_joined && (self.is_spread_over(input) || !self.body.inputs()[input].ty.is_optional())
    }

    /// Whether an input takes the elements of a list one after another.
    fn is_spread_over(&self, input: usize) -> bool {
        self.scatter.as_ref().is_some_and(|scatter| scatter.is_over(input))
    }

    /// How many nodes it stands for: itself, and those of its sub-workflow.
    pub fn size(&self) -> usize {
        match &self.body {
            Body::Task(_) => 1,
            Body::Workflow(inner) => inner.size.saturating_add(1),
        }
    }

    /// The policies of a node that runs a task: its own, else its task's.
    pub fn execution(&self) -> Option<&AttemptPolicy> {
        self.execution.as_deref().or_else(|| self.task().map(|task| &task.execution))
    }

    /// The type that an input is bound to here: a list of the declared one, if the node is spread over it.
    pub fn bound_type(&self, input: usize) -> Cow<'_, Type> {
        let declared = &self.body.inputs()[input].ty;
        match self.is_spread_over(input) {
            true => Cow::Owned(Type::List(Box::new(declared.clone()))),
            false => Cow::Borrowed(declared),
        }
    }
}

impl Body {
    pub fn inputs(&self) -> &[Input] {
        match self {
            Self::Task(task) => &task.inputs,
            Self::Workflow(workflow) => &workflow.inputs,
        }
    }

    /// The outputs of a skipped node: a null for each.
    pub fn nothing(&self) -> Box<[Value]> {
        vec![Value::Null; self.outputs().len()].into()
    }

    /// The type of one output.
    pub fn output_type(&self, output: usize) -> Option<&Type> {
        match self {
            Self::Task(task) => task.outputs.get(output).map(|output| &output.ty),
            Self::Workflow(workflow) => {
                workflow.outputs.get(output).map(|output| output.ty.as_ref().unwrap_or(&Type::Json))
            }
        }
    }

    /// Names and types of its outputs.
    pub fn outputs(&self) -> Vec<(&str, &Type)> {
        match self {
            Self::Task(task) => task.outputs.iter().map(|output| (&*output.name, &output.ty)).collect(),
            Self::Workflow(workflow) => {
                let named = workflow.outputs.iter().map(|output| (&*output.name, &output.ty));
                named.map(|(name, ty)| (name, ty.as_ref().unwrap_or(&Type::Json))).collect()
            }
        }
    }
}

impl Scatter {
    /// Whether it is spread over this input.
    pub fn is_over(&self, input: usize) -> bool {
        self.over.contains(&(input as u32))
    }

    /// How many elements may fail of `count`.
    pub fn tolerates(&self, count: usize) -> usize {
        let needed = self.min_success_ratio.map_or(count, |ratio| {
            // Not more than was written: 0.7 * 10 may come out a little above 7.
            (ratio * count as f64 - 1e-9).ceil() as usize
        });
        count.saturating_sub(needed)
    }

    /// The type of an output of the node, if the output of one element is `ty`.
    pub fn gathered(&self, ty: &Type) -> Type {
        let element = match self.min_success_ratio {
            Some(_) if !ty.is_optional() => Type::Optional(Box::new(ty.clone())),
            _ => ty.clone(),
        };
        Type::List(Box::new(element))
    }
}

/// Maximum length of a name, in bytes: names become parts of file names.
const MAX_NAME_BYTES: usize = 128;

/// Whether `name` is `[a-z][a-z0-9_]*`, or with `-` where `hyphens` says so.
pub fn is_name(name: &str, hyphens: bool) -> bool {
    name.len() <= MAX_NAME_BYTES
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || (hyphens && c == '-'))
}
