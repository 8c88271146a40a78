//! Links, FIFOs and foreign things where files and folders of the home belong: refused by name, nothing hangs, and what a link
//! leads to stays untouched.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::common::one_task::OneTask;
use crate::common::{Done, Lab};

/// Far more than any of these commands takes, and far less than for ever.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// A lab with a home in use.
fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("w.toml", &OneTask::copying().text());
    lab.write("data.txt", "one");
    lab.ok("w.toml", &[]);
    lab
}

/// Waits for the end; a command that hangs fails the test.
#[track_caller]
fn end(mut child: Child, what: &str) -> Done {
    let begin = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begin.elapsed() > MAX_WAIT {
            child.kill().unwrap();
            panic!("hangs: {what}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Done::new(child.wait_with_output().unwrap())
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Everything below a folder with its content.
fn tree(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(Result::unwrap);
    entries.map(|entry| (entry.path().to_owned(), fs::read(entry.path()).unwrap_or_default())).collect()
}

/// A folder of a victim, with what a sweep or a collection would remove.
fn victim(lab: &Lab) -> PathBuf {
    for name in ["abcdefgh/file", "1234-dead/0", "0000000000000007", "plain", "events.jsonl"] {
        lab.write(&format!("victim/{name}"), "the victim's");
    }
    lab.write(&format!("victim/{}", "ab".repeat(32)), "the victim's");
    lab.path("victim")
}

const FOLDERS: [&str; 10] = [
    "store",
    "store/blobs",
    "store/tmp",
    "store/damaged",
    "store/generations",
    "logs",
    "outputs",
    "scratch",
    "kept",
    "work.holders",
];

#[test]
fn a_folder_that_is_a_link_or_open_to_others_is_refused_by_name() {
    for name in FOLDERS {
        for is_link in [true, false] {
            let lab = lab();
            let (victim, folder) = (victim(&lab), lab.home().join(name));
            let before = tree(&victim);
            if is_link {
                let _ = fs::remove_dir_all(&folder);
                symlink(&victim, &folder).unwrap();
            } else {
                fs::create_dir_all(&folder).unwrap();
                fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
            }
            for args in [
                &["exec", "w.toml"][..],
                &["cache", "gc", "--max-size", "0B"],
                &["runs"],
                &["logs", "@last", "n"],
            ] {
                let done = lab.run(args).expect_code(4);
                assert!(done.err.contains(folder.to_str().unwrap()), "{name} {args:?}: {done:?}");
            }
            assert!(tree(&victim) == before, "{name}: the victim's files were touched");
        }
    }
}

/// Files at fixed places of the home, and verbs that open them.
const FILES: [(&str, &[&str]); 6] = [
    ("runner.db", &["exec", "w.toml"]),
    ("runner.db-wal", &["exec", "w.toml"]),
    ("runner.db.lock", &["exec", "w.toml"]),
    ("runner.db.unclaimed", &["cache", "gc"]),
    ("store/unswept", &["cache", "gc"]),
    ("evicted", &["cache", "evict", "--task", "wf.t"]),
];

#[test]
fn a_file_that_is_a_link_or_a_fifo_is_refused_by_name() {
    for (name, args) in FILES {
        for is_link in [true, false] {
            let lab = lab();
            let (target, path) = (lab.write("victim", "the victim's"), lab.home().join(name));
            let _ = fs::remove_file(&path);
            if is_link {
                symlink(&target, &path).unwrap();
            } else {
                fifo(&path);
            }
            let done = end(lab.command(args).spawn().unwrap(), name);
            assert_eq!(done.code, Some(4), "{name}: {done:?}");
            assert!(done.err.contains(path.to_str().unwrap()), "{name}: {done:?}");
            assert_eq!(fs::read_to_string(&target).unwrap(), "the victim's", "{name}");
        }
    }
}

/// Without these a run goes on: it says what it could not do.
#[test]
fn locks_of_work_and_space_set_aside_are_never_written_through_a_link() {
    for name in ["work.lock", "reserve"] {
        for is_link in [true, false] {
            let lab = lab();
            let (target, path) = (lab.write("victim", "the victim's"), lab.home().join(name));
            let _ = fs::remove_file(&path);
            if is_link {
                symlink(&target, &path).unwrap();
            } else {
                fifo(&path);
            }
            let done = end(lab.command(&["exec", "w.toml"]).spawn().unwrap(), name);
            assert_eq!(done.code, Some(0), "{name}: {done:?}");
            assert_eq!(fs::read_to_string(&target).unwrap(), "the victim's", "{name}");
        }
    }
}

#[test]
fn a_log_or_events_that_are_a_link_or_a_fifo_are_not_shown() {
    for is_link in [true, false] {
        let lab = lab();
        let target = lab.write("victim", "the victim's");
        let run = lab.ok("w.toml", &["--overwrite"]).finished()["run"].as_str().unwrap().to_owned();
        let folder = lab.home().join("logs").join(&run);
        for (name, args) in [
            ("n.1.log", &["logs", "@last", "n"][..]),
            ("n.1.log", &["logs", "@last", "n", "-f"]),
            ("events.jsonl", &["show", "@last"]),
            ("events.jsonl", &["cache", "gc"]),
        ] {
            let path = folder.join(name);
            let old = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            if is_link {
                symlink(&target, &path).unwrap();
            } else {
                fifo(&path);
            }
            let done = end(lab.command(args).spawn().unwrap(), name);
            assert!(!done.out.contains("the victim's"), "{args:?}: {done:?}");
            fs::remove_file(&path).unwrap();
            fs::write(&path, old).unwrap();
        }
        // The folder of a run as a link.
        let elsewhere = lab.path("elsewhere");
        fs::rename(&folder, &elsewhere).unwrap();
        symlink(&elsewhere, &folder).unwrap();
        let done = lab.run(&["logs", &run, "n"]);
        assert!(done.code != Some(0) && done.err.contains("symbolic link"), "{done:?}");
    }
}

/// A dead run's folder may be anything: a link goes, never what it leads to.
#[test]
fn links_in_scratch_and_temporaries_are_removed_and_not_followed() {
    let lab = lab();
    let victim = victim(&lab);
    let before = tree(&victim);
    for place in ["scratch/abcdefgh", "store/tmp/99-dead"] {
        fs::create_dir_all(lab.home().join(place).parent().unwrap()).unwrap();
        symlink(&victim, lab.home().join(place)).unwrap();
    }
    lab.ok("w.toml", &[]);
    assert!(fs::symlink_metadata(lab.home().join("scratch/abcdefgh")).is_err());
    assert!(tree(&victim) == before);
}

/// The blob of a directory, and one of a file in it, replaced by a FIFO.
#[test]
fn a_blob_that_is_a_fifo_is_a_miss_that_heals() {
    let lab = Lab::new();
    let text = OneTask {
        outputs: "g = \"dir\"",
        run: "mkdir -p \"$OUT/g\"; echo part > \"$OUT/g/part\"",
        returns: "g = \"{{ n.g }}\"",
        ..OneTask::default()
    };
    lab.write("w.toml", &text.text());
    lab.ok("w.toml", &[]);
    let blobs: Vec<PathBuf> =
        fs::read_dir(lab.home().join("store/blobs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(blobs.len(), 2);
    for blob in blobs {
        fs::remove_file(&blob).unwrap();
        fifo(&blob);
        let run = end(lab.command(&["exec", "w.toml", "--json"]).spawn().unwrap(), "exec");
        assert_eq!((run.code, run.cache("n").as_str()), (Some(0), "populated"), "{run:?}");
        assert!(fs::symlink_metadata(&blob).unwrap().is_file());
        end(lab.command(&["cache", "verify"]).spawn().unwrap(), "verify").expect_code(0);
    }
}

/// A FIFO that a user names is read; while nobody writes to it, a signal ends the program.
#[test]
fn inputs_from_a_fifo_are_refused_at_once() {
    let lab = Lab::new();
    lab.write("w.toml", &OneTask::default().text());
    fifo(&lab.path("in.json"));
    let refused = lab.run(&["exec", "w.toml", "--inputs", "in.json"]).expect_code(2);
    assert!(refused.err.contains("in.json is no regular file"), "{}", refused.err);
}
