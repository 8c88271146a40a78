//! A value in one line. Files and folders show by what they hold or by where they lie, many of them by their number and
//! names, and anything else as JSON.

use serde_json::{Map as JsonMap, Value as Json};

use crate::view::text::{count, cut, inert, size};

/// How many digits of a digest are shown.
const DIGITS: usize = 8;
/// Maximum files of a list that are shown in full; of more only the names are.
const MAX_IN_FULL: usize = 2;

/// A value whose files show by name, size and the beginning of their digest. All but a file is cut to `room` columns.
pub(in crate::view) fn by_content(value: &Json, room: usize) -> String {
    let record = |file: &Json| {
        let digest = file.get("digest")?.as_str()?;
        let digest = digest.strip_prefix("sha256:").unwrap_or(digest);
        let digest = digest.get(..DIGITS).map_or_else(|| digest.into(), |short| format!("{short}.."));
        let bytes = file.get("size").and_then(Json::as_u64).map(size);
        let inside = bytes.map_or_else(|| digest.clone(), |bytes| format!("{bytes}, {digest}"));
        Some(match file.get("name").and_then(Json::as_str) {
            Some(name) => format!("{name} ({inside})"),
            None => inside,
        })
    };
    line(value, room, &record)
}

/// A value whose files show by path and size. All but a file is cut to `room` columns: one must be able to copy a path.
pub(in crate::view) fn by_place(value: &Json, room: usize) -> String {
    let record = |file: &Json| {
        file.get("digest")?;
        let bytes = file.get("size").and_then(Json::as_u64)?;
        let path = ["origin", "path", "name"].iter().find_map(|key| file.get(key)?.as_str())?;
        Some(format!("{path} ({})", size(bytes)))
    };
    line(value, room, &record)
}

fn line(value: &Json, room: usize, record: &dyn Fn(&Json) -> Option<String>) -> String {
    if let Some(file) = record(value) {
        return inert(&file).into_owned();
    }
    let text = match value {
        Json::Array(list) => files(list, record).unwrap_or_else(|| with_records(value, record).to_string()),
        _ => with_records(value, record).to_string(),
    };
    cut(&inert(&text), room).into_owned()
}

/// A list that holds files and nothing else.
fn files(list: &[Json], record: &dyn Fn(&Json) -> Option<String>) -> Option<String> {
    let files = list.iter().map(record).collect::<Option<Vec<_>>>().filter(|files| !files.is_empty());
    let files = files?;
    if files.len() <= MAX_IN_FULL {
        return Some(format!("[{}]", files.join(", ")));
    }
    let names = list.iter().zip(files).map(|(file, text)| match file.get("name") {
        Some(Json::String(name)) => name.clone(),
        _ => text,
    });
    let names: Vec<_> = names.collect();
    Some(format!("{} files: {}", count(names.len() as u64), names.join(", ")))
}

/// The value with the text of each file in its place.
fn with_records(value: &Json, record: &dyn Fn(&Json) -> Option<String>) -> Json {
    if let Some(text) = record(value) {
        return text.into();
    }
    match value {
        Json::Array(list) => list.iter().map(|element| with_records(element, record)).collect(),
        Json::Object(map) => Json::Object(
            map.iter()
                .map(|(key, value)| (key.clone(), with_records(value, record)))
                .collect::<JsonMap<_, _>>(),
        ),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn file(name: &str) -> Json {
        json!({"name": name, "digest": format!("sha256:{}", "1f".repeat(32)), "size": 2048})
    }

    #[test]
    fn files_show_by_what_they_hold() {
        assert_eq!(by_content(&file("a\u{1b}[2J.csv"), 80), "a.csv (2.0 KiB, 1f1f1f1f..)");
        let nameless = json!({"name": null, "digest": "1f".repeat(32), "size": 2048});
        assert_eq!(by_content(&nameless, 80), "2.0 KiB, 1f1f1f1f..");
        assert_eq!(by_content(&json!({"digest": "1f".repeat(32)}), 80), "1f1f1f1f..");
        let two = json!([file("a"), file("b")]);
        assert_eq!(by_content(&two, 80), "[a (2.0 KiB, 1f1f1f1f..), b (2.0 KiB, 1f1f1f1f..)]");
        let many: Json = ["a", "b", "c"].map(file).into_iter().collect();
        assert_eq!(by_content(&many, 80), "3 files: a, b, c");
        let mapped = json!({"k": file("a"), "n": [1, {"x": file("b")}]});
        let text = r#"{"k":"a (2.0 KiB, 1f1f1f1f..)","n":[1,{"x":"b (2.0 KiB, 1f1f1f1f..)"}]}"#;
        assert_eq!(by_content(&mapped, 80), text);
    }

    #[test]
    fn files_show_by_where_they_lie() {
        let raw = json!({"digest": "1f", "size": 2048, "name": "raw.csv", "origin": "/d/raw.csv"});
        assert_eq!(by_place(&raw, 80), "/d/raw.csv (2.0 KiB)");
        let many: Json = ["/o/a", "/o/b", "/o/c"]
            .map(|path| json!({"digest": "1f", "size": 1, "path": path}))
            .into_iter()
            .collect();
        assert_eq!(by_place(&many, 80), "3 files: /o/a (1 B), /o/b (1 B), /o/c (1 B)");
    }

    #[test]
    fn anything_else_is_json() {
        for (value, text) in [
            (json!({"name": "a"}), r#"{"name":"a"}"#),
            (json!([]), "[]"),
            (json!("a\u{202e}b"), "\"ab\""),
            (Json::Null, "null"),
        ] {
            assert_eq!((&*by_content(&value, 80), &*by_place(&value, 80)), (text, text));
        }
    }
}
