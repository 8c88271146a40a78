//! What `check` warns of, and what it does not.

use crate::common::Lab;
use crate::common::one_task::OneTask;
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
fn mistakes_are_lines_of_json_as_well() {
    let lab = Lab::new();
    lab.write("w.toml", "[workflow]\nname = 'w'\n[tasks.t]\nretrys = 3\nrun = 'true'\n[nodes.t]\n");
    let done = lab.run(&["check", "w.toml", "--json"]).expect_code(2);
    let line = &done.lines()[0];
    assert_eq!((&line["level"], &line["line"], &line["lint"]), (&json!("error"), &json!(4), &Value::Null));
    assert!(done.err.is_empty(), "{}", done.err);
}
