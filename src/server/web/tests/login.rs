//! Logging in and out, as a browser does it.

use axum::http::{Method, StatusCode};

use super::{Answer, Server};
use crate::server::web::options::WebOptions;

impl Server {
    /// Sends the form of the login page from a page of ours.
    async fn log_in(&self, form: String) -> Answer {
        let request = self.request(Method::POST, "/login").header("origin", "http://127.0.0.1:7070");
        self.send(request.header("content-type", "application/x-www-form-urlencoded"), form).await
    }

    async fn with_cookie(&self, method: Method, path: &str, cookie: &str) -> Answer {
        let request = self.request(method, path).header("cookie", cookie);
        self.send(request.header("sec-fetch-site", "same-origin"), "").await
    }
}

/// The cookie that an answer sets, without its attributes.
fn cookie(answer: &Answer) -> String {
    answer.header("set-cookie").split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_link_logs_in_once_and_the_session_can_be_ended() {
    let server = Server::new();
    let link = server.post("/api/login-codes", "").await.json();
    let (before, code) = link["url"].as_str().unwrap().split_once("?code=").unwrap();
    assert_eq!((before, &link["expires"]), ("http://127.0.0.1:7070/login", &"2026-11-28T10:10:00Z".into()));
    let page = server.send(server.request(Method::GET, &format!("/login?code={code}")), "").await;
    assert!(page.text().contains(&format!("name=\"code\" value=\"{code}\"")), "{}", page.text());
    let form = format!("code={code}&next=%2Fapi%2Fserver");
    let answer = server.log_in(form.clone()).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/api/server"));
    let set = answer.header("set-cookie").to_owned();
    assert!(set.ends_with("; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax"), "{set}");
    assert!(set.starts_with("runner_7070="), "{set}");
    let again = server.log_in(form).await;
    assert_eq!((again.status, again.header("set-cookie")), (StatusCode::UNAUTHORIZED, ""));
    let session = format!("other=1; {}; more=2", cookie(&answer));
    assert_eq!(server.with_cookie(Method::GET, "/api/server", &session).await.status, StatusCode::OK);
    // A session is no token.
    assert_eq!(server.with_cookie(Method::POST, "/api/login-codes", &session).await.code(), "unauthorized");
    let bare = server.request(Method::POST, "/logout").header("cookie", &session);
    assert_eq!(server.send(bare, "").await.code(), "origin_not_allowed");
    let out = server.with_cookie(Method::POST, "/logout", &session).await;
    assert_eq!((out.status, out.header("location")), (StatusCode::SEE_OTHER, "/login"));
    assert_eq!(server.with_cookie(Method::GET, "/api/server", &session).await.code(), "unauthorized");
}

#[tokio::test]
async fn a_person_without_session_gets_the_page_to_log_in() {
    let server = Server::new();
    let request = server.request(Method::GET, "/nothing?q=1&x=%22").header("accept", "text/html,*/*");
    let answer = server.send(request, "").await;
    assert_eq!((answer.status, answer.header("www-authenticate")), (StatusCode::UNAUTHORIZED, "Bearer"));
    let page = answer.text();
    assert!(page.contains("name=\"next\" value=\"/nothing?q=1&#38;x=%22\""), "{page}");
    assert!(!page.contains(&*server.home().display().to_string()), "{page}");
    let answer = server.log_in(format!("token={}&next=//evil.example", server.token)).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/"));
}

#[tokio::test]
async fn ten_wrong_ones_are_answered_with_429_for_the_rest_of_the_minute() {
    let server = Server::new();
    for _ in 0..10 {
        assert_eq!(server.log_in("token=wrong".into()).await.status, StatusCode::UNAUTHORIZED);
    }
    let answer = server.log_in(format!("token={}", server.token)).await;
    assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "60"));
    // Scripts with the token go on.
    assert_eq!(server.get("/api/server").await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_cookie_goes_by_the_public_url() {
    let options = WebOptions { public_url: Some("https://ci.example.org/x".into()), ..WebOptions::default() };
    let server = Server::with(&options);
    let request = server.request(Method::POST, "/x/login").header("origin", "https://ci.example.org");
    let answer = server.send(request, format!("token={}&next=/runs", server.token)).await;
    assert_eq!(answer.header("location"), "/x/runs");
    assert!(
        answer.header("set-cookie").ends_with("; Path=/x; Max-Age=2592000; HttpOnly; SameSite=Lax; Secure")
    );
    let link = server.post("/api/login-codes", "").await.json();
    assert!(link["url"].as_str().unwrap().starts_with("https://ci.example.org/x/login?code="), "{link}");
}

#[tokio::test]
async fn assets_are_kept_by_browsers_for_good() {
    let server = Server::new();
    let page = server.send(server.request(Method::GET, "/login"), "").await;
    assert_eq!(page.header("cache-control"), "no-store");
    let addresses: Vec<String> =
        page.text().split('"').filter(|part| part.starts_with("/assets/")).map(str::to_owned).collect();
    assert_eq!(addresses.len(), 3, "style, script, icon: {addresses:?}");
    for address in addresses {
        let asset = server.send(server.request(Method::GET, &address), "").await;
        assert_eq!(
            (asset.status, asset.header("cache-control")),
            (StatusCode::OK, "public, max-age=31536000, immutable")
        );
    }
    let other = server.send(server.request(Method::GET, "/assets/style-0000000000000000.css"), "").await;
    assert_eq!(other.code(), "not_found");
}
