//! Text made by mutation of good text (`corpus/`): whatever it is, the readers answer without a panic and without a hang.
//!
//! A few hundred texts a reader by default, as many as fit into ten minutes with the full counts.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use runner::core::digest::Digest;
use runner::core::event::Event;
use runner::core::reporter::Reporter;
use runner::core::types::Type;
use runner::core::value::Value;
use runner::storage::history;
use runner::storage::memo::listing::{self, EntryFilter};
use runner::storage::store::directory_entries;
use runner::view::Verbosity;
use runner::view::text::plain::Plain;
use runner::workflow::load::load;
use runner::workflow::template::Template;

use super::count;
use crate::common::Lab;
use crate::common::trial::Trial;

/// Numbers that only look random, so that what fails fails again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        // A step of `splitmix64`.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % sides.max(1) as u64) as usize
    }

    fn of<'t, T>(&mut self, all: &'t [T]) -> &'t T {
        &all[self.roll(all.len())]
    }
}

/// What readers may trip over.
const TOKENS: [&str; 40] = [
    "{{",
    "}}",
    "{%",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    "'''",
    "\n",
    "\r\n",
    "\\",
    "\\u0000",
    "=",
    ".",
    ",",
    "#",
    "-",
    "0x",
    "1e999",
    "-9223372036854775808",
    "18446744073709551616",
    "nan",
    "inf",
    "null",
    "true",
    "list<",
    ">",
    "map<",
    "?",
    "|",
    "[nodes.x]",
    "inputs",
    "0001-01-01",
    "9999-12-31T23:59:60Z",
    "P1Y",
    "\u{202e}",
    "\u{0}",
    "é😀",
];

fn mutate(dice: &mut Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = dice.of(seeds).clone();
    for _ in 0..1 + dice.roll(6) {
        let at = dice.roll(bytes.len() + 1);
        let end = (at + dice.roll(30)).min(bytes.len());
        match dice.roll(7) {
            0 if !bytes.is_empty() => {
                let at = dice.roll(bytes.len());
                bytes[at] ^= 1 << dice.roll(8);
            }
            1 => drop(bytes.drain(at..end)),
            2 => drop(bytes.splice(at..at, dice.of(&TOKENS).bytes())),
            3 => {
                let piece = bytes[at..end].to_vec();
                let to = dice.roll(bytes.len() + 1);
                drop(bytes.splice(to..to, piece));
            }
            4 => {
                let other = dice.of(seeds);
                let from = dice.roll(other.len() + 1);
                let until = (from + dice.roll(60)).min(other.len());
                drop(bytes.splice(at..end, other[from..until].iter().copied()));
            }
            5 => drop(bytes.splice(at..at, dice.of(&TOKENS).repeat(dice.roll(50)).into_bytes())),
            _ => bytes.truncate(at),
        }
    }
    bytes
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/faults/corpus").join(name);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Gives `read` texts until it is enough; none may take long.
fn fuzz(name: &str, seeds: &[Vec<u8>], few: usize, mut read: impl FnMut(&[u8])) {
    let (begin, mut dice, mut texts, mut slowest) = (Instant::now(), Dice(7), 0, Duration::ZERO);
    let least = Duration::from_secs(count(0, 600) as u64);
    while texts < few || begin.elapsed() < least {
        let text = mutate(&mut dice, seeds);
        // Named if the reader panics or aborts: the last line tells the text.
        let shown = String::from_utf8_lossy(&text).into_owned();
        let guard = Shown(&shown);
        let start = Instant::now();
        read(&text);
        std::mem::forget(guard);
        slowest = slowest.max(start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(20), "{name} takes too long: {shown:?}");
        texts += 1;
    }
    eprintln!("{name}: {texts} texts, the slowest took {slowest:?}");
}

struct Shown<'t>(&'t str);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        eprintln!("failed with {:?}", self.0);
    }
}

#[test]
fn workflow_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.toml");
    fuzz("workflow files", &seeds("workflow"), 400, |text| {
        fs::write(&path, text).unwrap();
        let loaded = load(&path, &[]);
        let shown = loaded.sources.render(&loaded.diagnostics, true);
        assert_eq!(shown.is_empty(), loaded.diagnostics.is_empty());
    });
}

#[test]
fn templates() {
    fuzz("templates", &seeds("template"), 2000, |text| {
        let text = String::from_utf8_lossy(text);
        match Template::parse(&text) {
            Ok(template) => {
                assert_eq!(template.source(), text);
                assert!(template.variables().iter().all(|found| text.get(found.range.clone()).is_some()));
            }
            Err(error) => assert!(text.get(error.range).is_some(), "a place in the text"),
        }
    });
}

#[test]
fn values() {
    let types = [
        "string",
        "int",
        "float",
        "bool",
        "date",
        "datetime",
        "duration",
        "json",
        "list<int>",
        "map<list<float>>",
        "list<datetime>?",
        "map<json>",
    ];
    let types = types.map(|text| Type::parse(text).unwrap());
    let mut next = 0;
    fuzz("values", &seeds("value"), 3000, |text| {
        let text = String::from_utf8_lossy(text);
        let _ = Type::parse(&text);
        next += 1;
        let ty = &types[next % types.len()];
        if let Ok(value) = Value::from_text(ty, &text) {
            let back = Value::from_json(ty, &value.to_record());
            assert_eq!(back.map(|value| value.to_record()), Ok(value.to_record()), "{ty}");
        }
    });
}

#[test]
fn event_lines() {
    let all = seeds("event");
    let lines: Vec<Vec<u8>> =
        all.iter().flat_map(|text| text.split(|b| *b == b'\n')).map(<[u8]>::to_vec).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let mut plain = Plain::new(std::io::sink(), Verbosity::Verbose, TimeZone::UTC);
    fuzz("event lines", &lines, 3000, |text| {
        if let Ok(event) = serde_json::from_slice::<Event>(text) {
            let line = event.to_line();
            let again: Event = serde_json::from_str(&line).unwrap();
            assert_eq!(again.to_line(), line);
            plain.event(&event, &line);
        }
        fs::write(&path, text).unwrap();
        history::events(&path).unwrap().for_each(drop);
    });
}

#[test]
fn manifests() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = 'w'\n[tasks.t]\noutputs = { d = 'dir' }\n\
         run = 'mkdir -p $OUT/d/s; echo 1 > $OUT/d/s/f; ln -s s/f $OUT/d/l; cp /bin/true $OUT/d/x'\n[nodes.t]\n",
    );
    lab.ok("w.toml", &[]);
    let blobs = lab.home().join("store/blobs");
    let all = fs::read_dir(&blobs).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    let good: Vec<_> = all.filter(|bytes| bytes.starts_with(b"runner-manifest")).collect();
    assert_eq!(good.len(), 1);
    fuzz("manifests", &good, 3000, |bytes| {
        let digest = Digest::of(bytes);
        let path = blobs.join(digest.hex());
        // The good one stays, for a text like it.
        if path.exists() {
            return;
        }
        fs::write(&path, bytes).unwrap();
        for (name, _) in directory_entries(&lab.home(), &digest).into_iter().flatten() {
            let leads_out = name.split('/').any(|part| matches!(part, "" | "." | ".."));
            assert!(!leads_out, "{name:?}");
        }
        fs::remove_file(&path).unwrap();
    });
}

#[test]
fn stored_rows() {
    let trial = Trial::new();
    trial.lab.ok("w.toml", &[]);
    let db = rusqlite::Connection::open(trial.database()).unwrap();
    let columns = [
        ("memo", "outputs"),
        ("memo", "inputs"),
        ("memo", "key"),
        ("memo", "definition"),
        ("memo", "run"),
        ("memo", "provenance"),
        ("memo", "created_ms"),
        ("definition", "parts"),
        ("interface", "parts"),
        ("run", "counts"),
        ("run", "invocation"),
        ("run", "run"),
        ("run", "started_ms"),
        ("run", "status"),
    ];
    let mut texts: Vec<Vec<u8>> = Vec::new();
    for (table, column) in columns {
        let query = format!("SELECT CAST({column} AS BLOB) FROM {table} WHERE {column} IS NOT NULL LIMIT 2");
        let mut rows = db.prepare(&query).unwrap();
        texts.extend(rows.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap().map(Result::unwrap));
    }
    let mut next = 0;
    fuzz("stored rows", &texts, 600, |text| {
        next += 1;
        let (table, column) = columns[next % columns.len()];
        db.execute_batch("BEGIN").unwrap();
        let cast = ["TEXT", "BLOB", "INTEGER"][next / columns.len() % 3];
        let set = format!(
            "UPDATE {table} SET {column} = CAST(?1 AS {cast}) WHERE rowid = (SELECT min(rowid) FROM {table})"
        );
        let no_rowid = matches!(table, "definition" | "interface");
        let set = if no_rowid { format!("UPDATE {table} SET {column} = CAST(?1 AS {cast})") } else { set };
        // Not every column takes every value.
        if db.execute(&set, [text]).is_ok() {
            let _ = listing::visit(&db, &EntryFilter::default(), &mut |listed| {
                listing::files_in(&listed.entry.found.outputs);
            });
            if let Ok(runs) = history::latest(&db, 10) {
                for run in runs {
                    let _ = history::invocation::invocation(&db, run.id);
                }
            }
            let _ = history::unfinished(&db);
        }
        db.execute_batch("ROLLBACK").unwrap();
    });
    drop(db);
    trial.settles();
}
