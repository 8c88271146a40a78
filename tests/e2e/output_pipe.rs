//! Standard output that cannot be written: results are lost, and the exit code says so.

use std::fs::{File, OpenOptions};
use std::process::Stdio;

use crate::common::{Lab, finish};

const WORKFLOW: &str = "[workflow]\nname = \"w\"\n[tasks.t]\noutputs = { y = \"string\" }\n\
     run = 'echo hi; printf y > \"$OUT/y\"'\n[nodes.t]\n[outputs]\ny = \"{{ t.y }}\"\n";

/// Every verb that prints a result.
const VERBS: &[&[&str]] = &[
    &["exec", "w.toml"],
    &["exec", "w.toml", "--json"],
    &["plan", "w.toml"],
    &["why", "w.toml", "t", "--json"],
    &["check", "w.toml", "--json", "none.toml"],
    &["graph", "w.toml"],
    &["runs"],
    &["show", "@last"],
    &["show", "@last", "--json"],
    &["logs", "@last", "t"],
    &["cache", "stats"],
    &["cache", "gc", "--json"],
    &["cache", "verify"],
    &["schema"],
    &["completions", "bash"],
    &["man"],
    &["--help"],
    &["exec", "--help"],
    &["--version"],
];

fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("w.toml", WORKFLOW);
    lab.ok("w.toml", &[]);
    lab
}

#[test]
fn a_full_disk_behind_standard_output_ends_every_verb_with_74() {
    let lab = lab();
    for verb in VERBS {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let done = finish(lab.command(verb).stdout(full)).expect_code(74);
        assert!(
            done.err.contains("standard output cannot be written: No space left"),
            "{verb:?}: {}",
            done.err
        );
    }
}

#[test]
fn a_closed_standard_output_is_noticed() {
    let lab = lab();
    for verb in [&["exec", "w.toml"][..], &["runs"], &["show", "@last", "--json"]] {
        let runner = env!("CARGO_BIN_EXE_runner");
        let line = format!("exec '{runner}' {} >&-", verb.join(" "));
        let mut command = std::process::Command::new("bash");
        command.arg("-c").arg(line).current_dir(lab.dir()).env("RUNNER_HOME", lab.home());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let done = finish(&mut command).expect_code(74);
        assert!(done.err.contains("closed"), "{verb:?}: {}", done.err);
    }
}

#[test]
fn a_reader_that_went_away_and_dev_null_are_no_failures() {
    let lab = lab();
    for verb in [&["exec", "w.toml", "--json"][..], &["runs", "--json"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        finish(lab.command(verb).stdout(writer)).expect_code(0);
        finish(lab.command(verb).stdout(File::options().read(true).write(true).open("/dev/null").unwrap()))
            .expect_code(0);
    }
}
