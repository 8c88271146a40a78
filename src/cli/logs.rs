//! `runner logs`: what nodes printed, also while they do.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use super::args::MaybeUnit;
use super::screen::{ColorChoice, print, print_text};
use super::stdout::Stdout;
use super::{Failure, Outcome};
use crate::ops::logs::{RunLogs, open_log};
use crate::view::text::log_lines::LogLines;
use crate::view::text::logs::{Logged, render};
use crate::view::text::style::{Ink, STRONG};

/// Print the log of a node
///
/// Without a node: the log of the only one that ran, else a list of logs. Of a node with elements the one that failed is
/// meant where --index names none.
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
    #[command(flatten)]
    unit: MaybeUnit,
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
    let logs = RunLogs::open(home, &args.unit.of.run)?;
    if args.failed {
        return failed(&logs, color);
    }
    let wanted = args.unit.node()?;
    if wanted.is_none() && args.attempt.is_some() {
        return Err(Failure::usage("--attempt is about a NODE: name it before"));
    }
    if args.follow {
        let any = logs.follow(wanted, io::stdout().is_terminal(), &mut Stdout)?;
        if any || wanted.is_none() {
            return Ok(());
        }
    }
    let path = match wanted {
        Some(wanted) => logs.find(wanted, args.attempt)?,
        None => match &logs.list()?[..] {
            [] => return Err(Failure::usage(format!("nothing ran in run {}: there is no log", logs.run()))),
            [Logged { path, units: 1, .. }] => PathBuf::from(path),
            many => {
                print_text(render(many, logs.run(), color.on_stdout()));
                return Ok(());
            }
        },
    };
    print_log(&path, &mut Stdout)
}

/// The logs of the tasks that failed.
fn failed(logs: &RunLogs, color: ColorChoice) -> Outcome {
    let failed = logs.failed()?;
    if failed.is_empty() {
        super::screen::note(&format!("nothing that ran has failed in run {}", logs.run()));
    }
    let ink = Ink(color.on_stdout());
    let mut stdout = Stdout;
    for (i, (node, log)) in failed.into_iter().enumerate() {
        let title = format!("==> {}: {} <==", node.path(), node.failure());
        let gap = if i > 0 { "\n" } else { "" };
        // A reader that went away is no failure.
        print(&format!("{gap}{}\n", ink.paint(STRONG, title)));
        if let Some(log) = log {
            print_log(&log, &mut stdout)?;
        }
    }
    Ok(())
}

fn print_log(path: &Path, stdout: &mut Stdout) -> Outcome {
    let cannot = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Failure::usage(format!("the log {} is gone", path.display())),
        _ => Failure::usage(format!("cannot read {}: {error}", path.display())),
    };
    let mut log = open_log(path).map_err(cannot)?;
    // A reader that went away, as `head` does, is no failure.
    let _ = match io::stdout().is_terminal() {
        true => print_lines(path, stdout),
        false => io::copy(&mut log, stdout).map(|_| ()),
    };
    let _ = stdout.flush();
    Ok(())
}

/// Prints a log so that nothing in it can act on the terminal, of a line that was written over its last state; programs
/// get it as it is.
fn print_lines(path: &Path, stdout: &mut impl Write) -> io::Result<()> {
    let mut lines = LogLines::new(path.display().to_string());
    let mut more = true;
    while more {
        let mut text = String::new();
        more = lines.read("", &mut text);
        if !more {
            lines.end("", &mut text);
        }
        stdout.write_all(text.as_bytes())?;
    }
    Ok(())
}
