//! `runner schema`: the JSON Schema of workflow files.

use super::Outcome;
use super::screen::print;
use crate::workflow::schema;

/// Print the JSON Schema (draft-07) of workflow files, for editors
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  runner schema > runner.schema.json
and at the top of a workflow file:
  #:schema ./runner.schema.json")]
pub struct Args {}

pub fn run(_: Args) -> Outcome {
    print(&schema::text());
    Ok(())
}
