//! A laboratory for end-to-end tests: a temporary folder with a home of its own, and the real binary.
//!
//! Every test makes its own [`Lab`], so that tests know nothing of each other. Commands of tasks append
//! to a file, so that [`Lab::ran`] counts what was executed, not what the program says of it.
#![allow(dead_code, reason = "each test program uses its own part of this module")]

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

pub mod chromium;
pub mod disk;
pub mod live;
pub mod one_task;
pub mod python;
pub mod trial;

/// A command of `[[notify]]` that appends each message to the file `told` as a line, in one write: two
/// messages at once would else be mixed.
pub const MESSAGE_TO_FILE: &str =
    r#"command = ['sh', '-c', 'message=$(cat); printf "%s\n" "$message" >> @DIR@/told']"#;

pub struct Lab {
    dir: tempfile::TempDir,
}

impl Lab {
    pub fn new() -> Lab {
        let lab = Lab { dir: tempfile::Builder::new().prefix("runner-lab-").tempdir().unwrap() };
        lab.write("count", "");
        lab
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    pub fn home(&self) -> PathBuf {
        self.path("home")
    }

    /// Writes a file, with its folders; `@COUNT@` becomes the path of the file that counts executions,
    /// `@DIR@` that of the laboratory.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let text = text.replace("@COUNT@", self.path("count").to_str().unwrap());
        self.write_bytes(name, text.replace("@DIR@", self.dir().to_str().unwrap()).as_bytes())
    }

    pub fn write_bytes(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// How often a command appended a word to the file that counts.
    pub fn ran(&self) -> usize {
        self.read("count").split_whitespace().count()
    }

    /// How often a command appended this word.
    pub fn ran_as(&self, tag: &str) -> usize {
        self.read("count").split_whitespace().filter(|word| *word == tag).count()
    }

    /// The processes that have the laboratory's path in their environment or command line.
    pub fn alive(&self) -> Vec<PathBuf> {
        let mark = self.dir().as_os_str().as_encoded_bytes();
        let holds = |file: PathBuf| {
            fs::read(file).is_ok_and(|text| text.windows(mark.len()).any(|window| window == mark))
        };
        let entries = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        entries
            .filter(|entry| entry.join("stat").exists())
            .filter(|process| holds(process.join("environ")) || holds(process.join("cmdline")))
            .collect()
    }

    /// The binary, ready to start in the laboratory with its own home: for tests that change more of it.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RUNNER_") {
                command.env_remove(name);
            }
        }
        command.args(args).current_dir(self.dir()).env("RUNNER_HOME", self.home());
        if let Some(cluster) = std::env::var_os("RUNNER_SLURM") {
            command.env("SLURM_CONF", Path::new(&cluster).join("etc/slurm.conf"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// `runner ARGS`, to its end.
    pub fn run(&self, args: &[&str]) -> Done {
        finish(&mut self.command(args))
    }

    /// `runner exec WORKFLOW --json ARGS`, to its end, whatever it is.
    pub fn exec(&self, workflow: &str, args: &[&str]) -> Done {
        self.run(&[&["exec", workflow, "--json"], args].concat())
    }

    /// Like [`Lab::exec`], and it must succeed.
    #[track_caller]
    pub fn ok(&self, workflow: &str, args: &[&str]) -> Done {
        self.exec(workflow, args).expect_code(0)
    }
}

/// Runs a command to its end.
pub fn finish(command: &mut Command) -> Done {
    Done::new(command.output().unwrap())
}

/// What a finished call left: its ending, both streams, and standard output's JSON Lines.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Done {
    pub fn new(output: Output) -> Done {
        Done {
            code: output.status.code(),
            signal: output.status.signal(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub fn expect_code(self, code: i32) -> Done {
        let Done { out, err, .. } = &self;
        assert_eq!(self.code, Some(code), "\n--- stdout\n{out}\n--- stderr\n{err}");
        self
    }

    /// Every line of standard output that is JSON.
    pub fn lines(&self) -> Vec<Value> {
        self.out.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The events of one kind, in order.
    pub fn events(&self, kind: &str) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line["event"] == kind).collect()
    }

    /// The `node_finished` event of a node.
    #[track_caller]
    pub fn node(&self, name: &str) -> Value {
        let found = self.events("node_finished").into_iter().rev().find(|event| event["node"] == name);
        found.unwrap_or_else(|| panic!("no node_finished of {name}\n{}\n{}", self.out, self.err))
    }

    /// The cache status of a node: `hit`, `populated`...
    #[track_caller]
    pub fn cache(&self, node: &str) -> String {
        self.node(node)["cache"].as_str().unwrap().to_owned()
    }

    /// The cache key of a node.
    #[track_caller]
    pub fn key(&self, node: &str) -> String {
        self.node(node)["key"].as_str().unwrap().to_owned()
    }

    /// The `run_finished` event.
    #[track_caller]
    pub fn finished(&self) -> Value {
        let found = self.events("run_finished").pop();
        found.unwrap_or_else(|| panic!("no run_finished\n{}\n{}", self.out, self.err))
    }

    /// The workflow's outputs.
    #[track_caller]
    pub fn outputs(&self) -> Value {
        self.finished()["outputs"].clone()
    }

    /// The text of all warnings, one a line.
    pub fn warnings(&self) -> String {
        let events = self.events("warning");
        events.iter().map(|event| format!("{}\n", event["message"].as_str().unwrap())).collect()
    }
}
