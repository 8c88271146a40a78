//! Tests of the interface as a whole, without sockets: requests go in where a connection would put them.

mod guard;
mod login;
mod runs;
mod schema;
mod served;
mod sockets;
mod style;

use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use self::schema::check_answer;
use super::access::WebAccess;
use super::answer::answer;
use super::api::server::OPENAPI;
use super::app::{App, BoundPlace};
use super::hosts::Hosts;
use super::options::WebOptions;
use super::routes::{Route, routes};
use crate::core::clock::Clock;
use crate::ops::web_access::ServeFiles;
use crate::server::DaemonHandle;
use crate::server::handle::DaemonCommand;

struct SetClock(Mutex<Timestamp>);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// A server on a home of its own.
struct Server {
    dir: tempfile::TempDir,
    app: Arc<App>,
    router: Router,
    table: Vec<Route>,
    token: String,
    /// What the daemon is asked for.
    commands: UnboundedReceiver<DaemonCommand>,
}

/// What came back.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The code of the problem; empty where it is none.
    fn code(&self) -> String {
        match self.header("content-type") {
            "application/problem+json" => self.json()["code"].as_str().unwrap().to_owned(),
            _ => String::new(),
        }
    }
}

/// A daemon that serves nothing and does what its commands are taken for.
fn idle() -> (DaemonHandle, UnboundedReceiver<DaemonCommand>) {
    let (sender, commands) = unbounded_channel();
    (DaemonHandle::new(sender), commands)
}

static DESCRIPTION: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(OPENAPI).unwrap());

/// Whether the description should have this path.
fn request_is_api(path: &str) -> bool {
    path.starts_with("/api/") || ["/healthz", "/metrics", "/logout"].contains(&path)
}

async fn first_piece(mut body: Body) -> Vec<u8> {
    body.frame().await.unwrap().unwrap().into_data().unwrap().to_vec()
}

impl Server {
    fn new() -> Self {
        Self::with(&WebOptions::default())
    }

    fn with(options: &WebOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let is_socket = options.listen.starts_with("unix:");
        let public = options.public().unwrap();
        let place = match is_socket {
            true => BoundPlace {
                hosts: Hosts::of_socket(&options.allow_host, public.as_ref()),
                listen: options.listen.clone(),
                port: None,
            },
            false => BoundPlace {
                hosts: Hosts::of_address(
                    "127.0.0.1:7070".parse().unwrap(),
                    &options.allow_host,
                    public.as_ref(),
                ),
                listen: "127.0.0.1:7070".into(),
                port: Some(7070),
            },
        };
        let (daemon, commands) = idle();
        let clock = Arc::new(SetClock(Mutex::new("2026-11-28T10:00:00Z".parse().unwrap())));
        let files = ServeFiles::open(Some(dir.path()), None).unwrap();
        let token = files.token().unwrap().text;
        let access = WebAccess::open(files, clock.clone()).unwrap();
        let app = Arc::new(App::new(options, place, access, clock, daemon).unwrap());
        let routes = routes(&app);
        let table = routes.table.clone();
        Self { dir, app, router: routes.router(), table, token, commands }
    }

    fn home(&self) -> &Path {
        self.dir.path()
    }

    /// A request as a script sends it, but for the token.
    fn request(&self, method: Method, path: &str) -> axum::http::request::Builder {
        Request::builder().method(method).uri(path).header("host", "127.0.0.1:7070")
    }

    async fn send(&self, request: axum::http::request::Builder, body: impl Into<Body>) -> Answer {
        let request = request.body(body.into()).unwrap();
        // That stream has no end.
        let (method, path) = (request.method().as_str().to_lowercase(), request.uri().path().to_owned());
        let is_endless = request.uri().path() == "/api/events" && request.method() == Method::GET;
        let (parts, body) = answer(self.app.clone(), self.router.clone(), request).await.into_parts();
        let body = match is_endless && parts.status == StatusCode::OK {
            true => first_piece(body).await,
            false => to_bytes(body, usize::MAX).await.unwrap().to_vec(),
        };
        let answer = Answer { status: parts.status, headers: parts.headers, body };
        // Every answer of every test is held to the description.
        if method != "head" && request_is_api(&path) {
            let (status, kind) = (answer.status.as_u16(), answer.header("content-type"));
            let checked = check_answer(&DESCRIPTION, &method, &path, status, kind, &answer.body);
            checked.unwrap_or_else(|wrong| panic!("{wrong}: {}", answer.text()));
        }
        answer
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// Gets something with the token.
    async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path).header("authorization", self.bearer()), "").await
    }

    /// Posts something with the token.
    async fn post(&self, path: &str, body: &str) -> Answer {
        self.send(self.request(Method::POST, path).header("authorization", self.bearer()), body.to_owned())
            .await
    }
}
