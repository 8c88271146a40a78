//! The verbs that only look: `plan`, `runs`, `show`, `logs`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::common::Lab;
use serde_json::{Value, json};

const CHAIN: &str = "\
[workflow]
name = \"chain\"
[inputs]
start = { type = \"int\", default = 1 }
fail = { type = \"bool\", default = false }
[tasks.add]
cache = true
inputs = { n = \"int\" }
outputs = { sum = \"int\" }
run = 'echo add >> @COUNT@; echo adding; echo $((n + 1)) > $OUT/sum'
[tasks.say]
inputs = { n = \"int\", fail = \"bool\" }
run = 'echo \"it is $n\"; test $fail = false'
[nodes.a]
task = \"add\"
inputs = { n = \"{{ inputs.start }}\" }
[nodes.b]
task = \"add\"
inputs = { n = \"{{ a.sum }}\" }
[nodes.say]
inputs = { n = \"{{ b.sum }}\", fail = \"{{ inputs.fail }}\" }
[outputs]
sum = \"{{ b.sum }}\"
";

fn chain() -> Lab {
    let lab = Lab::new();
    lab.write("w.toml", CHAIN);
    lab
}

/// Every file below a folder with its content; what SQLite keeps beside a database is its own affair.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap) {
        let name = entry.path().display().to_string();
        if entry.file_type().is_file() && !name.ends_with("-shm") && !name.ends_with("-wal") {
            files.insert(name, std::fs::read(entry.path()).unwrap());
        } else if entry.file_type().is_dir() {
            files.insert(name, Vec::new());
        }
    }
    files
}

fn planned(lab: &Lab, flags: &[&str]) -> String {
    let done = lab.run(&[&["plan", "w.toml", "--json"], flags].concat()).expect_code(0);
    let one = |line: &Value| {
        assert_eq!((&line["v"], &line["event"]), (&json!(1), &json!("node_planned")));
        assert!(!line["reason"].as_str().unwrap().is_empty());
        format!("{}={}", line["node"].as_str().unwrap(), line["cache"].as_str().unwrap())
    };
    assert_eq!(done.lines().len(), done.out.lines().count());
    done.lines().iter().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_plan_says_what_would_run() {
    let lab = chain();
    assert_eq!(planned(&lab, &[]), "a=miss b=unknown say=unknown");
    lab.ok("w.toml", &[]);
    assert_eq!(planned(&lab, &[]), "a=hit b=hit say=disabled");
    assert_eq!(planned(&lab, &["-i", "start=5"]), "a=miss b=unknown say=unknown");
    assert_eq!(planned(&lab, &["-i", "start=2"]), "a=hit b=miss say=unknown");
    assert_eq!(planned(&lab, &["--until", "b"]), "a=hit b=hit");
    let text = lab.run(&["plan", "w.toml"]).expect_code(0);
    assert!(text.out.contains("1 would run, 2 from the cache") && text.err.is_empty(), "{}", text.out);
    assert_eq!(lab.run(&["exec", "w.toml", "--dry-run"]).expect_code(0).out, text.out);
    assert_eq!(lab.ran(), 2);
}

#[test]
fn an_exit_code_tells_scripts_whether_there_is_work() {
    let lab = chain();
    lab.run(&["plan", "w.toml", "--exit-code", "--until", "b"]).expect_code(3);
    lab.ok("w.toml", &[]);
    lab.run(&["plan", "w.toml", "--exit-code", "--until", "b"]).expect_code(0);
    lab.run(&["plan", "w.toml", "--exit-code"]).expect_code(3);
    lab.run(&["plan", "nowhere.toml", "--exit-code"]).expect_code(2);
}

#[test]
fn looking_changes_nothing() {
    let lab = chain();
    for args in [&["plan", "w.toml"][..], &["exec", "w.toml", "-n"], &["runs"], &["check", "w.toml"]] {
        lab.run(args).expect_code(0);
        assert!(!lab.home().exists(), "{args:?}");
    }
    lab.ok("w.toml", &[]);
    lab.exec("w.toml", &["-i", "fail=true"]).expect_code(1);
    let before = contents(&lab.home());
    for args in [
        &["plan", "w.toml", "-i", "start=9"][..],
        &["exec", "w.toml", "--dry-run", "--json"],
        &["runs", "--json"],
        &["show", "@last"],
        &["logs", "@last", "say"],
        &["check", "w.toml"],
    ] {
        lab.run(args).expect_code(0);
        assert!(contents(&lab.home()) == before, "{args:?}");
    }
}

#[test]
fn runs_are_known_by_several_names() {
    let lab = chain();
    let id = |done: &crate::common::Done| done.finished()["run"].as_str().unwrap().to_owned();
    let first = id(&lab.ok("w.toml", &[]));
    let failed = id(&lab.exec("w.toml", &["-i", "fail=true"]).expect_code(1));
    let third = id(&lab.ok("w.toml", &["--project", "other"]));
    let shown = |name: &str| {
        let done = lab.run(&["show", name, "--json"]).expect_code(0);
        assert_eq!(done.out.lines().count(), 1, "one document");
        done.lines()[0]["run"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        [shown("@last"), shown("@-1"), shown("@-2"), shown("@-3")],
        [&third, &third, &failed, &first].map(Clone::clone)
    );
    assert_eq!(
        (shown("@last-failed"), shown(&first), shown(&first[..6])),
        (failed.clone(), first.clone(), first.clone())
    );
    for name in ["@-4", "@-0", "@next", "zzzzzzzz", "", "@"] {
        let done = lab.run(&["show", name]).expect_code(2);
        assert!(done.err.starts_with("error: ") && done.out.is_empty(), "{name}: {}", done.err);
    }
    let listed: Vec<_> = lab
        .run(&["runs", "--json"])
        .lines()
        .iter()
        .map(|run| run["run"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(listed, [third, failed.clone(), first]);
    assert_eq!(lab.run(&["runs", "--limit", "1", "--json"]).out.lines().count(), 1);
    let table = lab.run(&["runs"]).expect_code(0).out;
    assert!(table.contains(&failed) && table.contains("failed") && table.contains("chain"), "{table}");
}

#[test]
fn a_run_is_shown_whole() {
    let lab = chain();
    lab.ok("w.toml", &[]);
    lab.exec("w.toml", &["-i", "fail=true"]).expect_code(1);
    let text = lab.run(&["show", "@last"]).expect_code(0).out;
    for phrase in ["chain", "failed", "hit", "say", "exit", "it is 3", "runner logs "] {
        assert!(text.contains(phrase), "{phrase:?} is missing in\n{text}");
    }
    let json = lab.run(&["show", "@-2", "--json"]).expect_code(0).lines().remove(0);
    assert_eq!((&json["status"], &json["outputs"]), (&json!("succeeded"), &json!({ "sum": 3 })));
    let node = json["nodes"].as_array().unwrap().iter().find(|node| node["node"] == "b").unwrap();
    assert_eq!((&node["cache"], &node["inputs"]), (&json!("populated"), &json!({ "n": 2 })));
}

#[test]
fn logs_are_printed_as_they_were_written() {
    let lab = chain();
    lab.ok("w.toml", &[]);
    lab.ok("w.toml", &[]);
    assert_eq!(lab.run(&["logs", "@-2", "a"]).expect_code(0).out, "adding\n");
    assert_eq!(lab.run(&["logs", "@last", "say"]).expect_code(0).out, "it is 3\n");
    for (args, phrases) in [
        (&["logs", "@last", "a"][..], &["came from the cache", "runner logs "][..]),
        (&["logs", "@last", "sya"], &["sya", "say"]),
        (&["logs", "@last", "say", "--attempt", "2"], &["attempt"]),
        (&["logs", "@last", "--attempt", "1"], &["NODE"]),
    ] {
        let done = lab.run(args).expect_code(2);
        assert_eq!(done.out, "");
        for phrase in phrases {
            assert!(done.err.contains(phrase), "{args:?}: {}", done.err);
        }
    }
}

#[test]
fn an_empty_history_is_no_mystery() {
    let lab = chain();
    assert!(lab.run(&["runs"]).expect_code(0).err.contains("there is no run yet"));
    assert_eq!(lab.run(&["runs", "--json"]).expect_code(0).out, "");
    for args in [&["show", "@last"][..], &["logs", "@last", "a"], &["show", "@last-failed"]] {
        assert!(lab.run(args).expect_code(2).err.contains("there is no run yet"));
    }
    lab.ok("w.toml", &[]);
    let none = lab.run(&["show", "@last-failed"]).expect_code(2).err;
    assert!(none.contains("failed"), "{none}");
}

#[test]
fn a_plan_tells_of_a_node_that_would_fail_and_goes_on() {
    let lab = Lab::new();
    let text = "[workflow]\nname = \"w\"\n[inputs]\nxs = \"list<int>\"\nys = \"list<int>\"\n\
                [tasks.pair]\ninputs = { x = \"int\", y = \"int\" }\nrun = 'true'\n[tasks.other]\nrun = 'true'\n\
                [nodes.pair]\nforeach = [\"x\", \"y\"]\ninputs = { x = \"{{ inputs.xs }}\", y = \"{{ inputs.ys }}\" }\n\
                [nodes.other]\n";
    lab.write("w.toml", text);
    let planned = lab.run(&["plan", "w.toml", "-i", "xs=[1]", "-i", "ys=[1,2]"]).expect_code(0).out;
    assert!(planned.contains("it would fail: `foreach` walks its lists side by side"), "{planned}");
    assert!(planned.contains("\nother  disabled"), "{planned}");
}
