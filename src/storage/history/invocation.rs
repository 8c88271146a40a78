//! What a run was asked for, and the texts that it read: enough to say later what it did, when files have changed.
//!
//! Texts are kept once each, under their digests, however many runs read them. No secret is ever in it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use serde_json::{Map as JsonMap, Value as Json};

use super::{HistoryError, Run, record_run};
use crate::core::digest::Digest;
use crate::core::run_id::RunId;
use crate::core::run_request::RunRequest;
use crate::storage::own_file::{self, Access};

/// What a run was asked for. Fields may join; one that an older run lacks is empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Invocation {
    /// The version of the program that ran it.
    pub runner: String,
    /// The folder that it was started in.
    pub dir: String,
    /// The request, with the workflow's path absolute and project, domain and cache mode as decided.
    #[serde(flatten)]
    pub request: RunRequest,
    /// The value of each of the workflow's inputs, wherever it came from, in the form of records: files by path
    /// (`origin`) and digest.
    pub inputs: JsonMap<String, Json>,
    /// Every workflow file, sub-workflow and library that was read.
    pub files: Vec<FileRead>,
    /// What every task saw of the environment without having asked for it.
    pub environment: BTreeMap<String, String>,
    /// Short digests of the variables that tasks asked for: enough to tell whether one has another value now.
    pub passed: BTreeMap<String, String>,
}

/// A file whose text is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileRead {
    /// Absolute, without symbolic links.
    pub path: String,
    /// Under what other paths it was asked for, if symbolic links led to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<String>,
    pub digest: Digest,
}

/// A text to be kept.
#[derive(Clone, Debug)]
pub struct Text {
    pub path: String,
    pub asked: Vec<String>,
    pub text: Arc<str>,
}

/// A run that begins. Texts are digested, and [`Invocation::files`] filled, only when it is recorded.
pub struct Beginning {
    pub run: Run,
    pub invocation: Invocation,
    pub texts: Vec<Text>,
}

impl Beginning {
    /// Digests the texts; not to be done while others wait for the database.
    pub fn digest_texts(&mut self) {
        let file = |text: &Text| FileRead {
            path: text.path.clone(),
            asked: text.asked.clone(),
            digest: Digest::of(&*text.text),
        };
        self.invocation.files = self.texts.iter().map(file).collect();
    }
}

/// Writes the row of a run that begins, what it was asked for, and texts that are not kept yet.
///
/// # Errors
/// The database cannot be written.
pub fn record_beginning(db: &Connection, beginning: &Beginning) -> rusqlite::Result<()> {
    let Beginning { run, invocation, texts } = beginning;
    record_run(db, run)?;
    let text = serde_json::to_string(invocation).unwrap_or_default();
    db.prepare_cached("UPDATE run SET invocation = ?2 WHERE run = ?1")?.execute(params![run.id, text])?;
    let mut insert = db.prepare_cached("INSERT OR IGNORE INTO document (digest, text) VALUES (?1, ?2)")?;
    for (file, text) in invocation.files.iter().zip(texts) {
        insert.execute(params![&file.digest.0[..], &*text.text])?;
    }
    Ok(())
}

/// Maximum size of a copy, in bytes.
const MAX_COPY_BYTES: u64 = 256 << 20;

/// Keeps what a run was asked for as a file beside its events, for when the database is lost.
///
/// # Errors
/// The file cannot be written.
pub fn write_copy(path: &Path, invocation: &Invocation) -> io::Result<()> {
    let text = serde_json::to_string(invocation).unwrap_or_default();
    own_file::open(path, Access::Replace)?.write_all(text.as_bytes())
}

/// What [`write_copy`] kept, if it can be read.
pub fn read_copy(path: &Path) -> Option<Invocation> {
    serde_json::from_slice(&own_file::read(path, MAX_COPY_BYTES).ok()?).ok()
}

/// Removes texts that no run read which is still known.
///
/// # Errors
/// The database cannot be written.
pub fn remove_unused(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(
        "DELETE FROM document WHERE lower(hex(digest)) NOT IN (
            SELECT json_extract(file.value, '$.digest')
            FROM run, json_each(iif(json_valid(run.invocation), run.invocation, '{}'), '$.files') AS file
            WHERE json_extract(file.value, '$.digest') IS NOT NULL)",
    )
}

/// Whether an earlier run read a file with this text; `false` if that cannot be known.
pub fn has_read(db: &Connection, text: &str) -> bool {
    let known = "SELECT 1 FROM document WHERE digest = ?1";
    let found = db.query_row(known, [&Digest::of(text).0[..]], |_| Ok(())).optional();
    found.is_ok_and(|found| found.is_some())
}

/// What a run was asked for.
///
/// # Errors
/// It was not recorded, the record does not parse, or the database cannot be read.
pub fn invocation(db: &Connection, run: RunId) -> Result<Invocation, HistoryError> {
    let text: Option<String> =
        db.query_row("SELECT invocation FROM run WHERE run = ?1", [run], |row| row.get(0)).optional()?;
    match text.as_deref() {
        None | Some("") => Err(HistoryError::NotRecorded { run: run.to_owned() }),
        Some(text) => serde_json::from_str(text)
            .map_err(|error| HistoryError::Unreadable { run: run.to_owned(), error }),
    }
}

/// The texts that a run read.
///
/// # Errors
/// One is no longer kept, or the database cannot be read.
pub fn texts(db: &Connection, files: &[FileRead]) -> Result<Vec<Text>, HistoryError> {
    let mut statement = db.prepare("SELECT text FROM document WHERE digest = ?1")?;
    let mut read = |file: &FileRead| {
        let found: Option<String> = statement.query_row([&file.digest.0[..]], |row| row.get(0)).optional()?;
        let text = found.ok_or_else(|| HistoryError::TextRemoved { path: file.path.clone() })?;
        Ok(Text { path: file.path.clone(), asked: file.asked.clone(), text: text.into() })
    };
    files.iter().map(&mut read).collect()
}

#[cfg(test)]
pub(in crate::storage) mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::core::event::Counts;
    use crate::core::run_request::CacheMode;
    use crate::storage::history::{REMEMBERED, RUNNING, SCHEMA};

    pub(in crate::storage) fn beginning(id: &str, text: &str) -> Beginning {
        let run = Run {
            id: id.into(),
            workflow: "w".into(),
            path: "/w.toml".into(),
            project: "p".into(),
            domain: "d".into(),
            status: RUNNING.into(),
            started: Timestamp::UNIX_EPOCH,
            finished: None,
            counts: Counts::default(),
            saved_ms: 0,
        };
        let text = Text { path: "/w.toml".into(), asked: vec!["/link/w.toml".into()], text: text.into() };
        let request = RunRequest { cache: Some(CacheMode::ReadOnly), ..RunRequest::default() };
        let invocation = Invocation { request, ..Invocation::default() };
        let mut beginning = Beginning { run, invocation, texts: vec![text] };
        beginning.digest_texts();
        beginning
    }

    #[test]
    fn what_was_asked_for_comes_back_with_the_texts() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(&[SCHEMA, REMEMBERED].concat()).unwrap();
        for (id, text) in [("one", "first"), ("two", "second"), ("three", "first")] {
            let written = beginning(id, text);
            record_beginning(&db, &written).unwrap();
            let read = invocation(&db, id.into()).unwrap();
            assert_eq!(read, written.invocation);
            let texts = texts(&db, &read.files).unwrap();
            assert_eq!((&*texts[0].text, &*texts[0].asked[0]), (text, "/link/w.toml"));
        }
        let kept: i64 = db.query_row("SELECT count(*) FROM document", [], |row| row.get(0)).unwrap();
        assert_eq!(kept, 2);
        let gone = FileRead { path: "/x.toml".into(), asked: Vec::new(), digest: Digest::of("x") };
        assert!(texts(&db, &[gone]).unwrap_err().to_string().contains("/x.toml"));
    }

    #[test]
    fn texts_go_with_the_last_run_that_read_them() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(&[SCHEMA, REMEMBERED].concat()).unwrap();
        record_run(&db, &beginning("old", "").run).unwrap();
        for (id, text) in [("one", "first"), ("two", "second"), ("three", "first")] {
            record_beginning(&db, &beginning(id, text)).unwrap();
        }
        let left = |gone: &str| -> Vec<String> {
            db.execute("DELETE FROM run WHERE run = ?1", [RunId::from(gone)]).unwrap();
            remove_unused(&db).unwrap();
            let mut statement = db.prepare("SELECT text FROM document ORDER BY text").unwrap();
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        assert_eq!(left("one"), ["first", "second"]);
        assert_eq!(left("two"), ["first"]);
        assert!(left("three").is_empty());
    }

    #[test]
    fn an_older_run_says_why_it_cannot() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(&[SCHEMA, REMEMBERED].concat()).unwrap();
        record_run(&db, &beginning("old", "").run).unwrap();
        assert!(invocation(&db, "old".into()).unwrap_err().to_string().contains("older"));
        assert_eq!(serde_json::from_str::<Invocation>("{}").unwrap(), Invocation::default());
    }
}
