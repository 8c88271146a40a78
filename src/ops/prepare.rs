//! From a request to a run that can begin: the request held against its workflow, scoped, selected.

use std::collections::BTreeMap;

use super::config::{DEFAULT_DOMAIN, DEFAULT_PROJECT, config_for, processors, total_memory};
use super::needs::lacking;
use super::open::{Opened, check};
use super::prior::Prior;
use super::receipt::PendingReceipt;
use super::remote::RemoteChoice;
use super::remote::settings::asked_address;
use super::scheduled::take_schedule;
use super::{Error, WorkflowErrors, executors, inputs};
use crate::core::run_request::RunRequest;
use crate::engine::RunOptions;
use crate::engine::schedule::pools::Pools;
use crate::storage::memo::Scope;
use crate::workflow::Workflow;
use crate::workflow::binding::Binding;
use crate::workflow::config::Config;
use crate::workflow::documents::Texts;
use crate::workflow::graph::select::{Role, matching, roles};
use crate::workflow::label::check_label;
use crate::workflow::lint::Lint;
use crate::workflow::load::load_requested;
use crate::workflow::policy::parse_amount;

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
    /// Set if the run may leave a receipt.
    pub receipt: Option<Box<PendingReceipt>>,
    /// Whether the run was begun before, under the id that it has.
    pub is_begun: bool,
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
    Ok(PreparedRun {
        request,
        opened,
        scope,
        inputs,
        options,
        config,
        prior: None,
        receipt: None,
        is_begun: false,
    })
}

impl PreparedRun {
    /// What the request says of the shared cache.
    pub fn remote_choice(&self) -> RemoteChoice {
        RemoteChoice { url: self.request.remote.clone(), mode: self.request.remote_mode }
    }

    /// The shared cache that the run would ask for what this home lacks, and that only the run asks.
    pub fn asked_remote(&self) -> Option<String> {
        let url = asked_address(&self.config, &self.remote_choice())?.to_owned();
        self.options.mode.reads().then_some(url)
    }

    /// The pools of the run.
    ///
    /// # Errors
    /// A resource that is not understood.
    pub fn pools(&self) -> Result<Pools, Error> {
        let elsewhere = executors::capacities(&self.opened.outline, &self.options.executors, &self.config);
        pools(&self.opened, self.options.jobs, &self.request.resources, elsewhere)
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
        Ok(lacking(&self.opened, &self.options.roles, &self.options.executors, &inputs, &self.pools()?))
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
        mean_ms: Vec::new(),
        overwrite,
        mode: request.cache.unwrap_or_default(),
        keep_going: request.keep_going || opened.workflow.keeps_going,
        jobs: request.jobs.or(config.jobs()).map_or_else(processors, |jobs| jobs.max(1) as usize),
        trigger: request.trigger,
        scheduled: request.scheduled.clone(),
        retry_of: request.retry_of,
        first: false,
        executors: executors::choose(outline, &request.executors, config)?,
        detach: false,
    })
}

/// What nodes share: the machine, `[resources]`, and `resources` as the command line has them.
///
/// # Errors
/// One of these that is not understood.
pub(super) fn pools(
    opened: &Opened,
    jobs: usize,
    resources: &[String],
    elsewhere: BTreeMap<String, u64>,
) -> Result<Pools, Error> {
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
    capacity.extend(elsewhere);
    Ok(Pools::new(jobs, capacity))
}
