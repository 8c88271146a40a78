//! `runner diff`: what changed between two runs.

use std::path::Path;

use super::Outcome;
use super::screen::{ColorChoice, print, print_text};
use crate::core::zone::local_now;
use crate::ops::diff::diff;

/// Show what changed between two runs, and what changed first
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner diff @last                  with the run of the same workflow before it
  runner diff @-2 @last
  runner diff k3v9 m27q --json | jq '.nodes[] | select(.role == \"cause\")'")]
pub struct Args {
    /// The earlier run: an id, a unique prefix of one, @last, @last-failed, or @-2 for the one before the last;
    /// alone, it is compared with the previous run of its workflow
    #[arg(value_name = "RUN")]
    run: String,
    /// The later run
    #[arg(value_name = "RUN")]
    other: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let diff = diff(home, &args.run, args.other.as_deref())?;
    match args.json {
        true => print(&format!("{}\n", diff.to_json())),
        false => print_text(diff.render(color.on_stdout(), &local_now())),
    }
    Ok(())
}
