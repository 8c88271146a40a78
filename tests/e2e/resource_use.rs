//! What attempts use: processor time, peak memory, the wait before they begin.

use crate::common::Lab;

/// Reads `bytes` in one piece into the memory of one process.
fn keeps(bytes: u64) -> String {
    format!("head -c {bytes} /dev/zero | tail -n 1 | wc -c > \"$OUT/n\"")
}

#[test]
fn processor_time_and_memory_are_told_of_each_attempt() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        &format!(
            "[workflow]\nname = 'w'\n[tasks.big]\ncache = true\noutputs = {{ n = 'int' }}\nrun = '''\n{}\n'''\n\
             [tasks.fails]\nretries = 1\nretry_delay = '0s'\nrun = '''\nOUT=. && {}\nexit 3\n'''\n\
             [nodes.big]\n[nodes.fails]\n",
            keeps(200_000_000),
            keeps(150_000_000)
        ),
    );
    let done = lab.exec("w.toml", &["-k"]).expect_code(1);
    let peak = |event: &serde_json::Value| event["peak_memory"].as_u64().unwrap() >> 20;
    let big = done.node("big");
    assert!((150..1000).contains(&peak(&big)), "{big}");
    assert!(big["cpu_ms"].as_u64().unwrap() > 0, "{big}");
    let attempts = done.events("attempt_failed");
    assert_eq!(attempts.len(), 2);
    for event in attempts.iter().chain([&done.node("fails")]) {
        assert!((100..1000).contains(&peak(event)) && event["cpu_ms"].as_u64().unwrap() > 0, "{event}");
    }
    let shown = lab.run(&["show", "@last"]).expect_code(0).out;
    let told = |mark: &str| shown.lines().any(|line| line.starts_with(mark) && line.contains(" MiB"));
    assert!(told("✓ big") && told("✗ fails"), "{shown}");

    let hit = lab.exec("w.toml", &["--only", "big"]).expect_code(0).node("big");
    assert_eq!(hit["cache"], "hit");
    assert!(hit["cpu_ms"].is_null() && hit["peak_memory"].is_null(), "{hit}");
    let shown = lab.run(&["show", "@last"]).expect_code(0).out;
    assert!(!shown.contains("cpu") && !shown.contains(" MiB"), "{shown}");
}

#[test]
fn small_commands_have_no_peak_of_their_own() {
    let lab = Lab::new();
    lab.write("w.toml", "[workflow]\nname = 'w'\n[tasks.t]\nargv = ['true']\n[nodes.t]\n");
    let node = lab.ok("w.toml", &[]).node("t");
    assert!(node["peak_memory"].is_null(), "{node}");
    assert!(node["cpu_ms"].is_u64(), "{node}");
}

#[test]
fn elements_are_summed_up() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        &format!(
            "[workflow]\nname = 'w'\n[tasks.t]\ninputs = {{ i = 'int' }}\noutputs = {{ n = 'int' }}\nrun = '''\n{}\n'''\n\
             [nodes.t]\nforeach = ['i']\ninputs = {{ i = [1, 2, 3] }}\n",
            keeps(100_000_000)
        ),
    );
    let done = lab.ok("w.toml", &[]);
    let events = done.events("node_finished");
    let (elements, node): (Vec<_>, Vec<_>) = events.iter().partition(|event| event["index"].is_u64());
    let numbers = |name: &str| elements.iter().map(|event| event[name].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!(node[0]["cpu_ms"].as_u64().unwrap(), numbers("cpu_ms").iter().sum::<u64>());
    assert_eq!(node[0]["peak_memory"].as_u64(), numbers("peak_memory").into_iter().max());
}

#[test]
fn the_wait_for_a_slot_is_told() {
    let lab = Lab::new();
    // The second one waits until the first, which takes at least 0.3 s, is over.
    lab.write(
        "w.toml",
        "[workflow]\nname = 'w'\n[tasks.t]\nrun = 'sleep 0.3'\n[nodes.a]\ntask = 't'\n[nodes.b]\ntask = 't'\n",
    );
    let done = lab.ok("w.toml", &["-j1"]);
    let waits: Vec<_> =
        done.events("node_started").iter().map(|event| event["waited_ms"].as_u64().unwrap()).collect();
    assert!(waits[1] >= 300 && waits[0] < waits[1], "{waits:?}");
    let verbose = lab.run(&["exec", "w.toml", "-j1", "-v"]).expect_code(0).err;
    assert!(verbose.contains("  started, attempt 1, waited "), "{verbose}");
    assert!(verbose.contains("  cpu "), "{verbose}");
}
