//! The shared cache in a bucket. RUNNER_OBJECT_STORE names the folder of a server for tests, which holds `env`, what to
//! export, and `ctl`, which makes it fail. Without it these tests are skipped, but not in CI.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::{Done, Lab, finish};
use crate::shared_cache::{Team, counted};

/// The server is one for all, and fails for all.
static SERVER: Mutex<()> = Mutex::new(());

struct Server {
    folder: PathBuf,
    team: Team,
    _alone: MutexGuard<'static, ()>,
}

impl Server {
    /// A team with a prefix of its own; nothing where there is no server.
    fn new() -> Option<Server> {
        let alone = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(folder) = std::env::var_os("RUNNER_OBJECT_STORE").map(PathBuf::from) else {
            assert!(std::env::var_os("CI_RUN").is_none(), "RUNNER_OBJECT_STORE is not set");
            eprintln!("skipped: RUNNER_OBJECT_STORE is not set");
            return None;
        };
        let lab = Lab::new();
        let prefix = lab.dir().file_name().unwrap().to_str().unwrap().to_owned();
        let mut team = Team::at(lab, format!("s3://cache/{prefix}"));
        let exports = fs::read_to_string(folder.join("env")).unwrap();
        for line in exports.lines().filter_map(|line| line.strip_prefix("export ")) {
            let (name, value) = line.split_once('=').unwrap();
            team.variables.push((name.into(), value.into()));
        }
        team.lab.write("runner.toml", "[cache]\nremote_timeout = \"1s\"\nremote_upload_wait = \"20s\"\n");
        let server = Server { folder, team, _alone: alone };
        server.fault("ok");
        Some(server)
    }

    fn ctl(&self, args: &[&str]) -> String {
        let output = Command::new(self.folder.join("ctl")).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn fault(&self, mode: &str) {
        self.ctl(&["fault", mode]);
    }

    /// The names of the objects of a kind.
    fn objects(&self, part: &str) -> Vec<String> {
        let prefix = format!("{}/v1/{part}/", self.team.url.strip_prefix("s3://cache/").unwrap());
        let listed = self.ctl(&["s3", "ls", &prefix]);
        listed.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new(self.folder.join("ctl")).args(["fault", "ok"]).status();
    }
}

#[test]
fn what_one_home_has_another_one_need_not_compute() {
    let Some(server) = Server::new() else { return };
    let team = &server.team;
    team.run("a", &["config", "--check"]).expect_code(0);
    let first = team.ok("a", &[]);
    assert_eq!((counted(&first, "uploaded"), counted(&first, "errors")), (2, 0), "{first:?}");
    assert_eq!((server.objects("entries").len(), server.objects("blobs").len()), (2, 4));
    let second = team.ok("b", &[]);
    assert_eq!((team.lab.ran(), counted(&second, "hits")), (2, 2));
    assert_eq!(second.outputs(), first.outputs());
    let again = team.ok("c", &["--remote-mode", "wo"]);
    assert_eq!(
        (counted(&again, "uploaded"), counted(&again, "conflicts"), counted(&again, "errors")),
        (0, 0, 0)
    );
    team.run("a", &["cache", "verify", "--remote"]).expect_code(0);
    let pulled = team.run("d", &["cache", "pull", "--json"]).expect_code(0);
    assert_eq!(pulled.lines().len(), 2);
    let swept = team.run("a", &["cache", "gc", "--remote", "--max-size", "0", "--json"]).expect_code(0);
    assert_eq!((&swept.lines()[0]["entries"], server.objects("entries").len()), (&2.into(), 0));
}

/// A run in a home of its own while the server fails, and then that its results were not lost.
fn survives(server: &Server, mode: &str, expected: &Done) {
    let team = &server.team;
    let home = mode.replace([' ', '/'], "-");
    server.fault(mode);
    let done = team.ok(&home, &[]);
    assert_eq!(done.outputs(), expected.outputs(), "{mode}");
    let about_it = done.events("warning").len();
    assert!(about_it <= 1 || counted(&done, "refused") > 0, "{mode}: {}", done.warnings());
    server.fault("ok");
    team.run(&home, &["cache", "push"]).expect_code(0);
    assert!(team.run(&home, &["cache", "push", "--json"]).expect_code(0).lines().is_empty(), "{mode}");
    team.run(&home, &["cache", "verify", "--remote"]).expect_code(0);
}

#[test]
fn a_server_that_fails_fails_no_run_and_loses_nothing() {
    let Some(server) = Server::new() else { return };
    let outputs = server.team.ok("outputs", &["--remote", "off"]);
    for mode in [
        "refuse",
        "hang",
        "503",
        "403",
        "lose-answer",
        "slow",
        "hang PUT",
        "503 PUT /entries/",
        "lose-answer PUT",
    ] {
        survives(&server, mode, &outputs);
    }
    // Now there is something to be read wrongly.
    for mode in [
        "truncate",
        "flip",
        "truncate GET /blobs/",
        "flip GET /blobs/",
        "flip GET /entries/",
        "hang GET /blobs/",
    ] {
        survives(&server, mode, &outputs);
    }
}

#[test]
fn a_dead_server_costs_three_requests_and_one_warning() {
    let Some(server) = Server::new() else { return };
    for mode in ["refuse", "403"] {
        server.fault(mode);
        let done = server.team.ok(mode, &[]);
        assert_eq!((counted(&done, "errors"), counted(&done, "queued")), (3, 2), "{mode}");
        assert_eq!(done.events("warning").len(), 1, "{mode}: {}", done.warnings());
    }
}

/// A run whose uploads hang, with a request timeout far beyond the wait.
fn hangs_uploading(server: &Server, home: &str, wait: &str, args: &[&str]) -> Command {
    let settings = format!("[cache]\nremote_timeout = \"100s\"\nremote_upload_wait = \"{wait}\"\n");
    server.team.lab.write("runner.toml", &settings);
    server.fault("hang PUT");
    server.team.command(home, &[&["exec", "w.toml"], args].concat())
}

const LEFT: &str = "2 results are not uploaded to";

#[test]
fn the_wait_for_uploads_is_told_and_ends() {
    let Some(server) = Server::new() else { return };
    let done = finish(&mut hangs_uploading(&server, "a", "2s", &["--json"])).expect_code(0);
    let waits = done.events("run_uploading");
    assert_eq!((&waits[0]["left"], &waits[0]["remote"]), (&2.into(), &server.team.url.clone().into()));
    assert!(done.warnings().contains(LEFT), "{}", done.warnings());
    assert_eq!((done.events("warning").len(), counted(&done, "queued")), (1, 2));
    let plain = finish(&mut hangs_uploading(&server, "b", "2s", &[])).expect_code(0);
    assert_eq!(plain.err.matches("uploading 2 results to").count(), 1, "{}", plain.err);
    assert_eq!(plain.err.matches(LEFT).count(), 1, "{}", plain.err);
    server.fault("ok");
    server.team.run("a", &["cache", "push"]).expect_code(0);
}

#[test]
fn an_interrupt_ends_the_wait_for_uploads_and_not_the_run() {
    let Some(server) = Server::new() else { return };
    let mut command = hangs_uploading(&server, "a", "1000s", &[]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut err = BufReader::new(child.stderr.take().unwrap()).lines();
    let said = err.find(|line| line.as_ref().unwrap().contains("uploading 2 results"));
    assert!(said.is_some(), "it ended before it said that it waits");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let rest: Vec<String> = err.map(Result::unwrap).collect();
    assert!(child.wait().unwrap().success(), "{rest:?}");
    assert!(rest.iter().any(|line| line.contains(LEFT)), "{rest:?}");
}

#[test]
fn poison_is_refused_and_mended() {
    let Some(server) = Server::new() else { return };
    let team = &server.team;
    let outputs = team.ok("a", &[]).outputs();
    for (i, (verb, part)) in
        [("flip", "entries"), ("flip", "blobs"), ("cut", "entries"), ("cut", "blobs"), ("rm", "blobs")]
            .into_iter()
            .enumerate()
    {
        for object in server.objects(part) {
            let args: &[&str] =
                if verb == "cut" { &["s3", verb, &object, "3"] } else { &["s3", verb, &object] };
            server.ctl(args);
        }
        let victim = team.ok(&format!("victim-{i}"), &[]);
        assert_eq!(victim.outputs(), outputs, "{verb} {part}");
        assert!(counted(&victim, "refused") > 0, "{verb} {part}");
        let healed = team.ok(&format!("healed-{i}"), &[]);
        assert_eq!((counted(&healed, "refused"), counted(&healed, "hits")), (0, 2), "{verb} {part}");
    }
}
