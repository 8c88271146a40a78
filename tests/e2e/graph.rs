//! `graph`: a workflow as text, SVG, DOT and Mermaid.

use crate::common::Lab;

const EVERYTHING: &str = "\
[workflow]
name = \"everything\"
on_failure = \"alarm\"
[inputs]
words = { type = \"list<string>\", default = [\"a\"] }
fast = { type = \"bool\", default = false }
[tasks.load]
outputs = { rows = \"string\", n = \"int\" }
run = 'true'
[tasks.fit]
description = \"Fit <it> & \\\"more\\\"\"
inputs = { word = \"string\", rows = \"string\" }
outputs = { model = \"string\" }
run = 'true'
[tasks.say]
inputs = { models = \"json\" }
run = 'true'
[nodes.load]
[nodes.fit]
foreach = [\"word\"]
inputs = { word = \"{{ inputs.words }}\", rows = \"{{ load.rows ~ load.n }}\" }
[nodes.prep]
workflow = \"prep.toml\"
if = \"{{ inputs.fast }}\"
needs = [\"load\"]
[nodes.tell]
task = \"say\"
inputs = { models = [\"{{ fit.model }}\", \"{{ prep.out }}\"] }
[nodes.alarm]
task = \"say\"
inputs = { models = \"{{ failure.node }}\" }
";

const PREP: &str = "\
[workflow]
name = \"prep\"
on_success = \"never\"
[tasks.clean]
outputs = { out = \"string\" }
run = 'true'
[tasks.never]
run = 'true'
[nodes.clean]
[nodes.never]
[outputs]
out = \"{{ clean.out }}\"
";

fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("w.toml", EVERYTHING);
    lab.write("prep.toml", PREP);
    lab
}

#[test]
fn text_is_for_the_terminal() {
    let lab = lab();
    let done = lab.run(&["graph", "w.toml"]).expect_code(0);
    assert_eq!(
        done.out,
        "\
everything  6 nodes, 4 edges

○        load
├─●      fit         foreach word  ← load.rows, load.n
●─│─     prep        if inputs.fast  prep.toml  ← after load
│ │ ┊ ○  prep/clean
●─╯      tell        say  ← fit.model, prep.out

◌        alarm       on failure  say
"
        .replace("●─│─     prep", "● │      prep")
    );
    assert_eq!((done.err.as_str(), lab.home().exists()), ("", false));
}

#[test]
fn the_format_follows_the_file_or_the_flag() {
    let lab = lab();
    for (file, begins) in [
        ("g.svg", "<svg xmlns="),
        ("g.dot", "digraph \"everything\" {"),
        ("g.gv", "digraph "),
        ("g.mmd", "---\ntitle: \"everything\"\n---\nflowchart TD\n"),
        ("g.TXT", "everything  6 nodes"),
    ] {
        let done = lab.run(&["graph", "w.toml", "-o", file]).expect_code(0);
        assert_eq!(done.out, "");
        assert!(lab.read(file).starts_with(begins), "{file}: {}", lab.read(file));
    }
    lab.run(&["graph", "w.toml", "-o", "g.svg", "--format", "dot"]).expect_code(0);
    assert!(lab.read("g.svg").starts_with("digraph"));
    let done = lab.run(&["graph", "w.toml", "-o", "g.pdf"]).expect_code(2);
    assert!(done.err.contains("-o g.pdf") && done.err.contains("--format"), "{}", done.err);
    let done = lab.run(&["graph", "w.toml", "-o", "no/such/g.svg"]).expect_code(2);
    assert!(done.err.contains("cannot write no/such/g.svg"), "{}", done.err);
}

#[test]
fn the_drawing_shows_everything_escaped() {
    let lab = lab();
    let svg = lab.run(&["graph", "w.toml", "--format", "svg"]).expect_code(0).out;
    for part in [
        "<title>fit\nforeach word\nFit &lt;it&gt; &amp; &quot;more&quot;</title>",
        "<title>load.rows → fit.rows\nload.n → fit.rows</title>",
        "<g class=\"edge order\"><title>prep after load</title>",
        "<g class=\"node group conditional\"><title>prep\nprep.toml\nif inputs.fast</title>",
        "<title>prep/clean</title>",
        "<g class=\"node hook\"><title>alarm\non failure · say</title>",
    ] {
        assert!(svg.contains(part), "{part}\n{svg}");
    }
    assert!(!svg.contains("never"), "hooks of sub-workflows never run");
    let dot = lab.run(&["graph", "w.toml", "--format", "dot"]).expect_code(0).out;
    for part in [
        "subgraph \"cluster prep\" {",
        "\"load\" -> \"prep/clean\" [style=dashed, lhead=\"cluster prep\"];",
        "\"load\" -> \"fit\" [label=\"rows\\nn → rows\"];",
        "peripheries=2",
    ] {
        assert!(dot.contains(part), "{part}\n{dot}");
    }
    let mermaid = lab.run(&["graph", "w.toml", "--format", "mermaid"]).expect_code(0).out;
    for part in [
        "  n1[[\"fit<br>foreach word\"]]\n",
        "  subgraph n2[",
        "  n0 -.-> n2\n",
        "  n0 -->|\"rows, n\"| n1\n",
    ] {
        assert!(mermaid.contains(part), "{part}\n{mermaid}");
    }
}

#[test]
fn an_error_is_shown_as_check_shows_it() {
    let lab = Lab::new();
    lab.write("w.toml", &EVERYTHING.replace("load.rows ~", "loud.rows ~"));
    lab.write("prep.toml", PREP);
    let done = lab.run(&["graph", "w.toml"]).expect_code(2);
    let check = lab.run(&["check", "w.toml"]).expect_code(2);
    assert!(done.err.contains("there is no node `loud`"), "{}", done.err);
    assert_eq!((done.out.as_str(), done.err), ("", check.err));
}

#[test]
fn many_nodes_are_told_and_too_many_are_not_drawn() {
    let lab = Lab::new();
    let mut text = String::from("[workflow]\nname = \"many\"\n[tasks.t]\nrun = 'true'\n");
    (0..2500).for_each(|i| text += &format!("[nodes.n{i}]\ntask = \"t\"\n"));
    lab.write("w.toml", &text);
    let done = lab.run(&["graph", "w.toml"]).expect_code(0);
    assert_eq!(done.out.lines().count(), 2502);
    let done = lab.run(&["graph", "w.toml", "--format", "svg"]).expect_code(2);
    assert!(done.err.contains("2500 nodes") && done.err.contains("--format text or dot"), "{}", done.err);
}
