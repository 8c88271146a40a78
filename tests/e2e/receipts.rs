//! A run that only hit leaves a receipt, and the same request has the same result at once. No change of anything that a run
//! rests on may go unseen: whatever is done, a run executes exactly if a plan, which knows no receipts, says so.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::common::{Done, Lab, finish};

const FLOW: &str = r#"
[workflow]
name = "w"
[inputs]
word = { type = "string", default = "a" }
seed = { type = "file", default = "seed.txt" }
[tasks.value]
cache = true
cache_env = ["LEVEL"]
inputs = { word = "string" }
outputs = { x = "string" }
run = 'echo value >> @COUNT@; printf "%s-%s" "$word" "${LEVEL-}" > "$OUT/x"'
[tasks.file]
cache = true
sources = ["lib/*.sh", "one.sh"]
inputs = { seed = "file" }
outputs = { out = "file", all = "dir" }
run = 'echo file >> @COUNT@; cat "$seed" lib/*.sh one.sh > "$OUT/out"; mkdir "$OUT/all"; cp "$seed" "$OUT/all/s"; echo 1 > "$OUT/all/t"'
[tasks.many]
cache = true
inputs = { parts = "list<file>", d = "dir" }
outputs = { n = "string" }
args = ["{{ parts }}"]
run = 'echo many >> @COUNT@; cat "$@" $(find "$d" -type f | sort) | tr "\n" . > "$OUT/n"'
[nodes.value]
inputs = { word = "{{ inputs.word }}" }
[nodes.off]
task = "value"
if = "{{ inputs.word == 'never' }}"
inputs = { word = "off" }
[nodes.each]
task = "value"
foreach = ["word"]
inputs = { word = ["p", "q", "{{ value.x }}"] }
[nodes.file]
inputs = { seed = "{{ inputs.seed }}" }
[nodes.many]
inputs = { parts = 'glob("data/*.csv")', d = "folder" }
[nodes.sub]
workflow = "sub.toml"
inputs = { word = "{{ many.n }}" }
[outputs]
x = "{{ value.x }}"
each = "{{ each.x }}"
own = "{{ file.out }}"
folder = "{{ file.all }}"
sub = "{{ sub.out }}"
text = "{{ value.x }} and {{ sub.out }}"
[outputs.put]
value = "{{ file.out }}"
path = "results/out.txt"
"#;

const SUB: &str = r#"
[workflow]
name = "sub"
[inputs]
word = "string"
[tasks.inner]
cache = true
inputs = { word = "string" }
outputs = { x = "string" }
run = 'echo inner >> @COUNT@; printf "<%s>" "$word" > "$OUT/x"'
[nodes.inner]
inputs = { word = "{{ inputs.word }}" }
[outputs]
out = "{{ inner.x }}"
"#;

/// Longer than a file has to be still for its looks to count.
const STILL: Duration = Duration::from_millis(80);

fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("w.toml", FLOW);
    lab.write("sub.toml", SUB);
    for (name, text) in [
        ("seed.txt", "seed\n"),
        ("lib/a.sh", "a\n"),
        ("one.sh", "one\n"),
        ("data/1.csv", "1\n"),
        ("folder/f", "f\n"),
        ("folder/deep/g", "g\n"),
    ] {
        lab.write(name, text);
    }
    lab
}

fn still() {
    std::thread::sleep(STILL);
}

fn database(lab: &Lab) -> Connection {
    Connection::open(lab.home().join("runner.db")).unwrap()
}

/// When each receipt was written: a run that honours one writes none.
fn receipts(lab: &Lab) -> Vec<(Vec<u8>, i64)> {
    let db = database(lab);
    let mut statement = db.prepare("SELECT request, written_ms FROM receipt ORDER BY request").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

fn full(lab: &Lab, args: &[&str], env: &[(&str, String)]) -> Done {
    let mut command = lab.command(&[&["exec", "w.toml", "--json"], args].concat());
    finish(command.envs(env.iter().cloned()).env("RUNNER_RECEIPTS", "off"))
}

/// A lab whose next run honours a receipt.
fn settled() -> Lab {
    let lab = lab();
    lab.ok("w.toml", &[]);
    still();
    assert_eq!(lab.ok("w.toml", &[]).finished()["executed"], 0);
    assert_eq!(receipts(&lab).len(), 1);
    lab
}

/// Events without what differs from run to run.
fn comparable(done: &Done) -> Vec<Value> {
    let run = done.finished()["run"].as_str().unwrap().to_owned();
    let text = done.out.replace(&run, "RUN");
    let line = |line: &str| {
        let mut event: Value = serde_json::from_str(line).unwrap();
        event["time"] = json!(null);
        // A node that sums up others takes as long as the run takes to get through it.
        if event["event"] == "run_finished" || !event["counts"].is_null() {
            event["duration_ms"] = json!(null);
        }
        event
    };
    text.lines().map(line).collect()
}

#[track_caller]
fn same_events(one: &Done, two: &Done, what: &str) {
    let (one, two) = (comparable(one), comparable(two));
    for (one, two) in one.iter().zip(&two) {
        assert_eq!(one, two, "{what}");
    }
    assert_eq!(one.len(), two.len(), "{what}");
}

#[test]
fn a_receipt_is_honoured_with_the_same_events_history_and_outputs() {
    let lab = settled();
    let before = receipts(&lab);
    let known = full(&lab, &[], &[]).expect_code(0);
    assert_eq!(receipts(&lab), before);
    // Nothing but the receipt knows the results now.
    let db = database(&lab);
    db.execute_batch(
        "DROP TRIGGER memo_removed; CREATE TABLE hidden AS SELECT * FROM memo; DELETE FROM memo",
    )
    .unwrap();
    let again = lab.ok("w.toml", &[]);
    same_events(&again, &known, "honoured");
    for name in ["own", "folder"] {
        let (again, known) = (again.outputs()[name].clone(), known.outputs()[name].clone());
        let path = |output: &Value| PathBuf::from(output["path"].as_str().unwrap());
        assert_ne!(path(&again), path(&known), "each run has files of its own");
        assert_eq!(again["digest"], known["digest"]);
        assert!(path(&again).exists());
    }
    let run = |done: &Done| done.finished()["run"].as_str().unwrap().to_owned();
    let shown = |done: &Done| {
        let (id, known) = (run(done), ["run", "started", "finished", "duration_ms"]);
        let mut shown: Value =
            serde_json::from_str(&lab.run(&["show", &id, "--json"]).expect_code(0).out.replace(&id, "RUN"))
                .unwrap();
        fn clear(value: &mut Value, known: &[&str]) {
            match value {
                Value::Object(entries) => entries.iter_mut().for_each(|(name, value)| {
                    match known.contains(&&**name) || name == "time" {
                        true => *value = json!(null),
                        false => clear(value, known),
                    }
                }),
                Value::Array(items) => items.iter_mut().for_each(|item| clear(item, known)),
                _ => {}
            }
        }
        clear(&mut shown, &known);
        shown
    };
    assert_eq!(shown(&again), shown(&known));
    // What people see as well.
    let text = |off: bool, args: &[&str]| {
        let mut command = lab.command(&[&["exec", "w.toml"], args].concat());
        let done =
            finish(if off { command.env("RUNNER_RECEIPTS", "off") } else { &mut command }).expect_code(0);
        let run = done.out.split("/outputs/").nth(1).map_or("", |rest| &rest[..8]).to_owned();
        let time = regex::Regex::new(r"\d\d:\d\d:\d\d|[0-9.]+m?s\b").unwrap();
        time.replace_all(&format!("{}{}", done.err, done.out), "T").replace(&run, "RUN")
    };
    let honoured: Vec<_> = [&["-v"][..], &[], &["--quiet"]].map(|args| text(false, args)).to_vec();
    db.execute_batch("INSERT INTO memo SELECT * FROM hidden").unwrap();
    let in_full: Vec<_> = [&["-v"][..], &[], &["--quiet"]].map(|args| text(true, args)).to_vec();
    assert_eq!(honoured, in_full);
    assert_eq!(lab.ran_as("file"), 1);
}

/// What can be done to the things that a run rests on, by number.
fn change(lab: &Lab, number: usize, n: usize, args: &mut Vec<String>, env: &mut Vec<(&'static str, String)>) {
    let blobs = || -> Vec<PathBuf> {
        let mut all: Vec<_> = fs::read_dir(lab.home().join("store/blobs"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        all.sort();
        all
    };
    let text = format!("{n}\n");
    match number {
        0 => drop(lab.write("seed.txt", &text)),
        1 => {
            let path = lab.path("seed.txt");
            let (old, mtime) = (lab.read("seed.txt"), fs::metadata(&path).unwrap().modified().unwrap());
            fs::write(&path, old.chars().rev().collect::<String>()).unwrap();
            File::options().write(true).open(&path).unwrap().set_modified(mtime).unwrap();
        }
        2 => drop(lab.write(&format!("lib/{}.sh", n % 3), &text)),
        3 => drop(fs::remove_file(lab.path(&format!("lib/{}.sh", n % 3)))),
        4 => drop(lab.write(&format!("data/{}.csv", n % 4), &text)),
        5 => drop(fs::remove_file(lab.path(&format!("data/{}.csv", n % 4)))),
        6 => drop(lab.write("folder/deep/g", &text)),
        7 => drop(lab.write(&format!("folder/{}", n % 3), "")),
        8 => drop(fs::remove_file(lab.path(&format!("folder/{}", n % 3)))),
        9 => drop(lab.write("sub.toml", &SUB.replace("<%s>", &format!("<{}%s>", n % 3)))),
        10 => drop(lab.write("w.toml", &FLOW.replace("\"p\", \"q\"", &format!("\"p\", \"{}\"", n % 3)))),
        11 => drop(lab.run(&["cache", "evict", "--task", "w.value", "--yes"])),
        12 => drop(lab.exec("w.toml", &["--overwrite", "many"])),
        13 => {
            let blobs = blobs();
            if let Some(blob) = blobs.get(n % blobs.len().max(1)) {
                let _ = fs::remove_file(blob);
                let _ = fs::write(blob, "wrong");
            }
        }
        14 => drop(blobs().first().map(fs::remove_file)),
        15 => drop(fs::remove_file(lab.path("results/out.txt"))),
        16 => env.push(("LEVEL", (n % 3).to_string())),
        17 => args.extend(["-i".into(), format!("word={}", n % 3)]),
        18 => drop(lab.write("runner.toml", &format!("project = \"p{}\"\n", n % 3))),
        19 => drop(fs::remove_file(lab.path("runner.toml"))),
        20 => File::options()
            .write(true)
            .open(lab.path("one.sh"))
            .unwrap()
            .set_modified(std::time::UNIX_EPOCH)
            .unwrap(),
        21 => drop(lab.run(&["cache", "gc", "--max-size", "1kB", "--keep-runs", "0"])),
        22 => args.extend(["--until".into(), "many".into()]),
        23 => args.extend(["--cache".into(), "off".into()]),
        24 => args.extend(["-s".into(), "tasks.value.cache_version=\"x\"".into()]),
        25 => drop(database(lab).execute("DELETE FROM memo WHERE rowid % 2 = 0", [])),
        26 => {
            let path = lab.path("one.sh");
            let text = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            fs::write(path, text).unwrap();
        }
        _ => {}
    }
}

/// Kinds of changes; as many again change nothing.
const KINDS: usize = 27;

#[test]
fn whatever_changes_a_run_executes_exactly_if_a_plan_says_so() {
    let many = std::env::var("RUNNER_FAULTS").is_ok_and(|asked| asked == "full");
    let lab = settled();
    let (mut random, mut honoured, mut executed) = (7_u64, 0, 0);
    for n in 0..if many { 1000 } else { 2 * KINDS } {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (mut args, mut env) = (Vec::new(), Vec::new());
        // Each kind once, and then by chance.
        let number = if n < KINDS { n } else { (random >> 33) as usize % (2 * KINDS) };
        change(&lab, number, n, &mut args, &mut env);
        still();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let plan_args: Vec<&str> = [&["plan", "w.toml", "--json"], &args[..]].concat();
        let planned = finish(lab.command(&plan_args).envs(env.iter().cloned()));
        let before = receipts(&lab);
        let run = |extra: &[&str]| {
            finish(
                lab.command(&[&["exec", "w.toml", "--json"], &args[..], extra].concat())
                    .envs(env.iter().cloned()),
            )
        };
        let first = run(&[]);
        assert_eq!(planned.code == Some(0), first.code == Some(0), "change {number}: {planned:?}\n{first:?}");
        if first.code != Some(0) {
            continue;
        }
        let would_run = planned.events("node_planned").iter().any(|node| node["runs"] == true);
        let did_run = first.finished()["executed"] != 0;
        assert_eq!(would_run, did_run, "change {number} ({n}): {}\n{}", planned.out, first.out);
        // Right away, and in full: all of it is there, and the same.
        let second = run(&[]);
        let in_full = full(&lab, &args, &env).expect_code(0);
        if number != 23 {
            assert_eq!(
                in_full.finished()["executed"],
                0,
                "change {number} ({n}): {first:?}\n{}",
                in_full.out
            );
            same_events(&second, &in_full, &format!("change {number} ({n})"));
            if let Some(put) = in_full.outputs()["put"]["path"].as_str() {
                let own = in_full.outputs()["own"]["path"].as_str().unwrap().to_owned();
                assert_eq!(fs::read(put).unwrap(), fs::read(own).unwrap(), "change {number} ({n})");
            }
        }
        executed += usize::from(did_run);
        honoured += usize::from(!did_run && receipts(&lab) == before);
    }
    assert!(honoured > 3 && executed > KINDS / 2, "{honoured} honoured, {executed} executed");
}

#[test]
fn a_receipt_ends_with_the_age_of_its_results() {
    let lab = Lab::new();
    let flow = "[workflow]\nname = \"w\"\n[tasks.t]\ncache = true\ncache_max_age = \"2s\"\noutputs = { x = \"string\" }\n\
                run = 'echo t >> @COUNT@; printf x > \"$OUT/x\"'\n[nodes.t]\n";
    lab.write("w.toml", flow);
    still();
    lab.ok("w.toml", &[]);
    let until = || {
        let text: String =
            database(&lab).query_row("SELECT text FROM receipt", [], |row| row.get(0)).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["until"]
            .as_str()
            .unwrap()
            .parse::<jiff::Timestamp>()
            .unwrap()
    };
    let done = lab.ok("w.toml", &[]);
    if done.finished()["executed"] == 0 {
        let created: jiff::Timestamp = done.node("t")["source"]["time"].as_str().unwrap().parse().unwrap();
        assert_eq!(until().as_millisecond(), created.as_millisecond() + 2000);
    }
    std::thread::sleep(Duration::from_millis(2100));
    assert_eq!(lab.ok("w.toml", &[]).cache("t"), "populated");
}

#[test]
fn what_does_more_than_hit_leaves_no_receipt() {
    let task = "[tasks.t]\ncache = true\noutputs = { x = \"string\" }\nrun = 'printf x > \"$OUT/x\"'\n";
    let head = "[workflow]\nname = \"w\"\n";
    for (why, flow, args) in [
        ("an uncached task", format!("{head}{task}[nodes.t]\n[tasks.u]\nrun = 'true'\n[nodes.u]\n"), &[][..]),
        (
            "a secret",
            format!("{head}{}[nodes.t]\n", task.replace("cache =", "secrets = [\"TOKEN\"]\ncache =")),
            &[],
        ),
        ("a lock of the workflow", format!("{head}exclusive = \"skip\"\n{task}[nodes.t]\n"), &[]),
        ("a lock of the request", format!("{head}{task}[nodes.t]\n"), &["--lock", "l"]),
        (
            "a hook",
            format!("{head}on_success = \"u\"\n{task}[nodes.t]\n[tasks.u]\nrun = 'true'\n[nodes.u]\n"),
            &[],
        ),
    ] {
        let lab = Lab::new();
        lab.write("w.toml", &flow);
        still();
        for _ in 0..3 {
            let args = [&["exec", "w.toml", "--json"], args].concat();
            let done = finish(lab.command(&args).env("TOKEN", "long-enough"));
            assert_eq!(done.code, Some(0), "{why}: {done:?}");
        }
        assert_eq!(receipts(&lab), [], "{why}");
    }
}

#[test]
fn a_damaged_receipt_and_one_whose_run_is_gone_are_not_honoured() {
    for damage in [
        "UPDATE receipt SET text = replace(text, '\"cached\"', '\"cachet\"')",
        "UPDATE receipt SET evidence = zeroblob(length(evidence))",
        "DELETE FROM run",
    ] {
        let lab = settled();
        database(&lab).execute(damage, []).unwrap();
        let done = lab.ok("w.toml", &[]);
        assert_eq!(done.finished()["executed"], 0, "{damage}");
    }
    // Its events have changed.
    let lab = settled();
    let text: String = database(&lab).query_row("SELECT text FROM receipt", [], |row| row.get(0)).unwrap();
    let run = serde_json::from_str::<Value>(&text).unwrap()["started"]["run"].as_str().unwrap().to_owned();
    let events = lab.home().join("logs").join(run).join("events.jsonl");
    let told = fs::read_to_string(&events).unwrap();
    fs::write(&events, told.replace("\"cache\":\"hit\"", "\"cache\":\"hot\"")).unwrap();
    let done = lab.ok("w.toml", &[]);
    assert_eq!(done.cache("value"), "hit");
    assert!(!done.out.contains("hot"));
}
