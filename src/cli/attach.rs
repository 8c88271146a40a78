//! `runner attach`: goes on with a run whose runner is gone.

use std::path::Path;

use super::Outcome;
use super::args::RunArg;
use super::screen::{ColorChoice, note};
use super::start::{LettingGo, Printed, begin};
use crate::ops::attach::{Attach, attach};
use crate::view::text::inert;

/// Go on with a run whose runner is gone: detached, killed, or its machine was started anew
///
/// The run keeps its id, inputs and flags. Jobs that have ended meanwhile are taken in, those that go on are waited for,
/// and the rest is submitted. A node whose definition or inputs have changed since begins anew, and its jobs are ended.
/// What this machine ran itself was ended with the runner, and begins anew too; results that there are already are kept.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner attach @last
  runner attach k3v9 --detach")]
pub struct Args {
    #[command(flatten)]
    of: RunArg,
    #[command(flatten)]
    letting_go: LettingGo,
    #[command(flatten)]
    printed: Printed,
}

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    match attach(home, &args.of.run)? {
        Attach::Ready(id, prepared) => begin(args.letting_go, args.printed, id, *prepared, home, color),
        Attach::Ended(run) => {
            let (id, status) = (run.id, &run.status);
            let next = match &**status {
                "succeeded" => format!("`runner exec {}` runs the workflow again", inert(&run.path)),
                _ => format!("`runner retry {id}` runs what failed or was never reached"),
            };
            note(&format!("run {id} has ended: {status}; {next}"));
            Ok(())
        }
    }
}
