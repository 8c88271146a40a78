//! `runner show`: everything about one run, or about one node of it.

use std::io::{self, Write};
use std::path::Path;

use jiff::Zoned;

use super::screen::{ColorChoice, print};
use super::stdout::Stdout;
use super::{Failure, Outcome};
use crate::core::node_path::NodeRef;
use crate::ops::home::HomeReader;
use crate::ops::node_arg::{node_ref, unknown};
use crate::storage::history::{Run, places};
use crate::view::json::run_document;
use crate::view::model::run::{Keep, RunState};
use crate::view::text::node::NodeStory;

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
    let view = HomeReader::open(home)?;
    let run = view.find(&args.run)?;
    match &args.node {
        Some(node) => one(&view, &run, node, &args, color),
        None if args.json => document(&view, &run),
        None => {
            let keep = if args.all { Keep::EVERYTHING } else { Keep::OUTLINE };
            let shown = RunState::from_events(view.events(&run.id)?, &run.status, keep);
            print(&shown.render(args.all, color.on_stdout(), &Zoned::now()));
            Ok(())
        }
    }
}

/// The run as one document.
fn document(view: &HomeReader, run: &Run) -> Outcome {
    let unreadable = |error: io::Error| Failure::store(format!("the history cannot be read: {error}"));
    let path = view.home.events(&run.id);
    let mut again = places::Events::open(&path).map_err(unreadable)?;
    let mut out = io::BufWriter::new(Stdout);
    let events = places::events(&path).map_err(unreadable)?;
    // A failure is remembered: `main` tells of it.
    let _ = run_document::write(&mut out, events, |place| again.at(place), &run.status)
        .and_then(|()| out.flush());
    Ok(())
}

fn one(view: &HomeReader, run: &Run, node: &str, args: &Args, color: ColorChoice) -> Outcome {
    let NodeRef { node: name, index } = node_ref(node, args.index).map_err(Failure::usage)?;
    let Some(story) = NodeStory::from_events(view.events(&run.id)?, &run.id, name, index) else {
        let events: Vec<_> = view.events(&run.id)?.collect();
        return Err(Failure::usage(unknown(&events, NodeRef::new(name, index), &run.id)));
    };
    print(&match args.json {
        true => format!("{}\n", story.to_json(&run.status)),
        false => story.render(&run.status, color.on_stdout(), &Zoned::now()),
    });
    Ok(())
}
