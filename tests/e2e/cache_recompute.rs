//! `cache verify --recompute` and `--sample`: work done again, in scratch, to find results that were wrongly cached.

use std::fs;

use crate::common::Lab;
use serde_json::{Value, json};

/// A file made from a text, its size, and the lines of several; each task also reads a file that it does not declare.
const WORKFLOW: &str = "\
[workflow]
name = \"wf\"
[defaults]
cache = true
[tasks.make]
inputs = { text = \"string\" }
outputs = { f = \"file\", d = \"dir\" }
run = 'echo make >> @COUNT@; mkdir \"$OUT/d\"; { echo \"$text\"; cat @DIR@/hidden; } | tee \"$OUT/d/part\" > \"$OUT/f\"; echo x > \"$OUT/d/x\"'
[tasks.size]
inputs = { f = \"file\" }
outputs = { n = \"int\" }
run = 'echo size >> @COUNT@; wc -c < \"$f\" > \"$OUT/n\"'
[tasks.each]
inputs = { i = \"int\" }
outputs = { y = \"string\" }
run = 'echo each >> @COUNT@; echo \"$i $(cat @DIR@/hidden)\" > \"$OUT/y\"'
[nodes.make]
inputs = { text = \"hello\" }
[nodes.size]
inputs = { f = \"{{ make.f }}\" }
[nodes.each]
foreach = [\"i\"]
inputs = { i = [1, 2, 3] }
";

fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("hidden", "one\n");
    lab.write("w.toml", WORKFLOW);
    lab.ok("w.toml", &[]);
    lab
}

fn verify(lab: &Lab, args: &[&str], code: i32) -> Value {
    let done = lab.run(&[&["cache", "verify", "--json"], args].concat()).expect_code(code);
    let scratch = fs::read_dir(lab.home().join("scratch")).unwrap().count();
    let temporaries = fs::read_dir(lab.home().join("store/tmp")).map_or(0, Iterator::count);
    assert_eq!((scratch, temporaries), (0, 0), "nothing is left behind");
    done.lines().remove(0)
}

fn one(lab: &Lab, node: &str, code: i32) -> Value {
    let told = verify(lab, &["--recompute", node], code);
    assert_eq!(told["checked"].as_array().unwrap().len(), 1, "{told}");
    told["checked"][0].clone()
}

#[test]
fn what_comes_out_the_same_is_sound() {
    let lab = lab();
    let ran = lab.ran();
    let told = verify(&lab, &["--sample", "100%"], 0);
    assert_eq!((&told["same"], &told["differ"], &told["unchecked"]), (&json!(5), &json!(0), &json!(0)));
    assert_eq!(lab.ran(), 2 * ran, "each was executed once more");
    let human = lab.run(&["cache", "verify", "--recompute", "size"]).expect_code(0);
    assert_eq!(human.out, "✓ 1 of 1 results run again: 1 the same, 0 different, 0 could not be checked\n");
}

#[test]
fn what_depends_on_more_than_its_key_is_found_and_nothing_of_it_is_stored() {
    let lab = lab();
    let blobs = || fs::read_dir(lab.home().join("store/blobs")).unwrap().count();
    let before = blobs();
    lab.write("hidden", "two\n");
    let make = one(&lab, "make", 1);
    assert_eq!((&make["verdict"], &make["task"]), (&json!("differs"), &json!("wf.make")));
    let outputs = make["outputs"].as_array().unwrap();
    let diff = |name: &str| outputs.iter().find(|o| o["output"] == name).unwrap()["diff"].clone();
    assert_eq!((diff("f"), diff("d")), (json!(["- one", "+ two"]), json!(["part"])));
    assert_eq!(one(&lab, "each[1]", 1)["outputs"][0]["now"], "2 two");
    assert_eq!(verify(&lab, &["--recompute", "each"], 1)["differ"], 3);
    assert_eq!(verify(&lab, &["--recompute", "*a*"], 1)["differ"], 4);
    // What is made from the stored file is still the same.
    assert_eq!(one(&lab, "size", 0)["verdict"], "same");
    let human = lab.run(&["cache", "verify", "--recompute", "make"]).expect_code(1).out;
    for part in ["wf.make (make of run", "`f`, `d` came out differently", "f │ - one", "wrongly cached"] {
        assert!(human.contains(part), "{part}: {human}");
    }
    assert_eq!(blobs(), before);
    assert_eq!(lab.ok("w.toml", &[]).finished()["cached"], 5);
}

#[test]
fn what_fails_now_is_wrong_as_well() {
    let lab = lab();
    fs::remove_file(lab.path("hidden")).unwrap();
    let make = one(&lab, "make", 1);
    assert_eq!(make["verdict"], "fails");
    assert!(make["error"].as_str().unwrap().contains("exit code 1"), "{make}");
}

/// A task over a file of the user's, with a script beside it.
const FILES: &str = "\
[workflow]
name = \"wf\"
[tasks.t]
cache = true
sources = [\"script.sh\"]
inputs = { f = \"file\" }
outputs = { y = \"string\" }
run = 'bash script.sh \"$f\" > \"$OUT/y\"'
[nodes.n]
task = \"t\"
inputs = { f = \"data.txt\" }
";

#[test]
fn what_cannot_be_had_as_it_was_is_counted_and_named() {
    let lab = Lab::new();
    lab.write("w.toml", FILES);
    lab.write("script.sh", "cat \"$1\"\n");
    lab.write("data.txt", &"x".repeat(5 << 20));
    lab.ok("w.toml", &[]);
    assert_eq!(one(&lab, "n", 0)["verdict"], "same");
    let reason = || {
        let told = one(&lab, "n", 1);
        assert_eq!(told["verdict"], "unchecked", "{told}");
        told["reason"].as_str().unwrap().to_owned()
    };
    lab.write("script.sh", "wc -l \"$1\"\n");
    assert!(reason().contains("source"), "{}", reason());
    lab.write("script.sh", "cat \"$1\"\n");
    lab.write("data.txt", "other");
    assert!(reason().contains("`f` is not what it was"), "{}", reason());
    fs::remove_file(lab.path("data.txt")).unwrap();
    assert!(reason().contains("data.txt"), "{}", reason());
    // The workflow itself may change: its text as it was is kept.
    lab.write("data.txt", &"x".repeat(5 << 20));
    lab.write("w.toml", "nonsense");
    assert_eq!(one(&lab, "n", 0)["verdict"], "same");
    let db = rusqlite::Connection::open(lab.home().join("runner.db")).unwrap();
    db.execute("DELETE FROM run", []).unwrap();
    assert!(reason().contains("is gone"), "{}", reason());
    let human = lab.run(&["cache", "verify", "--recompute", "n"]).expect_code(1).out;
    assert!(
        human.contains("could not be checked: run") && human.contains("1 could not be checked"),
        "{human}"
    );
}

#[test]
fn a_task_that_works_in_the_users_folder_is_left_alone() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = \"wf\"\n[tasks.t]\ncache = true\ncwd = \"workflow\"\noutputs = { y = \"int\" }\n\
         run = 'echo t >> @COUNT@; echo 1 > \"$OUT/y\"'\n[nodes.t]\n",
    );
    lab.ok("w.toml", &[]);
    assert_eq!((one(&lab, "t", 1)["verdict"].clone(), lab.ran()), (json!("unchecked"), 1));
}

#[test]
fn nodes_of_workflows_inside_are_named_as_in_history() {
    let lab = Lab::new();
    lab.write("hidden", "one\n");
    lab.write("inner.toml", &WORKFLOW.replace("name = \"wf\"", "name = \"inner\""));
    lab.write("w.toml", "[workflow]\nname = \"outer\"\n[nodes.prep]\nworkflow = \"inner.toml\"\n");
    lab.ok("w.toml", &[]);
    assert_eq!(one(&lab, "prep/make", 0)["verdict"], "same");
    assert_eq!(one(&lab, "prep/each[2]", 0)["verdict"], "same");
    assert_eq!(verify(&lab, &["--recompute", "prep/*"], 0)["same"], 5);
}

#[test]
fn a_sample_is_the_same_for_the_same_seed_and_never_empty() {
    let lab = lab();
    let keys = |args: &[&str]| -> Vec<String> {
        let told = verify(&lab, args, 0);
        let checked = told["checked"].as_array().unwrap().iter();
        checked.map(|one| one["key"].as_str().unwrap().to_owned()).collect()
    };
    let two = keys(&["--sample", "40%", "--seed", "7"]);
    assert_eq!((two.len(), keys(&["--sample", "40%", "--seed", "7"])), (2, two.clone()));
    assert!((0..20).any(|seed: u32| keys(&["--sample", "40%", "--seed", &seed.to_string()]) != two));
    assert_eq!(keys(&["--sample", "0.1%"]).len(), 1);
    assert_eq!(keys(&["--recompute", "each", "--sample", "50%"]).len(), 2);
    for wrong in [&["--sample", "0%"][..], &["--sample", "101%"], &["--sample", "many"], &["--seed", "1"]] {
        lab.run(&[&["cache", "verify"], wrong].concat()).expect_code(2);
    }
    let unknown = lab.run(&["cache", "verify", "--recompute", "mak"]).expect_code(1);
    assert!(unknown.err.contains("did you mean `make`?"), "{unknown:?}");
}

#[test]
fn every_result_of_a_node_is_run_again_in_a_folder_of_its_own() {
    let lab = lab();
    lab.write("w.toml", &WORKFLOW.replace("hello", "another"));
    lab.ok("w.toml", &[]);
    let told = verify(&lab, &["--recompute", "make"], 0);
    let verdicts: Vec<_> = told["checked"].as_array().unwrap().iter().map(|c| &c["verdict"]).collect();
    assert_eq!(verdicts, ["same", "same"], "{told}");
}

#[test]
fn a_node_is_told_from_others_of_its_name_by_workflow_or_task() {
    let lab = Lab::new();
    for name in ["one", "two"] {
        lab.write(
            &format!("{name}.toml"),
            &format!(
                "[workflow]\nname = \"{name}\"\n[tasks.t]\ncache = true\noutputs = {{ y = \"int\" }}\n\
                 run = 'echo {name} >> @COUNT@; echo 1 > \"$OUT/y\"'\n[nodes.n]\ntask = \"t\"\n"
            ),
        );
        lab.ok(&format!("{name}.toml"), &[]);
    }
    assert_eq!(verify(&lab, &["--recompute", "n"], 0)["same"], 2);
    assert_eq!(verify(&lab, &["--recompute", "n", "--workflow", "one"], 0)["same"], 1);
    assert_eq!(verify(&lab, &["--recompute", "n", "--task", "two.t"], 0)["same"], 1);
    assert_eq!((lab.ran_as("one"), lab.ran_as("two")), (3, 3));
    for args in [&["--workflow", "three"][..], &["--task", "one.x"]] {
        let none = lab.run(&[&["cache", "verify", "--recompute", "n"], args].concat()).expect_code(1);
        assert!(none.err.contains("no stored result came from a node `n`"), "{}", none.err);
    }
    lab.run(&["cache", "evict", "--task", "one.t"]).expect_code(0);
    lab.run(&["cache", "evict", "--task", "two.t"]).expect_code(0);
    lab.run(&["cache", "verify", "--sample", "5%"]).expect_code(1);
}
