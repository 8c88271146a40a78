//! How to mend a value that does not fit its type: what was probably meant.

use std::fmt::Display;

use super::syntax::TomlKind;
use crate::core::types::Type;
use crate::core::value::Value;

/// How to bind a list where something else is wanted, if that is what was meant.
pub fn list_hint(name: &dyn Display, ty: &Type, found: &Type) -> Option<String> {
    let Type::List(element) = found.required() else { return None };
    if let Type::List(wanted) = ty.required() {
        if let Type::List(inner) = element.required()
            && wanted.accepts(inner)
        {
            return Some("a list of lists becomes one list by `| flatten`".into());
        }
        return wanted.accepts(element.required()).then(|| "a list loses its nulls by `| compact`".into());
    }
    ty.accepts(element)
        .then(|| format!("to run once for each element, add foreach = [\"{name}\"] to the node"))
}

/// The fix where a day meets an instant.
pub fn day_hint_of(name: &dyn Display, ty: &Type, found: &Type, text: &str) -> Option<String> {
    let filtered = |filter: &str| text.replacen("}}", &format!("{filter} }}}}"), 1).trim().to_owned();
    match (ty.required(), found) {
        (Type::Datetime, Type::Date) => {
            Some(format!("declare `{name}` as date, or write {}", filtered("~ 'T00:00:00Z'")))
        }
        (Type::Date, Type::Datetime) => {
            Some(format!("declare `{name}` as datetime, or write {}", filtered("| date('%Y-%m-%d')")))
        }
        _ => None,
    }
}

/// How to mend a value of the wrong type.
pub fn literal_hint(ty: &Type, kind: &TomlKind) -> String {
    match (ty, kind) {
        (Type::String, TomlKind::Integer(n)) => format!("write it as text: \"{n}\""),
        (Type::String, TomlKind::Float(n)) => format!("write it as text: \"{n:?}\""),
        (Type::String, TomlKind::Bool(b)) => format!("write it as text: \"{b}\""),
        (Type::String, TomlKind::Datetime(text)) => format!("write it as text: \"{text}\""),
        (Type::Int | Type::Float | Type::Bool, TomlKind::String(text))
            if Value::from_text(ty, text).is_ok() =>
        {
            format!("drop the quotes: {}", text.trim())
        }
        (Type::Duration, TomlKind::Integer(n)) => format!("say the unit: \"{n}s\""),
        (Type::Int, TomlKind::Float(_)) => "there is no conversion from float to int".into(),
        (Type::Bool, TomlKind::String(_) | TomlKind::Integer(_)) => {
            "write true or false, without quotes".into()
        }
        (Type::File | Type::Dir, _) => "a path is written as text".into(),
        (Type::List(_), _) => "a list is written as [a, b]".into(),
        (Type::Map(_), _) => "a map is written as { key = value }".into(),
        _ => String::new(),
    }
}
