//! A database that is damaged, gone or cannot be read costs nothing else: what earlier runs left stays, and comes back.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use crate::common::one_task::OneTask;
use crate::common::{Done, Lab, finish};

/// A lab whose workflow copies a file; three runs with three contents.
fn after_three_runs() -> (Lab, Vec<Done>) {
    let lab = Lab::new();
    lab.write("w.toml", &OneTask::copying().text());
    let runs = ["one", "two", "three"].map(|text| {
        lab.write("data.txt", text);
        lab.ok("w.toml", &[])
    });
    (lab, runs.into())
}

/// Every file below the folders that belong to earlier runs.
fn kept(lab: &Lab) -> BTreeSet<String> {
    let below = ["logs", "outputs", "store/blobs"].map(|folder| lab.home().join(folder));
    let files = below.iter().flat_map(|folder| walkdir::WalkDir::new(folder).into_iter().flatten());
    files
        .filter(|entry| !entry.file_type().is_dir())
        .map(|entry| entry.path().display().to_string())
        .collect()
}

fn damage(lab: &Lab) {
    let database = lab.home().join("runner.db");
    let db = rusqlite::Connection::open(&database).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(db);
    fs::File::options().write(true).open(&database).unwrap().write_all_at(&[0xA5; 100], 0).unwrap();
}

fn run_id(run: &Done) -> String {
    run.finished()["run"].as_str().unwrap().to_owned()
}

#[track_caller]
fn expect_everything(lab: &Lab, before: &BTreeSet<String>, runs: &[Done]) {
    let now = kept(lab);
    assert!(before.is_subset(&now), "gone: {:?}", before.difference(&now).collect::<Vec<_>>());
    for (run, text) in runs.iter().zip(["one", "two", "three"]) {
        assert_eq!(fs::read_to_string(run.outputs()["g"]["path"].as_str().unwrap()).unwrap(), text);
        let shown = lab.run(&["show", &run_id(run), "--json"]).expect_code(0);
        assert!(shown.out.contains("succeeded"), "{shown:?}");
        lab.run(&["logs", &run_id(run), "n"]).expect_code(0);
    }
    assert_eq!(lab.run(&["runs", "--json"]).expect_code(0).lines().len(), runs.len() + 1);
}

#[test]
fn nothing_of_earlier_runs_is_lost_with_a_damaged_database() {
    let (lab, runs) = after_three_runs();
    let before = kept(&lab);
    damage(&lab);
    let after = lab.ok("w.toml", &[]);
    assert!(after.warnings().contains("set aside") && after.warnings().contains("3 runs"), "{after:?}");
    assert_eq!((after.cache("n").as_str(), lab.ran()), ("hit", 3));
    expect_everything(&lab, &before, &runs);
    for (text, count) in [("one", 3), ("two", 3), ("four", 4)] {
        lab.write("data.txt", text);
        // What was asked for is known again as well.
        lab.run(&["rerun", &run_id(&runs[0]), "--json"]).expect_code(0);
        assert_eq!(lab.ran(), count, "{text}");
    }
    lab.run(&["cache", "verify"]).expect_code(0);
}

#[test]
fn nothing_of_earlier_runs_is_lost_with_a_database_that_is_gone_or_empty() {
    for empty in [false, true] {
        let (lab, runs) = after_three_runs();
        let before = kept(&lab);
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(lab.home().join(format!("runner.db{suffix}")));
        }
        if empty {
            fs::write(lab.home().join("runner.db"), "").unwrap();
        }
        let after = lab.ok("w.toml", &[]);
        assert!(after.warnings().contains("lost"), "{after:?}");
        assert_eq!(after.cache("n"), "hit");
        expect_everything(&lab, &before, &runs);
    }
}

/// What neither events nor rows name stays as well, whatever asks for space, until a person decides.
#[test]
fn what_cannot_be_taken_up_again_is_never_collected() {
    let (lab, runs) = after_three_runs();
    for run in &runs {
        fs::write(lab.home().join("logs").join(run_id(run)).join("events.jsonl"), "garbage\n").unwrap();
    }
    let before = kept(&lab);
    damage(&lab);
    lab.write("data.txt", "four");
    let mut capped = lab.command(&["exec", "w.toml", "--json"]);
    let after = finish(capped.env("RUNNER_CACHE_MAX_SIZE", "1B")).expect_code(0);
    assert!(after.warnings().contains("3 runs cannot be read"), "{after:?}");
    lab.ok("w.toml", &[]);
    let told = lab.run(&["cache", "gc", "--max-size", "0B", "--keep-runs", "0"]).expect_code(0);
    assert!(told.out.contains("runner.db.unclaimed"), "{told:?}");
    let now = kept(&lab);
    assert!(before.is_subset(&now), "gone: {:?}", before.difference(&now).collect::<Vec<_>>());
    fs::remove_file(lab.home().join("runner.db.unclaimed")).unwrap();
    lab.run(&["cache", "gc", "--max-size", "0B", "--keep-runs", "0"]).expect_code(0);
    assert_eq!(kept(&lab), BTreeSet::new(), "a person decided");
}

#[test]
fn what_was_evicted_does_not_come_back() {
    let (lab, runs) = after_three_runs();
    lab.run(&["cache", "evict", &runs[2].key("n")]).expect_code(0);
    damage(&lab);
    let after = lab.ok("w.toml", &[]);
    assert_eq!((after.cache("n").as_str(), lab.ran()), ("populated", 4));
}

/// A published file is still known as one, so that the next result may replace it.
#[test]
fn published_files_are_replaced_after_the_database_was_lost() {
    let lab = Lab::new();
    let text =
        OneTask { returns: "g = { value = \"{{ n.g }}\", path = \"out/g.txt\" }", ..OneTask::copying() };
    lab.write("w.toml", &text.text());
    lab.write("data.txt", "one");
    lab.ok("w.toml", &[]);
    damage(&lab);
    lab.write("data.txt", "two");
    lab.ok("w.toml", &[]);
    assert_eq!(lab.read("out/g.txt"), "two");
}

/// `runner exec w.toml` with one error of the disk at the Nth call of a kind; `None` without the tool that injects it.
fn with_error(lab: &Lab, call: &str, error: &str, when: usize) -> Option<Done> {
    if Command::new("strace").arg("-V").output().is_err() {
        eprintln!("skipped: strace is not installed");
        return None;
    }
    let runner = lab.command(&[]);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-b", "execve", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    strace.args(["-e", &format!("inject={call}:error={error}:when={when}")]);
    strace.arg(runner.get_program()).args(["exec", "w.toml", "--json"]);
    strace.current_dir(lab.dir()).env("RUNNER_HOME", lab.home());
    Some(finish(&mut strace))
}

/// Whether the program did not even begin.
fn loader_failed(run: &Done) -> bool {
    run.code == Some(127) && run.err.contains("shared libraries")
}

/// At each read of a run: it ends well and what it names is there, or it says that the home cannot be used.
#[test]
fn one_read_error_never_costs_more_than_a_run() {
    let (lab, runs) = after_three_runs();
    let mut failed = 0;
    for when in 1..=48 {
        let before = kept(&lab);
        let Some(run) = with_error(&lab, "pread64", "EIO", when) else { return };
        if loader_failed(&run) {
            continue;
        }
        match run.code {
            Some(0) => {
                let path = run.outputs()["g"]["path"].as_str().unwrap().to_owned();
                assert_eq!(fs::read_to_string(&path).ok().as_deref(), Some("three"), "read {when}: {run:?}");
            }
            code => {
                assert!(code == Some(4) && !run.err.is_empty(), "read {when}: {run:?}");
                failed += 1;
            }
        }
        let now = kept(&lab);
        assert!(before.is_subset(&now), "read {when}: {:?}", before.difference(&now).collect::<Vec<_>>());
        assert!(!set_aside(lab.home().as_path()), "read {when}: an error of the disk is no damage: {run:?}");
    }
    assert!(failed < 10, "a single error is tried again: {failed} runs failed");
    for run in &runs {
        lab.run(&["show", &run_id(run)]).expect_code(0);
    }
}

fn set_aside(home: &Path) -> bool {
    let mut names = fs::read_dir(home).unwrap().map(|entry| entry.unwrap().file_name());
    names.any(|name| name.to_string_lossy().contains("damaged-"))
}

/// The same where the home is new.
#[test]
fn one_read_error_in_a_new_home_is_survived_or_told() {
    for when in (1..=40).step_by(3).chain([24]) {
        let lab = Lab::new();
        lab.write("w.toml", &OneTask::copying().text());
        lab.write("data.txt", "one");
        let Some(run) = with_error(&lab, "pread64", "EIO", when) else { return };
        if loader_failed(&run) {
            continue;
        }
        if run.code == Some(0) {
            let path = run.outputs()["g"]["path"].as_str().unwrap().to_owned();
            assert_eq!(fs::read_to_string(path).unwrap(), "one", "read {when}: {run:?}");
        } else {
            assert!(run.code == Some(4) && !run.err.is_empty(), "read {when}: {run:?}");
        }
        assert_eq!(
            fs::read_to_string(lab.ok("w.toml", &[]).outputs()["g"]["path"].as_str().unwrap()).unwrap(),
            "one"
        );
    }
}
