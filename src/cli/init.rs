//! `runner init`: a commented workflow to begin with.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use super::screen::note;
use super::{Failure, Outcome};

/// The starter, which the tests run.
const STARTER: &str = include_str!("starter.toml");

/// Write a commented workflow that runs as it is
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  runner init && runner exec workflow.toml")]
pub struct Args {
    /// Where to write it
    #[arg(value_name = "FILE", default_value = "workflow.toml")]
    file: PathBuf,
}

pub fn run(args: Args) -> Outcome {
    let shown = args.file.display();
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::AlreadyExists => {
            Failure::usage(format!("{shown} exists already; give another name: runner init OTHER.toml"))
        }
        _ => Failure::usage(format!("cannot write {shown}: {error}")),
    };
    let mut file = File::create_new(&args.file).map_err(failed)?;
    file.write_all(STARTER.as_bytes()).map_err(failed)?;
    note(&format!("wrote {shown}; now run it twice:\n  runner exec {shown}"));
    Ok(())
}
