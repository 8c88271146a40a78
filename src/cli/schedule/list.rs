//! `runner schedule list`: schedules with their next instant and the outcome of the last one.

use std::path::{Path, PathBuf};

use jiff::Zoned;

use crate::cli::Outcome;
use crate::cli::screen::{ColorChoice, columns, note, print, print_text};
use crate::ops::schedules::overview::{ScheduleList, list};
use crate::view::text::schedules::render;

/// List schedules, with their next instant and the last result
///
/// Without files these are the schedules of the current folder and all that the home knows: those that a daemon has served,
/// and those that are paused.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner schedule list
  runner schedule list /srv/etl
  runner schedule list --json | jq 'select(.consecutive_failures > 0)'")]
pub struct Args {
    /// Workflow files, or folders of them [default: the current folder, and what the home knows]
    #[arg(value_name = "WORKFLOW|DIR")]
    paths: Vec<PathBuf>,
    /// Print one line of JSON for each schedule
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let ScheduleList { rows, broken } = list(home, &args.paths)?;
    broken.iter().for_each(super::warn_of);
    if args.json {
        let line = |row| serde_json::to_string(row).map(|line| line + "\n").unwrap_or_default();
        print(&rows.iter().map(line).collect::<String>());
        return Ok(());
    }
    if rows.is_empty() {
        note("there are no schedules: no workflow file here has [[schedules]], and the home knows none");
        return Ok(());
    }
    print_text(render(&rows, color.on_stdout(), columns(), &Zoned::now()));
    match rows.iter().filter(|row| !row.served).count() {
        0 => {}
        count if count == rows.len() => note("no daemon serves them: `runner serve` runs them"),
        count => note(&format!("no daemon serves {count} of them: `runner serve` runs them")),
    }
    Ok(())
}
