//! The workflows that are served, and one of them with the form made of its inputs: what would run, before it does.

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value as Json;

use super::parts::{MixPart, StatusPart, TimePart, encode, in_file, maybe_duration};
use super::values::short;
use super::{PageFrame, login, page};
use crate::core::cron::words;
use crate::ops::inspect::ListedRun;
use crate::ops::open::Opened;
use crate::ops::picture::picture;
use crate::ops::plan;
use crate::ops::run_graph::MAX_WHOLE;
use crate::server::web::api::start::{Assigned, prepared_texts, started};
use crate::server::web::api::workflows::{LATE_RUNS, input_json, late_runs, served};
use crate::server::web::app::App;
use crate::server::web::problem::HttpProblem;
use crate::server::web::query::Query;
use crate::view::draw::svg::svg_for_page;
use crate::view::text::{count, duration, inert};
use crate::workflow::Workflow;

/// Height of the bars of late runs, in units of the drawing.
const BAR_HEIGHT: f64 = 40.0;
/// Maximum characters of a default in a form.
const MAX_DEFAULT: usize = 200;

#[derive(Template)]
#[template(path = "workflows.html")]
struct WorkflowsPage {
    frame: PageFrame,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    address: String,
    path: String,
    description: String,
    mistakes: Vec<String>,
    schedules: usize,
    last: Option<LastRun>,
}

struct LastRun {
    id: String,
    status: StatusPart,
    at: TimePart,
    took: String,
}

#[derive(Template)]
#[template(path = "workflow.html")]
struct WorkflowPage {
    frame: PageFrame,
    name: String,
    address: String,
    path: String,
    description: String,
    mistakes: Vec<String>,
    nodes: usize,
    schedules: Vec<(String, String)>,
    fields: Vec<Field>,
    problem: String,
    plan: Option<PlanCard>,
    bars: Vec<Bar>,
    runs_query: String,
    graph: String,
    text: String,
    command: String,
    is_read_only: bool,
}

struct Field {
    name: String,
    kind: String,
    description: String,
    value: String,
    placeholder: String,
    is_required: bool,
    /// Where only these are allowed.
    choices: Vec<(String, bool)>,
    is_long: bool,
    problem: String,
}

struct PlanCard {
    summary: String,
    rows: Vec<PlanRow>,
}

struct PlanRow {
    node: String,
    cache: String,
    class: &'static str,
    reason: String,
}

/// A run of late as a bar: its height says how long it took.
struct Bar {
    address: String,
    class: &'static str,
    x: usize,
    y: String,
    height: String,
    title: String,
}

fn clean(text: &str) -> String {
    inert(text).into_owned()
}

fn address(name: &str) -> String {
    format!("/workflows/{}", encode(name))
}

/// The list.
pub async fn list(State(app): State<Arc<App>>, query: Query) -> Result<Response, HttpProblem> {
    query.done()?;
    let snapshot = app.daemon.snapshot();
    let rows = app
        .blocking(move |home| {
            let row = |file: &crate::server::ServedFile| {
                let workflow = file.opened.as_ref().map(|opened| &opened.workflow);
                let late = match workflow {
                    Some(workflow) => late_runs(home, &workflow.name, 1)?,
                    None => Vec::new(),
                };
                Ok(Row {
                    name: workflow.map_or_else(String::new, |workflow| clean(&workflow.name)),
                    address: workflow.map_or_else(String::new, |workflow| address(&workflow.name)),
                    path: clean(&file.path.display().to_string()),
                    description: workflow
                        .and_then(|w| w.description.as_deref())
                        .map(clean)
                        .unwrap_or_default(),
                    mistakes: file.mistakes.iter().map(|mistake| in_file(mistake, &file.path)).collect(),
                    schedules: workflow.map_or(0, |workflow| workflow.schedules.len()),
                    last: late.first().map(last_run),
                })
            };
            snapshot.files.iter().map(row).collect::<Result<Vec<_>, HttpProblem>>()
        })
        .await?;
    Ok(page(StatusCode::OK, &WorkflowsPage { frame: PageFrame::new(&app, "Workflows", "workflows"), rows }))
}

fn last_run(run: &ListedRun) -> LastRun {
    LastRun {
        id: run.row.id.to_string(),
        status: StatusPart::of_run(&run.row.status, &run.row.counts),
        at: TimePart::new(run.row.started),
        took: maybe_duration(run.row.duration_ms),
    }
}

/// What a form holds, and what came of it.
#[derive(Default)]
struct Filled {
    values: BTreeMap<String, String>,
    problem: Option<HttpProblem>,
    plan: Option<PlanCard>,
}

/// One workflow.
pub async fn one(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    query: Query,
) -> Result<Response, HttpProblem> {
    query.done()?;
    made(&app, &name, Filled::default()).await
}

async fn made(app: &Arc<App>, name: &str, filled: Filled) -> Result<Response, HttpProblem> {
    let (path, opened) = served(app, name)?;
    let snapshot = app.daemon.snapshot();
    let mistakes = snapshot.files.iter().find(|file| file.path == path).map(|file| file.mistakes.clone());
    let wanted = name.to_owned();
    let late = app.blocking(move |home| late_runs(home, &wanted, LATE_RUNS)).await?;
    let status = filled.problem.as_ref().map_or(StatusCode::OK, |problem| problem.status);
    let mistakes = mistakes.unwrap_or_default();
    Ok(page(status, &workflow_page(app, &path, &opened, &mistakes, &late, filled)))
}

fn workflow_page(
    app: &App,
    path: &FilePath,
    opened: &Opened,
    mistakes: &[String],
    late: &[ListedRun],
    filled: Filled,
) -> WorkflowPage {
    let workflow = &opened.workflow;
    let mut problem = filled.problem.as_ref().map_or_else(String::new, |problem| problem.detail.clone());
    let fields = fields(workflow, &filled);
    if fields.iter().any(|field| !field.problem.is_empty()) {
        problem.clear();
    }
    let own = opened.documents.iter().find(|document| document.path == workflow.path);
    let given: String = filled
        .values
        .iter()
        .map(|(name, value)| {
            format!(" -i {}", crate::core::shell_word::shell_word(&format!("{name}={value}")))
        })
        .collect();
    WorkflowPage {
        frame: PageFrame::new(app, clean(&workflow.name), "workflows"),
        name: clean(&workflow.name),
        address: address(&workflow.name),
        path: clean(&path.display().to_string()),
        description: workflow.description.as_deref().map(clean).unwrap_or_default(),
        mistakes: mistakes.iter().map(|mistake| in_file(mistake, path)).collect(),
        nodes: workflow.size,
        schedules: workflow
            .schedules
            .iter()
            .map(|placed| {
                let schedule = &placed.schedule;
                let words = match schedule.cron.is_empty() {
                    true => words(&schedule.rhythm),
                    false => format!("{} ({})", schedule.cron.join(", "), schedule.timezone),
                };
                (clean(&schedule.name), clean(&words))
            })
            .collect(),
        fields,
        problem: clean(&problem),
        plan: filled.plan,
        bars: bars(late),
        runs_query: format!("workflow={}", encode(&workflow.name)),
        graph: (workflow.size <= MAX_WHOLE)
            .then(|| svg_for_page(&picture(workflow), &clean(&workflow.name)))
            .flatten()
            .unwrap_or_default(),
        text: own
            .map(|document| document.text.lines().map(inert).collect::<Vec<_>>().join("\n"))
            .unwrap_or_default(),
        command: clean(&format!(
            "runner exec {}{given}",
            crate::core::shell_word::shell_word(&path.display().to_string())
        )),
        is_read_only: app.is_read_only,
    }
}

fn fields(workflow: &Workflow, filled: &Filled) -> Vec<Field> {
    let errors = filled.problem.iter().flat_map(|problem| &problem.errors);
    let errors: BTreeMap<&str, &str> =
        errors.filter_map(|error| Some((error.field.strip_prefix("inputs.")?, &*error.message))).collect();
    let text = |value: &Json| short(value, MAX_DEFAULT);
    workflow
        .inputs
        .iter()
        .map(|input| {
            let shown = input_json(input);
            let kind = input.ty.to_string();
            let value = filled.values.get(&*input.name).cloned().unwrap_or_default();
            let mut choices: Vec<String> =
                input.one_of.iter().map(|value| text(&value.to_record())).collect();
            if input.ty.required() == &crate::core::types::Type::Bool {
                choices = vec!["true".into(), "false".into()];
            }
            let default = &shown["default"];
            let placeholder = if default.is_null() { String::new() } else { text(default) };
            Field {
                name: input.name.to_string(),
                description: input.description.as_deref().map(clean).unwrap_or_default(),
                is_required: shown["required"] == true,
                is_long: ["list<", "map<", "json"].iter().any(|start| kind.starts_with(start)),
                choices: choices.into_iter().map(|choice| (choice.clone(), choice == value)).collect(),
                problem: errors.get(&*input.name).map(|message| clean(message)).unwrap_or_default(),
                kind,
                value,
                placeholder,
            }
        })
        .collect()
}

/// Late runs from left to right, the newest at the right.
fn bars(late: &[ListedRun]) -> Vec<Bar> {
    let longest = late.iter().filter_map(|run| run.row.duration_ms).max().unwrap_or(0).max(1);
    let bar = |(at, run): (usize, &ListedRun)| {
        let status = StatusPart::of_run(&run.row.status, &run.row.counts);
        let part = run.row.duration_ms.unwrap_or(0) as f64 / longest as f64;
        let height = (part * BAR_HEIGHT).max(2.0);
        let mix = MixPart { counts: run.row.counts, ..MixPart::default() };
        Bar {
            address: format!("/runs/{}", run.row.id),
            class: status.fill(),
            x: at * 12,
            y: format!("{:.1}", BAR_HEIGHT - height),
            height: format!("{height:.1}"),
            title: format!(
                "{} {} in {}: {}",
                run.row.id,
                status.word,
                run.row.duration_ms.map_or_else(|| "?".into(), duration),
                mix.words()
            ),
        }
    };
    late.iter().rev().enumerate().map(bar).collect()
}

/// The values of a form, by input.
fn values(body: &str) -> BTreeMap<String, String> {
    let pairs = form_urlencoded::parse(body.as_bytes()).into_owned();
    let named = pairs.filter_map(|(name, value)| Some((name.strip_prefix("i.")?.to_owned(), value)));
    named.filter(|(_, value)| !value.is_empty()).collect()
}

/// What the form would run.
pub async fn plan(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    body: String,
) -> Result<Response, HttpProblem> {
    let values = values(&body);
    let filled = match planned(&app, &name, values.clone()).await {
        Ok(plan) => Filled { values, plan: Some(plan), problem: None },
        Err(problem) if problem.status == StatusCode::UNPROCESSABLE_ENTITY => {
            Filled { values, problem: Some(problem), plan: None }
        }
        Err(problem) => return Err(problem),
    };
    made(&app, &name, filled).await
}

async fn planned(app: &Arc<App>, name: &str, values: Assigned) -> Result<PlanCard, HttpProblem> {
    let prepared = prepared_texts(app, name, values).await?;
    app.blocking(move |home| {
        let found = plan::plan(&prepared, Some(home))?.to_json(&prepared);
        let row = |item: &Json| {
            let text = |name: &str| item[name].as_str().map(clean).unwrap_or_default();
            PlanRow {
                node: text("node"),
                class: match item["cache"].as_str() {
                    Some("hit") => "hit",
                    Some("miss" | "disabled") => "run",
                    Some("skipped") => "skip-",
                    _ => "idle",
                },
                cache: text("cache"),
                reason: text("reason"),
            }
        };
        let number = |name: &str| count(found[name].as_u64().unwrap_or(0));
        let time = match found["estimate_ms"].as_u64() {
            Some(ms) => format!(", about {} by earlier runs", duration(ms)),
            None => String::new(),
        };
        Ok(PlanCard {
            summary: format!("{} would run, {} from the cache{time}", number("would_run"), number("cached")),
            rows: found["items"].as_array().into_iter().flatten().map(row).collect(),
        })
    })
    .await
}

/// Begins what the form says.
pub async fn run(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    body: String,
) -> Result<Response, HttpProblem> {
    let values = values(&body);
    let begun = async {
        let prepared = prepared_texts(&app, &name, values.clone()).await?;
        started(&app, prepared).await
    };
    match begun.await {
        Ok(run) => Ok(login::see_other(&app, &format!("/runs/{run}"))),
        Err(problem) if problem.status == StatusCode::UNPROCESSABLE_ENTITY => {
            made(&app, &name, Filled { values, problem: Some(problem), plan: None }).await
        }
        Err(problem) => Err(problem),
    }
}
