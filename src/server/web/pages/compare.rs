//! Two runs side by side: what was asked for differently, what changed first, what followed.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::changes::{ChangeLine, node_lines, values};
use super::parts::{MixPart, StatusPart, TimePart, maybe_duration};
use super::{PageFrame, page};
use crate::ops::diff::diff;
use crate::server::web::app::App;
use crate::server::web::problem::HttpProblem;
use crate::server::web::query::Query;
use crate::view::model::run_diff::{DiffRole, RunDiff};
use crate::view::model::run_row::RunRow;
use crate::view::text::{count, inert};

/// Maximum lines of a group.
const MAX_LINES: usize = 200;

#[derive(Template)]
#[template(path = "compare.html")]
struct ComparePage {
    frame: PageFrame,
    sides: Vec<Side>,
    groups: Vec<Group>,
    folded: Vec<String>,
    same: String,
    /// The address of the same, the other way round.
    turned: String,
}

struct Side {
    name: &'static str,
    id: String,
    workflow: String,
    status: StatusPart,
    started: TimePart,
    took: String,
    mix: MixPart,
}

struct Group {
    heading: &'static str,
    lines: Vec<ChangeLine>,
    more: usize,
}

/// The page; the run in front in the address is the later one.
pub async fn show(
    State(app): State<Arc<App>>,
    Path((run, with)): Path<(String, String)>,
    query: Query,
) -> Result<Response, HttpProblem> {
    query.done()?;
    let found = app.blocking(move |home| Ok(diff(Some(home), &with, Some(&run))?)).await?;
    let (before, after) = (&found.before, &found.after);
    Ok(page(
        StatusCode::OK,
        &ComparePage {
            frame: PageFrame::new(&app, format!("{} and {}", after.id, before.id), "runs"),
            turned: format!("/runs/{}/compare/{}", before.id, after.id),
            sides: vec![side("Before", before), side("After", after)],
            groups: groups(&found),
            folded: found
                .folded
                .iter()
                .map(|folded| {
                    format!(
                        "{}: {} elements before, {} after, {} differ",
                        inert(&folded.node),
                        count(folded.before),
                        count(folded.after),
                        count(folded.differ)
                    )
                })
                .collect(),
            same: count(found.same),
        },
    ))
}

fn side(name: &'static str, run: &RunRow) -> Side {
    Side {
        name,
        id: run.id.to_string(),
        workflow: inert(&run.workflow).into_owned(),
        status: StatusPart::of_run(&run.status, &run.counts),
        started: TimePart::new(run.started),
        took: maybe_duration(run.duration_ms),
        mix: MixPart { counts: run.counts, ..MixPart::default() },
    }
}

fn groups(diff: &RunDiff) -> Vec<Group> {
    let of_role = |role: DiffRole| {
        let nodes = diff.nodes.iter().filter(move |node| node.role == role);
        nodes.flat_map(node_lines).collect::<Vec<_>>()
    };
    let first = if diff.linked { "Changed first" } else { "Changed" };
    let groups = [
        ("Asked for", diff.asked.iter().map(|change| values("", change)).collect()),
        (first, of_role(DiffRole::Cause)),
        ("Followed from that", of_role(DiffRole::Consequence)),
        ("Same result, otherwise had", of_role(DiffRole::Aside)),
        ("Outputs", diff.outputs.iter().map(|change| values("", change)).collect()),
    ];
    groups
        .into_iter()
        .filter(|(_, lines): &(_, Vec<ChangeLine>)| !lines.is_empty())
        .map(|(heading, mut lines)| {
            let more = lines.len().saturating_sub(MAX_LINES);
            lines.truncate(MAX_LINES);
            Group { heading, lines, more }
        })
        .collect()
}
