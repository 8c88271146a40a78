//! Every route of the table against everything that must be refused, in the order of the checks.

use axum::http::{Method, StatusCode};

use super::{Answer, Server};
use crate::server::web::guard::is_open;
use crate::server::web::options::WebOptions;
use crate::server::web::routes::RouteKind;

/// An address of a route, its parameters filled in with something.
fn address(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect::<Vec<_>>().join("/")
}

/// Word for word, so that a source that is let in is seen here.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const FOREIGN_POLICY: &str = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'";

fn check_headers(answer: &Answer, what: &str) {
    for (name, expected) in [
        ("server", ""),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
    ] {
        assert_eq!(answer.header(name), expected, "{what}: {name}");
    }
    assert!(!answer.header("cache-control").is_empty(), "{what}");
    let policy = answer.header("content-security-policy");
    assert!(policy == PAGE_POLICY || policy == FOREIGN_POLICY, "{what}: {policy}");
    let cors = answer.headers.keys().find(|name| name.as_str().starts_with("access-control-"));
    assert_eq!(cors, None, "{what}");
}

#[tokio::test]
async fn every_route_refuses_in_the_order_of_the_checks() {
    let server = Server::new();
    let good = server.bearer();
    let wrong = format!("Bearer {}", "0".repeat(64));
    for route in &server.table {
        let path = address(route.path);
        let method = route.method();
        let request = |host: &str, token: Option<&str>, origin: Option<&str>| {
            let mut request =
                axum::http::Request::builder().method(method.clone()).uri(&path).header("host", host);
            for (name, value) in [("authorization", token), ("origin", origin)] {
                if let Some(value) = value {
                    request = request.header(name, value);
                }
            }
            request
        };
        let (own, evil) = ("127.0.0.1:7070", "evil.example:7070");
        let foreign = Some("http://evil.example");
        // Without its own host nothing else counts.
        for token in [None, Some(&*wrong), Some(&*good)] {
            let answer = server.send(request(evil, token, foreign), "").await;
            assert_eq!(
                (answer.status, &*answer.code()),
                (StatusCode::FORBIDDEN, "host_not_allowed"),
                "{path}"
            );
            check_headers(&answer, &path);
        }
        for token in [None, Some(&*wrong)] {
            let answer = server.send(request(own, token, foreign), "").await;
            check_headers(&answer, &path);
            match is_open(&path) {
                false => {
                    assert_eq!(
                        (answer.status, &*answer.code()),
                        (StatusCode::UNAUTHORIZED, "unauthorized"),
                        "{path}"
                    );
                }
                true if method == Method::GET => {
                    assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
                }
                true => assert_eq!(answer.code(), "origin_not_allowed", "{path}"),
            }
        }
        if method == Method::POST {
            for origin in [foreign, Some("null"), Some("http://127.0.0.1:1")] {
                let answer = server.send(request(own, Some(&good), origin), "").await;
                assert_eq!(
                    (answer.status, &*answer.code()),
                    (StatusCode::FORBIDDEN, "origin_not_allowed"),
                    "{path}"
                );
            }
            let cross = request(own, Some(&good), None).header("sec-fetch-site", "cross-site");
            assert_eq!(server.send(cross, "").await.code(), "origin_not_allowed", "{path}");
        }
        let answer = server.send(request(own, Some(&good), None), "").await;
        assert!(
            !["unauthorized", "origin_not_allowed", "host_not_allowed"].contains(&&*answer.code()),
            "{path}"
        );
        check_headers(&answer, &path);
    }
}

#[tokio::test]
async fn what_changes_something_is_no_get_and_not_read_only() {
    let server = Server::with(&WebOptions { read_only: true, ..WebOptions::default() });
    for route in &server.table {
        let path = address(route.path);
        let is_get =
            server.table.iter().any(|other| other.kind == RouteKind::Get && other.path == route.path);
        let read_only = route.kind == RouteKind::Change;
        if !is_get {
            let answer = server.get(&path).await;
            assert_eq!(
                (answer.status, &*answer.code()),
                (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
                "{path}"
            );
            assert_eq!(answer.header("allow"), "POST", "{path}");
        } else if route.kind == RouteKind::Get {
            let head = server.request(Method::HEAD, &path).header("authorization", server.bearer());
            let (head, get) = (server.send(head, "").await, server.get(&path).await);
            assert_eq!((head.status, head.body.len()), (get.status, 0), "{path}");
            assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        }
        if route.kind != RouteKind::Get {
            let answer = server.post(&path, "").await;
            assert_eq!(answer.code() == "read_only", read_only, "{path}: {}", answer.text());
        }
        for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
            let request = server.request(method, &path).header("authorization", server.bearer());
            assert_eq!(server.send(request, "").await.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        }
    }
}

#[tokio::test]
async fn over_a_socket_nobody_needs_a_token_but_pages_elsewhere_are_refused() {
    let server = Server::with(&WebOptions { listen: "unix:/s".into(), ..WebOptions::default() });
    let get = axum::http::Request::builder().uri("/api/server").header("host", "anything");
    let answer = server.send(get, "").await;
    assert_eq!((answer.status, &answer.json()["url"]), (StatusCode::OK, &"unix:/s".into()));
    let post = server.request(Method::POST, "/logout").header("origin", "http://anything");
    assert_eq!(server.send(post, "").await.code(), "origin_not_allowed");
    let post = server.request(Method::POST, "/logout").header("sec-fetch-site", "cross-site");
    assert_eq!(server.send(post, "").await.code(), "origin_not_allowed");
    let post = server.request(Method::POST, "/api/login-codes");
    assert_eq!(server.send(post, "").await.code(), "conflict");
}

#[tokio::test]
async fn odd_requests_are_refused() {
    let server = Server::new();
    let with_token = |request: axum::http::request::Builder| request.header("authorization", server.bearer());
    for host in [&[][..], &["127.0.0.1:7070", "evil.example"], &["127.0.0.1:7070", "127.0.0.1:7070"]] {
        let request = axum::http::Request::builder().uri("/api/server");
        let request = host.iter().fold(request, |request, host| request.header("host", *host));
        assert_eq!(server.send(with_token(request), "").await.code(), "host_not_allowed", "{host:?}");
    }
    let elsewhere = server.request(Method::GET, "http://evil.example/api/server");
    assert_eq!(server.send(with_token(elsewhere), "").await.code(), "host_not_allowed");
    for token in
        [server.token.clone(), format!("Basic {}", server.token), format!("Bearer x{}", server.token)]
    {
        let request = server.request(Method::GET, "/api/server").header("authorization", token);
        assert_eq!(server.send(request, "").await.code(), "unauthorized");
    }
    assert_eq!(server.get("/nothing").await.code(), "not_found");
    assert_eq!(server.send(server.request(Method::GET, "/nothing"), "").await.code(), "unauthorized");
    for path in ["/healthz/../api/server", "/assets/../api/server", "/login/..", "//api/server"] {
        let answer = server.send(server.request(Method::GET, path), "").await;
        assert!(answer.status.is_client_error(), "{path}: {}", answer.status);
    }
    let large = vec![b'x'; super::super::answer::MAX_BODY_BYTES + 1];
    let answer = server.send(with_token(server.request(Method::POST, "/logout")), large.clone()).await;
    assert_eq!((answer.status, &*answer.code()), (StatusCode::PAYLOAD_TOO_LARGE, "too_large"));
    let announced = with_token(server.request(Method::POST, "/logout")).header("content-length", large.len());
    assert_eq!(server.send(announced, "").await.code(), "too_large");
}

#[tokio::test]
async fn all_paths_may_begin_with_the_base_path() {
    let server = Server::with(&WebOptions { base_path: "/x".into(), ..WebOptions::default() });
    for path in ["/x/api/server", "/api/server"] {
        assert_eq!(server.get(path).await.json()["url"], "http://127.0.0.1:7070/x/");
    }
    let page = server.get("/x/login").await.text();
    assert!(page.contains("href=\"/x/assets/style-") && page.contains("action=\"/x/login\""), "{page}");
}
