//! Everything that is stored, read again: what is damaged.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::{PageFrame, page};
use crate::ops::results::KEY_DIGITS;
use crate::ops::verify::{Broken, Findings, VerifyProgress, verify};
use crate::server::web::app::App;
use crate::server::web::problem::HttpProblem;
use crate::view::text::{count, inert, size};

/// Maximum lines of what is wrong.
const MAX_LINES: usize = 200;

#[derive(Template)]
#[template(path = "verify.html")]
struct VerifyPage {
    frame: PageFrame,
    summary: String,
    is_sound: bool,
    lines: Vec<String>,
    more: usize,
}

/// Nobody watches while it reads.
struct Unwatched;

impl VerifyProgress for Unwatched {
    fn begin(&self, _: u64) {}
    fn advance(&self, _: u64) {}
    fn end(&self) {}
}

/// Reads everything and says what is wrong; damaged files are set aside, so that what needs them runs again.
pub async fn show(State(app): State<Arc<App>>) -> Result<Response, HttpProblem> {
    let shared = app.clone();
    let made = app.blocking(move |home| Ok(verify_page(&shared, &verify(Some(home), &Unwatched)?.0))).await?;
    Ok(page(StatusCode::OK, &made))
}

fn verify_page(app: &App, findings: &Findings) -> VerifyPage {
    let mut lines: Vec<String> =
        findings.database.iter().map(|problem| format!("the database: {problem}")).collect();
    lines.extend(findings.damaged.iter().map(ToString::to_string));
    lines.extend(findings.broken.iter().map(|Broken { entry, problem }| {
        let (key, found) = (&entry.key.hex()[..KEY_DIGITS], &entry.found);
        format!("{key} {} ({} of run {}): {problem}", entry.task, found.node, found.run)
    }));
    let more = lines.len().saturating_sub(MAX_LINES);
    lines.truncate(MAX_LINES);
    VerifyPage {
        frame: PageFrame::new(app, "Verify", "cache"),
        summary: format!(
            "{} files ({}) and {} results read",
            count(findings.files),
            size(findings.bytes),
            count(findings.results)
        ),
        is_sound: findings.is_sound(),
        lines: lines.iter().map(|line| inert(line).into_owned()).collect(),
        more,
    }
}
