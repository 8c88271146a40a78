//! What all handlers share: the settings in force, the secrets, and the daemon that they belong to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::http::StatusCode;
use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::access::WebAccess;
use super::feed::HomeFeed;
use super::hosts::Hosts;
use super::options::PublicUrl;
use super::problem::HttpProblem;
use crate::core::background::begin_or_do;
use crate::core::clock::Clock;
use crate::ops::Error;
use crate::server::DaemonHandle;

/// Maximum operations that read or write files at the same time.
const MAX_OPERATIONS: usize = 16;
/// Maximum streams of events at the same time.
const MAX_STREAMS: usize = 64;

/// What all handlers share.
pub struct App {
    pub access: WebAccess,
    pub hosts: Hosts,
    /// What every path begins with: empty, or `/...`.
    pub base: String,
    pub public: Option<PublicUrl>,
    /// The address that is listened on, as in a URL; `unix:PATH` for a socket.
    pub listen: String,
    pub cookie: String,
    /// Whether nobody needs a token: whoever can open the socket may ask.
    pub is_socket: bool,
    pub is_read_only: bool,
    pub started: Timestamp,
    pub clock: Arc<dyn Clock>,
    pub daemon: DaemonHandle,
    /// Runs that begin and end.
    pub feed: HomeFeed,
    operations: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

/// What of an [`App`] depends on the address that is listened on.
pub struct BoundPlace {
    pub hosts: Hosts,
    pub listen: String,
    pub port: Option<u16>,
}

impl App {
    /// `options` are those that were checked, `place` is where they led.
    ///
    /// # Errors
    /// A setting is wrong.
    pub fn new(
        options: &super::WebOptions,
        place: BoundPlace,
        access: WebAccess,
        clock: Arc<dyn Clock>,
        daemon: DaemonHandle,
    ) -> Result<Self, Error> {
        Ok(Self {
            access,
            hosts: place.hosts,
            base: options.base()?,
            public: options.public()?,
            listen: place.listen,
            cookie: format!("runner_{}", place.port.unwrap_or(0)),
            is_socket: place.port.is_none(),
            is_read_only: options.read_only,
            feed: HomeFeed::new(clock.now().as_millisecond().unsigned_abs()),
            started: clock.now(),
            clock,
            daemon,
            operations: Arc::new(Semaphore::new(MAX_OPERATIONS)),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
        })
    }

    /// The folder of the home.
    pub fn home(&self) -> &Path {
        self.access.files().home()
    }

    /// The URL of the start page, with a `/` at its end; for a socket without a public URL, the socket.
    pub fn url(&self) -> String {
        match &self.public {
            Some(public) => {
                let scheme = if public.is_https { "https" } else { "http" };
                format!("{scheme}://{}{}/", public.authority, self.base)
            }
            None if self.is_socket => self.listen.clone(),
            None => format!("http://{}{}/", self.listen, self.base),
        }
    }

    /// A place among the streams of events, held as long as one goes on.
    ///
    /// # Errors
    /// There are as many as there may be.
    pub fn stream(&self) -> Result<OwnedSemaphorePermit, HttpProblem> {
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            let detail = format!("there are {MAX_STREAMS} streams of events already");
            HttpProblem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many", detail)
        })
    }

    /// Runs what reads or writes files where waiting for them holds up nobody else.
    ///
    /// # Errors
    /// What `work` says, as a problem.
    pub async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Path) -> Result<T, HttpProblem> + Send + 'static,
    ) -> Result<T, HttpProblem> {
        let Ok(permit) = Arc::clone(&self.operations).acquire_owned().await else {
            return Err(HttpProblem::internal("the server ends"));
        };
        let home: PathBuf = self.home().to_owned();
        let runtime = Handle::current();
        let done = begin_or_do("operation", move || {
            // Bodies that it begins are sent piece by piece by tasks.
            let _runtime = runtime.enter();
            let _permit = permit;
            work(&home)
        });
        done.await.unwrap_or_else(|_| {
            Err(HttpProblem::internal("the operation broke off; the log of the server says why"))
        })
    }
}
