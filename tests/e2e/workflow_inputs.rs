//! The inputs of a workflow: from `-i`, from a file, from defaults, and what stands in for the flags.

use crate::common::{Lab, finish};
use serde_json::json;

/// Hands each of its inputs back.
const ECHO: &str = "\
[workflow]
name = \"echo\"
project = \"from-file\"
[inputs]
s = \"string?\"
i = \"int?\"
f = \"float?\"
b = \"bool?\"
t = \"datetime?\"
d = \"duration?\"
l = \"list<string>?\"
m = \"map<int>?\"
j = \"json?\"
file = \"file?\"
dir = \"dir?\"
files = \"list<file>?\"
mode = { type = \"string\", default = \"fast\", one_of = [\"fast\", \"full\"] }
[tasks.t]
run = 'echo \"$RUNNER_PROJECT $RUNNER_DOMAIN\" > @DIR@/scope'
[nodes.t]
[outputs]
s = \"{{ inputs.s }}\"
i = \"{{ inputs.i }}\"
f = \"{{ inputs.f }}\"
b = \"{{ inputs.b }}\"
t = \"{{ inputs.t }}\"
d = \"{{ inputs.d }}\"
l = \"{{ inputs.l }}\"
m = \"{{ inputs.m }}\"
j = \"{{ inputs.j }}\"
file = \"{{ inputs.file }}\"
dir = \"{{ inputs.dir }}\"
files = \"{{ inputs.files }}\"
mode = \"{{ inputs.mode }}\"
";

fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("w.toml", ECHO);
    lab
}

#[test]
fn values_parse_by_the_declared_type() {
    let lab = lab();
    lab.write("a=b/data.txt", "x");
    for (given, value) in [
        ("s=", json!("")),
        ("s=a=b c", json!("a=b c")),
        ("s=5", json!("5")),
        ("s= true ", json!(" true ")),
        ("i=-7", json!(-7)),
        ("f=2", json!(2.0)),
        ("f=1e-3", json!(0.001)),
        ("b=false", json!(false)),
        ("t=2026-01-02T03:04:05+01:00", json!("2026-01-02T02:04:05Z")),
        ("d=90s", json!("1m 30s")),
        ("l=[\"a\", \"b,c\"]", json!(["a", "b,c"])),
        ("m={\"a\": 1}", json!({ "a": 1 })),
        ("j={\"a\": [null]}", json!({ "a": [null] })),
        ("j=null", json!(null)),
        ("mode=full", json!("full")),
    ] {
        let name = given.split_once('=').unwrap().0;
        assert_eq!(lab.ok("w.toml", &["-i", given]).outputs()[name], value, "{given}");
    }
    let outputs =
        lab.ok("w.toml", &["-i", "file=a=b/data.txt", "-i", "dir=a=b", "-i", "files=[\"w.toml\"]"]).outputs();
    let read = |value: &serde_json::Value| std::fs::read_to_string(value["path"].as_str().unwrap()).unwrap();
    assert_eq!(read(&outputs["file"]), "x");
    assert_eq!(read(&outputs["files"][0]), lab.read("w.toml"));
    assert!(outputs["dir"]["path"].as_str().unwrap().ends_with("/a=b"));
}

#[test]
fn wrong_values_are_refused_before_anything_runs() {
    let lab = lab();
    for (given, phrases) in [
        ("i=three", &["-i i: expected int", "three"][..]),
        ("i=1.5", &["int"]),
        ("b=yes", &["bool"]),
        ("t=yesterday", &["datetime"]),
        ("d=90", &["duration"]),
        ("l=a,b", &["list<string>", "JSON"]),
        ("l=[1]", &["string"]),
        ("j={", &["JSON"]),
        ("mode=slow", &["\"fast\"", "\"full\"", "slow"]),
        ("moda=full", &["moda", "did you mean `mode`?"]),
        ("nonsense", &["NAME=VALUE"]),
        ("file=nowhere.txt", &["nowhere.txt"]),
        ("dir=w.toml", &["dir"]),
        ("file=.", &["file"]),
    ] {
        let done = lab.run(&["exec", "w.toml", "-i", given]).expect_code(2);
        for phrase in phrases {
            assert!(done.err.contains(phrase), "{given}: {phrase:?} is missing in {}", done.err);
        }
        assert_eq!(done.out, "");
    }
    assert!(!lab.path("scope").exists());
}

#[test]
fn inputs_come_from_files_too() {
    let lab = lab();
    lab.write(
        "deep/in.toml",
        "s = 'from toml'\ni = 3\nt = 2026-01-02T03:04:05Z\nl = ['a']\nj = { x = 1 }\nfile = '../w.toml'\n",
    );
    lab.write("in.json", r#"{ "s": "from json", "i": 4, "m": { "a": 1 }, "j": null, "f": 2 }"#);
    let toml = lab.ok("w.toml", &["--inputs", "deep/in.toml", "-i", "i=5"]).outputs();
    assert_eq!((&toml["s"], &toml["i"], &toml["l"]), (&json!("from toml"), &json!(5), &json!(["a"])));
    assert_eq!((&toml["t"], &toml["j"]), (&json!("2026-01-02T03:04:05Z"), &json!({ "x": 1 })));
    assert!(toml["file"]["path"].as_str().unwrap().ends_with("/w.toml"));
    let json = lab.ok("w.toml", &["--inputs", "in.json"]).outputs();
    assert_eq!((&json["s"], &json["m"], &json["f"]), (&json!("from json"), &json!({ "a": 1 }), &json!(2.0)));
    for (name, text) in [
        ("bad.toml", "s = "),
        ("bad.json", "{"),
        ("wrong.toml", "i = 'x'"),
        ("wrong.json", "[]"),
        ("other.toml", "ss = 1"),
    ] {
        lab.write(name, text);
        let done = lab.run(&["exec", "w.toml", "--inputs", name]).expect_code(2);
        assert!(done.err.starts_with("error: "), "{name}: {}", done.err);
    }
    lab.run(&["exec", "w.toml", "--inputs", "nowhere.toml"]).expect_code(2);
}

#[test]
fn an_input_without_a_default_is_asked_for() {
    let lab = Lab::new();
    lab.write("w.toml", &ECHO.replace("s = \"string?\"", "s = \"string\""));
    let done = lab.run(&["exec", "w.toml"]).expect_code(2);
    assert!(done.err.contains("`s`") && done.err.contains("-i s="), "{}", done.err);
    lab.ok("w.toml", &["-i", "s=x"]);
}

#[test]
fn flag_then_environment_then_file_then_default() {
    let lab = lab();
    let scope = |flags: &[&str], vars: &[(&str, &str)]| {
        finish(lab.command(&[&["exec", "w.toml"], flags].concat()).envs(vars.iter().copied())).expect_code(0);
        lab.read("scope").trim().to_owned()
    };
    let vars = [("RUNNER_PROJECT", "of-env"), ("RUNNER_DOMAIN", "production")];
    assert_eq!(scope(&[], &[]), "from-file development");
    assert_eq!(scope(&[], &vars), "of-env production");
    assert_eq!(scope(&["--project", "flag", "--domain", "d"], &vars), "flag d");
    let event =
        finish(lab.command(&["exec", "w.toml", "--json"]).env("RUNNER_JOBS", "3")).events("run_started");
    assert_eq!(event[0]["jobs"], 3);
    scope(&[], &[("RUNNER_JOBS", ""), ("RUNNER_PROJECT", "")]);
    assert_eq!(scope(&["-j", "2"], &[("RUNNER_JOBS", "none")]), "from-file development");
    for (name, value, said) in [
        (
            "RUNNER_JOBS",
            "none",
            "the variable RUNNER_JOBS: expected a number from 1 to 100000, found \"none\"",
        ),
        ("RUNNER_JOBS", "0", "the variable RUNNER_JOBS: expected a number from 1 to 100000, found \"0\""),
        ("RUNNER_PROJECT", "a\tb", "the variable RUNNER_PROJECT must not hold control characters"),
        ("RUNNER_DOMAIN", "\t", "the variable RUNNER_DOMAIN must not hold control characters"),
        ("RUNNER_CACHE_MAX_SIZE", "lots", "RUNNER_CACHE_MAX_SIZE: expected a size such as 10GiB"),
    ] {
        let wrong = finish(lab.command(&["exec", "w.toml"]).env(name, value)).expect_code(2);
        assert!(wrong.err.contains(said) && !wrong.err.contains("--"), "{name} {}", wrong.err);
    }
    let nowhere = lab.write("file", "");
    let wrong = finish(lab.command(&["exec", "w.toml"]).env("RUNNER_HOME", nowhere)).expect_code(4);
    assert!(wrong.err.contains("(named by RUNNER_HOME)"), "{}", wrong.err);
}

#[test]
fn an_empty_path_is_refused_and_one_fault_is_one_error() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = \"w\"\n[inputs]\nd = \"dir\"\nf = \"file?\"\nn = \"int\"\n[tasks.t]\nrun = 'true'\n[nodes.t]\n",
    );
    for (wrong, says) in [
        ("d=", "-i d: expected the path of a dir, found empty text"),
        ("f=", "-i f: expected the path of a file, found empty text"),
    ] {
        let done = lab.run(&["exec", "w.toml", "-i", "d=.", "-i", "n=1", "-i", wrong]).expect_code(2);
        assert!(done.err.contains(says), "{}", done.err);
    }
    let done = lab.run(&["exec", "w.toml", "-i", "n=x", "-i", "d"]).expect_code(2);
    assert!(
        done.err.contains("-i n: expected int") && done.err.contains("expected NAME=VALUE"),
        "{}",
        done.err
    );
    assert!(!done.err.contains("needs the input"), "{}", done.err);
    lab.write("in.json", "{");
    let done = lab.run(&["exec", "w.toml", "--inputs", "in.json"]).expect_code(2);
    assert!(done.err.contains("in.json") && !done.err.contains("needs the input"), "{}", done.err);
}

#[test]
fn what_does_not_fit_is_said_in_words_with_the_form_that_does() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = \"w\"\n[inputs]\ns = \"string?\"\nn = \"int?\"\nb = \"bool?\"\nl = \"list<int>?\"\n\
         m = \"map<string>?\"\nj = \"json?\"\nps = \"list<file>?\"\nd = \"duration?\"\n[tasks.t]\nrun = 'true'\n[nodes.t]\n",
    );
    lab.write("wrong.toml", "s = 5\nn = \"3\"\nb = \"true\"\nl = \"[1]\"\nm = { a = 1 }\nps = [7]\n");
    lab.write("null.json", "{\"n\": 3.5, \"l\": {\"a\": 1}, \"s\": [\"x\"], \"b\": null}");
    lab.write("list.json", "[1]");
    lab.write("broken.toml", "s = \"x\"\nn = \n");
    for (args, says) in [
        (&["-i", "l=1,2"][..], &["-i l: expected list<int> as JSON, as in [1, 1]; found \"1,2\"\n"][..]),
        (&["-i", "l=[1,"], &["-i l: expected list<int> as JSON, as in [1, 1]; found \"[1,\": EOF"]),
        (&["-i", "l=[1,\"a\"]"], &["-i l: element 1: expected int, found the text \"a\"\n"]),
        (&["-i", "m=a=b"], &["-i m: expected map<string> as JSON, as in {\"key\": \"a\"}; found \"a=b\"\n"]),
        (&["-i", "m={\"a\":1}"], &["-i m: entry \"a\": expected string, found the number 1\n"]),
        (&["-i", "j=x"], &["-i j: expected json as JSON, as in {\"key\": \"text\"}; found \"x\"\n"]),
        (&["-i", "ps=a.csv"], &["as in [\"a.csv\", \"a.csv\"]; found \"a.csv\"\n"]),
        (&["-i", "=3"], &["-i =3: expected NAME=VALUE\n"]),
        (&["-i", "d=5"], &["did you mean 5s?"]),
        (
            &["--inputs", "wrong.toml"],
            &[
                "`s`: expected string, found the number 5\n",
                "`n`: expected int, found the text \"3\"\n",
                "`b`: expected bool, found the text \"true\"\n",
                "`l`: expected list<int>, found the text \"[1]\"\n",
                "`m`: entry \"a\": expected string, found the number 1\n",
                "`ps`: expected file, found the number 7\n",
            ],
        ),
        (
            &["--inputs", "null.json"],
            &[
                "`n`: expected int, found the number 3.5\n",
                "`l`: expected list<int>, found a table of 1 entry\n",
                "`s`: expected string, found a list of 1 element\n",
            ],
        ),
        (
            &["--inputs", "list.json"],
            &["expected inputs by name, as in {\"NAME\": VALUE}, found a list of 1 element\n"],
        ),
        (&["--inputs", "broken.toml"], &["--inputs broken.toml: line 2"]),
    ] {
        let done = lab.run(&[&["exec", "w.toml"], args].concat()).expect_code(2);
        says.iter().for_each(|says| assert!(done.err.contains(says), "{args:?} {says}\n{}", done.err));
        let errors = done.err.matches("error: ").count();
        assert_eq!(errors, says.len(), "one line for each fault: {}", done.err);
    }
    for (default, help) in [
        ("d = { type = \"duration\", default = \"5\" }", "say the unit: \"5s\""),
        ("b = { type = \"bool\", default = \"yes\" }", "write true or false, without quotes"),
        ("f = { type = \"file\", default = 7 }", "a path is written as text"),
    ] {
        lab.write(
            "d.toml",
            &format!("[workflow]\nname = \"w\"\n[inputs]\n{default}\n[tasks.t]\nrun = 'true'\n[nodes.t]\n"),
        );
        let done = lab.run(&["check", "d.toml"]).expect_code(2);
        assert!(done.err.contains(help) && done.err.matches("error: ").count() == 1, "{}", done.err);
    }
}
