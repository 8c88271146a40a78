//! `runner cancel`: ends a run of any process.

use std::path::Path;

use super::Outcome;
use super::args::RunArg;
use super::screen::{ColorChoice, note};
use crate::ops::cancel;

/// End a run that is under way, as Ctrl-C does where it runs
///
/// The run may be one of a shell, of cron or of `runner serve`. Running tasks are stopped, each within its grace;
/// cancelling once more kills them at once. What has succeeded stays in the cache, and `runner retry` goes on from
/// there.
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
    let run = cancel::cancel(home, &args.of.run)?;
    match args.wait {
        false => {
            note(&format!("run {run} is asked to end; `runner cancel {run}` once more kills what it runs"));
        }
        true => note(&format!("run {run} has ended: {}", cancel::wait(home, run)?)),
    }
    Ok(())
}
