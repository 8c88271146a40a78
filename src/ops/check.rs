//! Checking a workflow or library: every error, and what looks wrong in one without errors.

use std::path::Path;
use std::sync::Arc;

use super::WorkflowErrors;
use super::config::config_for;
use super::config::processors;
use super::executors;
use super::home::HomeReader;
use super::needs::{as_warnings, lacking};
use super::open::{Opened, check as validate};
use super::prepare::pools;
use crate::engine::lookup::cache::Cache;
use crate::engine::scope::values::UserFiles;
use crate::engine::{RefusedOutput, protected, refused_outputs};
use crate::storage::memo::{Scope, Version, earlier};
use crate::workflow::Task;
use crate::workflow::config::Config;
use crate::workflow::diagnostic::{Diagnostic, Severity, Sources};
use crate::workflow::graph::select::Role;
use crate::workflow::lint::{Lint, lint, lint_library, tasks};
use crate::workflow::load::{LoadedLibrary, load_library, load_with};

/// Maximum results of a task that are looked at for one under its pinned version.
const MAX_RESULTS: u32 = 200;

/// A file without errors.
pub struct Checked {
    pub contents: Contents,
    pub sources: Sources,
    pub lints: Vec<Lint>,
}

/// What a file holds, and how much of it.
pub enum Contents {
    Nodes(usize),
    /// Of a library.
    Tasks(usize),
}

/// Reads and checks a workflow or library file; warnings come with one that can be used.
///
/// # Errors
/// Everything that keeps it from being used.
pub fn check(path: &Path, home: Option<&Path>, python_env: Option<&str>) -> Result<Checked, WorkflowErrors> {
    if let Some(LoadedLibrary { tasks, sources, diagnostics }) = load_library(path, python_env) {
        if !diagnostics.is_empty() {
            return Err(WorkflowErrors { diagnostics, sources });
        }
        let mut lints = lint_library(&tasks, &sources);
        lints.extend(edited(&tasks, home));
        return Ok(Checked { contents: Contents::Tasks(tasks.len()), sources, lints });
    }
    let opened = validate(load_with(path, python_env))?;
    let diagnostics = refused(&opened);
    if !diagnostics.is_empty() {
        return Err(WorkflowErrors { diagnostics, sources: opened.sources });
    }
    let config = config_for(&opened.workflow.path)?;
    let mut lints = lint(&opened.workflows, &opened.sources);
    let executors = executors::choose(&opened.outline, &[], &config).unwrap_or_else(|error| {
        let diagnostic = Diagnostic { severity: Severity::Warning, ..Diagnostic::new(error.to_string()) };
        lints.push(Lint { name: "unknown-executor", diagnostic });
        Vec::new()
    });
    lints.extend(needs(&opened, &executors, &config));
    lints.extend(config.warnings.into_iter().map(|warning| Lint {
        name: "settings",
        diagnostic: Diagnostic { severity: Severity::Warning, ..Diagnostic::new(warning) },
    }));
    lints.extend(edited(&tasks(&opened.workflows), home));
    Ok(Checked { contents: Contents::Nodes(opened.workflow.size), sources: opened.sources, lints })
}

/// What a run with the defaults would lack.
fn needs(opened: &Opened, executors: &[Option<Arc<str>>], config: &Config) -> Vec<Lint> {
    let inputs: Vec<_> = opened.workflow.inputs.iter().map(|input| input.default.clone()).collect();
    let roles = vec![Role::Run; opened.outline.len()];
    match pools(opened, processors(), &[], executors::capacities(&opened.outline, executors, config)) {
        Ok(pools) => as_warnings(lacking(opened, &roles, executors, &inputs, &pools)),
        Err(_) => Vec::new(),
    }
}

/// Outputs that would replace a file that the run is made of.
fn refused(opened: &Opened) -> Vec<Diagnostic> {
    let documents = opened.documents.iter().map(|document| document.path.as_path());
    let refused = refused_outputs(&opened.workflow, &protected(&opened.workflows, documents, &[]));
    let diagnostic = |refused: RefusedOutput| {
        Diagnostic::at(refused.place, refused.message, "never replaced")
            .help("give the output a path of its own")
    };
    refused.into_iter().map(diagnostic).collect()
}

/// Tasks that were edited under a pinned version since a result was stored, whatever the project and domain. A home that
/// cannot be read tells nothing.
fn edited(tasks: &[Arc<Task>], home: Option<&Path>) -> Vec<Lint> {
    let looked = || {
        let view = HomeReader::open(home).ok()?;
        let store = Arc::new(view.store().ok()?);
        Some((UserFiles::new(store.clone()), store, view.db?))
    };
    let Some((files, store, db)) = looked() else { return Vec::new() };
    let newest = |task: &str, version: &str| {
        let results = earlier::of_task(&db, task, MAX_RESULTS).unwrap_or_default();
        results.into_iter().filter(|past| past.version == version).max_by_key(|past| past.created)
    };
    let pinned = tasks.iter().filter_map(|task| {
        let version = task.cache.version.clone().filter(|_| task.cache.enabled)?;
        let result = newest(&task.name, &version)?;
        Some((task, result))
    });
    let pinned: Vec<_> = pinned.collect();
    let cache = Cache::new(Scope { project: String::new(), domain: String::new() }, store, Some(db), None);
    let warnings = pinned.into_iter().filter_map(|(task, result)| {
        let state = cache.task(task, &files).ok()?;
        debug_assert!(matches!(state.version, Version::Pinned(_)));
        let edited = cache.edited(task, &state, &result.definition)?;
        let diagnostic =
            Diagnostic::warning(task.place, edited.message(), "edited since").help(edited.help().to_owned());
        Some(Lint { name: "edited-under-pinned-version", diagnostic })
    });
    warnings.collect()
}
