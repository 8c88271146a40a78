//! `runner report`: a run as one page of HTML, with what is kept of it.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::Outcome;
use super::args::RunArg;
use super::screen::print;
use crate::core::event::VERSION;
use crate::core::zone::local_now;
use crate::ops::report::{Report, report};
use crate::ops::user_file::is_stream;

/// Write an HTML page about a run
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner report @last
  runner report @last-failed -o failed.html
  xdg-open \"$(runner report @last)\"")]
pub struct Args {
    #[command(flatten)]
    of: RunArg,
    /// Where to write it [default: report-<run>.html in the current folder]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print one JSON document with the path
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args, home: Option<&Path>) -> Outcome {
    let Report { run, path } = report(home, &args.of.run, args.output, &local_now())?;
    if !args.json && is_stream(&path) {
        // It may be standard output itself.
        return Ok(());
    }
    print(&match args.json {
        true => format!("{}\n", json!({"v": VERSION, "run": run, "path": path.display().to_string()})),
        false => format!("{}\n", path.display()),
    });
    Ok(())
}
