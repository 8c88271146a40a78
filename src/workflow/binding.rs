//! Bindings: what an input is bound to, checked against its type as far as that is known beforehand.
//!
//! A binding is evaluated when the node is ready, over values that somebody else holds ([`Values`]).

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;

use super::diagnostic::{Diagnostic, Span};
use super::hints::{list_hint, literal_hint};
use super::reader::Reader;
use super::syntax::{Item, Kind, Table};
use super::template::{Lookup, Template, Variable, is_template};
use crate::core::types::Type;
use crate::core::value::{Artifact, Value, quote};

/// Where a value comes from: an input of the workflow, or an output of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    Input(u32),
    Output {
        node: u32,
        output: u32,
    },
    /// Of the run, for the node that runs when it failed.
    Failure(Failure),
}

/// The parts of a run's failure that templates can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The name of the node that failed first.
    Node,
    Message,
}

/// The source of an input's value.
#[derive(Clone, Debug)]
pub enum Binding {
    /// A value that is known already.
    Literal(Value),
    /// A user's own file or directory, absolute; the type says which.
    Path(Arc<Path>),
    /// A whole value of another node or of the workflow's inputs.
    Reference(Reference),
    /// An expression or text with expressions.
    Template(Arc<BoundTemplate>),
    List(Arc<[Binding]>),
    Map(Arc<BTreeMap<String, Binding>>),
}

/// A template whose variables are resolved.
#[derive(Debug)]
pub struct BoundTemplate {
    template: Template,
    /// One for each of the template's variables.
    references: Box<[Reference]>,
    /// Where text that names a file is relative to.
    dir: PathBuf,
}

impl BoundTemplate {
    /// Whether it takes the first of some values that is not null, and does nothing else.
    pub fn is_coalesce(&self) -> bool {
        self.template.is_coalesce(ROOT)
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        self.template.source()
    }

    /// Whether it is one expression and nothing else.
    pub fn is_single_expression(&self) -> bool {
        self.template.is_single_expression()
    }
}

/// How many segments of a variable's path name the value; what follows leads into it.
const ROOT: usize = 2;

/// The names that a template in a node's binding can use.
pub trait Scope {
    /// The target of `variable` and its type (`None` if that has an error of its own).
    ///
    /// # Errors
    /// Message and help.
    fn resolve(&self, variable: &Variable) -> Result<(Reference, Option<Type>), (String, String)>;
}

/// The values that bindings are evaluated over.
pub trait Values {
    /// The value behind a reference; it exists when the node is ready.
    fn get(&self, reference: Reference) -> Result<Value, String>;
    /// The content of a user's own file or directory.
    fn fingerprint(&self, path: &Path, is_dir: bool) -> Result<Arc<Artifact>, String>;
}

impl Binding {
    /// The value, of type `ty`.
    ///
    /// # Errors
    /// A sentence, if the value does not exist or does not fit.
    pub fn evaluate(&self, ty: &Type, values: &dyn Values) -> Result<Value, String> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Path(path) => file_value(ty, path, values),
            Self::Reference(reference) => values.get(*reference)?.coerce(ty),
            Self::Template(bound) => {
                let scope = Bound { bound, values };
                if bound.template.is_single_expression() {
                    return bound.template.evaluate(ty, &scope);
                }
                let text = bound.template.render(&scope)?;
                match ty.required() {
                    Type::File | Type::Dir => file_value(ty, &bound.dir.join(text), values),
                    Type::Json => Ok(Value::Json(Arc::new(Json::String(text)))),
                    ty => Value::from_text(ty, &text),
                }
            }
            Self::List(items) => {
                let element = element_of(ty);
                let list: Value =
                    items.iter().map(|item| item.evaluate(element, values)).collect::<Result<_, _>>()?;
                list.coerce(ty)
            }
            Self::Map(entries) => {
                let element = element_of(ty);
                let entries = entries
                    .iter()
                    .map(|(key, item)| Ok((key.clone(), item.evaluate(element, values)?)))
                    .collect::<Result<BTreeMap<_, _>, String>>()?;
                Value::Map(Arc::new(entries)).coerce(ty)
            }
        }
    }

    /// Calls `visit` for each reference.
    pub fn for_each_reference(&self, visit: &mut dyn FnMut(Reference)) {
        match self {
            Self::Literal(_) | Self::Path(_) => {}
            Self::Reference(reference) => visit(*reference),
            Self::Template(bound) => bound.references.iter().for_each(|r| visit(*r)),
            Self::List(items) => items.iter().for_each(|item| item.for_each_reference(visit)),
            Self::Map(entries) => entries.values().for_each(|item| item.for_each_reference(visit)),
        }
    }

    /// Calls `visit` for each of the user's files that is known beforehand; the flag is true for a directory.
    pub fn for_each_path(&self, ty: &Type, visit: &mut dyn FnMut(&Path, bool)) {
        match self {
            Self::Path(path) => visit(path, *ty.required() == Type::Dir),
            Self::List(items) => items.iter().for_each(|item| item.for_each_path(element_of(ty), visit)),
            Self::Map(entries) => entries.values().for_each(|item| item.for_each_path(element_of(ty), visit)),
            Self::Literal(_) | Self::Reference(_) | Self::Template(_) => {}
        }
    }

    /// Reads JSON given on the command line: as [`Value::from_json`], with the paths of files relative to `dir`.
    ///
    /// # Errors
    /// The expected form, and the text that was found.
    pub fn from_json(ty: &Type, json: &Json, dir: &Path) -> Result<Self, String> {
        if !ty.holds_files() {
            return Value::from_json(ty, json).map(Self::Literal);
        }
        match (ty, json) {
            (Type::Optional(_), Json::Null) => Ok(Self::Literal(Value::Null)),
            (Type::Optional(inner), json) => Self::from_json(inner, json, dir),
            (Type::File | Type::Dir, Json::String(path)) => Ok(Self::Path(dir.join(path).into())),
            (Type::List(element), Json::Array(items)) => items
                .iter()
                .map(|item| Self::from_json(element, item, dir))
                .collect::<Result<_, _>>()
                .map(Self::List),
            (Type::Map(element), Json::Object(entries)) => entries
                .iter()
                .map(|(key, item)| Ok((key.clone(), Self::from_json(element, item, dir)?)))
                .collect::<Result<BTreeMap<_, _>, String>>()
                .map(|entries| Self::Map(Arc::new(entries))),
            _ => Err(format!("expected {ty}, found {}", quote(&json.to_string()))),
        }
    }

    /// Reads the text behind `-i NAME=`: as [`Value::from_text`], with the paths of files relative to `dir`.
    ///
    /// # Errors
    /// The expected form, and the text that was found.
    pub fn from_text(ty: &Type, text: &str, dir: &Path) -> Result<Self, String> {
        match ty.required() {
            Type::File | Type::Dir => Ok(Self::Path(dir.join(text).into())),
            required if required.holds_files() => {
                let json = serde_json::from_str(text)
                    .map_err(|e| format!("expected {required} as JSON, found {}: {e}", quote(text)))?;
                Self::from_json(required, &json, dir)
            }
            required => Value::from_text(required, text).map(Self::Literal),
        }
    }
}

fn file_value(ty: &Type, path: &Path, values: &dyn Values) -> Result<Value, String> {
    match ty.required() {
        Type::Dir => values.fingerprint(path, true).map(Value::Dir),
        _ => values.fingerprint(path, false).map(Value::File),
    }
}

fn element_of(ty: &Type) -> &Type {
    match ty.required() {
        Type::List(element) | Type::Map(element) => element,
        _ => &Type::Json,
    }
}

/// A bound template's variables, looked up.
struct Bound<'a> {
    bound: &'a BoundTemplate,
    values: &'a dyn Values,
}

impl Lookup for Bound<'_> {
    fn root<'p>(&self, path: &'p [String]) -> Result<(&'p [String], Value), String> {
        let root = path.get(..ROOT).unwrap_or(path);
        let variables = self.bound.template.variables();
        let index = variables.iter().position(|v| v.path.get(..ROOT) == Some(root));
        let reference = index.and_then(|i| self.bound.references.get(i));
        let reference = reference.ok_or_else(|| format!("`{}` is not known", path.join(".")))?;
        Ok((root, self.values.get(*reference)?))
    }

    fn text(&self, value: &Value) -> Result<String, String> {
        match value {
            Value::File(_) | Value::Dir(_) => {
                Err("a file has no path before it is staged: bind it to a `file` or `dir` input".into())
            }
            value => Ok(value.to_task_text(&|artifact| artifact.name.to_string()).unwrap_or_default()),
        }
    }
}

/// Reads bindings of one file.
pub struct Binder<'a> {
    pub reader: &'a mut Reader,
    /// The names that templates may use; `None` where no template is allowed, as in a default.
    pub scope: Option<&'a dyn Scope>,
    /// The folder of the file: paths are relative to it.
    pub dir: &'a Path,
}

impl Binder<'_> {
    /// Reads `item` as a binding of type `ty` for `name`, which messages quote.
    pub fn bind(&mut self, name: &dyn Display, ty: &Type, item: &Item) -> Option<Binding> {
        match (ty.required(), &item.kind) {
            (_, Kind::String(text)) if self.scope.is_some() && is_template(text) => {
                self.template(name, ty, text, item.span)
            }
            (Type::Json, Kind::Array(items)) => self.list(name, &Type::Json, items),
            (Type::Json, Kind::Table(table)) => self.map(name, &Type::Json, table),
            (Type::Json, Kind::String(text)) => Some(json(Json::String(text.to_string()))),
            (Type::Json, Kind::Integer(n)) => Some(json((*n).into())),
            (Type::Json, Kind::Float(n)) => match serde_json::Number::from_f64(*n) {
                Some(number) => Some(json(Json::Number(number))),
                None => self.mismatch(name, ty, item, "json has no such number"),
            },
            (Type::Json, Kind::Bool(b)) => Some(json((*b).into())),
            (Type::Json, Kind::Datetime(text)) => Some(json((*text).into())),
            (Type::String, Kind::String(text)) => Some(Binding::Literal(Value::String((**text).into()))),
            (Type::File | Type::Dir, Kind::String(text)) => {
                if text.is_empty() {
                    return self.mismatch(name, ty, item, "a path was expected, found empty text");
                }
                Some(Binding::Path(self.dir.join(&**text).into()))
            }
            (Type::Duration | Type::Datetime, Kind::String(text)) => match Value::from_text(ty, text) {
                Ok(value) => Some(Binding::Literal(value)),
                Err(problem) => self.mismatch(name, ty, item, &problem),
            },
            (Type::Datetime, Kind::Datetime(text)) => match Value::from_text(ty, &text.replacen(' ', "T", 1))
            {
                Ok(value) => Some(Binding::Literal(value)),
                Err(_) => {
                    self.mismatch(name, ty, item, "it lacks an offset: write it as in 2026-01-31T08:00:00Z")
                }
            },
            (Type::Int, Kind::Integer(n)) => Some(Binding::Literal(Value::Int(*n))),
            (Type::Float, Kind::Integer(n)) => Some(Binding::Literal(Value::Float(*n as f64))),
            (Type::Float, Kind::Float(n)) => Some(Binding::Literal(Value::Float(*n))),
            (Type::Bool, Kind::Bool(b)) => Some(Binding::Literal(Value::Bool(*b))),
            (Type::List(element), Kind::Array(items)) => self.list(name, element, items),
            (Type::Map(element), Kind::Table(table)) => self.map(name, element, table),
            (required, kind) => {
                let hint = literal_hint(required, kind);
                self.mismatch(name, ty, item, &hint)
            }
        }
    }

    fn list(&mut self, name: &dyn Display, element: &Type, items: &[Item]) -> Option<Binding> {
        let bind = |(i, item)| self.bind(&format_args!("{name}[{i}]"), element, item);
        let bound: Vec<_> = items.iter().enumerate().map(bind).collect();
        let bound: Option<Arc<[Binding]>> = bound.into_iter().collect();
        Some(if let Some(values) = literals(bound.as_ref()?.iter()) {
            let list: Value = values.into_iter().collect();
            if *element == Type::Json { json(list.to_record()) } else { Binding::Literal(list) }
        } else {
            Binding::List(bound?)
        })
    }

    fn map(&mut self, name: &dyn Display, element: &Type, table: &Table) -> Option<Binding> {
        let mut bound = BTreeMap::new();
        let mut complete = true;
        for (key, item) in table.iter() {
            match self.bind(&format_args!("{name}.{}", key.name), element, item) {
                Some(binding) => {
                    bound.insert(key.name.to_string(), binding);
                }
                None => complete = false,
            }
        }
        if !complete {
            return None;
        }
        Some(if let Some(values) = literals(bound.values()) {
            let map = Value::Map(Arc::new(bound.keys().cloned().zip(values).collect()));
            if *element == Type::Json { json(map.to_record()) } else { Binding::Literal(map) }
        } else {
            Binding::Map(Arc::new(bound))
        })
    }

    /// Parses a template and resolves its variables; what it refers to, and its type if it is one variable.
    fn template(&mut self, name: &dyn Display, ty: &Type, text: &str, span: Span) -> Option<Binding> {
        let (binding, found) = self.open_template(text, span)?;
        let Some(found) = found else {
            let is_text = matches!(&binding, Binding::Template(t) if !t.template.is_single_expression());
            let takes_text = matches!(ty.required(), Type::String | Type::File | Type::Dir | Type::Json);
            if is_text && !takes_text {
                let message = format!("`{name}` is {ty}, and this is text");
                self.reader.report(
                    Diagnostic::at(self.reader.place(span), message, format!("expected {ty}")).help(
                        "a string that is one `{{ expression }}` and nothing else keeps the value's type",
                    ),
                );
                return None;
            }
            return Some(binding);
        };
        if ty.accepts(&found) {
            return Some(binding);
        }
        let message = format!("`{name}` is {ty}, but `{}` is {found}", text.trim());
        let mut diagnostic =
            Diagnostic::at(self.reader.place(span), message, format!("expected {ty}, found {found}"));
        if ty.accepts(found.required()) {
            diagnostic = diagnostic.help(format!("declare `{name}` as `{ty}?` if it may be null"));
        } else if let Some(help) = list_hint(name, ty, &found) {
            diagnostic = diagnostic.help(help);
        } else if *ty.required() == Type::String
            && matches!(found.required(), Type::List(_) | Type::Map(_) | Type::Json)
        {
            diagnostic = diagnostic.help(format!(
                "there is no implicit conversion to text: declare `{name}` as {found}, or write {}",
                text.replacen("}}", "| tojson }}", 1).trim()
            ));
        } else if *ty.required() == Type::String && !found.holds_files() {
            diagnostic = diagnostic.help(format!(
                "there is no implicit conversion to text: declare `{name}` as {found}, or write {}",
                text.replacen("}}", "| string }}", 1).trim()
            ));
        }
        self.reader.report(diagnostic);
        None
    }

    /// Parses a template and resolves its variables, whatever its type; the type if it is one whole variable.
    pub fn open_template(&mut self, text: &str, span: Span) -> Option<(Binding, Option<Type>)> {
        if self.reader.is_full() {
            return None;
        }
        let template = self.parse(text, span)?;
        let scope = self.scope?;
        let mut references = Vec::with_capacity(template.variables().len());
        let mut types = Vec::with_capacity(template.variables().len());
        let mut failed = false;
        for variable in template.variables() {
            match scope.resolve(variable) {
                Ok((reference, found)) => {
                    references.push(reference);
                    types.push(found);
                }
                Err((message, help)) => {
                    failed = true;
                    let at = self.reader.place(inner_span(span, text, variable.range.clone()));
                    let mut diagnostic = Diagnostic::at(at, message, "not known here");
                    if !help.is_empty() {
                        diagnostic = diagnostic.help(help);
                    }
                    self.reader.report(diagnostic);
                }
            }
        }
        if failed {
            return None;
        }
        let whole = template.as_variable().is_some_and(|variable| variable.path.len() == ROOT);
        if let (true, [reference]) = (whole, &references[..]) {
            return Some((Binding::Reference(*reference), types.pop().flatten()));
        }
        let ty = if template.is_coalesce(ROOT) { coalesced(types) } else { None };
        let bound = BoundTemplate { template, references: references.into(), dir: self.dir.to_owned() };
        Some((Binding::Template(Arc::new(bound)), ty))
    }

    /// Parses a template, its errors placed.
    pub fn parse(&mut self, text: &str, span: Span) -> Option<Template> {
        match Template::parse(text) {
            Ok(template) => Some(template),
            Err(error) => {
                let at = inner_span(span, text, error.range);
                self.reader.error(at, format!("the template does not parse: {}", error.message), "here");
                None
            }
        }
    }

    fn mismatch(&mut self, name: &dyn Display, ty: &Type, item: &Item, hint: &str) -> Option<Binding> {
        if self.reader.is_full() {
            return None;
        }
        let label = match (ty.required(), &item.kind) {
            (Type::Datetime, Kind::Datetime(_)) => "a local time, not an instant".into(),
            _ => format!("expected {ty}, found {}", item.type_name()),
        };
        let mut diagnostic = Diagnostic::at(
            self.reader.place(item.span),
            format!("`{name}` does not fit its type {ty}"),
            label,
        );
        if !hint.is_empty() {
            diagnostic = diagnostic.help(hint);
        }
        self.reader.report(diagnostic);
        None
    }
}

/// The type of the first of some values that is not null, if they are of one type.
fn coalesced(types: Vec<Option<Type>>) -> Option<Type> {
    let types: Vec<Type> = types.into_iter().collect::<Option<_>>()?;
    let first = types.first()?.required().clone();
    if !types.iter().all(|ty| *ty.required() == first) {
        return None;
    }
    Some(match types.iter().all(Type::is_optional) {
        true => Type::Optional(Box::new(first)),
        false => first,
    })
}

fn json(value: Json) -> Binding {
    Binding::Literal(Value::Json(Arc::new(value)))
}

/// The values, if all bindings are known already.
fn literals<'a>(bindings: impl Iterator<Item = &'a Binding>) -> Option<Vec<Value>> {
    bindings
        .map(|binding| match binding {
            Binding::Literal(value) => Some(value.clone()),
            _ => None,
        })
        .collect()
}

/// The span of a part of a string's text. Exact where the text stands in the file as it is; the whole
/// string where escapes make the two differ is told apart by the length.
pub fn inner_span(span: Span, text: &str, range: std::ops::Range<usize>) -> Span {
    let quotes = (span.end - span.start) as usize - text.len().min((span.end - span.start) as usize);
    let opening = match quotes {
        2 => 1,
        6 => 3,
        7 => 4, // A newline behind the opening quotes does not count.
        _ => return span,
    };
    let start = span.start + opening + range.start as u32;
    Span { start, end: (span.start + opening + range.end as u32).max(start + 1) }
}
