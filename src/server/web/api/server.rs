//! The server itself: whether it lives, what it is, and links for browsers.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use super::json as answer;
use crate::core::event::VERSION;
use crate::ops::inspect;
use crate::server::web::app::App;
use crate::server::web::guard::Caller;
use crate::server::web::problem::HttpProblem;

/// The interface in OpenAPI 3.1. A test holds it to the routes and to what they answer.
pub const OPENAPI: &str = include_str!("openapi.json");

/// Whether the server answers.
pub async fn health() -> Result<Response, HttpProblem> {
    answer(&json!({"status": "ok"}))
}

#[derive(Serialize)]
struct ServerDocument {
    v: u32,
    version: &'static str,
    pid: u32,
    home: String,
    started: String,
    time: String,
    url: String,
    read_only: bool,
    workflows: usize,
    schedules: usize,
    live_runs: usize,
}

/// The description of this interface.
pub async fn description() -> Response {
    ([(CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

/// What the server is and does.
pub async fn server(State(app): State<Arc<App>>) -> Result<Response, HttpProblem> {
    let live_runs = app.blocking(|home| Ok(inspect::live(Some(home))?.len())).await?;
    let served = app.daemon.snapshot();
    answer(&ServerDocument {
        v: VERSION,
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        home: app.home().display().to_string(),
        started: app.started.to_string(),
        time: app.clock.now().to_string(),
        url: app.url(),
        read_only: app.is_read_only,
        workflows: served.files.iter().filter(|file| file.opened.is_some()).count(),
        schedules: served.schedules.len(),
        live_runs,
    })
}

/// A link that logs in once, for whoever has the token.
pub async fn login_code(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, HttpProblem> {
    if !caller.has_token() {
        let detail = "a link to log in is given for the token only, not for a session";
        return Err(HttpProblem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail));
    }
    if app.is_socket {
        return Err(HttpProblem::conflict("over a socket nobody needs to log in"));
    }
    let code = app.access.new_code()?;
    let url = format!("{}login?code={}", app.url(), code.code);
    answer(&json!({"v": VERSION, "url": url, "expires": code.expires.to_string()}))
}
