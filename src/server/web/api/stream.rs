//! Bodies that are not held in memory as a whole: files, and what a task of the server sends piece by piece.

use std::convert::Infallible;
use std::fs::File;
use std::io::Read;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::core::background::begin_or_do;

/// Size of a piece of a file, in bytes.
const CHUNK: usize = 256 << 10;
/// Pieces that wait for the reader; beside them one is being made and one is on its way.
const PIECES: usize = 2;
/// How long a reader may take nothing before it is cut off.
const STALL_TIME: Duration = Duration::from_secs(60);

/// A body made of the pieces that come through a channel.
struct Pieces(Receiver<Bytes>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

/// The sending end of a body.
pub struct PieceSender(Sender<Bytes>);

impl PieceSender {
    /// Sends a piece when the reader has room for it; whether it still reads.
    pub async fn send(&self, piece: impl Into<Bytes>) -> bool {
        matches!(tokio::time::timeout(STALL_TIME, self.0.send(piece.into())).await, Ok(Ok(())))
    }
}

/// How often a stream of events says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Tells the reader that it cannot go on from where it was.
pub const RESET: &str = "event: reset\ndata: {}\n\n";

/// The answer that is a stream of events.
pub fn events(body: Body) -> Response {
    ([(CONTENT_TYPE, "text/event-stream")], body).into_response()
}

/// The sending end of a stream of events.
pub struct EventSender {
    pieces: PieceSender,
    last_sent: Instant,
}

impl EventSender {
    /// Begins the stream; `None` if nobody reads it.
    pub async fn begin(pieces: PieceSender, is_reset: bool) -> Option<Self> {
        let rest = if is_reset { RESET } else { "\n" };
        let is_read = pieces.send(format!("retry: 2000\n{rest}")).await;
        is_read.then(|| Self { pieces, last_sent: Instant::now() })
    }

    /// Sends events, or where there are none for long a sign of life; whether the reader is still there.
    pub async fn send(&mut self, mut text: String) -> bool {
        if text.is_empty() && self.last_sent.elapsed() >= HEARTBEAT {
            text.push_str(": alive\n\n");
        }
        if text.is_empty() {
            return true;
        }
        self.last_sent = Instant::now();
        self.pieces.send(text).await
    }

    /// Waits for `time`; false at once when the reader has gone.
    pub async fn pause(&self, time: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(time) => true,
            () = self.pieces.0.closed() => false,
        }
    }
}

/// A body whose pieces are sent as they come.
pub fn pieces() -> (PieceSender, Body) {
    let (sender, receiver) = channel(PIECES);
    (PieceSender(sender), Body::new(Pieces(receiver)))
}

/// The first `size` bytes of a file.
pub fn of_file(file: File, size: u64) -> Body {
    let (sender, body) = pieces();
    let mut file = file.take(size);
    tokio::spawn(async move {
        loop {
            let read = begin_or_do("reading", move || {
                let mut chunk = Vec::with_capacity(CHUNK);
                // A file that cannot be read any further ends early, which its length shows.
                let _ = Read::by_ref(&mut file).take(CHUNK as u64).read_to_end(&mut chunk);
                (file, chunk)
            });
            let Ok((rest, chunk)) = read.await else { return };
            file = rest;
            if chunk.is_empty() || !sender.send(chunk).await {
                return;
            }
        }
    });
    body
}
