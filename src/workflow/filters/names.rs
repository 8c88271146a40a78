//! The names in an expression: variables, and filters, tests and functions, which must exist before anything runs.
//!
//! minijinja looks the latter up only when an expression is evaluated, which may be hours into a run, and its
//! own list of variables lacks those that are sliced. There are neither loops nor lambdas in an expression,
//! so the words and signs beside a word show what it is.

use std::ops::Range;

use super::GLOB;
use super::catalog::{CatalogEntry, FILTERS, FUNCTIONS, SIGNS, TESTS};
use crate::core::closest::closest;
use crate::workflow::keys::TEMPLATE_WORDS;

/// The error of the first name in `source` of a filter, test or function that does not exist, and where
/// it stands.
pub fn unknown(source: &str) -> Option<(String, Range<usize>)> {
    let uses = uses(source);
    uses.iter()
        .find_map(|(what, at)| complaint(*what, &source[at.clone()]).map(|message| (message, at.clone())))
}

/// The variables of `source`, each time they are used: the dotted path, and where it stands.
pub fn variables(source: &str) -> Vec<(Vec<String>, Range<usize>)> {
    let variables = uses(source).into_iter().filter(|(what, _)| *what == Use::Variable);
    variables
        .map(|(_, at)| (source[at.clone()].split('.').map(|name| name.trim().to_owned()).collect(), at))
        .collect()
}

/// A pattern that an expression looks for, and where it stands in it.
pub type FoundGlob = (String, Range<usize>);

/// The patterns that `source` looks for by `glob('...')`, each time. They are plain text, so that the files are known
/// before anything runs.
///
/// # Errors
/// A pattern that is not known beforehand: message and place.
pub fn globs(source: &str) -> Result<Vec<FoundGlob>, (String, Range<usize>)> {
    let tokens = tokens(source);
    let token = |i: usize| tokens.get(i).map_or("", |at| &source[at.clone()]);
    let mut found = Vec::new();
    for (i, at) in tokens.iter().enumerate() {
        let is_attribute = i > 0 && matches!(token(i - 1), "." | "|");
        if token(i) != GLOB || token(i + 1) != "(" || is_attribute {
            continue;
        }
        let pattern = quoted(token(i + 2)).filter(|text| !text.contains('\\') && token(i + 3) == ")");
        match pattern {
            Some("") => return Err(("`glob` takes a pattern, found empty text".into(), at.clone())),
            Some(pattern) => found.push((pattern.to_owned(), tokens[i + 2].clone())),
            None => {
                let message = "`glob` takes one pattern in quotes, as in glob('data/*.csv'): its files are known \
                               before anything runs";
                return Err((message.into(), at.clone()));
            }
        }
    }
    Ok(found)
}

/// Whether `word` is one of the language's own.
pub fn is_keyword(word: &str) -> bool {
    TEMPLATE_WORDS.contains(&word) || ["True", "False", "None"].contains(&word)
}

#[derive(Clone, Copy, PartialEq)]
enum Use {
    Filter,
    Test,
    Function,
    Method,
    Variable,
}

fn complaint(what: Use, name: &str) -> Option<String> {
    let is_filter = FILTERS.iter().any(|filter| filter.name == name);
    let (label, list, written) = match what {
        Use::Filter => ("filter", FILTERS, ""),
        Use::Test if SIGNS.contains(&name) => return None,
        Use::Test => ("test", TESTS, ""),
        Use::Function => ("function", FUNCTIONS, "x | "),
        Use::Method => ("method", &[] as &[CatalogEntry], "x | "),
        Use::Variable => return None,
    };
    if list.iter().any(|entry| entry.name == name) {
        return None;
    }
    let near = if is_filter && !written.is_empty() {
        Some(format!("{written}{name}"))
    } else {
        closest(name, list.iter().map(|entry| entry.name)).map(str::to_owned)
    };
    let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    Some(format!("there is no {label} `{name}`{hint}"))
}

/// Each name, what it is the name of, and where it stands.
fn uses(source: &str) -> Vec<(Use, Range<usize>)> {
    let tokens = tokens(source);
    let token = |i: Option<usize>| i.and_then(|i| tokens.get(i)).map_or("", |at| &source[at.clone()]);
    let mut uses = Vec::new();
    for (i, at) in tokens.iter().enumerate() {
        let before = token(i.checked_sub(1));
        let before_that = token(i.checked_sub(2));
        let word = token(Some(i));
        if let Some(text) = quoted(word) {
            // A name given as text: `map('stem')`, `select('odd')`, `selectattr('size', 'odd')`.
            let what = match (before, before_that, token(i.checked_sub(4))) {
                ("(", "map", _) => Use::Filter,
                ("(", "select" | "reject", _) | (",", _, "selectattr" | "rejectattr") => Use::Test,
                _ => continue,
            };
            uses.push((what, at.start + 1..at.start + 1 + text.len()));
            continue;
        }
        if !is_name(word) {
            continue;
        }
        let called = token(Some(i + 1)) == "(";
        let what = match before {
            "|" => Use::Filter,
            "is" if word != "not" => Use::Test,
            "not" if before_that == "is" => Use::Test,
            "." if called => Use::Method,
            "." => continue,
            _ if is_keyword(word) => continue,
            _ if called => Use::Function,
            // The name of an argument.
            _ if token(Some(i + 1)) == "=" && token(Some(i + 2)) != "=" => continue,
            _ => Use::Variable,
        };
        let mut end = i;
        while what == Use::Variable
            && token(Some(end + 1)) == "."
            && is_name(token(Some(end + 2)))
            && token(Some(end + 3)) != "("
        {
            end += 2;
        }
        uses.push((what, at.start..tokens[end].end));
    }
    uses
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The text between the quotes of a token that has them.
fn quoted(token: &str) -> Option<&str> {
    let quote = token.chars().next().filter(|c| "'\"".contains(*c))?;
    token.strip_prefix(quote)?.strip_suffix(quote)
}

/// Where the words, quoted texts and other characters of an expression stand.
fn tokens(source: &str) -> Vec<Range<usize>> {
    let mut tokens: Vec<Range<usize>> = Vec::new();
    let (mut quote, mut escaped) = (None, false);
    for (i, c) in source.char_indices() {
        let end = i + c.len_utf8();
        let in_word = |c: char| c.is_alphanumeric() || c == '_';
        match (quote, tokens.last_mut()) {
            (Some(open), Some(last)) => {
                last.end = end;
                if !escaped && c == open {
                    quote = None;
                }
                escaped = !escaped && c == '\\';
            }
            (_, Some(last)) if last.end == i && in_word(c) && source[last.clone()].ends_with(in_word) => {
                last.end = end;
            }
            _ if c.is_whitespace() => {}
            _ => {
                quote = (c == '\'' || c == '"').then_some(c);
                tokens.push(i..end);
            }
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_do_not_exist_are_found() {
        let found = |source: &'static str| unknown(source).map(|(message, at)| (message, &source[at]));
        for fine in [
            "a|upper",
            "a | default('|nope') | join(', ')",
            "a is defined and b is not none",
            "'is nope' ~ a",
            "'it\\'s | nope(' ~ a",
            "this is number",
            "a['| nope']",
            "a|round(2) > 3",
            "a if (b) else (c) and not (d) or e in (f)",
            "coalesce(a.x, range(3) | first)",
            "a is divisibleby(3) and a is not divisibleby 2",
            "xs | map('stem') | select('odd') | reject('>=', 3) | selectattr('n', '==', 3)",
            "xs | map(attribute='nope')",
        ] {
            assert_eq!(unknown(fine), None, "{fine}");
        }
        for (source, message, at) in [
            ("a | uper", "there is no filter `uper`; did you mean `upper`?", "uper"),
            ("a | safe", "there is no filter `safe`", "safe"),
            ("a is not nil", "there is no test `nil`", "nil"),
            ("a is od", "there is no test `od`; did you mean `odd`?", "od"),
            ("b|upper|x.y", "there is no filter `x`", "x"),
            ("1 + coalesc(a, b)", "there is no function `coalesc`; did you mean `coalesce`?", "coalesc"),
            ("debug()", "there is no function `debug`", "debug"),
            ("upper(a)", "there is no function `upper`; did you mean `x | upper`?", "upper"),
            ("a.b.upper()", "there is no method `upper`; did you mean `x | upper`?", "upper"),
            ("xs | map( 'stm' )", "there is no filter `stm`; did you mean `stem`?", "stm"),
            ("xs | reject(\"od\")", "there is no test `od`; did you mean `odd`?", "od"),
            ("xs | selectattr('n', '=>')", "there is no test `=>`", "=>"),
        ] {
            let (found_message, found_at) = found(source).unwrap();
            assert!(found_message.starts_with(message), "{source}: {found_message}");
            assert_eq!(found_at, at, "{source}");
        }
    }

    #[test]
    fn globs_are_patterns_in_quotes() {
        let of = |source| globs(source).map(|all| all.into_iter().map(|(glob, _)| glob).collect::<Vec<_>>());
        assert_eq!(of("glob('a/*.csv') + glob( \"b\" )"), Ok(vec!["a/*.csv".to_owned(), "b".to_owned()]));
        assert_eq!(of("a.glob ~ 'glob(x)'"), Ok(Vec::new()));
        for bad in ["glob(x)", "glob('a' ~ x)", "glob('')", "glob('a', 'b')", "glob('a\\\\b')"] {
            assert!(globs(bad).unwrap_err().0.starts_with("`glob` takes"), "{bad}");
        }
    }

    #[test]
    fn variables_are_words_that_are_nothing_else() {
        let environment = super::super::environment();
        for (source, expected) in [
            ("range(range) + x.y", "range x.y"),
            ("a.b[1:c.d] | join('a.c') ~ (e | sort(reverse=f))[::-1]", "a.b c.d e f"),
            ("a . b.c[0].d | date(x) if not (b) else None", "a . b.c b x"),
            ("{'k': v, k2: [w]}.k == u and a is divisibleby n", "a k2 n u v w"),
            ("1.5 + 2e3 + 'x' ~ \"y\" is string and true", ""),
        ] {
            let mut found: Vec<_> = variables(source).into_iter().map(|(_, at)| &source[at]).collect();
            found.sort();
            assert_eq!(found.join(" "), expected, "{source}");
            // minijinja's own list, which takes functions for variables and lacks what is sliced.
            let paths: Vec<_> = variables(source).into_iter().map(|(path, _)| path.join(".")).collect();
            let theirs = environment.compile_expression(source).unwrap().undeclared_variables(true);
            assert!(theirs.iter().all(|name| paths.contains(name)), "{source}: {theirs:?}");
        }
    }
}
