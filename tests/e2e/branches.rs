//! Conditions: which branch of a workflow runs, what is skipped with the other, and what a person is told.

use crate::common::{Done, Lab};
use serde_json::{Value, json};

/// Two nodes with opposite conditions, and what can stand below one of them.
const BRANCHES: &str = "\
[workflow]
name = \"branches\"
[inputs]
mode = { type = \"string\", default = \"full\" }
[tasks.make]
inputs = { word = \"string\" }
outputs = { x = \"string\" }
run = 'echo \"$RUNNER_NODE\" >> @COUNT@; printf %s \"$word\" > \"$OUT/x\"'
[tasks.maybe]
inputs = { word = \"string?\" }
outputs = { x = \"string\" }
run = 'echo \"$RUNNER_NODE\" >> @COUNT@; printf \"<%s>\" \"${word-null}\" > \"$OUT/x\"'
[nodes.full]
task = \"make\"
if = \"{{ inputs.mode == 'full' }}\"
inputs = { word = \"F\" }
[nodes.quick]
task = \"make\"
if = \"{{ inputs.mode != 'full' }}\"
inputs = { word = \"Q\" }
[nodes.below]
task = \"make\"
inputs = { word = \"{{ quick.x }}\" }
[nodes.far_below]
task = \"make\"
inputs = { word = \"{{ below.x }}\" }
[nodes.ordered]
task = \"make\"
needs = [\"quick\"]
inputs = { word = \"o\" }
[nodes.ordered_maybe]
task = \"maybe\"
needs = [\"quick\"]
inputs = { word = \"{{ quick.x }}\" }
[nodes.soft]
task = \"maybe\"
inputs = { word = \"{{ quick.x }}\" }
[nodes.either]
task = \"maybe\"
inputs = { word = \"{{ coalesce(full.x, quick.x) }}\" }
[outputs]
below = \"{{ below.x }}\"
soft = \"{{ soft.x }}\"
either = \"{{ either.x }}\"
";

fn branches() -> Lab {
    let lab = Lab::new();
    lab.write("w.toml", BRANCHES);
    lab
}

const QUICK_IS_FALSE: &str =
    "its condition is false: {{ inputs.mode != 'full' }}, where inputs.mode = \"full\"";

#[track_caller]
fn skipped(run: &Done, node: &str, reason: &str) {
    let event = run.node(node);
    assert_eq!((&event["status"], &event["reason"]), (&json!("skipped"), &json!(reason)), "{node}");
    assert_eq!((&event["cache"], &event["attempts"]), (&Value::Null, &json!(0)), "{node}");
    assert_eq!(run.events("node_started").iter().filter(|event| event["node"] == node).count(), 0);
}

/// A workflow of one node `n` below a node `first`, under this condition; whether `n` ran.
#[track_caller]
fn runs_if(condition: &str, args: &[&str]) -> bool {
    let lab = Lab::new();
    lab.write("w.toml", &under(condition));
    let run = lab.ok("w.toml", args);
    let ran = lab.ran_as("n") == 1;
    assert_eq!(run.node("n")["status"], if ran { "succeeded" } else { "skipped" }, "{condition}");
    ran
}

fn under(condition: &str) -> String {
    format!(
        "[workflow]\nname = \"w\"\n[inputs]\nmode = {{ type = \"string\", default = \"full\" }}\n\
         on = {{ type = \"bool\", default = true }}\nany = {{ type = \"json\", default = 1 }}\n\
         [tasks.first]\noutputs = {{ rows = \"int\", some = \"list<string>\", ok = \"bool\" }}\n\
         run = 'echo 3 > $OUT/rows; echo \"[]\" > $OUT/some; echo true > $OUT/ok'\n\
         [tasks.t]\nrun = 'echo n >> @COUNT@'\n\
         [nodes.first]\n[nodes.n]\ntask = \"t\"\nif = {condition}\n"
    )
}

#[test]
fn a_node_whose_condition_is_false_is_skipped_and_its_command_never_runs() {
    let lab = branches();
    let run = lab.ok("w.toml", &[]);
    skipped(&run, "quick", QUICK_IS_FALSE);
    let condition = &run.node("quick")["condition"];
    assert_eq!(
        condition,
        &json!({"expression": "{{ inputs.mode != 'full' }}", "values": {"inputs.mode": "full"}})
    );
    let node = lab.run(&["show", "@last", "quick"]).expect_code(0).out;
    assert!(node.contains(QUICK_IS_FALSE), "{node}");
    assert_eq!((lab.ran_as("full"), lab.ran_as("quick")), (1, 0));
    let verbose = lab.run(&["exec", "w.toml", "-v"]).expect_code(0).err;
    assert!(verbose.contains(QUICK_IS_FALSE), "{verbose}");
}

#[test]
fn what_depends_on_a_skipped_node_is_skipped_too_and_says_by_which() {
    let lab = branches();
    let run = lab.ok("w.toml", &[]);
    skipped(&run, "below", "`quick` was skipped");
    skipped(&run, "far_below", "`quick` was skipped");
    assert_eq!((lab.ran_as("below"), lab.ran_as("far_below")), (0, 0));
}

#[test]
fn an_input_that_may_be_null_is_null_below_a_skipped_node() {
    let lab = branches();
    let run = lab.ok("w.toml", &[]);
    assert_eq!(run.node("soft")["inputs"], json!({ "word": null }));
    assert_eq!(run.outputs()["soft"], "<null>");
}

#[test]
fn a_node_is_skipped_unless_every_input_that_the_skipped_one_feeds_may_be_null() {
    let lab = Lab::new();
    let reads = |other: &str| {
        let text = BRANCHES.replace("{ word = \"string?\" }", "{ word = \"string?\", other = \"string?\" }");
        let strict =
            text + "[tasks.strict]\ninputs = { word = \"string?\", other = \"string\" }\nrun = 'true'\n";
        let node = "[nodes.strict]\ninputs = { word = \"{{ quick.x }}\", other = \"{{ NODE.x }}\" }\n";
        lab.write("w.toml", &(strict + &node.replace("NODE", other)));
        lab.ok("w.toml", &[])
    };
    skipped(&reads("quick"), "strict", "`quick` was skipped");
    let run = reads("full");
    assert_eq!(run.node("strict")["status"], "succeeded");
    assert_eq!(run.node("strict")["inputs"], json!({ "other": "F", "word": null }));
}

#[test]
fn waiting_for_a_skipped_node_by_needs_skips_too() {
    let run = branches().ok("w.toml", &[]);
    skipped(&run, "ordered", "`quick` was skipped");
}

#[test]
fn either_of_two_branches_is_taken_by_coalesce() {
    let lab = branches();
    let full = lab.ok("w.toml", &[]);
    assert_eq!(full.outputs()["either"], "<F>");
    let quick = lab.ok("w.toml", &["-i", "mode=quick"]);
    assert_eq!(quick.outputs(), json!({ "below": "Q", "soft": "<Q>", "either": "<Q>" }));
    skipped(
        &quick,
        "full",
        "its condition is false: {{ inputs.mode == 'full' }}, where inputs.mode = \"quick\"",
    );
    assert_eq!((lab.ran_as("full"), lab.ran_as("quick"), lab.ran_as("either")), (1, 1, 2));
}

#[test]
fn an_output_of_a_skipped_node_is_null_in_json_and_left_out_of_the_document() {
    let lab = branches();
    let run = lab.ok("w.toml", &[]);
    assert_eq!(run.outputs(), json!({ "below": null, "soft": "<null>", "either": "<F>" }));
    let plain = lab.run(&["exec", "w.toml"]).expect_code(0);
    let document: toml::Table = plain.out.parse().unwrap();
    assert_eq!(document.keys().collect::<Vec<_>>(), ["either", "soft"]);
}

#[test]
fn a_condition_looks_at_inputs_at_outputs_of_earlier_nodes_or_is_plainly_true_or_false() {
    for (condition, expected) in [
        ("true", true),
        ("false", false),
        ("\"{{ true }}\"", true),
        ("\"{{ inputs.on }}\"", true),
        ("\"{{ not inputs.on }}\"", false),
        ("\"{{ inputs.mode == 'full' and inputs.on }}\"", true),
        ("\"{{ inputs.mode in ['quick', 'dry'] }}\"", false),
        ("\"{{ first.rows > 2 }}\"", true),
        ("\"{{ first.rows > 3 }}\"", false),
        ("\"{{ first.ok }}\"", true),
        ("\"{{ first.some | length > 0 }}\"", false),
        ("\"{{ first.rows == 3 and inputs.mode != 'full' }}\"", false),
    ] {
        assert_eq!(runs_if(condition, &[]), expected, "{condition}");
    }
    assert!(!runs_if("\"{{ inputs.on }}\"", &["-i", "on=false"]));
}

#[test]
fn what_a_condition_looks_at_is_waited_for() {
    let lab = Lab::new();
    lab.write("w.toml", &under("\"{{ first.rows > 2 }}\""));
    let run = lab.ok("w.toml", &["-j", "4"]);
    let order: Vec<_> = run.events("node_finished").iter().map(|event| event["node"].clone()).collect();
    assert_eq!(order, ["first", "n"]);
}

#[test]
fn a_condition_on_a_skipped_node_skips_too() {
    let lab = branches();
    lab.write(
        "w.toml",
        &BRANCHES.replace(
            "needs = [\"quick\"]\ninputs = { word = \"o\" }",
            "if = \"{{ quick.x == 'Q' }}\"\ninputs = { word = \"o\" }",
        ),
    );
    skipped(&lab.ok("w.toml", &[]), "ordered", "`quick` was skipped");
    assert_eq!(lab.ok("w.toml", &["-i", "mode=quick"]).node("ordered")["status"], "succeeded");
}

#[test]
fn skipped_nodes_are_counted_and_the_run_succeeds() {
    let run = branches().ok("w.toml", &[]).finished();
    assert_eq!((&run["status"], &run["nodes"]), (&json!("succeeded"), &json!(8)));
    assert_eq!((&run["executed"], &run["skipped"], &run["failed"]), (&json!(3), &json!(5), &json!(0)));
}

#[test]
fn skip_acts_as_a_condition_that_is_false() {
    let lab = branches();
    let run = lab.ok("w.toml", &["-i", "mode=quick", "--skip", "quick"]);
    skipped(&run, "quick", "skipped on request");
    skipped(&run, "below", "`quick` was skipped");
    assert_eq!(run.outputs(), json!({ "below": null, "soft": "<null>", "either": "<null>" }));
}

#[test]
fn plan_tells_what_the_inputs_already_decide() {
    let lab = branches();
    let planned = lab.run(&["plan", "w.toml", "--json"]).expect_code(0);
    let line = |node: &str| planned.lines().into_iter().find(|line| line["node"] == node).unwrap();
    assert_eq!(line("quick")["reason"], QUICK_IS_FALSE);
    assert_eq!(line("below")["reason"], "`quick` is skipped");
    assert!(!line("full")["reason"].as_str().unwrap().contains("condition"));
    assert_eq!(lab.ran(), 0);
}

#[test]
fn show_tells_what_was_skipped_and_why() {
    let lab = branches();
    lab.ok("w.toml", &[]);
    let shown = lab.run(&["show", "@last"]).expect_code(0).out;
    let line =
        |node: &str| shown.lines().find(|line| line.contains(&format!(" {node} "))).unwrap().to_owned();
    assert!(
        line("quick").contains("skipped") && line("quick").contains("its condition is false: {{ inputs.mode"),
        "{shown}"
    );
    assert!(line("far_below").ends_with("`quick` was skipped"), "{shown}");
}

#[test]
fn a_condition_that_can_be_none_is_refused_with_its_place() {
    for (condition, told, column) in [
        ("'full'", "`if` is plain text: write an expression", 6),
        ("\"\"", "`if` is plain text: write an expression", 6),
        ("1", "`if` must be an {{ expression }}, or true or false", 6),
        ("[true]", "`if` must be an {{ expression }}, or true or false", 6),
        ("\"a {{ inputs.on }}\"", "`if` must be one {{ expression }} and nothing else", 6),
        ("\"{{ inputs.mode }}\"", "`if` must be a bool, but `{{ inputs.mode }}` is string", 6),
        ("\"{{ first.rows }}\"", "`if` must be a bool, but `{{ first.rows }}` is int", 6),
        ("\"{{ inputs.mod == 'full' }}\"", "the workflow has no input `mod`", 10),
        ("\"{{ fist.rows > 0 }}\"", "there is no node `fist`", 10),
        ("\"{{ first.row > 0 }}\"", "node `first` has no output `row`", 10),
        ("\"{{ n.x > 0 }}\"", "node `n` has no output `x`", 10),
        ("\"{{ inputs.mode == }}\"", "the template does not parse", 22),
    ] {
        let lab = Lab::new();
        lab.write("w.toml", &under(condition));
        let checked = lab.run(&["check", "w.toml"]).expect_code(2);
        let first = checked.err.lines().next().unwrap();
        assert!(first.starts_with("error: ") && first.contains(told), "{condition}\n{}", checked.err);
        let place = format!("--> w.toml:15:{column}");
        assert!(checked.err.contains(&place), "{condition}: {place}\n{}", checked.err);
        assert_eq!(lab.exec("w.toml", &[]).expect_code(2).events("node_started").len(), 0);
    }
}

#[test]
fn a_value_that_turns_out_to_be_no_bool_fails_the_node_by_name() {
    let lab = Lab::new();
    lab.write("w.toml", &under("\"{{ inputs.any + 1 }}\""));
    let run = lab.exec("w.toml", &[]).expect_code(1);
    let error = run.node("n")["error"]["message"].as_str().unwrap().to_owned();
    assert!(error.contains("expected bool") && error.contains("inputs.any"), "{error}");
    assert_eq!(lab.ran_as("n"), 0);
}

#[test]
fn who_takes_either_branch_is_skipped_only_where_none_ran() {
    let lab = Lab::new();
    let text = "[workflow]\nname = \"w\"\n[inputs]\nmode = \"string\"\n\
                [tasks.make]\ninputs = { v = \"string\" }\noutputs = { v = \"string\" }\nrun = 'echo \"$v\" > \"$OUT/v\"'\n\
                [nodes.a]\ntask = \"make\"\ninputs = { v = \"1\" }\nif = \"{{ inputs.mode == 'a' }}\"\n\
                [nodes.b]\ntask = \"make\"\ninputs = { v = \"2\" }\nif = \"{{ inputs.mode == 'b' }}\"\n\
                [nodes.take]\ntask = \"make\"\ninputs = { v = \"{{ coalesce(a.v, b.v) }}\" }\n\
                [nodes.after]\ntask = \"make\"\ninputs = { v = \"{{ take.v }}\" }\n";
    lab.write("w.toml", text);
    lab.run(&["check", "w.toml"]).expect_code(0);
    for (mode, value) in [("a", "1"), ("b", "2")] {
        let run = lab.exec("w.toml", &["-i", &format!("mode={mode}")]).expect_code(0);
        assert_eq!(run.node("take")["outputs"]["v"], value);
        assert_eq!(run.node("after")["outputs"]["v"], value);
    }
    let run = lab.exec("w.toml", &["-i", "mode=c"]).expect_code(0);
    for node in ["take", "after"] {
        assert_eq!(run.node(node)["status"], "skipped", "{node}");
    }
    let planned = lab.run(&["plan", "w.toml", "-i", "mode=c"]).expect_code(0);
    assert!(planned.out.contains("take") || planned.err.contains("take"));
}
