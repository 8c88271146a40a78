//! Tasks that are killed, by somebody or for lack of memory: nothing of them is stored, and the cause is named.

use std::fs;
use std::path::PathBuf;

use super::{after, count, ends};
use crate::common::trial::Trial;

/// Ways to be killed after the outputs are written.
const WAYS: [&str; 4] =
    ["kill -KILL $$", "(kill -KILL $BASHPID); exit $?", "bash -c 'kill -KILL $$'; exit $?", "kill -KILL 0"];

fn workflow(trial: &Trial, then: &str) {
    let text = format!(
        "[workflow]\nname = 'killed'\n[tasks.t]\ncache = true\noutputs = {{ o = 'string' }}\n\
         run = '''\necho half > $OUT/o\n{then}\n'''\n[nodes.t]\n"
    );
    trial.lab.write("k.toml", &text);
}

#[track_caller]
fn stored_nothing(trial: &Trial) {
    let listed = trial.lab.run(&["cache", "ls", "--task", "killed.t", "--json"]).expect_code(0);
    assert_eq!(listed.lines().len(), 0, "{}", listed.out);
}

#[test]
fn by_somebody() {
    let trial = Trial::new();
    for i in 0..count(4, 100) {
        workflow(&trial, WAYS[i % WAYS.len()]);
        let run = ends(&mut trial.lab.command(&["exec", "k.toml"])).expect_code(1);
        let names_it = run.err.contains("SIGKILL") || run.err.contains("exit 137");
        assert!(names_it && run.err.contains("out of memory"), "{}", run.err);
        stored_nothing(&trial);
    }
    trial.settles();
}

/// A control group with little memory, removed at the end.
struct Group(PathBuf);

impl Group {
    fn make() -> Option<Group> {
        let name = format!("runner-test-{}", std::process::id());
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let path = |controller: &str| {
            let line = own.lines().find(|line| line.split(':').nth(1) == Some(controller))?;
            Some(line.splitn(3, ':').nth(2)?.trim_start_matches('/').to_owned())
        };
        let root = PathBuf::from("/sys/fs/cgroup");
        let candidates = [
            path("memory").map(|path| (root.join("memory").join(path), "memory.limit_in_bytes")),
            path("").map(|path| (root.join(path), "memory.max")),
        ];
        candidates.into_iter().flatten().find_map(|(parent, limit)| {
            let group = Group(parent.join(&name));
            fs::create_dir(&group.0).ok()?;
            fs::write(group.0.join(limit), "67108864").ok()?;
            Some(group)
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn for_lack_of_memory() {
    let Some(group) = Group::make() else {
        eprintln!("SKIPPED: no control group with a limit of memory can be made here");
        return;
    };
    let trial = Trial::new();
    // `tail` keeps the one line that it is given.
    workflow(&trial, "head -c 300000000 /dev/zero | tail > tail; exit ${PIPESTATUS[1]}");
    let enter = format!("echo $$ > {}/cgroup.procs", group.0.display());
    for _ in 0..count(2, 100) {
        let run = ends(&mut after(&trial, &enter, &["exec", "k.toml"])).expect_code(1);
        assert!(run.err.contains("the system was out of memory and ended a process"), "{}", run.err);
        stored_nothing(&trial);
    }
    trial.settles();
}
