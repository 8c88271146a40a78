//! Filters over text, and between text and numbers.
//!
//! minijinja's own make text of anything first: none becomes the word `None`, a list its source.

use minijinja::value::{Kwargs, Rest, StringInput, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, State, Value, filters};

use super::arguments::{MAX_TEXT_BYTES, elements, failed, text, wrong};

pub fn add(environment: &mut Environment) {
    environment.add_filter("upper", |value: &Value| Ok::<_, Error>(text("upper", value)?.to_uppercase()));
    environment.add_filter("lower", |value: &Value| Ok::<_, Error>(text("lower", value)?.to_lowercase()));
    environment
        .add_filter("title", |value: &Value| Ok::<_, Error>(filters::title(text("title", value)?.into())));
    environment.add_filter("capitalize", capitalize);
    environment.add_filter("trim", trim);
    environment.add_filter("replace", replace);
    environment.add_filter("split", split);
    environment.add_filter("lines", lines);
    environment.add_filter("join", join);
    environment.add_filter("string", string);
    environment.add_filter("format", format);
    environment.add_filter("int", int);
    environment.add_filter("float", float);
    environment.add_filter("abs", abs);
}

fn capitalize(state: &State, value: &Value) -> Result<Value, Error> {
    text("capitalize", value)?;
    Ok(filters::capitalize(StringInput::new(state, value)?))
}

fn trim(value: &Value, letters: Option<&str>) -> Result<String, Error> {
    let text = text("trim", value)?;
    Ok(match letters {
        Some(letters) => text.trim_matches(|c| letters.contains(c)).to_owned(),
        None => text.trim().to_owned(),
    })
}

fn replace(state: &State, value: &Value, old: &Value, new: &Value) -> Result<String, Error> {
    let (value, old, new) = (text("replace", value)?, text("replace", old)?, text("replace", new)?);
    if old.is_empty() {
        return Err(failed("`replace` takes a text to look for, found an empty one"));
    }
    let found = value.matches(old).count();
    let length = value.len().saturating_add(found.saturating_mul(new.len()));
    expect_short("replace", length)?;
    state.consume_fuel(found as u64)?;
    Ok(value.replace(old, new))
}

fn split(value: &Value, separator: Option<&str>, most: Option<i64>) -> Result<Value, Error> {
    text("split", value)?;
    if separator == Some("") {
        return Err(failed("`split` takes a separator, found an empty one"));
    }
    filters::split(value, separator.map(Into::into), most)
}

fn lines(value: &Value) -> Result<Value, Error> {
    text("lines", value)?;
    filters::lines(value)
}

fn join(state: &State, value: &Value, separator: Option<&str>) -> Result<String, Error> {
    let mut joined = String::new();
    for (i, element) in elements(state, "join", value)?.iter().enumerate() {
        if i > 0 {
            joined.push_str(separator.unwrap_or_default());
        }
        joined.push_str(&plain("join", "a list of texts, numbers and truth values", element)?);
        expect_short("join", joined.len())?;
    }
    Ok(joined)
}

fn string(value: &Value) -> Result<String, Error> {
    plain("string", "text, a number or a truth value (`tojson` writes lists and maps)", value)
}

/// A value as a task would see it.
fn plain(filter: &str, wanted: &str, value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::String => Ok(value.as_str().unwrap_or_default().to_owned()),
        ValueKind::Bool => Ok(value.is_true().to_string()),
        ValueKind::Number => Ok(value.to_string()),
        _ => Err(wrong(filter, wanted, value)),
    }
}

fn expect_short(filter: &str, length: usize) -> Result<(), Error> {
    if length <= MAX_TEXT_BYTES {
        return Ok(());
    }
    Err(failed(format!("`{filter}` makes a text that is too long: over {} MiB", MAX_TEXT_BYTES >> 20)))
}

fn format(state: &mut State, pattern: &Value, values: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    text("format", pattern)?;
    for value in values.iter() {
        plain("format", "texts, numbers and truth values", value)?;
    }
    filters::format(state, pattern, values)
}

fn int(
    state: &State,
    value: &Value,
    default: Option<Value>,
    base: Option<u32>,
    options: Kwargs,
) -> Result<Value, Error> {
    const WANTED: &str = "a number or the text of one";
    let has_default = default.is_some() || options.has("default");
    let lost = f64::try_from(value.clone()).is_ok_and(|number| !number.is_finite());
    if !has_default && (value.is_none() || lost) {
        return Err(wrong("int", WANTED, value));
    }
    let result = filters::int(state, value, default, base, options);
    result.map_err(|error| unreadable(error, "int", WANTED, value))
}

fn float(state: &State, value: &Value, default: Option<Value>, options: Kwargs) -> Result<Value, Error> {
    const WANTED: &str = "a number or the text of one";
    if default.is_none() && !options.has("default") && value.is_none() {
        return Err(wrong("float", WANTED, value));
    }
    let result = filters::float(state, value, default, options);
    result.map_err(|error| unreadable(error, "float", WANTED, value))
}

/// Keeps errors about the arguments.
fn unreadable(error: Error, filter: &str, wanted: &str, value: &Value) -> Error {
    match error.kind() {
        minijinja::ErrorKind::InvalidOperation => wrong(filter, wanted, value),
        _ => error,
    }
}

fn abs(value: &Value) -> Result<Value, Error> {
    if !value.is_number() {
        return Err(wrong("abs", "a number", value));
    }
    filters::abs(value.clone())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{expect, expect_errors};

    #[test]
    fn text() {
        expect(&[
            ("'ab' | upper ~ 'CD' | lower", "'ABcd'"),
            ("'ab cd' | title ~ 'eF' | capitalize", "'Ab CdEf'"),
            ("' a ' | trim", "'a'"),
            ("'xxay' | trim('xy')", "'a'"),
            ("'a-b-c' | replace('-', '')", "'abc'"),
            ("'a,b,c' | split(',')", "['a', 'b', 'c']"),
            ("'a,b,c' | split(',', 1) | last", "'b,c'"),
            ("' a  b ' | split", "['a', 'b']"),
            ("'a\\nb\\n' | lines", "['a', 'b']"),
            ("['a', 1, 2.0, true] | join(', ')", "'a, 1, 2.0, true'"),
            ("[] | join", "''"),
            ("true | string ~ 3 | string", "'true3'"),
            ("'%03d-%s' | format(7, 'a')", "'007-a'"),
            ("'42' | int + '1.5' | float", "43.5"),
            ("2.9 | int", "2"),
            ("none | int(default=0)", "0"),
            ("'x' | int(5)", "5"),
            ("(-2) | abs", "2"),
            ("2.567 | round(1)", "2.6"),
            ("'abc' | length", "3"),
        ]);
    }

    #[test]
    fn what_they_do_not_take_is_named() {
        expect_errors(&[
            ("none | upper", "`upper` takes text, found none"),
            ("[1] | lower", "`lower` takes text, found a list of 1"),
            ("f | upper", "`upper` takes text, found the file `a.csv`"),
            ("5 | title", "`title` takes text, found the number 5"),
            ("none | capitalize", "`capitalize`"),
            ("none | trim", "`trim`"),
            ("'a' | replace('a', 1)", "`replace` takes text, found the number 1"),
            ("'a' | replace('', 'x')", "an empty one"),
            ("none | split", "`split`"),
            ("'a' | split('')", "an empty one"),
            ("3 | lines", "`lines`"),
            ("'abc' | join(',')", "`join` takes a list, found the text \"abc\""),
            ("['a', none] | join(',')", "found none"),
            ("fs | join(',')", "found the file `b.tar.gz`"),
            ("none | string", "`string`"),
            ("[1] | string", "`tojson`"),
            ("'%d' | format('a')", "in `format('a')`: invalid format spec"),
            ("'%s' | format([1])", "`format` takes"),
            ("none | int", "`int` takes a number or the text of one, found none"),
            ("'x' | int", "found the text \"x\""),
            ("none | float", "`float` takes"),
            ("'x' | abs", "`abs` takes a number"),
            ("none | round", "none"),
            ("'a' | upper(1)", "too many arguments"),
            ("'a' | replace('x')", "missing argument; it is written `replace(old, new)`"),
        ]);
    }
}
