//! `runner schedule show`: one schedule and the outcomes of its instants.

use std::path::Path;

use jiff::Zoned;

use crate::cli::Outcome;
use crate::cli::screen::{ColorChoice, print, print_text};
use crate::ops::schedules::overview;
use crate::view::text::schedules::show;

/// Show a schedule and what became of its instants, newest first
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner schedule show nightly
  runner schedule show etl/nightly --limit 100
  runner schedule show nightly --json | jq '.instants[].became'")]
pub struct Args {
    /// A schedule of a workflow file in the current folder or known to the home: `<workflow>/<name>`, or the name alone
    /// where it is unique
    #[arg(value_name = "NAME")]
    schedule: String,
    /// How many instants to show
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let view = overview::show(home, &args.schedule, args.limit)?;
    if args.json {
        print(&(serde_json::to_string(&view).unwrap_or_default() + "\n"));
    } else {
        print_text(show(&view, color.on_stdout(), &Zoned::now()));
    }
    Ok(())
}
