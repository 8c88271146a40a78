//! Interfaces: the inputs and outputs that a task or a workflow declares. Knows nothing of commands and nodes.

use std::path::Path;

use super::binder::Binder;
use super::binding::Binding;
use super::budget::Resource;
use super::keys;
use super::paths::check_inside;
use super::reader::Reader;
use super::syntax::{Table, TomlItem, TomlKind};
use super::{Capture, Input, Output, Pass};
use crate::core::types::Type;
use crate::core::value::Value;

/// Reads a table of inputs: `name = "type"` or the long form, which may hold the keys `known`.
pub fn read_inputs(
    reader: &mut Reader,
    table: &Table,
    dir: &Path,
    owner: &str,
    known: &'static [keys::Key],
) -> Vec<Input> {
    let Some(inner) = reader.table(table, "inputs") else { return Vec::new() };
    if !spend(reader, table, "inputs", inner) {
        return Vec::new();
    }
    let mut inputs = Vec::with_capacity(inner.len());
    for (key, item) in inner.iter() {
        if !reader.check_name(key, "an input", false) {
            continue;
        }
        let what = format!("input `{}` of {owner}", key.name);
        let Some((ty, long)) = read_type(reader, item, known, &what) else { continue };
        let mut input = Input {
            name: (*key.name).into(),
            default: None,
            description: None,
            one_of: Vec::new(),
            pass: Pass::Env,
            ty,
        };
        if let Some(long) = long {
            let mut binder = Binder { reader, scope: None, dir };
            if let Some(default) = long.get("default") {
                input.default = binder.bind(&"default", &input.ty, default);
            }
            if let Some(choices) = long.get("one_of") {
                input.one_of = read_choices(&mut binder, &input.ty, choices);
            }
            input.description = reader.text(long, "description").map(Into::into);
            check_default(reader, &input, long);
            input.pass = read_pass(reader, &input.ty, long, &what);
        }
        inputs.push(input);
    }
    inputs
}

fn spend(reader: &mut Reader, table: &Table, key: &str, declared: &Table) -> bool {
    let span = table.get(key).map_or_else(Default::default, |item| item.span);
    reader.spend(Resource::Declarations, declared.len(), span)
}

fn read_pass(reader: &mut Reader, ty: &Type, long: &Table, what: &str) -> Pass {
    if reader.choice(long, "pass", &["env", "file"]) != Some("file") {
        return Pass::Env;
    }
    if matches!(ty.required(), Type::File | Type::Dir) {
        let span = long.get("pass").map_or_else(Default::default, |item| item.span);
        let message = format!("{what} is {ty}, and its variable is a path already");
        reader.error(span, message, "remove this");
        return Pass::Env;
    }
    Pass::File
}

fn read_choices(binder: &mut Binder, ty: &Type, item: &TomlItem) -> Vec<Value> {
    let TomlKind::Array(items) = &item.kind else {
        binder.reader.wrong_type(item, "one_of", "a list of values");
        return Vec::new();
    };
    if items.is_empty() {
        binder.reader.error(item.span, "`one_of` allows no value at all", "empty");
    }
    items
        .iter()
        .filter_map(|choice| match binder.bind(&"one_of", ty, choice)? {
            Binding::Literal(value) => Some(value),
            _ => {
                binder.reader.error(choice.span, "`one_of` cannot hold files", "not a plain value");
                None
            }
        })
        .collect()
}

fn check_default(reader: &mut Reader, input: &Input, long: &Table) {
    if let (Some(Binding::Literal(value)), Some(item)) = (&input.default, long.get("default"))
        && let Err(problem) = input.check_choice(value)
    {
        reader.error(
            item.span,
            format!("the default of `{}` is not allowed: {problem}", input.name),
            "not one of them",
        );
    }
}

impl Input {
    /// Checks that `one_of` allows `value`.
    ///
    /// # Errors
    /// A sentence that lists the allowed values.
    pub fn check_choice(&self, value: &Value) -> Result<(), String> {
        if self.one_of.is_empty() || self.one_of.contains(value) || *value == Value::Null {
            return Ok(());
        }
        let text = |value: &Value| value.to_record().to_string();
        let allowed: Vec<_> = self.one_of.iter().map(text).collect();
        Err(format!("`{}` must be one of {}, found {}", self.name, allowed.join(", "), text(value)))
    }
}

/// Reads `[tasks.NAME.outputs]`.
pub fn read_outputs(reader: &mut Reader, table: &Table, owner: &str) -> Vec<Output> {
    let Some(inner) = reader.table(table, "outputs") else { return Vec::new() };
    if !spend(reader, table, "outputs", inner) {
        return Vec::new();
    }
    let mut outputs: Vec<Output> = Vec::with_capacity(inner.len());
    for (key, item) in inner.iter() {
        if !reader.check_name(key, "an output", false) {
            continue;
        }
        let what = format!("output `{}` of {owner}", key.name);
        let Some((ty, long)) = read_type(reader, item, keys::OUTPUT, &what) else { continue };
        let mut capture = Capture::Out;
        if let Some(long) = long {
            let is_path = matches!(ty.required(), Type::File | Type::Dir);
            if reader.choice(long, "from", &["stdout"]).is_some() {
                capture = Capture::Stdout;
                let span = long.get("from").map_or(item.span, |i| i.span);
                if ty.holds_files() && *ty.required() != Type::File {
                    reader.error(
                        span,
                        format!("{what} is {ty}, and standard output is text, or one file"),
                        "give it a text type, or make it a file",
                    );
                } else if outputs.iter().any(|o| o.capture == Capture::Stdout) {
                    reader.error(
                        span,
                        format!("{what}: another output takes standard output already"),
                        "the second one",
                    );
                }
            }
            if let Some((path, span)) = reader.text_item(long, "path") {
                if !is_path {
                    let message = format!("{what} is {ty}, and only a file or dir can have a `path`");
                    reader.error(span, message, "drop it, or change the type");
                } else if let Err(problem) = check_inside(path) {
                    reader.error(span, format!("{what}: {problem}"), "not inside the scratch folder");
                } else if capture == Capture::Stdout {
                    reader.error(span, format!("{what} has both `from` and `path`"), "keep one of them");
                }
                capture = Capture::Path(path.to_owned());
            }
        }
        outputs.push(Output { name: (*key.name).into(), ty, capture });
    }
    outputs
}

/// A type, short or long; the long form's table.
fn read_type<'t, 's>(
    reader: &mut Reader,
    item: &'t TomlItem<'s>,
    known: &'static [keys::Key],
    what: &str,
) -> Option<(Type, Option<&'t Table<'s>>)> {
    let (text, span, long) = match &item.kind {
        TomlKind::String(text) => (&**text, item.span, None),
        TomlKind::Table(long) => {
            reader.check_keys(long, known, what);
            if long.get("type").is_none() {
                reader.error(
                    item.span,
                    format!("{what} has no type"),
                    "add type = \"string\", or another type",
                );
                return None;
            }
            let (text, span) = reader.text_item(long, "type")?;
            (text, span, Some(long))
        }
        _ => {
            reader.error(item.span, format!("{what} must be a type"), format!("found {}", item.type_name()));
            return None;
        }
    };
    match Type::parse(text) {
        Ok(ty) => Some((ty, long)),
        Err(problem) => {
            reader.error(span, format!("{what}: {problem}"), "not a type");
            None
        }
    }
}
