//! Mistakes as `application/problem+json`: a code for programs, a sentence for people.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::ops::{self, ErrorKind};

/// A request that was not answered as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpProblem {
    pub status: StatusCode,
    /// The word that programs go by.
    pub code: &'static str,
    /// A sentence, with what to do about it.
    pub detail: String,
    /// What is wrong with which field.
    pub errors: Vec<FieldError>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    pub field: String,
    pub message: String,
}

impl HttpProblem {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), errors: Vec::new() }
    }

    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", detail)
    }

    /// There is more than one of what is named.
    pub fn ambiguous(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "ambiguous", detail)
    }

    /// One field is wrong.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        let error = FieldError { field: field.into(), message: message.into() };
        let detail = format!("{}: {}", error.field, error.message);
        Self { errors: vec![error], ..Self::invalid(detail) }
    }

    /// Names all that is wrong, if anything is.
    ///
    /// # Errors
    /// There are some.
    pub fn refuse(errors: Vec<FieldError>) -> Result<(), Self> {
        match errors.first() {
            None => Ok(()),
            Some(first) => {
                let detail = format!("{}: {}", first.field, first.message);
                Err(Self { errors, ..Self::invalid(detail) })
            }
        }
    }

    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail)
    }

    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }
}

impl From<ops::Error> for HttpProblem {
    fn from(error: ops::Error) -> Self {
        let detail = error.to_string();
        match error.kind {
            ErrorKind::Invalid => Self::invalid(detail),
            ErrorKind::NotFound => Self::not_found(detail),
            ErrorKind::Ambiguous => Self::ambiguous(detail),
            ErrorKind::Conflict => Self::conflict(detail),
            ErrorKind::Failed | ErrorKind::Store | ErrorKind::Interrupted(_) => Self::internal(detail),
        }
    }
}

#[derive(Serialize)]
struct ProblemDocument<'p> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: &'p str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'p [FieldError],
}

impl IntoResponse for HttpProblem {
    fn into_response(self) -> Response {
        let document = ProblemDocument {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Problem"),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
            errors: &self.errors,
        };
        let text = serde_json::to_string(&document).unwrap_or_default();
        let kind = HeaderValue::from_static("application/problem+json");
        let mut answer = (self.status, [(header::CONTENT_TYPE, kind)], text).into_response();
        // Whoever reads a page is shown a page.
        answer.extensions_mut().insert(self);
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::history::HistoryError;

    #[test]
    fn what_is_missing_and_what_is_there_twice_have_codes_of_their_own() {
        for (error, status, code) in [
            (HistoryError::Ambiguous("a".into()), StatusCode::CONFLICT, "ambiguous"),
            (HistoryError::Unknown("a".into()), StatusCode::NOT_FOUND, "not_found"),
        ] {
            let problem = HttpProblem::from(ops::Error::from(error));
            assert_eq!((problem.status, problem.code), (status, code));
        }
    }
}
