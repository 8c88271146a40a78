//! What a run says besides its result: what to do after a failure, what it was asked for, what was slow, and once, at the
//! end of a first run, that tasks are not cached.

use crate::common::Lab;
use serde_json::{Value, json};

const FAILS: &str = "\
[workflow]
name = 'w'
[inputs]
n = { type = 'int', default = 3 }
[tasks.t]
inputs = { n = 'int' }
run = 'test $n != 3'
[nodes.t]
inputs = { n = '{{ inputs.n }}' }
";

#[test]
fn a_failure_says_what_comes_next() {
    let lab = Lab::new();
    lab.write("w.toml", FAILS);
    let failed = lab.run(&["exec", "w.toml"]).expect_code(1);
    let run = lab.run(&["runs", "--json"]).expect_code(0).lines()[0]["run"].as_str().unwrap().to_owned();
    for command in [format!("  runner retry {run}"), format!("  runner shell {run} t")] {
        assert!(failed.err.contains(&command), "{}", failed.err);
        assert!(lab.run(&["show", "@last"]).expect_code(0).out.contains(&command));
    }
    // The summary stays the last line.
    assert!(failed.err.lines().last().unwrap().contains("✗ failed in "), "{}", failed.err);
    assert!(!lab.run(&["exec", "w.toml", "-q"]).expect_code(1).err.contains("next:"));
    // The commands work as they stand, also where the home was given by a flag.
    let home = lab.path("other home");
    let done = lab.run(&["exec", "w.toml", "--home", home.to_str().unwrap()]).expect_code(1);
    assert!(done.err.contains(&format!("  runner --home '{}' retry ", home.display())), "{}", done.err);
}

#[test]
fn a_first_run_says_once_that_tasks_are_not_cached() {
    let lab = Lab::new();
    lab.write("w.toml", FAILS);
    let hint = "1 task is not cached; `cache = true` keeps its results";
    let run = |args: &[&str]| lab.run(&[&["exec", "w.toml", "-i", "n=1"], args].concat()).expect_code(0).err;
    let first = run(&[]);
    assert!(first.contains(hint) && first.lines().last().unwrap().contains("✓ succeeded"), "{first}");
    assert!(!run(&[]).contains(hint));
    lab.write("w.toml", &FAILS.replace("name = 'w'", "name = 'other'\n[defaults]\ncache = true"));
    assert!(!run(&[]).contains("not cached"));
}

#[test]
fn show_has_what_was_asked_for() {
    let lab = Lab::new();
    lab.write("w.toml", FAILS);
    let long = "x".repeat(300);
    let text =
        FAILS.replace("[tasks.t]", &format!("text = {{ type = 'string', default = '{long}' }}\n[tasks.t]"));
    lab.write("w.toml", &text);
    lab.ok("w.toml", &["-i", "n=1", "--project", "p", "--cache", "ro", "-k"]);
    let shown = lab.run(&["show", "@last"]).expect_code(0).out;
    let path = lab.path("w.toml").canonicalize().unwrap();
    for part in [
        format!("workflow  {}\n", path.display()),
        "inputs    n = 1\n".into(),
        "flags     --cache ro --keep-going\n".into(),
    ] {
        assert!(shown.contains(&part), "{part}\n{shown}");
    }
    assert!(!shown.contains(&long));
    let document: Value =
        serde_json::from_str(&lab.run(&["show", "@last", "--json"]).expect_code(0).out).unwrap();
    let request = &document["request"];
    assert_eq!(
        (&request["project"], &request["domain"], &request["inputs"]["n"], &request["flags"]),
        (&json!("p"), &json!("development"), &json!(1), &json!(["--cache", "ro", "--keep-going"]))
    );
    assert_eq!(request["inputs"]["text"], json!(long));
    assert_eq!(request["workflow"], json!(path));
    lab.run(&["report", "@last", "-o", "r.html"]).expect_code(0);
    assert!(lab.read("r.html").contains("Asked for"));
}

#[test]
fn the_slowest_nodes_come_first_on_request() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = 'w'\n[tasks.t]\ninputs = { s = 'string' }\nrun = 'sleep $s'\n\
         [nodes.quick]\ntask = 't'\ninputs = { s = '0' }\n\
         [nodes.each]\ntask = 't'\nforeach = ['s']\ninputs = { s = ['0', '0.4'] }\n",
    );
    lab.ok("w.toml", &[]);
    let shown = lab.run(&["show", "@last", "--sort", "time"]).expect_code(0).out;
    let rows: Vec<_> = shown.lines().skip_while(|line| !line.starts_with("NODE")).skip(1).take(3).collect();
    assert!(rows[0].starts_with("✓ each[1] "), "{shown}");
    let cached = "[workflow]\nname = 'c'\n[tasks.t]\ncache = true\nrun = 'true'\n[nodes.t]\n";
    lab.write("c.toml", cached);
    lab.ok("c.toml", &[]);
    lab.ok("c.toml", &[]);
    let shown = lab.run(&["show", "@last", "--sort", "time"]).expect_code(0).out;
    assert!(shown.contains("\nnothing was executed in this run\n") && !shown.contains("NODE"), "{shown}");
}
