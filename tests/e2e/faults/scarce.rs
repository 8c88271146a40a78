//! Threads, descriptors, memory and file sizes run out: a message and exit code 4, or a failed task, and never a hang.

use super::{after, count, ends, injected, injected_in, spread};
use crate::common::trial::Trial;

/// Whether a run that lacked something ended as it may: it succeeded, a task failed for it, or it could not begin.
#[track_caller]
fn ended_well(trial: &Trial, run: &crate::common::Done, what: &str) {
    match run.code {
        Some(0) => trial.expect_outputs(run),
        Some(1 | 4) => assert!(run.code == Some(1) || run.err.contains("error: "), "{what}: {run:?}"),
        other => panic!("{what}: {other:?} {run:?}"),
    }
}

#[test]
fn threads() {
    // Seen to fail: the second thread of the runtime missing hung it, the third panicked.
    for call in ["clone3", "clone"] {
        for when in
            spread(count(5, 40), 40).map(|n| n.to_string()).chain(["2+", "4+", "6+"].map(str::to_owned))
        {
            let trial = Trial::new();
            let inject = format!("{call}:error=EAGAIN:when={when}");
            let Some(run) = injected(&trial, &inject) else { return };
            ended_well(&trial, &run, &inject);
            trial.settles();
        }
    }
}

#[test]
fn threads_for_heavy_work() {
    // Seen to fail: the runtime panicked where it could not replace the thread that takes in a folder.
    let heavy = "[workflow]\nname = 'heavy'\n[tasks.make]\noutputs = { d = 'dir' }\nrun = 'mkdir $OUT/d; seq 9 > $OUT/d/f'\n\
        [tasks.size]\ninputs = { d = 'dir' }\noutputs = { n = 'int' }\nrun = 'wc -l < $d/f > $OUT/n; mkdir left'\n\
        [nodes.make]\n[nodes.size]\ninputs = { d = '{{ make.d }}' }\n[outputs]\nn = '{{ size.n }}'\n";
    let some = spread(count(3, 16), 16).map(|n| (n + 4).to_string());
    for when in some.chain(["6+", "7+", "8+", "9+"].map(str::to_owned)) {
        let trial = Trial::new();
        trial.lab.write("heavy.toml", heavy);
        let inject = format!("clone3:error=EAGAIN:when={when}");
        let Some(run) = injected_in(&trial, "heavy.toml", &inject) else { return };
        match run.code {
            Some(0) => assert_eq!(run.outputs()["n"], 9, "{inject}: {run:?}"),
            Some(1 | 4) => assert!(run.code == Some(1) || run.err.contains("error: "), "{inject}: {run:?}"),
            other => panic!("{inject}: {other:?} {run:?}"),
        }
        trial.settles();
    }
}

#[test]
fn descriptors() {
    // Below that the loader of programs has none for its libraries.
    for limit in spread(count(8, 60), 60).map(|n| n + 3) {
        let trial = Trial::new();
        let args = ["exec", "w.toml", "--json", "-j", "2"];
        let run = ends(&mut after(&trial, &format!("ulimit -n {limit}"), &args));
        ended_well(&trial, &run, &format!("{limit} descriptors"));
        // It is the run that lacks them, so no task is to blame.
        assert_ne!(run.code, Some(1), "{limit}: {run:?}");
        trial.settles();
    }
}

#[test]
fn memory() {
    // Seen to fail: without the allocator of our own the process aborts. With less the kernel cannot map the program.
    for mebibytes in spread(count(6, 60), 600).map(|n| n + 160) {
        let trial = Trial::new();
        let setup = format!("ulimit -v {}", mebibytes << 10);
        let run = ends(&mut after(&trial, &setup, &["exec", "w.toml", "--json"]));
        // The loader of programs says it in its own way, and ends with 127.
        if run.code != Some(127) {
            ended_well(&trial, &run, &format!("{mebibytes} MiB"));
        }
        trial.settles();
    }
    // The first are those of the loader of programs, which has no words for it.
    for when in spread(count(6, 60), 120).map(|n| n + 50) {
        let trial = Trial::new();
        let inject = format!("mmap,mprotect,brk:error=ENOMEM:when={when}");
        let Some(run) = injected(&trial, &inject) else { return };
        ended_well(&trial, &run, &inject);
        trial.settles();
    }
}

#[test]
fn a_file_that_may_not_grow_is_named() {
    // Seen to fail: SIGXFSZ ended the process without a word.
    for kibibytes in [1, 4, 16, 64, 256] {
        let trial = Trial::new();
        let setup = format!("ulimit -f {kibibytes}");
        let run = ends(&mut after(&trial, &setup, &["exec", "w.toml", "--json"]));
        ended_well(&trial, &run, &setup);
        if run.code == Some(4) {
            let home = trial.lab.home();
            assert!(run.err.contains(home.to_str().unwrap()), "{setup}: {}", run.err);
        }
        trial.settles();
    }
}
