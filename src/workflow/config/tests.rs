//! Settings files as texts: what is read, merged, filled in and refused.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;

/// A project folder with a workflow, and a folder of the user's settings.
struct Place {
    _dir: tempfile::TempDir,
    root: PathBuf,
}

impl Place {
    fn new(project: &str, user: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir_all(root.join("config/runner")).unwrap();
        fs::create_dir(root.join("flow")).unwrap();
        fs::write(root.join("flow/w.toml"), "").unwrap();
        fs::write(root.join("flow/runner.toml"), project).unwrap();
        fs::write(root.join("config/runner/config.toml"), user).unwrap();
        Self { _dir: dir, root }
    }

    fn load(&self) -> Result<Config, String> {
        let environment = |name: &str| match name {
            "HOME" => Some(OsString::from("/home/ada")),
            "XDG_CONFIG_HOME" => Some(self.root.join("config").into()),
            "TEAM" => Some("blue".into()),
            _ => None,
        };
        load_for(&self.root.join("flow/w.toml"), &environment)
            .map_err(|errors| errors.sources.render(&errors.diagnostics, false))
    }
}

fn errors(project: &str) -> String {
    Place::new(project, "").load().err().unwrap_or_else(|| panic!("no error in {project}"))
}

#[test]
fn nearer_files_win_key_by_key() {
    let project = "project = \"shop\"\n[smtp]\nhost = \"localhost\"\n";
    let user = "project = \"mine\"\ndomain = \"${TEAM}\"\njobs = 3\n[smtp]\nhost = \"far\"\nport = 2525\n";
    let config = Place::new(project, user).load().unwrap();
    assert_eq!((config.text("project"), config.text("domain")), (Some("shop"), Some("blue")));
    assert_eq!((config.jobs(), config.text("smtp.host")), (Some(3), Some("localhost")));
    assert_eq!(config.get("smtp.port").unwrap().value, 2525);
    let (path, line) = config.line_of(config.get("jobs").unwrap().place);
    assert!(path.ends_with("runner/config.toml") && line == 3, "{path:?}:{line}");
    assert!(config.warnings.is_empty() && config.files.len() == 2);
}

#[test]
fn texts_of_executors_and_of_the_cache_are_filled_in() {
    let project = "[executors.cluster]\nkind = \"slurm\"\nwork_dir = \"/scratch/$TEAM\"\nchunk = 1\n\
                   [cache]\nremote_key = \"file:~/key\"\n";
    let config =
        Place::new(project, "[executors.cluster]\nkind = \"slurm\"\npartition = \"p\"").load().unwrap();
    assert_eq!(config.text("executors.cluster.work_dir"), Some("/scratch/blue"));
    assert_eq!(config.text("executors.cluster.partition"), Some("p"));
    assert_eq!(config.text("cache.remote_key"), Some("file:/home/ada/key"));
    assert_eq!(config.get("executors.cluster.chunk").unwrap().value, 1);
    assert!(config.warnings.is_empty());
}

#[test]
fn errors_name_file_line_and_what_was_meant() {
    let shown = errors("projet = \"x\"\njobs = \"4\"\n[smpt]\nhost = \"h\"\n");
    assert!(shown.contains("runner.toml:1:1") && shown.contains("did you mean `project`?"), "{shown}");
    assert!(
        shown.contains("`jobs` must be a whole number") && shown.contains("did you mean `smtp`?"),
        "{shown}"
    );
    for (text, expected) in [
        ("jobs = 0", "between 1 and 100000"),
        ("project = \"\"", "must not be empty"),
        ("domain = \"a\\u0007\"", "control characters"),
        ("project = \"$GONE\"", "the variable GONE is not set"),
        ("[smtp]\nport = 70000", "between 1 and 65535"),
        ("[smtp]\ntls = \"non\"", "did you mean \"none\"?"),
        ("[smtp]\npassword = \"${a b}\"", "expected ${NAME} or ${file:PATH}"),
        ("[smtp]\nhost = \"mail.example.org\"\ntls = \"none\"", "on this machine only"),
        ("[executors.a]\nwork_dir = \"/w\"", "has no `kind`"),
        ("[executors.a]\nkind = \"slurm\"\nchunck_max = 3", "did you mean `chunk_max`?"),
        ("[executors.a]\nkind = \"slurm\"\nchunk = \"many\"", "`chunk` must be \"auto\" or a whole number"),
        ("[cache]\nremote_timeout = 10", "did you mean \"10s\"?"),
        ("[workflow]\nname = \"w\"", "it holds a workflow"),
        ("jobs = ", "runner.toml:1"),
    ] {
        let shown = errors(text);
        assert!(shown.contains(expected) && shown.contains("runner.toml:"), "{text}: {shown}");
    }
}

#[test]
fn secrets_are_not_read_before_they_are_needed() {
    let config = Place::new("[smtp]\npassword = \"${GONE}\"", "").load().unwrap();
    assert_eq!(config.text("smtp.password"), Some("${GONE}"));
}

#[test]
fn two_kinds_under_one_name_are_an_error() {
    let shown = Place::new("[executors.a]\nkind = \"slurm\"", "[executors.a]\nkind = \"command\"").load();
    let shown = shown.err().unwrap();
    assert!(shown.contains("another kind") && shown.contains("config.toml:2"), "{shown}");
}

#[test]
fn nothing_is_read_where_there_is_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = load_for(&dir.path().join("w.toml"), &|_| None).map_err(|_| ()).unwrap();
    assert!(config.values().next().is_none());
    assert!(is_loopback("::1") && is_loopback("127.0.0.9") && !is_loopback("10.0.0.1"));
    assert_eq!(load_for(Path::new("/"), &|_| None).map_err(|_| ()).unwrap().jobs(), None);
}
