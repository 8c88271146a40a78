//! As much of JSON Schema as the description of the API uses: enough to hold answers to it.

use serde_json::Value;

/// Whether a value is as `schema` says, which may refer to parts of `document`; else what is wrong, and where.
pub fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(place) = schema.get("$ref").and_then(Value::as_str) {
        let target = document.pointer(place.trim_start_matches('#')).ok_or_else(|| format!("no {place}"))?;
        return check(document, target, value);
    }
    if let Some(constant) = schema.get("const") {
        return if constant == value { Ok(()) } else { Err(format!("{value} is not {constant}")) };
    }
    if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
        return if choices.contains(value) { Ok(()) } else { Err(format!("{value} is none of {choices:?}")) };
    }
    let types: Vec<&str> = match schema.get("type") {
        None => return Ok(()),
        Some(Value::Array(types)) => types.iter().filter_map(Value::as_str).collect(),
        Some(one) => one.as_str().into_iter().collect(),
    };
    if !types.iter().any(|name| is_of(name, value)) {
        return Err(format!("{value} is no {types:?}"));
    }
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
        for (at, item) in values.iter().enumerate() {
            check(document, items, item).map_err(|wrong| format!("[{at}]: {wrong}"))?;
        }
    }
    let Some(fields) = value.as_object() else { return Ok(()) };
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        let name = name.as_str().unwrap_or_default();
        if !fields.contains_key(name) {
            return Err(format!("no field {name}"));
        }
    }
    for (name, value) in fields {
        match schema["properties"].get(name) {
            Some(schema) => check(document, schema, value).map_err(|wrong| format!("{name}: {wrong}"))?,
            None if schema["additionalProperties"] == false => {
                return Err(format!("{name} is not described"));
            }
            None => {}
        }
    }
    Ok(())
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

#[test]
fn what_is_missing_wrong_or_not_described_is_found() {
    use serde_json::json;
    let document = json!({"x": {"type": ["integer", "null"]}});
    let schema = json!({
        "type": "object",
        "properties": {"a": {"$ref": "#/x"}, "b": {"type": "array", "items": {"enum": ["p"]}}},
        "required": ["a"],
        "additionalProperties": false,
    });
    let found = |value| check(&document, &schema, &value);
    assert_eq!(found(json!({"a": null, "b": ["p"]})), Ok(()));
    for (value, wrong) in [
        (json!({}), "no field a"),
        (json!({"a": "1"}), "is no"),
        (json!({"a": 1, "b": ["q"]}), "b: [0]"),
        (json!({"a": 1, "c": 1}), "not described"),
        (json!([]), "is no"),
    ] {
        assert!(found(value.clone()).unwrap_err().contains(wrong), "{value}");
    }
}
