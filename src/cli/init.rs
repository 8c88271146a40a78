//! `runner init`: a commented workflow to begin with, and the schema that editors check it by. No file is ever replaced.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use super::screen::note;
use super::{Failure, Outcome};
use crate::workflow::schema::text;

/// The starter, which the tests run.
const STARTER: &str = include_str!("starter.toml");

/// The schema's file, beside the workflow, which names it.
const SCHEMA: &str = "runner.schema.json";

/// Write a commented workflow that runs as it is
///
/// Beside it comes runner.schema.json, by which editors complete and check workflow files. Files that exist stay as they are.
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
    let schema = args.file.with_file_name(SCHEMA);
    let written = File::create_new(&schema).and_then(|mut file| file.write_all(text().as_bytes()));
    if let Err(error) = written {
        let shown = schema.display();
        match error.kind() {
            ErrorKind::AlreadyExists => note(&format!("{shown} exists already and stays as it is")),
            // The workflow runs without it.
            _ => note(&format!("warning: cannot write {shown}: {error}")),
        }
    }
    note(&format!("wrote {shown}; now run it twice:\n  runner exec {shown}"));
    Ok(())
}
