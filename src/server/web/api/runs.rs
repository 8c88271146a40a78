//! Runs: the list, one of them, its nodes, its comparison with another.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::json as answer;
use crate::core::event::VERSION;
use crate::core::run_id::RunId;
use crate::core::schedule::Trigger;
use crate::ops::diff::diff;
use crate::ops::inspect::{self, RunFilter};
use crate::ops::node_arg::node_ref;
use crate::ops::nodes::{NodeItem, NodeOrder, NodeQuery, nodes};
use crate::ops::overview::overview;
use crate::server::web::app::App;
use crate::server::web::problem::HttpProblem;
use crate::server::web::query::Query;
use crate::view::model::run::Keep;

/// How many items a list has without `limit`, and at most.
const USUAL_LIMIT: usize = 50;
const MAX_LIMIT: usize = 500;

/// A part of a list.
#[derive(Serialize)]
pub struct Page<T> {
    v: u32,
    items: Vec<T>,
    /// To be sent as `cursor` for the part behind this one.
    next: Option<String>,
}

impl<T> Page<T> {
    pub fn new(items: Vec<T>, next: Option<String>) -> Self {
        Self { v: VERSION, items, next }
    }
}

/// How many items are asked for.
pub fn limit(query: &mut Query) -> usize {
    let read = |text: &str| match text.parse() {
        Ok(limit @ 1..=MAX_LIMIT) => Ok(limit),
        _ => Err(format!("expected a number from 1 to {MAX_LIMIT}")),
    };
    query.read("limit", read).unwrap_or(USUAL_LIMIT)
}

/// Values separated by commas, each one of `known`.
pub fn listed<C: FromIterator<String> + Default>(query: &mut Query, name: &str, known: &[&str]) -> C {
    let read = |text: &str| {
        let values: C = text.split(',').map(str::to_owned).collect();
        match text.split(',').find(|value| !known.contains(value)) {
            None => Ok(values),
            Some(_) => Err(format!("expected one or more of {}, separated by commas", known.join(", "))),
        }
    };
    query.read(name, read).unwrap_or_default()
}

/// Which runs are asked for, but for the cursor; for the API and the page.
pub fn filter(query: &mut Query) -> RunFilter {
    const STATUSES: [&str; 7] = [
        "succeeded",
        "failed",
        "cancelled",
        inspect::DETACHED,
        inspect::RUNNING,
        inspect::INTERRUPTED,
        inspect::ABANDONED,
    ];
    let instant = "an instant as in RFC 3339, such as 2026-11-28T02:00:00Z";
    let trigger = |text: &str| {
        serde_json::from_value::<Trigger>(json!(text))
            .map_err(|_| "expected manual, schedule, catch_up, backfill, retry or api".to_owned())
    };
    RunFilter {
        workflow: query.text("workflow"),
        project: query.text("project"),
        domain: query.text("domain"),
        statuses: listed::<BTreeSet<String>>(query, "status", &STATUSES),
        since: query.value::<Timestamp>("since", instant),
        until: query.value::<Timestamp>("until", instant),
        schedule: query.text("schedule"),
        trigger: query.read("trigger", trigger),
        no_op: query.flag("no_op"),
        words: query
            .text("q")
            .map_or_else(Vec::new, |words| words.split_whitespace().map(str::to_owned).collect()),
        ..RunFilter::default()
    }
}

/// The runs that match, newest first.
pub async fn list(State(app): State<Arc<App>>, mut query: Query) -> Result<Response, HttpProblem> {
    let limit = limit(&mut query);
    let cursor =
        query.read("cursor", |text| RunId::parse(text).map_err(|_| "expected the `next` of a list".into()));
    let filter = RunFilter { before: cursor, ..filter(&mut query) };
    query.done()?;
    let mut rows =
        app.blocking(move |home| Ok(inspect::listed(Some(home), &filter, limit + 1)?.rows)).await?;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| has_more).map(|run| run.row.id.to_string());
    answer(&Page::new(rows, next))
}

/// A run.
pub async fn run(
    State(app): State<Arc<App>>,
    Path(run): Path<String>,
    query: Query,
) -> Result<Response, HttpProblem> {
    query.done()?;
    let found = app.blocking(move |home| Ok(overview(Some(home), &run, Keep::OUTLINE)?.to_json())).await?;
    answer(&found)
}

/// Which nodes are asked for; for the API and the page.
pub fn node_query(query: &mut Query) -> NodeQuery {
    const STATUSES: [&str; 8] =
        ["succeeded", "failed", "skipped", "cancelled", "detached", "running", "waiting", "interrupted"];
    const CACHES: [&str; 7] =
        ["hit", "populated", "miss", "disabled", "skipped", "lookup_failure", "put_failure"];
    NodeQuery {
        node: query.text("node"),
        statuses: listed(query, "status", &STATUSES),
        caches: listed(query, "cache", &CACHES),
        words: query.text("q").unwrap_or_default(),
        order: query.read("sort", str::parse::<NodeOrder>).unwrap_or_default(),
    }
}

/// The nodes of a run, or the elements of one of them.
pub async fn run_nodes(
    State(app): State<Arc<App>>,
    Path(run): Path<String>,
    mut query: Query,
) -> Result<Response, HttpProblem> {
    let limit = limit(&mut query);
    let from: usize = query.value("cursor", "the `next` of a list").unwrap_or(0);
    let wanted = node_query(&mut query);
    query.done()?;
    let page = app
        .blocking(move |home| {
            let nodes = nodes(Some(home), &run, Keep::EVERYTHING)?;
            let items = nodes.list(&wanted)?;
            let end = (from + limit).min(items.len());
            let next = (end < items.len()).then(|| end.to_string());
            let part: Vec<Json> = items.iter().take(end).skip(from).map(NodeItem::to_json).collect();
            Ok(Page::new(part, next))
        })
        .await?;
    answer(&page)
}

/// One node or element in full.
pub async fn node(
    State(app): State<Arc<App>>,
    Path(run): Path<String>,
    mut query: Query,
) -> Result<Response, HttpProblem> {
    let (name, index) = named_node(&mut query, "name");
    query.done()?;
    let name = name.ok_or_else(|| HttpProblem::field("name", "expected the name of a node"))?;
    let found = app
        .blocking(move |home| {
            let wanted = node_ref(&name, index).map_err(HttpProblem::invalid)?;
            Ok(inspect::node(Some(home), &run, wanted)?.to_json())
        })
        .await?;
    answer(&found)
}

/// Takes a node's name and the number of its element out of the parameters.
pub fn named_node(query: &mut Query, name: &str) -> (Option<String>, Option<u64>) {
    (query.text(name), query.value("index", "the number of an element"))
}

/// What changed between this run and another; without one, since the run before it.
pub async fn compare(
    State(app): State<Arc<App>>,
    Path(run): Path<String>,
    mut query: Query,
) -> Result<Response, HttpProblem> {
    let with = query.text("with");
    query.done()?;
    let found = app
        .blocking(move |home| {
            Ok(match &with {
                Some(before) => diff(Some(home), before, Some(&run))?,
                None => diff(Some(home), &run, None)?,
            }
            .to_json())
        })
        .await?;
    answer(&found)
}
