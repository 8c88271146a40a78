//! Values on their way into minijinja and back. Knows nothing of templates' texts.

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{DynObject, Object, ObjectRepr, ValueKind};
use minijinja::{ErrorKind, Value as JinjaValue};
use serde_json::Value as Json;

use crate::core::inert::quote;
use crate::core::types::Type;
use crate::core::value::{Artifact, Value};

/// Nested names to values, as minijinja wants them.
#[derive(Default)]
pub struct Context(BTreeMap<String, (Option<JinjaValue>, Context)>);

impl Context {
    /// Puts a value under a dotted path.
    pub fn insert(&mut self, path: &[String], value: JinjaValue) {
        if let Some((first, rest)) = path.split_first() {
            let entry = self.0.entry(first.clone()).or_default();
            match rest {
                [] => entry.0 = Some(value),
                _ => entry.1.insert(rest, value),
            }
        }
    }

    pub fn into_jinja(self) -> JinjaValue {
        self.0
            .into_iter()
            .map(|(name, (value, inner))| (name, value.unwrap_or_else(|| inner.into_jinja())))
            .collect::<BTreeMap<_, _>>()
            .into()
    }
}

/// A file or directory inside an expression: it can be picked, compared and handed on, but has no text.
#[derive(Debug)]
pub struct FileObject {
    artifact: Arc<Artifact>,
    is_dir: bool,
}

thread_local! {
    /// Whether an expression made text of a file: minijinja offers no way to refuse that when it happens.
    static FILE_AS_TEXT: Cell<bool> = const { Cell::new(false) };
}

impl FileObject {
    /// The base name.
    pub fn name(&self) -> &str {
        &self.artifact.name
    }

    fn value(&self) -> Value {
        if self.is_dir { Value::Dir(self.artifact.clone()) } else { Value::File(self.artifact.clone()) }
    }
}

impl Object for FileObject {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        let other = other.downcast_ref::<Self>()?;
        let key = |file: &Self| (file.is_dir, file.artifact.executable);
        let content = |file: &Self| file.artifact.digest.hex().to_string();
        let by_name = self.name().cmp(other.name());
        Some(
            by_name.then_with(|| key(self).cmp(&key(other))).then_with(|| content(self).cmp(&content(other))),
        )
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        FILE_AS_TEXT.set(true);
        f.write_str(self.name())
    }
}

/// The file or directory that a value is.
pub fn as_file(value: &JinjaValue) -> Option<&FileObject> {
    value.downcast_object_ref()
}

/// Runs `work`, and fails if it made text of a file.
///
/// # Errors
/// The error of `work`, or that it made text of a file.
pub fn without_file_text<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    FILE_AS_TEXT.set(false);
    let result = work()?;
    if FILE_AS_TEXT.take() {
        return Err(
            "a file has no text inside an expression: `{{ ... }}` around it alone gives a task its path, \
                    `| basename` its name"
                .into(),
        );
    }
    Ok(result)
}

/// A value in a few words for a message.
pub fn describe(value: &JinjaValue) -> String {
    if let Some(file) = as_file(value) {
        return format!("the {} `{}`", if file.is_dir { "directory" } else { "file" }, file.name());
    }
    match value.kind() {
        ValueKind::Undefined => "nothing".into(),
        ValueKind::None => "none".into(),
        ValueKind::Bool => value.is_true().to_string(),
        ValueKind::Number => format!("the number {value}"),
        ValueKind::String => format!("the text {}", quote(value.as_str().unwrap_or_default())),
        ValueKind::Seq | ValueKind::Iterable => match value.len() {
            Some(length) => format!("a list of {length}"),
            None => "a list".into(),
        },
        ValueKind::Map => "a map".into(),
        other => other.to_string(),
    }
}

/// Maximum size of a value that an expression returns, in bytes; each element counts `ELEMENT_BYTES`.
const MAX_VALUE_BYTES: usize = 64 << 20;
const ELEMENT_BYTES: usize = 64;

/// Refuses a value that would need too much memory: a list such as `[x] * 100000000` takes none before its
/// elements are asked for.
///
/// # Errors
/// The limit.
pub fn bounded(value: &JinjaValue) -> Result<(), String> {
    fn weigh(value: &JinjaValue, left: &mut usize) -> Option<()> {
        *left = left.checked_sub(ELEMENT_BYTES + value.as_str().map_or(0, str::len))?;
        match value.kind() {
            ValueKind::Seq | ValueKind::Iterable => {
                value.try_iter().ok()?.try_for_each(|element| weigh(&element, left))
            }
            ValueKind::Map => value.try_iter().ok()?.try_for_each(|key| {
                weigh(&key, left)?;
                weigh(&value.get_item(&key).ok()?, left)
            }),
            _ => Some(()),
        }
    }
    weigh(value, &mut { MAX_VALUE_BYTES }).ok_or_else(|| TOO_MUCH.to_owned())
}

const TOO_MUCH: &str = "it uses too much: 64 MiB of text or a million list elements is the most";

/// A value as minijinja computes with it: durations in seconds, dates and datetimes as text.
pub fn to_jinja(value: &Value) -> JinjaValue {
    match value {
        Value::Null => JinjaValue::from(()),
        Value::Bool(v) => (*v).into(),
        Value::Int(v) => (*v).into(),
        Value::Float(v) => (*v).into(),
        Value::String(v) => JinjaValue::from(v.clone()),
        Value::Date(v) => v.to_string().into(),
        Value::Datetime(v) => v.to_string().into(),
        Value::Duration(v) if v.subsec_nanos() == 0 => v.as_secs().into(),
        Value::Duration(v) => v.as_secs_f64().into(),
        Value::File(file) => JinjaValue::from_object(FileObject { artifact: file.clone(), is_dir: false }),
        Value::Dir(dir) => JinjaValue::from_object(FileObject { artifact: dir.clone(), is_dir: true }),
        Value::Json(json) => json_to_jinja(json),
        Value::List(items) => items.iter().map(to_jinja).collect::<Vec<_>>().into(),
        Value::Map(entries) => {
            entries.iter().map(|(k, v)| (k.clone(), to_jinja(v))).collect::<BTreeMap<_, _>>().into()
        }
    }
}

/// JSON as minijinja computes with it: integers of up to 128 bits as they are, any other number as a 64-bit float.
pub fn json_to_jinja(json: &Json) -> JinjaValue {
    match json {
        Json::Null => JinjaValue::from(()),
        Json::Bool(value) => (*value).into(),
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => items.iter().map(json_to_jinja).collect::<Vec<_>>().into(),
        Json::Object(entries) => {
            entries.iter().map(|(k, v)| (k.clone(), json_to_jinja(v))).collect::<BTreeMap<_, _>>().into()
        }
        Json::Number(number) => {
            let text = number.to_string();
            let whole = || text.parse::<i128>().map(JinjaValue::from).ok();
            let large = || text.parse::<u128>().map(JinjaValue::from).ok();
            let small = number.as_i64().map(JinjaValue::from);
            let float = || text.parse().unwrap_or(f64::NAN).into();
            small.or_else(whole).or_else(large).unwrap_or_else(float)
        }
    }
}

/// A result as a value of type `ty`; the error says what was found instead.
///
/// # Errors
/// The expected type, and the value that was found.
pub fn from_jinja(ty: &Type, value: &JinjaValue) -> Result<Value, String> {
    let wrong = || format!("expected {ty}, found {}", describe(value));
    match ty {
        Type::Optional(_) if value.is_none() => Ok(Value::Null),
        Type::Optional(inner) => from_jinja(inner, value),
        Type::File | Type::Dir => match as_file(value) {
            Some(file) if file.is_dir == (*ty == Type::Dir) => Ok(file.value()),
            _ => Err(wrong()),
        },
        Type::List(element) => match value.kind() {
            ValueKind::Seq | ValueKind::Iterable => value
                .try_iter()
                .map_err(|_| wrong())?
                .enumerate()
                .map(|(i, item)| from_jinja(element, &item).map_err(|e| format!("element {i}: {e}")))
                .collect(),
            _ => Err(wrong()),
        },
        Type::Map(element) if value.kind() == ValueKind::Map => {
            let keys = value.try_iter().map_err(|_| wrong())?;
            let entries: Result<BTreeMap<_, _>, String> = keys
                .map(|key| {
                    let item = value.get_item(&key).map_err(|_| wrong())?;
                    Ok((key.to_string(), from_jinja(element, &item)?))
                })
                .collect();
            entries.map(|entries| Value::Map(Arc::new(entries)))
        }
        Type::Duration if value.is_number() => {
            let seconds = f64::try_from(value.clone()).map_err(|_| wrong())?;
            jiff::SignedDuration::try_from_secs_f64(seconds).map(Value::Duration).map_err(|_| wrong())
        }
        _ => {
            let refuse = |file: &FileObject| Err(format!("the file `{}` cannot be a {ty}", file.name()));
            let json = if as_file(value).is_some() { Err(wrong()) } else { to_json(value, &refuse) }?;
            Value::from_json(ty, &json).map_err(|problem| match ty {
                Type::Date | Type::Datetime => problem,
                _ => wrong(),
            })
        }
    }
}

/// A result as JSON, files as `file` writes them.
///
/// # Errors
/// A missing value, or the error of `file`.
pub fn to_json(
    value: &JinjaValue,
    file: &dyn Fn(&FileObject) -> Result<Json, String>,
) -> Result<Json, String> {
    if let Some(object) = as_file(value) {
        return file(object);
    }
    let elements = || value.try_iter().map_err(|e| e.to_string());
    match value.kind() {
        ValueKind::Undefined => Err(NOTHING.into()),
        ValueKind::Seq | ValueKind::Iterable => elements()?.map(|element| to_json(&element, file)).collect(),
        ValueKind::Map => elements()?
            .map(|key| {
                let inner = value.get_item(&key).map_err(|e| e.to_string())?;
                Ok((key.to_string(), to_json(&inner, file)?))
            })
            .collect(),
        ValueKind::Number => match not_finite(value) {
            Some(float) => Ok(Value::Float(float).to_record()),
            None => serde_json::to_value(value).map_err(|e| e.to_string()),
        },
        _ => serde_json::to_value(value).map_err(|e| e.to_string()),
    }
}

/// A number that JSON cannot write.
fn not_finite(value: &JinjaValue) -> Option<f64> {
    f64::try_from(value.clone()).ok().filter(|float| value.is_number() && !float.is_finite())
}

const NOTHING: &str = "it has no value: an element or entry is missing, which `| default(...)` can replace";

/// A result as text: null is nothing, lists and the like are JSON, files as `file_text` writes them.
///
/// # Errors
/// A missing value, or the error of `file_text`.
pub fn jinja_text(
    value: &JinjaValue,
    file_text: &dyn Fn(&Value) -> Result<String, String>,
) -> Result<String, String> {
    if let Some(file) = as_file(value) {
        return file_text(&file.value());
    }
    match value.kind() {
        ValueKind::None => Ok(String::new()),
        ValueKind::String => Ok(value.as_str().unwrap_or_default().to_owned()),
        _ => match not_finite(value) {
            Some(float) => Ok(Value::Float(float).scalar_text().unwrap_or_default()),
            None => Ok(to_json(value, &|file| file_text(&file.value()).map(Json::String))?.to_string()),
        },
    }
}

/// minijinja's message without the place, which the caller shows better.
pub fn explain(error: &minijinja::Error) -> String {
    match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => TOO_MUCH.to_owned(),
        (_, Some(detail)) => detail.to_owned(),
        (kind, None) => kind.to_string(),
    }
}
