//! What a run needs and does not have is refused before anything runs, and warned of by `check`.

use crate::common::{Lab, finish};

const WORKFLOW: &str = r#"[workflow]
name = "w"
[inputs]
table = { type = "file", default = "data/table.csv" }
deploy = { type = "bool", default = true }
[defaults]
cache = true
[tasks.load]
secrets = ["DB_PASSWORD", "DB_USER"]
inputs = { table = "file", more = "list<file>" }
run = 'echo load >> @COUNT@'
[tasks.fit]
resources = { gpu = 2 }
inputs = { config = { type = "dir", default = "conf" } }
run = 'echo fit >> @COUNT@'
[tasks.first]
run = 'echo first >> @COUNT@'
[tasks.send]
secrets = ["DEPLOY_TOKEN"]
run = 'echo send >> @COUNT@'
[nodes.first]
[nodes.load]
needs = ["first"]
inputs = { table = "{{ inputs.table }}", more = ["a.csv", "~/b.csv"] }
[nodes.fit]
[nodes.big]
task = "first"
resources = { memory = "900TiB", licence = 1 }
[nodes.send]
if = "{{ inputs.deploy }}"
[nodes.after]
task = "send"
needs = ["send"]
[nodes.tell]
task = "send"
"#;

/// Part of what is said of each thing that is lacking, with its line.
const LACKING: [(&str, &str); 10] = [
    ("w.toml:4:36", "workflow input `table`: \""),
    ("w.toml:9:12", "the secret `DB_PASSWORD` of task `load` is not set"),
    ("w.toml:9:27", "the secret `DB_USER` of task `load` is not set"),
    ("w.toml:13:21", "node `fit` can never run: it asks for 2 of the resource `gpu`, which is not provided"),
    ("w.toml:14:47", "input `config` of node `fit`: \""),
    ("w.toml:19:12", "the secret `DEPLOY_TOKEN` of task `send` is not set"),
    ("w.toml:24:50", "input `more` of node `load`: \""),
    ("w.toml:24:59", "input `more` of node `load`: \""),
    ("w.toml:28:24", "node `big` can never run: it asks for 900.0 TiB of `memory`, and there are only"),
    (
        "w.toml:28:44",
        "node `big` can never run: it asks for 1 of the resource `licence`, which is not provided",
    ),
];

#[test]
fn everything_that_is_lacking_is_refused_at_once_and_nothing_has_run() {
    let lab = Lab::new();
    lab.write("w.toml", WORKFLOW);
    let refused = lab.run(&["exec", "w.toml"]).expect_code(2);
    for (place, said) in LACKING {
        assert!(refused.err.contains(place) && refused.err.contains(said), "{place} {said}\n{}", refused.err);
    }
    assert!(refused.err.ends_with("10 errors; nothing was run\n"), "{}", refused.err);
    for way_out in [
        "export DB_PASSWORD=",
        "add `gpu = N` to [resources], or give --resource gpu=N",
        "give another one with -i table=PATH",
        "`~` is taken literally",
        "relative to the file's folder",
    ] {
        assert!(refused.err.contains(way_out), "{way_out}\n{}", refused.err);
    }
    assert!(refused.out.is_empty() && lab.ran() == 0 && !lab.home().exists());
}

#[test]
fn check_warns_of_the_same() {
    let lab = Lab::new();
    lab.write("w.toml", WORKFLOW);
    let checked = lab.run(&["check", "w.toml"]).expect_code(0);
    for (place, said) in LACKING {
        assert!(checked.err.contains(place) && checked.err.contains(said), "{place} {said}\n{}", checked.err);
    }
    let lints = lab.run(&["check", "w.toml", "--json"]).lines();
    let count = |name: &str| lints.iter().filter(|line| line["lint"] == name).count();
    assert_eq!(["missing-file", "unprovided-resource", "unset-secret"].map(count), [4, 3, 3]);
    assert!(lints.iter().all(|line| line["level"] == "warning"));
    lab.run(&["check", "w.toml", "--strict"]).expect_code(2);
}

#[test]
fn only_what_takes_part_needs_what_it_needs() {
    let lab = Lab::new();
    lab.write("w.toml", WORKFLOW);
    lab.write("data/table.csv", "");
    lab.run(&["exec", "w.toml", "--only", "first"]).expect_code(0);
    // A condition that is known to be false, and what depends on it.
    let args = ["exec", "w.toml", "--only", "send,after", "-i", "deploy=false"];
    lab.run(&args).expect_code(0);
    lab.run(&["exec", "w.toml", "--only", "send,after"]).expect_code(2);
    assert_eq!(lab.ran(), 1);
}

#[test]
fn a_result_in_the_cache_does_not_make_a_secret_dispensable() {
    let lab = Lab::new();
    lab.write("w.toml", WORKFLOW);
    lab.write("data/table.csv", "");
    let run = |token: Option<&str>| {
        let mut command = lab.command(&["exec", "w.toml", "--only", "tell"]);
        token.map(|token| command.env("DEPLOY_TOKEN", token));
        finish(&mut command)
    };
    run(Some("token")).expect_code(0);
    run(None).expect_code(2);
    assert_eq!(lab.ran_as("send"), 1);
}

#[test]
fn given_files_are_looked_for_where_they_were_given() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = \"w\"\n[inputs]\nf = \"file\"\nd = \"dir?\"\n[tasks.t]\ninputs = { f = \"file\" }\nrun = 'true'\n\
         [nodes.t]\ninputs = { f = \"{{ inputs.f }}\" }\n",
    );
    lab.write("sub/x.csv", "");
    lab.write("in.toml", "f = \"sub/none.csv\"\n");
    for (args, said) in [
        (&["-i", "f=x.csv"][..], "x.csv\" does not exist"),
        (&["-i", "f=~/x.csv"], "`~` is taken literally"),
        (&["-i", "f=sub"], "sub\" is a directory, but a file is expected"),
        (&["-i", "f=sub/x.csv", "-i", "d=sub/x.csv"], "is not a directory, but one is expected"),
        (&["--inputs", "in.toml"], "sub/none.csv\" does not exist"),
    ] {
        let refused = lab.run(&[&["exec", "w.toml"], args].concat()).expect_code(2);
        assert!(refused.err.contains(said), "{args:?} {}", refused.err);
    }
    lab.run(&["exec", "w.toml", "-i", "f=sub/x.csv", "-i", "d=sub"]).expect_code(0);
}
