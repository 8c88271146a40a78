//! From a request to a workflow that can be run: read, checked, scoped, selected.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::config::config_for;
use super::needs::lacking;
use super::prior::Prior;
use super::schedules::take_schedule;
use super::{Error, inputs};
use crate::core::run_request::RunRequest;
use crate::engine::RunOptions;
use crate::engine::schedule::pools::Pools;
use crate::storage::memo::Scope;
use crate::workflow::binding::Binding;
use crate::workflow::config::Config;
use crate::workflow::diagnostic::{Diagnostic, Sources};
use crate::workflow::documents::{Document, Texts};
use crate::workflow::graph::Graph;
use crate::workflow::graph::outline::Outline;
use crate::workflow::graph::select::{Role, matching, roles};
use crate::workflow::lint::Lint;
use crate::workflow::load::{LoadedWorkflow, check_label, load, load_requested};
use crate::workflow::policy::parse_amount;
use crate::workflow::{Task, Workflow};

/// The project and the domain where nothing names others.
pub const DEFAULT_PROJECT: &str = "default";
pub const DEFAULT_DOMAIN: &str = "development";

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

/// What is wrong with a workflow that cannot be run; at least one diagnostic.
pub struct WorkflowErrors {
    pub diagnostics: Vec<Diagnostic>,
    pub sources: Sources,
}

impl fmt::Debug for WorkflowErrors {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl WorkflowErrors {
    /// Each in one line, behind its place.
    pub fn lines(&self) -> Vec<String> {
        let line = |diagnostic: &Diagnostic| match &diagnostic.primary {
            Some((place, _)) => {
                let (line, column) = self.sources.line_column(*place);
                let path = self.sources.path(place.file).display();
                format!("{path}:{line}:{column}: {}", diagnostic.message)
            }
            None => diagnostic.message.clone(),
        };
        self.diagnostics.iter().map(line).collect()
    }

    /// All of them for people, each with its place.
    pub fn render(&self, color: bool) -> String {
        self.render_within(color, None)
    }

    /// The same, with lines of the files cut to this many columns.
    pub fn render_within(&self, color: bool, columns: Option<usize>) -> String {
        self.sources.render_within(&self.diagnostics, color, columns)
    }
}

/// A request that fits its workflow: what a run, a plan and an explanation begin with.
pub struct PreparedRun {
    pub request: RunRequest,
    pub opened: Opened,
    pub scope: Scope,
    /// One for each input of the workflow.
    pub inputs: Vec<Binding>,
    pub options: RunOptions,
    /// The settings files that count for the workflow.
    pub config: Config,
    /// What the retried run had brought to an end.
    pub prior: Option<Prior>,
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

/// Holds a request against its workflow. Reads nothing but the workflow and its input files.
///
/// # Errors
/// Errors in the workflow, and whatever of the request does not fit it.
pub fn prepare(request: RunRequest) -> Result<PreparedRun, Error> {
    let opened = check(load_requested(Texts::default(), &request)).map_err(Error::from)?;
    prepare_opened(request, opened)
}

/// The same with a workflow that was read before, whatever its files say now. The request changes no settings.
///
/// # Errors
/// Whatever of the request does not fit it.
pub fn prepare_opened(mut request: RunRequest, opened: Opened) -> Result<PreparedRun, Error> {
    let config = config_for(&opened.workflow.path)?;
    take_schedule(&mut request, &opened.workflow)?;
    let scope = scope(&opened.workflow, &request, &config)?;
    let inputs = inputs::resolve(&opened.workflow, &request.given)?;
    let options = options(&opened, &request, &config)?;
    Ok(PreparedRun { request, opened, scope, inputs, options, config, prior: None })
}

impl Opened {
    /// The tasks of the workflow and of its sub-workflows.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> + Clone {
        self.workflows.iter().flat_map(|workflow| &workflow.tasks).map(|task| &**task)
    }
}

impl PreparedRun {
    /// The pools of the run.
    ///
    /// # Errors
    /// A resource that is not understood.
    pub fn pools(&self) -> Result<Pools, Error> {
        pools(&self.opened, self.options.jobs, &self.request.resources)
    }

    /// The same, if nothing that the run needs is lacking.
    ///
    /// # Errors
    /// Everything that is lacking, each with its place; a resource that is not understood.
    pub fn ready(self) -> Result<Self, Error> {
        let lacking = self.lacking()?;
        if lacking.is_empty() {
            return Ok(self);
        }
        let diagnostics = lacking.into_iter().map(|lint| lint.diagnostic).collect();
        Err(WorkflowErrors { diagnostics, sources: self.opened.sources }.into())
    }

    /// What the run needs and does not have.
    ///
    /// # Errors
    /// A resource that is not understood.
    pub fn lacking(&self) -> Result<Vec<Lint>, Error> {
        let inputs: Vec<_> = self.inputs.iter().cloned().map(Some).collect();
        Ok(lacking(&self.opened, &self.options.roles, &inputs, &self.pools()?))
    }
}

/// The scope that the request, the file and the settings name, in this order.
///
/// # Errors
/// A name is none of a project or a domain.
pub fn scope(workflow: &Workflow, request: &RunRequest, config: &Config) -> Result<Scope, Error> {
    let pick =
        |asked: &Option<String>, file: &Option<String>, default: &str, name: &str| -> Result<String, Error> {
            let named = asked.as_deref().or(file.as_deref()).or_else(|| config.text(name));
            let chosen = named.unwrap_or(default);
            check_label(chosen).map_err(|problem| Error::invalid(format!("--{name} {problem}")))?;
            Ok(chosen.to_owned())
        };
    Ok(Scope {
        project: pick(&request.project, &workflow.project, DEFAULT_PROJECT, "project")?,
        domain: pick(&request.domain, &workflow.domain, DEFAULT_DOMAIN, "domain")?,
    })
}

/// What the run is to do with each node.
fn options(opened: &Opened, request: &RunRequest, config: &Config) -> Result<RunOptions, Error> {
    let outline = &opened.outline;
    let roles = roles(outline, &request.selection).map_err(Error::invalid)?;
    let overwrite = match &request.overwrite {
        None => vec![false; outline.len()],
        // A node that is not selected only supplies: its result has to come from the cache.
        Some(names) if names.is_empty() => roles.iter().map(|role| *role == Role::Run).collect(),
        Some(names) => matching(outline, "--overwrite", names).map_err(Error::invalid)?,
    };
    if !roles.contains(&Role::Run) {
        return Err(Error::invalid("only, from, until and skip together select no node: nothing would run"));
    }
    let remaining_ms = vec![0; outline.len()];
    Ok(RunOptions {
        roles,
        remaining_ms,
        alone_ms: vec![None; outline.len()],
        overwrite,
        mode: request.cache.unwrap_or_default(),
        keep_going: request.keep_going,
        jobs: request.jobs.or(config.jobs()).map_or_else(processors, |jobs| jobs.max(1) as usize),
        trigger: request.trigger,
        scheduled: request.scheduled.clone(),
        retry_of: request.retry_of,
        first: false,
    })
}

pub(super) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What nodes share: the machine, `[resources]`, and `resources` as the command line has them.
///
/// # Errors
/// One of these that is not understood.
pub(super) fn pools(opened: &Opened, jobs: usize, resources: &[String]) -> Result<Pools, Error> {
    let workflow = &opened.workflow;
    let mut capacity = BTreeMap::from([
        // More jobs than processors are allowed: the user asked for them.
        ("cpus".to_owned(), jobs.max(processors()) as u64),
        ("memory".to_owned(), total_memory()),
    ]);
    capacity.extend(workflow.resources.clone());
    for assignment in resources {
        let (name, text) = assignment
            .split_once('=')
            .ok_or_else(|| Error::invalid(format!("--resource {assignment}: expected NAME=N")))?;
        let amount = parse_amount(name, text)
            .map_err(|problem| Error::invalid(format!("--resource {assignment}: `{name}` {problem}")))?;
        capacity.insert(name.to_owned(), amount);
    }
    Ok(Pools::new(jobs, capacity))
}

/// The machine's memory in bytes; without a way to know, no limit.
fn total_memory() -> u64 {
    #[cfg(target_os = "linux")]
    {
        let info = rustix::system::sysinfo();
        (info.totalram as u64).saturating_mul(u64::from(info.mem_unit))
    }
    #[cfg(not(target_os = "linux"))]
    u64::MAX
}
