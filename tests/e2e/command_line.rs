//! The flags of `exec` and what scripts read of it: selection, cache modes, both streams, events.

use crate::common::{Done, Lab, finish};
use serde_json::{Value, json};

/// A diamond: `a`, then `b1` and `b2`, then `c`; each node is counted by its name.
const DIAMOND: &str = "\
[workflow]
name = \"diamond\"
[inputs]
start = { type = \"int\", default = 1 }
[tasks.add]
cache = true
inputs = { n = \"int\" }
outputs = { sum = \"int\" }
run = 'echo $RUNNER_NODE >> @COUNT@; echo \"working on $n\"; echo $((n + 1)) > $OUT/sum'
[tasks.join]
cache = true
inputs = { l = \"list<int>\" }
outputs = { sum = \"int\" }
run = 'echo $RUNNER_NODE >> @COUNT@; echo 7 > $OUT/sum'
[nodes.a]
task = \"add\"
inputs = { n = \"{{ inputs.start }}\" }
[nodes.b1]
task = \"add\"
inputs = { n = \"{{ a.sum + 10 }}\" }
[nodes.b2]
task = \"add\"
inputs = { n = \"{{ a.sum + 20 }}\" }
[nodes.c]
task = \"join\"
inputs = { l = [\"{{ b1.sum }}\", \"{{ b2.sum }}\"] }
[outputs]
sum = \"{{ c.sum }}\"
first = \"{{ a.sum }}\"
";

fn diamond() -> Lab {
    let lab = Lab::new();
    lab.write("w.toml", DIAMOND);
    lab
}

/// The nodes that ran since the last call, in order of their names.
fn ran(lab: &Lab) -> String {
    let text = lab.read("count");
    lab.write("count", "");
    let mut names: Vec<_> = text.split_whitespace().collect();
    names.sort_unstable();
    names.join(" ")
}

/// What the cache had to do with each node, as `name=status`.
fn statuses(done: &Done) -> String {
    let of = |event: &Value| {
        format!("{}={}", event["node"].as_str().unwrap(), event["cache"].as_str().unwrap_or("-"))
    };
    let mut all: Vec<_> = done.events("node_finished").iter().map(of).collect();
    all.sort_unstable();
    all.join(" ")
}

#[test]
fn parts_of_a_workflow() {
    for (flags, expected) in [
        (&[][..], "a b1 b2 c"),
        (&["--until", "b1"], "a b1"),
        (&["--until", "b*"], "a b1 b2"),
        (&["--until", "b1,b2"], "a b1 b2"),
        (&["--until", "b1", "--until", "a"], "a b1"),
        (&["--skip", "c"], "a b1 b2"),
        (&["--skip", "b1"], "a b2"),
        (&["--skip", "b?"], "a"),
        (&["--until", "c", "--skip", "b2"], "a b1"),
    ] {
        let lab = diamond();
        lab.ok("w.toml", flags);
        assert_eq!(ran(&lab), expected, "{flags:?}");
    }
}

#[test]
fn parts_that_rest_on_the_cache() {
    let lab = diamond();
    for flags in [&["--only", "c"][..], &["--from", "b1"]] {
        let done = lab.exec("w.toml", flags).expect_code(1);
        assert_eq!(ran(&lab), "", "{}", done.err);
        assert!(done.err.contains("cache") || done.out.contains("cache"), "{}", done.err);
    }
    lab.ok("w.toml", &[]);
    ran(&lab);
    for (flags, expected) in [
        (&["--only", "b1", "--overwrite"][..], "b1"),
        (&["--only", "c", "--overwrite"], "c"),
        (&["--from", "b1", "--overwrite=b1,c"], "b1 c"),
        (&["--from", "b1", "--until", "b1", "--overwrite=b1"], "b1"),
    ] {
        lab.ok("w.toml", flags);
        assert_eq!(ran(&lab), expected, "{flags:?}");
    }
}

#[test]
fn selections_that_mean_nothing_are_refused() {
    let lab = diamond();
    for (flags, phrases) in [
        (&["--only", "b3"][..], &["--only b3", "no node of this workflow has that name"][..]),
        (&["--skip", "x*"], &["x*"]),
        (&["--overwrite=nope"], &["nope"]),
        (&["--skip", "*"], &["select no node"]),
        (&["--only", "["], &["["]),
    ] {
        let done = lab.run(&[&["exec", "w.toml"], flags].concat()).expect_code(2);
        for phrase in phrases {
            assert!(done.err.contains(phrase), "{flags:?}: {}", done.err);
        }
    }
    assert_eq!(ran(&lab), "");
}

#[test]
fn modes_of_the_cache_and_their_statuses() {
    let lab = diamond();
    let all = |status: &str| ["a", "b1", "b2", "c"].map(|node| format!("{node}={status}")).join(" ");
    for (flags, status, runs) in [
        (&["--cache", "ro"][..], "miss", true),
        (&["--cache", "off"], "skipped", true),
        (&["--cache", "wo"], "skipped", true),
        (&[], "hit", false),
        (&["--cache", "ro"], "hit", false),
        (&["--cache", "off"], "skipped", true),
        (&["--overwrite"], "skipped", true),
        (&["-i", "start=5"], "populated", true),
    ] {
        let done = lab.ok("w.toml", flags);
        assert_eq!(statuses(&done), all(status), "{flags:?}");
        assert_eq!(ran(&lab), if runs { "a b1 b2 c" } else { "" }, "{flags:?}");
    }
    let one = lab.ok("w.toml", &["--overwrite=b1"]);
    assert_eq!(statuses(&one), "a=hit b1=skipped b2=hit c=hit");
    lab.run(&["exec", "w.toml", "--cache", "sometimes"]).expect_code(2);
}

#[test]
fn projects_and_domains_share_nothing() {
    let lab = diamond();
    for (flags, hits) in [
        (&[][..], 0),
        (&["--project", "p"], 0),
        (&["--domain", "d"], 0),
        (&["--project", "p", "--domain", "d"], 0),
        (&["--project", "p"], 4),
        (&["--project", "default", "--domain", "development"], 4),
    ] {
        assert_eq!(lab.ok("w.toml", flags).finished()["cached"], hits, "{flags:?}");
    }
    lab.run(&["exec", "w.toml", "--project", ""]).expect_code(2);
}

#[test]
fn standard_output_holds_the_outputs_and_nothing_else() {
    let lab = diamond();
    for flags in [&[][..], &["-v"], &["--color", "always"], &["-k", "-j", "4"]] {
        let done = lab.run(&[&["exec", "w.toml"], flags].concat()).expect_code(0);
        assert_eq!(done.out, "sum = 7\nfirst = 2\n", "{flags:?}");
    }
    let quiet = lab.run(&["exec", "w.toml", "-q"]).expect_code(0);
    assert_eq!((&*quiet.out, &*quiet.err), ("", ""), "failures and nothing else");
    let json = lab.run(&["exec", "w.toml", "--json", "-v"]).expect_code(0);
    assert!(json.out.lines().all(|line| serde_json::from_str::<Value>(line).unwrap()["v"] == 1));
}

#[test]
fn what_people_are_told() {
    let lab = diamond();
    let first = lab.run(&["exec", "w.toml"]).expect_code(0);
    let lines: Vec<_> = first.err.lines().collect();
    assert_eq!(lines.len(), 5, "one line a node that ran, and a summary: {}", first.err);
    assert!(lines[4].contains("succeeded") && lines[4].contains("4 executed"), "{}", first.err);
    let warm = lab.run(&["exec", "w.toml"]).expect_code(0);
    assert_eq!(warm.err.lines().count(), 1, "{}", warm.err);
    assert!(warm.err.contains("4 cached"), "{}", warm.err);
    assert_eq!(lab.run(&["exec", "w.toml", "-q"]).expect_code(0).err, "");
    let verbose = lab.run(&["exec", "w.toml", "-v"]).expect_code(0).err;
    assert!(verbose.lines().count() >= 5 && verbose.contains("b2"), "{verbose}");
    lab.run(&["exec", "w.toml", "-q", "-v"]).expect_code(2);
}

#[test]
fn a_failure_is_told_with_its_last_lines_its_log_and_what_to_do() {
    let lab = Lab::new();
    let text = "[workflow]\nname = 'w'\n[tasks.t]\nrun = 'seq 100; echo last words >&2; exit 3'\n[nodes.t]\n";
    lab.write("w.toml", text);
    for flags in [&[][..], &["-q"]] {
        let done = lab.run(&[&["exec", "w.toml"], flags].concat()).expect_code(1);
        for phrase in ["t", "exit 3", "│ 100", "│ last words", "log:", ".log", "runner logs "] {
            assert!(done.err.contains(phrase), "{phrase:?} is missing in {}", done.err);
        }
        assert!(!done.err.contains("│ 50\n"), "{}", done.err);
    }
}

#[test]
fn colour_is_for_those_who_want_it() {
    let lab = diamond();
    lab.write("bad.toml", "[workflow]\n");
    let escapes = |flags: &[&str], no_color: Option<&str>| {
        [(&["plan", "w.toml"], 0), (&["check", "bad.toml"], 2)].map(|(verb, code)| {
            let mut command = lab.command(&[&verb[..], flags].concat());
            command.env("NO_COLOR", no_color.unwrap_or_default());
            let done = finish(&mut command).expect_code(code);
            done.err.contains('\u{1b}') || done.out.contains('\u{1b}')
        })
    };
    assert_eq!(escapes(&[], None), [false; 2], "it is no terminal");
    assert_eq!(escapes(&["--color", "never"], None), [false; 2]);
    assert_eq!(escapes(&["--color", "always"], None), [true; 2]);
    assert_eq!(escapes(&["--color", "always"], Some("1")), [true; 2], "a flag wins over the environment");
    assert_eq!(escapes(&["--color", "auto"], Some("1")), [false; 2]);
}

/// Every named field is there; more may join.
#[track_caller]
fn has(event: &Value, fields: &[&str]) {
    for field in fields {
        assert!(event.get(field).is_some(), "no {field} in {event}");
    }
    assert_eq!(event["v"], 1);
    if let Some(time) = event.get("time") {
        time.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    }
}

#[test]
fn events_have_the_shape_that_scripts_read() {
    let lab = diamond();
    let cold = lab.ok("w.toml", &[]);
    let warm = lab.ok("w.toml", &[]);
    let first = &cold.lines()[0];
    has(first, &["event", "time", "run", "workflow", "project", "domain", "nodes"]);
    assert_eq!(
        (&first["event"], &first["workflow"], &first["nodes"]),
        (&json!("run_started"), &json!("diamond"), &json!(4))
    );
    has(&cold.events("node_started")[0], &["time", "node", "attempt"]);
    let fields = [
        "time",
        "node",
        "index",
        "task",
        "status",
        "cache",
        "key",
        "attempts",
        "duration_ms",
        "saved_ms",
        "outputs",
        "source",
        "error",
    ];
    for (done, cache, attempts) in [(&cold, "populated", 1), (&warm, "hit", 0)] {
        let node = done.node("b1");
        has(&node, &fields);
        assert_eq!(
            (&node["status"], &node["cache"], &node["attempts"]),
            (&json!("succeeded"), &json!(cache), &json!(attempts))
        );
        assert_eq!(
            (&node["task"], &node["index"], &node["error"]),
            (&json!("diamond.add"), &json!(null), &json!(null))
        );
        assert_eq!(node["outputs"], json!({ "sum": 13 }));
        let key = node["key"].as_str().unwrap();
        assert!(key.len() == 64 && key.chars().all(|c| c.is_ascii_hexdigit() && !c.is_uppercase()), "{key}");
    }
    assert_eq!(cold.node("b1")["source"], json!(null));
    let source = &warm.node("b1")["source"];
    assert_eq!((&source["run"], &source["node"]), (&first["run"], &json!("b1")));
    source["time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let finished = warm.finished();
    has(
        &finished,
        &[
            "time",
            "run",
            "status",
            "duration_ms",
            "nodes",
            "executed",
            "cached",
            "failed",
            "skipped",
            "saved_ms",
            "outputs",
        ],
    );
    assert_eq!((&finished["cached"], &finished["executed"]), (&json!(4), &json!(0)));
    assert_eq!(finished["outputs"], json!({ "sum": 7, "first": 2 }));
    assert!(warm.events("node_started").is_empty());
}

#[test]
fn a_failure_has_its_shape_too() {
    let lab = Lab::new();
    lab.write("w.toml", "[workflow]\nname = 'w'\n[tasks.t]\nrun = 'echo bye; exit 3'\n[nodes.t]\n[nodes.u]\ntask = 't'\nneeds = ['t']\n");
    let done = lab.exec("w.toml", &["-k"]).expect_code(1);
    let error = &done.node("t")["error"];
    assert_eq!(
        (&error["kind"], &error["exit_code"], &error["tail"]),
        (&json!("exit"), &json!(3), &json!(["bye"]))
    );
    assert!(error["message"].is_string());
    assert_eq!(std::fs::read_to_string(error["log"].as_str().unwrap()).unwrap(), "bye\n");
    let skipped = done.node("u");
    assert_eq!(
        (&skipped["status"], &skipped["cache"], &skipped["attempts"]),
        (&json!("skipped"), &json!(null), &json!(0))
    );
    assert_eq!(done.finished()["status"], "failed");
}

#[test]
fn the_home_folder_is_where_it_is_said_to_be() {
    let lab = diamond();
    lab.run(&["--home", "flag", "exec", "w.toml"]).expect_code(0);
    lab.run(&["exec", "w.toml", "--home", "flag"]).expect_code(0);
    assert!(lab.path("flag").exists() && !lab.home().exists());
    let data = lab.path("data");
    finish(lab.command(&["exec", "w.toml"]).env_remove("RUNNER_HOME").env("XDG_DATA_HOME", &data))
        .expect_code(0);
    assert!(data.join("runner").exists());
    // An empty variable says nothing.
    finish(lab.command(&["exec", "w.toml", "--home", "named"]).env("RUNNER_HOME", "")).expect_code(0);
    assert!(lab.path("named").exists());
    let home = lab.path("me");
    finish(
        lab.command(&["exec", "w.toml"])
            .env_remove("RUNNER_HOME")
            .env_remove("XDG_DATA_HOME")
            .env("HOME", &home),
    )
    .expect_code(0);
    assert!(home.join(".local/share/runner").exists());
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(lab.path("flag")).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_home_that_cannot_be_used_is_code_4() {
    let lab = diamond();
    lab.write("file", "");
    for home in ["file", "/proc/nowhere"] {
        let done = lab.run(&["--home", home, "exec", "w.toml"]).expect_code(4);
        assert!(done.err.starts_with("error: ") && done.err.contains(home), "{}", done.err);
    }
}

#[test]
fn bad_usage_is_code_2_and_help_is_not() {
    let lab = diamond();
    for args in [
        &[][..],
        &["exec"],
        &["exec", "w.toml", "--nonsense"],
        &["frobnicate"],
        &["exec", "w.toml", "-j", "0"],
        &["--color", "maybe", "runs"],
    ] {
        assert_eq!(lab.run(args).expect_code(2).out, "", "{args:?}");
    }
    for args in [&["--help"][..], &["--version"], &["exec", "--help"], &["completions", "bash"], &["schema"]]
    {
        let done = lab.run(args).expect_code(0);
        assert!(!done.out.is_empty() && done.err.is_empty(), "{args:?}");
    }
    assert!(!lab.home().exists());
}

#[test]
fn verbs_of_other_tools_lead_to_ours() {
    let lab = Lab::new();
    for (args, said) in [
        (&["run", "x.toml"][..], "did you mean `runner exec x.toml`?"),
        (&["start"], "did you mean `runner exec workflow.toml`?"),
        (&["build", "-j", "4"], "did you mean `runner exec workflow.toml`?"),
        (&["x.toml"], "did you mean `runner exec x.toml`?"),
        (&["--home", "h", "x.toml", "-k"], "did you mean `runner exec x.toml`?"),
        (&["list"], "`runner runs` lists runs"),
        (&["ls", "x.toml"], "`runner graph x.toml`"),
        (&["status"], "did you mean `runner show @last`?"),
        (&["version"], "did you mean `runner --version`?"),
        (&["exce", "x.toml"], "exec"),
        (&["cache", "list"], "unrecognized subcommand"),
    ] {
        let done = lab.run(args).expect_code(2);
        assert!(done.err.contains(said) && done.out.is_empty(), "{args:?} {}", done.err);
    }
    lab.run(&["help"]).expect_code(0);
}
