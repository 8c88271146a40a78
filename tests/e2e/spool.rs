//! `kind = "command"`, and runs whose jobs outlive their runner, on a batch system of four small shell scripts: a folder of
//! files, a job each. What only a real Slurm does is tested in `slurm.rs`.

use std::fs;

use rustix::process::Signal;

use crate::common::live::{Live, until};
use crate::common::{Done, Lab, finish};

/// Prints `job 17 is queued`; refuses while there is a file `refuse`, with its text.
const SUB: &str = r#"#!/bin/bash
[ -e @DIR@/spool/refuse ] && { cat @DIR@/spool/refuse >&2; echo x >> @DIR@/spool/refused; exit 1; }
n=1; until mkdir @DIR@/spool/$n 2> /dev/null; do n=$((n+1)); done
echo "$@" > @DIR@/spool/$n/args
name=$1 log=$2 script=${!#}
echo "$name" > @DIR@/spool/$n/name
echo PEND > @DIR@/spool/$n/state
setsid bash -c '
while [ -e @DIR@/spool/hold ]; do sleep 0.05; [ -e "$0/state" ] || exit; done
echo "${STATE:-RUN}" > "$0/state.new"; mv "$0/state.new" "$0/state"
"$1" > "$2" 2>&1
rm -f "$0/state"' "@DIR@/spool/$n" "$script" "$log" < /dev/null > /dev/null 2>&1 &
echo "job $n is queued"
"#;
/// Does not answer while there is a file `down`.
const STAT: &str = r#"#!/bin/bash
[ -e @DIR@/spool/down ] && { echo "no controller" >&2; exit 1; }
echo "ID NAME STATE"
cd @DIR@/spool
for n in [0-9]*; do s=$(cat $n/state 2> /dev/null) && echo "$n $(cat $n/name) $s"; done
true
"#;
const DEL: &str = "#!/bin/bash\nfor n; do echo $n >> @DIR@/spool/deleted; rm -f @DIR@/spool/$n/state; done\n";

const SETTINGS: &str = r#"
[executors.sp]
kind = "command"
poll_interval = "1s"
record_interval = "50ms"
lost_after = "3s"
record_wait = "2s"
submit = ["@DIR@/bin/sub", "{name}", "{log}", "{options}", "{script}"]
submit_options = { cpus = ["-c", "{cpus}"], memory = ["-m{memory_mb}"], time = ["-t", "{time_hms}"] }
submit_id = 'job (\d+) is queued'
submit_again = '(?i)too many'
status = ["@DIR@/bin/stat"]
states = { PEND = "pending", RUN = "running" }
cancel = ["@DIR@/bin/del", "{ids}"]
"#;

fn lab(settings: &str) -> Lab {
    use std::os::unix::fs::PermissionsExt;
    let lab = Lab::new();
    for (name, text) in [("bin/sub", SUB), ("bin/stat", STAT), ("bin/del", DEL)] {
        let path = lab.write(name, text);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::create_dir(lab.path("spool")).unwrap();
    lab.write("runner.toml", &format!("{SETTINGS}{settings}"));
    lab
}

/// Nothing of any job is left.
#[track_caller]
fn expect_clean(lab: &Lab) {
    let entries = fs::read_dir(lab.home().join("work/jobs"));
    let left: Vec<_> = entries.map(|entries| entries.flatten().collect()).unwrap_or_default();
    assert!(left.is_empty(), "{left:?}");
}

fn status_of(lab: &Lab, run: &str) -> String {
    let runs = lab.run(&["runs", "--json"]).expect_code(0).lines();
    runs.iter().find(|row| row["run"] == run).unwrap()["status"].as_str().unwrap().to_owned()
}

fn args_of(lab: &Lab, job: &str) -> String {
    lab.read(&format!("spool/{job}/args"))
}

const WORKFLOW: &str = "[workflow]\nname = 'w'\n[defaults]\nexecutor = 'sp'\n\
    [tasks.make]\ncache = true\noutputs = { text = 'string' }\ntimeout = '1m'\ngrace = '1s'\n\
    resources = { cpus = 2, memory = '100MiB' }\nexecutor_args = ['--nice']\n\
    run = '''\necho make >> @COUNT@\necho said\nprintf made > \"$OUT/text\"\n'''\n\
    [tasks.fail]\nrun = 'echo broken >&2; exit 3'\n[nodes.make]\n[nodes.fail]\n";

#[test]
fn a_batch_system_of_scripts_runs_tasks() {
    let lab = lab("");
    lab.write("w.toml", WORKFLOW);
    let done = lab.exec("w.toml", &["-k"]).expect_code(1);
    let (made, failed) = (done.node("make"), done.node("fail"));
    assert_eq!(
        (made["status"].as_str(), made["outputs"]["text"].as_str()),
        (Some("succeeded"), Some("made"))
    );
    assert_eq!(
        (failed["error"]["kind"].as_str(), failed["error"]["exit_code"].as_i64()),
        (Some("exit"), Some(3))
    );
    let job = made["job"].as_str().unwrap();
    let args = args_of(&lab, job);
    assert!(args.contains(" -c 2 -m100 -t 00:02:01 --nice "), "{args}");
    let plain = args_of(&lab, failed["job"].as_str().unwrap());
    assert!(!plain.contains(" -"), "what a task does not ask for is not said: {plain}");
    // Where it was is in the events, in the document and in words.
    assert_eq!((made["executor"].as_str(), made["adopted"].as_str()), (Some("sp"), None));
    let begun = &done.events("node_started")[0];
    assert!(begun["executor"] == "sp" && begun["host"].is_string(), "{begun}");
    assert_eq!(done.events("run_started")[0]["executor"], "sp");
    let run = done.events("run_started")[0]["run"].as_str().unwrap().to_owned();
    let document: serde_json::Value = serde_json::from_str(&lab.run(&["show", &run, "--json"]).out).unwrap();
    let calls = &document["executor_calls"];
    assert_eq!((calls["submit"].as_u64(), calls["cancel"].as_u64()), (Some(2), Some(0)), "{calls}");
    let shown = lab.run(&["show", &run, "make"]).expect_code(0).out;
    assert!(shown.contains(&format!("as job {job} of sp on ")), "{shown}");
    expect_clean(&lab);
    let again = lab.exec("w.toml", &["--only", "make"]).expect_code(0);
    assert_eq!((again.cache("make"), lab.ran()), ("hit".into(), 1));
}

#[test]
fn a_refusal_is_final_unless_the_settings_say_otherwise() {
    let lab = lab("");
    lab.write(
        "w.toml",
        "[workflow]\nname = 'w'\n[tasks.t]\nexecutor = 'sp'\nrun = 'echo t >> @COUNT@'\n[nodes.t]\n",
    );
    lab.write("spool/refuse", "no such queue\n");
    let done = lab.exec("w.toml", &[]).expect_code(1);
    let error = &done.node("t")["error"];
    assert_eq!(error["kind"], "spawn");
    assert!(error["message"].as_str().unwrap().contains("no such queue"), "{error}");
    lab.write("spool/refuse", "Too Many jobs\n");
    let live = Live::start(&lab, "later", &[]);
    until("it is refused", || {
        lab.path("spool/refused").exists() && lab.read("spool/refused").lines().count() >= 2
    });
    fs::remove_file(lab.path("spool/refuse")).unwrap();
    let done = live.end().expect_code(0);
    assert!(done.warnings().contains("cannot be submitted now: Too Many jobs"), "{done:?}");
    assert_eq!(lab.ran(), 1);
    expect_clean(&lab);
}

#[test]
fn settings_that_are_wrong_are_said_with_their_place() {
    let of = |from: &str, to: &str| {
        let lab = lab("");
        lab.write("runner.toml", &SETTINGS.replace(from, to));
        lab.write("w.toml", "[workflow]\nname = 'w'\n[tasks.t]\nexecutor = 'sp'\nrun = 'true'\n[nodes.t]\n");
        let tried = lab.run(&["config", "--check"]).expect_code(1);
        let run = lab.exec("w.toml", &[]).expect_code(2);
        assert!(!lab.path("spool/1").exists());
        let message = run.err.lines().next().unwrap_or_default().to_owned();
        let told = tried.out + &tried.err;
        assert!(message.contains("runner.toml:") && told.contains("`executors.sp."), "{message}\n{told}");
        run.err
    };
    for (from, to, expected) in [
        ("{log}", "{logg}", "{logg} stands for nothing here"),
        ("\"{script}\"", "\"x\"", "it has no {script}: nothing would run"),
        ("\"{options}\", ", "", "`submit` has no {options}"),
        ("\"{ids}\"", "\"x\"", "no job would be cancelled"),
        (r"job (\d+) is", "job (is", "no regular expression"),
        (r"job (\d+) is", "job is", "no group"),
        ("cpus = [", "cpu = [", "did you mean `cpus`?"),
        ("\"pending\"", "\"waiting\"", "expected one of pending, running, held"),
        (
            "status = [\"@DIR@/bin/stat\"]",
            "status_line = '^(?P<id>x)$'\nstatus = ['stat']",
            "no group `state`",
        ),
        ("cancel = [\"@DIR@/bin/del\", \"{ids}\"]", "", "it is required"),
    ] {
        let said = of(from, to);
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let lab = lab("");
    let tried = lab.run(&["config", "--check"]).expect_code(0);
    assert!((tried.out + &tried.err).contains("executor sp"));
}

/// Elements that wait for a file, and count their beginnings.
const WAITING: &str = "[workflow]\nname = 'w'\n[tasks.t]\nexecutor = 'sp'\ngrace = '20s'\ninputs = { n = 'int' }\n\
    outputs = { n = 'int' }\nrun = '''\necho \"begin$n\" >> @COUNT@\necho \"line of $n\"\n\
    trap 'echo told >> @DIR@/told; exit 1' TERM\nwhile [ ! -e @DIR@/go ]; do sleep 0.05; done\n\
    echo \"$n\" > \"$OUT/n\"\n'''\n\
    [tasks.here]\ncache = true\nexecutor = 'local'\noutputs = { n = 'int' }\n\
    run = 'echo here >> @COUNT@; echo 1 > \"$OUT/n\"'\n\
    [nodes.here]\n[nodes.t]\nforeach = ['n']\ninputs = { n = [1, 2, 3] }\n[outputs]\nn = '{{ t.n }}'\n";

/// A run of it whose jobs have all begun.
fn begun<'l>(lab: &'l Lab, args: &[&str]) -> (Live<'l>, String) {
    lab.write("w.toml", WAITING);
    let live = Live::start(lab, "first", args);
    until("all have begun", || lab.ran() == 4 && live.said().events("node_started").len() == 4);
    let run = live.run();
    (live, run)
}

/// Attaches to a run, lets its jobs end, and checks that none began twice.
#[track_caller]
fn attached(lab: &Lab, run: &str) -> Done {
    let live = Live::verb(lab, "attached", &["attach", run, "--json"]);
    until("all are taken over", || live.said().warnings().matches("is taken over").count() == 3);
    let busy = lab.run(&["attach", run]).expect_code(2);
    let process = format!("run {run} is under way in process ");
    assert!(busy.err.contains(&process), "{}", busy.err);
    lab.write("go", "");
    let done = live.end().expect_code(0);
    assert_eq!(done.events("run_started")[0]["run"], run);
    assert_eq!((done.outputs()["n"].to_string(), lab.ran()), ("[1,2,3]".into(), 4), "{done:?}");
    assert!(done.events("node_submitted").is_empty(), "{done:?}");
    for node in done.events("node_finished").iter().filter(|node| node["index"].is_number()) {
        assert_eq!((node["adopted"].as_str(), node["job"].is_string()), (Some(run), true), "{node}");
        let log = fs::read_to_string(node["log"].as_str().unwrap()).unwrap();
        assert_eq!(log.matches("line of").count(), 1, "{log}");
    }
    assert_eq!(status_of(lab, run), "succeeded");
    expect_clean(lab);
    let late = lab.run(&["attach", run]).expect_code(0);
    assert!(late.err.contains(&format!("run {run} has ended: succeeded")), "{}", late.err);
    done
}

#[test]
fn detached_jobs_go_on_and_attach_takes_them_in() {
    let lab = lab("");
    let (live, run) = begun(&lab, &["--detach"]);
    live.signal(Signal::INT);
    let done = live.end().expect_code(130);
    assert_eq!(done.finished()["status"], "detached");
    assert!(done.err.contains(&format!("runner attach {run}")), "{}", done.err);
    let left = done.events("node_finished").iter().filter(|node| node["status"] == "detached").count();
    assert_eq!(left, 4, "three jobs and what they are elements of: {done:?}");
    assert_eq!(status_of(&lab, &run), "detached");
    let shown = lab.run(&["show", &run]).expect_code(0).out;
    assert!(shown.contains("detached") && shown.contains(&format!("runner attach {run}")), "{shown}");
    let other = lab.run(&["runs", "--status", "detached"]).expect_code(0);
    assert!(other.out.contains(&run[..2]), "{}", other.out);
    // What another run finds it says, and leaves alone.
    lab.write("other.toml", "[workflow]\nname = 'o'\n[tasks.t]\nexecutor = 'sp'\nrun = 'true'\n[nodes.t]\n");
    let other = lab.exec("other.toml", &[]).expect_code(0);
    assert!(other.err.contains(&format!("run {run} left 3 jobs")), "{}", other.err);
    attached(&lab, &run);
}

#[test]
fn a_batch_system_that_does_not_answer_holds_up_no_record() {
    let lab = lab("");
    let (live, run) = begun(&lab, &["--detach"]);
    live.signal(Signal::INT);
    let done = live.end().expect_code(130);
    assert!(done.finished()["executor_calls"]["submit"] == 3, "{done:?}");
    lab.write("spool/down", "");
    let refused = lab.run(&["cancel", &run]).expect_code(1);
    assert!(refused.err.contains("may still run, as sp does not answer: no controller"), "{}", refused.err);
    assert_eq!(status_of(&lab, &run), "detached");
    // They were asked to end all the same, and what they left is done again.
    until("they have heard", || lab.path("told").exists() && lab.read("told").lines().count() == 3);
    let live = Live::verb(&lab, "attached", &["attach", &run, "--json"]);
    until("all are submitted", || live.said().events("node_submitted").len() == 3);
    until("it is said", || {
        live.said().warnings().contains("the batch system does not answer: no controller")
    });
    lab.write("go", "");
    let done = live.end().expect_code(0);
    assert_eq!((done.outputs()["n"].to_string(), lab.ran()), ("[1,2,3]".into(), 7), "{done:?}");
    assert_eq!(done.events("attempt_lost").len(), 3, "{done:?}");
    expect_clean(&lab);
}

#[test]
fn a_closed_terminal_lets_jobs_go() {
    let lab = lab("");
    let (live, run) = begun(&lab, &[]);
    live.signal(Signal::HUP);
    assert_eq!(live.end().expect_code(129).finished()["status"], "detached");
    assert!(!lab.path("told").exists(), "no job was asked to end");
    attached(&lab, &run);
}

#[test]
fn an_abandoned_run_is_gone_on_with_as_well() {
    let lab = lab("");
    let (live, run) = begun(&lab, &[]);
    live.signal(Signal::KILL);
    live.end();
    assert_eq!(status_of(&lab, &run), "abandoned");
    let shown = lab.run(&["show", &run]).expect_code(0).out;
    assert!(shown.contains(&format!("runner attach {run}")), "{shown}");
    let done = attached(&lab, &run);
    assert_eq!(done.cache("here"), "hit", "what had succeeded is kept");
}

#[test]
fn without_detach_a_signal_ends_jobs_as_ever() {
    let lab = lab("");
    let (live, run) = begun(&lab, &[]);
    live.signal(Signal::INT);
    let done = live.end().expect_code(130);
    assert_eq!(done.finished()["status"], "cancelled");
    assert_eq!((lab.read("told").lines().count(), status_of(&lab, &run)), (3, "cancelled".into()));
    expect_clean(&lab);
}

#[test]
fn the_jobs_of_a_detached_run_are_cancelled() {
    let lab = lab("");
    let (live, run) = begun(&lab, &["--detach"]);
    live.signal(Signal::TERM);
    live.end().expect_code(143);
    let done = lab.run(&["cancel", &run]).expect_code(0);
    assert_eq!(done.err, format!("run {run} is cancelled: 3 jobs ended\n"));
    assert_eq!((lab.read("told").lines().count(), status_of(&lab, &run)), (3, "cancelled".into()));
    let shown = lab.run(&["show", &run]).expect_code(0).out;
    assert!(shown.contains("cancelled in") && shown.contains(&format!("runner retry {run}")), "{shown}");
    expect_clean(&lab);
    let late = lab.run(&["cancel", &run]).expect_code(2);
    assert!(late.err.contains("has ended: cancelled"), "{}", late.err);
    until("nothing runs", || lab.alive().is_empty());
}

#[test]
fn jobs_that_have_not_begun_never_do_once_cancelled() {
    let lab = lab("");
    lab.write("w.toml", WAITING);
    lab.write("spool/hold", "");
    let live = Live::start(&lab, "first", &["--detach"]);
    until("all are submitted", || live.said().events("node_submitted").len() == 3);
    let run = live.run();
    live.signal(Signal::INT);
    live.end().expect_code(130);
    lab.run(&["cancel", &run]).expect_code(0);
    assert_eq!(lab.read("spool/deleted").lines().count(), 3);
    expect_clean(&lab);
    fs::remove_file(lab.path("spool/hold")).unwrap();
    until("nothing runs", || lab.alive().is_empty());
    assert_eq!(lab.ran_as("begin1") + lab.ran_as("begin2") + lab.ran_as("begin3"), 0);
}

#[test]
fn a_node_that_was_changed_begins_anew_and_its_old_job_ends() {
    let lab = lab("");
    let (live, run) = begun(&lab, &["--detach"]);
    live.signal(Signal::INT);
    live.end().expect_code(130);
    let changed = WAITING
        .replace("echo \"begin$n\"", "echo \"anew$n\"")
        .replace("while [ ! -e @DIR@/go ]", "while false");
    lab.write("w.toml", &changed);
    let done = lab.run(&["attach", &run, "--json"]).expect_code(0);
    assert_eq!(done.outputs()["n"].to_string(), "[1,2,3]");
    assert_eq!((lab.ran_as("anew1"), lab.read("told").lines().count()), (1, 3));
    let names: Vec<_> = done.events("node_submitted").iter().map(|event| event["name"].to_string()).collect();
    assert!(names.iter().all(|name| name.contains(&format!("{run}-2."))), "{names:?}");
    expect_clean(&lab);
    until("nothing runs", || lab.alive().is_empty());
}

#[test]
fn a_state_without_a_meaning_is_waited_for_and_said_once() {
    let lab = lab("");
    lab.write("w.toml", WAITING);
    let mut command = lab.command(&["exec", "w.toml", "--json"]);
    let held = std::thread::scope(|scope| {
        let run = scope.spawn(|| finish(command.env("STATE", "ODD")));
        until("all have begun", || lab.ran() == 4);
        let home = lab.home();
        let said = || {
            let logs = fs::read_dir(home.join("logs")).unwrap().flatten();
            logs.filter_map(|run| fs::read_to_string(run.path().join("events.jsonl")).ok())
                .collect::<String>()
        };
        until("it is said", || said().contains("the state `ODD` of a job"));
        lab.write("go", "");
        run.join().unwrap()
    });
    assert_eq!(held.expect_code(0).warnings().matches("`ODD`").count(), 1);
}
