//! The type of a value that nothing declares.

use super::types::Type;
use super::value::Value;

impl Value {
    /// A type that it is a value of; `None` where its parts have no type in common.
    pub fn type_of(&self) -> Option<Type> {
        Some(match self {
            Self::Null => Type::Optional(Box::new(Type::String)),
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Float(_) => Type::Float,
            Self::String(_) => Type::String,
            Self::Date(_) => Type::Date,
            Self::Datetime(_) => Type::Datetime,
            Self::Duration(_) => Type::Duration,
            Self::File(_) => Type::File,
            Self::Dir(_) => Type::Dir,
            Self::Json(_) => Type::Json,
            Self::List(items) => Type::List(Box::new(common_type(items.iter())?)),
            Self::Map(entries) => Type::Map(Box::new(common_type(entries.values())?)),
        })
    }
}

/// The type of all of these.
fn common_type<'v>(values: impl Iterator<Item = &'v Value>) -> Option<Type> {
    let (mut common, mut has_null) = (None, false);
    for value in values {
        match value {
            Value::Null => has_null = true,
            value => {
                let ty = value.type_of()?;
                if *common.get_or_insert_with(|| ty.clone()) != ty {
                    return None;
                }
            }
        }
    }
    let common = common.unwrap_or(Type::String);
    Some(if has_null { Type::Optional(Box::new(common)) } else { common })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_reads_back_by_its_type() {
        for (ty, text) in [
            ("bool", "true"),
            ("int", "7"),
            ("float", "1.5"),
            ("string", "7"),
            ("date", "2026-01-31"),
            ("datetime", "2026-01-31T00:00:00Z"),
            ("duration", "1h30m"),
            ("json", r#"{"a":[1,null]}"#),
            ("list<int>", "[1,2]"),
            ("list<string>", "[]"),
            ("list<int?>", "[1,null]"),
            ("map<list<float>>", r#"{"a":[1.5],"b":[]}"#),
        ] {
            let value = Value::from_text(&Type::parse(ty).unwrap(), text).unwrap();
            // Two types of the parts of one value, of which one is that of an empty list.
            let Some(found) = value.type_of() else {
                assert_eq!(ty, "map<list<float>>");
                continue;
            };
            assert_eq!(Value::from_json(&found, &value.to_record()).unwrap(), value, "{ty} {found}");
        }
        let mixed = Value::List([Value::Int(1), Value::Bool(true)].into_iter().collect());
        assert_eq!(mixed.type_of(), None);
        assert_eq!(
            Value::from_json(&Value::Null.type_of().unwrap(), &Value::Null.to_record()),
            Ok(Value::Null)
        );
    }
}
