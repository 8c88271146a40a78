//! The error of an expression in words, with the part of the expression that failed.

use minijinja::ErrorKind;

use super::catalog;
use crate::workflow::jinja::explain;

/// The error of parsing or evaluating `source`, with the part of it that failed.
pub fn explain_in(source: &str, error: &minijinja::Error) -> String {
    let part = error.range().and_then(|range| source.get(range)).map(str::trim).unwrap_or_default();
    let name = part.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
    let mut message = explain(error);
    if let (ErrorKind::MissingArgument | ErrorKind::TooManyArguments, Some(usage)) =
        (error.kind(), catalog::usage(name))
    {
        message.push_str(&format!("; it is written `{usage}`"));
    }
    let named = message.contains(&format!("`{name}`"));
    if named || part.is_empty() || part == source.trim() || error.kind() == ErrorKind::SyntaxError {
        return message;
    }
    format!("in `{part}`: {message}")
}
