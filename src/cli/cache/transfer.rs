//! `runner cache push` and `runner cache pull`: results to a shared cache, and from it.

use std::path::Path;
use std::sync::Mutex;

use super::find::Which;
use super::{Failure, Outcome};
use crate::cli::args::RemoteFlags;
use crate::cli::code;
use crate::cli::screen::{note, print, print_text};
use crate::core::lock::lock;
use crate::ops::Error;
use crate::ops::remote::transfer::{PickedResults, TransferOutcome, Transferred, pull, push};
use crate::ops::remote::{RemoteCache, here};
use crate::ops::results::KEY_DIGITS;
use crate::view::text::{inert, named};

/// Upload results to the shared cache: those still queued, and those named
///
/// Exits with 1 if something could not be uploaded, which stays queued.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner cache push
  runner cache push --task train.fit --remote s3://team/cache")]
pub struct PushArgs {
    #[command(flatten)]
    transfer: TransferArgs,
}

/// Bring results of the shared cache here: all, or those named
///
/// Runs do so by themselves for what they need. Exits with 1 if something could not be had.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner cache pull --task train.fit
  runner cache pull 3f9a0c1d2e")]
pub struct PullArgs {
    #[command(flatten)]
    transfer: TransferArgs,
}

#[derive(clap::Args)]
struct TransferArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    remote: RemoteFlags,
    /// Only the results with these keys, or beginnings of them
    #[arg(value_name = "KEY")]
    keys: Vec<String>,
    /// Print one line of JSON for each result
    #[arg(long)]
    json: bool,
}

/// What both do.
type Transfer = fn(
    Option<&Path>,
    &RemoteCache,
    &PickedResults,
    &(dyn Fn(&Transferred) + Sync),
) -> Result<Vec<String>, Error>;

pub fn run_push(args: PushArgs, home: Option<&Path>) -> Outcome {
    run(args.transfer, home, push, "uploaded")
}

pub fn run_pull(args: PullArgs, home: Option<&Path>) -> Outcome {
    run(args.transfer, home, pull, "fetched")
}

/// How many results ended how.
#[derive(Default)]
struct Sums {
    done: u64,
    present: u64,
    conflicts: u64,
    failed: u64,
}

fn run(args: TransferArgs, home: Option<&Path>, transfer: Transfer, done: &str) -> Outcome {
    let cache = here(&args.remote.choice()?)?;
    let picked = PickedResults { filter: args.which.filter(), keys: args.keys };
    let sums = Mutex::new(Sums::default());
    let tell = |ended: &Transferred| {
        let mut sums = lock(&sums);
        match &ended.outcome {
            TransferOutcome::Uploaded | TransferOutcome::Fetched => sums.done += 1,
            TransferOutcome::Present => sums.present += 1,
            TransferOutcome::Conflict => sums.conflicts += 1,
            TransferOutcome::Failed(problem) => {
                sums.failed += 1;
                if !args.json {
                    let key = &ended.key.hex()[..KEY_DIGITS];
                    note(&format!("{key} {}: {}", inert(&ended.task), inert(problem)));
                }
            }
        }
        if args.json {
            print(&format!("{}\n", ended.to_json()));
        }
    };
    let warnings = transfer(home, &cache, &picked, &tell)?;
    warnings.iter().for_each(|warning| note(&format!("warning: {warning}")));
    let sums = lock(&sums);
    if !args.json {
        let mut parts = vec![format!("{} {done}", named(sums.done, "result"))];
        for (count, what) in [
            (sums.present, "already there"),
            (sums.conflicts, "differ from what is there"),
            (sums.failed, "failed"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        print_text(format!("{}: {}\n", cache.url, parts.join(", ")));
    }
    if sums.failed > 0 { Err(Failure::silent(code::FAILED)) } else { Ok(()) }
}
