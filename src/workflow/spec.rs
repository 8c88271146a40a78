//! The tasks of one file: tables of TOML made into typed [`Task`]s, each checked by itself.

use std::path::Path;

use super::binder::{Binder, inner_span};
use super::defaults::{Defaults, read_cwd, read_env, read_shell, read_variables};
use super::diagnostic::Diagnostic;
use super::flyte::read_flyte_task;
use super::functions::{Functions, check_no_function};
use super::interface::{read_inputs, read_outputs};
use super::keys;
use super::paths::{check_inside, find_sources, literal_part};
use super::policy::CachePolicy;
use super::reader::{Reader, TableEntry};
use super::signatures::read_function;
use super::syntax::{Table, TomlItem, TomlKey, TomlKind};
use super::template::Template;
use super::{Capture, Input, SourceGlob, Task, TaskCommand};
use crate::core::closest::closest;
use crate::core::staging::Staging;

/// The settings that tasks of one file share.
pub struct TaskContext<'a> {
    /// Of the workflow or library: the first part of qualified names.
    pub owner: &'a str,
    /// The folder of the file.
    pub dir: &'a Path,
    pub defaults: Defaults,
}

/// Reads `[tasks.NAME]`. A task with an error in its body still has an interface that nodes can be checked
/// against, so `None` only comes for a name that cannot be used.
pub fn read_task(
    reader: &mut Reader,
    context: &TaskContext,
    entry: TableEntry,
    functions: &Functions,
) -> Option<Task> {
    let TableEntry { key, span, table } = entry;
    let named = reader.check_name(key, "a task", true);
    let owner = format!("task `{}`", key.name);
    reader.check_keys(table, keys::TASK, &owner);
    let defaults = &context.defaults;
    let mut inputs = read_inputs(reader, table, context.dir, &owner, keys::INPUT);
    let flytekit = table.get("flytekit").filter(|_| reader.program.is_some());
    let is_function = table.get("python").is_some() || flytekit.is_some();
    let (outputs, command) = match (is_function, flytekit) {
        (_, Some(item)) => read_flyte_task(reader, table, item, &owner),
        (true, None) => read_function(reader, table, &key.name, functions, &mut inputs),
        (false, None) => {
            check_no_function(reader, table);
            let outputs = read_outputs(reader, table, &owner);
            (outputs, read_command(reader, table, key, span, &inputs, defaults))
        }
    };
    // A function gets its inputs as arguments, not as variables.
    let variables = if is_function { &[] } else { &*inputs };
    let env = defaults.merged_env(read_env(reader, table, variables), variables);
    let cache = defaults.cache.overridden(reader, table);
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
    check_aliases(reader, table, &format!("{}.{}", context.owner, key.name));
    let in_workflow_dir = !is_function && read_cwd(reader, table).unwrap_or(defaults.in_workflow_dir);
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
    let own = flytekit.and_then(|item| item.kind.to_json().get("name")?.as_str().map(str::to_owned));
    let task = Task {
        name: own.unwrap_or_else(|| format!("{}.{}", context.owner, key.name)),
        description: reader.text(table, "description").map(str::to_owned),
        dir: context.dir.to_owned(),
        place: reader.place(key.span),
        inputs,
        outputs,
        command,
        in_workflow_dir,
        env,
        pass_env: match table.get("pass_env") {
            Some(_) => read_variables(reader, table, "pass_env", true),
            None => defaults.pass_env.clone(),
        },
        secrets: read_variables(reader, table, "secrets", false),
        sources: read_sources(reader, table, context.dir),
        staging,
        dynamic: reader.bool(table, "dynamic").unwrap_or(false),
        execution: defaults.execution.overridden(reader, table),
        cache: CachePolicy { env: merge_env(reader, table, &cache), ..cache },
    };
    named.then_some(task)
}

/// Former names are qualified, and others than the task's own.
fn check_aliases(reader: &mut Reader, table: &Table, own: &str) {
    for (name, span) in reader.texts(table, "cache_aliases").unwrap_or_default() {
        let is_qualified = name
            .split_once('.')
            .is_some_and(|(owner, task)| super::is_name(owner, true) && super::is_name(task, true));
        if !is_qualified {
            let message = format!("`cache_aliases` takes qualified names, and `{name}` is none");
            let help = "write WORKFLOW.TASK or LIBRARY.TASK, as in \"old-flow.train\"";
            reader.report(Diagnostic::at(reader.place(span), message, "not WORKFLOW.TASK").help(help));
        } else if name == own {
            reader.error(span, format!("`{name}` is the name that the task has now"), "drop it");
        }
    }
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
    key: &TomlKey,
    header: super::diagnostic::Span,
    inputs: &[Input],
    defaults: &Defaults,
) -> TaskCommand {
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
                "neither `run`, `argv` nor `python`",
            );
            let help = "add run = '...' for a shell script, argv = [...] for a program, or python = \"FILE.py:FUNCTION\"";
            reader.report(diagnostic.help(help));
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
        if let Some(TomlItem { kind: TomlKind::Array(items), span }) = argv
            && items.is_empty()
        {
            reader.error(*span, "`argv` must name a program", "empty");
        }
        return TaskCommand::Program(templates);
    }
    let shell = read_shell(reader, table).unwrap_or_else(|| defaults.shell.clone());
    // Windows line ends would reach the shell as part of the words.
    let script = script.map_or_else(String::new, |(text, _)| text.replace("\r\n", "\n"));
    TaskCommand::Script { script, shell, args: read_templates(reader, table, "args", inputs) }
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
        for glob in template.globs() {
            let message = format!("`{name}` looks for files, and a task sees only its inputs");
            let help = "bind glob('...') to an input of type list<file>";
            let at = reader.place(inner_span(span, text, glob.range.clone()));
            reader.report(Diagnostic::at(at, message, "not here").help(help));
        }
        templates.push(template);
    }
    templates
}

fn read_sources(reader: &mut Reader, table: &Table, dir: &Path) -> Vec<SourceGlob> {
    let Some(item) = table.get("sources") else { return Vec::new() };
    let TomlKind::Array(items) = &item.kind else {
        reader.wrong_type(item, "sources", "a list of strings");
        return Vec::new();
    };
    items.iter().filter_map(|item| read_source(reader, item, dir)).collect()
}

fn read_source(reader: &mut Reader, item: &TomlItem, dir: &Path) -> Option<SourceGlob> {
    let (glob, span, staged_as) = match &item.kind {
        TomlKind::String(text) => (&**text, item.span, None),
        TomlKind::Table(long) => {
            reader.check_keys(long, keys::SOURCE, "a source");
            if long.get("path").is_none() {
                reader.error(item.span, "a source has no path", "add path = \"...\"");
            }
            let (glob, span) = reader.text_item(long, "path")?;
            let staged_as = reader.text_item(long, "as");
            if let Some((path, span)) = staged_as
                && let Err(problem) = check_inside(path)
            {
                reader.error(
                    span,
                    format!("`as` of source `{glob}`: {problem}"),
                    "not inside the scratch folder",
                );
                return None;
            }
            (glob, span, staged_as.map(|(path, _)| path.trim_end_matches('/').to_owned()))
        }
        _ => {
            reader.wrong_type(item, "sources", "a list of strings");
            return None;
        }
    };
    if staged_as.is_none()
        && let Err(problem) = check_inside(glob)
    {
        let folder = literal_part(glob).rsplit('/').find(|part| !part.is_empty() && *part != "..");
        let diagnostic = Diagnostic::at(
            reader.place(span),
            format!("source `{glob}`: {problem}"),
            "not usable",
        )
        .help(format!(
            "sources are staged under the same relative path, so they must lie below this file's folder; \
                 for others say where they go: {{ path = \"{glob}\", as = \"{}\" }}",
            folder.unwrap_or("lib")
        ));
        reader.report(diagnostic);
        return None;
    }
    match find_sources(dir, glob) {
        Ok(files) if files.is_empty() => {
            let message = format!("source `{glob}` matches no file");
            let help = format!("it is relative to {}", dir.display());
            reader.report(Diagnostic::at(reader.place(span), message, "nothing there").help(help));
            None
        }
        Ok(_) => Some(SourceGlob { pattern: glob.to_owned(), staged_as }),
        Err(problem) => {
            reader.error(span, format!("source `{glob}`: {problem}"), "not usable");
            None
        }
    }
}
