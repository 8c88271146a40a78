//! A run that was asked for and waits for a place. The page asks again by itself.

use askama::Template;
use axum::http::header::REFRESH;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;

use super::{PageFrame, page};
use crate::core::run_id::RunId;
use crate::server::web::app::App;

/// Seconds after which the page is asked for again.
const AGAIN: &str = "2";

#[derive(Template)]
#[template(path = "waiting.html")]
struct WaitingPage {
    frame: PageFrame,
    id: String,
    is_read_only: bool,
}

/// The page of a run that waits; `None` if this is none.
pub async fn waiting(app: &App, run: &str) -> Option<Response> {
    let id = run.parse::<RunId>().ok()?;
    if !app.daemon.waits(id).await {
        return None;
    }
    let frame = PageFrame::new(app, format!("{id} waiting"), "runs");
    let made = WaitingPage { frame, id: id.to_string(), is_read_only: app.is_read_only };
    let mut answer = page(StatusCode::OK, &made);
    answer.headers_mut().insert(REFRESH, HeaderValue::from_static(AGAIN));
    Some(answer)
}
