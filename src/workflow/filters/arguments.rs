//! The arguments of filters: text and lists out of expression values, and the errors for anything else.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};

use crate::workflow::jinja::describe;

/// Maximum size of a text that one filter makes, in bytes.
pub const MAX_TEXT_BYTES: usize = 64 << 20;

/// An error of a filter in its own words.
pub fn failed(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// The error of a filter that was given something it does not take.
pub fn wrong(filter: &str, wanted: &str, found: &Value) -> Error {
    failed(format!("`{filter}` takes {wanted}, found {}", describe(found)))
}

/// The text that `filter` was given.
///
/// # Errors
/// The value is not text.
pub fn text<'v>(filter: &str, value: &'v Value) -> Result<&'v str, Error> {
    value.as_str().ok_or_else(|| wrong(filter, "text", value))
}

/// The elements of the list that `filter` was given, paid for one by one.
///
/// # Errors
/// The value is not a list, or the expression has used up its fuel.
pub fn elements(state: &State, filter: &str, value: &Value) -> Result<Vec<Value>, Error> {
    expect_list(filter, value)?;
    let mut elements = Vec::new();
    for element in value.try_iter()?.checked() {
        state.consume_fuel(1)?;
        elements.push(element?);
    }
    Ok(elements)
}

/// Refuses what is no list: minijinja would take the characters of a text and the keys of a map.
///
/// # Errors
/// The value is not a list.
pub fn expect_list(filter: &str, value: &Value) -> Result<(), Error> {
    if matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        Ok(())
    } else {
        Err(wrong(filter, "a list", value))
    }
}
