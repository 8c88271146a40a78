//! The memo as a whole: its results listed, found by the beginning of their keys, and removed.

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, Row, params, params_from_iter};
use serde_json::Value as Json;

use super::sqlite::{instant, run_of};
use super::{FoundResult, MemoEntry};
use crate::core::digest::Digest;
use crate::core::value::Artifact;

/// A row of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    pub entry: MemoEntry,
    /// Whether it is as it was written; a row that is not counts as a miss.
    pub intact: bool,
}

/// Which results; those that fit everything that is given.
#[derive(Clone, Debug, Default)]
pub struct EntryFilter {
    /// A qualified name.
    pub task: Option<String>,
    pub project: Option<String>,
    pub domain: Option<String>,
}

const COLUMNS: &str = "key, project, domain, task, version, inputs, definition, outputs, run, node, created_ms, \
                       duration_ms, used_ms, checksum, interface, provenance";

impl EntryFilter {
    pub fn is_empty(&self) -> bool {
        self.task.is_none() && self.project.is_none() && self.domain.is_none()
    }

    pub fn fits(&self, entry: &MemoEntry) -> bool {
        self.fits_names(&entry.task, &entry.project, &entry.domain)
    }

    /// Whether a result of this task, project and domain fits.
    pub fn fits_names(&self, task: &str, project: &str, domain: &str) -> bool {
        let fits =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        fits(&self.task, task) && fits(&self.project, project) && fits(&self.domain, domain)
    }

    fn condition(&self) -> (String, Vec<Sql>) {
        let parts = [("task", &self.task), ("project", &self.project), ("domain", &self.domain)];
        let given = parts.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
        let (names, values): (Vec<_>, Vec<_>) = given.unzip();
        let tests: Vec<_> =
            names.iter().enumerate().map(|(i, name)| format!("{name} = ?{}", i + 1)).collect();
        let test = if tests.is_empty() { String::new() } else { format!("WHERE {}", tests.join(" AND ")) };
        (test, values.into_iter().map(Sql::Text).collect())
    }
}

fn read(row: &Row) -> rusqlite::Result<Listed> {
    let created = instant(row.get(10)?);
    let key = Digest(row.get(0)?);
    let found = FoundResult {
        definition: Digest(row.get(6)?),
        outputs: row.get(7)?,
        run: run_of(row, 8),
        node: row.get(9)?,
        created,
        duration_ms: row.get::<_, i64>(11)?.unsigned_abs(),
        provenance: row.get(15)?,
        used: row.get::<_, Option<i64>>(12)?.map_or(created, instant),
    };
    let intact = found.checksum(&key) == row.get::<_, i64>(13)?;
    let entry = MemoEntry {
        key,
        project: row.get(1)?,
        domain: row.get(2)?,
        task: row.get(3)?,
        version: row.get(4)?,
        inputs: row.get(5)?,
        interface: row.get::<_, Option<[u8; 32]>>(14)?.map(Digest),
        found,
    };
    Ok(Listed { entry, intact })
}

/// Visits the results that fit, in the order in which their keys came first.
///
/// # Errors
/// The database cannot be read.
pub fn visit(db: &Connection, filter: &EntryFilter, visit: &mut dyn FnMut(Listed)) -> rusqlite::Result<()> {
    let (condition, values) = filter.condition();
    let mut statement = db.prepare(&format!("SELECT {COLUMNS} FROM memo {condition} ORDER BY id"))?;
    let mut rows = statement.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        visit(read(row)?);
    }
    Ok(())
}

/// The results whose keys begin with `prefix`, which is hexadecimal; `None` if it is not.
///
/// # Errors
/// The database cannot be read.
pub fn with_prefix(db: &Connection, prefix: &str) -> rusqlite::Result<Option<Vec<Listed>>> {
    let bound = |digit: char| format!("{prefix}{}", digit.to_string().repeat(64 - prefix.len()));
    if prefix.is_empty() || prefix.len() > 64 || !prefix.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let (Ok(Digest(low)), Ok(Digest(high))) = (bound('0').parse(), bound('f').parse()) else {
        return Ok(None);
    };
    let mut statement =
        db.prepare(&format!("SELECT {COLUMNS} FROM memo WHERE key BETWEEN ?1 AND ?2 ORDER BY key"))?;
    statement.query_map(params![&low[..], &high[..]], read)?.collect::<Result<_, _>>().map(Some)
}

/// The result with this key, if there is one and its record is sound.
///
/// # Errors
/// The database cannot be read.
pub fn intact(db: &Connection, key: &Digest) -> rusqlite::Result<Option<Listed>> {
    let mut statement = db.prepare_cached(&format!("SELECT {COLUMNS} FROM memo WHERE key = ?1"))?;
    let mut rows = statement.query_map([&key.0[..]], read)?;
    Ok(rows.next().transpose()?.filter(|row| row.intact))
}

/// Every qualified name of a task that has results.
///
/// # Errors
/// The database cannot be read.
pub fn tasks(db: &Connection) -> rusqlite::Result<Vec<String>> {
    db.prepare("SELECT DISTINCT task FROM memo")?.query_map([], |row| row.get(0))?.collect()
}

/// The latest results whose keys begin with `prefix`, which is hexadecimal or empty: key, task and node of each.
///
/// # Errors
/// The database cannot be read.
pub fn latest_keys(
    db: &Connection,
    prefix: &str,
    limit: usize,
) -> rusqlite::Result<Vec<(String, String, String)>> {
    let bound =
        |digit: char| format!("{prefix}{}", digit.to_string().repeat(64_usize.saturating_sub(prefix.len())));
    let (Ok(Digest(low)), Ok(Digest(high))) = (bound('0').parse(), bound('f').parse()) else {
        return Ok(Vec::new());
    };
    let mut statement =
        db.prepare("SELECT key, task, node FROM memo WHERE key BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT ?3")?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let read = |row: &Row| Ok((Digest(row.get(0)?).hex(), row.get(1)?, row.get(2)?));
    statement.query_map(params![&low[..], &high[..], limit], read)?.collect()
}

/// Removes a result, unless another one has taken its place.
///
/// # Errors
/// The database cannot be written.
pub fn remove(db: &Connection, entry: &MemoEntry) -> rusqlite::Result<bool> {
    let mut statement = db.prepare_cached("DELETE FROM memo WHERE key = ?1 AND created_ms = ?2")?;
    Ok(statement.execute(params![&entry.key.0[..], entry.found.created.as_millisecond()])? > 0)
}

/// Removes what results referred to that are gone.
///
/// # Errors
/// The database cannot be written.
pub fn remove_unused(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(
        "DELETE FROM definition WHERE digest NOT IN (SELECT definition FROM memo);
         DELETE FROM interface WHERE digest NOT IN (SELECT interface FROM memo WHERE interface IS NOT NULL);",
    )
}

/// All files and directories in a record of inputs or outputs, in its order; with the name that each belongs to.
pub fn files_in(record: &str) -> Vec<(String, Artifact)> {
    let mut files = Vec::new();
    if let Ok(Json::Object(named)) = serde_json::from_str(record) {
        for (name, value) in &named {
            collect(name, value, &mut files);
        }
    }
    files
}

fn collect(name: &str, value: &Json, files: &mut Vec<(String, Artifact)>) {
    match value {
        Json::Array(items) => items.iter().for_each(|item| collect(name, item, files)),
        // An object that only looks like a file is a rare thing, and is one of a size at least.
        Json::Object(entries) => match Artifact::from_record(value) {
            Ok(artifact) => files.push((name.to_owned(), artifact)),
            Err(_) => entries.values().for_each(|item| collect(name, item, files)),
        },
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::sqlite::{EXPLAINED, PROVENANCE, SCHEMA, record};
    use super::*;

    fn database() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(&[SCHEMA, EXPLAINED, PROVENANCE].concat()).unwrap();
        for (i, (task, project)) in [("wf.a", "p"), ("wf.a", "q"), ("wf.b", "p")].into_iter().enumerate() {
            let at = Timestamp::from_second(1_700_000_000 + i as i64).unwrap();
            let found = FoundResult {
                definition: Digest::of("d"),
                outputs: format!(
                    r#"{{"y":{{"digest":"{}","name":"y","size":3}},"n":[1]}}"#,
                    Digest::of("abc")
                ),
                run: "r".into(),
                node: "n".into(),
                created: at,
                duration_ms: 5,
                provenance: None,
                used: at,
            };
            let mut key = Digest::of(task);
            key.0[0] = 0xab;
            key.0[1] = i as u8;
            let entry = MemoEntry {
                key,
                project: project.into(),
                domain: "d".into(),
                task: task.into(),
                version: "1".into(),
                inputs: "{}".into(),
                interface: None,
                found,
            };
            record(&db, &entry).unwrap();
        }
        db
    }

    fn listed(db: &Connection, filter: EntryFilter) -> Vec<Listed> {
        let mut all = Vec::new();
        visit(db, &filter, &mut |listed| all.push(listed)).unwrap();
        all
    }

    #[test]
    fn results_are_listed_filtered_and_removed() {
        let db = database();
        let all = listed(&db, EntryFilter::default());
        assert!(all.len() == 3 && all.iter().all(|listed| listed.intact));
        let a = EntryFilter { task: Some("wf.a".into()), ..EntryFilter::default() };
        assert_eq!(listed(&db, a.clone()).len(), 2);
        let narrow = EntryFilter { project: Some("q".into()), ..a };
        assert_eq!(listed(&db, narrow.clone()), [all[1].clone()]);
        assert!(narrow.fits(&all[1].entry) && !narrow.fits(&all[0].entry));
        let mut replaced = all[0].entry.clone();
        replaced.found.created = Timestamp::UNIX_EPOCH;
        assert!(!remove(&db, &replaced).unwrap());
        assert!(remove(&db, &all[0].entry).unwrap());
        assert_eq!(listed(&db, EntryFilter::default()).len(), 2);
        db.execute("UPDATE memo SET node = 'm' WHERE task = 'wf.b'", []).unwrap();
        assert_eq!(listed(&db, EntryFilter::default()).iter().filter(|listed| !listed.intact).count(), 1);
    }

    #[test]
    fn keys_are_found_by_their_beginning() {
        let db = database();
        let count = |prefix: &str| with_prefix(&db, prefix).unwrap().map(|found| found.len());
        assert_eq!(["a", "ab", "ab0", "ab01", "AB01", "b"].map(count), [3, 3, 3, 1, 1, 0].map(Some));
        assert_eq!(["", "xyz", "é"].map(count), [None, None, None]);
        let whole = with_prefix(&db, "ab02").unwrap().unwrap()[0].entry.key.hex();
        assert_eq!((count(&whole), count(&format!("{whole}0"))), (Some(1), None));
    }

    #[test]
    fn files_are_found_at_any_depth() {
        let file = |text: &str| format!(r#"{{"digest":"{}","name":"{text}","size":1}}"#, Digest::of(text));
        let record = format!(
            r#"{{"a":{},"b":[{},{{"k":{}}}],"c":{{"size":1}},"d":"x"}}"#,
            file("1"),
            file("2"),
            file("3")
        );
        let found: Vec<_> =
            files_in(&record).into_iter().map(|(name, artifact)| (name, artifact.digest)).collect();
        let expected = [("a", "1"), ("b", "2"), ("b", "3")].map(|(n, t)| (n.to_owned(), Digest::of(t)));
        assert_eq!(found, expected);
        assert!(files_in("nonsense").is_empty());
    }
}
