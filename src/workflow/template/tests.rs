//! Tests of templates.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::core::value::Artifact;

struct Names(BTreeMap<&'static str, Value>);

impl Lookup for Names {
    fn root<'p>(&self, path: &'p [String]) -> Result<(&'p [String], Value), String> {
        let value = self.0.get(path[0].as_str()).ok_or_else(|| format!("no `{}`", path[0]))?;
        Ok((&path[..1], value.clone()))
    }

    fn text(&self, value: &Value) -> Result<String, String> {
        Ok(value.to_task_text(&|artifact| format!("/in/{}", artifact.name)).unwrap_or_default())
    }
}

fn names() -> Names {
    let file = Artifact {
        digest: crate::core::digest::Digest::of("x"),
        size: 1,
        name: "a.csv".into(),
        executable: false,
        origin: None,
    };
    Names(BTreeMap::from([
        ("x", Value::Int(3)),
        ("s", Value::String("a b".into())),
        ("xs", [Value::Int(1), Value::Int(2)].into_iter().collect()),
        ("none", Value::Null),
        ("f", Value::File(Arc::new(file))),
        ("meta", Value::Json(Arc::new(serde_json::json!({"size": {"w": 7}})))),
    ]))
}

fn evaluate(ty: &str, text: &str) -> Result<Value, String> {
    Template::parse(text).unwrap().evaluate(&Type::parse(ty).unwrap(), &names())
}

#[test]
fn a_single_expression_keeps_its_type() {
    assert_eq!(evaluate("int", "{{ x }}"), Ok(Value::Int(3)));
    assert_eq!(evaluate("float", "{{ x }}"), Ok(Value::Float(3.0)));
    assert_eq!(evaluate("int", "{{ x * 2 + 1 }}"), Ok(Value::Int(7)));
    assert_eq!(evaluate("bool", "{{ x == 3 and s != '' }}"), Ok(Value::Bool(true)));
    assert_eq!(evaluate("int", "{{ meta.size.w }}"), Ok(Value::Int(7)));
    assert_eq!(evaluate("int", "{{ meta.size.w + 1 }}"), Ok(Value::Int(8)));
    assert!(matches!(evaluate("file", "{{ f if x > 1 else f }}"), Ok(Value::File(_))));
    assert_eq!(evaluate("list<int>", "{{ xs }}"), Ok([Value::Int(1), Value::Int(2)].into_iter().collect()));
    assert!(evaluate("string", "{{ x }}").unwrap_err().contains("expected string"));
    assert!(evaluate("int", "{{ meta.nothing }}").unwrap_err().contains("no `nothing`"));
}

#[test]
fn anything_else_is_text() {
    let render = |text: &str| Template::parse(text).unwrap().render(&names());
    assert_eq!(render("{{ s }}-{{ x }}.csv").unwrap(), "a b-3.csv");
    assert_eq!(render("{{ xs }}{{ '}}' }}").unwrap(), "[1,2]}}");
    assert_eq!(render("--in={{ f }}").unwrap(), "--in=/in/a.csv");
    assert_eq!(render("plain").unwrap(), "plain");
}

#[test]
fn lists_spread() {
    let list = |text: &str| Template::parse(text).unwrap().render_list(&names()).unwrap();
    assert_eq!(list("{{ xs }}").unwrap(), ["1", "2"]);
    assert_eq!(list("{{ x }}"), None);
    assert_eq!(list("-{{ xs }}"), None);
    assert_eq!(list("{{ [s, x] }}").unwrap(), ["a b", "3"]);
}

#[test]
fn files_stay_files_and_have_no_text() {
    assert!(matches!(evaluate("file", "{{ coalesce(none, f) }}"), Ok(Value::File(_))));
    assert!(matches!(evaluate("list<file>", "{{ [f, f] | unique }}"), Ok(Value::List(_))));
    let list = Template::parse("in={{ [f] | reverse }}").unwrap().render(&names());
    assert_eq!(list.unwrap(), "in=[\"/in/a.csv\"]");
    for (ty, text, needle) in [
        ("string", "{{ 'x' ~ f }}", "a file has no text inside an expression"),
        ("string", "{{ coalesce(f) }}", "expected string, found the file `a.csv`"),
        ("json", "{{ [f] | list }}", "the file `a.csv` cannot be a json"),
        ("dir", "{{ coalesce(f) }}", "expected dir, found the file"),
    ] {
        let error = evaluate(ty, text).unwrap_err();
        assert!(error.contains(needle), "{text}: {error}");
    }
}

#[test]
fn errors_name_the_expression_and_what_was_found() {
    for (ty, text, error) in [
        ("int", "{{ none | upper }}", "`{{ none | upper }}`: `upper` takes text, found none"),
        ("list<int>", "{{ [1, 'a'] }}", "`{{ [1, 'a'] }}`: element 1: expected int, found the text \"a\""),
        ("int", "{{ x + 1 + s }}", "`{{ x + 1 + s }}`: "),
        ("string?", "{{ [] | first }}", "`{{ [] | first }}`: it has no value"),
        ("list<int>", "{{ [1] * 10**8 }}", "`{{ [1] * 10**8 }}`: it uses too much"),
        ("list<string>", "{{ [['x' * 10**6] * 1000] * 1000 }}", "`{{ [['x' * 10**6]"),
    ] {
        let found = evaluate(ty, text).unwrap_err();
        assert!(found.starts_with(error), "{text}: {found}");
    }
}

#[test]
fn errors_have_a_place() {
    for (text, needle, at) in [
        ("a {{ x", "never closed", 2),
        ("{{ }}", "empty", 0),
        ("ab {{ x + }}", "", 6),
        ("ab {{ x | uper }}", "did you mean `upper`", 10),
        ("ab {{ coalesc(x) }}", "did you mean `coalesce`", 6),
    ] {
        let error = Template::parse(text).unwrap_err();
        assert!(error.message.contains(needle), "{error:?}");
        assert!(error.range.start >= at && error.range.end <= text.len(), "{text}: {error:?}");
    }
}

#[test]
fn variables_are_found_with_their_places() {
    let template = Template::parse("{{ a.b }} {{ c.d | upper }}").unwrap();
    let seen: Vec<_> = template.variables().iter().map(|v| (v.path.join("."), v.range.clone())).collect();
    assert_eq!(seen, [("a.b".to_owned(), 3..6), ("c.d".to_owned(), 13..16)]);
    let calls = Template::parse("{{ coalesce(range(x), s) }}").unwrap();
    assert_eq!(calls.variables().iter().map(|v| &v.path[0][..]).collect::<Vec<_>>(), ["x", "s"]);
}
