//! Reading bindings from TOML: each checked against its type as far as that is known before the run.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value as Json;

use super::binding::{Binding, BoundTemplate, NameScope, ROOT, Reference};
use super::budget::Resource;
use super::diagnostic::{Diagnostic, Span};
use super::hints::{day_hint_of, list_hint, literal_hint};
use super::paths::check_glob;
use super::reader::Reader;
use super::syntax::{Table, TomlItem, TomlKind};
use super::template::{Template, Variable, is_template};
use crate::core::time_text::{day_hint, parse_date, parse_seconds};
use crate::core::types::Type;
use crate::core::value::Value;

/// Reads bindings of one file.
pub struct Binder<'a> {
    pub reader: &'a mut Reader,
    /// The names that templates may use; `None` where no template is allowed, as in a default.
    pub scope: Option<&'a dyn NameScope>,
    /// The folder of the file: paths are relative to it.
    pub dir: &'a Path,
}

impl Binder<'_> {
    /// Reads `item` as a binding of type `ty` for `name`, which messages quote.
    pub fn bind(&mut self, name: &dyn Display, ty: &Type, item: &TomlItem) -> Option<Binding> {
        match (ty.required(), &item.kind) {
            (required, TomlKind::String(text)) if is_files_of_glob(required, text) => {
                let wrapped = if is_template(text) { text.to_string() } else { format!("{{{{ {text} }}}}") };
                self.template(name, ty, &wrapped, item.span)
            }
            (_, TomlKind::String(text)) if self.scope.is_some() && is_template(text) => {
                self.template(name, ty, text, item.span)
            }
            (Type::Json, TomlKind::Array(items)) => self.list(name, &Type::Json, items),
            (Type::Json, TomlKind::Table(table)) => self.map(name, &Type::Json, table),
            (Type::Json, TomlKind::String(text)) => Some(json(Json::String(text.to_string()))),
            (Type::Json, TomlKind::Integer(n)) => Some(json((*n).into())),
            (Type::Json, TomlKind::Float(n)) => match serde_json::Number::from_f64(*n) {
                Some(number) => Some(json(Json::Number(number))),
                None => self.mismatch(name, ty, item, "json has no such number"),
            },
            (Type::Json, TomlKind::Bool(b)) => Some(json((*b).into())),
            (Type::Json, TomlKind::Datetime(text)) => Some(json((*text).into())),
            (Type::String, TomlKind::String(text)) => Some(Binding::Literal(Value::String((**text).into()))),
            (Type::File | Type::Dir, TomlKind::String(text)) => {
                if text.is_empty() {
                    return self.mismatch(name, ty, item, "a path was expected, found empty text");
                }
                Some(Binding::Path(self.dir.join(&**text).into()))
            }
            // A person says the unit; tasks export seconds.
            (Type::Duration, TomlKind::String(text)) if parse_seconds(text.trim()).is_some() => {
                self.mismatch(name, ty, item, &format!("say the unit: \"{}s\"", text.trim()))
            }
            (Type::Duration | Type::Date | Type::Datetime, TomlKind::String(text)) => {
                match Value::from_text(ty, text) {
                    Ok(value) => Some(Binding::Literal(value)),
                    Err(problem) => self.mismatch(name, ty, item, &problem),
                }
            }
            (Type::Date, TomlKind::Datetime(text)) => match Value::from_text(ty, text) {
                Ok(value) => Some(Binding::Literal(value)),
                Err(_) => self.mismatch(name, ty, item, "a date is a day alone, as in 2026-01-31"),
            },
            (Type::Datetime, TomlKind::Datetime(text)) => {
                match (Value::from_text(ty, &text.replacen(' ', "T", 1)), parse_date(text)) {
                    (Ok(value), _) => Some(Binding::Literal(value)),
                    (Err(_), Some(day)) => self.mismatch(name, ty, item, &day_hint(day)),
                    (Err(_), None) => {
                        let hint = "it lacks an offset: write it as in 2026-01-31T08:00:00Z";
                        self.mismatch(name, ty, item, hint)
                    }
                }
            }
            (Type::Int, TomlKind::Integer(n)) => Some(Binding::Literal(Value::Int(*n))),
            (Type::Float, TomlKind::Integer(n)) => Some(Binding::Literal(Value::Float(*n as f64))),
            (Type::Float, TomlKind::Float(n)) => Some(Binding::Literal(Value::Float(*n))),
            (Type::Bool, TomlKind::Bool(b)) => Some(Binding::Literal(Value::Bool(*b))),
            (Type::List(element), TomlKind::Array(items)) => self.list(name, element, items),
            (Type::Map(element), TomlKind::Table(table)) => self.map(name, element, table),
            (required, kind) => {
                let hint = literal_hint(required, kind);
                self.mismatch(name, ty, item, &hint)
            }
        }
    }

    fn list(&mut self, name: &dyn Display, element: &Type, items: &[TomlItem]) -> Option<Binding> {
        // Values that are known already take far less memory than bindings.
        let mut values: Vec<Value> = Vec::new();
        let mut bound: Vec<Binding> = Vec::new();
        let mut complete = true;
        for (i, item) in items.iter().enumerate() {
            match self.bind(&format_args!("{name}[{i}]"), element, item) {
                Some(Binding::Literal(value)) if bound.is_empty() => values.push(value),
                Some(binding) => {
                    bound.extend(std::mem::take(&mut values).into_iter().map(Binding::Literal));
                    bound.push(binding);
                }
                None => complete = false,
            }
        }
        complete.then(|| match bound.is_empty() {
            true if *element == Type::Json => json(values.into_iter().map(into_json).collect()),
            true => Binding::Literal(values.into_iter().collect()),
            false => Binding::List(bound.into()),
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
        } else if let Some(help) = day_hint_of(name, ty, &found, text) {
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
        let scope = self.scope.unwrap_or(&NoNames);
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
        let mut globs = Vec::with_capacity(template.globs().len());
        for glob in template.globs() {
            let place = self.reader.place(inner_span(span, text, glob.range.clone()));
            if let Err(problem) = check_glob(&glob.pattern) {
                failed = true;
                self.reader.report(Diagnostic::at(
                    place,
                    format!("`{}`: {problem}", glob.pattern),
                    "not usable",
                ));
            }
            globs.push(place);
        }
        if failed {
            return None;
        }
        let whole = template.as_variable().is_some_and(|variable| variable.path.len() == ROOT);
        if let (true, [reference]) = (whole, &references[..]) {
            return Some((Binding::Reference(*reference), types.pop().flatten()));
        }
        let ty = match template.is_coalesce(ROOT) {
            true => coalesced(types),
            false => template.is_glob().then(|| Type::List(Box::new(Type::File))),
        };
        let (references, globs, dir) = (references.into(), globs.into(), self.dir.to_owned());
        let bound = BoundTemplate { template, references, globs, dir };
        Some((Binding::Template(Arc::new(bound)), ty))
    }

    /// Parses a template, its errors placed.
    pub fn parse(&mut self, text: &str, span: Span) -> Option<Template> {
        match Template::parse(text) {
            Ok(template) => {
                self.reader.spend(Resource::Expressions, template.expressions(), span).then_some(template)
            }
            Err(error) => {
                let at = inner_span(span, text, error.range);
                self.reader.error(at, format!("the template does not parse: {}", error.message), "here");
                None
            }
        }
    }

    fn mismatch(&mut self, name: &dyn Display, ty: &Type, item: &TomlItem, hint: &str) -> Option<Binding> {
        if self.reader.is_full() {
            self.reader.omit();
            return None;
        }
        let label = match (ty.required(), &item.kind) {
            (Type::Datetime, TomlKind::Datetime(text)) if parse_date(text).is_some() => {
                "a day, not an instant".into()
            }
            (Type::Datetime, TomlKind::Datetime(_)) => "a local time, not an instant".into(),
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

/// Whether `text` lists files by `glob(...)`, with braces or without, where a list of files is wanted. Where no template
/// is allowed, as in a default, this is.
fn is_files_of_glob(ty: &Type, text: &str) -> bool {
    let Type::List(element) = ty else { return false };
    let inner =
        text.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")).unwrap_or(text).trim();
    *element.required() == Type::File && inner.starts_with("glob(") && inner.ends_with(')')
}

/// The names of a place without any: a default.
struct NoNames;

impl NameScope for NoNames {
    fn resolve(&self, variable: &Variable) -> Result<(Reference, Option<Type>), (String, String)> {
        let message = format!("a default cannot use `{}`", variable.path.join("."));
        Err((message, "a default is a plain value, or files by glob('...')".into()))
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

fn into_json(value: Value) -> Json {
    match value {
        Value::Json(json) => Arc::try_unwrap(json).unwrap_or_else(|shared| (*shared).clone()),
        other => other.to_record(),
    }
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
/// string where escapes make the two differ is recognised by its length.
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
