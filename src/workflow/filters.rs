//! The filters and tests that an expression names: whether they exist, told before anything runs.
//!
//! minijinja looks them up only when an expression is evaluated, which may be hours into a run.

use std::ops::Range;

use minijinja::{Environment, ErrorKind};

/// Filters that a misspelt one may have meant: minijinja does not list its own.
const KNOWN: [&str; 44] = [
    "abs",
    "basename",
    "batch",
    "bool",
    "capitalize",
    "compact",
    "date",
    "default",
    "dictsort",
    "dirname",
    "first",
    "flatten",
    "float",
    "fromjson",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "minus",
    "plus",
    "reject",
    "replace",
    "reverse",
    "round",
    "select",
    "slice",
    "sort",
    "split",
    "stem",
    "string",
    "suffix",
    "sum",
    "tojson",
    "trim",
    "upper",
];

/// What is wrong with the first `| name` or `is name` in `source` that does not exist, and where it stands.
pub fn unknown(environment: &Environment, source: &str) -> Option<(String, Range<usize>)> {
    let tokens = tokens(source);
    tokens.windows(2).enumerate().find_map(|(i, pair)| {
        let what = match &source[pair[0].clone()] {
            "|" => ErrorKind::UnknownFilter,
            "is" => ErrorKind::UnknownTest,
            _ => return None,
        };
        let mut name = pair[1].clone();
        if &source[name.clone()] == "not" {
            name = tokens.get(i + 2)?.clone();
        }
        let word = &source[name.clone()];
        let probe = match what {
            ErrorKind::UnknownFilter => format!("1|{word}"),
            _ => format!("1 is {word}"),
        };
        let error = environment.compile_expression_owned(probe).ok()?.eval(()).err()?;
        let label = if what == ErrorKind::UnknownFilter { "filter" } else { "test" };
        (error.kind() == what).then(|| {
            let near = super::diagnostic::closest(word, KNOWN.into_iter().filter(|_| label == "filter"));
            let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            (format!("there is no {label} `{word}`{hint}"), name)
        })
    })
}

/// Where the words and other characters of an expression stand; text in quotes is left out.
fn tokens(source: &str) -> Vec<Range<usize>> {
    let mut tokens: Vec<Range<usize>> = Vec::new();
    let (mut quote, mut escaped) = (None, false);
    for (i, c) in source.char_indices() {
        let end = i + c.len_utf8();
        let in_word = |c: char| c.is_alphanumeric() || c == '_';
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c.is_whitespace() => {}
            None => match tokens.last_mut() {
                Some(last) if last.end == i && in_word(c) && source[last.clone()].ends_with(in_word) => {
                    last.end = end;
                }
                _ => tokens.push(i..end),
            },
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_do_not_exist_are_found() {
        let environment = Environment::new();
        let found =
            |source: &'static str| unknown(&environment, source).map(|(message, at)| (message, &source[at]));
        for fine in [
            "a|upper",
            "a | default('|nope') | join(', ')",
            "a is defined and b is not none",
            "'is nope' ~ a",
            "this is number",
            "a['| nope']",
            "a|round(2) > 3",
        ] {
            assert_eq!(unknown(&environment, fine), None, "{fine}");
        }
        assert_eq!(
            found("a | uper"),
            Some(("there is no filter `uper`; did you mean `upper`?".into(), "uper"))
        );
        assert_eq!(found("a is not nil"), Some(("there is no test `nil`".into(), "nil")));
        assert_eq!(found("b|upper|x.y"), Some(("there is no filter `x`".into(), "x")));
    }
}
