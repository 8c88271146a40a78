//! Elements: one node that runs once for each item of its lists (`foreach`) or each combination (`matrix`).

use crate::common::{Done, Lab};
use serde_json::{Value, json};

/// One node `n` whose task glues its two inputs together, and fails while its word is in the file `bad`.
const GLUE: &str = "\
[workflow]
name = \"w\"
[inputs]
words = { type = \"list<string>\", default = [\"a\", \"b\", \"c\"] }
sizes = { type = \"list<int>\", default = [1, 2, 3] }
[tasks.glue]
cache = true
cache_version = \"1\"
inputs = { word = \"string\", size = \"int\" }
outputs = { x = \"string\" }
run = '''
echo \"$word\" >> @COUNT@
echo \"this is $word, attempt $RUNNER_ATTEMPT\"
! grep -qx -- \"$word\" @DIR@/bad || exit 3
printf %s \"$word$size\" > \"$OUT/x\"
'''
[nodes.n]
task = \"glue\"
NODE
[outputs]
x = \"{{ n.x }}\"
";

const ZIP: &str = "foreach = [\"word\", \"size\"]\n\
                   inputs = { word = \"{{ inputs.words }}\", size = \"{{ inputs.sizes }}\" }";
const CROSS: &str = "matrix = [\"word\", \"size\"]\n\
                     inputs = { word = \"{{ inputs.words }}\", size = \"{{ inputs.sizes }}\" }";
const FIXED: &str = "foreach = [\"word\"]\ninputs = { word = \"{{ inputs.words }}\", size = 7 }";

/// A laboratory with that workflow; its node is bound like this.
fn glue(node: &str) -> Lab {
    let lab = Lab::new();
    lab.write("bad", "");
    lab.write("w.toml", &GLUE.replace("NODE", node));
    lab
}

/// `words` as `-i` takes it.
fn words(items: &[impl AsRef<str>]) -> String {
    format!("words={:?}", items.iter().map(AsRef::as_ref).collect::<Vec<_>>())
}

/// The events of a node's elements, by their number.
#[track_caller]
fn elements(run: &Done, node: &str) -> Vec<Value> {
    let mut all = run.events("node_finished");
    all.retain(|event| event["node"] == node && !event["index"].is_null());
    all.sort_by_key(|event| event["index"].as_u64());
    for (i, event) in all.iter().enumerate() {
        assert_eq!(event["index"], i, "one event an element\n{}", run.out);
    }
    all
}

/// `executed`, `cached`, `failed` and `skipped` of the run.
#[track_caller]
fn counts(run: &Done) -> [u64; 4] {
    let end = run.finished();
    ["executed", "cached", "failed", "skipped"].map(|name| end[name].as_u64().unwrap())
}

/// What `check` says of a workflow that it refuses.
#[track_caller]
fn refused(lab: &Lab) -> String {
    lab.run(&["check", "w.toml"]).expect_code(2).err
}

#[test]
fn foreach_takes_its_lists_side_by_side_and_hands_back_lists_in_order() {
    let lab = glue(ZIP);
    let run = lab.ok("w.toml", &[]);
    assert_eq!(run.outputs(), json!({ "x": ["a1", "b2", "c3"] }));
    assert_eq!(lab.ran(), 3);
}

#[test]
fn matrix_takes_every_combination_with_the_last_list_fastest() {
    let lab = glue(CROSS);
    let run = lab.ok("w.toml", &["-i", "words=[\"a\",\"b\"]"]);
    assert_eq!(run.outputs()["x"], json!(["a1", "a2", "a3", "b1", "b2", "b3"]));
    let inputs: Vec<_> = elements(&run, "n").iter().map(|event| event["inputs"].clone()).collect();
    assert_eq!(inputs[3], json!({ "word": "b", "size": 1 }));
}

#[test]
fn the_order_of_a_matrix_is_that_of_its_names_not_of_its_inputs() {
    let lab = glue(&CROSS.replace("[\"word\", \"size\"]", "[\"size\", \"word\"]"));
    let run = lab.ok("w.toml", &["-i", "words=[\"a\",\"b\"]", "-i", "sizes=[1,2]"]);
    assert_eq!(run.outputs()["x"], json!(["a1", "b1", "a2", "b2"]));
}

#[test]
fn a_node_tells_that_it_expands_then_each_element_then_itself() {
    let lab = glue(ZIP);
    let run = lab.ok("w.toml", &[]);
    let expanded = run.events("node_expanded");
    assert_eq!(expanded.len(), 1, "{}", run.out);
    assert_eq!((&expanded[0]["node"], &expanded[0]["index"]), (&json!("n"), &Value::Null));
    assert_eq!((&expanded[0]["elements"], &expanded[0]["total"]), (&json!(3), &json!(3)));
    for (event, x) in elements(&run, "n").iter().zip(["a1", "b2", "c3"]) {
        assert_eq!((&event["kind"], &event["cache"]), (&json!("task"), &json!("populated")));
        assert_eq!((&event["attempts"], &event["outputs"]["x"]), (&json!(1), &json!(x)));
    }
    let all = run.lines();
    let ends: Vec<_> = all.iter().filter(|line| line["event"] == "node_finished").collect();
    let node = ends.last().unwrap();
    assert_eq!((ends.len(), &node["index"], &node["kind"]), (4, &Value::Null, &json!("elements")));
    assert_eq!(
        (&node["status"], &node["cache"], &node["key"]),
        (&json!("succeeded"), &Value::Null, &Value::Null)
    );
    assert_eq!(node["outputs"], json!({ "x": ["a1", "b2", "c3"] }));
    let sum = json!({ "nodes": 3, "executed": 3, "cached": 0, "failed": 0, "skipped": 0, "cancelled": 0 });
    assert_eq!(node["counts"], sum);
    assert_eq!((counts(&run), &run.finished()["nodes"]), ([3, 0, 0, 0], &json!(1)));
}

#[test]
fn lists_may_be_literals_that_hold_expressions() {
    let lab = glue(
        "foreach = [\"word\", \"size\"]\n\
                    inputs = { word = [\"x\", \"{{ inputs.words[1] }}\"], size = [8, 9] }",
    );
    assert_eq!(lab.ok("w.toml", &[]).outputs()["x"], json!(["x8", "b9"]));
}

#[test]
fn inputs_that_are_not_named_are_the_same_for_all_elements() {
    let lab = glue(FIXED);
    assert_eq!(lab.ok("w.toml", &[]).outputs()["x"], json!(["a7", "b7", "c7"]));
}

#[test]
fn each_element_has_an_entry_of_its_own() {
    let lab = glue(FIXED);
    let mut list: Vec<_> = (0..20).map(|i| format!("w{i}")).collect();
    assert_eq!(counts(&lab.ok("w.toml", &["-i", &words(&list)])), [20, 0, 0, 0]);
    list[13] = "new".into();
    let run = lab.ok("w.toml", &["-i", &words(&list)]);
    assert_eq!((counts(&run), lab.ran(), lab.ran_as("new")), ([1, 19, 0, 0], 21, 1));
    assert_eq!(elements(&run, "n")[13]["cache"], "populated");
    assert_eq!(run.outputs()["x"][13], "new7");
}

#[test]
fn another_order_is_all_hits_and_the_outputs_follow_it() {
    let lab = glue(FIXED);
    lab.ok("w.toml", &[]);
    let run = lab.ok("w.toml", &["-i", &words(&["c", "a", "b", "a"])]);
    assert_eq!((counts(&run), lab.ran()), ([0, 4, 0, 0], 3));
    assert_eq!(run.outputs()["x"], json!(["c7", "a7", "b7", "a7"]));
    let source = &elements(&run, "n")[0]["source"];
    assert_eq!(source["node"], "n[2]", "it names the element that it came from");
}

#[test]
fn an_element_and_a_plain_node_of_the_same_task_share_their_result() {
    let lab = glue(FIXED);
    lab.write("plain.toml", &GLUE.replace("NODE", "inputs = { word = \"b\", size = 7 }"));
    let plain = lab.ok("plain.toml", &[]);
    let run = lab.ok("w.toml", &[]);
    assert_eq!((counts(&run), lab.ran_as("b")), ([2, 1, 0, 0], 1));
    assert_eq!(elements(&run, "n")[1]["key"], plain.node("n")["key"]);
}

#[test]
fn after_a_failure_only_the_failed_elements_run_again() {
    let lab = glue(FIXED);
    lab.write("bad", "b\n");
    let run = lab.exec("w.toml", &["-k"]).expect_code(1);
    assert_eq!((counts(&run), lab.ran()), ([2, 0, 1, 0], 3));
    assert_eq!(run.node("n")["error"]["message"], "1 of 3 elements failed");
    lab.write("bad", "");
    let run = lab.ok("w.toml", &[]);
    assert_eq!((counts(&run), lab.ran(), lab.ran_as("b")), ([1, 2, 0, 0], 4, 2));
    assert_eq!(run.outputs()["x"], json!(["a7", "b7", "c7"]));
}

#[test]
fn lists_may_come_from_a_node_and_be_known_only_at_run_time() {
    let lab = Lab::new();
    lab.write("w.toml", DYNAMIC);
    let run = lab.ok("w.toml", &["-i", "count=4"]);
    assert_eq!(run.outputs()["tens"], json!([10, 20, 30, 40]));
    let run = lab.ok("w.toml", &["-i", "count=5"]);
    assert_eq!((elements(&run, "ten").len(), lab.ran_as("ten")), (5, 5), "four of them are hits");
}

/// A list whose length nobody knows beforehand, and a node over it.
const DYNAMIC: &str = "\
[workflow]
name = \"w\"
[inputs]
count = \"int\"
[tasks.list]
inputs = { count = \"int\" }
outputs = { items = \"list<int>\", other = \"list<int>\" }
run = 'echo \"[$(seq -s , \"$count\")]\" > $OUT/items; echo \"[1, 2]\" > $OUT/other'
[tasks.ten]
cache = true
inputs = { item = \"int\", beside = { type = \"int\", default = 0 } }
outputs = { ten = \"int\" }
run = 'echo ten >> @COUNT@; echo $((item * 10)) > $OUT/ten'
[nodes.list]
inputs = { count = \"{{ inputs.count }}\" }
[nodes.ten]
foreach = [\"item\"]
inputs = { item = \"{{ list.items }}\" }
[outputs]
tens = \"{{ ten.ten }}\"
";

#[test]
fn no_items_are_no_work_and_empty_lists() {
    for node in [FIXED, CROSS] {
        let lab = glue(node);
        let run = lab.ok("w.toml", &["-i", "words=[]"]);
        assert_eq!((run.outputs(), lab.ran()), (json!({ "x": [] }), 0));
        assert_eq!((counts(&run), run.events("node_started").len()), ([0, 0, 0, 0], 0));
        let node = run.node("n");
        assert_eq!((&node["status"], &node["counts"]["nodes"]), (&json!("succeeded"), &json!(0)));
    }
    let lab = Lab::new();
    lab.write("w.toml", DYNAMIC);
    assert_eq!(lab.ok("w.toml", &["-i", "count=0"]).outputs()["tens"], json!([]));
}

#[test]
fn lists_of_different_length_are_an_error_that_names_both() {
    let lab =
        glue("foreach = [\"word\", \"size\"]\ninputs = { word = [\"a\", \"b\", \"c\"], size = [1, 2] }");
    let said = refused(&lab);
    assert!(said.contains("`word` has 3") && said.contains("`size` has 2"), "{said}");
    let lab = glue(ZIP);
    let run = lab.exec("w.toml", &["-i", "sizes=[1,2,3,4]"]).expect_code(1);
    let error = run.node("n")["error"]["message"].as_str().unwrap().to_owned();
    assert!(error.contains("`word` has 3") && error.contains("`size` has 4"), "{error}");
    let lab = Lab::new();
    let both = "[\"item\", \"beside\"]\ninputs = { beside = \"{{ list.other }}\",";
    lab.write("w.toml", &DYNAMIC.replace("[\"item\"]\ninputs = {", both));
    let run = lab.exec("w.toml", &["-i", "count=3"]).expect_code(1);
    let error = run.node("ten")["error"]["message"].as_str().unwrap().to_owned();
    assert!(error.contains("`item` has 3") && error.contains("`beside` has 2"), "{error}");
    assert_eq!(lab.ran(), 0);
}

#[test]
fn some_elements_may_fail_and_become_null() {
    let lab = glue(&format!("{FIXED}\nmin_success_ratio = 0.6"));
    lab.write("bad", "b\n");
    let run = lab.ok("w.toml", &[]);
    assert_eq!(run.outputs()["x"], json!(["a7", null, "c7"]));
    assert_eq!((counts(&run), &run.finished()["status"]), ([2, 0, 1, 0], &json!("succeeded")));
    let node = run.node("n");
    assert_eq!((&node["status"], &node["error"]), (&json!("succeeded"), &Value::Null));
    assert_eq!((&node["counts"]["failed"], &elements(&run, "n")[1]["status"]), (&json!(1), &json!("failed")));
    lab.ok("w.toml", &[]);
    assert_eq!((lab.ran_as("a"), lab.ran_as("b")), (1, 2), "a failure is tried again, a success is not");
}

#[test]
fn too_many_failures_fail_the_node() {
    let lab = glue(&format!("{FIXED}\nmin_success_ratio = 0.6"));
    lab.write("bad", "a\nb\n");
    let run = lab.exec("w.toml", &["-k"]).expect_code(1);
    assert_eq!((&run.node("n")["status"], counts(&run)), (&json!("failed"), [1, 0, 2, 0]));
    assert_eq!(run.node("n")["error"]["message"], "2 of 3 elements failed, and at most 1 may");
}

#[test]
fn exactly_the_ratio_is_enough() {
    let lab = glue(&format!("{FIXED}\nmin_success_ratio = 0.9"));
    lab.write("bad", "w3\n");
    let ten: Vec<_> = (0..10).map(|i| format!("w{i}")).collect();
    assert_eq!(counts(&lab.ok("w.toml", &["-i", &words(&ten)])), [9, 0, 1, 0]);
    lab.exec("w.toml", &["-i", &words(&ten[..9])]).expect_code(1);
}

#[test]
fn what_may_have_failed_is_a_list_with_nulls_to_those_who_read_it() {
    let lab = glue(&format!("{FIXED}\nmin_success_ratio = 0.5\n{READ}"));
    let said = refused(&lab);
    assert!(said.contains("list<string?>"), "{said}");
    let lab =
        glue(&format!("{FIXED}\nmin_success_ratio = 0.5\n{READ}").replace("list<string>", "list<string?>"));
    lab.write("bad", "c\n");
    assert_eq!(lab.ok("w.toml", &[]).node("read")["outputs"]["y"], json!(["a7", "b7", null]));
}

/// A node that takes in what all elements of `n` hand back.
const READ: &str = "\
[tasks.read]
inputs = { xs = \"list<string>\" }
outputs = { y = \"json\" }
run = 'printf %s \"$xs\" > $OUT/y'
[nodes.read]
inputs = { xs = \"{{ n.x }}\" }";

#[test]
fn no_more_than_concurrency_run_at_once() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = \"w\"\n[tasks.t]\ninputs = { i = \"int\" }\nresources = { cpus = 0 }\nrun = '''\n\
         mkdir -p @DIR@/now; touch @DIR@/now/$i\nls @DIR@/now | wc -l >> @COUNT@\nsleep 0.05\n\
         ls @DIR@/now | wc -l >> @COUNT@\nrm @DIR@/now/$i\n'''\n\
         [nodes.t]\nforeach = [\"i\"]\nconcurrency = 2\ninputs = { i = [1, 2, 3, 4, 5, 6, 7, 8] }\n",
    );
    lab.ok("w.toml", &["-j", "8"]);
    let seen: Vec<usize> = lab.read("count").split_whitespace().map(|n| n.parse().unwrap()).collect();
    assert_eq!(seen.len(), 16);
    assert!(seen.iter().all(|n| *n <= 2), "{seen:?}");
}

#[test]
fn without_keep_going_a_failure_stops_the_elements_after_it() {
    let lab = glue(FIXED);
    lab.write("bad", "b\n");
    let run = lab.exec("w.toml", &["-j", "1"]).expect_code(1);
    let ends: Vec<_> = elements(&run, "n").iter().map(|event| event["status"].clone()).collect();
    assert_eq!((json!(ends), lab.ran()), (json!(["succeeded", "failed", "cancelled"]), 2));
    let run = lab.exec("w.toml", &["-j", "1", "--keep-going"]).expect_code(1);
    assert_eq!((counts(&run), lab.ran_as("c")), ([1, 1, 1, 0], 1));
}

#[test]
fn an_element_is_retried_by_itself() {
    let lab = Lab::new();
    let policy = "retries = 2\nretry_delay = \"0s\"\ninputs = { word";
    let text = GLUE.replace("NODE", FIXED).replacen("inputs = { word", policy, 1);
    lab.write("w.toml", &text.replace("! grep -qx -- \"$word\" @DIR@/bad", "[ $word$RUNNER_ATTEMPT != b1 ]"));
    let run = lab.ok("w.toml", &[]);
    let attempts: Vec<_> = elements(&run, "n").iter().map(|event| event["attempts"].clone()).collect();
    assert_eq!(json!(attempts), json!([1, 2, 1]));
    let failed = run.events("attempt_failed");
    assert_eq!((failed.len(), &failed[0]["index"], lab.ran()), (1, &json!(1), 4));
    assert_eq!(counts(&run), [3, 0, 0, 0], "an element that succeeded in the end did not fail");
    let log = |attempt| lab.run(&["logs", "@last", "n[1]", "--attempt", attempt]).expect_code(0).out;
    assert_eq!(log("1").trim(), "this is b, attempt 1");
    assert_eq!(log("2").trim(), "this is b, attempt 2");
}

#[test]
fn an_element_knows_its_number_and_a_plain_node_has_none() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = \"w\"\n[tasks.t]\ninputs = { i = \"int\" }\noutputs = { y = \"string\" }\n\
         run = 'echo \"$i:${RUNNER_INDEX-none}\" > $OUT/y'\n[nodes.plain]\ntask = \"t\"\ninputs = { i = 5 }\n\
         [nodes.each]\ntask = \"t\"\nforeach = [\"i\"]\ninputs = { i = [7, 8, 9] }\n",
    );
    let run = lab.ok("w.toml", &[]);
    assert_eq!(run.node("each")["outputs"]["y"], json!(["7:0", "8:1", "9:2"]));
    assert_eq!(run.node("plain")["outputs"]["y"], "5:none");
}

/// Each file is cut into as many parts as it has lines, and each part is read.
const PARTS: &str = "\
[workflow]
name = \"w\"
[tasks.cut]
inputs = { whole = \"file\" }
outputs = { parts = \"list<file>\" }
run = 'mkdir $OUT/parts; n=0; while read -r l; do n=$((n+1)); echo \"$l\" > $OUT/parts/$n.txt; done < $whole'
[tasks.read]
cache = true
inputs = { part = \"file\" }
outputs = { y = \"string\" }
run = 'echo read >> @COUNT@; echo \"${part##*/} $(cat \"$part\")\" > $OUT/y'
[nodes.cut]
foreach = [\"whole\"]
inputs = { whole = [\"two.md\", \"none.md\", \"one.md\"] }
[nodes.read]
foreach = [\"part\"]
inputs = { part = \"{{ cut.parts | flatten }}\" }
[outputs]
y = \"{{ read.y }}\"
";

#[test]
fn files_are_elements_and_lists_of_lists_are_flattened_to_spread_again() {
    let lab = Lab::new();
    lab.write("w.toml", PARTS);
    for (name, text) in [("two.md", "a\nb\n"), ("none.md", ""), ("one.md", "c\n")] {
        lab.write(name, text);
    }
    let run = lab.ok("w.toml", &[]);
    assert_eq!(run.outputs()["y"], json!(["1.txt a", "2.txt b", "1.txt c"]));
    let parts = run.node("cut")["outputs"]["parts"].clone();
    assert_eq!([0, 1, 2].map(|i| parts[i].as_array().unwrap().len()), [2, 0, 1]);
    lab.write("one.md", "c\nd\n");
    let run = lab.ok("w.toml", &[]);
    assert_eq!(run.outputs()["y"], json!(["1.txt a", "2.txt b", "1.txt c", "2.txt d"]));
    assert_eq!(lab.ran_as("read"), 4, "a file counts by its content");
    lab.write("w.toml", &PARTS.replace(" | flatten", ""));
    let said = refused(&lab);
    assert!(said.contains("list<list<file>>"), "{said}");
}

#[test]
fn logs_show_one_element_by_its_number() {
    let lab = glue(FIXED);
    lab.ok("w.toml", &[]);
    let logs = |args: &[&str]| lab.run(&[&["logs", "@last"], args].concat());
    assert_eq!(logs(&["n", "--index", "2"]).expect_code(0).out.trim(), "this is c, attempt 1");
    assert_eq!(logs(&["n[0]"]).expect_code(0).out.trim(), "this is a, attempt 1");
    let said = logs(&["n"]).expect_code(2).err;
    assert!(said.contains("3 elements") && said.contains("--index"), "{said}");
    let said = logs(&["n", "--index", "3"]).expect_code(2).err;
    assert!(said.contains("`n` has 3 elements") && said.contains("no 3"), "{said}");
}

#[test]
fn logs_without_a_number_show_the_only_element_that_failed() {
    let lab = glue(FIXED);
    lab.write("bad", "b\n");
    lab.exec("w.toml", &["-k"]).expect_code(1);
    assert_eq!(lab.run(&["logs", "@last", "n"]).expect_code(0).out.trim(), "this is b, attempt 1");
}

#[test]
fn show_sums_elements_up_and_lists_those_that_failed() {
    let lab = glue(FIXED);
    lab.write("bad", "b\n");
    lab.exec("w.toml", &["-k"]).expect_code(1);
    let text = lab.run(&["show", "@last"]).expect_code(0).out;
    assert!(text.contains("n[1]") && text.contains("1 of 3 elements failed"), "{text}");
    assert!(!text.contains("n[0]"), "{text}");
    let all = lab.run(&["show", "@last", "--all"]).expect_code(0).out;
    assert!(all.contains("n[0]") && all.contains("n[2]"), "{all}");
    let counts = &lab.run(&["show", "@last", "--json"]).expect_code(0).lines()[0]["counts"];
    assert_eq!((&counts["executed"], &counts["failed"]), (&json!(2), &json!(1)));
}

#[test]
fn a_plan_has_one_line_a_node_that_counts_its_elements() {
    let lab = glue(FIXED);
    let plan = |list: &[&str]| {
        let lines = lab.run(&["plan", "w.toml", "--json", "-i", &words(list)]).expect_code(0).lines();
        assert_eq!((lines.len(), &lines[0]["node"]), (1, &json!("n")));
        let text = |part: &str| lines[0][part].as_str().unwrap().to_owned();
        (text("cache"), text("reason"))
    };
    let (cache, reason) = plan(&["a", "b", "c"]);
    assert!(cache == "miss" && reason.contains("3 of 3 elements"), "{reason}");
    lab.ok("w.toml", &[]);
    let (cache, reason) = plan(&["c", "a"]);
    assert!(cache == "hit" && reason.contains("2 elements"), "{reason}");
    let (cache, reason) = plan(&["a", "b", "c", "d"]);
    assert!(cache == "miss" && reason.contains("1 of 4 elements"), "{reason}");
    assert_eq!((plan(&[]).0.as_str(), lab.ran()), ("hit", 3));
}

#[test]
fn check_refuses_what_cannot_be_spread() {
    let inputs = "inputs = { word = [\"a\"], size = 7 }";
    for (node, parts) in [
        (
            format!("foreach = [\"wort\"]\n{}", inputs.replace("[\"a\"]", "\"a\"")),
            ["`wort`", "no input", "word"],
        ),
        (FIXED.replace("{{ inputs.words }}", "a"), ["`word`", "list<string>", "string"]),
        (FIXED.replace("7", "\"{{ inputs.sizes }}\""), ["`size` is int", "list<int>", "inputs.sizes"]),
        (format!("foreach = [\"word\"]\nmatrix = [\"word\"]\n{inputs}"), ["`foreach`", "`matrix`", "both"]),
        (format!("foreach = [\"word\", \"word\"]\n{inputs}"), ["`foreach`", "`word`", "twice"]),
        (format!("{FIXED}\nconcurrency = 0"), ["`concurrency`", "1 or more", "0"]),
        (format!("{FIXED}\nmin_success_ratio = 2"), ["`min_success_ratio`", "between 0 and 1", "2"]),
        ("concurrency = 2\ninputs = { word = \"a\", size = 7 }".into(), ["`concurrency`", "elements", "`n`"]),
        (
            format!("{FIXED}\n[nodes.m]\ntask = \"glue\"\ninputs = {{ word = \"{{{{ n.x }}}}\", size = 1 }}"),
            ["`word` is string", "{{ n.x }}", "list<string>"],
        ),
    ] {
        let lab = glue(&node);
        let said = refused(&lab);
        assert!(parts.iter().all(|part| said.contains(part)), "{node}\n{parts:?}\n{said}");
        assert!(said.contains("w.toml:"), "it says where\n{said}");
        assert_eq!(said.matches("error:").count(), 1, "told once\n{said}");
    }
}

#[test]
fn two_thousand_elements_are_all_hits_the_second_time() {
    let lab = glue(FIXED);
    let names: Vec<_> = (0..2000).map(|i| format!("w{i}")).collect();
    lab.write("in.json", &json!({ "words": names }).to_string());
    assert_eq!(counts(&lab.ok("w.toml", &["--inputs", "in.json"])), [2000, 0, 0, 0]);
    let run = lab.ok("w.toml", &["--inputs", "in.json"]);
    assert_eq!((counts(&run), lab.ran()), ([0, 2000, 0, 0], 2000));
    assert_eq!((elements(&run, "n").len(), &run.outputs()["x"][1999]), (2000, &json!("w19997")));
}
