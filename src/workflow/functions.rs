//! The filters and functions that templates have beside those of minijinja: paths, lists, dates, JSON.

use std::path::Path;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value};

use super::jinja::file_name;
use super::value::parse_duration;

/// What there is, for the reference in the README: how it is written, and what it gives.
pub const REFERENCE: [(&str, &str); 13] = [
    ("coalesce(a, b, ...)", "the first that is not null: `{{ coalesce(full.model, quick.model) }}`"),
    ("basename", "the last part of a path, or the name of a file: `\"data/a.csv\"` gives `a.csv`"),
    ("stem", "the base name without its last suffix: `a`"),
    ("suffix", "the last suffix with its dot: `.csv`, or nothing"),
    ("dirname", "what stands before the base name: `data`"),
    ("with_suffix(s)", "the path with another last suffix"),
    ("flatten", "a list of lists as one list"),
    ("compact", "a list without its nulls"),
    ("date(format)", "a datetime as text by strftime, in UTC or in `timezone='Europe/Berlin'`"),
    ("plus(duration)", "a datetime later by `'1d'`, `'90m'`: days have 24 hours"),
    ("minus(duration)", "a datetime earlier by that much"),
    ("timestamp", "a datetime as seconds since 1970"),
    ("fromjson", "the value that a JSON text stands for; `tojson` is the way back"),
];

/// Adds them to `environment`.
pub fn add_to(environment: &mut Environment) {
    environment.add_function("coalesce", coalesce);
    environment
        .add_filter("basename", |value: &Value| path(value, "basename", |path| part(path.file_name())));
    environment.add_filter("stem", |value: &Value| path(value, "stem", |path| part(path.file_stem())));
    environment.add_filter("suffix", |value: &Value| path(value, "suffix", suffix));
    environment.add_filter("dirname", dirname);
    environment.add_filter("with_suffix", with_suffix);
    environment.add_filter("flatten", flatten);
    environment.add_filter("compact", compact);
    environment.add_filter("date", date);
    environment.add_filter("plus", |value: &Value, by: &Value| shift(value, by, "plus", false));
    environment.add_filter("minus", |value: &Value, by: &Value| shift(value, by, "minus", true));
    environment
        .add_filter("timestamp", |value: &Value| instant(value, "timestamp").map(Timestamp::as_second));
    environment.add_filter("fromjson", fromjson);
}

fn wrong(filter: &str, expected: &str, found: &Value) -> Error {
    let shown = match found.kind() {
        ValueKind::None | ValueKind::Undefined => "null".to_owned(),
        kind => format!("{kind} ({})", super::value::quote(&found.to_string())),
    };
    Error::new(ErrorKind::InvalidOperation, format!("`{filter}` needs {expected}, found {shown}"))
}

fn coalesce(values: Rest<Value>) -> Value {
    let first = values.iter().find(|value| !value.is_none() && !value.is_undefined());
    first.cloned().unwrap_or(Value::from(()))
}

fn part(part: Option<&std::ffi::OsStr>) -> String {
    part.map_or_else(String::new, |part| part.to_string_lossy().into_owned())
}

/// Applies `take` to a path as text, or to the name of a file.
fn path(value: &Value, filter: &str, take: impl Fn(&Path) -> String) -> Result<String, Error> {
    let name = file_name(value);
    let text = name.as_deref().or(value.as_str());
    text.map(|text| take(Path::new(text))).ok_or_else(|| wrong(filter, "a path or a file", value))
}

fn suffix(path: &Path) -> String {
    path.extension().map_or_else(String::new, |suffix| format!(".{}", suffix.to_string_lossy()))
}

fn dirname(value: &Value) -> Result<String, Error> {
    match value.as_str() {
        Some(text) => {
            Ok(Path::new(text).parent().map_or_else(String::new, |path| path.display().to_string()))
        }
        None if file_name(value).is_some() => Err(Error::new(
            ErrorKind::InvalidOperation,
            "`dirname` needs a path, and a file has none before it is staged",
        )),
        None => Err(wrong("dirname", "a path as text", value)),
    }
}

fn with_suffix(value: &Value, suffix: &str) -> Result<String, Error> {
    let suffix = suffix.trim_start_matches('.');
    path(value, "with_suffix", |path| path.with_extension(suffix).display().to_string())
}

/// The items of a list.
fn items(value: &Value, filter: &str) -> Result<Vec<Value>, Error> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => Ok(value.try_iter()?.collect()),
        _ => Err(wrong(filter, "a list", value)),
    }
}

fn flatten(value: &Value) -> Result<Value, Error> {
    let mut all = Vec::new();
    for inner in items(value, "flatten")? {
        match inner.kind() {
            ValueKind::Seq | ValueKind::Iterable => all.extend(inner.try_iter()?),
            _ => return Err(wrong("flatten", "a list of lists", &inner)),
        }
    }
    Ok(all.into())
}

fn compact(value: &Value) -> Result<Value, Error> {
    Ok(items(value, "compact")?.into_iter().filter(|item| !item.is_none()).collect::<Vec<_>>().into())
}

/// Datetimes are text on their way through templates.
fn instant(value: &Value, filter: &str) -> Result<Timestamp, Error> {
    let parsed = value.as_str().and_then(|text| text.trim().parse().ok());
    parsed.ok_or_else(|| wrong(filter, "a datetime", value))
}

fn date(value: &Value, format: &str, options: Kwargs) -> Result<String, Error> {
    let instant = instant(value, "date")?;
    let zone = match options.get::<Option<String>>("timezone")? {
        None => TimeZone::UTC,
        Some(name) => TimeZone::get(&name).map_err(|_| {
            Error::new(ErrorKind::InvalidOperation, format!("`date` knows no timezone {name:?}"))
        })?,
    };
    options.assert_all_used()?;
    jiff::fmt::strtime::format(format, &instant.to_zoned(zone)).map_err(|error| {
        Error::new(ErrorKind::InvalidOperation, format!("`date` cannot use the format {format:?}: {error}"))
    })
}

fn shift(value: &Value, by: &Value, filter: &str, back: bool) -> Result<String, Error> {
    let instant = instant(value, filter)?;
    // Durations come as seconds out of inputs, and as text where they are written here.
    let by_how_much = match by.as_str() {
        Some(text) => parse_duration(text).ok(),
        None => f64::try_from(by.clone()).ok().and_then(|s| SignedDuration::try_from_secs_f64(s).ok()),
    };
    let by_how_much = by_how_much.ok_or_else(|| wrong(filter, "a duration such as '1d' or '90m'", by))?;
    let shifted = match back {
        false => instant.checked_add(by_how_much),
        true => instant.checked_sub(by_how_much),
    };
    let shifted = shifted.map_err(|_| {
        Error::new(
            ErrorKind::InvalidOperation,
            format!("`{filter}` leads out of the time that can be written"),
        )
    })?;
    Ok(shifted.to_string())
}

fn fromjson(value: &Value) -> Result<Value, Error> {
    let text = value.as_str().ok_or_else(|| wrong("fromjson", "text", value))?;
    let json: serde_json::Value = serde_json::from_str(text).map_err(|error| {
        Error::new(ErrorKind::InvalidOperation, format!("`fromjson` cannot read the text: {error}"))
    })?;
    Ok(Value::from(minijinja::value::Serde(&json)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluate(expression: &str) -> Result<String, String> {
        let mut environment = Environment::new();
        add_to(&mut environment);
        let compiled = environment.compile_expression(expression).unwrap();
        let value = compiled.eval(()).map_err(|error| super::super::jinja::explain(&error))?;
        Ok(serde_json::to_string(&value).unwrap())
    }

    #[test]
    fn each_does_what_the_reference_says() {
        for (expression, expected) in [
            ("coalesce(none, 'a', 'b')", r#""a""#),
            ("coalesce(none, none)", "null"),
            ("coalesce(false, true)", "false"),
            ("'data/a.tar.gz' | basename", r#""a.tar.gz""#),
            ("'data/a.tar.gz' | stem", r#""a.tar""#),
            ("'data/a.tar.gz' | suffix", r#"".gz""#),
            ("'data/a' | suffix", r#""""#),
            ("'data/x/a.csv' | dirname", r#""data/x""#),
            ("'data/a.csv' | with_suffix('.txt')", r#""data/a.txt""#),
            ("['x/a.csv', 'y/b.csv'] | map('stem') | list", r#"["a","b"]"#),
            ("[[1, 2], [], [3]] | flatten", "[1,2,3]"),
            ("[1, none, 2] | compact", "[1,2]"),
            ("'2026-01-31T23:30:00Z' | date('%Y-%m-%d')", r#""2026-01-31""#),
            ("'2026-01-31T23:30:00Z' | date('%F %H', timezone='Europe/Berlin')", r#""2026-02-01 00""#),
            ("'2026-01-31T23:30:00Z' | plus('1d')", r#""2026-02-01T23:30:00Z""#),
            ("'2026-01-31T23:30:00+02:00' | minus(3600)", r#""2026-01-31T20:30:00Z""#),
            ("'1970-01-02T00:00:00Z' | timestamp", "86400"),
            ("('{\"a\": [1]}' | fromjson).a[0]", "1"),
            ("[1, {'a': 2}] | tojson", r#""[1,{\"a\":2}]""#),
        ] {
            assert_eq!(evaluate(expression), Ok(expected.to_owned()), "{expression}");
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (expression, needle) in [
            ("7 | stem", "`stem` needs a path or a file, found number (\"7\")"),
            ("none | basename", "found null"),
            ("[1] | flatten", "`flatten` needs a list of lists"),
            ("'x' | compact", "`compact` needs a list"),
            ("'yesterday' | date('%F')", "`date` needs a datetime"),
            ("'2026-01-31T23:30:00Z' | date('%F', timezone='Mars/Base')", "no timezone"),
            ("'2026-01-31T23:30:00Z' | date('%F', zone='UTC')", "zone"),
            ("'2026-01-31T23:30:00Z' | date('%Q%')", "format"),
            ("'2026-01-31T23:30:00Z' | plus('soon')", "`plus` needs a duration"),
            ("'2026-01-31T23:30:00Z' | plus('9999999d')", "leads out of"),
            ("'{' | fromjson", "`fromjson` cannot read"),
        ] {
            let error = evaluate(expression).unwrap_err();
            assert!(error.contains(needle), "{expression}: {error}");
        }
    }

    #[test]
    fn the_readme_has_each() {
        let readme = include_str!("../../README.md");
        for (name, what) in REFERENCE {
            assert!(readme.contains(&format!("| `{name}` | {what} |")), "| `{name}` | {what} |");
        }
    }
}
