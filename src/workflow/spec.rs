//! The tasks of one file: tables of TOML made into typed [`Task`]s, each checked by itself.

use std::collections::HashSet;
use std::path::Path;

use super::binding::{Binder, inner_span};
use super::diagnostic::Diagnostic;
use super::interface::{read_inputs, read_outputs};
use super::keys;
use super::paths::{check_inside, find_sources};
use super::policy::{CachePolicy, Execution};
use super::reader::{Entry, Reader};
use super::syntax::{Item, Key, Kind, Table};
use super::template::Template;
use super::{Capture, Command, Input, Task};
use crate::core::closest::closest;
use crate::core::staging::Staging;

/// The default shell.
const SHELL: [&str; 3] = ["bash", "-euo", "pipefail"];

/// The settings that tasks of one file share.
pub struct TaskContext<'a> {
    /// Of the workflow or library: the first part of qualified names.
    pub owner: &'a str,
    /// The folder of the file.
    pub dir: &'a Path,
    /// From `[defaults]`.
    pub execution: Execution,
    pub cache: CachePolicy,
}

/// Reads `[defaults]` into the policies that tasks begin with.
pub fn read_defaults(reader: &mut Reader, file: &Table) -> (Execution, CachePolicy) {
    let (execution, cache) = (Execution::default(), CachePolicy::default());
    let Some(table) = reader.table(file, "defaults") else { return (execution, cache) };
    reader.check_keys(table, keys::DEFAULTS, "[defaults]");
    let ignored = cache.overridden(reader, table);
    if !ignored.ignore_inputs.is_empty() {
        let span = table.get("cache_ignore_inputs").map_or_else(Default::default, |item| item.span);
        let message = "`cache_ignore_inputs` belongs to one task, since it names that task's inputs";
        reader.error(span, message, "move it into the task");
    }
    (execution.overridden(reader, table), CachePolicy { ignore_inputs: Vec::new(), ..ignored })
}

/// Reads `[tasks.NAME]`. A task with an error in its body still has an interface that nodes can be checked
/// against, so `None` only comes for a name that cannot be used.
pub fn read_task(reader: &mut Reader, context: &TaskContext, entry: Entry) -> Option<Task> {
    let Entry { key, span, table } = entry;
    let named = reader.check_name(key, "a task", true);
    let owner = format!("task `{}`", key.name);
    reader.check_keys(table, keys::TASK, &owner);
    let inputs = read_inputs(reader, table, context.dir, &owner, keys::INPUT);
    let outputs = read_outputs(reader, table, &owner);
    let command = read_command(reader, table, key, span, &inputs);
    let env = read_env(reader, table, &inputs);
    let cache = context.cache.overridden(reader, table);
    for (name, span) in reader.texts(table, "cache_ignore_inputs").unwrap_or_default() {
        if !inputs.iter().any(|input| &*input.name == name) {
            let label = closest(name, inputs.iter().map(|i| &*i.name))
                .map_or("no such input".into(), |near| format!("did you mean `{near}`?"));
            reader.error(
                span,
                format!("`cache_ignore_inputs` names `{name}`, which {owner} has no input of"),
                label,
            );
        }
    }
    let in_workflow_dir = reader.choice(table, "cwd", &["scratch", "workflow"]) == Some("workflow");
    if in_workflow_dir && outputs.iter().any(|output| matches!(output.capture, Capture::Path(_))) {
        let span = table.get("cwd").map_or(span, |item| item.span);
        let message =
            format!("{owner} takes an output from the scratch folder by `path`, but does not run there");
        reader.error(span, message, "drop this, or write the output to \"$OUT\"");
    }
    let staging = match reader.choice(table, "stage", &["auto", "copy", "link"]) {
        Some("copy") => Staging::Copy,
        Some("link") => Staging::Link,
        _ => Staging::Auto,
    };
    let task = Task {
        name: format!("{}.{}", context.owner, key.name),
        description: reader.text(table, "description").map(str::to_owned),
        dir: context.dir.to_owned(),
        place: reader.place(key.span),
        inputs,
        outputs,
        command,
        in_workflow_dir,
        env,
        pass_env: read_variables(reader, table, "pass_env", true),
        secrets: read_variables(reader, table, "secrets", false),
        sources: read_sources(reader, table, context.dir),
        staging,
        execution: context.execution.overridden(reader, table),
        cache: CachePolicy { env: merge_env(reader, table, &cache), ..cache },
    };
    named.then_some(task)
}

fn merge_env(reader: &mut Reader, table: &Table, cache: &CachePolicy) -> Vec<String> {
    match table.get("cache_env") {
        Some(_) => read_variables(reader, table, "cache_env", true),
        None => cache.env.clone(),
    }
}

fn read_command(
    reader: &mut Reader,
    table: &Table,
    key: &Key,
    header: super::diagnostic::Span,
    inputs: &[Input],
) -> Command {
    let script = reader.text_item(table, "run");
    let argv = table.get("argv");
    match (script, argv) {
        (Some(_), Some(item)) => {
            reader.error(
                item.span,
                format!("task `{}` has both `run` and `argv`", key.name),
                "keep one of them",
            );
        }
        (None, None) if table.get("run").is_none() => {
            let diagnostic = Diagnostic::at(
                reader.place(header),
                format!("task `{}` has no command", key.name),
                "neither `run` nor `argv`",
            );
            reader
                .report(diagnostic.help("add run = '...' for a shell script, or argv = [...] for a program"));
        }
        _ => {}
    }
    if argv.is_some() {
        for name in ["args", "shell"] {
            if let Some(item) = table.get(name) {
                reader.error(item.span, format!("`{name}` goes with `run`, not with `argv`"), "not used");
            }
        }
        let templates = read_templates(reader, table, "argv", inputs);
        if let Some(Item { kind: Kind::Array(items), span }) = argv
            && items.is_empty()
        {
            reader.error(*span, "`argv` must name a program", "empty");
        }
        return Command::Program(templates);
    }
    let shell = match reader.texts(table, "shell") {
        Some(words) if words.is_empty() => {
            let span = table.get("shell").map_or(header, |item| item.span);
            reader.error(span, "`shell` must name a program", "empty");
            Vec::new()
        }
        Some(words) => words.into_iter().map(|(word, _)| word.to_owned()).collect(),
        None => SHELL.map(str::to_owned).into(),
    };
    let script = script.map_or_else(String::new, |(text, _)| text.to_owned());
    Command::Script { script, shell, args: read_templates(reader, table, "args", inputs) }
}

/// Templates over a task's inputs.
fn read_templates(reader: &mut Reader, table: &Table, name: &str, inputs: &[Input]) -> Vec<Template> {
    let mut templates = Vec::new();
    for (text, span) in reader.texts(table, name).unwrap_or_default() {
        let mut binder = Binder { reader, scope: None, dir: Path::new("") };
        let Some(template) = binder.parse(text, span) else { continue };
        for variable in template.variables() {
            let root = &variable.path[0];
            if inputs.iter().any(|input| *input.name == **root) {
                continue;
            }
            let label = match closest(root, inputs.iter().map(|i| &*i.name)) {
                Some(near) => format!("did you mean `{near}`?"),
                None if root == "inputs" => "write the input's name alone here".into(),
                None => "no such input".into(),
            };
            let message = format!("`{name}` uses `{root}`, which is no input of this task");
            reader.error(inner_span(span, text, variable.range.clone()), message, label);
        }
        templates.push(template);
    }
    templates
}

fn read_env(reader: &mut Reader, table: &Table, inputs: &[Input]) -> Vec<(String, String)> {
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
            Kind::String(text) if text.contains('\0') => {
                reader.error(item.span, format!("`{name}` holds a NUL character"), "no variable can");
            }
            Kind::String(text) => env.push((name.to_owned(), text.to_string())),
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
fn read_variables(reader: &mut Reader, table: &Table, name: &str, patterns: bool) -> Vec<String> {
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

fn read_sources(reader: &mut Reader, table: &Table, dir: &Path) -> Vec<String> {
    let mut sources = Vec::new();
    for (glob, span) in reader.texts(table, "sources").unwrap_or_default() {
        if let Err(problem) = check_inside(glob) {
            let diagnostic = Diagnostic::at(
                reader.place(span),
                format!("source `{glob}`: {problem}"),
                "not usable",
            )
            .help(
                "sources are staged under the same relative path, so they must lie below this file's folder",
            );
            reader.report(diagnostic);
            continue;
        }
        match find_sources(dir, glob) {
            Ok(files) if files.is_empty() => {
                let message = format!("source `{glob}` matches no file");
                let help = format!("it is relative to {}", dir.display());
                reader.report(Diagnostic::at(reader.place(span), message, "nothing there").help(help));
            }
            Ok(_) => sources.push(glob.to_owned()),
            Err(problem) => reader.error(span, format!("source `{glob}`: {problem}"), "not usable"),
        }
    }
    sources
}
