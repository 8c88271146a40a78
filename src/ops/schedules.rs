//! Schedules by name: among workflow files and the files of folders. Nothing is
//! created or changed here.
//!
//! | file | owns |
//! |---|---|
//! | `lookup.rs` | the schedule that a person means, in files or known to the home |
//! | `overview.rs` | the state of schedules: a list, one with its instants |
//! | `pausing.rs` | pausing and resuming |
//! | `trigger.rs` | a run on request: by the daemon that serves the schedule, or in this process |
//! | `backfill.rs` | past instants on request |
//! | `claimed.rs` | the run of a claimed instant in this process |
//! | `last_loaded.rs` | a schedule as the daemon that serves it loaded it last |

pub mod backfill;
mod claimed;
mod last_loaded;
mod lookup;
pub mod overview;
pub mod pausing;
pub mod trigger;

pub use claimed::begin_claims;
pub use last_loaded::{text_of, times_of};

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::Error;
use super::home::HomeReader;
use super::open::{Opened, check};
use super::scheduled::{nearest, whole_name};
use crate::core::inert::quote;
use crate::core::schedule::Schedule;
use crate::workflow::load::load;
use crate::workflow::program_ref::ProgramRef;
use crate::workflow::source::read_text;

/// A schedule of a workflow file that has no errors.
#[derive(Clone)]
pub struct LoadedSchedule {
    /// `<workflow>/<schedule>`, which is unique in a home.
    pub name: String,
    pub opened: Arc<Opened>,
    /// Its place in the file, from 0.
    index: usize,
}

/// Schedules, and the files that could not be read.
#[derive(Default)]
pub struct Schedules {
    pub found: Vec<LoadedSchedule>,
    pub broken: Vec<BrokenFile>,
}

/// A workflow file that has errors.
pub struct BrokenFile {
    pub path: PathBuf,
    /// Each in one line, behind its place.
    pub mistakes: Vec<String>,
}

impl LoadedSchedule {
    /// The schedules of a file, in its order.
    pub fn all_of(opened: &Arc<Opened>) -> impl Iterator<Item = Self> {
        let schedules = opened.workflow.schedules.iter().enumerate();
        schedules.map(|(index, placed)| Self {
            name: whole_name(&placed.schedule, &opened.workflow),
            opened: opened.clone(),
            index,
        })
    }

    pub fn schedule(&self) -> &Schedule {
        &self.opened.workflow.schedules[self.index].schedule
    }

    /// The workflow file, absolute.
    pub fn path(&self) -> &Path {
        &self.opened.workflow.path
    }

    /// Whether `name` means it: its whole name, or what comes behind `/`.
    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.schedule().name == name
    }
}

/// The schedules of files; a folder stands for the workflow files directly in it, and no path for the current folder.
///
/// # Errors
/// A path that cannot be read.
pub fn schedules(paths: &[PathBuf]) -> Result<Schedules, Error> {
    let here = [PathBuf::from(".")];
    let mut all = Schedules::default();
    for path in if paths.is_empty() { &here } else { paths } {
        for file in workflow_files(path)? {
            match read(&file) {
                Ok(found) => all.found.extend(found),
                Err(broken) => all.broken.push(broken),
            }
        }
    }
    Ok(all)
}

/// The schedules of one file.
fn read(file: &Path) -> Result<Vec<LoadedSchedule>, BrokenFile> {
    match check(load(file, &[])) {
        Ok(opened) => Ok(LoadedSchedule::all_of(&Arc::new(opened)).collect()),
        Err(errors) => Err(BrokenFile { path: file.to_owned(), mistakes: errors.lines() }),
    }
}

/// The schedule of that name among `paths`: its whole name, or what comes behind `/` where that is unique.
///
/// # Errors
/// No or several schedules of that name.
pub fn find(name: &str, paths: &[PathBuf]) -> Result<LoadedSchedule, Error> {
    let Schedules { found, broken } = schedules(paths)?;
    let matching: Vec<_> = found.iter().filter(|found| found.is_called(name)).collect();
    let Some(first) = matching.first() else {
        let names: Vec<_> = found.iter().map(|found| found.name.clone()).collect();
        return Err(unknown(name, &names, &broken, "no workflow file here has [[schedules]]"));
    };
    only_one(name, &matching.iter().map(|found| found.name.clone()).collect::<Vec<_>>())?;
    Ok((*first).clone())
}

/// There is no schedule of that name among `names`; `none` is said where there are no names.
fn unknown(name: &str, names: &[String], broken: &[BrokenFile], none: &str) -> Error {
    let others = match broken.first() {
        Some(file) => format!("{} has errors: `runner check` shows them", file.path.display()),
        None if names.is_empty() => none.to_owned(),
        None => format!("there are {}", names.join(", ")),
    };
    let hint = nearest(name, names).unwrap_or(others);
    Error::not_found(format!("there is no schedule {}", quote(name))).hint(hint)
}

/// Refuses a name that several schedules have, by their whole names.
fn only_one(name: &str, whole_names: &[String]) -> Result<(), Error> {
    match whole_names {
        [_] => Ok(()),
        several => {
            let message = format!("{} is the name of several schedules: {}", quote(name), several.join(", "));
            Err(Error::invalid(message).hint("give the whole name"))
        }
    }
}

/// The zone of the schedule that a person means by `name`; UTC where its file has errors.
///
/// # Errors
/// No or several schedules have that name; the home cannot be read.
pub fn zone_of(home: Option<&Path>, name: &str) -> Result<TimeZone, Error> {
    let named = lookup::named(&HomeReader::open(home)?, name, &[])?;
    Ok(named.found.map_or(TimeZone::UTC, |found| found.schedule().rhythm.zone()))
}

/// The file itself, or the workflow files directly in a folder, by name.
///
/// # Errors
/// It cannot be read.
pub fn workflow_files(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let unreadable = |error| Error::invalid(format!("{} cannot be read: {error}", path.display()));
    if !fs::metadata(ProgramRef::file_of(path)).map_err(unreadable)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?.path();
        if entry.extension().is_some_and(|extension| extension == "toml") && has_workflow_table(&entry) {
            // Files of the current folder are called as a person calls them.
            files.push(entry.strip_prefix(".").map_or(entry.clone(), Path::to_owned));
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a file says `[workflow]`: a folder may hold libraries and other files as well.
fn has_workflow_table(path: &Path) -> bool {
    read_text(path).is_ok_and(|text| text.lines().any(|line| line.trim().starts_with("[workflow]")))
}
