//! A request for an instant of a schedule: which schedule of the workflow it means, and what that gives.

use jiff::Timestamp;

use super::Error;
use crate::core::closest::closest;
use crate::core::inert::quote;
use crate::core::run_request::{GivenInputs, RunRequest};
use crate::core::schedule::Schedule;
use crate::workflow::Workflow;

/// Adds to a request what its schedule gives, where the request gives nothing itself, and the instant that is meant.
///
/// # Errors
/// The workflow has no such schedule, or no instant of it has passed.
pub fn take_schedule(request: &mut RunRequest, workflow: &Workflow) -> Result<(), Error> {
    let is_recorded = request.given.iter().any(|given| matches!(given, GivenInputs::Recorded(_)));
    let Some(asked) = request.scheduled.as_mut().filter(|_| !is_recorded) else {
        // An earlier run took them from its schedule, which may be another one now.
        return Ok(());
    };
    let mut schedules = workflow.schedules.iter().map(|placed| &placed.schedule);
    let Some(schedule) = schedules.find(|schedule| is_called(schedule, workflow, &asked.schedule)) else {
        let names: Vec<_> = workflow.schedules.iter().map(|placed| placed.schedule.name.clone()).collect();
        let others = match names.is_empty() {
            true => "it has no [[schedules]]".to_owned(),
            false => format!("it has {}", names.join(", ")),
        };
        let hint = nearest(&asked.schedule, &names).unwrap_or(others);
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
    (asked.schedule, asked.at) = (whole_name(schedule, workflow), Some(at));
    let dir = workflow.dir().to_owned();
    request.given.insert(0, GivenInputs::Values { dir, values: schedule.inputs_at(at) });
    request.project = request.project.take().or_else(|| schedule.project.clone());
    request.domain = request.domain.take().or_else(|| schedule.domain.clone());
    Ok(())
}

/// `<workflow>/<schedule>`.
pub fn whole_name(schedule: &Schedule, workflow: &Workflow) -> String {
    format!("{}/{}", workflow.name, schedule.name)
}

/// Whether `name` means this schedule, with the name of its workflow or without.
pub(super) fn is_called(schedule: &Schedule, workflow: &Workflow, name: &str) -> bool {
    schedule.name == name || whole_name(schedule, workflow) == name
}

pub(super) fn nearest(name: &str, names: &[String]) -> Option<String> {
    closest(name, names.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"))
}
