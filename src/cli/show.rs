//! `runner show`: everything about one run.

use std::path::Path;

use jiff::Zoned;

use super::Outcome;
use super::screen::{ColorChoice, print};
use super::session::View;
use crate::report::run_view::{Keep, RunView};

/// Show a run: its nodes, where cached results came from, failures, outputs
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner show @last
  runner show @last-failed
  runner show k3v9 --json | jq '.nodes[] | select(.cache == \"miss\")'")]
pub struct Args {
    /// A run's id, a unique prefix of one, @last, @last-failed, or @-2 for the one before the last
    #[arg(value_name = "RUN")]
    run: String,
    /// List every node and every element, however many there are
    #[arg(long)]
    all: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let view = View::open(home)?;
    let run = view.find(&args.run)?;
    let keep = if args.all || args.json { Keep::Everything } else { Keep::Outline };
    let shown = RunView::from_events(view.events(&run.id)?, &run.status, keep);
    print(&match args.json {
        true => format!("{}\n", shown.to_json()),
        false => shown.render(args.all, color.on_stdout(), &Zoned::now()),
    });
    Ok(())
}
