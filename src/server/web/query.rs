//! Parameters of an address: each read by its name and type, what is unknown or wrong named in the answer.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::problem::{FieldError, HttpProblem};

/// The parameters behind `?`. Of two with one name the last counts; an empty one is as good as none, since forms send those.
#[derive(Clone, Debug, Default)]
pub struct Query {
    values: BTreeMap<String, String>,
    errors: Vec<FieldError>,
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

impl Query {
    /// Reads parameters as addresses and forms have them.
    pub fn parse(text: &str) -> Self {
        let pairs = form_urlencoded::parse(text.as_bytes()).into_owned();
        Self { values: pairs.filter(|(_, value)| !value.is_empty()).collect(), errors: Vec::new() }
    }

    /// A parameter as text, left in.
    pub fn peek(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// These parameters with one set, as text.
    pub fn with(&self, name: &str, value: &str) -> String {
        let mut query = self.clone();
        query.values.insert(name.to_owned(), value.to_owned());
        query.to_text()
    }

    /// These parameters but for one.
    pub fn without(&self, name: &str) -> Self {
        let mut query = self.clone();
        query.values.remove(name);
        query
    }

    /// As in an address, without the `?`.
    pub fn to_text(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.values).finish()
    }

    /// Takes a parameter out as text.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.values.remove(name)
    }

    /// Takes a parameter out; `expected` says what it should be where it is not.
    pub fn value<T: FromStr>(&mut self, name: &str, expected: &str) -> Option<T> {
        self.read(name, |text| text.parse().map_err(|_| format!("expected {expected}")))
    }

    /// Takes a parameter out that `read` understands, or says why not.
    pub fn read<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(name)?;
        match read(&text) {
            Ok(value) => Some(value),
            Err(why) => {
                let shown: String = text.chars().take(80).collect();
                let message = format!("{why}, found {shown:?}");
                self.errors.push(FieldError { field: name.into(), message });
                None
            }
        }
    }

    /// Takes a flag out: `1` or `true`, `0` or `false`.
    pub fn flag(&mut self, name: &str) -> Option<bool> {
        self.read(name, |text| match text {
            "1" | "true" => Ok(true),
            "0" | "false" => Ok(false),
            _ => Err("expected true or false".into()),
        })
    }

    /// To be called when all that are known were taken out.
    ///
    /// # Errors
    /// A parameter was wrong, or is not known.
    pub fn done(self) -> Result<(), HttpProblem> {
        let Self { values, mut errors } = self;
        errors.extend(
            values.into_keys().map(|field| FieldError { field, message: "no such parameter".into() }),
        );
        HttpProblem::refuse(errors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_by_type_and_what_is_wrong_is_named() {
        let mut query = Query::parse("limit=5&q=a%20b+c&no_op=1&empty=");
        assert_eq!(query.value("limit", "a number"), Some(5_u64));
        assert_eq!(query.text("q").as_deref(), Some("a b c"));
        assert_eq!(query.flag("no_op"), Some(true));
        assert!(query.done().is_ok());
        let mut query = Query::parse("limit=x&other=1");
        assert_eq!(query.value::<u64>("limit", "a number"), None);
        let problem = query.done().unwrap_err();
        let named: Vec<_> = problem.errors.iter().map(|error| (&*error.field, &*error.message)).collect();
        assert_eq!(named, [("limit", "expected a number, found \"x\""), ("other", "no such parameter")]);
    }
}
