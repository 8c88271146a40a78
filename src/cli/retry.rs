//! `runner retry`: re-runs what failed or was never reached in a run.

use std::path::Path;

use super::screen::{ColorChoice, note};
use super::start::{Flags, start};
use super::{Outcome, args};
use crate::ops::retry::{Retry, retry};
use crate::view::text::inert;

/// Re-run what failed or was never reached
///
/// The workflow file is read as it is now, so that you can correct it first. Inputs, project, domain, selection,
/// --set, --resource, --jobs, --cache and --keep-going are those of the run. Results of nodes and elements that
/// succeeded are reused, whether their tasks are cached or not, unless a definition or an input has changed.
///
/// All flags of `exec` work: -i and --inputs replace single inputs, --set and --resource add to those of the run, and
/// any of --only, --from, --until and --skip replaces its selection. --overwrite and --cache wo or off reuse nothing
/// of what they name.
#[derive(clap::Args)]
#[command(
    mut_arg("workflow", args::in_place_of_workflow),
    mut_arg("project", |arg| args::replaced(arg, "project")),
    mut_arg("domain", |arg| args::replaced(arg, "domain")),
    mut_arg("jobs", |arg| arg.help("How many nodes may run at once [default: $RUNNER_JOBS, else as in the run]")),
    after_help = "\
Examples:
  runner retry @last-failed
  runner retry k3v9 -i rounds=5 --keep-going
  runner retry @last-failed --dry-run"
)]
pub struct Args {
    #[command(flatten)]
    flags: Flags,
}

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let newer = args.flags.request_on_top()?;
    let name = newer.workflow.to_string_lossy().into_owned();
    match retry(home, &name, newer)? {
        Retry::Ready(prepared) => start(&args.flags, *prepared, home, color),
        Retry::NothingToDo(run) => {
            note(&format!(
                "run {} succeeded: there is nothing to retry; `runner exec {}` runs the workflow again",
                run.id,
                inert(&run.path)
            ));
            Ok(())
        }
    }
}
