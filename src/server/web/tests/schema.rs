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

/// Whether an answer is one of those that the description names; a mistake always has the shape of a problem.
pub fn check_answer(
    document: &Value,
    method: &str,
    path: &str,
    status: u16,
    kind: &str,
    body: &[u8],
) -> Result<(), String> {
    let Some(route) =
        document["paths"].as_object().and_then(|paths| paths.keys().find(|route| fits(route, path)))
    else {
        return Ok(());
    };
    let is_mistake = status >= 400;
    let operation = &document["paths"][route][method];
    let described = if is_mistake { "default".to_owned() } else { status.to_string() };
    let kind = kind.split(';').next().unwrap_or_default();
    let schema = match (is_mistake, operation.is_null()) {
        // What a route does not do is described nowhere.
        (true, _) => &document["components"]["schemas"]["Problem"],
        (false, true) => return Err(format!("{method} {route} is not described")),
        (false, false) => {
            let answer = &operation["responses"][&described];
            if answer.is_null() {
                return Err(format!("{method} {route}: {status} is not described"));
            }
            let contents = answer["content"].as_object();
            if contents.is_some_and(|kinds| !kinds.contains_key(kind) && !kinds.contains_key("*/*")) {
                return Err(format!("{method} {route}: {kind} is not described"));
            }
            &answer["content"][kind]["schema"]
        }
    };
    let wanted = if is_mistake { "application/problem+json" } else { "application/json" };
    if is_mistake && kind != wanted {
        return Err(format!("{method} {route}: {status} is {kind}"));
    }
    if kind != wanted || schema.is_null() {
        return Ok(());
    }
    let value = serde_json::from_slice(body).map_err(|error| format!("{method} {route}: {error}"))?;
    check(document, schema, &value).map_err(|wrong| format!("{method} {route}: {wrong}"))
}

/// Whether a path is one of a route with parameters in braces.
fn fits(route: &str, path: &str) -> bool {
    let (mut parts, mut found) = (route.split('/'), path.split('/'));
    loop {
        match (parts.next(), found.next()) {
            (None, None) => return true,
            (Some(part), Some(found)) if part == found || (part.starts_with('{') && !found.is_empty()) => {}
            _ => return false,
        }
    }
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
