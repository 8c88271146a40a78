//! Processes that a task leaves behind, however they try to get away: none outlives the run, or the run after the one whose
//! runner was killed.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::{appears, count, ends};
use crate::common::trial::Trial;

/// How a task starts a process that means to stay; it writes its number to `$1`.
const WAYS: [&str; 6] = [
    "setsid sh -c 'echo $$ > $0; exec sleep 600' $1 &",
    "(setsid sh -c 'echo $$ > $0; exec sleep 600' $1 &)",
    "env -i sh -c 'echo $$ > $0; exec sleep 600' $1 &",
    "setsid env -i sh -c 'echo $$ > $0; exec sleep 600' $1 &",
    "setsid env -i sh -c '(sh -c \"echo \\$\\$ > $0; exec sleep 600\" &) ; sleep 600' $1 &",
    "sh -c 'trap \"\" TERM INT HUP; echo $$ > $0; while :; do sleep 1; done' $1 &",
];

/// A workflow whose task starts such a process, and then ends or waits.
fn workflow(trial: &Trial, way: &str, then: &str) {
    let _ = fs::remove_file(trial.lab.path("pid"));
    let text = format!(
        "[workflow]\nname = 'orphans'\n[tasks.t]\ngrace = '1s'\nrun = '''\nset -- @DIR@/pid\n{way}\nuntil [ -s $1 ]; do sleep 0.01; done\n{then}\n'''\n[nodes.t]\n"
    );
    trial.lab.write("o.toml", &text);
}

fn orphan(trial: &Trial) -> Option<Pid> {
    let text = fs::read_to_string(trial.lab.path("pid")).ok()?;
    Pid::from_raw(text.trim().parse().ok()?)
}

fn is_gone(pid: Pid) -> bool {
    test_kill_process(pid).is_err()
        || fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid()))
            .is_ok_and(|stat| stat.contains(") Z "))
}

#[test]
fn of_a_run_that_ends_by_itself() {
    let trial = Trial::new();
    for _ in 0..count(1, 17) {
        for way in WAYS {
            workflow(&trial, way, "");
            ends(&mut trial.lab.command(&["exec", "o.toml"]));
            let pid = orphan(&trial).unwrap();
            assert!(is_gone(pid), "{way}");
        }
    }
    trial.settles();
}

#[test]
fn of_a_runner_that_is_killed() {
    // Seen to fail: `setsid env -i` survived the killed runner and the next run, while marks in the environment were all.
    let trial = Trial::new();
    for _ in 0..count(1, 17) {
        for way in WAYS {
            workflow(&trial, way, "sleep 600");
            let mut command = trial.lab.command(&["exec", "o.toml"]);
            let mut runner = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            appears(&trial, "pid");
            // What escapes between two looks at the descendants is not promised.
            std::thread::sleep(Duration::from_millis(300));
            runner.kill().unwrap();
            runner.wait().unwrap();
            let pid = orphan(&trial).unwrap();
            trial.settles();
            let begin = Instant::now();
            while !is_gone(pid) && begin.elapsed() < Duration::from_secs(5) {
                std::thread::sleep(Duration::from_millis(20));
            }
            let gone = is_gone(pid);
            let _ = kill_process(pid, Signal::KILL);
            assert!(gone, "{way}");
        }
    }
}
