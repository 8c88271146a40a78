//! `runner exec`: runs a workflow.

use std::path::Path;

use super::Outcome;
use super::screen::ColorChoice;
use super::start::{Flags, start};
use crate::ops::open::prepare;

/// Run a workflow; nodes with a cached result are not run again
///
/// Standard output carries the workflow's outputs as TOML (with --json: events as JSON Lines) and nothing
/// else; everything for people goes to standard error.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner exec workflow.toml
  runner exec workflow.toml --project shop --domain production -i day=2026-01-31
  runner exec workflow.toml --until train -j 4 --keep-going
  runner exec workflow.toml --watch")]
pub struct Args {
    #[command(flatten)]
    flags: Flags,
    /// Run again whenever a file that the run depends on changes, until Ctrl-C
    ///
    /// Watched are the workflow file, its imports and sub-workflows, sources of tasks, and input files. A change
    /// during a run starts another run after it.
    #[arg(long, help_heading = "Running")]
    watch: bool,
}

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    match args.watch {
        true => super::watch::run(&args.flags, home, color),
        false => start(&args.flags, prepare(args.flags.request())?, home, color),
    }
}
