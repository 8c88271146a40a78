//! The API: JSON over the operations. Handlers are few lines; shapes are those of the verbs' `--json` and of the events.

pub mod cache;
pub mod events;
pub mod files;
pub mod home_events;
pub mod logs;
pub mod metrics;
pub mod runs;
pub mod schedules;
pub mod server;
pub mod start;
pub mod stream;
pub mod workflows;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::problem::HttpProblem;

/// An answer in JSON.
pub fn json(document: &impl Serialize) -> Result<Response, HttpProblem> {
    let text = serde_json::to_string(document)
        .map_err(|error| HttpProblem::internal(format!("the answer cannot be written: {error}")))?;
    Ok(([(CONTENT_TYPE, "application/json")], text).into_response())
}

/// A body in JSON; an empty one is `{}`.
pub fn read_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, HttpProblem> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| {
        if !error.is_data() {
            return HttpProblem::invalid(format!("the body is no JSON document: {error}"));
        }
        // What serde says of a field, without the place in a text that a program wrote.
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        HttpProblem::invalid(format!("the body is not as expected: {message}"))
    })
}

/// A field whose text has a form of its own.
pub fn parsed<T>(
    field: &str,
    text: Option<&str>,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, HttpProblem> {
    text.map(parse).transpose().map_err(|message| HttpProblem::field(field, message))
}
