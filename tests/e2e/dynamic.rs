//! `dynamic = true`: a task whose command returns a workflow in place of its outputs.

use rustix::process::Signal;

use crate::common::live::Live;
use crate::common::python::one;
use crate::common::{Done, Lab};

/// A workflow whose node `split` runs `make`, with inputs `n` and `word`, and returns `total`.
fn flow(task: &str, make: &str) -> String {
    format!(
        "[workflow]\nname = \"flow\"\n[inputs]\nn = {{ type = \"int\", default = 3 }}\nword = {{ type = \"string\", default = \"a\" }}\n\
         [tasks.split]\ndynamic = true\n{task}\ninputs = {{ n = \"int\", word = \"string\" }}\noutputs = {{ total = \"int\" }}\n\
         run = '''\n{make}\n'''\n[nodes.split]\ninputs = {{ n = \"{{{{ inputs.n }}}}\", word = \"{{{{ inputs.word }}}}\" }}\n\
         [tasks.show]\ninputs = {{ total = \"int\" }}\noutputs = {{ said = \"string\" }}\nrun = 'echo \"it is $total\" > \"$OUT/said\"'\n\
         [nodes.show]\ninputs = {{ total = \"{{{{ split.total }}}}\" }}\n[outputs]\nsaid = \"{{{{ show.said }}}}\"\n"
    )
}

/// Writes a workflow with `n` nodes that each run `part`, and their sum.
fn parts(part: &str) -> String {
    format!(
        r#"echo ran >> "$RUNNER_WORKFLOW_DIR/split.txt"
{{
cat <<EOF
[workflow]
name = "made"
[tasks.part]
cache = true
inputs = {{ i = "int" }}
outputs = {{ x = "int" }}
run = """{part}"""
[tasks.sum]
inputs = {{ xs = "list<int>" }}
outputs = {{ total = "int" }}
run = "echo \$xs | tr -d '[]' | tr ',' '+' | sed 's/^/\$((/; s/\$/))/' > e; eval echo \$(cat e) > \$OUT/total"
EOF
xs=
for i in $(seq "$n"); do
  printf '[nodes.part_%s]\ntask = "part"\ninputs = {{ i = %s }}\n' "$i" "$i"
  xs="$xs, \"{{{{ part_$i.x }}}}\""
done
printf '[nodes.sum]\ninputs = {{ xs = [%s] }}\n[outputs]\ntotal = "{{{{ sum.total }}}}"\n' "${{xs#,}}"
}} > "$RUNNER_WORKFLOW""#
    )
}

const TEN_TIMES: &str = "echo \\$((i * 10)) > \\$OUT/x";

/// A lab whose `split` writes this text.
fn writing(task: &str, document: &str) -> Lab {
    let lab = Lab::new();
    lab.write("w.toml", &flow(task, &format!("cat > \"$RUNNER_WORKFLOW\" <<'EOF'\n{document}\nEOF")));
    lab
}

fn message(run: &Done, node: &str) -> String {
    run.node(node)["error"]["message"].as_str().unwrap().to_owned()
}

/// What a document with an error of its own says.
fn mistake(document: &str) -> String {
    let lab = writing("", document);
    let run = lab.exec("w.toml", &[]).expect_code(1);
    let failed = run.node("split");
    assert_eq!(failed["error"]["kind"], "output");
    message(&run, "split").replace(&lab.home().display().to_string(), "HOME")
}

#[test]
fn what_a_command_returns_runs_inside_its_node() {
    let lab = Lab::new();
    lab.write("w.toml", &flow("cache = true", &parts(TEN_TIMES)));
    let first = lab.ok("w.toml", &[]);
    assert_eq!(first.outputs()["said"], "it is 60");
    let made = &first.events("workflow_made")[0];
    assert_eq!((&made["node"], &made["nodes"], &made["total"]), (&"split".into(), &4.into(), &6.into()));
    let document = std::fs::read_to_string(made["document"].as_str().unwrap()).unwrap();
    assert!(document.contains("[nodes.part_3]"), "{document}");
    assert_eq!(
        (first.finished()["executed"].clone(), first.finished()["nodes"].clone()),
        (6.into(), 6.into())
    );
    assert_eq!(first.node("split")["outputs"]["total"], 60);
    // A hit of the task skips all that it would make.
    let second = lab.ok("w.toml", &[]);
    assert_eq!((second.cache("split"), second.events("workflow_made").len()), ("hit".into(), 0));
    assert_eq!((lab.read("split.txt").lines().count(), &second.outputs()["said"]), (1, &"it is 60".into()));
    // Another input: what it makes hits, as far as it is the same.
    let third = lab.ok("w.toml", &["-i", "n=4"]);
    assert_eq!((third.cache("split"), third.cache("split/part_3")), ("populated".into(), "hit".into()));
    assert_eq!(
        (third.cache("split/part_4"), third.outputs()["said"].clone()),
        ("populated".into(), "it is 100".into())
    );
}

#[test]
fn a_command_may_return_outputs_after_all() {
    let lab = Lab::new();
    lab.write("w.toml", &flow("", "echo 7 > $OUT/total"));
    let run = lab.ok("w.toml", &[]);
    assert_eq!((run.outputs()["said"].clone(), run.events("workflow_made").len()), ("it is 7".into(), 0));
}

#[test]
fn a_failure_inside_is_the_failure_and_a_retry_makes_the_rest() {
    let lab = Lab::new();
    let part = format!("test \\$i != 2 -o -e \\$RUNNER_WORKFLOW_DIR/well || exit 4; {TEN_TIMES}");
    lab.write("w.toml", &flow("cache = true", &parts(&part)));
    let run = lab.exec("w.toml", &["-k"]).expect_code(1);
    assert_eq!(
        (run.node("split/part_2")["error"]["exit_code"].clone(), run.cache("split/part_3")),
        (4.into(), "populated".into())
    );
    let split = run.node("split");
    assert_eq!(
        (&split["status"], &split["kind"], &split["cache"]),
        (&"failed".into(), &"workflow".into(), &"miss".into())
    );
    // The command itself ran well, and counts so.
    let ended = run.finished();
    assert_eq!(
        (ended["failed"].clone(), ended["executed"].clone(), ended["skipped"].clone()),
        (1.into(), 3.into(), 2.into())
    );
    let id = ended["run"].as_str().unwrap().to_owned();
    let shown = lab.run(&["show", &id]).expect_code(0).out;
    assert!(shown.contains("split/part_2") && shown.contains("1 failed, 3 executed, 2 skipped"), "{shown}");
    let shown = lab.run(&["show", &id, "split"]).expect_code(0).out;
    assert!(shown.contains("4 nodes of made, as ") && shown.contains("split.1.toml says"), "{shown}");
    lab.write("well", "");
    let again = Done::new(lab.command(&["retry", &id, "--json"]).output().unwrap()).expect_code(0);
    assert_eq!(
        (again.cache("split/part_1"), again.cache("split/part_2")),
        ("hit".into(), "populated".into())
    );
    assert_eq!(again.outputs()["said"], "it is 60");
}

#[test]
fn a_node_of_a_made_workflow_can_be_looked_into() {
    let lab = Lab::new();
    lab.write("w.toml", &flow("", &parts(TEN_TIMES)));
    let run = lab.ok("w.toml", &[]);
    let id = run.finished()["run"].as_str().unwrap().to_owned();
    let exported = lab.run(&["export", &id, "split/part_2", "-o", "there.tgz"]).expect_code(0);
    assert!(lab.path("there.tgz").exists(), "{}", exported.err);
    let said = lab.run(&["plan", "w.toml", "--only", "split/part_2"]).expect_code(2).err;
    assert!(said.contains("`split` makes its nodes when it runs"), "{said}");
    let planned = lab.run(&["plan", "w.toml"]).expect_code(0).out;
    assert!(
        planned.contains("makes its nodes when it runs") && planned.contains("at least 2 would run"),
        "{planned}"
    );
    let graph = lab.run(&["graph", "w.toml"]).expect_code(0).out;
    assert!(graph.contains("split  makes its nodes when it runs"), "{graph}");
}

#[test]
fn files_and_inputs_of_the_task_go_on_into_what_it_made() {
    let lab = Lab::new();
    lab.write("rows.txt", "1\n2\n3\n");
    let text = r#"[workflow]
name = "w"
[tasks.split]
dynamic = true
cache = true
inputs = { rows = "file", k = "int" }
outputs = { all = "file", own = "int" }
run = '''
mkdir d; echo four > d/four; echo five > five
cat > "$RUNNER_WORKFLOW" <<EOF
[workflow]
name = "made"
[inputs]
rows = "file"
k = "int"
more = { type = "int", default = 2 }
[tasks.join]
inputs = { rows = "file", d = "dir", five = "list<file>" }
outputs = { all = "file" }
run = 'cat \$rows \$d/four \$(echo \$five | tr -d "[]\"" | tr "," " ") > \$OUT/all'
[nodes.join]
inputs = { rows = "{{ inputs.rows }}", d = "$PWD/d", five = ["$PWD/five", "$PWD/five"] }
[outputs]
own = "{{ inputs.k + inputs.more }}"
all = "{{ join.all }}"
EOF
'''
[nodes.split]
inputs = { rows = "rows.txt", k = 5 }
[outputs]
all = { value = "{{ split.all }}", path = "all.txt" }
own = "{{ split.own }}"
"#;
    lab.write("w.toml", text);
    let run = lab.ok("w.toml", &[]);
    assert_eq!(
        (lab.read("all.txt"), run.outputs()["own"].clone()),
        ("1\n2\n3\nfour\nfive\nfive\n".into(), 7.into())
    );
    assert_eq!(
        (run.cache("split"), lab.ok("w.toml", &[]).cache("split")),
        ("populated".into(), "hit".into())
    );
    lab.write("w.toml", &text.replace("{{ inputs.rows }}", "$rows"));
    let said = message(&lab.exec("w.toml", &[]).expect_code(1), "split");
    assert!(
        said.contains("split.1.toml:11:1: the file of the input `rows` is gone when this runs"),
        "{said}"
    );
    assert!(said.contains("write \"{{ inputs.rows }}\""), "{said}");
}

#[test]
fn a_file_that_only_the_document_names_is_not_in_the_version() {
    let document = "[workflow]\nname = \"made\"\n[tasks.t]\ninputs = { f = \"file\" }\noutputs = { total = \"int\" }\n\
                    run = 'cat $f > $OUT/total'\n[nodes.t]\ninputs = { f = \"data.txt\" }\n[outputs]\ntotal = \"{{ t.total }}\"";
    let lab = writing("cache = true", document);
    lab.write("data.txt", "5");
    let run = lab.ok("w.toml", &[]);
    assert_eq!(run.cache("split"), "miss");
    assert!(run.warnings().contains("data.txt, so that changes of it would not count"), "{}", run.warnings());
    lab.write("data.txt", "6");
    assert_eq!(lab.ok("w.toml", &[]).outputs()["said"], "it is 6");
    // Named, it counts.
    lab.write(
        "w.toml",
        &lab.read("w.toml").replace("cache = true", "cache = true\nsources = [\"data.txt\"]"),
    );
    assert_eq!(
        (lab.ok("w.toml", &[]).cache("split"), lab.ok("w.toml", &[]).cache("split")),
        ("populated".into(), "hit".into())
    );
    lab.write("data.txt", "8");
    assert_eq!(lab.ok("w.toml", &[]).outputs()["said"], "it is 8");
}

#[test]
fn a_document_with_mistakes_says_which_and_where_and_is_kept() {
    let said = mistake("[workflow]\nname = \"made\"\n[nodes.a]\ntask = \"nome\"\n[outputs]\ntotal = 1");
    assert!(said.starts_with("the workflow that it wrote has 1 error:\nHOME/logs/"), "{said}");
    assert!(said.contains("split.1.toml:4:8: unknown task `nome`"), "{said}");
    let own = "[workflow]\nname = \"made\"\n";
    for (document, expected) in [
        ("total 7", "split.1.toml:1:7: "),
        ("[outputs]\ntotal = 7", "there is no [workflow]"),
        (
            &format!("{own}[outputs]\ntotl = 1"),
            "4:8: the task `flow.split` has no output `totl` (did you mean `total`?)",
        ),
        (&format!("{own}[outputs]\ntotl = 1"), "there is no output `total`, which the task `flow.split` has"),
        (&format!("{own}[outputs]\ntotal = \"x\""), "output `total` is string, and the task's is int"),
        (
            &format!("{own}[inputs]\nn = \"string\"\n[outputs]\ntotal = 1"),
            "4:5: input `n` is string, and the task's is int",
        ),
        (
            &format!("{own}[inputs]\nwrod = \"string\"\n[outputs]\ntotal = 1"),
            "has no input of that name: did you mean `word`?",
        ),
        (
            &format!("{own}[tasks.t]\nsecrets = [\"TOKEN\"]\nrun = 'true'\n[nodes.t]\n[outputs]\ntotal = 1"),
            "task `made.t` uses the secret `TOKEN`, which `flow.split` does not name",
        ),
        (
            &format!(
                "{own}[tasks.t]\nresources = {{ gpu = 1 }}\nrun = 'true'\n[nodes.t]\n[outputs]\ntotal = 1"
            ),
            "the node `t`, which can never run: it asks for 1 of the resource `gpu`, which is not provided",
        ),
        (
            &format!("{own}[tasks.t]\nexecutor = \"far\"\nrun = 'true'\n[nodes.t]\n[outputs]\ntotal = 1"),
            "the node `t` on the executor `far`, which this run does not use",
        ),
        (
            &format!(
                "{own}[tasks.t]\nrun = 'true'\n[nodes.a]\ntask = \"t\"\nneeds = [\"a\"]\n[outputs]\ntotal = 1"
            ),
            "the nodes form a cycle: a -> a",
        ),
    ] {
        let said = mistake(document);
        assert!(said.contains(expected), "{expected}\n{said}");
    }
}

#[test]
fn a_workflow_without_nodes_is_its_outputs() {
    let lab = writing("", "[workflow]\nname = \"made\"\n[outputs]\ntotal = 7");
    assert_eq!(lab.ok("w.toml", &[]).outputs()["said"], "it is 7");
}

/// A library whose task `down` makes itself with one less until 0.
const DOWN: &str = r#"[library]
name = "lib"
[tasks.down]
dynamic = true
inputs = { n = "int" }
outputs = { total = "int" }
run = '''
if test "$n" = 0; then echo 100 > "$OUT/total"; exit; fi
cat > "$RUNNER_WORKFLOW" <<EOF
import = ["lib.toml"]
[workflow]
name = "made"
[nodes.next]
task = "lib.down"
inputs = { n = $((n - 1)) }
[outputs]
total = "{{ next.total }}"
EOF
'''
"#;

#[test]
fn made_workflows_nest_ten_deep_and_no_deeper() {
    let lab = Lab::new();
    lab.write("lib.toml", DOWN);
    lab.write(
        "w.toml",
        "import = [\"lib.toml\"]\n[workflow]\nname = \"w\"\n[inputs]\nn = \"int\"\n[nodes.down]\ntask = \"lib.down\"\n\
         inputs = { n = \"{{ inputs.n }}\" }\n[outputs]\ntotal = \"{{ down.total }}\"\n",
    );
    assert_eq!(lab.ok("w.toml", &["-i", "n=10"]).outputs()["total"], 100);
    let run = lab.exec("w.toml", &["-i", "n=11"]).expect_code(1);
    let innermost = format!("down{}", "/next".repeat(10));
    let said = message(&run, &innermost);
    assert!(
        said.contains("returned a workflow inside 10 others that tasks made, and no more nest"),
        "{said}"
    );
}

#[test]
fn work_that_makes_itself_does_not_wait_for_itself() {
    let lab = Lab::new();
    let own = DOWN.replace("dynamic = true", "dynamic = true\ncache = true\ncache_serialize = true");
    lab.write("lib.toml", &own.replace("$((n - 1))", "$n"));
    lab.write(
        "w.toml",
        "import = [\"lib.toml\"]\n[workflow]\nname = \"w\"\n[nodes.down]\ntask = \"lib.down\"\ninputs = { n = 1 }\n",
    );
    let said = message(&lab.exec("w.toml", &[]).expect_code(1), "down/next");
    assert!(said.contains("it would wait for itself"), "{said}");
}

#[test]
fn each_element_may_make_its_own() {
    let lab = Lab::new();
    let document = "[workflow]\\nname = \\\"made\\\"\\n[tasks.t]\\ncache = true\\noutputs = { y = \\\"int\\\" }\\nrun = 'echo $x > \\$OUT/y'\\n\
                    [nodes.t]\\n[outputs]\\ny = \\\"{{ t.y }}\\\"\\n";
    lab.write(
        "w.toml",
        &format!(
            "[workflow]\nname = \"w\"\n[tasks.each]\ndynamic = true\ncache = true\ninputs = {{ x = \"int\" }}\noutputs = {{ y = \"int\" }}\n\
             run = '''printf \"{document}\" > \"$RUNNER_WORKFLOW\"'''\n[nodes.each]\nforeach = [\"x\"]\ninputs = {{ x = [1, 2, 3] }}\n\
             [outputs]\nys = \"{{{{ each.y }}}}\"\n"
        ),
    );
    let run = lab.ok("w.toml", &[]);
    // Three tasks of one name and three scripts: each has its own identity.
    assert_eq!(run.outputs()["ys"], serde_json::json!([1, 2, 3]));
    assert_eq!(
        (run.finished()["executed"].clone(), run.node("each[2]/t")["status"].clone()),
        (6.into(), "succeeded".into())
    );
    assert_eq!(lab.ok("w.toml", &[]).finished()["cached"], 3);
}

#[test]
fn a_cancelled_run_ends_what_was_made() {
    let lab = Lab::new();
    lab.write("w.toml", &flow("cache = true", &parts("sleep 60")));
    let live = Live::start(&lab, "live", &[]);
    live.until("node_started", "split/part_1");
    live.signal(Signal::INT);
    let run = live.end();
    assert_eq!(
        (run.node("split/part_1")["status"].clone(), run.node("split")["status"].clone()),
        ("cancelled".into(), "cancelled".into())
    );
    assert_eq!(run.node("show")["status"], "cancelled");
    assert!(lab.alive().is_empty());
}

#[test]
fn a_python_function_may_make_a_workflow() {
    let code = "import os\ndef f(n: int) -> int:\n    if n == 0:\n        return 5\n    with open(os.environ['RUNNER_WORKFLOW'], 'w') as file:\n        \
                file.write(f'[workflow]\\nname = \"made\"\\n[outputs]\\nresult = {n * 2}\\n')\n";
    for start in ["fork", "cold", "reuse"] {
        let task = format!("dynamic = true\ncache = true\npython_start = '{start}'");
        let lab = one(code, &task, "inputs = { n = 4 }\n[outputs]\ny = '{{ f.result }}'");
        assert_eq!(lab.ok("flow.toml", &[]).outputs()["y"], 8, "{start}");
        assert_eq!(lab.ok("flow.toml", &[]).cache("f"), "hit", "{start}");
        lab.write("flow.toml", &lab.read("flow.toml").replace("n = 4", "n = 0"));
        assert_eq!(lab.ok("flow.toml", &[]).outputs()["y"], 5, "{start}");
    }
}

#[test]
fn a_secret_in_a_document_is_masked() {
    let lab = Lab::new();
    let make = r#"{
echo '[workflow]'
echo 'name = "made"'
echo '[tasks.t]'
echo 'secrets = ["TOKEN"]'
echo 'inputs = { s = "string" }'
echo 'outputs = { total = "int" }'
echo 'run = "echo ${#TOKEN} > $OUT/total"'
echo '[nodes.t]'
echo "inputs = { s = \"$TOKEN\" }"
echo '[outputs]'
echo 'total = "{{ t.total }}"'
} > "$RUNNER_WORKFLOW""#;
    lab.write("w.toml", &flow("secrets = [\"TOKEN\"]", make));
    let mut command = lab.command(&["exec", "w.toml", "--json"]);
    let run = Done::new(command.env("TOKEN", "s3cr3t-xy").output().unwrap()).expect_code(0);
    let given = run.node("split/t")["inputs"]["s"].clone();
    assert_eq!((run.outputs()["said"].clone(), given), ("it is 9".into(), "***".into()));
    assert!(run.warnings().contains("held the value of a secret"), "{}", run.warnings());
    assert!(!run.out.contains("s3cr3t-xy"));
    let document = run.events("workflow_made")[0]["document"].as_str().unwrap().to_owned();
    assert!(!std::fs::read_to_string(document).unwrap().contains("s3cr3t-xy"));
}

#[test]
fn a_document_may_be_json() {
    let document = r#"{"workflow": {"name": "made"}, "tasks": {"t": {"outputs": {"y": "int"}, "run": "echo 3 > $OUT/y"}},
        "nodes": {"t": {}}, "outputs": {"total": "{{ t.y }}"}}"#;
    let run = writing("cache = true", document).ok("w.toml", &[]);
    assert_eq!(
        (run.outputs()["said"].clone(), run.node("split/t")["status"].clone()),
        ("it is 3".into(), "succeeded".into())
    );
    assert!(run.events("workflow_made")[0]["document"].as_str().unwrap().ends_with("split.1.json"));
    let said = mistake("{\"workflow\": {\"name\": \"made\"}, \"nodes\": {\"a\": {\"task\": \"nome\"}}}");
    assert!(said.contains("split.1.json:") && said.contains("unknown task `nome`"), "{said}");
    let said = mistake("{\"workflow\": ");
    assert!(said.contains("the document cannot be read: "), "{said}");
}
