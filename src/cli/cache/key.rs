//! `runner cache key new`: a key that signs the entries of a shared cache.

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::Outcome;
use crate::cli::Failure;
use crate::cli::screen::{note, print};
use crate::ops::remote::key::Algorithm;
use crate::ops::remote::new_key;

/// Keys that sign the entries of a shared cache
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    New(New),
}

/// Make a key and write it to a file that only you can read
///
/// With an HMAC key, which is the default, everybody who can read entries can write them as well. With --ed25519 only the
/// holder of FILE can write: it prints the public key, which the others name in remote_trust.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner cache key new -o ~/.config/runner/cache-key
  runner cache key new --ed25519 -o ci-key     # CI signs, everybody verifies")]
pub struct New {
    /// Make a pair of keys: one that signs, one that verifies
    #[arg(long)]
    ed25519: bool,
    /// The file to write, which must not exist
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

pub fn run(args: Args) -> Outcome {
    let Verb::New(New { ed25519, output }) = args.verb;
    let algorithm = if ed25519 { Algorithm::Ed25519 } else { Algorithm::HmacSha256 };
    let made = new_key(algorithm, &output).map_err(Failure::from)?;
    match &made.public {
        Some(public) => print(&format!("{public}\n")),
        None => note(&format!("key {} is in {}; who has it can read and write", made.id, shown(&output))),
    }
    if made.public.is_some() {
        note(&format!(
            "key {} is in {}; others name the line above in remote_trust",
            made.id,
            shown(&output)
        ));
    }
    Ok(())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
