//! A run as one page of HTML that needs nothing else: no network, no other file, no script to be read.
//!
//! Whatever comes from tasks or files is text here: escaped by the template, made inert before, and a policy in the page
//! forbids everything but the page's own style and script. What is to be read beside the events, logs and files, is asked
//! from [`PageSources`].
//!
//! | file | owns |
//! |---|---|
//! | `rows.rs` | a node's row, attempts and details |
//! | `values.rs` | inputs and outputs, images |
//! | `gantt.rs` | when what was done |
//! | `page.html`, `page.css`, `page.js` | the page |

pub mod gantt;
mod rows;
mod values;

use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Zoned;

use crate::core::digest::Digest;
use crate::core::event::{Event, Status};
use crate::core::node_path::NodeRef;
use crate::core::run_id::RunId;
use crate::view::draw::style::STYLE;
use crate::view::draw::svg::svg;
use crate::view::draw::{Picture, State};
use crate::view::model::request::RequestView;
use crate::view::model::run::{Keep, RunState};
use crate::view::text::phrases::counts;
use crate::view::text::{age, duration, inert, size};
pub use rows::colour_by_state;
use rows::{NodeRow, Rows};
use values::{Field, ShownValues};

const CSS: &str = include_str!("page.css");
const JS: &str = include_str!("page.js");

/// What is read beside the events.
pub trait PageSources {
    /// The end of a log, at most `limit` bytes of it, and whether that is all; `None` if it is gone.
    fn log(&self, path: &str, limit: u64) -> Option<(Vec<u8>, bool)>;
    /// The content of a file of that digest and size; `None` unless the store has it and it is right.
    fn blob(&self, digest: &str, size: u64) -> Option<Vec<u8>>;
}

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'t> {
    run: &'t RunState,
    policy: String,
    css: &'static str,
    js: &'static str,
    state: &'static str,
    summary: String,
    facts: Vec<(&'static str, String)>,
    request: Vec<(String, String)>,
    failures: Vec<Failure>,
    warnings: Vec<(String, String)>,
    outputs: Vec<Field>,
    /// The drawing, or why there is none.
    drawing: Result<String, String>,
    legend: Vec<&'static str>,
    ticks: Vec<gantt::AxisTick>,
    rows: Vec<NodeRow>,
    left_out: String,
}

/// A failed node, on top of the page.
struct Failure {
    label: String,
    /// The number of its row.
    row: usize,
    gist: String,
    message: String,
    tail: String,
    command: String,
}

/// The page of a run, of whose workflow `picture` is the picture, or why there is none. `unfinished` is the word for a run
/// whose end is not among the events.
pub fn page(
    id: RunId,
    events: impl IntoIterator<Item = Event>,
    unfinished: &str,
    request: Option<RequestView>,
    picture: Result<Picture, String>,
    sources: &dyn PageSources,
    now: &Zoned,
) -> String {
    let mut run = RunState::from_events(id, events, unfinished, Keep::PAGE);
    if run.goes_on() {
        run.last = run.last.max(Some(now.timestamp()));
    }
    run.request = request;
    let mut rows = Rows::new(&run, sources, now);
    let shown = rows.all();
    let drawing = picture.and_then(|mut picture| {
        rows::colour(&mut picture, &run, &shown);
        svg(&picture, &run.workflow).ok_or_else(|| {
            format!("It has {} nodes: too many for a drawing that could be read.", picture.size())
        })
    });
    let warnings = run.warnings.iter().map(|warning| {
        let node = warning.node.as_deref().unwrap_or_default();
        (inert(node).into_owned(), lines(&warning.message))
    });
    let page = Page {
        policy: policy(),
        css: CSS,
        js: JS,
        state: match run.ended {
            Some(Status::Succeeded) => State::Executed.name(),
            Some(Status::Failed) => State::Failed.name(),
            Some(Status::Cancelled | Status::Skipped | Status::Detached) => State::Cancelled.name(),
            None => State::Running.name(),
        },
        summary: counts(&run.counts, run.saved_ms, run.ended == Some(Status::Succeeded)),
        facts: facts(&run, now),
        request: run.request.as_ref().map_or_else(Vec::new, RequestView::rows),
        failures: rows.failures(&shown),
        warnings: warnings.collect(),
        outputs: ShownValues::new(sources).outputs(&run.outputs),
        drawing,
        legend: State::ALL.map(State::name).to_vec(),
        ticks: gantt::ticks(run.length_ms()),
        left_out: rows.left_out(),
        rows: shown,
        run: &run,
    };
    // A template of which every part is text cannot fail.
    page.render().unwrap_or_default()
}

/// Forbids everything but the page's own style and script, and images that are in the page.
fn policy() -> String {
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Digest::of(text).0));
    format!(
        "default-src 'none'; img-src data:; style-src {} {}; script-src {}; base-uri 'none'; form-action 'none'",
        hash(CSS),
        hash(STYLE),
        hash(JS)
    )
}

fn facts(run: &RunState, now: &Zoned) -> Vec<(&'static str, String)> {
    let mut facts = vec![("run", run.id.to_string()), ("scope", format!("{}/{}", run.project, run.domain))];
    if let Some(started) = run.started {
        let local = started.to_zoned(now.time_zone().clone()).strftime("%Y-%m-%d %H:%M:%S %Z");
        facts.push(("started", format!("{local} ({})", age(started, now))));
    }
    facts.push((
        "took",
        match run.duration_ms {
            Some(ms) => duration(ms),
            None => format!("{} so far", duration(run.length_ms())),
        },
    ));
    if run.saved_ms > 0 {
        facts.push(("saved by the cache", duration(run.saved_ms)));
    }
    facts.extend(run.usage.cpu_ms.map(|ms| ("processor time", duration(ms))));
    facts.extend(run.usage.peak_memory.map(|bytes| ("peak memory of one process", size(bytes))));
    facts.into_iter().map(|(name, text)| (name, inert(&text).into_owned())).collect()
}

/// Text of several lines, each inert.
fn lines(text: &str) -> String {
    text.lines().map(inert).collect::<Vec<_>>().join("\n")
}

fn label(node: &str, index: Option<u64>) -> String {
    inert(&NodeRef::new(node, index).label()).into_owned()
}

#[cfg(test)]
mod tests;
