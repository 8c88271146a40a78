//! Logging in, by a code or the token, and out. What was asked for before comes after it.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::http::header::{LOCATION, RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::{PageFrame, page};
use crate::server::web::access::{Login, SESSION_LIFE};
use crate::server::web::app::App;
use crate::server::web::guard::Caller;
use crate::server::web::problem::HttpProblem;
use crate::server::web::query::Query;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    frame: PageFrame,
    /// The code of the link; empty without one.
    code: String,
    /// Where to go afterwards, below the base path.
    next: String,
    /// Why it did not work before.
    problem: String,
}

fn show_page(app: &App, status: StatusCode, code: String, next: String, problem: &str) -> Response {
    let mut frame = PageFrame::new(app, "Log in", "");
    frame.is_in = false;
    // Who is not in is told nothing of the machine.
    frame.home = String::new();
    page(status, &LoginPage { frame, code, next, problem: problem.into() })
}

/// The page to log in, in place of a page that needs it.
pub fn refused(app: &App, uri: &Uri) -> Response {
    let asked = uri.path_and_query().map_or("/", |asked| asked.as_str());
    show_page(app, StatusCode::UNAUTHORIZED, String::new(), inside(asked), "")
}

/// The page to log in. It changes nothing: the code is used when its button is pressed.
pub async fn show(State(app): State<Arc<App>>, mut query: Query) -> Response {
    let code = query.text("code").unwrap_or_default();
    let next = query.text("next").unwrap_or_default();
    show_page(&app, StatusCode::OK, code, inside(&next), "")
}

/// Begins a session.
pub async fn enter(State(app): State<Arc<App>>, body: String) -> Result<Response, HttpProblem> {
    let mut form = Query::parse(&body);
    let (code, token) = (form.text("code"), form.text("token"));
    let next = inside(&form.text("next").unwrap_or_default());
    let shared = app.clone();
    let login = app.blocking(move |_| Ok(shared.access.log_in(code.as_deref(), token.as_deref())?)).await?;
    Ok(match login {
        Login::Session(secret) => {
            let mut answer = see_other(&app, &next);
            if let Ok(cookie) = HeaderValue::from_str(&set_cookie(&app, &secret, SESSION_LIFE.as_secs())) {
                answer.headers_mut().insert(SET_COOKIE, cookie);
            }
            answer
        }
        Login::Wrong => {
            let problem = "That is not the token, or the link was used before or is older than ten minutes. `runner web` prints \
                           a new one.";
            show_page(&app, StatusCode::UNAUTHORIZED, String::new(), next, problem)
        }
        Login::TooMany(seconds) => {
            let problem = format!("Too many wrong ones. Try again in {seconds} s.");
            let mut answer = show_page(&app, StatusCode::TOO_MANY_REQUESTS, String::new(), next, &problem);
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            answer
        }
    })
}

/// Ends the session.
pub async fn leave(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, HttpProblem> {
    if let Caller::Session(secret) = caller {
        let shared = app.clone();
        app.blocking(move |_| Ok(shared.access.log_out(&secret)?)).await?;
    }
    let mut answer = see_other(&app, "/login");
    if let Ok(cookie) = HeaderValue::from_str(&set_cookie(&app, "", 0)) {
        answer.headers_mut().insert(SET_COOKIE, cookie);
    }
    Ok(answer)
}

/// Sends the browser to a page below the base path.
pub fn see_other(app: &App, path: &str) -> Response {
    let place = HeaderValue::from_str(&format!("{}{path}", app.base));
    let place = place.unwrap_or_else(|_| HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(LOCATION, place)]).into_response()
}

fn set_cookie(app: &App, secret: &str, seconds: u64) -> String {
    let path = if app.base.is_empty() { "/" } else { &app.base };
    let secure = if app.public.as_ref().is_some_and(|public| public.is_https) { "; Secure" } else { "" };
    format!("{}={secret}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}", app.cookie)
}

/// A path of this server, whatever a link says: nobody is sent elsewhere.
fn inside(next: &str) -> String {
    let is_path = next.starts_with('/') && !next.starts_with("//") && !next.contains('\\');
    let is_plain = next.bytes().all(|byte| byte.is_ascii_graphic());
    match is_path && is_plain && !next.starts_with("/login") {
        true => next.to_owned(),
        false => "/".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        for (next, expected) in [
            ("/runs?q=a%20b", "/runs?q=a%20b"),
            ("", "/"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("/a\r\nSet-Cookie: x", "/"),
            ("/login?code=1", "/"),
        ] {
            assert_eq!(inside(next), expected, "{next:?}");
        }
    }
}
