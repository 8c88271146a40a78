//! Expressions over sample values, for the tests of all filters.

use super::{environment, explain_in};
use crate::core::value::{Artifact, Value as Ours};
use crate::workflow::jinja::to_jinja;

/// Evaluates an expression over a file `f`, a list of files `fs`, a directory `d` and plain values.
pub fn eval(source: &str) -> Result<String, String> {
    let artifact = |name: &str| {
        std::sync::Arc::new(Artifact {
            digest: crate::core::digest::Digest::of(name),
            size: 1,
            name: name.into(),
            executable: false,
            origin: None,
        })
    };
    let files: Ours = ["b.tar.gz", "a.csv"].map(|name| Ours::File(artifact(name))).into_iter().collect();
    let context = std::collections::BTreeMap::from([
        ("f", to_jinja(&Ours::File(artifact("a.csv")))),
        ("same", to_jinja(&Ours::File(artifact("a.csv")))),
        ("fs", to_jinja(&files)),
        ("d", to_jinja(&Ours::Dir(artifact("data.d")))),
        ("day", to_jinja(&Ours::Datetime("2026-03-29T00:30:15.5Z".parse().unwrap()))),
    ]);
    let environment = environment();
    let expression = environment.compile_expression(source).map_err(|e| e.to_string())?;
    let value = expression.eval(context).map_err(|e| explain_in(source, &e))?;
    Ok(if value.is_undefined() { "undefined".into() } else { format!("{value:?}") })
}

/// Checks a table of expressions and what comes out of them.
#[track_caller]
pub fn expect(table: &[(&str, &str)]) {
    for (source, expected) in table {
        assert_eq!(eval(source).as_deref(), Ok(*expected), "{source}");
    }
}

/// Checks a table of expressions that fail and what must stand in the error.
#[track_caller]
pub fn expect_errors(table: &[(&str, &str)]) {
    for (source, needle) in table {
        let result = eval(source);
        let fits = result.as_ref().is_err_and(|error| error.contains(needle));
        assert!(fits, "{source}: {result:?} without {needle:?}");
    }
}

#[test]
fn what_grows_without_end_is_refused() {
    expect_errors(&[
        ("range(10**9)", "`range`"),
        ("range(0, 5, -9223372036854775807)|length + range(2**62)|length", "`range`"),
        ("'x' * 10**9", "uses too much"),
        ("'x' * 99999999 ~ 'x' * 99999999 ~ 'x' * 99999999", "uses too much"),
        ("([1] * 10**8) | list", "uses too much"),
        ("([1] * 10**8) | compact", "uses too much"),
        ("(['x' * 10**6] * 1000) | join", "too long"),
        ("([['x' * 10**6] * 10000] * 10000) | tojson", "uses too much"),
        ("'%900000000d' | format(1)", "uses too much"),
        ("['a' * 10**6] | map('replace', 'a', 'x' * 10**6)", "`replace`"),
        ("('0,' * 10**7) | fromjson", "too long"),
        ("2 ** (10**9)", "**"),
    ]);
}

#[test]
fn values_are_picked_and_compared() {
    expect(&[
        ("{'a': {'b': [1, 2]}}.a.b[1]", "2"),
        ("1 if 2 > 1.5 else 0", "1"),
        ("2 in [1, 2] and 'b' in 'abc'", "True"),
        ("none is none", "True"),
        ("[1, 2, 3][1:]", "[2, 3]"),
        ("f == same", "True"),
        ("f == fs[0]", "False"),
        ("f in fs and d not in fs", "True"),
    ]);
}
