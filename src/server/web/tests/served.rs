//! What is asked of the daemon: runs begun, retried and ended, workflows and schedules that are served.

use std::fs;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Answer, Server};
use crate::server::files::Files;
use crate::server::handle::{DaemonCommand, ServedState};
use crate::server::runs::{Job, News, Runs};
use crate::server::web::options::WebOptions;
use crate::storage::db;
use crate::storage::home::Home;
use crate::storage::schedules::claimant::Claimant;
use crate::storage::schedules::known;

const WORKFLOW: &str = r#"
[workflow]
name = "etl"
description = "loads <things>"
[inputs]
rounds = { type = "int", default = 2, description = "how many" }
mode = { type = "string", default = "fast", one_of = ["fast", "slow"] }
data = { type = "file?" }
[[schedules]]
name = "nightly"
cron = "0 2 * * *"
timezone = "Europe/Berlin"
[tasks.work]
inputs = { rounds = "int", mode = "string" }
run = 'echo "$rounds"; if [ "$mode" = slow ]; then sleep 600; fi; test "$rounds" != 13'
[nodes.work]
inputs = { rounds = "{{ inputs.rounds }}", mode = "{{ inputs.mode }}" }
"#;

/// A server whose daemon serves the workflow and runs what it is asked for.
fn serving(options: &WebOptions) -> Server {
    let mut server = Server::with(options);
    let path = server.home().join("etl.toml");
    fs::write(&path, WORKFLOW).unwrap();
    let mut files = Files::new(&[path]).unwrap();
    files.refresh(true);
    let state = ServedState { files: files.all().cloned().collect(), schedules: files.schedules() };
    server.app.daemon.set_snapshot(state);
    let (_, idle) = tokio::sync::mpsc::unbounded_channel();
    let mut commands = std::mem::replace(&mut server.commands, idle);
    let (mut runs, mut news) = Runs::new(Some(server.home().to_owned()));
    tokio::spawn(async move {
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(DaemonCommand::Start { run, prepared, reply }) => {
                        let prepare = Box::new(move || Ok(*prepared));
                        runs.start(Job { run, of: None, prepare, max_runtime: None });
                        let _ = reply.send(Ok(()));
                    }
                    Some(DaemonCommand::Cancel { run, reply }) => {
                        let _ = reply.send(runs.interrupt(run, crate::engine::Interrupt::Cancel));
                    }
                    Some(DaemonCommand::Waits { reply, .. }) => {
                        let _ = reply.send(false);
                    }
                    Some(DaemonCommand::Backfill { backfill, reply }) => {
                        runs.start_backfill(*backfill);
                        let _ = reply.send(true);
                    }
                    None => return,
                },
                Some(news) = news.recv() => match news {
                    News::Ended(end) => runs.ended(end.run),
                    News::BackfillEnded(number) => runs.backfill_ended(number),
                    News::Overdue(_) | News::Warning(_) => {}
                },
            }
        }
    });
    server
}

impl Server {
    /// The run when it has ended.
    async fn ended(&self, run: &str) -> Value {
        for _ in 0..600 {
            let found = self.get(&format!("/api/runs/{run}")).await;
            // Its last event comes a moment before the record of its end.
            let listed = self.get("/api/runs?status=running").await;
            let goes_on = |listed: &Value| listed["run"] == run;
            if found.status == StatusCode::OK
                && found.json()["status"] != "running"
                && !listed.json()["items"].as_array().unwrap().iter().any(goes_on)
            {
                return found.json();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{run} does not end")
    }

    /// Makes a schedule known to the home, as its daemon does.
    fn register(&self, name: &str) {
        let home = Home::locate(Some(self.home())).unwrap();
        home.create().unwrap();
        let (mut db, _) = db::open(home.path()).unwrap();
        let claimant = Claimant::new(&home).unwrap();
        let now = jiff::Timestamp::now();
        let daemon = known::Server { claimant: claimant.id, pid: 1, started: now, url: None };
        let loaded = known::Loaded {
            name: name.into(),
            path: self.home().join("etl.toml"),
            times: String::new(),
            settings: String::new(),
        };
        known::serve(&mut db, &home, &daemon, &[loaded], now).unwrap();
    }

    /// Sends a form from a page of ours, in a session.
    async fn form(&self, path: &str, form: &str) -> Answer {
        let request = self.request(Method::POST, path).header("authorization", self.bearer());
        self.send(request.header("origin", "http://127.0.0.1:7070"), form.to_owned()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_begun_retried_and_ended() {
    let server = serving(&WebOptions::default());
    let begun = server.post("/api/runs", r#"{"workflow":"etl","inputs":{"rounds":13}}"#).await;
    assert_eq!(begun.status, StatusCode::ACCEPTED, "{}", begun.text());
    let run = begun.json()["run"].as_str().unwrap().to_owned();
    assert_eq!(begun.header("location"), format!("/api/runs/{run}"));
    let ended = server.ended(&run).await;
    assert_eq!((&ended["status"], &ended["trigger"]), (&"failed".into(), &"api".into()));
    let again = server.post(&format!("/api/runs/{run}/retry"), r#"{"inputs":{"rounds":1}}"#).await;
    assert_eq!(again.status, StatusCode::ACCEPTED, "{}", again.text());
    let retry = again.json()["run"].as_str().unwrap().to_owned();
    let ended = server.ended(&retry).await;
    assert_eq!((&ended["status"], &ended["retry_of"]), (&"succeeded".into(), &run.clone().into()));
    let nothing = server.post(&format!("/api/runs/{retry}/retry"), "").await;
    assert_eq!((nothing.status, &*nothing.code()), (StatusCode::CONFLICT, "conflict"));
    let slow = server.post("/api/runs", r#"{"workflow":"etl","inputs":{"mode":"slow"}}"#).await;
    let slow = slow.json()["run"].as_str().unwrap().to_owned();
    let page = server.get(&format!("/runs/{slow}")).await.text();
    assert!(page.contains(&format!("action=\"/runs/{slow}/cancel\"")), "{page}");
    let cancelled = server.post(&format!("/api/runs/{slow}/cancel"), "").await;
    assert_eq!(cancelled.status, StatusCode::ACCEPTED, "{}", cancelled.text());
    assert_eq!(server.ended(&slow).await["status"], "cancelled");
    let late = server.post(&format!("/api/runs/{slow}/cancel"), "").await;
    assert_eq!(late.code(), "conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_do_not_fit_begin_nothing() {
    let server = serving(&WebOptions::default());
    fs::write(server.home().join("inside"), "").unwrap();
    for (body, status, code, named) in [
        (json!({"workflow": "nothing"}), 404, "not_found", "nothing"),
        (json!({}), 422, "invalid", "workflow"),
        (json!({"workflow": "etl", "inputs": {"rounds": "two"}}), 422, "invalid", "inputs.rounds"),
        (json!({"workflow": "etl", "inputs": {"round": 2}}), 422, "invalid", "inputs.round"),
        (json!({"workflow": "etl", "inputs": {"mode": "other"}}), 422, "invalid", "mode"),
        (json!({"workflow": "etl", "inputs": {"data": "/etc/passwd"}}), 422, "invalid", "below the folder"),
        (json!({"workflow": "etl", "inputs": {"data": "../x"}}), 422, "invalid", "below the folder"),
        (json!({"workflow": "etl", "jobs": 0}), 422, "invalid", "jobs: expected a number from 1"),
        (json!({"workflow": "etl", "only": ["nobody"]}), 422, "invalid", "nobody"),
        (json!({"workflow": "etl", "colour": 1}), 422, "invalid", "colour"),
    ] {
        let answer = server.post("/api/runs", &body.to_string()).await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (status, code), "{body}: {}", answer.text());
        assert!(answer.text().contains(named), "{body}: {}", answer.text());
    }
    let planned = server.post("/api/workflows/etl/plan", r#"{"inputs":{"data":"inside"}}"#).await;
    assert_eq!(
        (planned.status, &planned.json()["would_run"]),
        (StatusCode::OK, &1.into()),
        "{}",
        planned.text()
    );
    assert_eq!(server.get("/api/runs").await.json()["items"], json!([]));
    let read_only = serving(&WebOptions { read_only: true, ..WebOptions::default() });
    assert_eq!(read_only.post("/api/runs", r#"{"workflow":"etl"}"#).await.code(), "read_only");
    assert_eq!(read_only.post("/api/workflows/etl/plan", "").await.status, StatusCode::OK);
    assert!(!read_only.get("/workflows/etl").await.text().contains("formaction"));
}

#[tokio::test(flavor = "multi_thread")]
async fn workflows_and_schedules_are_as_described() {
    let server = serving(&WebOptions::default());
    let one = server.described("/api/workflows/etl", "/api/workflows/{name}").await;
    let inputs: Vec<_> = one["inputs"].as_array().unwrap().iter().map(|input| &input["name"]).collect();
    assert_eq!(inputs, ["rounds", "mode", "data"]);
    server.described("/api/workflows", "/api/workflows").await;
    let planned = server.post("/api/workflows/etl/plan", "").await;
    super::runs::hold(&planned, "/api/workflows/{name}/plan", "post", "200");
    let all = server.described("/api/schedules", "/api/schedules").await;
    assert_eq!(
        (&all["items"][0]["schedule"], &all["items"][0]["served"]),
        (&"etl/nightly".into(), &false.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_form_of_a_workflow_plans_and_runs() {
    let server = serving(&WebOptions::default());
    let list = server.get("/workflows").await.text();
    assert!(list.contains("loads &#60;things&#62;") || list.contains("loads &lt;things&gt;"), "{list}");
    let page = server.get("/workflows/etl").await.text();
    for part in [
        "name=\"i.rounds\"",
        "<option>slow</option>",
        "how many",
        "runner exec ",
        "0 2 * * * (Europe/Berlin)",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let planned = server.form("/workflows/etl/plan", "i.rounds=7&i.mode=slow&i.data=").await;
    let text = planned.text();
    assert_eq!(planned.status, StatusCode::OK, "{text}");
    assert!(text.contains("1 would run, 0 from the cache") && text.contains("value=\"7\""), "{text}");
    assert!(text.contains("<option selected>slow</option>"), "{text}");
    let wrong = server.form("/workflows/etl/run", "i.rounds=seven").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text().contains("aria-invalid=\"true\"") && wrong.text().contains("value=\"seven\""));
    let outside = server.form("/workflows/etl/run", "i.data=/etc/passwd").await;
    assert!(outside.text().contains("below the folder of the workflow"), "{}", outside.text());
    let begun = server.form("/workflows/etl/run", "i.rounds=3").await;
    assert_eq!(begun.status, StatusCode::SEE_OTHER, "{}", begun.text());
    let run = begun.header("location").strip_prefix("/runs/").unwrap().to_owned();
    assert_eq!(server.ended(&run).await["status"], "succeeded");
    let page = server.get("/workflows/etl").await.text();
    assert!(page.contains(&format!("<a href=\"/runs/{run}\" aria-label=\"{run} succeeded in ")), "{page}");
    let schedules = server.get("/schedules").await;
    assert!(schedules.text().contains("etl/nightly") && schedules.text().contains("daily at 02:00"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_schedule_lacks_is_filled_in_and_what_fails_wants_attention() {
    let server = serving(&WebOptions::default());
    server.register("etl/nightly");
    for (body, named) in [
        (json!({"from": "2020-01-03", "to": "2020-01-01"}), "to"),
        (json!({"from": "soon", "to": "2020-01-01"}), "from"),
        (json!({"from": "2020-01-01", "to": "2020-01-03", "jobs": 0}), "jobs"),
        (json!({"from": "2000-01-01", "to": "2020-01-03"}), "from"),
    ] {
        let wrong = server.post("/api/schedules/etl/nightly/backfill", &body.to_string()).await;
        assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}: {}", wrong.text());
        assert_eq!(wrong.json()["errors"][0]["field"], named, "{body}");
    }
    let asked = json!({"from": "2020-01-01", "to": "2020-01-03"}).to_string();
    let begun = server.post("/api/schedules/etl/nightly/backfill", &asked).await;
    assert_eq!(begun.status, StatusCode::ACCEPTED, "{}", begun.text());
    super::runs::hold(&begun, "/api/schedules/{workflow}/{name}/backfill", "post", "202");
    assert_eq!(begun.json()["instants"], 3);
    // In the zone of the schedule.
    assert_eq!(begun.json()["first"], "2020-01-01T01:00:00Z");
    let mut done = Value::Null;
    for _ in 0..600 {
        done = server.get("/api/runs?trigger=backfill&status=succeeded").await.json()["items"].take();
        if done.as_array().is_some_and(|runs| runs.len() == 3) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(done.as_array().map(Vec::len), Some(3), "{done}");
    let nothing = server.form("/schedules/etl/nightly/backfill", "from=2020-01-01&to=2020-01-03").await;
    assert_eq!(nothing.code(), "conflict", "{}", nothing.text());
    let page = server.get("/schedules").await.text();
    assert!(page.contains("of the last 3 instants 0 failed, 3 succeeded"), "{page}");
    let metrics = server.get("/metrics").await;
    assert_eq!(metrics.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        "runner_runs_total{workflow=\"etl\",status=\"succeeded\"} 3\n",
        "runner_instants_total{schedule=\"etl/nightly\",became=\"caught_up\"} 3\n",
        "runner_schedule_paused{schedule=\"etl/nightly\"} 0\n",
        "runner_runs_running 0\n",
    ] {
        assert!(metrics.text().contains(line), "{line}{}", metrics.text());
    }
    let broken = server.home().join("etl.toml");
    fs::write(&broken, WORKFLOW.replace("run = 'echo", "rum = 'echo")).unwrap();
    let mut files = Files::new(&[broken]).unwrap();
    files.refresh(true);
    server
        .app
        .daemon
        .set_snapshot(ServedState { files: files.all().cloned().collect(), schedules: files.schedules() });
    let home = server.get("/runs").await.text();
    assert!(home.contains("What wants attention") && home.contains("does not load: "), "{home}");
    assert!(!server.get("/runs?status=failed").await.text().contains("What wants attention"));
}
