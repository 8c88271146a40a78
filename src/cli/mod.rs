//! The command line: one file a verb. The composition root: only here backends are picked.
//!
//! | file | owns |
//! |---|---|
//! | `args.rs` | flags that several verbs share |
//! | `cache/` | one file for each verb of `cache` |
//! | `complete/` | completion in shells |
//! | `runtime.rs` | the threads of the engine |
//! | `schedule/` | one file for each verb of `schedule` |
//! | `process_state.rs` | signals, their mask and the end of memory |
//! | `screen.rs` | colour, and who listens to a run |
//! | `signals.rs` | Ctrl-C and its kin |
//! | `watch.rs` | running again when a file changes |

mod args;
mod attach;
mod cache;
mod cancel;
mod check;
mod complete;
mod completions;
mod config;
mod diff;
mod exec;
mod export;
mod find;
mod graph;
mod help;
mod init;
mod job;
mod logs;
mod man;
mod outputs_toml;
mod plan;
mod process_state;
mod report;
mod rerun;
mod retry;
mod runs;
mod runtime;
mod schedule;
mod schema;
mod screen;
mod serve;
mod shell;
mod show;
mod signals;
mod start;
mod stdout;
mod unknown_verb;
mod user;
mod watch;
mod web;
mod why;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::ops::WorkflowErrors;
use crate::ops::{self, ErrorKind};
use crate::view::text::commands::name_home;

/// Exit codes that scripts rely on.
mod code {
    pub const FAILED: u8 = 1;
    pub const USAGE: u8 = 2;
    pub const WORK_TO_DO: u8 = 3;
    pub const STORE: u8 = 4;
    /// Standard output could not be written (EX_IOERR).
    pub const OUTPUT: u8 = 74;
    /// A command with views was not reached.
    pub const NOT_REACHED: u8 = 125;
}

/// Why a verb did not do what it was asked to: an exit code, and what to say on standard error.
#[derive(Debug)]
struct Failure {
    code: u8,
    /// Empty where everything has been said.
    message: String,
    /// What is wrong with the workflow, said in place of a message.
    errors: Option<Box<WorkflowErrors>>,
}

impl Failure {
    fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), errors: None }
    }

    fn usage(message: impl Into<String>) -> Self {
        Self::new(code::USAGE, message)
    }

    fn store(message: impl Into<String>) -> Self {
        Self::new(code::STORE, message)
    }

    /// Everything has been said already.
    fn silent(code: u8) -> Self {
        Self::new(code, "")
    }
}

impl From<ops::Error> for Failure {
    fn from(error: ops::Error) -> Self {
        let code = match error.kind {
            ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Ambiguous | ErrorKind::Conflict => {
                code::USAGE
            }
            ErrorKind::Failed => code::FAILED,
            ErrorKind::Store => code::STORE,
            ErrorKind::Interrupted(signal) => u8::try_from(128 + signal).unwrap_or(code::FAILED),
        };
        let message = if error.errors.is_some() { String::new() } else { error.to_string() };
        Self { code, message, errors: error.errors }
    }
}

type Outcome = Result<(), Failure>;

const AFTER_HELP: &str = "\
Start here:
  runner init                  write a commented workflow to begin with
  runner exec workflow.toml    run it; run it again to see the cache at work
  runner show @last            look at what happened

Exit codes:
  0  succeeded (cached or not)      4            the store cannot be used
  1  a task failed                  74           stdout cannot be written
  2  bad usage or workflow          129/130/143  ended by HUP/INT/TERM
  3  `plan --exit-code`: work to do";

/// Runs workflows of typed tasks, and never does the same work twice.
///
/// A task whose inputs, version and interface have been seen before is not run again: its outputs come
/// from the cache, whichever workflow or folder asks for them.
#[derive(Parser)]
#[command(name = "runner", version, after_help = AFTER_HELP, max_term_width = 100, disable_help_subcommand = true)]
struct Cli {
    /// The folder that holds cache and history [default: $RUNNER_HOME, else $XDG_DATA_HOME/runner, else
    /// ~/.local/share/runner]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Everywhere", display_order = 1000)]
    home: Option<PathBuf>,
    /// When to use colour; NO_COLOR is honoured
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        help_heading = "Everywhere",
        display_order = 1001
    )]
    color: screen::ColorChoice,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Exec(exec::Args),
    Plan(plan::Args),
    Why(why::Args),
    #[command(visible_alias = "lint")]
    Check(check::Args),
    Graph(graph::Args),
    Runs(runs::Args),
    Show(show::Args),
    Report(report::Args),
    Logs(logs::Args),
    Cache(cache::Args),
    Config(config::Args),
    Retry(retry::Args),
    Rerun(rerun::Args),
    Attach(attach::Args),
    Cancel(cancel::Args),
    Shell(shell::Args),
    Export(export::Args),
    Diff(diff::Args),
    Find(find::Args),
    Schedule(schedule::Args),
    Serve(serve::Args),
    Web(web::Args),
    Init(init::Args),
    Job(job::Args),
    Schema(schema::Args),
    Completions(completions::Args),
    Help(help::Args),
    Man(man::Args),
}

/// Runs the program.
pub fn main() -> ExitCode {
    if let Some(problem) = crate::exec::enter_views() {
        // Seldom more than the exit code, which has no reader: whoever started this process reads a report.
        if !problem.is_empty() {
            eprintln!("runner: {problem}");
        }
        return ExitCode::from(code::NOT_REACHED);
    }
    if let Some(shell) = std::env::var_os(complete::VARIABLE) {
        complete::answer(&shell, &Cli::command);
        return ExitCode::SUCCESS;
    }
    process_state::settle();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let args: Vec<_> = std::env::args_os().skip(1).collect();
            if let Some(message) = unknown_verb::explain(&error, &args) {
                screen::error(screen::ColorChoice::Auto, &message);
                return ExitCode::from(code::USAGE);
            }
            // Help and version go to standard output and succeed; errors to standard error, with code 2.
            return match (error.print(), error.use_stderr()) {
                (_, true) => ExitCode::from(code::USAGE),
                (printed, false) => {
                    printed.unwrap_or_else(|error| stdout::record(&error));
                    exit_code(screen::ColorChoice::Auto, 0)
                }
            };
        }
    };
    let color = cli.color;
    let home = cli.home.as_deref();
    crate::python::remember_in(home);
    if let Some(home) = home {
        name_home(home);
    }
    let outcome = match cli.verb {
        Verb::Exec(args) => exec::run(args, home, color),
        Verb::Plan(args) => plan::run(args, home, color),
        Verb::Why(args) => why::run(args, home, color),
        Verb::Check(args) => check::run(args, home, color),
        Verb::Graph(args) => graph::run(args, color),
        Verb::Runs(args) => runs::run(args, home, color),
        Verb::Show(args) => show::run(args, home, color),
        Verb::Report(args) => report::run(args, home),
        Verb::Logs(args) => logs::run(args, home, color),
        Verb::Cache(args) => cache::run(args, home, color),
        Verb::Config(args) => config::run(&args, home, color),
        Verb::Retry(args) => retry::run(args, home, color),
        Verb::Rerun(args) => rerun::run(args, home, color),
        Verb::Attach(args) => attach::run(args, home, color),
        Verb::Cancel(args) => cancel::run(args, home, color),
        Verb::Shell(args) => shell::run(args, home, color),
        Verb::Export(args) => export::run(args, home),
        Verb::Diff(args) => diff::run(args, home, color),
        Verb::Find(args) => find::run(args, home, color),
        Verb::Schedule(args) => schedule::run(args, home, color),
        Verb::Serve(args) => serve::run(args, home, color),
        Verb::Web(args) => web::run(args, home, color),
        Verb::Init(args) => init::run(args),
        Verb::Job(args) => job::run(args),
        Verb::Schema(args) => schema::run(&args),
        Verb::Completions(args) => completions::run(args),
        Verb::Help(args) => help::run(&args, Cli::command(), color),
        Verb::Man(args) => man::run(&args, Cli::command()),
    };
    let code = match outcome {
        Ok(()) => 0,
        Err(failure) => {
            screen::tell_failure(color, &failure);
            failure.code
        }
    };
    exit_code(color, code)
}

/// The exit code, unless results were lost on the way to standard output.
fn exit_code(color: screen::ColorChoice, code: u8) -> ExitCode {
    match stdout::failure() {
        None => ExitCode::from(code),
        Some(problem) => {
            screen::error(color, &format!("standard output cannot be written: {problem}"));
            ExitCode::from(code::OUTPUT)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Width in which help must be readable, in characters.
    const COLUMNS: usize = 80;

    fn for_each_verb(command: &clap::Command, visit: &mut dyn FnMut(&clap::Command)) {
        visit(command);
        command.get_subcommands().for_each(|inner| for_each_verb(inner, visit));
    }

    #[test]
    fn examples_in_help_are_not_broken_into_lines() {
        for_each_verb(&Cli::command(), &mut |verb| {
            let text = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            // A digest is as long as it is.
            let is_digest = |word: &str| word.len() > 64;
            for line in text.lines().filter(|line| !line.split(' ').any(is_digest)) {
                assert!(line.chars().count() <= COLUMNS, "{}: {line}", verb.get_name());
            }
        });
    }

    #[test]
    fn every_flag_and_argument_says_what_it_does() {
        for_each_verb(&Cli::command(), &mut |verb| {
            for arg in verb.get_arguments().filter(|arg| !arg.is_hide_set()) {
                assert!(arg.get_help().is_some(), "{} {}", verb.get_name(), arg.get_id());
            }
            assert!(verb.get_about().is_some(), "{}", verb.get_name());
        });
    }
}
