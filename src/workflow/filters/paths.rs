//! Filters over paths, by the rules of Python's pathlib: on text, and on files and directories, which have a
//! name but no path before they are staged.

use minijinja::{Environment, Error, State, Value};

use super::arguments::{failed, wrong};
use crate::core::inert::quote;
use crate::workflow::jinja::as_file;

pub fn add(environment: &mut Environment) {
    environment.add_function(super::GLOB, glob);
    environment.add_filter("basename", basename);
    environment.add_filter("stem", stem);
    environment.add_filter("extension", extension);
    environment.add_filter("dirname", dirname);
    environment.add_filter("with_extension", with_extension);
}

/// The files of a pattern, which the caller of the expression has found already.
fn glob(state: &State, pattern: &str) -> Result<Value, Error> {
    let found = state.lookup(super::FOUND_FILES).and_then(|found| found.get_item(&pattern.into()).ok());
    found.filter(|files| !files.is_undefined()).ok_or_else(|| failed("`glob` finds no files here"))
}

/// A path in its parts, without empty ones and `.`.
struct Parts<'p> {
    absolute: bool,
    parts: Vec<&'p str>,
}

impl<'p> Parts<'p> {
    fn of(path: &'p str) -> Self {
        let parts = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        Self { absolute: path.starts_with('/'), parts }
    }

    fn name(&self) -> &'p str {
        self.parts.last().copied().unwrap_or_default()
    }

    fn text(&self) -> String {
        match (self.absolute, self.parts.is_empty()) {
            (true, _) => format!("/{}", self.parts.join("/")),
            (false, true) => ".".into(),
            (false, false) => self.parts.join("/"),
        }
    }
}

/// A path's parts; a file is its name alone.
fn parts<'v>(filter: &str, value: &'v Value) -> Result<Parts<'v>, Error> {
    if let Some(file) = as_file(value) {
        return Ok(Parts { absolute: false, parts: vec![file.name()] });
    }
    value.as_str().map(Parts::of).ok_or_else(|| wrong(filter, "the text of a path, or a file", value))
}

/// A name's stem and its extension, which begins with a dot or is empty.
fn divide(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 && dot + 1 < name.len() => name.split_at(dot),
        _ => (name, ""),
    }
}

fn basename(value: &Value) -> Result<String, Error> {
    Ok(parts("basename", value)?.name().to_owned())
}

fn stem(value: &Value) -> Result<String, Error> {
    Ok(divide(parts("stem", value)?.name()).0.to_owned())
}

fn extension(value: &Value) -> Result<String, Error> {
    Ok(divide(parts("extension", value)?.name()).1.to_owned())
}

fn dirname(value: &Value) -> Result<String, Error> {
    if let Some(file) = as_file(value) {
        let name = file.name();
        return Err(failed(format!(
            "`dirname`: `{name}` has a name but no folder before it is staged for a task"
        )));
    }
    let mut path = parts("dirname", value)?;
    path.parts.pop();
    Ok(path.text())
}

fn with_extension(value: &Value, extension: &str) -> Result<String, Error> {
    let fits = extension.is_empty()
        || extension.strip_prefix('.').is_some_and(|rest| !rest.is_empty() && !rest.contains('/'));
    if !fits {
        let found = quote(extension);
        return Err(failed(format!("`with_extension` takes an extension such as \".txt\", found {found}")));
    }
    let mut path = parts("with_extension", value)?;
    let name = path.name();
    if name.is_empty() || name == ".." {
        return Err(failed(format!("`with_extension`: {} has no name", quote(&path.text()))));
    }
    let renamed = format!("{}{extension}", divide(name).0);
    path.parts.pop();
    path.parts.push(&renamed);
    Ok(path.text())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{expect, expect_errors};

    #[test]
    fn paths() {
        expect(&[
            ("'a/b.tar.gz' | basename", "'b.tar.gz'"),
            ("'a/b/' | basename", "'b'"),
            ("'/' | basename", "''"),
            ("'a/b.tar.gz' | stem", "'b.tar'"),
            ("'.bashrc' | stem", "'.bashrc'"),
            ("'a/b.tar.gz' | extension", "'.gz'"),
            ("'.bashrc' | extension ~ 'a.' | extension ~ 'a' | extension", "''"),
            ("'a/b.csv' | dirname", "'a'"),
            ("'b.csv' | dirname", "'.'"),
            ("'/b.csv' | dirname", "'/'"),
            ("'/a//b/c' | dirname", "'/a/b'"),
            ("'a/b.csv' | with_extension('.txt')", "'a/b.txt'"),
            ("'/b' | with_extension('.txt')", "'/b.txt'"),
            ("'b.csv' | with_extension('')", "'b'"),
            ("f | basename ~ f | stem ~ f | extension", "'a.csva.csv'"),
            ("f | with_extension('.txt')", "'a.txt'"),
            ("d | stem", "'data'"),
            ("fs | map('with_extension', '.out') | list", "['b.tar.out', 'a.out']"),
        ]);
    }

    #[test]
    fn what_they_do_not_take_is_named() {
        expect_errors(&[
            ("f | dirname", "`a.csv` has a name but no folder"),
            ("fs | stem", "`stem` takes the text of a path, or a file, found a list of 2"),
            ("none | basename", "`basename` takes the text of a path, or a file, found none"),
            ("3 | extension", "`extension`"),
            ("'a.csv' | with_extension('txt')", "such as \".txt\", found \"txt\""),
            ("'a.csv' | with_extension('./x')", "such as \".txt\""),
            ("'/' | with_extension('.x')", "has no name"),
            ("'a.csv' | with_extension", "missing argument"),
        ]);
    }
}
