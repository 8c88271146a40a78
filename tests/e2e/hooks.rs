//! Hooks: the nodes that run last, one when the run failed and one when it succeeded.

use crate::common::{Done, Lab};
use serde_json::{Value, json};

/// One node that fails on request, and both hooks.
const HOOKED: &str = "\
[workflow]
name = \"hooked\"
on_failure = \"tell\"
on_success = \"cheer\"
[inputs]
fail = { type = \"bool\", default = false }
who = { type = \"string\", default = \"me\" }
[tasks.work]
inputs = { fail = \"bool\" }
outputs = { x = \"string\" }
run = 'echo work >> @COUNT@; if $fail; then exit 3; fi; echo w > \"$OUT/x\"'
[tasks.tell]
inputs = { who = \"string\", node = \"string\", message = \"string\" }
outputs = { told = \"string\" }
run = 'echo tell >> @COUNT@; echo \"$who: $node: $message\" | tee \"$OUT/told\"'
[tasks.cheer]
inputs = { who = \"string\", x = \"string\" }
run = 'echo cheer >> @COUNT@; echo \"$who got $x\"'
[nodes.tell]
inputs = { who = \"{{ inputs.who }}\", node = \"{{ failure.node }}\", message = \"{{ failure.message }}\" }
[nodes.cheer]
inputs = { who = \"{{ inputs.who }}\", x = \"{{ work.x }}\" }
[nodes.work]
inputs = { fail = \"{{ inputs.fail }}\" }
[outputs]
x = \"{{ work.x }}\"
";

fn hooked(text: &str) -> Lab {
    let lab = Lab::new();
    lab.write("w.toml", text);
    lab
}

/// The nodes in the order in which they ended.
fn order(run: &Done) -> Vec<Value> {
    run.events("node_finished").iter().map(|event| event["node"].clone()).collect()
}

#[test]
fn the_hook_for_success_runs_last_and_sees_inputs_and_outputs() {
    let lab = hooked(HOOKED);
    let run = lab.ok("w.toml", &["-i", "who=Ann"]);
    assert_eq!(order(&run), ["work", "cheer"]);
    assert_eq!(run.node("cheer")["inputs"], json!({ "who": "Ann", "x": "w" }));
    assert_eq!(run.outputs(), json!({ "x": "w" }));
    assert_eq!(lab.ran_as("tell"), 0);
    assert_eq!(lab.run(&["logs", "@last", "cheer"]).expect_code(0).out, "Ann got w\n");
}

#[test]
fn the_hook_for_failure_is_told_what_failed_and_the_run_stays_failed() {
    let lab = hooked(HOOKED);
    let run = lab.exec("w.toml", &["-i", "fail=true"]).expect_code(1);
    assert_eq!(order(&run), ["work", "tell"]);
    assert_eq!(run.node("tell")["outputs"], json!({ "told": "me: work: exit code 3" }));
    assert_eq!(run.finished()["status"], "failed");
    assert_eq!(run.finished()["failed"], 1);
    assert_eq!(lab.ran_as("cheer"), 0);
    assert_eq!(lab.run(&["logs", "@last", "tell"]).expect_code(0).out, "me: work: exit code 3\n");
}

#[test]
fn show_names_the_hook_that_ran() {
    let lab = hooked(HOOKED);
    lab.exec("w.toml", &["-i", "fail=true"]).expect_code(1);
    let shown = lab.run(&["show", "@last"]).expect_code(0).out;
    let line = |node: &str| shown.lines().find(|line| line.contains(&format!(" {node} ")));
    assert!(line("tell").unwrap().contains("succeeded"), "{shown}");
    assert!(line("work").unwrap().contains("failed") && line("cheer").is_none(), "{shown}");
}

#[test]
fn the_hook_comes_after_all_that_goes_on_when_others_have_failed() {
    let lab = hooked(
        &(HOOKED.to_owned()
            + "[tasks.long]\nrun = 'sleep 0.2; echo long >> @COUNT@'\n[nodes.long]\n\
               [tasks.longer]\nrun = 'echo longer >> @COUNT@'\n[nodes.longer]\nneeds = [\"long\"]\n"),
    );
    lab.exec("w.toml", &["-i", "fail=true", "-k"]).expect_code(1);
    assert_eq!(lab.ran(), 4);
    assert_eq!(lab.read("count").split_whitespace().last(), Some("tell"));
}

#[test]
fn of_several_failures_one_is_told_and_the_hook_runs_once() {
    let lab = hooked(
        &(HOOKED.to_owned()
            + "[tasks.bad]\nrun = 'exit 4'\n[nodes.bad_1]\ntask = \"bad\"\n[nodes.bad_2]\ntask = \"bad\"\n"),
    );
    let run = lab.exec("w.toml", &["-k"]).expect_code(1);
    let told = run.node("tell")["outputs"]["told"].clone();
    assert!(["me: bad_1: exit code 4", "me: bad_2: exit code 4"].contains(&told.as_str().unwrap()), "{told}");
    assert_eq!((lab.ran_as("tell"), lab.ran_as("cheer")), (1, 0));
    assert_eq!(run.finished()["failed"], 2);
}

#[test]
fn what_was_skipped_is_no_failure() {
    let lab = hooked(
        &HOOKED
            .replace("[nodes.work]\n", "[nodes.work]\nif = false\n")
            .replace(", x = \"{{ work.x }}\"", ", x = \"-\""),
    );
    lab.ok("w.toml", &[]);
    assert_eq!((lab.ran_as("work"), lab.ran_as("cheer"), lab.ran_as("tell")), (0, 1, 0));
}

#[test]
fn a_hook_for_success_that_fails_makes_the_run_fail_by_its_name() {
    let lab = hooked(&HOOKED.replace("echo \"$who got $x\"", "exit 5"));
    let run = lab.exec("w.toml", &[]).expect_code(1);
    assert_eq!(
        (&run.node("work")["status"], &run.node("cheer")["status"]),
        (&json!("succeeded"), &json!("failed"))
    );
    assert_eq!(run.finished()["status"], "failed");
    assert_eq!(lab.ran_as("tell"), 0, "a hook has no hook");
    assert!(lab.run(&["exec", "w.toml"]).expect_code(1).err.contains("✗ cheer  exit 5"));
}

#[test]
fn a_hook_for_failure_that_fails_hides_nothing_of_the_first_failure() {
    let lab = hooked(&HOOKED.replace("tee \"$OUT/told\"", "false"));
    let run = lab.exec("w.toml", &["-i", "fail=true"]).expect_code(1);
    assert_eq!(
        (&run.node("work")["error"]["exit_code"], &run.node("tell")["error"]["exit_code"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(lab.ran_as("tell"), 1);
    let said = lab.run(&["exec", "w.toml", "-i", "fail=true"]).expect_code(1).err;
    assert!(said.contains("✗ work  exit 3") && said.contains("✗ tell  exit 1"), "{said}");
}

#[test]
fn plan_and_dry_run_leave_hooks_out() {
    let lab = hooked(HOOKED);
    for args in [["plan", "w.toml", "--json"], ["exec", "w.toml", "-n"]] {
        let planned = lab.run(&args).expect_code(0);
        let said = planned.out + &planned.err;
        assert!(said.contains("work") && !said.contains("tell") && !said.contains("cheer"), "{said}");
    }
    assert_eq!(lab.ran(), 0);
}

#[test]
fn errors_about_hooks_are_found_by_check_at_their_place() {
    let cases = [
        (
            "on_failure = \"tell\"",
            "on_failure = \"tel\"",
            "`on_failure` names `tel`, which is no node",
            "3:14",
        ),
        (
            "on_success = \"cheer\"",
            "on_success = \"cher\"",
            "`on_success` names `cher`, which is no node",
            "4:14",
        ),
        ("on_success = \"cheer\"", "on_success = true", "`on_success` must be a string", "4:14"),
        ("{{ failure.node }}", "{{ work.x }}", "this node runs when others have failed", "20:49"),
        ("{{ failure.message }}", "{{ failure.text }}", "`failure.text` is not known", "20:81"),
        ("{{ failure.message }}", "{{ failure }}", "`failure` is not known", "20:81"),
        (
            "x = \"{{ work.x }}\" }",
            "x = \"{{ failure.node }}\" }",
            "`failure` is known only to the node",
            "22:46",
        ),
        ("x = \"{{ work.x }}\" }", "x = \"{{ tell.told }}\" }", "`tell` runs last of all", "22:46"),
        (
            "[outputs]\nx = \"{{ work.x }}\"",
            "[outputs]\nx = \"{{ tell.told }}\"",
            "`tell` runs last of all",
            "26:9",
        ),
        ("[nodes.work]", "[nodes.work]\nneeds = [\"tell\"]", "`tell` runs last of all", "24:10"),
        ("[nodes.work]", "[nodes.work]\nneeds = [\"cheer\"]", "`cheer` runs last of all", "24:10"),
        (
            "[nodes.work]",
            "[nodes.work]\nif = \"{{ failure.node == 'a' }}\"",
            "`failure` is known only to the node",
            "24:10",
        ),
    ];
    for (from, to, told, place) in cases {
        assert!(HOOKED.contains(from));
        let lab = hooked(&HOOKED.replacen(from, to, 1));
        let checked = lab.run(&["check", "w.toml"]).expect_code(2).err;
        assert!(checked.contains(told), "{to}\n{checked}");
        assert!(checked.contains(&format!("--> w.toml:{place}\n")), "{to}: {place}\n{checked}");
        lab.exec("w.toml", &[]).expect_code(2);
        assert_eq!(lab.ran(), 0);
    }
}

/// On success there is nothing to tell, so that what is told may be null.
#[test]
fn one_node_may_be_both_hooks_if_it_takes_null() {
    let both = HOOKED.replace("on_success = \"cheer\"", "on_success = \"tell\"");
    let refused = hooked(&both).run(&["check", "w.toml"]).expect_code(2).err;
    assert!(refused.contains("`node` is string, but `{{ failure.node }}` is string?"), "{refused}");
    let lab = hooked(
        &both
            .replace("node = \"string\", message = \"string\"", "node = \"string?\", message = \"string?\"")
            .replace("$node: $message", "${node-fine}"),
    );
    assert_eq!(lab.ok("w.toml", &[]).node("tell")["outputs"], json!({ "told": "me: fine" }));
    let failed = lab.exec("w.toml", &["-i", "fail=true"]).expect_code(1);
    assert_eq!(failed.node("tell")["outputs"], json!({ "told": "me: work" }));
}

#[test]
fn skip_holds_for_hooks_too() {
    let lab = hooked(HOOKED);
    let run = lab.exec("w.toml", &["-i", "fail=true", "--skip", "tell"]).expect_code(1);
    assert_eq!((&run.node("tell")["status"], lab.ran_as("tell")), (&json!("skipped"), 0));
}

#[test]
fn a_failure_in_a_sub_workflow_is_told_by_the_node_in_it_and_its_own_hooks_are_not_run() {
    let lab = hooked(
        &HOOKED
            .replace("name = \"hooked\"", "name = \"outer\"")
            .replace("[nodes.work]\n", "[nodes.work]\nworkflow = \"inner.toml\"\n"),
    );
    lab.write(
        "inner.toml",
        &HOOKED.replace("echo tell >>", "echo inner >>").replace("echo cheer >>", "echo inner >>"),
    );
    let run = lab.exec("w.toml", &["-i", "fail=true"]).expect_code(1);
    assert_eq!(run.node("tell")["outputs"], json!({ "told": "me: work/work: exit code 3" }));
    lab.ok("w.toml", &[]);
    assert_eq!((lab.ran_as("inner"), lab.ran_as("tell"), lab.ran_as("cheer")), (0, 1, 1));
}

#[test]
fn a_last_word_is_never_taken_from_the_cache() {
    let lab = Lab::new();
    let text = "[workflow]\nname = \"w\"\non_success = \"cheer\"\n[defaults]\ncache = true\n\
                [tasks.work]\nrun = 'true'\n[tasks.cheer]\nrun = 'echo hurray'\n[nodes.work]\n[nodes.cheer]\n";
    lab.write("w.toml", text);
    lab.ok("w.toml", &[]);
    let again = lab.ok("w.toml", &[]);
    assert_eq!(again.node("work")["cache"], "hit");
    assert_eq!(
        (&again.node("cheer")["cache"], &again.node("cheer")["attempts"]),
        (&"skipped".into(), &1.into())
    );
}

#[test]
fn a_workflow_as_a_last_word_has_no_last_words_of_its_own() {
    let lab = Lab::new();
    let inner = "[workflow]\nname = \"inner\"\non_failure = \"alarm\"\n[tasks.say]\ninputs = { what = \"string\" }\n\
                 run = 'echo \"$what\"'\n[nodes.tell]\ntask = \"say\"\ninputs = { what = \"done\" }\n\
                 [nodes.alarm]\ntask = \"say\"\ninputs = { what = \"{{ failure.message }}\" }\n";
    lab.write("inner.toml", inner);
    let outer = "[workflow]\nname = \"outer\"\non_success = \"last\"\n[tasks.work]\nrun = 'true'\n[nodes.work]\n\
                 [nodes.last]\nworkflow = \"inner.toml\"\n";
    lab.write("w.toml", outer);
    let run = lab.ok("w.toml", &[]);
    assert_eq!(run.node("last/tell")["status"], "succeeded");
    assert!(run.events("node_finished").iter().all(|event| event["node"] != "last/alarm"));
}
