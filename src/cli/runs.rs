//! `runner runs`: lists past and present runs, all or those that are asked for.

use std::path::Path;

use clap::ValueEnum;
use jiff::Zoned;

use super::screen::{ColorChoice, columns, note, print, print_text};
use super::{Failure, Outcome};
use crate::core::schedule::Trigger;
use crate::core::time_arg::{Edge, parse};
use crate::core::zone::local_now;
use crate::ops::inspect::{ABANDONED, DETACHED, INTERRUPTED, RUNNING, RunFilter, runs};
use crate::view::csv;
use crate::view::text::runs::render;

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
    /// Only runs of this schedule: `<workflow>/<name>`, or the name alone
    #[arg(long, value_name = "NAME")]
    schedule: Option<String>,
    /// Only runs that began for this reason
    #[arg(long, value_name = "WHY")]
    trigger: Option<TriggerChoice>,
    /// Only runs in which nothing was executed and nothing failed
    #[arg(long, conflicts_with = "no_no_ops")]
    no_op: bool,
    /// Only runs in which something was executed or failed
    #[arg(long)]
    no_no_ops: bool,
    /// Print one line of JSON for each run
    #[arg(long)]
    json: bool,
    /// Print a row of comma-separated values for each run
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum TriggerChoice {
    Manual,
    Schedule,
    #[value(name = "catch_up")]
    CatchUp,
    Backfill,
    Retry,
    Api,
}

impl From<TriggerChoice> for Trigger {
    fn from(choice: TriggerChoice) -> Self {
        match choice {
            TriggerChoice::Manual => Self::Manual,
            TriggerChoice::Schedule => Self::Schedule,
            TriggerChoice::CatchUp => Self::CatchUp,
            TriggerChoice::Backfill => Self::Backfill,
            TriggerChoice::Retry => Self::Retry,
            TriggerChoice::Api => Self::Api,
        }
    }
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum StatusChoice {
    Succeeded,
    Failed,
    Cancelled,
    Detached,
    Running,
    Interrupted,
    Abandoned,
}

impl StatusChoice {
    fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Detached => DETACHED,
            Self::Running => RUNNING,
            Self::Interrupted => INTERRUPTED,
            Self::Abandoned => ABANDONED,
        }
    }
}

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let now = local_now();
    let list = runs(home, &filter(&args, &now)?, args.limit)?;
    let asked = words(&args);
    if args.json {
        let line = |row| serde_json::to_string(row).map(|line| line + "\n").unwrap_or_default();
        print(&list.rows.iter().map(line).collect::<String>());
    } else if args.csv {
        print(&csv::runs(&list.rows));
    } else if !list.rows.is_empty() {
        print_text(render(&list.rows, &asked, color.on_stdout(), columns(), &now));
    } else if !list.has_history || asked.is_empty() {
        note("there is no run yet: begin with `runner exec WORKFLOW`");
    } else {
        let hint = list.near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        note(&format!("no runs match: {asked}{hint}"));
    }
    Ok(())
}

fn filter(args: &Args, now: &Zoned) -> Result<RunFilter, Failure> {
    let instant = |flag: &str, text: &Option<String>, edge| {
        let parsed = text.as_ref().map(|text| parse(text, edge, now)).transpose();
        parsed.map_err(|problem| Failure::usage(format!("{flag}: {problem}")))
    };
    let failed = args.failed.then_some(StatusChoice::Failed);
    Ok(RunFilter {
        workflow: args.workflow.clone(),
        project: args.project.clone(),
        domain: args.domain.clone(),
        statuses: args.status.iter().copied().chain(failed).map(|status| status.name().into()).collect(),
        since: instant("--since", &args.since, Edge::Start)?,
        until: instant("--until", &args.until, Edge::End)?,
        schedule: args.schedule.clone(),
        trigger: args.trigger.map(Trigger::from),
        no_op: (args.no_op || args.no_no_ops).then_some(args.no_op),
        ..RunFilter::default()
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
        named("schedule", &args.schedule),
        args.trigger
            .and_then(|trigger| trigger.to_possible_value())
            .map(|value| format!("trigger {}", value.get_name())),
        args.no_op.then(|| "no-ops".to_owned()),
        args.no_no_ops.then(|| "not no-ops".to_owned()),
        named("since", &args.since),
        named("until", &args.until),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
