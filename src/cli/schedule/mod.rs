//! `runner schedule`: schedules by themselves. One file a verb.

mod crontab;
mod next;
mod units;

use std::path::Path;

use clap::Subcommand;

use super::Outcome;
use super::screen::ColorChoice;

/// Look at schedules: when they are due, and as timers of the system
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Next(next::Args),
    Crontab(crontab::Args),
}

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    match args.verb {
        Verb::Next(args) => next::run(args, color),
        Verb::Crontab(args) => crontab::run(&args, home),
    }
}
