//! `why`: each part of the key, and each way upstream, is told as what it is; `plan` and `exec` give the same reason.

use crate::common::Lab;
use crate::common::one_task::OneTask;
use serde_json::{Value, json};

/// The one document of `why`.
#[track_caller]
fn ask(lab: &Lab, node: &str, args: &[&str]) -> Value {
    let done = lab.run(&[&["why", "w.toml", node, "--json"], args].concat()).expect_code(0);
    assert!(done.err.is_empty(), "{}", done.err);
    let lines = done.lines();
    assert_eq!(lines.len(), 1, "{}", done.out);
    assert_eq!(lines[0]["v"], 1);
    lines[0].clone()
}

/// What `why` says of a node in one line; `plan` says the same of it.
#[track_caller]
fn why(lab: &Lab, node: &str, args: &[&str]) -> String {
    let answer = ask(lab, node, args);
    let said = answer["why"]["text"].as_str().unwrap_or("").to_owned();
    let planned = lab.run(&[&["plan", "w.toml", "--json"], args].concat()).expect_code(0).lines();
    let planned = planned.into_iter().find(|line| line["node"] == node).unwrap();
    assert_eq!(planned["reason"], answer["reason"], "plan and why agree");
    assert_eq!(planned["cache"], answer["cache"]);
    said
}

/// Digests come and go with the content: what is between brackets with two dots is left out.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(" (") {
        let (inside, end) = after.split_once(')').unwrap_or((after, ""));
        plain.push_str(before);
        if let Some((_, lines)) = inside.split_once(", ").filter(|_| inside.contains("..")) {
            plain.push_str(&format!(" ({lines})"));
        } else if !inside.contains("..") {
            plain.push_str(&format!(" ({inside})"));
        }
        rest = end;
    }
    plain + rest
}

/// Runs the first workflow, then asks why the second one's node would run.
#[track_caller]
fn between(first: &OneTask, second: &OneTask, expected: &str) {
    let lab = Lab::new();
    lab.write("data.txt", "one\ntwo\nthree\n");
    lab.write("w.toml", &first.text());
    lab.ok("w.toml", &[]);
    lab.write("w.toml", &second.text());
    assert_eq!(plain(&why(&lab, "n", &[])), expected);
}

const PINNED: &str = "cache = true\ncache_version = \"1.0\"";
const AUTOMATIC: &str = "cache = true";

fn with<'a>(cache: &'a str, extra: &'a str, run: &'a str) -> OneTask<'a> {
    let run = if run.is_empty() { OneTask::default().run } else { run };
    OneTask { cache, extra, run, ..OneTask::default() }
}

#[test]
fn a_version_is_told_with_both() {
    let bumped = "cache = true\ncache_version = \"1.1\"";
    between(&with(PINNED, "", ""), &with(bumped, "", ""), "cache_version 1.0 -> 1.1");
    between(&with(PINNED, "", ""), &with(AUTOMATIC, "", ""), "cache_version 1.0 -> automatic");
    between(&with(AUTOMATIC, "", ""), &with(PINNED, "", ""), "cache_version automatic -> 1.0");
}

#[test]
fn parts_of_a_definition_are_told() {
    let auto = |extra, run| with(AUTOMATIC, extra, run);
    let y = "printf a > $OUT/y";
    for (first, second, expected) in [
        (
            auto("", y),
            auto("", "printf b > $OUT/y"),
            "command changed: line 2 \"printf a > $OUT/y\" -> \"printf b > $OUT/y\"",
        ),
        (auto("", y), auto("args = ['x']", y), "args added"),
        (auto("args = ['x']", y), auto("args = ['y']", y), "args changed: [\"x\"] -> [\"y\"]"),
        (
            auto("", y),
            auto("shell = ['sh', '-eu']", y),
            "shell changed: [\"bash\",\"-euo\",\"pipefail\"] -> [\"sh\",\"-eu\"]",
        ),
        (auto("env = { TZ = 'UTC' }", y), auto("env = { TZ = 'CET' }", y), "env TZ UTC -> CET"),
        (auto("env = { TZ = 'UTC' }", y), auto("", y), "env TZ removed"),
        (auto("", y), auto("cwd = 'workflow'", y), "cwd added"),
        (auto("", y), auto("sources = ['data.txt']", y), "source data.txt added"),
    ] {
        between(&first, &second, expected);
    }
    let stdout = OneTask { outputs: "y = { type = \"string\", from = \"stdout\" }", ..auto("", y) };
    between(&auto("", y), &stdout, "where output y is taken from added");
}

#[test]
fn a_command_comes_with_its_difference() {
    let lab = Lab::new();
    let text = |word: &str| with(AUTOMATIC, "", &format!("cd .\nprintf {word} > $OUT/y")).text();
    lab.write("w.toml", &text("one"));
    lab.ok("w.toml", &[]);
    lab.write("w.toml", &text("two"));
    let answer = ask(&lab, "n", &[]);
    let diff = answer["why"]["changes"][0]["diff"].as_str().unwrap();
    assert!(diff.contains("-printf one > $OUT/y\n+printf two > $OUT/y\n"), "{diff}");
    let shown = lab.run(&["why", "w.toml", "n"]).expect_code(0).out;
    assert!(shown.contains("  command changed\n") && shown.contains("+printf two > $OUT/y\n"), "{shown}");
}

#[test]
fn a_source_comes_with_its_difference() {
    let lab = Lab::new();
    lab.write("w.toml", &with(AUTOMATIC, "sources = ['s.sh']", ". ./s.sh; printf a > $OUT/y").text());
    lab.write("s.sh", "a=1\nb=2\n");
    lab.ok("w.toml", &[]);
    lab.write("s.sh", "a=1\nb=3\n");
    assert_eq!(why(&lab, "n", &[]), "source s.sh changed: line 2 \"b=2\" -> \"b=3\"");
    let shown = lab.run(&["why", "w.toml", "n"]).expect_code(0).out;
    assert!(shown.contains("  source s.sh changed\n") && shown.contains("    -b=2\n    +b=3\n"), "{shown}");
    // What it is now is kept with the result.
    lab.ok("w.toml", &[]);
    lab.write("s.sh", "a=4\nb=3\n");
    lab.ok("w.toml", &[]);
    lab.write("s.sh", "a=1\nb=9\n");
    assert_eq!(ask(&lab, "n", &[])["why"]["changes"][0]["part"], "definition");
}

#[test]
fn variables_in_the_version_are_told() {
    let lab = Lab::new();
    lab.write("w.toml", &with(AUTOMATIC, "cache_env = ['MODE']", "").text());
    let run =
        |verb: &[&str], mode: &str| crate::common::finish(lab.command(verb).env("MODE", mode)).expect_code(0);
    run(&["exec", "w.toml"], "a");
    let answer = run(&["why", "w.toml", "n", "--json"], "b").lines().remove(0);
    assert_eq!(answer["why"]["text"], "env MODE a -> b");
}

/// What `why` says after an input of this type went from one value to another.
#[track_caller]
fn values(ty: &str, was: &str, now: &str, expected: &str) {
    let task = |value: &str| {
        let (inputs, bind) = (format!("x = \"{ty}\""), format!("x = {value}"));
        OneTask {
            inputs: &inputs,
            bind: &bind,
            workflow_inputs: "",
            run: "printf a > $OUT/y",
            ..OneTask::default()
        }
        .text()
    };
    let lab = Lab::new();
    lab.write("w.toml", &task(was));
    lab.ok("w.toml", &[]);
    lab.write("w.toml", &task(now));
    assert_eq!(why(&lab, "n", &[]), expected, "{ty}");
}

#[test]
fn values_are_told_with_what_they_were() {
    values("int", "3", "5", "input x: 3 -> 5");
    values("string", "'a'", "'b'", "input x: \"a\" -> \"b\"");
    values("float", "1.5", "2", "input x: 1.5 -> 2.0");
    values("bool", "true", "false", "input x: true -> false");
    values("duration", "'90s'", "'2m'", "input x: \"1m 30s\" -> \"2m\"");
    values(
        "datetime",
        "2026-01-01T00:00:00Z",
        "2026-01-02T01:00:00+01:00",
        "input x: \"2026-01-01T00:00:00Z\" -> \"2026-01-02T00:00:00Z\"",
    );
    values("list<int>", "[1, 2, 3]", "[1, 5, 3]", "input x[1]: 2 -> 5");
    values("list<int>", "[1, 2]", "[1, 2, 3]", "input x: 1 added (3)");
    values("list<int>", "[1, 2, 3]", "[3, 2, 1]", "input x: the same elements in another order");
    values("map<int>", "{ a = 1, b = 2 }", "{ a = 1, b = 3 }", "input x.b: 2 -> 3");
    values("json", "{ a = [1, { b = 2 }] }", "{ a = [1, { b = 3 }] }", "input x.a[1].b: 2 -> 3");
    values("string?", "'a'", "'b'", "input x: \"a\" -> \"b\"");
}

#[test]
fn a_null_is_told_as_nothing() {
    let task = |bind| OneTask {
        inputs: "x = \"int?\"",
        bind,
        workflow_inputs: "",
        run: "printf a > $OUT/y",
        ..OneTask::default()
    };
    between(&task("x = 1"), &task(""), "input x: 1 -> nothing");
}

#[test]
fn files_are_told_by_name_content_and_bit() {
    let lab = Lab::new();
    lab.write("data.txt", "one\ntwo\nthree\n");
    lab.write("w.toml", &OneTask::copying().text());
    lab.ok("w.toml", &[]);
    lab.write("data.txt", "one\n2\n3\n");
    let said = why(&lab, "n", &[]);
    assert_eq!(plain(&said), "input f: data.txt changed (2 lines)");
    assert!(said.contains("8c1a7a5f.. -> ") || said.contains(".. -> "), "{said}");
    lab.ok("w.toml", &[]);

    std::fs::rename(lab.path("data.txt"), lab.path("other.txt")).unwrap();
    lab.write("w.toml", &OneTask::copying().text().replace("data.txt", "other.txt"));
    assert_eq!(why(&lab, "n", &[]), "input f: data.txt is called other.txt now");
    lab.ok("w.toml", &[]);

    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(lab.path("other.txt"), std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(why(&lab, "n", &[]), "input f: other.txt became executable");
}

#[test]
fn a_directory_is_told_by_its_content() {
    let lab = Lab::new();
    lab.write("d/a", "1");
    let task = OneTask {
        inputs: "f = \"dir\"",
        bind: "f = \"d\"",
        run: "ls $f > $OUT/y",
        workflow_inputs: "",
        ..OneTask::default()
    };
    lab.write("w.toml", &task.text());
    lab.ok("w.toml", &[]);
    lab.write("d/b", "2");
    assert_eq!(why(&lab, "n", &[]), "input f: d: 1 added (b)");
    lab.ok("w.toml", &[]);
    lab.write("d/b", "3");
    assert_eq!(why(&lab, "n", &[]), "input f: d: 1 changed (b); 1 line");
    let shown = lab.run(&["why", "w.toml", "n"]).expect_code(0).out;
    assert!(shown.contains("-2\n") && shown.contains("+3\n"), "{shown}");
    lab.ok("w.toml", &[]);
    std::fs::remove_file(lab.path("d/a")).unwrap();
    lab.write("d/b", "4");
    assert_eq!(why(&lab, "n", &[]), "input f: d: 1 removed (a), 1 changed (b)");
}

#[test]
fn a_long_command_line_is_cut_around_what_differs() {
    let lab = Lab::new();
    let text =
        |word: &str| with(AUTOMATIC, "", &format!("printf '{}{word}' > $OUT/y", "same ".repeat(60))).text();
    lab.write("w.toml", &text("one"));
    lab.ok("w.toml", &[]);
    lab.write("w.toml", &text("two"));
    let said = why(&lab, "n", &[]);
    assert!(said.contains("same one'") && said.contains("same two'"), "{said}");
    let verbose = lab.run(&["exec", "w.toml", "-v"]).expect_code(0).err;
    assert!(verbose.contains("same one'") && verbose.contains("same two'"), "{verbose}");
    let node = lab.run(&["show", "@last", "n"]).expect_code(0).out;
    assert!(node.contains("what differs\n") && node.contains("\n    +..."), "{node}");
    assert!(node.contains("same one' > $OUT/y\n") && node.contains("same two' > $OUT/y\n"), "{node}");
}

#[test]
fn elements_that_came_and_went_are_named() {
    let lab = Lab::new();
    let task = |names: &[String]| {
        OneTask {
            inputs: "x = \"list<file>\"",
            bind: &format!(
                "x = [{}]",
                names.iter().map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(", ")
            ),
            workflow_inputs: "",
            run: "printf a > $OUT/y",
            ..OneTask::default()
        }
        .text()
    };
    let mut names: Vec<String> = (0..30).map(|i| format!("f{i}.csv")).collect();
    for name in names.iter().map(String::as_str).chain(["new.csv"]) {
        lab.write(name, name);
    }
    lab.write("w.toml", &task(&names));
    lab.ok("w.toml", &[]);
    names.remove(3);
    names.push("new.csv".into());
    lab.write("f7.csv", "another\n");
    lab.write("w.toml", &task(&names));
    let answer = ask(&lab, "n", &[]);
    assert_eq!(answer["why"]["text"], "input x: 1 added (new.csv), 1 removed (f3.csv), 1 changed (f7.csv)");
    let items = &answer["why"]["changes"][0]["items"];
    assert_eq!((&items["added"], &items["items"][0]["name"]), (&json!(1), &json!("f7.csv")));
    let shown = lab.run(&["why", "w.toml", "n"]).expect_code(0).out;
    assert!(shown.contains("    + new.csv\n") && shown.contains("    - f3.csv\n"), "{shown}");
}

#[test]
fn an_interface_is_told_by_what_came_and_went() {
    let task = |inputs, bind, outputs, extra| OneTask {
        inputs,
        bind,
        outputs,
        extra,
        workflow_inputs: "",
        run: "printf 1 > $OUT/y; printf 2 > $OUT/score",
        ..OneTask::default()
    };
    let x = "x = \"int\"";
    let (one, y) = ("x = 1", "y = \"string\"");
    let base = || task(x, one, y, "");
    let both = || task("x = \"int\", z = \"int\"", "x = 1, z = 2", y, "");
    between(&base(), &both(), "input added: z");
    between(&both(), &base(), "input removed: z");
    between(&base(), &task("x = \"float\"", one, y, ""), "input x: type int -> float; input x: 1 -> 1.0");
    between(&base(), &task(x, one, "y = \"string\", score = \"int\"", ""), "output added: score");
    between(&task(x, one, "y = \"string\", score = \"int\"", ""), &base(), "output removed: score");
    between(&base(), &task(x, one, "y = \"int\"", ""), "output y: type string -> int");
    let ignoring = || task("x = \"int\", z = \"int\"", "x = 1, z = 2", y, "cache_ignore_inputs = ['z']");
    between(&both(), &ignoring(), "input z is ignored now");
    between(&ignoring(), &both(), "input z is no longer ignored");
}

#[test]
fn another_project_or_domain_that_holds_it_is_named() {
    let lab = Lab::new();
    lab.write("w.toml", &OneTask::default().text());
    let run =
        lab.ok("w.toml", &["--domain", "prod"]).events("run_started")[0]["run"].as_str().unwrap().to_owned();
    let answer = ask(&lab, "n", &[]);
    let expected = format!("the same result exists in domain prod (run {run}, node n)");
    assert_eq!(answer["why"]["text"], expected);
    assert_eq!(
        (&answer["why"]["elsewhere"]["domain"], &answer["why"]["kind"]),
        (&json!("prod"), &json!("first"))
    );
    // What differs in more than that is told with it.
    assert_eq!(
        why(&lab, "n", &["-i", "x=b", "--project", "q"]),
        "project default -> q; domain prod -> development; input x: \"a\" -> \"b\""
    );
    // What is kept here is nearer than anything elsewhere, and both are told.
    lab.ok("w.toml", &["-i", "x=c"]);
    assert_eq!(why(&lab, "n", &[]), format!("input x: \"c\" -> \"a\"; {expected}"));
}

#[test]
fn a_renamed_task_is_recognised_by_its_node() {
    let lab = Lab::new();
    lab.write("w.toml", &OneTask::default().text());
    lab.ok("w.toml", &[]);
    lab.write(
        "w.toml",
        &OneTask::default().text().replace("[tasks.t]", "[tasks.u]").replace("task = \"t\"", "task = \"u\""),
    );
    let answer = ask(&lab, "n", &[]);
    assert_eq!(
        answer["why"]["text"],
        "task wf.t -> wf.u; cache_aliases = [\"wf.t\"] in the task keeps its results"
    );
}

#[test]
fn a_renamed_workflow_is_recognised_by_its_definitions() {
    let lab = Lab::new();
    lab.write("w.toml", &OneTask::default().text());
    lab.ok("w.toml", &[]);
    lab.write("w.toml", &OneTask { name: "renamed", ..OneTask::default() }.text());
    let hint = "cache_aliases = [\"wf.t\"] in the task keeps its results";
    assert_eq!(why(&lab, "n", &[]), format!("task wf.t -> renamed.t; {hint}"));
    let run = lab.ok("w.toml", &["-i", "x=b"]);
    assert_eq!(run.node("n")["why"]["text"], "task wf.t -> renamed.t; input x: \"a\" -> \"b\"");
}

#[test]
fn a_plan_warns_of_a_task_that_was_edited_under_its_pinned_version() {
    let lab = Lab::new();
    lab.write("w.toml", &with(PINNED, "", "printf a > $OUT/y").text());
    lab.ok("w.toml", &[]);
    lab.write("w.toml", &with(PINNED, "", "printf b > $OUT/y").text());
    let shown = lab.run(&["plan", "w.toml"]).expect_code(0).out;
    let warning = "! n: `wf.t` was edited since this result was stored (`run` changed), but its cache_version is \
                   still \"1.0\", so the result counts: bump cache_version to run it again";
    assert!(shown.contains(warning), "{shown}");
    let line = lab.run(&["plan", "w.toml", "--json"]).expect_code(0).lines().remove(0);
    assert_eq!(
        (&line["cache"], format!("! n: {}", line["warning"].as_str().unwrap())),
        (&json!("hit"), warning.into())
    );
    lab.write("w.toml", &with(PINNED, "", "printf a > $OUT/y").text());
    assert!(!lab.run(&["plan", "w.toml"]).expect_code(0).out.contains("edited"));
}

#[test]
fn results_that_do_not_count_are_told_as_such() {
    let lab = Lab::new();
    lab.write("data.txt", "content");
    lab.write("w.toml", &OneTask::copying().text());
    let handed = lab.ok("w.toml", &[]).node("n")["outputs"]["g"]["path"].as_str().unwrap().to_owned();
    std::fs::remove_file(handed).unwrap();
    let answer = ask(&lab, "n", &[]);
    assert_eq!(answer["why"]["kind"], "unusable");
    assert!(answer["reason"].as_str().unwrap().starts_with("a stored file cannot be used"), "{answer}");

    let db = rusqlite::Connection::open(lab.home().join("runner.db")).unwrap();
    db.execute("UPDATE memo SET run = 'forged'", []).unwrap();
    assert_eq!(why(&lab, "n", &[]), "the row of the stored result is damaged");

    let lab = Lab::new();
    lab.write("w.toml", &with("cache = true\ncache_max_age = '1ms'", "", "").text());
    lab.ok("w.toml", &[]);
    let answer = ask(&lab, "n", &[]);
    assert_eq!(answer["why"]["kind"], "aged", "{answer}");
}

#[test]
fn the_nearest_is_looked_for_in_all_history() {
    let lab = Lab::new();
    let inputs = "a = \"int\", b = \"int\"";
    let task = OneTask {
        inputs,
        bind: "a = \"{{ inputs.a }}\", b = \"{{ inputs.b }}\"",
        workflow_inputs: "a = \"int\"\nb = \"int\"",
        run: "printf 1 > $OUT/y",
        ..OneTask::default()
    };
    lab.write("w.toml", &task.text());
    for (a, b) in [("a=1", "b=1"), ("a=2", "b=2"), ("a=3", "b=3")] {
        lab.ok("w.toml", &["-i", a, "-i", b]);
    }
    assert_eq!(why(&lab, "n", &["-i", "a=1", "-i", "b=9"]), "input b: 1 -> 9");
    assert_eq!(why(&lab, "n", &["-i", "a=9", "-i", "b=2"]), "input a: 2 -> 9");
    // Of two that differ in as much, the newer one.
    assert_eq!(why(&lab, "n", &["-i", "a=8", "-i", "b=8"]), "input a: 3 -> 8; input b: 3 -> 8");
}

#[test]
fn a_hit_says_where_it_came_from_and_what_its_key_is_made_of() {
    let lab = Lab::new();
    lab.write("w.toml", &OneTask::default().text());
    assert_eq!(why(&lab, "n", &[]), "no earlier result of wf.t is stored");
    let run = lab.ok("w.toml", &[]);
    let answer = ask(&lab, "n", &[]);
    assert_eq!((&answer["cache"], &answer["why"]), (&json!("hit"), &Value::Null));
    assert_eq!(answer["source"]["run"], run.events("run_started")[0]["run"]);
    assert_eq!(answer["key"], run.node("n")["key"]);
    let parts = &answer["parts"];
    assert_eq!(
        (&parts["project"], &parts["domain"], &parts["cache_version"], &parts["task"], &parts["inputs"]["x"]),
        (&json!("default"), &json!("development"), &json!("1"), &json!("wf.t"), &json!("a"))
    );
    let shown = lab.run(&["why", "w.toml", "n"]).expect_code(0).out;
    for part in ["n  hit", "from run", "cache_version  1\n", "task           wf.t\n", "input x        a\n"] {
        assert!(shown.contains(part), "{part:?} in\n{shown}");
    }
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
}

/// `clean` reads a file, `train` what that hands back, `report` what `train` does.
const CHAIN: &str = r#"
[workflow]
name = "chain"
[inputs]
seed = { type = "int", default = 1 }
[defaults]
cache = true
[tasks.clean]
inputs = { raw = "file" }
outputs = { rows = "file" }
run = 'sort "$raw" > "$OUT/rows"'
[tasks.train]
cache_version = "1.0"
inputs = { rows = "file", seed = "int" }
outputs = { model = "string" }
run = 'cksum < "$rows" > "$OUT/model"'
[tasks.report]
inputs = { model = "string" }
outputs = { text = "string" }
run = 'echo "it is $model" > "$OUT/text"'
[nodes.clean]
inputs = { raw = "raw.csv" }
[nodes.train]
inputs = { rows = "{{ clean.rows }}", seed = "{{ inputs.seed }}" }
[nodes.report]
inputs = { model = "{{ train.model }}" }
"#;

fn chain() -> Lab {
    let lab = Lab::new();
    lab.write("raw.csv", "b\na\n");
    lab.write("w.toml", CHAIN);
    lab.ok("w.toml", &[]);
    lab
}

#[test]
fn below_a_node_that_would_run_its_reason_is_given() {
    let lab = chain();
    lab.write("raw.csv", "b\na\nc\n");
    assert_eq!(plain(&why(&lab, "clean", &[])), "input raw: raw.csv changed (1 line)");
    assert_eq!(plain(&why(&lab, "train", &[])), "waits for `clean`: input raw: raw.csv changed (1 line)");
    assert_eq!(
        plain(&why(&lab, "report", &[])),
        "waits for `train`, below `clean`: input raw: raw.csv changed (1 line)"
    );
    // What is known to differ besides is told as well.
    lab.write("w.toml", &CHAIN.replace("\"1.0\"", "\"1.1\""));
    let answer = ask(&lab, "train", &["-i", "seed=2"]);
    assert_eq!(answer["why"]["kind"], "waiting");
    let parts: Vec<_> = answer["why"]["changes"].as_array().unwrap().iter().map(|c| &c["part"]).collect();
    assert_eq!(parts, ["cache_version", "input"]);
    let shown = lab.run(&["why", "w.toml", "train", "-i", "seed=2"]).expect_code(0).out;
    assert!(
        shown.contains("cache_version 1.0 -> 1.1\n") && shown.contains("input seed: 1 -> 2\n"),
        "{shown}"
    );
}

#[test]
fn the_root_of_a_change_is_found_up_the_chain() {
    let lab = chain();
    lab.write("raw.csv", "b\na\nc\n");
    lab.ok("w.toml", &["--until", "clean"]);
    let root = "which re-ran because input raw: raw.csv changed (1 line)";
    assert_eq!(
        plain(&why(&lab, "train", &[])),
        format!("input rows: rows changed (1 line), from clean, {root}")
    );
    // The run says the same of it.
    let run = lab.ok("w.toml", &[]);
    assert_eq!(
        plain(run.node("train")["why"]["text"].as_str().unwrap()),
        format!("input rows: rows changed (1 line), from clean, {root}")
    );
    let said = plain(run.node("report")["why"]["text"].as_str().unwrap());
    assert!(said.ends_with(&format!(", from train, from clean, {root}")), "{said}");
    let verbose = lab.run(&["exec", "w.toml", "-v", "-i", "seed=7"]).expect_code(0).err;
    assert!(verbose.contains("input seed: 1 -> 7"), "{verbose}");
}

#[test]
fn an_edited_command_upstream_is_the_root() {
    let lab = chain();
    lab.write("w.toml", &CHAIN.replace("sort \"$raw\"", "sort -r \"$raw\""));
    lab.ok("w.toml", &["--until", "clean"]);
    let said = plain(&why(&lab, "train", &[]));
    assert_eq!(
        said,
        "input rows: rows changed (2 lines), from clean, which re-ran because command changed: line 1 \"sort \\\"$raw\\\" > \\\"$OUT/rows\\\"\" -> \"sort -r \\\"$raw\\\" > \\\"$OUT/rows\\\"\""
    );
}

#[test]
fn a_node_upstream_that_is_not_cached_is_named() {
    let lab = Lab::new();
    let text =
        CHAIN.replace("[tasks.clean]", "[tasks.clean]\ncache = false").replace("sort \"$raw\"", "date +%N");
    lab.write("w.toml", &text);
    lab.write("raw.csv", "");
    lab.ok("w.toml", &[]);
    let said = plain(lab.ok("w.toml", &[]).node("train")["why"]["text"].as_str().unwrap());
    assert_eq!(said, "input rows: rows changed (1 line), from clean, which is not cached");
}

#[test]
fn a_node_upstream_that_came_to_something_else_is_named() {
    let lab = Lab::new();
    lab.write("w.toml", &CHAIN.replace("sort \"$raw\"", "date +%N"));
    lab.write("raw.csv", "");
    lab.ok("w.toml", &[]);
    lab.ok("w.toml", &["--overwrite=clean", "--until", "clean"]);
    assert_eq!(
        plain(&why(&lab, "train", &[])),
        "input rows: rows changed (1 line), from clean, which ran again and came to another result"
    );
}

#[test]
fn expressions_lists_and_literals_on_the_way_are_seen_through() {
    let lab = Lab::new();
    let text = |seed: u32, word: &str| {
        format!(
            "[workflow]\nname = 'w'\n[defaults]\ncache = true\n\
         [tasks.make]\ninputs = {{ i = 'int' }}\noutputs = {{ n = 'int' }}\nrun = 'echo $i > $OUT/n'\n\
         [tasks.join]\ninputs = {{ all = 'list<int>', twice = 'int', word = 'string' }}\noutputs = {{ t = 'string' }}\n\
         run = 'echo $all > $OUT/t'\n\
         [nodes.a]\ntask = 'make'\ninputs = {{ i = 1 }}\n[nodes.b]\ntask = 'make'\ninputs = {{ i = {seed} }}\n\
         [nodes.join]\ninputs = {{ all = ['{{{{ a.n }}}}', '{{{{ b.n }}}}'], twice = '{{{{ a.n * 2 }}}}', word = '{word}' }}\n"
        )
    };
    lab.write("w.toml", &text(5, "x"));
    lab.ok("w.toml", &[]);
    lab.write("w.toml", &text(6, "x"));
    lab.ok("w.toml", &["--until", "b"]);
    assert_eq!(why(&lab, "join", &[]), "input all[1]: 5 -> 6, from b, which re-ran because input i: 5 -> 6");
    lab.write("w.toml", &text(5, "y"));
    assert_eq!(why(&lab, "join", &[]), "input word: \"x\" -> \"y\"", "no node is to blame");
}

/// `make` for each of some numbers, `add` for each of what those hand back, `all` over everything.
fn elements(numbers: &str) -> String {
    format!(
        "[workflow]\nname = 'w'\n[defaults]\ncache = true\n\
         [tasks.make]\ninputs = {{ i = 'int' }}\noutputs = {{ n = 'int' }}\nrun = 'echo $((i * 10)) > $OUT/n'\n\
         [tasks.add]\ninputs = {{ n = 'int' }}\noutputs = {{ n = 'int' }}\nrun = 'echo $((n + 1)) > $OUT/n'\n\
         [tasks.all]\ninputs = {{ all = 'list<int>' }}\noutputs = {{ t = 'string' }}\nrun = 'echo $all > $OUT/t'\n\
         [nodes.make]\nforeach = ['i']\ninputs = {{ i = {numbers} }}\n\
         [nodes.add]\nforeach = ['n']\ninputs = {{ n = '{{{{ make.n }}}}' }}\n\
         [nodes.all]\ninputs = {{ all = '{{{{ add.n }}}}' }}\n"
    )
}

#[test]
fn elements_are_told_one_by_one() {
    let lab = Lab::new();
    lab.write("w.toml", &elements("[1, 2, 3]"));
    lab.ok("w.toml", &[]);
    lab.write("w.toml", &elements("[1, 5, 3]"));
    assert_eq!(ask(&lab, "make[1]", &[])["why"]["text"], "input i: 2 -> 5");
    assert_eq!(ask(&lab, "make[2]", &[])["cache"], "hit");
    let all = lab.run(&["why", "w.toml", "make", "--json"]).expect_code(0).lines();
    let said: Vec<_> = all
        .iter()
        .map(|line| format!("{}={}", line["node"].as_str().unwrap(), line["cache"].as_str().unwrap()))
        .collect();
    assert_eq!(said, ["make[0]=hit", "make[1]=miss", "make[2]=hit"]);
    lab.ok("w.toml", &["--until", "make"]);
    let root = "from make[1], which re-ran because input i: 2 -> 5";
    assert_eq!(ask(&lab, "add[1]", &[])["why"]["text"], format!("input n: 20 -> 50, {root}"));
    lab.ok("w.toml", &["--until", "add"]);
    assert_eq!(
        ask(&lab, "all", &[])["why"]["text"],
        "input all[1]: 21 -> 51, from add[1], from make[1], which re-ran because input i: 2 -> 5"
    );
    let beyond = lab.run(&["why", "w.toml", "make[9]"]).expect_code(2);
    assert!(beyond.err.contains("no such element"), "{}", beyond.err);
}

#[test]
fn sub_workflows_are_seen_into_and_out_of() {
    let lab = Lab::new();
    lab.write("raw.csv", "b\na\n");
    lab.write(
        "inner.toml",
        "[workflow]\nname = 'inner'\n[inputs]\nraw = 'file'\n[defaults]\ncache = true\n\
         [tasks.clean]\ninputs = { raw = 'file' }\noutputs = { rows = 'file' }\nrun = 'sort $raw > $OUT/rows'\n\
         [nodes.clean]\ninputs = { raw = '{{ inputs.raw }}' }\n[outputs]\nrows = '{{ clean.rows }}'\n",
    );
    lab.write(
        "w.toml",
        "[workflow]\nname = 'outer'\n[defaults]\ncache = true\n\
         [tasks.copy]\ninputs = { f = 'file' }\noutputs = { f = 'file' }\nrun = 'cat $f > $OUT/f'\n\
         [nodes.fetch]\ntask = 'copy'\ninputs = { f = 'raw.csv' }\n\
         [nodes.prep]\nworkflow = 'inner.toml'\ninputs = { raw = '{{ fetch.f }}' }\n\
         [nodes.last]\ntask = 'copy'\ninputs = { f = '{{ prep.rows }}' }\n",
    );
    lab.ok("w.toml", &[]);
    lab.write("raw.csv", "b\na\nc\n");
    lab.ok("w.toml", &["--until", "fetch"]);
    let root = "from fetch, which re-ran because input f: raw.csv changed (1 line)";
    assert_eq!(plain(&why(&lab, "prep/clean", &[])), format!("input raw: f changed (1 line), {root}"));
    lab.ok("w.toml", &["--until", "prep"]);
    assert_eq!(
        plain(&why(&lab, "last", &[])),
        format!("input f: rows changed (1 line), from prep/clean, {root}")
    );
}

#[test]
fn a_null_from_a_skipped_node_and_an_uncached_task_have_their_words() {
    let lab = Lab::new();
    lab.write("w.toml", &OneTask { cache: "", ..OneTask::default() }.text());
    let answer = ask(&lab, "n", &[]);
    assert_eq!((&answer["cache"], &answer["reason"]), (&json!("disabled"), &json!("the task is not cached")));
    assert_eq!((&answer["key"], &answer["parts"]), (&Value::Null, &Value::Null));
}

#[test]
fn questions_that_cannot_be_answered_say_why() {
    let lab = chain();
    let unknown = lab.run(&["why", "w.toml", "trian"]).expect_code(2);
    assert!(unknown.err.contains("did you mean `train`?"), "{}", unknown.err);
    lab.run(&["why", "w.toml"]).expect_code(2);
    // Nothing is written, in a home that is there and in one that is not.
    let fresh = Lab::new();
    fresh.write("raw.csv", "");
    fresh.write("w.toml", CHAIN);
    let answer = ask(&fresh, "clean", &[]);
    assert_eq!(answer["why"]["kind"], "first");
    assert!(!fresh.home().exists());
}

#[test]
fn history_tells_why_a_node_ran() {
    let lab = chain();
    lab.ok("w.toml", &["-i", "seed=2"]);
    let listed = lab.run(&["show", "@last"]).expect_code(0).out;
    assert!(listed.contains("input seed: 1 -> 2"), "{listed}");
    let one = lab.run(&["show", "@last", "train"]).expect_code(0).out;
    assert!(one.contains("why") && one.contains("input seed: 1 -> 2"), "{one}");
    lab.run(&["report", "@last", "-o", "r.html"]).expect_code(0);
    assert!(
        lab.read("r.html").contains("input seed: 1 -&#62; 2")
            || lab.read("r.html").contains("input seed: 1 -&gt; 2")
    );
}

#[test]
fn what_is_known_of_a_sibling_is_told_as_such() {
    let lab = Lab::new();
    let text = elements("[1, 2, 3]").replace("echo $((i * 10))", "test $i != 2; echo $((i * 10))");
    lab.write("w.toml", &text);
    lab.exec("w.toml", &["-k"]).expect_code(1);
    let said = ask(&lab, "make[1]", &[])["why"]["text"].as_str().unwrap().to_owned();
    assert!(said.starts_with("no earlier result for this node; closest is from make["), "{said}");
    let shown = lab.run(&["why", "w.toml", "make", "--index", "1"]).expect_code(0).out;
    assert!(shown.contains("no earlier result for this node; the closest differs:\n"), "{shown}");
}

#[test]
fn what_waits_has_typed_fields_in_a_plan() {
    let lab = chain();
    lab.write("raw.csv", "c\n");
    let lines = lab.run(&["plan", "w.toml", "--json"]).expect_code(0).lines();
    let kinds: Vec<_> = lines.iter().map(|line| &line["why"]["kind"]).collect();
    assert_eq!(kinds, ["changed", "waiting", "waiting"]);
}
