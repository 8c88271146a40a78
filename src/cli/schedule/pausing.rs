//! `runner schedule pause` and `resume`.

use std::path::Path;

use jiff::{Timestamp, Zoned};

use crate::cli::Outcome;
use crate::cli::screen::note;
use crate::cli::user::user_name;
use crate::ops::schedules::pausing::{PauseTarget, Paused, pause as pause_all, resume as resume_all};
use crate::view::text::age;

/// Pause a schedule: its instants pass without a run, and are not caught up later
///
/// A run that goes on is not ended, and `runner schedule trigger` still works. The pause belongs to the whole name: it outlasts
/// restarts of the daemon and edits of the file.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner schedule pause nightly --reason 'the source is down until Monday'
  runner schedule pause --all")]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub struct PauseArgs {
    /// A schedule: `<workflow>/<name>`, or the name alone where it is unique
    #[arg(value_name = "NAME", group = "which")]
    schedule: Option<String>,
    /// All schedules of the current folder, and all that the home knows
    #[arg(long, group = "which")]
    all: bool,
    /// Why, for those who look at it later
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Resume a paused schedule, from its next instant on
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner schedule resume nightly
  runner schedule resume --all")]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub struct ResumeArgs {
    /// A schedule: `<workflow>/<name>`, or the name alone where it is unique
    #[arg(value_name = "NAME", group = "which")]
    schedule: Option<String>,
    /// All schedules of the current folder, and all that the home knows
    #[arg(long, group = "which")]
    all: bool,
}

fn which(schedule: Option<&String>) -> PauseTarget<'_> {
    schedule.map_or(PauseTarget::All, |name| PauseTarget::One(name))
}

pub fn pause(args: &PauseArgs, home: Option<&Path>) -> Outcome {
    let changed = pause_all(home, &which(args.schedule.as_ref()), &user_name(), args.reason.as_deref())?;
    if changed.is_empty() {
        note("there are no schedules");
    }
    let now = Zoned::now();
    for Paused { schedule, is_new, since } in changed {
        let line = match (is_new, since) {
            (true, _) => format!("paused {schedule}"),
            (false, Some(since)) => format!("{schedule} is paused already, since {}", age(since, &now)),
            (false, None) => format!("{schedule} is paused already"),
        };
        note(&line);
    }
    Ok(())
}

pub fn resume(args: &ResumeArgs, home: Option<&Path>) -> Outcome {
    let changed = resume_all(home, &which(args.schedule.as_ref()))?;
    let is_one = args.schedule.is_some();
    let mut resumed = 0;
    for Paused { schedule, is_new, since } in changed {
        if !is_new {
            if is_one {
                note(&format!("{schedule} is not paused"));
            }
            continue;
        }
        resumed += 1;
        note(&format!("resumed {schedule}"));
        if let (true, Some(since)) = (is_one, since) {
            let whole = |at: Timestamp| Timestamp::from_second(at.as_second()).unwrap_or(at);
            note(&format!(
                "instants of the pause are not caught up; `runner schedule backfill {schedule} --from {} --to {}` runs them",
                whole(since),
                whole(now_after(since))
            ));
        }
    }
    if resumed == 0 && !is_one {
        note("no schedule is paused");
    }
    Ok(())
}

fn now_after(since: Timestamp) -> Timestamp {
    Timestamp::now().max(since)
}
