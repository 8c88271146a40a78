//! Starting what was prepared: the flags that `exec`, `retry` and `rerun` have in common, and what they print in the end.

use std::path::Path;
use std::time::Duration;

use super::outputs_toml::outputs_toml;
use super::runtime::block_on;
use super::screen::{ColorChoice, note, print, reporters, tell_failure};
use super::{Failure, Outcome, args, code, signals};
use crate::core::counted::counted;
use crate::core::event::Status;
use crate::core::reporter::Reporter;
use crate::core::run_id::RunId;
use crate::core::run_request::{LockRequest, RunRequest};
use crate::ops::notify::{
    Delivered, DeliveryFault, DeliveryPace, NotifyRules, deliver_run, refused, run_ended,
};
use crate::ops::prepare::{PreparedRun, prepare};
use crate::ops::receipt::{PendingReceipt, ReceiptKey};
use crate::ops::run::beside::beside;
use crate::ops::run::{RunResult, honour};
use crate::ops::run_lock::{Turn, take_turn};
use crate::ops::{self, Error, ErrorKind};
use crate::view::Verbosity;
use crate::view::text::inert;

/// The flags of every verb that runs a workflow.
#[derive(Clone, clap::Args)]
pub struct Flags {
    #[command(flatten)]
    pub target: args::Target,
    #[command(flatten)]
    pub resources: args::Resources,
    /// After a failure, still run everything that does not depend on the failed node
    #[arg(short, long, help_heading = "Running")]
    pub keep_going: bool,
    #[command(flatten)]
    pub cache: args::CacheFlags,
    #[command(flatten)]
    pub nodes: args::Nodes,
    /// Let published outputs replace files that `runner` did not publish, but never a workflow, source or input file
    #[arg(long, help_heading = "Running")]
    replace_outputs: bool,
    /// Let at most one run at a time hold this lock: a second one ends at once (skip, the default) or waits (wait)
    #[arg(long, value_name = "NAME[=skip|wait]", help_heading = "Running")]
    lock: Option<LockRequest>,
    /// Show what would run; run and write nothing
    #[arg(short = 'n', long, help_heading = "Running")]
    pub dry_run: bool,
    #[command(flatten)]
    letting_go: LettingGo,
    #[command(flatten)]
    pub printed: Printed,
}

/// Whether jobs of batch systems outlive the runner.
#[derive(Clone, Copy, clap::Args)]
pub struct LettingGo {
    /// Leave submitted jobs to themselves at Ctrl-C and TERM, as at HUP; `runner attach` goes on with the run
    #[arg(long, help_heading = "Running")]
    detach: bool,
}

/// What a run prints.
#[derive(Clone, Copy, clap::Args)]
#[command(next_help_heading = "What is printed")]
pub struct Printed {
    /// Print events as JSON Lines on standard output
    #[arg(long)]
    json: bool,
    /// Print failures and nothing else, no outputs either
    #[arg(short, long)]
    pub quiet: bool,
    /// Print what tasks print as well, line by line behind the names of their nodes
    #[arg(long, conflicts_with = "quiet")]
    logs: bool,
    /// Print starts, hits, keys and reasons as well
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
}

/// The same flags for a verb that makes the request of an earlier run again: they come on top of it.
#[derive(clap::Args)]
#[command(
    mut_arg("workflow", args::in_place_of_workflow),
    mut_arg("project", |arg| args::replaced(arg, "project")),
    mut_arg("domain", |arg| args::replaced(arg, "domain")),
    mut_arg("jobs", |arg| arg.help("How many nodes may run at once [default: $RUNNER_JOBS, else as in the run]"))
)]
pub struct FlagsOnTop {
    #[command(flatten)]
    pub flags: Flags,
}

/// Runs what was prepared, or says what would run, as the flags want.
pub fn start(flags: &Flags, prepared: PreparedRun, home: Option<&Path>, color: ColorChoice) -> Outcome {
    if flags.dry_run {
        return super::plan::show(&prepared, home, color, flags.printed.json).map(drop);
    }
    begin(flags.letting_go, flags.printed, RunId::make(), prepared, home, color)
}

/// Runs what was prepared, under this id.
pub fn begin(
    letting_go: LettingGo,
    printed: Printed,
    run: RunId,
    prepared: PreparedRun,
    home: Option<&Path>,
    color: ColorChoice,
) -> Outcome {
    block_on(async {
        match perform(letting_go, printed, run, prepared, home, color).await? {
            Some(result) => conclude(printed, result),
            None => Ok(()),
        }
    })?
}

/// Runs a request, and sends the notifications of its run before it returns; also if the run cannot begin.
pub fn start_telling(flags: &Flags, request: RunRequest, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let asked = request.clone();
    let prepared = prepare(request);
    let rules = prepared.as_ref().map(NotifyRules::of_prepared).unwrap_or_default();
    if prepared.is_ok() && rules.is_empty() && !flags.printed.quiet {
        note("warning: --notify tells nobody: neither the workflow nor a settings file has [[notify]]");
    }
    let run = RunId::make();
    block_on(async {
        let performed = match prepared {
            Ok(prepared) => perform(flags.letting_go, flags.printed, run, prepared, home, color).await,
            Err(error) => Err(error),
        };
        match performed {
            Ok(None) => Ok(()),
            Ok(Some(result)) => {
                let outcome = conclude(flags.printed, result);
                tell(run, home, move |home| run_ended(home, &rules, run, None).map(|_| true)).await;
                outcome
            }
            Err(error) if matches!(error.kind, ErrorKind::Interrupted(_)) => Err(error.into()),
            Err(error) => {
                let reason = error.one_line();
                let failure = Failure::from(error);
                // Said before a receiver may take its time.
                tell_failure(color, &failure);
                tell(run, home, move |home| Ok(refused(home, run, &asked, &reason)? > 0)).await;
                Err(Failure::silent(failure.code))
            }
        }
    })?
}

/// Runs what was prepared to its end, under this id; `None` if another run holds its lock.
async fn perform(
    letting_go: LettingGo,
    printed: Printed,
    run: RunId,
    prepared: PreparedRun,
    home: Option<&Path>,
    color: ColorChoice,
) -> Result<Option<RunResult>, Error> {
    // Before the home folder comes into being.
    let mut prepared = prepared.ready()?;
    prepared.options.detach = letting_go.detach;
    if letting_go.detach && prepared.options.executors.is_empty() && !printed.quiet {
        note("warning: --detach changes nothing: all nodes run on this machine");
    }
    let mut listeners = printed.listeners(color);
    let mut interrupts = signals::listen();
    let turn = match take_turn(run, &prepared, home, &mut listeners, &mut interrupts).await? {
        Turn::Taken(turn) => turn,
        Turn::Skipped => return Ok(None),
        Turn::Interrupted(interrupt) => return Err(Error::interrupted(interrupt.signal())),
    };
    ops::run::run(prepared, turn, home, listeners, interrupts).await.map(Some)
}

/// Runs a request whose receipt stands.
///
/// # Errors
/// None does; what its run takes on.
pub fn again(
    flags: &Flags,
    key: ReceiptKey,
    workflow: &Path,
    home: Option<&Path>,
    color: ColorChoice,
) -> Result<Outcome, Box<PendingReceipt>> {
    honour(key, workflow, home, || flags.printed.listeners(color))
        .map(|result| conclude(flags.printed, result))
}

/// Prints what a run has to say when it has ended.
fn conclude(printed: Printed, result: RunResult) -> Outcome {
    let RunResult { run, summary, history, collected, warnings, missing, left } = result;
    for warning in warnings {
        note(&format!("warning: {warning}"));
    }
    if let Some(problem) = history {
        note(&format!("warning: the history of run {run} is incomplete: {problem}"));
    }
    if let Some(collected) = collected.filter(|_| !printed.quiet) {
        super::cache::gc::tell_after_run(&collected);
    }
    for (other, jobs) in left.into_iter().filter(|_| !printed.quiet) {
        let jobs = counted(jobs as u64, "job");
        note(&format!(
            "run {other} left {jobs}: `runner attach {other}` goes on with it, `runner cancel {other}` ends its jobs"
        ));
    }
    if !printed.json && !printed.quiet {
        print(&outputs_toml(&summary.outputs));
    }
    match (summary.signal, summary.status) {
        (Some(signal), _) => Err(Failure::silent(128 + signal as u8)),
        _ if !missing.is_empty() => Err(Failure::store(format!(
            "the run {run} ended, but some of its output files do not exist: {}",
            missing.join(", ")
        ))),
        (None, Status::Succeeded) => Ok(()),
        (None, _) => Err(Failure::silent(code::FAILED)),
    }
}

/// Maximum time that the end of a run waits for its messages: three tries of a receiver that hangs.
const MAX_DELIVERY: Duration = Duration::from_secs(75);

/// Writes the messages about a run down, and sends them if `write_down` says so. Faults are said, and change nothing; a signal ends the waiting, and what is
/// left goes on with the next delivery.
async fn tell(
    run: RunId,
    home: Option<&Path>,
    write_down: impl FnOnce(Option<&Path>) -> Result<bool, Error> + Send + 'static,
) {
    let home = home.map(Path::to_owned);
    let mut interrupts = signals::listen();
    let told = beside(&mut interrupts, move || {
        if !write_down(home.as_deref())? {
            return Ok(Delivered::default());
        }
        deliver_run(home.as_deref(), run, &DeliveryPace::default(), MAX_DELIVERY)
    });
    match told.await {
        Ok(Ok(delivered)) => {
            for DeliveryFault { rule, fault, goes_on } in delivered.faults {
                let rest = if goes_on { "the next delivery tries it again" } else { "it is given up" };
                let rule = inert(&rule);
                note(&format!(
                    "warning: a message of [[notify]] `{rule}` was not delivered: {fault}; {rest}"
                ));
            }
        }
        Ok(Err(error)) => note(&format!("warning: nobody was told of run {run}: {error}")),
        Err(_) => note(&format!("warning: the messages of run {run} may not have been delivered yet")),
    }
}

impl Flags {
    /// The request that the flags and the environment make.
    ///
    /// # Errors
    /// A variable that stands in for a flag and is not understood.
    pub fn request(&self) -> Result<RunRequest, Failure> {
        Ok(RunRequest {
            keep_going: self.keep_going,
            replace_outputs: self.replace_outputs,
            lock: self.lock.clone(),
            ..args::request(&self.target, &self.resources, &self.cache, &self.nodes)?
        })
    }

    /// What the flags ask for on top of the request of a past run.
    ///
    /// # Errors
    /// As [`Flags::request`].
    pub fn request_on_top(&self) -> Result<RunRequest, Failure> {
        Ok(RunRequest {
            keep_going: self.keep_going,
            replace_outputs: self.replace_outputs,
            lock: self.lock.clone(),
            ..args::request_on_top(&self.target, &self.resources, &self.cache, &self.nodes)?
        })
    }
}

impl Printed {
    /// Those who show the run.
    fn listeners(self, color: ColorChoice) -> Vec<Box<dyn Reporter>> {
        let verbosity = match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        };
        reporters(color, verbosity, self.json, self.logs)
    }
}
