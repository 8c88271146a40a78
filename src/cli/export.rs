//! `runner export`: an attempt of a past run as an archive that runs without runner.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::Outcome;
use super::args::NodeArg;
use super::screen::{note, print};
use crate::core::event::VERSION;
use crate::ops::export::{Exported, export};
use crate::ops::user_file::is_stream;

/// Pack a node's attempt as an archive that runs without runner
///
/// The archive holds what the node's last attempt in that run had: its inputs and sources, the command, its part of
/// the environment, and `run.sh`, which runs it anywhere: tar xzf ARCHIVE, then ./run.sh in its folder. Secrets are
/// never in it: run.sh asks for them by name. PATH, HOME and their like are those of whoever runs it.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner export @last-failed train
  runner export @last each --index 3 -o broken.tar.gz")]
pub struct Args {
    #[command(flatten)]
    unit: NodeArg,
    /// Where to write it [default: RUN-NODE.tar.gz in the current folder]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args, home: Option<&Path>) -> Outcome {
    let wanted = args.unit.node()?;
    let path = args.output.as_deref();
    let exported = export(home, &args.unit.of.run, wanted, path, &mut |line| note(&line))?;
    if !args.json && is_stream(&exported.path) {
        // It may be standard output itself.
        return Ok(());
    }
    print(&match args.json {
        true => {
            let Exported { run, node, index, path } = exported;
            let path = std::path::absolute(&path).unwrap_or(path).display().to_string();
            format!("{}\n", json!({"v": VERSION, "run": run, "node": node, "index": index, "path": path}))
        }
        false => format!("{}\n", exported.path.display()),
    });
    Ok(())
}
