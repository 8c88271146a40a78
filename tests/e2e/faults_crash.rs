//! Runners that are killed, whose system calls fail, and that meet one another.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::trial::Trial;
use crate::common::{Done, finish};

/// How many instants of a run are tried.
const INSTANTS: u32 = 10;

/// Kills a run after each of a row of delays that together cover all of it.
#[track_caller]
fn killed_anywhere(trial: impl Fn() -> Trial, args: &[&str]) {
    for instant in 0..INSTANTS {
        let trial = trial();
        let mut runner = trial.start(args);
        std::thread::sleep(trial.duration * instant / INSTANTS);
        // Fails where the run was faster this time.
        let _ = runner.kill();
        runner.wait().unwrap();
        trial.settles();
    }
}

#[test]
fn a_cold_run_that_is_killed_at_any_instant_needs_only_a_plain_run() {
    killed_anywhere(Trial::new, &["-j", "4"]);
}

#[test]
fn a_run_over_older_results_that_is_killed_at_any_instant_needs_only_a_plain_run() {
    let warm = || {
        let trial = Trial::new();
        trial.lab.ok("w.toml", &[]);
        trial
    };
    killed_anywhere(warm, &["--overwrite"]);
}

#[test]
fn kills_in_a_row_leave_nothing_behind() {
    let trial = Trial::new();
    for instant in 0..2 * INSTANTS {
        let mut runner = trial.start(&["--overwrite", "-j", "3"]);
        std::thread::sleep(trial.duration * (instant * 7 % INSTANTS) / INSTANTS);
        let _ = runner.kill();
        runner.wait().unwrap();
    }
    trial.settles();
}

#[test]
fn a_killed_run_is_marked_as_interrupted_and_its_processes_are_ended_by_the_next() {
    let trial = Trial::new();
    let text = trial.lab.read("w.toml").replace("seq -f", "touch @DIR@/begun; sleep 600; seq -f");
    trial.lab.write("slow.toml", &text);
    let mut command = trial.lab.command(&["exec", "slow.toml"]);
    let mut runner = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !trial.lab.path("begun").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    runner.kill().unwrap();
    runner.wait().unwrap();
    trial.settles();
    let runs = trial.lab.run(&["runs", "--json"]).expect_code(0).lines();
    let status = |name: &str| runs.iter().filter(|run| run["status"] == name).count();
    assert_eq!((status("interrupted"), status("succeeded")), (1, 2), "{runs:?}");
}

/// Runs with one kind of system call disturbed, if the tool for that is here. `None` where it is not.
fn disturbed(trial: &Trial, inject: &str) -> Option<Done> {
    let probe = Command::new("strace").args(["-f", "-qq", "-o", "/dev/null", "true"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: strace is not installed or may not trace here ({inject})");
        return None;
    }
    let calls = inject.split(':').next().unwrap();
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
    command.args([
        "-e",
        &format!("inject={inject}"),
        env!("CARGO_BIN_EXE_runner"),
        "exec",
        "w.toml",
        "--json",
    ]);
    command.current_dir(trial.lab.dir()).env("RUNNER_HOME", trial.lab.home()).stdin(Stdio::null());
    Some(finish(&mut command))
}

/// A fault of the cache never fails a run that could succeed without it.
#[track_caller]
fn failing(inject: &str) {
    let trial = Trial::new();
    let Some(run) = disturbed(&trial, inject) else { return };
    match run.code {
        Some(0) => trial.expect_outputs(&run),
        // Before the run began, the store could not be used.
        other => assert!(other == Some(4) && run.err.contains("error: "), "{inject}: {run:?}"),
    }
    trial.settles();
}

#[test]
fn a_disk_that_fails_to_sync_costs_results_but_no_run() {
    for when in ["1", "2", "3", "5", "8", "1+", "4+"] {
        failing(&format!("fsync,fdatasync:error=EIO:when={when}"));
    }
}

#[test]
fn a_full_disk_under_the_database_costs_results_but_no_run() {
    for when in ["1", "4", "9", "30", "60", "30+"] {
        failing(&format!("pwrite64:error=ENOSPC:when={when}"));
    }
}

#[test]
fn a_rename_that_fails_costs_results_but_no_run() {
    for when in ["1", "5", "1+"] {
        failing(&format!("rename:error=EIO:when={when}"));
    }
}

#[test]
fn a_run_that_dies_in_a_rename_or_a_sync_needs_only_a_plain_run() {
    for inject in ["rename", "fdatasync", "fsync", "pwrite64"] {
        for when in [1, 2, 4, 7, 20] {
            let trial = Trial::new();
            if disturbed(&trial, &format!("{inject}:signal=KILL:when={when}")).is_some() {
                trial.settles();
            }
        }
    }
}

/// Starts that many runs on one home at the same moment.
#[track_caller]
fn together(count: usize, trial: &Trial, args: &[&str]) {
    let runs: Vec<_> = (0..count)
        .map(|_| trial.lab.command(&[&["exec", "w.toml", "--json"], args].concat()).spawn().unwrap())
        .collect();
    for run in runs {
        let run = Done::new(run.wait_with_output().unwrap()).expect_code(0);
        trial.expect_outputs(&run);
        assert_eq!(run.warnings(), "");
    }
}

#[test]
fn two_runners_at_once_on_a_new_home_get_along() {
    let trial = Trial::new();
    together(2, &trial, &[]);
    trial.settles();
}

#[test]
fn four_runners_at_once_get_along_cold_warm_and_overwriting() {
    let trial = Trial::new();
    together(4, &trial, &[]);
    together(4, &trial, &[]);
    together(4, &trial, &["--overwrite"]);
    trial.settles();
}

#[test]
fn a_runner_beside_one_that_is_killed_is_not_disturbed() {
    let trial = Trial::new();
    for instant in 0..INSTANTS / 2 {
        let mut victim = trial.start(&["--overwrite"]);
        std::thread::sleep(trial.duration * instant / INSTANTS);
        let other = trial.lab.command(&["exec", "w.toml", "--json", "--overwrite"]).spawn().unwrap();
        let _ = victim.kill();
        victim.wait().unwrap();
        let other = Done::new(other.wait_with_output().unwrap()).expect_code(0);
        trial.expect_outputs(&other);
    }
    trial.settles();
}

#[test]
fn scratch_folders_of_dead_runs_that_history_never_heard_of_are_swept() {
    let trial = Trial::new();
    trial.lab.write("home/scratch/ghstrnnn/lock", "");
    trial.lab.write("home/scratch/ghstrnnn/n.1/work/file", "left");
    fs::create_dir(trial.lab.home().join("scratch/nbrnrnnn")).unwrap();
    trial.settles();
}
