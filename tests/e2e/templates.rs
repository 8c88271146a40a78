//! Templates end to end: one workflow for each group of filters, and what bad expressions say.

use crate::common::{Done, Lab};
use serde_json::{Value, json};

/// A workflow whose outputs are expressions over inputs and over a node `files` that makes `list<file>`.
fn workflow(inputs: &str, outputs: &[(&str, &str, Value)]) -> String {
    let outputs: String =
        outputs.iter().map(|(name, template, _)| format!("{name} = \"{template}\"\n")).collect();
    format!(
        "[workflow]\nname = \"w\"\n[inputs]\n{inputs}\n\
         [tasks.files.outputs]\nparts = \"list<file>\"\n[tasks.files]\n\
         run = 'mkdir \"$OUT/parts\"; echo 1 > \"$OUT/parts/a.tar.gz\"; echo 2 > \"$OUT/parts/b.csv\"'\n\
         [nodes.files]\n[outputs]\n{outputs}"
    )
}

#[track_caller]
fn expect(inputs: &str, outputs: &[(&str, &str, Value)]) {
    let lab = Lab::new();
    lab.write("w.toml", &workflow(inputs, outputs));
    let found = lab.ok("w.toml", &[]).outputs();
    for (name, template, expected) in outputs {
        assert_eq!(&found[*name], expected, "{template}");
    }
}

#[test]
fn lists_and_values() {
    expect(
        "xs = { type = \"list<int>\", default = [3, 1, 2] }\n\
         nested = { type = \"list<list<int>>\", default = [[1], [2, 3]] }\n\
         some = { type = \"string?\", default = \"x\" }\nmeta = { type = \"json\", default = { size = [1, 2] } }",
        &[
            ("sorted", "{{ inputs.xs | sort | join('-') }}", json!("1-2-3")),
            ("flat", "{{ inputs.nested | flatten }}", json!([1, 2, 3])),
            ("pairs", "{{ inputs.xs | zip(range(3)) }}", json!([[3, 0], [1, 1], [2, 2]])),
            ("tail", "{{ inputs.xs[1:] }}", json!([1, 2])),
            ("picked", "{{ inputs.meta.size[1] if 3 in inputs.xs else 0 }}", json!(2)),
            ("compacted", "{{ [none, inputs.some] | compact }}", json!(["x"])),
            ("chosen", "{{ coalesce(none, inputs.some) }}", json!("x")),
            ("json_text", "{{ inputs.meta | tojson }}", json!("{\"size\":[1,2]}")),
            ("read", "{{ ('[1, {}]' | fromjson)[0] }}", json!(1)),
            ("named", "v{{ '%03d' | format(inputs.xs | max) }}", json!("v003")),
        ],
    );
}

#[test]
fn paths_and_files() {
    expect(
        "path = { type = \"string\", default = \"data/in.csv\" }",
        &[
            ("names", "{{ files.parts | map('basename') | list }}", json!(["a.tar.gz", "b.csv"])),
            ("stems", "{{ files.parts | map('stem') | join(',') }}", json!("a.tar,b")),
            ("renamed", "{{ files.parts[1] | with_extension('.txt') }}", json!("b.txt")),
            ("ending", "{{ files.parts | first | extension }}", json!(".gz")),
            ("folder", "{{ inputs.path | dirname }}", json!("data")),
            ("sibling", "{{ inputs.path | dirname }}/{{ inputs.path | stem }}.svg", json!("data/in.svg")),
        ],
    );
}

#[test]
fn dates_and_durations() {
    expect(
        "day = { type = \"datetime\", default = 2026-03-29T00:30:00Z }\n\
         wait = { type = \"duration\", default = \"90m\" }",
        &[
            ("day_name", "{{ inputs.day | date('%Y-%m-%d') }}", json!("2026-03-29")),
            ("clock", "{{ inputs.day | date('%H:%M', timezone='America/New_York') }}", json!("20:30")),
            ("later", "{{ inputs.day | plus(inputs.wait) }}", json!("2026-03-29T02:00:00Z")),
            ("month", "{{ inputs.day | truncate_to('month') }}", json!("2026-03-01T00:00:00Z")),
            ("seconds", "{{ inputs.day | timestamp - inputs.wait }}", json!(1_774_738_800)),
        ],
    );
}

#[test]
fn results_fit_the_inputs_of_tasks() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        r#"[workflow]
name = "w"
[inputs]
day = { type = "datetime", default = 2026-03-29T00:30:00Z }
[tasks.make]
outputs = { f = "file" }
run = 'echo made > "$OUT/f"'
[tasks.show]
inputs = { day = "datetime", files = "list<file>" }
outputs = { text = { type = "string", from = "stdout" } }
argv = ["echo", "{{ day | date('%j') }}", "{{ files | map('basename') }}", "{{ files | length }}"]
[nodes.make]
[nodes.show]
if = "{{ inputs.day | date('%a') in ['Sat', 'Sun'] }}"
[nodes.show.inputs]
day = "{{ inputs.day | minus('1d') | truncate_to('day') }}"
files = "{{ [coalesce(make.f, none)] }}"
[outputs]
text = "{{ show.text }}"
"#,
    );
    assert_eq!(lab.ok("w.toml", &[]).outputs()["text"], "087 f 1");
}

/// `runner check` of a workflow with one output.
fn check(template: &str) -> Done {
    let lab = Lab::new();
    lab.write("w.toml", &workflow("x = { type = \"int\", default = 1 }", &[("y", template, Value::Null)]));
    lab.run(&["check", "w.toml"])
}

#[test]
fn names_that_do_not_exist_are_told_before_anything_runs() {
    for (template, message, underlined) in [
        ("{{ inputs.x | strin }}", "there is no filter `strin`; did you mean `string`?", 5),
        ("{{ inputs.x is od }}", "there is no test `od`; did you mean `odd`?", 2),
        ("{{ coalesc(inputs.x) }}", "there is no function `coalesc`; did you mean `coalesce`?", 7),
        ("{{ files.parts | map('stm') }}", "there is no filter `stm`; did you mean `stem`?", 3),
        ("{{ inputs.x.upper() }}", "there is no method `upper`; did you mean `x | upper`?", 5),
    ] {
        let done = check(template).expect_code(2);
        assert!(done.err.contains(message), "{template}: {}", done.err);
        assert!(done.err.contains(&format!(" {} ", "^".repeat(underlined))), "{template}: {}", done.err);
    }
}

#[test]
fn what_a_filter_does_not_take_is_told_by_name() {
    let lab = Lab::new();
    for (template, message) in [
        ("{{ inputs.x | upper }}", "`{{ inputs.x | upper }}`: `upper` takes text, found the number 1"),
        ("{{ files.parts[0] | dirname }}", "`dirname`: `a.tar.gz` has a name but no folder"),
        ("{{ 'in=' ~ files.parts[0] }}", "a file has no text inside an expression"),
        ("{{ inputs.x | date }}", "missing argument; it is written `date(format, timezone='UTC')`"),
        ("{{ range(10**9) }}", "`range` makes at most 100000 elements"),
        ("{{ 'x' * 10**9 }}", "it uses too much"),
        ("{{ [inputs.x] * 10**8 }}", "it uses too much"),
    ] {
        lab.write(
            "w.toml",
            &workflow("x = { type = \"int\", default = 1 }", &[("y", template, Value::Null)]),
        );
        let done = lab.run(&["exec", "w.toml"]);
        assert_ne!(done.code, Some(0), "{template}: {}", done.out);
        assert!(done.err.contains(message), "{template}: {}", done.err);
    }
}
