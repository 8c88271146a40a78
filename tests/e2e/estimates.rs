//! What `plan` says of time: by the times of earlier runs, which the tests write themselves.

use crate::common::Lab;
use serde_json::Value;

/// `a` feeds `b` and `c`, both feed `d`; all are cached.
const DIAMOND: &str = "\
[workflow]
name = 'w'
[inputs]
x = { type = 'int', default = 1 }
[tasks.t]
cache = true
inputs = { x = 'int', y = 'int?' }
outputs = { z = 'int' }
run = 'echo $x > $OUT/z'
[nodes.a]
task = 't'
inputs = { x = '{{ inputs.x }}' }
[nodes.b]
task = 't'
inputs = { x = '{{ a.z * 2 }}' }
[nodes.c]
task = 't'
inputs = { x = '{{ a.z * 3 }}' }
[nodes.d]
task = 't'
inputs = { x = '{{ b.z }}', y = '{{ c.z }}' }
";

/// A laboratory whose nodes took these times, in milliseconds, when they last ran.
fn timed(text: &str, times: &[(&str, i64)]) -> Lab {
    let lab = Lab::new();
    lab.write("w.toml", text);
    lab.ok("w.toml", &[]);
    let db = rusqlite::Connection::open(lab.home().join("runner.db")).unwrap();
    db.execute("DELETE FROM node_time", []).unwrap();
    for (node, ms) in times {
        let row = "INSERT INTO node_time (workflow, node, duration_ms, mean_ms) VALUES ('w', ?1, ?2, ?2)";
        db.execute(row, rusqlite::params![node, ms]).unwrap();
    }
    lab
}

fn summary(lab: &Lab, args: &[&str]) -> Vec<String> {
    let out = lab.run(&[&["plan", "w.toml"], args].concat()).expect_code(0).out;
    out.lines().skip_while(|line| !line.contains("from the cache")).map(str::to_owned).collect()
}

#[test]
fn the_critical_path_bounds_a_run_with_enough_jobs() {
    let lab = timed(DIAMOND, &[("a", 1000), ("b", 5000), ("c", 9000), ("d", 2000)]);
    assert_eq!(
        summary(&lab, &["-i", "x=7", "-j", "4"]),
        [
            "4 would run, 0 from the cache",
            "estimated 12.0s from earlier runs",
            "critical path 12.0s: a > c > d"
        ]
    );
    // With one job, all of the work counts.
    assert_eq!(summary(&lab, &["-i", "x=7", "-j", "1"])[1], "estimated 17.0s from earlier runs");
    let lines = lab.run(&["plan", "w.toml", "--json", "-i", "x=7"]).expect_code(0).lines();
    let times: Vec<&Value> = lines.iter().map(|line| &line["estimated_ms"]).collect();
    assert_eq!(times, [1000, 5000, 9000, 2000]);
}

#[test]
fn what_is_cached_takes_no_time_and_what_never_ran_is_counted() {
    let lab = timed(DIAMOND, &[("a", 1000), ("b", 5000), ("d", 2000)]);
    let db = rusqlite::Connection::open(lab.home().join("runner.db")).unwrap();
    assert!(summary(&lab, &[])[0].starts_with("nothing would run: 4 from the cache"));
    // Forgetting `c` makes it run, and `d` below it.
    db.execute("DELETE FROM memo WHERE node = 'c'", []).unwrap();
    let said = summary(&lab, &[]);
    assert_eq!(said[0], "2 would run, 2 from the cache");
    assert_eq!(said[1], "estimated 2.0s from earlier runs, without 1 node that never ran");
}

#[test]
fn elements_that_would_run_count_one_by_one() {
    let text = "[workflow]\nname = 'w'\n[inputs]\nn = { type = 'int', default = 3 }\n\
                [tasks.t]\ncache = true\ninputs = { i = 'int' }\noutputs = { z = 'int' }\nrun = 'echo $i > $OUT/z'\n\
                [nodes.each]\ntask = 't'\nforeach = ['i']\ninputs = { i = '{{ range(inputs.n) }}' }\n";
    let lab = timed(text, &[("each", 1000)]);
    let said = summary(&lab, &["-i", "n=8", "-j", "2"]);
    assert_eq!(said[..2], ["5 would run, 3 from the cache", "estimated 3.0s from earlier runs"]);
}

#[test]
fn each_start_says_how_long_the_run_still_takes() {
    let lab = timed(DIAMOND, &[("a", 1_000_000), ("b", 5_000_000), ("d", 2_000_000)]);
    let run = lab.ok("w.toml", &["--overwrite", "-j", "4"]);
    let left = |node: &str| {
        let started = run.events("node_started");
        let started = started.iter().find(|event| event["node"] == node).unwrap();
        started["remaining_ms"].as_u64()
    };
    assert_eq!(["a", "b", "d"].map(left), [8_000_000, 7_000_000, 2_000_000].map(Some));
    assert_eq!(left("c"), None, "it never ran before");
    let lab = timed(DIAMOND, &[("a", 1_000_000), ("b", 5_000_000), ("d", 2_000_000)]);
    let run = lab.ok("w.toml", &["--overwrite", "-j", "1"]);
    let started = run.events("node_started");
    let b = started.iter().find(|event| event["node"] == "b").unwrap();
    assert_eq!(b["remaining_ms"], 10_000_000, "`c` waits for the one slot, and may take as long: {b}");
}
