//! `runner schedule`: schedules by themselves. One file a verb.

mod next;

use clap::Subcommand;

use super::Outcome;
use super::screen::ColorChoice;

/// Look at schedules: when they are due
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Next(next::Args),
}

pub fn run(args: Args, color: ColorChoice) -> Outcome {
    match args.verb {
        Verb::Next(args) => next::run(args, color),
    }
}
