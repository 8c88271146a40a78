//! Server-sent events of the home.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use tokio::sync::OwnedSemaphorePermit;

use super::stream::{EventSender, PieceSender, RESET, events, pieces};
use crate::server::web::app::App;
use crate::server::web::feed::PAUSE;
use crate::server::web::problem::HttpProblem;
use crate::server::web::query::Query;

/// The events of the home.
pub async fn of_home(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, HttpProblem> {
    query.done()?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse::<u64>().ok());
    let permit = app.stream()?;
    let shared = app.clone();
    let next = app.blocking(move |home| Ok(shared.feed.look(home)?)).await?;
    // A listener that comes back hears what it missed, or that it missed something.
    let (from, is_reset) = match last.map(|last| last.saturating_add(1)) {
        None => (next, false),
        Some(from) => match app.feed.since(from) {
            Some(_) => (from, false),
            None => (next, true),
        },
    };
    let (sender, body) = pieces();
    tokio::spawn(send(app, from, is_reset, sender, permit));
    Ok(events(body))
}

/// Sends until the reader has gone.
async fn send(
    app: Arc<App>,
    mut from: u64,
    is_reset: bool,
    sender: PieceSender,
    _permit: OwnedSemaphorePermit,
) {
    let Some(mut sender) = EventSender::begin(sender, is_reset).await else { return };
    loop {
        let shared = app.clone();
        // A history that cannot be read just now may be read later.
        let _ = app.blocking(move |home| Ok(shared.feed.look(home)?)).await;
        let (text, next) = match app.feed.since(from) {
            Some(found) => found,
            None => (RESET.to_owned(), app.feed.next()),
        };
        from = next;
        if !sender.send(text).await || !sender.pause(PAUSE).await {
            return;
        }
    }
}
