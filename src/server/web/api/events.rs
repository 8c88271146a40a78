//! Server-sent events of a run: what was, what comes, and the end; a log beside them if asked for.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use tokio::sync::OwnedSemaphorePermit;

use super::runs::named_node;
use super::stream::{EventSender, PieceSender, events, pieces};
use crate::ops::event_tail::{EventTail, LogFollower, NumberedEvent};
use crate::ops::node_arg::node_ref;
use crate::server::web::app::App;
use crate::server::web::problem::HttpProblem;
use crate::server::web::query::Query;

/// How often is looked for what is new.
const PAUSE: Duration = Duration::from_millis(100);
/// Maximum part of a log in one event, in bytes.
const MAX_LOG_BYTES: u64 = 64 << 10;

/// The events of a run.
pub async fn of_run(
    State(app): State<Arc<App>>,
    Path(run): Path<String>,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response, HttpProblem> {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse::<u64>().ok());
    let from_now = query.read("from", |text| match text {
        "now" => Ok(()),
        _ => Err("expected now".into()),
    });
    let (node, index) = named_node(&mut query, "log");
    let offset = query.value("log_offset", "a number of bytes").unwrap_or(0);
    query.done()?;
    let permit = app.stream()?;
    let (tail, log, is_reset) = app
        .blocking(move |home| {
            let mut tail = EventTail::open(Some(home), &run)?;
            let mut is_reset = false;
            match last {
                None if from_now.is_some() => _ = tail.skip_all(),
                None => {}
                Some(last) => {
                    // An id that the run has not reached is another run's, or that of a history that was lost.
                    is_reset = tail.skip_all() < last;
                    tail = EventTail::open(Some(home), &run)?;
                    tail.skip_to(if is_reset { 0 } else { last });
                }
            }
            let mut log = None;
            if let Some(node) = node {
                let wanted = node_ref(&node, index).map_err(HttpProblem::invalid)?;
                let follower = log.insert(LogFollower::new(wanted.to_owned()));
                // Who hears of all attempts needs no other start.
                if last.is_some() || from_now.is_some() {
                    follower.take_up(Some(home), &tail.run(), offset)?;
                }
            }
            Ok((tail, log, is_reset))
        })
        .await?;
    let (sender, body) = pieces();
    tokio::spawn(send(app, tail, log, is_reset, sender, permit));
    Ok(events(body))
}

/// Sends until the run has ended or the reader has gone.
async fn send(
    app: Arc<App>,
    mut tail: EventTail,
    mut log: Option<LogFollower>,
    is_reset: bool,
    sender: PieceSender,
    _permit: OwnedSemaphorePermit,
) {
    let Some(mut sender) = EventSender::begin(sender, is_reset).await else { return };
    loop {
        let step = app.blocking(move |_| {
            let mut text = String::new();
            let (events, mut has_more) = tail.read()?;
            for event in &events {
                write_event(&mut text, event);
                if let Some(log) = &mut log {
                    log.hear(event);
                }
            }
            // A log is read behind the events, so that all of an attempt is there when its end is.
            if let Some(part) = log.as_mut().and_then(|log| log.read(MAX_LOG_BYTES)) {
                let data = serde_json::to_string(&part).unwrap_or_default();
                text.push_str(&format!("event: log\ndata: {data}\n\n"));
                has_more = true;
            }
            Ok((tail, log, text, has_more))
        });
        let Ok((read_on, log_on, mut text, has_more)) = step.await else { return };
        (tail, log) = (read_on, log_on);
        let is_over = tail.is_over() && !has_more;
        if is_over {
            text.push_str("event: end\ndata: {}\n\n");
        }
        if !sender.send(text).await || is_over || (!has_more && !sender.pause(PAUSE).await) {
            return;
        }
    }
}

fn write_event(text: &mut String, event: &NumberedEvent) {
    // A line of JSON has no line break.
    text.push_str(&format!("id: {}\nevent: {}\ndata: {}\n\n", event.number, event.name, event.line));
}
