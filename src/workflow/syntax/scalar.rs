//! The values of strings, numbers, booleans and dates.
//!
//! Knows one value at a time, and nothing of the tree.

use std::borrow::Cow;
use std::num::IntErrorKind;

use toml_parser::decoder::{IntegerRadix, ScalarKind};
use toml_parser::{ParseError, Raw};

use super::Kind;

/// Why a value cannot be read.
pub(super) enum Fault {
    Syntax(ParseError),
    /// A prefix like `0x` without digits.
    NoDigits,
    /// Outside of 64 bits.
    IntegerRange,
    FloatRange,
    /// The expected form of a date or time.
    Datetime(String),
}

/// Reads a value; with a fault, what comes closest to what was meant.
pub(super) fn decode(raw: Raw<'_>) -> (Kind<'_>, Option<Fault>) {
    let mut text = Cow::Borrowed("");
    let mut error: Option<ParseError> = None;
    let scalar = raw.decode_scalar(&mut text, &mut error);
    let (kind, fault) = match scalar {
        ScalarKind::String => (Kind::String(text), None),
        ScalarKind::Boolean(value) => (Kind::Bool(value), None),
        ScalarKind::DateTime => (Kind::Datetime(raw.as_str()), datetime(&text)),
        ScalarKind::Float => float(&text),
        ScalarKind::Integer(radix) => integer(&text, radix),
    };
    (kind, error.map(Fault::Syntax).or(fault))
}

fn integer(text: &str, radix: IntegerRadix) -> (Kind<'static>, Option<Fault>) {
    match i64::from_str_radix(text, radix.value()) {
        Ok(value) => (Kind::Integer(value), None),
        Err(error) => match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => {
                (Kind::Integer(0), Some(Fault::IntegerRange))
            }
            _ => (Kind::Integer(0), Some(Fault::NoDigits)),
        },
    }
}

fn float(text: &str) -> (Kind<'static>, Option<Fault>) {
    match text.parse::<f64>() {
        Ok(value) if value.is_infinite() && !text.ends_with("inf") => {
            (Kind::Float(value), Some(Fault::FloatRange))
        }
        Ok(value) => (Kind::Float(value), None),
        Err(_) => (Kind::Float(0.0), Some(Fault::NoDigits)),
    }
}

fn datetime(text: &str) -> Option<Fault> {
    text.parse::<toml::value::Datetime>().err().map(|error| Fault::Datetime(error.to_string()))
}
