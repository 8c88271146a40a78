//! Hostile text: whatever workflow files, libraries, inputs and templates hold, they end in an answer, soon and in bounded
//! memory.
//!
//! The limits: 64 MiB of text, 256 MiB of memory and 20 times the text (beside 24 MiB that the program itself takes). That
//! the answer comes within a second is measured by hand, with a release build; here nothing is timed. Texts that are read to
//! their end are the largest only where the full counts are asked for.

use std::fs::File;
use std::process::Command;

use crate::common::{Done, Lab, finish};
use crate::faults::count;

const HEAD: &str = "[workflow]\nname = \"w\"\n[tasks.t]\ninputs = { j = \"json?\" }\noutputs = { o = \"int\" }\nrun = 'true'\n";

/// The most memory that any text may cost, in MiB.
const MAX_MEMORY: usize = 256;

/// `runner check` with bounded memory and a minute of processor time.
#[track_caller]
fn check(text: impl AsRef<[u8]>, code: i32) -> Done {
    check_within(MAX_MEMORY, text, code)
}

#[track_caller]
fn check_within(mebibytes: usize, text: impl AsRef<[u8]>, code: i32) -> Done {
    let lab = Lab::new();
    lab.write_bytes("w.toml", text.as_ref());
    limited(&lab, mebibytes, &["check", "w.toml"]).expect_code(code)
}

/// The program with at most so much memory of its own, and a minute of processor time.
fn limited(lab: &Lab, mebibytes: usize, args: &[&str]) -> Done {
    let runner = env!("CARGO_BIN_EXE_runner");
    let script = format!("ulimit -d {}; ulimit -t 60; exec \"$0\" \"$@\"", mebibytes << 10);
    let mut command = Command::new("sh");
    command.args(["-c", &script, runner]).args(args).current_dir(lab.dir()).env("RUNNER_HOME", lab.home());
    finish(&mut command)
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
fn more_errors_than_anyone_reads() {
    let unknown = many(count(250_000, 1_000_000), |i| format!("k{i} = 1\n"));
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
    let number = count(10_000, 50_000);
    let typed = many(number, |i| format!("k{i} = \"int\"\n"));
    let bound = many(number, |i| format!("k{i} = {i}\n"));
    check(
        format!(
            "[workflow]\nname = \"w\"\n[tasks.t]\nrun = 'true'\n[tasks.t.inputs]\n{typed}[nodes.t.inputs]\n{bound}"
        ),
        0,
    );
    let returned = many(number, |i| format!("k{i} = \"{{{{ inputs.k{i} }}}}\"\n"));
    check(format!("{HEAD}[inputs]\n{typed}[nodes.t]\n[outputs]\n{returned}"), 0);
    let passed = many(number, |i| format!("k{i} = \"{{{{ t.k{i} }}}}\"\n"));
    check(
        format!(
            "[workflow]\nname = \"w\"\n[tasks.t]\nrun = 'true'\n[tasks.t.outputs]\n{typed}[nodes.t]\n[outputs]\n{passed}"
        ),
        0,
    );
    // Seen to fail: with 249,000 nodes, which were allowed, it took 267 MiB.
    let bound = |i: usize| format!("[nodes.n{i}]\ntask = 't'\ninputs = {{ j = {i} }}\n");
    check(format!("{HEAD}{}", many(count(20_000, 149_000), bound)), 0);
    let env = many(count(100_000, 400_000), |i| format!("K{i} = \"\"\n"));
    check(format!("{HEAD}[nodes.t]\n[tasks.t.env]\n{env}"), 0);
    check(format!("{HEAD}[nodes.t]\ninputs = {{ j = \"{}\" }}\n", "x".repeat(10 << 20)), 0);
}

#[test]
fn published_paths() {
    let text = |file: &str| {
        let outputs = many(count(10_000, 50_000), |i| {
            format!("k{i} = {{ value = \"{{{{ f.o }}}}\", path = \"{i}\" }}\n")
        });
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
    let done = limited(&lab, MAX_MEMORY, &["check", "w.toml"]).expect_code(2);
    assert_eq!(done.err, "error: w.toml has 100 MiB; at most 64 MiB are read\n");
}

fn six_megabytes(line: impl Fn(usize) -> String) -> String {
    mebibytes(6, line)
}

/// Lines until they are so large together.
fn mebibytes(size: usize, line: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for i in 0.. {
        if text.len() >= size << 20 {
            break;
        }
        text += &line(i);
    }
    text
}

#[test]
fn anything_costs_twenty_times_its_size_at_most() {
    let within = |text: &str| ((20 * text.len()) >> 20) + 24;
    let bind = |value: String| format!("{HEAD}[nodes.t.inputs]\nj = {value}\n");
    let list = |item: &'static str| bind(format!("[{}]", six_megabytes(|_| item.into())));
    for (text, needle) in [
        (list("\"{{ 1 }}\","), "1000000 words and signs"),
        (list("1,"), "1000000 words and signs"),
        (list("\"\","), "1000000 words and signs"),
        (list("{},"), "1000000 words and signs"),
        (list("#\n"), "1000000 words and signs"),
        (bind(format!("[{}", six_megabytes(|_| "1,".into()))), "1000000 words and signs"),
        (bind(six_megabytes(|_| "[".into())), "1000000 words and signs"),
        (bind(six_megabytes(|_| "{a=".into())), "1000000 words and signs"),
        (bind(format!("[{}]", mebibytes(4, |i| format!("\"{{{{ {i} + 1 }}}}\",")))), "100000 expressions"),
        (bind(format!("\"{}\"", "{{ 1 }}".repeat(300_000))), "10000 expressions"),
        (HEAD.to_owned() + &mebibytes(4, |i| format!("[tasks.a{i}]\nrun='x'\n")), "100000 tasks"),
        (HEAD.to_owned() + &mebibytes(4, |i| format!("[nodes.a{i}]\ntask='t'\n")), "150000 nodes"),
        (
            format!("{HEAD}[nodes.t]\n[inputs]\n{}", mebibytes(5, |i| format!("k{i}='int'\n"))),
            "300000 inputs",
        ),
        (format!("{HEAD}[nodes.t]\n{}", six_megabytes(|i| format!("k{i}=1\n"))), "and at least"),
        (six_megabytes(|_| "= 1\n".into()), "and at least 100000 more errors"),
    ] {
        let done = check_within(within(&text), &text, 2);
        assert!(done.err.contains(needle), "{}: {}", &text[HEAD.len()..][..40], done.err);
        assert!(done.err.matches("\nerror").count() <= 100 && done.err.len() < 100_000, "{}", done.err.len());
    }
    // The largest that is taken.
    // A sound file may cost more than one that is refused, and stays below the bound of all.
    check_within(MAX_MEMORY, list("'0123456789',"), 0);
    let text = list("\"{{ 1 }}            .\",");
    check_within(within(&text), text, 2);
}

/// Each part of these is allowed by itself, and together they would take more than all may.
#[test]
fn every_part_near_its_limit() {
    let tasks = many(99_000, |i| format!("[tasks.t{i}]\nrun = 'true'\n"));
    let nodes = many(149_000, |i| format!("[nodes.n{i}]\ntask = 't{}'\n", i % 99_000));
    let bound = many(149_000, |i| format!("[nodes.n{i}]\ntask = 't'\ninputs = {{ j = {i} }}\n"));
    let typed = many(100, |i| format!("a{i} = 'int?'\n"));
    let declared = many(2_990, |i| format!("[tasks.d{i}]\nrun = 'true'\n[tasks.d{i}.inputs]\n{typed}"));
    let computed = "'{{ 1 + 1 }}',".repeat(9_000);
    let computed = many(11, |i| format!("[nodes.e{i}]\ntask = 't'\ninputs = {{ j = [{computed}] }}\n"));
    let texts = [bound.clone() + &computed, tasks + &nodes, bound + &declared];
    for text in texts.into_iter().take(count(1, 3)) {
        let done = check(format!("{HEAD}{text}"), 2);
        assert!(done.err.contains("hold too much together"), "{}", done.err);
    }
}

/// Seen to fail: the nodes of each task were searched for among all, which took minutes.
#[test]
fn many_tasks_with_a_node_each() {
    let number = count(20_000, 99_000);
    let each = |i| format!("[tasks.t{i}]\nrun = 'true'\n[nodes.n{i}]\ntask = 't{i}'\n");
    check(format!("{HEAD}{}", many(number, each)), 0);
}

#[test]
fn sixty_megabytes() {
    let ten = |line: &dyn Fn(usize) -> String| (0..10).map(|_| six_megabytes(line)).collect::<String>();
    let node = |i: usize| format!("[nodes.n{i}]\ntask = 't'\ninputs = {{ j = {i} }}\n");
    check(format!("{HEAD}{}", many(count(250_000, 1_000_000), node)), 2);
    check("\n".repeat(64 << 20), 2);
    check(format!("{HEAD}[nodes.t]\n#{}\n", ten(&|_| "x".repeat(1000))), 0);
}

#[test]
fn libraries_and_sub_workflows_count_together() {
    let lab = Lab::new();
    let library = |name: &str| {
        let tasks = many(60_000, |i| format!("[tasks.a{i}]\nrun = 'true'\n"));
        lab.write(&format!("{name}.toml"), &format!("[library]\nname = '{name}'\n{tasks}"));
    };
    for name in ["one", "two"] {
        library(name);
    }
    lab.write("w.toml", &format!("import = ['one.toml', 'two.toml']\n{HEAD}[nodes.t]\n"));
    let done = limited(&lab, MAX_MEMORY, &["check", "w.toml"]).expect_code(2);
    assert!(done.err.contains("two.toml") && done.err.contains("more than 100000 tasks"), "{}", done.err);

    // Each runs the next ten times: a billion nodes.
    for depth in 0..10 {
        let nodes = many(10, |i| match depth {
            9 => format!("[nodes.n{i}]\ntask = 't'\n[tasks.t{i}]\nrun = 'true'\n"),
            _ => format!("[nodes.n{i}]\nworkflow = 'w{}.toml'\n", depth + 1),
        });
        let text = format!("[workflow]\nname = 'w{depth}'\n[tasks.t]\nrun = 'true'\n{nodes}");
        lab.write(&format!("w{depth}.toml"), &text);
    }
    let done = limited(&lab, MAX_MEMORY, &["check", "w0.toml"]).expect_code(2);
    assert!(done.err.contains("and at most 1000000 can be run"), "{}", done.err);
    limited(&lab, MAX_MEMORY, &["check", "w5.toml"]).expect_code(0);

    for part in 0..3 {
        let text = format!("[library]\nname = 'l{part}'\n# {}\n", "x".repeat(30 << 20));
        lab.write(&format!("l{part}.toml"), &text);
    }
    lab.write("w.toml", &format!("import = ['l0.toml', 'l1.toml', 'l2.toml']\n{HEAD}[nodes.t]\n"));
    let done = limited(&lab, MAX_MEMORY, &["check", "w.toml"]).expect_code(2);
    assert!(done.err.contains("the files of the workflow exceed 64 MiB"), "{}", done.err);
}

#[test]
fn inputs() {
    let lab = Lab::new();
    let text = HEAD.replace("[tasks.t]", "[inputs]\nj = 'json'\n[tasks.t]");
    lab.write("w.toml", &format!("{text}[nodes.t.inputs]\nj = '{{{{ inputs.j }}}}'\n"));
    File::create(lab.path("large.json")).unwrap().set_len(100 << 20).unwrap();
    File::create(lab.path("large.toml")).unwrap().set_len(100 << 20).unwrap();
    let json = |name: &str, value: String| lab.write(name, &format!("{{\"j\": {value}}}"));
    json("ints.json", format!("[{}1]", "1,".repeat(3_000_000)));
    json("deep.json", "[".repeat(6 << 20));
    json("objects.json", format!("[{}1]", "{},".repeat(2_000_000)));
    lab.write("ints.toml", &format!("j = [{}]", "1,".repeat(3_000_000)));
    lab.write("deep.toml", &format!("j = {}", "[".repeat(6 << 20)));
    lab.write("keys.toml", &many(400_000, |i| format!("k{i} = 1\n")));
    for (name, needle) in [
        ("large.json", "at most 64 MiB are read"),
        ("large.toml", "at most 64 MiB are read"),
        ("ints.json", "more than 1000000 values"),
        ("deep.json", "more than 1000000 values"),
        ("objects.json", "more than 1000000 values"),
        ("ints.toml", "1000000 words and signs"),
        ("deep.toml", "1000000 words and signs"),
        ("keys.toml", "has no such input"),
    ] {
        let done = limited(&lab, MAX_MEMORY, &["plan", "w.toml", "--inputs", name]).expect_code(2);
        assert!(done.err.contains(needle), "{name}: {}", &done.err[..done.err.len().min(500)]);
        assert!(done.err.len() < 100_000, "{name}: {}", done.err.len());
    }
    for value in ["[".repeat(100_000), format!("[{}1]", "1,".repeat(50_000)), "{".repeat(100_000)] {
        let done = limited(&lab, MAX_MEMORY, &["plan", "w.toml", "-i", &format!("j={value}")]);
        assert!(matches!(done.code, Some(0 | 2)), "{:?}: {}", done.code, done.err);
    }
}

#[test]
fn a_matrix_of_ten_million() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = 'w'\n[tasks.t]\ninputs = { a = 'int', b = 'int' }\nrun = 'true'\n[nodes.t]\nmatrix = ['a', 'b']\n\
         inputs = { a = '{{ range(3200) }}', b = '{{ range(3200) }}' }\n",
    );
    for verb in ["plan", "exec"] {
        let done = limited(&lab, MAX_MEMORY, &[verb, "w.toml"]);
        let said = format!("{}{}", done.out, done.err);
        assert!(said.contains("more than 1000000 combinations"), "{verb}: {said}");
    }
}

#[test]
fn templates_that_make_much_of_little() {
    for expression in [
        "range(10 ** 9)",
        "range(10 ** 7) | list",
        "'x' * 10 ** 10",
        "[['x' * 10 ** 6] * 1000] * 1000",
        "range(1000000) | map('string') | join(',') | split(',')",
        "(range(100000) | list | string) * 100",
        "'a,' * 10 ** 7 | split(',')",
    ] {
        let lab = Lab::new();
        lab.write("w.toml", &format!("{HEAD}[nodes.t.inputs]\nj = \"{{{{ {expression} }}}}\"\n"));
        let done = limited(&lab, MAX_MEMORY, &["exec", "w.toml"]);
        // It is an error, or small enough after all.
        assert!(matches!(done.code, Some(0..=2)), "{expression}: {:?} {}", done.code, done.err);
    }
}
