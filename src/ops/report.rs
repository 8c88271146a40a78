//! A run as one page of HTML, with the logs and files that are stored of it.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use jiff::Zoned;

use super::Error;
use super::home::HomeReader;
use super::inspect::request;
use super::picture::picture;
use super::recorded::as_it_was;
use crate::core::digest::Digest;
use crate::core::run_id::RunId;
use crate::storage::own_file::{self, Access};
use crate::storage::store::Store;
use crate::storage::user_file::write_user_file;
use crate::view::html::{PageSources, page};

/// A page that was written.
pub struct Report {
    /// The id of its run.
    pub run: RunId,
    pub path: PathBuf,
}

/// Writes the page of the run that a person means by `name`, by default as `report-RUN.html` in the current folder. Ages
/// on it are those of `now`.
///
/// # Errors
/// The run is not known, the home cannot be read, or the page cannot be written.
pub fn report(
    home: Option<&Path>,
    name: &str,
    output: Option<PathBuf>,
    now: &Zoned,
) -> Result<Report, Error> {
    let ReportPage { run, file_name, html } = report_page(home, name, now)?;
    let path = output.unwrap_or_else(|| file_name.into());
    write_user_file(&path, |file| std::io::Write::write_all(file, html.as_bytes()))
        .map_err(|error| Error::invalid(format!("cannot write {}: {error}", path.display())))?;
    Ok(Report { run, path })
}

/// The page of a run, and the usual name of its file.
pub struct ReportPage {
    pub run: RunId,
    pub file_name: String,
    pub html: String,
}

/// Makes the page of the run that a person means by `name`. Ages on it are those of `now`.
///
/// # Errors
/// The run is not known, or the home cannot be read.
pub fn report_page(home: Option<&Path>, name: &str, now: &Zoned) -> Result<ReportPage, Error> {
    let view = HomeReader::open(home)?;
    let run = view.find(name)?;
    let recorded = as_it_was(&view, &run);
    let picture = recorded.map(|again| picture(&again.opened.workflow)).map_err(|error| error.message);
    let kept = Kept { store: view.store()? };
    let asked = request(&view, run.id);
    let html = page(run.id, view.events(run.id)?, &run.status, asked, picture, &kept, now);
    Ok(ReportPage { run: run.id, file_name: format!("report-{}.html", run.id), html })
}

/// What is stored of a run beside its events.
struct Kept {
    store: Store,
}

impl PageSources for Kept {
    fn log(&self, path: &str, limit: u64) -> Option<(Vec<u8>, bool)> {
        let mut file = super::logs::open_log(Path::new(&path)).ok()?;
        let length = file.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(limit))).ok()?;
        let mut end = Vec::new();
        file.take(limit).read_to_end(&mut end).ok()?;
        Some((end, length <= limit))
    }

    fn blob(&self, digest: &str, size: u64) -> Option<Vec<u8>> {
        let digest: Digest = digest.parse().ok()?;
        let mut bytes = Vec::new();
        let file = own_file::open(&self.store.blob_path(&digest), Access::Read).ok()?;
        file.take(size + 1).read_to_end(&mut bytes).ok()?;
        // A folder's blob is its list of entries, and not as large as what is in it.
        (bytes.len() as u64 == size && Digest::of(&bytes) == digest).then_some(bytes)
    }
}
