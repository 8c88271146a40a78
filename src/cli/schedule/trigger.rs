//! `runner schedule trigger`: a run of a schedule by hand.

use std::path::Path;

use jiff::tz::TimeZone;

use crate::cli::args::from_environment;
use crate::cli::runtime::block_on;
use crate::cli::screen::{ColorChoice, columns, note, print, reporters};
use crate::cli::{Failure, Outcome, code, signals};
use crate::core::run_request::{GivenInputs, RunRequest};
use crate::core::schedule::Trigger;
use crate::core::time_arg::Edge;
use crate::ops::schedules::trigger::{TriggerAnswer, Triggering};
use crate::ops::schedules::zone_of;
use crate::ops::{Error, ErrorKind};
use crate::view::Verbosity;
use crate::view::model::schedule_row::InstantRun;
use crate::view::text::schedules::instant_run;

/// Run a schedule now, and print the id of the run
///
/// The daemon that serves the schedule runs it as it would an instant, with the schedule's inputs, project and domain. Without
/// one, or with --here, it runs in this process. It moves no instant, and works while the schedule is paused. It goes by
/// `overlap`: where the schedule skips and a run goes on, nothing is started, and the exit code is 1.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner schedule trigger nightly
  runner schedule trigger etl/nightly -i rounds=7 --wait
  runner schedule trigger nightly --at 2026-11-01T02:00 --here")]
pub struct Args {
    /// A schedule: `<workflow>/<name>`, or the name alone where it is unique
    #[arg(value_name = "NAME")]
    schedule: String,
    /// An input of the workflow, in place of the schedule's value
    #[arg(short, long = "input", value_name = "NAME=VALUE")]
    inputs: Vec<String>,
    /// The instant that the run is for: RFC 3339, or 2026-11-01T02:00 in the schedule's zone [default: now]
    #[arg(long, value_name = "T")]
    at: Option<String>,
    /// Run it in this process, even if a daemon serves it
    #[arg(long)]
    here: bool,
    /// Wait for the end of the run, and exit with 1 if it failed
    #[arg(long)]
    wait: bool,
    /// Print one line of JSON: the run, with its result where it was waited for
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let zone = zone_of(home, &args.schedule)?;
    let at = args.at.as_deref().map(|text| super::instant("--at", text, Edge::Start, &zone)).transpose()?;
    let dir = std::env::current_dir().unwrap_or_default();
    let given = match args.inputs.is_empty() {
        true => Vec::new(),
        false => vec![GivenInputs::Assignments { dir, values: args.inputs.clone() }],
    };
    let triggering = Triggering::new(
        home,
        &args.schedule,
        RunRequest { given, ..from_environment()? },
        at,
        Trigger::Manual,
    )?;
    // The id, as soon as it is sure that there is a run.
    let begins = || {
        if !args.json {
            print(&format!("{}\n", triggering.run));
        }
    };
    if !args.here
        && let TriggerAnswer::Accepted(request) = triggering.ask(home).map_err(refused)?
    {
        begins();
        return match (args.wait, args.json) {
            (true, _) => tell_end(args, &triggering.wait(home, request)?, &zone, color),
            (false, true) => {
                print_line(&triggering.begun());
                Ok(())
            }
            (false, false) => Ok(()),
        };
    }
    let ended = block_on(async {
        let interrupts = signals::listen();
        let listeners = reporters(color, Verbosity::Normal, false, false);
        let waits = |other| note(&format!("waiting for run {other}"));
        triggering.here(home, listeners, interrupts, waits, begins).await.map_err(refused)
    })??;
    for warning in &ended.warnings {
        note(&format!("warning: {warning}"));
    }
    if args.json {
        print_line(&ended.run);
    }
    match ended.signal {
        Some(signal) => Err(Failure::silent(128 + signal as u8)),
        None => result(&ended.run),
    }
}

/// A run that goes on is a failure of this verb, and not of its use.
fn refused(error: Error) -> Failure {
    match error.kind {
        ErrorKind::Conflict => Failure::new(code::FAILED, error.to_string()),
        _ => error.into(),
    }
}

fn tell_end(args: &Args, run: &InstantRun, zone: &TimeZone, color: ColorChoice) -> Outcome {
    match args.json {
        true => print_line(run),
        false => note(&instant_run(run, zone, color.on_stderr(), columns())),
    }
    result(run)
}

fn print_line(run: &InstantRun) {
    print(&(serde_json::to_string(run).unwrap_or_default() + "\n"));
}

fn result(run: &InstantRun) -> Outcome {
    if run.has_failed() { Err(Failure::silent(code::FAILED)) } else { Ok(()) }
}
