//! Values of inputs and outputs, and their written forms: plain text, JSON for tasks, and records.
//!
//! A value knows nothing of where its files are kept: the caller that writes it out gives the paths.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map as JsonMap, Value as Json};

use super::inert::quote;
use super::json;
use super::time_text::{day_hint, duration_text, parse_date, parse_duration, parse_seconds, seconds_text};
use super::types::Type;
use crate::core::digest::Digest;

/// A value of one of the types of [`Type`].
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    String(Arc<str>),
    /// A calendar day.
    Date(Date),
    Datetime(Timestamp),
    Duration(SignedDuration),
    File(Arc<Artifact>),
    Dir(Arc<Artifact>),
    Json(Arc<Json>),
    List(Arc<[Value]>),
    Map(Arc<BTreeMap<String, Value>>),
}

/// A file or directory, known by its content.
#[derive(Clone, Debug, PartialEq)]
pub struct Artifact {
    /// Of a file's bytes, or of a directory's manifest.
    pub digest: Digest,
    /// In bytes; for a directory the sum over its files.
    pub size: u64,
    /// The base name: tools look at extensions, so it is part of the value.
    pub name: Box<str>,
    /// Whether a file may be executed; false for a directory, whose entries have bits of their own.
    pub executable: bool,
    /// Where the content can be read, if that is not the store: a user's own file.
    pub origin: Option<Arc<Path>>,
}

impl Artifact {
    fn to_record(&self) -> Json {
        let mut record = JsonMap::new();
        record.insert("digest".into(), self.digest.hex().into());
        record.insert("size".into(), self.size.into());
        record.insert("name".into(), (*self.name).into());
        if self.executable {
            record.insert("executable".into(), true.into());
        }
        if let Some(origin) = self.origin.as_ref().and_then(|path| path.to_str()) {
            record.insert("origin".into(), origin.into());
        }
        Json::Object(record)
    }

    /// Reads what [`Value::to_record`] wrote of a file or directory.
    ///
    /// # Errors
    /// A field is missing or has the wrong form.
    pub fn from_record(record: &Json) -> Result<Self, String> {
        let field = |name: &str| record.get(name).ok_or_else(|| format!("a stored file lacks its {name}"));
        let name = field("name")?.as_str().ok_or("a stored file's name is no text")?;
        if name.is_empty() || name.contains('/') || name == "." || name == ".." {
            return Err(format!("a stored file has the impossible name {name:?}"));
        }
        Ok(Self {
            // Events say what kind of digest it is.
            digest: field("digest")?.as_str().unwrap_or_default().trim_start_matches("sha256:").parse()?,
            size: field("size")?.as_u64().ok_or("a stored file's size is no number")?,
            name: name.into(),
            executable: record.get("executable").is_some_and(|bit| bit == true),
            origin: record.get("origin").and_then(Json::as_str).map(|path| Path::new(path).into()),
        })
    }
}

/// The shortest text that reads back as the same float; `NaN`, `inf` and `-inf` for the odd ones.
fn float_text(value: f64) -> String {
    format!("{value:?}")
}

impl Value {
    /// Reads `text` as a value of type `ty`, as it stands in an output file or behind `-i NAME=`: scalars as
    /// plain text, lists, maps and json as JSON. Files are not values yet at that point.
    ///
    /// # Errors
    /// The text is not a value of the type; the message says what was expected.
    pub fn from_text(ty: &Type, text: &str) -> Result<Self, String> {
        let wrong = |hint: &str| format!("expected {ty}{hint}, found {}", quote(text));
        let trimmed = text.trim();
        match ty {
            Type::Optional(inner) => Self::from_text(inner, text),
            Type::String => Ok(Self::String(text.into())),
            Type::Int => trimmed.parse().map(Self::Int).map_err(|_| wrong(" (64 bits)")),
            Type::Float => trimmed.parse().map(Self::Float).map_err(|_| wrong("")),
            Type::Bool => match trimmed {
                "true" => Ok(Self::Bool(true)),
                "false" => Ok(Self::Bool(false)),
                _ => Err(wrong(" (true or false)")),
            },
            Type::Date => parse_date(trimmed).map(Self::Date).ok_or_else(|| wrong(" (as in 2026-01-31)")),
            Type::Datetime => trimmed.parse().map(Self::Datetime).map_err(|_| match parse_date(trimmed) {
                Some(day) => format!("expected {ty}, found the day {day}: {}", day_hint(day)),
                None => wrong(" (RFC 3339 with an offset, as in 2026-01-31T08:00:00Z)"),
            }),
            Type::Duration => parse_seconds(trimmed)
                .map_or_else(|| parse_duration(trimmed), Ok)
                .map(Self::Duration)
                .map_err(|_| wrong(" (as in 90s or 1h30m)")),
            Type::Json | Type::List(_) | Type::Map(_) => {
                let json = json::parse(trimmed).map_err(|e| json::not_json(ty, text, &e))?;
                Self::from_json(ty, &json)
            }
            Type::File | Type::Dir => Err(wrong("")),
        }
    }

    /// Reads JSON as a value of type `ty`: the inverse of [`Value::to_record`], which also accepts what a
    /// person would write.
    ///
    /// # Errors
    /// The JSON is not a value of the type; the message says what was expected.
    pub fn from_json(ty: &Type, json: &Json) -> Result<Self, String> {
        let wrong = || format!("expected {ty}, found {}", json::described(json));
        match (ty, json) {
            (Type::Json, json) => json::normalized(json).map(|json| Self::Json(Arc::new(json))),
            (Type::Optional(_), Json::Null) => Ok(Self::Null),
            (Type::Optional(inner), json) => Self::from_json(inner, json),
            (Type::String, Json::String(text)) => Ok(Self::String(text.as_str().into())),
            (Type::Bool, Json::Bool(value)) => Ok(Self::Bool(*value)),
            (Type::Int, Json::Number(number)) => number.as_i64().map(Self::Int).ok_or_else(wrong),
            (Type::Float, Json::Number(number)) => number.as_f64().map(Self::Float).ok_or_else(wrong),
            (Type::Float, Json::String(text)) if ["NaN", "inf", "-inf"].contains(&text.as_str()) => {
                Self::from_text(ty, text)
            }
            (Type::Date | Type::Datetime | Type::Duration, Json::String(text)) => Self::from_text(ty, text),
            // Seconds, as tasks see durations.
            (Type::Duration, Json::Number(number)) => Self::from_text(ty, &number.to_string()),
            (Type::List(element), Json::Array(items)) => items
                .iter()
                .enumerate()
                .map(|(i, item)| Self::from_json(element, item).map_err(|e| format!("element {i}: {e}")))
                .collect(),
            (Type::Map(element), Json::Object(entries)) => entries
                .iter()
                .map(|(key, item)| {
                    let value = Self::from_json(element, item).map_err(|e| format!("entry {key:?}: {e}"))?;
                    Ok((key.clone(), value))
                })
                .collect::<Result<BTreeMap<_, _>, String>>()
                .map(|entries| Self::Map(Arc::new(entries))),
            (Type::File, Json::Object(_)) => Artifact::from_record(json).map(|a| Self::File(Arc::new(a))),
            (Type::Dir, Json::Object(_)) => Artifact::from_record(json).map(|a| Self::Dir(Arc::new(a))),
            (
                Type::String
                | Type::Bool
                | Type::Int
                | Type::Float
                | Type::Date
                | Type::Datetime
                | Type::Duration
                | Type::List(_)
                | Type::Map(_)
                | Type::File
                | Type::Dir,
                _,
            ) => Err(wrong()),
        }
    }

    /// As JSON that [`Value::from_json`] turns back into an equal value, files by their content.
    pub fn to_record(&self) -> Json {
        self.to_json(&|artifact, _| artifact.to_record())
    }

    /// As JSON, each file or directory (the flag says which) as `artifact` writes it.
    pub fn to_json(&self, artifact: &dyn Fn(&Artifact, bool) -> Json) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Int(value) => (*value).into(),
            Self::Float(value) => {
                serde_json::Number::from_f64(*value).map_or_else(|| float_text(*value).into(), Json::Number)
            }
            Self::String(text) => (**text).into(),
            Self::Date(day) => day.to_string().into(),
            Self::Datetime(instant) => instant.to_string().into(),
            Self::Duration(duration) => duration_text(*duration).into(),
            Self::File(file) => artifact(file, false),
            Self::Dir(dir) => artifact(dir, true),
            Self::Json(json) => (**json).clone(),
            Self::List(items) => items.iter().map(|item| item.to_json(artifact)).collect(),
            Self::Map(entries) => {
                Json::Object(entries.iter().map(|(k, v)| (k.clone(), v.to_json(artifact))).collect())
            }
        }
    }

    /// The text a task sees: scalars plain, durations in seconds, lists, maps and json as JSON, files and
    /// directories as the path that `place` gives. Null has no text.
    pub fn to_task_text(&self, place: &dyn Fn(&Artifact) -> String) -> Option<String> {
        Some(match self {
            Self::Null => return None,
            Self::String(text) => text.to_string(),
            Self::File(artifact) | Self::Dir(artifact) => place(artifact),
            Self::Bool(_)
            | Self::Int(_)
            | Self::Float(_)
            | Self::Date(_)
            | Self::Datetime(_)
            | Self::Duration(_) => self.scalar_text().unwrap_or_default(),
            Self::Json(_) | Self::List(_) | Self::Map(_) => self.to_task_json(place).to_string(),
        })
    }

    /// As JSON for a task: durations in seconds, files as paths.
    pub fn to_task_json(&self, place: &dyn Fn(&Artifact) -> String) -> Json {
        match self {
            Self::Duration(duration) if duration.subsec_nanos() == 0 => duration.as_secs().into(),
            Self::Duration(duration) => duration.as_secs_f64().into(),
            Self::List(items) => items.iter().map(|item| item.to_task_json(place)).collect(),
            Self::Map(entries) => {
                Json::Object(entries.iter().map(|(k, v)| (k.clone(), v.to_task_json(place))).collect())
            }
            other => other.to_json(&|artifact, _| place(artifact).into()),
        }
    }

    /// The plain text of a scalar that is neither text nor null.
    pub fn scalar_text(&self) -> Option<String> {
        Some(match self {
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => float_text(*value),
            Self::Date(day) => day.to_string(),
            Self::Datetime(instant) => instant.to_string(),
            Self::Duration(duration) => seconds_text(*duration),
            Self::String(text) => text.to_string(),
            Self::Null | Self::File(_) | Self::Dir(_) | Self::Json(_) | Self::List(_) | Self::Map(_) => {
                return None;
            }
        })
    }

    /// Makes a value of a type that `ty` accepts one of `ty` itself: ints become floats, anything json.
    ///
    /// # Errors
    /// The type does not accept the value.
    pub fn coerce(self, ty: &Type) -> Result<Self, String> {
        match (ty, self) {
            (Type::Optional(_), Self::Null) => Ok(Self::Null),
            (Type::Optional(inner), value) => value.coerce(inner),
            (Type::Json, Self::Json(json)) => Ok(Self::Json(json)),
            (Type::Json, value) => Ok(Self::Json(Arc::new(value.to_record()))),
            (Type::Float, Self::Int(value)) => Ok(Self::Float(value as f64)),
            (Type::List(element), Self::List(items)) => {
                items.iter().map(|item| item.clone().coerce(element)).collect()
            }
            (Type::Map(element), Self::Map(entries)) => entries
                .iter()
                .map(|(key, value)| Ok((key.clone(), value.clone().coerce(element)?)))
                .collect::<Result<BTreeMap<_, _>, String>>()
                .map(|entries| Self::Map(Arc::new(entries))),
            (Type::String, value @ Self::String(_))
            | (Type::Bool, value @ Self::Bool(_))
            | (Type::Int, value @ Self::Int(_))
            | (Type::Float, value @ Self::Float(_))
            | (Type::Date, value @ Self::Date(_))
            | (Type::Datetime, value @ Self::Datetime(_))
            | (Type::Duration, value @ Self::Duration(_))
            | (Type::File, value @ Self::File(_))
            | (Type::Dir, value @ Self::Dir(_)) => Ok(value),
            (ty, value) => Err(format!("expected {ty}, found {}", value.kind())),
        }
    }

    /// The name of the value's own type, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "an int",
            Self::Float(_) => "a float",
            Self::String(_) => "a string",
            Self::Date(_) => "a date",
            Self::Datetime(_) => "a datetime",
            Self::Duration(_) => "a duration",
            Self::File(_) => "a file",
            Self::Dir(_) => "a directory",
            Self::Json(_) => "json",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }

    /// The value with each file and directory (the flag is true for a directory) as `map` gives it.
    ///
    /// # Errors
    /// The first error of `map`.
    pub fn map_artifacts<E, F>(&self, map: &mut F) -> Result<Self, E>
    where
        F: FnMut(&Arc<Artifact>, bool) -> Result<Arc<Artifact>, E>,
    {
        Ok(match self {
            Self::File(artifact) => Self::File(map(artifact, false)?),
            Self::Dir(artifact) => Self::Dir(map(artifact, true)?),
            Self::List(items) => {
                items.iter().map(|item| item.map_artifacts(map)).collect::<Result<_, E>>()?
            }
            Self::Map(entries) => {
                let entries = entries.iter().map(|(key, item)| Ok((key.clone(), item.map_artifacts(map)?)));
                Self::Map(Arc::new(entries.collect::<Result<_, E>>()?))
            }
            other => other.clone(),
        })
    }

    /// Calls `visit` for each file and directory in the value (the flag is true for a directory).
    pub fn for_each_artifact(&self, visit: &mut dyn FnMut(&Arc<Artifact>, bool)) {
        match self {
            Self::File(artifact) => visit(artifact, false),
            Self::Dir(artifact) => visit(artifact, true),
            Self::List(items) => items.iter().for_each(|item| item.for_each_artifact(visit)),
            Self::Map(entries) => entries.values().for_each(|item| item.for_each_artifact(visit)),
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Float(_)
            | Self::String(_)
            | Self::Date(_)
            | Self::Datetime(_)
            | Self::Duration(_)
            | Self::Json(_) => {}
        }
    }
}

impl FromIterator<Value> for Value {
    fn from_iter<I: IntoIterator<Item = Value>>(items: I) -> Self {
        Self::List(items.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ty(text: &str) -> Type {
        Type::parse(text).unwrap()
    }

    #[test]
    fn texts_are_read_by_type() {
        assert_eq!(Value::from_text(&ty("int"), " 42\n"), Ok(Value::Int(42)));
        assert_eq!(Value::from_text(&ty("string"), " 42"), Ok(Value::String(" 42".into())));
        assert_eq!(Value::from_text(&ty("bool?"), "true"), Ok(Value::Bool(true)));
        let same = ["2026-01-31T08:00:00Z", "2026-01-31T09:00:00+01:00"]
            .map(|text| Value::from_text(&ty("datetime"), text).unwrap());
        assert_eq!(same[0], same[1]);
        let duration = Value::from_text(&ty("duration"), "1h30m").unwrap();
        assert_eq!(duration.scalar_text().unwrap(), "5400");
        for (t, text) in [
            ("int", "4.5"),
            ("bool", "yes"),
            ("date", "2026-02-30"),
            ("date", "2026-01-31T08:00:00Z"),
            ("list<int>", "[1,\"2\"]"),
        ] {
            assert!(Value::from_text(&ty(t), text).unwrap_err().contains("expected"), "{t} {text}");
        }
    }

    #[test]
    fn a_day_is_no_instant() {
        let day = Value::from_text(&ty("date"), "2026-01-31\n").unwrap();
        assert_eq!(day.scalar_text().unwrap(), "2026-01-31");
        assert_eq!(day.to_record(), serde_json::json!("2026-01-31"));
        let error = Value::from_text(&ty("datetime"), "2026-01-31").unwrap_err();
        assert!(error.contains("`date`") && error.contains("2026-01-31T00:00:00Z"), "{error}");
    }

    #[test]
    fn durations_come_back_as_they_are_exported() {
        for text in ["90s", "1500ms", "-250ms", "-90s", "0s", "2d"] {
            let value = Value::from_text(&ty("duration"), text).unwrap();
            assert_eq!(Value::from_text(&ty("duration"), &value.scalar_text().unwrap()), Ok(value.clone()));
            assert_eq!(Value::from_json(&ty("duration"), &value.to_task_json(&|_| String::new())), Ok(value));
        }
        let negative = Value::from_text(&ty("duration"), "-1m30s").unwrap();
        assert_eq!(negative.to_record(), serde_json::json!("-90s"));
        assert!(Value::from_text(&ty("duration"), "1.s").is_err());
    }

    /// Any value together with its type, nested a few levels deep.
    pub(crate) fn typed_value() -> impl Strategy<Value = (Type, Value)> {
        let artifact = (any::<[u8; 32]>(), any::<u64>(), "[a-z]{1,8}(\\.[a-z]{1,3})?", any::<bool>())
            .prop_map(|(digest, size, name, executable)| {
                Arc::new(Artifact {
                    digest: Digest(digest),
                    size,
                    name: name.into(),
                    executable,
                    origin: None,
                })
            });
        let nanos = -1_000_000_000_000_000_000i64..1_000_000_000_000_000_000;
        let leaf = prop_oneof![
            any::<bool>().prop_map(|v| (Type::Bool, Value::Bool(v))),
            any::<i64>().prop_map(|v| (Type::Int, Value::Int(v))),
            any::<f64>().prop_map(|v| (Type::Float, Value::Float(v))),
            any::<String>().prop_map(|v| (Type::String, Value::String(v.into()))),
            nanos.clone().prop_map(|v| (
                Type::Datetime,
                Value::Datetime(Timestamp::from_nanosecond(i128::from(v)).unwrap())
            )),
            (-9999i16..=9999, 1i8..=12, 1i8..=28)
                .prop_map(|(y, m, d)| { (Type::Date, Value::Date(jiff::civil::date(y.max(0), m, d))) }),
            nanos.prop_map(|v| (Type::Duration, Value::Duration(SignedDuration::from_nanos(v)))),
            artifact.clone().prop_map(|v| (Type::File, Value::File(v))),
            artifact.prop_map(|v| (Type::Dir, Value::Dir(v))),
            any::<(String, i64)>()
                .prop_map(|(k, v)| (Type::Json, Value::Json(Arc::new(serde_json::json!({ k: [v, null] }))))),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                (inner.clone(), 0usize..4).prop_map(|((t, v), n)| {
                    (Type::List(Box::new(t)), std::iter::repeat_n(v, n).collect())
                }),
                (inner.clone(), any::<String>()).prop_map(|((t, v), k)| {
                    (Type::Map(Box::new(t)), Value::Map(Arc::new(BTreeMap::from([(k, v)]))))
                }),
                (inner, any::<bool>()).prop_map(|((t, v), null)| match t {
                    Type::Optional(_) | Type::Json => (t, v),
                    t => (Type::Optional(Box::new(t)), if null { Value::Null } else { v }),
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn records_read_back((ty, value) in typed_value()) {
            let text = value.to_record().to_string();
            let back = Value::from_json(&ty, &serde_json::from_str(&text).unwrap()).unwrap();
            // NaN is not equal to itself, so the written forms are compared as well.
            prop_assert_eq!(back.to_record().to_string(), text);
            if !format!("{value:?}").contains("NaN") {
                prop_assert_eq!(back, value);
            }
        }
    }
}
