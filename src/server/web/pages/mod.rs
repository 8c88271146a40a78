//! The pages. Each can be read without script; all text is escaped by the templates.
//!
//! | file | owns |
//! |---|---|
//! | `login.rs`, `login.html` | logging in and out |
//! | `base.html` | head, navigation and foot of every page |

pub mod login;

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::assets::ASSETS;

/// What every page needs.
pub struct Frame {
    pub base: String,
    pub style: &'static str,
    pub script: &'static str,
    pub icon: &'static str,
    pub title: String,
    /// Which entry of the navigation is this page's.
    pub current: &'static str,
    pub version: &'static str,
    pub home: String,
    /// Whether there is a session to be ended.
    pub is_in: bool,
}

impl Frame {
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
            is_in: !app.is_socket,
        }
    }
}

/// An answer with a page.
pub fn page(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => (status, [(CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response(),
        Err(error) => {
            super::problem::Problem::internal(format!("the page cannot be written: {error}")).into_response()
        }
    }
}
