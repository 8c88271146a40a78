//! Schedules: how they stand, what comes next, pauses, and a run now.

use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::{Map as JsonMap, Value as Json, json};

use super::runs::Page;
use super::start::checked_inputs;
use super::{json as answer, read_body};
use crate::core::event::VERSION;
use crate::core::run_id::RunId;
use crate::core::run_request::RunRequest;
use crate::core::schedule::Trigger;
use crate::core::time_arg::{Edge, last_moment, parse};
use crate::ops::schedules::backfill::{Backfill, BackfillRequest, MAX_UNCONFIRMED};
use crate::ops::schedules::find;
use crate::ops::schedules::overview::{list, show};
use crate::ops::schedules::pausing::{PauseTarget, pause, resume};
use crate::ops::schedules::trigger::{TriggerAnswer, Triggering};
use crate::server::ServedFile;
use crate::server::web::app::App;
use crate::server::web::problem::HttpProblem;
use crate::server::web::query::Query;
use crate::view::model::schedule_row::{ScheduleRow, ScheduleView};

/// How many past instants are shown, usually and at most.
const USUAL_INSTANTS: usize = 20;
const MAX_INSTANTS: usize = 500;
/// How many instants to come, usually and at most.
const USUAL_NEXT: usize = 5;
const MAX_NEXT: usize = 500;
/// Runs of a backfill at once, at most.
const MAX_BACKFILL_JOBS: usize = 64;
/// In whose name pauses are made here.
const BY: &str = "web page";

/// The schedules of the files that are served.
///
/// # Errors
/// The home cannot be read.
pub async fn rows(app: &Arc<App>) -> Result<Vec<ScheduleRow>, HttpProblem> {
    // What has no schedules is not read again.
    let may_have = |file: &&ServedFile| {
        let opened = file.opened.as_ref();
        !file.mistakes.is_empty() || opened.is_none_or(|opened| !opened.workflow.schedules.is_empty())
    };
    let snapshot = app.daemon.snapshot();
    let paths: Vec<PathBuf> = snapshot.files.iter().filter(may_have).map(|file| file.path.clone()).collect();
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    app.blocking(move |home| Ok(list(Some(home), &paths)?.rows)).await
}

/// Schedules by name.
pub async fn all(State(app): State<Arc<App>>, query: Query) -> Result<Response, HttpProblem> {
    query.done()?;
    answer(&Page::new(rows(&app).await?, None))
}

/// A schedule by the two parts of its name.
///
/// # Errors
/// There is none of that name, or the home cannot be read.
pub async fn view(app: &Arc<App>, name: String, limit: usize) -> Result<ScheduleView, HttpProblem> {
    app.blocking(move |home| Ok(show(Some(home), &name, limit)?)).await
}

/// One schedule, with what became of its instants.
pub async fn one(
    State(app): State<Arc<App>>,
    Path((workflow, name)): Path<(String, String)>,
    mut query: Query,
) -> Result<Response, HttpProblem> {
    let limit = query.read("limit", |text| match text.parse() {
        Ok(limit @ 1..=MAX_INSTANTS) => Ok(limit),
        _ => Err(format!("expected a number from 1 to {MAX_INSTANTS}")),
    });
    query.done()?;
    answer(&view(&app, format!("{workflow}/{name}"), limit.unwrap_or(USUAL_INSTANTS)).await?)
}

/// An instant to come.
pub struct Coming {
    pub at: Timestamp,
    pub fires: Timestamp,
    /// On the clocks of the schedule's zone, with its offset.
    pub local: String,
    /// What those clocks do then; usually nothing.
    pub note: Option<String>,
}

/// The next instants of a schedule.
///
/// # Errors
/// There is none of that name, or its file does not load.
pub async fn coming(app: &Arc<App>, name: String, number: usize) -> Result<Vec<Coming>, HttpProblem> {
    let now = app.clock.now();
    app.blocking(move |home| {
        let path = PathBuf::from(show(Some(home), &name, 1)?.row.path);
        let found = find(&name, &[path])?;
        let rhythm = &found.schedule().rhythm;
        let zone = rhythm.zone();
        let instants = rhythm.after(now).take(number).map(|instant| Coming {
            at: instant.at,
            fires: found.schedule().fires(&name, instant.at),
            local: instant.at.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            note: instant.clocks.map(crate::core::cron::Clocks::text),
        });
        Ok(instants.collect())
    })
    .await
}

/// The next instants of a schedule.
pub async fn next(
    State(app): State<Arc<App>>,
    Path((workflow, name)): Path<(String, String)>,
    mut query: Query,
) -> Result<Response, HttpProblem> {
    let number = query.read("count", |text| match text.parse() {
        Ok(number @ 1..=MAX_NEXT) => Ok(number),
        _ => Err(format!("expected a number from 1 to {MAX_NEXT}")),
    });
    query.done()?;
    let instants = coming(&app, format!("{workflow}/{name}"), number.unwrap_or(USUAL_NEXT)).await?;
    let items: Vec<Json> = instants
        .into_iter()
        .map(|next| json!({"at": next.at, "local": next.local, "fires": next.fires, "note": next.note}))
        .collect();
    answer(&Page::new(items, None))
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PauseBody {
    reason: Option<String>,
}

/// Pauses a schedule, or ends its pause; whether that changed something.
///
/// # Errors
/// There is none of that name, or the home cannot be written.
pub async fn set_paused(
    app: &Arc<App>,
    name: String,
    is_paused: bool,
    reason: Option<String>,
) -> Result<bool, HttpProblem> {
    app.blocking(move |home| {
        let target = PauseTarget::One(&name);
        let done = match is_paused {
            true => pause(Some(home), &target, BY, reason.as_deref())?,
            false => resume(Some(home), &target)?,
        };
        Ok(done.iter().any(|paused| paused.is_new))
    })
    .await
}

/// Pauses a schedule.
pub async fn hold(
    State(app): State<Arc<App>>,
    Path((workflow, name)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, HttpProblem> {
    let PauseBody { reason } = read_body(&body)?;
    let name = format!("{workflow}/{name}");
    let changed = set_paused(&app, name.clone(), true, reason).await?;
    answer(&json!({"v": VERSION, "schedule": name, "paused": true, "changed": changed}))
}

/// Ends the pause of a schedule.
pub async fn go_on(
    State(app): State<Arc<App>>,
    Path((workflow, name)): Path<(String, String)>,
) -> Result<Response, HttpProblem> {
    let name = format!("{workflow}/{name}");
    let changed = set_paused(&app, name.clone(), false, None).await?;
    answer(&json!({"v": VERSION, "schedule": name, "paused": false, "changed": changed}))
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TriggerBody {
    inputs: JsonMap<String, Json>,
    /// A time, or a day or time on the clocks of the schedule's zone.
    at: Option<String>,
}

/// Runs a schedule now; the id of the run.
///
/// # Errors
/// There is none of that name, its inputs do not fit, no daemon serves it, or a run goes on beside which it starts none.
pub async fn triggered(app: &Arc<App>, name: String, body: TriggerBody) -> Result<RunId, HttpProblem> {
    let now = app.clock.now();
    app.blocking(move |home| {
        let at = match &body.at {
            None => None,
            Some(text) => {
                let zone = show(Some(home), &name, 1)?.row.settings.timezone;
                let now = now.to_zoned(zone_of(zone.as_deref()));
                let at = parse(text, Edge::Start, &now);
                Some(at.map_err(|problem| HttpProblem::field("at", problem))?)
            }
        };
        let given = match body.inputs.is_empty() {
            true => Vec::new(),
            false => {
                let path = PathBuf::from(show(Some(home), &name, 1)?.row.path);
                vec![checked_inputs(
                    &find(&name, std::slice::from_ref(&path))?.opened.workflow,
                    body.inputs,
                    &path,
                )?]
            }
        };
        let base = RunRequest { given, ..RunRequest::default() };
        let triggering = Triggering::new(Some(home), &name, base, at, Trigger::Api)?;
        match triggering.ask(Some(home))? {
            TriggerAnswer::Accepted(_) => Ok(triggering.run),
            TriggerAnswer::Nobody => Err(HttpProblem::conflict(format!(
                "no daemon serves `{name}`: `runner schedule trigger` runs it"
            ))),
        }
    })
    .await
}

fn zone_of(name: Option<&str>) -> TimeZone {
    name.and_then(|name| TimeZone::get(name).ok()).unwrap_or(TimeZone::UTC)
}

/// What is to be filled in.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackfillBody {
    pub from: String,
    pub to: String,
    pub all: bool,
    pub newest_first: bool,
    pub jobs: Option<usize>,
}

/// A backfill that has begun.
#[derive(Serialize)]
pub struct BackfillBegun {
    v: u32,
    schedule: String,
    pub instants: usize,
    /// The first and the last of them that run.
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

/// Begins a backfill in the daemon.
///
/// # Errors
/// There is no such schedule or time, there is nothing to do or too much, or the daemon ends.
pub async fn backfilled(
    app: &Arc<App>,
    name: String,
    body: BackfillBody,
) -> Result<BackfillBegun, HttpProblem> {
    let now = app.clock.now();
    let backfill = app
        .blocking(move |home| {
            let settings = show(Some(home), &name, 1)?.row.settings;
            let zone = zone_of(settings.timezone.as_deref());
            let now = now.to_zoned(zone);
            let instant = |field: &str, text: &str, edge| {
                last_moment(text, edge, &now).map_err(|problem| HttpProblem::field(field, problem))
            };
            let jobs = body.jobs.unwrap_or(1);
            if !(1..=MAX_BACKFILL_JOBS).contains(&jobs) {
                return Err(HttpProblem::field("jobs", format!("expected a number from 1 to {MAX_BACKFILL_JOBS}")));
            }
            let wanted = BackfillRequest {
                from: instant("from", &body.from, Edge::Start)?,
                to: instant("to", &body.to, Edge::End)?,
                all: body.all,
                newest_first: body.newest_first,
                jobs,
                keep_going: false,
            };
            if wanted.to < wanted.from {
                return Err(HttpProblem::field("to", "it lies before `from`: there is no instant between them"));
            }
            let backfill = Backfill::new(Some(home), &name, wanted, RunRequest::default())?;
            match backfill.instants().len() {
                0 => Err(HttpProblem::conflict("no instant of that time lacks a successful run")),
                1..=MAX_UNCONFIRMED => Ok(backfill),
                many => Err(HttpProblem::field(
                    "from",
                    format!("{many} instants are more than {MAX_UNCONFIRMED}: for so many use `runner schedule backfill`"),
                )),
            }
        })
        .await?;
    let instants = backfill.instants();
    let begun = BackfillBegun {
        v: VERSION,
        schedule: backfill.schedule().to_owned(),
        instants: instants.len(),
        first: instants.first().copied(),
        last: instants.last().copied(),
    };
    match app.daemon.backfill(backfill).await {
        true => Ok(begun),
        false => Err(HttpProblem::conflict("the daemon ends: nothing new begins")),
    }
}

/// Runs past instants that have no successful run.
pub async fn backfill(
    State(app): State<Arc<App>>,
    Path((workflow, name)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, HttpProblem> {
    let begun = backfilled(&app, format!("{workflow}/{name}"), read_body(&body)?).await?;
    let mut accepted = answer(&begun)?;
    *accepted.status_mut() = StatusCode::ACCEPTED;
    Ok(accepted)
}

/// Runs a schedule now.
pub async fn trigger(
    State(app): State<Arc<App>>,
    Path((workflow, name)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, HttpProblem> {
    let run = triggered(&app, format!("{workflow}/{name}"), read_body(&body)?).await?;
    let mut accepted = answer(&json!({"v": VERSION, "run": run}))?;
    *accepted.status_mut() = StatusCode::ACCEPTED;
    Ok(accepted)
}
