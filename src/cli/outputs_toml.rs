//! The outputs of a run as a TOML document on standard output. Knows nothing of runs.

use serde_json::Value as Json;

use crate::core::inert::escaped;
use crate::core::json::{HeldNumber, held};
use crate::core::value::Value;
use crate::engine::PublishedOutput;

/// The outputs as a TOML document. Null has no form in TOML: it is left out, and in a list an empty table.
pub fn outputs_toml(outputs: &[(String, PublishedOutput)]) -> String {
    let mut text = String::new();
    for (name, handed) in outputs {
        if let Some(value) = to_toml(&handed.plain) {
            text.push_str(&format!("{name} = {}\n", in_toml(&value)));
        }
    }
    text
}

/// A value as TOML writes it. Where it holds characters that a terminal acts upon, every string stands in double quotes,
/// in which they can be escaped.
fn in_toml(value: &toml::Value) -> String {
    let plain = value.to_string();
    if escaped(&plain) == plain {
        return plain;
    }
    let joined = |items: Vec<String>| items.join(", ");
    match value {
        // A string of JSON is one of TOML, except for an escaped slash, which is not made here.
        toml::Value::String(text) => escaped(&Json::from(text.as_str()).to_string()).into_owned(),
        toml::Value::Array(items) => format!("[{}]", joined(items.iter().map(in_toml).collect())),
        toml::Value::Table(entries) => {
            let entry = |(key, item): (&String, &toml::Value)| {
                format!("{} = {}", in_toml(&toml::Value::String(key.clone())), in_toml(item))
            };
            format!("{{ {} }}", joined(entries.iter().map(entry).collect()))
        }
        toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_) => plain,
    }
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
            HeldNumber::Int(value) => value.into(),
            HeldNumber::Float(value) => value.into(),
            // TOML has no such number: as text it keeps its digits.
            HeldNumber::Unsigned(_) | HeldNumber::Digits(_) => number.to_string().into(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_that_would_steer_a_terminal_are_escaped_and_read_back() {
        let hostile = "a\u{9b}31m\\'\"\u{202e}\n";
        let mut table = toml::Table::new();
        table.insert(hostile.to_owned(), toml::Value::Array(vec![hostile.into(), 1.into()]));
        let text = in_toml(&toml::Value::Table(table.clone()));
        assert!(text.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{text:?}");
        let read: toml::Table = toml::from_str(&format!("v = {text}")).unwrap();
        assert_eq!(read["v"], toml::Value::Table(table));
        assert_eq!(in_toml(&"plain".into()), "\"plain\"");
    }
}
