//! Warnings about a workflow without errors, each with its place and a fix.
//!
//! | file | owns |
//! |---|---|
//! | `words.rs` | the words of a script, as far as they can be split without running it |
//! | `commands.rs` | files, paths, network and clock that a command uses |
//! | `functions.rs` | values, packages and code of Python functions |
//! | `globs.rs` | patterns that match no file |
//! | `unused.rs` | outputs and tasks that are not used |
//! | `published.rs` | paths of outputs outside of the workflow's folder |
//! | `policies.rs` | settings without effect |
//! | `schedules.rs` | cron expressions with two day fields |
//! | `literal.rs` | variables, `~` and templates where nothing is filled in |
//!
//! A warning is a guess: it never prevents a run. Knows nothing of the cache.

mod commands;
mod functions;
mod globs;
mod literal;
mod policies;
mod published;
mod schedules;
mod unused;
mod words;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

pub use literal::expansion;

use crate::workflow::diagnostic::{Diagnostic, FileId, SourceSpan, Sources};
use crate::workflow::places::Places;
use crate::workflow::{Body, Task, Workflow};

/// Something that looks wrong.
pub struct Lint {
    /// A name for its kind, for programs: `undeclared-file`.
    pub name: &'static str,
    pub diagnostic: Diagnostic,
}

/// Maximum number of unused outputs of one task that are reported.
const MAX_UNUSED_OUTPUTS: usize = 50;

/// The warnings about a workflow and its sub-workflows.
pub fn lint(workflows: &[Arc<Workflow>], sources: &Sources) -> Vec<Lint> {
    let mut lints = Vec::new();
    let mut trees = Trees { sources, places: HashMap::new() };
    for workflow in workflows {
        if let Some(node) = workflow.nodes.first() {
            lints.extend(literal::of_workflow(workflow, trees.of(node.place.file)));
        }
        lints.extend(unused::outputs(workflow, sources));
        lints.extend(globs::of_workflow(workflow));
    }
    lints.extend(workflows.first().into_iter().flat_map(|workflow| published::outside(workflow)));
    lints.extend(workflows.first().into_iter().flat_map(|workflow| schedules::of_workflow(workflow)));
    lints.extend(of_tasks(&tasks(workflows), &mut trees));
    lints
}

/// The warnings about the tasks of a library.
pub fn lint_library(tasks: &[Arc<Task>], sources: &Sources) -> Vec<Lint> {
    of_tasks(tasks, &mut Trees { sources, places: HashMap::new() })
}

fn of_tasks(tasks: &[Arc<Task>], trees: &mut Trees) -> Vec<Lint> {
    let mut lints = Vec::new();
    // What `[defaults]` says of many tasks is reported once.
    let mut seen = HashSet::new();
    for task in tasks {
        let text = Text::of(task, trees.sources);
        lints.extend(commands::of_task(task, &text));
        lints.extend(policies::of_task(task, &text));
        let literal = literal::of_task(task, trees.of(task.place.file));
        let place = |lint: &Lint| lint.diagnostic.primary.as_ref().map(|(place, _)| *place);
        // Code that several functions reach is reported once as well.
        let shared = literal.into_iter().chain(functions::of_task(task));
        lints.extend(shared.filter(|lint| seen.insert((lint.name, place(lint)))));
    }
    lints
}

/// The trees of files, each read once.
struct Trees<'s> {
    sources: &'s Sources,
    places: HashMap<FileId, Places<'s>>,
}

impl<'s> Trees<'s> {
    fn of(&mut self, file: FileId) -> &Places<'s> {
        self.places.entry(file).or_insert_with(|| Places::of(self.sources, file))
    }
}

/// The warnings that a run says as well: files that cached tasks read, but whose changes do not count, and Windows line ends.
pub fn at_run(workflows: &[Arc<Workflow>], sources: &Sources) -> Vec<Lint> {
    let mut lints = Vec::new();
    for task in tasks(workflows) {
        let text = Text::of(&task, sources);
        if task.cache.enabled {
            lints.extend(commands::undeclared(&task, &text));
        }
        lints.extend(policies::windows_line_ends(&task, &text));
    }
    lints
}

/// The tasks that are used, each once; those of libraries among them.
pub fn tasks(workflows: &[Arc<Workflow>]) -> Vec<Arc<Task>> {
    let mut seen = BTreeSet::new();
    let nodes = workflows.iter().flat_map(|workflow| &workflow.nodes);
    let used = nodes.filter_map(|node| match &node.body {
        Body::Task(task) => Some(task.clone()),
        Body::Workflow(_) => None,
    });
    used.filter(|task| seen.insert(task.name.clone())).collect()
}

/// The text of a task's definition, to find places in.
struct Text<'t> {
    header: SourceSpan,
    text: &'t str,
}

impl<'t> Text<'t> {
    fn of(task: &Task, sources: &'t Sources) -> Self {
        let header = task.place;
        let all = sources.text(header.file);
        let rest = all.get(header.span.start as usize..).unwrap_or_default();
        // Up to the next table that is not one of the task's own.
        let own = format!("\n[tasks.{}.", task.name.rsplit('.').next().unwrap_or_default());
        let mut end = rest.len();
        let mut from = 0;
        while let Some(at) = rest[from..].find("\n[") {
            let at = from + at;
            if !rest[at..].starts_with(&own) {
                end = at;
                break;
            }
            from = at + 1;
        }
        Self { header, text: &rest[..end] }
    }

    /// Where `words` stand in the definition, not as a part of others, behind the first `after`; else its header.
    fn place(&self, after: &str, words: &str) -> SourceSpan {
        let start = self.text.find(after).map_or(0, |at| at + after.len());
        let is_whole = |at: &usize| {
            let inside = |c: char| c.is_alphanumeric() || c == '_';
            let (before, behind) = (&self.text[..*at], &self.text[at + words.len()..]);
            !before.ends_with(inside) && !behind.starts_with(inside)
        };
        let mut found = self.text[start..].match_indices(words).map(|(at, _)| start + at);
        let first = found.clone().next();
        match found.find(is_whole).or(first).filter(|_| !words.is_empty()) {
            Some(at) => self.stretch(at, words.len()),
            None => self.header,
        }
    }

    /// Where a word of a script stands, if the script stands in the file as it is.
    fn place_in(&self, script: &str, at: usize, length: usize) -> Option<SourceSpan> {
        Some(self.stretch(self.text.find(script)? + at, length))
    }

    fn stretch(&self, at: usize, length: usize) -> SourceSpan {
        let base = self.header.span.start as usize + at;
        let position = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let mut place = self.header;
        (place.span.start, place.span.end) = (position(base), position(base + length));
        place
    }
}
