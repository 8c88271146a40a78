//! Schedules by name: among workflow files and the files of folders, and the one that a request takes its inputs from. Nothing is
//! created or changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::Error;
use super::open::{Opened, check};
use crate::core::closest::closest;
use crate::core::inert::quote;
use crate::core::run_request::{GivenInputs, RunRequest};
use crate::core::schedule::Schedule;
use crate::workflow::Workflow;
use crate::workflow::load::load;

/// A schedule of a workflow that was read.
#[derive(Clone)]
pub struct Found {
    pub workflow: Arc<Workflow>,
    /// Its place in the file, from 0.
    index: usize,
}

/// Schedules, and the files that could not be read.
#[derive(Default)]
pub struct Schedules {
    pub found: Vec<Found>,
    /// A file that has errors, and how many.
    pub broken: Vec<(PathBuf, usize)>,
}

impl Found {
    pub fn schedule(&self) -> &Schedule {
        &self.workflow.schedules[self.index].schedule
    }

    /// `<workflow>/<schedule>`, which is unique in a home.
    pub fn whole_name(&self) -> String {
        format!("{}/{}", self.workflow.name, self.schedule().name)
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
        for file in files_of(path)? {
            match check(load(&file, &[])) {
                Ok(Opened { workflow, .. }) => {
                    let indices = 0..workflow.schedules.len();
                    all.found.extend(indices.map(|index| Found { workflow: workflow.clone(), index }));
                }
                Err(errors) => all.broken.push((file, errors.diagnostics.len())),
            }
        }
    }
    Ok(all)
}

/// The schedule of that name among `paths`: its whole name, or what comes behind `/` where that is unique.
///
/// # Errors
/// No or several schedules of that name.
pub fn find(name: &str, paths: &[PathBuf]) -> Result<Found, Error> {
    let Schedules { found, broken } = schedules(paths)?;
    let fits = |schedule: &&Found| schedule.whole_name() == name || schedule.schedule().name == name;
    let matching: Vec<_> = found.iter().filter(fits).collect();
    match &matching[..] {
        [one] => Ok((*one).clone()),
        [] => {
            let names: Vec<_> = found.iter().map(Found::whole_name).collect();
            let near = closest(name, names.iter().map(String::as_str));
            let hint = match (near, broken.first(), names.is_empty()) {
                (Some(near), ..) => format!("did you mean `{near}`?"),
                (None, Some((file, _)), _) => {
                    format!("{} has errors: `runner check` shows them", file.display())
                }
                (None, None, true) => "no workflow file here has [[schedules]]".to_owned(),
                (None, None, false) => format!("there are {}", names.join(", ")),
            };
            Err(Error::not_found(format!("there is no schedule {}", quote(name))).hint(hint))
        }
        several => {
            let names: Vec<_> = several.iter().map(|schedule| schedule.whole_name()).collect();
            let message = format!("{} is the name of several schedules: {}", quote(name), names.join(", "));
            Err(Error::invalid(message).hint("give the whole name"))
        }
    }
}

/// Puts what the schedule of the request gives below what the request gives by itself, and the instant that is meant into the request.
///
/// # Errors
/// The workflow has no such schedule, or no instant of it has passed.
pub fn take_schedule(request: &mut RunRequest, workflow: &Workflow) -> Result<(), Error> {
    let is_recorded = request.given.iter().any(|given| matches!(given, GivenInputs::Recorded(_)));
    let Some(asked) = request.scheduled.as_mut().filter(|_| !is_recorded) else {
        // An earlier run took them from its schedule, which may be another one now.
        return Ok(());
    };
    let whole_name = |name: &str| format!("{}/{name}", workflow.name);
    let schedules = || workflow.schedules.iter().map(|placed| &placed.schedule);
    let fits = |schedule: &&Schedule| {
        schedule.name == asked.schedule || whole_name(&schedule.name) == asked.schedule
    };
    let Some(schedule) = schedules().find(fits) else {
        let names: Vec<_> = schedules().map(|schedule| &*schedule.name).collect();
        let hint = match (closest(&asked.schedule, names.iter().copied()), names.is_empty()) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, true) => "it has no [[schedules]]".to_owned(),
            (None, false) => format!("it has {}", names.join(", ")),
        };
        let message = format!("{} has no schedule {}", workflow.path.display(), quote(&asked.schedule));
        return Err(Error::invalid(message).hint(hint));
    };
    let at = match asked.at {
        Some(at) => at,
        None => schedule.rhythm.latest(Timestamp::now()).map(|instant| instant.at).ok_or_else(|| {
            let message = format!("schedule `{}` had no instant yet", schedule.name);
            Error::invalid(message).hint("say which one is meant with --scheduled-at")
        })?,
    };
    (asked.schedule, asked.at) = (whole_name(&schedule.name), Some(at));
    let dir = workflow.dir().to_owned();
    request.given.insert(0, GivenInputs::Values { dir, values: schedule.inputs_at(at) });
    request.project = request.project.take().or_else(|| schedule.project.clone());
    request.domain = request.domain.take().or_else(|| schedule.domain.clone());
    Ok(())
}

/// The file itself, or the workflow files directly in a folder, by name.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let unreadable = |error| Error::invalid(format!("{} cannot be read: {error}", path.display()));
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
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

/// Whether a file says `[workflow]`: other files of a folder, such as libraries, are none of ours.
fn has_workflow_table(path: &Path) -> bool {
    let is_file = fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    let text = is_file.then(|| fs::read_to_string(path).ok()).flatten().unwrap_or_default();
    text.lines().any(|line| line.trim().starts_with("[workflow]"))
}
