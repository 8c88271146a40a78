//! `runner rerun`: the request of a past run, made again.

use std::path::Path;

use super::screen::ColorChoice;
use super::start::{Flags, start};
use super::{Outcome, args};
use crate::ops::retry::rerun;

/// Make the request of a past run again: the same workflow, inputs and flags, all nodes through the cache
///
/// The workflow file and files among the inputs are read as they are now. All flags of `exec` are taken: -i and --inputs
/// replace inputs one by one, --set and --resource are added to those of the run, one of --only, --from, --until and
/// --skip replaces its selection. `retry` takes over what had succeeded instead, cached or not.
#[derive(clap::Args)]
#[command(
    mut_arg("workflow", args::in_place_of_workflow),
    mut_arg("project", |arg| args::replaced(arg, "project")),
    mut_arg("domain", |arg| args::replaced(arg, "domain")),
    after_help = "\
Examples:
  runner rerun @last
  runner rerun @-2 -i rounds=5
  runner rerun k3v9 --domain production --dry-run"
)]
pub struct Args {
    #[command(flatten)]
    flags: Flags,
}

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let newer = args.flags.request()?;
    let name = newer.workflow.to_string_lossy().into_owned();
    let prepared = rerun(home, &name, newer)?;
    start(&args.flags, prepared, home, color)
}
