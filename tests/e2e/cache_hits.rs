//! When the cache answers, and what it says: statuses, hits and what is never stored.

use crate::common::Lab;
use crate::common::one_task::OneTask;

const LIBRARY: &str = "
[library]
name = \"text\"
[tasks.shout]
cache = true
cache_version = \"1\"
inputs = { x = \"string\" }
outputs = { y = \"string\" }
run = '''
echo t >> @COUNT@
printf %s \"${x^^}\" > \"$OUT/y\"
'''
";

/// A workflow that imports the library, from the folder below the one that holds it.
fn importing(name: &str, node: &str, x: &str) -> String {
    format!(
        "import = [\"../lib/text.toml\"]\n[workflow]\nname = \"{name}\"\n[nodes.{node}]\ntask = \"text.shout\"\n\
         inputs = {{ x = \"{x}\" }}\n[outputs]\ny = \"{{{{ {node}.y }}}}\"\n"
    )
}

#[test]
fn a_miss_that_ran_and_was_stored_is_populated_and_another_process_hits_it() {
    let lab = Lab::new();
    lab.write("w.toml", &OneTask::default().text());
    let (first, second) = (lab.ok("w.toml", &[]), lab.ok("w.toml", &[]));
    assert_eq!((first.cache("n").as_str(), second.cache("n").as_str()), ("populated", "hit"));
    assert_eq!(first.outputs(), second.outputs());
    assert_eq!(first.key("n"), second.key("n"));
    assert_eq!(
        (first.node("n")["attempts"].as_u64(), second.node("n")["attempts"].as_u64()),
        (Some(1), Some(0))
    );
    assert_eq!(
        (second.finished()["cached"].as_u64(), second.finished()["executed"].as_u64()),
        (Some(1), Some(0))
    );
    assert_eq!(lab.ran(), 1);
}

#[test]
fn a_hit_names_the_run_node_and_time_it_came_from() {
    let lab = Lab::new();
    lab.write("w.toml", &OneTask { node: "one", returns: "", ..OneTask::default() }.text());
    let first = lab.ok("w.toml", &[]);
    assert!(first.node("one")["source"].is_null());
    lab.write("w.toml", &OneTask { node: "two", returns: "", ..OneTask::default() }.text());
    for _ in 0..2 {
        let source = lab.ok("w.toml", &[]).node("two")["source"].clone();
        assert_eq!(source["run"], first.events("run_started")[0]["run"]);
        assert_eq!(source["node"], "one");
        // Kept to the millisecond.
        let (kept, made) = (source["time"].as_str().unwrap(), first.node("one")["time"].clone());
        assert!(made.as_str().unwrap().starts_with(kept.trim_end_matches('Z')), "{kept} for {made}");
    }
}

#[test]
fn every_workflow_that_imports_a_library_task_shares_its_results() {
    let lab = Lab::new();
    lab.write("lib/text.toml", LIBRARY);
    lab.write("a/one.toml", &importing("one", "m", "hello"));
    lab.write("b/two.toml", &importing("two", "n", "hello"));
    assert_eq!(lab.ok("a/one.toml", &[]).node("m")["task"], "text.shout");
    let second = lab.ok("b/two.toml", &[]);
    assert_eq!((second.cache("n").as_str(), second.outputs()["y"].as_str()), ("hit", Some("HELLO")));
    assert_eq!(lab.ran(), 1);
}

#[test]
fn unrelated_workflows_with_tasks_of_one_name_share_nothing() {
    let lab = Lab::new();
    lab.write("a.toml", &OneTask { name: "a", ..OneTask::default() }.text());
    lab.write("b.toml", &OneTask { name: "b", ..OneTask::default() }.text());
    assert_eq!(lab.ok("a.toml", &[]).cache("n"), "populated");
    assert_eq!(lab.ok("b.toml", &[]).cache("n"), "populated");
}

#[test]
fn a_hit_does_not_depend_on_the_working_directory_or_on_where_the_workflow_lies() {
    let lab = Lab::new();
    let text = OneTask::copying().text();
    for dir in ["a", "b/c"] {
        lab.write(&format!("{dir}/w.toml"), &text);
        lab.write(&format!("{dir}/data.txt"), "same");
    }
    assert_eq!(lab.ok("a/w.toml", &[]).cache("n"), "populated");
    assert_eq!(lab.ok("b/c/w.toml", &[]).cache("n"), "hit");
    let mut elsewhere = lab.command(&["exec", "w.toml", "--json"]);
    assert_eq!(crate::common::finish(elsewhere.current_dir(lab.path("b/c"))).cache("n"), "hit");
    assert_eq!(lab.ran(), 1);
}

#[test]
fn identical_nodes_of_one_workflow_share_their_result() {
    let lab = Lab::new();
    let after = "y = \"{{ n.y }}\"\n[nodes.m]\ntask = \"t\"\nneeds = [\"n\"]\ninputs = { x = \"a\" }";
    lab.write("w.toml", &OneTask { returns: after, ..OneTask::default() }.text());
    let run = lab.ok("w.toml", &[]);
    assert_eq!((run.cache("n").as_str(), run.cache("m").as_str()), ("populated", "hit"));
    assert_eq!(run.node("m")["source"]["node"], "n");
}

#[test]
fn a_task_that_is_not_cached_is_disabled_and_always_runs() {
    let lab = Lab::new();
    for cache in ["", "cache = false\ncache_version = \"1\""] {
        lab.write("w.toml", &OneTask { cache, ..OneTask::default() }.text());
        assert_eq!(lab.ok("w.toml", &[]).cache("n"), "disabled");
        assert_eq!(lab.ok("w.toml", &["--cache", "off"]).cache("n"), "disabled");
    }
    assert_eq!(lab.ran(), 4);
}

#[test]
fn a_miss_that_ran_and_failed_is_a_miss_and_nothing_is_stored() {
    let lab = Lab::new();
    let run = "printf wrong > \"$OUT/y\"; test -e @DIR@/go; printf right > \"$OUT/y\"";
    lab.write("w.toml", &OneTask { run, ..OneTask::default() }.text());
    let failed = lab.exec("w.toml", &[]).expect_code(1);
    assert_eq!((failed.cache("n").as_str(), failed.node("n")["status"].as_str()), ("miss", Some("failed")));
    lab.write("go", "");
    let second = lab.ok("w.toml", &[]);
    assert_eq!((second.cache("n").as_str(), second.outputs()["y"].as_str()), ("populated", Some("right")));
    assert_eq!(lab.ok("w.toml", &[]).cache("n"), "hit");
}

#[test]
fn only_the_last_attempt_is_stored() {
    let lab = Lab::new();
    let run = "printf %s $RUNNER_ATTEMPT > \"$OUT/y\"; test $RUNNER_ATTEMPT = 2";
    let extra = "retries = 2\nretry_delay = \"1ms\"";
    lab.write("w.toml", &OneTask { run, extra, ..OneTask::default() }.text());
    assert_eq!(lab.ok("w.toml", &[]).node("n")["attempts"], 2);
    let hit = lab.ok("w.toml", &[]);
    assert_eq!((hit.cache("n").as_str(), hit.outputs()["y"].as_str()), ("hit", Some("2")));
}

#[test]
fn an_output_that_is_missing_or_does_not_parse_is_not_stored() {
    let lab = Lab::new();
    for run in ["true", "echo many > \"$OUT/y\"", "mkdir \"$OUT/y\"", "ln -s /etc/passwd \"$OUT/y\""] {
        let task = OneTask { run, outputs: "y = \"int\"", ..OneTask::default() };
        lab.write("w.toml", &task.text());
        let failed = lab.exec("w.toml", &[]).expect_code(1);
        assert_eq!(
            (failed.cache("n").as_str(), failed.node("n")["error"]["kind"].as_str()),
            ("miss", Some("output"))
        );
        assert!(failed.node("n")["error"]["message"].as_str().unwrap().contains("`y`"), "{failed:?}");
    }
    lab.write(
        "w.toml",
        &OneTask { run: "echo 1 > \"$OUT/y\"", outputs: "y = \"int\"", ..OneTask::default() }.text(),
    );
    assert_eq!(lab.ok("w.toml", &[]).cache("n"), "populated");
}

#[test]
fn a_lookup_is_skipped_on_request_and_the_result_stored_all_the_same() {
    let lab = Lab::new();
    lab.write("w.toml", &OneTask { run: "wc -l < @COUNT@ > \"$OUT/y\"", ..OneTask::default() }.text());
    let value = |args: &[&str]| {
        let run = lab.ok("w.toml", args);
        (run.cache("n"), run.outputs()["y"].as_str().unwrap().to_owned())
    };
    let told = |cache: &str, y: &str| (cache.to_owned(), y.to_owned());
    assert_eq!(value(&[]), told("populated", "1"));
    assert_eq!(value(&["--cache", "wo"]).1, "2");
    assert_eq!(value(&[]), told("hit", "2"));
    assert_eq!(value(&["--overwrite"]).1, "3");
    assert_eq!(value(&[]), told("hit", "3"));
    assert_eq!(value(&["--overwrite=n"]).1, "4");
    assert_eq!(value(&[]), told("hit", "4"));
    assert_eq!(value(&["--cache", "off"]), told("skipped", "5"));
    assert_eq!(value(&[]), told("hit", "4"));
    assert_eq!(value(&["--cache", "ro", "-i", "x=new"]).1, "6");
    assert_eq!(value(&["-i", "x=new"]), told("populated", "7"));
}

#[test]
fn a_skipped_lookup_has_its_name() {
    let lab = Lab::new();
    lab.write("w.toml", &OneTask::default().text());
    for args in [&["--cache", "wo"][..], &["--overwrite"], &["--cache", "off"]] {
        assert_eq!(lab.ok("w.toml", args).cache("n"), "skipped", "{args:?}");
    }
}

#[test]
fn a_run_whose_input_changed_while_it_ran_is_not_stored_and_says_which() {
    let lab = Lab::new();
    let run = "cp \"$f\" \"$OUT/g\"; test -e @DIR@/calm || echo more >> @DIR@/data.txt";
    lab.write("w.toml", &OneTask { run, ..OneTask::copying() }.text());
    lab.write("data.txt", "before");
    let run = lab.ok("w.toml", &[]);
    assert_ne!(run.cache("n"), "populated");
    let told = format!("{}{}", run.warnings(), run.node("n")["reason"]);
    assert!(told.contains("data.txt"), "{run:?}");
    lab.write("data.txt", "before");
    lab.write("calm", "");
    assert_eq!(lab.ok("w.toml", &[]).cache("n"), "populated");
}

#[test]
fn a_run_whose_source_changed_while_it_ran_is_not_stored_and_says_which() {
    let lab = Lab::new();
    let task = OneTask {
        cache: "cache = true",
        extra: "sources = [\"lib/*.sh\"]",
        run: "bash lib/a.sh > \"$OUT/y\"; test -e @DIR@/calm || echo true >> @DIR@/lib/a.sh",
        ..OneTask::default()
    };
    lab.write("w.toml", &task.text());
    lab.write("lib/a.sh", "echo one\n");
    let run = lab.ok("w.toml", &[]);
    assert_ne!(run.cache("n"), "populated");
    let told = format!("{}{}", run.warnings(), run.node("n")["reason"]);
    assert!(told.contains("lib/a.sh"), "{run:?}");
    lab.write("lib/a.sh", "echo one\n");
    lab.write("calm", "");
    assert_eq!(lab.ok("w.toml", &[]).cache("n"), "populated");
}

#[test]
fn a_changed_input_is_noticed_within_a_folder_too() {
    let lab = Lab::new();
    let task = OneTask {
        inputs: "d = \"dir\"",
        bind: "d = \"tree\"",
        run: "ls \"$d\" > \"$OUT/g\"; echo more > @DIR@/tree/sub/new",
        ..OneTask::copying()
    };
    lab.write("w.toml", &task.text());
    lab.write("tree/sub/a", "a");
    assert_ne!(lab.ok("w.toml", &[]).cache("n"), "populated");
}

#[test]
fn statuses_are_shown_under_their_names_by_plan_runs_and_people() {
    let lab = Lab::new();
    lab.write("w.toml", &OneTask::default().text());
    let planned = |args: &[&str]| {
        let plan = lab.run(&[&["plan", "w.toml", "--json"], args].concat()).expect_code(0);
        plan.events("node_planned")[0]["cache"].clone()
    };
    assert_eq!(planned(&[]), "miss");
    lab.ok("w.toml", &[]);
    assert_eq!(planned(&[]), "hit");
    assert_eq!(planned(&["-i", "x=b"]), "miss");
    let shown = lab.run(&["show", "@last"]).expect_code(0);
    assert!(shown.out.contains("populated"), "{shown:?}");
}
