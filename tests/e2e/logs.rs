//! `runner logs`: which log is meant, the logs of all that failed, and following while a run goes on.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

use crate::common::Lab;

/// Waits until a file is there.
fn wait_for(lab: &Lab, name: &str) {
    for _ in 0..6000 {
        if lab.path(name).exists() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("waited a minute for {name}");
}

/// A command that waits until a file is there.
const WAIT: &str = "until [ -e @DIR@/NAME ]; do sleep 0.01; done";

fn wait(name: &str) -> String {
    WAIT.replace("NAME", name)
}

fn start(lab: &Lab, args: &[&str]) -> Child {
    let child = lab.command(&[&["exec", "w.toml"], args].concat()).stdout(Stdio::null()).spawn().unwrap();
    wait_for(lab, "began");
    child
}

#[test]
fn without_a_node_there_is_the_only_log_or_a_list() {
    let lab = Lab::new();
    lab.write("one.toml", "[workflow]\nname = 'one'\n[tasks.t]\nrun = 'echo here'\n[nodes.t]\n");
    lab.ok("one.toml", &[]);
    assert_eq!(lab.run(&["logs", "@last"]).expect_code(0).out, "here\n");
    lab.write(
        "many.toml",
        "[workflow]\nname = 'many'\n[tasks.t]\ninputs = { i = 'int?' }\nrun = 'test \"${i:-0}\" != 2'\n\
         [nodes.a]\ntask = 't'\n[nodes.b]\ntask = 't'\nforeach = ['i']\ninputs = { i = [1, 2, 3] }\n",
    );
    let run = lab.exec("many.toml", &["-k"]).expect_code(1).finished()["run"].as_str().unwrap().to_owned();
    let list = lab.run(&["logs", "@last"]).expect_code(0).out;
    assert_eq!(
        list,
        format!(
            "NODE  RAN         FAILED\na                         runner logs {run} a\n\
             b     3 elements  1       runner logs {run} b --index 1\n"
        )
    );
    assert!(lab.run(&["logs", "@last", "--attempt", "1"]).expect_code(2).err.contains("NODE"));
}

#[test]
fn what_failed_is_printed_under_its_name() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = 'w'\n[tasks.t]\ninputs = { i = 'int' }\nrun = 'echo this is $i; exit $((i % 2))'\n\
         [nodes.n]\ntask = 't'\nforeach = ['i']\ninputs = { i = [1, 2, 3] }\n",
    );
    lab.exec("w.toml", &["-k", "-j1"]).expect_code(1);
    let done = lab.run(&["logs", "@last", "--failed"]).expect_code(0);
    assert_eq!(done.out, "==> n[0]: exit 1 <==\nthis is 1\n\n==> n[2]: exit 1 <==\nthis is 3\n");
    lab.write("ok.toml", "[workflow]\nname = 'ok'\n[tasks.t]\nrun = 'true'\n[nodes.t]\n");
    lab.ok("ok.toml", &[]);
    let none = lab.run(&["logs", "@last", "--failed"]).expect_code(0);
    assert!(none.err.contains("nothing that ran has failed") && none.out.is_empty(), "{}", none.err);
}

#[test]
fn a_log_is_followed_while_it_grows_through_retries_to_the_end() {
    let lab = Lab::new();
    let script = format!(
        "echo begin $RUNNER_ATTEMPT; if [ $RUNNER_ATTEMPT = 1 ]; then touch @DIR@/began; {}; echo end 1; exit 3; fi; printf 'end 2'",
        wait("go")
    );
    lab.write(
        "w.toml",
        &format!(
            "[workflow]\nname = 'w'\n[tasks.t]\nretries = 1\nretry_delay = '0s'\nrun = '''\n{script}\n'''\n[nodes.t]\n"
        ),
    );
    let mut run = start(&lab, &[]);
    let mut logs = lab.command(&["logs", "@last", "t", "-f"]).spawn().unwrap();
    let mut out = BufReader::new(logs.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "begin 1\n", "before the attempt has ended");
    lab.write("go", "");
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "end 1\nbegin 2\nend 2");
    assert!(logs.wait().unwrap().success() && run.wait().unwrap().success());
    assert_eq!(lab.run(&["logs", "@last", "t", "-f"]).expect_code(0).out, "begin 1\nend 1\nbegin 2\nend 2");
}

#[test]
fn all_nodes_are_followed_with_their_names() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        &format!(
            "[workflow]\nname = 'w'\n[tasks.a]\nrun = '''\necho one; touch @DIR@/began; {}; echo two\n'''\n\
             [tasks.b]\ninputs = {{ i = 'int' }}\nrun = 'echo this is $i'\n[nodes.a]\n\
             [nodes.b]\nforeach = ['i']\ninputs = {{ i = [7, 8] }}\nneeds = ['a']\n",
            wait("go")
        ),
    );
    let mut run = start(&lab, &[]);
    let logs = lab.command(&["logs", "@last", "--follow"]).spawn().unwrap();
    lab.write("go", "");
    let out = String::from_utf8(logs.wait_with_output().unwrap().stdout).unwrap();
    run.wait().unwrap();
    let mut lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[..2], ["a | one", "a | two"]);
    lines[2..].sort_unstable();
    assert_eq!(lines[2..], ["b[0] | this is 7", "b[1] | this is 8"]);
}

#[test]
fn following_ends_when_the_run_is_killed_and_says_what_is_wrong() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = 'w'\n[tasks.t]\nrun = 'echo here; touch @DIR@/began; sleep 600'\n[nodes.train]\ntask = 't'\n\
         [nodes.late]\ntask = 't'\nneeds = ['train']\n",
    );
    let mut run = start(&lab, &[]);
    let typo = lab.run(&["logs", "@last", "trian", "-f"]).expect_code(2);
    assert!(typo.err.contains("did you mean `train`?"), "{}", typo.err);
    let mut logs = lab.command(&["logs", "@last", "train", "-f"]).spawn().unwrap();
    let late = lab.command(&["logs", "@last", "late", "-f"]).spawn().unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(logs.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    run.kill().unwrap();
    run.wait().unwrap();
    assert!(logs.wait().unwrap().success() && line == "here\n");
    let late = crate::common::Done::new(late.wait_with_output().unwrap()).expect_code(2);
    assert!(late.err.contains("late"), "{}", late.err);
    // The next run ends what the killed one left behind.
    lab.write("ok.toml", "[workflow]\nname = 'ok'\n[tasks.t]\nrun = 'true'\n[nodes.t]\n");
    lab.ok("ok.toml", &[]);
}

#[test]
fn a_node_of_workflows_for_each_element_is_named_with_or_without_a_number() {
    let lab = Lab::new();
    lab.write(
        "sub.toml",
        "[workflow]\nname = 'sub'\n[inputs]\ni = 'int'\n[tasks.t]\ninputs = { i = 'int' }\nrun = 'echo this is $i; test $i != 2'\n\
         [nodes.a]\ntask = 't'\ninputs = { i = '{{ inputs.i }}' }\n",
    );
    lab.write(
        "w.toml",
        "[workflow]\nname = 'w'\n[nodes.sub]\nworkflow = 'sub.toml'\nforeach = ['i']\ninputs = { i = '{{ [1, 3] }}' }\n",
    );
    lab.ok("w.toml", &[]);
    assert_eq!(lab.run(&["logs", "@last", "sub[1]/a"]).expect_code(0).out, "this is 3\n");
    let which = lab.run(&["logs", "@last", "sub/a"]).expect_code(2).err;
    assert!(which.contains("`sub/a` runs once for each element: name one, as in `runner logs"), "{which}");
    lab.write("w.toml", &lab.read("w.toml").replace("[1, 3]", "[1, 2, 3]"));
    lab.exec("w.toml", &["-k"]).expect_code(1);
    assert_eq!(lab.run(&["logs", "@last", "sub/a"]).expect_code(0).out, "this is 2\n", "the one that failed");
}

#[test]
fn a_captured_standard_output_is_shown_beside_standard_error() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = 'w'\n\
         [tasks.t]\noutputs = { y = { type = 'string', from = 'stdout' } }\nrun = 'echo result; echo complaint >&2'\n\
         [tasks.bad]\noutputs = { y = { type = 'string', from = 'stdout' } }\nrun = 'echo half; exit 3'\n\
         [nodes.t]\n[nodes.bad]\nneeds = ['t']\n",
    );
    let run = lab.exec("w.toml", &[]).expect_code(1);
    assert_eq!(
        lab.run(&["logs", "@last", "t"]).expect_code(0).out,
        "complaint\n── standard output ──\nresult\n"
    );
    assert!(run.err.contains("│ half\n"), "{}", run.err);
}
