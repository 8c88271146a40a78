//! The environment of a task: the same at a desk and under cron.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fmt;

use crate::core::digest::{Digest, Hasher};
use crate::exec::Masker;
use crate::workflow::Task;

/// What passes through from the caller without being asked for.
pub const BASE: [&str; 9] =
    ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "CONDA_*"];

/// The language of every task, unless `env`, `pass_env` or `cache_env` says otherwise: what a desk is set to changes results.
const LANG: &str = "C.UTF-8";

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

/// The environment of the process that starts a run.
pub struct HostEnv {
    /// What every task gets: the base list and the defaults.
    base: BTreeMap<OsString, OsString>,
    /// The other variables.
    others: Vec<(OsString, OsString)>,
    /// Whether secrets are passed on.
    secrets: bool,
}

impl HostEnv {
    /// That of this process.
    pub fn now() -> Self {
        Self::of(std::env::vars_os().filter(|(name, _)| !name.is_empty()), true)
    }

    fn of(vars: impl IntoIterator<Item = (OsString, OsString)>, secrets: bool) -> Self {
        let defaults = [("PATH", DEFAULT_PATH), ("LANG", LANG)];
        let mut base: BTreeMap<OsString, OsString> =
            defaults.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let (of_base, others) = vars.into_iter().partition(|(name, _)| is_base(name));
        base.extend::<Vec<_>>(of_base);
        Self { base, others, secrets }
    }

    /// An empty one: no variable is passed on, and secrets are left out.
    pub fn nobody() -> Self {
        Self::of([], false)
    }

    /// That of an earlier run, for `task`, as far as it is remembered; what was only passed on comes from this process.
    /// The sentences name what may differ from then.
    pub fn then(then: &Remembered, task: &Task) -> (Self, Vec<String>) {
        let is_wanted = |name: &str| {
            let mut patterns = task.pass_env.iter().chain(&task.cache.env);
            !task.secrets.iter().any(|secret| secret == name)
                && (is_base(name.as_ref()) || patterns.any(|pattern| matches(pattern, name.as_ref())))
        };
        let mut vars: Vec<(OsString, OsString)> =
            then.base.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let mut notes = Vec::new();
        let mut now: BTreeMap<String, OsString> =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect();
        for (name, digest) in then.passed.iter().filter(|(name, _)| is_wanted(name)) {
            match now.remove(name) {
                Some(value) => {
                    if short_digest(name.as_ref(), &value) != *digest {
                        notes.push(format!("${name} has another value now than in the run"));
                    }
                    vars.push((name.into(), value));
                }
                None => notes.push(format!("${name} was set in the run, and is not now")),
            }
        }
        for name in now.keys().filter(|name| !is_base(OsStr::new(name)) && is_wanted(name)) {
            notes.push(format!("${name} was not set in the run, and is left out"));
        }
        (Self::of(vars, true), notes)
    }
}

/// The secrets of `tasks` that are set here, each once: name and value.
pub fn secrets_of<'t>(tasks: impl Iterator<Item = &'t Task>) -> BTreeMap<String, OsString> {
    let names: BTreeSet<&String> = tasks.flat_map(|task| &task.secrets).collect();
    names.into_iter().filter_map(|name| Some((name.clone(), std::env::var_os(name)?))).collect()
}

/// A masker of secrets.
pub fn masker_of(secrets: &BTreeMap<String, OsString>) -> Masker {
    Masker::new(secrets.values().map(|value| value.as_encoded_bytes()))
}

/// A secret of a task that is not set in the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsetSecret(pub String);

impl fmt::Display for UnsetSecret {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "the secret `{}` is not set in the environment: export it, then run again", self.0)
    }
}

impl std::error::Error for UnsetSecret {}

/// The environment of a task before its inputs: base list, `pass_env`, `cache_env`, secrets, `env`, in this
/// order, the later ones winning. The values of secrets come as well, to be masked.
///
/// # Errors
/// A secret that is not set.
pub fn of_task(
    task: &Task,
    caller: &HostEnv,
) -> Result<(BTreeMap<OsString, OsString>, Vec<String>), UnsetSecret> {
    let mut env = caller.base.clone();
    let mut patterns = task.pass_env.iter().chain(&task.cache.env).peekable();
    if patterns.peek().is_some() {
        let is_asked = |name: &OsStr| patterns.clone().any(|pattern| matches(pattern, name));
        env.extend(caller.others.iter().filter(|(name, _)| is_asked(name)).cloned());
    }
    let mut secrets = Vec::new();
    for name in task.secrets.iter().filter(|_| caller.secrets) {
        let value = std::env::var_os(name).ok_or_else(|| UnsetSecret(name.clone()))?;
        secrets.push(value.to_string_lossy().into_owned());
        env.insert(name.into(), value);
    }
    env.extend(task.env.iter().map(|(name, value)| (name.into(), value.into())));
    Ok((env, secrets))
}

/// The environment of a program that is no task: the base list alone.
pub fn base_environment() -> BTreeMap<OsString, OsString> {
    // A task without secrets has no error.
    of_task(&Task::unknown(), &HostEnv::now()).map(|(env, _)| env).unwrap_or_default()
}

/// What a run remembers of the environment.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    /// The base list with its values.
    pub base: BTreeMap<String, String>,
    /// A short digest for each variable that a task asks for, and for those of the base list that hold a secret.
    pub passed: BTreeMap<String, String>,
}

/// The variables that history records for a run of `tasks`; without the secrets of any of them.
pub fn remember<'t>(tasks: impl Iterator<Item = &'t Task> + Clone) -> Remembered {
    let (mut patterns, mut secrets) = (BTreeSet::new(), BTreeSet::new());
    for task in tasks.clone() {
        patterns.extend(task.pass_env.iter().chain(&task.cache.env).map(String::as_str));
        secrets.extend(task.secrets.iter().map(String::as_str));
    }
    let mut remembered = Remembered::default();
    for (name, value) in std::env::vars_os() {
        let Some(text) = name.to_str().filter(|text| !text.is_empty() && !secrets.contains(text)) else {
            continue;
        };
        if is_base(&name) {
            remembered.base.insert(text.to_owned(), value.to_string_lossy().into_owned());
        } else if patterns.iter().any(|pattern| matches(pattern, &name)) {
            remembered.passed.insert(text.to_owned(), short_digest(&name, &value));
        }
    }
    if !secrets.is_empty() {
        // A secret may be a part of something else as well.
        let masker = masker_of(&secrets_of(tasks));
        remembered.base.retain(|name, value| {
            let harmless = !masker.is_in(value);
            if !harmless {
                remembered.passed.insert(name.clone(), short_digest(name.as_ref(), (*value).as_ref()));
            }
            harmless
        });
    }
    remembered
}

/// Digest of the variables that every task sees and of those that `patterns` name, with their values.
pub fn digest_of(patterns: &[String]) -> Digest {
    let mut seen: Vec<_> = std::env::vars_os()
        .filter(|(name, _)| is_base(name) || patterns.iter().any(|pattern| matches(pattern, name)))
        .collect();
    seen.sort();
    let mut hasher = Hasher::default();
    for (name, value) in seen {
        hasher.frame(name.as_encoded_bytes());
        hasher.frame(value.as_encoded_bytes());
    }
    hasher.finish()
}

/// Tells two values of a variable apart, and says nothing else of them.
pub fn short_digest(name: &OsStr, value: &OsStr) -> String {
    let mut hasher = Hasher::default();
    hasher.frame(name.as_encoded_bytes());
    hasher.frame(value.as_encoded_bytes());
    hasher.finish().hex()[..8].to_owned()
}

/// Whether a variable passes through without being asked for.
fn is_base(name: &OsStr) -> bool {
    BASE.into_iter().any(|pattern| matches(pattern, name))
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
    fn secrets_are_not_remembered() {
        // Nothing is changed, because others read the environment meanwhile: the test names what is there.
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (Some(path), Some(home)) = (set("PATH"), set("HOME")) else { return };
        let remember = |secret: &str, passed: &str| {
            let mut task = Task::unknown();
            task.secrets.push(secret.into());
            task.pass_env.push(passed.into());
            remember([&task].into_iter())
        };
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let other = names.into_iter().find(|name| !name.contains('*') && !is_base(name.as_ref()));
        let with = remember("NO_SUCH_SECRET", other.as_deref().unwrap_or("NO_SUCH_VARIABLE"));
        assert_eq!((&with.base["PATH"], &with.base["HOME"]), (&path, &home));
        let passed: Vec<_> = with.passed.iter().map(|(name, digest)| (name.clone(), digest.len())).collect();
        assert_eq!(passed, Vec::from_iter(other.map(|name| (name, 8))));
        let without = remember("HOME", "HOME");
        assert!(!without.base.contains_key("HOME") && !without.passed.contains_key("HOME"));
        assert!(without.base.values().all(|value| !value.contains(&home)));
    }

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
