//! Attempts as processes: retries, timeouts, resources, logs, and what is left when all is over.

use std::collections::BTreeSet;

use crate::common::{Lab, finish};
use serde_json::json;

/// A workflow of one node over one task with this body.
fn one(body: &str) -> String {
    format!("[workflow]\nname = \"w\"\n[tasks.t]\n{body}\n[nodes.t]\n")
}

/// So many nodes over one task with this body, which all may run at once.
fn many(count: usize, top: &str, body: &str) -> String {
    let nodes: String = (0..count).map(|i| format!("[nodes.n{i}]\ntask = 't'\n")).collect();
    format!("[workflow]\nname = \"w\"\n{top}\n[tasks.t]\n{body}\n{nodes}")
}

/// A script that appends how many of its kind run beside it to the file that counts.
const COUNT_TOGETHER: &str = "run = '''\nmkdir -p @DIR@/now; touch @DIR@/now/$RUNNER_NODE; sleep 0.05\n\
                              ls @DIR@/now | wc -l >> @COUNT@; rm @DIR@/now/$RUNNER_NODE\n'''";

/// The most that ran at once, as far as the scripts saw.
fn most_together(lab: &Lab) -> usize {
    lab.read("count").split_whitespace().map(|n| n.parse().unwrap()).max().unwrap()
}

#[test]
fn a_failed_attempt_is_followed_by_others_and_each_keeps_its_log() {
    let lab = Lab::new();
    let body = "cache = true\nretries = 3\nretry_delay = '10ms'\nretry_backoff = 3\n\
                run = 'echo attempt $RUNNER_ATTEMPT; test $RUNNER_ATTEMPT = 3'";
    lab.write("w.toml", &one(body));
    let done = lab.ok("w.toml", &[]);
    let failed = done.events("attempt_failed");
    let waits: Vec<_> = failed.iter().map(|event| event["retry_in_ms"].as_u64().unwrap()).collect();
    assert_eq!(waits, [10, 30]);
    assert_eq!(failed[0]["error"]["exit_code"], 1);
    let node = done.node("t");
    assert_eq!(
        (&node["attempts"], &node["status"], &node["cache"]),
        (&json!(3), &json!("succeeded"), &json!("populated"))
    );
    assert_eq!(
        done.events("node_started")
            .iter()
            .map(|event| event["attempt"].as_u64().unwrap())
            .collect::<Vec<_>>(),
        [1, 2, 3]
    );
    for (attempt, event) in done.events("node_started").iter().enumerate() {
        let log = std::fs::read_to_string(event["log"].as_str().unwrap()).unwrap();
        assert_eq!(log, format!("attempt {}\n", attempt + 1));
    }
    for (args, expected) in [(&["--attempt", "1"][..], "attempt 1\n"), (&[], "attempt 3\n")] {
        assert_eq!(lab.run(&[&["logs", "@last", "t"], args].concat()).expect_code(0).out, expected);
    }
}

#[test]
fn the_last_attempt_decides() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        &one("retries = 2\nretry_delay = '0s'\nrun = 'echo t >> @COUNT@; exit $RUNNER_ATTEMPT'"),
    );
    let node = lab.exec("w.toml", &[]).expect_code(1).node("t");
    assert_eq!((lab.ran(), &node["attempts"], &node["error"]["exit_code"]), (3, &json!(3), &json!(3)));
}

#[test]
fn kinds_of_failure() {
    let lab = Lab::new();
    for (body, kind, code, phrase) in [
        ("run = 'exit 7'", "exit", json!(7), "exit code 7"),
        ("run = 'kill -9 $$'", "signal", json!(null), "SIGKILL"),
        ("run = 'no-such-command'", "exit", json!(127), "not found\nthe task's PATH is /"),
        ("argv = ['no-such-command']", "spawn", json!(null), "no-such-command"),
        ("argv = ['/etc/passwd']", "spawn", json!(null), "/etc/passwd"),
        ("timeout = '100ms'\nrun = 'sleep 600'", "timeout", json!(null), "timeout of 100ms"),
        ("outputs = { a = 'int' }\nrun = 'true'", "output", json!(null), "output `a`"),
    ] {
        lab.write("w.toml", &one(body));
        let error = lab.exec("w.toml", &[]).expect_code(1).node("t")["error"].clone();
        assert_eq!((&error["kind"], &error["exit_code"]), (&json!(kind), &code), "{body}: {error}");
        assert!(error["message"].as_str().unwrap().contains(phrase), "{body}: {error}");
    }
}

#[test]
fn a_timeout_ends_the_whole_process_tree() {
    let lab = Lab::new();
    let body = "timeout = '300ms'\ngrace = '100ms'\nrun = '''\n\
                setsid sh -c 'trap \"\" TERM INT HUP; while :; do sleep 1; done' & \n\
                (setsid sh -c '(sleep 600 &) ; sleep 600' &)\nenv -i setsid sleep 600 &\ntrap '' TERM\nwhile :; do sleep 1; done\n'''";
    lab.write("w.toml", &one(&body.replace("'''\nsetsid", "'''\n: @DIR@; setsid")));
    let done = lab.exec("w.toml", &[]).expect_code(1);
    assert_eq!(done.node("t")["error"]["kind"], "timeout");
    assert!(lab.alive().is_empty());
}

#[test]
fn there_is_time_to_tidy_up_between_term_and_kill() {
    let lab = Lab::new();
    let body = "timeout = '300ms'\nrun = '''\ntrap 'echo tidied > @DIR@/tidied; exit 0' TERM\ntouch @DIR@/began\n\
                while :; do sleep 0.02; done\n'''";
    lab.write("w.toml", &one(body));
    assert_eq!(lab.exec("w.toml", &[]).expect_code(1).node("t")["error"]["kind"], "timeout");
    // On a busy machine the time may be over before the trap is set.
    assert!(!lab.path("began").exists() || lab.read("tidied") == "tidied\n");
}

#[test]
fn what_a_command_leaves_running_is_ended_and_told() {
    let lab = Lab::new();
    lab.write("w.toml", &one("run = ': @DIR@; setsid sleep 600 & (sleep 601 &)'"));
    let done = lab.ok("w.toml", &[]);
    assert!(done.warnings().contains("left 2 processes running"), "{}", done.warnings());
    assert!(lab.alive().is_empty());
}

#[test]
fn the_first_failure_stops_the_run_unless_it_is_told_to_go_on() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = 'w'\n[tasks.t]\nrun = 'echo $RUNNER_NODE >> @COUNT@; test $RUNNER_NODE != bad'\n\
         [nodes.bad]\ntask = 't'\n[nodes.below]\ntask = 't'\nneeds = ['bad']\n[nodes.lowest]\ntask = 't'\nneeds = ['below']\n\
         [nodes.side]\ntask = 't'\n[nodes.side_below]\ntask = 't'\nneeds = ['side']\n",
    );
    let fast = lab.exec("w.toml", &["-j", "1"]).expect_code(1);
    assert_eq!((lab.ran(), lab.ran_as("bad")), (1, 1));
    assert_eq!(
        fast.finished()["skipped"].as_u64().unwrap() + fast.finished()["cancelled"].as_u64().unwrap(),
        4
    );

    lab.write("count", "");
    let on = lab.exec("w.toml", &["-j", "1", "--keep-going"]).expect_code(1);
    assert_eq!((lab.ran(), lab.ran_as("side_below"), lab.ran_as("below")), (3, 1, 0));
    let finished = on.finished();
    assert_eq!(
        (&finished["executed"], &finished["failed"], &finished["skipped"]),
        (&json!(2), &json!(1), &json!(2))
    );
    assert_eq!(on.node("lowest")["status"], "skipped");
    let reason = on.node("below")["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("bad"), "{reason}");
}

#[test]
fn what_runs_beside_the_first_failure_is_not_cut_off_or_lost() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = 'w'\n[tasks.bad]\nrun = 'until test -e @DIR@/began; do sleep 0.01; done; false'\n\
         [tasks.long]\ncache = true\nrun = 'touch @DIR@/began; until test -e @DIR@/go; do sleep 0.01; done'\n\
         [nodes.bad]\n[nodes.long]\n",
    );
    let mut child = lab.command(&["exec", "w.toml", "--json", "-j", "2"]).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let failed =
        lines.find(|line| line.as_ref().unwrap().contains(r#""event":"node_finished""#)).unwrap().unwrap();
    assert!(failed.contains(r#""node":"bad""#), "{failed}");
    lab.write("go", "");
    let rest: String = lines.map(|line| line.unwrap() + "\n").collect();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(rest.contains(r#""cache":"populated""#), "{rest}");
}

#[test]
fn jobs_are_respected() {
    let lab = Lab::new();
    lab.write("w.toml", &many(12, "", &format!("resources = {{ cpus = 0 }}\n{COUNT_TOGETHER}")));
    for jobs in [1, 3] {
        lab.write("count", "");
        lab.ok("w.toml", &["-j", &jobs.to_string()]);
        assert_eq!(lab.ran(), 12);
        assert!(most_together(&lab) <= jobs, "{}", lab.read("count"));
    }
}

#[test]
fn resources_are_respected() {
    let lab = Lab::new();
    for (top, resources, flags, most) in [
        ("", "cpus = 2", &["-j", "5"][..], 2),
        ("[resources]\nlicence = 2", "licence = 1, cpus = 0", &["-j", "8"], 2),
        ("[resources]\nlicence = 8", "licence = 1, cpus = 0", &["-j", "8", "--resource", "licence=1"], 1),
        ("", "memory = '1GiB', cpus = 0", &["-j", "8", "--resource", "memory=3GiB"], 3),
    ] {
        lab.write("count", "");
        lab.write("w.toml", &many(8, top, &format!("resources = {{ {resources} }}\n{COUNT_TOGETHER}")));
        lab.ok("w.toml", flags);
        assert_eq!(lab.ran(), 8);
        assert!(most_together(&lab) <= most, "{resources}: {}", lab.read("count"));
    }
}

#[test]
fn what_can_never_be_given_is_refused_at_once() {
    let lab = Lab::new();
    for (resources, flags, phrases) in [
        ("licence = 1", &[][..], &["licence", "`t`"][..]),
        ("cpus = 3", &["-j", "2"], &["cpus"]),
        ("memory = '1PiB'", &[], &["memory"]),
        ("licence = 2", &["--resource", "licence=1"], &["licence"]),
    ] {
        lab.write("w.toml", &one(&format!("resources = {{ {resources} }}\nrun = 'echo t >> @COUNT@'")));
        let done = lab.run(&[&["exec", "w.toml"], flags].concat()).expect_code(2);
        for phrase in phrases {
            assert!(done.err.contains(phrase), "{resources}: {}", done.err);
        }
    }
    assert_eq!(lab.ran(), 0);
    for flag in ["licence", "licence=-1", "licence=x", "memory=lots", "=1"] {
        lab.run(&["exec", "w.toml", "--resource", flag]).expect_code(2);
    }
}

#[test]
fn sixteen_tasks_that_print_at_once_leave_plain_lines() {
    let lab = Lab::new();
    let body = "resources = { cpus = 0 }\nrun = '''\nfor i in $(seq 200); do echo \"$RUNNER_NODE line $i\"; \
                printf 'err\\r\\033[31m%s' x >&2; done; test $RUNNER_NODE != n3\n'''";
    lab.write("w.toml", &many(16, "", body));
    let done = lab.run(&["exec", "w.toml", "-j", "16", "-k"]).expect_code(1);
    assert_eq!(done.out, "");
    assert!(!done.err.contains(['\u{1b}', '\r']), "{}", done.err);
    let finished: BTreeSet<_> = done
        .err
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|words| words.len() > 2 && ["✓", "✗"].contains(&words[1]) && words[2].starts_with('n'))
        .map(|words| words[2].to_owned())
        .collect();
    assert_eq!(finished.len(), 16, "{}", done.err);
    let log = lab.run(&["logs", "@last", "n7"]).out;
    assert_eq!(log.matches("n7 line").count(), 200);
}

#[test]
fn a_closed_standard_output_does_no_harm() {
    let lab = Lab::new();
    lab.write("w.toml", &one("run = 'echo t >> @COUNT@'"));
    let runner = env!("CARGO_BIN_EXE_runner");
    let script = format!(
        "\"{runner}\" exec w.toml --json | true; \"{runner}\" runs | true; \"{runner}\" exec w.toml >&- 2>&-"
    );
    finish(
        std::process::Command::new("sh")
            .args(["-c", &script])
            .current_dir(lab.dir())
            .env("RUNNER_HOME", lab.home()),
    );
    assert_eq!(lab.ran(), 2);
    let runs = lab.run(&["runs", "--json"]).lines();
    assert!(runs.iter().all(|run| run["status"] == "succeeded"), "{runs:?}");
}
