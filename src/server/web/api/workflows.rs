//! The workflows that are served: what they take, what is wrong with them, how they went of late.

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::{Value as Json, json};

use super::json as answer;
use super::runs::Page;
use crate::core::event::VERSION;
use crate::core::value::Value;
use crate::ops::inspect::{ListedRun, RunFilter, listed};
use crate::ops::open::Opened;
use crate::server::ServedFile;
use crate::server::web::app::App;
use crate::server::web::problem::HttpProblem;
use crate::server::web::query::Query;
use crate::workflow::Input;
use crate::workflow::binding::Binding;

/// How many runs of late are shown of a workflow.
pub const LATE_RUNS: usize = 30;

/// The file of a workflow that is served, by the name of the workflow.
///
/// # Errors
/// No file has it, or several do.
pub fn served(app: &App, name: &str) -> Result<(PathBuf, Arc<Opened>), HttpProblem> {
    let snapshot = app.daemon.snapshot();
    let found: Vec<_> = snapshot
        .files
        .iter()
        .filter_map(|file| Some((&file.path, file.opened.as_ref()?)))
        .filter(|(_, opened)| opened.workflow.name == name)
        .collect();
    match &found[..] {
        [(path, opened)] => Ok(((*path).clone(), Arc::clone(opened))),
        [] => Err(HttpProblem::not_found(format!(
            "no workflow `{name}` is served; GET /api/workflows lists them"
        ))),
        [(one, _), (other, _), ..] => {
            let detail = format!("{} and {} both have a workflow `{name}`", one.display(), other.display());
            Err(HttpProblem::ambiguous(detail))
        }
    }
}

/// An input as it is shown.
pub fn input_json(input: &Input) -> Json {
    let default = input.default.as_ref().and_then(default_json);
    json!({
        "name": input.name,
        "type": input.ty.to_string(),
        "required": input.default.is_none() && !input.ty.is_optional(),
        "default": default,
        "description": input.description,
        "one_of": input.one_of.iter().map(Value::to_record).collect::<Vec<_>>(),
    })
}

/// A default that is a plain value, or the path of a file; null for what is found out when a run begins.
fn default_json(binding: &Binding) -> Option<Json> {
    match binding {
        Binding::Literal(value) => Some(value.to_record()),
        Binding::Path(path) => Some(json!(path.display().to_string())),
        Binding::List(items) => items.iter().map(default_json).collect::<Option<Vec<_>>>().map(Json::from),
        Binding::Map(_) | Binding::Template(_) | Binding::Reference(_) => None,
    }
}

fn file_json(file: &ServedFile, late: &[ListedRun]) -> Json {
    let workflow = file.opened.as_ref().map(|opened| &opened.workflow);
    let schedules = workflow.map(|workflow| {
        let names =
            workflow.schedules.iter().map(|placed| format!("{}/{}", workflow.name, placed.schedule.name));
        names.collect::<Vec<_>>()
    });
    json!({
        "name": workflow.map(|workflow| &workflow.name),
        "path": file.path.display().to_string(),
        "description": workflow.and_then(|workflow| workflow.description.as_ref()),
        "mistakes": file.mistakes,
        "nodes": workflow.map(|workflow| workflow.size),
        "inputs": workflow.map(|workflow| workflow.inputs.iter().map(input_json).collect::<Vec<_>>()),
        "schedules": schedules.unwrap_or_default(),
        "last_run": late.first(),
    })
}

/// The newest runs of a workflow, the newest first.
///
/// # Errors
/// The history cannot be read.
pub fn late_runs(home: &std::path::Path, name: &str, limit: usize) -> Result<Vec<ListedRun>, HttpProblem> {
    let filter = RunFilter { workflow: Some(name.to_owned()), ..RunFilter::default() };
    Ok(listed(Some(home), &filter, limit)?.rows)
}

/// The workflows that are served, by path.
pub async fn list(State(app): State<Arc<App>>, query: Query) -> Result<Response, HttpProblem> {
    query.done()?;
    let snapshot = app.daemon.snapshot();
    let items = app
        .blocking(move |home| {
            let item = |file: &ServedFile| {
                let late = match &file.opened {
                    Some(opened) => late_runs(home, &opened.workflow.name, 1)?,
                    None => Vec::new(),
                };
                Ok(file_json(file, &late))
            };
            snapshot.files.iter().map(item).collect::<Result<Vec<_>, HttpProblem>>()
        })
        .await?;
    answer(&Page::new(items, None))
}

/// One workflow, with its runs of late.
pub async fn one(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    query: Query,
) -> Result<Response, HttpProblem> {
    query.done()?;
    let (path, _) = served(&app, &name)?;
    let snapshot = app.daemon.snapshot();
    let document = app
        .blocking(move |home| {
            let late = late_runs(home, &name, LATE_RUNS)?;
            let file = snapshot.files.iter().find(|file| file.path == path);
            let mut document = file.map_or_else(|| json!({}), |file| file_json(file, &late));
            document["v"] = json!(VERSION);
            document["runs"] = json!(late);
            Ok(document)
        })
        .await?;
    answer(&document)
}
