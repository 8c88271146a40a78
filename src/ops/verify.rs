//! Reading everything that is stored again, to find what is damaged.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;

use super::Error;
use super::home::HomeWriter;
use crate::core::lock::lock;
use crate::storage::damage;
use crate::storage::gc::StoredFiles;
use crate::storage::memo::MemoEntry;
use crate::storage::memo::listing::{self, EntryFilter, Listed};
use crate::storage::store::{BlobFile, Store};

pub use crate::storage::store::Damage;

/// Hears how far the reading is, in bytes, from several threads.
pub trait VerifyProgress: Sync {
    fn begin(&self, total: u64);
    fn advance(&self, bytes: u64);
    fn end(&self);
}

/// What was found.
#[derive(Default)]
pub struct Findings {
    pub files: u64,
    pub bytes: u64,
    pub damaged: Vec<Damage>,
    pub results: u64,
    pub broken: Vec<Broken>,
    /// What SQLite says of the database, unless all is well.
    pub database: Option<String>,
}

/// A result that cannot be used.
pub struct Broken {
    pub entry: MemoEntry,
    pub problem: String,
}

impl Findings {
    pub fn is_sound(&self) -> bool {
        self.damaged.is_empty() && self.broken.is_empty() && self.database.is_none()
    }
}

/// Reads every stored file and every row. Damaged files are set aside, and so is a damaged database when the home is opened
/// next. Warnings about the home come beside it.
///
/// # Errors
/// The home or the store cannot be read at all.
pub fn verify(home: Option<&Path>, progress: &dyn VerifyProgress) -> Result<(Findings, Vec<String>), Error> {
    let HomeWriter { home, db, store, warnings } = HomeWriter::open(home)?;
    let database = check_database(&db).map_err(Error::cache)?;
    if database.is_some() {
        damage::distrust(home.path());
    }
    let mut findings = Findings { database, ..Findings::default() };
    reread(&store, &mut findings, progress)
        .map_err(|e| Error::store(format!("the store cannot be read: {e}")))?;
    match check_rows(&db, &store, &mut findings) {
        // What a damaged database does not give is known to be missing.
        Err(_) if findings.database.is_some() => {}
        checked => checked?,
    }
    Ok((findings, warnings))
}

fn check_database(db: &Connection) -> rusqlite::Result<Option<String>> {
    match db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)) {
        Ok(verdict) => Ok(Some(verdict).filter(|verdict: &String| verdict != "ok")),
        Err(error) if damage::is_corrupt(&error) => Ok(Some(error.to_string())),
        Err(error) => Err(error),
    }
}

fn reread(store: &Store, findings: &mut Findings, progress: &dyn VerifyProgress) -> std::io::Result<()> {
    let mut blobs = store.blobs()?;
    // The largest first, so that no thread is left alone with one at the end.
    blobs.sort_unstable_by_key(|blob| (std::cmp::Reverse(blob.size), blob.digest));
    let total = blobs.iter().map(|blob| blob.size).sum();
    progress.begin(total);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let damaged = Mutex::new(Vec::new());
    let bytes = AtomicU64::new(0);
    let tell = |blob: &BlobFile, verdict: Result<(), Damage>| {
        bytes.fetch_add(blob.size, Ordering::Relaxed);
        progress.advance(blob.size);
        if let Err(damage) = verdict {
            lock(&damaged).push(damage);
        }
    };
    store.reread(&blobs, threads, &tell);
    progress.end();
    findings.files = blobs.len() as u64;
    findings.bytes = bytes.into_inner();
    findings.damaged = damaged.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    findings.damaged.sort_by_key(|damage| damage.digest);
    Ok(())
}

/// Rows are read first: one that came later has its files.
fn check_rows(db: &Connection, store: &Store, findings: &mut Findings) -> Result<(), Error> {
    let mut rows = Vec::new();
    listing::visit(db, &EntryFilter::default(), &mut |listed| rows.push(listed)).map_err(Error::cache)?;
    let mut files =
        StoredFiles::new(store).map_err(|e| Error::store(format!("the store cannot be read: {e}")))?;
    findings.results = rows.len() as u64;
    for Listed { entry, intact } in rows {
        let problem = match intact {
            false => Some("its row in the database is damaged".to_owned()),
            true => {
                listing::files_in(&entry.found.outputs).into_iter().find_map(|(output, artifact)| match files
                    .with_parts(&artifact.digest)
                {
                    _ if artifact.origin.is_some() => None,
                    Ok((_, true)) => None,
                    Ok((_, false)) => {
                        Some(format!("a file of its output `{output}` is missing or was damaged"))
                    }
                    Err(error) => Some(format!("a file of its output `{output}` cannot be read: {error}")),
                })
            }
        };
        if let Some(problem) = problem {
            findings.broken.push(Broken { entry, problem });
        }
    }
    Ok(())
}
