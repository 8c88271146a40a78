//! A request for a run: the one form that flags, an HTTP body, a schedule, a retry and the
//! history share.
//!
//! Plain data. Nothing here is checked against a workflow: that is `ops::prepare`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map as JsonMap, Value as Json};

use super::schedule::{ScheduledRun, Trigger};
use crate::core::run_id::RunId;

/// A run, as asked for. A field that is left out means the workflow file's own setting, or the default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunRequest {
    /// The workflow file.
    pub workflow: PathBuf,
    /// One task of that file, which may be a library, instead of the workflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    pub project: Option<String>,
    pub domain: Option<String>,
    /// Values of the workflow's inputs; of two for one input the later counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<GivenInputs>,
    #[serde(flatten)]
    pub selection: Selection,
    /// Policies that differ from the file's, each as `PATH=VALUE`.
    pub settings: Vec<String>,
    pub cache: Option<CacheMode>,
    /// The environment of all Python functions: a folder with bin/python, or an interpreter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python_env: Option<String>,
    /// The address of the shared cache, or `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// Which way results go between this machine and the shared cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_mode: Option<CacheMode>,
    /// Nodes that run whatever the cache holds; empty for all of them.
    pub overwrite: Option<Vec<String>>,
    pub keep_going: bool,
    /// Whether publishing takes over files of the user's that are in the way. A retry does not inherit it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub replace_outputs: bool,
    /// Maximum nodes that run at once.
    pub jobs: Option<u32>,
    /// Executors, each as `NAME` or `GLOB=NAME`; the last that matches a node wins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub executors: Vec<String>,
    /// Amounts of resources, each as `NAME=N`.
    pub resources: Vec<String>,
    /// A lock that at most one run at a time holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock: Option<LockRequest>,
    /// What makes the run begin.
    #[serde(skip_serializing_if = "Trigger::is_manual")]
    pub trigger: Trigger,
    /// The schedule of the workflow whose inputs, project and domain the run takes where nothing else gives them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<ScheduledRun>,
    /// The run that this one retries.
    pub retry_of: Option<RunId>,
}

/// Where values of inputs come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GivenInputs {
    /// `NAME=VALUE`, each value as text of the input's type; paths are relative to `dir`.
    Assignments { dir: PathBuf, values: Vec<String> },
    /// A TOML or JSON file with values by name; paths are relative to its folder.
    File(PathBuf),
    /// JSON values by name; paths are relative to `dir`.
    Values { dir: PathBuf, values: JsonMap<String, Json> },
    /// Values as an earlier run recorded them. They count only where nothing else gives the input.
    Recorded(JsonMap<String, Json>),
}

/// A lock by name, as in `--lock nightly=wait`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockRequest {
    pub name: String,
    #[serde(default)]
    pub busy: LockMode,
}

/// What a run does while another one holds its lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockMode {
    /// It ends at once, without having run anything.
    #[default]
    Skip,
    /// It waits for the other one's end.
    Wait,
}

/// Why a text is not a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotALock(String);

impl FromStr for LockRequest {
    type Err = NotALock;

    fn from_str(text: &str) -> Result<Self, NotALock> {
        let (name, busy) = match text.rsplit_once('=') {
            None => (text, LockMode::Skip),
            Some((name, "skip")) => (name, LockMode::Skip),
            Some((name, "wait")) => (name, LockMode::Wait),
            Some(_) => return Err(NotALock(text.into())),
        };
        match name.is_empty() {
            true => Err(NotALock(text.into())),
            false => Ok(Self { name: name.into(), busy }),
        }
    }
}

impl fmt::Display for NotALock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected NAME, NAME=skip or NAME=wait, found {:?}", self.0)
    }
}

impl std::error::Error for NotALock {}

/// Which nodes take part; each a list of globs over node names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Selection {
    /// These nodes and no others.
    pub only: Vec<String>,
    /// These and everything that depends on them.
    pub from: Vec<String>,
    /// These and everything they depend on.
    pub until: Vec<String>,
    /// Not these; what depends on them is skipped too.
    pub skip: Vec<String>,
}

/// Which way results go between the run and the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CacheMode {
    #[default]
    #[serde(rename = "rw")]
    ReadWrite,
    #[serde(rename = "ro")]
    ReadOnly,
    /// No lookup, but results are stored.
    #[serde(rename = "wo")]
    WriteOnly,
    #[serde(rename = "off")]
    Off,
}

impl CacheMode {
    /// As flags and settings write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadWrite => "rw",
            Self::ReadOnly => "ro",
            Self::WriteOnly => "wo",
            Self::Off => "off",
        }
    }

    pub fn reads(self) -> bool {
        matches!(self, Self::ReadWrite | Self::ReadOnly)
    }

    pub fn writes(self) -> bool {
        matches!(self, Self::ReadWrite | Self::WriteOnly)
    }
}

impl Selection {
    /// Whether nothing is selected or skipped, so that all nodes take part.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }
}

impl RunRequest {
    /// The flags that would make this request, but for the workflow, its inputs, project and domain.
    pub fn flags(&self) -> Vec<String> {
        let mut flags = Vec::new();
        let mut add = |flag: &str, value: &str| flags.extend([flag.to_owned(), value.to_owned()]);
        for setting in &self.settings {
            add("--set", setting);
        }
        let Selection { only, from, until, skip } = &self.selection;
        for (flag, nodes) in [("--only", only), ("--from", from), ("--until", until), ("--skip", skip)] {
            if !nodes.is_empty() {
                add(flag, &nodes.join(","));
            }
        }
        match self.cache.unwrap_or_default() {
            CacheMode::ReadWrite => {}
            mode => add("--cache", mode.name()),
        }
        if let Some(remote) = &self.remote {
            add("--remote", remote);
        }
        if let Some(mode) = self.remote_mode {
            add("--remote-mode", mode.name());
        }
        if let Some(python) = &self.python_env {
            add("--python-env", python);
        }
        if let Some(jobs) = self.jobs {
            add("--jobs", &jobs.to_string());
        }
        for resource in &self.resources {
            add("--resource", resource);
        }
        match self.overwrite.as_deref() {
            None => {}
            Some([]) => flags.push("--overwrite".into()),
            Some(nodes) => flags.push(format!("--overwrite={}", nodes.join(","))),
        }
        if self.keep_going {
            flags.push("--keep-going".into());
        }
        if self.replace_outputs {
            flags.push("--replace-outputs".into());
        }
        flags
    }

    /// This request with what `newer` asks for on top: single values replace, lists of settings and resources
    /// are added to, a selection replaces the whole selection. The workflow and the task stay.
    #[must_use]
    pub fn overridden_by(mut self, newer: Self) -> Self {
        self.given.extend(newer.given);
        self.project = newer.project.or(self.project);
        self.domain = newer.domain.or(self.domain);
        if !newer.selection.is_everything() {
            self.selection = newer.selection;
        }
        self.settings.extend(newer.settings);
        self.executors.extend(newer.executors);
        self.cache = newer.cache.or(self.cache);
        self.remote = newer.remote.or(self.remote);
        self.remote_mode = newer.remote_mode.or(self.remote_mode);
        self.python_env = newer.python_env.or(self.python_env);
        self.overwrite = newer.overwrite.or(self.overwrite);
        self.keep_going |= newer.keep_going;
        self.replace_outputs = newer.replace_outputs;
        self.jobs = newer.jobs.or(self.jobs);
        self.resources.extend(newer.resources);
        self.lock = newer.lock.or(self.lock);
        self.scheduled = newer.scheduled.or(self.scheduled);
        if !newer.trigger.is_manual() {
            self.trigger = newer.trigger;
        }
        self.retry_of = newer.retry_of.or(self.retry_of);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> RunRequest {
        RunRequest {
            workflow: "/w.toml".into(),
            project: Some("p".into()),
            selection: Selection { only: vec!["a".into()], ..Selection::default() },
            settings: vec!["defaults.cache=true".into()],
            cache: Some(CacheMode::ReadOnly),
            jobs: Some(3),
            lock: Some(LockRequest { name: "nightly".into(), busy: LockMode::Wait }),
            resources: vec!["gpu=1".into()],
            ..RunRequest::default()
        }
    }

    #[test]
    fn a_request_survives_json() {
        let asked = RunRequest {
            given: vec![
                GivenInputs::Assignments { dir: "/d".into(), values: vec!["a=1".into()] },
                GivenInputs::File("in.toml".into()),
            ],
            ..request()
        };
        let text = serde_json::to_string(&asked).unwrap();
        assert_eq!(serde_json::from_str::<RunRequest>(&text).unwrap(), asked);
        assert_eq!(serde_json::from_str::<RunRequest>("{}").unwrap(), RunRequest::default());
        assert!(text.contains(r#""cache":"ro""#) && text.contains(r#""only":["a"]"#), "{text}");
    }

    #[test]
    fn locks_are_names_with_an_optional_mode() {
        let read = |text: &str| text.parse::<LockRequest>();
        let lock = |name: &str, busy| Ok(LockRequest { name: name.into(), busy });
        assert_eq!(read("a"), lock("a", LockMode::Skip));
        assert_eq!(read("../b c\n=skip"), lock("../b c\n", LockMode::Skip));
        assert_eq!(read("a=b=wait"), lock("a=b", LockMode::Wait));
        for text in ["", "=wait", "a=", "a=later"] {
            assert_eq!(read(text), Err(NotALock(text.into())));
        }
    }

    #[test]
    fn a_request_has_its_flags() {
        let asked = RunRequest { overwrite: Some(vec!["a".into()]), keep_going: true, ..request() };
        assert_eq!(
            asked.flags().join(" "),
            "--set defaults.cache=true --only a --cache ro --jobs 3 --resource gpu=1 --overwrite=a --keep-going"
        );
        assert!(RunRequest { cache: Some(CacheMode::ReadWrite), ..RunRequest::default() }.flags().is_empty());
    }

    #[test]
    fn newer_wishes_replace_add_to_or_keep_older_ones() {
        let same = request().overridden_by(RunRequest::default());
        assert_eq!(same, request());
        let newer = RunRequest {
            domain: Some("d".into()),
            selection: Selection { skip: vec!["b".into()], ..Selection::default() },
            settings: vec!["nodes.a.retries=1".into()],
            cache: Some(CacheMode::Off),
            keep_going: true,
            resources: vec!["gpu=2".into()],
            ..RunRequest::default()
        };
        let both = request().overridden_by(newer);
        assert_eq!((both.project.as_deref(), both.domain.as_deref()), (Some("p"), Some("d")));
        assert_eq!(both.selection, Selection { skip: vec!["b".into()], ..Selection::default() });
        assert_eq!(both.settings.len() + both.resources.len(), 4);
        assert_eq!((both.cache, both.keep_going, both.jobs), (Some(CacheMode::Off), true, Some(3)));
    }
}
