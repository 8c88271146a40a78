//! Names of projects and domains.

use super::reader::Reader;
use super::syntax::Table;

/// The label under `key`, with an error where it is none.
pub fn read_label(reader: &mut Reader, table: &Table, key: &str) -> Option<String> {
    let (text, span) = reader.text_item(table, key)?;
    if let Err(problem) = check_label(text) {
        reader.error(span, format!("`{key}` {problem}"), "not usable");
    }
    Some(text.to_owned())
}

/// Whether `text` can be the name of a project or domain.
///
/// # Errors
/// The rest of a sentence that begins with the name.
pub fn check_label(text: &str) -> Result<(), String> {
    match text {
        "" => Err("must not be empty".into()),
        text if text.len() > 200 => Err("must not be longer than 200 bytes".into()),
        text if text.chars().any(char::is_control) => Err("must not hold control characters".into()),
        _ => Ok(()),
    }
}
