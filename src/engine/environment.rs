//! The environment of a task: the same at a desk and under cron.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use crate::workflow::Task;

/// What passes through from the caller without being asked for.
const BASE: [&str; 11] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_*",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "CONDA_*",
];

/// Where programs are looked for when the caller has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The variables of the caller whose names `pattern` matches, as text.
pub fn matching(pattern: &str) -> Vec<(String, String)> {
    let mut found: Vec<_> = std::env::vars_os()
        .filter(|(name, _)| matches(pattern, name))
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect();
    found.sort();
    found
}

/// The environment of a task before its inputs: base list, `pass_env`, `cache_env`, secrets, `env`, in this
/// order, the later ones winning. The values of secrets come as well, to be masked.
///
/// # Errors
/// A secret that is not set.
pub fn of_task(task: &Task) -> Result<(BTreeMap<OsString, OsString>, Vec<String>), String> {
    let mut env = BTreeMap::from([(OsString::from("PATH"), OsString::from(DEFAULT_PATH))]);
    let patterns = || BASE.into_iter().chain(task.pass_env.iter().chain(&task.cache.env).map(String::as_str));
    for (name, value) in std::env::vars_os() {
        if !name.is_empty() && patterns().any(|pattern| matches(pattern, &name)) {
            env.insert(name, value);
        }
    }
    let mut secrets = Vec::new();
    for name in &task.secrets {
        let value = std::env::var_os(name).ok_or_else(|| {
            format!("the secret `{name}` is not set in the environment: export it, then run again")
        })?;
        secrets.push(value.to_string_lossy().into_owned());
        env.insert(name.into(), value);
    }
    env.extend(task.env.iter().map(|(name, value)| (name.into(), value.into())));
    Ok((env, secrets))
}

/// Whether `name` fits `pattern`, in which `*` stands for any letters.
fn matches(pattern: &str, name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => {
            let Some(tail) = name.strip_prefix(start) else { return false };
            (0..=tail.len()).any(|i| tail.get(i..).is_some_and(|tail| matches(rest, OsStr::new(tail))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names() {
        for (pattern, name, fits) in [
            ("PATH", "PATH", true),
            ("PATH", "PATHS", false),
            ("LC_*", "LC_ALL", true),
            ("LC_*", "LC", false),
            ("*_TOKEN", "GITHUB_TOKEN", true),
            ("A*B*C", "AxxBC", true),
            ("A*B*C", "AxxC", false),
            ("*", "ANY", true),
        ] {
            assert_eq!(matches(pattern, OsStr::new(name)), fits, "{pattern} {name}");
        }
    }
}
