//! The database and its companions are damaged: no wrong result comes of it, and no earlier run is lost when a damaged one
//! is set aside.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{count, ends};
use crate::common::trial::Trial;

const FILES: [&str; 3] = ["runner.db", "runner.db-wal", "runner.db-shm"];

/// The ids of all runs that the history lists.
fn runs(trial: &Trial) -> BTreeSet<String> {
    let listed = trial.lab.run(&["runs", "--json", "--limit", "0"]).expect_code(0);
    listed.lines().iter().map(|run| run["run"].as_str().unwrap().to_owned()).collect()
}

fn set_aside(trial: &Trial) -> usize {
    let names = fs::read_dir(trial.lab.home()).unwrap().flatten().map(|entry| entry.file_name());
    names
        .filter(|name| {
            name.to_string_lossy().ends_with(".damaged") || name.to_string_lossy().contains("damaged-")
        })
        .count()
}

/// Damages a file in the way of this number.
fn harm(path: &Path, i: usize) {
    let Ok(mut bytes) = fs::read(path) else { return };
    let length = bytes.len();
    if length == 0 {
        return;
    }
    // A prime, so that all of the file has its turn.
    let at = i * 7919 % length;
    match i / FILES.len() % 4 {
        0 => bytes[at] ^= 1 << (i % 8),
        1 => bytes.truncate(at),
        2 => bytes[at..(at + 4096).min(length)].fill(0),
        _ => bytes[at..(at + 64).min(length)].fill(0xA5),
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn no_wrong_result_comes_of_it() {
    let trial = Trial::new();
    trial.lab.ok("w.toml", &[]);
    for i in 0..count(24, 500) {
        harm(&trial.lab.home().join(FILES[i % FILES.len()]), i);
        let first = trial.lab.exec("w.toml", &[]);
        if first.code == Some(4) && first.err.contains("newer") {
            // The byte was that of the schema's version: refused untouched, so that it is for the user to say.
            fs::remove_file(trial.database()).unwrap();
            let _ = fs::remove_file(trial.lab.home().join("runner.db-wal"));
        } else {
            trial.expect_outputs(&first.expect_code(0));
        }
        trial.heals();
        // Damage of a page that no run reads is found by who reads all of them; the next run sets the database aside.
        let verified = ends(&mut trial.lab.command(&["cache", "verify"]));
        assert!(matches!(verified.code, Some(0 | 1)), "{verified:?}");
        let again = trial.lab.exec("w.toml", &[]).expect_code(0);
        trial.expect_outputs(&again);
        trial.settles();
    }
}

#[test]
fn nothing_of_earlier_runs_is_lost_when_it_is_set_aside() {
    let trial = Trial::new();
    for i in 0..count(3, 50) {
        trial.lab.ok("w.toml", &["--overwrite"]);
        let before = runs(&trial);
        let database = trial.database();
        rusqlite::Connection::open(&database)
            .unwrap()
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .unwrap();
        let file = fs::File::options().write(true).open(&database).unwrap();
        match i % 3 {
            0 => file.write_all_at(&[0xA5; 100], 0).unwrap(),
            1 => file.write_all_at(&[0; 4096], 0).unwrap(),
            _ => file.set_len(4096 * 3 + 17).unwrap(),
        }
        drop(file);
        let count_before = set_aside(&trial);
        let first = trial.lab.ok("w.toml", &[]);
        trial.expect_outputs(&first);
        assert!(first.warnings().contains("set aside"), "{first:?}");
        assert!(set_aside(&trial) > count_before, "it is still there, under another name");
        assert_eq!(first.finished()["cached"], 20, "its results came back: {first:?}");
        let after = runs(&trial);
        assert!(before.is_subset(&after), "lost: {:?}", before.difference(&after).collect::<Vec<_>>());
        for run in &before {
            trial.lab.run(&["show", run]).expect_code(0);
        }
        trial.settles();
    }
}
