//! A run's request made again: with what the run had brought to an end (retry), or without (rerun).

use std::path::Path;

use serde_json::{Map as JsonMap, Value as Json};

use super::Error;
use super::home::HomeReader;
use super::prepare::{PreparedRun, prepare};
use super::prior::Prior;
use crate::core::run_request::{CacheMode, GivenInputs, RunRequest};
use crate::core::schedule::Trigger;
use crate::engine::lookup::prior_run::PriorRun;
use crate::storage::history::invocation::{Invocation, invocation};
use crate::storage::history::{RUNNING, Run};

/// A run that may be retried.
pub enum Retry {
    /// Everything in it succeeded.
    NothingToDo(Box<Run>),
    Ready(Box<PreparedRun>),
}

/// Prepares a retry of the run that a person means by `name`; what `newer` asks for comes on top of the run's own
/// request. The workflow file is read as it is now.
///
/// # Errors
/// The run is not known, still goes on, or is older than the record of requests; and whatever
/// [`prepare`] refuses.
pub fn retry(home: Option<&Path>, name: &str, newer: RunRequest) -> Result<Retry, Error> {
    let home = &HomeReader::open(home)?;
    let run = home.find(name)?;
    if run.status == RUNNING {
        let message = format!("run {} is still running: wait for its end, or stop it", run.id);
        return Err(Error::conflict(message));
    }
    if is_done(&run) {
        return Ok(Retry::NothingToDo(Box::new(run)));
    }
    let (mut request, inputs) = recorded(home, &run)?;
    let overwrites = newer.overwrite.is_some();
    let ignores = matches!(newer.cache, Some(CacheMode::WriteOnly | CacheMode::Off));
    let earlier = match ignores {
        true => PriorRun::of(run.id, []),
        false => PriorRun::of(run.id, home.events(run.id)?),
    };
    request.trigger = Trigger::Retry;
    request.retry_of = Some(run.id);
    let mut prepared = prepare(request.overridden_by(newer))?;
    let mut prior = Prior { run: run.id, inputs, earlier };
    prior.exclude(&prepared.opened.outline, &prepared.options, overwrites);
    prepared.prior = Some(prior);
    Ok(Retry::Ready(Box::new(prepared)))
}

/// The request of the run that a person means by `name`, made again; what `newer` asks for comes on top. Nothing is taken
/// over from the run: all of its nodes go through the cache.
///
/// # Errors
/// The run is not known or is older than the record of requests; and whatever [`prepare`] refuses.
pub fn rerun(home: Option<&Path>, name: &str, newer: RunRequest) -> Result<PreparedRun, Error> {
    let home = &HomeReader::open(home)?;
    let run = home.find(name)?;
    let (mut request, _) = recorded(home, &run)?;
    request.retry_of = None;
    request.trigger = Trigger::Manual;
    prepare(request.overridden_by(newer))
}

/// What a run was asked for, with the inputs that it recorded, and these by themselves.
pub(super) fn recorded(home: &HomeReader, run: &Run) -> Result<(RunRequest, JsonMap<String, Json>), Error> {
    let Some(db) = &home.db else { return Err(Error::not_found("there is no history")) };
    let Invocation { mut request, inputs, .. } = invocation(db, run.id)
        .map_err(|why| Error::invalid(why.to_string()).hint(format!("use `runner exec {}`", run.path)))?;
    request.given = vec![GivenInputs::Recorded(inputs.clone())];
    Ok((request, inputs))
}

/// Whether nothing of a run failed, was cancelled or was not reached.
fn is_done(run: &Run) -> bool {
    run.status == "succeeded" && run.counts.failed == 0 && run.counts.cancelled == 0
}
