//! The cache by itself: `cache ls`, `show`, `stats`, `evict` and `verify`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::common::{Done, Lab};
use serde_json::{Value, json};

/// One task that hands out a file of so many bytes, and one a text.
const WORKFLOW: &str = "\
[workflow]
name = \"wf\"
[inputs]
size = { type = \"int\", default = 3 }
[tasks.fill]
cache = true
cache_version = \"1\"
inputs = { size = \"int\" }
outputs = { f = \"file\" }
run = 'echo fill >> @COUNT@; head -c \"$size\" /dev/zero > \"$OUT/f\"'
[tasks.say]
cache = true
inputs = { f = \"file\" }
outputs = { n = \"int\", d = \"dir\" }
run = 'echo say >> @COUNT@; wc -c < \"$f\" > \"$OUT/n\"; mkdir \"$OUT/d\"; cp \"$f\" \"$OUT/d/part\"; echo x > \"$OUT/d/x\"'
[nodes.fill]
inputs = { size = \"{{ inputs.size }}\" }
[nodes.say]
inputs = { f = \"{{ fill.f }}\" }
[outputs]
n = \"{{ say.n }}\"
";

fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("w.toml", WORKFLOW);
    lab
}

fn listed(lab: &Lab, args: &[&str]) -> Vec<Value> {
    lab.run(&[&["cache", "ls", "--json"], args].concat()).expect_code(0).lines()
}

fn tasks(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["task"].as_str().unwrap()).collect()
}

fn document(done: &Done) -> Value {
    assert_eq!(done.lines().len(), 1, "{done:?}");
    assert_eq!(done.lines()[0]["v"], 1);
    done.lines().remove(0)
}

/// The blob of a result's first file.
fn blob(lab: &Lab, key: &str) -> PathBuf {
    let shown = document(&lab.run(&["cache", "show", key, "--json"]).expect_code(0));
    shown["files"][0]["path"].as_str().unwrap().into()
}

fn spoil(path: &PathBuf) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, "spoiled").unwrap();
}

#[test]
fn ls_filters_sorts_and_limits() {
    let lab = lab();
    lab.ok("w.toml", &["-i", "size=10"]);
    lab.ok("w.toml", &["-i", "size=5000", "--project", "shop", "--domain", "staging"]);
    assert_eq!(listed(&lab, &[]).len(), 4);
    assert_eq!(tasks(&listed(&lab, &["--task", "wf.fill"])), ["wf.fill"; 2]);
    let shop = listed(&lab, &["--project", "shop", "--sort", "task"]);
    assert_eq!(tasks(&shop), ["wf.fill", "wf.say"]);
    assert_eq!(
        (&shop[0]["domain"], &shop[0]["size"], &shop[1]["size"]),
        (&json!("staging"), &json!(5000), &json!(5002))
    );
    assert_eq!(listed(&lab, &["--domain", "staging", "--larger-than", "5001B"]).len(), 1);
    let sizes = |args: &[&str]| listed(&lab, args).iter().map(|row| row["size"].clone()).collect::<Vec<_>>();
    assert_eq!(sizes(&["--sort", "size"]), [5002, 5000, 12, 10]);
    assert_eq!(sizes(&["--sort", "size", "--reverse", "--limit", "1"]), [10]);
    assert_eq!(listed(&lab, &["--older-than", "1h"]).len(), 0);
    assert_eq!(listed(&lab, &["--older-than", "0s"]).len(), 4);
    let human = lab.run(&["cache", "ls", "--limit", "3"]).expect_code(0);
    assert_eq!(human.out.lines().count(), 4, "{human:?}");
    assert!(human.out.contains("PROJECT") && human.err.contains("1 more"), "{human:?}");
    let none = lab.run(&["cache", "ls", "--task", "wf.fil"]).expect_code(0);
    assert!(none.err.contains("did you mean `wf.fill`?"), "{none:?}");
    lab.run(&["cache", "ls", "--larger-than", "lots"]).expect_code(2);
}

#[test]
fn looking_at_nothing_makes_nothing() {
    let lab = lab();
    for verb in [&["ls"][..], &["stats"], &["gc", "--dry-run"]] {
        lab.run(&[&["cache"], verb].concat()).expect_code(0);
    }
    lab.run(&["cache", "show", "ab"]).expect_code(2);
    assert!(!lab.home().exists());
}

#[test]
fn show_tells_one_result_whole() {
    let lab = lab();
    let run = lab.ok("w.toml", &[]);
    let key = run.key("say");
    let shown = document(&lab.run(&["cache", "show", &key[..9], "--json"]).expect_code(0));
    assert_eq!(shown["key"], key.as_str());
    assert_eq!((&shown["task"], &shown["outputs"]["n"]), (&json!("wf.say"), &json!(3)));
    assert_eq!(shown["run"], run.events("run_started")[0]["run"]);
    assert_eq!((&shown["node"], &shown["sound"]), (&json!("say"), &json!(true)));
    assert_eq!((&shown["files"][0]["output"], &shown["files"][0]["size"]), (&json!("d"), &json!(5)));
    let human = lab.run(&["cache", "show", &key]).expect_code(0).out;
    for part in ["wf.say", "sound", "inputs", "outputs", "node say of run", &key] {
        assert!(human.contains(part), "{part}: {human}");
    }
    let none = lab.run(&["cache", "show", "zz"]).expect_code(2);
    assert!(none.err.contains("hexadecimal"), "{none:?}");
    // A part of a directory is damaged, of which the list is sound.
    let part = fs::read_dir(lab.home().join("store/blobs")).unwrap().map(|entry| entry.unwrap().path());
    let part = part.into_iter().find(|path| fs::read(path).unwrap() == b"x\n").unwrap();
    spoil(&part);
    let shown = document(&lab.run(&["cache", "show", &key, "--json"]).expect_code(0));
    assert_eq!(shown["sound"], false);
    assert!(part.exists(), "looking moves nothing");
}

#[test]
fn stats_count_what_is_kept_and_what_it_saved() {
    let lab = lab();
    lab.ok("w.toml", &["-i", "size=10"]);
    lab.ok("w.toml", &["-i", "size=10"]);
    let stats = document(&lab.run(&["cache", "stats", "--json"]).expect_code(0));
    assert_eq!((&stats["results"], &stats["runs"], &stats["hits"]), (&json!(2), &json!(2), &json!(2)));
    assert_eq!((&stats["executed"], &stats["cap"]), (&json!(2), &json!(20u64 << 30)));
    // The file itself, once; another of two bytes; the list of a directory.
    assert_eq!(stats["files"], 3);
    let of =
        |name: &str| stats["tasks"].as_array().unwrap().iter().find(|t| t["name"] == name).unwrap().clone();
    assert_eq!((&of("wf.fill")["size"], &of("wf.say")["size"]), (&json!(10), &json!(12)));
    let human = lab.run(&["cache", "stats"]).expect_code(0).out;
    assert!(human.contains("2 hits") && human.contains("20.0 GiB"), "{human}");
    let mut off = lab.command(&["cache", "stats", "--json"]);
    assert_eq!(document(&crate::common::finish(off.env("RUNNER_CACHE_MAX_SIZE", "off")))["cap"], Value::Null);
}

#[test]
fn evict_forgets_exactly_what_is_named() {
    let lab = lab();
    let refused = lab.run(&["cache", "evict"]).expect_code(2);
    assert!(refused.err.contains("which results?"), "{refused:?}");
    let (first, second) = (lab.ok("w.toml", &[]), lab.ok("w.toml", &["--project", "shop"]));
    let key = first.key("fill");
    let told = lab.run(&["cache", "evict", &key[..16]]).expect_code(0);
    assert!(told.out.starts_with("1 result forgotten"), "{told:?}");
    let again = lab.ok("w.toml", &[]);
    assert_eq!((again.cache("fill"), again.cache("say")), ("populated".into(), "hit".into()));
    assert_eq!(again.key("fill"), key);
    let told = document(&lab.run(&["cache", "evict", "--task", "wf.say", "--json"]).expect_code(0));
    assert_eq!(told["results"].as_array().unwrap().len(), 2);
    let misfit = lab.run(&["cache", "evict", "--project", "default", &second.key("fill")]).expect_code(2);
    assert!(misfit.err.contains("project `shop`"), "{misfit:?}");
    let none = lab.run(&["cache", "evict", "--domain", "nowhere"]).expect_code(2);
    assert!(none.err.contains("no stored result fits"), "{none:?}");
    lab.run(&["cache", "evict", "--project", "shop"]).expect_code(0);
    assert_eq!(tasks(&listed(&lab, &[])), ["wf.fill"]);
    assert!(!lab.home().join("store/unswept").exists());
}

#[test]
fn verify_finds_damage_that_looks_do_not_betray_and_names_what_needs_it() {
    let lab = lab();
    let run = lab.ok("w.toml", &[]);
    let sound = document(&lab.run(&["cache", "verify", "--json"]).expect_code(0));
    assert_eq!((&sound["sound"], &sound["results"], &sound["files"]), (&json!(true), &json!(2), &json!(3)));
    let blob = blob(&lab, &run.key("fill"));
    spoil(&blob);
    // The stat cache vouches for the file as it is now.
    let db = rusqlite::Connection::open(lab.home().join("runner.db")).unwrap();
    let metadata = fs::metadata(&blob).unwrap();
    use std::os::unix::fs::MetadataExt;
    let ns = |s: i64, ns: i64| s * 1_000_000_000 + ns;
    let changed = db.execute(
        "UPDATE file_stat SET size = ?2, mtime_ns = ?3, ctime_ns = ?4 WHERE ino = ?1",
        [
            metadata.ino() as i64,
            metadata.size() as i64,
            ns(metadata.mtime(), metadata.mtime_nsec()),
            ns(metadata.ctime(), metadata.ctime_nsec()),
        ],
    );
    assert_eq!(changed, Ok(1));
    let told = lab.run(&["cache", "verify"]).expect_code(1);
    // The directory has the same file as a part.
    for part in ["1 file damaged, 2 results cannot be handed out", "wf.fill", "wf.say", "fill of run"] {
        assert!(told.out.contains(part), "{part}: {told:?}");
    }
    let again = document(&lab.run(&["cache", "verify", "--json"]).expect_code(1));
    assert_eq!(
        (again["damaged"].as_array().unwrap().len(), again["broken"].as_array().unwrap().len()),
        (0, 2)
    );
    assert_eq!(lab.ok("w.toml", &[]).cache("fill"), "populated");
    lab.run(&["cache", "verify"]).expect_code(0);
}

#[test]
fn verify_finds_damaged_rows_and_gc_forgets_them() {
    let lab = lab();
    lab.ok("w.toml", &[]);
    let db = rusqlite::Connection::open(lab.home().join("runner.db")).unwrap();
    db.execute("UPDATE memo SET outputs = '{\"n\":4}' WHERE task = 'wf.say'", []).unwrap();
    let told = document(&lab.run(&["cache", "verify", "--json"]).expect_code(1));
    assert_eq!(told["broken"][0]["task"], "wf.say");
    assert!(told["broken"][0]["problem"].as_str().unwrap().contains("row"), "{told}");
    lab.run(&["cache", "gc"]).expect_code(0);
    lab.run(&["cache", "verify"]).expect_code(0);
    assert_eq!(tasks(&listed(&lab, &[])), ["wf.fill"]);
}

#[test]
fn use_is_noted_a_day_later_and_a_hit_soon_after_writes_nothing() {
    let lab = lab();
    lab.ok("w.toml", &[]);
    let used = || {
        let db = rusqlite::Connection::open(lab.home().join("runner.db")).unwrap();
        let used: i64 =
            db.query_row("SELECT count(*) FROM memo WHERE used_ms IS NOT NULL", [], |r| r.get(0)).unwrap();
        used
    };
    lab.ok("w.toml", &[]);
    assert_eq!(used(), 0);
    let db = rusqlite::Connection::open(lab.home().join("runner.db")).unwrap();
    // As if made two days ago: `used_ms` stands over the time of making.
    db.execute("UPDATE memo SET used_ms = created_ms - 2 * 86400000", []).unwrap();
    assert_eq!(listed(&lab, &["--older-than", "1d"]).len(), 2);
    lab.ok("w.toml", &[]);
    assert_eq!(listed(&lab, &["--older-than", "1d"]).len(), 0);
}
