//! Hostile workflow files: whatever they hold, they end in an answer, soon and in bounded memory.

use std::fs::File;
use std::process::Command;

use crate::common::{Done, Lab, finish};

const HEAD: &str = "[workflow]\nname = \"w\"\n[tasks.t]\ninputs = { j = \"json?\" }\noutputs = { o = \"int\" }\nrun = 'true'\n";

/// `runner check` with at most 2 GiB of memory and a minute of processor time.
#[track_caller]
fn check(text: impl AsRef<[u8]>, code: i32) -> Done {
    let lab = Lab::new();
    lab.write_bytes("w.toml", text.as_ref());
    limited(&lab).expect_code(code)
}

fn limited(lab: &Lab) -> Done {
    let runner = env!("CARGO_BIN_EXE_runner");
    let script = "ulimit -v 2097152; ulimit -t 60; exec \"$0\" check w.toml";
    finish(Command::new("sh").args(["-c", script, runner]).current_dir(lab.dir()))
}

fn many(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(line).collect()
}

#[test]
fn deep_nesting() {
    const DEEP: usize = 200_000;
    for value in [
        "[".repeat(DEEP),
        format!("{}{}", "[".repeat(DEEP), "]".repeat(DEEP)),
        format!("{}1{}", "{a=".repeat(DEEP), "}".repeat(DEEP)),
    ] {
        check(format!("{HEAD}[nodes.t.inputs]\nj = {value}\n"), 2);
    }
    check(format!("{HEAD}[nodes.t.inputs]\nj{} = 1\n", ".a".repeat(DEEP)), 2);
    check(format!("{HEAD}[a{}]\n", ".a".repeat(DEEP)), 2);
    check(format!("{HEAD}[inputs]\nx = \"{}int{}\"\n", "list<".repeat(DEEP), ">".repeat(DEEP)), 2);
}

#[test]
fn deep_expressions() {
    const DEEP: usize = 100_000;
    for expression in [
        format!("{}1{}", "(".repeat(DEEP), ")".repeat(DEEP)),
        format!("{}1", "-".repeat(DEEP)),
        format!("{}1", "not ".repeat(DEEP)),
        format!("1{}", "+1".repeat(DEEP)),
        format!("1{}", "|int".repeat(DEEP)),
        format!("[1]{}", "[0]".repeat(DEEP)),
        format!("x{}", ".a".repeat(DEEP)),
        format!("{}1", "1 if 1 else ".repeat(DEEP)),
    ] {
        let done = check(format!("{HEAD}[nodes.t.inputs]\nj = \"{{{{ {expression} }}}}\"\n"), 2);
        assert!(done.err.len() < 10_000, "{}", done.err.len());
    }
    // As many levels as one expression may have.
    check(format!("{HEAD}[nodes.t.inputs]\nj = \"{{{{ {}1 }}}}\"\n", "-".repeat(3900)), 0);
}

#[test]
fn more_mistakes_than_anyone_reads() {
    let unknown = many(1_000_000, |i| format!("k{i} = 1\n"));
    let nodes = many(50_000, |i| format!("[nodes.n{i}]\ntask = \"u{i}\"\nneeds = [\"m{i}\"]\n"));
    let references =
        many(50_000, |i| format!("[nodes.n{i}]\ntask = \"t\"\ninputs = {{ j = \"{{{{ m{i}.o }}}}\" }}\n"));
    for text in [
        format!("{HEAD}[nodes.t]\n{unknown}"),
        format!("{HEAD}[nodes.t.inputs]\n{unknown}"),
        format!("{HEAD}{nodes}"),
        format!("{HEAD}{references}"),
        format!("{HEAD}[nodes.t]\ninputs = {{ j = [{}] }}", "\"{{ x.y }}\",".repeat(1_000_000)),
        "\"".repeat(1_000_000),
        "= 1\n".repeat(1_000_000),
    ] {
        let done = check(text, 2);
        assert!(done.err.len() < 100_000, "{}", done.err.len());
        assert!(done.err.contains("error: "), "{}", done.err);
    }
}

#[test]
fn large_but_sound() {
    const MANY: usize = 50_000;
    let typed = many(MANY, |i| format!("k{i} = \"int\"\n"));
    let bound = many(MANY, |i| format!("k{i} = {i}\n"));
    check(
        format!(
            "[workflow]\nname = \"w\"\n[tasks.t]\nrun = 'true'\n[tasks.t.inputs]\n{typed}[nodes.t.inputs]\n{bound}"
        ),
        0,
    );
    let returned = many(MANY, |i| format!("k{i} = \"{{{{ inputs.k{i} }}}}\"\n"));
    check(format!("{HEAD}[inputs]\n{typed}[nodes.t]\n[outputs]\n{returned}"), 0);
    let passed = many(MANY, |i| format!("k{i} = \"{{{{ t.k{i} }}}}\"\n"));
    check(
        format!(
            "[workflow]\nname = \"w\"\n[tasks.t]\nrun = 'true'\n[tasks.t.outputs]\n{typed}[nodes.t]\n[outputs]\n{passed}"
        ),
        0,
    );
    let env = many(1_000_000, |i| format!("K{i} = \"\"\n"));
    check(format!("{HEAD}[nodes.t]\n[tasks.t.env]\n{env}"), 0);
    check(format!("{HEAD}[nodes.t]\ninputs = {{ j = \"{}\" }}\n", "x".repeat(10 << 20)), 0);
}

#[test]
fn published_paths() {
    let text = |file: &str| {
        let outputs = many(50_000, |i| format!("k{i} = {{ value = \"{{{{ f.o }}}}\", path = \"{i}\" }}\n"));
        format!(
            "{HEAD}[tasks.f]\noutputs = {{ o = \"{file}\" }}\nrun = 'true'\n[nodes.f]\n[outputs]\n{outputs}"
        )
    };
    check(text("file"), 0);
    check(text("int"), 2);
}

#[test]
fn a_file_of_100_mebibytes() {
    let lab = Lab::new();
    File::create(lab.path("w.toml")).unwrap().set_len(100 << 20).unwrap();
    let done = limited(&lab).expect_code(2);
    assert_eq!(done.err, "error: w.toml has 100 MiB; at most 64 MiB are read\n");
}
