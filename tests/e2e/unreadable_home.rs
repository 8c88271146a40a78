//! A home that cannot be read does not look like an empty one: exit code 4, with the reason.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::common::{Lab, finish};

/// Verbs that look at a home.
const LOOKING: [&[&str]; 8] = [
    &["plan", "w.toml"],
    &["why", "w.toml", "t"],
    &["runs"],
    &["show", "@last"],
    &["logs", "@last", "t"],
    &["cache", "ls"],
    &["cache", "stats"],
    &["cache", "gc", "--dry-run"],
];

fn lab() -> Lab {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = \"w\"\n[tasks.t]\ncache = true\noutputs = { y = \"int\" }\nrun = 'echo 1 > \"$OUT/y\"'\n[nodes.t]\n",
    );
    lab
}

#[track_caller]
fn expect(lab: &Lab, reason: &str) {
    for args in LOOKING {
        let done = lab.run(args).expect_code(4);
        assert!(done.err.contains(reason) && done.out.is_empty(), "{args:?} {} {}", done.out, done.err);
    }
    let done = lab.run(&["exec", "w.toml"]).expect_code(4);
    assert!(done.err.contains(reason), "{}", done.err);
}

#[test]
fn a_file_in_place_of_a_folder_is_no_empty_home() {
    let lab = lab();
    lab.write("home", "");
    expect(&lab, "Not a directory");
    fs::remove_file(lab.home()).unwrap();
    lab.run(&["runs"]).expect_code(0);
}

#[test]
fn a_folder_in_place_of_the_database_is_no_empty_history() {
    let lab = lab();
    lab.ok("w.toml", &[]);
    for name in ["runner.db", "runner.db-wal", "runner.db-shm"] {
        let _ = fs::remove_file(lab.home().join(name));
    }
    fs::create_dir(lab.home().join("runner.db")).unwrap();
    for args in LOOKING {
        let done = lab.run(args).expect_code(4);
        assert!(done.err.contains("runner.db") && done.out.is_empty(), "{args:?} {} {}", done.out, done.err);
    }
}

#[test]
fn what_one_may_not_enter_is_not_empty() {
    let lab = lab();
    lab.ok("w.toml", &[]);
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        fs::set_permissions(lab.home(), fs::Permissions::from_mode(0o000)).unwrap();
        expect(&lab, "ermission denied");
        fs::set_permissions(lab.home(), fs::Permissions::from_mode(0o700)).unwrap();
        return;
    }
    // Root may enter everything, so another user looks: the program must be where that user can start it.
    let program = Path::new("/usr/bin/setpriv");
    let binary = lab.path("runner");
    fs::copy(env!("CARGO_BIN_EXE_runner"), &binary).unwrap();
    for path in [lab.dir(), &binary] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    if !program.exists() {
        return;
    }
    for args in LOOKING {
        let mut command = std::process::Command::new(program);
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&binary).args(args);
        command.current_dir(lab.dir()).env("RUNNER_HOME", lab.home());
        command.stdin(std::process::Stdio::null());
        let done = finish(&mut command).expect_code(4);
        assert!(done.err.contains("ermission denied"), "{args:?} {}", done.err);
    }
}
