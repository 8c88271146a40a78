//! `--lock` and `exclusive`: at most one run at a time, and what a second one says and does.

use rustix::process::Signal;

use crate::common::Lab;
use crate::common::live::{Live, until};

/// One task that goes on until the file `go` is there; `top` joins `[workflow]`.
fn lab(top: &str) -> Lab {
    let lab = Lab::new();
    let text = format!(
        "[workflow]\nname = 'wf'\n{top}\n[inputs]\nhold = {{ type = 'bool', default = false }}\n\
         fail = {{ type = 'bool', default = false }}\n\
         [tasks.t]\ninputs = {{ hold = 'bool', fail = 'bool' }}\noutputs = {{ done = 'string' }}\nrun = \'\'\'\n\
         echo t >> @COUNT@\ntouch @DIR@/began\n\
         while [ $hold = true ] && test -e @COUNT@ && ! test -e @DIR@/go; do sleep 0.01; done\n\
         [ $fail = false ]\necho yes > $OUT/done\n\'\'\'\n\
         [nodes.t]\ninputs = {{ hold = '{{{{ inputs.hold }}}}', fail = '{{{{ inputs.fail }}}}' }}\n\
         [outputs]\ndone = '{{{{ t.done }}}}'\n"
    );
    lab.write("w.toml", &text);
    lab
}

/// A run that holds its locks until the file `go` is there.
fn holder<'l>(lab: &'l Lab, args: &[&str]) -> Live<'l> {
    let _ = std::fs::remove_file(lab.path("began"));
    let run = Live::start(lab, "holder", &[&["-i", "hold=true"], args].concat());
    until("the holder's task begins", || lab.path("began").exists());
    run
}

fn runs(lab: &Lab) -> usize {
    lab.run(&["runs", "--json"]).expect_code(0).lines().len()
}

#[test]
fn a_second_run_is_skipped_in_one_line_that_names_the_first() {
    let lab = lab("");
    let first = holder(&lab, &["--lock", "nightly"]);
    let id = first.run();
    let second = lab.run(&["exec", "w.toml", "--lock", "nightly"]).expect_code(0);
    assert_eq!(second.out, "");
    let told = format!("○ nothing was run: run {id} holds the lock nightly\n");
    assert!(second.err.ends_with(&told) && second.err.lines().count() == 1, "{}", second.err);
    let json = lab.exec("w.toml", &["--lock=nightly=skip"]).expect_code(0);
    assert_eq!(json.lines().len(), 1, "{}", json.out);
    let event = &json.events("run_skipped")[0];
    assert_eq!(
        (&event["v"], &event["lock"], &event["holder"]),
        (&1.into(), &"nightly".into(), &(*id).into())
    );
    let quiet = lab.run(&["exec", "w.toml", "--lock", "nightly", "-q"]).expect_code(0);
    assert_eq!((&*quiet.out, &*quiet.err), ("", ""));
    assert_eq!(runs(&lab), 1, "a run that did not begin is in no history");

    // Other locks, none at all, and what runs nothing.
    lab.ok("w.toml", &["--lock", "nightly2"]);
    lab.ok("w.toml", &[]);
    lab.run(&["exec", "w.toml", "--lock", "nightly", "--dry-run"]).expect_code(0);
    lab.run(&["plan", "w.toml"]).expect_code(0);
    lab.write("go", "");
    assert_eq!(first.end().code, Some(0));
    lab.ok("w.toml", &["--lock", "nightly"]);
    assert_eq!(lab.ran(), 4);
}

#[test]
fn a_run_that_waits_says_for_whom_and_runs_afterwards() {
    let lab = lab("");
    let first = holder(&lab, &["--lock", "nightly"]);
    let second = Live::start(&lab, "second", &["--lock", "nightly=wait"]);
    until("the second one waits", || second.said().err.contains("waiting for"));
    let told = format!("⋯ waiting for run {}, which holds the lock nightly\n", first.run());
    assert!(second.said().err.ends_with(&told), "{}", second.said().err);
    assert_eq!(lab.ran(), 1);
    lab.write("go", "");
    let id = first.run();
    assert_eq!(first.end().code, Some(0));
    let second = second.end();
    assert_eq!(second.code, Some(0), "{second:?}");
    assert_eq!(second.events("run_waiting")[0]["holder"], *id);
    assert_eq!(lab.ran(), 2);
}

#[test]
fn ctrl_c_ends_the_wait() {
    let lab = lab("exclusive = 'wait'");
    let first = holder(&lab, &[]);
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let second = Live::start(&lab, &format!("{code}"), &[]);
        until("the second one waits", || !second.said().events("run_waiting").is_empty());
        second.signal(signal);
        assert_eq!(second.end().code, Some(code));
    }
    assert_eq!(runs(&lab), 1);
    lab.write("go", "");
    assert_eq!(first.end().code, Some(0));
}

#[test]
fn a_lock_ends_with_its_holder() {
    let lab = lab("exclusive = 'skip'");
    let first = holder(&lab, &["--lock", "x"]);
    let second = Live::start(&lab, "second", &["--lock", "x=wait", "--domain", "other"]);
    until("the second one waits", || !second.said().events("run_waiting").is_empty());
    first.signal(Signal::KILL);
    first.end();
    assert_eq!(second.end().code, Some(0));
    lab.ok("w.toml", &["--lock", "x"]).finished();
    assert_eq!(lab.alive(), Vec::<std::path::PathBuf>::new(), "what the killed run left was swept up");
}

#[test]
fn an_exclusive_workflow_excludes_itself_in_its_project_and_domain_only() {
    let lab = lab("exclusive = 'skip'");
    let first = holder(&lab, &[]);
    let second = lab.run(&["exec", "w.toml"]).expect_code(0);
    let told = format!("run {} holds the lock of workflow wf in default/development\n", first.run());
    assert!(second.out.is_empty() && second.err.ends_with(&told), "{second:?}");
    assert!(lab.exec("w.toml", &["--lock", "mine"]).expect_code(0).events("run_started").is_empty());
    lab.ok("w.toml", &["--domain", "production"]).finished();
    lab.ok("w.toml", &["--project", "p"]).finished();
    lab.write("other.toml", &lab.read("w.toml").replace("'wf'", "'other'"));
    lab.ok("other.toml", &[]).finished();
    lab.write("go", "");
    assert_eq!(first.end().code, Some(0));
    lab.ok("w.toml", &[]).finished();
}

#[test]
fn retry_and_rerun_keep_the_lock() {
    let lab = lab("");
    lab.exec("w.toml", &["-i", "fail=true", "--lock", "nightly=skip"]).expect_code(1);
    let first = holder(&lab, &["--lock", "nightly"]);
    for verb in ["retry", "rerun"] {
        let again = lab.run(&[verb, "@last-failed", "-i", "fail=false"]).expect_code(0);
        assert!(again.err.contains("holds the lock nightly"), "{verb}: {}", again.err);
        let elsewhere = lab.run(&[verb, "@last-failed", "-i", "fail=false", "--lock", "z"]).expect_code(0);
        assert_eq!(elsewhere.out, "done = \"yes\"\n");
    }
    lab.write("go", "");
    assert_eq!(first.end().code, Some(0));
}

#[test]
fn any_name_is_a_lock_but_the_empty_one() {
    let lab = lab("");
    let long = "x".repeat(100_000);
    for name in ["../../../etc/passwd", "a b\n\u{1b}[2J", "ü=wait=skip", "/", ".", &long] {
        lab.ok("w.toml", &["--lock", name]).finished();
    }
    for name in ["", "=wait", "a=later"] {
        let refused = lab.run(&["exec", "w.toml", "--lock", name]).expect_code(2);
        assert!(refused.err.contains("expected NAME, NAME=skip or NAME=wait"), "{}", refused.err);
    }
    let left: Vec<_> = std::fs::read_dir(lab.home().join("work.holders")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}
