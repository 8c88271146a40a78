//! Files that tasks made, and the graph of a run. What a task made may show itself and do nothing else.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::json as answer;
use super::logs::attachment;
use super::runs::named_node;
use super::stream::of_file;
use crate::core::event::VERSION;
use crate::ops::node_arg::node_ref;
use crate::ops::output_file::{OutputContent, OutputRef, output_file};
use crate::ops::run_graph::{GraphQuery, graph};
use crate::server::web::app::App;
use crate::server::web::headers::FOREIGN_POLICY;
use crate::server::web::problem::HttpProblem;
use crate::server::web::query::Query;
use crate::view::draw::svg::svg;

/// Maximum steps around the focus of a graph.
const MAX_HOPS: usize = 100;

/// A file that a node or the run handed back; of a directory the list of its files.
pub async fn file(
    State(app): State<Arc<App>>,
    Path(run): Path<String>,
    mut query: Query,
) -> Result<Response, HttpProblem> {
    let (name, index) = named_node(&mut query, "node");
    let output = query.text("output");
    let path = query.text("path").unwrap_or_default();
    query.done()?;
    let output = output.ok_or_else(|| HttpProblem::field("output", "expected the name of an output"))?;
    app.blocking(move |home| {
        let node =
            name.as_deref().map(|name| node_ref(name, index)).transpose().map_err(HttpProblem::invalid)?;
        match output_file(Some(home), &run, OutputRef { node, output: &output, path: &path })? {
            OutputContent::Directory(files) => answer(&json!({"v": VERSION, "files": files})),
            OutputContent::File { name, size, file } => {
                let kind = kind(&name);
                let mut found = of_file(file, size).into_response();
                let headers = found.headers_mut();
                headers.insert(CONTENT_LENGTH, size.into());
                headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(FOREIGN_POLICY));
                headers.insert(
                    CONTENT_TYPE,
                    HeaderValue::from_static(kind.unwrap_or("application/octet-stream")),
                );
                if kind.is_none() {
                    headers.insert(CONTENT_DISPOSITION, attachment(&name));
                }
                Ok(found)
            }
        }
    })
    .await
}

/// The kind of what a browser may show: text and images; by the name, never by the content.
fn kind(name: &str) -> Option<&'static str> {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
    Some(match &*extension {
        "txt" | "log" | "md" | "csv" | "tsv" | "json" | "jsonl" | "toml" | "yaml" | "yml" | "xml" | "sql" => {
            "text/plain; charset=utf-8"
        }
        "html" | "htm" => "text/html; charset=utf-8",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "svg" => "image/svg+xml",
        _ => return None,
    })
}

/// The graph of a run, as a drawing or as data.
pub async fn run_graph(
    State(app): State<Arc<App>>,
    Path(run): Path<String>,
    mut query: Query,
) -> Result<Response, HttpProblem> {
    let focus = query.text("focus");
    let hops = query.read("hops", |text| match text.parse() {
        Ok(hops @ 0..=MAX_HOPS) => Ok(hops),
        _ => Err(format!("expected a number from 0 to {MAX_HOPS}")),
    });
    let is_whole = query.flag("all").unwrap_or(false);
    let is_data = query.read("format", |text| match text {
        "json" => Ok(true),
        "svg" => Ok(false),
        _ => Err("expected svg or json".into()),
    });
    query.done()?;
    app.blocking(move |home| {
        let found = graph(Some(home), &run, &GraphQuery { focus, hops, is_whole }, &|_| None)?;
        if is_data == Some(true) {
            return answer(&found.to_json());
        }
        let drawing = svg(&found.picture, &found.title).ok_or_else(|| {
            HttpProblem::conflict(format!(
                "{} nodes are too many for a drawing; ask for a focus or format=json",
                found.size
            ))
        })?;
        let headers = [(CONTENT_TYPE, "image/svg+xml"), (CONTENT_SECURITY_POLICY, FOREIGN_POLICY)];
        Ok((headers, drawing).into_response())
    })
    .await
}
