//! `runner cache stats`: what is kept, what it takes, and what it has saved.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;
use serde::Serialize;
use serde_json::json;

use super::Outcome;
use crate::cli::screen::{ColorChoice, note, print};
use crate::core::event::VERSION;
use crate::ops::home::HomeReader;
use crate::ops::{Error, cap};
use crate::storage::gc::{self, footprint::ROW};
use crate::storage::history::{self, Run};
use crate::storage::memo::Entry;
use crate::storage::memo::listing::{self, EntryFilter};
use crate::view::text::style::{Cell, FAINT, Ink, PLAIN, columns};
use crate::view::text::{count, duration, inert, size};

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

/// Results that have something in common.
#[derive(Default, Serialize)]
struct Sum {
    name: String,
    results: u64,
    /// Of their files, in bytes; what several hand out counts for each.
    size: u64,
    /// What it took to make them.
    duration_ms: u64,
}

impl Sum {
    fn add(&mut self, size: u64, entry: &Entry) {
        self.results += 1;
        self.size += size;
        self.duration_ms += entry.found.duration_ms;
    }
}

#[derive(Default)]
struct Stats {
    all: Sum,
    /// What the rows themselves take.
    rows: u64,
    tasks: BTreeMap<String, Sum>,
    projects: BTreeMap<String, Sum>,
    domains: BTreeMap<String, Sum>,
}

impl Stats {
    fn read(db: &Connection) -> rusqlite::Result<Self> {
        let mut stats = Self::default();
        listing::visit(db, &EntryFilter::default(), &mut |listed| {
            let entry = &listed.entry;
            let size = listing::files_in(&entry.found.outputs).iter().map(|(_, file)| file.size).sum();
            stats.rows += ROW + (entry.inputs.len() + entry.found.outputs.len()) as u64;
            stats.all.add(size, entry);
            stats.tasks.entry(entry.task.clone()).or_default().add(size, entry);
            stats.projects.entry(entry.project.clone()).or_default().add(size, entry);
            stats.domains.entry(entry.domain.clone()).or_default().add(size, entry);
        })?;
        Ok(stats)
    }
}

/// The largest first.
fn ranked(sums: BTreeMap<String, Sum>) -> Vec<Sum> {
    let mut sums: Vec<Sum> = sums.into_iter().map(|(name, sum)| Sum { name, ..sum }).collect();
    sums.sort_by_key(|sum| std::cmp::Reverse((sum.size, sum.duration_ms)));
    sums
}

/// So many tasks are shown to people.
const TASKS: usize = 20;

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let cap = cap::from_environment()?;
    let view = HomeReader::open(home)?;
    let Some(db) = &view.db else {
        note("nothing is stored yet: begin with `runner exec WORKFLOW`");
        return Ok(());
    };
    let Stats { all, rows, tasks, projects, domains } = Stats::read(db).map_err(Error::cache)?;
    let runs = history::latest(db, usize::MAX).map_err(Error::cache)?;
    let blobs = view.store()?.blobs().map_err(|e| Error::store(format!("the store cannot be read: {e}")))?;
    let files: u64 = blobs.iter().map(|blob| blob.size).sum();
    let history: u64 = runs.iter().map(|run| gc::of_run(&view.home, &run.id)).sum();
    let hits: u64 = runs.iter().map(|run| run.counts.cached).sum();
    let executed: u64 = runs.iter().map(|run| run.counts.executed + run.counts.failed).sum();
    let saved: u64 = runs.iter().map(|run| run.saved_ms).sum();
    let total = files + rows + history;
    let (tasks, projects, domains) = (ranked(tasks), ranked(projects), ranked(domains));
    if args.json {
        let document = json!({
            "v": VERSION,
            "results": all.results,
            "files": blobs.len(),
            "file_bytes": files,
            "row_bytes": rows,
            "runs": runs.len(),
            "run_bytes": history,
            "bytes": total,
            "cap": cap,
            "hits": hits,
            "executed": executed,
            "saved_ms": saved,
            "since": runs.last().map(|run| run.started),
            "tasks": tasks,
            "projects": projects,
            "domains": domains,
        });
        print(&format!("{document}\n"));
        return Ok(());
    }
    let named = |n: usize, name: &str| format!("{} {name}{}", count(n as u64), if n == 1 { "" } else { "s" });
    let line = |name: &str, what: String, takes: String| {
        vec![Cell::new(FAINT, name), Cell::new(PLAIN, what), Cell::new(PLAIN, takes)]
    };
    let limit = cap.map_or("no cap".into(), |cap| format!("the cap is {}", size(cap)));
    let lines = [
        line("results", named(all.results as usize, "result"), size(rows)),
        line("files", named(blobs.len(), "file"), size(files)),
        line("history", named(runs.len(), "run"), size(history)),
        line("all", String::new(), format!("{}; {limit}", size(total))),
        line("saved", named(hits as usize, "hit"), format!("{}{}", duration(saved), since(&runs))),
    ];
    let ink = Ink(color.on_stdout());
    let mut text = columns(&lines, ink);
    text.push_str(&table("TASK", &tasks[..tasks.len().min(TASKS)], ink));
    if tasks.len() > TASKS {
        text.push_str(&format!("and {} (--json lists all)\n", named(tasks.len() - TASKS, "more task")));
    }
    for (title, sums) in [("PROJECT", &projects), ("DOMAIN", &domains)] {
        if sums.len() > 1 {
            text.push_str(&table(title, sums, ink));
        }
    }
    print(&text);
    Ok(())
}

fn since(runs: &[Run]) -> String {
    let first = runs.last().map(|run| run.started.to_zoned(jiff::tz::TimeZone::system()));
    first.map_or(String::new(), |first| format!(" since {}", first.strftime("%Y-%m-%d")))
}

fn takes(bytes: u64) -> String {
    if bytes == 0 { "-".into() } else { size(bytes) }
}

fn table(title: &str, sums: &[Sum], ink: Ink) -> String {
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
