//! `runner cache ls`: lists stored results.

use std::cmp::Reverse;
use std::path::Path;
use std::time::Duration;

use super::Outcome;
use super::find::Which;
use super::rows::table;
use crate::cli::screen::{ColorChoice, note, print, print_text};
use crate::ops::cap::{parse_age, parse_size};
use crate::ops::results::{self, ResultQuery, StoredResult};
use crate::view::text::count;

/// List stored results, last used first
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner cache ls --task weather.clean
  runner cache ls --sort size --limit 10
  runner cache ls --older-than 30d --json | jq -r .key")]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Only those that were not used for longer than this: 30d, 12h
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    older_than: Option<Duration>,
    /// Only those whose files are larger than this: 100MB, 1GiB
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    larger_than: Option<u64>,
    /// In which order
    #[arg(long, value_name = "BY", default_value = "used")]
    sort: Sort,
    /// In the opposite order
    #[arg(long)]
    reverse: bool,
    /// How many to list [default: 50; all with --json]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// List all
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Print one line of JSON for each result
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Sort {
    /// The last used first
    Used,
    /// The newest first
    Created,
    /// The largest first
    Size,
    /// What took longest first
    Duration,
    /// By the task's name
    Task,
}

/// Default number of results listed for people.
const LIMIT: usize = 50;

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let query = ResultQuery {
        filter: args.which.filter(),
        older_than: args.older_than,
        larger_than: args.larger_than,
    };
    let Some(mut rows) = results::list(home, &query)? else {
        note("nothing is stored yet: begin with `runner exec WORKFLOW`");
        return Ok(());
    };
    sort(&mut rows, args.sort);
    if args.reverse {
        rows.reverse();
    }
    let limit = match (args.limit, args.all || args.json) {
        (Some(limit), _) => limit,
        (None, true) => usize::MAX,
        (None, false) => LIMIT,
    };
    let more = rows.len().saturating_sub(limit);
    rows.truncate(limit);
    if args.json {
        print(&rows.iter().map(|row| format!("{}\n", row.json())).collect::<String>());
    } else if rows.is_empty() && more == 0 {
        note(&results::none_in(home, &query.filter)?);
    } else {
        print_text(table(&rows, color.on_stdout()));
        if more > 0 {
            note(&format!("{} more: --all lists them, --task and --project pick some", count(more as u64)));
        }
    }
    Ok(())
}

fn sort(rows: &mut [StoredResult], by: Sort) {
    match by {
        Sort::Used => rows.sort_by_key(|row| Reverse((row.used, row.created))),
        Sort::Created => rows.sort_by_key(|row| Reverse(row.created)),
        Sort::Size => rows.sort_by_key(|row| Reverse(row.size)),
        Sort::Duration => rows.sort_by_key(|row| Reverse(row.duration_ms)),
        Sort::Task => rows.sort_by(|a, b| a.task.cmp(&b.task).then(b.used.cmp(&a.used))),
    }
}
