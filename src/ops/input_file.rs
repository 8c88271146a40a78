//! Reads a file of inputs, in TOML or JSON, within bounded memory. Knows nothing of the workflow that they are for.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map as JsonMap, Value as Json};

use crate::core::json;
use crate::workflow::diagnostic::Sources;
use crate::workflow::source::read_text;
use crate::workflow::syntax;

/// Maximum values in a JSON file.
const MAX_VALUES: usize = 1_000_000;

/// The inputs of a file, by name.
///
/// # Errors
/// A sentence that names the file.
pub(super) fn read_file(path: &Path) -> Result<JsonMap<String, Json>, String> {
    let wrong = |problem: String| format!("--inputs {}: {problem}", path.display());
    let is = |extension: &str| path.extension().is_some_and(|found| found == extension);
    if !is("json") && !is("toml") {
        return Err(wrong("the name must end in .toml or .json".into()));
    }
    let text = read_text(path).map_err(wrong)?;
    if is("toml") {
        return from_toml(path, text).map_err(wrong);
    }
    check_size(&text).map_err(wrong)?;
    match json::parse(&text).map_err(wrong)? {
        Json::Object(entries) => Ok(entries),
        other => Err(wrong(format!(
            "expected inputs by name, as in {{\"NAME\": VALUE}}, found {}",
            json::described(&other)
        ))),
    }
}

/// Refuses a text of too many values before memory is taken for them.
fn check_size(text: &str) -> Result<(), String> {
    let (mut in_text, mut escaped, mut values) = (false, false, 0);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_text,
            b'"' => in_text = !in_text,
            // One for each element, and for each list or object that may be empty.
            b',' | b'[' | b'{' if !in_text => values += 1,
            _ => {}
        }
    }
    match values > MAX_VALUES {
        true => Err(format!("it holds more than {MAX_VALUES} values; give large data as a file")),
        false => Ok(()),
    }
}

fn from_toml(path: &Path, text: Arc<str>) -> Result<JsonMap<String, Json>, String> {
    let mut sources = Sources::default();
    let file = sources.add(path, text.clone());
    let (table, errors) = syntax::parse(&text, file);
    match errors.first() {
        None => Ok(table.to_object()),
        Some(error) => {
            let place = error.primary.as_ref().map(|(place, label)| (sources.line_column(*place), label));
            Err(match place {
                Some(((line, column), label)) => {
                    format!("line {line}, column {column}: {}: {label}", error.message)
                }
                None => error.message.clone(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_commas_and_brackets_outside_of_text_count() {
        let list = |n| format!("{{\"a\": [{}1], \"b\": \"\\\",{{[\"}}", "1,".repeat(n));
        assert_eq!(check_size(&list(MAX_VALUES - 4)), Ok(()));
        assert!(check_size(&list(MAX_VALUES)).is_err());
        assert_eq!(check_size(&format!("\"{}\"", ",[{".repeat(MAX_VALUES))), Ok(()));
    }
}
