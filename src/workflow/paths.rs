//! Paths as workflow files write them: globs, and paths that must stay inside a folder.

use std::path::{Component, Path, PathBuf};

use globset::GlobBuilder;

/// Checks that a relative path stays inside the folder that it is relative to.
///
/// # Errors
/// The reason why it does not.
pub fn check_inside(path: &str) -> Result<(), String> {
    for component in Path::new(path).components() {
        match component {
            Component::Normal(_) | Component::CurDir => {}
            Component::ParentDir => return Err("`..` leads outside".into()),
            Component::RootDir | Component::Prefix(_) => return Err("an absolute path leads outside".into()),
        }
    }
    Ok(())
}

/// The characters that make a path a pattern.
const WILDCARDS: [char; 4] = ['*', '?', '[', '{'];

/// The part of a glob that it spells out: the folder before the first wildcard, or all of it.
pub fn literal_part(glob: &str) -> &str {
    let glob = glob.strip_prefix("./").unwrap_or(glob).trim_end_matches('/');
    match glob.find(WILDCARDS) {
        Some(wildcard) => &glob[..glob[..wildcard].rfind('/').unwrap_or(0)],
        None => glob,
    }
}

/// The files below `dir` that `glob` names, relative to `dir`, sorted; a folder means all that is in it.
///
/// # Errors
/// A glob that is not valid, or a folder that cannot be read.
pub fn find_sources(dir: &Path, glob: &str) -> Result<Vec<PathBuf>, String> {
    let glob = glob.strip_prefix("./").unwrap_or(glob).trim_end_matches('/');
    let has_wildcard = glob.contains(WILDCARDS);
    let literal = literal_part(glob);
    let start = dir.join(literal);
    if !has_wildcard && start.is_file() {
        return Ok(vec![literal.into()]);
    }
    let pattern = if has_wildcard { glob.to_owned() } else { format!("{}/**", globset::escape(glob)) };
    let matcher = GlobBuilder::new(&pattern)
        .literal_separator(true)
        .build()
        .map_err(|error| format!("not a valid glob: {}", error.kind()))?
        .compile_matcher();
    let mut found = Vec::new();
    for entry in walkdir::WalkDir::new(&start).follow_links(true) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.io_error().is_some_and(|e| e.kind() == std::io::ErrorKind::NotFound) => {
                continue;
            }
            Err(error) => return Err(error.to_string()),
        };
        let Ok(relative) = entry.path().strip_prefix(dir) else { continue };
        if entry.file_type().is_file() && matcher.is_match(relative) {
            found.push(relative.to_owned());
        }
    }
    found.sort();
    Ok(found)
}

/// The files that `glob` names, absolute and sorted; it is relative to `dir`, or absolute itself.
///
/// # Errors
/// As [`find_sources`].
pub fn find_files(dir: &Path, glob: &str) -> Result<Vec<PathBuf>, String> {
    let (dir, glob) = match glob.strip_prefix('/') {
        Some(rest) => (Path::new("/"), rest),
        None => (dir, glob),
    };
    let found = find_sources(dir, glob).map_err(|problem| format!("`{glob}`: {problem}"))?;
    Ok(found.into_iter().map(|path| dir.join(path)).collect())
}

/// Checks that a glob is one.
///
/// # Errors
/// The reason why it is not.
pub fn check_glob(glob: &str) -> Result<(), String> {
    globset::Glob::new(glob).map(drop).map_err(|error| format!("not a valid glob: {}", error.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_find_files_below_their_folder() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["a.py", "scripts/b.py", "scripts/deep/c.py", "scripts/deep/d.txt", "other/e.py"] {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        let find = |glob: &str| -> Vec<String> {
            find_sources(dir.path(), glob).unwrap().iter().map(|p| p.display().to_string()).collect()
        };
        assert_eq!(find("*.py"), ["a.py"]);
        assert_eq!(find("scripts/**/*.py"), ["scripts/b.py", "scripts/deep/c.py"]);
        assert_eq!(find("scripts"), ["scripts/b.py", "scripts/deep/c.py", "scripts/deep/d.txt"]);
        assert_eq!(find("./other/e.py"), ["other/e.py"]);
        assert_eq!(find("nothing/*"), [""; 0]);
        assert!(find_sources(dir.path(), "a[").is_err());
        assert!(check_glob("a[").is_err() && check_glob("../a/**/*.{csv,txt}").is_ok());
        let absolute = format!("{}/scripts/*.py", dir.path().display());
        assert_eq!(find_files(Path::new("/nowhere"), &absolute).unwrap(), [dir.path().join("scripts/b.py")]);
        let above = find_files(&dir.path().join("other"), "../scripts/deep/*.py").unwrap();
        assert_eq!(above, [dir.path().join("other/../scripts/deep/c.py")]);
    }
}
