//! Completion: in real shells, and what is offered where, without a trace in the home.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;

use crate::common::{Done, Lab, finish};

/// Types into a real shell.
const DRIVE: &str = include_str!("completion_drive.py");

const WORKFLOW: &str = "\
[workflow]
name = 'wf'
project = 'shop'
[inputs]
mode = { type = 'string', one_of = ['fast', 'full'], description = 'how much' }
deep = { type = 'bool', default = false }
data = { type = 'file', default = 'my data.csv' }
[tasks.clean]
cache = true
inputs = { f = 'file' }
outputs = { n = { type = 'int', from = 'stdout' } }
run = 'wc -l < \"$f\"'
[nodes.clean]
inputs = { f = '{{ inputs.data }}' }
[nodes.train]
task = 'clean'
inputs = { f = '{{ inputs.data }}' }
";

fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("flow.toml", WORKFLOW);
    lab.write("my data.csv", "a\n");
    lab.ok("flow.toml", &["-i", "mode=fast"]);
    lab
}

/// What is offered for the last of these words, as zsh is told.
fn offered(lab: &Lab, words: &[&str]) -> Vec<String> {
    let done = asked(lab, "zsh", words);
    assert_eq!(done.err, "");
    done.out.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

fn asked(lab: &Lab, shell: &str, words: &[&str]) -> Done {
    let mut command = lab.command(&[&["--", "runner"], words].concat());
    finish(command.env("_RUNNER_COMPLETE", shell)).expect_code(0)
}

#[test]
fn each_kind_of_name_is_offered_where_it_can_stand() {
    let lab = lab();
    let run = lab.run(&["runs", "--json"]).lines()[0]["run"].as_str().unwrap().to_owned();
    for (words, expected) in [
        (&["show", ""][..], &["@last", &*run][..]),
        (&["show", "@last-"], &[]),
        (&["rerun", &run[..4]], &[&*run]),
        (&["show", "@last", "t"], &["train"]),
        (&["logs", &run, ""], &["clean", "train"]),
        (&["exec", "flow.toml", "--until", "clean,t"], &["clean,train"]),
        (&["exec", "--until", "t", "flow.toml"], &["flow.toml"]),
        (&["why", "flow.toml", ""], &["clean", "train"]),
        (&["exec", "flow.toml", "-i", ""], &["mode=", "deep=", "data="]),
        (&["exec", "flow.toml", "-i", "mode=f"], &["mode=fast", "mode=full"]),
        (&["exec", "flow.toml", "--input=deep=t"], &["--input=deep=true"]),
        (&["exec", "flow.toml", "-i", "data=my"], &["data=my data.csv"]),
        (&["retry", "@last", "-i", "de"], &["deep="]),
        (&["cache", "evict", "--task", "w"], &["wf.clean"]),
        (&["runs", "--workflow", ""], &["wf"]),
        (&["runs", "--project", ""], &["shop"]),
        (&["exec", "flow.toml", "--domain", "d"], &["development"]),
        (&["help", "temp"], &["templates"]),
        (&["help", "retr"], &["retry"]),
        (&["exec", "fl"], &["flow.toml"]),
        (&["exec", "flow.toml", "--lo"], &["--lock", "--logs"]),
        (&["ex"], &["exec", "export"]),
    ] {
        assert_eq!(offered(&lab, words), expected, "{words:?}");
    }
    let keys = offered(&lab, &["cache", "show", ""]);
    assert_eq!(keys.len(), 1);
    lab.run(&["cache", "show", &keys[0]]).expect_code(0);
    let described = asked(&lab, "fish", &["exec", "flow.toml", "-i", "m"]).out;
    assert_eq!(described, "mode=\tstring: how much\n");
}

/// Every file of the home with its time and size.
fn home(lab: &Lab) -> BTreeMap<PathBuf, (i64, u64)> {
    let files = walkdir::WalkDir::new(lab.home()).into_iter().flatten();
    let look = |entry: walkdir::DirEntry| {
        let found = entry.metadata().unwrap();
        // The index that SQLite's readers share says who reads.
        let nanoseconds = if entry.path().ends_with("runner.db-shm") { 0 } else { found.mtime_nsec() };
        (entry.into_path(), (nanoseconds, found.len()))
    };
    files.map(look).collect()
}

#[test]
fn nothing_is_written_migrated_or_said_whatever_is_wrong() {
    let lab = lab();
    let everything = |lab: &Lab| {
        for words in [
            &["show", ""][..],
            &["cache", "show", ""],
            &["exec", "flow.toml", "-i", ""],
            &["show", "@last", ""],
        ] {
            for shell in ["bash", "zsh", "fish", "elvish", "powershell", "tcsh"] {
                assert_eq!(asked(lab, shell, words).err, "", "{shell} {words:?}");
            }
        }
    };
    let before = home(&lab);
    everything(&lab);
    assert_eq!(home(&lab), before);

    // Without its companions a reader would make them.
    let db = lab.home().join("runner.db");
    let open = rusqlite::Connection::open(&db).unwrap();
    open.execute_batch(
        "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE; PRAGMA journal_mode = WAL",
    )
    .unwrap();
    drop(open);
    let before = home(&lab);
    assert!(!before.keys().any(|path| path.ends_with("runner.db-wal")), "{before:?}");
    assert_eq!(offered(&lab, &["show", "@la"]), ["@last"]);
    everything(&lab);
    assert_eq!(home(&lab), before);

    let open = rusqlite::Connection::open(&db).unwrap();
    open.execute_batch(
        "PRAGMA user_version = 1; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE",
    )
    .unwrap();
    drop(open);
    let before = home(&lab);
    assert_eq!(offered(&lab, &["show", "@la"]), [""; 0]);
    assert_eq!(home(&lab), before, "an older database stays as it is");

    std::fs::write(&db, "no database").unwrap();
    lab.write("flow.toml", "[workflow\n");
    everything(&lab);
    std::fs::remove_dir_all(lab.home()).unwrap();
    everything(&lab);
    assert!(!lab.home().exists());
}

#[test]
fn real_shells_complete() {
    let lab = lab();
    lab.write("drive.py", DRIVE);
    std::fs::create_dir(lab.path("bin")).unwrap();
    symlink(env!("CARGO_BIN_EXE_runner"), lab.path("bin/runner")).unwrap();
    let path = format!("{}:{}", lab.path("bin").display(), std::env::var("PATH").unwrap());
    std::thread::scope(|scope| {
        for shell in ["bash", "zsh", "fish"] {
            let (lab, path) = (&lab, &path);
            scope.spawn(move || completes(lab, path, shell));
        }
    });
}

/// Types lines and holds what the shell makes of them against what is expected.
fn completes(lab: &Lab, path: &str, shell: &str) {
    let there = std::process::Command::new(shell).arg("-c").arg("true").output().is_ok();
    if !there {
        // CI installs them all.
        assert!(std::env::var_os("CI_RUN").is_none(), "{shell} is not installed");
        println!("skipped: {shell} is not installed");
        return;
    }
    let script = lab.run(&["completions", shell]).expect_code(0).out;
    lab.write(&format!("{shell}.script"), &script);
    let typed = [
        ("runner show @las", "runner show @last"),
        ("runner exec flow.toml -i mod", "runner exec flow.toml -i mode="),
        ("runner exec flow.toml -i mode=fa", "runner exec flow.toml -i mode=fast"),
        ("runner exec flow.toml --until=clean,tr", "runner exec flow.toml --until=clean,train"),
        ("runner exec flow.toml -i data=my", "runner exec flow.toml -i data=my\\ data.csv"),
        ("true; runner cache evict --task wf.", "true; runner cache evict --task wf.clean"),
        ("./bin/runner help templ", "./bin/runner help templates"),
    ];
    let mut drive = std::process::Command::new("python3");
    drive
        .args(["drive.py", shell, &format!("{shell}.script")])
        .args(typed.map(|(line, _)| line))
        .current_dir(lab.dir());
    drive.env("PATH", path).env("RUNNER_HOME", lab.home()).env("HOME", lab.dir());
    let done = finish(&mut drive).expect_code(0);
    for (shown, (line, expected)) in done.out.lines().zip(typed) {
        assert_eq!(shown.trim_matches(['[', ']']).trim_end(), expected, "{shell}: {line}");
    }
    assert_eq!(done.out.lines().count(), typed.len(), "{}", done.err);
}
