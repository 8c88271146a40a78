//! System calls of the runner fail, each kind at a call of some number: the run goes on, fails by name or cannot begin, and
//! the next plain one needs nothing else.

use std::path::PathBuf;
use std::process::Command;

use super::{count, ends, injected, spread};
use crate::common::trial::Trial;

#[track_caller]
fn failing(calls: &str, error: &str, most: usize) {
    failing_at(count(2, 40), calls, error, most);
}

#[track_caller]
fn failing_at(times: usize, calls: &str, error: &str, most: usize) {
    for when in spread(times, most) {
        let trial = Trial::new();
        let inject = format!("{calls}:error={error}:when={when}");
        let Some(run) = injected(&trial, &inject) else { return };
        match run.code {
            Some(0) => trial.expect_outputs(&run),
            Some(1 | 4 | 74) => {}
            // The file that cannot be read is the workflow's own.
            Some(2) if run.err.contains("w.toml") => {}
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

#[test]
fn reads_and_looks() {
    for error in ["EIO", "ENOMEM", "EINTR"] {
        failing_at(count(1, 40), "pread64", error, 60);
        failing_at(count(1, 40), "statx,newfstatat,fstat", error, 200);
        failing_at(count(1, 40), "read", error, 200);
    }
}

/// A library in front of the C library that refuses locks of one kind, as some network file systems do.
const NO_LOCKS: &str = "#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <errno.h>\n#include <fcntl.h>\n#include <stdarg.h>\n#include <stdlib.h>\n\
    #ifdef RANGES\n\
    static int taken;\n\
    static int answer(const char *name, int fd, int cmd, void *arg) {\n\
      const char *only = getenv(\"ONLY\");\n\
      if ((cmd == F_SETLK || cmd == F_SETLKW) && ((struct flock *)arg)->l_type != F_UNLCK\n\
          && (!only || __sync_add_and_fetch(&taken, 1) == atoi(only))) { errno = ENOLCK; return -1; }\n\
      int (*real)(int, int, ...) = (int (*)(int, int, ...))dlsym(RTLD_NEXT, name);\n\
      return real(fd, cmd, arg);\n}\n\
    #define BODY(name) va_list l; va_start(l, cmd); void *arg = va_arg(l, void *); va_end(l); return answer(name, fd, cmd, arg);\n\
    int fcntl(int fd, int cmd, ...) { BODY(\"fcntl\") }\n\
    int fcntl64(int fd, int cmd, ...) { BODY(\"fcntl64\") }\n\
    #else\n\
    int flock(int fd, int how) { errno = ENOLCK; return -1; }\n\
    #endif\n";

/// The compiled library; `None` without a compiler.
fn no_locks(trial: &Trial, kind: &str) -> Option<PathBuf> {
    let (source, library) = (trial.lab.write("no_locks.c", NO_LOCKS), trial.lab.path("no_locks.so"));
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", &format!("-D{kind}"), "-o"]).arg(&library).arg(source);
    let done = cc.output().is_ok_and(|done| done.status.success());
    if !done {
        eprintln!("SKIPPED: no C compiler is here");
    }
    done.then_some(library)
}

#[test]
fn locks_that_the_file_system_refuses() {
    for kind in ["RANGES", "WHOLE"] {
        let trial = Trial::new();
        let Some(library) = no_locks(&trial, kind) else { return };
        let mut command = trial.lab.command(&["exec", "w.toml", "--json"]);
        let run = ends(command.env("LD_PRELOAD", &library)).expect_code(4);
        assert!(run.err.contains("refuses locks") && run.err.contains("mounted at"), "{kind}: {}", run.err);
        trial.settles();
    }
}

#[test]
fn locks_that_are_refused_once() {
    for only in spread(count(4, 100), 100) {
        let trial = Trial::new();
        let Some(library) = no_locks(&trial, "RANGES") else { return };
        let mut command = trial.lab.command(&["exec", "w.toml", "--json"]);
        let run = ends(command.env("LD_PRELOAD", &library).env("ONLY", only.to_string()));
        assert!(matches!(run.code, Some(0 | 1 | 4)), "{only}: {run:?}");
        trial.settles();
    }
}
