//! One run: failures first, with the end of their logs and what changed since it last worked; then facts, graph, timeline, nodes,
//! outputs.

use std::collections::HashMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;

use super::changes::{ChangeLine, causes};
use super::parts::{MixPart, StatusPart, TimePart, maybe_duration, node_address, origin};
use super::text::log_html;
use super::values::{ValueLine, value_lines};
use super::waiting::waiting;
use super::{PageFrame, page};
use crate::core::event::{NodeFinished, NodeKind};
use crate::core::node_path::NodeRef;
use crate::ops::diff::diff;
use crate::ops::inspect::{ABANDONED, INTERRUPTED};
use crate::ops::nodes::{NodeItem, NodeStanding};
use crate::ops::overview::{MAX_FAILURES, Overview, overview};
use crate::ops::run_graph::{GraphQuery, MAX_WHOLE, RunGraph, graph};
use crate::server::web::api::runs::node_query;
use crate::server::web::app::App;
use crate::server::web::problem::HttpProblem;
use crate::server::web::query::Query;
use crate::view::draw::svg::svg_for_page;
use crate::view::html::gantt::{self, Bar};
use crate::view::model::run::{Keep, NodeState, RunState};
use crate::view::text::{count, duration, inert, size};

/// How many nodes a page lists.
const PAGE_NODES: usize = 200;
/// Rows of the timeline.
const MAX_TIMELINE: usize = 40;
/// Runs with more nodes than these are not compared unasked.
const MAX_COMPARED: u64 = 2000;
/// Rows of the table by task.
const MAX_TASKS: usize = 30;
/// Failures whose log is on the page.
const MAX_TAILS: usize = 5;
/// Lines of what changed.
const MAX_CHANGES: usize = 8;

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage {
    frame: PageFrame,
    id: String,
    workflow: String,
    workflow_query: String,
    status: StatusPart,
    goes_on: bool,
    can_retry: bool,
    can_cancel: bool,
    previous: Option<String>,
    next: Option<String>,
    /// The run to compare with.
    other: Option<String>,
    failures: Vec<FailureCard>,
    more_failures: u64,
    changed: Option<Changed>,
    warnings: Vec<String>,
    facts: Vec<(&'static str, String)>,
    started: Option<TimePart>,
    mix: MixPart,
    /// By task, where there are too many nodes for a drawing of all.
    tasks: Vec<(String, MixPart)>,
    graph: GraphCard,
    ticks: Vec<String>,
    timeline: Vec<TimelineRow>,
    nodes: NodeTable,
    outputs: Vec<ValueLine>,
    request: Vec<(String, String)>,
}

struct FailureCard {
    label: String,
    address: String,
    gist: String,
    message: String,
    tail: String,
}

struct Changed {
    since: String,
    lines: Vec<ChangeLine>,
    more: usize,
}

struct GraphCard {
    drawing: String,
    note: String,
    /// Whether all of it is asked for, and whether it is not shown.
    is_part: bool,
}

struct TimelineRow {
    label: String,
    address: String,
    status: StatusPart,
    bars: Vec<Bar>,
    took: String,
}

struct NodeTable {
    rows: Vec<NodeRow>,
    /// Of this node the elements.
    inside: Option<String>,
    words: String,
    sorts: Vec<Choice>,
    statuses: Vec<Choice>,
    /// `1 to 200 of 10,000`.
    range: String,
    earlier: Option<String>,
    later: Option<String>,
}

/// An entry of a list to choose from.
struct Choice {
    value: &'static str,
    word: &'static str,
    is_current: bool,
}

const STATUSES: [(&str, &str); 7] = [
    ("", "any status"),
    ("failed", "failed"),
    ("running", "running"),
    ("waiting", "waiting"),
    ("succeeded", "succeeded"),
    ("skipped", "skipped"),
    ("cancelled", "cancelled"),
];
const SORTS: [(&str, &str); 4] =
    [("start", "by start"), ("time", "slowest first"), ("name", "by name"), ("status", "by status")];

fn choices(all: &[(&'static str, &'static str)], current: Option<&str>) -> Vec<Choice> {
    let current = current.unwrap_or(all[0].0);
    all.iter().map(|(value, word)| Choice { value, word, is_current: *value == current }).collect()
}

struct NodeRow {
    status: StatusPart,
    label: String,
    address: String,
    task: String,
    cache: String,
    remark: String,
    /// The query that lists its elements, and how they stand.
    elements: Option<(String, MixPart)>,
    took: String,
}

/// The page of a run.
pub async fn show(
    State(app): State<Arc<App>>,
    Path(run): Path<String>,
    query: Query,
) -> Result<Response, HttpProblem> {
    let shown = shown(&app, run.clone(), query).await;
    match &shown {
        Err(problem) if problem.code == "not_found" => {
            Ok(waiting(&app, &run).await.ok_or(problem.clone())?)
        }
        _ => shown,
    }
}

async fn shown(app: &Arc<App>, run: String, mut query: Query) -> Result<Response, HttpProblem> {
    let asked = query.clone();
    let from: usize = query.value("from", "a number").unwrap_or(0);
    let is_whole = query.flag("graph_all").unwrap_or(false);
    let wanted = node_query(&mut query);
    query.done()?;
    let shared = app.clone();
    let made = app
        .blocking(move |home| {
            // All elements are held only where they are asked for.
            let keep = if wanted.node.is_some() { Keep::TIMES } else { Keep::PAGE };
            let view = overview(Some(home), &run, keep)?;
            let items = view.nodes.list(&wanted)?;
            let nodes = node_table(&view, &items, &asked, from);
            let base = shared.base.clone();
            let link = |node: &str| Some(format!("{base}{}", node_address(&view.row.id, node, None)));
            let graph = match !is_whole && nothing_stands_out(&view.nodes.run) {
                true => empty_graph(view.nodes.run.nodes.len()),
                false => {
                    let asked = GraphQuery { is_whole, ..GraphQuery::default() };
                    graph_card(graph(Some(home), &view.row.id, &asked, &link))
                }
            };
            let changed = changed(home, &view);
            Ok(run_page(&shared, &view, nodes, graph, changed))
        })
        .await?;
    Ok(page(StatusCode::OK, &made))
}

fn clean(text: &str) -> String {
    inert(text).into_owned()
}

fn run_page(
    app: &App,
    view: &Overview,
    nodes: NodeTable,
    graph: GraphCard,
    changed: Option<Changed>,
) -> RunPage {
    let (row, run) = (&view.row, &view.nodes.run);
    let status = StatusPart::of_run(&row.status, &row.counts);
    let neighbours = view.neighbours;
    let timeline = timeline(run);
    RunPage {
        frame: PageFrame::new(app, format!("{} {} {}", clean(&row.workflow), row.id, status.word), "runs"),
        id: row.id.to_string(),
        workflow: clean(&row.workflow),
        workflow_query: format!("workflow={}", super::parts::encode(&row.workflow)),
        goes_on: run.goes_on(),
        can_retry: !app.is_read_only
            && !run.goes_on()
            && (row.status != "succeeded" || row.counts.failed > 0),
        can_cancel: !app.is_read_only && run.goes_on(),
        previous: neighbours.previous.map(String::from),
        next: neighbours.next.map(String::from),
        other: neighbours.last_success.or(neighbours.previous).map(String::from),
        more_failures: row.counts.failed.saturating_sub(MAX_FAILURES as u64),
        failures: view.failures().enumerate().map(|(at, node)| failure(&row.id, at, node)).collect(),
        changed,
        warnings: run.warnings.iter().map(warning).collect(),
        facts: facts(view, app.clock.now()),
        started: run.started.map(TimePart::new),
        mix: whole_mix(view),
        tasks: tasks(run),
        graph,
        ticks: gantt::ticks(run.length_ms()).into_iter().map(|tick| tick.label).collect(),
        timeline,
        nodes,
        outputs: value_lines(&run.outputs, &|output| Some(file_address(app, &row.id, output))),
        request: run.request.as_ref().map_or_else(Vec::new, |request| {
            request.rows().into_iter().map(|(name, text)| (clean(&name), text)).collect()
        }),
        status,
    }
}

fn file_address(app: &App, run: &str, output: &str) -> String {
    format!("{}/api/runs/{run}/file?output={}", app.base, super::parts::encode(output))
}

fn warning(warning: &crate::core::event::Warning) -> String {
    match &warning.node {
        Some(node) => format!("{}: {}", clean(node), clean(&warning.message)),
        None => clean(&warning.message),
    }
}

fn failure(run: &str, at: usize, node: &NodeFinished) -> FailureCard {
    let error = node.error.as_ref();
    let tail = error.filter(|_| at < MAX_TAILS).map(|error| error.tail.join("\n")).unwrap_or_default();
    // Of an exit code the gist says all.
    let message = error.filter(|error| error.exit_code.is_none()).map_or("", |error| error.message.trim());
    FailureCard {
        label: clean(&node.path().label()),
        address: node_address(run, &node.node, node.index),
        gist: node.failure(),
        // What the gist has said is not said again.
        message: message
            .lines()
            .skip_while(|line| node.failure().contains(line.trim()))
            .map(inert)
            .collect::<Vec<_>>()
            .join("\n"),
        tail: log_html(tail.as_bytes(), None),
    }
}

/// What changed since it last worked, for a run that did not.
fn changed(home: &std::path::Path, view: &Overview) -> Option<Changed> {
    let has_failed = ["failed", INTERRUPTED, ABANDONED].contains(&&*view.row.status);
    let since =
        view.neighbours.last_success.filter(|_| has_failed && view.row.counts.nodes <= MAX_COMPARED)?;
    let found = diff(Some(home), &since, Some(&view.row.id)).ok()?;
    let mut lines = causes(&found);
    let more = lines.len().saturating_sub(MAX_CHANGES);
    lines.truncate(MAX_CHANGES);
    Some(Changed { since: since.to_string(), lines, more })
}

/// How the nodes of each task stand, the tasks in the order in which they first ended.
fn tasks(run: &RunState) -> Vec<(String, MixPart)> {
    if run.nodes.len() <= MAX_WHOLE {
        return Vec::new();
    }
    let mut tasks: Vec<(String, MixPart)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for node in run.nodes.iter().filter_map(|unit| unit.finished.as_ref()) {
        let place = *places.entry(&node.task).or_insert(tasks.len());
        if place == tasks.len() {
            tasks.push((clean(&node.task), MixPart::default()));
        }
        tasks[place].1.counts.add(node.status, node.cache);
    }
    tasks.truncate(MAX_TASKS);
    tasks
}

pub(super) fn mix(run: &RunState) -> MixPart {
    let running = match run.goes_on() {
        true => run.all().filter(|unit| unit.finished.is_none() && !unit.attempts.is_empty()).count() as u64,
        false => 0,
    };
    MixPart { counts: run.counts, total: 0, running, goes_on: run.goes_on() }
}

/// The same with those that are still to come.
fn whole_mix(view: &Overview) -> MixPart {
    let run = &view.nodes.run;
    let total = if run.goes_on() { view.row.counts.nodes } else { 0 };
    MixPart { total, ..mix(run) }
}

/// How long a run has gone on, in milliseconds.
fn so_far(run: &RunState, now: Timestamp) -> u64 {
    let taken = run.started.map_or(0, |started| now.as_millisecond() - started.as_millisecond());
    u64::try_from(taken).unwrap_or(0)
}

fn facts(view: &Overview, now: Timestamp) -> Vec<(&'static str, String)> {
    let (row, run) = (&view.row, &view.nodes.run);
    let took = match run.duration_ms {
        Some(ms) => duration(ms),
        None if run.goes_on() => format!("{} so far", duration(so_far(run, now))),
        None => format!("{} until its last event", duration(run.length_ms())),
    };
    let by = match run.scheduled_at {
        Some(at) => format!(
            "{}, for {}",
            origin(run.trigger, run.schedule.as_deref()),
            at.strftime("%Y-%m-%d %H:%M UTC")
        ),
        None => origin(run.trigger, run.schedule.as_deref()),
    };
    let mut facts = vec![("Took", took), ("By", by), ("Nodes", whole_mix(view).words())];
    facts.extend((row.saved_ms > 0).then(|| ("Saved", duration(row.saved_ms))));
    facts.extend(run.usage.cpu_ms.map(|ms| ("Processor", duration(ms))));
    facts.extend(run.usage.peak_memory.map(|bytes| ("Peak memory", size(bytes))));
    facts.push(("Project", format!("{} / {}", row.project, row.domain)));
    facts.extend(run.retry_of.map(|run| ("Retry of", run.to_string())));
    facts.into_iter().map(|(name, text)| (name, clean(&text))).collect()
}

/// Whether a graph would be empty, which is known without drawing it.
fn nothing_stands_out(run: &RunState) -> bool {
    run.nodes.len() > MAX_WHOLE && run.counts.failed == 0 && !run.goes_on()
}

fn empty_graph(size: usize) -> GraphCard {
    let note = format!("{} nodes: none stands out", count(size as u64));
    GraphCard { drawing: String::new(), note, is_part: true }
}

fn graph_card(found: Result<RunGraph, crate::ops::Error>) -> GraphCard {
    match found {
        Ok(graph) if graph.picture.nodes.is_empty() => empty_graph(graph.size),
        Ok(graph) => {
            let note = match graph.is_part() {
                true => format!(
                    "{} of {} nodes: what stands out and what is around it",
                    graph.picture.size(),
                    count(graph.size as u64)
                ),
                false => String::new(),
            };
            match svg_for_page(&graph.picture, &clean(&graph.title)) {
                Some(drawing) => GraphCard { drawing, note, is_part: graph.is_part() },
                None => GraphCard {
                    drawing: String::new(),
                    note: format!(
                        "{} nodes: too many for a drawing that could be read",
                        count(graph.size as u64)
                    ),
                    is_part: false,
                },
            }
        }
        Err(error) => GraphCard { drawing: String::new(), note: clean(&error.to_string()), is_part: false },
    }
}

/// The nodes that worked or came from the cache, in the order in which they began.
fn timeline(run: &RunState) -> Vec<TimelineRow> {
    let mut rows: Vec<(u64, TimelineRow)> = Vec::new();
    for unit in &run.nodes {
        let mut bars = gantt::bars(run, unit);
        // What took no time is seen as well.
        for bar in bars.iter_mut().filter(|bar| bar.width == "0.00%") {
            bar.width = "0.6%".into();
        }
        if bars.is_empty() {
            continue;
        }
        let begin = unit.spans.iter().chain(&unit.activity(run)).map(|span| span.from).min().unwrap_or(0);
        rows.push((
            begin,
            TimelineRow {
                label: clean(&unit.node),
                address: node_address(&run.id, &unit.node, None),
                status: standing(run, unit),
                bars,
                took: took(unit),
            },
        ));
    }
    rows.sort_by_key(|(begin, _)| *begin);
    rows.into_iter().take(MAX_TIMELINE).map(|(_, row)| row).collect()
}

fn standing(run: &RunState, unit: &NodeState) -> StatusPart {
    let cache = unit.finished.as_ref().and_then(|node| node.cache);
    let standing = match &unit.finished {
        Some(node) => NodeStanding::Ended(node.status),
        None if run.goes_on() => NodeStanding::Running,
        None => NodeStanding::Interrupted,
    };
    StatusPart::of_standing(standing, cache)
}

fn took(unit: &NodeState) -> String {
    let worked = unit.finished.as_ref().filter(|node| node.attempts > 0 || node.counts.is_some());
    maybe_duration(worked.map(|node| node.duration_ms))
}

fn node_table(view: &Overview, items: &[NodeItem], asked: &Query, from: usize) -> NodeTable {
    let end = (from + PAGE_NODES).min(items.len());
    let begin = from.min(end);
    let total = count(items.len() as u64);
    let range = match items.len() {
        0 => "none".into(),
        all if begin == 0 && end == all => total,
        _ => format!("{} to {} of {total}", count(begin as u64 + 1), count(end as u64)),
    };
    let at = |place: usize| asked.with("from", &place.to_string());
    NodeTable {
        rows: items[begin..end].iter().map(|item| node_row(view, item, asked)).collect(),
        inside: asked.peek("node").map(clean),
        words: asked.peek("q").unwrap_or_default().to_owned(),
        sorts: choices(&SORTS, asked.peek("sort")),
        statuses: choices(&STATUSES, asked.peek("status")),
        range,
        earlier: (begin > 0).then(|| at(begin.saturating_sub(PAGE_NODES))),
        later: (end < items.len()).then(|| at(end)),
    }
}

fn node_row(view: &Overview, item: &NodeItem, asked: &Query) -> NodeRow {
    let state = item.state;
    let finished = state.and_then(|state| state.finished.as_ref());
    let NodeRef { node, index } = item.path;
    let elements = state.filter(|_| index.is_none()).and_then(|state| {
        let spread = state.spread?;
        let counts = finished.and_then(|node| node.counts).unwrap_or_default();
        let bare = asked.without("from").without("q").without("status");
        let goes_on = view.nodes.run.goes_on();
        Some((bare.with("node", node), MixPart { counts, total: spread.elements, running: 0, goes_on }))
    });
    NodeRow {
        status: StatusPart::of_node(item),
        label: clean(&item.path.label()),
        address: node_address(&view.row.id, node, index),
        task: finished.map_or_else(String::new, |node| clean(&node.task)),
        cache: item.cache().map_or_else(String::new, |cache| cache.to_string()),
        remark: finished.map_or_else(String::new, remark),
        elements,
        took: maybe_duration(Some(item.duration_ms()).filter(|ms| *ms > 0)),
    }
}

/// What is worth knowing beside how it ended.
fn remark(node: &NodeFinished) -> String {
    let mut parts = Vec::new();
    match node.attempts {
        _ if node.error.is_some() => parts.push(node.failure()),
        attempts @ 2.. => parts.push(format!("attempt {attempts}")),
        _ => {}
    }
    parts.extend(
        (node.saved_ms > 0 && node.kind == NodeKind::Task)
            .then(|| format!("saved {}", duration(node.saved_ms))),
    );
    parts.extend(node.reason.as_ref().map(|reason| clean(reason)));
    parts.extend(node.why.as_ref().map(|why| clean(&why.text())));
    parts.join(" · ")
}
