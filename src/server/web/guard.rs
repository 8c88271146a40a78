//! Who may ask: the checks that every request passes, in their order, whatever its route.
//!
//! 1. `Host` is one of the server's names: else 403 `host_not_allowed`. Not over a socket in the file system.
//! 2. The token or a session: else 401. A few paths go without, and so does a socket, which its mode protects.
//! 3. Where the method may change something, `Origin` is one of the server's names, or, without one, `Sec-Fetch-Site` says that
//!    the request is from a page of ours: else 403 `origin_not_allowed`.

use axum::http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::app::App;
use super::problem::HttpProblem;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Who opened the socket.
    Socket,
    /// Who has the token.
    Token,
    /// A browser that logged in; the secret of its session.
    Session(String),
    /// Nobody known, on a path that is open to all.
    Anybody,
}

impl Caller {
    /// Whether it is one that may ask for a login code: who has the token already, and no browser.
    pub fn has_token(&self) -> bool {
        matches!(self, Self::Token | Self::Socket)
    }
}

/// Whether a path below the base path goes without token.
pub fn is_open(path: &str) -> bool {
    path == "/healthz" || path == "/login" || path.starts_with("/assets/")
}

/// Who asks, if that may be.
///
/// # Errors
/// The answer to a request that is refused.
pub fn admit(app: &App, request: &Parts) -> Result<Caller, HttpProblem> {
    check_host(app, request)?;
    let caller = identify(app, &request.headers);
    if caller == Caller::Anybody && !is_open(request.uri.path()) {
        let detail = "log in with the link that `runner web` prints, or send `Authorization: Bearer TOKEN` with the token \
                      in the home's file serve.token";
        return Err(HttpProblem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail));
    }
    if !matches!(request.method, Method::GET | Method::HEAD) {
        check_origin(app, &request.headers, &caller)?;
    }
    Ok(caller)
}

fn check_host(app: &App, request: &Parts) -> Result<(), HttpProblem> {
    // A request may name its host in the address as well; then that counts for those who look there.
    let in_address = request.uri.authority().is_none_or(|authority| app.hosts.allows(authority.as_str()));
    let is_known = match only(&request.headers, &HOST) {
        Some(host) => app.hosts.allows(host),
        None => app.hosts.any,
    };
    match in_address && is_known {
        true => Ok(()),
        false => {
            let detail = "the server was asked for by a name that is not its own; name it with --allow-host or --public-url";
            Err(HttpProblem::new(StatusCode::FORBIDDEN, "host_not_allowed", detail))
        }
    }
}

fn identify(app: &App, headers: &HeaderMap) -> Caller {
    if app.is_socket {
        return Caller::Socket;
    }
    let bearer = only(headers, &AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    if bearer.is_some_and(|token| app.access.is_token(token)) {
        return Caller::Token;
    }
    match cookie(headers, &app.cookie) {
        Some(secret) if app.access.is_session(secret) => Caller::Session(secret.to_owned()),
        _ => Caller::Anybody,
    }
}

fn check_origin(app: &App, headers: &HeaderMap, caller: &Caller) -> Result<(), HttpProblem> {
    let site = headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes);
    let is_ours = match headers.contains_key(ORIGIN) {
        true => only(headers, &ORIGIN).is_some_and(|origin| app.hosts.allows_origin(origin)),
        // A script says neither; a browser without `Origin` says at least where the request is from.
        false => match caller {
            Caller::Session(_) => site == Some(b"same-origin"),
            Caller::Socket | Caller::Token | Caller::Anybody => {
                site.is_none_or(|site| site == b"same-origin")
            }
        },
    };
    match is_ours {
        true => Ok(()),
        false => {
            let detail = "the request comes from a page of another origin";
            Err(HttpProblem::new(StatusCode::FORBIDDEN, "origin_not_allowed", detail))
        }
    }
}

/// The value of a header that is there once and is text.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.to_str().ok()).flatten()
}

/// The value of a cookie.
fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    pairs
        .flat_map(|pairs| pairs.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}
