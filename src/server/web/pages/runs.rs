//! The list of runs by day, with filters; no-ops in a row are one line.

use std::collections::HashMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::attention::{Attention, attention};
use super::parts::{MixPart, StatusPart, TimePart, encode, maybe_duration, origin};
use super::{PageFrame, page};
use crate::core::run_id::RunId;
use crate::ops::config::{DEFAULT_DOMAIN, DEFAULT_PROJECT};
use crate::ops::inspect::{self, ListedRun, RunFilter};
use crate::server::web::api::runs::filter;
use crate::server::web::app::App;
use crate::server::web::problem::HttpProblem;
use crate::server::web::query::Query;
use crate::view::model::run::Keep;
use crate::view::text::{count, duration, inert};

/// How many runs a page has.
const PAGE_RUNS: usize = 100;
/// Maximum runs that go on whose progress is shown.
const MAX_LIVE: usize = 8;
/// Minimum no-ops in a row that become one line.
const MIN_FOLDED: usize = 3;

#[derive(Template)]
#[template(path = "runs.html")]
struct RunsPage {
    frame: PageFrame,
    attention: Vec<Attention>,
    chips: Vec<Chip>,
    /// The fields of the search, to be kept by it.
    fields: Vec<(&'static str, String)>,
    words: String,
    days: Vec<Day>,
    /// The query of the page behind this one.
    older: Option<String>,
    /// Whether there may be runs that are not asked for.
    has_history: bool,
    /// What is asked for, in words.
    asked: String,
}

/// How runs stand that go on.
type Live = HashMap<RunId, MixPart>;

/// A filter that is one press away.
struct Chip {
    label: &'static str,
    query: String,
    is_current: bool,
}

struct Day {
    /// In UTC; the script groups by the reader's days.
    label: String,
    rows: Vec<Row>,
}

struct Row {
    status: StatusPart,
    id: String,
    workflow: String,
    /// Project and domain; empty for the usual ones.
    scope: String,
    mix: MixPart,
    summary: String,
    /// The query that lists the runs that are folded into this row.
    folded: Option<String>,
    origin: String,
    at: TimePart,
    /// Of a folded row, when the first of them began.
    since: Option<TimePart>,
    took: String,
}

/// The list.
pub async fn show(State(app): State<Arc<App>>, mut query: Query) -> Result<Response, HttpProblem> {
    let asked = query.clone();
    let cursor =
        query.read("cursor", |text| RunId::parse(text).map_err(|_| "expected the id of a run".into()));
    let filter = RunFilter { before: cursor, ..filter(&mut query) };
    query.done()?;
    let folds = filter.no_op.is_none();
    let (mut list, live) = app
        .blocking(move |home| {
            let list = inspect::listed(Some(home), &filter, PAGE_RUNS + 1)?;
            let live = list.rows.iter().filter(|run| run.row.status == inspect::RUNNING).take(MAX_LIVE);
            // One that has just ended stands as it is listed.
            let mix = |run: &ListedRun| {
                let state = inspect::run(Some(home), run.row.id.as_str(), Keep::PAGE).ok()?;
                let total = run.row.counts.nodes;
                Some((run.row.id, MixPart { total, goes_on: true, ..super::run::mix(&state) }))
            };
            let live: Live = live.filter_map(mix).collect();
            Ok((list, live))
        })
        .await?;
    let has_more = list.rows.len() > PAGE_RUNS;
    list.rows.truncate(PAGE_RUNS);
    let older = list.rows.last().filter(|_| has_more).map(|run| asked.with("cursor", run.row.id.as_str()));
    let words = asked.peek("q").unwrap_or_default().to_owned();
    let kept = ["workflow", "project", "domain", "status", "since", "until", "schedule", "trigger", "no_op"];
    let fields: Vec<_> =
        kept.into_iter().filter_map(|name| Some((name, asked.peek(name)?.to_owned()))).collect();
    let is_start = fields.is_empty() && words.is_empty() && cursor.is_none();
    let attention = if is_start { attention(&app).await? } else { Vec::new() };
    let shown = fields.iter().filter(|(name, _)| !["status", "no_op"].contains(name));
    let shown: Vec<_> = shown.map(|(name, value)| format!("{name} {value}")).collect();
    Ok(page(
        StatusCode::OK,
        &RunsPage {
            frame: PageFrame::new(&app, "Runs", "runs"),
            attention,
            chips: chips(&asked),
            fields,
            words,
            days: days(list.rows, folds, &live),
            older,
            has_history: list.has_history && !is_start,
            asked: inert(&shown.join(", ")).into_owned(),
        },
    ))
}

fn chips(asked: &Query) -> Vec<Chip> {
    let choices: [(&'static str, Option<(&str, &str)>); 6] = [
        ("All", None),
        ("Running", Some(("status", "running"))),
        ("Failed", Some(("status", "failed,interrupted"))),
        ("Succeeded", Some(("status", "succeeded"))),
        ("Cancelled", Some(("status", "cancelled"))),
        ("Without no-ops", Some(("no_op", "false"))),
    ];
    let is_current = |choice: Option<(&str, &str)>| match choice {
        None => asked.peek("status").is_none() && asked.peek("no_op").is_none(),
        Some((name, value)) => asked.peek(name) == Some(value),
    };
    let bare = asked.without("status").without("no_op").without("cursor");
    choices
        .into_iter()
        .map(|(label, choice)| Chip {
            label,
            query: choice.map_or_else(|| bare.to_text(), |(name, value)| bare.with(name, value)),
            is_current: is_current(choice),
        })
        .collect()
}

/// Rows by day, no-ops in a row folded.
fn days(runs: Vec<ListedRun>, folds: bool, live: &Live) -> Vec<Day> {
    let day_of = |run: &ListedRun| run.row.started.to_zoned(TimeZone::UTC).date();
    let mut days: Vec<(Date, Day)> = Vec::new();
    for group in
        runs.chunk_by(|a, b| folds && is_quiet(a) && is_quiet(b) && is_alike(a, b) && day_of(a) == day_of(b))
    {
        let rows: Vec<Row> = match group {
            [newest, .., oldest] if group.len() >= MIN_FOLDED => vec![folded(newest, oldest, group.len())],
            group => group.iter().map(|run| row(run, live.get(&run.row.id))).collect(),
        };
        let date = day_of(&group[0]);
        match days.last_mut() {
            Some((last, day)) if *last == date => day.rows.extend(rows),
            _ => days.push((date, Day { label: date.strftime("%A, %-d %B %Y").to_string(), rows })),
        }
    }
    days.into_iter().map(|(_, day)| day).collect()
}

fn is_quiet(run: &ListedRun) -> bool {
    run.row.counts.is_no_op(&run.row.status)
}

fn is_alike(a: &ListedRun, b: &ListedRun) -> bool {
    (&a.row.workflow, &a.row.project, &a.row.domain) == (&b.row.workflow, &b.row.project, &b.row.domain)
}

fn minute(run: &ListedRun) -> i64 {
    run.row.started.as_second().div_euclid(60)
}

fn folded(newest: &ListedRun, oldest: &ListedRun, number: usize) -> Row {
    let run = &newest.row;
    // An end is before an instant.
    let after = run.started.as_millisecond() + 1;
    let until = jiff::Timestamp::from_millisecond(after).unwrap_or(run.started);
    let query = format!(
        "no_op=true&workflow={}&project={}&domain={}&since={}&until={}",
        encode(&run.workflow),
        encode(&run.project),
        encode(&run.domain),
        oldest.row.started,
        until
    );
    Row {
        summary: format!("0 of {} nodes ran · {number} runs alike", run.counts.nodes),
        folded: Some(query),
        // Within a minute they would look the same.
        since: (minute(oldest) != minute(newest)).then(|| TimePart::short(oldest.row.started)),
        ..row(newest, None)
    }
}

fn row(run: &ListedRun, live: Option<&MixPart>) -> Row {
    let counts = run.row.counts;
    let goes_on = run.row.status == inspect::RUNNING;
    let total = if goes_on { counts.nodes } else { 0 };
    let mix = live.copied().unwrap_or(MixPart { counts, total, running: 0, goes_on });
    let saved = match run.row.saved_ms {
        0 => String::new(),
        ms => format!(" · saved {}", duration(ms)),
    };
    let summary = match is_quiet(run) {
        true => format!("0 of {} nodes ran{saved}", counts.nodes),
        false if goes_on => match mix.counts.finished() + mix.running {
            0 => format!("{} nodes", count(counts.nodes)),
            _ => format!("{} of {} nodes", mix.words(), count(counts.nodes)),
        },
        false => format!("{}{saved}", mix.words()),
    };
    let clean = |text: &str| inert(text).into_owned();
    Row {
        status: StatusPart::of_run(&run.row.status, &counts),
        id: run.row.id.to_string(),
        workflow: clean(&run.row.workflow),
        scope: match (&*run.row.project, &*run.row.domain) {
            (DEFAULT_PROJECT, DEFAULT_DOMAIN) => String::new(),
            (project, domain) => clean(&format!("{project} / {domain}")),
        },
        mix,
        summary,
        folded: None,
        origin: clean(&origin(run.trigger, run.schedule.as_deref())),
        at: TimePart::short(run.row.started),
        since: None,
        took: maybe_duration(run.row.duration_ms),
    }
}
