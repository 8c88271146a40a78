//! The pages. Each can be read without script; all text is escaped by the templates.
//!
//! | file | owns |
//! |---|---|
//! | `runs.rs`, `run.rs`, `node.rs`, `compare.rs` | the list, one run, one node, two runs side by side |
//! | `run_forms.rs`, `waiting.rs` | the buttons of a run; a run that waits for a place |
//! | `attention.rs` | what of the schedules and files should be looked at |
//! | `workflows.rs`, `schedules.rs` | what is served: forms, plans, instants |
//! | `cache.rs`, `verify.rs` | what is kept, what of it is to go, what is damaged |
//! | `parts.rs`, `text.rs`, `values.rs`, `changes.rs` | what they are made of: statuses and bars, logs, values, differences |
//! | `login.rs`, `login.html` | logging in and out |
//! | `base.html` | head, navigation and foot of every page |

mod attention;
pub mod cache;
mod changes;
pub mod compare;
pub mod login;
pub mod node;
mod parts;
pub mod run;
pub mod run_forms;
pub mod runs;
pub mod schedules;
mod text;
mod values;
pub mod verify;
mod waiting;
pub mod workflows;

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::assets::ASSETS;
use super::problem::HttpProblem;

/// What every page needs.
pub struct PageFrame {
    pub base: String,
    pub style: &'static str,
    pub script: &'static str,
    pub icon: &'static str,
    pub title: String,
    /// Which entry of the navigation is this page's.
    pub current: &'static str,
    pub version: &'static str,
    pub home: String,
    /// Whether the pages can be seen: not on the page to log in.
    pub is_in: bool,
    /// Whether there is a session to be ended: not over a socket.
    pub has_session: bool,
}

impl PageFrame {
    pub fn new(app: &App, title: impl Into<String>, current: &'static str) -> Self {
        Self {
            base: app.base.clone(),
            style: &ASSETS.style.name,
            script: &ASSETS.script.name,
            icon: &ASSETS.icon.name,
            title: title.into(),
            current,
            version: env!("CARGO_PKG_VERSION"),
            home: app.home().display().to_string(),
            is_in: true,
            has_session: !app.is_socket,
        }
    }
}

/// The start page is the list of runs.
pub async fn home(State(app): State<Arc<App>>) -> Response {
    login::see_other(&app, "/runs")
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'p> {
    frame: PageFrame,
    title: &'static str,
    detail: &'p str,
}

/// What went wrong, as a page.
pub fn problem(app: &App, problem: &HttpProblem) -> Response {
    let title = problem.status.canonical_reason().unwrap_or("Problem");
    page(problem.status, &ErrorPage { frame: PageFrame::new(app, title, ""), title, detail: &problem.detail })
}

/// An answer with a page.
pub fn page(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => (status, [(CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response(),
        Err(error) => HttpProblem::internal(format!("the page cannot be written: {error}")).into_response(),
    }
}
