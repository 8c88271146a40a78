//! Sub-workflows: a whole workflow as one node of another, with a typed interface and nodes of its own.

use crate::common::{Done, Lab};
use serde_json::{Value, json};

/// Used below as a node, and by itself.
const PREP: &str = "\
[workflow]
name = \"prep\"
[inputs]
word = \"string\"
times = { type = \"int\", default = 2 }
[tasks.clean]
cache = true
inputs = { word = \"string\" }
outputs = { x = \"string\" }
run = 'echo clean >> @COUNT@; echo \"cleaning $word\"; \
test \"$word\" != bad; printf %s \"$word\" > \"$OUT/x\"'
[tasks.repeat]
cache = true
inputs = { word = \"string\", times = \"int\" }
outputs = { x = \"string\" }
run = 'echo repeat >> @COUNT@; for _ in $(seq \"$times\"); do printf %s \"$word\"; done > \"$OUT/x\"'
[nodes.clean]
inputs = { word = \"{{ inputs.word }}\" }
[nodes.repeat]
inputs = { word = \"{{ clean.x }}\", times = \"{{ inputs.times }}\" }
[outputs]
out = \"{{ repeat.x }}\"
";

const MAIN: &str = "\
[workflow]
name = \"main\"
[inputs]
word = { type = \"string\", default = \"ab\" }
[tasks.use]
cache = true
inputs = { word = \"string\" }
outputs = { x = \"string\" }
run = 'echo use >> @COUNT@; printf \"<%s>\" \"$word\" > \"$OUT/x\"'
[nodes.prep]
workflow = \"prep.toml\"
inputs = { word = \"{{ inputs.word }}\" }
[nodes.use]
inputs = { word = \"{{ prep.out }}\" }
[outputs]
x = \"{{ use.x }}\"
";

/// `prep.toml` once for each word.
const EACH: &str = "\
[workflow]
name = \"each\"
[inputs]
words = { type = \"list<string>\", default = [\"a\", \"b\", \"c\", \"d\"] }
[nodes.prep]
workflow = \"prep.toml\"
foreach = [\"word\"]
inputs = { word = \"{{ inputs.words }}\" }
[outputs]
all = \"{{ prep.out }}\"
";

/// A workflow `w.toml` beside `prep.toml`.
fn lab(text: &str) -> Lab {
    let lab = Lab::new();
    lab.write("prep.toml", PREP);
    lab.write("w.toml", text);
    lab
}

/// The nodes that ended, in order of their names; elements and whole nodes as well.
fn ended(run: &Done) -> Vec<String> {
    let events = run.events("node_finished");
    let mut names: Vec<_> = events.iter().map(|event| event["node"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

fn names(run: &Done) -> Vec<Value> {
    run.lines().iter().map(|line| line["node"].clone()).collect()
}

#[test]
fn a_node_hands_its_inputs_in_and_the_workflows_outputs_out() {
    let lab = lab(MAIN);
    let run = lab.ok("w.toml", &[]);
    assert_eq!(run.outputs(), json!({ "x": "<abab>" }), "`times` has its default");
    lab.write(
        "w.toml",
        &MAIN.replace("word = \"{{ inputs.word }}\" }", "word = \"{{ inputs.word }}\", times = 3 }"),
    );
    assert_eq!(lab.ok("w.toml", &[]).outputs(), json!({ "x": "<ababab>" }));
}

#[test]
fn its_nodes_appear_under_its_name_and_it_sums_them_up() {
    let run = lab(MAIN).ok("w.toml", &[]);
    assert_eq!(ended(&run), ["prep", "prep/clean", "prep/repeat", "use"]);
    assert_eq!(run.node("prep/clean")["task"], "prep.clean");
    assert_eq!(run.node("prep/repeat")["inputs"], json!({ "times": 2, "word": "ab" }));
    assert_eq!(
        (&run.node("prep")["task"], &run.node("prep")["outputs"]),
        (&json!("prep"), &json!({ "out": "abab" }))
    );
    assert_eq!((&run.finished()["nodes"], &run.finished()["executed"]), (&json!(3), &json!(3)));
}

#[test]
fn show_logs_and_plan_name_its_nodes() {
    let lab = lab(MAIN);
    let planned = lab.run(&["plan", "w.toml", "--json"]).expect_code(0);
    assert_eq!(names(&planned), ["prep/clean", "prep/repeat", "use"]);
    lab.ok("w.toml", &[]);
    let shown = lab.run(&["show", "@last"]).expect_code(0).out;
    for node in ["prep/clean", "prep/repeat", "prep", "use"] {
        assert!(shown.lines().any(|line| line.starts_with(&format!("✓ {node} "))), "{node}\n{shown}");
    }
    assert_eq!(lab.run(&["logs", "@last", "prep/clean"]).expect_code(0).out, "cleaning ab\n");
    let again = lab.run(&["plan", "w.toml", "--json"]).expect_code(0);
    assert!(again.lines().iter().all(|line| line["cache"] == "hit"), "{}", again.out);
}

#[test]
fn results_are_the_ones_of_the_workflow_by_itself() {
    let lab = lab(MAIN);
    let alone = lab.ok("prep.toml", &["-i", "word=ab"]);
    let run = lab.ok("w.toml", &[]);
    for node in ["clean", "repeat"] {
        let inside = run.node(&format!("prep/{node}"));
        assert_eq!((&inside["cache"], &inside["key"]), (&json!("hit"), &json!(alone.key(node))));
        assert_eq!(inside["source"]["node"], node);
    }
    assert_eq!((lab.ran_as("clean"), lab.ran_as("repeat"), lab.ran_as("use")), (1, 1, 1));
    lab.ok("w.toml", &["-i", "word=new"]);
    let alone = lab.ok("prep.toml", &["-i", "word=new"]);
    assert_eq!((alone.cache("clean"), alone.cache("repeat")), ("hit".into(), "hit".into()));
}

#[test]
fn flags_select_its_nodes_by_name_by_glob_and_all_of_them_by_its_own() {
    let lab = lab(MAIN);
    let planned = |flags: &[&str]| {
        let done = lab.run(&[&["plan", "w.toml", "--json"], flags].concat()).expect_code(0);
        names(&done).iter().map(|name| name.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = ["prep/clean", "prep/repeat", "use"];
    assert_eq!(planned(&["--until", "prep/clean"]), all[..1]);
    assert_eq!(planned(&["--until", "*/clean"]), all[..1]);
    for name in ["prep", "prep/*", "prep/repeat", "*/repeat", "p*"] {
        assert_eq!(planned(&["--until", name]), all[..2], "{name}");
    }
    assert_eq!(planned(&["--until", "use"]), all);
    lab.ok("w.toml", &["--until", "prep/clean"]);
    assert_eq!((lab.ran_as("clean"), lab.ran()), (1, 1));
    lab.ok("w.toml", &["--until", "prep"]);
    assert_eq!((lab.ran_as("repeat"), lab.ran()), (1, 2));
}

#[test]
fn only_and_overwrite_reach_into_it_and_the_rest_comes_from_the_cache() {
    let lab = lab(MAIN);
    let missing = lab.exec("w.toml", &["--only", "prep/repeat"]).expect_code(1);
    assert!(missing.err.contains("`prep/clean` was not selected"), "{}", missing.err);
    assert_eq!(lab.ran(), 0);
    lab.ok("w.toml", &[]);
    for name in ["prep/repeat", "prep", "use", "prep/*"] {
        let run = lab.ok("w.toml", &["--only", name]);
        assert_eq!(run.finished()["executed"], 0, "{name}");
    }
    assert_eq!(lab.ran(), 3);
    let again = lab.ok("w.toml", &["--overwrite=prep/repeat"]);
    assert_eq!((again.cache("prep/clean"), again.cache("prep/repeat")), ("hit".into(), "skipped".into()));
    lab.ok("w.toml", &["--overwrite=prep"]);
    assert_eq!((lab.ran_as("clean"), lab.ran_as("repeat"), lab.ran_as("use")), (2, 3, 1));
}

#[test]
fn a_name_that_selects_nothing_is_refused_and_its_nodes_have_no_short_names() {
    let lab = lab(MAIN);
    for (name, told) in
        [("clean", "no node of this workflow has that name"), ("prep/claen", "did you mean `prep/clean`?")]
    {
        let refused = lab.exec("w.toml", &["--only", name]).expect_code(2);
        assert!(refused.err.contains(told), "{}", refused.err);
    }
    assert_eq!(lab.ran(), 0);
}

#[test]
fn skip_takes_the_whole_of_it() {
    let lab = lab(MAIN);
    let run = lab.ok("w.toml", &["--skip", "prep"]);
    assert_eq!(
        (&run.node("prep")["reason"], &run.node("use")["reason"]),
        (&json!("skipped on request"), &json!("`prep` was skipped"))
    );
    assert_eq!((run.outputs(), lab.ran()), (json!({ "x": null }), 0));
}

#[test]
fn a_condition_skips_the_whole_of_it_too() {
    let lab = lab(&MAIN.replace("\"prep.toml\"\n", "\"prep.toml\"\nif = \"{{ inputs.word != 'ab' }}\"\n"));
    let run = lab.ok("w.toml", &[]);
    assert_eq!(
        (&run.node("prep")["reason"], lab.ran()),
        (&json!("its condition is false: {{ inputs.word != 'ab' }}, where inputs.word = \"ab\""), 0)
    );
    assert_eq!(lab.ok("w.toml", &["-i", "word=x"]).outputs(), json!({ "x": "<xx>" }));
}

#[test]
fn an_output_that_a_condition_inside_may_leave_null_is_typed_so() {
    let lab = lab(MAIN);
    lab.write(
        "prep.toml",
        &PREP.replace("[nodes.repeat]\n", "[nodes.repeat]\nif = \"{{ inputs.times > 2 }}\"\n"),
    );
    let refused = lab.run(&["check", "w.toml"]).expect_code(2).err;
    assert!(refused.contains("`word` is string, but `{{ prep.out }}` is string?"), "{refused}");
    let soft = MAIN.replace("inputs = { word = \"string\" }", "inputs = { word = \"string?\" }");
    lab.write("w.toml", &soft.replace("\"$word\"", "\"${word-null}\""));
    assert_eq!(lab.ok("w.toml", &[]).outputs(), json!({ "x": "<null>" }));
}

#[test]
fn a_failure_names_the_node_inside() {
    let lab = lab(MAIN);
    let run = lab.exec("w.toml", &["-i", "word=bad"]).expect_code(1);
    assert_eq!(run.node("prep/clean")["error"]["exit_code"], 1);
    assert_eq!(run.node("prep/repeat")["reason"], "`prep/clean` failed");
    assert_eq!(run.node("prep")["status"], "failed");
    assert_eq!(run.node("use")["reason"], "`prep` failed");
    assert_eq!((&run.finished()["failed"], &run.finished()["skipped"]), (&json!(1), &json!(2)));
    let said = lab.run(&["exec", "w.toml", "-i", "word=bad"]).expect_code(1).err;
    assert!(said.contains("✗ prep/clean  exit 1") && said.contains(" prep/clean\n"), "{said}");
}

#[test]
fn used_twice_each_has_nodes_of_its_own() {
    let second = "[nodes.again]\n\
                  workflow = \"prep.toml\"\ninputs = { word = \"{{ prep.out }}\", times = 1 }\n\
                  [outputs]\nagain = \"{{ again.out }}\"\n";
    let lab = lab(&MAIN.replace("[outputs]\n", second));
    let run = lab.ok("w.toml", &[]);
    assert_eq!(run.outputs(), json!({ "again": "abab", "x": "<abab>" }));
    assert_eq!(run.node("again/clean")["inputs"], json!({ "word": "abab" }));
    assert_eq!(run.node("prep/clean")["inputs"], json!({ "word": "ab" }));
    assert_eq!((lab.ran_as("clean"), lab.ran_as("repeat")), (2, 2));
}

#[test]
fn errors_in_the_use_of_it_are_found_by_check_at_their_place() {
    let bound = "{ word = \"{{ inputs.word }}\" }";
    for (from, to, told, place) in [
        (bound, "{ wrod = \"a\" }", "binds `wrod`, which is no input of workflow `prep.toml`", "12:12"),
        (bound, "{ wrod = \"a\" }", "did you mean `word`?", "12:12"),
        (bound, "{ times = 3 }", "node `prep` leaves the input `word` unbound", "12:10"),
        (bound, "{ word = 3 }", "`word` does not fit its type string", "12:19"),
        (bound, "{ word = \"a\", times = \"x\" }", "`times` does not fit its type int", "12:32"),
        (
            bound,
            "{ word = \"a\", times = \"{{ inputs.word }}\" }",
            "`times` is int, but `{{ inputs.word }}` is string",
            "12:32",
        ),
        ("prep.out", "prep.ot", "node `prep` has no output `ot`", "14:23"),
        ("prep.out", "prep.clean", "node `prep` has no output `clean`", "14:23"),
        ("prep.out", "clean.x", "there is no node `clean`", "14:23"),
        ("\"prep.toml\"", "\"gone.toml\"", "the sub-workflow cannot be read: there is no file", "11:12"),
        ("\"prep.toml\"", "\"\"", "`workflow` must not be empty", "11:12"),
        ("\"prep.toml\"", "true", "`workflow` must be a string", "11:12"),
        ("\"prep.toml\"", "\"w.toml\"", "a workflow cannot run itself: w.toml runs w.toml", "11:12"),
        (
            "\"prep.toml\"",
            "\"prep.toml\"\ntask = \"use\"",
            "node `prep` has both `task` and `workflow`",
            "12:8",
        ),
        ("\"prep.toml\"", "\"prep.toml\"\nretries = 1", "`retries` is about one task", "12:11"),
    ] {
        let lab = lab(&MAIN.replacen(from, to, 1));
        let checked = lab.run(&["check", "w.toml"]).expect_code(2).err;
        assert!(
            checked.contains(told) && checked.contains(&format!("--> w.toml:{place}\n")),
            "{to}\n{checked}"
        );
        lab.exec("w.toml", &[]).expect_code(2);
        assert_eq!(lab.ran(), 0);
    }
}

#[test]
fn errors_inside_it_are_found_too_and_placed_in_its_own_file() {
    for (text, told, place) in [
        (PREP.replace("clean.x", "clean.y"), "node `clean` has no output `y`", "prep.toml:19:23"),
        ("[workflow".into(), "a table's header is not closed", "prep.toml:1:10"),
        ("[library]\nname = \"l\"\n".into(), "this file is a library, not a workflow", "prep.toml:1:1"),
    ] {
        let lab = lab(MAIN);
        lab.write("prep.toml", &text);
        let checked = lab.run(&["check", "w.toml"]).expect_code(2).err;
        assert!(checked.contains(told) && checked.contains(&format!("--> {place}\n")), "{checked}");
        assert_eq!(checked.matches("error: ").count(), 1, "an error is told once\n{checked}");
    }
}

#[test]
fn workflows_that_run_each_other_are_refused_by_the_names_of_both() {
    let lab = Lab::new();
    let runs =
        |name, other| format!("[workflow]\nname = \"{name}\"\n[nodes.n]\nworkflow = \"{other}.toml\"\n");
    lab.write("a.toml", &runs("a", "b"));
    lab.write("b.toml", &runs("b", "a"));
    let checked = lab.run(&["check", "a.toml"]).expect_code(2).err;
    assert!(checked.contains("a workflow cannot run itself: a.toml runs b.toml runs a.toml"), "{checked}");
    assert!(checked.contains("--> b.toml:4:12\n"), "{checked}");
}

#[test]
fn over_a_list_it_runs_once_for_each_element_and_its_outputs_are_lists_in_order() {
    let run = lab(EACH).ok("w.toml", &["-j", "4"]);
    assert_eq!(run.outputs(), json!({ "all": ["aa", "bb", "cc", "dd"] }));
    assert_eq!(run.node("prep[2]/clean")["inputs"], json!({ "word": "c" }));
    let events = run.events("node_finished");
    let elements = events.iter().filter(|event| event["node"] == "prep" && event["index"] == 2);
    assert_eq!(elements.map(|event| event["outputs"].clone()).collect::<Vec<_>>(), [json!({ "out": "cc" })]);
    let whole = run.node("prep");
    assert_eq!((&whole["index"], &whole["outputs"]["out"][3]), (&Value::Null, &json!("dd")));
    assert_eq!(run.finished()["executed"], 8);
}

#[test]
fn when_one_element_changes_only_its_nodes_run() {
    let lab = lab(EACH);
    lab.ok("w.toml", &[]);
    assert_eq!(lab.ran(), 8);
    let run = lab.ok("w.toml", &["-i", "words=[\"a\",\"b\",\"X\",\"d\"]"]);
    assert_eq!(run.outputs(), json!({ "all": ["aa", "bb", "XX", "dd"] }));
    assert_eq!(lab.ran(), 10);
    assert_eq!((run.cache("prep[2]/clean"), run.cache("prep[1]/clean")), ("populated".into(), "hit".into()));
    assert_eq!(lab.run(&["logs", "@last", "prep[2]/clean"]).expect_code(0).out, "cleaning X\n");
}

#[test]
fn an_element_that_fails_is_named_with_the_node_inside_it() {
    let lab = lab(EACH);
    let run = lab.exec("w.toml", &["-k", "-i", "words=[\"a\",\"bad\",\"c\"]"]).expect_code(1);
    assert_eq!(run.node("prep[1]/clean")["status"], "failed");
    assert_eq!(
        (run.cache("prep[0]/repeat"), run.cache("prep[2]/repeat")),
        ("populated".into(), "populated".into())
    );
    assert_eq!(run.node("prep")["status"], "failed");
}

/// Three files in three folders; what each names is beside it.
#[test]
fn nested_ones_have_imports_and_paths_of_their_own_relative_to_their_own_files() {
    let lab = Lab::new();
    let word = "[inputs]\nword = \"string\"\n";
    lab.write(
        "parts/lib/text.toml",
        "[library]\nname = \"text\"\n[tasks.join]\ncache = true\nsources = [\"join.sh\"]\n\
         inputs = { f = \"file\", word = \"string\" }\noutputs = { x = \"string\" }\n\
         run = 'echo join >> @COUNT@; bash join.sh \"$f\" \"$word\" > \"$OUT/x\"'\n",
    );
    lab.write("parts/lib/join.sh", "echo \"$(cat \"$1\")-$2\"");
    lab.write("parts/inner/data/d.txt", "inner data");
    lab.write("data/d.txt", "another");
    lab.write(
        "parts/inner/inner.toml",
        &format!(
            "import = [\"../lib/text.toml\"]\n[workflow]\nname = \"inner\"\n\
             {word}[nodes.join]\ntask = \"text.join\"\n\
             inputs = {{ f = \"data/d.txt\", word = \"{{{{ inputs.word }}}}\" }}\n\
             [outputs]\nx = \"{{{{ join.x }}}}\"\n"
        ),
    );
    let runs = |name: &str, file: &str, word: &str| {
        format!(
            "[workflow]\nname = \"{name}\"\n{word}[nodes.{name}]\nworkflow = \"{file}\"\n\
             inputs = {{ word = \"{{{{ inputs.word }}}}\" }}\n[outputs]\nx = \"{{{{ {name}.x }}}}\"\n"
        )
    };
    lab.write("parts/middle.toml", &runs("middle", "inner/inner.toml", word));
    lab.write(
        "w.toml",
        &runs("outer", "parts/middle.toml", "[inputs]\nword = { type = \"string\", default = \"w\" }\n"),
    );
    let run = lab.ok("w.toml", &[]);
    assert_eq!(run.outputs(), json!({ "x": "inner data-w" }));
    assert_eq!(ended(&run), ["outer", "outer/middle", "outer/middle/join"]);
    assert_eq!(run.node("outer/middle/join")["task"], "text.join");
    assert_eq!(lab.ok("w.toml", &["--until", "outer/*/join"]).cache("outer/middle/join"), "hit");
    let elsewhere = crate::common::finish(
        lab.command(&["exec", "../../w.toml", "--json"]).current_dir(lab.path("parts/inner")),
    );
    assert_eq!(elsewhere.expect_code(0).cache("outer/middle/join"), "hit");
    assert_eq!(lab.ran(), 1);
}

#[test]
fn a_plan_counts_what_is_below_elements_that_would_run() {
    let lab = Lab::new();
    let task = |name: &str| {
        format!(
            "[tasks.{name}]\ncache = true\ninputs = {{ x = \"int\" }}\noutputs = {{ y = \"int\" }}\nrun = 'echo $((x + 1)) > \"$OUT/y\"'\n"
        )
    };
    let inner = format!(
        "[workflow]\nname = \"inner\"\n[inputs]\nx = \"int\"\n{}{}[nodes.a]\ninputs = {{ x = \"{{{{ inputs.x }}}}\" }}\n\
         [nodes.b]\ninputs = {{ x = \"{{{{ a.y }}}}\" }}\n[outputs]\ny = \"{{{{ b.y }}}}\"\n",
        task("a"),
        task("b")
    );
    lab.write("inner.toml", &inner);
    let outer = "[workflow]\nname = \"outer\"\n[inputs]\nxs = \"list<int>\"\n[nodes.sub]\nworkflow = \"inner.toml\"\n\
                 foreach = [\"x\"]\ninputs = { x = \"{{ inputs.xs }}\" }\n";
    lab.write("outer.toml", outer);
    let plan = |xs: &str| lab.run(&["plan", "outer.toml", "-i", &format!("xs={xs}")]).expect_code(0).out;
    assert!(plan("[1, 20, 300]").ends_with("6 would run, 0 from the cache\n"));
    assert!(plan("[1, 20, 300]").contains("waits for `sub/a`"));
    let ran = lab.ok("outer.toml", &["-i", "xs=[1, 20, 300]"]);
    assert_eq!(ran.finished()["executed"], 6);
    assert!(plan("[1, 20, 4000]").contains("\n2 would run, 4 from the cache\n"), "{}", plan("[1, 20, 4000]"));
    assert!(plan("[1, 20]").contains("\nnothing would run: 4 from the cache\n"), "{}", plan("[1, 20]"));
}

#[test]
fn no_two_files_share_a_name_and_with_it_their_results() {
    let lab = Lab::new();
    let child = |name: &str, more: &str| {
        format!("{more}[workflow]\nname = \"{name}\"\n[tasks.t]\nrun = 'true'\n[nodes.t]\n")
    };
    let parent = "[workflow]\nname = \"parent\"\n[nodes.sub]\nworkflow = \"child.toml\"\n";
    lab.write("w.toml", parent);
    lab.write("child.toml", &child("parent", ""));
    let said = lab.run(&["check", "w.toml"]).expect_code(2).err;
    assert!(said.contains("are both called `parent`") && said.contains("child.toml:2:8"), "{said}");
    lab.write("child.toml", &child("child", "import = [\"lib.toml\"]\n"));
    lab.write("lib.toml", "[library]\nname = \"parent\"\n[tasks.t]\nrun = 'true'\n");
    let said = lab.run(&["check", "w.toml"]).expect_code(2).err;
    assert!(said.contains("are both called `parent`"), "{said}");
    lab.write("lib.toml", "[library]\nname = \"lib\"\n[tasks.t]\nrun = 'true'\n");
    lab.run(&["check", "w.toml"]).expect_code(0);
}

#[test]
fn a_node_that_only_has_to_come_first_need_not_be_in_the_cache() {
    let lab = Lab::new();
    let text = "[workflow]\nname = \"w\"\n[tasks.t]\nrun = 'true'\n[nodes.first]\ntask = \"t\"\n\
                [nodes.second]\ntask = \"t\"\nneeds = [\"first\"]\n";
    lab.write("w.toml", text);
    let run = lab.ok("w.toml", &["--only", "second"]);
    assert_eq!(run.finished()["nodes"], 1);
}
