//! The schedule that a person means: one of the files given, else one that the home knows.

use std::path::{Path, PathBuf};

use super::{LoadedSchedule, Schedules, only_one, read, schedules, unknown};
use crate::ops::Error;
use crate::ops::home::HomeReader;
use crate::storage::schedules::known::{self, Known};

/// A schedule by its whole name.
pub(super) struct Named {
    /// `<workflow>/<schedule>`.
    pub name: String,
    pub path: PathBuf,
    /// The schedule itself, or what is wrong with its file.
    pub found: Result<LoadedSchedule, Vec<String>>,
    /// What the home knows of it, if a daemon ever served it or somebody paused it.
    pub known: Option<Known>,
}

impl Named {
    /// A schedule of a file that was read.
    pub fn of_file(found: &LoadedSchedule, known: &[Known]) -> Self {
        let name = found.name.clone();
        let known = known.iter().find(|known| known.name == name).cloned();
        Self { path: found.path().to_owned(), found: Ok(found.clone()), known, name }
    }

    /// A schedule of the home; its file is read as it is now.
    pub fn of_home(known: &Known) -> Self {
        let Known { name, path, .. } = known;
        let found = match read(path) {
            Ok(all) => all
                .into_iter()
                .find(|found| found.name == *name)
                .ok_or_else(|| vec![format!("{} has no schedule `{name}` any more", path.display())]),
            Err(_) if !path.exists() => Err(vec![format!("{} does not exist any more", path.display())]),
            Err(broken) => Err(broken.mistakes),
        };
        Self { name: name.clone(), path: path.clone(), found, known: Some(known.clone()) }
    }

    /// The schedule, to run it.
    ///
    /// # Errors
    /// What is wrong with its file.
    pub fn runnable(&self) -> Result<&LoadedSchedule, Error> {
        let cannot = |mistakes: &Vec<String>| {
            Error::invalid(format!("schedule {} cannot be run: {}", self.name, mistakes.join("\n")))
        };
        self.found.as_ref().map_err(cannot)
    }
}

/// All schedules that the home knows.
///
/// # Errors
/// The database cannot be read.
pub(super) fn known(home: &HomeReader) -> Result<Vec<Known>, Error> {
    match &home.db {
        Some(db) => known::all(db, &home.home).map_err(Error::history),
        None => Ok(Vec::new()),
    }
}

/// The schedule of that name: its whole name, or what comes behind `/` where that is unique among the files of `paths`, else
/// among those that the home knows.
///
/// # Errors
/// No or several schedules have that name; the home cannot be read.
pub(super) fn named(home: &HomeReader, name: &str, paths: &[PathBuf]) -> Result<Named, Error> {
    let known = known(home)?;
    let Schedules { found, broken } = in_files(paths)?;
    let called: Vec<_> = found.iter().filter(|found| found.is_called(name)).collect();
    if !called.is_empty() {
        let names: Vec<_> = called.iter().map(|found| found.name.clone()).collect();
        only_one(name, &names)?;
        return Ok(Named::of_file(called[0], &known));
    }
    let means = |known: &&Known| {
        known.name == name || known.name.rsplit_once('/').is_some_and(|(_, schedule)| schedule == name)
    };
    let meant: Vec<_> = known.iter().filter(means).collect();
    let names: Vec<_> = meant.iter().map(|known| known.name.clone()).collect();
    if let Some(first) = meant.first() {
        only_one(name, &names)?;
        return Ok(Named::of_home(first));
    }
    let mut names: Vec<_> = found.iter().map(|found| found.name.clone()).collect();
    names.extend(known.into_iter().map(|known| known.name));
    names.sort();
    names.dedup();
    let none = "no workflow file here has [[schedules]], and the home knows none";
    Err(unknown(name, &names, &broken, none))
}

/// The schedules of `paths`. Without paths those of the current folder, which may be one that cannot be read.
///
/// # Errors
/// A path that cannot be read.
pub(super) fn in_files(paths: &[PathBuf]) -> Result<Schedules, Error> {
    match schedules(paths) {
        Err(_) if paths.is_empty() => Ok(Schedules::default()),
        read => read,
    }
}

/// Whether two paths lead to one file.
pub(super) fn is_same_file(a: &Path, b: &Path) -> bool {
    a == b || a.canonicalize().is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b))
}
