//! What a batch system starts: a script that runs this program on the node.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::core::shell_word::shell_word;
use crate::exec::batch::{JobFolder, ScriptMaker};

/// Makes the script of each job. Without a path of this program on the nodes, a copy in `work_dir` is made for the first;
/// `prelude` are shell lines before anything else.
pub fn script_maker(runner: Option<PathBuf>, work_dir: PathBuf, prelude: String) -> ScriptMaker {
    let copied: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    Box::new(move |folder: &JobFolder| {
        let runner = match &runner {
            Some(path) => path.clone(),
            None => copied.get_or_init(|| copy_of_self(&work_dir)).clone()?,
        };
        let word = |path: &Path| shell_word(&path.display().to_string()).into_owned();
        let (runner, folder) = (word(&runner), word(folder.path()));
        Ok(format!("#!/bin/bash\n{prelude}\nexec {runner} job {folder}\n"))
    })
}

/// A copy of this program that the nodes see, made once a version.
fn copy_of_self(work_dir: &Path) -> Result<PathBuf, String> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let copy = || -> io::Result<PathBuf> {
        let own = std::env::current_exe()?;
        let found = fs::metadata(&own)?;
        let mark = format!("{:x}{:x}{:x}", found.size(), found.mtime(), found.mtime_nsec());
        let folder = work_dir.join("bin");
        let path = folder.join(format!("runner-{}-{mark}", env!("CARGO_PKG_VERSION")));
        if fs::metadata(&path).is_ok_and(|copy| copy.size() == found.size()) {
            return Ok(path);
        }
        fs::create_dir_all(&folder)?;
        let new = folder.join(format!("new.{}", std::process::id()));
        fs::copy(&own, &new)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755))?;
        fs::rename(&new, &path)?;
        Ok(path)
    };
    copy().map_err(|error| format!("this program cannot be copied to {}: {error}", work_dir.display()))
}
