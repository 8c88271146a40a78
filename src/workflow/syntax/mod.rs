//! TOML text as a compact tree in which every key and value knows its place.
//!
//! Knows TOML and nothing of workflows. A file of 100,000 nodes must be read in a tenth of a second, and a
//! hostile one must cost neither the stack nor all memory; hence a tree of our own over the events of
//! `toml_parser`, fed one statement at a time.
//!
//! | file | owns |
//! |---|---|
//! | `tree.rs` | the tree that callers see |
//! | `statement.rs` | where one statement ends and the next begins, also in a broken file |
//! | `build.rs` | what headers, dotted keys and values do to the tree |
//! | `json.rs` | the same tree from JSON |
//! | `scalar.rs` | the values of strings, numbers and dates |
//! | `words.rs` | every error in clear words |

mod build;
mod json;
mod scalar;
mod statement;
mod tree;
mod words;

pub use self::tree::{Table, TomlItem, TomlKey, TomlKind};

use std::cell::RefCell;

use toml_parser::ParseError;
use toml_parser::parser::parse_document;

use self::build::Builder;
use self::statement::Statements;
use super::budget::Budget;
use super::diagnostic::{Diagnostic, FileId, SourceSpan, Span};

/// Maximum length of a text, in bytes.
const MAX_BYTES: usize = 64 << 20;
/// How deep values, dotted keys and headers may nest, all taken together.
const MAX_DEPTH: usize = 64;
/// Maximum number of errors that are described; the others are counted.
const MAX_ERRORS: usize = 100;
/// Maximum number of errors before parsing stops.
const MAX_COUNTED_ERRORS: usize = 100_000;

/// Reads a TOML 1.1 document. The tree holds all that could be understood; where there are diagnostics,
/// something may be missing from it.
pub fn parse<'s>(source: &'s str, file: FileId) -> (Table<'s>, Vec<Diagnostic>) {
    parse_within(source, file, &Budget::default())
}

/// The same, for one of several files that share a budget.
pub fn parse_within<'s>(source: &'s str, file: FileId, budget: &Budget) -> (Table<'s>, Vec<Diagnostic>) {
    let document = Document { source, file };
    let errors = RefCell::new(SyntaxErrors::default());
    if source.len() > MAX_BYTES {
        let place = document.place(Span::default());
        return (Table::default(), vec![Diagnostic::at(place, "the file is larger than 64 MiB", "")]);
    }
    if json::is_json(source) {
        return match json::parse(source) {
            Ok(table) => (table, Vec::new()),
            Err(problem) => {
                let message = format!("the document cannot be read: {problem}");
                (Table::default(), vec![Diagnostic::at(document.place(Span::default()), message, "")])
            }
        };
    }
    let mut builder = Builder::new(document, &errors, budget);
    let mut statements = Statements::new(source);
    while let Some((tokens, problem)) = statements.next() {
        errors.borrow_mut().broken = false;
        if let Some(problem) = problem {
            errors.borrow_mut().breaks(|| words::brackets(document, problem));
        }
        let mut error = |error: ParseError| errors.borrow_mut().breaks(|| words::structure(document, &error));
        parse_document(tokens, &mut builder, &mut error);
        builder.end_statement();
        if builder.is_full() || errors.borrow().omitted >= MAX_COUNTED_ERRORS {
            break;
        }
    }
    let table = builder.finish();
    let SyntaxErrors { mut found, omitted, .. } = errors.into_inner();
    found.extend(Diagnostic::omitted(omitted));
    (table, found)
}

/// The text that is read, and which file it is.
#[derive(Clone, Copy)]
struct Document<'s> {
    source: &'s str,
    file: FileId,
}

impl<'s> Document<'s> {
    fn text(&self, span: Span) -> &'s str {
        self.source.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    fn place(&self, span: Span) -> SourceSpan {
        SourceSpan { file: self.file, span }
    }
}

/// The errors found so far. What follows an error in the structure of a statement says little about
/// what its author meant, so nothing more is reported of that statement.
#[derive(Default)]
struct SyntaxErrors {
    found: Vec<Diagnostic>,
    /// How many were not described.
    omitted: usize,
    broken: bool,
}

impl SyntaxErrors {
    /// An error after which the rest of the statement can still be understood.
    fn add(&mut self, diagnostic: impl FnOnce() -> Diagnostic) {
        if self.broken {
            return;
        }
        match self.found.len() < MAX_ERRORS {
            true => self.found.push(diagnostic()),
            false => self.omitted += 1,
        }
    }

    /// An error in the structure of a statement.
    fn breaks(&mut self, diagnostic: impl FnOnce() -> Diagnostic) {
        self.add(diagnostic);
        self.broken = true;
    }
}

/// A span of ours from one of the parser's; texts of up to [`MAX_BYTES`] fit.
fn span(span: toml_parser::Span) -> Span {
    Span { start: span.start() as u32, end: span.end() as u32 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use toml::Value;

    use super::*;

    /// A tree as the `toml` crate would hold it. NaN becomes text, so that trees can be compared.
    fn ours(kind: &TomlKind) -> Value {
        match kind {
            TomlKind::String(text) => Value::String(text.to_string()),
            TomlKind::Integer(n) => Value::Integer(*n),
            TomlKind::Float(n) => float(*n),
            TomlKind::Bool(b) => Value::Boolean(*b),
            TomlKind::Datetime(text) => Value::Datetime(text.parse().unwrap()),
            TomlKind::Array(items) => Value::Array(items.iter().map(|item| ours(&item.kind)).collect()),
            TomlKind::Table(table) => table_of(table),
        }
    }

    fn table_of(table: &Table) -> Value {
        let get = |name: &str| ours(&table.get(name).unwrap().kind);
        Value::Table(table.iter().map(|(key, _)| (key.name.to_string(), get(&key.name))).collect())
    }

    fn theirs(value: Value) -> Value {
        match value {
            Value::Float(n) => float(n),
            Value::Array(values) => Value::Array(values.into_iter().map(theirs).collect()),
            Value::Table(table) => {
                Value::Table(table.into_iter().map(|(name, v)| (name, theirs(v))).collect())
            }
            other => other,
        }
    }

    fn float(n: f64) -> Value {
        if n.is_nan() { Value::String("NaN".into()) } else { Value::Float(n) }
    }

    /// Both accept a document and find the same in it, or both refuse it.
    fn agrees(text: &str) {
        let (table, errors) = parse(text, FileId(0));
        // The `toml` crate lets a dotted key into the last of an array of tables; TOML does not.
        let stricter = errors.iter().any(|m| m.message.ends_with("is an array, not a table"));
        match text.parse::<toml::Table>() {
            Ok(_) if stricter => {}
            Ok(expected) => {
                assert_eq!(errors, [], "{text}");
                assert_eq!(table_of(&table), theirs(Value::Table(expected)), "{text}");
            }
            Err(error) => assert!(!errors.is_empty(), "accepted:\n{text}\n{error}"),
        }
        for (place, _) in errors.iter().flat_map(|m| m.primary.iter().chain(&m.secondary)) {
            let span = place.span.start as usize..place.span.end as usize;
            assert!(text.get(span.clone()).is_some(), "{span:?} in {text:?}");
        }
    }

    #[test]
    fn all_kinds_of_values_and_tables_are_read() {
        for text in [
            "",
            "\u{feff}a = 1",
            "a = 1\r\nb = '''\r\nx\r\ny'''\r\n# end",
            "s = [\"a\\tb\\e\\x41\\u00e9\\U0001F600\", 'a\\b', \"\"\"\n a \\\n   b \"\" c\"\"\"\", '''\na''b''''']",
            "i = [0, -0, +7, 1_000, 0xdead_BEEF, 0o17, 0b1010, 9223372036854775807, -9223372036854775808]",
            "f = [1.5, -0.0, 1e3, 1E+3, 6.26e-3, 9_2.1_5, inf, -inf, +inf, nan, -nan, 1e-999]",
            "b = [true, false]",
            "d = [1979-05-27T07:32:00Z, 1979-05-27 07:32:00.999-07:00, 1979-05-27t07:32, 1979-05-27, 07:32:00, 07:32]",
            "a.b.c = 1\na.b.d = 2\na.'x y'.\"\\u0041\" = 3\n3.14 = 4",
            "[a.b.c]\nx = 1\n[a]\ny = 2\n[a.b]\nz = 3",
            "[[a]]\nx = 1\n[[a.b]]\n[a.b.c]\n[[a.b]]\n[[a]]\n[a.b]\nx.y = 1",
            "a.b = 1\n[x]\ny.z = 1\n[x.y.w]\nv = 1",
            "t = { a = 1, b.c = 2, b.d = [{}, { e = 1 }],\n  # more\n  f = [\n1,\n # and\n2,\n],\n}",
            " [ a . b ] # c\n  x = 1 # d\n\n\t[ 'y' ]",
            "[[a]]\n[[ b . c ]]",
            "a = [\n[true]\n]",
        ] {
            agrees(text);
            assert!(text.parse::<toml::Table>().is_ok(), "{text}");
        }
    }

    #[test]
    fn what_toml_forbids_is_refused() {
        for text in [
            "[ [a]]",
            "[[a] ]",
            "a = 1 b = 2",
            "a = [1 2]",
            "[a]\n[a]",
            "a = 1\n[a]",
            "[a]\nb.c = 1\n[a.b]",
            "[[a]]\n[a]",
            "a = []\n[[a]]",
            "a = [{}]\n[[a]]",
            "a = {}\n[a.b]",
            "a = {}\na.b = 1",
            "a = { b = 1, b = 2 }",
            "a = { b = {}, b.c = 1 }",
            "[a.b]\n[a]\nb.c = 1",
            "a = 1__0",
            "a = 01",
            "a = 2021-02-29",
            "a = \"\u{1}\"",
            "a = 'x\ny'",
            "# \u{7}",
            "a = 1\rb = 2",
            "= 1",
            "a",
            "a.",
            "a = ",
            "a = { b = 1,, c = 2 }",
            "a = { b }",
            "\"\"\"a\"\"\" = 1",
            "a = 9223372036854775808",
            "a = -",
            "a = 1.",
        ] {
            agrees(text);
            assert!(text.parse::<toml::Table>().is_err(), "{text}");
        }
    }

    /// Documents whose statements are well formed, and clash now and then.
    fn document() -> impl Strategy<Value = String> {
        let name = prop_oneof!["[ab]", Just("'c d'".to_owned()), Just("\"\\u0061\"".to_owned())];
        let path = prop::collection::vec(name, 1..4).prop_map(|names| names.join("."));
        let scalar = prop_oneof![
            any::<i64>().prop_map(|n| n.to_string()),
            any::<f64>().prop_map(|n| format!("{n:?}").to_lowercase()),
            "'[ -&(-~é]{0,9}'",
            "\"([a-zé ]|\\\\[nt\\\\\"]){0,9}\"",
            Just("2026-01-02T03:04:05+01:00".to_owned()),
        ];
        let value = scalar.prop_recursive(3, 12, 4, {
            let path = path.clone();
            move |inner| {
                let entry = (path.clone(), inner.clone()).prop_map(|(key, value)| format!("{key} = {value}"));
                prop_oneof![
                    prop::collection::vec(inner, 0..4).prop_map(|v| format!("[\n{}]", v.join(" ,\n"))),
                    prop::collection::vec(entry, 0..4).prop_map(|v| format!("{{ {} }}", v.join(", "))),
                ]
            }
        });
        let line = prop_oneof![
            (path.clone(), value).prop_map(|(key, value)| format!("{key} = {value}")),
            path.clone().prop_map(|path| format!("[{path}]")),
            path.prop_map(|path| format!("[[{path}]]")),
        ];
        prop::collection::vec(line, 0..8).prop_map(|lines| lines.join("\n"))
    }

    /// Any sequence of what TOML is made of.
    fn soup() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "[",
            "]",
            "{",
            "}",
            "[[",
            "]]",
            "=",
            " = ",
            ",",
            ".",
            "a",
            "b = 1",
            "1",
            "-",
            "true",
            "\"",
            "'",
            "'''",
            "\"\"\"",
            "\n",
            "\n[a]\n",
            "\nb =",
            "\r\n",
            "\r",
            "#",
            " ",
            "\\",
            "é",
            "\u{1}",
            "2026-01-01",
            "0x",
        ]);
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_toml_crate_agrees_on_documents(text in document()) {
            agrees(&text);
        }

        #[test]
        fn the_toml_crate_agrees_on_soup(text in soup()) {
            agrees(&text);
        }
    }

    #[test]
    fn spans_are_those_of_the_text() {
        let text = "x.'y' = { a = [1, \"é\"] }\n[b.c] # header\n[[d]]\nk = 'v'\n";
        let (table, _) = parse(text, FileId(0));
        let at = |span: Span| &text[span.start as usize..span.end as usize];
        let inner = |name| match &table.get(name).unwrap().kind {
            TomlKind::Table(table) => table.iter().map(|(k, i)| (at(k.span), at(i.span))).collect::<Vec<_>>(),
            TomlKind::Array(items) => items.iter().map(|i| ("", at(i.span))).collect(),
            _ => Vec::new(),
        };
        assert_eq!(inner("x"), [("'y'", "{ a = [1, \"é\"] }")]);
        assert_eq!(inner("b"), [("c", "[b.c]")]);
        assert_eq!(inner("d"), [("", "[[d]]")]);
        let (key, item) = table.get_key_item("b").unwrap();
        assert_eq!((at(key.span), at(item.span), item.type_name()), ("b", "b", "a table"));
    }

    #[test]
    fn strings_without_escapes_borrow() {
        let (table, _) = parse("a = \"x\"\nb = '''\ny'''\nc = \"\"\"z\nz\"\"\"\nd = \"\\n\"", FileId(0));
        let borrowed =
            |(_, item): (_, &TomlItem)| matches!(item.kind, TomlKind::String(std::borrow::Cow::Borrowed(_)));
        assert_eq!(table.iter().map(borrowed).collect::<Vec<_>>(), [true, true, true, false]);
    }

    #[test]
    fn bombs_are_refused_once_and_without_harm() {
        let deep = |open: &str, close: &str, n| format!("a = {}1{}\nb = ?", open.repeat(n), close.repeat(n));
        for (text, needle) in [
            (deep("[", "]", 100_000), "deep"),
            (deep("{a=", "}", 100_000), "deep"),
            (deep("[{a.b=", "}]", 100_000), "deep"),
            (format!("{}a = 1\nb = ?", "a.".repeat(100_000)), "deep"),
            (format!("[{}a]\nb = ?", "a.".repeat(100_000)), "deep"),
            (format!("a = {}\n[x]\nb = ?", "[".repeat(100_000)), "closed"),
        ] {
            let (_, errors) = parse(&text, FileId(0));
            let messages: Vec<_> = errors.iter().map(|m| &*m.message).collect();
            assert_eq!(messages.len(), 2, "{messages:?}");
            assert!(messages[0].contains(needle), "{messages:?}");
        }
        for (open, close) in [("[", "]"), ("{a=", "}")] {
            let text = |n| format!("a = {}1{}", open.repeat(n), close.repeat(n));
            assert_eq!(parse(&text(MAX_DEPTH - 1), FileId(0)).1, []);
            assert_eq!(parse(&text(MAX_DEPTH + 1), FileId(0)).1.len(), 1);
        }
        let long = "\n".repeat(MAX_BYTES + 1);
        let (table, errors) = parse(&long, FileId(0));
        assert!(table.is_empty() && errors[0].message.contains("64 MiB"));
        let (_, errors) = parse(&"a = 1\n".repeat(50_000), FileId(0));
        assert_eq!((errors.len(), errors[MAX_ERRORS].omitted), (MAX_ERRORS + 1, 49_899));
        // Stops before it has counted a million.
        let (_, errors) = parse(&"a = 1\n".repeat(1_000_000), FileId(0));
        assert_eq!(errors[MAX_ERRORS].omitted as usize, MAX_COUNTED_ERRORS);
    }

    #[test]
    fn large_tables_are_read_whole() {
        let lines = |line: fn(usize) -> String| (0..100_000).map(line).collect::<String>();
        for (text, entries) in [
            (format!("a = [{}]", "1,".repeat(100_000)), 1),
            (format!("a = {{{}}}", lines(|i| format!("k{i} = 1,\n"))), 1),
            (lines(|i| format!("k{i} = 1\n")), 100_000),
            (lines(|i| format!("a.b.k{i} = 1\n")), 1),
            (lines(|i| format!("[nodes.k{i}]\nx = 1\n")), 1),
            (lines(|_| "[[a]]\n".into()), 1),
        ] {
            let (table, errors) = parse(&text, FileId(0));
            assert_eq!((errors.len(), table.len()), (0, entries));
        }
    }
}
