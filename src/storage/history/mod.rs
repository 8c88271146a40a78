//! History: every run with its events, as they were written, to be read by `runs`, `show` and `logs`.
//!
//! A run is one row of the database and one file with its events as JSON Lines, so that ten thousand hits cost
//! a few writes. Beside it stands what it was asked for, and the texts that it read.

mod error;
pub mod filter;
pub mod invocation;
pub mod neighbours;
pub mod places;
pub mod times;

use std::io::{self, BufRead, BufReader};
use std::path::Path;

use jiff::Timestamp;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, params};

pub use error::HistoryError;

use crate::core::event::{Counts, Event};
use crate::core::run_id::{RunId, RunName};
use crate::storage::own_file::{self, Access};
use crate::storage::own_folder;

/// Creates the tables; part of the database's schema, see `db.rs`.
pub const SCHEMA: &str = "
    CREATE TABLE run (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL UNIQUE,
        workflow TEXT NOT NULL,
        path TEXT NOT NULL,
        project TEXT NOT NULL,
        domain TEXT NOT NULL,
        status TEXT NOT NULL,
        started_ms INTEGER NOT NULL,
        finished_ms INTEGER,
        counts TEXT NOT NULL,
        saved_ms INTEGER NOT NULL
    );
    CREATE INDEX run_status ON run (status) WHERE status = 'running';
";

/// What was added to them later: what a run was asked for, and the texts that it read. `invocation` is JSON, empty for
/// older runs; a `document` is the text of a workflow file or library, under its digest.
pub const REMEMBERED: &str = "
    ALTER TABLE run ADD COLUMN invocation TEXT NOT NULL DEFAULT '';
    CREATE TABLE document (
        digest BLOB PRIMARY KEY,
        text TEXT NOT NULL
    );
";

/// A run's status in its row, beside those of [`crate::core::event::Status`].
pub const RUNNING: &str = "running";
/// The runner was killed, or its machine stopped.
pub const INTERRUPTED: &str = "interrupted";
/// Its jobs go on without a runner, as somebody wanted.
pub const DETACHED: &str = "detached";
/// It was interrupted and left jobs. In no row: it is so as long as there are such jobs.
pub const ABANDONED: &str = "abandoned";

impl ToSql for RunId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl FromSql for RunId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::parse(value.as_str()?).map_err(|error| FromSqlError::Other(Box::new(error)))
    }
}

/// A run's row.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub id: RunId,
    pub workflow: String,
    /// The workflow file, absolute.
    pub path: String,
    pub project: String,
    pub domain: String,
    pub status: String,
    pub started: Timestamp,
    pub finished: Option<Timestamp>,
    pub counts: Counts,
    pub saved_ms: u64,
}

const COLUMNS: &str =
    "run, workflow, path, project, domain, status, started_ms, finished_ms, counts, saved_ms";

fn read_run(row: &Row) -> rusqlite::Result<Run> {
    let instant = |ms| Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    let counts: String = row.get(8)?;
    Ok(Run {
        id: row.get(0)?,
        workflow: row.get(1)?,
        path: row.get(2)?,
        project: row.get(3)?,
        domain: row.get(4)?,
        status: row.get(5)?,
        started: instant(row.get(6)?),
        finished: row.get::<_, Option<i64>>(7)?.map(instant),
        counts: serde_json::from_str(&counts).unwrap_or_default(),
        saved_ms: row.get::<_, i64>(9)?.unsigned_abs(),
    })
}

/// Leaves out rows whose id is damaged: one such row must not hide the others.
fn readable<R>(rows: impl Iterator<Item = rusqlite::Result<R>>) -> impl Iterator<Item = rusqlite::Result<R>> {
    rows.filter(|row| !matches!(row, Err(rusqlite::Error::FromSqlConversionFailure(..))))
}

/// Writes a new run, or what has become of it.
///
/// # Errors
/// The database cannot be written.
pub fn record_run(db: &Connection, run: &Run) -> rusqlite::Result<()> {
    let counts = serde_json::to_string(&run.counts).unwrap_or_default();
    db.prepare_cached(&format!(
        "INSERT INTO run ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (run) DO UPDATE SET \
         status = ?6, started_ms = ?7, finished_ms = ?8, counts = ?9, saved_ms = ?10"
    ))?
    .execute(params![
        run.id,
        run.workflow,
        run.path,
        run.project,
        run.domain,
        run.status,
        run.started.as_millisecond(),
        run.finished.map(Timestamp::as_millisecond),
        counts,
        i64::try_from(run.saved_ms).unwrap_or(i64::MAX),
    ])?;
    Ok(())
}

/// Whether any run of a workflow has succeeded.
///
/// # Errors
/// The database cannot be read.
pub fn has_succeeded(db: &Connection, workflow: &str) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM run WHERE workflow = ?1 AND status = 'succeeded')")?
        .query_row([workflow], |row| row.get(0))
}

/// The latest runs, newest first.
///
/// # Errors
/// The database cannot be read.
pub fn latest(db: &Connection, limit: usize) -> rusqlite::Result<Vec<Run>> {
    let mut statement = db.prepare(&format!("SELECT {COLUMNS} FROM run ORDER BY id DESC LIMIT ?1"))?;
    let rows = statement.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], read_run)?;
    readable(rows).collect()
}

/// The latest run of a workflow file, whose path is absolute.
///
/// # Errors
/// The database cannot be read.
pub fn of_path(db: &Connection, path: &Path) -> rusqlite::Result<Option<Run>> {
    let mut statement =
        db.prepare(&format!("SELECT {COLUMNS} FROM run WHERE path = ?1 ORDER BY id DESC LIMIT 1"))?;
    readable(statement.query_map([path.to_string_lossy()], read_run)?).next().transpose()
}

/// The runs whose row says that they are running.
///
/// # Errors
/// The database cannot be read.
pub fn unfinished(db: &Connection) -> rusqlite::Result<Vec<Run>> {
    let mut statement =
        db.prepare(&format!("SELECT {COLUMNS} FROM run WHERE status = 'running' ORDER BY id"))?;
    readable(statement.query_map([], read_run)?).collect()
}

/// Whether a run has a row; yes where that cannot be read.
pub fn is_known(db: &Connection, run: RunId) -> bool {
    let found = db.query_row("SELECT 1 FROM run WHERE run = ?1", [run], |_| Ok(()));
    !matches!(found, Err(rusqlite::Error::QueryReturnedNoRows))
}

/// Finds the run that a user means; see [`RunName`].
///
/// # Errors
/// The name is malformed, names no run or more than one, or the database cannot be read.
pub fn find(db: &Connection, name: &str) -> Result<Run, HistoryError> {
    let nth = |filter: &str, skip: u64| {
        let query = format!("SELECT {COLUMNS} FROM run {filter} ORDER BY id DESC LIMIT 1 OFFSET ?1");
        let skip = i64::try_from(skip).unwrap_or(i64::MAX);
        db.query_row(&query, [skip], read_run).optional()
    };
    let unknown = || HistoryError::Unknown(name.to_owned());
    match RunName::parse(name)? {
        RunName::Last => nth("", 0)?.ok_or(HistoryError::NoRun),
        RunName::LastFailed => nth("WHERE status = 'failed'", 0)?.ok_or(HistoryError::NoFailedRun),
        RunName::Back(count) => nth("", count - 1)?.ok_or_else(unknown),
        RunName::Prefix(prefix) if prefix.is_empty() => Err(unknown()),
        RunName::Prefix(prefix) => {
            let query = format!("SELECT {COLUMNS} FROM run WHERE substr(run, 1, length(?1)) = ?1 LIMIT 2");
            let rows: Result<Vec<_>, _> = db.prepare(&query)?.query_map([&prefix], read_run)?.collect();
            let mut rows = rows?;
            if rows.len() > 1 {
                return Err(HistoryError::Ambiguous(prefix));
            }
            rows.pop().ok_or_else(unknown)
        }
    }
}

/// The events of a run, in order. Lines that do not read are left out: the last one of a runner that was killed
/// may be torn, and a newer program may have written others. A missing file is a run without events.
///
/// They are read as they are asked for: a run of many elements has very many. What cannot be read ends them.
///
/// # Errors
/// The file exists but cannot be opened.
pub fn events(path: &Path) -> io::Result<impl Iterator<Item = Event> + use<>> {
    Ok(events_checked(path)?.map_while(Result::ok))
}

/// The same for a caller that must know whether these are all: a file that cannot be read ends with the error.
///
/// # Errors
/// The file is there and cannot be opened.
pub fn events_checked(path: &Path) -> io::Result<impl Iterator<Item = io::Result<Event>> + use<>> {
    let file = match own_folder::open(path.parent().unwrap_or(path))
        .and_then(|_| own_file::open(path, Access::Read))
    {
        Ok(file) => Some(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let mut failed = false;
    let lines = file.into_iter().flat_map(|file| BufReader::new(file).split(b'\n'));
    let lines = lines.take_while(move |line| !std::mem::replace(&mut failed, line.is_err()));
    Ok(lines.filter_map(|line| match line {
        Ok(line) => serde_json::from_slice(&line).ok().map(Ok),
        Err(error) => Some(Err(error)),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn database(runs: &[(&str, &str)]) -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(&[SCHEMA, REMEMBERED].concat()).unwrap();
        for (id, status) in runs {
            let run = Run {
                id: (*id).into(),
                workflow: "w".into(),
                path: "/w.toml".into(),
                project: "p".into(),
                domain: "d".into(),
                status: status.to_string(),
                started: Timestamp::from_millisecond(5).unwrap(),
                finished: None,
                counts: Counts { nodes: 3, ..Counts::default() },
                saved_ms: 0,
            };
            record_run(&db, &run).unwrap();
        }
        db
    }

    #[test]
    fn runs_are_found_by_what_people_call_them() {
        let db = database(&[("abc1", "succeeded"), ("abd2", "failed"), ("xyz3", "succeeded")]);
        let id = |name: &str| find(&db, name).map(|run| run.id);
        assert_eq!(id("xyz3").unwrap(), "xyz3");
        assert_eq!(id("x").unwrap(), "xyz3");
        assert_eq!(id("@last").unwrap(), "xyz3");
        assert_eq!(id("@-2").unwrap(), "abd2");
        assert_eq!(id("@last-failed").unwrap(), "abd2");
        assert!(id("ab").unwrap_err().to_string().contains("more than one"));
        for unknown in ["nope", "", "@-9", "%"] {
            assert!(matches!(id(unknown), Err(HistoryError::Unknown(_))), "{unknown}");
        }
        for malformed in ["@-0", "@first"] {
            assert!(matches!(id(malformed), Err(HistoryError::Name(_))), "{malformed}");
        }
        let empty = database(&[]);
        assert!(matches!(find(&empty, "@last"), Err(HistoryError::NoRun)));
        assert!(matches!(find(&empty, "@last-failed"), Err(HistoryError::NoFailedRun)));
        let broken = find(&Connection::open_in_memory().unwrap(), "@last").unwrap_err();
        assert!(broken.is_storage(), "{broken}");
    }

    #[test]
    fn events_come_back_in_order() {
        let warning = |text: &str| {
            Event::Warning(crate::core::event::Warning {
                time: Timestamp::UNIX_EPOCH,
                message: text.into(),
                node: None,
            })
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        assert_eq!(events(&path).unwrap().count(), 0);
        let lines =
            [warning("1").to_line(), "nonsense".into(), warning("2").to_line(), "{\"v\":1,\"ev".into()];
        std::fs::write(&path, lines.join("\n")).unwrap();
        assert_eq!(events(&path).unwrap().collect::<Vec<_>>(), [warning("1"), warning("2")]);
    }
}
