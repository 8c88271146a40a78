//! `runner runs`: lists past and present runs, all or those that are asked for.

use std::path::Path;

use jiff::Zoned;

use super::screen::{ColorChoice, columns, note, print};
use super::time_arg::{Edge, parse};
use super::{Failure, Outcome};
use crate::core::closest::closest;
use crate::ops::home::HomeReader;
use crate::storage::history::filter::{Filter, select, workflows};
use crate::storage::history::{INTERRUPTED, RUNNING, Run};
use crate::view::text::runs::{RunRow, render};

/// List runs, newest first
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner runs
  runner runs --workflow hash-strings --failed --since 2d
  runner runs --status running,interrupted
  runner runs --since 2026-11-01 --until 2026-11-07 --limit 100
  runner runs --json | jq -r 'select(.cached == 0).run'")]
pub struct Args {
    /// How many runs to list
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Only runs of this workflow
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// Only runs in this project
    #[arg(long, value_name = "P")]
    project: Option<String>,
    /// Only runs in this domain
    #[arg(long, value_name = "D")]
    domain: Option<String>,
    /// Only runs with these statuses, separated by commas
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    status: Vec<StatusChoice>,
    /// Only failed runs: short for --status failed
    #[arg(long, conflicts_with = "status")]
    failed: bool,
    /// Only runs started since then: 2d (days ago), 1h30m, 2026-11-01, 2026-11-01T08:00
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only runs started until then, in the same forms; a date alone means the end of that day
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// Print one line of JSON for each run
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum StatusChoice {
    Succeeded,
    Failed,
    Cancelled,
    Running,
    Interrupted,
}

impl StatusChoice {
    fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Running => RUNNING,
            Self::Interrupted => INTERRUPTED,
        }
    }
}

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let view = HomeReader::open(home)?;
    let now = Zoned::now();
    let filter = filter(&args, &now)?;
    let unreadable = |error| Failure::store(format!("the history cannot be read: {error}"));
    let runs = match &view.db {
        Some(db) => select(db, &filter, args.limit, |run| view.status(run)).map_err(unreadable)?,
        None => Vec::new(),
    };
    let rows: Vec<RunRow> = runs.into_iter().map(row).collect();
    let asked = words(&args);
    if args.json {
        let line = |row| serde_json::to_string(row).map(|line| line + "\n").unwrap_or_default();
        print(&rows.iter().map(line).collect::<String>());
    } else if !rows.is_empty() {
        print(&render(&rows, &asked, color.on_stdout(), columns(), &now));
    } else if view.db.is_none() || asked.is_empty() {
        note("there is no run yet: begin with `runner exec WORKFLOW`");
    } else {
        let known = view.db.as_ref().and_then(|db| workflows(db).ok()).unwrap_or_default();
        let hint = match &args.workflow {
            Some(name) if !known.contains(name) => closest(name, known.iter().map(String::as_str))
                .map(|near| format!("; did you mean `{near}`?")),
            _ => None,
        };
        note(&format!("no runs match: {asked}{}", hint.unwrap_or_default()));
    }
    Ok(())
}

fn filter(args: &Args, now: &Zoned) -> Result<Filter, Failure> {
    let instant = |flag: &str, text: &Option<String>, edge| {
        let parsed = text.as_ref().map(|text| parse(text, edge, now)).transpose();
        parsed.map_err(|problem| Failure::usage(format!("{flag}: {problem}")))
    };
    let failed = args.failed.then_some(StatusChoice::Failed);
    Ok(Filter {
        workflow: args.workflow.clone(),
        project: args.project.clone(),
        domain: args.domain.clone(),
        statuses: args.status.iter().copied().chain(failed).map(|status| status.name().into()).collect(),
        since: instant("--since", &args.since, Edge::Start)?,
        until: instant("--until", &args.until, Edge::End)?,
        before: None,
    })
}

/// What was asked for; empty for everything.
fn words(args: &Args) -> String {
    let mut statuses: Vec<_> = args.status.iter().map(|status| status.name()).collect();
    statuses.extend(args.failed.then_some("failed"));
    let statuses = (!statuses.is_empty()).then(|| statuses.join(" or "));
    let named = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name} {value}"));
    let parts = [
        named("workflow", &args.workflow),
        named("project", &args.project),
        named("domain", &args.domain),
        statuses,
        named("since", &args.since),
        named("until", &args.until),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn row(run: Run) -> RunRow {
    let duration = run.finished.map(|end| end.as_millisecond() - run.started.as_millisecond());
    RunRow {
        id: run.id,
        workflow: run.workflow,
        project: run.project,
        domain: run.domain,
        status: run.status,
        started: run.started,
        duration_ms: duration.map(|ms| u64::try_from(ms).unwrap_or(0)),
        counts: run.counts,
        saved_ms: run.saved_ms,
    }
}
