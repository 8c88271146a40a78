//! The API and the pages over real runs.

use std::collections::BTreeSet;
use std::fs;

use axum::http::StatusCode;
use serde_json::Value;
use tokio::sync::mpsc::unbounded_channel;

use super::schema::check;
use super::{Answer, Server, request_is_api};
use crate::core::run_id::RunId;
use crate::core::run_request::{GivenInputs, RunRequest};
use crate::ops::prepare::prepare;
use crate::ops::run_lock::{Turn, take_turn};
use crate::server::web::api::server::OPENAPI;

/// Two tasks of which one fails, one with elements, one that is never reached; output that is hostile.
const WORKFLOW: &str = r#"
[workflow]
name = "shop"
[inputs]
word = { type = "string", default = "a" }
[tasks.make]
cache = true
inputs = { word = "string" }
outputs = { page = "file", parts = "list<string>" }
run = '''
printf '<script>alert(1)</script>\n\033[31mred\033[0m & "x"\n'
printf '<b>%s</b>' "$word" > "$OUT/page"
printf '["x","y","z"]' > "$OUT/parts"
'''
[tasks.each]
inputs = { part = "string" }
run = 'echo "part $part"; sleep 0'
[tasks.check]
inputs = { page = "file", word = "string" }
outputs = { ok = "string" }
run = 'for i in $(seq 300); do echo "line $i"; done; if [ "$word" = bad ]; then echo "it is <bad>" >&2; exit 3; fi; echo yes > "$OUT/ok"'
[tasks.after]
inputs = { ok = "string" }
run = 'echo "$ok"'
[nodes.make]
inputs = { word = "{{ inputs.word }}" }
[nodes.each]
foreach = ["part"]
inputs = { part = "{{ make.parts }}" }
[nodes.check]
inputs = { page = "{{ make.page }}", word = "{{ inputs.word }}" }
[nodes.after]
inputs = { ok = "{{ check.ok }}" }
[outputs]
page = "{{ make.page }}"
"#;

impl Server {
    /// Runs the workflow with a word; the id of the run.
    async fn exec(&self, word: &str) -> String {
        let path = self.home().join("shop.toml");
        fs::write(&path, WORKFLOW).unwrap();
        let given =
            GivenInputs::Assignments { dir: self.home().into(), values: vec![format!("word={word}")] };
        let request = RunRequest { workflow: path, given: vec![given], ..RunRequest::default() };
        let prepared = prepare(request).unwrap().ready().unwrap();
        let (_keep, mut interrupts) = unbounded_channel();
        let home = Some(self.home());
        let turn = match take_turn(RunId::make(), &prepared, home, &mut [], &mut interrupts).await.unwrap() {
            Turn::Taken(turn) => turn,
            _ => panic!("no turn"),
        };
        let result = crate::ops::run::run(prepared, turn, home, Vec::new(), interrupts).await.unwrap();
        result.run.to_string()
    }

    /// An answer in JSON, held to the description of its path.
    pub async fn described(&self, path: &str, route: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
        hold(&answer, route, "get", "200");
        answer.json()
    }
}

/// Holds an answer to the description.
pub fn hold(answer: &Answer, route: &str, method: &str, status: &str) {
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    let content = &document["paths"][route][method]["responses"][status]["content"];
    let schema = &content["application/json"]["schema"];
    assert!(schema.is_object(), "no schema of {method} {route}");
    if let Err(wrong) = check(&document, schema, &answer.json()) {
        panic!("{method} {route}: {wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_as_described() {
    let server = Server::new();
    let good = server.exec("good").await;
    let bad = server.exec("bad").await;
    server.described("/api/server", "/api/server").await;
    let list = server.described("/api/runs?limit=1", "/api/runs").await;
    assert_eq!(list["items"][0]["run"], *bad);
    let next = list["next"].as_str().unwrap();
    let third = server.exec("good").await;
    let rest = server.described(&format!("/api/runs?cursor={next}"), "/api/runs").await;
    assert_eq!(
        (&rest["items"][0]["run"], &rest["next"]),
        (&Value::from(&*good), &Value::Null),
        "{third} is newer"
    );
    for (query, expected) in [
        ("status=failed,interrupted", &[&bad][..]),
        ("no_op=false&workflow=shop&status=succeeded", &[&third, &good]),
        ("q=GOOD", &[&third, &good]),
        ("q=nobody", &[]),
        ("q=Check", &[&bad]),
        ("q=check+bad", &[&bad]),
        ("trigger=manual&project=default", &[&third, &bad, &good]),
        ("schedule=x", &[]),
        ("since=2999-01-01T00:00:00Z", &[]),
    ] {
        let found = server.described(&format!("/api/runs?{query}"), "/api/runs").await;
        let ids: Vec<_> =
            found["items"].as_array().unwrap().iter().map(|run| run["run"].as_str().unwrap()).collect();
        assert_eq!(ids, expected.iter().map(|id| id.as_str()).collect::<Vec<_>>(), "{query}");
    }
    let run = server.described(&format!("/api/runs/{bad}"), "/api/runs/{run}").await;
    assert_eq!(
        (&run["previous"], &run["next"], &run["last_success"]),
        (&(*good).into(), &(*third).into(), &(*good).into())
    );
    let failures = run["failures"].as_array().unwrap();
    assert_eq!(
        (failures.len(), &failures[0]["node"], &failures[0]["exit_code"]),
        (1, &"check".into(), &3.into())
    );
    server.described(&format!("/api/runs/{}", &good[..5]), "/api/runs/{run}").await;
    let nodes = format!("/api/runs/{bad}/nodes");
    let all = server.described(&nodes, "/api/runs/{run}/nodes").await;
    assert_eq!(all["items"].as_array().unwrap().len(), 4);
    let elements = server.described(&format!("{nodes}?node=each&limit=2"), "/api/runs/{run}/nodes").await;
    assert_eq!((elements["items"].as_array().unwrap().len(), &elements["next"]), (2, &"2".into()));
    let failed =
        server.described(&format!("{nodes}?status=failed&q=CHE&sort=time"), "/api/runs/{run}/nodes").await;
    assert_eq!(failed["items"][0]["node"], "check");
    let node = format!("/api/runs/{bad}/node?name=each&index=1");
    assert_eq!(server.described(&node, "/api/runs/{run}/node").await["index"], 1);
    server.described(&format!("/api/runs/{bad}/diff?with={good}"), "/api/runs/{run}/diff").await;
    let graph =
        server.described(&format!("/api/runs/{bad}/graph?format=json"), "/api/runs/{run}/graph").await;
    assert_eq!((&graph["size"], graph["edges"].as_array().unwrap().len()), (&4.into(), 3));
    server.described("/api/cache", "/api/cache").await;
    let entries = server.described("/api/cache/entries?task=shop.make&limit=1", "/api/cache/entries").await;
    let (key, next) = (entries["items"][0]["key"].as_str().unwrap(), entries["next"].as_str().unwrap());
    let rest = server.described(&format!("/api/cache/entries?cursor={next}"), "/api/cache/entries").await;
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
    server.described(&format!("/api/cache/entries/{}", &key[..12]), "/api/cache/entries/{key}").await;
    let gc = server.post("/api/cache/gc", r#"{"max_size":"1GiB","dry_run":true}"#).await;
    hold(&gc, "/api/cache/gc", "post", "200");
    let evicted = server.post("/api/cache/evict", &format!("{{\"keys\":[\"{key}\"]}}")).await;
    hold(&evicted, "/api/cache/evict", "post", "200");
    assert_eq!(evicted.json()["results"][0]["key"], key);
    let link = server.post("/api/login-codes", "").await;
    hold(&link, "/api/login-codes", "post", "200");
    let told = server.get("/api/openapi.json").await;
    assert_eq!(told.text(), OPENAPI);
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_named() {
    let server = Server::new();
    let run = server.exec("good").await;
    for (path, status, code, named) in [
        ("/api/runs?limit=501", 422, "invalid", "limit"),
        ("/api/runs?status=good", 422, "invalid", "status"),
        ("/api/runs?colour=red", 422, "invalid", "colour"),
        ("/api/runs?since=yesterday", 422, "invalid", "since"),
        ("/api/runs/zzzz", 404, "not_found", "zzzz"),
        ("/api/runs/@last/node", 422, "invalid", "name"),
        ("/api/runs/@last/node?name=mkae", 404, "not_found", "did you mean `make`"),
        ("/api/runs/@last/log?node=make&attempt=7", 404, "not_found", "no attempt 7"),
        ("/api/runs/@last/log?node=make&limit=2000000", 422, "invalid", "limit"),
        ("/api/runs/@last/file?node=make&output=nothing", 404, "not_found", "nothing"),
        ("/api/runs/@last/nodes?node=nothing", 404, "not_found", "nothing"),
        ("/api/runs/@last/graph?focus=nothing", 404, "not_found", "nothing"),
        ("/api/cache/entries/xyz", 422, "invalid", "xyz"),
        ("/api/cache/entries/00000000000000", 404, "not_found", "000"),
    ] {
        let answer = server.get(path).await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (status, code), "{path}: {}", answer.text());
        assert!(answer.text().contains(named), "{path}: {}", answer.text());
    }
    for (path, body, named) in [
        ("/api/cache/evict", "{}", "name keys"),
        ("/api/cache/evict", "{\"key\":1}", "unknown field `key`"),
        ("/api/cache/evict", "[", "no JSON document"),
        ("/api/cache/gc", "{\"max_size\":\"5\"}", "max_size"),
    ] {
        let answer = server.post(path, body).await;
        assert_eq!(
            (answer.status.as_u16(), &*answer.code()),
            (422, "invalid"),
            "{path} {body}: {}",
            answer.text()
        );
        assert!(answer.text().contains(named), "{path} {body}: {}", answer.text());
    }
    assert_eq!(server.get(&format!("/api/runs/{run}")).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_come_in_windows_and_files_can_do_nothing() {
    let server = Server::new();
    let run = server.exec("bad").await;
    let log = |query: &str| format!("/api/runs/{run}/log?node=check&{query}");
    let end = server.get(&log("offset=-12")).await;
    assert_eq!(end.text(), "it is <bad>\n");
    assert_eq!((end.header("x-log-complete"), end.header("x-log-line")), ("true", "301"));
    assert_eq!(end.header("x-log-end"), end.header("x-log-size"));
    assert_eq!(end.header("content-type"), "text/plain; charset=utf-8");
    assert!(end.header("content-security-policy").starts_with("sandbox"), "{:?}", end.headers);
    let line = server.get(&log("line=7&limit=14")).await;
    assert_eq!((line.text(), line.header("x-log-line")), ("line 7\nline 8\n".into(), "7"));
    let found = server.get(&log("q=line%2029&limit=2")).await;
    hold(&found, "/api/runs/{run}/log", "get", "200");
    assert_eq!(found.json()["items"][1]["line"], 290);
    let next = found.json()["next"].as_str().unwrap().to_owned();
    let more = server.get(&log(&format!("q=line%2029&cursor={next}"))).await;
    assert_eq!(more.json()["items"][0]["line"], 291);
    let all = server.get(&log("download=1")).await;
    assert_eq!(all.text().lines().count(), 301);
    assert!(all.header("content-disposition").starts_with("attachment; filename=\""), "{:?}", all.headers);
    let file = server.get(&format!("/api/runs/{run}/file?node=make&output=page")).await;
    assert_eq!(file.text(), "<b>bad</b>");
    assert!(file.header("content-security-policy").starts_with("sandbox; default-src 'none'"));
    assert!(
        file.header("content-disposition").starts_with("attachment"),
        "it has no name that says what it is"
    );
    let report = server.get(&format!("/runs/{run}/report")).await;
    assert!(report.text().starts_with("<!DOCTYPE html>") && !report.text().contains("it is <bad>"));
    assert!(report.text().contains(&run));
    assert!(report.header("content-security-policy").starts_with("sandbox"), "{:?}", report.headers);
    let named = format!("attachment; filename=\"report-{run}.html\"");
    assert!(report.header("content-disposition").starts_with(&named), "{:?}", report.headers);
    let drawing = server.get(&format!("/api/runs/{run}/graph")).await;
    assert!(drawing.text().starts_with("<svg") && drawing.text().contains("failed"), "{}", drawing.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_run_come_in_order_and_end() {
    let server = Server::new();
    let run = server.exec("good").await;
    let path = format!("/api/runs/{run}/events");
    let all = server.get(&path).await;
    assert_eq!(all.header("content-type"), "text/event-stream");
    let text = all.text();
    let named = |name: &str| -> Vec<String> {
        let start = format!("{name}: ");
        text.lines().filter_map(|line| line.strip_prefix(&start).map(str::to_owned)).collect()
    };
    let (ids, names) = (named("id"), named("event"));
    assert_eq!(ids, (1..=ids.len()).map(|id| id.to_string()).collect::<Vec<_>>());
    assert_eq!((names[0].as_str(), names.last().unwrap().as_str()), ("run_started", "end"));
    assert_eq!(names[names.len() - 2], "run_finished");
    let resumed = |id: usize| {
        let request = server.request(axum::http::Method::GET, &path).header("authorization", server.bearer());
        server.send(request.header("last-event-id", id.to_string()), "")
    };
    let rest = resumed(ids.len() - 1).await.text();
    assert!(
        rest.contains(&format!("id: {}\nevent: run_finished", ids.len())) && !rest.contains("run_started"),
        "{rest}"
    );
    assert_eq!(resumed(ids.len()).await.text(), "retry: 2000\n\nevent: end\ndata: {}\n\n");
    let lost = resumed(ids.len() + 9).await.text();
    assert!(lost.contains("event: reset\n") && lost.contains("id: 1\nevent: run_started"), "{lost}");
    let with_log = server.get(&format!("{path}?log=make")).await.text();
    let log = with_log.lines().find(|line| line.contains("alert(1)")).unwrap();
    assert!(log.starts_with("data: {\"node\":\"make\",\"index\":null,\"attempt\":1,\"offset\":0,"), "{log}");
}

#[tokio::test]
async fn there_are_at_most_64_streams() {
    let server = Server::new();
    let mut held: Vec<_> = (0..64).map(|_| server.app.stream().unwrap()).collect();
    let refused = server.get("/api/events").await;
    assert_eq!((refused.status, &*refused.code()), (StatusCode::SERVICE_UNAVAILABLE, "too_many"));
    held.pop();
    assert_eq!(server.get("/api/events").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_show_what_tasks_made_as_text() {
    let server = Server::new();
    let good = server.exec("good").await;
    let bad = server.exec("bad").await;
    let paths = [
        "/runs".to_owned(),
        format!("/runs/{bad}"),
        format!("/runs/{bad}?node=each&sort=name"),
        format!("/runs/{bad}/nodes/make"),
        format!("/runs/{bad}/nodes/check?line=150"),
        format!("/runs/{bad}/nodes/check?q=line"),
        format!("/runs/{bad}/nodes/each?index=1"),
        format!("/runs/{bad}/nodes/each"),
        format!("/runs/{bad}/compare/{good}"),
    ];
    let entries = server.get("/api/cache/entries?task=shop.make").await.json();
    let key = entries["items"][0]["key"].as_str().unwrap();
    let cache = ["/cache".to_owned(), "/cache?preview=1&q=make".into(), format!("/cache/{key}")];
    for path in paths.iter().chain(&cache) {
        let page = server.get(path).await;
        let text = page.text();
        assert_eq!(
            (page.status, page.header("content-type")),
            (StatusCode::OK, "text/html; charset=utf-8"),
            "{path}"
        );
        assert!(text.len() < 100 << 10, "{path} has {} bytes", text.len());
        for forbidden in ["<script>", "style=\"", "<style", " onclick", "javascript:", "http://", "<b>bad"] {
            let bare = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!bare.contains(forbidden), "{path} has {forbidden}: {text}");
        }
    }
    let run = server.get(&paths[1]).await.text();
    let place = |text: &str| run.find(text).unwrap_or_else(|| panic!("no {text}: {run}"));
    assert!(place("it is &lt;bad&gt;") < place("Since the last success"), "failures come first");
    assert!(place("Since the last success") < place("id=\"h-graph\""));
    assert!(run.contains("<b>inputs.word</b> <code>good</code> → <code>bad</code>"), "{run}");
    let log = server.get(&paths[3]).await.text();
    assert!(log.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{log}");
    assert!(log.contains("<i class=\"c1\">red</i> &amp; &quot;x&quot;"), "{log}");
    let line = server.get(&paths[4]).await.text();
    assert!(line.contains("id=\"L150\"") && !line.contains("id=\"L99\""), "{line}");
    let request = server.request(axum::http::Method::GET, "/runs/zzzz").header("accept", "text/html");
    let unknown = server.send(request.header("authorization", server.bearer()), "").await;
    assert_eq!(
        (unknown.status, unknown.header("content-type")),
        (StatusCode::NOT_FOUND, "text/html; charset=utf-8")
    );
    assert!(unknown.text().contains("<p class=\"note bad lines\">there is no run"), "{}", unknown.text());
    let forgotten = server.post(&format!("/cache/{key}/forget"), "").await;
    assert_eq!((forgotten.status, forgotten.header("location")), (StatusCode::SEE_OTHER, "/cache"));
    assert_eq!(server.get(&format!("/cache/{key}")).await.status, StatusCode::NOT_FOUND);
    let sound = server.post("/cache/verify", "").await.text();
    assert!(sound.contains("all sound"), "{sound}");
    assert_eq!(server.post("/cache/gc", "").await.status, StatusCode::SEE_OTHER);
    let home = server.get("/").await;
    assert_eq!((home.status, home.header("location")), (StatusCode::SEE_OTHER, "/runs"));
}

#[test]
fn the_description_has_every_route_and_no_other() {
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        described.extend(methods.as_object().unwrap().keys().map(|method| format!("{method} {path}")));
    }
    let routes = Server::new().table.into_iter().filter(|route| request_is_api(route.path));
    let routes: BTreeSet<_> =
        routes.map(|route| format!("{} {}", route.method().as_str().to_lowercase(), route.path)).collect();
    assert_eq!(described, routes);
}
