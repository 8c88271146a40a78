//! `runner logs`: what nodes printed, also while they do.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};

use super::screen::{ColorChoice, print};
use super::stdout::Stdout;
use super::{Failure, Outcome};
use crate::core::closest::closest;
use crate::core::event::{Event, Kind, NodeFinished, Status};
use crate::core::node_path::NodeRef;
use crate::ops::home::HomeReader;
use crate::ops::logs::find::{find_log, log_of};
use crate::ops::logs::follow::Follower;
use crate::ops::node_arg::{ends, node_ref};
use crate::ops::recorded::as_it_was;
use crate::storage::history::Run;
use crate::view::text::inert;
use crate::view::text::logs::{self, Logged};
use crate::view::text::style::{Ink, STRONG};

/// Print the log of a node
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner logs @last train
  runner logs @last-failed train --attempt 1
  runner logs @last each --index 3
  runner logs @last 'prep[3]/clean'
  runner logs @last                        what there is
  runner logs @last --failed               of all that failed
  runner logs @last train --follow         while it runs, retries too
  runner logs @last -f                     of all nodes, each line with its node")]
pub struct Args {
    /// A run's id, a unique prefix of one, @last, @last-failed, or @-2 for the one before the last
    #[arg(value_name = "RUN")]
    run: String,
    /// The node's name, with those of the nodes that it is inside of: `train`, `prep/clean`, `prep[3]/clean`
    ///
    /// Without it: the log of the only node that ran, else a list of logs
    #[arg(value_name = "NODE")]
    node: Option<String>,
    /// Which element of a `foreach` or `matrix` node, counted from 0 [default: the one that failed]
    #[arg(long, value_name = "N")]
    index: Option<u64>,
    /// Which attempt, counted from 1 [default: the last]
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    /// Print the logs of all failed nodes, each under its name
    #[arg(long, conflicts_with_all = ["node", "index", "attempt", "follow"])]
    failed: bool,
    /// Keep printing while the run goes on, including later attempts
    #[arg(short, long, conflicts_with = "attempt")]
    follow: bool,
}

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let view = HomeReader::open(home)?;
    let run = view.find(&args.run)?;
    if args.failed {
        return failed(&view, &run, color);
    }
    let wanted =
        args.node.as_deref().map(|node| node_ref(node, args.index)).transpose().map_err(Failure::usage)?;
    if wanted.is_none() && (args.index.is_some() || args.attempt.is_some()) {
        return Err(Failure::usage("--index and --attempt are about a NODE: name it before them"));
    }
    let label = wanted.map(|node| node.to_string());
    if args.follow {
        if let Some(label) = &label {
            check_name(&view, &run, label)?;
        }
        let any =
            Follower::new(label.clone(), io::stdout().is_terminal()).follow(&view, &run, &mut Stdout)?;
        if any || wanted.is_none() {
            return Ok(());
        }
    }
    let path = match wanted {
        Some(wanted) => {
            let events: Vec<_> = view.events(&run.id)?.collect();
            find_log(&events, wanted, args.attempt, &run.id).map_err(Failure::usage)?
        }
        None => match &logged(view.events(&run.id)?)[..] {
            [] => return Err(Failure::usage(format!("nothing ran in run {}: there is no log", run.id))),
            [Logged { path, units: 1, .. }] => PathBuf::from(path),
            many => {
                print(&logs::render(many, &run.id, color.on_stdout()));
                return Ok(());
            }
        },
    };
    print_log(&path, &mut Stdout)
}

/// The logs of all that failed by itself.
fn failed(view: &HomeReader, run: &Run, color: ColorChoice) -> Outcome {
    let events: Vec<_> = view.events(&run.id)?.collect();
    let failed: Vec<&NodeFinished> = ends(&events)
        .filter(|node| node.status == Status::Failed && node.kind == Kind::Task && node.attempts > 0)
        .collect();
    if failed.is_empty() {
        super::screen::note(&format!("nothing that ran has failed in run {}", run.id));
    }
    let ink = Ink(color.on_stdout());
    let mut stdout = Stdout;
    for (i, node) in failed.into_iter().enumerate() {
        let title = format!("==> {}: {} <==", node.path(), node.failure());
        let gap = if i > 0 { "\n" } else { "" };
        // A reader that went away is no failure.
        let _ = writeln!(stdout, "{gap}{}", ink.paint(STRONG, title));
        if let Some(log) = log_of(&events, node.path(), None) {
            print_log(Path::new(log), &mut stdout)?;
        }
    }
    Ok(())
}

/// What has a log, in the order in which it began; elements of a node together.
fn logged(events: impl Iterator<Item = Event>) -> Vec<Logged> {
    let mut all: Vec<Logged> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for event in events {
        match event {
            Event::NodeStarted(node) => {
                let Some(path) = &node.log else { continue };
                let name = node.path().family().into_owned();
                let place = *places.entry(name.clone()).or_insert(all.len());
                if place == all.len() {
                    all.push(Logged {
                        name,
                        path: String::new(),
                        units: 0,
                        attempts: 0,
                        failed: 0,
                        example: None,
                    });
                }
                let entry = &mut all[place];
                entry.units += u64::from(node.attempt == 1);
                entry.attempts = entry.attempts.max(node.attempt);
                entry.path.clone_from(path);
                if node.path().is_in_element() {
                    entry.example.get_or_insert_with(|| (node.node.clone(), node.index));
                }
            }
            Event::NodeFinished(node) if node.status == Status::Failed && node.kind == Kind::Task => {
                if let Some(place) = places.get(&*node.path().family()) {
                    all[*place].failed += 1;
                    if node.path().is_in_element() {
                        all[*place].example = Some((node.node.clone(), node.index));
                    }
                }
            }
            _ => {}
        }
    }
    all
}

/// A name that the workflow does not have would be waited for in vain.
fn check_name(view: &HomeReader, run: &Run, label: &str) -> Outcome {
    let Ok(again) = as_it_was(view, run) else { return Ok(()) };
    let outline = &again.opened.outline;
    let names: Vec<String> = (0..outline.len()).map(|number| outline.name(number)).collect();
    let name = NodeRef::parse(label).family().into_owned();
    if names.contains(&name) {
        return Ok(());
    }
    let near = closest(&name, names.iter().map(String::as_str));
    let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    Err(Failure::usage(format!("run {} has no node `{name}`{hint}", run.id)))
}

fn print_log(path: &Path, stdout: &mut Stdout) -> Outcome {
    let cannot = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Failure::usage(format!("the log {} is gone", path.display())),
        _ => Failure::usage(format!("cannot read {}: {error}", path.display())),
    };
    let mut log = File::open(path).map_err(cannot)?;
    // A reader that went away, as `head` does, is no failure.
    let _ = match io::stdout().is_terminal() {
        true => print_inert(log, stdout),
        false => io::copy(&mut log, stdout).map(|_| ()),
    };
    let _ = stdout.flush();
    Ok(())
}

/// Prints a log so that nothing in it can act on the terminal; programs get it as it is.
fn print_inert(log: File, stdout: &mut impl Write) -> io::Result<()> {
    for line in BufReader::new(log).split(b'\n') {
        writeln!(stdout, "{}", inert(&String::from_utf8_lossy(&line?)))?;
    }
    Ok(())
}
