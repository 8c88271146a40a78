//! The workflow as a document: read from TOML, checked as a whole, every mistake reported at once.
//!
//! [`load`] turns a path into a [`Workflow`] in which every name is resolved to an index and every binding
//! fits its type as far as that can be known before anything runs. Knows nothing of graphs, processes or
//! the cache.
//!
//! | file | owns |
//! |---|---|
//! | `syntax.rs` | the TOML tree with spans |
//! | `keys.rs`, `schema.rs` | every key there is, and the JSON schema made from them |
//! | `types.rs`, `value.rs` | types and values |
//! | `template.rs`, `jinja.rs`, `filters.rs` | `{{ expressions }}`, values on their way into them, and whether the filters they name exist |
//! | `reader.rs` | typed access to the tree, with diagnostics |
//! | `spec.rs`, `policy.rs` | one file: tasks and policies |
//! | `binding.rs` | what an input is bound to |
//! | `load.rs`, `link.rs` | imports; names and types across the whole workflow |
//! | `signature.rs`, `definition.rs` | what of a task is in the cache key |
//! | `diagnostic.rs`, `inert.rs` | mistakes, and how they are shown |

pub mod binding;
pub mod definition;
pub mod diagnostic;
pub mod filters;
mod inert;
mod jinja;
pub mod keys;
pub mod link;
pub mod load;
pub mod policy;
pub mod reader;
pub mod schema;
pub mod signature;
pub mod spec;
pub mod syntax;
pub mod template;
pub mod types;
pub mod value;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use self::binding::Binding;
use self::policy::{CachePolicy, Execution};
use self::template::Template;
use self::types::Type;
use self::value::Value;

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
    pub outputs: Vec<Published>,
    /// Capacities that `[resources]` states.
    pub resources: BTreeMap<String, u64>,
}

/// An input of a task or of the workflow.
#[derive(Debug)]
pub struct Input {
    pub name: Box<str>,
    pub ty: Type,
    /// What it is without a value of its own: a literal, or null for a `T?`.
    pub default: Option<Binding>,
    pub description: Option<Box<str>>,
    /// The only values allowed; empty for any.
    pub one_of: Vec<Value>,
}

/// A reusable, typed definition.
#[derive(Debug)]
pub struct Task {
    /// Qualified: `<workflow or library>.<task>`.
    pub name: String,
    pub description: Option<String>,
    /// The folder of the file that defines it, absolute.
    pub dir: PathBuf,
    pub inputs: Vec<Input>,
    pub outputs: Vec<Output>,
    pub command: Command,
    /// Whether it runs in the workflow file's folder instead of a scratch folder.
    pub in_workflow_dir: bool,
    pub env: Vec<(String, String)>,
    pub pass_env: Vec<String>,
    pub secrets: Vec<String>,
    /// Globs relative to `dir`.
    pub sources: Vec<String>,
    pub staging: Staging,
    pub execution: Execution,
    pub cache: CachePolicy,
}

/// How input files are brought to a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Staging {
    /// By reflink where the file system can; else small files are copied and large ones linked to.
    #[default]
    Auto,
    /// By reflink or copy.
    Copy,
    /// By a symbolic link to the read-only original.
    Link,
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
}

#[derive(Debug)]
pub enum Command {
    Script { script: String, shell: Vec<String>, args: Vec<Template> },
    Program(Vec<Template>),
}

/// One use of a task.
#[derive(Debug)]
pub struct Node {
    pub name: Box<str>,
    /// Index into [`Workflow::tasks`].
    pub task: u32,
    /// One for each of the task's inputs, in their order.
    pub inputs: Box<[Binding]>,
    /// Nodes that must succeed first without handing anything over.
    pub needs: Box<[u32]>,
    /// Set where the node overrides some of its task's policies.
    pub execution: Option<Box<Execution>>,
}

/// An output of the workflow.
#[derive(Debug)]
pub struct Published {
    pub name: Box<str>,
    /// Unknown for an expression that is more than a reference: its value decides.
    pub ty: Option<Type>,
    pub value: Binding,
    /// Where a file or directory is published, absolute.
    pub path: Option<PathBuf>,
}

impl Workflow {
    /// The task that a node uses.
    pub fn task_of(&self, node: usize) -> &Arc<Task> {
        &self.tasks[self.nodes[node].task as usize]
    }

    /// The policies of a node: its own, else its task's.
    pub fn execution_of(&self, node: usize) -> &Execution {
        let node = &self.nodes[node];
        node.execution.as_deref().unwrap_or(&self.tasks[node.task as usize].execution)
    }

    /// The index of a node by its name.
    pub fn node(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|node| &*node.name == name)
    }
}

/// The longest name, in bytes: names become parts of file names.
const LONGEST_NAME: usize = 128;

/// Whether `name` is `[a-z][a-z0-9_]*`, or with `-` where `hyphens` says so.
pub fn is_name(name: &str, hyphens: bool) -> bool {
    name.len() <= LONGEST_NAME
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || (hyphens && c == '-'))
}
