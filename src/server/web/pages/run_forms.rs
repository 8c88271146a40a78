//! What the buttons of a run's page do: it is retried, or cancelled.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;

use super::login;
use crate::ops::inspect;
use crate::server::web::api::start::{RunBody, cancelled, retried};
use crate::server::web::app::App;
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
