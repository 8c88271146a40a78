//! `runner schedule`: the verbs for schedules, one file each.

mod backfill;
mod command;
mod crontab;
mod list;
mod next;
mod pausing;
mod show;
mod trigger;
mod units;

use std::path::Path;

use clap::Subcommand;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::screen::{ColorChoice, note};
use super::{Failure, Outcome};
use crate::core::counted::counted;
use crate::core::time_arg::{Edge, last_moment};
use crate::ops::schedules::BrokenFile;

/// Look at schedules, pause them, run them by hand or for the past, and make timers of the system
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    List(list::Args),
    Show(show::Args),
    Next(next::Args),
    Pause(pausing::PauseArgs),
    Resume(pausing::ResumeArgs),
    Trigger(trigger::Args),
    Backfill(backfill::Args),
    Crontab(crontab::Args),
}

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    match args.verb {
        Verb::List(args) => list::run(&args, home, color),
        Verb::Show(args) => show::run(&args, home, color),
        Verb::Next(args) => next::run(args, color),
        Verb::Pause(args) => pausing::pause(&args, home),
        Verb::Resume(args) => pausing::resume(&args, home),
        Verb::Trigger(args) => trigger::run(&args, home, color),
        Verb::Backfill(args) => backfill::run(&args, home, color),
        Verb::Crontab(args) => crontab::run(&args, home),
    }
}

/// Warns of a file whose schedules are left out.
fn warn_of(broken: &BrokenFile) {
    let path = broken.path.display();
    let errors = counted(broken.mistakes.len() as u64, "error");
    note(&format!("warning: {path} has {errors} and is left out: `runner check` shows them"));
}

/// The instant that a flag means, in the zone of a schedule.
fn instant(flag: &str, text: &str, edge: Edge, zone: &TimeZone) -> Result<Timestamp, Failure> {
    last_moment(text, edge, &Timestamp::now().to_zoned(zone.clone()))
        .map_err(|problem| Failure::usage(format!("{flag}: {problem}")))
}
