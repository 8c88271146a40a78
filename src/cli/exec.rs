//! `runner exec`: runs a workflow.

use std::path::Path;

use jiff::Timestamp;

use super::screen::ColorChoice;
use super::start::{Flags, again, start, start_telling};
use super::{Failure, Outcome, args};
use crate::core::schedule::{ScheduledRun, Trigger};
use crate::core::time_arg::{Edge, parse};
use crate::ops::prepare::{PreparedRun, prepare};
use crate::ops::receipt::receipt_key;
use crate::ops::schedules::find;

/// Run a workflow; nodes with a cached result are not run again
///
/// Standard output carries the workflow's outputs as TOML (with --json: events as JSON Lines) and nothing
/// else; everything for people goes to standard error.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner exec workflow.toml
  runner exec workflow.toml --project shop --domain production -i rounds=5
  runner exec workflow.toml --until train -j 4 --keep-going
  runner exec lib/text.toml --task hash -i text=hello
  runner exec workflow.toml --watch")]
pub struct Args {
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    one: args::OneTask,
    /// Run again whenever a file that the run depends on changes, until Ctrl-C
    ///
    /// Watched are the workflow file, its imports and sub-workflows, sources of tasks, and input files. A change
    /// during a run starts another run after it.
    #[arg(long, help_heading = "Running")]
    watch: bool,
    /// Take inputs, project and domain from this schedule of the workflow; what the other flags give wins
    #[arg(long, value_name = "NAME", conflicts_with = "watch", help_heading = "Running")]
    schedule: Option<String>,
    /// The instant of the schedule: RFC 3339, or 2026-11-01T02:00 in its zone [default: the newest that has passed]
    #[arg(long, value_name = "T", requires = "schedule", help_heading = "Running")]
    scheduled_at: Option<String>,
    /// Tell those whom [[notify]] of the workflow and settings files names, before this ends; faults change no exit code
    #[arg(long, conflicts_with = "watch", help_heading = "Running")]
    notify: bool,
}

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let mut request = args.one.of(args.flags.request()?);
    if args.watch {
        return super::watch::run(&args.flags, &request, home, color);
    }
    if let Some(name) = &args.schedule {
        let at =
            args.scheduled_at.as_deref().map(|text| instant(text, name, &request.workflow)).transpose()?;
        request.scheduled = Some(ScheduledRun { schedule: name.clone(), at });
        request.trigger = Trigger::Schedule;
    }
    if args.notify && !args.flags.dry_run {
        return start_telling(&args.flags, request, home, color);
    }
    let mut receipt = None;
    if !args.flags.dry_run
        && let Some(key) = receipt_key(&request)
    {
        match again(&args.flags, key, &request.workflow, home, color) {
            Ok(outcome) => return outcome,
            Err(pending) => receipt = Some(pending),
        }
    }
    let prepared = PreparedRun { receipt, ..prepare(request)? };
    start(&args.flags, prepared, home, color)
}

/// The instant that `--scheduled-at` means, in the zone of the schedule.
fn instant(text: &str, schedule: &str, workflow: &Path) -> Result<Timestamp, Failure> {
    if let Ok(instant) = text.parse() {
        return Ok(instant);
    }
    let zone = find(schedule, &[workflow.to_owned()])?.schedule().rhythm.zone();
    parse(text, Edge::Start, &Timestamp::now().to_zoned(zone))
        .map_err(|problem| Failure::usage(format!("--scheduled-at: {problem}")))
}
