//! Databases of earlier versions: each is migrated with all that it holds, also when the first try is killed. (A newer one is
//! refused untouched: `faults_database`.)

use std::fs;
use std::path::Path;

use rusqlite::Connection;

use super::{count, injected, spread};
use crate::common::trial::Trial;

/// The steps to each version but the newest.
const STEPS: &str = include_str!("schemas.sql");

fn steps(version: usize) -> String {
    let all: Vec<&str> = STEPS.split("\n-- version ").skip(1).collect();
    let text = |step: &&str| step.split_once('\n').unwrap().1.to_owned();
    all[..version].iter().map(text).collect()
}

/// How many versions there were before the newest.
fn earlier() -> usize {
    STEPS.matches("\n-- version ").count()
}

/// Replaces the database by one of an earlier version with the same rows, as far as that had a place for them.
fn turn_back(trial: &Trial, version: usize) {
    let (database, old) = (trial.database(), trial.lab.path("old.db"));
    let _ = fs::remove_file(&old);
    let db = Connection::open(&old).unwrap();
    db.execute_batch(&format!("{}; PRAGMA user_version = {version};", steps(version))).unwrap();
    db.execute("ATTACH ?1 AS today", [database.to_str().unwrap()]).unwrap();
    let tables: Vec<String> = list(&db, "SELECT name FROM main.sqlite_schema WHERE type = 'table'");
    // Rows that the schema itself makes.
    let own = ["footprint", "memo_changes"];
    for table in tables.iter().filter(|table| !own.contains(&table.as_str())) {
        let columns = list(&db, &format!("SELECT name FROM pragma_table_info('{table}')")).join(", ");
        let copy =
            format!("INSERT OR REPLACE INTO main.{table} ({columns}) SELECT {columns} FROM today.{table}");
        db.execute_batch(&copy).unwrap();
    }
    drop(db);
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", database.display()));
    }
    fs::rename(&old, &database).unwrap();
}

fn list(db: &Connection, query: &str) -> Vec<String> {
    let mut statement = db.prepare(query).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn version(database: &Path) -> i64 {
    Connection::open(database).unwrap().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
}

/// A trial with one run, whose database is of that version; and the run.
fn of_version(version: usize) -> (Trial, String) {
    let trial = Trial::new();
    let run = trial.lab.ok("w.toml", &[]).finished()["run"].as_str().unwrap().to_owned();
    turn_back(&trial, version);
    (trial, run)
}

#[track_caller]
fn has_all(trial: &Trial, run: &str) {
    let listed = trial.lab.run(&["runs", "--json"]).expect_code(0);
    assert!(listed.lines().iter().any(|line| line["run"] == run), "{}", listed.out);
    trial.lab.run(&["show", run]).expect_code(0);
}

#[test]
fn of_every_earlier_version_is_migrated_with_its_results() {
    let fresh = Trial::new();
    fresh.lab.ok("w.toml", &[]);
    for from in 1..=earlier() {
        let (trial, run) = of_version(from);
        let first = trial.settles();
        assert_eq!(first.finished()["cached"], 20, "version {from}: {first:?}");
        assert_eq!(version(&trial.database()), version(&fresh.database()));
        has_all(&trial, &run);
    }
}

#[test]
fn one_whose_migration_is_killed_is_migrated_by_the_next() {
    for (i, when) in spread(count(4, 50), 60).enumerate() {
        let (trial, run) = of_version(1 + i % earlier());
        let calls = ["pwrite64", "fdatasync,fsync", "ftruncate,unlink", "openat"][i % 4];
        if injected(&trial, &format!("{calls}:signal=KILL:when={when}")).is_none() {
            return;
        }
        trial.settles();
        has_all(&trial, &run);
    }
}
