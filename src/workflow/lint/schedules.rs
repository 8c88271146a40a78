//! Schedules that are due on more days than they seem to be.

use super::Lint;
use crate::workflow::Workflow;
use crate::workflow::diagnostic::Diagnostic;

/// Expressions whose two day fields both restrict the day: it is enough that one of them fits.
pub fn of_workflow(workflow: &Workflow) -> Vec<Lint> {
    let places = workflow.schedules.iter().flat_map(|schedule| {
        let name = &schedule.schedule.name;
        schedule.two_day_fields.iter().map(move |place| (name, *place))
    });
    let warn = |(name, place)| {
        let message = format!("schedule `{name}` restricts both the day of month and the day of week");
        let help = "cron runs on a day that fits either field; for a day that must fit both, leave one field `*` and \
                    test the other in the workflow";
        let diagnostic = Diagnostic::warning(place, message, "due on days that fit either field").help(help);
        Lint { name: "two-day-fields", diagnostic }
    };
    places.map(warn).collect()
}
