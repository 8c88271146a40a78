//! JSON as a value: its numbers keep their digits, and equal ones have one form.
//!
//! serde_json's `arbitrary_precision` keeps a number as the text that it was written with, so that no digit is lost on
//! the way through records, events and files. An own number kind would have to be translated at each of these places,
//! and serde_json could still not write it. The feature has three traps, and each is dealt with in one place:
//!
//! - `1.0` and `1.00` are two texts: [`normalized`] gives a value that is one number one text.
//! - To other serializers a number is an object with a secret key: `workflow/jinja.rs` converts JSON itself.
//! - That object, written by a user, would be read as a number: [`parse`] and [`normalized`] refuse it.
//!
//! A field of type `f64` in a tagged or flattened structure would not be read back; there is none.

use std::str::FromStr;

use serde_json::{Number, Value as Json};

use super::inert::quote;
use super::types::Type;

/// The key by which serde_json knows a number on its way between its own types.
const NUMBER_KEY: &str = "$serde_json::private::Number";

/// Significant digits with which a float is often written (`%.17g`): with these or fewer, a number is the float that is
/// written in the same way. With more it is not what any float holds, and keeps its digits.
const FLOAT_DIGITS: usize = 17;

/// Exponents up to which a number that no float holds is written out in full.
const PLAIN_EXPONENTS: std::ops::RangeInclusive<i64> = -7..=40;

/// What a JSON value is, in words, for messages about one that does not fit.
pub fn described(json: &Json) -> String {
    let many =
        |n: usize, one: &str, more: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {more}") };
    match json {
        Json::Null => "null".into(),
        Json::Bool(value) => value.to_string(),
        Json::Number(number) => format!("the number {number}"),
        Json::String(text) => format!("the text {}", quote(text)),
        Json::Array(items) => format!("a list of {}", many(items.len(), "element", "elements")),
        Json::Object(entries) => format!("a table of {}", many(entries.len(), "entry", "entries")),
    }
}

/// Why text is no value of a type that is written as JSON; `problem` is what the parser says.
pub fn not_json(ty: &Type, text: &str, problem: &str) -> String {
    let message = format!("expected {ty} as JSON, as in {}; found {}", example(ty), quote(text));
    match text.trim_start().starts_with(['[', '{', '"']) {
        true => format!("{message}: {problem}"),
        // It was not meant as JSON: what a parser says of it leads nowhere.
        false => message,
    }
}

/// A value of a type, as JSON.
fn example(ty: &Type) -> String {
    match ty {
        Type::Optional(inner) => example(inner),
        Type::String => "\"a\"".into(),
        Type::Int => "1".into(),
        Type::Float => "1.5".into(),
        Type::Bool => "true".into(),
        Type::Date => "\"2026-01-31\"".into(),
        Type::Datetime => "\"2026-01-31T08:00:00Z\"".into(),
        Type::Duration => "\"90s\"".into(),
        Type::File => "\"a.csv\"".into(),
        Type::Dir => "\"folder\"".into(),
        Type::Json => "{\"key\": \"text\"}".into(),
        Type::List(element) => format!("[{0}, {0}]", example(element)),
        Type::Map(element) => format!("{{\"key\": {}}}", example(element)),
    }
}

/// Reads JSON text.
///
/// # Errors
/// What is wrong with it, and where.
pub fn parse(text: &str) -> Result<Json, String> {
    if text.contains(NUMBER_KEY) {
        return Err(reserved());
    }
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// The value with each number in its one form.
///
/// # Errors
/// An object that would be read back as a number.
pub fn normalized(json: &Json) -> Result<Json, String> {
    Ok(match json {
        Json::Number(number) => Json::Number(normal_number(number)),
        Json::Array(items) => Json::Array(items.iter().map(normalized).collect::<Result<_, _>>()?),
        Json::Object(entries) if entries.contains_key(NUMBER_KEY) => return Err(reserved()),
        Json::Object(entries) => {
            let entries = entries.iter().map(|(key, item)| Ok((key.clone(), normalized(item)?)));
            Json::Object(entries.collect::<Result<_, String>>()?)
        }
        Json::Null | Json::Bool(_) | Json::String(_) => json.clone(),
    })
}

fn reserved() -> String {
    format!("an object with the key {NUMBER_KEY:?} cannot be a value")
}

/// What holds a number.
#[derive(Debug, PartialEq)]
pub enum HeldNumber {
    Int(i64),
    /// Of 64 bits, and more than [`i64::MAX`].
    Unsigned(u64),
    Float(f64),
    /// Nothing of 64 bits: the digits.
    Digits(String),
}

/// What holds `number`, which is [`normalized`]: a whole number without fraction and exponent is an integer, any other
/// a float, as far as 64 bits hold them.
pub fn held(number: &Number) -> HeldNumber {
    if let Some(value) = number.as_i64() {
        return HeldNumber::Int(value);
    }
    if let Some(value) = number.as_u64() {
        return HeldNumber::Unsigned(value);
    }
    let text = number.to_string();
    match number.as_f64().filter(|_| is_decimal(&text)) {
        Some(value) if float_text(value).as_deref() == Some(&*text) => HeldNumber::Float(value),
        _ => HeldNumber::Digits(text),
    }
}

fn float_text(value: f64) -> Option<String> {
    Number::from_f64(value).map(|number| number.to_string())
}

fn is_decimal(text: &str) -> bool {
    text.contains(['.', 'e', 'E'])
}

fn normal_number(number: &Number) -> Number {
    let text = number.to_string();
    if text == "-0" {
        // An integer has no negative zero: it is the float.
        return Number::from_f64(-0.0).unwrap_or_else(|| number.clone());
    }
    if !is_decimal(&text) {
        return number.clone();
    }
    // An exponent beyond all measure stays as it was written.
    let Some(decimal) = Decimal::read(&text) else { return number.clone() };
    let float: Option<f64> = text.parse().ok().filter(|value: &f64| value.is_finite());
    let float = float.filter(|value| decimal.is_held_by(*value));
    let own = || Number::from_str(&decimal.to_text()).ok();
    float.and_then(Number::from_f64).or_else(own).unwrap_or_else(|| number.clone())
}

/// A decimal number: `0.DIGITS` times ten to the power of `exponent`, with neither a first nor a last digit of zero.
#[derive(PartialEq)]
struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// Reads a number as JSON writes it, with a fraction or an exponent.
    fn read(text: &str) -> Option<Self> {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let digits = all.trim_start_matches('0');
        let lead = all.len() - digits.len();
        let digits = digits.trim_end_matches('0').to_owned();
        let point = i64::try_from(whole.len()).ok()? - i64::try_from(lead).ok()?;
        let exponent = match &*digits {
            "" => 0,
            _ => exponent.parse::<i64>().ok()?.checked_add(point)?,
        };
        Some(Self { negative, digits, exponent })
    }

    /// Whether `value`, written with as many digits, is this number.
    fn is_held_by(&self, value: f64) -> bool {
        match self.digits.len() {
            0 => true,
            n if n <= FLOAT_DIGITS => {
                Self::read(&format!("{value:.*e}", n - 1)).is_some_and(|read| read == *self)
            }
            _ => false,
        }
    }

    fn to_text(&self) -> String {
        let Self { negative, digits, exponent } = self;
        let sign = if *negative { "-" } else { "" };
        if !PLAIN_EXPONENTS.contains(exponent) {
            let (first, rest) = digits.split_at(1);
            let fraction = if rest.is_empty() { String::new() } else { format!(".{rest}") };
            // As serde_json writes an exponent.
            return format!("{sign}{first}{fraction}e{:+}", exponent.saturating_sub(1));
        }
        match usize::try_from(*exponent) {
            Ok(whole) if whole >= digits.len() => {
                format!("{sign}{digits}{}.0", "0".repeat(whole - digits.len()))
            }
            Ok(0) | Err(_) => {
                let zeros = usize::try_from(-exponent).unwrap_or_default();
                format!("{sign}0.{}{digits}", "0".repeat(zeros))
            }
            Ok(whole) => format!("{sign}{}.{}", &digits[..whole], &digits[whole..]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(text: &str) -> String {
        normalized(&parse(text).unwrap()).unwrap().to_string()
    }

    #[test]
    fn equal_numbers_have_one_text() {
        for (text, expected) in [
            ("1", "1"),
            ("1.0", "1.0"),
            ("1.00", "1.0"),
            ("1e2", "100.0"),
            ("100.0", "100.0"),
            ("1E+2", "100.0"),
            ("0.1", "0.1"),
            ("0.10000000000000001", "0.1"),
            ("-0", "-0.0"),
            ("-0.0e5", "-0.0"),
            ("1e300", "1e+300"),
            ("18446744073709551615", "18446744073709551615"),
            ("18446744073709551616", "18446744073709551616"),
            ("-9223372036854775809", "-9223372036854775809"),
            ("100000000000000000000", "100000000000000000000"),
            ("123456789012345678901234567890.00", "123456789012345678901234567890.0"),
            ("3.14159265358979323846", "3.14159265358979323846"),
            ("314159265358979323846e-20", "3.14159265358979323846"),
            ("0.00314159265358979323846", "0.00314159265358979323846"),
            ("1e400", "1e+400"),
            ("10.0E399", "1e+400"),
            ("-12.5e-400", "-1.25e-399"),
            ("0e999999999999999999999", "0.0"),
            ("1e99999999999999999999", "1e+99999999999999999999"),
            (r#"{"a":[1.50,{"b":2E0}]}"#, r#"{"a":[1.5,{"b":2.0}]}"#),
        ] {
            assert_eq!(normal(text), expected, "{text}");
            assert_eq!(normal(expected), expected, "{text}: not stable");
        }
    }

    #[test]
    fn sixty_four_bits_hold_what_they_can() {
        let of = |text: &str| match normalized(&parse(text).unwrap()).unwrap() {
            Json::Number(number) => held(&number),
            other => panic!("{other}"),
        };
        assert_eq!(of("-7"), HeldNumber::Int(-7));
        assert_eq!(of("9223372036854775808"), HeldNumber::Unsigned(1 << 63));
        assert_eq!(of("1e2"), HeldNumber::Float(100.0));
        assert_eq!(of("1e20"), HeldNumber::Float(1e20));
        for text in ["100000000000000000000", "1e+400", "3.14159265358979323846", "1e-400"] {
            assert_eq!(of(text), HeldNumber::Digits(text.into()));
        }
    }

    #[test]
    fn an_object_is_never_taken_for_a_number() {
        let text = format!(r#"{{"{NUMBER_KEY}": "1"}}"#);
        assert!(parse(&text).unwrap_err().contains("cannot be a value"));
        let object = Json::Object([(NUMBER_KEY.to_owned(), "1".into())].into_iter().collect());
        assert!(normalized(&Json::Array(vec![object])).unwrap_err().contains("cannot be a value"));
    }
}
