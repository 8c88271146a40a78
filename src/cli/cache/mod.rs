//! `runner cache`: the cache by itself. One file a verb.
//!
//! | file | owns |
//! |---|---|
//! | `rows.rs` | a result in one line: as JSON, and in a table |
//! | `find.rs` | the flags that pick results |
//! | `recompute_text.rs` | how results that were run again differ, for people and as JSON |

mod accept;
mod evict;
mod find;
pub mod gc;
mod key;
mod ls;
mod recompute_text;
mod rows;
mod show;
mod stats;
mod transfer;
mod verify;

use std::path::Path;

use clap::Subcommand;

use super::screen::ColorChoice;
use super::{Failure, Outcome};

/// Inspect, clean and verify the cache
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Accept(accept::Args),
    Ls(ls::Args),
    Show(show::Args),
    Stats(stats::Args),
    Evict(evict::Args),
    Gc(gc::Args),
    Verify(verify::Args),
    Push(transfer::PushArgs),
    Pull(transfer::PullArgs),
    Key(key::Args),
}

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    match args.verb {
        Verb::Accept(args) => accept::run(args, home, color),
        Verb::Ls(args) => ls::run(args, home, color),
        Verb::Show(args) => show::run(args, home, color),
        Verb::Stats(args) => stats::run(args, home, color),
        Verb::Evict(args) => evict::run(args, home),
        Verb::Gc(args) => gc::run(args, home, color),
        Verb::Verify(args) => verify::run(args, home, color),
        Verb::Push(args) => transfer::run_push(args, home),
        Verb::Pull(args) => transfer::run_pull(args, home),
        Verb::Key(args) => key::run(args),
    }
}
