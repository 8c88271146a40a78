//! `runner cache evict`: forgets results that the user picks.

use std::path::Path;

use super::find::Which;
use super::gc::pending;
use super::{Failure, Outcome};
use crate::cli::screen::{note, print, print_text};
use crate::ops::collect::{Evicted, evict};
use crate::ops::results::StoredResult;
use crate::view::text::{named, size};

/// Remove results, so that their tasks run again
///
/// Removes the results that match all given conditions and, if KEYs are given, have one of them.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner cache evict --task weather.clean
  runner cache evict --project shop --domain staging
  runner cache evict 3f9a0c1d2e b409")]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Only the results with these keys, or unique beginnings of them
    #[arg(value_name = "KEY")]
    keys: Vec<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args, home: Option<&Path>) -> Outcome {
    let filter = args.which.filter();
    if filter.is_empty() && args.keys.is_empty() {
        return Err(Failure::usage(
            "which results? Name keys, --task, --project or --domain; `runner cache ls` lists results, and \
             `runner cache gc --max-size 0 --keep-runs 0` forgets everything",
        ));
    }
    let evicted = evict(home, &filter, &args.keys)?;
    evicted.warnings.iter().for_each(|warning| note(&format!("warning: {warning}")));
    if args.json {
        print(&format!("{}\n", evicted.to_json()));
        return Ok(());
    }
    let Evicted { picked, removed, collected, .. } = evicted;
    let rows: Vec<StoredResult> = picked.iter().map(StoredResult::new).collect();
    let files = match collected.is_complete() {
        true => format!("{} freed", size(collected.freed())),
        false => pending(&collected),
    };
    print_text(format!("{} forgotten, {files}\n", named(removed as u64, "result")));
    let named: u64 = rows.iter().map(|row| row.size).sum();
    if collected.is_complete() && collected.freed() < named {
        note("files that other results or the newest runs need stay");
    }
    Ok(())
}
