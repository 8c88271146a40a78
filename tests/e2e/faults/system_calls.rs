//! System calls of the runner fail, each kind at a call of some number: the run goes on, fails by name or cannot begin, and
//! the next plain one needs nothing else.

use super::{count, injected, spread};
use crate::common::trial::Trial;

#[track_caller]
fn failing(calls: &str, error: &str, most: usize) {
    for when in spread(count(2, 40), most) {
        let trial = Trial::new();
        let inject = format!("{calls}:error={error}:when={when}");
        let Some(run) = injected(&trial, &inject) else { return };
        match run.code {
            Some(0) => trial.expect_outputs(&run),
            Some(1 | 4 | 74) => {}
            // The loader of programs has its own words and code.
            Some(127) if run.out.is_empty() => {}
            other => panic!("{inject}: {other:?} {run:?}"),
        }
        trial.settles();
    }
}

#[test]
fn writes() {
    for error in ["EIO", "ENOSPC", "EDQUOT", "EINTR"] {
        failing("pwrite64", error, 150);
    }
}

#[test]
fn syncs_and_renames() {
    for error in ["EIO", "ENOSPC", "EROFS"] {
        failing("fsync,fdatasync", error, 40);
        failing("rename,renameat,renameat2", error, 60);
    }
}

#[test]
fn openings() {
    for error in ["EIO", "EACCES", "EMFILE", "ENOMEM", "EINTR"] {
        failing("openat", error, 200);
    }
}
