//! The disk under the home is full, or has no inodes left: a stop that names the folder, a collection that works, and after
//! the disk has grown nothing else is needed.

use super::{count, ends, spread};
use crate::common::disk::Disk;
use crate::common::trial::Trial;

#[track_caller]
fn on(options: &str, enough: &str) -> bool {
    let trial = Trial::new();
    let Some(disk) = Disk::in_memory(&trial.lab.home(), options) else {
        eprintln!("SKIPPED: no file system can be mounted here");
        return false;
    };
    let run = ends(&mut trial.lab.command(&["exec", "w.toml", "--json"]));
    let home = trial.lab.home();
    match run.code {
        Some(0) => trial.expect_outputs(&run),
        Some(1 | 4) => {
            let said = format!("{}{}", run.out, run.err);
            assert!(said.to_lowercase().contains("no space left"), "{options}: {said}");
            assert!(said.contains(home.to_str().unwrap()), "{options}: the folder is named: {said}");
        }
        other => panic!("{options}: {other:?} {run:?}"),
    }
    let collected = ends(&mut trial.lab.command(&["cache", "gc"]));
    assert!(matches!(collected.code, Some(0 | 4)), "{options}: {collected:?}");
    disk.change(enough);
    ends(&mut trial.lab.command(&["cache", "gc"])).expect_code(0);
    trial.settles();
    drop(disk);
    true
}

#[test]
fn of_space() {
    for kibibytes in spread(count(8, 60), 4096) {
        if !on(&format!("size={}k", kibibytes.next_multiple_of(4)), "size=256m") {
            return;
        }
    }
}

#[test]
fn of_inodes() {
    for inodes in spread(count(4, 20), 120) {
        if !on(&format!("size=64m,nr_inodes={}", inodes + 1), "size=64m,nr_inodes=100000") {
            return;
        }
    }
}
