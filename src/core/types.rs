//! The types of inputs and outputs: how they are written, and which fits where.

use std::fmt;

/// The type of an input or output, written as in `list<int>` or `file?`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    String,
    Int,
    Float,
    Bool,
    Date,
    Datetime,
    Duration,
    File,
    Dir,
    Json,
    List(Box<Type>),
    Map(Box<Type>),
    Optional(Box<Type>),
}

/// The names of the types that have no parameter.
pub const SIMPLE: [(&str, Type); 10] = [
    ("string", Type::String),
    ("int", Type::Int),
    ("float", Type::Float),
    ("bool", Type::Bool),
    ("date", Type::Date),
    ("datetime", Type::Datetime),
    ("duration", Type::Duration),
    ("file", Type::File),
    ("dir", Type::Dir),
    ("json", Type::Json),
];

/// How deep types may nest; deeper ones are surely a mistake.
const MAX_DEPTH: usize = 16;

impl Type {
    /// Reads the written form. The error says what was expected, with a suggestion.
    ///
    /// # Errors
    /// The text is not a type, or is nested too deeply; the message says what was expected, with a suggestion.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::parse_nested(text.trim(), MAX_DEPTH)
    }

    fn parse_nested(text: &str, depth: usize) -> Result<Self, String> {
        if depth == 0 {
            return Err(format!("types nest at most {MAX_DEPTH} deep"));
        }
        if let Some(inner) = text.strip_suffix('?') {
            return match Self::parse_nested(inner.trim(), depth - 1)? {
                Self::Optional(_) => Err("`?` may stand only once".into()),
                inner => Ok(Self::Optional(Box::new(inner))),
            };
        }
        if let Some((_, ty)) = SIMPLE.iter().find(|(name, _)| *name == text) {
            return Ok(ty.clone());
        }
        if let Some((outer, rest)) = text.split_once('<') {
            let inner = rest.strip_suffix('>').ok_or_else(|| format!("`{text}` lacks its closing `>`"))?;
            let element = Box::new(Self::parse_nested(inner.trim(), depth - 1)?);
            return match outer.trim() {
                "list" => Ok(Self::List(element)),
                "map" => Ok(Self::Map(element)),
                other => Err(format!("`{other}<...>` is no type; `list<T>` and `map<T>` are")),
            };
        }
        Err(match crate::core::closest::closest(text, SIMPLE.iter().map(|(name, _)| *name)) {
            Some(name) => format!("unknown type `{text}`; did you mean `{name}`?"),
            None => match text {
                "list" | "map" => format!("`{text}` needs the type of its elements, as in `{text}<string>`"),
                "str" | "text" => format!("unknown type `{text}`; did you mean `string`?"),
                "integer" | "number" => format!("unknown type `{text}`; did you mean `int` or `float`?"),
                "boolean" => format!("unknown type `{text}`; did you mean `bool`?"),
                "day" => format!("unknown type `{text}`; did you mean `date`?"),
                "path" => format!("unknown type `{text}`; did you mean `file` or `dir`?"),
                _ => format!(
                    "unknown type `{text}`; there are string, int, float, bool, date, datetime, duration, file, dir, json, \
                     list<T>, map<T> and T?"
                ),
            },
        })
    }

    /// Whether a value of type `other` may be bound where `self` is declared: the same type, an int for a
    /// float (the one implicit conversion), a `T` for a `T?`, and anything without files for `json`.
    pub fn accepts(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Optional(a), Self::Optional(b)) => a.accepts(b),
            (Self::Optional(a), b) => a.accepts(b),
            (Self::Json, b) => !b.holds_files(),
            (Self::Float, Self::Int) => true,
            (Self::List(a), Self::List(b)) | (Self::Map(a), Self::Map(b)) => a.accepts(b),
            (a, b) => a == b,
        }
    }

    /// Whether a value of this type can contain a file or directory.
    pub fn holds_files(&self) -> bool {
        match self {
            Self::File | Self::Dir => true,
            Self::List(inner) | Self::Map(inner) | Self::Optional(inner) => inner.holds_files(),
            Self::String
            | Self::Int
            | Self::Float
            | Self::Bool
            | Self::Date
            | Self::Datetime
            | Self::Duration
            | Self::Json => false,
        }
    }

    /// The type without its `?`.
    pub fn required(&self) -> &Self {
        match self {
            Self::Optional(inner) => inner,
            other => other,
        }
    }

    /// Whether null is a value of this type.
    pub fn is_optional(&self) -> bool {
        matches!(self, Self::Optional(_))
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(inner) => write!(f, "list<{inner}>"),
            Self::Map(inner) => write!(f, "map<{inner}>"),
            Self::Optional(inner) => write!(f, "{inner}?"),
            simple => {
                let name = SIMPLE.iter().find(|(_, ty)| ty == simple).map_or("?", |(name, _)| name);
                f.write_str(name)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_forms_read_back() {
        for text in ["string", "int", "list<map<float>>", "file?", "list<string?>?", "map<list<dir>>"] {
            assert_eq!(Type::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Type::parse(" list< int > ").unwrap().to_string(), "list<int>");
    }

    #[test]
    fn errors_are_named() {
        for (text, needle) in [
            ("sting", "did you mean `string`"),
            ("list", "list<string>"),
            ("list<int", "closing"),
            ("set<int>", "no type"),
            ("int??", "only once"),
            ("boolean", "`bool`"),
            ("", "unknown type"),
        ] {
            let error = Type::parse(text).unwrap_err();
            assert!(error.contains(needle), "{text}: {error}");
        }
        assert!(Type::parse(&("list<".repeat(50) + "int" + &">".repeat(50))).is_err());
    }

    #[test]
    fn only_int_converts() {
        let ty = |text| Type::parse(text).unwrap();
        for (to, from, fits) in [
            ("float", "int", true),
            ("int", "float", false),
            ("list<float>", "list<int>", true),
            ("string", "int", false),
            ("int?", "int", true),
            ("int", "int?", false),
            ("json", "list<int>", true),
            ("json", "list<file>", false),
            ("file", "string", false),
        ] {
            assert_eq!(ty(to).accepts(&ty(from)), fits, "{to} <- {from}");
        }
    }
}
