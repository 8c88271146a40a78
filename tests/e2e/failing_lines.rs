//! Which line of a script ended it, and other hints below a failed node; scripts see nothing of how that is known.

use crate::common::Lab;
use crate::common::one_task::OneTask;

/// What `exec` prints for a task that runs `run`.
fn failed(lab: &Lab, run: &str, extra: &str) -> String {
    let text =
        OneTask { run, extra, cache: "", ..OneTask::default() }.text().replace("echo t >> @COUNT@\n", "");
    lab.write("w.toml", &text);
    lab.run(&["exec", "w.toml"]).expect_code(1).err
}

#[test]
fn the_line_that_ended_a_silent_script_is_named() {
    let lab = Lab::new();
    for (run, line) in [
        ("true\ngrep -q x /dev/null\necho never", "line 2 of `run` ended it: grep -q x /dev/null"),
        ("true\nf() {\n  false\n}\ntrue\nf", "line 6 of `run` ended it: f"),
        ("true\nx=$(false)\necho $x", "line 2 of `run` ended it: x=$(false)"),
        ("set +e\nfalse\nset -e\n\ntest 1 = 2", "line 5 of `run` ended it: test 1 = 2"),
        ("trap 'rm -f gone' EXIT\ntrue\nfalse", "line 3 of `run` ended it: false"),
        (
            "true\nyes | head -1 > /dev/null\necho never",
            "line 2 of `run` ended it: yes | head -1 > /dev/null",
        ),
    ] {
        let err = failed(&lab, run, "");
        assert!(err.contains(line), "{run}\n{err}");
        let shown = lab.run(&["show", "@last"]).expect_code(0).out;
        assert!(shown.contains(line), "{shown}");
    }
    assert!(failed(&lab, "true\nyes | head -1 > /dev/null\n:", "").contains("pipe whose reader had ended"));
    for (run, extra) in [
        ("true\necho why >&2\nfalse", ""),
        ("true\nexit 3", ""),
        ("grep -q x /dev/null", ""),
        ("set +e\nfalse\nexit 3", ""),
        ("true\nfalse", "shell = [\"sh\", \"-e\"]"),
        ("trap : ERR\ntrap : EXIT\nfalse", ""),
    ] {
        let err = failed(&lab, run, extra);
        assert!(!err.contains("ended it"), "{run}\n{err}");
    }
    let odd = Lab::new();
    let home = odd.path("a 'b\" $c\\d;e");
    let text = OneTask { run: "true\nfalse", cache: "", ..OneTask::default() }.text();
    odd.write("w.toml", &text.replace("echo t >> @COUNT@\n", ""));
    let mut command = odd.command(&["exec", "w.toml"]);
    let err = crate::common::finish(command.env("RUNNER_HOME", home)).expect_code(1).err;
    assert!(err.contains("line 2 of `run` ended it: false"), "{err}");
}

/// The same scripts under bash alone and under a runner print the same.
#[test]
fn scripts_see_nothing_of_the_trap() {
    let lab = Lab::new();
    let script = r#"
echo "${BASH_ENV-none} $- $# $LINENO"
f() { return 3; }
f || echo "after $?"
set +e
(exit 7)
echo "$? ${PIPESTATUS[*]}"
false | true
echo "$? ${PIPESTATUS[*]}"
set -e
trap 'echo "mine $? $BASH_COMMAND"' EXIT
trap 'echo "err $? $LINENO $BASH_COMMAND"' ERR
env | grep -c BASH_ENV || :
bash -c 'echo "child ${BASH_ENV-none}"; trap -p'
(trap -p EXIT; true)
ls . > /dev/null
test -e nothing
"#;
    let text =
        OneTask { run: &format!("exec > \"$OUT/log\" 2>&1\n{script}"), cache: "", ..OneTask::default() };
    let text = text.text().replace("echo t >> @COUNT@\n", "").replace("cat \"", "");
    // The output of a failed attempt is gone: it is written beside the workflow.
    let seen = lab.path("seen");
    lab.write("w.toml", &text.replace("\"$OUT/log\"", &format!("'{}'", seen.display())));
    lab.run(&["exec", "w.toml"]).expect_code(1);
    let alone = lab.path("alone");
    let script = format!("exec > '{}' 2>&1\n{script}", alone.display());
    let status = std::process::Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script, "t"])
        .env_remove("BASH_ENV")
        .current_dir(lab.dir())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1));
    assert_eq!(lab.read("seen"), lab.read("alone"));
}

#[test]
fn a_file_that_sources_would_bring_is_named() {
    let lab = Lab::new();
    lab.write("scripts/a.py", "print(1)");
    let hint = "\"scripts/a.py\" exists beside the workflow file";
    for run in ["python3 scripts/a.py", "cat scripts/a.py > \"$OUT/y\""] {
        let err = failed(&lab, run, "");
        assert!(err.contains(hint) && err.contains("sources = [\"scripts/a.py\"]"), "{err}");
    }
    assert!(!failed(&lab, "cat nothing", "").contains("beside the workflow file"));
    assert!(
        !failed(&lab, "cat scripts/a.py; cat gone", "sources = [\"scripts/*\"]")
            .contains("beside the workflow")
    );
}
