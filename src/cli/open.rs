//! From a path and flags to a workflow that can be run.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use super::Failure;
use super::args::{CacheFlags, Nodes, Resources, Target};
use super::screen::ColorChoice;
use crate::engine::schedule::pools::Pools;
use crate::engine::{CacheMode, RunOptions};
use crate::storage::memo::Scope;
use crate::workflow::Workflow;
use crate::workflow::diagnostic::{Diagnostic, Sources};
use crate::workflow::documents::Document;
use crate::workflow::graph::Graph;
use crate::workflow::graph::outline::Outline;
use crate::workflow::graph::select::{Role, matching, roles};
use crate::workflow::load::{Loaded, check_label, load};
use crate::workflow::policy::parse_amount;

/// A workflow without errors, and all of its nodes.
pub struct Opened {
    pub workflow: Arc<Workflow>,
    pub outline: Outline,
    /// The workflow and all of its sub-workflows, each once.
    pub workflows: Vec<Arc<Workflow>>,
    /// Every file that was read.
    pub documents: Vec<Document>,
    /// The texts of those, for what is said of places in them.
    pub sources: Sources,
}

/// What is wrong with a workflow that cannot be run.
pub struct Mistakes {
    /// How many there are; at least one.
    pub count: usize,
    /// For people, each with its place.
    pub text: String,
    pub diagnostics: Vec<Diagnostic>,
    pub sources: Sources,
}

/// Reads and checks a workflow, with policies that the command line sets; errors are shown on standard error.
pub fn open(path: &Path, settings: &[String], color: ColorChoice) -> Result<Opened, Failure> {
    check(load(path, settings), color.on_stderr()).map_err(|mistakes| mistakes.tell())
}

impl Mistakes {
    /// Shows them on standard error.
    pub fn tell(&self) -> Failure {
        let mut stderr = std::io::stderr().lock();
        let _ = writeln!(stderr, "{}", self.text.trim_end());
        if self.count > 1 {
            let _ = writeln!(stderr, "\n{} errors; nothing was run", self.count);
        }
        Failure::silent(super::code::USAGE)
    }
}

/// A workflow that was read, if there is nothing wrong with it.
pub fn check(loaded: Loaded, color: bool) -> Result<Opened, Mistakes> {
    let Loaded { workflow, workflows, documents, sources, mut diagnostics } = loaded;
    for workflow in &workflows {
        diagnostics.extend(Graph::of(workflow).diagnose_cycles(workflow));
    }
    match workflow {
        Some(workflow) if diagnostics.is_empty() => {
            Ok(Opened { outline: Outline::of(workflow.clone()), workflow, workflows, documents, sources })
        }
        _ => {
            let text = sources.render(&diagnostics, color);
            Err(Mistakes { count: diagnostics.len(), text, diagnostics, sources })
        }
    }
}

/// The scope that flags, environment (through the flags) and file name, in this order.
pub fn scope(workflow: &Workflow, target: &Target) -> Result<Scope, Failure> {
    let pick = |flag: &Option<String>, file: &Option<String>, default: &str, name: &str| {
        let chosen = flag.as_ref().or(file.as_ref()).map_or(default, String::as_str);
        check_label(chosen).map_err(|problem| Failure::usage(format!("--{name} {problem}")))?;
        Ok(chosen.to_owned())
    };
    Ok(Scope {
        project: pick(&target.project, &workflow.project, "default", "project")?,
        domain: pick(&target.domain, &workflow.domain, "development", "domain")?,
    })
}

/// What the flags ask for.
pub fn order(
    opened: &Opened,
    nodes: &Nodes,
    cache: &CacheFlags,
    keep_going: bool,
    jobs: usize,
) -> Result<RunOptions, Failure> {
    let outline = &opened.outline;
    let roles = roles(outline, &nodes.selection()).map_err(Failure::usage)?;
    let overwrite = match &cache.overwrite {
        None => vec![false; outline.len()],
        // What is not selected only supplies: its result has to come from the cache.
        Some(names) if names.is_empty() => roles.iter().map(|role| *role == Role::Run).collect(),
        Some(names) => matching(outline, "--overwrite", names).map_err(Failure::usage)?,
    };
    if !roles.contains(&Role::Run) {
        return Err(Failure::usage("these flags select no node: nothing would run"));
    }
    let remaining_ms = vec![0; outline.len()];
    Ok(RunOptions {
        roles,
        remaining_ms,
        overwrite,
        mode: CacheMode::from(cache.cache.unwrap_or_default()),
        keep_going,
        jobs,
        retry_of: None,
    })
}

/// How many nodes may run at once.
pub fn jobs(resources: &Resources) -> usize {
    resources.jobs.map_or_else(processors, |jobs| jobs as usize)
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The pools of a run; a request that they can never meet is an error.
pub fn pools(opened: &Opened, order: &RunOptions, resources: &Resources) -> Result<Pools, Failure> {
    let workflow = &opened.workflow;
    let mut capacity = BTreeMap::from([
        // Whoever allows more jobs than there are processors means it.
        ("cpus".to_owned(), order.jobs.max(processors()) as u64),
        ("memory".to_owned(), total_memory()),
    ]);
    capacity.extend(workflow.resources.clone());
    for assignment in &resources.resources {
        let (name, text) = assignment
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("--resource {assignment}: expected NAME=N")))?;
        let amount = parse_amount(name, text)
            .map_err(|problem| Failure::usage(format!("--resource {assignment}: `{name}` {problem}")))?;
        capacity.insert(name.to_owned(), amount);
    }
    let pools = Pools::new(order.jobs, capacity);
    let mut problems = Vec::new();
    for (place, role) in opened.outline.places().zip(&order.roles) {
        if (*role == Role::Run || place.is_hook())
            && let Some(execution) = place.node().execution()
            && let Err(problem) = pools.check(&execution.resources)
        {
            problems.push(format!("node `{}` can never run: {problem}", place.name()));
        }
    }
    match problems.len() {
        0 => Ok(pools),
        _ => Err(Failure::usage(problems.join("\n"))),
    }
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
