//! Filters between values and JSON text. minijinja's own escape what HTML would read.

use minijinja::{Environment, Error, Value};

use super::arguments::{failed, text};
use crate::core::json;
use crate::workflow::jinja::{bounded, json_to_jinja, to_json};

/// Maximum size of a text that is parsed, in bytes: its values need many times as much memory.
const MAX_JSON_BYTES: usize = 8 << 20;

pub fn add(environment: &mut Environment) {
    environment.add_filter("tojson", tojson);
    environment.add_filter("fromjson", fromjson);
}

fn tojson(value: &Value) -> Result<String, Error> {
    let refuse = |name: &str| Err(format!("the file `{name}` cannot stand in JSON"));
    bounded(value)
        .and_then(|()| to_json(value, &|file| refuse(file.name())))
        .map(|json| json.to_string())
        .map_err(|message| failed(format!("`tojson`: {message}")))
}

fn fromjson(value: &Value) -> Result<Value, Error> {
    let text = text("fromjson", value)?;
    if text.len() > MAX_JSON_BYTES {
        let (length, most) = (text.len(), MAX_JSON_BYTES >> 20);
        return Err(failed(format!("`fromjson`: the text is too long: {length} bytes, at most {most} MiB")));
    }
    let json = json::parse(text).map_err(|error| failed(format!("`fromjson`: {error}")))?;
    Ok(json_to_jinja(&json))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{expect, expect_errors};

    #[test]
    fn json() {
        expect(&[
            ("{'b': [1, 2.0, none, true], 'a': '<'} | tojson", "'{\"a\":\"<\",\"b\":[1,2.0,null,true]}'"),
            ("'{\"a\": [1, null]}' | fromjson", "{'a': [1, None]}"),
            ("('[1, 2]' | fromjson)[1] + 1", "3"),
        ]);
    }

    #[test]
    fn what_they_do_not_take_is_named() {
        expect_errors(&[
            ("'{' | fromjson", "`fromjson`: EOF while parsing"),
            ("none | fromjson", "`fromjson` takes text, found none"),
            ("[f] | tojson", "`tojson`: the file `a.csv` cannot stand in JSON"),
            ("('[' * 1000) | fromjson", "recursion limit"),
        ]);
    }
}
