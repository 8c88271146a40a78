//! `cache gc`, the cap that runs keep to, and both beside runs that are under way or killed.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::common::trial::Trial;
use crate::common::{Done, Lab, finish};
use serde_json::{Value, json};

/// A task that hands out a file of 10,000 bytes, another one for each `n`, and one that takes it.
const WORKFLOW: &str = "\
[workflow]
name = \"wf\"
[inputs]
n = { type = \"int\", default = 1 }
[tasks.fill]
cache = true
inputs = { n = \"int\" }
outputs = { f = \"file\" }
run = 'echo fill >> @COUNT@; printf %010000d \"$n\" > \"$OUT/f\"'
[tasks.take]
inputs = { f = \"file\" }
outputs = { size = \"int\" }
run = 'wc -c < \"$f\" > \"$OUT/size\"'
[nodes.fill]
inputs = { n = \"{{ inputs.n }}\" }
[nodes.take]
inputs = { f = \"{{ fill.f }}\" }
[outputs]
size = \"{{ take.size }}\"
f = \"{{ fill.f }}\"
";

/// The same, and before the file is taken somebody has to say `go`.
const WAITING: &str = "\
[tasks.wait]
run = 'touch @DIR@/begun; until test -e @DIR@/go; do sleep 0.01; done'
[nodes.wait]
needs = [\"fill\"]
[nodes.take]
needs = [\"wait\"]
";

fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("w.toml", WORKFLOW);
    lab.write("waiting.toml", &WORKFLOW.replace("[nodes.take]\n", WAITING));
    lab
}

/// Runs with `n` from 1 to this.
fn runs(lab: &Lab, last: usize) -> Vec<Done> {
    (1..=last).map(|n| lab.ok("w.toml", &["-i", &format!("n={n}")])).collect()
}

fn gc(lab: &Lab, args: &[&str]) -> Value {
    let done = lab.run(&[&["cache", "gc", "--json"], args].concat()).expect_code(0);
    done.lines().remove(0)
}

fn count(document: &Value, name: &str) -> usize {
    document[name].as_array().unwrap().len()
}

fn entries(lab: &Lab, folder: &str) -> usize {
    fs::read_dir(lab.home().join(folder)).map_or(0, Iterator::count)
}

fn blobs(lab: &Lab) -> usize {
    entries(lab, "store/blobs")
}

/// What a run handed back as a file, read now.
fn file(run: &Done) -> Option<Vec<u8>> {
    fs::read(run.outputs()["f"]["path"].as_str().unwrap()).ok()
}

#[test]
fn the_newest_runs_keep_all_that_they_need_and_everything_else_goes_under_pressure() {
    let lab = lab();
    let all = runs(&lab, 5);
    let told = gc(&lab, &["--max-size", "0", "--keep-runs", "2"]);
    assert_eq!((count(&told, "results"), count(&told, "runs"), &told["files"]), (3, 3, &json!(3)));
    assert!(told["freed"].as_u64().unwrap() > 60_000 && told["left"].as_u64().unwrap() > 20_000, "{told}");
    assert_eq!((blobs(&lab), entries(&lab, "logs"), entries(&lab, "outputs")), (2, 2, 2));
    assert_eq!(all.iter().filter_map(file).count(), 2);
    lab.run(&["cache", "verify"]).expect_code(0);
    for (n, cache) in [("5", "hit"), ("4", "hit"), ("1", "populated")] {
        assert_eq!(lab.ok("w.toml", &["-i", &format!("n={n}")]).cache("fill"), cache);
    }
}

#[test]
fn what_a_kept_run_had_as_a_hit_from_an_old_run_stays() {
    let lab = lab();
    runs(&lab, 4);
    lab.ok("w.toml", &["-i", "n=1"]);
    gc(&lab, &["--max-size", "0", "--keep-runs", "1"]);
    assert_eq!(lab.ok("w.toml", &["-i", "n=1"]).cache("fill"), "hit");
    lab.run(&["cache", "verify"]).expect_code(0);
}

#[test]
fn a_dry_run_tells_what_would_go_and_changes_nothing() {
    let lab = lab();
    runs(&lab, 5);
    let keys = |document: &Value| -> Vec<String> {
        let results = document["results"].as_array().unwrap().iter();
        results.map(|row| row["key"].as_str().unwrap().to_owned()).collect()
    };
    let args = ["--max-size", "45kB", "--keep-runs", "1"];
    let told = gc(&lab, &[&args[..], &["--dry-run"]].concat());
    assert_eq!((blobs(&lab), told["dry_run"].clone()), (5, json!(true)));
    let human = lab.run(&[&["cache", "gc", "-n"], &args[..]].concat()).expect_code(0);
    assert!(human.out.contains("would be removed") && human.out.contains("wf.fill"), "{human:?}");
    let done = gc(&lab, &args);
    assert_eq!((keys(&told), &told["runs"], &told["freed"]), (keys(&done), &done["runs"], &done["freed"]));
    assert!(done["left"].as_u64().unwrap() <= 45_000 && !keys(&done).is_empty(), "{done}");
}

#[test]
fn without_need_nothing_goes_but_what_nobody_names() {
    let lab = lab();
    runs(&lab, 2);
    lab.write("home/store/damaged/old", "damaged");
    lab.write(&format!("home/store/blobs/{}", "ab".repeat(32)), "left by a crash");
    lab.write("home/logs/abcdefgh/events.jsonl", "of a run that a crash removed in part");
    lab.write("home/logs/notes of mine/file", "not ours");
    let told = gc(&lab, &[]);
    assert_eq!((count(&told, "results"), count(&told, "runs"), &told["files"]), (0, 0, &json!(1)));
    assert_eq!((blobs(&lab), entries(&lab, "store/damaged"), entries(&lab, "logs")), (2, 0, 3));
    assert_eq!(lab.ok("w.toml", &[]).cache("fill"), "hit");
}

#[test]
fn copies_of_what_a_result_came_from_stay_with_it() {
    let lab = Lab::new();
    let text = "[workflow]\nname = \"wf\"\n[tasks.t]\ncache = true\nsources = [\"script.sh\"]\n\
                inputs = { f = \"file\" }\noutputs = { n = \"int\" }\nrun = 'bash script.sh > \"$OUT/n\"'\n\
                [nodes.t]\ninputs = { f = \"data.txt\" }\n";
    lab.write("w.toml", text);
    lab.write("script.sh", "echo 1\n");
    lab.write("data.txt", "data");
    lab.ok("w.toml", &[]);
    assert_eq!((gc(&lab, &["--keep-runs", "0"])["files"].clone(), blobs(&lab)), (json!(0), 2));
    // They are what goes first where it is tight.
    let left = gc(&lab, &["-n"])["left"].as_u64().unwrap();
    let told = gc(&lab, &["--keep-runs", "0", "--max-size", &format!("{}B", left - 1)]);
    assert_eq!((count(&told, "results"), blobs(&lab)), (0, 1));
}

#[test]
fn age_goes_by_the_last_use_and_takes_history_along() {
    let lab = lab();
    runs(&lab, 6);
    let db = rusqlite::Connection::open(lab.home().join("runner.db")).unwrap();
    db.execute("UPDATE memo SET used_ms = created_ms - 3 * 86400000 WHERE id <= 4", []).unwrap();
    db.execute("UPDATE run SET finished_ms = finished_ms - 3 * 86400000 WHERE id <= 5", []).unwrap();
    let told = gc(&lab, &["--max-age", "2d", "--keep-runs", "1"]);
    assert_eq!((count(&told, "results"), count(&told, "runs")), (4, 5));
    assert_eq!((blobs(&lab), entries(&lab, "logs")), (2, 1));
    let texts: i64 = db.query_row("SELECT count(*) FROM document", [], |row| row.get(0)).unwrap();
    assert_eq!(texts, 1, "the text is still read by the run that is left");
}

#[test]
fn everything_can_be_forgotten() {
    let lab = lab();
    runs(&lab, 2);
    let human = lab.run(&["cache", "gc", "--max-size", "0", "--keep-runs", "0"]).expect_code(0);
    assert!(human.out.starts_with("2 results and 2 runs removed"), "{human:?}");
    assert_eq!((blobs(&lab), entries(&lab, "logs"), entries(&lab, "outputs")), (0, 0, 0));
    let db = rusqlite::Connection::open(lab.home().join("runner.db")).unwrap();
    for table in ["memo", "definition", "run", "document", "file_stat"] {
        let rows: i64 = db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 0, "{table}");
    }
    assert_eq!(lab.ok("w.toml", &[]).cache("fill"), "populated");
}

/// Starts a run and waits until it has had its first result and waits in turn.
fn waiting(lab: &Lab, n: usize) -> Child {
    let mut command = lab.command(&["exec", "waiting.toml", "--json", "-i", &format!("n={n}")]);
    let child = command.spawn().unwrap();
    while !lab.path("begun").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

#[test]
fn a_run_under_way_loses_nothing_and_sweeps_up_when_it_ends() {
    let lab = lab();
    lab.ok("waiting.toml", &["-i", "n=7", "--until", "fill"]);
    let run = waiting(&lab, 7);
    // Not even what it had as a hit is in the way of this, nor does it suffer from it.
    let forgot = lab.run(&["cache", "evict", "--task", "wf.fill"]).expect_code(0);
    assert!(forgot.out.contains("are freed when run") && forgot.out.contains("has ended"), "{forgot:?}");
    let told = gc(&lab, &["--max-size", "0", "--keep-runs", "0"]);
    // The row and the folder of the first run are gone; the file belongs to the run that goes on.
    assert_eq!((count(&told, "live_runs"), &told["pending"]), (1, &json!(0)));
    assert_eq!((blobs(&lab), lab.home().join("store/unswept").exists()), (1, true));
    lab.write("go", "");
    let run = Done::new(run.wait_with_output().unwrap()).expect_code(0);
    assert_eq!((run.cache("fill"), run.outputs()["size"].clone()), ("hit".into(), json!(10_000)));
    assert_eq!(run.warnings(), "");
    // What it hands back is kept with it; nothing else is left over.
    assert_eq!(file(&run).unwrap().len(), 10_000);
    assert_eq!((blobs(&lab), lab.home().join("store/unswept").exists()), (1, false));
    lab.run(&["cache", "verify"]).expect_code(0);
    assert_eq!(lab.ok("w.toml", &["-i", "n=7"]).cache("fill"), "populated");
}

#[test]
fn results_of_a_run_under_way_are_kept() {
    let lab = lab();
    runs(&lab, 2);
    let run = waiting(&lab, 3);
    let told = gc(&lab, &["--max-size", "0", "--keep-runs", "0"]);
    assert_eq!((count(&told, "results"), count(&told, "runs")), (2, 2));
    lab.write("go", "");
    let run = Done::new(run.wait_with_output().unwrap()).expect_code(0);
    assert_eq!(run.cache("fill"), "populated");
    // The others' files went when it ended.
    assert_eq!((blobs(&lab), entries(&lab, "logs")), (1, 1));
    assert_eq!(lab.ok("waiting.toml", &["-i", "n=3"]).cache("fill"), "hit");
}

#[test]
fn a_run_keeps_to_the_cap_and_says_what_it_did() {
    let lab = lab();
    let with_cap = |cap: &str, args: &[&str]| {
        let mut command = lab.command(&[&["exec", "w.toml"], args].concat());
        finish(command.env("RUNNER_CACHE_MAX_SIZE", cap))
    };
    for n in 1..=4 {
        let run = with_cap("103kB", &["-i", &format!("n={n}")]).expect_code(0);
        assert_eq!((blobs(&lab), run.err.contains("cache:")), (n, false), "{run:?}");
    }
    let run = with_cap("103kB", &["-i", "n=5"]).expect_code(0);
    assert!(run.err.contains("cache: over 100.6 KiB, 1 result and 2 runs removed"), "{run:?}");
    assert!(blobs(&lab) == 4 && run.out.contains("size = 10000"), "{run:?}");
    let run = with_cap("60kB", &["-q", "-i", "n=6"]).expect_code(0);
    assert_eq!((run.err.as_str(), blobs(&lab)), ("", 3));
    let run = with_cap("20kB", &["-i", "n=8"]).expect_code(0);
    assert!(run.err.contains("the newest runs need"), "{run:?}");
    for off in ["off", "0"] {
        with_cap(off, &["-i", "n=7"]).expect_code(0);
    }
    assert_eq!(blobs(&lab), 4);
    let wrong = with_cap("much", &[]).expect_code(2);
    assert!(wrong.err.contains("RUNNER_CACHE_MAX_SIZE") && wrong.err.contains("10GiB"), "{wrong:?}");
    lab.run(&["cache", "verify"]).expect_code(0);
}

/// A home with results of several runs, most of which are not needed any more.
fn full() -> Trial {
    let trial = Trial::new();
    trial.lab.ok("w.toml", &[]);
    let text = trial.lab.read("w.toml").replace("line $i", "other line $i");
    trial.lab.write("other.toml", &text);
    trial.lab.ok("other.toml", &[]);
    trial
}

const EVERYTHING: [&str; 6] = ["cache", "gc", "--max-size", "0", "--keep-runs", "0"];

#[test]
fn a_collection_that_is_killed_at_any_instant_needs_only_a_plain_run() {
    for instant in 0..5 {
        let trial = full();
        let mut command = trial.lab.command(&EVERYTHING);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(2 * instant));
        let _ = child.kill();
        child.wait().unwrap();
        trial.settles();
        trial.lab.run(&["cache", "verify"]).expect_code(0);
        assert!(!trial.lab.home().join("store/unswept").exists());
    }
}

#[test]
fn a_collection_that_dies_in_a_certain_call_needs_only_a_plain_run() {
    let probe = Command::new("strace").args(["-f", "-qq", "-o", "/dev/null", "true"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        return eprintln!("SKIPPED: strace is not installed or may not trace here");
    }
    for inject in [
        "unlink:signal=KILL:when=1",
        "unlink:signal=KILL:when=9",
        "unlinkat:signal=KILL:when=3",
        "fdatasync:signal=KILL:when=1",
        "unlink:error=EIO:when=5",
    ] {
        let trial = full();
        let calls = inject.split(':').next().unwrap();
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
        command.args(["-e", &format!("inject={inject}"), env!("CARGO_BIN_EXE_runner")]).args(EVERYTHING);
        command.current_dir(trial.lab.dir()).env("RUNNER_HOME", trial.lab.home()).stdin(Stdio::null());
        let _ = finish(&mut command);
        trial.settles();
        trial.lab.run(&["cache", "verify"]).expect_code(0);
    }
}

#[test]
fn runs_and_collections_at_once_get_along() {
    let trial = full();
    let runner = |args: &[&str]| trial.lab.command(args).spawn().unwrap();
    for _ in 0..3 {
        let runs: Vec<_> = (0..3).map(|_| runner(&["exec", "w.toml", "--json"])).collect();
        let others = [
            &["cache", "gc", "--max-size", "0", "--keep-runs", "3"][..],
            &["cache", "evict", "--task", "trial.make"],
            &["cache", "evict", "--task", "trial.join"],
        ];
        let others: Vec<_> = others.into_iter().map(runner).collect();
        for run in runs {
            let run = Done::new(run.wait_with_output().unwrap()).expect_code(0);
            trial.expect_outputs(&run);
            assert_eq!(run.warnings(), "");
        }
        for other in others {
            let other = Done::new(other.wait_with_output().unwrap());
            // Nothing may be left to forget.
            assert!(matches!(other.code, Some(0 | 2)), "{other:?}");
        }
    }
    trial.settles();
    trial.lab.run(&["cache", "verify"]).expect_code(0);
}
