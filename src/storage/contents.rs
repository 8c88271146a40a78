//! The index of contents: which node of which run made a file or directory, under which name, and which used it.
//!
//! The rows of a result are written in its own transaction. A directory that a node made is indexed with every file in
//! it. Knows nothing of where files lie now.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::core::digest::Digest;
use crate::core::run_id::RunId;
use crate::core::value::{Artifact, Value};
use crate::storage::memo::listing::files_in;
use crate::storage::memo::sqlite::run_of;
use crate::storage::store::{Store, files_of_directory};

/// The tables. An execution is a node or element that ran to its end and had to do with files. `whole` is the directory
/// that holds a content at `path`.
pub const SCHEMA: &str = "
    CREATE TABLE execution (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL,
        node TEXT NOT NULL,
        task TEXT NOT NULL,
        key BLOB,
        created_ms INTEGER NOT NULL
    );
    CREATE TABLE content (
        digest BLOB NOT NULL,
        execution INTEGER NOT NULL,
        used INTEGER NOT NULL,
        name TEXT NOT NULL,
        path TEXT NOT NULL,
        file TEXT NOT NULL,
        whole BLOB,
        PRIMARY KEY (digest, used, execution, name, path)
    ) WITHOUT ROWID;
    CREATE INDEX published_content ON published (content);
";

/// Maximum files of one directory that are indexed.
const MAX_INDEXED_FILES: usize = 100_000;
/// What a row of the index takes, in bytes, give or take its texts.
const ROW: u64 = 120;

/// A node or element that ran to its end, and the files that it used and made.
#[derive(Clone, Debug, PartialEq)]
pub struct Execution {
    pub run: RunId,
    /// With the number of an element.
    pub node: String,
    /// The qualified name of the task.
    pub task: String,
    /// `None` for a task that is not cached.
    pub key: Option<Digest>,
    pub time: Timestamp,
    pub used: Vec<NamedFile>,
    pub made: Vec<NamedFile>,
}

/// A file or directory, by the input or output that it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedFile {
    pub name: Box<str>,
    pub digest: Digest,
    /// The base name.
    pub file: Box<str>,
}

impl NamedFile {
    fn new(name: &str, artifact: &Artifact) -> Self {
        Self { name: name.into(), digest: artifact.digest, file: artifact.name.clone() }
    }

    /// The files of named values.
    pub fn all<'v>(names: impl Iterator<Item = &'v str>, values: &[Value]) -> Vec<Self> {
        let mut files = Vec::new();
        for (name, value) in names.zip(values) {
            value.for_each_artifact(&mut |artifact, _| files.push(Self::new(name, artifact)));
        }
        files
    }
}

/// A row of the index, for an execution that has its number later.
struct Row {
    digest: Digest,
    used: bool,
    name: Box<str>,
    path: String,
    file: Box<str>,
    whole: Option<Digest>,
}

/// The rows of an execution; made before the transaction, since it reads directories from the store.
pub struct Indexed<'e> {
    execution: &'e Execution,
    rows: Vec<Row>,
}

impl<'e> Indexed<'e> {
    /// The rows of `execution`, of which the files in its directories are known to `store`.
    pub fn new(execution: &'e Execution, store: &Store) -> Self {
        Self::with(execution, &|digest| files_of_directory(&store.blob_path(digest)).unwrap_or_default())
    }

    fn with(execution: &'e Execution, files_of: &dyn Fn(&Digest) -> Vec<(String, Digest)>) -> Self {
        let row = |file: &NamedFile, used| Row {
            digest: file.digest,
            used,
            name: file.name.clone(),
            path: String::new(),
            file: file.file.clone(),
            whole: None,
        };
        let mut rows: Vec<Row> = execution.used.iter().map(|file| row(file, true)).collect();
        let mut seen = BTreeSet::new();
        for made in &execution.made {
            rows.push(row(made, false));
            if !seen.insert(made.digest) {
                continue;
            }
            let inside = files_of(&made.digest).into_iter().take(MAX_INDEXED_FILES);
            rows.extend(inside.map(|(path, digest)| Row {
                digest,
                used: false,
                name: made.name.clone(),
                file: path.rsplit('/').next().unwrap_or_default().into(),
                path,
                whole: Some(made.digest),
            }));
        }
        Self { execution, rows }
    }

    /// What it takes, in bytes, about.
    pub fn size(&self) -> u64 {
        ROW * self.rows.len() as u64
    }
}

/// Writes the rows of an execution.
///
/// # Errors
/// The database cannot be written.
pub fn record(db: &Connection, indexed: &Indexed) -> rusqlite::Result<()> {
    if indexed.rows.is_empty() {
        return Ok(());
    }
    let Execution { run, node, task, key, time, .. } = indexed.execution;
    db.prepare_cached(
        "INSERT INTO execution (run, node, task, key, created_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![run, node, task, key.as_ref().map(|key| &key.0[..]), time.as_millisecond()])?;
    let number = db.last_insert_rowid();
    let mut insert = db.prepare_cached(
        "INSERT OR IGNORE INTO content (digest, execution, used, name, path, file, whole)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for Row { digest, used, name, path, file, whole } in &indexed.rows {
        let whole = whole.as_ref().map(|digest| &digest.0[..]);
        insert.execute(params![&digest.0[..], number, used, name, path, file, whole])?;
    }
    Ok(())
}

/// Fills the index from the results of a database that is older than it. A directory whose blob is gone is indexed as a
/// whole.
///
/// # Errors
/// The database cannot be read or written.
pub fn backfill(db: &Connection, home: &Path) -> rusqlite::Result<()> {
    let blobs = home.join("store").join("blobs");
    let mut statement =
        db.prepare("SELECT run, node, task, key, created_ms, inputs, outputs FROM memo ORDER BY id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let named = |text: String| {
            files_in(&text).iter().map(|(name, artifact)| NamedFile::new(name, artifact)).collect()
        };
        let execution = Execution {
            run: run_of(row, 0),
            node: row.get(1)?,
            task: row.get(2)?,
            key: Some(Digest(row.get(3)?)),
            time: Timestamp::from_millisecond(row.get(4)?).unwrap_or_default(),
            used: named(row.get(5)?),
            made: named(row.get(6)?),
        };
        let files_of = |digest: &Digest| files_of_directory(&blobs.join(digest.hex())).unwrap_or_default();
        record(db, &Indexed::with(&execution, &files_of))?;
    }
    Ok(())
}

/// Removes executions of runs and results that are both gone.
///
/// # Errors
/// The database cannot be written.
pub fn remove_unused(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(
        "DELETE FROM execution WHERE run NOT IN (SELECT run FROM run)
             AND (key IS NULL OR key NOT IN (SELECT key FROM memo));
         DELETE FROM content WHERE execution NOT IN (SELECT id FROM execution);",
    )
}

/// An execution that had to do with a content.
#[derive(Clone, Debug, PartialEq)]
pub struct ContentUse {
    pub run: RunId,
    pub node: String,
    pub task: String,
    pub key: Option<Digest>,
    pub time: Timestamp,
    /// The input or output.
    pub name: String,
    /// The base name that the content had.
    pub file: String,
    /// The path inside the directory of the input or output; empty for the whole.
    pub path: String,
    /// That directory.
    pub whole: Option<Digest>,
}

/// The executions that made a content (`used` is false) or used it, the newest `limit` first, and how many there are.
///
/// # Errors
/// The database cannot be read.
pub fn places(
    db: &Connection,
    digest: &Digest,
    used: bool,
    limit: u32,
) -> rusqlite::Result<(Vec<ContentUse>, u64)> {
    let mut statement = db.prepare_cached(
        "SELECT run, node, task, key, created_ms, name, file, path, whole FROM content
         JOIN execution ON execution.id = content.execution
         WHERE digest = ?1 AND used = ?2 ORDER BY content.execution DESC LIMIT ?3",
    )?;
    let digest_of = |bytes: Option<[u8; 32]>| bytes.map(Digest);
    let rows = statement.query_map(params![&digest.0[..], used, limit], |row| {
        Ok(ContentUse {
            run: run_of(row, 0),
            node: row.get(1)?,
            task: row.get(2)?,
            key: digest_of(row.get(3)?),
            time: Timestamp::from_millisecond(row.get(4)?).unwrap_or_default(),
            name: row.get(5)?,
            file: row.get(6)?,
            path: row.get(7)?,
            whole: digest_of(row.get(8)?),
        })
    })?;
    let places = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let all: i64 = db
        .prepare_cached("SELECT count(*) FROM content WHERE digest = ?1 AND used = ?2")?
        .query_row(params![&digest.0[..], used], |row| row.get(0))?;
    Ok((places, all.unsigned_abs()))
}

/// The contents whose digests lie between two, at most `limit`.
///
/// # Errors
/// The database cannot be read.
pub fn between(db: &Connection, low: &Digest, high: &Digest, limit: u32) -> rusqlite::Result<Vec<Digest>> {
    let mut statement =
        db.prepare_cached("SELECT DISTINCT digest FROM content WHERE digest BETWEEN ?1 AND ?2 LIMIT ?3")?;
    statement.query_map(params![&low.0[..], &high.0[..], limit], |row| row.get(0).map(Digest))?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(
            "CREATE TABLE published (content TEXT); CREATE TABLE run (run TEXT); CREATE TABLE memo (key BLOB);",
        )
        .unwrap();
        db.execute_batch(SCHEMA).unwrap();
        db
    }

    fn execution(run: &str, used: &[&str], made: &[&str]) -> Execution {
        let file = |content: &&str| NamedFile {
            name: "x".into(),
            digest: Digest::of(content),
            file: format!("{content}.txt").into(),
        };
        Execution {
            run: run.into(),
            node: "n[1]".into(),
            task: "w.t".into(),
            key: Some(Digest::of(run)),
            time: Timestamp::UNIX_EPOCH,
            used: used.iter().map(file).collect(),
            made: made.iter().map(file).collect(),
        }
    }

    #[test]
    fn what_was_made_and_used_is_found_also_inside_of_directories() {
        let db = database();
        let inside = |digest: &Digest| match *digest == Digest::of("dir") {
            true => vec![("deep/a.txt".to_owned(), Digest::of("a"))],
            false => Vec::new(),
        };
        for (run, used, made) in
            [("r1", &["in", "in"][..], &["dir"][..]), ("r2", &["a"], &["out"]), ("r3", &["a"], &[])]
        {
            let execution = execution(run, used, made);
            record(&db, &Indexed::with(&execution, &inside)).unwrap();
        }
        let (made, count) = places(&db, &Digest::of("a"), false, 9).unwrap();
        assert_eq!((made.len(), count), (1, 1));
        assert_eq!(
            (made[0].run, &*made[0].path, made[0].whole),
            ("r1".into(), "deep/a.txt", Some(Digest::of("dir")))
        );
        let (used, count) = places(&db, &Digest::of("a"), true, 1).unwrap();
        assert_eq!((used[0].run, used.len(), count), ("r3".into(), 1, 2));
        let all = between(&db, &Digest([0; 32]), &Digest([255; 32]), 9).unwrap();
        assert_eq!(all.len(), 4);
        // What neither a run nor a result needs any more is forgotten.
        db.execute("INSERT INTO run VALUES (?1)", [RunId::from("r2")]).unwrap();
        db.execute("INSERT INTO memo VALUES (?1)", [&Digest::of("r3").0[..]]).unwrap();
        remove_unused(&db).unwrap();
        assert_eq!(places(&db, &Digest::of("a"), false, 9).unwrap().1, 0);
        assert_eq!(places(&db, &Digest::of("a"), true, 9).unwrap().1, 2);
    }
}
