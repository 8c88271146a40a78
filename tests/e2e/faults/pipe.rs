//! The reader of the output goes away or its disk is full: the exit code is that of the run, or 74 where results were lost.

use std::process::Command;

use super::ends;
use crate::common::trial::Trial;

/// The exit code of the program in a pipeline of bash.
fn code(trial: &Trial, args: &str, rest: &str) -> i32 {
    let script = format!("'{}' {args} {rest}; echo ${{PIPESTATUS[0]}} >&2", env!("CARGO_BIN_EXE_runner"));
    let mut command = Command::new("bash");
    command.args(["-c", &script]).current_dir(trial.lab.dir()).env("RUNNER_HOME", trial.lab.home());
    let done = ends(&mut command);
    done.err.lines().last().unwrap().parse().unwrap_or_else(|_| panic!("{done:?}"))
}

#[test]
fn the_exit_code_is_right_whoever_reads() {
    let trial = Trial::new();
    let text = trial.lab.read("w.toml").replace("cat \"$a\"", "exit 3; cat \"$a\"");
    trial.lab.write("fails.toml", &text);
    for (rest, good, bad) in [
        ("| head -1 > /dev/null", 0, 1),
        ("| true", 0, 1),
        ("2>&1 | head -1 > /dev/null", 0, 1),
        ("> /dev/null", 0, 1),
        ("> /dev/full 2> /dev/null", 74, 74),
        (">&- 2> /dev/null", 74, 74),
    ] {
        for json in ["", "--json"] {
            assert_eq!(code(&trial, &format!("exec w.toml {json}"), rest), good, "{rest} {json}");
            let found = code(&trial, &format!("exec fails.toml {json}"), rest);
            // Without results to be written nothing is lost.
            assert!(found == bad || found == 1, "{rest} {json}: {found}");
        }
    }
    trial.settles();
}
