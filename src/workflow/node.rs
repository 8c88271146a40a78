//! One node: its inputs bound, its elements, its condition, its policies.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::binder::Binder;
use super::binding::Binding;
use super::diagnostic::Diagnostic;
use super::names::{Face, NodeNames, did_you_mean};
use super::published::infer;
use super::reader::{Reader, TableEntry};
use super::syntax::{Table, TomlItem, TomlKind};
use super::template::is_template;
use super::{Body, Input, Node, Scatter, ScatterShape, Task};
use crate::core::closest::closest;
use crate::core::types::Type;
use crate::core::value::Value;

/// The policies that a node may override.
const OVERRIDES: [&str; 10] = [
    "retries",
    "retry_delay",
    "retry_backoff",
    "timeout",
    "grace",
    "resources",
    "executor",
    "executor_args",
    "chunk",
    "chunk_parallel",
];

/// Reads `foreach` or `matrix` and what goes with them; `body` is unknown where that has an error of its own.
pub fn read_scatter(reader: &mut Reader, entry: &TableEntry, body: Option<&Body>) -> Option<Scatter> {
    let table = entry.table;
    let name = &*entry.key.name;
    let (key, shape) = match (table.get("foreach"), table.get("matrix")) {
        (None, None) => {
            for key in ["concurrency", "min_success_ratio"] {
                if let Some(item) = table.get(key) {
                    let message = format!("`{key}` is about elements, and node `{name}` has none");
                    reader.report(
                        Diagnostic::at(reader.place(item.span), message, "not used")
                            .help("add foreach = [\"INPUT\"] or matrix = [\"INPUT\", ...]"),
                    );
                }
            }
            return None;
        }
        (Some(_), Some(second)) => {
            let message = format!("node `{name}` has both `foreach` and `matrix`");
            reader.error(second.span, message, "keep one of them");
            ("foreach", ScatterShape::Zip)
        }
        (Some(_), None) => ("foreach", ScatterShape::Zip),
        (None, Some(_)) => ("matrix", ScatterShape::Cross),
    };
    let named = reader.texts(table, key)?;
    if named.is_empty() {
        let span = table.get(key).map_or(entry.span, |item| item.span);
        reader.error(span, format!("`{key}` names no input"), "empty");
    }
    let mut over = Vec::with_capacity(named.len());
    for (input, span) in named {
        let Some(body) = body else { break };
        let inputs = body.inputs();
        match inputs.iter().position(|known| *known.name == *input) {
            Some(index) if over.contains(&(index as u32)) => {
                reader.error(span, format!("`{key}` names `{input}` twice"), "the second one");
            }
            Some(index) => over.push(index as u32),
            None => {
                let message = format!("`{key}` names `{input}`, which is no input of node `{name}`");
                let help = did_you_mean(input, inputs.iter().map(|i| &*i.name), "inputs");
                reader.report(Diagnostic::at(reader.place(span), message, "no such input").help(help));
            }
        }
    }
    let concurrency = read_concurrency(reader, table);
    let min_success_ratio = read_ratio(reader, table);
    Some(Scatter { shape, over, concurrency, min_success_ratio })
}

fn read_concurrency(reader: &mut Reader, table: &Table) -> Option<u32> {
    let item = table.get("concurrency")?;
    match item.kind {
        TomlKind::Integer(n) if n >= 1 => return Some(u32::try_from(n).unwrap_or(u32::MAX)),
        TomlKind::Integer(_) => reader.error(item.span, "`concurrency` must be 1 or more", "out of range"),
        _ => reader.wrong_type(item, "concurrency", "a whole number"),
    }
    None
}

fn read_ratio(reader: &mut Reader, table: &Table) -> Option<f64> {
    let item = table.get("min_success_ratio")?;
    let ratio = match item.kind {
        TomlKind::Integer(n) => n as f64,
        TomlKind::Float(ratio) => ratio,
        _ => {
            reader.wrong_type(item, "min_success_ratio", "a number from 0 to 1");
            return None;
        }
    };
    if !(0.0..=1.0).contains(&ratio) {
        reader.error(item.span, "`min_success_ratio` must lie between 0 and 1", "out of range");
        return None;
    }
    Some(ratio)
}

/// Reads a node whose `face` is known already.
pub fn read_node(
    reader: &mut Reader,
    entry: &TableEntry,
    face: &Face,
    dir: &Path,
    names: &NodeNames,
) -> Node {
    let name = &*entry.key.name;
    let bound = reader.table(entry.table, "inputs");
    let mut inputs = Vec::new();
    // With a misspelt name in `foreach` it is unknown which inputs take lists.
    let spread = ["foreach", "matrix"].iter().find_map(|key| match &entry.table.get(key)?.kind {
        TomlKind::Array(named) => Some(named.len()),
        _ => None,
    });
    let is_clear = face.scatter.as_ref().is_none_or(|scatter| spread == Some(scatter.over.len()));
    if let Some(body) = face.body.as_ref().filter(|_| is_clear) {
        let misspelt = bound.map(|table| check_names(reader, table, body, entry, dir, names));
        let misspelt = misspelt.unwrap_or_default();
        for (i, input) in body.inputs().iter().enumerate() {
            let spread = face.scatter.as_ref().is_some_and(|scatter| scatter.is_over(i));
            inputs.push(match misspelt.contains(&&*input.name) {
                true => Binding::Literal(Value::Null),
                false => read_binding(reader, entry, bound, input, spread, dir, names),
            });
        }
        if let Some(scatter) = &face.scatter {
            check_lengths(reader, entry, scatter, body, &inputs);
        }
    } else if let Some(table) = bound {
        // Without a task types are not known, but references can still be wrong.
        for (_, item) in table.iter() {
            infer(&mut Binder { reader, scope: Some(names), dir }, item);
        }
    }
    let overrides = OVERRIDES.iter().any(|key| entry.table.get(key).is_some());
    let task = match &face.body {
        Some(Body::Task(task)) => Some(task),
        Some(Body::Workflow(_)) => {
            if let Some((key, item)) = OVERRIDES.iter().find_map(|key| Some((key, entry.table.get(key)?))) {
                let message = format!("`{key}` is about one task, and node `{name}` runs a whole workflow");
                reader.error(item.span, message, "set it in that workflow's nodes");
            }
            None
        }
        None => None,
    };
    Node {
        name: name.into(),
        body: face.body.clone().unwrap_or_else(|| Body::Task(Arc::new(Task::unknown()))),
        inputs: inputs.into(),
        needs: read_needs(reader, entry, names),
        execution: task
            .filter(|_| overrides)
            .map(|task| Box::new(task.execution.overridden(reader, entry.table))),
        scatter: face.scatter.clone().map(Box::new),
        condition: read_condition(reader, entry, dir, names).map(Box::new),
        place: reader.place(entry.span),
    }
}

fn read_needs(reader: &mut Reader, entry: &TableEntry, names: &NodeNames) -> Box<[u32]> {
    let mut needs = Vec::new();
    for (needed, span) in reader.texts(entry.table, "needs").unwrap_or_default() {
        match names.nodes.get(needed) {
            Some(face) => match names.in_time(needed, face) {
                Ok(()) => needs.push(face.index),
                Err(problem) => reader.error(span, problem, "cannot be waited for"),
            },
            None if reader.is_full() => reader.omit(),
            None => {
                let label = closest(needed, names.nodes.keys().copied())
                    .map_or("no such node".into(), |near| format!("did you mean `{near}`?"));
                let message = format!("node `{}` needs `{needed}`, which is no node", entry.key.name);
                reader.error(span, message, label);
            }
        }
    }
    needs.into()
}

fn read_condition(reader: &mut Reader, entry: &TableEntry, dir: &Path, names: &NodeNames) -> Option<Binding> {
    let item = entry.table.get("if")?;
    match &item.kind {
        TomlKind::Bool(value) => Some(Binding::Literal(Value::Bool(*value))),
        TomlKind::String(text) if is_template(text) => {
            let mut binder = Binder { reader, scope: Some(names), dir };
            let (binding, found) = binder.open_template(text, item.span)?;
            let is_text = matches!(&binding, Binding::Template(t) if !t.is_single_expression());
            let problem = match (&binding, found) {
                (_, Some(ty)) if !matches!(ty.required(), Type::Bool | Type::Json) => {
                    Some(format!("`if` must be a bool, but `{}` is {ty}", text.trim()))
                }
                (Binding::Template(_), _) if is_text => {
                    Some("`if` must be one {{ expression }} and nothing else: this is text".to_owned())
                }
                _ => None,
            };
            match problem {
                Some(problem) => {
                    let at = reader.place(item.span);
                    let help = match is_text {
                        true => "write the whole condition inside one {{ }}",
                        false => "compare it with something, as in \"{{ count.rows > 0 }}\"",
                    };
                    reader.report(Diagnostic::at(at, problem, "no condition").help(help));
                    None
                }
                None => Some(binding),
            }
        }
        TomlKind::String(_) => {
            let message = "`if` is plain text: write an expression, as in \"{{ inputs.mode == 'full' }}\", or true or false";
            reader.error(item.span, message, "plain text");
            None
        }
        _ => {
            reader.wrong_type(item, "if", "an {{ expression }}, or true or false");
            None
        }
    }
}

/// Lists whose lengths are known already must be of one length.
fn check_lengths(
    reader: &mut Reader,
    entry: &TableEntry,
    scatter: &Scatter,
    body: &Body,
    inputs: &[Binding],
) {
    if scatter.shape == ScatterShape::Cross {
        return;
    }
    let known = scatter.over.iter().filter_map(|i| {
        let length = match inputs.get(*i as usize)? {
            Binding::Literal(Value::List(items)) => items.len(),
            Binding::List(items) => items.len(),
            _ => return None,
        };
        Some((&*body.inputs()[*i as usize].name, length))
    });
    let known: Vec<_> = known.collect();
    if let Err(problem) = equal_lengths(&known) {
        let span = entry.table.get("inputs").map_or(entry.span, |item| item.span);
        reader.error(span, format!("node `{}`: {problem}", entry.key.name), "of different length");
    }
}

/// Whether lists can be walked side by side; the error names them with their lengths.
///
/// # Errors
/// The lists with their lengths.
pub fn equal_lengths(lists: &[(&str, usize)]) -> Result<(), String> {
    if lists.windows(2).all(|pair| pair[0].1 == pair[1].1) {
        return Ok(());
    }
    let shown: Vec<_> = lists.iter().map(|(name, length)| format!("`{name}` has {length}")).collect();
    Err(format!(
        "`foreach` walks its lists side by side, so they must have equal lengths: {} (`matrix` takes every combination)",
        shown.join(", ")
    ))
}

/// Reports what is bound and no input of the task; the inputs that were probably meant and are not bound.
fn check_names<'t>(
    reader: &mut Reader,
    table: &Table,
    body: &'t Body,
    entry: &TableEntry,
    dir: &Path,
    names: &NodeNames,
) -> Vec<&'t str> {
    let known: HashSet<&str> = body.inputs().iter().map(|input| &*input.name).collect();
    let mut meant = Vec::new();
    for (key, item) in table.iter() {
        if known.contains(&*key.name) {
            continue;
        }
        if reader.is_full() {
            reader.omit();
            continue;
        }
        let near = closest(&key.name, body.inputs().iter().map(|input| &*input.name));
        meant.extend(near.filter(|near| table.get(near).is_none()));
        let label = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "no such input".into(),
        };
        let text = |key| match entry.table.get(key).map(|item| &item.kind) {
            Some(TomlKind::String(name)) => Some(&**name),
            _ => None,
        };
        let (kind, used) = match text("workflow") {
            Some(file) => ("workflow", file),
            None => ("task", text("task").unwrap_or(&entry.key.name)),
        };
        let message =
            format!("node `{}` binds `{}`, which is no input of {kind} `{used}`", entry.key.name, key.name);
        let diagnostic = Diagnostic::at(reader.place(key.span), message, label);
        reader.report(match did_you_mean("", body.inputs().iter().map(|input| &*input.name), "inputs") {
            help if help.is_empty() => diagnostic,
            help => diagnostic.help(help),
        });
        infer(&mut Binder { reader, scope: Some(names), dir }, item);
    }
    meant
}

fn read_binding(
    reader: &mut Reader,
    entry: &TableEntry,
    bound: Option<&Table>,
    input: &Input,
    spread: bool,
    dir: &Path,
    names: &NodeNames,
) -> Binding {
    let placeholder = || Binding::Literal(Value::Null);
    if let Some(item) = bound.and_then(|table| table.get(&input.name)) {
        let mut binder = Binder { reader, scope: Some(names), dir };
        let binding = match spread {
            true => bind_list(&mut binder, entry, input, item),
            false => binder.bind(&input.name, &input.ty, item),
        };
        if spread {
            return binding.unwrap_or_else(placeholder);
        }
        if let Some(Binding::Literal(value)) = &binding
            && let Err(problem) = input.check_choice(value)
        {
            reader.error(item.span, problem, "not one of them");
        }
        return binding.unwrap_or_else(placeholder);
    }
    if let Some(default) = &input.default
        && !spread
    {
        return default.clone();
    }
    if (spread || !input.ty.is_optional()) && !reader.is_full() {
        let span = entry.table.get("inputs").map_or(entry.span, |item| item.span);
        let message = format!("node `{}` leaves the input `{}` unbound", entry.key.name, input.name);
        let diagnostic = Diagnostic::at(reader.place(span), message, format!("`{}` is missing", input.name));
        let list = Type::List(Box::new(input.ty.clone()));
        let ty = if spread { &list } else { &input.ty };
        let help = format!("add inputs = {{ {} = ... }}, a value of type {ty}", input.name);
        reader.report(diagnostic.help(help));
    }
    placeholder()
}

/// Binds the list whose elements an input takes one after another.
fn bind_list(binder: &mut Binder, entry: &TableEntry, input: &Input, item: &TomlItem) -> Option<Binding> {
    let list = Type::List(Box::new(input.ty.clone()));
    let before = binder.reader.diagnostics.len();
    let binding = binder.bind(&input.name, &list, item);
    if let Some(diagnostic) = binder.reader.diagnostics.get_mut(before)
        && binding.is_none()
    {
        let note = format!(
            "node `{}` runs once for each element of `{}`, so that it is bound to a {list}",
            entry.key.name, input.name
        );
        diagnostic.help.push(note);
    }
    if let Some(Binding::Literal(Value::List(items))) = &binding
        && let Some(problem) = items.iter().find_map(|value| input.check_choice(value).err())
    {
        binder.reader.error(item.span, problem, "not one of them");
    }
    binding
}
