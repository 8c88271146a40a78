//! The page and the API of `runner serve` through the real binary. What each route answers is held to its contract in
//! `src/server/web/tests/`.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::Signal;
use serde_json::Value;

use crate::common::Lab;
use crate::common::live::{Live, until};

const WORKFLOW: &str = "\
[workflow]
name = 'greet'
[inputs]
name = { type = 'string', default = 'you' }
[tasks.greet]
inputs = { name = 'string' }
outputs = { text = { type = 'string', from = 'stdout' } }
run = 'echo \"hello $name\"'
[nodes.greet]
inputs = { name = '{{ inputs.name }}' }
";

/// A server on a free port, and its URL.
fn serve<'l>(lab: &'l Lab, args: &[&str]) -> (Live<'l>, String) {
    let live = Live::verb(lab, "serve", &[&["serve", "--json", "--listen", "127.0.0.1:0"], args].concat());
    let mut url = String::new();
    until("it is ready", || {
        let said = live.said().out;
        let line = said.lines().find(|line| line.contains(r#""event":"serving""#));
        let serving: Option<Value> = line.and_then(|line| serde_json::from_str(line).ok());
        url = serving.as_ref().and_then(|event| event["url"].as_str()).unwrap_or_default().to_owned();
        !url.is_empty()
    });
    (live, url)
}

/// Sends a request; the status, the head and the body of the answer.
pub fn ask(url: &str, method: &str, path: &str, headers: &str, body: &str) -> (u16, String, String) {
    let address = url.trim_start_matches("http://").split('/').next().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_owned(), body.to_owned())
}

#[test]
fn a_browser_logs_in_once_and_sees_runs_of_every_process() {
    let lab = Lab::new();
    lab.write("w.toml", WORKFLOW);
    lab.ok("w.toml", &[]);
    let (live, url) = serve(&lab, &["w.toml"]);
    assert_eq!(ask(&url, "GET", "/runs", "", "").0, 401);
    let link: Value = serde_json::from_str(&lab.run(&["web", "--json"]).expect_code(0).out).unwrap();
    let code = link["url"].as_str().unwrap().strip_prefix(&format!("{url}login?code=")).unwrap().to_owned();
    let origin = format!("Origin: {}\r\n", url.trim_end_matches('/'));
    let form = format!("code={code}&next=/runs");
    let (status, head, _) = ask(&url, "POST", "/login", &origin, &form);
    assert_eq!(status, 303, "{head}");
    assert_eq!(ask(&url, "POST", "/login", &origin, &form).0, 401, "good once");
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    let session = format!("Cookie: {}\r\n", cookie.split(';').next().unwrap());
    let (status, _, page) = ask(&url, "GET", "/runs", &session, "");
    assert_eq!(status, 200);
    assert!(page.contains("<b>greet</b>"), "{page}");
    // A form of a page elsewhere that the browser sends the cookie with.
    let foreign = format!("{session}Origin: http://evil.example\r\n");
    assert_eq!(ask(&url, "POST", "/workflows/greet/run", &foreign, "").0, 403);
    let own = format!("{session}{origin}");
    let (status, head, _) = ask(&url, "POST", "/workflows/greet/run", &own, "i.name=Ada");
    assert_eq!(status, 303, "{head}");
    let run = head.lines().find_map(|line| line.strip_prefix("location: /runs/")).unwrap().to_owned();
    let (_, _, events) = ask(&url, "GET", &format!("/api/runs/{run}/events?log=greet"), &session, "");
    assert!(events.contains("hello Ada") && events.contains("event: end"), "{events}");
    live.signal(Signal::TERM);
    live.end().expect_code(0);
    assert!(!lab.home().join("serve.address").exists());
    assert!(!fs::read_to_string(lab.home().join("serve.sessions")).unwrap().contains(&code));
}

#[test]
fn scripts_send_the_token_and_a_socket_needs_none() {
    let lab = Lab::new();
    lab.write("w.toml", WORKFLOW);
    let (live, url) = serve(&lab, &["w.toml", "--read-only"]);
    let token = fs::read_to_string(lab.home().join("serve.token")).unwrap();
    let bearer = format!("Authorization: Bearer {}\r\n", token.trim());
    let (status, _, body) = ask(&url, "GET", "/api/server", &bearer, "");
    let server: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, &server["read_only"], &server["workflows"]),
        (200, &true.into(), &1.into()),
        "{body}"
    );
    assert_eq!(ask(&url, "POST", "/api/runs", &bearer, r#"{"workflow":"greet"}"#).0, 403);
    live.signal(Signal::TERM);
    live.end().expect_code(0);
    let path = lab.path("s");
    let listen = format!("unix:{}", path.display());
    let live = Live::verb(&lab, "socket", &["serve", "--json", "w.toml", "--listen", &listen]);
    until("it is ready", || live.said().out.contains(r#""event":"serving""#));
    let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    stream.write_all(b"GET /api/runs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    live.signal(Signal::TERM);
    live.end().expect_code(0);
    assert!(!path.exists());
}

/// A task that goes on until it is ended.
const ENDLESS: &str = "\
[workflow]
name = 'w'
[tasks.long]
run = 'while :; do sleep 0.02; done'
[nodes.long]
";

#[test]
fn runs_of_a_shell_and_of_another_daemon_are_cancelled_here() {
    let lab = Lab::new();
    lab.write("w.toml", ENDLESS);
    let (_here, url) = serve(&lab, &["w.toml"]);
    let (there, other_url) = {
        let live = Live::verb(&lab, "other", &["serve", "--json", "--listen", "127.0.0.1:0", "w.toml"]);
        until("the other one is ready", || !live.said().events("serving").is_empty());
        let url = live.said().events("serving")[0]["url"].as_str().unwrap().to_owned();
        (live, url)
    };
    let token = fs::read_to_string(lab.home().join("serve.token")).unwrap();
    let bearer = format!("Authorization: Bearer {}\r\n", token.trim());
    let post = |url: &str, path: &str, body: &str| {
        let (status, _, body) = ask(url, "POST", path, &bearer, body);
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    let ends = |run: &str| {
        until("it is cancelled", || {
            let (_, _, body) = ask(&url, "GET", &format!("/api/runs/{run}"), &bearer, "");
            serde_json::from_str::<Value>(&body).unwrap()["status"] == "cancelled"
        });
    };
    let shell = Live::start(&lab, "shell", &[]);
    shell.until("node_started", "long");
    let run = shell.run();
    let (status, answer) = post(&url, &format!("/api/runs/{run}/cancel"), "");
    assert_eq!((status, &answer["run"]), (202, &run.as_str().into()), "{answer}");
    shell.end().expect_code(143);
    ends(&run);
    let (status, answer) = post(&url, &format!("/api/runs/{run}/cancel"), "");
    assert_eq!((status, &answer["code"]), (409, &"conflict".into()), "{answer}");
    let (_, begun) = post(&other_url, "/api/runs", r#"{"workflow":"w"}"#);
    let run = begun["run"].as_str().unwrap();
    assert_eq!(post(&url, &format!("/api/runs/{run}/cancel"), "").0, 202);
    ends(run);
    // The daemon that ran it serves on.
    assert_eq!(ask(&other_url, "GET", "/healthz", "", "").0, 200);
    drop(there);
}

#[test]
fn a_run_that_waits_for_a_place_has_a_page_and_can_be_cancelled() {
    let lab = Lab::new();
    lab.write("w.toml", ENDLESS);
    let (_live, url) = serve(&lab, &["w.toml", "--max-runs", "1"]);
    let token = fs::read_to_string(lab.home().join("serve.token")).unwrap();
    let bearer = format!("Authorization: Bearer {}\r\nAccept: text/html\r\n", token.trim());
    let begin = || {
        let (status, _, body) = ask(&url, "POST", "/api/runs", &bearer, r#"{"workflow":"w"}"#);
        assert_eq!(status, 202, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["run"].as_str().unwrap().to_owned()
    };
    let page = |run: &str| ask(&url, "GET", &format!("/runs/{run}"), &bearer, "");
    let (first, second) = (begin(), begin());
    assert!(page(&first).2.contains("running"));
    let (status, head, body) = page(&second);
    assert!(body.contains("--max-runs") && body.contains("waiting"), "{body}");
    assert_eq!((status, head.contains("refresh: 2")), (200, true), "{head}");
    let (status, head, _) = ask(&url, "POST", &format!("/runs/{second}/cancel"), &bearer, "");
    assert!(status == 303 && head.contains("location: /runs\r\n"), "{status} {head}");
    assert_eq!(page(&second).0, 404);
    assert_eq!(ask(&url, "POST", &format!("/api/runs/{first}/cancel"), &bearer, "").0, 202);
    until("the first one ends", || page(&first).2.contains("cancelled"));
    assert_eq!(page(&second).0, 404);
}

#[test]
fn what_cannot_be_listened_on_is_said_before_anything_begins() {
    let lab = Lab::new();
    lab.write("w.toml", WORKFLOW);
    lab.write("token", "short");
    for (args, expected) in [
        (&["--listen", "0.0.0.0:0"][..], "name the host that they ask for with --allow-host"),
        (&["--listen", "7070"], "expected ADDRESS:PORT"),
        (&["--base-path", "x y"], "expected a path"),
        (&["--token-file", "token"], "token"),
    ] {
        let done = lab.run(&[&["serve", "w.toml"], args].concat());
        assert!(done.code != Some(0) && done.err.contains(expected), "{args:?}: {}", done.err);
    }
}

#[test]
fn without_a_daemon_there_is_no_link() {
    let lab = Lab::new();
    for flags in [&["web"][..], &["web", "--open"], &["web", "--json"]] {
        let ended = lab.run(flags).expect_code(2);
        assert!(ended.err.contains("no `runner serve` answers for the home"), "{}", ended.err);
        assert!(ended.err.contains("start one with `runner serve`"), "{}", ended.err);
        assert_eq!(ended.out, "");
    }
}
