//! `runner runs`: lists past and present runs.

use std::path::Path;

use jiff::Zoned;

use super::screen::{ColorChoice, note, print};
use super::session::View;
use super::{Failure, Outcome};
use crate::history::{self, Run};
use crate::report::runs_table::{RunRow, render};

/// List runs, the newest first
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner runs
  runner runs --limit 100 --json | jq -r 'select(.status == \"failed\").run'")]
pub struct Args {
    /// How many runs to list
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Print one line of JSON for each run
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let view = View::open(home)?;
    let unreadable = |error| Failure::store(format!("the history cannot be read: {error}"));
    let runs = match &view.db {
        Some(db) => history::latest(db, args.limit).map_err(unreadable)?,
        None => Vec::new(),
    };
    let rows: Vec<RunRow> = runs.into_iter().map(|run| row(&view, run)).collect();
    if args.json {
        let line = |row| serde_json::to_string(row).map(|line| line + "\n").unwrap_or_default();
        print(&rows.iter().map(line).collect::<String>());
    } else if rows.is_empty() {
        note("there is no run yet: begin with `runner exec WORKFLOW`");
    } else {
        print(&render(&rows, color.on_stdout(), &Zoned::now()));
    }
    Ok(())
}

fn row(view: &View, run: Run) -> RunRow {
    let status = view.status(&run);
    let duration = run.finished.map(|end| end.as_millisecond() - run.started.as_millisecond());
    RunRow {
        id: run.id,
        workflow: run.workflow,
        project: run.project,
        domain: run.domain,
        status,
        started: run.started,
        duration_ms: duration.map(|ms| u64::try_from(ms).unwrap_or(0)),
        counts: run.counts,
        saved_ms: run.saved_ms,
    }
}
