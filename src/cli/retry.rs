//! `runner retry`: re-runs what failed or was never reached in a run.

use std::path::Path;

use super::Outcome;
use super::screen::{ColorChoice, note};
use super::start::{FlagsOnTop, start};
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
#[command(after_help = "\
Examples:
  runner retry @last-failed
  runner retry k3v9 -i rounds=5 --keep-going
  runner retry @last-failed --dry-run")]
pub struct Args {
    #[command(flatten)]
    again: FlagsOnTop,
}

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let newer = args.again.flags.request_on_top()?;
    let name = newer.workflow.to_string_lossy().into_owned();
    match retry(home, &name, newer)? {
        Retry::Ready(prepared) => start(&args.again.flags, *prepared, home, color),
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
