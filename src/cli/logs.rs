//! `runner logs`: what a node printed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};

use super::session::View;
use super::{Failure, Outcome};
use crate::event::{Event, NodeFinished, Status, node_label};
use crate::report::text::inert;

/// Print what a node of a run printed
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner logs @last train
  runner logs @last-failed train --attempt 1
  runner logs @last split --index 3")]
pub struct Args {
    /// A run's id, a unique prefix of one, @last, @last-failed, or @-2 for the one before the last
    #[arg(value_name = "RUN")]
    run: String,
    /// The node's name; an element also as NODE[N]
    #[arg(value_name = "NODE")]
    node: String,
    /// Which element of a `foreach` or `matrix` node, counted from 0
    #[arg(long, value_name = "N")]
    index: Option<u64>,
    /// Which attempt, counted from 1 [default: the last]
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
}

pub fn run(args: Args, home: Option<&Path>) -> Outcome {
    let view = View::open(home)?;
    let run = view.find(&args.run)?;
    let events = view.events(&run.id)?;
    let path = find_log(&events, &args, &run.id)?;
    let cannot = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Failure::usage(format!("the log {} is gone", path.display())),
        _ => Failure::usage(format!("cannot read {}: {error}", path.display())),
    };
    let mut log = File::open(&path).map_err(cannot)?;
    let mut stdout = io::stdout().lock();
    // A reader that went away, as `head` does, is no failure.
    let _ = match stdout.is_terminal() {
        true => print_inert(log, &mut stdout),
        false => io::copy(&mut log, &mut stdout).map(|_| ()),
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

/// The log that the arguments name, or why there is none.
fn find_log(events: &[Event], args: &Args, run: &str) -> Result<PathBuf, Failure> {
    let (node, index) = match element(&args.node) {
        Some((node, index)) if args.index.is_none() => (node, Some(index)),
        _ => (args.node.as_str(), args.index),
    };
    let index = match index {
        None => only_element(events, node)?,
        some => some,
    };
    let label = node_label(node, index);
    let mut known = Vec::new();
    let mut log = None;
    for event in events {
        match event {
            Event::NodeStarted(started) if started.node == node && started.index == index => {
                let wanted = args.attempt.is_none_or(|attempt| attempt == started.attempt);
                if wanted && let Some(path) = &started.log {
                    log = Some(PathBuf::from(path));
                }
            }
            Event::NodeFinished(finished) if finished.node == node && finished.index == index => {
                if finished.attempts == 0 {
                    return Err(Failure::usage(why_no_log(finished, run)));
                }
                known.push(node);
            }
            Event::NodeFinished(finished) => known.push(finished.node.as_str()),
            _ => {}
        }
    }
    log.ok_or_else(|| match args.attempt {
        Some(attempt) if known.contains(&node) => {
            Failure::usage(format!("`{label}` had no attempt {attempt} in run {run}"))
        }
        _ if known.contains(&node) => Failure::usage(format!("`{node}` had no element {label} in run {run}")),
        _ => {
            let near = crate::workflow::diagnostic::closest(node, known.iter().copied());
            let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            Failure::usage(format!("run {run} has no node `{node}`{hint}"))
        }
    })
}

/// The node and the number in `train[3]`.
fn element(name: &str) -> Option<(&str, u64)> {
    let (node, index) = name.strip_suffix(']')?.rsplit_once('[')?;
    Some((node, index.parse().ok()?))
}

/// Of a node with elements the one that is surely meant: the only one that failed. `None` for a plain node.
fn only_element(events: &[Event], node: &str) -> Result<Option<u64>, Failure> {
    let mut count = 0;
    let mut failed = Vec::new();
    for event in events {
        if let Event::NodeFinished(finished) = event
            && finished.node == node
            && let Some(index) = finished.index
        {
            count += 1;
            if finished.status == Status::Failed {
                failed.push(index);
            }
        }
    }
    match (count, &failed[..]) {
        (0, _) => Ok(None),
        (_, [one]) => Ok(Some(*one)),
        _ => {
            let first: Vec<_> = failed.iter().take(5).map(u64::to_string).collect();
            let which = match failed.len() {
                0 => "none failed".into(),
                n if n <= first.len() => format!("failed: {}", first.join(", ")),
                n => format!("{n} failed: {}, ...", first.join(", ")),
            };
            Err(Failure::usage(format!("`{node}` has {count} elements ({which}): say which with --index N")))
        }
    }
}

fn why_no_log(node: &NodeFinished, run: &str) -> String {
    let label = node_label(&node.node, node.index);
    match &node.source {
        Some(source) => {
            let (name, index) =
                element(&source.node).map_or((source.node.as_str(), None), |(n, i)| (n, Some(i)));
            let index = index.map_or_else(String::new, |index| format!(" --index {index}"));
            format!(
                "`{label}` did not run: its result came from the cache; try `runner logs {} {name}{index}`",
                source.run
            )
        }
        None => format!("`{label}` did not run in run {run}"),
    }
}
