//! Which Python belongs to a task: the same at a desk and under cron.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where an environment is named, from the most to the least important.
pub struct PythonChoice<'a> {
    /// `--python-env`; a path is relative to the current folder.
    pub flag: Option<&'a str>,
    /// `python_env` of the task or of `[defaults]`; a path is relative to `dir`.
    pub named: Option<&'a str>,
    /// The folder of the workflow file.
    pub dir: &'a Path,
    /// The Python file that is named by its path.
    pub script: Option<&'a Path>,
}

/// The variable that names an environment for everything.
const VARIABLE: &str = "RUNNER_PYTHON_ENV";
/// The folder of a project's own environment.
const VENV: &str = ".venv";

/// Whether an environment is given by a name, and not by a path.
pub fn is_name(env: &str) -> bool {
    env == UV || env.starts_with(CONDA)
}

/// The environment that uv has made.
const UV: &str = "uv";
/// What precedes the name of an environment of conda.
const CONDA: &str = "conda:";

impl PythonChoice<'_> {
    /// The interpreter.
    ///
    /// # Errors
    /// There is none where one is named, or nowhere at all.
    pub fn find(&self) -> Result<PathBuf, String> {
        self.find_with(&|name| std::env::var_os(name).filter(|value| !value.is_empty()))
    }

    fn find_with(&self, variable: Variables) -> Result<PathBuf, String> {
        if let Some(flag) = self.flag {
            return self.named(flag, Path::new("."), "--python-env", variable);
        }
        if let Some(value) = variable(VARIABLE) {
            return self.named(&value.to_string_lossy(), Path::new("."), VARIABLE, variable);
        }
        if let Some(name) = self.named {
            return self.named(name, self.dir, "python_env", variable);
        }
        let beside = self.dir.ancestors().map(|folder| folder.join(VENV));
        let of_caller = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(variable).map(PathBuf::from);
        if let Some(found) = beside.chain(of_caller).find_map(|folder| in_folder(&folder)) {
            return Ok(found);
        }
        in_path("python3", variable).ok_or_else(|| {
            format!(
                "there is no Python: no {VENV} in {} or above it, and no python3 in PATH",
                self.dir.display()
            )
        })
    }

    /// The interpreter that `source` names.
    fn named(&self, name: &str, dir: &Path, source: &str, variable: Variables) -> Result<PathBuf, String> {
        if let Some(conda) = name.strip_prefix(CONDA) {
            let found = conda_environments(conda, variable).into_iter().find_map(|folder| in_folder(&folder));
            return found.ok_or_else(|| {
                format!(
                    "conda has no environment `{conda}` with a Python, which {source} names: `conda env list` shows them"
                )
            });
        }
        if name == UV {
            return self.of_uv(dir, source, variable);
        }
        let path =
            std::path::absolute(dir.join(name)).map_err(|error| format!("{source} = \"{name}\": {error}"))?;
        if path.is_file() {
            return Ok(path);
        }
        in_folder(&path)
            .ok_or_else(|| format!("there is no Python at {}, which {source} names", path.display()))
    }

    /// The environment that uv has made: that of a script which says what it needs, else that of the project around `dir`.
    fn of_uv(&self, dir: &Path, source: &str, variable: Variables) -> Result<PathBuf, String> {
        if let Some(script) = self.script.filter(|script| has_header(script)) {
            return of_script(script, source, variable);
        }
        let dir = std::path::absolute(dir).map_err(|error| error.to_string())?;
        let above = |name: &str| dir.ancestors().find(|folder| folder.join(name).is_file());
        let root = above("uv.lock").or_else(|| above("pyproject.toml")).ok_or_else(|| {
            format!("{source} = \"uv\": there is no pyproject.toml in {} or above it", dir.display())
        })?;
        let named = variable("UV_PROJECT_ENVIRONMENT");
        let env = named.map_or_else(|| root.join(VENV), |path| root.join(path));
        in_folder(&env).ok_or_else(|| {
            format!(
                "{source} = \"uv\": the project in {} has no environment yet: run `uv sync` there",
                root.display()
            )
        })
    }
}

/// Reads a variable of the environment.
type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Whether a file says in its head which packages it needs, as uv reads it.
fn has_header(script: &Path) -> bool {
    std::fs::read_to_string(script)
        .is_ok_and(|text| text.lines().any(|line| line.trim_end() == "# /// script"))
}

/// The environment that uv has made for a script.
fn of_script(script: &Path, source: &str, variable: Variables) -> Result<PathBuf, String> {
    let shown = script.display();
    let uv = in_path("uv", variable).ok_or_else(|| {
        format!("{source} = \"uv\": {shown} says what it needs, and there is no uv in PATH")
    })?;
    let found = std::process::Command::new(uv)
        .args(["python", "find", "--script"])
        .arg(script)
        .output()
        .map_err(|error| format!("{source} = \"uv\": uv cannot be started: {error}"))?;
    let path = PathBuf::from(String::from_utf8_lossy(&found.stdout).trim());
    // Before the environment is made, uv names the Python that it would be made with.
    let env = path.parent().and_then(Path::parent).filter(|env| env.join("pyvenv.cfg").is_file());
    match env {
        Some(_) if found.status.success() => Ok(path),
        Some(_) | None => {
            Err(format!("{source} = \"uv\": {shown} has no environment yet: run `uv sync --script {shown}`"))
        }
    }
}

/// The first program of this name in `PATH`.
fn in_path(name: &str, variable: Variables) -> Option<PathBuf> {
    let path = variable("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The interpreter of an environment.
fn in_folder(folder: &Path) -> Option<PathBuf> {
    ["bin/python", "bin/python3"].into_iter().map(|name| folder.join(name)).find(|file| file.is_file())
}

/// Where an environment of conda may be: beside its own folder, beside the active one, and in its list.
fn conda_environments(name: &str, variable: Variables) -> Vec<PathBuf> {
    let path = |name: &str| variable(name).map(PathBuf::from);
    let mut folders = Vec::new();
    let installed = path("CONDA_EXE").and_then(|program| Some(program.parent()?.parent()?.to_owned()));
    for root in installed.into_iter().chain(path("MAMBA_ROOT_PREFIX")) {
        folders.push(if name == "base" { root } else { root.join("envs").join(name) });
    }
    if let Some(active) = path("CONDA_PREFIX") {
        folders.push(active.join("envs").join(name));
        folders.extend(
            active.parent().filter(|parent| parent.ends_with("envs")).map(|parent| parent.join(name)),
        );
    }
    let list =
        path("HOME").and_then(|home| std::fs::read_to_string(home.join(".conda/environments.txt")).ok());
    let listed = list.iter().flat_map(|text| text.lines()).map(PathBuf::from);
    folders.extend(listed.filter(|folder| folder.file_name().is_some_and(|own| own == name)));
    folders
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_nearest_name_wins() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let python = |name: &str| {
            let file = root.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "").unwrap();
            file
        };
        let flows = root.join("a/flows");
        fs::create_dir_all(&flows).unwrap();
        let path = python("path/python3");
        let none = |_: &str| None::<OsString>;
        let find = |flag, named, variables: &[(&str, PathBuf)]| {
            let choice = PythonChoice { flag, named, dir: &flows, script: None };
            choice.find_with(&|name| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| value.clone().into_os_string()).or_else(|| none(name))
            })
        };
        let with_path = ("PATH", root.join("path"));
        assert_eq!(find(None, None, std::slice::from_ref(&with_path)), Ok(path));
        let conda = ("CONDA_PREFIX", root.join("conda"));
        let virtual_env = ("VIRTUAL_ENV", root.join("active"));
        let of_conda = python("conda/bin/python");
        assert_eq!(find(None, None, &[with_path.clone(), conda.clone()]), Ok(of_conda));
        let of_active = python("active/bin/python3");
        assert_eq!(find(None, None, &[conda.clone(), virtual_env.clone()]), Ok(of_active));
        let own = python("a/.venv/bin/python");
        assert_eq!(find(None, None, &[conda, virtual_env]), Ok(own));
        let named = python("a/flows/env/bin/python");
        assert_eq!(find(None, Some("env"), &[]), Ok(named.clone()));
        let flag = python("other/bin/python");
        let text = root.join("other").display().to_string();
        assert_eq!(find(None, Some("env"), &[("RUNNER_PYTHON_ENV", root.join("other"))]), Ok(flag.clone()));
        assert_eq!(find(Some(&text), Some("env"), &[("RUNNER_PYTHON_ENV", root.join("active"))]), Ok(flag));
        assert_eq!(find(None, Some("env/bin/python"), &[]), Ok(named));
        let missing = find(None, Some("nowhere"), &[]).unwrap_err();
        assert!(missing.contains("a/flows/nowhere, which python_env names"), "{missing}");
    }

    #[test]
    fn environments_of_uv_are_those_of_the_project_or_of_the_script() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let flows = root.join("project/flows");
        fs::create_dir_all(&flows).unwrap();
        let script = flows.join("steps.py");
        fs::write(&script, "X = 1\n").unwrap();
        let find = |variables: &[(&str, &str)]| {
            let choice = PythonChoice { flag: None, named: Some("uv"), dir: &flows, script: Some(&script) };
            choice.find_with(&|name| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| root.join(value).into_os_string())
            })
        };
        let python = |env: &str| {
            let file = root.join(env).join("bin/python");
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "").unwrap();
            file
        };
        assert!(find(&[]).unwrap_err().contains("there is no pyproject.toml in"));
        fs::write(root.join("project/pyproject.toml"), "").unwrap();
        assert!(find(&[]).unwrap_err().contains("run `uv sync` there"));
        assert_eq!(find(&[("UV_PROJECT_ENVIRONMENT", "other")]).ok(), None);
        let (own, other) = (python("project/.venv"), python("other"));
        assert_eq!(find(&[]), Ok(own));
        assert_eq!(find(&[("UV_PROJECT_ENVIRONMENT", "other")]), Ok(other));
        // A script that says what it needs.
        fs::write(&script, "# /// script\n# dependencies = []\n# ///\nX = 1\n").unwrap();
        let path = [("PATH", "bin")];
        assert!(find(&path).unwrap_err().contains("there is no uv in PATH"));
        let made = python("made");
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::write(root.join("bin/uv"), format!("#!/bin/sh\necho {}\n", made.display())).unwrap();
        fs::set_permissions(root.join("bin/uv"), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(find(&path).unwrap_err().contains("run `uv sync --script"));
        fs::write(root.join("made/pyvenv.cfg"), "").unwrap();
        assert_eq!(find(&path), Ok(made));
    }

    #[test]
    fn environments_of_conda_are_found_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let python = |name: &str| {
            let file = root.join(name).join("bin/python");
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "").unwrap();
            file
        };
        let (ml, base, far) = (python("conda/envs/ml"), python("conda"), python("far/own"));
        fs::create_dir_all(root.join("home/.conda")).unwrap();
        let list = format!("{}\n{}\n", root.join("conda").display(), root.join("far/own").display());
        fs::write(root.join("home/.conda/environments.txt"), list).unwrap();
        let find = |name: &str, variables: &[(&str, &str)]| {
            PythonChoice { flag: None, named: Some(name), dir: root, script: None }.find_with(&|name| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| root.join(value).into_os_string())
            })
        };
        let program = [("CONDA_EXE", "conda/bin/conda")];
        assert_eq!(find("conda:ml", &program), Ok(ml.clone()));
        assert_eq!(find("conda:base", &program), Ok(base));
        assert_eq!(find("conda:ml", &[("CONDA_PREFIX", "conda/envs/other")]), Ok(ml));
        assert_eq!(find("conda:own", &[("HOME", "home")]), Ok(far));
        let missing = find("conda:own", &program).unwrap_err();
        assert!(missing.contains("conda has no environment `own`"), "{missing}");
    }
}
