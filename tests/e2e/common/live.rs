//! A run that goes on while a test looks at it.

use std::fs::File;
use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{Done, Lab};

/// Waits for a condition, generously.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("in vain: {what}");
}

/// A run that goes on while the test looks at what it has said so far.
pub struct Live<'l> {
    lab: &'l Lab,
    name: String,
    child: Child,
}

impl<'l> Live<'l> {
    /// `runner exec w.toml --json ARGS`; `name` is that of the files that take its streams.
    pub fn start(lab: &'l Lab, name: &str, args: &[&str]) -> Self {
        Self::verb(lab, name, &[&["exec", "w.toml", "--json"], args].concat())
    }

    /// Any verb.
    pub fn verb(lab: &'l Lab, name: &str, args: &[&str]) -> Self {
        let mut command = lab.command(args);
        let stream = |suffix| File::create(lab.path(&format!("{name}.{suffix}"))).unwrap();
        let child = command.stdout(stream("out")).stderr(stream("err")).spawn().unwrap();
        Live { lab, name: name.into(), child }
    }

    /// What it said so far.
    pub fn said(&self) -> Done {
        let read = |suffix| self.lab.read(&format!("{}.{suffix}", self.name));
        Done { code: None, signal: None, out: read("out"), err: read("err") }
    }

    /// Waits for an event of a node.
    #[track_caller]
    pub fn until(&self, kind: &str, node: &str) -> Value {
        let mut found = None;
        until(&format!("{kind} of {node} in {}", self.name), || {
            found = self.said().events(kind).into_iter().find(|event| event["node"] == node);
            found.is_some()
        });
        found.unwrap()
    }

    pub fn run(&self) -> String {
        self.said().events("run_started")[0]["run"].as_str().unwrap().to_owned()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    #[track_caller]
    pub fn end(mut self) -> Done {
        let mut status = None;
        until(&format!("{} ends", self.name), || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        Done { code: status.unwrap().code(), ..self.said() }
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        // Where a test fails, nothing may go on.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
