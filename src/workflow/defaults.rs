//! `[defaults]`, and the settings that it shares with tasks: shell, environment, working directory.

use std::collections::HashSet;

use super::diagnostic::Diagnostic;
use super::policy::{AttemptPolicy, CachePolicy};
use super::reader::Reader;
use super::syntax::{Table, TomlKind};
use super::{Input, keys};

/// The shell of tasks in files that name none.
const SHELL: [&str; 3] = ["bash", "-euo", "pipefail"];

/// The settings of tasks that do not set them.
pub struct Defaults {
    pub execution: AttemptPolicy,
    pub cache: CachePolicy,
    pub shell: Vec<String>,
    pub env: Vec<(String, String)>,
    pub pass_env: Vec<String>,
    pub in_workflow_dir: bool,
    pub python_env: Option<String>,
}

impl Defaults {
    /// Reads `[defaults]` of a file.
    pub fn read(reader: &mut Reader, file: &Table) -> Self {
        let mut defaults = Self {
            execution: AttemptPolicy::default(),
            cache: CachePolicy::default(),
            shell: SHELL.map(str::to_owned).into(),
            env: Vec::new(),
            pass_env: Vec::new(),
            in_workflow_dir: false,
            python_env: None,
        };
        let Some(table) = reader.table(file, "defaults") else { return defaults };
        reader.check_keys(table, keys::DEFAULTS, "[defaults]");
        defaults.execution = defaults.execution.overridden(reader, table);
        defaults.cache = defaults.cache.overridden(reader, table);
        for (key, what) in [("cache_ignore_inputs", "inputs"), ("cache_aliases", "former names")] {
            if let Some(item) = table.get(key) {
                let message = format!("`{key}` belongs to one task, since it names that task's {what}");
                reader.error(item.span, message, "move it into the task");
            }
        }
        defaults.cache.ignore_inputs.clear();
        defaults.cache.aliases.clear();
        if let Some(shell) = read_shell(reader, table) {
            defaults.shell = shell;
        }
        defaults.env = read_env(reader, table, &[]);
        defaults.pass_env = read_variables(reader, table, "pass_env", true);
        defaults.in_workflow_dir = read_cwd(reader, table).unwrap_or(false);
        defaults.python_env = reader.text(table, "python_env").map(str::to_owned);
        defaults
    }

    /// A task's variables over the default ones; a task's own and its inputs win.
    pub fn merged_env(&self, own: Vec<(String, String)>, inputs: &[Input]) -> Vec<(String, String)> {
        let is_set = |name: &String| {
            own.iter().any(|(other, _)| other == name) || inputs.iter().any(|input| *input.name == **name)
        };
        let mut merged: Vec<_> = self.env.iter().filter(|(name, _)| !is_set(name)).cloned().collect();
        merged.extend(own);
        merged
    }
}

/// The program that runs scripts, if `table` names one.
pub fn read_shell(reader: &mut Reader, table: &Table) -> Option<Vec<String>> {
    let words = reader.texts(table, "shell")?;
    if words.is_empty() {
        let span = table.get("shell").map_or_else(Default::default, |item| item.span);
        reader.error(span, "`shell` must name a program", "empty");
    }
    Some(words.into_iter().map(|(word, _)| word.to_owned()).collect())
}

/// Whether commands run in the workflow's folder, if `table` says so or otherwise.
pub fn read_cwd(reader: &mut Reader, table: &Table) -> Option<bool> {
    reader.choice(table, "cwd", &["scratch", "workflow"]).map(|choice| choice == "workflow")
}

/// Reads a table of variables; names that clash with `inputs` are errors.
pub fn read_env(reader: &mut Reader, table: &Table, inputs: &[Input]) -> Vec<(String, String)> {
    let Some(inner) = reader.table(table, "env") else { return Vec::new() };
    let mut env = Vec::with_capacity(inner.len());
    let inputs: HashSet<&str> = inputs.iter().map(|input| &*input.name).collect();
    for (key, item) in inner.iter() {
        let name = &*key.name;
        if keys::TASK.iter().any(|k| k.name == name) {
            let diagnostic = Diagnostic::at(
                reader.place(key.span),
                format!("`{name}` was meant for the task, but stands in its `env`"),
                "lands in the environment",
            );
            reader.report(diagnostic.help(
                "in TOML every key below [tasks.NAME.env] belongs to that table: move this one above it, \
                 or write env = { ... } on one line",
            ));
            continue;
        }
        let clash = if !is_variable(name) {
            Some("is no name of a variable: use letters, digits and `_`")
        } else if name == "OUT" || name.starts_with("RUNNER_") {
            Some("is set by the runner itself")
        } else if inputs.contains(name) {
            Some("is an input already, and inputs are variables of the same name")
        } else {
            None
        };
        if let Some(problem) = clash {
            reader.error(key.span, format!("`{name}` {problem}"), "cannot be set here");
            continue;
        }
        match &item.kind {
            TomlKind::String(text) if text.contains('\0') => {
                reader.error(item.span, format!("`{name}` holds a NUL character"), "no variable can");
            }
            TomlKind::String(text) => env.push((name.to_owned(), text.to_string())),
            _ => {
                let message = format!("`{name}` must be a string: variables are text");
                reader.error(item.span, message, format!("found {}", item.type_name()));
            }
        }
    }
    env
}

fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Names of variables, `*` allowed where `patterns` says so.
pub fn read_variables(reader: &mut Reader, table: &Table, name: &str, patterns: bool) -> Vec<String> {
    let mut names = Vec::new();
    for (text, span) in reader.texts(table, name).unwrap_or_default() {
        let plain = if patterns { text.replace('*', "") } else { text.to_owned() };
        if text.is_empty()
            || !(plain.is_empty() || plain.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
        {
            let extra = if patterns { ", with `*` for any letters" } else { "" };
            reader.error(span, format!("`{name}` takes names of variables{extra}"), "not a name");
            continue;
        }
        names.push(text.to_owned());
    }
    names
}
