//! Which settings files count: the nearest `runner.toml` upward that may be trusted, and the user's own file.
//!
//! Reads no contents.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::variables::Environment;

/// The name of a settings file in a project.
pub const NAME: &str = "runner.toml";

/// Write permission of the group and of others.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// The settings files of a workflow or folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ConfigPaths {
    /// Nearest first.
    pub paths: Vec<PathBuf>,
    /// Files that were left out, and why.
    pub warnings: Vec<String>,
}

/// Looks for settings from `folder` upward, then for the user's. `workflow` is the file that they are for: its owner is
/// trusted, and it is no settings file itself.
pub fn locate(folder: &Path, workflow: Option<&Path>, environment: Environment) -> ConfigPaths {
    let mut found = ConfigPaths::default();
    let owner = workflow.and_then(|file| fs::metadata(file).ok()).map(|metadata| metadata.uid());
    let trusted = [Some(0), Some(rustix::process::geteuid().as_raw()), owner];
    for (distance, folder) in folder.ancestors().enumerate() {
        let path = folder.join(NAME);
        if workflow == Some(&path) {
            continue;
        }
        let Ok(link) = fs::symlink_metadata(&path) else { continue };
        let file = match fs::metadata(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                found.warnings.push(skipped(&path, "it is a link that leads nowhere"));
                continue;
            }
            Err(error) => {
                found.warnings.push(skipped(&path, &format!("it cannot be looked at: {error}")));
                continue;
            }
        };
        let problem = match file.is_file() {
            false => Some("it is no regular file".to_owned()),
            true if distance > 0 => distrust(&link, &file, &trusted),
            true => None,
        };
        match problem {
            Some(problem) => found.warnings.push(skipped(&path, &problem)),
            None => {
                found.paths.push(path);
                break;
            }
        }
    }
    found.paths.extend(user_file(environment).filter(|path| path.is_file()));
    found
}

fn skipped(path: &Path, problem: &str) -> String {
    format!("the settings in {} are skipped: {problem}", path.display())
}

/// Why a file above the workflow's folder cannot be trusted, if it cannot.
fn distrust(link: &Metadata, file: &Metadata, trusted: &[Option<u32>]) -> Option<String> {
    if let Some(stranger) = [link, file].into_iter().find(|found| !trusted.contains(&Some(found.uid()))) {
        let uid = stranger.uid();
        return Some(format!("it belongs to another user (id {uid}), and lies above the workflow's folder"));
    }
    let is_open = file.mode() & WRITABLE_BY_OTHERS != 0;
    is_open.then(|| {
        "others may write to it, and it lies above the workflow's folder; chmod go-w mends that".into()
    })
}

/// The user's own file, whether it is there or not.
pub fn user_file(environment: Environment) -> Option<PathBuf> {
    // A relative folder means nothing, by the rules of XDG.
    let named = |name| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = named("XDG_CONFIG_HOME").or_else(|| named("HOME").map(|home| home.join(".config")))?;
    Some(folder.join("runner/config.toml"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn nobody(_: &str) -> Option<std::ffi::OsString> {
        None
    }

    #[test]
    fn the_nearest_file_upward_counts_and_then_the_users() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        let inner = root.join("a/b");
        fs::create_dir_all(&inner).unwrap();
        fs::create_dir_all(root.join("config/runner")).unwrap();
        let write = |path: &str| {
            let path = root.join(path);
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            path
        };
        let far = write("runner.toml");
        let workflow = write("a/b/w.toml");
        assert_eq!(locate(&inner, Some(&workflow), &nobody).paths, std::slice::from_ref(&far));
        let near = write("a/runner.toml");
        let user = write("config/runner/config.toml");
        let config = root.join("config");
        let environment = |name: &str| (name == "XDG_CONFIG_HOME").then(|| config.clone().into());
        assert_eq!(locate(&inner, Some(&workflow), &environment).paths, [near.clone(), user.clone()]);
        assert_eq!(locate(&root, None, &nobody).paths, std::slice::from_ref(&far));
        // A workflow of that name is no settings file.
        assert_eq!(locate(near.parent().unwrap(), Some(&near), &nobody).paths, std::slice::from_ref(&far));
        let relative = |name: &str| (name == "XDG_CONFIG_HOME").then(|| "config".into());
        assert_eq!(user_file(&relative), None);
        let home = |name: &str| (name == "HOME").then(|| "/home/ada".into());
        assert_eq!(user_file(&home), Some("/home/ada/.config/runner/config.toml".into()));
    }

    #[test]
    fn files_that_others_may_change_are_skipped_above_the_folder_only() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        let (upper, inner) = (root.join("up"), root.join("up/in"));
        fs::create_dir_all(&inner).unwrap();
        let path = upper.join("runner.toml");
        fs::write(&path, "").unwrap();
        for mode in [0o664, 0o646] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let found = locate(&inner, None, &nobody);
            assert!(found.paths.is_empty() && found.warnings[0].contains("others may write"), "{found:?}");
            assert_eq!(locate(&upper, None, &nobody).paths, std::slice::from_ref(&path));
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(locate(&upper, None, &nobody).warnings[0].contains("no regular file"));
        fs::remove_dir(&path).unwrap();
        symlink("nowhere", &path).unwrap();
        assert!(locate(&inner, None, &nobody).warnings[0].contains("leads nowhere"));
    }

    #[test]
    fn files_of_strangers_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = fs::metadata(dir.path()).unwrap();
        assert!(distrust(&file, &file, &[Some(file.uid() + 1)]).unwrap().contains("another user"));
    }
}
