//! Sockets, and the limits of a connection: how large a head may be, how long a client may take, how many there are.

use std::future::Future;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, pin};

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixSocket, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::access::WebAccess;
use super::answer::{MAX_HEAD_BYTES, answer};
use super::app::{App, BoundPlace};
use super::hosts::Hosts;
use super::options::{Listen, WebOptions, is_loopback};
use super::routes::routes;
use crate::core::clock::Clock;
use crate::ops::Error;
use crate::ops::web_access::{ServeAddress, ServeFiles};
use crate::server::DaemonHandle;

/// Up to this size a head is read, in bytes; whether it is too large is seen then.
const HEAD_BUFFER_BYTES: usize = 2 * MAX_HEAD_BYTES;
/// How long a client has to send it.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Maximum connections at a time; who comes later waits.
const MAX_CONNECTIONS: usize = 512;
/// How long answers under way may go on when the server ends.
const END_TIME: Duration = Duration::from_secs(2);
/// How long nothing is accepted after an error, such as too many open files.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, #[expect(dead_code, reason = "removes the file when it is dropped")] SocketFile),
}

/// The HTTP interface, listening and not yet answering.
pub struct Web {
    app: Arc<App>,
    router: Router,
    socket: Socket,
    address: ServeAddress,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Listens where `options` say.
///
/// # Errors
/// A setting is wrong, the address is taken, or a file of the home cannot be used.
pub async fn listen(options: &WebOptions, clock: Arc<dyn Clock>, daemon: DaemonHandle) -> Result<Web, Error> {
    let address = options.address()?;
    let (base, public) = (options.base()?, options.public()?);
    let files = ServeFiles::open(options.home.as_deref(), options.token_file.as_deref())?;
    let token_file = files.token_path();
    let access = WebAccess::open(files, clock.clone())?;
    let mut warnings = Vec::new();
    let failed = |error: io::Error| Error::failed(format!("cannot listen on {}: {error}", options.listen));
    let (socket, place) = match address {
        Listen::Tcp(wanted) => {
            let listener = TcpListener::bind(wanted).await.map_err(|error| match error.kind() {
                io::ErrorKind::AddrInUse => {
                    failed(error).hint("another program has it; `--listen 127.0.0.1:0` takes a free port")
                }
                _ => failed(error),
            })?;
            let bound = listener.local_addr().map_err(failed)?;
            if !is_loopback(bound.ip()) {
                warnings.push(format!(
                    "{bound} can be reached from other machines, and what is sent there is not encrypted; put a proxy with TLS \
                     in front of it"
                ));
            }
            let hosts = Hosts::of_address(bound, &options.allow_host, public.as_ref());
            let place = BoundPlace { hosts, listen: bound.to_string(), port: Some(bound.port()) };
            (Socket::Tcp(listener), place)
        }
        Listen::Unix(path) => {
            let path = std::path::absolute(path).map_err(failed)?;
            let (listener, file) = bind_unix(&path).await.map_err(failed)?;
            let hosts = Hosts::of_socket(&options.allow_host, public.as_ref());
            let place = BoundPlace { hosts, listen: format!("unix:{}", path.display()), port: None };
            (Socket::Unix(listener, file), place)
        }
    };
    let address = ServeAddress::new(place.listen.clone(), base, token_file);
    let app = Arc::new(App::new(options, place, access, clock, daemon)?);
    app.access.files().write_address(&address)?;
    let router = routes(&app).router();
    Ok(Web { app, router, socket, address, warnings })
}

impl Web {
    /// The URL of the start page.
    pub fn url(&self) -> String {
        self.app.url()
    }

    /// A link that logs in once; `None` where nobody needs to.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn login_url(&self) -> Result<Option<String>, Error> {
        if self.app.is_socket {
            return Ok(None);
        }
        let code = self.app.access.new_code()?.code;
        Ok(Some(format!("{}login?code={code}", self.url())))
    }

    /// Answers until `end` comes; answers under way then have a moment more.
    pub async fn serve(self, end: impl Future<Output = ()>) {
        let mut end = pin::pin!(end);
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let (ending, ended) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut events = self.app.daemon.subscribe();
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
            let accepted = tokio::select! {
                () = &mut end => break,
                Some(_) = connections.join_next() => continue,
                event = events.recv() => {
                    // Of events that came too fast some are missing; pages ask again anyway.
                    event.iter().for_each(|event| self.app.feed.note(event));
                    continue;
                }
                accepted = self.socket.accept() => accepted,
            };
            let Ok(stream) = accepted else {
                tokio::time::sleep(ERROR_PAUSE).await;
                continue;
            };
            let (app, router, ended) = (self.app.clone(), self.router.clone(), ended.clone());
            connections.spawn(async move {
                let _place = place;
                match stream {
                    Accepted::Tcp(stream) => connection(app, router, stream, ended).await,
                    Accepted::Unix(stream) => connection(app, router, stream, ended).await,
                }
            });
        }
        self.app.access.files().remove_address(&self.address);
        let _ = ending.send(true);
        let rest = async { while connections.join_next().await.is_some() {} };
        // Streams of events have no end of their own.
        let _ = tokio::time::timeout(END_TIME, rest).await;
    }
}

enum Accepted {
    Tcp(tokio::net::TcpStream),
    Unix(UnixStream),
}

impl Socket {
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Events are small and should not wait for each other.
                let _ = stream.set_nodelay(true);
                Ok(Accepted::Tcp(stream))
            }
            Self::Unix(listener, _) => Ok(Accepted::Unix(listener.accept().await?.0)),
        }
    }
}

/// Answers the requests of one connection, one after the other.
async fn connection(
    app: Arc<App>,
    router: Router,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    mut ended: watch::Receiver<bool>,
) {
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let (app, router) = (app.clone(), router.clone());
        async move { Ok::<_, std::convert::Infallible>(answer(app, router, request.map(Body::new)).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_BUFFER_BYTES);
    let mut connection = pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let end = async move {
        let _ = ended.wait_for(|ended| *ended).await;
    };
    // A client that went away is no failure of ours.
    let _ = tokio::select! {
        done = &mut connection => done,
        () = end => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
}

/// The file of a socket, removed when the server ends.
struct SocketFile {
    path: PathBuf,
    ino: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another one in its place is another server's.
        if fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.ino) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A socket in the file system, for its owner alone from the moment that it can be reached.
async fn bind_unix(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    clear_place(path).await?;
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    // Nobody can connect before `listen`.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    let file = SocketFile { path: path.to_owned(), ino: fs::symlink_metadata(path)?.ino() };
    Ok((socket.listen(1024)?, file))
}

/// Removes the socket of a server that was killed; whatever else is there stays, and is refused.
async fn clear_place(path: &Path) -> io::Result<()> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    let taken = |what: &str| Err(io::Error::new(io::ErrorKind::AlreadyExists, what.to_owned()));
    if !found.file_type().is_socket() {
        return taken("something else lies there");
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => taken("another server has this socket"),
    }
}
