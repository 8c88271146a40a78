//! `runner cache gc`: removes what is worth least; and the same at the end of a run that passed the cap.

use std::path::Path;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::json;

use super::Outcome;
use super::rows::table;
use crate::cli::args::RemoteFlags;
use crate::cli::screen::{ColorChoice, note, print, print_text};
use crate::core::clock::millis;
use crate::core::event::VERSION;
use crate::core::run_id::RunId;
use crate::ops::cap::{self, Cap, parse_age, parse_cap};
use crate::ops::collect::{
    AfterRun, Collect, Collected, KEEP_RUNS, Limits, UNCLAIMED_FILE, collect, document, results_of,
};
use crate::ops::remote::{RemoteLimits, RemoteSwept, here, sweep};
use crate::view::text::{count, named, size};

/// Remove the least valuable results until the rest fits
///
/// Large results that save little time and were not used for long go first. What the newest runs of each workflow need
/// always stays. Safe while other runs are going on.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner cache gc --dry-run
  runner cache gc --max-size 5GiB --max-age 30d
  runner cache gc --max-size 0 --keep-runs 0     # forget everything
  runner cache gc --remote --max-age 30d         # in the shared cache")]
pub struct Args {
    /// How much to keep: 10GiB, 500MB, off [default: $RUNNER_CACHE_MAX_SIZE, else 20GiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_cap)]
    max_size: Option<Cap>,
    /// Remove results and runs unused for longer than this, whatever the size: 30d, 12h
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    max_age: Option<Duration>,
    /// How many of the newest runs of each workflow keep everything they need
    #[arg(long, value_name = "N", default_value_t = KEEP_RUNS)]
    keep_runs: usize,
    /// Collect the shared cache instead: results unused for longer than --max-age, then until the rest fits --max-size
    #[arg(long = "remote", conflicts_with = "keep_runs")]
    of_remote: bool,
    /// Only show what would be removed
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    if args.of_remote {
        return of_remote(&args);
    }
    let size = match args.max_size {
        Some(Cap(size)) => size,
        None => cap::from_environment()?,
    };
    let age = args.max_age.map(millis);
    let (keep_runs, dry_run) = (args.keep_runs, args.dry_run);
    let (collected, warnings) = collect(home, Collect { limits: Limits { size, age }, keep_runs, dry_run })?;
    warnings.iter().for_each(|warning| note(&format!("warning: {warning}")));
    let Some(collected) = collected else {
        note("nothing is stored yet");
        return Ok(());
    };
    if args.json {
        print(&format!("{}\n", document(&collected, args.dry_run)));
    } else {
        print_text(told(&collected, args.dry_run, size, color.on_stdout()));
    }
    Ok(())
}

/// Collects the shared cache.
fn of_remote(args: &Args) -> Outcome {
    let cache = here(&RemoteFlags::default().choice()?)?;
    let age = args.max_age.and_then(|age| SignedDuration::try_from(age).ok());
    let limits = RemoteLimits { age, size: args.max_size.and_then(|Cap(size)| size) };
    let RemoteSwept { entries, blobs, freed, left } = sweep(&cache, limits, args.dry_run)?;
    if args.json {
        let document = json!({
            "v": VERSION, "remote": &*cache.url, "dry_run": args.dry_run, "entries": entries, "blobs": blobs,
            "freed": freed, "left": left,
        });
        print(&format!("{document}\n"));
        return Ok(());
    }
    let done = if args.dry_run { "would be removed" } else { "removed" };
    print_text(format!(
        "{}: {} and {} {done}, {} freed; {} stay\n",
        cache.url,
        named(entries, "result"),
        named(blobs, "file"),
        size(freed),
        size(left)
    ));
    Ok(())
}

/// Tells people of a collection at the end of a run.
pub fn tell_after_run(AfterRun { cap, collected }: &AfterRun) {
    if !collected.plan.results.is_empty() || !collected.plan.runs.is_empty() {
        note(&format!("cache: over {}, {}", size(*cap), summary(collected, false)));
    }
    if collected.plan.after > *cap {
        note(&format!(
            "cache: the newest runs need {}, more than ${} allows ({})",
            size(collected.plan.after),
            cap::VARIABLE,
            size(*cap)
        ));
    }
}

/// `3 results and 1 run removed, 2.4 GiB freed`.
pub fn summary(collected: &Collected, dry_run: bool) -> String {
    let results = named(collected.plan.results.len() as u64, "result");
    let runs = match collected.plan.runs.len() {
        0 => String::new(),
        n => format!(" and {}", named(n as u64, "run")),
    };
    match dry_run {
        true => format!("{results}{runs} would be removed, {} freed", size(collected.total())),
        false if collected.is_complete() => {
            format!("{results}{runs} removed, {} freed", size(collected.freed()))
        }
        false => format!("{results}{runs} removed; {}", pending(collected)),
    }
}

/// When the files go that could not be removed yet.
pub fn pending(collected: &Collected) -> String {
    let now = match collected.freed() {
        0 => String::new(),
        bytes => format!("{} freed, ", size(bytes)),
    };
    let freed = format!("{now}{}", size(collected.pending));
    match &collected.inventory.live[..] {
        [] => format!("{freed} are freed when what uses the store has ended"),
        [run] => format!("{freed} are freed when run {run} has ended"),
        runs => {
            let runs: Vec<&str> = runs.iter().map(RunId::as_str).collect();
            format!("{freed} are freed when runs {} have ended", runs.join(", "))
        }
    }
}

fn told(collected: &Collected, dry_run: bool, limit: Option<u64>, color: bool) -> String {
    let mut text = String::new();
    let rows = results_of(collected);
    if dry_run && !rows.is_empty() {
        text.push_str(&table(&rows, color));
    }
    if dry_run && !collected.plan.runs.is_empty() {
        text.push_str(&format!("runs: {}\n", collected.runs().collect::<Vec<_>>().join(" ")));
    }
    let left = size(collected.plan.after);
    text.push_str(&match limit.filter(|limit| collected.plan.after > *limit) {
        None => format!("{}; {left} stay\n", summary(collected, dry_run)),
        Some(limit) => format!(
            "{}; {left} stay, more than {}: the newest runs need them (--keep-runs)\n",
            summary(collected, dry_run),
            size(limit)
        ),
    });
    let unclaimed = &collected.inventory.unclaimed;
    if !unclaimed.is_empty() {
        text.push_str(&format!(
            "{} files ({}) and {} runs are from before the database was lost and stay: remove {} in the home folder to \
             let them go\n",
            count(unclaimed.blobs.len() as u64),
            size(collected.inventory.unclaimed_size()),
            count(unclaimed.runs.len() as u64),
            UNCLAIMED_FILE,
        ));
    }
    text
}
