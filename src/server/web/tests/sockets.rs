//! What only a real socket shows: addresses, modes of files, limits of a head.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::idle;
use crate::core::background::begin_or_do;
use crate::core::clock::SystemClock;
use crate::ops::ErrorKind;
use crate::ops::web_access::login_link;
use crate::server::web::WebOptions;
use crate::server::web::listen::{Web, listen};

fn options(home: &Path, address: &str) -> WebOptions {
    WebOptions { home: Some(home.to_owned()), listen: address.into(), ..WebOptions::default() }
}

async fn start(options: &WebOptions) -> Web {
    listen(options, Arc::new(SystemClock), idle().0).await.unwrap()
}

fn ask(mut stream: impl Read + Write, request: &str) -> String {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    // A server that refuses may close while the client still sends.
    let _ = stream.read_to_string(&mut answer);
    answer
}

/// Runs `work` on a thread of its own beside the server.
async fn beside<T: Send + 'static>(web: Web, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (end, ended) = oneshot::channel::<()>();
    let server = tokio::spawn(web.serve(async move {
        let _ = ended.await;
    }));
    let done = begin_or_do("test", work).await.unwrap();
    let _ = end.send(());
    server.await.unwrap();
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn a_free_port_is_taken_and_a_link_can_be_asked_for() {
    let home = tempfile::tempdir().unwrap();
    let web = start(&options(home.path(), "127.0.0.1:0")).await;
    let url = web.url();
    let folder = home.path().to_owned();
    let link = beside(web, move || login_link(Some(&folder)).unwrap().url).await;
    assert!(link.starts_with(&format!("{url}login?code=")), "{link}");
    // Nobody answers any more, and nothing is left that says so.
    let error = login_link(Some(home.path())).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    assert!(!home.path().join("serve.address").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_are_bounded_and_answers_say_nothing_of_the_program() {
    let home = tempfile::tempdir().unwrap();
    let web = start(&options(home.path(), "127.0.0.1:0")).await;
    let address = web.url().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let answers = beside(web, move || {
        let connect = || TcpStream::connect(&address).unwrap();
        let head = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
        let with = |kib: usize| format!("{head}X: {}\r\n\r\n", "x".repeat(kib << 10));
        [ask(connect(), &format!("{head}\r\n")), ask(connect(), &with(70)), ask(connect(), &with(300))]
    })
    .await;
    assert!(
        answers[0].starts_with("HTTP/1.1 200") && answers[0].ends_with("{\"status\":\"ok\"}"),
        "{}",
        answers[0]
    );
    assert!(!answers[0].to_lowercase().contains("\r\nserver:"));
    assert!(answers[1].starts_with("HTTP/1.1 431"), "{}", answers[1]);
    // A client that sends on is cut off.
    assert!(answers[2].is_empty() || answers[2].starts_with("HTTP/1.1 431"), "{}", answers[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_is_for_its_owner_and_replaces_nothing() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("s");
    let address = format!("unix:{}", path.display());
    let refused = |problem: &str| problem.contains("cannot listen on unix:");
    fs::write(&path, "mine").unwrap();
    let error = listen(&options(home.path(), &address), Arc::new(SystemClock), idle().0).await.err().unwrap();
    assert!(refused(&error.to_string()) && fs::read_to_string(&path).unwrap() == "mine", "{error}");
    fs::remove_file(&path).unwrap();
    // What a killed server left.
    drop(UnixListener::bind(&path).unwrap());
    let web = start(&options(home.path(), &address)).await;
    assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let error = listen(&options(home.path(), &address), Arc::new(SystemClock), idle().0).await.err().unwrap();
    assert!(error.to_string().contains("another server has this socket"), "{error}");
    let socket = path.clone();
    let answer = beside(web, move || {
        let stream = UnixStream::connect(socket).unwrap();
        ask(stream, "GET /api/server HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n")
    })
    .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!path.exists());
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let home = tempfile::tempdir().unwrap();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let error = listen(&options(home.path(), &address), Arc::new(SystemClock), idle().0).await.err().unwrap();
    assert!(error.to_string().contains(&format!("cannot listen on {address}")), "{error}");
}
