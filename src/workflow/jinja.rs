//! Values on their way into minijinja and back. Knows nothing of templates' texts.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::Value as JinjaValue;
use minijinja::value::{Object, ObjectRepr, ValueKind};

use super::template::Lookup;
use super::types::Type;
use super::value::{Artifact, Value};

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
struct FileObject(Arc<Artifact>, bool);

impl Object for FileObject {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

/// The name of a file or directory that an expression works on.
pub fn file_name(value: &JinjaValue) -> Option<String> {
    value.downcast_object_ref::<FileObject>().map(|FileObject(artifact, _)| artifact.name.to_string())
}

/// A value as minijinja computes with it: durations in seconds, datetimes as text.
pub fn to_jinja(value: &Value) -> JinjaValue {
    match value {
        Value::Null => JinjaValue::from(()),
        Value::Bool(v) => (*v).into(),
        Value::Int(v) => (*v).into(),
        Value::Float(v) => (*v).into(),
        Value::String(v) => JinjaValue::from(v.clone()),
        Value::Datetime(v) => v.to_string().into(),
        Value::Duration(v) if v.subsec_nanos() == 0 => v.as_secs().into(),
        Value::Duration(v) => v.as_secs_f64().into(),
        Value::File(artifact) => JinjaValue::from_object(FileObject(artifact.clone(), false)),
        Value::Dir(artifact) => JinjaValue::from_object(FileObject(artifact.clone(), true)),
        Value::Json(json) => JinjaValue::from(minijinja::value::Serde(&**json)),
        Value::List(items) => items.iter().map(to_jinja).collect::<Vec<_>>().into(),
        Value::Map(entries) => {
            entries.iter().map(|(k, v)| (k.clone(), to_jinja(v))).collect::<BTreeMap<_, _>>().into()
        }
    }
}

/// A result as a value of type `ty`; the error says what was found instead.
pub fn from_jinja(ty: &Type, value: &JinjaValue) -> Result<Value, String> {
    let wrong =
        || format!("expected {ty}, found {} ({})", value.kind(), super::value::quote(&value.to_string()));
    match ty {
        Type::Optional(_) if value.is_none() => Ok(Value::Null),
        Type::Optional(inner) => from_jinja(inner, value),
        Type::File | Type::Dir => match value.downcast_object_ref::<FileObject>() {
            Some(FileObject(artifact, false)) if *ty == Type::File => Ok(Value::File(artifact.clone())),
            Some(FileObject(artifact, true)) if *ty == Type::Dir => Ok(Value::Dir(artifact.clone())),
            _ => Err(wrong()),
        },
        Type::List(element) => match value.kind() {
            ValueKind::Seq | ValueKind::Iterable => {
                value.try_iter().map_err(|_| wrong())?.map(|item| from_jinja(element, &item)).collect()
            }
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
            let json = serde_json::to_value(value).map_err(|_| wrong())?;
            Value::from_json(ty, &json).map_err(|_| wrong())
        }
    }
}

/// A result as text: null is nothing, lists and the like are JSON, files as `lookup` writes them.
pub fn jinja_text(value: &JinjaValue, lookup: &dyn Lookup) -> Result<String, String> {
    if let Some(FileObject(artifact, is_dir)) = value.downcast_object_ref::<FileObject>() {
        let artifact = artifact.clone();
        return lookup.text(&if *is_dir { Value::Dir(artifact) } else { Value::File(artifact) });
    }
    match value.kind() {
        ValueKind::Undefined => Err("the expression has no value".into()),
        ValueKind::None => Ok(String::new()),
        ValueKind::String => Ok(value.as_str().unwrap_or_default().to_owned()),
        _ => {
            let json = serde_json::to_value(value).map_err(|e| e.to_string())?;
            Ok(json.to_string())
        }
    }
}

/// minijinja's message without the place, which the caller shows better.
pub fn explain(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => detail.to_owned(),
        None => error.kind().to_string(),
    }
}
