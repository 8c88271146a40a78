//! `runner show`: everything about one run, or about one node of it.

use std::path::Path;

use super::Outcome;
use super::args::MaybeUnit;
use super::screen::{ColorChoice, print, print_text};
use super::stdout::Escaping;
use crate::core::zone::local_now;
use crate::ops::inspect;
use crate::view::model::run::Keep;
use crate::view::text::run::Order;

/// Show a run, or one of its nodes in full
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner show @last
  runner show @last-failed
  runner show @last train              one node: inputs, outputs, key, attempts
  runner show @last each --index 3
  runner show @last --sort time        the slowest nodes first
  runner show @last --csv > nodes.csv
  runner show k3v9 --json | jq '.nodes[] | select(.cache == \"miss\")'")]
pub struct Args {
    #[command(flatten)]
    unit: MaybeUnit,
    /// List every node and every element, however many there are
    #[arg(long, conflicts_with = "node")]
    all: bool,
    /// In which order nodes are listed: as they began, or the slowest first, with elements one by one
    #[arg(long, value_name = "ORDER", default_value = "start", conflicts_with = "node")]
    sort: Sort,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Print a row of comma-separated values for each node and element
    #[arg(long, conflicts_with_all = ["node", "all", "json"])]
    csv: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Sort {
    Start,
    Time,
}

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let now = local_now();
    let name = &args.unit.of.run;
    match args.unit.node()? {
        Some(wanted) => {
            let story = inspect::node(home, name, wanted)?;
            match args.json {
                true => print(&format!("{}\n", story.to_json())),
                false => print_text(story.render(color.on_stdout(), &now)),
            }
        }
        None if args.json => {
            let mut out = Escaping::default();
            // `main` reports a failure of standard output.
            let _ = inspect::document(home, name, &mut out)?;
        }
        None if args.csv => {
            let mut out = Escaping::default();
            // `main` reports a failure of standard output.
            let _ = inspect::csv(home, name, &mut out)?;
        }
        None => {
            let (order, keep) = match args.sort {
                Sort::Time => (Order::Time, Keep::TIMES),
                Sort::Start if args.all => (Order::Events, Keep::EVERYTHING),
                Sort::Start => (Order::Events, Keep::OUTLINE),
            };
            let run = inspect::run(home, name, keep)?;
            print_text(run.render(args.all, order, color.on_stdout(), &now));
        }
    }
    Ok(())
}
