//! What the buttons of a run's page do: it is retried, cancelled, or written as a report.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use super::login;
use crate::core::zone::local_now;
use crate::ops::inspect;
use crate::ops::report::report_page;
use crate::server::web::api::logs::attachment;
use crate::server::web::api::start::{RunBody, cancelled, retried};
use crate::server::web::app::App;
use crate::server::web::headers::FOREIGN_POLICY;
use crate::server::web::problem::HttpProblem;
use crate::view::model::run::Keep;

/// Begins a run that goes on with this one.
pub async fn again(State(app): State<Arc<App>>, Path(run): Path<String>) -> Result<Response, HttpProblem> {
    let run = retried(&app, run, RunBody::default()).await?;
    Ok(login::see_other(&app, &format!("/runs/{run}")))
}

/// Ends this run.
pub async fn cancel(State(app): State<Arc<App>>, Path(run): Path<String>) -> Result<Response, HttpProblem> {
    let run = cancelled(&app, run).await?;
    // One that waited for a place has no page.
    let is_known = app.blocking(move |home| Ok(inspect::run(Some(home), &run, Keep::OUTLINE)?)).await.is_ok();
    Ok(login::see_other(&app, &if is_known { format!("/runs/{run}") } else { "/runs".to_owned() }))
}

/// The report of this run: one file, to be kept or sent.
pub async fn report(State(app): State<Arc<App>>, Path(run): Path<String>) -> Result<Response, HttpProblem> {
    let made = app.blocking(move |home| Ok(report_page(Some(home), &run, &local_now())?)).await?;
    let kind = [(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, FOREIGN_POLICY)];
    Ok((kind, [(CONTENT_DISPOSITION, attachment(&made.file_name))], made.html).into_response())
}
