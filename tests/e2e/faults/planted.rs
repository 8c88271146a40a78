//! What a task, or another program, puts in the place of a file or folder of the runner.

use std::fs;
use std::process::Stdio;

use super::{appears, ends, ends_by_itself};
use crate::common::trial::Trial;

#[test]
fn a_folder_of_the_attempt_is_not_taken_from_elsewhere() {
    // Seen to fail: the outputs of the folder outside were stored as the task's.
    for script in [
        "mkdir @DIR@/outside; echo stolen > @DIR@/outside/o; rmdir $OUT; ln -s @DIR@/outside $OUT",
        "mkdir -p @DIR@/outside/out; echo stolen > @DIR@/outside/out/o; cd /; top=$(dirname $OUT); mv $top $top.gone; ln -s @DIR@/outside $top",
    ] {
        let trial = Trial::new();
        let text = format!(
            "[workflow]\nname = 'p'\n[tasks.t]\ncache = true\noutputs = {{ o = 'string' }}\nrun = '''\n{script}\n'''\n[nodes.t]\n[outputs]\no = '{{{{ t.o }}}}'\n"
        );
        trial.lab.write("p.toml", &text);
        let run = ends(&mut trial.lab.command(&["exec", "p.toml"])).expect_code(1);
        assert!(run.err.contains("a folder of its attempt"), "{}", run.err);
        assert_eq!(
            fs::read_dir(trial.lab.path("outside")).unwrap().count(),
            1,
            "what is outside is left alone"
        );
        trial.settles();
    }
}

#[test]
fn a_database_index_that_is_cut_short_ends_a_run_with_a_message() {
    // Seen to fail: SIGBUS ended the process without a word.
    let trial = Trial::new();
    let text = trial.lab.read("w.toml").replace("seq -f", "touch @DIR@/begun; sleep 1; seq -f");
    trial.lab.write("slow.toml", &text);
    let mut command = trial.lab.command(&["exec", "slow.toml"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    appears(&trial, "begun");
    let index = trial.lab.home().join("runner.db-shm");
    fs::OpenOptions::new().write(true).open(index).unwrap().set_len(0).unwrap();
    let done = ends_by_itself(child, "runner.db-shm cut short");
    match done.code {
        Some(4) => assert!(done.err.contains("runner.db-shm"), "{}", done.err),
        // It was not looked at again.
        code => assert!(matches!(code, Some(0 | 1)), "{done:?}"),
    }
    trial.settles();
}
