//! A generated graph on disk, and how each tool is run over it and held to the right result.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::generate::{Graph, Shape};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// The same scripts with nothing around them.
    Bare,
    Make,
    Ninja,
    /// `runner`, whose nodes hand on integers.
    Values,
    /// `runner`, whose nodes hand on files.
    Files,
}

impl Tool {
    pub const ALL: [Self; 5] = [Self::Bare, Self::Make, Self::Ninja, Self::Values, Self::Files];

    /// The peers that are installed, and ourselves.
    pub fn present() -> Vec<Self> {
        let mut tools = Vec::new();
        for (tool, name) in [(Self::Make, "make"), (Self::Ninja, "ninja")] {
            match Command::new(name).arg("--version").output() {
                Ok(output) if output.status.success() => tools.push(tool),
                _ => eprintln!("{name} is not installed: its column stays empty"),
            }
        }
        tools.extend([Self::Values, Self::Files]);
        tools
    }

    pub fn is_runner(self) -> bool {
        matches!(self, Self::Values | Self::Files)
    }
}

/// How many nodes run at once, everywhere.
pub const JOBS: &str = "-j2";

static RUNNER: OnceLock<PathBuf> = OnceLock::new();

/// Copies the program that is measured: a build meanwhile must not change it.
pub fn copy_runner(root: &Path) {
    let copy = RUNNER.get_or_init(|| root.join("runner"));
    fs::copy(env!("CARGO_BIN_EXE_runner"), copy).expect("the benchmark's folder can be written");
}

/// A `runner` command with a home of its own and nothing from the caller's settings.
pub fn runner(home: &Path) -> Command {
    let mut command = Command::new(RUNNER.get().expect("it was copied first"));
    for name in ["RUNNER_JOBS", "RUNNER_PROJECT", "RUNNER_DOMAIN"] {
        command.env_remove(name);
    }
    command.env("RUNNER_HOME", home);
    command
}

/// Which source a benchmark has edited, and what it holds now.
pub type Edit = (usize, i64);

pub struct Field {
    pub graph: Graph,
    pub dir: PathBuf,
}

impl Field {
    pub fn new(root: &Path, shape: Shape, size: usize) -> Self {
        let graph = Graph::new(shape, size);
        let dir = root.join(format!("{}-{size}", shape.name()));
        graph.write(&dir).expect("the benchmark's folder can be written");
        Self { graph, dir }
    }

    fn outputs(&self, tool: Tool) -> PathBuf {
        self.dir.join(match tool {
            Tool::Bare => "bare",
            Tool::Make => "make",
            Tool::Ninja => "ninja",
            Tool::Values => "home-values",
            Tool::Files => "home-files",
        })
    }

    /// Where the tool's standard output goes.
    pub fn stdout(&self, tool: Tool) -> PathBuf {
        self.dir.join(format!("{tool:?}.stdout"))
    }

    /// Makes the tool forget all it ever did here, and lets the disk come to rest. What there was is moved
    /// away, not removed: some file systems are slow for minutes after many removals, whoever runs next.
    pub fn forget(&self, tool: Tool) {
        let dir = self.outputs(tool);
        let put_away = (0..).map(|n| dir.with_extension(n.to_string())).find(|path| !path.exists());
        match fs::rename(&dir, put_away.expect("some number is free")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{}: {error}", dir.display()),
            _ => fs::create_dir(&dir).expect("the benchmark's folder can be written"),
        }
        rustix::fs::sync();
    }

    /// Edits a source file, as `make`, `ninja` and the workflow over files see it.
    pub fn edit(&self, edit: Edit) {
        let path = self.dir.join(format!("in/{}", edit.0));
        fs::write(path, format!("{}\n", edit.1)).expect("the benchmark's folder can be written");
    }

    pub fn command(&self, tool: Tool, edit: Edit) -> Command {
        let mut command = match tool {
            Tool::Bare => unreachable!("bare spawns are no command"),
            Tool::Make => {
                let mut command = Command::new("make");
                command.args([JOBS, "-rRs"]);
                command
            }
            Tool::Ninja => {
                let mut command = Command::new("ninja");
                command.args([JOBS, "--quiet"]);
                command
            }
            Tool::Values => {
                let name = if edit.0 == 0 { "first" } else { "last" };
                let mut command = runner(&self.outputs(tool));
                command.args(["exec", "values.toml", "-q", JOBS, "-i"]).arg(format!("{name}={}", edit.1));
                command
            }
            Tool::Files => {
                let mut command = runner(&self.outputs(tool));
                command.args(["exec", "files.toml", "-q", JOBS]);
                command
            }
        };
        command.current_dir(&self.dir);
        command
    }

    /// Panics unless the tool's last run had the right results and, if it is ours, ran `executed` nodes.
    pub fn verify(&self, tool: Tool, edit: Edit, executed: Option<usize>) {
        let expected = self.graph.values(edit);
        if !tool.is_runner() {
            let dir = self.outputs(tool);
            for (node, value) in expected.iter().enumerate() {
                assert_eq!(read_value(&dir.join(format!("n{node}"))), Some(*value), "{tool:?}, n{node}");
            }
            return;
        }
        let stdout = fs::read_to_string(self.stdout(tool)).unwrap_or_default();
        let handed = stdout.trim().strip_prefix("y = ").unwrap_or_default();
        let value = match tool {
            Tool::Files => read_value(Path::new(handed.trim_matches(['"', '\'']))),
            _ => handed.parse().ok(),
        };
        assert_eq!(value, expected.last().copied(), "{tool:?} printed {stdout}");
        let listing = runner(&self.outputs(tool)).args(["runs", "--limit", "1", "--json"]).output();
        let listing = String::from_utf8(listing.expect("runner can be run").stdout).expect("JSON is UTF-8");
        check_counts(&listing, self.graph.len(), executed);
    }

    /// Panics unless another run, asked for events, says that it executed nothing; and checks its result.
    pub fn verify_idle(&self, tool: Tool, edit: Edit) {
        let output = self.command(tool, edit).arg("--json").output().expect("runner can be run");
        let events = String::from_utf8(output.stdout).expect("JSON is UTF-8");
        let last = events.lines().last().unwrap_or_default();
        assert!(last.contains(r#""event":"run_finished""#), "{tool:?}: {last}");
        check_counts(last, self.graph.len(), Some(0));
    }
}

fn read_value(path: &Path) -> Option<i64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// `line` is a line of JSON with the counts of a run that must have succeeded.
pub fn check_counts(line: &str, nodes: usize, executed: Option<usize>) {
    let json: serde_json::Value = serde_json::from_str(line).expect("runner prints JSON");
    assert_eq!(json["status"], "succeeded", "{line}");
    assert_eq!(json["nodes"], nodes, "{line}");
    if let Some(executed) = executed {
        assert_eq!(json["executed"], executed, "{line}");
        assert_eq!(json["cached"], nodes - executed, "{line}");
    }
}
