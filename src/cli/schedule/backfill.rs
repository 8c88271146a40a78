//! `runner schedule backfill`: past instants of a schedule, run in this process.

use std::io::stderr;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use crate::cli::args::from_environment;
use crate::cli::runtime::block_on;
use crate::cli::screen::{ColorChoice, columns, note, print};
use crate::cli::{Failure, Outcome, code, signals};
use crate::core::background::begin;
use crate::core::event::VERSION;
use crate::core::reporter::Reporter;
use crate::core::time_arg::Edge;
use crate::ops;
use crate::ops::schedules::backfill::{
    Backfill, BackfillRequest, BackfillSummary, Hearers, MAX_UNCONFIRMED, Stop,
};
use crate::ops::schedules::zone_of;
use crate::view::Verbosity;
use crate::view::model::schedule_row::InstantRun;
use crate::view::text::count;
use crate::view::text::plain::Plain;
use crate::view::text::schedules::{instant_run, local};

/// Run past instants that have no successful run
///
/// They run in this process, oldest first, with the schedule's inputs, project and domain. Each is claimed before it runs, so
/// two backfills share the work, and one that was killed is gone on with by the next. A failure ends it, unless -k is given.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner schedule backfill nightly --from 2026-11-01 --to 2026-11-07
  runner schedule backfill nightly --from 2026-11-01 --to 2026-11-07 -n
  runner schedule backfill nightly --from 2026-01-01 --to 2026-06-30 -j 4 -k
  runner schedule backfill nightly --from 2026-11-01 --to 2026-11-07 --all")]
pub struct Args {
    /// A schedule: `<workflow>/<name>`, or the name alone where it is unique
    #[arg(value_name = "NAME")]
    schedule: String,
    /// The first instant: RFC 3339, or 2026-11-01 and 2026-11-01T02:00 in the schedule's zone
    #[arg(long, value_name = "T")]
    from: String,
    /// The last instant, in the same forms; a date alone means the end of that day
    #[arg(long, value_name = "T")]
    to: String,
    /// Also instants that have a successful run
    #[arg(long)]
    all: bool,
    /// Begin with the newest instant
    #[arg(long)]
    newest_first: bool,
    /// How many runs may go on at once
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    jobs: u32,
    /// List the instants; run nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// After a failure, still run the other instants
    #[arg(short, long)]
    keep_going: bool,
    /// Run more than 1,000 instants without asking back
    #[arg(long)]
    yes: bool,
    /// Print one line of JSON for each instant
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let zone = zone_of(home, &args.schedule)?;
    let wanted = BackfillRequest {
        from: super::instant("--from", &args.from, Edge::Start, &zone)?,
        to: super::instant("--to", &args.to, Edge::End, &zone)?,
        all: args.all,
        newest_first: args.newest_first,
        jobs: args.jobs as usize,
        keep_going: args.keep_going,
    };
    if wanted.to < wanted.from {
        return Err(Failure::usage("--to lies before --from: there is no instant between them"));
    }
    let backfill = Backfill::new(home, &args.schedule, wanted, from_environment()?)?;
    let instants = backfill.instants();
    if args.dry_run {
        list(args, instants, backfill.schedule(), &zone);
        return Ok(());
    }
    if instants.is_empty() {
        if !args.json {
            note(&nothing(args));
        }
        return Ok(());
    }
    if instants.len() > MAX_UNCONFIRMED && !args.yes {
        let count = count(instants.len() as u64);
        return Err(Failure::usage(format!(
            "{count} instants would run: add --yes if that is meant, or look with -n"
        )));
    }
    let summary = work(args, backfill, home, &zone, color)?;
    if !args.json {
        note(&words(&summary));
    }
    match summary.failed + summary.cancelled {
        0 => Ok(()),
        _ => Err(Failure::silent(code::FAILED)),
    }
}

/// Runs the backfill; a signal ends what runs, and nothing further begins.
fn work(
    args: &Args,
    backfill: Backfill,
    home: Option<&Path>,
    zone: &TimeZone,
    color: ColorChoice,
) -> Result<BackfillSummary, Failure> {
    let stop = Arc::new(Stop::default());
    let stopped = stop.clone();
    let (home, json, zone) = (home.map(Path::to_owned), args.json, zone.clone());
    let on_stderr = color.on_stderr();
    let run = move || {
        let listeners = || -> Vec<Box<dyn Reporter>> {
            // What failed, with the end of its log; several runs share the screen.
            vec![Box::new(Plain::new(stderr(), Verbosity::Quiet, TimeZone::system()))]
        };
        let ended = |run: &InstantRun, warnings: &[String]| {
            warnings.iter().for_each(|warning| note(&format!("warning: {warning}")));
            match json {
                true => print(&(serde_json::to_string(run).unwrap_or_default() + "\n")),
                false => note(&instant_run(run, &zone, on_stderr, columns())),
            }
        };
        backfill.run(home.as_deref(), &Hearers { listeners: &listeners, ended: &ended }, &stopped)
    };
    let summary = block_on(async {
        let mut interrupts = signals::listen();
        let work = begin("backfill", run);
        let mut work = work.map_err(|refused| ops::Error::no_thread(refused.error))?;
        loop {
            tokio::select! {
                done = &mut work => break Ok::<_, Failure>(done),
                Some(interrupt) = interrupts.recv() => stop.interrupt(interrupt),
            }
        }
    })??;
    let summary = summary.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    match stop.signal() {
        Some(signal) => {
            note(&words(&summary));
            Err(Failure::silent(128 + signal as u8))
        }
        None => Ok(summary),
    }
}

/// What `-n` prints.
fn list(args: &Args, instants: &[Timestamp], schedule: &str, zone: &TimeZone) {
    let line = |at: &Timestamp| match args.json {
        true => format!("{}\n", json!({ "v": VERSION, "schedule": schedule, "at": at })),
        false => format!("{}  {at}\n", local(*at, zone)),
    };
    print(&instants.iter().map(line).collect::<String>());
    if !args.json {
        match instants.len() {
            0 => note(&nothing(args)),
            1 => note("1 instant would run"),
            several => note(&format!("{} instants would run", count(several as u64))),
        }
    }
}

fn nothing(args: &Args) -> String {
    match args.all {
        true => "the schedule has no instant in that time".to_owned(),
        false => {
            "nothing to do: no instant of that time lacks a successful run (--all runs them again)".to_owned()
        }
    }
}

/// `5 succeeded, 1 failed, 2 left to another backfill, 3 not reached`.
fn words(summary: &BackfillSummary) -> String {
    let BackfillSummary { succeeded, failed, cancelled, left, not_reached } = summary;
    let parts = [
        (succeeded, "succeeded"),
        (failed, "failed"),
        (cancelled, "cancelled"),
        (left, "left to another backfill"),
        (not_reached, "not reached"),
    ];
    let parts =
        parts.iter().filter(|(n, _)| **n > 0).map(|(n, word)| format!("{} {word}", count(**n as u64)));
    parts.collect::<Vec<_>>().join(", ")
}
