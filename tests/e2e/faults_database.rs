//! Damage to the database: the cache may forget, never lie, and nothing asks for a manual step.
//!
//! What becomes of earlier runs: `faults_lost_database`.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::common::Lab;
use crate::common::one_task::OneTask;
use crate::common::trial::Trial;

/// A trial that ran once, with all of its database in one file.
fn after_a_run() -> Trial {
    let trial = Trial::new();
    trial.lab.ok("w.toml", &[]);
    let db = rusqlite::Connection::open(trial.database()).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    trial
}

/// The databases that were set aside.
fn set_aside(lab: &Lab) -> Vec<PathBuf> {
    let entries = fs::read_dir(lab.home()).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_str().unwrap().contains("runner.db.damaged-")).collect()
}

fn overwrite(path: &Path, offset: u64, bytes: &[u8]) {
    fs::File::options().write(true).open(path).unwrap().write_all_at(bytes, offset).unwrap();
}

#[test]
fn a_database_replaced_by_garbage_is_set_aside_with_a_warning() {
    let trial = after_a_run();
    let garbage = b"not a database, but long enough to be one. ".repeat(300);
    fs::write(trial.database(), &garbage).unwrap();
    let run = trial.settles();
    assert!(run.warnings().contains("set aside"), "{run:?}");
    let aside = set_aside(&trial.lab);
    assert!(aside.iter().any(|path| fs::read(path).unwrap() == garbage), "nothing is thrown away: {aside:?}");
}

#[test]
fn a_database_cut_short_is_set_aside_with_a_warning() {
    let trial = after_a_run();
    let full = fs::read(trial.database()).unwrap();
    for length in [1, 99, 100, 4096, 5000, full.len() / 2, full.len() - 1] {
        fs::write(trial.database(), &full[..length]).unwrap();
        trial.settles();
    }
    assert!(!set_aside(&trial.lab).is_empty());
}

#[test]
fn an_empty_or_missing_database_is_taken_up_again() {
    let trial = after_a_run();
    fs::write(trial.database(), "").unwrap();
    assert_eq!(trial.settles().finished()["cached"], 20);
    fs::remove_file(trial.database()).unwrap();
    assert_eq!(trial.settles().finished()["cached"], 20);
}

#[test]
fn another_programs_database_is_set_aside() {
    let trial = after_a_run();
    fs::remove_file(trial.database()).unwrap();
    let other = rusqlite::Connection::open(trial.database()).unwrap();
    other.execute_batch("CREATE TABLE memo (other TEXT)").unwrap();
    drop(other);
    assert!(trial.settles().warnings().contains("set aside"));
}

/// Each page in turn is filled with nonsense. Damage may sleep where no run looks, in old history; where one
/// does look, it is over with the run after.
#[test]
fn a_database_with_a_damaged_page_never_gives_a_wrong_result_and_heals() {
    let trial = after_a_run();
    let full = fs::read(trial.database()).unwrap();
    for page in 0..full.len() as u64 / 4096 {
        fs::write(trial.database(), &full).unwrap();
        overwrite(&trial.database(), page * 4096, &[0xA5; 4096]);
        for args in [&[][..], &["--overwrite"]] {
            trial.expect_outputs(&trial.lab.ok("w.toml", args));
        }
        trial.heals();
    }
}

/// Single bits, all over the file.
#[test]
fn a_database_with_a_flipped_bit_never_gives_a_wrong_result() {
    let trial = after_a_run();
    let full = fs::read(trial.database()).unwrap();
    for step in 0..24 {
        let offset = (full.len() - 1) * step / 23;
        fs::write(trial.database(), &full).unwrap();
        overwrite(&trial.database(), offset as u64, &[full[offset] ^ (1 << (step % 8))]);
        let run = trial.lab.exec("w.toml", &[]);
        match run.code {
            Some(0) => trial.expect_outputs(&run),
            // The bit made the schema's version a newer one.
            other => assert!(other == Some(4) && run.err.contains("newer"), "byte {offset}: {run:?}"),
        }
    }
}

#[test]
fn a_damaged_log_of_the_database_costs_at_most_what_it_held() {
    let trial = Trial::new();
    let wal = trial.lab.home().join("runner.db-wal");
    for round in 0..4 {
        // A connection that stays open keeps the log from being folded into the database.
        trial.lab.ok("w.toml", &["--overwrite"]);
        let open = rusqlite::Connection::open(trial.database()).unwrap();
        open.query_row("SELECT count(*) FROM memo", [], |_| Ok(())).unwrap();
        trial.lab.ok("w.toml", &["--overwrite"]);
        let bytes = fs::read(&wal).unwrap();
        assert!(!bytes.is_empty());
        let database = fs::read(trial.database()).unwrap();
        drop(open);
        fs::write(trial.database(), &database).unwrap();
        fs::write(&wal, &bytes).unwrap();
        match round {
            0 => overwrite(&wal, bytes.len() as u64 / 2, &[0xA5; 64]),
            1 => fs::write(&wal, &bytes[..bytes.len() / 3]).unwrap(),
            2 => fs::write(&wal, b"garbage".repeat(1000)).unwrap(),
            _ => fs::write(trial.lab.home().join("runner.db-shm"), vec![0xA5; 32768]).unwrap(),
        }
        trial.settles();
    }
}

/// A failing disk can keep a new database from getting its log; in that state a run waits for itself.
#[test]
fn a_database_without_a_write_ahead_log_gets_one() {
    let trial = after_a_run();
    let db = rusqlite::Connection::open(trial.database()).unwrap();
    let mode: String = db.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "delete");
    drop(db);
    trial.settles();
}

#[test]
fn a_newer_schema_is_refused_untouched() {
    let trial = after_a_run();
    let db = rusqlite::Connection::open(trial.database()).unwrap();
    db.execute_batch("PRAGMA user_version = 99; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(db);
    let before = fs::read(trial.database()).unwrap();
    for args in [&["exec", "w.toml"][..], &["plan", "w.toml"], &["runs"], &["show", "@last"]] {
        let refused = trial.lab.run(args).expect_code(4);
        assert!(refused.err.contains("newer") && refused.err.contains("runner.db"), "{refused:?}");
        assert_eq!(refused.out, "");
    }
    assert!(fs::read(trial.database()).unwrap() == before && set_aside(&trial.lab).is_empty());
}

/// A table that cannot be read is a fault of the cache, not of the task.
#[test]
fn a_lookup_that_fails_is_told_and_the_task_runs_anyway() {
    let lab = Lab::new();
    lab.write("w.toml", &OneTask::default().text());
    lab.ok("w.toml", &[]);
    let db = rusqlite::Connection::open(lab.home().join("runner.db")).unwrap();
    db.execute_batch("ALTER TABLE memo RENAME COLUMN outputs TO elsewhere").unwrap();
    drop(db);
    let run = lab.ok("w.toml", &[]);
    assert!(["lookup_failure", "put_failure"].contains(&run.cache("n").as_str()), "{run:?}");
    assert_eq!((run.outputs()["y"].as_str(), lab.ran()), (Some("a"), 2));
    assert!(run.warnings().contains("cache"), "{run:?}");
    let person = lab.run(&["exec", "w.toml"]).expect_code(0);
    assert!(person.err.contains("cache") && person.out == "y = \"a\"\n", "{person:?}");
}

#[test]
fn a_result_that_cannot_be_stored_is_a_put_failure_and_the_run_goes_on_loudly() {
    let lab = Lab::new();
    lab.write("w.toml", &OneTask::default().text());
    lab.ok("w.toml", &[]);
    let db = rusqlite::Connection::open(lab.home().join("runner.db")).unwrap();
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON memo BEGIN SELECT RAISE(ABORT, 'disk is full'); END";
    db.execute_batch(refuse).unwrap();
    let run = lab.ok("w.toml", &["-i", "x=b"]);
    assert_eq!((run.cache("n").as_str(), run.outputs()["y"].as_str()), ("put_failure", Some("b")));
    assert!(run.warnings().contains("disk is full"), "{run:?}");
    db.execute_batch("DROP TRIGGER refuse").unwrap();
    assert_eq!(lab.ok("w.toml", &["-i", "x=b"]).cache("n"), "populated");
}
