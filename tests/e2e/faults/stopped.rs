//! Signals to the runner: the exit code says which, nothing is left running, and what was finished is kept.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{appears, count, ends_by_itself};
use crate::common::trial::Trial;

#[test]
fn each_ends_the_run_with_its_code() {
    for i in 0..count(4, 200) as u32 {
        let (signal, code) = [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)][i as usize % 3];
        let trial = Trial::new();
        let text = trial.lab.read("w.toml").replace("seq -f", "touch @DIR@/begun; seq -f");
        let text =
            text.replace("cat ", "trap \"\" TERM; sleep 600; cat ").replace("run = ", "grace = '1s'\nrun = ");
        trial.lab.write("slow.toml", &text);
        let mut command = trial.lab.command(&["exec", "slow.toml", "-j", "4"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        appears(&trial, "begun");
        std::thread::sleep(trial.duration * (i % 7) / 4);
        let pid = Pid::from_child(&child);
        kill_process(pid, signal).unwrap();
        let begin = Instant::now();
        if i % 2 == 1 {
            // A second one does not wait for the grace.
            let _ = kill_process(pid, signal);
        }
        let done = ends_by_itself(child, "stopped");
        assert_eq!(done.code, Some(code), "{done:?}");
        assert!(begin.elapsed() < Duration::from_secs(20), "long after its grace");
        assert_eq!(trial.lab.alive(), Vec::<std::path::PathBuf>::new());
        trial.settles();
    }
}
