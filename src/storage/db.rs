//! The one database: opening it, its settings, and the version of its schema.
//!
//! What the tables mean belongs to those who own them. A damaged database is set aside under another name
//! and an empty one is begun: the cache may forget, and no crash needs a manual step.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::storage::contents;
use crate::storage::damage::{SUSPECT, code, is_corrupt, is_read_trouble, is_rejected};
use crate::storage::file_locks;
use crate::storage::home::{is_full, no_space};
use crate::storage::own_file::{self, Access};
use crate::storage::recovery::{self, Recovered, unclaimed};
use crate::storage::store::STAT_SCHEMA;
use crate::storage::{history, jobs, memo, outbox, publish, receipts, refusals, schedules, upload_queue};

/// The file's name inside the home folder.
pub(super) const FILE: &str = "runner.db";

/// The path of SQLite's write-ahead log.
pub fn log_path(home: &Path) -> PathBuf {
    home.join(FILE).with_extension("db-wal")
}

/// Maximum size of SQLite's write-ahead log when a run ends; a larger one is copied into the database, so that the next
/// process has little to read.
const MAX_WAL_BYTES: u64 = 1 << 20;

/// Copies a large log into the database, at the end of a run.
pub fn trim_log(db: &Connection, home: &Path) {
    if fs::metadata(log_path(home)).is_ok_and(|log| log.len() > MAX_WAL_BYTES) {
        // Another process may prevent it, which is no matter, and is not waited for.
        let _ = db.execute_batch("PRAGMA busy_timeout = 0; PRAGMA wal_checkpoint(TRUNCATE)");
    }
}

/// How long a writer waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);

/// The step that brings the index of contents, which is filled from the results that are there.
const INDEX_STEP: i64 = 7;

/// The steps from an empty database to today's schema; `user_version` counts those taken.
fn steps() -> Vec<String> {
    vec![
        [memo::sqlite::SCHEMA, history::SCHEMA, STAT_SCHEMA].concat(),
        history::times::SCHEMA.to_owned(),
        [memo::sqlite::EXPLAINED, history::REMEMBERED, history::times::MEANS].concat(),
        crate::storage::gc::footprint::SCHEMA.to_owned(),
        publish::record::SCHEMA.to_owned(),
        memo::sqlite::PROVENANCE.to_owned(),
        contents::SCHEMA.to_owned(),
        schedules::SCHEMA.to_owned(),
        outbox::SCHEMA.to_owned(),
        schedules::DAEMON_TELLS.to_owned(),
        receipts::SCHEMA.to_owned(),
        upload_queue::SCHEMA.to_owned(),
        [schedules::untold::SCHEMA, refusals::SCHEMA].concat(),
        jobs::SCHEMA.to_owned(),
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
    /// It is a database, but not with our tables.
    Foreign {
        path: PathBuf,
        error: rusqlite::Error,
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
            Self::Foreign { path, error } | Self::Sqlite { path, error } => {
                write!(f, "cannot use {}: {error}", path.display())
            }
        }
    }
}

/// Opens the database in `home` for writing, creating or migrating it. The text is a warning: an older database was lost,
/// and its content was restored as far as the files of the runs record it.
///
/// A database is set aside only when it was read anew and found damaged each time. An error of the disk is none: it is
/// tried again, and then returned.
///
/// # Errors
/// The disk fails, the database was written by a newer version, or a new one cannot be created.
pub fn open(home: &Path) -> Result<(Connection, Option<String>), DbError> {
    let path = home.join(FILE);
    let io = |error| DbError::Io { path: path.clone(), error };
    // One process at a time creates, migrates or sets aside.
    let _lock = file_locks::lock_alone(&home.join("runner.db.lock")).map_err(io)?;
    let suspect = home.join(SUSPECT);
    let damage = match prepare_again(&path, suspect.exists()) {
        Ok((db, recovered)) => {
            let _ = fs::remove_file(&suspect);
            let lost =
                recovered.map(|recovered| format!("the database was lost and begun anew; {recovered}"));
            return Ok((db, lost));
        }
        Err(error) if is_damage(&error) => error,
        Err(error) => return Err(error),
    };
    // Before anything else can go wrong: what the next database does not know is not garbage.
    unclaimed::protect_everything(home).map_err(io)?;
    let aside = set_aside(&path).map_err(io)?;
    let _ = fs::remove_file(&suspect);
    let (db, recovered) = prepare_again(&path, false)?;
    let recovered = recovered.map(|recovered| format!("; {recovered}")).unwrap_or_default();
    let warning = format!(
        "the database was damaged ({damage}); it was set aside as {} and begun anew{recovered}",
        aside.display()
    );
    Ok((db, Some(warning)))
}

/// How often a database is opened before an error of the disk, or damage, is believed.
const MAX_OPENINGS: u32 = 3;
/// The wait before the second opening, in milliseconds; it doubles.
const FIRST_WAIT_MS: u64 = 20;

/// Prepares a database; tries again after an error that may pass. From the second time on all of it is checked.
fn prepare_again(path: &Path, check: bool) -> Result<(Connection, Option<Recovered>), DbError> {
    let mut tried = 1;
    loop {
        match prepare(path, check || tried > 1) {
            Err(error) if tried < MAX_OPENINGS && (is_damage(&error) || is_disk_trouble(&error)) => {
                std::thread::sleep(Duration::from_millis(FIRST_WAIT_MS << (tried - 1)));
                tried += 1;
            }
            prepared => return prepared,
        }
    }
}

/// Opens the database for reading only; `None` if there is none yet. An older one is migrated first: what was stored
/// is there to be seen.
///
/// # Errors
/// The database cannot be read, was written by a newer version, or cannot be migrated.
pub fn open_read_only(home: &Path) -> Result<Option<Connection>, DbError> {
    match open_current(home)? {
        Some((db, true)) => Ok(Some(db)),
        Some((_, false)) => {
            open(home)?;
            Ok(open_current(home)?.map(|(db, _)| db))
        }
        None => Ok(None),
    }
}

/// The database for a short look that changes nothing on the disk and waits for no lock; `None` if it is not there, was
/// written by another version, or cannot be read.
pub fn peek(home: &Path) -> Option<Connection> {
    let path = home.join(FILE);
    expect_file(&path, fs::symlink_metadata(&path)).ok()?;
    expect_companions(&path).ok()?;
    let exists = |suffix: &str| path.with_extension(suffix).exists();
    let db = match exists("db-wal") && exists("db-shm") {
        true => read_only(&path, OpenFlags::empty()).ok()?,
        // A reader would make them. No process writes without them, so the file can be read as it is.
        false => {
            let name: String = path
                .to_str()?
                .chars()
                .map(|c| match c {
                    '%' => "%25".into(),
                    '?' => "%3f".into(),
                    '#' => "%23".into(),
                    c => c.to_string(),
                })
                .collect();
            let uri = format!("file:{name}?immutable=1");
            read_only(Path::new(&uri), OpenFlags::SQLITE_OPEN_URI).ok()?
        }
    };
    db.busy_timeout(Duration::ZERO).ok()?;
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).ok()?;
    (version == steps().len() as i64).then_some(db)
}

/// A connection for reading.
fn read_only(path: &Path, more: OpenFlags) -> rusqlite::Result<Connection> {
    // One thread at a time uses a connection of ours.
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
    let db = Connection::open_with_flags(path, flags)?;
    // Else some statements are prepared anew for each value that is bound to them.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(db)
}

/// The database for reading only, and whether its schema is today's; else it is older.
fn open_current(home: &Path) -> Result<Option<(Connection, bool)>, DbError> {
    let path = home.join(FILE);
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => expect_file(&path, found)?,
    }
    let sqlite = |error| DbError::Sqlite { path: path.clone(), error };
    let db = read_only(&path, OpenFlags::empty()).map_err(sqlite)?;
    db.busy_timeout(BUSY_TIMEOUT).map_err(sqlite)?;
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(sqlite)?;
    match version.cmp(&(steps().len() as i64)) {
        std::cmp::Ordering::Greater => Err(DbError::Newer { path, found: version }),
        std::cmp::Ordering::Equal => Ok(Some((db, true))),
        std::cmp::Ordering::Less => Ok(Some((db, false))),
    }
}

/// A second connection to a database that [`open`] prepared, for reading.
///
/// # Errors
/// The database cannot be opened.
pub fn open_reader(home: &Path) -> Result<Connection, DbError> {
    let path = home.join(FILE);
    let sqlite = |error| DbError::Sqlite { path: path.clone(), error };
    let db = read_only(&path, OpenFlags::empty()).map_err(sqlite)?;
    db.busy_timeout(BUSY_TIMEOUT).map_err(sqlite)?;
    db.execute_batch("PRAGMA mmap_size = 268435456").map_err(sqlite)?;
    Ok(db)
}

/// A second connection to a database that [`open`] prepared, for writing what the run's writer does not.
///
/// # Errors
/// The database cannot be opened.
pub fn open_writer(home: &Path) -> Result<Connection, DbError> {
    let path = home.join(FILE);
    let sqlite = |error| DbError::Sqlite { path: path.clone(), error };
    let db = Connection::open_with_flags(
        &path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(sqlite)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(sqlite)?;
    db.busy_timeout(BUSY_TIMEOUT).map_err(sqlite)?;
    db.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF").map_err(sqlite)?;
    Ok(db)
}

/// Makes an empty file for its owner alone: SQLite would let others read it. Its companions take over the mode.
///
/// A file that exists is not opened: SQLite's locks belong to the process, and closing any other descriptor of the file
/// would release those of every connection in it.
fn create_private(path: &Path) -> Result<(), DbError> {
    expect_companions(path)?;
    match own_file::open(path, Access::New) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            expect_file(path, fs::symlink_metadata(path))
        }
        Err(error) => Err(DbError::Io { path: path.to_owned(), error }),
        Ok(_) => Ok(()),
    }
}

/// Refuses what stands in the place of the log or its index and is no regular file of this user.
fn expect_companions(path: &Path) -> Result<(), DbError> {
    ["-wal", "-shm"].into_iter().map(|suffix| companion(path, suffix)).try_for_each(|companion| {
        match fs::symlink_metadata(&companion) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            found => expect_file(&companion, found),
        }
    })
}

/// Refuses whatever is no regular file of this user: SQLite would follow a link and wait for a FIFO.
fn expect_file(path: &Path, found: io::Result<fs::Metadata>) -> Result<(), DbError> {
    found
        .and_then(|found| own_file::expect_regular(path, &found))
        .map_err(|error| DbError::Io { path: path.to_owned(), error })
}

/// The database, and what was restored if it is new in a home with earlier runs.
fn prepare(path: &Path, check: bool) -> Result<(Connection, Option<Recovered>), DbError> {
    let sqlite = |error| DbError::Sqlite { path: path.to_owned(), error };
    create_private(path)?;
    let mut db = Connection::open(path).map_err(sqlite)?;
    // The log stays when the program ends: to copy and sync it each time would cost a short run more than its work.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(sqlite)?;
    db.busy_timeout(BUSY_TIMEOUT).map_err(sqlite)?;
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(sqlite)?;
    let known = steps().len() as i64;
    if version > known {
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
    let recovered = if version < known { migrate(&mut db, path, version.max(0))? } else { None };
    db.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF; PRAGMA mmap_size = 268435456")
        .map_err(sqlite)?;
    Ok((db, recovered))
}

/// Takes the steps that are left, all or none of them. A new database in a home that has a past begins with what the files
/// of its runs tell.
fn migrate(db: &mut Connection, path: &Path, version: i64) -> Result<Option<Recovered>, DbError> {
    let sqlite = |error| DbError::Sqlite { path: path.to_owned(), error };
    let io = |error| DbError::Io { path: path.to_owned(), error };
    let steps = steps();
    let home = path.parent().unwrap_or(path);
    let has_past = version == 0 && unclaimed::protect_everything(home).map_err(io)?;
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
    let left = steps.iter().skip(usize::try_from(version).unwrap_or(0));
    let mut batch: String = left.map(String::as_str).collect();
    batch.push_str(&format!("PRAGMA user_version = {};", steps.len()));
    transaction.execute_batch(&batch).map_err(|error| match is_rejected(&error) {
        // The steps are right for our tables: these are others.
        true => DbError::Foreign { path: path.to_owned(), error },
        false => sqlite(error),
    })?;
    let recovered = match has_past {
        true => Some(recovery::recover(&transaction, home).map_err(sqlite)?),
        false => None,
    };
    if version < INDEX_STEP && (version > 0 || has_past) {
        contents::backfill(&transaction, home).map_err(sqlite)?;
    }
    transaction.commit().map_err(sqlite)?;
    Ok(recovered)
}

fn is_damage(error: &DbError) -> bool {
    match error {
        DbError::Foreign { .. } => true,
        DbError::Sqlite { error, .. } => is_corrupt(error),
        DbError::Newer { .. } | DbError::Io { .. } => false,
    }
}

/// Whether the disk, or what it is reached by, failed: the same may succeed a moment later.
fn is_disk_trouble(error: &DbError) -> bool {
    match error {
        DbError::Sqlite { error, .. } => is_read_trouble(error),
        DbError::Io { error, .. } => error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()),
        DbError::Newer { .. } | DbError::Foreign { .. } => false,
    }
}

/// The path of a file that SQLite keeps beside the database.
fn companion(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Moves the database and its companions to names of their own.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S").to_string();
    let named = |suffix: &str| companion(path, suffix);
    let target = |n: u32| format!(".damaged-{stamp}-{n}");
    let n = (0..).find(|n| !named(&target(*n)).exists()).unwrap_or(0);
    // The companions first: a log that stayed behind would be taken for that of the next database.
    for companion in ["-shm", "-wal"] {
        match fs::rename(named(companion), named(&format!("{}{companion}", target(n)))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, named(&target(n)))?;
    Ok(named(&target(n)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_reader_prepares_a_statement_once_whatever_is_bound_to_it() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path()).unwrap());
        let db = open_reader(dir.path()).unwrap();
        let mut statement = db
            .prepare("SELECT id FROM memo WHERE task = ?1 AND node = ?2 ORDER BY created_ms DESC LIMIT ?3")
            .unwrap();
        for limit in 1..5 {
            assert!(!statement.exists(("t", "n", limit)).unwrap());
        }
        assert_eq!(statement.get_status(rusqlite::StatementStatus::RePrepare), 0);
    }

    #[test]
    fn an_older_database_is_migrated_and_seen_by_readers() {
        let dir = tempfile::tempdir().unwrap();
        let old = Connection::open(dir.path().join(FILE)).unwrap();
        old.execute_batch(&format!("{}{} PRAGMA user_version = 2", steps()[0], steps()[1])).unwrap();
        old.execute_batch("INSERT INTO node_time (workflow, node, duration_ms) VALUES ('w', 'n', 7)")
            .unwrap();
        drop(old);
        let db = open_read_only(dir.path()).unwrap().unwrap();
        let times = history::times::of_workflow(&db, "w").unwrap();
        assert_eq!((times["n"].wall, times["n"].mean), (7, 7));
        let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        assert_eq!(version, steps().len() as i64);
        let published = publish::record::row(&db, Path::new("/p")).unwrap();
        assert_eq!(published, None, "the table is there");
    }

    #[test]
    fn a_database_that_cannot_be_read_is_not_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        assert!(open_read_only(dir.path()).unwrap().is_none());
        fs::create_dir(dir.path().join(FILE)).unwrap();
        let error = open_read_only(dir.path()).unwrap_err().to_string();
        assert!(error.contains(FILE), "{error}");
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(open_read_only(&file).unwrap_err().to_string().contains("Not a directory"));
    }

    /// Each run of a process opens the database; none of them may cost the others their locks.
    #[test]
    fn opening_the_database_again_releases_no_lock_of_a_connection() {
        let dir = tempfile::tempdir().unwrap();
        let (first, _) = open(dir.path()).unwrap();
        let row = "INSERT INTO node_time (workflow, node, duration_ms) VALUES ('w', 'n', 1)";
        first.execute_batch(&format!("BEGIN IMMEDIATE; {row}")).unwrap();
        // While other locks come and go, one read may miss a line or have it twice, but a lock that is gone is in none.
        let of_database = |path: &Path| {
            const READS: usize = 100;
            let inode = fs::metadata(path).unwrap().ino();
            let (pid, wanted) = (std::process::id().to_string(), format!(":{inode}"));
            let is_meant = |lock: &str| {
                let has = |is: &dyn Fn(&str) -> bool| lock.split(' ').any(is);
                has(&|word| word == "POSIX")
                    && has(&|word| word == pid)
                    && has(&|word| word.ends_with(&wanted))
            };
            let mut found = BTreeSet::new();
            for _ in 0..READS {
                let locks = fs::read_to_string("/proc/locks").unwrap();
                let all = locks.lines().filter_map(|line| Some(line.split_once(' ')?.1));
                found.extend(all.filter(|lock| is_meant(lock)).map(str::to_owned));
            }
            found
        };
        let path = dir.path().join(FILE);
        let before = of_database(&path);
        assert!(!before.is_empty());
        drop(open_read_only(dir.path()).unwrap());
        drop(open_reader(dir.path()).unwrap());
        drop(open(dir.path()).unwrap());
        assert_eq!(of_database(&path), before);
        first.execute_batch("COMMIT").unwrap();
    }
}
