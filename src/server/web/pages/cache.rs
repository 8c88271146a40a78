//! The cache: how much it keeps, which tasks it keeps it for, its entries, and what of them is to go.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Map as JsonMap, Value as Json};

use super::parts::{TimePart, encode, node_address};
use super::values::{ValueLine, value_lines};
use super::{PageFrame, login, page};
use crate::core::node_path::NodeRef;
use crate::ops::cap;
use crate::ops::collect::{self, Collect, Collected, KEEP_RUNS, Limits, results_of};
use crate::ops::results::{self, EntryFilter, KEY_DIGITS, StoredResult};
use crate::ops::stats::{CacheStats, stats};
use crate::server::web::api::cache::{EntryOrder, matching};
use crate::server::web::app::App;
use crate::server::web::problem::HttpProblem;
use crate::server::web::query::Query;
use crate::view::text::{count, duration, inert, size};

/// Entries of a page.
const PAGE_ENTRIES: usize = 100;
/// Tasks in the table.
const MAX_TASKS: usize = 30;
/// Results that a preview of a collection lists.
const MAX_PREVIEW: usize = 50;

#[derive(Template)]
#[template(path = "cache.html")]
struct CachePage {
    frame: PageFrame,
    tiles: Vec<(&'static str, String, String)>,
    /// How full it is, in per cent, where there is a cap.
    full: Option<String>,
    tasks: Vec<TaskRow>,
    entries: Vec<EntryRow>,
    words: String,
    task: String,
    range: String,
    later: Option<String>,
    preview: Option<Preview>,
    is_read_only: bool,
}

struct TaskRow {
    name: String,
    query: String,
    results: String,
    size: String,
    took: String,
    /// Its part of all, in per cent.
    part: String,
}

struct EntryRow {
    key: String,
    short: String,
    task: String,
    size: String,
    took: String,
    used: TimePart,
}

/// What a collection would remove.
struct Preview {
    /// Whether nothing would go.
    is_empty: bool,
    summary: String,
    rows: Vec<EntryRow>,
    more: usize,
}

#[derive(Template)]
#[template(path = "entry.html")]
struct EntryPage {
    frame: PageFrame,
    row: EntryRow,
    facts: Vec<(&'static str, String)>,
    created: TimePart,
    run: String,
    node: String,
    node_address: String,
    problems: Vec<String>,
    inputs: Vec<ValueLine>,
    outputs: Vec<ValueLine>,
    is_read_only: bool,
}

fn clean(text: &str) -> String {
    inert(text).into_owned()
}

fn entry_row(result: &StoredResult) -> EntryRow {
    let key = result.key.hex();
    EntryRow {
        short: key[..KEY_DIGITS].to_owned(),
        key,
        task: clean(&result.task),
        size: if result.size == 0 { String::new() } else { size(result.size) },
        took: duration(result.duration_ms),
        used: TimePart::new(result.used),
    }
}

/// The cache; with `preview` what a collection would remove.
pub async fn show(State(app): State<Arc<App>>, mut query: Query) -> Result<Response, HttpProblem> {
    let asked = query.clone();
    let from: usize = query.value("from", "a number").unwrap_or(0);
    let filter = EntryFilter { task: query.text("task"), ..EntryFilter::default() };
    let words = query.text("q").unwrap_or_default();
    let order = query.read("sort", EntryOrder::read).unwrap_or_default();
    let has_preview = query.flag("preview").unwrap_or(false);
    query.done()?;
    let now = app.clock.now();
    let shared = app.clone();
    let made = app
        .blocking(move |home| {
            let found = stats(Some(home))?.unwrap_or_default();
            let cap = cap::from_environment()?;
            let mut all = matching(home, filter, &words)?;
            order.sort(&mut all);
            let end = (from + PAGE_ENTRIES).min(all.len());
            let begin = from.min(end);
            let preview = match has_preview {
                true => collected(home, true)?.map(|collected| preview(&collected)),
                false => None,
            };
            Ok(CachePage {
                frame: PageFrame::new(&shared, "Cache", "cache"),
                tiles: tiles(&found, cap, now),
                full: cap.map(|cap| {
                    let part = found.total_bytes() as f64 / cap.max(1) as f64;
                    format!("{:.1}", (part * 100.0).min(100.0))
                }),
                tasks: tasks(&found),
                entries: all[begin..end].iter().map(entry_row).collect(),
                words: asked.peek("q").unwrap_or_default().to_owned(),
                task: asked.peek("task").map(clean).unwrap_or_default(),
                range: count(all.len() as u64),
                later: (end < all.len()).then(|| asked.with("from", &end.to_string())),
                preview,
                is_read_only: shared.is_read_only,
            })
        })
        .await?;
    Ok(page(StatusCode::OK, &made))
}

fn tiles(found: &CacheStats, cap: Option<u64>, now: Timestamp) -> Vec<(&'static str, String, String)> {
    let limit = cap.map_or_else(|| "no cap".to_owned(), |cap| format!("of {}", size(cap)));
    let days = found.since.map_or(1, |since| (now.as_second() - since.as_second()) / 86_400 + 1);
    let a_day = found.saved_ms / days.max(1).unsigned_abs();
    let looked_up = found.hits + found.executed;
    let share = (found.hits * 100).checked_div(looked_up).unwrap_or(0);
    vec![
        ("Kept", size(found.total_bytes()), limit),
        ("Results", count(found.results), format!("{} files", count(found.files as u64))),
        ("Saved", duration(found.saved_ms), format!("{} a day", duration(a_day))),
        (
            "From the cache",
            format!("{share} %"),
            format!("{} of {} nodes", count(found.hits), count(looked_up)),
        ),
    ]
}

fn tasks(found: &CacheStats) -> Vec<TaskRow> {
    let all: u64 = found.tasks.iter().map(|task| task.size).sum();
    let row = |task: &crate::ops::stats::ResultSum| TaskRow {
        name: clean(&task.name),
        query: format!("task={}", encode(&task.name)),
        results: count(task.results),
        size: if task.size == 0 { String::new() } else { size(task.size) },
        took: duration(task.duration_ms),
        part: format!("{:.1}", task.size as f64 / all.max(1) as f64 * 100.0),
    };
    found.tasks.iter().take(MAX_TASKS).map(row).collect()
}

fn collected(home: &std::path::Path, dry_run: bool) -> Result<Option<Collected>, HttpProblem> {
    let limits = Limits { size: cap::from_environment()?, age: None };
    Ok(collect::collect(Some(home), Collect { limits, keep_runs: KEEP_RUNS, dry_run })?.0)
}

fn preview(collected: &Collected) -> Preview {
    let results = results_of(collected);
    let is_empty = results.is_empty() && collected.plan.runs.is_empty() && collected.total() == 0;
    Preview {
        is_empty,
        summary: match is_empty {
            true => "nothing would go".into(),
            false => format!(
                "{} results and {} runs would go, {} would be freed",
                count(results.len() as u64),
                count(collected.plan.runs.len() as u64),
                size(collected.total())
            ),
        },
        more: results.len().saturating_sub(MAX_PREVIEW),
        rows: results.iter().take(MAX_PREVIEW).map(entry_row).collect(),
    }
}

/// One entry.
pub async fn entry(
    State(app): State<Arc<App>>,
    Path(key): Path<String>,
    query: Query,
) -> Result<Response, HttpProblem> {
    query.done()?;
    let shared = app.clone();
    let made = app
        .blocking(move |home| {
            let detail = results::show(Some(home), &key)?;
            let result = StoredResult::new(&detail.entry);
            let record = |text: &str| serde_json::from_str::<JsonMap<String, Json>>(text).unwrap_or_default();
            let from = NodeRef::parse(&result.node);
            let mut problems: Vec<String> =
                detail.files.iter().filter_map(|file| file.problem.as_deref()).map(clean).collect();
            if !detail.intact {
                problems.push("its row is damaged: it counts as a miss".into());
            }
            Ok(EntryPage {
                frame: PageFrame::new(
                    &shared,
                    format!("{} {}", &result.key.hex()[..KEY_DIGITS], result.task),
                    "cache",
                ),
                facts: vec![
                    ("Task", clean(&result.task)),
                    ("Project", clean(&format!("{} / {}", result.project, result.domain))),
                    ("Version", clean(&result.version)),
                    ("Took", duration(result.duration_ms)),
                    ("Size", size(result.size)),
                ],
                created: TimePart::new(result.created),
                run: clean(&result.run),
                node: clean(&result.node),
                node_address: node_address(&result.run, from.node, from.index),
                problems,
                inputs: value_lines(&record(&detail.entry.inputs), &|_| None),
                outputs: value_lines(&record(&detail.entry.found.outputs), &|_| None),
                row: entry_row(&result),
                is_read_only: shared.is_read_only,
            })
        })
        .await?;
    Ok(page(StatusCode::OK, &made))
}

/// Forgets an entry.
pub async fn forget(State(app): State<Arc<App>>, Path(key): Path<String>) -> Result<Response, HttpProblem> {
    app.blocking(move |home| Ok(collect::evict(Some(home), &EntryFilter::default(), &[key]).map(drop)?))
        .await?;
    Ok(login::see_other(&app, "/cache"))
}

/// Collects.
pub async fn gc(State(app): State<Arc<App>>) -> Result<Response, HttpProblem> {
    app.blocking(move |home| collected(home, false).map(drop)).await?;
    Ok(login::see_other(&app, "/cache"))
}
