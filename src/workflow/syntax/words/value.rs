//! Errors inside one value, in clear words.

use toml_parser::ParseError;
use toml_parser::decoder::Encoding;

use super::{expected_words, short};
use crate::core::closest::closest;
use crate::workflow::diagnostic::{Diagnostic, SourceSpan, Span};
use crate::workflow::syntax::scalar::Fault;
use crate::workflow::syntax::{Document, span};

/// A value that cannot be read, and whether the rest of the statement is unclear for it; `None` if the
/// parser will say more. `at` is all of the value.
pub(in crate::workflow::syntax) fn scalar(
    document: Document,
    at: Span,
    encoding: Option<Encoding>,
    fault: &Fault,
) -> Option<(Diagnostic, bool)> {
    let text = document.text(at);
    let place = document.place(at);
    let shown = short(text);
    let diagnostic = match (fault, encoding) {
        _ if text.is_empty() => {
            return Some((Diagnostic::at(place, "a value is missing", "expected a value"), true));
        }
        (Fault::Syntax(error), Some(encoding)) => return Some(string(document, at, encoding, error)),
        (Fault::Syntax(error), None) => return bare(document, at, error),
        (Fault::NoDigits, _) => {
            Diagnostic::at(place, format!("`{shown}` is not a number"), "digits are missing")
        }
        (Fault::IntegerRange, _) => {
            let (end, most) = if text.starts_with('-') { ("least", i64::MIN) } else { ("most", i64::MAX) };
            Diagnostic::at(place, format!("`{shown}` does not fit into 64 bits"), format!("at {end} {most}"))
        }
        (Fault::FloatRange, _) => {
            Diagnostic::at(place, format!("`{shown}` does not fit into a 64-bit float"), "too large")
        }
        (Fault::Datetime(why), _) => {
            let why = why
                .split_once("expected ")
                .map_or("not valid".into(), |(_, what)| format!("expected {what}"));
            Diagnostic::at(place, format!("`{shown}` is not a date or time"), why)
                .help(format!("if it is text, it needs quotes: {}", quoted(text)))
        }
    };
    Some((diagnostic, false))
}

/// Text without quotes that is no value. The parser takes all words up to the next mark for one value.
fn bare(document: Document, at: Span, error: &ParseError) -> Option<(Diagnostic, bool)> {
    let text = document.text(at);
    let last_word =
        text.rfind([' ', '\t']).map(|space| Span { start: at.start + space as u32 + 1, end: at.end });
    let rest = document.source.get(at.end as usize..).unwrap_or_default();
    if rest.trim_start_matches([' ', '\t']).starts_with('=') {
        let diagnostic = Diagnostic::at(
            document.place(last_word?),
            "a key directly after a value",
            "expected `,` or a new line before it",
        );
        return Some((diagnostic, true));
    }
    let is_value = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_digit() || "+-".contains(c)) || matches!(word, "true" | "false")
    };
    match last_word {
        Some(second) if text.split_whitespace().all(is_value) => {
            let label = "expected `,` or the end before it";
            Some((Diagnostic::at(document.place(second), "a value directly after another", label), true))
        }
        _ => Some((unquoted(text, document.place(at), error), false)),
    }
}

/// Something without quotes that is no number, boolean or date.
fn unquoted(text: &str, place: SourceSpan, error: &ParseError) -> Diagnostic {
    let shown = short(text);
    let right = match error.description() {
        "missing opening quote" => {
            let quote = expected_words(error);
            return Diagnostic::at(place, "a string has no opening quote", quote);
        }
        "redundant numeric sign" => "one sign is enough",
        "unexpected sign" | "integers with a radix cannot be signed" => "a number with a prefix has no sign",
        "radix must be lowercase" => "the prefix is written in lower case",
        "redundant integer number prefix" => "a decimal number has no prefix",
        "`_` may only go between digits" => "`_` may stand between digits only",
        "unexpected leading zero" => "a number does not start with a zero",
        "invalid mantissa" => "expected a digit before the point",
        "invalid fraction" => "expected a digit after the point",
        "invalid exponent" => "expected digits in the exponent",
        "invalid hexadecimal number" => "expected digits from 0 to f",
        "invalid octal number" => "expected digits from 0 to 7",
        "invalid binary number" => "expected digits 0 and 1",
        _ => {
            let lower = text.to_ascii_lowercase();
            return match &*lower {
                "true" | "false" | "inf" | "nan" | "+inf" | "-inf" | "+nan" | "-nan" => Diagnostic::at(
                    place,
                    format!("`{shown}` is not a value"),
                    format!("did you mean `{lower}`?"),
                ),
                "yes" | "no" | "on" | "off" => {
                    Diagnostic::at(place, format!("`{shown}` is not a value"), "expected `true` or `false`")
                }
                "null" | "none" | "nil" => Diagnostic::at(
                    place,
                    format!("`{shown}` is not a value"),
                    "there is no null: leave the key out",
                ),
                _ => {
                    let meant = match closest(&lower, ["true", "false"]) {
                        Some(word) => format!("did you mean `{word}` or {}?", quoted(text)),
                        None => format!("did you mean {}?", quoted(text)),
                    };
                    Diagnostic::at(place, "a string without quotes", meant)
                }
            };
        }
    };
    Diagnostic::at(place, format!("`{shown}` is not a number"), right)
}

/// A string that cannot be read, and whether it has no end. `at` is all of it, with its quotes.
pub(super) fn string(
    document: Document,
    at: Span,
    encoding: Encoding,
    error: &ParseError,
) -> (Diagnostic, bool) {
    let text = document.text(at);
    let quote = match encoding {
        Encoding::LiteralString => "'",
        Encoding::BasicString => "\"",
        Encoding::MlLiteralString => "'''",
        Encoding::MlBasicString => "\"\"\"",
    };
    // Where the parser stumbled, and over what.
    let start = error.unexpected().map_or(at, span).start;
    let found = document.text(Span { start, end: at.end }).chars().next();
    let here = document.place(Span { start, end: start });
    // The backslash before the last quote makes it part of the string.
    let escaped_end =
        error.description() == "missing escaped value" && start as usize + quote.len() == at.end as usize;
    if escaped_end || text.len() < 2 * quote.len() || !text.ends_with(quote) || start == at.end {
        let (length, where_to) = match quote.len() {
            1 => (text.lines().next().unwrap_or_default().len(), "is in this line"),
            length => (length, "follows"),
        };
        let place = document.place(Span { start: at.start, end: at.start + length as u32 });
        return (
            Diagnostic::at(place, "a string is not closed", format!("no closing {quote} {where_to}")),
            true,
        );
    }
    let backslash_help = "in single quotes ('...') a backslash stands for itself";
    let diagnostic = match (error.description(), found) {
        ("missing escaped value", _) => {
            let end = start + found.map_or(0, char::len_utf8) as u32;
            let known = r#"expected one of \b \e \f \n \r \t \" \\ \xHH \uHHHH \UHHHHHHHH"#;
            Diagnostic::at(document.place(Span { start: start - 1, end }), "unknown escape sequence", known)
                .help(backslash_help)
        }
        ("too few unicode value digits", _) => {
            let label = r"expected \xHH, \uHHHH or \UHHHHHHHH";
            Diagnostic::at(here, "an escape sequence is too short", label).help(backslash_help)
        }
        ("invalid value", _) => {
            Diagnostic::at(here, "an escape sequence is no character", "there is no such code point")
        }
        ("carriage return must be followed by newline", _) => {
            Diagnostic::at(here, "a carriage return without a line feed", "expected a line feed")
        }
        (_, Some(c)) if c.is_control() => {
            let way = match encoding {
                Encoding::LiteralString | Encoding::MlLiteralString => "not allowed in single quotes".into(),
                Encoding::BasicString | Encoding::MlBasicString => format!("write \\u{:04X}", c as u32),
            };
            Diagnostic::at(here, "a control character in a string", way)
        }
        _ => Diagnostic::at(
            here,
            "text after a backslash at the end of a line",
            "expected the end of the line",
        ),
    };
    (diagnostic, false)
}

/// Text as a TOML string, short enough for a message.
fn quoted(text: &str) -> String {
    let quote = if text.contains(['"', '\\']) { '\'' } else { '"' };
    format!("{quote}{}{quote}", short(text))
}
