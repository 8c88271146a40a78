//! Who may run when: resources of one's own, memory and processors, the longest way first, and what a node says
//! otherwise than its task.

use crate::common::{Done, Lab};
use serde_json::{Value, json};

/// A script that fails if another one of its kind runs beside it.
const ALONE: &str = "mkdir @DIR@/taken; sleep 0.02; rmdir @DIR@/taken; echo t >> @COUNT@";

/// A script that ends only once `n` of its kind run side by side.
fn together(n: usize) -> String {
    format!(
        "mkdir -p @DIR@/here; touch @DIR@/here/$RUNNER_NODE; for i in $(seq 3000); do\n\
         if test $(ls @DIR@/here | wc -l) -ge {n}; then exit 0; fi; sleep 0.01; done; exit 1"
    )
}

/// Nodes of these names, in this order, each of a task `t` of this body, with lines of its own.
fn nodes(top: &str, body: &str, nodes: &[(&str, &str)]) -> String {
    let nodes: String =
        nodes.iter().map(|(name, own)| format!("[nodes.{name}]\ntask = 't'\n{own}\n")).collect();
    format!("[workflow]\nname = 'w'\n{top}\n[tasks.t]\n{body}\n{nodes}")
}

fn run_of(script: &str) -> String {
    format!("run = '''\n{script}\n'''")
}

fn names(run: &Done, kind: &str) -> Vec<String> {
    run.events(kind).iter().map(|event| event["node"].as_str().unwrap().to_owned()).collect()
}

fn reasons(run: &Done) -> Vec<String> {
    let events = run.events("node_waiting");
    events.iter().map(|event| event["reason"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn one_gpu_is_never_given_twice_to_tasks_elements_or_sub_workflows() {
    let lab = Lab::new();
    let uses = format!("resources = {{ gpu = 1, cpus = 0 }}\n{}", run_of(ALONE));
    let inner = nodes("", &uses, &[("p", ""), ("q", "")]).replace("name = 'w'", "name = 'inner'");
    lab.write("inner.toml", &inner);
    let text = nodes("[resources]\ngpu = 1", &uses, &[("a", ""), ("b", "")])
        + &format!("[tasks.each]\ninputs = {{ i = 'int' }}\n{uses}\n[nodes.each]\nforeach = ['i']\n")
        + "inputs = { i = [1, 2, 3] }\n[nodes.sub]\nworkflow = 'inner.toml'\n";
    lab.write("w.toml", &text);
    lab.ok("w.toml", &["-j", "8"]);
    assert_eq!(lab.ran(), 7);
}

#[test]
fn what_fits_runs_side_by_side() {
    let lab = Lab::new();
    for (top, resources, flags) in [
        ("[resources]\ngpu = 2", "gpu = 1, cpus = 0", &["-j", "2"][..]),
        ("[resources]\ngpu = 1", "gpu = 1, cpus = 0", &["-j", "2", "--resource", "gpu=2"]),
        ("", "memory = '1GiB'", &["-j", "2", "--resource", "memory=2GiB"]),
        ("", "cpus = 2", &["-j", "2", "--resource", "cpus=4"]),
    ] {
        let body = format!("resources = {{ {resources} }}\n{}", run_of(&together(2)));
        lab.write("w.toml", &nodes(top, &body, &[("a", ""), ("b", "")]));
        let run = lab.ok("w.toml", flags);
        assert_eq!(reasons(&run), [""; 0], "{resources}");
        std::fs::remove_dir_all(lab.path("here")).unwrap();
    }
}

#[test]
fn what_does_not_fit_waits_and_says_for_what() {
    for (top, resources, flags, what) in [
        ("[resources]\ngpu = 1", "gpu = 1, cpus = 0", &["-j", "2"][..], "gpu"),
        ("[resources]\ngpu = 9", "gpu = 1, cpus = 0", &["-j", "2", "--resource", "gpu=1"], "gpu"),
        ("", "memory = '2GiB'", &["-j", "2", "--resource", "memory=3GiB"], "memory"),
        ("", "cpus = 2", &["-j", "2", "--resource", "cpus=3"], "cpus"),
    ] {
        // A home of its own: times of earlier runs would say who goes first.
        let lab = Lab::new();
        let body = format!("resources = {{ {resources} }}\n{}", run_of(ALONE));
        lab.write("w.toml", &nodes(top, &body, &[("a", ""), ("b", "")]));
        let run = lab.ok("w.toml", flags);
        assert_eq!(names(&run, "node_waiting"), ["b"], "{resources}: told once, and of no other");
        assert!(reasons(&run)[0].contains(what), "{:?}", reasons(&run));

        let told = |args: &[&str]| lab.run(&[&["exec", "w.toml"], args, flags].concat()).expect_code(0).err;
        let (verbose, plain) = (told(&["-v"]), told(&[]));
        assert!(verbose.contains(&format!("  waiting for {what}")), "{verbose}");
        assert!(!plain.contains("waiting"), "{plain}");
    }
}

#[test]
fn what_needs_nothing_of_it_goes_before_what_waits() {
    let lab = Lab::new();
    let gpu = "resources = { gpu = 1 }";
    let body = run_of(&together(2));
    lab.write("w.toml", &nodes("[resources]\ngpu = 1", &body, &[("a", gpu), ("b", gpu), ("c", "")]));
    let run = lab.ok("w.toml", &["-j", "2", "--resource", "cpus=8"]);
    assert_eq!(names(&run, "node_started"), ["a", "c", "b"]);
}

#[test]
fn a_request_that_can_never_be_met_is_refused_wherever_it_stands() {
    let lab = Lab::new();
    let asks = nodes("", "run = 'true'", &[("deep", "resources = { gpu = 2 }")]);
    lab.write("inner.toml", &asks.replace("name = 'w'", "name = 'inner'"));
    let sub = "[nodes.sub]\nworkflow = 'inner.toml'\nneeds = ['first']\n";
    let each = "[tasks.e]\ninputs = { i = 'int' }\nrun = 'true'\nresources = { gpu = 2 }\n\
                [nodes.each]\ntask = 'e'\nforeach = ['i']\ninputs = { i = [1] }\nneeds = ['first']\n";
    let own = "[nodes.own]\ntask = 't'\nresources = { gpu = 2 }\nneeds = ['first']\n";
    for (last, node) in [(sub, "sub/deep"), (each, "each"), (own, "own")] {
        for top in ["", "[resources]\ngpu = 1"] {
            lab.write("w.toml", &(nodes(top, "run = 'echo t >> @COUNT@'", &[("first", "")]) + last));
            let run = lab.exec("w.toml", &[]).expect_code(2);
            assert_eq!(run.lines(), Vec::<Value>::new(), "{node}");
            assert!(run.err.contains("gpu") && run.err.contains(node), "{}", run.err);
        }
        lab.write("w.toml", &(nodes("[resources]\ngpu = 2", "run = 'true'", &[("first", "")]) + last));
        lab.ok("w.toml", &[]);
    }
    assert_eq!(lab.ran(), 0);
}

#[test]
fn resources_of_a_sub_workflow_count_where_the_outer_one_says_nothing() {
    let lab = Lab::new();
    let inner = nodes("[resources]\ngpu = 2", "run = 'true'", &[("deep", "resources = { gpu = 2 }")]);
    lab.write("inner.toml", &inner);
    let outer = |top| format!("[workflow]\nname = 'o'\n{top}\n[nodes.sub]\nworkflow = 'inner.toml'\n");
    lab.write("w.toml", &outer(""));
    lab.ok("w.toml", &[]);
    lab.write("w.toml", &outer("[resources]\ngpu = 1"));
    lab.exec("w.toml", &[]).expect_code(2);
    lab.ok("w.toml", &["--resource", "gpu=2"]);
}

#[test]
fn what_took_longest_goes_first_next_time() {
    let lab = Lab::new();
    let text = "[workflow]\nname = 'w'\n[defaults]\ncache = true\n[tasks.quick]\nrun = 'true'\n[tasks.slow]\n\
                run = 'sleep 0.4'\n[nodes.a]\ntask = 'quick'\n[nodes.b]\ntask = 'slow'\n[nodes.c]\ntask = 'quick'\n";
    lab.write("w.toml", text);
    let first = lab.ok("w.toml", &["-j", "1"]);
    assert_eq!(names(&first, "node_started"), ["a", "b", "c"], "nothing is known yet: as they stand");
    // By what was measured, however slow the machine is just now.
    let mut order = ["a", "b", "c"];
    let took = |name: &str| first.node(name)["duration_ms"].as_u64().unwrap().max(1);
    order.sort_by_key(|name| std::cmp::Reverse(took(name)));
    assert_eq!(lab.ok("w.toml", &["-j", "1"]).finished()["cached"], 3);
    let third = lab.ok("w.toml", &["-j", "1", "--overwrite"]);
    assert_eq!(names(&third, "node_started"), order, "a hit in between is no measurement");
}

#[test]
fn what_counts_is_the_whole_way_to_the_end() {
    let lab = Lab::new();
    let body = "run = 'true'";
    let chains = [
        ("one", ""),
        ("two", "needs = ['one']"),
        ("three", "needs = ['two']"),
        ("head", ""),
        ("tail", "needs = ['head']"),
        ("alone", ""),
    ];
    lab.write("w.toml", &nodes("", body, &chains));
    let first = lab.ok("w.toml", &["-j", "1"]);
    assert_eq!(names(&first, "node_started")[0], "one", "without times, what has most nodes behind it");
    let db = rusqlite::Connection::open(lab.home().join("runner.db")).unwrap();
    assert_eq!(db.execute("UPDATE node_time SET duration_ms = 1000", []).unwrap(), 6, "all were measured");
    db.execute("UPDATE node_time SET duration_ms = 9000 WHERE node = 'tail'", []).unwrap();
    db.execute("UPDATE node_time SET duration_ms = 2500 WHERE node = 'alone'", []).unwrap();
    drop(db);
    let second = lab.ok("w.toml", &["-j", "1"]);
    assert_eq!(names(&second, "node_started"), ["head", "tail", "one", "alone", "two", "three"]);
}

#[test]
fn a_node_may_say_otherwise_than_its_task() {
    let lab = Lab::new();
    let body = "retries = 2\nretry_delay = '0s'\nrun = 'echo $RUNNER_NODE >> @COUNT@; exit 3'";
    let own = [("never", "retries = 0"), ("often", "retries = 4"), ("plain", "")];
    lab.write("w.toml", &nodes("", body, &own));
    let run = lab.exec("w.toml", &["-k"]).expect_code(1);
    for (name, attempts) in [("never", 1), ("often", 5), ("plain", 3)] {
        assert_eq!((lab.ran_as(name), &run.node(name)["attempts"]), (attempts, &json!(attempts)), "{name}");
    }
}

#[test]
fn a_node_may_have_a_timeout_of_its_own() {
    let lab = Lab::new();
    let body = "timeout = '1h'\ngrace = '100ms'\nrun = 'test $RUNNER_NODE = plain || sleep 600'";
    lab.write("w.toml", &nodes("", body, &[("short", "timeout = '200ms'"), ("plain", "")]));
    let run = lab.exec("w.toml", &["-k"]).expect_code(1);
    let error = run.node("short")["error"].clone();
    assert_eq!(error["kind"], "timeout");
    assert!(error["message"].as_str().unwrap().contains("200ms"), "{error}");
    assert_eq!(run.node("plain")["status"], "succeeded");
}

#[test]
fn a_node_may_reserve_otherwise_than_its_task() {
    let lab = Lab::new();
    let top = "[resources]\ngpu = 2";
    let body = |script: &str| format!("resources = {{ gpu = 1, cpus = 0 }}\n{}", run_of(script));
    let more = "resources = { gpu = 2 }";
    lab.write("w.toml", &nodes(top, &body(ALONE), &[("a", more), ("b", more), ("c", more)]));
    let run = lab.ok("w.toml", &["-j", "3"]);
    assert_eq!((lab.ran(), reasons(&run).is_empty()), (3, false));
    let none = "resources = { gpu = 0 }";
    lab.write(
        "w.toml",
        &nodes(top, &body(&together(3)), &[("a", "resources = { gpu = 2 }"), ("b", none), ("c", none)]),
    );
    lab.ok("w.toml", &["-j", "3"]);
}
