//! `runner runs`: which runs are listed, and what is said when there are none.

use crate::common::Lab;

/// A home with runs of two workflows, of which one fails.
fn lab() -> Lab {
    let lab = Lab::new();
    for (name, command) in [("well", "true"), ("ill", "exit 3")] {
        lab.write(
            &format!("{name}.toml"),
            &format!("[workflow]\nname = '{name}'\n[tasks.t]\nrun = '{command}'\n[nodes.t]\n"),
        );
    }
    lab.exec("well.toml", &[]).expect_code(0);
    lab.exec("ill.toml", &["--project", "lab"]).expect_code(1);
    lab.exec("well.toml", &["--project", "lab", "--domain", "production"]).expect_code(0);
    lab
}

/// `workflow status` of each run that is listed.
fn listed(lab: &Lab, args: &[&str]) -> Vec<String> {
    let done = lab.run(&[&["runs", "--json"], args].concat()).expect_code(0);
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    done.lines().iter().map(|run| format!("{} {}", text(&run["workflow"]), text(&run["status"]))).collect()
}

#[test]
fn filters_compose() {
    let lab = lab();
    let (well, ill) = ("well succeeded", "ill failed");
    for (args, expected) in [
        (&[][..], &[well, ill, well][..]),
        (&["--limit", "2"], &[well, ill]),
        (&["--workflow", "well"], &[well, well]),
        (&["--workflow", "well", "--project", "lab"], &[well]),
        (&["--project", "lab"], &[well, ill]),
        (&["--domain", "production"], &[well]),
        (&["--failed"], &[ill]),
        (&["--status", "failed,interrupted"], &[ill]),
        (&["--status", "succeeded", "--domain", "development"], &[well]),
        (&["--status", "running,cancelled"], &[]),
        (&["--since", "1h"], &[well, ill, well]),
        (&["--until", "1h"], &[]),
        (&["--since", "2001-01-01", "--until", "2001-12-31"], &[]),
        (&["--until", "2999-01-01", "--failed"], &[ill]),
        (&["--workflow", "wel"], &[]),
    ] {
        assert_eq!(listed(&lab, args), expected, "{args:?}");
    }
}

#[test]
fn people_are_told_what_was_asked_for() {
    let lab = lab();
    let text = |args: &[&str]| lab.run(&[&["runs"], args].concat()).expect_code(0);
    assert!(text(&[]).out.starts_with("RUN"), "{}", text(&[]).out);
    let failed = text(&["--failed", "--since", "2d"]).out;
    assert!(failed.starts_with("failed, since 2d; all in lab/development\nRUN "), "{failed}");
    assert_eq!(failed.lines().count(), 3, "{failed}");
    let none = text(&["--workflow", "wel", "--status", "failed,running"]);
    assert_eq!(none.err, "no runs match: workflow wel, failed or running; did you mean `well`?\n");
    assert_eq!(none.out, "");
    assert!(Lab::new().run(&["runs", "--failed"]).expect_code(0).err.contains("runner exec"));
}

#[test]
fn errors_say_what_was_expected() {
    let lab = lab();
    for (args, expected) in [
        (&["--status", "faild"][..], "'failed'"),
        (&["--since", "soon"], "`soon` is no time: expected a time span such as 2d"),
        (&["--until", "2026-02-30"], "--until: `2026-02-30` is no time"),
        (&["--failed", "--status", "failed"], "cannot be used with"),
    ] {
        let done = lab.run(&[&["runs"], args].concat()).expect_code(2);
        assert!(done.err.contains(expected), "{}", done.err);
    }
}

#[test]
fn a_killed_run_is_interrupted_before_anyone_marks_it() {
    let lab = Lab::new();
    lab.write("w.toml", "[workflow]\nname = 'w'\n[tasks.t]\nrun = 'kill -KILL $PPID; sleep 5'\n[nodes.t]\n");
    lab.exec("w.toml", &[]);
    assert_eq!(listed(&lab, &["--status", "interrupted"]), ["w interrupted"]);
    assert_eq!(listed(&lab, &["--status", "running"]), [""; 0]);
}

/// Rows of comma-separated values, read by another program.
fn csv(lab: &Lab, args: &[&str]) -> Vec<serde_json::Value> {
    let done = lab.run(args).expect_code(0);
    lab.write("table.csv", &done.out);
    let read = "import csv, json; print(json.dumps(list(csv.DictReader(open('table.csv', newline='')))))";
    let output =
        std::process::Command::new("python3").args(["-c", read]).current_dir(lab.dir()).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn tables_are_read_by_other_programs() {
    let lab = lab();
    let runs = csv(&lab, &["runs", "--csv"]);
    let listed: Vec<_> = runs.iter().map(|run| (&run["workflow"], &run["status"], &run["failed"])).collect();
    let [ok, bad] = ["0", "1"].map(serde_json::Value::from);
    let [well, ill, succeeded, failed] = ["well", "ill", "succeeded", "failed"].map(serde_json::Value::from);
    assert_eq!(listed, [(&well, &succeeded, &ok), (&ill, &failed, &bad), (&well, &succeeded, &ok)]);
    let json = lab.run(&["runs", "--json"]).lines();
    assert_eq!(runs[0]["started"], json[0]["started"]);

    let text = "[workflow]\nname = 'w'\n[tasks.t]\ninputs = { n = 'int' }\noutputs = { 'o' = 'int' }\n\
                run = '''\nprintf 'a, \"b\"' > \"$OUT/o\"\n'''\n[nodes.each]\ntask = 't'\nforeach = ['n']\n\
                inputs = { n = [1, 2] }\n";
    lab.write("w.toml", text);
    lab.exec("w.toml", &["-k"]).expect_code(1);
    let nodes = csv(&lab, &["show", "@last", "--csv"]);
    let ends: Vec<_> =
        nodes.iter().map(|node| (node["index"].as_str().unwrap(), node["kind"].as_str().unwrap())).collect();
    assert_eq!((ends.len(), ends.last()), (3, Some(&("", "elements"))));
    assert!(nodes[0]["message"].as_str().unwrap().contains("a, \\\"b\\\""), "{}", nodes[0]["message"]);
    assert_eq!(nodes[0]["error_kind"], "output");
    lab.run(&["show", "@last", "each", "--csv"]).expect_code(2);
    lab.run(&["runs", "--csv", "--json"]).expect_code(2);
}

#[test]
fn a_run_takes_equally_long_wherever_it_is_shown() {
    // Seen to fail: the history counted the opening and closing of files around the run.
    let lab = Lab::new();
    lab.write("w.toml", "[workflow]\nname = 'w'\n[tasks.t]\nrun = 'true'\n[nodes.t]\n");
    for _ in 0..5 {
        let told = lab.ok("w.toml", &[]).finished()["duration_ms"].clone();
        let listed = lab.run(&["runs", "--json", "--limit", "1"]).expect_code(0).lines().remove(0);
        assert_eq!(listed["duration_ms"], told);
    }
}
