//! Many runs in one process, as in a daemon: they share a home, its locks and its store with each other and with
//! collections.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use runner::core::event::Status;
use runner::core::run_id::RunId;
use runner::core::run_request::{GivenInputs, RunRequest};
use runner::ops;
use runner::ops::collect::Collect;
use runner::ops::home::HomeReader;
use runner::ops::prepare::prepare;
use runner::ops::run_lock::{Turn, take_turn};
use runner::storage::gc::Limits;

use crate::common::Lab;

/// Number of workflows that run at once.
const RUNS: usize = 12;

/// A serialised task that all runs share, one that three runs share, and one that takes both results.
const WORKFLOW: &str = "\
[workflow]
name = \"many\"
[inputs]
n = \"int\"
[tasks.common]
cache = true
cache_serialize = true
outputs = { f = \"file\" }
run = 'echo common >> @COUNT@; sleep 0.1; printf common > \"$OUT/f\"'
[tasks.own]
cache = true
inputs = { n = \"int\" }
outputs = { f = \"file\" }
run = 'printf %01000d \"$n\" > \"$OUT/f\"'
[tasks.join]
inputs = { a = \"file\", b = \"file\" }
outputs = { size = \"int\" }
run = 'cat \"$a\" \"$b\" | wc -c > \"$OUT/size\"'
[nodes.common]
[nodes.own]
inputs = { n = \"{{ inputs.n }}\" }
[nodes.join]
inputs = { a = \"{{ common.f }}\", b = \"{{ own.f }}\" }
[outputs]
size = \"{{ join.size }}\"
";

/// Runs the workflow in this process.
fn run(workflow: &Path, home: &Path, n: usize) -> ops::run::RunResult {
    let values = vec![format!("n={n}")];
    let dir = workflow.parent().unwrap().to_owned();
    let given = vec![GivenInputs::Assignments { dir, values }];
    let request = RunRequest { workflow: workflow.to_owned(), given, ..RunRequest::default() };
    let prepared = prepare(request).unwrap();
    let (_never, mut interrupts) = tokio::sync::mpsc::unbounded_channel();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let turn = runtime
        .block_on(async { take_turn(RunId::make(), &prepared, Some(home), &mut [], &mut interrupts).await });
    let Turn::Taken(turn) = turn.unwrap() else { panic!("skipped") };
    let run = async { ops::run::run(prepared, turn, Some(home), Vec::new(), interrupts).await };
    runtime.block_on(run).unwrap()
}

#[test]
fn exclusive_runs_of_one_process_go_one_after_the_other() {
    let lab = Lab::new();
    let text = "[workflow]\nname = \"wf\"\nexclusive = \"wait\"\n[inputs]\nn = \"int\"\n\
                [tasks.t]\nrun = 'echo t >> @COUNT@; mkdir @DIR@/inside; sleep 0.02; rmdir @DIR@/inside'\n[nodes.t]\n";
    let (workflow, home) = (lab.write("w.toml", text), lab.home());
    std::thread::scope(|scope| {
        for n in 0..RUNS {
            let (workflow, home) = (&workflow, &home);
            scope.spawn(move || expect_success(&run(workflow, home, n), home));
        }
    });
    assert_eq!(lab.ran(), RUNS);
    expect_clean(&home);
}

fn expect_success(result: &ops::run::RunResult, home: &Path) {
    let events = || std::fs::read_to_string(home.join("logs").join(result.run.as_str()).join("events.jsonl"));
    assert_eq!(result.summary.status, Status::Succeeded, "{:?}", events());
    assert!(result.history.is_none(), "{:?}", result.history);
}

/// Nothing is left of the runs but what is kept.
fn expect_clean(home: &Path) {
    let entries = |name: &str| std::fs::read_dir(home.join(name)).map_or(0, Iterator::count);
    assert_eq!((entries("scratch"), entries("work.holders"), entries("store/tmp")), (0, 0, 0));
    let db = HomeReader::open(Some(home)).unwrap().db.unwrap();
    let verdict: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    let running: i64 =
        db.query_row("SELECT count(*) FROM run WHERE status = 'running'", [], |row| row.get(0)).unwrap();
    assert_eq!(running, 0);
}

#[test]
fn twelve_runs_of_one_process_do_serialised_work_once() {
    let lab = Lab::new();
    let (workflow, home) = (lab.write("w.toml", WORKFLOW), lab.home());
    std::thread::scope(|scope| {
        for n in 0..RUNS {
            let (workflow, home) = (&workflow, &home);
            scope.spawn(move || expect_success(&run(workflow, home, n), home));
        }
    });
    assert_eq!(lab.ran(), 1, "identical work ran more than once");
    expect_clean(&home);
}

#[test]
fn twelve_runs_of_one_process_lose_nothing_to_collections_beside_them() {
    let lab = Lab::new();
    let (workflow, home) = (lab.write("w.toml", WORKFLOW), lab.home());
    let running = AtomicUsize::new(RUNS);
    std::thread::scope(|scope| {
        for n in 0..RUNS {
            let (workflow, home, running) = (&workflow, &home, &running);
            scope.spawn(move || {
                let ended = std::panic::catch_unwind(|| {
                    for turn in 0..3 {
                        expect_success(&run(workflow, home, (n + turn) % 4), home);
                    }
                });
                running.fetch_sub(1, Ordering::SeqCst);
                ended.unwrap();
            });
        }
        scope.spawn(|| {
            while running.load(Ordering::SeqCst) > 0 {
                let limits = Limits { size: Some(0), age: None };
                let request = Collect { limits, keep_runs: 0, dry_run: false };
                ops::collect::collect(Some(&home), request).unwrap();
            }
        });
    });
    let limits = Limits { size: Some(0), age: None };
    ops::collect::collect(Some(&home), Collect { limits, keep_runs: 0, dry_run: false }).unwrap();
    assert_eq!(std::fs::read_dir(home.join("store/blobs")).unwrap().count(), 0);
    expect_clean(&home);
}
