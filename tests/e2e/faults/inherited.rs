//! What a parent leaves to a runner that it starts: ignored and blocked signals.

use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::{appears, ends, ends_by_itself};
use crate::common::trial::Trial;

/// The program as a parent starts it that has run these lines of Python first.
fn started_by(trial: &Trial, setup: &str, args: &[&str]) -> Command {
    let script = format!("import os, signal, sys\n{setup}\nos.execv(sys.argv[1], sys.argv[1:])");
    let mut command = Command::new("python3");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_runner")]).args(args);
    command.current_dir(trial.lab.dir()).env("RUNNER_HOME", trial.lab.home());
    command
}

#[test]
fn ignored_children_do_not_fail_every_task() {
    // Seen to fail: with SIGCHLD ignored nobody can wait for a child.
    let trial = Trial::new();
    let ignore = "signal.signal(signal.SIGCHLD, signal.SIG_IGN)";
    let run = ends(&mut started_by(&trial, ignore, &["exec", "w.toml", "--json"])).expect_code(0);
    trial.expect_outputs(&run);
    trial.settles();
}

#[test]
fn blocked_signals_are_answered_and_reach_tasks() {
    // Seen to fail: TERM stayed blocked, in the runner and in what it started.
    let trial = Trial::new();
    let text = trial.lab.read("w.toml").replace("seq -f", "touch @DIR@/begun; sleep 600; seq -f");
    trial.lab.write("slow.toml", &text);
    let block = "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))";
    let mut command = started_by(&trial, block, &["exec", "slow.toml"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    appears(&trial, "begun");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let done = ends_by_itself(child, "blocked");
    assert_eq!(done.code, Some(143), "{}", done.err);
    trial.settles();
}

#[test]
fn tasks_have_the_usual_disposition_of_every_signal() {
    let trial = Trial::new();
    trial.lab.write(
        "signals.toml",
        "[workflow]\nname = 'signals'\n[tasks.t]\noutputs = { s = { type = 'string', from = 'stdout' } }\n\
         run = 'grep -E \"^Sig(Ign|Blk)\" /proc/self/status'\n[nodes.t]\n[outputs]\ns = '{{ t.s }}'\n",
    );
    // What the caller of the tests ignores, such as HUP below `nohup`, tasks would rightly ignore as well.
    let setup = "for s in set(signal.valid_signals()) - {9, 19}: signal.signal(s, signal.SIG_DFL)";
    let run = ends(&mut started_by(&trial, setup, &["exec", "signals.toml", "--json"])).expect_code(0);
    let text = run.outputs()["s"].as_str().unwrap().to_owned();
    for line in text.lines() {
        let (_, mask) = line.split_once(":\t").unwrap();
        // The two above 31 are those that the C library keeps for itself.
        assert_eq!(u64::from_str_radix(mask, 16).unwrap() & 0x7fff_ffff, 0, "{text}");
    }
}

#[test]
fn a_group_and_a_session_from_outside_of_the_container() {
    // Seen to fail: there both have the number 0, which was taken for one.
    let trial = Trial::new();
    let inside = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--mount-proc", "sh", "-c", script, env!("CARGO_BIN_EXE_runner")]);
        command.current_dir(trial.lab.dir()).env("RUNNER_HOME", trial.lab.home());
        command
    };
    if !inside("true").output().is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: unshare is not installed, or may not make a numbering of processes here");
        return;
    }
    trial.lab.write(
        "stays.toml",
        "[workflow]\nname = 'stays'\n[tasks.t]\nrun = 'setsid env -i sleep 600 & sleep 0.2'\n[nodes.t]\n",
    );
    let script = "\"$0\" exec stays.toml; code=$?; cat /proc/[0-9]*/cmdline; exit $code";
    let run = ends(&mut inside(script)).expect_code(0);
    assert!(!run.out.contains("600"), "left running: {}", run.out);
    trial.settles();
}
