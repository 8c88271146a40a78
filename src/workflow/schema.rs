//! The JSON Schemas (draft-07) of workflow files and of settings files, made from the lists of keys.

use serde_json::{Map as JsonMap, Value as Json, json};

use super::config::keys::SETTINGS;
use super::keys::{self, Key, KeyState, Shape};

const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

/// The pattern of names of nodes, inputs and outputs.
const NAME: &str = "^[a-z][a-z0-9_]*$";
/// The same for tasks, workflows, libraries and resources.
const HYPHENATED: &str = "^[a-z][a-z0-9_-]*$";

/// The schema of workflow files as it is checked in: indented, with a newline at the end.
pub fn text() -> String {
    indented(&schema())
}

/// The schema of settings files.
pub fn settings_text() -> String {
    let mut schema = table(SETTINGS, &[]);
    if let Json::Object(object) = &mut schema {
        object.insert("$schema".into(), DRAFT.into());
        object.insert("title".into(), "A settings file of runner".into());
        object.insert("definitions".into(), definitions());
    }
    indented(&schema)
}

fn indented(schema: &Json) -> String {
    let mut text = serde_json::to_string_pretty(schema).unwrap_or_default();
    text.push('\n');
    text
}

fn schema() -> Json {
    json!({
        "$schema": DRAFT,
        "title": "A workflow or library of runner",
        "oneOf": [
            table(keys::FILE, &["workflow"]),
            table(keys::LIBRARY_FILE, &["library"]),
        ],
        "definitions": definitions()
    })
}

fn definitions() -> Json {
    json!({
        "type": {
            "type": "string",
            "description": "string, int, float, bool, date, datetime, duration, file, dir, json, list<T>, map<T>, T?",
            "pattern": "^\\s*((list|map)<\\s*)*(string|int|float|bool|date|datetime|duration|file|dir|json)(\\s*\\??\\s*>)*\\s*\\??\\s*$"
        },
        "duration": { "type": "string", "description": "such as 90s, 1h30m or 500ms" },
        "amount": { "type": ["integer", "string"], "minimum": 0 }
    })
}

fn table(keys: &[Key], required: &[&str]) -> Json {
    let properties: JsonMap<String, Json> = keys
        .iter()
        .filter(|key| key.state != KeyState::Reserved)
        .map(|key| {
            let mut shape = shape(key.shape);
            if let Json::Object(object) = &mut shape {
                object.insert("description".into(), key.doc.into());
            }
            (key.name.to_owned(), shape)
        })
        .collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn by_name(pattern: &str, value: Json) -> Json {
    json!({ "type": "object", "patternProperties": { pattern: value }, "additionalProperties": false })
}

fn short_or_long(keys: &[Key]) -> Json {
    let short = json!({ "$ref": "#/definitions/type" });
    by_name(NAME, json!({ "oneOf": [short, table(keys, &["type"])] }))
}

fn shape(shape: Shape) -> Json {
    match shape {
        Shape::Text => json!({ "type": "string", "minLength": 1 }),
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Whole(least) => json!({ "type": "integer", "minimum": least }),
        Shape::Number => json!({ "type": "number" }),
        Shape::Duration => json!({ "allOf": [{ "$ref": "#/definitions/duration" }] }),
        Shape::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Shape::TextOrTexts => {
            let text = json!({ "type": "string", "minLength": 1 });
            json!({ "oneOf": [text, { "type": "array", "items": text, "minItems": 1 }] })
        }
        Shape::Sources(keys) => {
            let entry = json!({ "oneOf": [{ "type": "string" }, table(keys, &["path"])] });
            json!({ "type": "array", "items": entry })
        }
        Shape::TextTable => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Shape::Choice(all) => json!({ "enum": all }),
        Shape::Inputs(keys) => short_or_long(keys),
        Shape::Outputs => {
            let names = json!({ "type": "array", "items": { "type": "string", "minLength": 1 } });
            json!({ "oneOf": [short_or_long(keys::OUTPUT), names] })
        }
        Shape::Bindings => by_name(NAME, json!({})),
        Shape::Amounts => by_name(HYPHENATED, json!({ "$ref": "#/definitions/amount" })),
        Shape::Published => {
            let value = json!({ "type": ["string", "number", "boolean", "array"] });
            by_name(NAME, json!({ "oneOf": [value, table(keys::PUBLISHED, &["value"])] }))
        }
        Shape::Table(keys) => table(keys, &[]),
        Shape::Tables(keys) => by_name(HYPHENATED, table(keys, &[])),
        Shape::Array(keys, required) => json!({ "type": "array", "items": table(keys, required) }),
        Shape::Choices(all) => json!({ "type": "array", "items": { "enum": all } }),
        Shape::Any => json!({}),
    }
}
