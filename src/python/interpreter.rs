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
}

/// The variable that names an environment for everything.
const VARIABLE: &str = "RUNNER_PYTHON_ENV";
/// The folder of a project's own environment.
const VENV: &str = ".venv";

impl PythonChoice<'_> {
    /// The interpreter.
    ///
    /// # Errors
    /// There is none where one is named, or nowhere at all.
    pub fn find(&self) -> Result<PathBuf, String> {
        self.find_with(&|name| std::env::var_os(name).filter(|value| !value.is_empty()))
    }

    fn find_with(&self, variable: &dyn Fn(&str) -> Option<OsString>) -> Result<PathBuf, String> {
        if let Some(flag) = self.flag {
            return named(flag, Path::new("."), "--python-env");
        }
        if let Some(value) = variable(VARIABLE) {
            return named(&value.to_string_lossy(), Path::new("."), VARIABLE);
        }
        if let Some(name) = self.named {
            return named(name, self.dir, "python_env");
        }
        let beside = self.dir.ancestors().map(|folder| folder.join(VENV));
        let of_caller = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(variable).map(PathBuf::from);
        if let Some(found) = beside.chain(of_caller).find_map(|folder| in_folder(&folder)) {
            return Ok(found);
        }
        let path = variable("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
        let in_path =
            std::env::split_paths(&path).map(|folder| folder.join("python3")).find(|file| file.is_file());
        in_path.ok_or_else(|| {
            format!(
                "there is no Python: no {VENV} in {} or above it, and no python3 in PATH",
                self.dir.display()
            )
        })
    }
}

/// The interpreter of an environment.
fn in_folder(folder: &Path) -> Option<PathBuf> {
    ["bin/python", "bin/python3"].into_iter().map(|name| folder.join(name)).find(|file| file.is_file())
}

/// The interpreter that `source` names.
fn named(name: &str, dir: &Path, source: &str) -> Result<PathBuf, String> {
    if name == "uv" || name.starts_with("conda:") {
        return Err(format!(
            "{source} = \"{name}\": this version takes a folder with bin/python, or an interpreter: name that of the \
             environment, as in \".venv\""
        ));
    }
    let path =
        std::path::absolute(dir.join(name)).map_err(|error| format!("{source} = \"{name}\": {error}"))?;
    if path.is_file() {
        return Ok(path);
    }
    in_folder(&path).ok_or_else(|| format!("there is no Python at {}, which {source} names", path.display()))
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
            let choice = PythonChoice { flag, named, dir: &flows };
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
        let uv = find(Some("uv"), None, &[]).unwrap_err();
        assert!(uv.contains("takes a folder"), "{uv}");
    }
}
