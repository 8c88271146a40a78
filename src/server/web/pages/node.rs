//! One node or element: its log, why it ran, inputs, outputs, attempts.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map as JsonMap, Value as Json};

use super::parts::{StatusPart, TimePart, encode, node_address};
use super::text::{LogHtml, log_html};
use super::values::{ValueLine, value_lines};
use super::{PageFrame, page};
use crate::core::event::NodeKind;
use crate::core::node_path::{NodePath, NodeRef};
use crate::ops::inspect::{self, RUNNING};
use crate::ops::logs::{LogSearch, LogWindow, RunLogs, WindowStart};
use crate::ops::node_arg::node_ref;
use crate::ops::nodes::NodeStanding;
use crate::server::web::app::App;
use crate::server::web::problem::HttpProblem;
use crate::server::web::query::Query;
use crate::view::text::commands::logs_command;
use crate::view::text::node::NodeStory;
use crate::view::text::{count, duration, inert, size};

/// Size of the part of the log on the page, in bytes.
const WINDOW: u64 = 64 << 10;
/// Lines before the one that a link means.
const LINES_BEFORE: u64 = 20;
/// Maximum size of that part on the page, in bytes of HTML: short lines and markup are longer there.
const MAX_LOG_HTML: usize = 64 << 10;
/// Lines of a log that are seen at once, without scrolling.
const MAX_SEEN: u64 = 20;
/// Lines that a search shows.
const MAX_FOUND: usize = 50;

#[derive(Template)]
#[template(path = "node.html")]
struct NodePage {
    frame: PageFrame,
    run: String,
    label: String,
    task: String,
    status: StatusPart,
    facts: Vec<(&'static str, String)>,
    started: Option<TimePart>,
    error: String,
    /// The end of the log of a failure, where the log itself is longer than its window on the page.
    tail: String,
    log: LogCard,
    why: Vec<(&'static str, String)>,
    inputs: Vec<ValueLine>,
    outputs: Vec<ValueLine>,
    attempts: Vec<AttemptRow>,
    warnings: Vec<String>,
    /// The page that lists its elements.
    elements: Option<(String, u64)>,
    /// Where its result came from.
    source: Option<SourceLink>,
    command: String,
}

struct SourceLink {
    run: String,
    address: String,
    time: TimePart,
    note: String,
}

struct AttemptRow {
    number: u32,
    is_current: bool,
    address: String,
    words: String,
    took: String,
    began: TimePart,
}

/// The log, or why there is none.
struct LogCard {
    problem: String,
    lines: String,
    /// What of it is shown, in words.
    range: String,
    earlier: Option<String>,
    later: Option<String>,
    end: u64,
    is_complete: bool,
    /// The address of the part behind, to be followed.
    follow: String,
    raw: String,
    download: String,
    /// How many lines are shown.
    shown: u64,
    words: String,
    found: Option<Found>,
    /// The parameters that say which log it is.
    fields: Vec<(&'static str, String)>,
}

/// What a search of the log found.
struct Found {
    lines: Vec<FoundLine>,
    more: Option<String>,
}

struct FoundLine {
    number: u64,
    address: String,
    text: String,
}

/// What of the log is asked for.
struct Asked {
    attempt: Option<u32>,
    line: Option<u64>,
    offset: Option<u64>,
    /// The part that ends here.
    until: Option<u64>,
    words: Option<String>,
    from: (u64, u64),
}

/// The page of a node.
pub async fn show(
    State(app): State<Arc<App>>,
    Path((run, node)): Path<(String, String)>,
    mut query: Query,
) -> Result<Response, HttpProblem> {
    let index: Option<u64> = query.value("index", "the number of an element");
    let asked = Asked {
        attempt: query.value("attempt", "the number of an attempt"),
        line: query.value("line", "the number of a line"),
        offset: query.value("offset", "a number of bytes"),
        until: query.value("until", "a number of bytes"),
        words: query.text("q"),
        from: query
            .read("cursor", |text| {
                let place =
                    text.split_once('.').and_then(|(at, line)| Some((at.parse().ok()?, line.parse().ok()?)));
                place.ok_or_else(|| "expected a place in the log".into())
            })
            .unwrap_or((0, 1)),
    };
    query.done()?;
    let shared = app.clone();
    let made = app
        .blocking(move |home| {
            let wanted = node_ref(&node, index).map_err(HttpProblem::invalid)?;
            let story = inspect::node(Some(home), &run, wanted)?;
            let log = log_card(&shared, home, &story, wanted, &asked);
            Ok(node_page(&shared, story, log, &asked))
        })
        .await?;
    Ok(page(StatusCode::OK, &made))
}

fn clean(text: &str) -> String {
    inert(text).into_owned()
}

fn node_page(app: &App, story: NodeStory, log: LogCard, asked: &Asked) -> NodePage {
    let path = NodePath { node: story.node.clone(), index: story.index };
    let label = clean(&path.borrowed().label());
    let finished = story.finished.as_ref();
    let standing = match finished {
        Some(node) => NodeStanding::Ended(node.status),
        None if story.run_status != RUNNING => NodeStanding::Interrupted,
        None if story.starts.is_empty() && story.elements.is_none() => NodeStanding::Waiting,
        None => NodeStanding::Running,
    };
    let status = StatusPart::of_standing(standing, finished.and_then(|node| node.cache));
    let error = finished.filter(|node| node.error.is_some()).map(|node| {
        let error = node.error.as_ref().filter(|error| error.exit_code.is_none());
        error.map_or_else(|| node.failure(), |error| error.message.trim().to_owned())
    });
    let failure = finished.and_then(|node| node.error.as_ref()).filter(|_| log.shown > MAX_SEEN);
    let node = path.borrowed();
    let empty = serde_json::Map::new();
    let values = |values, has_files| node_values(app, &story.run, node, values, has_files);
    NodePage {
        frame: PageFrame::new(app, format!("{label} in {} {}", story.run, status.word), "runs"),
        run: story.run.to_string(),
        task: finished.map_or_else(String::new, |node| clean(&node.task)),
        facts: facts(&story),
        started: story.starts.last().map(|start| TimePart::new(start.time)),
        tail: failure.map_or_else(String::new, |error| log_html(error.tail.join("\n").as_bytes(), None)),
        error: error.unwrap_or_default().lines().map(inert).collect::<Vec<_>>().join("\n"),
        why: why(&story),
        inputs: values(finished.map_or(&empty, |node| &node.inputs), false),
        outputs: values(finished.map_or(&empty, |node| &node.outputs), true),
        attempts: attempts(&story, node, asked.attempt),
        warnings: story.warnings.iter().map(|warning| clean(&warning.message)).collect(),
        elements: story.elements.map(|elements| (encode(&story.node), elements)),
        source: finished.and_then(|node| node.source.as_ref()).map(|source| {
            let from = NodeRef::parse(&source.node);
            SourceLink {
                run: clean(&source.run),
                address: node_address(&source.run, from.node, from.index),
                time: TimePart::new(source.time),
                note: clean(&source.note()),
            }
        }),
        command: logs_command(&story.run, &story.node, story.index),
        label,
        status,
        log,
    }
}

fn facts(story: &NodeStory) -> Vec<(&'static str, String)> {
    let Some(node) = &story.finished else {
        return story.waits.last().map(|wait| ("Waiting", clean(&wait.reason))).into_iter().collect();
    };
    let mut facts = Vec::new();
    if node.attempts > 0 || node.counts.is_some() {
        facts.push(("Took", duration(node.duration_ms)));
    }
    facts.extend((node.attempts > 1).then(|| ("Attempts", node.attempts.to_string())));
    facts.extend(node.cache.map(|cache| ("Cache", cache.to_string())));
    facts.extend((node.saved_ms > 0).then(|| ("Saved", duration(node.saved_ms))));
    facts.extend(node.cpu_ms.map(|ms| ("Processor", duration(ms))));
    facts.extend(node.peak_memory.map(|bytes| ("Peak memory", size(bytes))));
    let waited = story.starts.last().map(|start| start.waited_ms).filter(|ms| *ms >= 100);
    facts.extend(waited.map(|ms| ("Waited", duration(ms))));
    let places = [("Executor", &node.executor), ("Job", &node.job), ("Host", &node.host)];
    facts.extend(places.into_iter().filter_map(|(name, text)| Some((name, clean(text.as_deref()?)))));
    facts
}

fn why(story: &NodeStory) -> Vec<(&'static str, String)> {
    let Some(node) = &story.finished else { return Vec::new() };
    let lines = |text: &str| text.lines().map(inert).collect::<Vec<_>>().join("\n");
    let mut rows = Vec::new();
    rows.extend(node.reason.as_ref().map(|reason| ("Reason", lines(reason))));
    rows.extend(node.why.as_ref().map(|why| ("Missed", lines(&why.text()))));
    if let Some(why) = &node.why {
        let details = crate::view::text::why::details_plain(why);
        rows.extend((!details.is_empty()).then_some(("Differs", details)));
    }
    rows.extend(node.key.map(|key| ("Key", key.hex())));
    rows
}

fn attempts(story: &NodeStory, node: NodeRef, asked: Option<u32>) -> Vec<AttemptRow> {
    let last = story.starts.last().map(|start| start.attempt);
    let bare = node_address(&story.run, node.node, node.index);
    let join = if bare.contains('?') { '&' } else { '?' };
    story
        .starts
        .iter()
        .map(|start| {
            let failed = story.failed_attempts.iter().find(|failed| failed.attempt == start.attempt);
            let ended = story.finished.as_ref().filter(|node| node.attempts == start.attempt);
            let (words, took) = match (failed, ended) {
                (Some(failed), _) => (failed.error.gist(), duration(failed.duration_ms)),
                (None, Some(node)) => (node.status.to_string(), duration(node.duration_ms)),
                (None, None) => ("under way".into(), String::new()),
            };
            AttemptRow {
                number: start.attempt,
                is_current: asked.or(last) == Some(start.attempt),
                address: format!("{bare}{join}attempt={}", start.attempt),
                words,
                took,
                began: TimePart::new(start.time),
            }
        })
        .collect()
}

fn log_card(app: &App, home: &std::path::Path, story: &NodeStory, node: NodeRef, asked: &Asked) -> LogCard {
    let mut fields: Vec<(&'static str, String)> = Vec::new();
    fields.extend(node.index.map(|index| ("index", index.to_string())));
    fields.extend(asked.attempt.map(|attempt| ("attempt", attempt.to_string())));
    let query = |more: &[(&str, String)]| {
        let pairs = fields.iter().map(|(name, value)| (*name, value.clone())).chain(more.iter().cloned());
        form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    };
    let name = encode(node.node);
    let api = format!("{}/api/runs/{}", app.base, story.run);
    let all = query(&[("download", "1".to_owned())]);
    let index = node.index.map_or(String::new(), |index| format!("&index={index}"));
    let mut card = LogCard {
        problem: String::new(),
        lines: String::new(),
        range: String::new(),
        earlier: None,
        later: None,
        end: 0,
        is_complete: true,
        follow: format!("{api}/events?from=now&log={name}{index}"),
        raw: format!("{api}/log?node={name}&{}", query(&[("limit", (1 << 20).to_string())])),
        download: format!("{api}/log?node={name}&{all}"),
        shown: 0,
        words: asked.words.clone().unwrap_or_default(),
        found: None,
        fields: fields.clone(),
    };
    // What sums up others has no log of its own.
    if story.elements.is_some() || story.finished.as_ref().is_some_and(|node| node.kind != NodeKind::Task) {
        card.problem = "it is made of others, which have logs of their own".into();
        return card;
    }
    let (start, limit, keeps_end) = match (asked.line, asked.offset, asked.until) {
        (Some(line), ..) => (WindowStart::Line(line.saturating_sub(LINES_BEFORE).max(1)), WINDOW, false),
        (None, Some(offset), _) => (WindowStart::At(offset), WINDOW, false),
        (None, None, Some(until)) => (WindowStart::At(until.saturating_sub(WINDOW)), until.min(WINDOW), true),
        (None, None, None) => (WindowStart::FromEnd(WINDOW), WINDOW, true),
    };
    let read = RunLogs::open(Some(home), &story.run).and_then(|logs| {
        let window = logs.window(node, asked.attempt, start, limit)?;
        let found =
            asked.words.as_ref().map(|words| logs.search(node, asked.attempt, words, asked.from, MAX_FOUND));
        Ok((window, found.transpose()?))
    });
    let (window, found) = match read {
        Ok(read) => read,
        Err(error) => {
            card.problem = clean(&error.to_string());
            return card;
        }
    };
    let LogWindow { text, start, end, size: all, line, is_complete } = window;
    let part = LogHtml::of(&text, line, keeps_end, MAX_LOG_HTML);
    let (start, end) = (start + part.bytes_before, end - part.bytes_behind);
    let line = line.map(|line| line + part.lines_before);
    let lines = part.lines;
    (card.lines, card.shown) = (part.html, lines);
    card.range = match (all, line) {
        (0, _) => "nothing was printed".into(),
        (_, Some(line)) if lines > 0 => format!("lines {} to {}", count(line), count(line + lines - 1)),
        _ => format!("{} of {}", size(end - start), size(all)),
    };
    if all > 0 && (start > 0 || end < all) {
        card.range.push_str(&format!(" of {}", size(all)));
    }
    card.earlier = (start > 0).then(|| query(&[("until", start.to_string())]));
    card.later = (end < all).then(|| query(&[("offset", end.to_string())]));
    (card.end, card.is_complete) = (end, is_complete && end == all);
    card.found = found.map(|LogSearch { items, next }| Found {
        lines: items
            .into_iter()
            .map(|item| FoundLine {
                number: item.line,
                address: format!("{}#L{}", query(&[("line", item.line.to_string())]), item.line),
                text: clean(&item.text),
            })
            .collect(),
        more: next.map(|(offset, line)| {
            query(&[("q", card.words.clone()), ("cursor", format!("{offset}.{line}"))])
        }),
    });
    card
}

/// Values of a node with the addresses of its files.
fn node_values(
    app: &App,
    run: &str,
    node: NodeRef,
    values: &JsonMap<String, Json>,
    has_files: bool,
) -> Vec<ValueLine> {
    let base = app.base.clone();
    let address = |output: &str| {
        let index = node.index.map_or(String::new(), |index| format!("&index={index}"));
        let (name, output) = (encode(node.node), encode(output));
        has_files.then(|| format!("{base}/api/runs/{run}/file?node={name}{index}&output={output}"))
    };
    value_lines(values, &address)
}
