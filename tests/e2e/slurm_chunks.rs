//! Attempts that share jobs of a real Slurm; see `slurm.rs`.

use std::collections::BTreeSet;

use rustix::process::Signal;

use crate::common::live::{Live, until};
use crate::common::{Done, Lab};
use crate::slurm::{Cluster, WAITING};

/// Elements 1 to 12, of which `@FAIL@` fails.
const TWELVE: &str = r#"
[workflow]
name = "w"
[tasks.t]
executor = "cl"
cache = true
inputs = { n = "int" }
outputs = { n = "int" }
run = '''
echo "t$n" >> @COUNT@
echo "this is $n"
[ "$n" != @FAIL@ ] || sh -c 'exit 3'
echo "$n" > "$OUT/n"
'''
[nodes.t]
foreach = ["n"]
inputs = { n = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12] }
[outputs]
n = "{{ t.n }}"
"#;

fn jobs(done: &Done) -> BTreeSet<String> {
    done.events("node_submitted").iter().map(|event| event["name"].as_str().unwrap().to_owned()).collect()
}

fn elements(done: &Done, status: &str) -> Vec<u64> {
    let ended = done.events("node_finished");
    let of = ended.iter().filter(|event| event["index"].is_u64() && event["status"] == status);
    let mut numbers: Vec<_> = of.map(|event| event["index"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn attempts_that_share_a_job_have_their_own_ends_logs_and_results() {
    let Some(cluster) = Cluster::new("chunk = 5") else { return };
    let lab = &cluster.lab;
    lab.write("w.toml", &TWELVE.replace("@FAIL@", "3"));
    let done = lab.exec("w.toml", &["-k"]).expect_code(1);
    assert_eq!(jobs(&done).len(), 3, "five, five and two: {:?}", jobs(&done));
    assert_eq!((elements(&done, "failed"), elements(&done, "succeeded").len()), (vec![2], 11));
    assert_eq!((done.events("node_started").len(), lab.ran()), (12, 12));
    for event in done.events("node_finished").iter().filter(|event| event["index"].is_u64()) {
        let log = std::fs::read_to_string(event["log"].as_str().unwrap()).unwrap();
        assert_eq!(log, format!("this is {}\n", event["index"].as_u64().unwrap() + 1));
    }
    cluster.expect_clean();
    lab.write("w.toml", &TWELVE.replace("@FAIL@", "0"));
    let again = lab.ok("w.toml", &[]);
    assert_eq!(again.outputs()["n"].as_array().unwrap().len(), 12);
}

#[test]
fn an_open_size_is_known_the_second_time() {
    let Some(cluster) = Cluster::new("max_in_flight = 3") else { return };
    let lab = &cluster.lab;
    lab.write("w.toml", &TWELVE.replace("@FAIL@", "0"));
    let first = lab.ok("w.toml", &[]);
    assert!((5..12).contains(&jobs(&first).len()), "single ones first: {:?}", jobs(&first));
    let second = lab.ok("w.toml", &["--overwrite"]);
    assert_eq!((jobs(&second).len(), lab.ran()), (3, 24), "all are busy");
    cluster.expect_clean();
}

#[test]
fn a_run_that_stops_gives_back_what_has_not_begun() {
    let Some(cluster) = Cluster::new("chunk = 12") else { return };
    let lab = &cluster.lab;
    let slow = TWELVE.replace("echo \"this", "[ \"$n\" -le 3 ] || sleep 2; echo \"this");
    lab.write("w.toml", &slow.replace("@FAIL@", "3"));
    let done = lab.exec("w.toml", &[]).expect_code(1);
    assert_eq!(elements(&done, "failed"), [2]);
    assert!(elements(&done, "cancelled").len() >= 6, "{done:?}");
    assert_eq!(elements(&done, "cancelled").len() + lab.ran(), 12, "{}", lab.read("count"));
    cluster.expect_clean();
}

#[test]
fn several_attempts_of_a_job_run_at_once_and_each_is_taken_over() {
    let Some(cluster) = Cluster::new("chunk = 7\nchunk_parallel = 2") else { return };
    let lab = &cluster.lab;
    lab.write("w.toml", WAITING);
    let live = Live::start(lab, "first", &[]);
    until("all are submitted", || live.said().events("node_submitted").len() == 14);
    until("two of each job have begun", || lab.ran() == 4);
    let run = live.run();
    live.signal(Signal::KILL);
    live.end();
    assert_eq!(cluster.queue(&run).lines().count(), 2, "the jobs outlive the runner");
    let live = Live::start(lab, "second", &[]);
    until("all are taken over", || live.said().warnings().matches("is taken over").count() == 14);
    lab.write("go", "");
    let done = live.end().expect_code(0);
    assert_eq!(done.outputs()["n"].as_array().unwrap().len(), 14);
    let begun = lab.read("count");
    let words: BTreeSet<_> = begun.split_whitespace().collect();
    assert_eq!((words.len(), lab.ran()), (14, 14), "{begun}");
    cluster.expect_clean();
    until("the queue is empty", || cluster.queue(&run).is_empty());
}

#[test]
fn ctrl_c_gives_what_runs_its_grace_and_begins_nothing_more() {
    let Some(cluster) = Cluster::new("chunk = 7") else { return };
    let lab = &cluster.lab;
    lab.write("w.toml", WAITING);
    let live = Live::start(lab, "run", &[]);
    until("the first of each job have begun", || lab.ran() == 2);
    let run = live.run();
    live.signal(Signal::INT);
    let done = live.end().expect_code(130);
    assert_eq!(done.finished()["status"], "cancelled");
    assert_eq!((lab.read("told").lines().count(), lab.ran()), (2, 2));
    until("the queue is empty", || cluster.queue(&run).is_empty());
    until("no process is left", || lab.alive().is_empty());
    cluster.expect_clean();
}

#[test]
fn what_says_how_attempts_share_jobs_is_checked_and_is_in_no_key() {
    let lab = Lab::new();
    let text = "[workflow]\nname = 'w'\n[tasks.t]\ncache = true\nrun = 'echo t >> @COUNT@'\n[nodes.t]\n";
    lab.write("w.toml", text);
    let first = lab.ok("w.toml", &[]);
    lab.write("w.toml", &text.replace("run", "chunk = 5\nchunk_parallel = 2\nrun"));
    let second = lab.ok("w.toml", &[]);
    assert_eq!((first.key("t"), second.cache("t"), lab.ran()), (second.key("t"), "hit".into(), 1));
    lab.write("w.toml", &text.replace("run", "chunk = 'many'\nrun"));
    let done = lab.exec("w.toml", &[]).expect_code(2);
    assert!(done.err.contains("`chunk` must be \"auto\" or a whole number"), "{}", done.err);
    // A node that says nothing but where it runs.
    lab.write("w.toml", &format!("{text}executor = 'nowhere'\n"));
    let done = lab.exec("w.toml", &[]).expect_code(2);
    assert!(done.err.contains("no executor `nowhere`"), "{}", done.err);
}

#[test]
fn a_large_input_is_brought_once_and_is_gone_afterwards() {
    let Some(cluster) = Cluster::new("chunk = 2") else { return };
    let lab = &cluster.lab;
    let text = "[workflow]\nname = 'w'\n[tasks.t]\nexecutor = 'cl'\ninputs = { file = 'file', n = 'int' }\n\
                outputs = { line = 'string' }\n\
                run = 'echo $(stat -L -c %i \"$file\") $(wc -c < \"$file\") > \"$OUT/line\"'\n\
                [nodes.t]\nforeach = ['n']\ninputs = { file = 'big.bin', n = [1, 2, 3, 4] }\n\
                [outputs]\nlines = '{{ t.line }}'\n";
    lab.write_bytes("big.bin", &vec![7; 17 << 20]);
    let lines = |done: Done| -> BTreeSet<String> {
        let outputs = done.outputs();
        outputs["lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect()
    };
    lab.write("w.toml", text);
    let same = lines(lab.ok("w.toml", &[]));
    assert!(same.len() == 1 && same.iter().all(|line| line.ends_with(" 17825792")), "{same:?}");
    assert!(!lab.path("work/blobs").exists());
    lab.write("w.toml", &text.replace("run =", "stage = 'copy'\nrun ="));
    assert_eq!(lines(lab.ok("w.toml", &[])).len(), 4, "each has its own");
    cluster.expect_clean();
}
