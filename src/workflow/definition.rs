//! A task's definition: everything that decides what its command does, apart from its inputs.
//!
//! Its digest is the automatic cache version; under a pinned version it shows whether, and in which part,
//! the task was edited since a result was stored. Hash and explanation walk the same list of parts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::paths::{find_sources, literal_part};
use super::template::Template;
use super::{Capture, Pass, Task, TaskCommand};
use crate::core::definition::Definition;

impl Definition {
    /// Describes `task`. `variable` gives the value of an environment variable for `cache_env` (each name
    /// that a pattern matches), `content` what a source file holds.
    ///
    /// # Errors
    /// A source that matches no file, or the error of `content`.
    pub fn of<E: From<String>>(
        task: &Task,
        variables: &dyn Fn(&str) -> Vec<(String, String)>,
        content: &mut dyn FnMut(&Path) -> Result<String, E>,
    ) -> Result<Self, E> {
        let mut definition = Self::of_text(task, variables);
        for source in sources_of(task)? {
            let part = format!("source {}", source.staged.display());
            definition.parts.insert(part, content(&task.dir.join(&source.path))?);
        }
        Ok(definition)
    }

    /// Describes what the workflow's text says of `task`: all but its sources.
    pub fn of_text(task: &Task, variables: &dyn Fn(&str) -> Vec<(String, String)>) -> Self {
        let mut parts = BTreeMap::new();
        match &task.command {
            TaskCommand::Script { script, shell, args } => {
                parts.insert("run".into(), script.clone());
                parts.insert("shell".into(), words(shell.iter().map(String::as_str)));
                if !args.is_empty() {
                    parts.insert("args".into(), words(args.iter().map(Template::source)));
                }
            }
            TaskCommand::Program(argv) => {
                parts.insert("argv".into(), words(argv.iter().map(Template::source)));
            }
            TaskCommand::Function(call) => {
                let function = &call.function;
                parts.insert("python".into(), format!("{}:{}", function.module, function.function));
                if call.flytekit.is_none() {
                    parts.insert("python version".into(), function.python.clone());
                }
                let packages = function.packages.iter();
                parts.extend(packages.map(|(name, version)| (format!("package {name}"), version.clone())));
                parts.extend(function.code.iter().map(|(name, digest)| (name.clone(), digest.clone())));
            }
        }
        for (name, value) in &task.env {
            parts.insert(format!("env.{name}"), value.clone());
        }
        for pattern in &task.cache.env {
            for (name, value) in variables(pattern) {
                parts.insert(format!("cache_env.{name}"), value);
            }
        }
        for input in task.inputs.iter().filter(|input| input.pass == Pass::File) {
            parts.insert(format!("inputs.{}", input.name), "pass file".into());
        }
        for output in &task.outputs {
            let capture = match &output.capture {
                Capture::Out | Capture::Returned => continue,
                Capture::Stdout => "stdout".to_owned(),
                Capture::Path(path) => format!("path {path}"),
            };
            parts.insert(format!("outputs.{}", output.name), capture);
        }
        if task.dynamic {
            parts.insert("dynamic".into(), "true".into());
        }
        if task.in_workflow_dir {
            parts.insert("cwd".into(), "workflow".into());
        }
        Self { parts }
    }
}

/// A list of words as text in which no two lists look alike: JSON.
fn words<'w>(words: impl Iterator<Item = &'w str>) -> String {
    words.map(serde_json::Value::from).collect::<serde_json::Value>().to_string()
}

/// A file that a task's `sources` name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourcePath {
    /// Relative to the scratch folder.
    pub staged: PathBuf,
    /// Relative to the folder of the task's file.
    pub path: PathBuf,
}

/// The files that a task's `sources` name, sorted.
///
/// # Errors
/// A glob that is not valid or matches no file; two files that would be staged at one path.
pub fn sources_of(task: &Task) -> Result<Vec<SourcePath>, String> {
    let mut all = Vec::new();
    for source in &task.sources {
        let glob = &source.pattern;
        let found = find_sources(&task.dir, glob)?;
        if found.is_empty() {
            return Err(format!("source `{glob}` matches no file in {}", task.dir.display()));
        }
        all.extend(found.into_iter().map(|path| {
            let staged = match &source.staged_as {
                None => path.clone(),
                Some(folder) => match path.strip_prefix(literal_part(glob)) {
                    Ok(rest) if rest.as_os_str().is_empty() => folder.into(),
                    Ok(rest) => Path::new(folder).join(rest),
                    Err(_) => path.clone(),
                },
            };
            SourcePath { staged, path }
        }));
    }
    all.sort();
    all.dedup();
    if let Some(pair) = all.windows(2).find(|pair| pair[0].staged == pair[1].staged) {
        let (staged, one, two) = (pair[0].staged.display(), pair[0].path.display(), pair[1].path.display());
        return Err(format!("the sources {one} and {two} would both be staged as {staged}"));
    }
    Ok(all)
}
