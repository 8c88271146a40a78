//! Names and types across the whole workflow: nodes to tasks, templates to inputs and outputs.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::binding::{Binder, Binding, Reference, Scope};
use super::diagnostic::{Diagnostic, Place, closest};
use super::keys;
use super::reader::{Entry, Reader};
use super::syntax::{Item, Kind, Table};
use super::template::Variable;
use super::types::Type;
use super::value::Value;
use super::{Input, Node, Published, Task};

/// Names that nodes cannot have because templates use them otherwise.
const RESERVED_NODES: [&str; 2] = ["inputs", "failure"];

/// The tasks that nodes can use, by the name they use: `task`, or `library.task`.
#[derive(Default)]
pub struct Tasks {
    pub all: Vec<Arc<Task>>,
    pub by_name: HashMap<String, u32>,
}

/// All names that templates of the workflow can refer to.
struct Names<'a> {
    inputs: HashMap<&'a str, (u32, &'a Type)>,
    /// The table of these inputs: some have mistakes.
    declared: Option<&'a Table<'a>>,
    tasks: &'a Tasks,
    /// By task and output.
    outputs: HashMap<(u32, &'a str), (u32, &'a Type)>,
    /// By node: its task, `None` where that is unknown.
    nodes: HashMap<&'a str, (u32, Option<u32>)>,
}

/// What linking yields, next to diagnostics.
pub struct Linked {
    pub nodes: Vec<Node>,
    /// Where each node's header stands.
    pub places: Vec<Place>,
    pub outputs: Vec<Published>,
}

/// Reads `[nodes]` and `[outputs]` of the workflow file.
pub fn link(reader: &mut Reader, file: &Table, dir: &Path, inputs: &[Input], tasks: &Tasks) -> Linked {
    let mut entries = reader.tables(file, "nodes");
    entries.retain(|entry| {
        let reserved = RESERVED_NODES.contains(&&*entry.key.name);
        if reserved {
            let message = format!("`{}` cannot be the name of a node", entry.key.name);
            reader.error(entry.key.span, message, "has a meaning of its own in templates");
        }
        reader.check_name(entry.key, "a node", false) && !reserved
    });
    let inputs = inputs.iter().enumerate().map(|(i, input)| (&*input.name, (i as u32, &input.ty)));
    let outputs = tasks.all.iter().enumerate().flat_map(|(task, definition)| {
        let outputs = definition.outputs.iter().enumerate();
        outputs.map(move |(i, output)| ((task as u32, &*output.name), (i as u32, &output.ty)))
    });
    let mut names = Names {
        inputs: inputs.collect(),
        declared: file.get("inputs").and_then(|item| match &item.kind {
            Kind::Table(table) => Some(table),
            _ => None,
        }),
        tasks,
        outputs: outputs.collect(),
        nodes: HashMap::with_capacity(entries.len()),
    };
    let mut used = Vec::with_capacity(entries.len());
    for (i, entry) in entries.iter().enumerate() {
        reader.check_keys(entry.table, keys::NODE, &format!("node `{}`", entry.key.name));
        let task = find_task(reader, entry, tasks);
        names.nodes.insert(&entry.key.name, (i as u32, task));
        used.push(task);
    }
    let mut nodes = Vec::with_capacity(entries.len());
    let mut places = Vec::with_capacity(entries.len());
    for (entry, task) in entries.iter().zip(used) {
        places.push(reader.place(entry.span));
        nodes.push(read_node(reader, entry, task, dir, &names));
    }
    let outputs = read_outputs(reader, file, dir, &names);
    Linked { nodes, places, outputs }
}

fn find_task(reader: &mut Reader, entry: &Entry, tasks: &Tasks) -> Option<u32> {
    if entry.table.get("workflow").is_some() {
        return None; // Refused already: sub-workflows do not work yet.
    }
    let own_name = &*entry.key.name;
    let (name, span) = match entry.table.get("task") {
        Some(_) => reader.text_item(entry.table, "task")?,
        None => (own_name, entry.span),
    };
    if let Some(task) = tasks.by_name.get(name) {
        return Some(*task);
    }
    if reader.is_full() {
        return None;
    }
    let named = entry.table.get("task").is_some();
    let message = if named {
        format!("unknown task `{name}`")
    } else {
        format!("node `{own_name}` names no task, and there is no task of its own name")
    };
    let mut known: Vec<_> = tasks.by_name.keys().map(String::as_str).collect();
    let label = match closest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if named => "not defined here, nor in an import".into(),
        None => "add task = \"...\"".into(),
    };
    let mut diagnostic = Diagnostic::at(reader.place(span), message, label);
    let same_tail = known.iter().filter(|k| k.rsplit_once('.').is_some_and(|(_, tail)| tail == name)).min();
    if let Some(qualified) = same_tail {
        diagnostic =
            diagnostic.help(format!("tasks of a library are used by their qualified name: \"{qualified}\""));
    } else if !known.is_empty() && known.len() <= 12 {
        known.sort_unstable();
        diagnostic = diagnostic.help(format!("the tasks there are: {}", known.join(", ")));
    }
    reader.report(diagnostic);
    None
}

fn read_node(reader: &mut Reader, entry: &Entry, task: Option<u32>, dir: &Path, names: &Names) -> Node {
    let name = &*entry.key.name;
    let bound = reader.table(entry.table, "inputs");
    let definition = task.map(|t| &names.tasks.all[t as usize]);
    let mapped = ["foreach", "matrix"].iter().any(|key| entry.table.get(key).is_some());
    let mut inputs = Vec::new();
    if let Some(task) = definition.filter(|_| !mapped) {
        let misspelt = bound.map(|table| check_names(reader, table, task, entry, dir, names));
        let misspelt = misspelt.unwrap_or_default();
        for input in &task.inputs {
            inputs.push(match misspelt.contains(&&*input.name) {
                true => Binding::Literal(Value::Null),
                false => read_binding(reader, entry, bound, input, dir, names),
            });
        }
    } else if let Some(table) = bound {
        // Without a task, or for each of many values, types are not known, but references can still be wrong.
        for (_, item) in table.iter() {
            infer(&mut Binder { reader, scope: Some(names), dir }, item);
        }
    }
    let mut needs = Vec::new();
    for (needed, span) in reader.texts(entry.table, "needs").unwrap_or_default() {
        match names.nodes.get(needed) {
            Some((index, _)) => needs.push(*index),
            None if reader.is_full() => break,
            None => {
                let label = closest(needed, names.nodes.keys().copied())
                    .map_or("no such node".into(), |near| format!("did you mean `{near}`?"));
                reader.error(span, format!("node `{name}` needs `{needed}`, which is no node"), label);
            }
        }
    }
    let overrides = ["retries", "retry_delay", "retry_backoff", "timeout", "grace", "resources"];
    let execution = definition
        .filter(|_| overrides.iter().any(|key| entry.table.get(key).is_some()))
        .map(|task| Box::new(task.execution.overridden(reader, entry.table)));
    Node { name: name.into(), task: task.unwrap_or(0), inputs: inputs.into(), needs: needs.into(), execution }
}

/// Reports what is bound and no input of the task; the inputs that were probably meant and are not bound.
fn check_names<'t>(
    reader: &mut Reader,
    table: &Table,
    task: &'t Task,
    entry: &Entry,
    dir: &Path,
    names: &Names,
) -> Vec<&'t str> {
    let known: HashSet<&str> = task.inputs.iter().map(|input| &*input.name).collect();
    let mut meant = Vec::new();
    for (key, item) in table.iter() {
        if known.contains(&*key.name) {
            continue;
        }
        if reader.is_full() {
            break;
        }
        let near = closest(&key.name, task.inputs.iter().map(|input| &*input.name));
        meant.extend(near.filter(|near| table.get(near).is_none()));
        let label = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "no such input".into(),
        };
        let used = entry.table.get("task").and_then(|task| match &task.kind {
            Kind::String(name) => Some(&**name),
            _ => None,
        });
        let message = format!(
            "node `{}` binds `{}`, which is no input of task `{}`",
            entry.key.name,
            key.name,
            used.unwrap_or(&entry.key.name)
        );
        let diagnostic = Diagnostic::at(reader.place(key.span), message, label);
        reader.report(match did_you_mean("", task.inputs.iter().map(|input| &*input.name), "inputs") {
            help if help.is_empty() => diagnostic,
            help => diagnostic.help(help),
        });
        infer(&mut Binder { reader, scope: Some(names), dir }, item);
    }
    meant
}

fn read_binding(
    reader: &mut Reader,
    entry: &Entry,
    bound: Option<&Table>,
    input: &Input,
    dir: &Path,
    names: &Names,
) -> Binding {
    let placeholder = || Binding::Literal(Value::Null);
    if let Some(item) = bound.and_then(|table| table.get(&input.name)) {
        let mut binder = Binder { reader, scope: Some(names), dir };
        let binding = binder.bind(&input.name, &input.ty, item);
        if let Some(Binding::Literal(value)) = &binding
            && let Err(problem) = input.check_choice(value)
        {
            reader.error(item.span, problem, "not one of them");
        }
        return binding.unwrap_or_else(placeholder);
    }
    if let Some(default) = &input.default {
        return default.clone();
    }
    if !input.ty.is_optional() && !reader.is_full() {
        let span = entry.table.get("inputs").map_or(entry.span, |item| item.span);
        let message = format!("node `{}` leaves the input `{}` unbound", entry.key.name, input.name);
        let diagnostic = Diagnostic::at(reader.place(span), message, format!("`{}` is missing", input.name));
        let help = format!("add inputs = {{ {} = ... }}, a value of type {}", input.name, input.ty);
        reader.report(diagnostic.help(help));
    }
    placeholder()
}

fn read_outputs(reader: &mut Reader, file: &Table, dir: &Path, names: &Names) -> Vec<Published> {
    let Some(table) = reader.table(file, "outputs") else { return Vec::new() };
    let mut outputs: Vec<Published> = Vec::with_capacity(table.len());
    let mut published = HashMap::new();
    for (key, item) in table.iter() {
        if !reader.check_name(key, "an output", false) {
            continue;
        }
        let what = format!("output `{}`", key.name);
        let (value, long) = match &item.kind {
            Kind::Table(long) => {
                reader.check_keys(long, keys::PUBLISHED, &what);
                let Some(value) = long.get("value") else {
                    reader.error(
                        item.span,
                        format!("{what} has no value"),
                        "add value = \"{{ NODE.OUTPUT }}\"",
                    );
                    continue;
                };
                (value, Some(long))
            }
            _ => (item, None),
        };
        let Some((binding, ty)) = infer(&mut Binder { reader, scope: Some(names), dir }, value) else {
            continue;
        };
        let path = long.and_then(|long| reader.text_item(long, "path"));
        if let (Some((_, span)), Some(ty)) = (path, &ty)
            && !matches!(ty.required(), Type::File | Type::Dir)
        {
            let message = format!("{what} is {ty}, and only a file or dir can be published");
            reader.error(span, message, "drop the path");
        }
        let path = path.map(|(path, span)| (dir.join(path), span));
        if let Some((path, span)) = &path
            && let Some(other) = published.insert(path.clone(), &key.name)
        {
            let message = format!("{what} is published at the same path as `{other}`");
            reader.error(*span, message, "one would overwrite the other");
        }
        outputs.push(Published {
            name: (*key.name).into(),
            ty,
            value: binding,
            path: path.map(|(path, _)| path),
        });
    }
    outputs
}

/// A binding without a declared type, and the type it turns out to have if that is known.
fn infer(binder: &mut Binder, item: &Item) -> Option<(Binding, Option<Type>)> {
    match &item.kind {
        Kind::String(text) if super::template::is_template(text) => binder.open_template(text, item.span),
        Kind::Array(items) => {
            let inferred: Option<Vec<_>> = items.iter().map(|item| infer(binder, item)).collect();
            let (bindings, types): (Vec<_>, Vec<_>) = inferred?.into_iter().unzip();
            let element = match types.split_first() {
                Some((Some(first), rest)) if rest.iter().all(|ty| ty.as_ref() == Some(first)) => {
                    first.clone()
                }
                _ => Type::Json,
            };
            Some((Binding::List(bindings.into()), Some(Type::List(Box::new(element)))))
        }
        kind => {
            let ty = match kind {
                Kind::String(_) => Type::String,
                Kind::Integer(_) => Type::Int,
                Kind::Float(_) => Type::Float,
                Kind::Bool(_) => Type::Bool,
                Kind::Datetime(_) => Type::Datetime,
                Kind::Array(_) | Kind::Table(_) => Type::Json,
            };
            binder.bind(&"value", &ty, item).map(|binding| (binding, Some(ty)))
        }
    }
}

impl Scope for Names<'_> {
    fn resolve(&self, variable: &Variable) -> Result<(Reference, Option<Type>), (String, String)> {
        let path = &variable.path;
        let root = path[0].as_str();
        if root == "inputs" {
            let Some(name) = path.get(1) else {
                return Err(("`inputs` names no input".into(), "write {{ inputs.NAME }}".into()));
            };
            if !self.inputs.contains_key(&**name) && self.declared.is_some_and(|d| d.get(name).is_some()) {
                return Ok((Reference::Input(0), None)); // Reported where it is declared.
            }
            let (index, ty) = self.inputs.get(&**name).ok_or_else(|| {
                let known = self.inputs.keys().copied();
                (format!("the workflow has no input `{name}`"), did_you_mean(name, known, "inputs"))
            })?;
            return within(path, ty).map(|ty| (Reference::Input(*index), Some(ty)));
        }
        let Some((node, task)) = self.nodes.get(root) else {
            let message = format!("there is no node `{root}`");
            if self.inputs.contains_key(root) {
                return Err((message, format!("the workflow's input is written {{{{ inputs.{root} }}}}")));
            }
            return Err((message, did_you_mean(root, self.nodes.keys().copied(), "nodes")));
        };
        let Some(task) = task else {
            // Its task is unknown, which is reported where the node stands: any output will do until then.
            return Ok((Reference::Output { node: *node, output: 0 }, None));
        };
        let outputs = &self.tasks.all[*task as usize].outputs;
        let known = || outputs.iter().map(|output| &*output.name);
        let Some(name) = path.get(1) else {
            let example = known().next().unwrap_or("OUTPUT");
            let help = format!("name one of its outputs, as in {{{{ {root}.{example} }}}}");
            return Err((format!("`{root}` is a node, not a value"), help));
        };
        let (output, ty) = self.outputs.get(&(*task, &**name)).ok_or_else(|| {
            (format!("node `{root}` has no output `{name}`"), did_you_mean(name, known(), "outputs"))
        })?;
        within(path, ty).map(|ty| (Reference::Output { node: *node, output: *output }, Some(ty)))
    }
}

/// The type of a variable, and whether a path that goes on into its value can do so.
fn within(path: &[String], ty: &Type) -> Result<Type, (String, String)> {
    match (path.get(2), ty.required()) {
        (None, _) | (Some(_), Type::Json | Type::Map(_)) => Ok(ty.clone()),
        (Some(inner), _) => Err((
            format!("`{}.{}` is {ty} and has nothing called `{inner}` inside", path[0], path[1]),
            String::new(),
        )),
    }
}

fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>, plural: &str) -> String {
    let mut known: Vec<_> = known.collect();
    match closest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => format!("there are no {plural}"),
        None if known.len() <= 12 => {
            known.sort_unstable();
            format!("the {plural} there are: {}", known.join(", "))
        }
        None => String::new(),
    }
}
