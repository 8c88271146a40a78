//! References inside the texts of settings: a leading `~/`, `$NAME`, `${NAME}` and `${file:PATH}`.
//!
//! Finds them and replaces them by values, which the caller looks up.

use std::ffi::OsString;
use std::ops::Range;

/// What reads a variable of the environment.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Which references a text may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// A settings file: `~/` at the beginning, `$NAME`, `${NAME}`; `$$` is a dollar sign.
    Settings,
    /// A settings file, in texts that are filled in when they are needed: `${file:PATH}` as well.
    SettingsLater,
    /// A workflow file: `${NAME}` and `${file:PATH}` only.
    Workflow,
}

/// A text that cannot be filled in.
#[derive(Debug, PartialEq, Eq)]
pub struct BadReference {
    pub message: String,
    /// Where in the text, in bytes.
    pub range: Range<usize>,
}

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
enum Part<'t> {
    Text(&'t str),
    /// The user's home folder and a slash.
    Home(Range<usize>),
    Variable(&'t str, Range<usize>),
    /// The text of a file.
    File(&'t str, Range<usize>),
}

/// A text with all references replaced.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Filled {
    pub text: String,
    /// What was put in, other than the home folder.
    pub values: Vec<String>,
}

impl Dialect {
    fn has_bare_names(self) -> bool {
        self != Self::Workflow
    }

    fn has_files(self) -> bool {
        self != Self::Settings
    }
}

/// Checks the references of a text without replacing them.
///
/// # Errors
/// A reference that is not closed or names nothing.
pub fn check(text: &str, dialect: Dialect) -> Result<(), BadReference> {
    parts(text, dialect).map(drop)
}

/// The text with a mark in place of each value that would be put in.
pub fn masked(text: &str, dialect: Dialect, mark: &str) -> String {
    let Ok(parts) = parts(text, dialect) else { return mark.to_owned() };
    parts
        .into_iter()
        .map(|part| match part {
            Part::Text(text) => text,
            Part::Home(_) => "~/",
            Part::Variable(..) | Part::File(..) => mark,
        })
        .collect()
}

/// Replaces the references of a text; `read` gives the text of a file.
///
/// # Errors
/// A reference that is not understood, or whose value cannot be had.
pub fn fill(
    text: &str,
    dialect: Dialect,
    environment: Environment,
    read: &dyn Fn(&str) -> Result<String, String>,
) -> Result<Filled, BadReference> {
    let mut filled = Filled::default();
    let variable = |name: &str| {
        let value = environment(name).ok_or_else(|| format!("the variable {name} is not set"))?;
        value.into_string().map_err(|_| format!("the variable {name} is not UTF-8 text"))
    };
    for part in parts(text, dialect)? {
        let (value, range, is_value) = match part {
            Part::Text(text) => {
                filled.text.push_str(text);
                continue;
            }
            Part::Home(range) => {
                let home = variable("HOME").map(|home| format!("{}/", home.trim_end_matches('/')));
                (home, range, false)
            }
            Part::Variable(name, range) => (variable(name), range, true),
            Part::File(path, range) => (read(path), range, true),
        };
        let value = value.map_err(|message| BadReference { message, range })?;
        filled.text.push_str(&value);
        if is_value {
            filled.values.push(value);
        }
    }
    Ok(filled)
}

/// The prefix of a reference to a key in a file, behind which `~/` counts as at the beginning.
const FILE_SCHEME: &str = "file:";

fn parts(text: &str, dialect: Dialect) -> Result<Vec<Part<'_>>, BadReference> {
    let mut parts = Vec::new();
    let mut at = 0;
    if dialect.has_bare_names() {
        let start = if text.starts_with(FILE_SCHEME) { FILE_SCHEME.len() } else { 0 };
        if text[start..].starts_with("~/") {
            parts.push(Part::Text(&text[..start]));
            parts.push(Part::Home(start..start + 2));
            at = start + 2;
        }
    }
    while let Some(dollar) = text[at..].find('$').map(|found| at + found) {
        let rest = &text[dollar + 1..];
        let (part, end) = match rest.chars().next() {
            Some('{') => {
                let wrong = |message: &str, range| BadReference { message: message.into(), range };
                let close = rest.find('}').map(|close| dollar + 1 + close);
                let close = close.ok_or_else(|| wrong("`${` is never closed by `}`", dollar..text.len()))?;
                let (inner, range) = (&text[dollar + 2..close], dollar..close + 1);
                let part = match inner.strip_prefix(FILE_SCHEME) {
                    Some(path) if dialect.has_files() && !path.is_empty() => Part::File(path, range),
                    Some(_) if dialect.has_files() => return Err(wrong("`${file:}` names no file", range)),
                    Some(_) => {
                        return Err(wrong("`${file:PATH}` is read in [[notify]] and [smtp] only", range));
                    }
                    None if is_variable(inner) => Part::Variable(inner, range),
                    None => {
                        let expected = match dialect.has_files() {
                            true => "expected ${NAME} or ${file:PATH}",
                            false => "expected ${NAME}",
                        };
                        return Err(wrong(expected, range));
                    }
                };
                (part, close + 1)
            }
            Some('$') if dialect.has_bare_names() => (Part::Text("$"), dollar + 2),
            _ => {
                let length =
                    rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
                match &rest[..length] {
                    name if dialect.has_bare_names() && is_variable(name) => {
                        (Part::Variable(name, dollar..dollar + 1 + length), dollar + 1 + length)
                    }
                    _ => (Part::Text("$"), dollar + 1),
                }
            }
        };
        parts.push(Part::Text(&text[at..dollar]));
        parts.push(part);
        at = end;
    }
    parts.push(Part::Text(&text[at..]));
    Ok(parts)
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, dialect: Dialect) -> Result<String, String> {
        let environment = |name: &str| match name {
            "HOME" => Some("/home/ada/".into()),
            "USER" => Some("ada".into()),
            "TOKEN" => Some("s3cret".into()),
            _ => None,
        };
        let read = |path: &str| match path {
            "/t" => Ok("from a file".to_owned()),
            path => Err(format!("there is no file {path}")),
        };
        fill(text, dialect, &environment, &read).map(|filled| filled.text).map_err(|bad| bad.message)
    }

    #[test]
    fn settings_take_the_home_folder_and_variables() {
        let settings = |text| filled(text, Dialect::Settings);
        assert_eq!(settings("~/work"), Ok("/home/ada/work".into()));
        assert_eq!(settings("file:~/key"), Ok("file:/home/ada/key".into()));
        assert_eq!(settings("/scratch/$USER/x-${TOKEN}y"), Ok("/scratch/ada/x-s3crety".into()));
        assert_eq!(settings("a~/b, 5$, $5, $$USER, ^x$"), Ok("a~/b, 5$, $5, $USER, ^x$".into()));
        assert_eq!(settings("$GONE").unwrap_err(), "the variable GONE is not set");
        assert!(settings("${USER").unwrap_err().contains("never closed"));
        assert!(settings("${a b}").unwrap_err().contains("expected ${NAME}"));
        assert!(settings("${file:/t}").unwrap_err().contains("[smtp]"));
        assert_eq!(
            filled("~/$USER ${file:/t}", Dialect::SettingsLater),
            Ok("/home/ada/ada from a file".into())
        );
    }

    #[test]
    fn workflow_files_take_braces_only() {
        let workflow = |text| filled(text, Dialect::Workflow);
        assert_eq!(workflow("~/$USER $$ ${TOKEN}"), Ok("~/$USER $$ s3cret".into()));
        assert_eq!(workflow("${file:/t}"), Ok("from a file".into()));
        assert_eq!(workflow("${file:/u}").unwrap_err(), "there is no file /u");
        assert!(workflow("${file:}").is_err());
    }

    #[test]
    fn values_are_masked_and_texts_stay() {
        assert_eq!(masked("~/a ${TOKEN}b", Dialect::SettingsLater, "***"), "~/a ***b");
        assert_eq!(masked("${", Dialect::Workflow, "***"), "***");
    }
}
