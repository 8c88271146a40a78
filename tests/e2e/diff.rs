//! `runner diff`: what changed between two runs, and what came first.

use crate::common::{Done, Lab};
use serde_json::{Value, json};

const WORKFLOW: &str = "\
[workflow]
name = 'w'
[inputs]
data = { type = 'file', default = 'data.csv' }
items = { type = 'list<int>', default = [1, 2, 3] }
limit = { type = 'int', default = 100 }
[defaults]
cache = true
[tasks.count]
inputs = { data = 'file' }
outputs = { rows = 'int' }
run = 'wc -l < \"$data\" > \"$OUT/rows\"'
[tasks.twice]
inputs = { i = 'int' }
outputs = { o = 'int' }
run = 'echo $((i * 2)) > \"$OUT/o\"'
[tasks.join]
inputs = { rows = 'int', all = 'list<int>', limit = 'int' }
outputs = { text = 'string' }
run = 'test $rows -lt $limit; echo \"$rows $all\" > \"$OUT/text\"'
[tasks.other]
outputs = { o = 'string' }
run = 'echo one > \"$OUT/o\"'
[nodes.count]
inputs = { data = '{{ inputs.data }}' }
[nodes.twice]
foreach = ['i']
inputs = { i = '{{ inputs.items }}' }
[nodes.join]
inputs = { rows = '{{ count.rows }}', all = '{{ twice.o }}', limit = '{{ inputs.limit }}' }
[nodes.other]
[outputs]
text = '{{ join.text }}'
";

fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("w.toml", WORKFLOW);
    lab.write("data.csv", "1\n2\n");
    lab.ok("w.toml", &[]);
    lab
}

fn diff(lab: &Lab, args: &[&str]) -> Done {
    lab.run(&[&["diff"], args].concat()).expect_code(0)
}

fn document(lab: &Lab) -> Value {
    serde_json::from_str(&diff(lab, &["@-2", "@last", "--json"]).out).unwrap()
}

/// `node role` of each difference.
fn told(document: &Value) -> Vec<String> {
    let nodes = document["nodes"].as_array().unwrap().iter();
    nodes
        .map(|node| format!("{} {}", node["node"].as_str().unwrap(), node["role"].as_str().unwrap()))
        .collect()
}

#[test]
fn a_changed_file_is_the_cause_and_the_rest_follows() {
    let lab = lab();
    lab.write("data.csv", "1\n2\n3\n");
    lab.ok("w.toml", &[]);
    let document = document(&lab);
    let mut nodes = told(&document);
    nodes.sort();
    assert_eq!(nodes, ["count cause", "join consequence", "other aside"]);
    let node = |name: &str| {
        document["nodes"].as_array().unwrap().iter().find(|node| node["node"] == name).unwrap().clone()
    };
    let input = &node("count")["inputs"][0];
    assert_eq!(
        (&input["name"], &input["before"]["size"], &input["after"]["size"]),
        (&json!("data"), &json!(4), &json!(6))
    );
    assert_eq!(node("join")["because"], json!(["count"]));
    assert_eq!(node("join")["inputs"], json!([{"name": "rows", "before": 2, "after": 3}]));
    assert_eq!(document["asked"][0]["name"], "inputs.data");
    assert_eq!(document["outputs"][0]["name"], "text");

    let text = diff(&lab, &["@last"]).out;
    for line in [
        "changed first\n  ~ count\n      inputs.data  data.csv (4 B, ",
        "followed from that\n  ~ join  because of count\n      inputs.rows  2 → 3\n",
        "same results\n  1 now from the cache\n",
    ] {
        assert!(text.contains(line), "{line}\n---\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn an_edited_command_is_named() {
    let lab = lab();
    lab.write("w.toml", &WORKFLOW.replace("echo one", "echo two"));
    lab.ok("w.toml", &[]);
    let document = document(&lab);
    assert_eq!(
        document["nodes"].as_array().unwrap().iter().filter(|node| node["role"] == "cause").count(),
        1
    );
    let text = diff(&lab, &["@last"]).out;
    assert!(text.contains("  ~ other\n      edited: run\n      command changed\n        @@ -1 +1 @@\n        -echo one > \"$OUT/o\"\n        +echo two > \"$OUT/o\"\n      outputs.o  \"one\" → \"two\"\n"), "{text}");
    assert!(text.contains("\nasked for\n  w.toml  "), "{text}");
}

#[test]
fn an_edited_source_is_named_with_its_lines() {
    let lab = Lab::new();
    let text = WORKFLOW
        .replace("[tasks.other]", "[tasks.other]\nsources = ['part.sh']")
        .replace("echo one", "sh part.sh");
    lab.write("w.toml", &text);
    lab.write("data.csv", "1\n");
    lab.write("part.sh", "set -e\necho one\n");
    lab.ok("w.toml", &[]);
    lab.write("part.sh", "set -e\necho two\n");
    lab.ok("w.toml", &[]);
    let text = diff(&lab, &["@last"]).out;
    let lines = "  ~ other\n      source part.sh changed\n        @@ -1,2 +1,2 @@\n         set -e\n        -echo one\n        +echo two\n";
    assert!(text.contains(lines), "{text}");
    let document = document(&lab);
    let other = document["nodes"].as_array().unwrap().iter().find(|node| node["node"] == "other").unwrap();
    let change = &other["changes"][0];
    assert_eq!(change["text"], "source part.sh changed: line 2 \"echo one\" -> \"echo two\"");
    assert_eq!((&change["part"], &change["line"]), (&json!("definition"), &json!(2)));
}

#[test]
fn nodes_inside_of_elements_are_counted() {
    let lab = Lab::new();
    lab.write(
        "inner.toml",
        "[workflow]\nname = 'inner'\n[inputs]\ni = 'int'\n[tasks.t]\ninputs = { i = 'int' }\noutputs = { o = 'int' }\n\
         run = 'echo $i > $OUT/o'\n[nodes.t]\ninputs = { i = '{{ inputs.i }}' }\n[outputs]\no = '{{ t.o }}'\n",
    );
    let text = |list: &str| {
        format!(
            "[workflow]\nname = 'w'\n[nodes.prep]\nworkflow = 'inner.toml'\nforeach = ['i']\ninputs = {{ i = {list} }}\n"
        )
    };
    lab.write("w.toml", &text("[1, 2, 3]"));
    lab.ok("w.toml", &[]);
    lab.write("w.toml", &text("[1, 5, 3]"));
    lab.ok("w.toml", &[]);
    let shown = diff(&lab, &["@last"]).out;
    assert!(shown.contains("~ prep/t  1 of 3 elements differ\n"), "{shown}");
    assert!(!shown.contains("of 0 elements"), "{shown}");
}

#[test]
fn elements_are_told_together() {
    let lab = lab();
    lab.ok("w.toml", &["-i", "items=[1,20,3]"]);
    let text = diff(&lab, &["@last"]).out;
    assert!(
        text.contains("\n  ~ twice  1 of 3 elements differ\n    ~ twice[1]\n        inputs.i  2 → 20\n"),
        "{text}"
    );
    assert!(text.contains("~ join  because of twice\n"), "{text}");
    let document = document(&lab);
    assert_eq!(document["elements"], json!([{"node": "twice", "before": 3, "after": 3, "differ": 1}]));
}

#[test]
fn a_failure_leads_to_its_log() {
    let lab = lab();
    lab.exec("w.toml", &["-i", "limit=1"]).expect_code(1);
    let text = diff(&lab, &["@last"]).out;
    assert!(
        text.contains("✗ join  failed, was succeeded\n      exit 1\n      inputs.limit  100 → 1\n"),
        "{text}"
    );
    lab.write("w.toml", &WORKFLOW.replace("[nodes.other]", "[nodes.other]\nneeds = ['join']"));
    lab.exec("w.toml", &["-i", "limit=1"]).expect_code(1);
    let skipped = diff(&lab, &["@-3", "@last"]).out;
    assert!(skipped.contains("○ other  skipped, was succeeded; because of join\n\n"), "{skipped}");
    assert!(text.contains("runner logs ") && !text.contains("outputs.text"), "{text}");
}

#[test]
fn nodes_come_and_go() {
    let lab = lab();
    lab.write("w.toml", &WORKFLOW.replace("[nodes.other]", "[nodes.another]\ntask = 'other'"));
    lab.ok("w.toml", &[]);
    let text = diff(&lab, &["@last"]).out;
    assert!(
        text.contains("  + another  new, succeeded\n") && text.contains("  - other  gone, was succeeded\n"),
        "{text}"
    );
}

#[test]
fn the_same_again_says_so() {
    let lab = lab();
    lab.ok("w.toml", &[]);
    let text = diff(&lab, &["@last"]).out;
    assert!(text.contains("nothing else differs: 6 nodes have the same inputs and results\n"), "{text}");
}

#[test]
fn errors_say_how_to_mend_them() {
    let lab = lab();
    let first = lab.run(&["diff", "@last"]).expect_code(2);
    assert!(
        first.err.contains("is the first of workflow `w`") && first.err.contains("diff RUN RUN"),
        "{}",
        first.err
    );
    assert!(lab.run(&["diff", "@last", "nope"]).expect_code(2).err.contains("there is no run `nope`"));
}

#[test]
fn one_node_that_is_the_same_is_no_plural() {
    let lab = Lab::new();
    let text = "[workflow]\nname = 'w'\n[tasks.n]\ncache = true\noutputs = { o = 'int' }\nrun = 'echo 1 > $OUT/o'\n[nodes.n]\n";
    lab.write("w.toml", text);
    lab.ok("w.toml", &[]);
    lab.ok("w.toml", &[]);
    let text = diff(&lab, &["@last"]).out;
    assert!(text.contains("nothing else differs: 1 node has the same inputs and results\n"), "{text}");
}
