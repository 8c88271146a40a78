//! Runs that are asked for by HTTP: begun, retried, ended, planned.

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map as JsonMap, Value as Json, json};

use super::workflows::served;
use super::{json as answer, read_body};
use crate::core::event::VERSION;
use crate::core::run_id::RunId;
use crate::core::run_request::{CacheMode, GivenInputs, RunRequest, Selection};
use crate::core::schedule::Trigger;
use crate::core::types::Type;
use crate::ops::cancel;
use crate::ops::inspect;
use crate::ops::open::open;
use crate::ops::plan;
use crate::ops::prepare::{PreparedRun, prepare};
use crate::ops::retry::{Retry, retry};
use crate::server::web::app::App;
use crate::server::web::problem::{FieldError, HttpProblem};
use crate::view::model::run::Keep;
use crate::workflow::Workflow;
use crate::workflow::binding::Binding;

/// How long an answer waits until the new run is in the history.
const BEGIN_TIME: Duration = Duration::from_secs(2);
const BEGIN_PAUSE: Duration = Duration::from_millis(40);

/// What may be said of a run that is to begin.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunBody {
    workflow: Option<String>,
    pub inputs: JsonMap<String, Json>,
    project: Option<String>,
    domain: Option<String>,
    cache: Option<CacheMode>,
    only: Vec<String>,
    from: Vec<String>,
    until: Vec<String>,
    skip: Vec<String>,
    set: Vec<String>,
    keep_going: bool,
    jobs: Option<u32>,
}

impl RunBody {
    /// As a request for a workflow, whose inputs are checked one by one.
    ///
    /// # Errors
    /// An input is not known or does not fit, or leads out of the folder of the workflow.
    pub fn request(self, workflow: &Workflow, path: &FilePath) -> Result<RunRequest, HttpProblem> {
        let given = match self.inputs.is_empty() {
            true => Vec::new(),
            false => vec![checked_inputs(workflow, self.inputs.clone(), path)?],
        };
        let trigger = Trigger::Api;
        Ok(RunRequest { workflow: path.to_owned(), given, trigger, ..self.without_inputs() })
    }
}

/// Values for the inputs of the workflow in the file at `path`, as they are given to a run.
///
/// # Errors
/// An input is not known or does not fit, or leads out of the folder of the workflow.
pub fn checked_inputs(
    workflow: &Workflow,
    values: JsonMap<String, Json>,
    path: &FilePath,
) -> Result<GivenInputs, HttpProblem> {
    let dir = path.parent().unwrap_or(FilePath::new("/")).to_owned();
    check_inputs(workflow, &values, |ty, value| match is_below(ty, value, &dir) {
        false => Some(NOT_BELOW.to_owned()),
        true => Binding::from_json(ty, value, &dir).err(),
    })?;
    Ok(GivenInputs::Values { dir, values })
}

/// What is said of a file elsewhere.
const NOT_BELOW: &str = "expected paths below the folder of the workflow";

/// Checks what is given for the inputs of a workflow, by its names; `problem` says what is wrong with a value of a type.
fn check_inputs<'v, V: 'v>(
    workflow: &Workflow,
    given: impl IntoIterator<Item = (&'v String, &'v V)>,
    problem: impl Fn(&Type, &V) -> Option<String>,
) -> Result<(), HttpProblem> {
    let errors = given.into_iter().filter_map(|(name, value)| {
        let message = match workflow.inputs.iter().find(|input| *input.name == **name) {
            None => Some("the workflow has no such input".to_owned()),
            Some(input) => problem(&input.ty, value),
        };
        Some(FieldError { field: format!("inputs.{name}"), message: message? })
    });
    HttpProblem::refuse(errors.collect())
}

/// Whether all files in a value lie below a folder, wherever links lead. What does not fit the type is told elsewhere.
fn is_below(ty: &Type, value: &Json, folder: &FilePath) -> bool {
    match (ty, value) {
        (Type::File | Type::Dir, Json::String(text)) => {
            use std::path::Component::{CurDir, Normal};
            let is_plain = FilePath::new(text).components().all(|part| matches!(part, Normal(_) | CurDir));
            let real = |path: &FilePath| std::fs::canonicalize(path).ok();
            // What is not there leads nowhere.
            let is_inside = || match (real(&folder.join(text)), real(folder)) {
                (Some(path), Some(folder)) => path.starts_with(folder),
                _ => true,
            };
            is_plain && is_inside()
        }
        (Type::List(inner), Json::Array(items)) => items.iter().all(|item| is_below(inner, item, folder)),
        (Type::Map(inner), Json::Object(fields)) => fields.values().all(|item| is_below(inner, item, folder)),
        (Type::Optional(inner), value) => is_below(inner, value, folder),
        (Type::String | Type::Int | Type::Float | Type::Bool | Type::Date | Type::Datetime, _) => true,
        (Type::Duration | Type::Json | Type::File | Type::Dir | Type::List(_) | Type::Map(_), _) => true,
    }
}

/// Begins a run of a workflow that is served.
pub async fn begin(State(app): State<Arc<App>>, body: Bytes) -> Result<Response, HttpProblem> {
    let body: RunBody = read_body(&body)?;
    let Some(name) = body.workflow.clone() else {
        return Err(HttpProblem::field("workflow", "expected the name of a workflow that is served"));
    };
    let prepared = prepared(&app, &name, body).await?;
    let run = started(&app, prepared).await?;
    accepted(&app, run)
}

/// A request for a workflow that is served, ready to run.
///
/// # Errors
/// There is no such workflow, or the request does not fit it.
pub async fn prepared(app: &Arc<App>, name: &str, body: RunBody) -> Result<PreparedRun, HttpProblem> {
    body.check()?;
    let (path, opened) = served(app, name)?;
    app.blocking(move |_| {
        let request = body.request(&opened.workflow, &path)?;
        Ok(prepare(request)?)
    })
    .await
}

/// Values of inputs as texts, as a form has them.
pub type Assigned = BTreeMap<String, String>;

/// The same for values that are texts.
///
/// # Errors
/// As [`prepared`].
pub async fn prepared_texts(app: &Arc<App>, name: &str, texts: Assigned) -> Result<PreparedRun, HttpProblem> {
    let (path, opened) = served(app, name)?;
    app.blocking(move |_| {
        let folder = path.parent().unwrap_or(FilePath::new("/")).to_owned();
        check_inputs(&opened.workflow, &texts, |ty, text| match is_below(ty, &written(ty, text), &folder) {
            false => Some(NOT_BELOW.to_owned()),
            true => Binding::from_text(ty, text, &folder).err(),
        })?;
        let values = texts.iter().map(|(name, text)| format!("{name}={text}")).collect();
        let given = vec![GivenInputs::Assignments { dir: folder, values }];
        Ok(prepare(RunRequest { workflow: path, given, trigger: Trigger::Api, ..RunRequest::default() })?)
    })
    .await
}

/// The JSON that a text stands for, as far as it may hold paths.
fn written(ty: &Type, text: &str) -> Json {
    match ty.required() {
        Type::File | Type::Dir => Json::String(text.to_owned()),
        _ => serde_json::from_str(text).unwrap_or_default(),
    }
}

/// Begins what was prepared; its id, when the history knows it.
///
/// # Errors
/// Something that it needs is not there, or the daemon ends.
pub async fn started(app: &Arc<App>, prepared: PreparedRun) -> Result<RunId, HttpProblem> {
    let ready = app.blocking(move |_| Ok(prepared.ready()?)).await?;
    let run = app.daemon.start(ready).await?;
    // It waits for its turn where many others run.
    let waits = async {
        while app.blocking(move |home| Ok(inspect::run(Some(home), &run, Keep::OUTLINE).is_err())).await
            == Ok(true)
        {
            tokio::time::sleep(BEGIN_PAUSE).await;
        }
    };
    let _ = tokio::time::timeout(BEGIN_TIME, waits).await;
    Ok(run)
}

fn accepted(app: &App, run: RunId) -> Result<Response, HttpProblem> {
    let mut accepted = answer(&json!({"v": VERSION, "run": run}))?;
    *accepted.status_mut() = StatusCode::ACCEPTED;
    if let Ok(place) = HeaderValue::from_str(&format!("{}/api/runs/{run}", app.base)) {
        accepted.headers_mut().insert(LOCATION, place);
    }
    Ok(accepted)
}

/// Begins a run that goes on with another one.
pub async fn again(
    State(app): State<Arc<App>>,
    Path(run): Path<String>,
    body: Bytes,
) -> Result<Response, HttpProblem> {
    let body: RunBody = read_body(&body)?;
    let run = retried(&app, run, body).await?;
    accepted(&app, run)
}

/// Retries a run; the id of the new one.
///
/// # Errors
/// There is no such run, it goes on, or nothing of it failed.
pub async fn retried(app: &Arc<App>, run: String, body: RunBody) -> Result<RunId, HttpProblem> {
    if body.workflow.is_some() {
        return Err(HttpProblem::field("workflow", "a retry is of the workflow of its run"));
    }
    body.check()?;
    let prepared = app
        .blocking(move |home| {
            let earlier = inspect::run(Some(home), &run, Keep::OUTLINE)?;
            let newer = match (earlier.request, body.inputs.is_empty()) {
                (Some(request), false) => {
                    let path = FilePath::new(&request.workflow);
                    let opened = open(path, &[])?;
                    RunRequest { workflow: Default::default(), ..body.request(&opened.workflow, path)? }
                }
                (_, true) => RunRequest { workflow: Default::default(), ..body.without_inputs() },
                (None, false) => {
                    return Err(HttpProblem::conflict("what the run was asked for is not on record"));
                }
            };
            match retry(Some(home), &run, RunRequest { trigger: Trigger::Retry, ..newer })? {
                Retry::Ready(prepared) => Ok(*prepared),
                Retry::NothingToDo(run) => Err(HttpProblem::conflict(format!(
                    "nothing of run {} failed: there is nothing to retry",
                    run.id
                ))),
            }
        })
        .await?;
    started(app, prepared).await
}

impl RunBody {
    /// # Errors
    /// A field has a value that no run can have.
    fn check(&self) -> Result<(), HttpProblem> {
        match self.jobs {
            Some(0) => Err(HttpProblem::field("jobs", "expected a number from 1")),
            Some(_) | None => Ok(()),
        }
    }

    fn without_inputs(self) -> RunRequest {
        RunRequest {
            project: self.project,
            domain: self.domain,
            cache: self.cache,
            selection: Selection { only: self.only, from: self.from, until: self.until, skip: self.skip },
            settings: self.set,
            keep_going: self.keep_going,
            jobs: self.jobs,
            ..RunRequest::default()
        }
    }
}

/// Ends a run, of this process or another, as Ctrl-C does.
pub async fn cancel(State(app): State<Arc<App>>, Path(run): Path<String>) -> Result<Response, HttpProblem> {
    let run = cancelled(&app, run).await?;
    let mut accepted = answer(&json!({"v": VERSION, "run": run}))?;
    *accepted.status_mut() = StatusCode::ACCEPTED;
    Ok(accepted)
}

/// Ends a run of any process; its id.
///
/// # Errors
/// There is no such run, or it has ended.
pub async fn cancelled(app: &Arc<App>, run: String) -> Result<RunId, HttpProblem> {
    // One whose end is on record may still be among the daemon's own, which puts things away.
    let name = run.clone();
    app.blocking(move |home| Ok(cancel::expect_no_end(Some(home), &name)?)).await?;
    // The daemon's own hear of it at once, also those that wait for a place and have no history.
    if let Ok(own) = run.parse()
        && app.daemon.cancel(own).await
    {
        return Ok(own);
    }
    app.blocking(move |home| Ok(cancel::cancel(Some(home), &run)?.run())).await
}

/// What a run would do.
pub async fn plan(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, HttpProblem> {
    let body: RunBody = read_body(&body)?;
    if body.workflow.is_some() {
        return Err(HttpProblem::field("workflow", "the address names it"));
    }
    let prepared = prepared(&app, &name, body).await?;
    let document =
        app.blocking(move |home| Ok(plan::plan(&prepared, Some(home))?.to_json(&prepared))).await?;
    answer(&document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_lie_below_the_folder_of_the_workflow() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("w");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(dir.path().join("secret"), "").unwrap();
        std::fs::write(folder.join("data"), "").unwrap();
        std::os::unix::fs::symlink("../secret", folder.join("link")).unwrap();
        let files = Type::List(Box::new(Type::Optional(Box::new(Type::File))));
        let map = Type::Map(Box::new(Type::Dir));
        for (ty, value, expected) in [
            (&Type::File, json!("data"), true),
            (&Type::File, json!("./data"), true),
            (&Type::File, json!("nothing"), true),
            (&Type::File, json!("../secret"), false),
            (&Type::File, json!("link"), false),
            (&Type::File, json!("/etc/passwd"), false),
            (&files, json!(["data", null]), true),
            (&files, json!(["data", "../secret"]), false),
            (&map, json!({"a": "/"}), false),
            (&Type::String, json!("/etc/passwd"), true),
        ] {
            assert_eq!(is_below(ty, &value, &folder), expected, "{ty} {value}");
        }
    }
}
