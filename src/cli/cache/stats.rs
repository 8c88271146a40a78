//! `runner cache stats`: what is kept, what it takes, and what it has saved.

use std::path::Path;

use jiff::Timestamp;

use super::Outcome;
use crate::cli::screen::{ColorChoice, note, print, print_text};
use crate::core::zone::local_zone;
use crate::ops::cap;
use crate::ops::stats::{CacheStats, RemoteSum, ResultSum, stats};
use crate::view::text::style::{Cell, FAINT, Ink, PLAIN, columns};
use crate::view::text::{count, duration, inert, named, size};

/// Show how much is stored and what it has saved
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner cache stats
  runner cache stats --json | jq '.tasks[] | select(.size > 1e9)'")]
pub struct Args {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Maximum number of tasks in the table for people.
const TASKS: usize = 20;

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let cap = cap::from_environment()?;
    let Some(stats) = stats(home)? else {
        note("nothing is stored yet: begin with `runner exec WORKFLOW`");
        return Ok(());
    };
    if args.json {
        print(&format!("{}\n", stats.to_json(cap)));
        return Ok(());
    }
    let total = stats.total_bytes();
    let CacheStats { results, files, file_bytes, row_bytes, runs, run_bytes, hits, saved_ms, since, .. } =
        stats;
    let (tasks, projects, domains, remotes) = (stats.tasks, stats.projects, stats.domains, stats.remotes);
    let line = |name: &str, what: String, takes: String| {
        vec![Cell::new(FAINT, name), Cell::new(PLAIN, what), Cell::new(PLAIN, takes)]
    };
    let limit = cap.map_or("no cap".into(), |cap| format!("the cap is {}", size(cap)));
    let mut lines = vec![
        line("results", named(results, "result"), size(row_bytes)),
        line("files", named(files as u64, "file"), size(file_bytes)),
        line("history", named(runs as u64, "run"), size(run_bytes)),
        line("all", String::new(), format!("{}; {limit}", size(total))),
        line("saved", named(hits, "hit"), format!("{}{}", duration(saved_ms), begun(since))),
    ];
    for RemoteSum { url, results, saved_ms, queued } in &remotes {
        let waiting =
            if *queued > 0 { format!("; {} still to be uploaded", count(*queued)) } else { String::new() };
        let from = format!("{} of {}", named(*results, "result"), inert(url));
        lines.push(line("shared", from, format!("{}{waiting}", duration(*saved_ms))));
    }
    let ink = Ink(color.on_stdout());
    let mut text = columns(&lines, ink);
    text.push_str(&table("TASK", &tasks[..tasks.len().min(TASKS)], ink));
    if tasks.len() > TASKS {
        text.push_str(&format!(
            "and {} (--json lists all)\n",
            named((tasks.len() - TASKS) as u64, "more task")
        ));
    }
    for (title, sums) in [("PROJECT", &projects), ("DOMAIN", &domains)] {
        if sums.len() > 1 {
            text.push_str(&table(title, sums, ink));
        }
    }
    print_text(text);
    Ok(())
}

fn begun(since: Option<Timestamp>) -> String {
    let first = since.map(|first| first.to_zoned(local_zone()));
    first.map_or(String::new(), |first| format!(" since {}", first.strftime("%Y-%m-%d")))
}

fn takes(bytes: u64) -> String {
    if bytes == 0 { "-".into() } else { size(bytes) }
}

fn table(title: &str, sums: &[ResultSum], ink: Ink) -> String {
    if sums.is_empty() {
        return String::new();
    }
    let mut lines = vec![["RESULTS", "SIZE", "TOOK", title].map(|name| Cell::new(FAINT, name)).to_vec()];
    lines.extend(sums.iter().map(|sum| {
        let cells =
            [count(sum.results), takes(sum.size), duration(sum.duration_ms), inert(&sum.name).into_owned()];
        cells.map(|text| Cell::new(PLAIN, text)).to_vec()
    }));
    format!("\n{}", columns(&lines, ink))
}
