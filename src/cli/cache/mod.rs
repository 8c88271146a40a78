//! `runner cache`: the cache by itself. One file a verb.
//!
//! | file | owns |
//! |---|---|
//! | `cap.rs` | sizes, ages, and how much may be kept |
//! | `rows.rs` | a result in one line: as JSON, and in a table |
//! | `find.rs` | results by key and by what else is known of them |
//! | `recompute.rs`, `differ.rs`, `told.rs` | results that are run again, how they differ, and what is told of them |

pub mod cap;
mod differ;
mod evict;
mod find;
pub mod gc;
mod ls;
mod recompute;
mod recompute_text;
mod rows;
mod show;
mod stats;
mod verify;

use std::path::Path;

use clap::Subcommand;

use super::screen::ColorChoice;
use super::{Failure, Outcome};

/// Look into the cache, and keep it small and sound
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Ls(ls::Args),
    Show(show::Args),
    Stats(stats::Args),
    Evict(evict::Args),
    Gc(gc::Args),
    Verify(verify::Args),
}

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    match args.verb {
        Verb::Ls(args) => ls::run(args, home, color),
        Verb::Show(args) => show::run(args, home, color),
        Verb::Stats(args) => stats::run(args, home, color),
        Verb::Evict(args) => evict::run(args, home),
        Verb::Gc(args) => gc::run(args, home, color),
        Verb::Verify(args) => verify::run(args, home, color),
    }
}

fn unreadable(error: rusqlite::Error) -> Failure {
    Failure::store(format!("the cache cannot be read: {error}"))
}
