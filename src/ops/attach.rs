//! Goes on with a run whose runner is gone: killed, detached, or its machine was started anew.

use std::path::Path;

use super::Error;
use super::home::HomeReader;
use super::prepare::{PreparedRun, prepare};
use super::prior::Prior;
use super::retry::recorded;
use crate::core::run_id::RunId;
use crate::engine::lookup::prior_run::PriorRun;
use crate::storage::db;
use crate::storage::history::{self, ABANDONED, DETACHED, INTERRUPTED, RUNNING, Run, events};
use crate::storage::home::Home;

/// A run that may be attached to.
pub enum Attach {
    /// It has ended.
    Ended(Box<Run>),
    Ready(RunId, Box<PreparedRun>),
}

/// Prepares to go on with the run that a person means by `name`, as it was asked for. The workflow file is read as it is
/// now; what the run had brought to an end is not done again.
///
/// # Errors
/// The run is not known, is under way (kind: conflict), or is older than the record of requests; and whatever
/// [`prepare`] refuses.
pub fn attach(home: Option<&Path>, name: &str) -> Result<Attach, Error> {
    let view = &HomeReader::open(home)?;
    let run = view.find(name)?;
    match &*run.status {
        RUNNING => return Err(under_way(&view.home, run.id)),
        DETACHED | ABANDONED | INTERRUPTED => {}
        _ => return Ok(Attach::Ended(Box::new(run))),
    }
    let (request, inputs) = recorded(view, &run)?;
    // What an earlier end of it had, and what went on after that.
    let earlier = view.home.earlier_events(run.id).into_iter().chain([view.home.events(run.id)]);
    let earlier = earlier.filter_map(|path| events(&path).ok()).flatten();
    let mut prior = Prior { run: run.id, inputs, earlier: PriorRun::of(run.id, earlier) };
    let mut prepared = prepare(request)?;
    prior.exclude(&prepared.opened.outline, &prepared.options, prepared.request.overwrite.is_some());
    prepared.prior = Some(prior);
    prepared.is_begun = true;
    Ok(Attach::Ready(run.id, Box::new(prepared)))
}

/// Expects that a run, of which this process has taken hold, has neither ended nor been gone on with.
///
/// # Errors
/// It has (kind: conflict), or the history cannot be read.
pub fn expect_unattended(home: &Home, run: RunId) -> Result<(), Error> {
    let db = db::open_reader(home.path()).map_err(|error| Error::store(error.to_string()))?;
    let status = history::find(&db, run.as_str())?.status;
    match &*status {
        DETACHED | INTERRUPTED => Ok(()),
        status => Err(Error::conflict(format!("another process went on with run {run}: it is {status}"))),
    }
}

fn under_way(home: &Home, run: RunId) -> Error {
    let process = home.process_of(run).map_or_else(String::new, |process| format!(" in process {process}"));
    Error::conflict(format!("run {run} is under way{process}"))
        .hint(format!("follow it with `runner logs {run} -f`, or end it with `runner cancel {run}`"))
}
