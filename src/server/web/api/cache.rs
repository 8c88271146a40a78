//! The cache: how much it keeps, its entries, and what of them is to go.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;

use super::json as answer;
use super::runs::{Page, limit};
use super::{parsed, read_body};
use crate::core::clock::millis;
use crate::ops::cap::{self, Cap, parse_age, parse_cap};
use crate::ops::collect::{self, Collect, KEEP_RUNS, Limits};
use crate::ops::results::{self, EntryFilter, ResultQuery, StoredResult};
use crate::ops::stats::CacheStats;
use crate::server::web::app::App;
use crate::server::web::problem::HttpProblem;
use crate::server::web::query::Query;

/// How much is stored and what it has saved; zeros where nothing is.
pub async fn stats(State(app): State<Arc<App>>, query: Query) -> Result<Response, HttpProblem> {
    query.done()?;
    let found = app
        .blocking(|home| {
            let stats: CacheStats = crate::ops::stats::stats(Some(home))?.unwrap_or_default();
            Ok(stats.to_json(cap::from_environment()?))
        })
        .await?;
    answer(&found)
}

/// In which order results are listed.
#[derive(Clone, Copy, Default)]
pub enum EntryOrder {
    /// Used last first.
    #[default]
    Used,
    Created,
    Size,
    Duration,
    Task,
}

impl EntryOrder {
    /// Reads the word for an order.
    ///
    /// # Errors
    /// The words that there are.
    pub fn read(text: &str) -> Result<Self, String> {
        Ok(match text {
            "used" => Self::Used,
            "created" => Self::Created,
            "size" => Self::Size,
            "duration" => Self::Duration,
            "task" => Self::Task,
            _ => return Err("expected used, created, size, duration or task".into()),
        })
    }

    pub fn sort(self, results: &mut [StoredResult]) {
        // The key makes the order the same each time.
        match self {
            Self::Used => results.sort_by_key(|result| (Reverse(result.used), result.key)),
            Self::Created => results.sort_by_key(|result| (Reverse(result.created), result.key)),
            Self::Size => results.sort_by_key(|result| (Reverse(result.size), result.key)),
            Self::Duration => results.sort_by_key(|result| (Reverse(result.duration_ms), result.key)),
            Self::Task => results.sort_by(|a, b| (&a.task, a.key).cmp(&(&b.task, b.key))),
        }
    }
}

/// The results that match.
pub async fn entries(State(app): State<Arc<App>>, mut query: Query) -> Result<Response, HttpProblem> {
    let limit = limit(&mut query);
    let filter = EntryFilter {
        task: query.text("task"),
        project: query.text("project"),
        domain: query.text("domain"),
    };
    let words = query.text("q").unwrap_or_default();
    let order = query.read("sort", EntryOrder::read).unwrap_or_default();
    let cursor = query.text("cursor");
    query.done()?;
    let page = app
        .blocking(move |home| {
            let mut found = matching(home, filter, &words)?;
            order.sort(&mut found);
            // A result that was removed meanwhile leaves no place to go on from.
            let begin = match &cursor {
                None => 0,
                Some(key) => match found.iter().position(|result| result.key.hex() == *key) {
                    Some(at) => at + 1,
                    None => {
                        return Err(HttpProblem::field(
                            "cursor",
                            "this result is gone: begin again without a cursor",
                        ));
                    }
                },
            };
            let mut part: Vec<StoredResult> = found.into_iter().skip(begin).take(limit + 1).collect();
            let has_more = part.len() > limit;
            part.truncate(limit);
            let next = part.last().filter(|_| has_more).map(|result| result.key.hex());
            Ok(Page::new(part, next))
        })
        .await?;
    answer(&page)
}

/// The results that fit a filter and have all words in key, task, node or run, in no order.
///
/// # Errors
/// The cache cannot be read.
pub fn matching(
    home: &std::path::Path,
    filter: EntryFilter,
    words: &str,
) -> Result<Vec<StoredResult>, HttpProblem> {
    let wanted = ResultQuery { filter, ..ResultQuery::default() };
    let mut found = results::list(Some(home), &wanted)?.unwrap_or_default();
    let words = words.to_ascii_lowercase();
    found.retain(|result| has_words(result, &words));
    Ok(found)
}

fn has_words(result: &StoredResult, words: &str) -> bool {
    let place = [&*result.key.hex(), &result.task, &result.node, &result.run].map(str::to_ascii_lowercase);
    words.split_whitespace().all(|word| place.iter().any(|text| text.contains(word)))
}

/// A result, by its key or the beginning of it.
pub async fn entry(
    State(app): State<Arc<App>>,
    Path(key): Path<String>,
    query: Query,
) -> Result<Response, HttpProblem> {
    query.done()?;
    let found = app.blocking(move |home| Ok(results::show(Some(home), &key)?.to_json())).await?;
    answer(&found)
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct EvictBody {
    keys: Vec<String>,
    task: Option<String>,
    project: Option<String>,
    domain: Option<String>,
}

/// Removes the picked results.
pub async fn evict(State(app): State<Arc<App>>, body: Bytes) -> Result<Response, HttpProblem> {
    let EvictBody { keys, task, project, domain } = read_body(&body)?;
    let filter = EntryFilter { task, project, domain };
    if filter.is_empty() && keys.is_empty() {
        return Err(HttpProblem::invalid(
            "name keys, a task, a project or a domain: nothing else is removed",
        ));
    }
    let done = app.blocking(move |home| Ok(collect::evict(Some(home), &filter, &keys)?.to_json())).await?;
    answer(&done)
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct GcBody {
    max_size: Option<String>,
    max_age: Option<String>,
    dry_run: bool,
}

/// Removes what is worth least until the rest fits.
pub async fn gc(State(app): State<Arc<App>>, body: Bytes) -> Result<Response, HttpProblem> {
    let GcBody { max_size, max_age, dry_run } = read_body(&body)?;
    let size = parsed("max_size", max_size.as_deref(), parse_cap)?;
    let age: Option<Duration> = parsed("max_age", max_age.as_deref(), parse_age)?;
    let age = age.map(millis);
    let done = app
        .blocking(move |home| {
            let size = match size {
                Some(Cap(size)) => size,
                None => cap::from_environment()?,
            };
            let request = Collect { limits: Limits { size, age }, keep_runs: KEEP_RUNS, dry_run };
            let (collected, _) = collect::collect(Some(home), request)?;
            Ok(collected.map(|collected| collect::document(&collected, dry_run)))
        })
        .await?;
    match done {
        Some(document) => answer(&document),
        None => Err(HttpProblem::conflict("nothing is stored yet")),
    }
}
