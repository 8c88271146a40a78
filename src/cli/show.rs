//! `runner show`: everything about one run, or about one node of it.

use std::io;
use std::path::Path;

use jiff::Zoned;

use super::screen::{ColorChoice, print};
use super::stdout::Stdout;
use super::{Failure, Outcome};
use crate::ops::inspect;
use crate::ops::node_arg::node_ref;
use crate::view::model::run::Keep;

/// Show a run, or one of its nodes in full
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner show @last
  runner show @last-failed
  runner show @last train                       inputs, outputs, key, attempts of one node
  runner show @last each --index 3
  runner show k3v9 --json | jq '.nodes[] | select(.cache == \"miss\")'")]
pub struct Args {
    /// A run's id, a unique prefix of one, @last, @last-failed, or @-2 for the one before the last
    #[arg(value_name = "RUN")]
    run: String,
    /// Show this node in full: `train`, `prep/clean`, `prep[3]/clean`
    #[arg(value_name = "NODE", conflicts_with = "all")]
    node: Option<String>,
    /// Which element of the node, counted from 0
    #[arg(long, value_name = "N", requires = "node")]
    index: Option<u64>,
    /// List every node and every element, however many there are
    #[arg(long)]
    all: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let now = Zoned::now();
    match &args.node {
        Some(node) => {
            let wanted = node_ref(node, args.index).map_err(Failure::usage)?;
            let story = inspect::node(home, &args.run, wanted)?;
            print(&match args.json {
                true => format!("{}\n", story.to_json()),
                false => story.render(color.on_stdout(), &now),
            });
        }
        None if args.json => {
            let mut out = io::BufWriter::new(Stdout);
            // `main` reports a failure of standard output.
            let _ = inspect::document(home, &args.run, &mut out)?;
        }
        None => {
            let keep = if args.all { Keep::EVERYTHING } else { Keep::OUTLINE };
            let run = inspect::run(home, &args.run, keep)?;
            print(&run.render(args.all, color.on_stdout(), &now));
        }
    }
    Ok(())
}
