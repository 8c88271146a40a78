//! `runner schema`: the JSON Schemas of workflow files and of settings files.

use super::Outcome;
use super::screen::print;
use crate::workflow::schema;

/// Print the JSON Schema (draft-07) of workflow files, or of settings files, for editors
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  runner schema > runner.schema.json
and at the top of a workflow file:
  #:schema ./runner.schema.json")]
pub struct Args {
    /// Print the schema of settings files, runner.toml, instead
    #[arg(long)]
    settings: bool,
}

pub fn run(args: &Args) -> Outcome {
    print(&if args.settings { schema::settings_text() } else { schema::text() });
    Ok(())
}
