//! `runner logs`: what a node printed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};

use super::session::View;
use super::{Failure, Outcome};
use crate::event::Event;
use crate::report::text::inert;

/// Print what a node of a run printed
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner logs @last train
  runner logs @last-failed train --attempt 1")]
pub struct Args {
    /// A run's id, a unique prefix of one, @last, @last-failed, or @-2 for the one before the last
    #[arg(value_name = "RUN")]
    run: String,
    /// The node's name
    #[arg(value_name = "NODE")]
    node: String,
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
    let mut known = Vec::new();
    let mut log = None;
    for event in events {
        match event {
            Event::NodeStarted(started) if started.node == args.node => {
                let wanted = args.attempt.is_none_or(|attempt| attempt == started.attempt);
                if wanted && let Some(path) = &started.log {
                    log = Some(PathBuf::from(path));
                }
            }
            Event::NodeFinished(finished) if finished.node == args.node && finished.attempts == 0 => {
                let why = match &finished.source {
                    Some(source) => format!(
                        "`{}` did not run: its result came from the cache; try `runner logs {} {}`",
                        args.node, source.run, source.node
                    ),
                    None => format!("`{}` did not run in run {run}", args.node),
                };
                return Err(Failure::usage(why));
            }
            Event::NodeFinished(finished) => known.push(finished.node.as_str()),
            _ => {}
        }
    }
    log.ok_or_else(|| match args.attempt {
        Some(attempt) if known.contains(&args.node.as_str()) => {
            Failure::usage(format!("`{}` had no attempt {attempt} in run {run}", args.node))
        }
        _ => {
            let near = crate::workflow::diagnostic::closest(&args.node, known.iter().copied());
            let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            Failure::usage(format!("run {run} has no node `{}`{hint}", args.node))
        }
    })
}
