//! Logs: a window, a search, all of it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::json as answer;
use super::runs::named_node;
use super::stream::of_file;
use crate::core::event::VERSION;
use crate::ops::logs::{LogSearch, LogWindow, RunLogs, WindowStart, open_log};
use crate::ops::node_arg::node_ref;
use crate::server::web::app::App;
use crate::server::web::headers::FOREIGN_POLICY;
use crate::server::web::problem::HttpProblem;
use crate::server::web::query::Query;

/// Size of a window, usually and at most, in bytes.
const USUAL_WINDOW: u64 = 64 << 10;
const MAX_WINDOW: u64 = 1 << 20;
/// How many lines a search gives, usually and at most.
const USUAL_LINES: usize = 100;
const MAX_LINES: usize = 500;
/// Maximum length of the text that is searched for, in bytes.
const MAX_SEARCH_BYTES: usize = 1000;

/// What of a log is asked for.
enum Wanted {
    Window { start: WindowStart, limit: u64 },
    Search { text: String, from: (u64, u64), limit: usize },
    All,
}

/// A window of a log, the lines that have a text, or all of it.
pub async fn log(
    State(app): State<Arc<App>>,
    Path(run): Path<String>,
    mut query: Query,
) -> Result<Response, HttpProblem> {
    let (name, index) = named_node(&mut query, "node");
    let attempt: Option<u32> = query.value("attempt", "the number of an attempt");
    let wanted = wanted(&mut query);
    query.done()?;
    let name = name.ok_or_else(|| HttpProblem::field("node", "expected the name of a node"))?;
    app.blocking(move |home| {
        let logs = RunLogs::open(Some(home), &run)?;
        let node = node_ref(&name, index).map_err(HttpProblem::invalid)?;
        match wanted {
            Wanted::Window { start, limit } => Ok(of_window(logs.window(node, attempt, start, limit)?)),
            Wanted::Search { text, from, limit } => {
                let LogSearch { items, next } = logs.search(node, attempt, &text, from, limit)?;
                let next = next.map(|(offset, line)| format!("{offset}.{line}"));
                answer(&json!({"v": VERSION, "items": items, "next": next}))
            }
            Wanted::All => {
                let (path, _) = logs.locate(node, attempt)?;
                let file = open_log(&path).map_err(|error| {
                    HttpProblem::internal(format!("cannot read {}: {error}", path.display()))
                })?;
                let size = file.metadata().map_or(0, |found| found.len());
                let name =
                    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                let mut all = of_text(of_file(file, size));
                all.headers_mut().insert(CONTENT_LENGTH, size.into());
                all.headers_mut().insert(CONTENT_DISPOSITION, attachment(&format!("{}-{name}", logs.run())));
                Ok(all)
            }
        }
    })
    .await
}

fn wanted(query: &mut Query) -> Wanted {
    if query.flag("download") == Some(true) {
        return Wanted::All;
    }
    if let Some(text) = query.read("q", |text| match text.len() {
        0..=MAX_SEARCH_BYTES => Ok(text.to_owned()),
        _ => Err(format!("expected at most {MAX_SEARCH_BYTES} bytes")),
    }) {
        let from = query.read("cursor", |text| {
            let place = text
                .split_once('.')
                .and_then(|(offset, line)| Some((offset.parse().ok()?, line.parse().ok()?)));
            place.ok_or_else(|| "expected the `next` of a search".into())
        });
        let limit = query.read("limit", |text| match text.parse() {
            Ok(limit @ 1..=MAX_LINES) => Ok(limit),
            _ => Err(format!("expected a number from 1 to {MAX_LINES}")),
        });
        return Wanted::Search { text, from: from.unwrap_or((0, 1)), limit: limit.unwrap_or(USUAL_LINES) };
    }
    let limit = query.read("limit", |text| match text.parse() {
        Ok(limit @ 1..=MAX_WINDOW) => Ok(limit),
        _ => Err(format!("expected a number of bytes from 1 to {MAX_WINDOW}")),
    });
    let limit = limit.unwrap_or(USUAL_WINDOW);
    let offset = query.value::<i64>("offset", "a number of bytes, negative from the end");
    let line = query.value("line", "the number of a line");
    let start = match (line, offset) {
        (Some(line), _) => WindowStart::Line(line),
        (None, Some(offset @ 0..)) => WindowStart::At(offset.unsigned_abs()),
        (None, Some(offset)) => WindowStart::FromEnd(offset.unsigned_abs()),
        (None, None) => WindowStart::FromEnd(limit),
    };
    Wanted::Window { start, limit }
}

fn of_window(window: LogWindow) -> Response {
    let LogWindow { text, start, end, size, line, is_complete } = window;
    let mut answer = of_text(text.into());
    let headers = answer.headers_mut();
    for (name, value) in [("x-log-start", start), ("x-log-end", end), ("x-log-size", size)] {
        headers.insert(HeaderName::from_static(name), value.into());
    }
    if let Some(line) = line {
        headers.insert(HeaderName::from_static("x-log-line"), line.into());
    }
    let complete = HeaderValue::from_static(if is_complete { "true" } else { "false" });
    headers.insert(HeaderName::from_static("x-log-complete"), complete);
    answer
}

/// What a task printed: text, and nothing that a browser acts upon.
fn of_text(body: Body) -> Response {
    let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8"), (CONTENT_SECURITY_POLICY, FOREIGN_POLICY)];
    (headers, body).into_response()
}

/// A header that makes a browser save a file under this name.
pub fn attachment(name: &str) -> HeaderValue {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_graphic() && !"\"\\%;'".contains(c) { c } else { '_' }).collect();
    let full: String =
        form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20");
    HeaderValue::from_str(&format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{full}"))
        .unwrap_or_else(|_| HeaderValue::from_static("attachment"))
}
