//! A document as JSON: the same tree, without places.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::tree::TableForm;
use super::{Table, TomlItem, TomlKey, TomlKind};
use crate::core::json;
use crate::workflow::diagnostic::Span;

/// Whether a text is JSON: no TOML begins with a brace, and what follows that tells a slip from an object.
pub(super) fn is_json(source: &str) -> bool {
    let inside = source.trim_start().strip_prefix('{').map(str::trim_start);
    inside.is_some_and(|inside| inside.starts_with(['"', '}']))
}

/// Reads a document. A null is what is not there.
///
/// # Errors
/// A sentence.
pub(super) fn parse(source: &str) -> Result<Table<'static>, String> {
    match json::parse(source)? {
        Json::Object(entries) => table(entries),
        _ => Err("a workflow document is an object".into()),
    }
}

fn table(entries: serde_json::Map<String, Json>) -> Result<Table<'static>, String> {
    let mut table = Table::new(TableForm::Inline);
    for (name, value) in entries {
        if let Some(item) = item(value)? {
            table.push(TomlKey { span: Span::default(), name: Cow::Owned(name) }, item);
        }
    }
    Ok(table)
}

fn item(value: Json) -> Result<Option<TomlItem<'static>>, String> {
    let kind = match value {
        Json::Null => return Ok(None),
        Json::Bool(value) => TomlKind::Bool(value),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => TomlKind::Integer(whole),
            (None, Some(float)) if !number.to_string().chars().all(|c| c.is_ascii_digit() || c == '-') => {
                TomlKind::Float(float)
            }
            _ => return Err(format!("{number} does not fit into 64 bits")),
        },
        Json::String(text) => TomlKind::String(Cow::Owned(text)),
        Json::Array(items) => {
            let items = items.into_iter().map(|inner| {
                item(inner)?.ok_or_else(|| "a list of a workflow document holds a null".to_owned())
            });
            TomlKind::Array(items.collect::<Result<_, _>>()?)
        }
        Json::Object(entries) => TomlKind::Table(table(entries)?),
    };
    Ok(Some(TomlItem { span: Span::default(), kind }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_the_same_tree() {
        let source = r#" {"workflow": {"name": "a", "x": null}, "n": [1, 2.5, true, {"b": "c"}]}"#;
        assert!(is_json(source));
        let table = parse(source).unwrap();
        let expected: Json = serde_json::json!({"workflow": {"name": "a"}, "n": [1, 2.5, true, {"b": "c"}]});
        assert_eq!(Json::Object(table.to_object()), expected);
        assert_eq!(parse("{\"a\": [null]}").unwrap_err(), "a list of a workflow document holds a null");
        assert!(parse("{\"a\": 18446744073709551615}").unwrap_err().contains("64 bits"));
        assert!(!is_json("[workflow]") && !is_json("{ a = 1 }"));
    }
}
