//! `runner check`: validates workflows and does nothing else.

use std::path::PathBuf;

use super::open::open;
use super::screen::{ColorChoice, note};
use super::{Failure, Outcome, code};

/// Check workflow files; every mistake is shown at once
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  runner check workflows/*.toml")]
pub struct Args {
    /// The workflow files
    #[arg(value_name = "WORKFLOW", required = true)]
    workflows: Vec<PathBuf>,
}

pub fn run(args: Args, color: ColorChoice) -> Outcome {
    let mut wrong = false;
    for path in &args.workflows {
        match open(path, &[], color) {
            Ok(opened) => {
                let n = opened.workflow.size;
                let nodes = if n == 1 { "node" } else { "nodes" };
                note(&format!("{}: good, {n} {nodes}", path.display()));
            }
            Err(Failure { .. }) => wrong = true,
        }
    }
    if wrong { Err(Failure::silent(code::USAGE)) } else { Ok(()) }
}
