//! Inputs and outputs on a page: short, as text, files with their size and a link.

use serde_json::{Map as JsonMap, Value as Json};

use super::parts::encode;
use crate::view::text::{inert, size};

/// Maximum characters of a value.
const MAX_CHARS: usize = 600;
/// Maximum files of one list.
const MAX_FILES: usize = 20;

/// A value, or a file of one.
pub struct ValueLine {
    pub name: String,
    pub text: String,
    /// Where the file is had.
    pub link: Option<String>,
}

/// The lines for some values; `address` says where the file of an output is had, which for parts of it takes `&path=`.
pub fn value_lines(
    values: &JsonMap<String, Json>,
    address: &dyn Fn(&str) -> Option<String>,
) -> Vec<ValueLine> {
    let mut lines = Vec::new();
    for (name, value) in values {
        let files = files(value);
        let link = address(name);
        match (&files[..], value) {
            ([], value) => {
                lines.push(ValueLine { name: clean(name), text: short(value, MAX_CHARS), link: None });
            }
            ([file], Json::Object(_)) => {
                lines.push(ValueLine { name: clean(name), text: file.words(), link });
            }
            (files, _) => {
                for (at, file) in files.iter().take(MAX_FILES).enumerate() {
                    let link = link.as_ref().map(|link| format!("{link}&path={}", encode(&at.to_string())));
                    lines.push(ValueLine { name: clean(&format!("{name}[{at}]")), text: file.words(), link });
                }
                if files.len() > MAX_FILES {
                    let text = format!("{} more", files.len() - MAX_FILES);
                    lines.push(ValueLine { name: clean(name), text, link: None });
                }
            }
        }
    }
    lines
}

struct FilePart<'v> {
    name: &'v str,
    size: u64,
}

impl FilePart<'_> {
    fn words(&self) -> String {
        let name = self.name.rsplit('/').next().unwrap_or(self.name);
        format!("{} ({})", inert(name), size(self.size))
    }
}

/// The files in a value that is one, or a list of some.
fn files(value: &Json) -> Vec<FilePart<'_>> {
    let part = |value| -> Option<FilePart> {
        let value: &Json = value;
        value.get("digest")?.as_str()?;
        let name = ["name", "path", "origin"].iter().find_map(|key| value.get(key)?.as_str())?;
        Some(FilePart { name, size: value.get("size")?.as_u64()? })
    };
    match value {
        Json::Array(items) => items.iter().filter_map(part).collect(),
        value => part(value).into_iter().collect(),
    }
}

/// A value as text of bounded length; strings as they are, files by name.
pub fn short(value: &Json, most: usize) -> String {
    let text = match value {
        Json::String(text) => text.lines().map(inert).collect::<Vec<_>>().join("\n"),
        value => match &files(value)[..] {
            [file] if value.is_object() => file.words(),
            _ => inert(&value.to_string()).into_owned(),
        },
    };
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn clean(text: &str) -> String {
    inert(text).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_short_and_files_have_links() {
        let file = json!({"digest": "sha256:00", "size": 2048, "path": "/store/x/report.html"});
        let values = json!({"a": "x\u{1b}[31m", "b": [1, 2], "one": file, "many": [file, file]});
        let lines = value_lines(values.as_object().unwrap(), &|output| Some(format!("/f?output={output}")));
        let shown: Vec<_> = lines
            .iter()
            .map(|line| format!("{} = {} {}", line.name, line.text, line.link.clone().unwrap_or_default()))
            .collect();
        assert_eq!(
            shown,
            [
                "a = x ",
                "b = [1,2] ",
                "many[0] = report.html (2.0 KiB) /f?output=many&path=0",
                "many[1] = report.html (2.0 KiB) /f?output=many&path=1",
                "one = report.html (2.0 KiB) /f?output=one",
            ]
        );
        assert_eq!(short(&json!("abcdef"), 3), "abc…");
    }
}
