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
fn mistakes_say_what_was_expected() {
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
    lab.write(
        "w.toml",
        "[workflow]\nname = 'w'\n[tasks.t]\nrun = 'kill -KILL $PPID; sleep 600'\n[nodes.t]\n",
    );
    lab.exec("w.toml", &[]);
    assert_eq!(listed(&lab, &["--status", "interrupted"]), ["w interrupted"]);
    assert_eq!(listed(&lab, &["--status", "running"]), [""; 0]);
}
