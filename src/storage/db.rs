//! The one database: opening it, its settings, and the version of its schema.
//!
//! What the tables mean belongs to those who own them. A damaged database is set aside under another name
//! and an empty one is begun: the cache may forget, and no crash needs a manual step.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::storage::home::{is_full, no_space};

/// The file's name inside of the home folder.
const FILE: &str = "runner.db";

/// The path of SQLite's write-ahead log.
pub fn log_path(home: &Path) -> PathBuf {
    home.join(FILE).with_extension("db-wal")
}

/// Left behind by a run that met damage, so that the next one looks closely.
const SUSPECT: &str = "runner.db.suspect";

/// How long a writer waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);

/// The steps from an empty database to today's schema; `user_version` counts those taken.
fn steps() -> [String; 6] {
    [
        [crate::storage::memo::sqlite::SCHEMA, crate::storage::history::SCHEMA, STAT_SCHEMA].concat(),
        crate::storage::history::times::SCHEMA.to_owned(),
        [
            crate::storage::memo::sqlite::EXPLAINED,
            crate::storage::history::REMEMBERED,
            crate::storage::history::times::MEANS,
        ]
        .concat(),
        crate::storage::gc::footprint::SCHEMA.to_owned(),
        crate::storage::publish::record::SCHEMA.to_owned(),
        crate::storage::memo::sqlite::PROVENANCE.to_owned(),
    ]
}

/// Why the database cannot be used.
#[derive(Debug)]
pub enum DbError {
    /// It was written by a newer version of the program.
    Newer {
        path: PathBuf,
        found: i64,
    },
    Io {
        path: PathBuf,
        error: io::Error,
    },
    Sqlite {
        path: PathBuf,
        error: rusqlite::Error,
    },
}

impl fmt::Display for DbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newer { path, found } => write!(
                f,
                "{} was written by a newer runner (schema {found}, this one knows {}): update runner, or use another \
                 --home",
                path.display(),
                steps().len()
            ),
            Self::Io { path, error } if is_full(error) => {
                write!(f, "cannot use {}: {}", path.display(), no_space(path.parent().unwrap_or(path)))
            }
            Self::Sqlite { path, error } if code(error) == Some(ErrorCode::DiskFull) => {
                write!(f, "cannot use {}: {}", path.display(), no_space(path.parent().unwrap_or(path)))
            }
            Self::Io { path, error } => write!(f, "cannot use {}: {error}", path.display()),
            Self::Sqlite { path, error } => write!(f, "cannot use {}: {error}", path.display()),
        }
    }
}

/// The stat cache's table; `store/stat.rs` says what its columns mean.
const STAT_SCHEMA: &str = "
    CREATE TABLE file_stat (
        dev INTEGER NOT NULL,
        ino INTEGER NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        ctime_ns INTEGER NOT NULL,
        digest BLOB NOT NULL,
        PRIMARY KEY (dev, ino)
    ) WITHOUT ROWID;
";

/// Opens the database in `home` for writing, creating or migrating it. The text is a warning: an older
/// database was damaged and set aside.
pub fn open(home: &Path) -> Result<(Connection, Option<String>), DbError> {
    let path = home.join(FILE);
    let io = |error| DbError::Io { path: path.clone(), error };
    // One process at a time creates, migrates or sets aside.
    let lock = File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(home.join("runner.db.lock"))
        .map_err(io)?;
    lock.lock().map_err(io)?;
    let suspect = home.join(SUSPECT);
    let first = prepare(&path, suspect.exists());
    let error = match first {
        Ok(db) => {
            let _ = fs::remove_file(&suspect);
            return Ok((db, None));
        }
        Err(error) if is_damage(&error) => error,
        Err(error) => return Err(error),
    };
    let aside = set_aside(&path).map_err(io)?;
    let _ = fs::remove_file(&suspect);
    let db = prepare(&path, false)?;
    let warning = format!(
        "the database was damaged ({error}); it was set aside as {} and an empty one begun",
        aside.display()
    );
    Ok((db, Some(warning)))
}

/// Opens the database for reading only; `None` if there is none yet. An older one is migrated first: what was stored
/// is there to be seen.
pub fn open_read_only(home: &Path) -> Result<Option<Connection>, DbError> {
    match open_current(home)? {
        Some((db, true)) => Ok(Some(db)),
        Some((_, false)) => {
            // In a home that cannot be written to there is nothing to be seen until it can.
            let migrated = open(home).is_ok();
            Ok(open_current(home)?.filter(|_| migrated).map(|(db, _)| db))
        }
        None => Ok(None),
    }
}

/// The database for reading only, and whether its schema is today's; else it is older.
fn open_current(home: &Path) -> Result<Option<(Connection, bool)>, DbError> {
    let path = home.join(FILE);
    if !path.exists() {
        return Ok(None);
    }
    let sqlite = |error| DbError::Sqlite { path: path.clone(), error };
    let db = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(sqlite)?;
    db.busy_timeout(BUSY_TIMEOUT).map_err(sqlite)?;
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(sqlite)?;
    match version.cmp(&(steps().len() as i64)) {
        std::cmp::Ordering::Greater => Err(DbError::Newer { path, found: version }),
        std::cmp::Ordering::Equal => Ok(Some((db, true))),
        std::cmp::Ordering::Less => Ok(Some((db, false))),
    }
}

/// A second connection to a database that [`open`] prepared, for reading.
pub fn open_reader(home: &Path) -> Result<Connection, DbError> {
    let path = home.join(FILE);
    let sqlite = |error| DbError::Sqlite { path: path.clone(), error };
    let db = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(sqlite)?;
    db.busy_timeout(BUSY_TIMEOUT).map_err(sqlite)?;
    db.execute_batch("PRAGMA mmap_size = 268435456").map_err(sqlite)?;
    Ok(db)
}

/// A second connection to a database that [`open`] prepared, for writing what the run's writer does not.
pub fn open_writer(home: &Path) -> Result<Connection, DbError> {
    let path = home.join(FILE);
    let sqlite = |error| DbError::Sqlite { path: path.clone(), error };
    let db = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(sqlite)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(sqlite)?;
    db.busy_timeout(BUSY_TIMEOUT).map_err(sqlite)?;
    db.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF").map_err(sqlite)?;
    Ok(db)
}

/// Notes that the database seems damaged: the next [`open`] checks all of it.
pub fn suspect(home: &Path, error: &rusqlite::Error) {
    if matches!(code(error), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)) {
        // If even this cannot be written, the next run meets the damage again and tries again.
        let _ = File::create(home.join(SUSPECT));
    }
}

/// Makes an empty file for its owner alone: SQLite would let others read it. Its companions take over the mode.
///
/// A file that exists is not opened: SQLite's locks belong to the process, and closing any other descriptor of the file
/// would release those of every connection in it.
fn create_private(path: &Path) -> Result<(), DbError> {
    match File::options().create_new(true).write(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(DbError::Io { path: path.to_owned(), error })
        }
        _ => Ok(()),
    }
}

fn prepare(path: &Path, check: bool) -> Result<Connection, DbError> {
    let sqlite = |error| DbError::Sqlite { path: path.to_owned(), error };
    create_private(path)?;
    let db = Connection::open(path).map_err(sqlite)?;
    // The log stays when the program ends: to copy and sync it each time would cost a short run more than its work.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(sqlite)?;
    db.busy_timeout(BUSY_TIMEOUT).map_err(sqlite)?;
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(sqlite)?;
    let steps = steps();
    if version > steps.len() as i64 {
        return Err(DbError::Newer { path: path.to_owned(), found: version });
    }
    if check {
        let verdict: String =
            db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(sqlite)?;
        if verdict != "ok" {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
            return Err(sqlite(rusqlite::Error::SqliteFailure(code, Some(verdict))));
        }
    }
    // Asked for each time and looked at: SQLite does not call it an error when it cannot, and without it a
    // run's own reader and writer lock each other out.
    let mode: String = db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(sqlite)?;
    if mode != "wal" {
        let error =
            io::Error::other("no write-ahead log can be kept beside it: is the disk local and sound?");
        return Err(DbError::Io { path: path.to_owned(), error });
    }
    if version < steps.len() as i64 {
        let mut batch = String::from("BEGIN IMMEDIATE;");
        steps[version.max(0) as usize..].iter().for_each(|step| batch.push_str(step));
        batch.push_str(&format!("PRAGMA user_version = {}; COMMIT;", steps.len()));
        db.execute_batch(&batch).map_err(sqlite)?;
    }
    db.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF; PRAGMA mmap_size = 268435456")
        .map_err(sqlite)?;
    Ok(db)
}

fn code(error: &rusqlite::Error) -> Option<ErrorCode> {
    error.sqlite_error_code()
}

fn is_damage(error: &DbError) -> bool {
    match error {
        DbError::Sqlite { error, .. } => {
            matches!(code(error), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
                // A file that is a database, but not with our tables.
                || matches!(error, rusqlite::Error::SqlInputError { msg, .. } if msg.contains("already exists"))
        }
        DbError::Newer { .. } | DbError::Io { .. } => false,
    }
}

/// Moves the database and its companions to names of their own.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S").to_string();
    let named = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let target = |n: u32| format!(".damaged-{stamp}-{n}");
    let n = (0..).find(|n| !named(&target(*n)).exists()).unwrap_or(0);
    fs::rename(path, named(&target(n)))?;
    for companion in ["-wal", "-shm"] {
        match fs::rename(named(companion), named(&format!("{}{companion}", target(n)))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(named(&target(n)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn an_older_database_is_migrated_and_seen_by_readers() {
        let dir = tempfile::tempdir().unwrap();
        let old = Connection::open(dir.path().join(FILE)).unwrap();
        old.execute_batch(&format!("{}{} PRAGMA user_version = 2", steps()[0], steps()[1])).unwrap();
        old.execute_batch("INSERT INTO node_time (workflow, node, duration_ms) VALUES ('w', 'n', 7)")
            .unwrap();
        drop(old);
        let db = open_read_only(dir.path()).unwrap().unwrap();
        let times = crate::storage::history::times::of_workflow(&db, "w").unwrap();
        assert_eq!((times["n"].wall, times["n"].mean), (7, 7));
        let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        assert_eq!(version, steps().len() as i64);
        let published = crate::storage::publish::record::row(&db, Path::new("/p")).unwrap();
        assert_eq!(published, None, "the table is there");
    }

    /// Each run of a process opens the database; none of them may cost the others their locks.
    #[test]
    fn opening_the_database_again_releases_no_lock_of_a_connection() {
        let dir = tempfile::tempdir().unwrap();
        let (first, _) = open(dir.path()).unwrap();
        first
            .execute_batch(
                "BEGIN IMMEDIATE; INSERT INTO node_time (workflow, node, duration_ms) VALUES ('w', 'n', 1)",
            )
            .unwrap();
        let locks = || fs::read_to_string("/proc/locks").unwrap();
        let of_database = |path: &Path| {
            let inode = fs::metadata(path).unwrap().ino();
            let pid = std::process::id().to_string();
            let wanted = format!(":{inode}");
            locks()
                .lines()
                .filter(|l| {
                    l.contains("POSIX")
                        && l.split(' ').any(|w| w == pid)
                        && l.split(' ').any(|w| w.ends_with(&wanted))
                })
                .count()
        };
        let path = dir.path().join(FILE);
        let before = of_database(&path);
        assert!(before > 0, "{}", locks());
        drop(open_read_only(dir.path()).unwrap());
        drop(open_reader(dir.path()).unwrap());
        drop(open(dir.path()).unwrap());
        assert_eq!(of_database(&path), before);
        first.execute_batch("COMMIT").unwrap();
    }
}
