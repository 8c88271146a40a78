//! `runner rerun`: the request of a past run, made again.

use std::path::Path;

use super::Outcome;
use super::screen::ColorChoice;
use super::start::{FlagsOnTop, start};
use crate::ops::retry::rerun;

/// Run the request of a past run again: same workflow, inputs and flags
///
/// Every node is looked up in the cache; `retry` also reuses what succeeded without being cached. The workflow file and
/// input files are read as they are now.
///
/// All flags of `exec` work: -i and --inputs replace single inputs, --set and --resource add to those of the run, and
/// any of --only, --from, --until and --skip replaces its selection.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner rerun @last
  runner rerun @-2 -i rounds=5
  runner rerun k3v9 --domain production --dry-run")]
pub struct Args {
    #[command(flatten)]
    again: FlagsOnTop,
}

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let newer = args.again.flags.request_on_top()?;
    let name = newer.workflow.to_string_lossy().into_owned();
    let prepared = rerun(home, &name, newer)?;
    start(&args.again.flags, prepared, home, color)
}
