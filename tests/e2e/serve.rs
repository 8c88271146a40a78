//! The daemon through the real binary: it runs what is due, follows its files, and shares a home with others.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixDatagram;

use jiff::{SignedDuration, Timestamp};
use runner::core::run_id::RunId;
use runner::core::schedule::Trigger;
use runner::storage::home::Home;
use runner::storage::schedules::requests::{self, Answer, Request, State};
use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::Value;

use crate::common::live::{Live, until};
use crate::common::{Done, Lab, MESSAGE_TO_FILE};

/// A workflow of one task, with a schedule of these lines.
fn workflow(name: &str, schedule: &str, script: &str) -> String {
    format!(
        "[workflow]\nname = '{name}'\n[[schedules]]\nname = 's'\n{schedule}\n[tasks.t]\nrun = '''\n{script}\n'''\n[nodes.t]\n"
    )
}

fn serve<'l>(lab: &'l Lab, name: &str, args: &[&str]) -> Live<'l> {
    let live = Live::verb(lab, name, &[&["serve", "--json", "--no-web"], args].concat());
    until("it is ready", || live.said().out.contains(r#""event":"serving""#));
    live
}

fn whole_lines(done: &Done) -> Vec<Value> {
    let whole = done.out.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn events(live: &Live, kind: &str) -> Vec<Value> {
    whole_lines(&live.said()).into_iter().filter(|event| event["event"] == kind).collect()
}

/// Waits for so many events of a kind.
#[track_caller]
fn heard(live: &Live, kind: &str, count: usize) -> Vec<Value> {
    let mut found = Vec::new();
    until(&format!("{count} times {kind}"), || {
        found = events(live, kind);
        found.len() >= count
    });
    found
}

/// How often each instant of a schedule had a run, by the rows of the home.
fn claims(lab: &Lab, name: &str) -> BTreeMap<i64, usize> {
    let db = Connection::open(lab.home().join("runner.db")).unwrap();
    let mut rows = db.prepare("SELECT at_ms FROM instant WHERE schedule = ?1 AND run IS NOT NULL").unwrap();
    let mut claims = BTreeMap::new();
    for at in rows.query_map([name], |row| row.get::<_, i64>(0)).unwrap() {
        *claims.entry(at.unwrap()).or_default() += 1;
    }
    claims
}

/// As if the daemon had last been there so many minutes ago.
fn was_away(lab: &Lab, minutes: i64) {
    let db = Connection::open(lab.home().join("runner.db")).unwrap();
    let then = Timestamp::now() - SignedDuration::from_mins(minutes);
    db.execute("UPDATE schedule SET accounted_ms = ?1, since_ms = ?1", [then.as_millisecond()]).unwrap();
}

#[test]
fn what_is_due_runs_once_and_a_signal_ends_the_daemon_when_runs_have_ended() {
    let lab = Lab::new();
    lab.write("w.toml", &workflow("w", "every = '1s'\noverlap = 'queue'", "echo x >> @COUNT@; sleep 0.3"));
    let live = serve(&lab, "serve", &[]);
    heard(&live, "ended", 2);
    live.signal(Signal::TERM);
    let done = live.end().expect_code(0);
    let lines = whole_lines(&done);
    let position = |kind: &str| lines.iter().position(|event| event["event"] == kind).unwrap();
    assert!(position("serving") < position("instant"), "{lines:?}");
    let serving = &lines[position("serving")];
    assert_eq!((&serving["workflows"], &serving["schedules"]), (&1.into(), &1.into()));
    let instants: Vec<_> = lines.iter().filter(|event| event["event"] == "instant").collect();
    let ended: Vec<_> = lines.iter().filter(|event| event["event"] == "ended").collect();
    assert_eq!(ended.len(), instants.len(), "what runs is finished: {lines:?}");
    assert!(ended.iter().all(|event| event["status"] == "succeeded" && event["executed"] == 1), "{ended:?}");
    assert!(claims(&lab, "w/s").values().all(|count| *count == 1));
    assert_eq!(lab.ran(), ended.len());
    assert!(done.err.contains("serving 1 workflow, 1 schedule"), "{}", done.err);
    let runs = lab.run(&["runs", "--schedule", "w/s", "--json"]);
    assert_eq!(runs.lines().len(), ended.len());
    // Nothing of the daemon is left.
    assert!(lab.run(&["cache", "gc", "--max-age", "1000d"]).expect_code(0).err.is_empty());
}

#[test]
fn several_daemons_share_a_home_and_no_instant_runs_twice() {
    let lab = Lab::new();
    lab.write("w.toml", &workflow("w", "every = '1s'\noverlap = 'allow'", "echo x >> @COUNT@"));
    let (first, second) = (serve(&lab, "first", &[]), serve(&lab, "second", &[]));
    until("five runs", || events(&first, "ended").len() + events(&second, "ended").len() >= 5);
    first.signal(Signal::TERM);
    second.signal(Signal::INT);
    let (first, second) = (first.end().expect_code(0), second.end().expect_code(0));
    let count = |done: &Done| done.events("ended").len();
    let claims = claims(&lab, "w/s");
    assert_eq!(claims.len(), count(&first) + count(&second));
    assert!(claims.values().all(|count| *count == 1), "{claims:?}");
    assert_eq!(lab.ran(), claims.len());
    let (first, last) = (claims.keys().next().unwrap(), claims.keys().last().unwrap());
    assert_eq!(last - first, 1000 * (claims.len() as i64 - 1), "none is left out: {claims:?}");
}

#[test]
fn edits_new_files_and_broken_ones_are_followed() {
    let lab = Lab::new();
    let every = |every: &str| workflow("w", &format!("every = '{every}'"), "echo x >> @COUNT@");
    lab.write("w.toml", &every("1000h"));
    let live = serve(&lab, "serve", &["."]);
    lab.write("w.toml", &every("1 parsec"));
    let broken = heard(&live, "broken", 1);
    assert!(broken[0]["path"].as_str().unwrap().ends_with("w.toml"));
    assert!(broken[0]["mistakes"][0].as_str().unwrap().contains("w.toml:5:"), "{broken:?}");
    lab.write("other.toml", &workflow("other", "every = '1s'", "echo x >> @COUNT@"));
    let ended = heard(&live, "ended", 1);
    assert!(ended.iter().all(|event| event["schedule"] == "other/s"), "{ended:?}");
    lab.write("w.toml", &every("1s"));
    until("the edit counts", || events(&live, "ended").iter().any(|event| event["schedule"] == "w/s"));
    fs::remove_file(lab.path("other.toml")).unwrap();
    heard(&live, "gone", 1);
    // A text that was broken when a run began never ran.
    assert!(events(&live, "ended").iter().all(|event| event["status"] == "succeeded"));
    live.signal(Signal::HUP);
    let loaded = events(&live, "loaded").len();
    heard(&live, "loaded", loaded + 1);
    live.signal(Signal::TERM);
    live.end().expect_code(0);
}

#[test]
fn a_file_that_does_not_load_keeps_its_schedule_and_the_workflow_that_it_runs() {
    let lab = Lab::new();
    lab.write("w.toml", &workflow("w", "every = '1s'", "echo x >> @COUNT@"));
    let live = serve(&lab, "serve", &["w.toml"]);
    heard(&live, "ended", 1);
    lab.write("w.toml", "nonsense = [");
    heard(&live, "broken", 1);
    let before = events(&live, "ended").len();
    let after = heard(&live, "ended", before + 2);
    assert!(after.iter().all(|event| event["status"] == "succeeded"), "{after:?}");
    live.signal(Signal::TERM);
    live.end().expect_code(0);
}

#[test]
fn once_catches_up_what_was_missed_and_says_whether_a_run_failed() {
    let lab = Lab::new();
    lab.write("w.toml", &workflow("w", "every = '10m'", "echo x >> @COUNT@"));
    let first = lab.run(&["serve", "--once", "--json"]).expect_code(0);
    assert!(first.events("instant").is_empty(), "it has missed nothing before it was seen: {}", first.out);
    was_away(&lab, 45);
    let done = lab.run(&["serve", "--once", "--json"]).expect_code(0);
    let became: Vec<String> =
        done.events("instant").iter().map(|event| event["became"].as_str().unwrap().into()).collect();
    let (last, passed) = became.split_last().unwrap();
    assert!(["caught_up", "fired"].contains(&&**last), "{became:?}");
    assert!(passed.len() >= 3 && passed.iter().all(|became| became == "missed"), "{became:?}");
    assert_eq!(lab.ran(), 1);
    assert!(lab.run(&["serve", "--once", "--json"]).expect_code(0).events("instant").is_empty());
    lab.write("w.toml", &workflow("w", "every = '10m'", "exit 3"));
    was_away(&lab, 45);
    let done = lab.run(&["serve", "--once", "--json"]).expect_code(1);
    assert_eq!(done.events("ended")[0]["status"], "failed");
    // One that cannot begin has failed as well.
    lab.write(
        "w.toml",
        &workflow("w", "every = '10m'", "true").replace("[tasks.t]", "[tasks.t]\nsecrets = ['NO_SUCH']"),
    );
    was_away(&lab, 45);
    let done = lab.run(&["serve", "--once", "--json"]).expect_code(1);
    let ended = &done.events("ended")[0];
    assert_eq!(ended["status"], "failed");
    assert!(ended["reason"].as_str().unwrap().contains("NO_SUCH"), "{ended}");
}

#[test]
fn replace_ends_what_runs_and_max_runtime_is_a_failure() {
    let lab = Lab::new();
    lab.write("w.toml", &workflow("w", "every = '2s'\noverlap = 'replace'", "sleep 600"));
    lab.write("x.toml", &workflow("x", "every = '2s'\nmax_runtime = '200ms'", "sleep 600"));
    let live = serve(&lab, "serve", &["."]);
    let of = |name: &str| {
        let mut found = None;
        until(&format!("{name} ends"), || {
            found = events(&live, "ended").into_iter().find(|event| event["schedule"] == name);
            found.is_some()
        });
        found.unwrap()
    };
    assert_eq!(of("x/s")["status"], "failed");
    assert_eq!(of("w/s")["status"], "cancelled");
    live.signal(Signal::TERM);
    heard(&live, "stopping", 1);
    live.signal(Signal::TERM);
    live.end().expect_code(0);
    let statuses = |name: &str| {
        let runs = lab.run(&["runs", "--schedule", name, "--json"]);
        runs.lines().iter().map(|run| run["status"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(statuses("x/s").contains(&"failed".into()));
    let shown = lab.run(&["schedule", "show", "x/s", "--json"]).expect_code(0).lines().remove(0);
    assert!(shown["instants"].to_string().contains("it took longer than max_runtime"), "{shown}");
    assert!(lab.alive().is_empty());
}

#[test]
fn so_many_nodes_of_a_run_go_on_at_once() {
    let lab = Lab::new();
    let node = "mkdir @DIR@/busy && sleep 0.1 && rmdir @DIR@/busy";
    let text = workflow("w", "every = '1s'", node);
    lab.write("w.toml", &(text + "[nodes.u]\ntask = 't2'\n[tasks.t2]\nrun = '''\n" + node + "; : 2\n'''\n"));
    let live = serve(&lab, "serve", &["-j", "1"]);
    assert_eq!(heard(&live, "ended", 1)[0]["status"], "succeeded");
    live.signal(Signal::TERM);
    live.end().expect_code(0);
}

#[test]
fn a_request_of_another_process_is_answered_and_goes_by_overlap() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        &workflow("w", "every = '1000h'", "touch @DIR@/began; while [ ! -e @DIR@/go ]; do sleep 0.01; done"),
    );
    let live = serve(&lab, "serve", &["--on-exit", "cancel"]);
    let home = Home::locate(Some(&lab.home())).unwrap();
    let mut db = Connection::open(lab.home().join("runner.db")).unwrap();
    let mut ask = |run: RunId| {
        let now = Timestamp::now();
        let request = Request::Trigger { run, at: now, given: Vec::new(), trigger: Trigger::Manual };
        let id = requests::ask(&mut db, &home, "w/s", &request, now).unwrap().unwrap();
        let mut state = State::Waiting;
        until("an answer", || {
            state = requests::state(&db, &home, id).unwrap();
            state != State::Waiting
        });
        state
    };
    let run = RunId::make();
    assert_eq!(ask(run), State::Answered(Answer::Accepted));
    until("it runs", || lab.path("began").exists());
    assert_eq!(ask(RunId::make()), State::Answered(Answer::Overlap { run }));
    lab.write("go", "");
    let ended = heard(&live, "ended", 1);
    assert_eq!((ended[0]["run"].as_str(), ended[0]["status"].as_str()), (Some(&*run), Some("succeeded")));
    fs::remove_file(lab.path("go")).unwrap();
    fs::remove_file(lab.path("began")).unwrap();
    ask(RunId::make());
    until("it runs", || lab.path("began").exists());
    live.signal(Signal::TERM);
    let done = live.end().expect_code(0);
    assert_eq!(done.events("ended").last().unwrap()["status"], "cancelled", "with --on-exit cancel");
    assert!(lab.alive().is_empty());
}

#[test]
fn the_service_manager_hears_when_it_is_ready_and_when_it_ends() {
    let lab = Lab::new();
    lab.write("w.toml", &workflow("w", "every = '1000h'", "true"));
    let socket = UnixDatagram::bind(lab.path("notify")).unwrap();
    let mut command = lab.command(&["serve", "--no-web"]);
    let mut child = command.env("NOTIFY_SOCKET", lab.path("notify")).spawn().unwrap();
    let heard = || {
        let mut text = [0; 200];
        let length = socket.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    assert!(heard().starts_with("READY=1"));
    let signal =
        |signal| rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
    signal(Signal::HUP);
    assert_eq!(heard(), "RELOADING=1");
    assert!(heard().starts_with("READY=1"));
    signal(Signal::TERM);
    assert_eq!(heard(), "STOPPING=1");
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_ready_line_names_the_page_which_answers() {
    let lab = Lab::new();
    lab.write("w.toml", &workflow("w", "every = '1000h'", "true"));
    let live = Live::verb(&lab, "serve", &["serve", "--json", "--listen", "127.0.0.1:0"]);
    let serving = heard(&live, "serving", 1).remove(0);
    let url = serving["url"].as_str().unwrap();
    assert!(serving["login"].as_str().unwrap().starts_with(&format!("{url}login?code=")), "{serving}");
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    until("the line for people", || {
        live.said().err.contains(&format!("serving {url} (1 workflow, 1 schedule)"))
    });
    live.signal(Signal::TERM);
    live.end().expect_code(0);
}

#[test]
fn what_cannot_be_served_is_said_before_anything_begins() {
    let lab = Lab::new();
    let done = lab.run(&["serve", "nowhere.toml"]).expect_code(2);
    assert!(done.err.contains("nowhere.toml"), "{}", done.err);
    assert!(!lab.home().exists());
}

/// A daemon that is killed around an instant: the other one takes over, no instant runs twice, none is unaccounted for.
#[test]
fn a_killed_daemon_leaves_no_instant_twice_and_none_unaccounted_for() {
    let rounds = match std::env::var("RUNNER_FAULTS").is_ok_and(|asked| asked == "full") {
        true => 100,
        false => 3,
    };
    for round in 0..rounds {
        let lab = Lab::new();
        lab.write(
            "w.toml",
            &workflow(
                "w",
                "every = '1s'\noverlap = 'allow'\ncatch_up = 'all'",
                "echo $RUNNER_SCHEDULED_AT >> @COUNT@",
            ),
        );
        let (first, second) = (serve(&lab, "first", &[]), serve(&lab, "second", &[]));
        heard(&first, "instant", 1);
        // Around the beginning of a second.
        let now = Timestamp::now();
        let past = i64::from(now.subsec_nanosecond()) / 1_000_000;
        let wait = (1000 - past + round % 10 * 12 - 40).rem_euclid(1000);
        std::thread::sleep(std::time::Duration::from_millis(wait.unsigned_abs()));
        first.signal(Signal::KILL);
        drop(first);
        let seen = events(&second, "ended").len();
        until("the other one goes on", || events(&second, "ended").len() >= seen + 2);
        second.signal(Signal::TERM);
        second.end().expect_code(0);
        let claims = claims(&lab, "w/s");
        assert!(claims.values().all(|count| *count == 1), "round {round}: {claims:?}");
        let (first, last) = (claims.keys().next().unwrap(), claims.keys().last().unwrap());
        assert_eq!(last - first, 1000 * (claims.len() as i64 - 1), "round {round}: {claims:?}");
        // By what the tasks themselves say.
        let mut ran: Vec<&str> = Vec::new();
        let text = lab.read("count");
        ran.extend(text.lines());
        let all = ran.len();
        ran.sort_unstable();
        ran.dedup();
        assert_eq!(ran.len(), all, "round {round}: {ran:?}");
    }
}

#[test]
fn people_are_told_of_failures_recoveries_and_files_that_do_not_load() {
    let lab = Lab::new();
    let text = |script: &str| {
        let notify = format!("[[notify]]\non = ['failure', 'recovery', 'broken']\n{MESSAGE_TO_FILE}\n");
        workflow("w", "every = '1s'", script) + &notify
    };
    lab.write("told", "");
    lab.write("w.toml", &text("exit 3"));
    let live = serve(&lab, "serve", &[]);
    let told = |what: &str| until(what, || lab.read("told").contains(&format!(r#""event":"{what}""#)));
    told("failure");
    lab.write("w.toml", &text("true"));
    told("recovery");
    lab.write("w.toml", "nonsense = [");
    told("broken");
    live.signal(Signal::TERM);
    live.end().expect_code(0);
    let failures = lab.read("told").matches(r#""event":"failure""#).count();
    assert_eq!(failures, 1, "one that goes on in the same way is told once");
}

/// The messages that the command of [`telling`] was given.
fn told(lab: &Lab) -> Vec<Value> {
    let text = lab.read("told");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Rules that write every message down.
fn telling(lab: &Lab) -> String {
    lab.write("told", "");
    format!("[[notify]]\nname = 'file'\non = ['failure', 'recovery', 'missed']\n{MESSAGE_TO_FILE}\n")
}

#[test]
fn what_was_missed_and_a_run_that_could_not_begin_are_told_and_so_is_its_end() {
    let lab = Lab::new();
    let notify = telling(&lab);
    let fine = workflow("w", "every = '10m'", "true") + &notify;
    let refused = fine.replace("[tasks.t]", "[tasks.t]\nsecrets = ['NO_SUCH']");
    lab.write("w.toml", &refused);
    let once = || {
        was_away(&lab, 45);
        lab.run(&["serve", "--once", "--json"])
    };
    lab.run(&["serve", "--once"]).expect_code(0);
    once().expect_code(1);
    let messages = told(&lab);
    let of = |event: &str| messages.iter().find(|message| message["event"] == event).unwrap();
    assert!(of("missed")["instants"].as_array().unwrap().len() >= 3, "{messages:?}");
    let failure = of("failure");
    assert_eq!(failure["title"], "✗ w/s could not begin");
    assert!(failure["reason"].as_str().unwrap().contains("NO_SUCH"), "{failure}");
    assert!(failure["text"].as_str().unwrap().contains("NO_SUCH"), "{failure}");
    assert_eq!((&failure["schedule"], &failure["consecutive"]), (&"w/s".into(), &1.into()));
    // The same once more is no news; its end is.
    once().expect_code(1);
    assert_eq!(told(&lab).iter().filter(|message| message["event"] == "failure").count(), 1);
    lab.write("w.toml", &fine);
    once().expect_code(0);
    let messages = told(&lab);
    let recovery = messages.iter().find(|message| message["event"] == "recovery").unwrap();
    assert_eq!(recovery["title"], "✓ w/s recovered after 2 failures");
    // What was sent is shown with the schedule.
    let shown = lab.run(&["schedule", "show", "w/s", "--json"]).expect_code(0).lines().remove(0);
    let delivery = &shown["deliveries"][0];
    assert_eq!((&delivery["notify"], &delivery["state"]), (&"file".into(), &"delivered".into()));
    let page = lab.run(&["schedule", "show", "w/s"]).expect_code(0).out;
    assert!(page.contains("NOTIFIED") && page.contains("recovery") && page.contains("NO_SUCH"), "{page}");
}

#[test]
fn a_run_that_died_with_its_daemon_is_told_by_the_next_one_whoever_comes_between() {
    let lab = Lab::new();
    let notify = telling(&lab);
    lab.write("w.toml", &(workflow("w", "every = '1s'", "sleep 600") + &notify));
    let live = serve(&lab, "serve", &[]);
    let run = heard(&live, "instant", 1)[0]["run"].as_str().unwrap().to_owned();
    until("it runs", || lab.run(&["show", &run]).code == Some(0) && !lab.alive().is_empty());
    live.signal(Signal::KILL);
    drop(live);
    lab.write("w.toml", &(workflow("w", "every = '1000h'", "true") + &notify));
    // Neither holds the dead one these up, nor do they take its news away.
    lab.run(&["schedule", "trigger", "w/s", "--here"]).expect_code(0);
    assert!(told(&lab).is_empty());
    lab.run(&["serve", "--once"]).expect_code(0);
    let messages = told(&lab);
    let died: Vec<_> = messages.iter().filter(|message| message["run"] == run.as_str()).collect();
    assert_eq!((died.len(), &died[0]["title"]), (1, &"✗ w/s was interrupted".into()), "{messages:?}");
    let shown = lab.run(&["schedule", "show", "w/s", "--json"]).expect_code(0).lines().remove(0);
    let instants = shown["instants"].as_array().unwrap();
    let of = instants.iter().find(|instant| instant["run"] == run.as_str()).unwrap();
    assert_eq!(of["status"], "interrupted");
}

#[test]
fn settings_say_what_flags_do_not() {
    let lab = Lab::new();
    lab.write("w.toml", &workflow("w", "every = '1s'\noverlap = 'allow'", "echo x >> @COUNT@; sleep 600"));
    lab.write(
        "runner.toml",
        "[serve]\nlisten = 'unix:@DIR@/sock'\nread_only = true\non_exit = 'cancel'\nmax_runs = 1\n",
    );
    let live = Live::verb(&lab, "serve", &["serve", "--json"]);
    heard(&live, "instant", 1);
    assert!(lab.path("sock").exists());
    assert!(!live.said().err.contains("no effect"), "{}", live.said().err);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(events(&live, "instant").len(), 1, "one at a time");
    live.signal(Signal::TERM);
    let done = live.end().expect_code(0);
    assert_eq!(done.events("ended")[0]["status"], "cancelled");
    // A flag wins.
    let flags = ["serve", "--json", "--on-exit", "finish", "--listen", "127.0.0.1:0", "--max-runs", "2"];
    let live = Live::verb(&lab, "flags", &flags);
    heard(&live, "instant", 2);
    assert!(heard(&live, "serving", 1)[0]["url"].as_str().unwrap().starts_with("http://127.0.0.1:"));
    live.signal(Signal::TERM);
    heard(&live, "stopping", 1);
    live.signal(Signal::TERM);
    live.end().expect_code(0);
}
