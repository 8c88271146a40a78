//! What `check` warns of, and what it does not.

use std::fs;

use crate::common::one_task::OneTask;
use crate::common::{Done, Lab};
use serde_json::{Value, json};

/// The warnings of the one workflow, by name and line: `network@9 message`.
#[track_caller]
fn warnings(lab: &Lab) -> Vec<Value> {
    let done = lab.run(&["check", "w.toml", "--json"]).expect_code(0);
    assert!(done.err.is_empty(), "{}", done.err);
    done.lines()
}

#[track_caller]
fn names(lab: &Lab) -> Vec<String> {
    warnings(lab).iter().map(|line| line["lint"].as_str().unwrap().to_owned()).collect()
}

/// The names of what is said of a cached task with this script.
#[track_caller]
fn of_script(run: &str) -> Vec<String> {
    let lab = Lab::new();
    lab.write("data/b.csv", "");
    lab.write("scripts/a.py", "");
    // The counting line of the laboratory names an absolute path itself.
    let text = OneTask { run, ..OneTask::default() }.text().replace("echo t >> @COUNT@\n", "");
    lab.write("w.toml", &text);
    names(&lab)
}

#[test]
fn what_a_cached_script_depends_on_besides_its_inputs_is_told() {
    for (script, expected) in [
        ("curl -s https://example.org > $OUT/y", "network"),
        ("x=$(wget -qO- http://h/p); echo $x > $OUT/y", "network"),
        ("git clone https://example.org/r", "network"),
        ("date +%F > $OUT/y", "clock"),
        ("now=`date`; echo $now > $OUT/y", "clock"),
        ("TZ=UTC date > $OUT/y", "clock"),
        ("echo $RANDOM > $OUT/y", "chance"),
        ("uuidgen > $OUT/y", "chance"),
        ("shuf $x > $OUT/y", "chance"),
        ("python3 -c 'import time; print(time.time())' > $OUT/y", "clock"),
        ("python3 -c 'import random; print(random.random())' > $OUT/y", "chance"),
        ("cat \"$RUNNER_WORKFLOW_DIR/data/b.csv\" > $OUT/y", "undeclared-file"),
        ("cat ~/notes.txt > $OUT/y", "undeclared-file"),
        ("python3 scripts/a.py > $OUT/y", "undeclared-file"),
        ("sort --files=data/b.csv > $OUT/y", "undeclared-file"),
        ("cat /data/reference.fa > $OUT/y", "absolute-path"),
        ("cp /home/ada/x.csv $OUT/y", "absolute-path"),
        ("cat /etc/hostname > $OUT/y", "absolute-path"),
    ] {
        assert_eq!(of_script(script), [expected], "{script}");
    }
}

#[test]
fn what_is_harmless_is_not_told() {
    for script in [
        "date -d \"$x\" +%F > $OUT/y",
        "date --date=yesterday > $OUT/y",
        "date_of=5; echo $date_of > $OUT/y # date, curl",
        "echo date > $OUT/y",
        "cut -d/ -f1 <<< \"$x\" > $OUT/y 2>/dev/null",
        "/usr/bin/env printf a > $OUT/y; /bin/echo b",
        "sed -n '/error/p' <<< \"$x\" > $OUT/y",
        "awk '/^foo/ {print $1}' <<< a > $OUT/y",
        "git rev-parse HEAD > $OUT/y || true",
        "cat other/missing.csv > $OUT/y",
        "shuf --random-source=<(yes) -e a b > $OUT/y",
        "echo \"{{ not_an_input }}\" > $OUT/y",
        "mkdir a; cp \"$x\" a/b.csv; mv a/b.csv $OUT/y",
    ] {
        assert_eq!(of_script(script), [""; 0], "{script}");
    }
}

#[test]
fn declared_files_are_no_news() {
    let lab = Lab::new();
    lab.write("scripts/a.py", "");
    let task = OneTask {
        extra: "sources = ['scripts']",
        run: "python3 scripts/a.py > $OUT/y",
        ..OneTask::default()
    };
    lab.write("w.toml", &task.text().replace("echo t >> @COUNT@\n", ""));
    assert_eq!(names(&lab), [""; 0]);
}

#[test]
fn an_uncached_task_may_do_as_it_likes() {
    let lab = Lab::new();
    let task =
        OneTask { cache: "", run: "curl -s http://h; date; echo $RANDOM > $OUT/y", ..OneTask::default() };
    lab.write("w.toml", &task.text().replace("echo t >> @COUNT@\n", ""));
    assert_eq!(names(&lab), [""; 0]);
    // But an absolute path ties it to one machine.
    let task = OneTask { cache: "", run: "cat /data/a.csv > $OUT/y", ..OneTask::default() };
    lab.write("w.toml", &task.text().replace("echo t >> @COUNT@\n", ""));
    assert_eq!(names(&lab), ["absolute-path"]);
}

#[test]
fn outputs_and_tasks_that_nothing_uses_are_told_with_their_place() {
    let lab = Lab::new();
    let text = "[workflow]\nname = 'w'\n[tasks.make]\noutputs = { a = 'int', b = 'int' }\nrun = 'true'\n\
                [tasks.idle]\nrun = 'true'\n[tasks.last]\ninputs = { a = 'int' }\nrun = 'true'\n\
                [nodes.make]\n[nodes.last]\ninputs = { a = '{{ make.a }}' }\n";
    lab.write("w.toml", text);
    let said = warnings(&lab);
    let of = |name: &str| said.iter().find(|line| line["lint"] == name).unwrap();
    let output = of("unused-output");
    assert_eq!(
        (&output["line"], &output["column"], &output["level"]),
        (&json!(4), &json!(24), &json!("warning"))
    );
    assert_eq!(output["message"], "output `b` of task `make` is used by nothing");
    assert_eq!((&of("unused-task")["line"], said.len()), (&json!(6), 2));
}

#[test]
fn places_are_those_of_the_words_that_are_meant() {
    let lab = Lab::new();
    let text = "[workflow]\nname = 'w'\n[tasks.t]\ncache = true\noutputs = { o = 'int' }\nrun = \'\'\'\n\
                # curl in a comment; date here\necho update\ndate +%s\n\'\'\'\n[nodes.t]\n";
    lab.write("w.toml", text);
    let places: Vec<_> =
        warnings(&lab).iter().map(|w| format!("{}@{}:{}", w["lint"], w["line"], w["column"])).collect();
    assert_eq!(places, ["\"unused-output\"@5:13", "\"clock\"@9:1"]);
}

#[test]
fn settings_without_effect_and_templates_in_scripts_are_told() {
    let lab = Lab::new();
    let task = OneTask {
        cache: "cache_version = '1'\ncache_serialize = true",
        run: "echo {{ x }} '{{ inputs.x }}' > $OUT/y",
        ..OneTask::default()
    };
    lab.write("w.toml", &task.text().replace("echo t >> @COUNT@\n", ""));
    assert_eq!(names(&lab), ["no-effect", "no-effect", "template-in-script", "template-in-script"]);
}

#[test]
fn a_task_edited_under_its_pinned_version_is_told() {
    let lab = Lab::new();
    let text = |word: &str| {
        OneTask { run: &format!("printf {word} > $OUT/y"), ..OneTask::default() }
            .text()
            .replace("echo t >> @COUNT@\n", "")
    };
    lab.write("w.toml", &text("one"));
    lab.ok("w.toml", &["--domain", "prod"]);
    assert_eq!(names(&lab), [""; 0]);
    lab.write("w.toml", &text("two"));
    let said = warnings(&lab);
    assert_eq!(said[0]["lint"], "edited-under-pinned-version");
    let message = said[0]["message"].as_str().unwrap();
    assert!(message.contains("`run` changed") && message.contains("still \"1\""), "{message}");
    assert!(said[0]["help"][0].as_str().unwrap().contains("bump cache_version"));
}

#[test]
fn warnings_are_shown_in_place_and_keep_nothing_from_running() {
    let lab = Lab::new();
    let task = OneTask { run: "date +%F > $OUT/y", ..OneTask::default() };
    lab.write("w.toml", &task.text().replace("echo t >> @COUNT@\n", ""));
    for verb in ["check", "lint"] {
        let done = lab.run(&[verb, "w.toml"]).expect_code(0);
        assert!(done.out.is_empty());
        for part in [
            "warning: cached task `t` reads the clock: `date`\n",
            " --> w.toml:12:1\n",
            "w.toml: ok, 1 node, 1 warning\n",
        ] {
            assert!(done.err.contains(part), "{part:?} in\n{}", done.err);
        }
    }
    lab.run(&["check", "w.toml", "--strict"]).expect_code(2);
    let run = lab.ok("w.toml", &[]);
    assert_eq!(run.warnings(), "");
}

#[test]
fn errors_are_lines_of_json_as_well() {
    let lab = Lab::new();
    lab.write("w.toml", "[workflow]\nname = 'w'\n[tasks.t]\nretrys = 3\nrun = 'true'\n[nodes.t]\n");
    let done = lab.run(&["check", "w.toml", "--json"]).expect_code(2);
    let line = &done.lines()[0];
    assert_eq!((&line["level"], &line["line"], &line["lint"]), (&json!("error"), &json!(4), &Value::Null));
    assert!(done.err.is_empty(), "{}", done.err);
}

#[test]
fn what_is_taken_literally_is_told() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        r#"[workflow]
name = "w"
[inputs]
x = { type = "string", default = "a" }
[defaults]
env = { CACHE = "~/cache" }
[tasks.t]
inputs = { f = "file?", s = "string" }
outputs = { out = { type = "file", path = "{{ s }}.txt" }, more = { type = "file", path = "~/more" } }
env = { PATH = "$HOME/bin:$PATH", FINE = "cost 5$" }
run = """
{% if s %}
echo "${#s}"
{% endif %}"""
[tasks.a]
inputs = { s = "string" }
argv = ["echo", "{# note #} {{ s }}", "{%s}"]
[nodes.t]
inputs = { f = "~/in/{{ inputs.x }}.csv", s = "{% if x %}a{% endif %}" }
[nodes.a]
inputs = { s = "$HOME is fine in text" }
if = "{{ inputs.x == 'a' }}"
[outputs]
one = { value = "{{ t.out }}", path = "{{ inputs.x }}/one.txt" }
two = { value = "{{ t.more }}", path = "$HOME/two.txt" }
"#,
    );
    let told: Vec<String> = warnings(&lab)
        .iter()
        .map(|line| {
            assert!(
                line["column"].as_u64() > Some(0) && !line["help"].as_array().unwrap().is_empty(),
                "{line}"
            );
            format!("{}@{}", line["lint"].as_str().unwrap(), line["line"])
        })
        .collect();
    let mut told: Vec<&str> = told.iter().map(String::as_str).collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            "literal-env@10",
            "literal-env@6",
            "literal-path@19",
            "literal-path@25",
            "literal-path@9",
            "template-block@17",
            "template-block@19",
            "template-in-path@24",
            "template-in-path@9",
            "template-in-script@12",
        ]
    );
}

#[test]
fn libraries_are_checked_and_not_run() {
    let lab = Lab::new();
    lab.write(
        "lib.toml",
        "[library]\nname = \"text\"\n[defaults]\ncache = true\n[tasks.get]\noutputs = { page = \"file\" }\n\
         run = 'curl -s http://h/p > \"$OUT/page\"'\n[tasks.fine]\nrun = 'true'\n",
    );
    let checked = lab.run(&["check", "lib.toml"]).expect_code(0);
    assert!(
        checked.err.contains("lib.toml:7:8") && checked.err.contains("uses the network"),
        "{}",
        checked.err
    );
    assert!(checked.err.ends_with("lib.toml: ok, 2 tasks, 1 warning\n"), "{}", checked.err);
    lab.run(&["check", "lib.toml", "--strict"]).expect_code(2);
    let json = lab.run(&["check", "lib.toml", "--json"]).expect_code(0).lines();
    assert_eq!((json.len(), json[0]["lint"].as_str()), (1, Some("network")));
    let exec = lab.run(&["exec", "lib.toml"]).expect_code(2);
    assert!(exec.err.contains("this file is a library") && exec.err.contains("help:"), "{}", exec.err);
    for (text, said) in [
        ("[library]\nname = \"l\"\n[tasks.t]\nrum = 'x'\n", "unknown key `rum`"),
        ("[library]\nname = \"l\"\n[defaults]\nretries = \"x\"\n", "retries"),
        ("[library]\nname = \"l\"\n[nodes.t]\n", "unknown key `nodes`"),
        ("import = [\"none.toml\"]\n[library]\nname = \"l\"\n", "the import cannot be read"),
        ("[library]\nname = \"l\"\n[tasks.t\n", "bad.toml:3"),
    ] {
        lab.write("bad.toml", text);
        let bad = lab.run(&["check", "bad.toml"]).expect_code(2);
        assert!(bad.err.contains(said) && bad.err.contains("bad.toml"), "{text} {}", bad.err);
        lab.run(&["check", "bad.toml", "--json"]).expect_code(2);
    }
}

/// What is read through the workflow's folder is not in the key: said by `check` with that reason, and by a run once for
/// each definition, whether or not it hits.
#[test]
fn files_of_the_workflows_folder_are_not_in_the_key() {
    let lab = Lab::new();
    lab.write("b.txt", "b");
    let reason = |run: &str, extra: &str| {
        let text = OneTask { run, extra, ..OneTask::default() }.text();
        lab.write("w.toml", &text);
        let done = lab.run(&["check", "w.toml", "--json"]).expect_code(0);
        let lints = done.lines().into_iter().filter(|line| line["lint"] == "undeclared-file");
        lints.map(|line| line["message"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for run in [
        "cat \"$RUNNER_WORKFLOW_DIR/b.txt\" > \"$OUT/y\"",
        "cat \"$RUNNER_WORKFLOW_DIR\"/b.txt > \"$OUT/y\"",
        "cd \"$RUNNER_WORKFLOW_DIR\"; cat b.txt > \"$OUT/y\"",
        "cat ${RUNNER_WORKFLOW_DIR:?}/b.txt > \"$OUT/y\"",
        "python3 -c 'import os; print(open(os.environ[\"RUNNER_WORKFLOW_DIR\"] + \"/b.txt\").read())' > \"$OUT/y\"",
    ] {
        let found = reason(run, "");
        assert_eq!(found.len(), 1, "{run}: {found:?}");
        assert!(found[0].starts_with("cached task `t`") && found[0].ends_with("which it does not declare"));
        let warned = |done: &Done| {
            let warnings = done.events("warning");
            warnings.iter().filter(|w| w["message"].as_str().unwrap().contains("does not declare")).count()
        };
        assert_eq!(warned(&lab.ok("w.toml", &["--overwrite"])), 1, "{run}");
        assert_eq!(warned(&lab.ok("w.toml", &[])), 0, "{run}");
        assert_eq!(warned(&lab.ok("w.toml", &["--overwrite"])), 0, "{run}");
    }
    assert_eq!(reason("cat \"$RUNNER_WORKFLOW_DIR/b.txt\" > \"$OUT/y\"", "sources = [\"*.txt\"]"), [""; 0]);
}

#[test]
fn a_home_inside_an_input_is_named_before_the_run() {
    let lab = Lab::new();
    lab.write("b.txt", "b");
    let dir = OneTask {
        inputs: "d = \"dir\"",
        bind: "d = \".\"",
        run: "ls \"$d\" > \"$OUT/y\"",
        ..OneTask::default()
    };
    let sources = OneTask { extra: "sources = [\"**/*\"]", ..OneTask::default() };
    let apart = OneTask { extra: "sources = [\"*.txt\"]", ..OneTask::default() };
    for (task, warns) in [(dir, true), (sources, true), (apart, false)] {
        let text = task.text();
        lab.write("w.toml", &text);
        let err = lab.run(&["exec", "w.toml"]).err;
        let home = fs::canonicalize(lab.home()).unwrap().display().to_string();
        let said = err.lines().any(|line| line.contains("the home folder") && line.contains(&home));
        assert_eq!(said, warns, "{text}\n{err}");
    }
}
