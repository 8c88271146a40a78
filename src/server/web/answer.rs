//! The way of a request: base path, guard, size of its body, route, headers. Everything that is answered went through here.

use std::convert::Infallible;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::{ACCEPT, CONTENT_LENGTH, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, Method, Request, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use http_body_util::LengthLimitError;
use tower_service::Service;

use super::app::App;
use super::guard::admit;
use super::problem::HttpProblem;
use super::{headers, pages};

/// Maximum size of a body, in bytes.
pub const MAX_BODY_BYTES: usize = 1 << 20;
/// Maximum size of the head of a request, in bytes.
pub const MAX_HEAD_BYTES: usize = 64 << 10;
/// How long a client has to send a body.
const BODY_TIME: Duration = Duration::from_secs(10);

/// Answers a request.
pub async fn answer(app: Arc<App>, router: Router, request: Request<Body>) -> Response {
    headers::finish(route(&app, router, request).await)
}

async fn route(app: &Arc<App>, mut router: Router, request: Request<Body>) -> Response {
    let (mut parts, body) = request.into_parts();
    let is_for_person = wants_page(&parts);
    if head_size(&parts) > MAX_HEAD_BYTES {
        let detail = format!("the head of a request has at most {MAX_HEAD_BYTES} bytes");
        return HttpProblem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "too_large", detail)
            .into_response();
    }
    strip_base(&app.base, &mut parts.uri);
    match admit(app, &parts) {
        Ok(caller) => parts.extensions.insert(caller),
        Err(problem) if problem.status == StatusCode::UNAUTHORIZED => {
            return unauthorized(app, &parts.uri, is_for_person, problem);
        }
        Err(problem) => return problem.into_response(),
    };
    let announced = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > MAX_BODY_BYTES as u64) {
        return too_large().into_response();
    }
    let body = match parts.method {
        // Nobody reads it.
        Method::GET | Method::HEAD => Body::empty(),
        _ => match read(body).await {
            Ok(bytes) => bytes.into(),
            Err(problem) => return problem.into_response(),
        },
    };
    let answered: Result<Response, Infallible> = router.call(Request::from_parts(parts, body)).await;
    let Ok(mut answer) = answered;
    match answer.extensions_mut().remove::<HttpProblem>() {
        Some(problem) if is_for_person => pages::problem(app, &problem),
        _ => answer,
    }
}

/// Whether a person sees what comes back, in a browser.
fn wants_page(head: &Parts) -> bool {
    let accept = head.headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html")) && !head.uri.path().contains("/api/")
}

/// The size of a head, without what separates its parts.
fn head_size(head: &Parts) -> usize {
    let uri = head.uri.path_and_query().map_or(0, |path| path.as_str().len());
    let headers = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    uri + headers.sum::<usize>()
}

/// Takes the base path away, where a proxy has not done so.
fn strip_base(base: &str, uri: &mut Uri) {
    let Some(rest) = uri.path().strip_prefix(base).filter(|_| !base.is_empty()) else { return };
    if !rest.is_empty() && !rest.starts_with('/') {
        return;
    }
    let query = uri.query().map_or(String::new(), |query| format!("?{query}"));
    let stripped = format!("{}{query}", if rest.is_empty() { "/" } else { rest });
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(stripped).ok();
    if let Ok(stripped) = Uri::from_parts(parts) {
        *uri = stripped;
    }
}

/// A person gets the page to log in, a program a problem.
fn unauthorized(app: &App, uri: &Uri, is_for_person: bool, problem: HttpProblem) -> Response {
    let mut answer = match is_for_person {
        true => pages::login::refused(app, uri),
        false => problem.into_response(),
    };
    answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    answer
}

async fn read(body: Body) -> Result<axum::body::Bytes, HttpProblem> {
    match tokio::time::timeout(BODY_TIME, to_bytes(body, MAX_BODY_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if error.source().is_some_and(<dyn std::error::Error>::is::<LengthLimitError>) => {
            Err(too_large())
        }
        Ok(Err(_)) => Err(HttpProblem::new(StatusCode::BAD_REQUEST, "invalid", "the body ended too early")),
        Err(_) => {
            let detail = format!("the body took longer than {} s", BODY_TIME.as_secs());
            Err(HttpProblem::new(StatusCode::REQUEST_TIMEOUT, "invalid", detail))
        }
    }
}

fn too_large() -> HttpProblem {
    let detail = format!("a body has at most {MAX_BODY_BYTES} bytes");
    HttpProblem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_path_is_taken_away_where_it_is_there() {
        for (base, path, expected) in [
            ("", "/runs?q=1", "/runs?q=1"),
            ("/x", "/x/runs?q=%20a", "/runs?q=%20a"),
            ("/x", "/x", "/"),
            ("/x", "/x?q", "/?q"),
            ("/x", "/xy/runs", "/xy/runs"),
            ("/x", "/runs", "/runs"),
            ("/x", "http://h/x/runs", "http://h/runs"),
        ] {
            let mut uri: Uri = path.parse().unwrap();
            strip_base(base, &mut uri);
            assert_eq!(uri.to_string(), expected, "{base} {path}");
        }
    }
}
