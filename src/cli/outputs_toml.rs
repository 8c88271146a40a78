//! The outputs of a run as a TOML document on standard output. Knows nothing of runs.

use serde_json::Value as Json;

use crate::core::json::{Held, held};
use crate::core::value::Value;
use crate::engine::PublishedOutput;

/// The outputs as a TOML document. Null has no form in TOML: it is left out, and in a list an empty table.
pub fn outputs_toml(outputs: &[(String, PublishedOutput)]) -> String {
    let mut text = String::new();
    for (name, handed) in outputs {
        if let Some(value) = to_toml(&handed.plain) {
            text.push_str(&format!("{name} = {value}\n"));
        }
    }
    text
}

fn to_toml(value: &Value) -> Option<toml::Value> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        // Also the ones that JSON does not have: `nan` and `inf` are TOML's own.
        Value::Float(value) => (*value).into(),
        Value::List(items) => array(items.iter().map(to_toml)),
        Value::Map(entries) => table(entries.iter().map(|(key, item)| (key, to_toml(item)))),
        Value::Json(json) => return json_to_toml(json),
        other => return json_to_toml(&other.to_record()),
    })
}

fn json_to_toml(json: &Json) -> Option<toml::Value> {
    Some(match json {
        Json::Null => return None,
        Json::Bool(value) => (*value).into(),
        Json::Number(number) => match held(number) {
            Held::Int(value) => value.into(),
            Held::Float(value) => value.into(),
            // TOML has no such number: as text it keeps its digits.
            Held::Unsigned(_) | Held::Digits(_) => number.to_string().into(),
        },
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => array(items.iter().map(json_to_toml)),
        Json::Object(entries) => table(entries.iter().map(|(key, item)| (key, json_to_toml(item)))),
    })
}

/// What stands for null keeps its place: the others must keep theirs.
fn array(items: impl Iterator<Item = Option<toml::Value>>) -> toml::Value {
    let item = |item: Option<_>| item.unwrap_or_else(|| toml::Value::Table(toml::Table::new()));
    toml::Value::Array(items.map(item).collect())
}

fn table<'a>(entries: impl Iterator<Item = (&'a String, Option<toml::Value>)>) -> toml::Value {
    toml::Value::Table(entries.filter_map(|(key, value)| Some((key.clone(), value?))).collect())
}
