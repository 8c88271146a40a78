//! `glob("data/*.csv")` in a binding: the files that match are the value, by name and content.

use crate::common::Lab;

const FLOW: &str = r#"
[workflow]
name = "globs"
[tasks.cat]
cache = true
inputs = { parts = "list<file>" }
outputs = { all = { type = "string", from = "stdout" }, n = "int" }
args = ["{{ parts }}"]
run = 'echo x >> "@COUNT@"; for f in "$@"; do printf "%s:%s " "$(basename "$f")" "$(cat "$f")"; done; echo $# > "$OUT/n"'
[nodes.cat]
inputs = { parts = BINDING }
[outputs]
all = "{{ cat.all }}"
n = "{{ cat.n }}"
"#;

fn lab(binding: &str) -> Lab {
    let lab = Lab::new();
    lab.write("w.toml", &FLOW.replace("BINDING", binding));
    for (name, text) in
        [("data/b.csv", "B"), ("data/a.csv", "A"), ("data/deep/c.csv", "C"), ("data/d.txt", "D")]
    {
        lab.write(name, text);
    }
    lab
}

#[test]
fn what_matches_is_the_value_sorted_by_path() {
    for (binding, expected) in [
        (r#"'glob("data/*.csv")'"#, "a.csv:A b.csv:B "),
        (r#""{{ glob('data/*.csv') }}""#, "a.csv:A b.csv:B "),
        (r#""{{ glob('data/**/*.csv') }}""#, "a.csv:A b.csv:B c.csv:C "),
        (r#""{{ glob('data/*.csv') | reverse }}""#, "b.csv:B a.csv:A "),
        (r#""{{ glob('data/*.txt') + glob('data/deep/*') }}""#, "d.txt:D c.csv:C "),
        (r#"["data/d.txt", "{{ glob('data/*.csv') | first }}"]"#, "d.txt:D a.csv:A "),
        (r#""{{ glob('@DIR@/data/*.csv') }}""#, "a.csv:A b.csv:B "),
        (r#""{{ glob('none/*.csv') }}""#, ""),
    ] {
        let lab = lab(binding);
        let done = lab.ok("w.toml", &[]);
        assert_eq!(done.outputs()["all"], expected, "{binding}");
        assert_eq!(lab.ok("w.toml", &[]).cache("cat"), "hit", "{binding}");
    }
}

#[test]
fn a_new_file_a_changed_one_and_a_renamed_one_are_changed_inputs() {
    let lab = lab(r#""{{ glob('data/*.csv') }}""#);
    let plan =
        || lab.run(&["plan", "w.toml", "--json"]).expect_code(0).events("node_planned")[0]["cache"].clone();
    assert_eq!(lab.ok("w.toml", &[]).cache("cat"), "populated");
    lab.write("data/e.txt", "no match");
    assert_eq!(plan(), "hit");
    lab.write("data/new.csv", "N");
    assert_eq!(plan(), "miss");
    let why = lab.run(&["why", "w.toml", "cat"]);
    assert!(why.out.contains("1 added (new.csv)"), "{}", why.out);
    let done = lab.ok("w.toml", &[]);
    assert_eq!((done.cache("cat").as_str(), &done.outputs()["n"]), ("populated", &3.into()));
    lab.write("data/a.csv", "other");
    assert_eq!(lab.ok("w.toml", &[]).cache("cat"), "populated");
    std::fs::rename(lab.path("data/b.csv"), lab.path("data/z.csv")).unwrap();
    assert_eq!(lab.ok("w.toml", &[]).cache("cat"), "populated");
    // The folder above is not part of the value.
    std::fs::rename(lab.path("data"), lab.path("moved")).unwrap();
    lab.write("w.toml", &FLOW.replace("BINDING", r#""{{ glob('moved/*.csv') }}""#));
    assert_eq!(lab.ok("w.toml", &[]).cache("cat"), "hit");
    assert_eq!(lab.ran(), 4);
}

#[test]
fn elements_conditions_defaults_and_sub_workflows() {
    let lab = lab("[]");
    lab.write(
        "sub/each.toml",
        "[workflow]\nname = \"each\"\n[inputs]\nfiles = { type = \"list<file>\", default = 'glob(\"*.dat\")' }\n\
         [tasks.size]\ncache = true\ninputs = { f = \"file\" }\n\
         outputs = { n = { type = \"int\", from = \"stdout\" } }\nrun = 'wc -c < \"$f\"'\n\
         [nodes.size]\nforeach = [\"f\"]\ninputs = { f = \"{{ inputs.files }}\" }\n\
         [nodes.lone]\ntask = \"size\"\nforeach = [\"f\"]\nif = \"{{ glob('*.dat') | length > 1 }}\"\n\
         inputs = { f = \"{{ glob('../data/*.csv') }}\" }\n\
         [outputs]\nsizes = \"{{ size.n }}\"\nlone = \"{{ lone.n }}\"\n",
    );
    lab.write("sub/1.dat", "1");
    lab.write("sub/2.dat", "22");
    lab.write(
        "outer.toml",
        "[workflow]\nname = \"outer\"\n[nodes.each]\nworkflow = \"sub/each.toml\"\n\
         [nodes.other]\nworkflow = \"sub/each.toml\"\ninputs = { files = \"{{ glob('data/*') }}\" }\n\
         [outputs]\nsizes = \"{{ each.sizes }}\"\nother = \"{{ other.sizes }}\"\nlone = \"{{ other.lone }}\"\n",
    );
    let done = lab.ok("outer.toml", &[]).outputs();
    assert_eq!(done, serde_json::json!({ "sizes": [1, 2], "other": [1, 1, 1], "lone": [1, 1] }));
    std::fs::remove_file(lab.path("sub/2.dat")).unwrap();
    let again = lab.ok("outer.toml", &[]).outputs();
    assert_eq!(again, serde_json::json!({ "sizes": [1], "other": [1, 1, 1], "lone": null }));
    let retold = lab.run(&["rerun", "@last", "--json"]).expect_code(0);
    assert_eq!(retold.finished()["executed"], 0);
}

#[test]
fn what_is_wrong_is_said_before_anything_runs() {
    for (binding, needle) in [
        (r#""{{ glob('a[') }}""#, "not a valid glob"),
        (r#""{{ glob(inputs.x) }}""#, "`glob` takes one pattern in quotes"),
        (r#""{{ glob('') }}""#, "found empty text"),
    ] {
        let lab = lab(binding);
        let done = lab.run(&["check", "w.toml"]).expect_code(2);
        assert!(done.err.contains(needle), "{binding}: {}", done.err);
    }
    let wrong_type = lab("[]");
    let text = FLOW.replace("BINDING", "[]");
    wrong_type.write("w.toml", &text.replace("\"{{ parts }}\"", "\"{{ glob('*') }}\""));
    let done = wrong_type.run(&["check", "w.toml"]).expect_code(2);
    assert!(done.err.contains("a task sees only its inputs"), "{}", done.err);
    wrong_type.write("w.toml", &text.replace("\"{{ cat.n }}\"", "\"{{ glob('*') }}\""));
    let done = wrong_type.run(&["check", "w.toml"]).expect_code(2);
    assert!(done.err.contains("looks for files instead of an output of a node"), "{}", done.err);
    let empty = lab(r#""{{ glob('nothing/*.csv') }}""#);
    let done = empty.run(&["check", "w.toml"]).expect_code(0);
    assert!(done.err.contains("no file matches `nothing/*.csv`"), "{}", done.err);
}

#[test]
fn files_that_match_are_never_published_over() {
    let lab = lab(r#""{{ glob('data/*.csv') }}""#);
    let text = lab.read("w.toml").replace("all = { type = \"string\", from", "all = { type = \"file\", from");
    lab.write(
        "w.toml",
        &text
            .replace("all = \"{{ cat.all }}\"", "all = { value = \"{{ cat.all }}\", path = \"data/a.csv\" }"),
    );
    let done = lab.run(&["exec", "w.toml", "--replace-outputs"]);
    assert_ne!(done.code, Some(0));
    assert!(done.err.contains("never replaced"), "{}", done.err);
    assert_eq!(lab.read("data/a.csv"), "A");
}
