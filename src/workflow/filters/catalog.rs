//! The one list of what an expression may name: suggestions, error messages and the tables of
//! `docs/templates.md` are made of it.

/// A filter, function or test.
#[derive(Debug)]
pub struct CatalogEntry {
    pub name: &'static str,
    /// The arguments besides the value before it: `(format, timezone='UTC')`, or empty.
    pub arguments: &'static str,
    /// One line, without a full stop.
    pub doc: &'static str,
}

const fn entry(name: &'static str, arguments: &'static str, doc: &'static str) -> CatalogEntry {
    CatalogEntry { name, arguments, doc }
}

/// Every filter: a name behind `|`.
pub const FILTERS: &[CatalogEntry] = &[
    entry(
        "default",
        "(other[, or_false])",
        "`other` for a null or missing value; if `or_false` is `true` also for an empty, zero or false one",
    ),
    entry("length", "", "how many elements, characters or entries"),
    entry("first", "", "the first element; missing if there is none, which `default` can replace"),
    entry("last", "", "the last element, likewise"),
    entry("min", "(attribute=...)", "the least element; missing if there is none"),
    entry("max", "(attribute=...)", "the greatest element, likewise"),
    entry("sum", "(attribute=..., start=0)", "the sum of the numbers"),
    entry("join", "([separator])", "the elements as one text"),
    entry(
        "map",
        "(filter, ...)",
        "each element through a filter, `map('stem')`, or `map(attribute='size')` of each",
    ),
    entry(
        "select",
        "(test, ...)",
        "the elements that pass a test, `select('>', 3)`; without one the true ones",
    ),
    entry("reject", "(test, ...)", "the elements that do not"),
    entry("selectattr", "(attribute, test, ...)", "the elements whose attribute passes a test"),
    entry("rejectattr", "(attribute, test, ...)", "the elements whose attribute does not"),
    entry(
        "sort",
        "(reverse=false, attribute=..., case_sensitive=false)",
        "the elements in order; files by name",
    ),
    entry("reverse", "", "the elements, or characters, from the last to the first"),
    entry("unique", "", "without repeated elements; the first of each stays"),
    entry("flatten", "", "a list of lists as one list; one level"),
    entry("compact", "", "without nulls: `list<T?>` to `list<T>`"),
    entry("zip", "(list, ...)", "lists of equal length as one list of lists: pairs, triples..."),
    entry("chain", "(list, ...)", "the elements of several lists as one list"),
    entry("enumerate", "([start])", "pairs of number and element, from 0 or `start`"),
    entry("batch", "(size[, fill])", "lists of `size` elements; `fill` completes the last"),
    entry("slice", "(count[, fill])", "`count` lists of nearly equal length"),
    entry("list", "", "the elements, or the keys of a map, as a list"),
    entry("items", "", "the entries of a map as pairs of key and value"),
    entry(
        "dictsort",
        "(by='key', reverse=false, case_sensitive=false)",
        "the entries of a map as sorted pairs",
    ),
    entry("upper", "", "text in capital letters"),
    entry("lower", "", "text in small letters"),
    entry("capitalize", "", "text with its first letter large, the others small"),
    entry("title", "", "text with the first letter of each word large"),
    entry("trim", "([letters])", "text without white space, or these letters, at its ends"),
    entry("replace", "(old, new)", "text with every `old` as `new`"),
    entry(
        "split",
        "([separator[, most]])",
        "the pieces of a text, at most `most` cuts; without a separator its words",
    ),
    entry("lines", "", "the lines of a text"),
    entry("format", "(value, ...)", "values in a printf pattern such as `'%03d'`"),
    entry("string", "", "a number or truth value as text"),
    entry("int", "(default=..., base=10)", "a whole number from text or another number, cut towards zero"),
    entry("float", "(default=...)", "a number from text or a whole number"),
    entry(
        "round",
        "(precision=0, method='common')",
        "a rounded number; the method may be `'ceil'` or `'floor'`",
    ),
    entry("abs", "", "a number without its sign"),
    entry("basename", "", "the last part of a path; the name of a file or directory"),
    entry("stem", "", "the base name without its last extension"),
    entry("extension", "", "the last extension with its dot, `.gz` of `a.tar.gz`; empty if there is none"),
    entry(
        "dirname",
        "",
        "a path without its last part, `.` if there is no other; a file has none before it is staged",
    ),
    entry("with_extension", "(extension)", "the path with another last extension, `'.txt'`, or none, `''`"),
    entry("date", "(format, timezone='UTC')", "a date or datetime as text by strftime: `date('%Y-%m-%d')`"),
    entry(
        "plus",
        "(amount, timezone='UTC')",
        "a later date or datetime: `'1d'`, `'1h30m'`, `'1mo'` or seconds; days and longer as on the clocks of the time zone; a date moves by whole days",
    ),
    entry("minus", "(amount, timezone='UTC')", "an earlier date or datetime, likewise"),
    entry(
        "truncate_to",
        "(unit, timezone='UTC')",
        "the start of its year, month, week (Monday), day, hour, minute or second",
    ),
    entry("timestamp", "", "whole seconds since 1970 of a datetime"),
    entry("tojson", "", "a value as JSON text; one that holds a file is an error"),
    entry("fromjson", "", "the value of a JSON text"),
];

/// Every function.
pub const FUNCTIONS: &[CatalogEntry] = &[
    entry("coalesce", "(value, ...)", "the first value that is not null; null if all are"),
    entry(
        "glob",
        "('data/*.csv')",
        "the files that match, sorted by path: a `list<file>`, relative to the file that holds it; not in `argv` and `[outputs]`",
    ),
    entry(
        "range",
        "(end) or (start, end[, step])",
        "whole numbers from `start` (0) up to but not `end`; at most 100,000",
    ),
];

/// Every test: a name behind `is`, or text in `select` and the like.
pub const TESTS: &[CatalogEntry] = &[
    entry("none", "", "null"),
    entry("defined", "", "not missing"),
    entry("undefined", "", "missing, as the first element of an empty list"),
    entry("true", "", "true itself"),
    entry("false", "", "false itself"),
    entry("boolean", "", "a truth value"),
    entry("number", "", "a number"),
    entry("integer", "", "a whole number"),
    entry("float", "", "a number with a fraction"),
    entry("string", "", "text"),
    entry("sequence", "", "a list"),
    entry("mapping", "", "a map"),
    entry("iterable", "", "a list, a map or text"),
    entry("odd", "", "an odd number"),
    entry("even", "", "an even number"),
    entry("divisibleby", "(n)", "a multiple of `n`"),
    entry("lower", "", "text in small letters"),
    entry("upper", "", "text in capital letters"),
    entry("startingwith", "(text)", "text that begins so"),
    entry("endingwith", "(text)", "text that ends so"),
    entry("in", "(list)", "an element of the list"),
    entry("eq", "(other)", "equal; also `equalto`, `==`"),
    entry("equalto", "(other)", "equal"),
    entry("ne", "(other)", "not equal; also `!=`"),
    entry("lt", "(other)", "less; also `<`"),
    entry("le", "(other)", "less or equal; also `<=`"),
    entry("gt", "(other)", "greater; also `>`"),
    entry("ge", "(other)", "greater or equal; also `>=`"),
];

/// The tests that are written as signs.
pub const SIGNS: [&str; 6] = ["==", "!=", "<", "<=", ">", ">="];

/// How the filter or function of this name is written: `date(format, timezone='UTC')`.
pub fn usage(name: &str) -> Option<String> {
    let entry = FILTERS.iter().chain(FUNCTIONS).find(|entry| entry.name == name)?;
    Some(format!("{}{}", entry.name, entry.arguments))
}

#[cfg(test)]
mod tests {
    use minijinja::ErrorKind;

    use super::*;

    #[test]
    fn everything_in_the_list_exists() {
        let environment = super::super::environment();
        let kind = |source: String| {
            let expression = environment.compile_expression_owned(source).unwrap();
            expression.eval(()).err().map(|error| error.kind())
        };
        for entry in FILTERS {
            assert_ne!(kind(format!("1|{}", entry.name)), Some(ErrorKind::UnknownFilter), "{}", entry.name);
        }
        for entry in FUNCTIONS {
            assert_ne!(kind(format!("{}()", entry.name)), Some(ErrorKind::UnknownFunction), "{}", entry.name);
        }
        for name in TESTS.iter().map(|entry| entry.name).chain(SIGNS) {
            let source = format!("[1] | select('{name}', 1)");
            assert_ne!(kind(source), Some(ErrorKind::UnknownTest), "{name}");
        }
    }

    #[test]
    fn the_manual_has_a_row_for_each() {
        let page = include_str!("../../../docs/templates.md");
        let row = |CatalogEntry { name, arguments, doc }: &CatalogEntry| match arguments.is_empty() {
            true => format!("| `{name}` | | {doc} |\n"),
            false => format!("| `{name}` | `{arguments}` | {doc} |\n"),
        };
        let rows = [FILTERS, FUNCTIONS, TESTS].map(|list| list.iter().map(row).collect::<Vec<_>>());
        let missing: String = rows.concat().into_iter().filter(|row| !page.contains(row)).collect();
        assert_eq!(missing, "", "rows that docs/templates.md lacks");
    }
}
