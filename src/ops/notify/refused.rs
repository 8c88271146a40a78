//! Runs that were asked for and could not begin, as cron asks for them: a file that does not load, an input that does not fit, a
//! secret that is missing. Nobody is there to read the error, so its failure is sent like any other.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::series::{RunNotBegun, Series, SeriesOwner};
use super::{NotifyRules, messages_of, write};
use crate::core::run_id::RunId;
use crate::core::run_request::RunRequest;
use crate::core::schedule::ScheduledRun;
use crate::ops::Error;
use crate::ops::config::config_for;
use crate::ops::home::HomeReader;
use crate::ops::open::{Opened, check};
use crate::ops::prepare::scope;
use crate::ops::recorded::as_it_was;
use crate::ops::scheduled::take_schedule;
use crate::storage::db;
use crate::storage::history::of_path;
use crate::storage::home::Home;
use crate::storage::memo::Scope;
use crate::storage::outbox;
use crate::storage::refusals::{self, RunRefusal};
use crate::workflow::config::Config;
use crate::workflow::documents::Texts;
use crate::workflow::load::load_requested;

/// Writes down what is to be told of a run that was asked for under the id `run` and could not begin, and says how many messages
/// that makes. A file that does not load names nobody; its text in its last run does.
///
/// # Errors
/// The home cannot be read or written.
pub fn refused(home: Option<&Path>, run: RunId, request: &RunRequest, reason: &str) -> Result<usize, Error> {
    let located = Home::locate(home).map_err(Error::store)?;
    let path = std::path::absolute(&request.workflow).unwrap_or_else(|_| request.workflow.clone());
    let path = path.canonicalize().unwrap_or(path);
    // Where settings files have errors, only what the workflow says counts.
    let config = config_for(&path).unwrap_or_default();
    let (rules, owner) = match check(load_requested(Texts::default(), request)) {
        Ok(opened) => (NotifyRules::of(&opened.workflow, &config), owner_of(&opened, request, &config)),
        Err(_) => last_known(&HomeReader::open(home)?, &path, request, &config)?,
    };
    if rules.is_empty() {
        return Ok(0);
    }
    located.create().map_err(Error::store)?;
    db::open(located.path()).map_err(|error| Error::store(error.to_string()))?;
    let view = HomeReader::open(home)?;
    let now = Timestamp::now();
    let not_begun = RunNotBegun { run, began: now, reason: reason.to_owned(), is_of_instant: false };
    let series = Series::of_refused(&view, not_begun, owner)?;
    let messages = messages_of(home, &view, &rules, &series, None, now)?;
    let refusal = RunRefusal { run, series: series.name, refused: now, reason: reason.to_owned() };
    // Also where there is nothing to tell: it counts as a failure.
    write(&view, |change| {
        refusals::record(change, &refusal)?;
        outbox::post(change, &messages, now)
    })?;
    Ok(messages.len())
}

/// Whose run it would have been.
fn owner_of(opened: &Opened, request: &RunRequest, config: &Config) -> SeriesOwner {
    let workflow = &opened.workflow;
    let mut asked = request.clone();
    // What the workflow does not have is called as it was asked for.
    let scheduled = match take_schedule(&mut asked, workflow) {
        Ok(()) => asked.scheduled.clone(),
        Err(_) => request.scheduled.as_ref().map(|scheduled| whole(scheduled, &workflow.name)),
    };
    let scope = scope(workflow, &asked, config).ok();
    SeriesOwner { workflow: Some(workflow.name.clone()), scope, scheduled }
}

/// What the last run of a file says of it.
fn last_known(
    view: &HomeReader,
    path: &Path,
    request: &RunRequest,
    config: &Config,
) -> Result<(NotifyRules, SeriesOwner), Error> {
    let last = view.db.as_ref().map(|db| of_path(db, path)).transpose().map_err(Error::history)?.flatten();
    let Some(last) = last else {
        let owner =
            SeriesOwner { workflow: Some(called(path)), scope: None, scheduled: request.scheduled.clone() };
        return Ok((NotifyRules::of_settings(path, config), owner));
    };
    let rules = match as_it_was(view, &last) {
        Ok(again) => NotifyRules::of(&again.opened.workflow, config),
        Err(_) => NotifyRules::of_settings(path, config),
    };
    let scheduled = request.scheduled.as_ref().map(|scheduled| whole(scheduled, &last.workflow));
    let scope = Scope { project: last.project, domain: last.domain };
    Ok((rules, SeriesOwner { workflow: Some(last.workflow), scope: Some(scope), scheduled }))
}

/// The schedule by its whole name.
fn whole(scheduled: &ScheduledRun, workflow: &str) -> ScheduledRun {
    let name = match scheduled.schedule.contains('/') {
        true => scheduled.schedule.clone(),
        false => format!("{workflow}/{}", scheduled.schedule),
    };
    ScheduledRun { schedule: name, at: scheduled.at }
}

/// What a file is called of which no workflow is known.
fn called(path: &Path) -> String {
    let name: Option<PathBuf> = path.file_name().map(PathBuf::from);
    name.unwrap_or_else(|| path.to_owned()).display().to_string()
}
