//! The values of strings, numbers, booleans and dates.
//!
//! Knows one value at a time, and nothing of the tree.

use std::borrow::Cow;
use std::num::IntErrorKind;

use toml_parser::decoder::{IntegerRadix, ScalarKind};
use toml_parser::{ParseError, Raw};

use super::TomlKind;

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
pub(super) fn decode(raw: Raw<'_>) -> (TomlKind<'_>, Option<Fault>) {
    let mut text = Cow::Borrowed("");
    let mut error: Option<ParseError> = None;
    let scalar = raw.decode_scalar(&mut text, &mut error);
    let (kind, fault) = match scalar {
        ScalarKind::String => (TomlKind::String(text), None),
        ScalarKind::Boolean(value) => (TomlKind::Bool(value), None),
        ScalarKind::DateTime => (TomlKind::Datetime(raw.as_str()), datetime(&text)),
        ScalarKind::Float => float(&text),
        ScalarKind::Integer(radix) => integer(&text, radix),
    };
    (kind, error.map(Fault::Syntax).or(fault))
}

fn integer(text: &str, radix: IntegerRadix) -> (TomlKind<'static>, Option<Fault>) {
    match i64::from_str_radix(text, radix.value()) {
        Ok(value) => (TomlKind::Integer(value), None),
        Err(error) => match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => {
                (TomlKind::Integer(0), Some(Fault::IntegerRange))
            }
            _ => (TomlKind::Integer(0), Some(Fault::NoDigits)),
        },
    }
}

fn float(text: &str) -> (TomlKind<'static>, Option<Fault>) {
    match text.parse::<f64>() {
        Ok(value) if value.is_infinite() && !text.ends_with("inf") => {
            (TomlKind::Float(value), Some(Fault::FloatRange))
        }
        Ok(value) => (TomlKind::Float(value), None),
        Err(_) => (TomlKind::Float(0.0), Some(Fault::NoDigits)),
    }
}

fn datetime(text: &str) -> Option<Fault> {
    text.parse::<toml::value::Datetime>().err().map(|error| Fault::Datetime(error.to_string()))
}
