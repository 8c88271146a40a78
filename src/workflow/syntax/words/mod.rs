//! The message of every syntax error: the problem, the place, the expected text.
//!
//! The parser's own descriptions serve as codes here; only one that is new to us is shown as it is.

mod value;

use toml_parser::decoder::Encoding;
use toml_parser::{Expected, ParseError};

pub(super) use self::value::scalar;
use super::statement::{MAX_TOKENS, Problem};
use super::tree::TableForm;
use super::{Document, TomlItem, TomlKey, TomlKind, span};
use crate::workflow::diagnostic::{Diagnostic, Span};

/// A name or value with more characters than this is cut in a message.
const MAX_QUOTED_CHARS: usize = 60;

/// A key that is there already. `again` is all of a dotted key.
pub(super) fn twice(document: Document, known: &TomlKey, first: &TomlItem, again: Span) -> Diagnostic {
    let message = format!("`{}` is defined twice", short(document.text(again)));
    Diagnostic::at(document.place(again), message, "defined again here")
        .also(document.place(defined_at(known, first)), "first defined here")
}

/// A key that leads into something that takes no more keys. `again` ends with the part that does.
pub(super) fn closed(document: Document, known: &TomlKey, first: &TomlItem, again: Span) -> Diagnostic {
    let name = short(document.text(again));
    let (message, label) = match &first.kind {
        TomlKind::Table(table) if table.form == TableForm::Inline => (
            format!("`{name}` is complete and takes no more keys"),
            "a table in braces is complete as it stands",
        ),
        TomlKind::Table(_) => {
            (format!("`{name}` has a header of its own"), "its keys belong below this header")
        }
        _ => (format!("`{name}` is {}, not a table", first.type_name()), "defined here"),
    };
    Diagnostic::at(document.place(again), message, "this would add a key to it")
        .also(document.place(defined_at(known, first)), label)
}

/// Where something was defined, for a person: its header, or its key.
fn defined_at(key: &TomlKey, item: &TomlItem) -> Span {
    if item.span.start <= key.span.start { item.span } else { key.span }
}

/// Brackets that do not match.
pub(super) fn brackets(document: Document, problem: Problem) -> Diagnostic {
    let place = |span| document.place(span);
    let what = |open: Span| if document.text(open) == "[" { ("array", "]") } else { ("inline table", "}") };
    match problem {
        Problem::Mismatch(open, close) => {
            let (kind, closer) = what(open);
            let message = format!("`{}` where `{closer}` is expected", document.text(close));
            Diagnostic::at(place(close), message, format!("expected `{closer}`"))
                .also(place(open), format!("the {kind} starts here"))
        }
        Problem::Unclosed(open) => {
            let (kind, closer) = what(open);
            Diagnostic::at(place(open), format!("an {kind} is not closed"), format!("no `{closer}` follows"))
        }
        Problem::TooLong(start) => {
            let message = format!("a statement has more than {MAX_TOKENS} words and signs");
            Diagnostic::at(place(start), message, "it starts here")
                .help("long lists are given with --inputs FILE.json, or as a file")
        }
    }
}

/// An error in the structure of a statement.
pub(super) fn structure(document: Document, error: &ParseError) -> Diagnostic {
    let at = span(error.unexpected().or(error.context()).unwrap_or_default());
    let found = word_at(document.source, at.start as usize);
    let text = document.text(found);
    let expected = expected_words(error);
    let unexpected = format!("unexpected `{}`", short(text));
    let key_help = "a key of more than letters, digits, `-` and `_` needs quotes";
    let (message, label, help) = match error.description() {
        "unclosed table" | "unclosed array table" => ("a table's header is not closed", &*expected, None),
        "key with no value" | "missing value for key" if text.is_empty() || text.starts_with('#') => {
            ("a key has no value", "expected `=` and a value", None)
        }
        "key with no value" | "missing value for key" | "missing assignment between key-value pairs" => {
            ("a key is not followed by `=`", "expected `=`", Some(key_help))
        }
        "extra `=`" => ("one `=` too many", "expected a value", None),
        "unexpected `=` in array" => (
            "unexpected `=` in an array",
            &*expected,
            Some("keys and values stand in braces: { key = value }"),
        ),
        "extra comma in array" => ("unexpected comma", "expected a value or `]`", None),
        "extra comma in inline table" => ("unexpected comma", &*expected, None),
        "missing comma between array elements" => {
            ("two elements of an array without a comma", &*expected, None)
        }
        "missing comma between key-value pairs" => ("two keys of a table without a comma", &*expected, None),
        "missing key for inline table element" => ("a key is missing", "expected a key and `=`", None),
        "unexpected key or value" => ("unexpected text", "expected the end of the line", None),
        "invalid key-value pair" | "missing table open" => {
            (&*unexpected, "expected a key or a [table]", None)
        }
        "missing inline table opening" | "missing array opening" => (&*unexpected, "expected a value", None),
        "extra assignment between key-value pairs" | "invalid inline table element" => {
            (&*unexpected, &*expected, None)
        }
        "invalid comment character" => ("a control character in a comment", "not allowed here", None),
        "carriage return must be followed by newline" => {
            ("a carriage return without a line feed", "expected a line feed", None)
        }
        other => (other, &*expected, None),
    };
    let diagnostic = Diagnostic::at(document.place(found), message, label);
    help.into_iter().fold(diagnostic, Diagnostic::help)
}

/// A key that cannot be read. `at` is all of the key.
pub(super) fn key(
    document: Document,
    at: Span,
    encoding: Option<Encoding>,
    error: &ParseError,
) -> Diagnostic {
    let place = document.place(at);
    match (encoding, error.description()) {
        (None, "unquoted keys cannot be empty") => {
            Diagnostic::at(place, "a key is missing", "expected a key")
        }
        (None, _) => {
            let text = document.text(at);
            let wrong = error.unexpected().map_or(at, span);
            let label = format!("a key with `{}` needs quotes", short(document.text(wrong)));
            let diagnostic =
                Diagnostic::at(document.place(wrong), format!("`{}` is not a valid key", short(text)), label);
            match text.strip_suffix(':') {
                Some(_) => diagnostic.help("a key and its value are joined by `=`, not by `:`"),
                None => diagnostic,
            }
        }
        (Some(Encoding::MlBasicString | Encoding::MlLiteralString), _) => {
            Diagnostic::at(place, "a key of several lines", "expected a key within one line")
        }
        (Some(encoding), _) => value::string(document, at, encoding, error).0,
    }
}

/// The text that the parser expected, as in "expected a value or `]`".
fn expected_words(error: &ParseError) -> String {
    let words: Vec<_> = error
        .expected()
        .unwrap_or_default()
        .iter()
        .map(|expected| match expected {
            Expected::Literal("\n") => "the end of the line".to_owned(),
            Expected::Literal(text) => format!("`{text}`"),
            Expected::Description(what) => format!("a {what}"),
            _ => "something else".to_owned(),
        })
        .collect();
    if words.is_empty() { String::new() } else { format!("expected {}", words.join(" or ")) }
}

/// The word or mark at a position, for an error that the parser places before it.
fn word_at(source: &str, start: usize) -> Span {
    let ends = |c: char| c.is_whitespace() || ",=.[]{}#".contains(c);
    let rest = source.get(start..).unwrap_or_default();
    let length = match rest.chars().next() {
        Some('\n' | '\r') | None => 0,
        Some(first) if ends(first) => first.len_utf8(),
        Some(_) => rest.find(ends).unwrap_or(rest.len()),
    };
    Span { start: start as u32, end: (start + length) as u32 }
}

/// Text of any length, short enough for a message.
fn short(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crate::workflow::diagnostic::FileId;
    use crate::workflow::syntax::parse;

    /// Each error of a document as `text|message|label`.
    fn errors(document: &str) -> Vec<String> {
        let (_, found) = parse(document, FileId(0));
        found
            .iter()
            .map(|error| {
                let (place, label) = error.primary.as_ref().unwrap();
                let text = &document[place.span.start as usize..place.span.end as usize];
                format!("{text}|{}|{label}", error.message)
            })
            .collect()
    }

    #[test]
    fn each_error_has_its_words() {
        for (document, expected) in [
            ("a = 10s", "10s|a string without quotes|did you mean \"10s\"?"),
            ("a = train now", "train now|a string without quotes|did you mean \"train now\"?"),
            ("a = tru", "tru|a string without quotes|did you mean `true` or \"tru\"?"),
            ("a = True", "True|`True` is not a value|did you mean `true`?"),
            ("a = yes", "yes|`yes` is not a value|expected `true` or `false`"),
            ("a = null", "null|`null` is not a value|there is no null: leave the key out"),
            ("a = 07", "07|`07` is not a number|a number does not start with a zero"),
            ("a = 1__0", "1__0|`1__0` is not a number|`_` may stand between digits only"),
            ("a = .5", ".5|`.5` is not a number|expected a digit before the point"),
            ("a = 0x", "0x|`0x` is not a number|digits are missing"),
            ("a = 0o8", "0o8|`0o8` is not a number|expected digits from 0 to 7"),
            (
                "a = 9223372036854775808",
                "9223372036854775808|`9223372036854775808` does not fit into 64 bits|at most 9223372036854775807",
            ),
            ("a = 1e999", "1e999|`1e999` does not fit into a 64-bit float|too large"),
            (
                "a = 2026-02-30",
                "2026-02-30|`2026-02-30` is not a date or time|expected day between 01 and 28",
            ),
            ("a =", "|a value is missing|expected a value"),
            ("a = = 1", "=|one `=` too many|expected a value"),
            ("a = ]", "]|unexpected `]`|expected a value"),
            ("a", "|a key has no value|expected `=` and a value"),
            ("a b = 1", "b|a key is not followed by `=`|expected `=`"),
            ("a: 1", ":|`a:` is not a valid key|a key with `:` needs quotes"),
            ("= 1", "|a key is missing|expected a key"),
            ("[]", "|a key is missing|expected a key"),
            ("[a..b]", "|a key is missing|expected a key"),
            ("[a", "|a table's header is not closed|expected `]`"),
            ("[[a]", "|a table's header is not closed|expected `]`"),
            ("[a]]", "]|unexpected text|expected the end of the line"),
            ("a = 'it's'", "s'|unexpected text|expected the end of the line"),
            ("{ a = 1 }", "{|unexpected `{`|expected a key or a [table]"),
            ("a = [1, 2", "[|an array is not closed|no `]` follows"),
            ("a = { b = 1", "{|an inline table is not closed|no `}` follows"),
            ("a = [1, 2}", "}|`}` where `]` is expected|expected `]`"),
            ("a = [1,,2]", ",|unexpected comma|expected a value or `]`"),
            ("a = [1 2]", "2|a value directly after another|expected `,` or the end before it"),
            ("a = ['1' '2']", "'2'|two elements of an array without a comma|expected `,`"),
            ("a = [b = 1]", "=|unexpected `=` in an array|expected a value or `]`"),
            ("a = { b = 1 c = 2 }", "c|a key directly after a value|expected `,` or a new line before it"),
            ("a = { b = '1' c = 2 }", "c|two keys of a table without a comma|expected `,`"),
            ("a = { b, c = 2 }", ",|unexpected comma|expected `=`"),
            ("a = { [1] }", "[|a key is missing|expected a key and `=`"),
            ("a = \"x", "\"x|a string is not closed|no closing \" is in this line"),
            ("a = \"x\\\"", "\"x\\\"|a string is not closed|no closing \" is in this line"),
            ("a = '''x\ny", "'''|a string is not closed|no closing ''' follows"),
            ("a = x\"", "x\"|a string has no opening quote|expected `\"`"),
            (
                "a = \"C:\\dir\"",
                "\\d|unknown escape sequence|expected one of \\b \\e \\f \\n \\r \\t \\\" \\\\ \\xHH \\uHHHH \\UHHHHHHHH",
            ),
            ("a = \"\\uD800\"", "|an escape sequence is no character|there is no such code point"),
            ("a = \"\\u12\"", "|an escape sequence is too short|expected \\xHH, \\uHHHH or \\UHHHHHHHH"),
            ("a = \"\u{7}\"", "|a control character in a string|write \\u0007"),
            ("a = '\u{7}'", "|a control character in a string|not allowed in single quotes"),
            ("# \u{7}", "|a control character in a comment|not allowed here"),
            ("'''a''' = 1", "'''a'''|a key of several lines|expected a key within one line"),
        ] {
            let found = errors(document);
            let cut = |text: &str| text.replace('\u{7}', "");
            assert_eq!(found.iter().map(|f| cut(f)).collect::<Vec<_>>(), [expected], "{document}");
        }
    }

    #[test]
    fn one_error_in_a_statement_does_not_hide_those_in_others() {
        let document = "a = [\n  'x,\n  'y'\n]\nb = {\n  c = 1,\n[t]\nd = [\n  1,\ne = 10s\n[u\nv = ?\n[t]";
        assert_eq!(
            errors(document).iter().map(|m| m.split('|').nth(1).unwrap()).collect::<Vec<_>>(),
            [
                "a string is not closed",
                "an inline table is not closed",
                "an array is not closed",
                "a string without quotes",
                "a table's header is not closed",
                "a string without quotes",
                "`t` is defined twice",
            ]
        );
    }

    #[test]
    fn messages_stay_short() {
        let long = "x".repeat(10_000);
        for document in [
            format!("a = {long}"),
            format!("{long}: 1"),
            format!("{long} = 1\n{long} = 2"),
            format!("a = ]{long}"),
        ] {
            let (_, found) = parse(&document, FileId(0));
            assert!(found.iter().all(|m| m.message.len() < 200 && m.primary.as_ref().unwrap().1.len() < 200));
        }
    }
}
