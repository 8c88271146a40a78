//! Homes that were copied, moved, made read-only, or have odd paths.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{appears, count, ends, ends_by_itself};
use crate::common::trial::Trial;

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

#[test]
fn a_copy_leaves_the_run_of_the_original_alone() {
    for i in 0..count(2, 50) {
        let trial = Trial::new();
        let text = trial.lab.read("w.toml").replace("seq -f", "touch @DIR@/begun; sleep 1.5; seq -f");
        trial.lab.write("slow.toml", &text);
        let mut command = trial.lab.command(&["exec", "slow.toml", "-j", "20", "--json"]);
        let live = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        appears(&trial, "begun");
        let copied = trial.lab.path("copy");
        copy(&trial.lab.home(), &copied);
        // A verb that sweeps what dead runs left: in the copy the run seems to be one.
        let mut other = trial.lab.command(&["exec", "w.toml", "--json"]);
        let other = ends(other.env("RUNNER_HOME", &copied)).expect_code(0);
        trial.expect_outputs(&other);
        assert!(other.warnings().contains("was copied while run"), "{i}: {other:?}");
        let live = ends_by_itself(live, "the original").expect_code(0);
        trial.expect_outputs(&live);
        let again = ends(trial.lab.command(&["exec", "w.toml", "--json"]).env("RUNNER_HOME", &copied));
        assert_eq!(again.warnings(), "", "it is said once");
        trial.settles();
    }
}

#[test]
fn a_moved_one_goes_on_and_ends_what_a_killed_runner_left() {
    for _ in 0..count(2, 50) {
        let trial = Trial::new();
        trial.lab.ok("w.toml", &[]);
        let text = trial.lab.read("w.toml").replace("seq -f", "touch @DIR@/begun; sleep 600; seq -f");
        trial.lab.write("slow.toml", &text);
        let mut command = trial.lab.command(&["exec", "slow.toml"]);
        let mut killed = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        appears(&trial, "begun");
        std::thread::sleep(std::time::Duration::from_millis(100));
        killed.kill().unwrap();
        killed.wait().unwrap();
        let moved = trial.lab.path("moved");
        fs::rename(trial.lab.home(), &moved).unwrap();
        let run = ends(trial.lab.command(&["exec", "w.toml", "--json"]).env("RUNNER_HOME", &moved));
        assert_eq!(run.expect_code(0).finished()["cached"], 20, "results move along");
        assert_eq!(trial.lab.alive(), Vec::<std::path::PathBuf>::new());
        fs::rename(&moved, trial.lab.home()).unwrap();
        trial.settles();
    }
}

#[test]
fn one_with_an_odd_path_is_one_like_any_other() {
    let names =
        ["with space", "quote'\"", "percent%20?#", "new\nline", "-rf", "$(touch x)", "é😀", "{{ x }}"];
    for name in &names[..count(8, 8)] {
        let trial = Trial::new();
        let home = trial.lab.path(name);
        for expected in [0, 20] {
            let run = ends(trial.lab.command(&["exec", "w.toml", "--json"]).env("RUNNER_HOME", &home));
            let run = run.expect_code(0);
            trial.expect_outputs(&run);
            assert_eq!(run.finished()["cached"], expected, "{name}");
        }
        for verb in [&["runs"][..], &["cache", "ls"], &["cache", "verify"], &["cache", "gc"]] {
            ends(trial.lab.command(verb).env("RUNNER_HOME", &home)).expect_code(0);
        }
        assert!(!trial.lab.path("x").exists());
    }
}

/// Root may write to read-only folders: so the whole file system is read-only.
#[test]
fn a_read_only_one_is_refused_for_runs_and_can_be_looked_at() {
    let trial = Trial::new();
    trial.lab.ok("w.toml", &[]);
    let home = trial.lab.home();
    let script = "mount --bind \"$H\" \"$H\" && mount -o remount,bind,ro \"$H\" && exec \"$0\" \"$@\"";
    let inside = |args: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_runner")]).args(args);
        command.current_dir(trial.lab.dir()).env("RUNNER_HOME", &home).env("H", &home);
        ends(&mut command)
    };
    let refused = inside(&["exec", "w.toml"]);
    if refused.err.contains("unshare")
        || refused.err.contains("mount:")
        || refused.err.contains("permission denied")
    {
        eprintln!("SKIPPED: no file system can be made read-only here");
        return;
    }
    let refused = refused.expect_code(4);
    assert!(refused.err.contains(home.to_str().unwrap()), "{}", refused.err);
    assert!(inside(&["runs"]).expect_code(0).out.contains("trial"));
    trial.settles();
}
