//! `retry`: only what failed or was not reached runs again.

use crate::common::{Done, Lab, finish};

/// Uncached `a`, then `b`, which fails until there is a file `ok`, then `c`; and elements that do likewise.
const CHAIN: &str = r#"
[workflow]
name = "w"
[inputs]
n = { type = "int", default = 1 }
data = { type = "file", default = "data.txt" }
[tasks.a]
inputs = { n = "int" }
outputs = { random = "string", made = "file", parts = "list<file>" }
run = '''
echo a >> @COUNT@
echo "$n $RANDOM$RANDOM" | tee "$OUT/random" > "$OUT/made"; chmod +x "$OUT/made"
mkdir "$OUT/parts"; echo 1 > "$OUT/parts/x.txt"
'''
[nodes.a]
inputs = { n = "{{ inputs.n }}" }
[tasks.d]
inputs = { data = "file" }
outputs = { size = "string" }
run = 'echo d >> @COUNT@; wc -c < "$data" > "$OUT/size"'
[nodes.d]
inputs = { data = "{{ inputs.data }}" }
[tasks.b]
inputs = { made = "file", parts = "list<file>" }
outputs = { text = "string" }
args = ["{{ parts }}"]
run = 'echo b >> @COUNT@; test -e @DIR@/ok; test -x "$made"; test "${1##*/}" = x.txt; cp "$made" "$OUT/text"'
[nodes.b]
inputs = { made = "{{ a.made }}", parts = "{{ a.parts }}" }
[tasks.c]
inputs = { text = "string", random = "string", size = "string" }
run = 'echo c >> @COUNT@; test "$text" = "$random"'
[nodes.c]
inputs = { text = "{{ b.text }}", random = "{{ a.random }}", size = "{{ d.size }}" }
"#;

fn lab(workflow: &str) -> Lab {
    let lab = Lab::new();
    lab.write("w.toml", workflow);
    lab.write("data.txt", "12");
    lab
}

fn retry(lab: &Lab, args: &[&str]) -> Done {
    lab.run(&[&["retry", "@last", "--json"], args].concat())
}

/// How often each of the tasks has run.
fn ran(lab: &Lab) -> [usize; 4] {
    ["a", "b", "c", "d"].map(|task| lab.ran_as(task))
}

#[test]
fn what_succeeded_is_taken_over_though_it_is_not_cached() {
    let lab = lab(CHAIN);
    let first = lab.exec("w.toml", &["-k", "--project", "p"]).expect_code(1);
    assert_eq!(ran(&lab), [1, 1, 0, 1]);
    let again = retry(&lab, &[]).expect_code(1);
    assert_eq!(ran(&lab), [1, 2, 0, 1]);
    let started = &again.events("run_started")[0];
    assert_eq!((&started["retry_of"], &started["project"]), (&first.finished()["run"], &"p".into()));
    lab.write("ok", "");
    let last = retry(&lab, &[]).expect_code(0);
    assert_eq!(ran(&lab), [1, 3, 1, 1]);
    let a = last.node("a");
    assert_eq!((&a["cache"], &a["source"]["run"]), (&"hit".into(), &first.finished()["run"]));
    let shown = lab.run(&["show", "@last"]).expect_code(0).out;
    let before = again.finished()["run"].as_str().unwrap().to_owned();
    assert!(shown.contains(&format!("retry of run {before}")), "{shown}");
    let done = lab.run(&["retry", "@last"]).expect_code(0);
    assert!(done.err.contains("nothing to retry"), "{}", done.err);
    assert_eq!(ran(&lab), [1, 3, 1, 1]);
}

#[test]
fn what_has_changed_since_runs_again() {
    let lab = lab(CHAIN);
    lab.exec("w.toml", &["-k"]).expect_code(1);
    lab.write("ok", "");
    lab.write("data.txt", "123");
    let done = retry(&lab, &["-n"]).expect_code(0);
    assert_eq!(
        done.lines().iter().map(|line| line["cache"].clone()).collect::<Vec<_>>(),
        ["hit", "disabled", "disabled", "unknown"]
    );
    let done = retry(&lab, &[]).expect_code(0);
    assert!(done.warnings().contains("data.txt has changed since run"), "{}", done.warnings());
    assert_eq!(ran(&lab), [1, 2, 1, 2]);

    let lab = self::lab(CHAIN);
    lab.exec("w.toml", &["-k"]).expect_code(1);
    lab.write("ok", "");
    lab.write("w.toml", &CHAIN.replace("echo a >>", "echo  a >>"));
    retry(&lab, &[]).expect_code(0);
    assert_eq!(ran(&lab), [2, 2, 1, 1]);
}

#[test]
fn flags_of_exec_win_over_those_of_the_run() {
    let lab = lab(CHAIN);
    lab.exec("w.toml", &["-k", "--cache", "off", "-i", "n=5", "--skip", "c"]).expect_code(1);
    lab.write("ok", "");
    let done = retry(&lab, &[]).expect_code(0);
    assert_eq!(ran(&lab), [1, 2, 0, 1]);
    assert_eq!(done.node("a")["inputs"]["n"], 5);
    assert_eq!(done.node("c")["status"], "skipped");

    lab.exec("w.toml", &["--set", "tasks.b.retries=1", "-i", "data=nope"]).expect_code(2);
    std::fs::remove_file(lab.path("ok")).unwrap();
    lab.exec("w.toml", &["-k"]).expect_code(1);
    let before = ran(&lab);
    let done = retry(&lab, &["-i", "n=7", "--overwrite=d"]).expect_code(1);
    let now = ran(&lab);
    assert_eq!([0, 1, 3].map(|i| now[i] - before[i]), [1, 1, 1]);
    assert_eq!(done.node("a")["inputs"]["n"], 7);
}

#[test]
fn elements_that_succeeded_stay() {
    let lab =
        lab("[workflow]\nname = \"w\"\n[tasks.t]\ninputs = { i = \"int\" }\noutputs = { o = \"int\" }\n\
         run = 'echo t$i >> @COUNT@; test $i != 2 -o -e @DIR@/ok; echo $i > \"$OUT/o\"'\n\
         [nodes.t]\nforeach = [\"i\"]\ninputs = { i = [1, 2, 3] }\n[outputs]\nall = \"{{ t.o }}\"\n");
    lab.exec("w.toml", &["-k"]).expect_code(1);
    lab.write("ok", "");
    let done = lab.run(&["retry", "@last-failed", "--json"]).expect_code(0);
    assert_eq!(["t1", "t2", "t3"].map(|task| lab.ran_as(task)), [1, 2, 1]);
    assert_eq!(done.outputs()["all"], serde_json::json!([1, 2, 3]));
    let finished = done.finished();
    assert_eq!((&finished["executed"], &finished["cached"]), (&1.into(), &2.into()));
}

#[test]
fn nodes_that_run_last_do_so_again() {
    let lab = lab("[workflow]\nname = \"w\"\non_failure = \"tell\"\n[tasks.t]\nrun = 'exit 1'\n[nodes.t]\n\
         [tasks.tell]\nrun = 'echo tell >> @COUNT@'\n[nodes.tell]\n");
    lab.exec("w.toml", &[]).expect_code(1);
    retry(&lab, &[]).expect_code(1);
    assert_eq!(lab.ran_as("tell"), 2);
}

#[test]
fn what_cannot_be_tried_again_says_why() {
    let lab = lab(CHAIN);
    assert!(lab.run(&["retry", "@last"]).expect_code(2).err.contains("no run yet"));
    lab.exec("w.toml", &[]).expect_code(1);
    lab.write("w.toml", &CHAIN.replace("n = { type = \"int\", default = 1 }", "n = \"bool\""));
    let done = retry(&lab, &["-i", "n=true"]).expect_code(2);
    assert!(!done.err.contains("as it was then"), "{}", done.err);
    lab.write(
        "w.toml",
        "[workflow]\nname = \"w\"\n[inputs]\nn = \"bool\"\n[tasks.t]\nrun = 'true'\n[nodes.t]\n",
    );
    let done = retry(&lab, &[]).expect_code(2);
    assert!(done.err.contains("give it with -i n=VALUE"), "{}", done.err);
}

#[test]
fn an_edit_under_a_pinned_version_is_warned_of() {
    let lab = Lab::new();
    let text = "[workflow]\nname = 'w'\n[tasks.a]\ncache = true\ncache_version = '1'\noutputs = { y = 'int' }\n\
                run = 'echo 1 > $OUT/y'\n[tasks.b]\ninputs = { y = 'int' }\nrun = 'test $y = 2'\n\
                [nodes.a]\n[nodes.b]\ninputs = { y = '{{ a.y }}' }\n";
    lab.write("w.toml", text);
    lab.exec("w.toml", &[]).expect_code(1);
    lab.write("w.toml", &text.replace("echo 1", "echo 2"));
    let again = lab.run(&["retry", "@last", "--json"]).expect_code(1);
    assert_eq!(again.cache("a"), "hit");
    assert!(again.warnings().contains("bump cache_version"), "{}", again.warnings());
}

#[test]
fn a_rerun_is_the_same_request_through_the_cache() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = \"w\"\n[inputs]\nx = \"string\"\nz = { type = \"int\", default = 1 }\n\
         [tasks.t]\ncache = true\ninputs = { x = \"string\", z = \"int\" }\noutputs = { y = \"string\" }\n\
         run = 'echo t >> @COUNT@; printf %s \"$x$z\" > \"$OUT/y\"'\n[nodes.t]\n\
         inputs = { x = \"{{ inputs.x }}\", z = \"{{ inputs.z }}\" }\n[outputs]\ny = \"{{ t.y }}\"\n",
    );
    let first = lab.ok("w.toml", &["-i", "x=a", "--project", "p", "--domain", "d"]);
    let again = lab.run(&["rerun", "@last", "--json"]).expect_code(0);
    assert_eq!((again.cache("t"), again.outputs()), ("hit".into(), first.outputs()));
    assert_eq!(again.events("run_started")[0]["project"], "p");
    assert_eq!(again.events("run_started")[0]["retry_of"], serde_json::Value::Null);
    let other = lab.run(&["rerun", "@last", "--json", "-i", "z=2"]).expect_code(0);
    assert_eq!((other.cache("t"), other.outputs()["y"].as_str()), ("populated".into(), Some("a2")));
    assert_eq!(lab.ran(), 2);
    assert!(lab.run(&["rerun", "nope"]).expect_code(2).err.contains("nope"));
}

#[test]
fn the_environment_does_not_move_a_retry_into_another_project() {
    let lab = Lab::new();
    lab.write("w.toml", "[workflow]\nname = \"w\"\n[tasks.t]\nrun = 'exit 3'\n[nodes.t]\n");
    lab.exec("w.toml", &["--project", "p", "--domain", "d"]).expect_code(1);
    for verb in ["retry", "rerun"] {
        let mut command = lab.command(&[verb, "@last", "--json"]);
        let done = finish(command.env("RUNNER_PROJECT", "other").env("RUNNER_DOMAIN", "other"));
        let begun = done.expect_code(1).events("run_started").remove(0);
        assert_eq!((begun["project"].as_str(), begun["domain"].as_str()), (Some("p"), Some("d")), "{verb}");
        let wrong = finish(lab.command(&[verb, "@last"]).env("RUNNER_JOBS", "many")).expect_code(2);
        assert!(wrong.err.contains("the variable RUNNER_JOBS"), "{}", wrong.err);
    }
}
