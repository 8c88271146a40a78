//! `runner cancel`: ends a run of any process.

use std::path::Path;

use super::Outcome;
use super::args::RunArg;
use super::screen::{ColorChoice, note};
use crate::core::counted::counted;
use crate::ops::cancel::{self, CancelOutcome};

/// End a run that is under way, as Ctrl-C does where it runs
///
/// The run may be one of a shell, of cron or of `runner serve`. Running tasks are stopped, each within its grace;
/// cancelling once more kills them at once. What has succeeded stays in the cache, and `runner retry` goes on from
/// there.
///
/// Of a run whose runner is gone, detached or killed, the jobs that it left are ended.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner cancel @last
  runner cancel k3v9 --wait")]
pub struct Args {
    #[command(flatten)]
    of: RunArg,
    /// Wait until the run has ended
    #[arg(long)]
    wait: bool,
}

pub fn run(args: Args, home: Option<&Path>, _color: ColorChoice) -> Outcome {
    let run = match cancel::cancel(home, &args.of.run)? {
        CancelOutcome::Asked(run) => run,
        CancelOutcome::Ended { run, jobs, rest } => {
            let rest = match rest {
                0 => String::new(),
                rest => format!(
                    "; {} in their grace: `runner cancel {run}` once more kills them",
                    counted(rest as u64, "job")
                ),
            };
            note(&format!("run {run} is cancelled: {} ended{rest}", counted(jobs as u64, "job")));
            return Ok(());
        }
    };
    match args.wait {
        false => {
            note(&format!("run {run} is asked to end; `runner cancel {run}` once more kills what it runs"));
        }
        true => note(&format!("run {run} has ended: {}", cancel::wait(home, run)?)),
    }
    Ok(())
}
