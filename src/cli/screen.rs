//! Colour, error lines, and who listens to a run.

use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;

use super::Failure;
use super::stdout::Stdout;
use crate::core::inert::escaped;
use crate::core::reporter::Reporter;
use crate::core::zone::local_zone;
use crate::ops::WorkflowErrors;
use crate::view::Verbosity;
use crate::view::json::Json;
use crate::view::terminal::Terminal;
use crate::view::text::inert;
use crate::view::text::plain::Plain;
use crate::view::text::style::{BAD, Ink};
use crate::view::text::task_output::TaskOutputPrinter;
use crate::view::text::wrap::{wrap, wrap_diagnostics};
use crate::workflow::diagnostic::{Diagnostic, Sources};

#[derive(Clone, Copy, clap::ValueEnum)]
pub enum ColorChoice {
    Auto,
    Always,
    Never,
}

impl ColorChoice {
    fn on(self, is_terminal: bool) -> bool {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => is_terminal && !refused && !is_dumb(),
        }
    }

    pub fn on_stderr(self) -> bool {
        self.on(std::io::stderr().is_terminal())
    }

    pub fn on_stdout(self) -> bool {
        self.on(std::io::stdout().is_terminal())
    }
}

fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// The number of columns of standard output, if it is a terminal.
pub fn columns() -> Option<usize> {
    width_of(std::io::stdout())
}

/// The number of columns of a stream, if it is a terminal.
fn width_of(stream: impl IsTerminal + AsFd) -> Option<usize> {
    let size = stream.is_terminal().then(|| rustix::termios::tcgetwinsize(&stream).ok()).flatten()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// A text for people, broken at words where `columns` says that it goes to a terminal.
fn fitted(text: String, columns: Option<usize>) -> String {
    match columns {
        Some(columns) => wrap(&text, columns),
        None => text,
    }
}

/// Prints a failure of the program itself; control characters come out inert.
pub fn error(color: ColorChoice, message: &str) {
    let ink = Ink(color.on_stderr());
    let columns = width_of(std::io::stderr());
    let mut stderr = std::io::stderr().lock();
    for line in message.lines() {
        // If standard error is gone, nothing can be reported.
        let line = format!("{}: {}\n", ink.paint(BAD, "error"), inert(line));
        let _ = stderr.write_all(fitted(line, columns).as_bytes());
    }
}

/// Says on standard error why a verb failed, unless that has been said.
pub fn tell_failure(color: ColorChoice, failure: &Failure) {
    match &failure.errors {
        Some(errors) => tell_errors(color, errors),
        None if failure.message.is_empty() => {}
        None => error(color, &failure.message),
    }
}

/// Shows what is wrong with a workflow, each error in its place.
pub fn tell_errors(color: ColorChoice, errors: &WorkflowErrors) {
    let text = errors.render_within(color.on_stderr(), width_of(std::io::stderr()));
    note_diagnostics(text.trim_end());
    let count: usize = errors.diagnostics.iter().map(|found| found.omitted.max(1) as usize).sum();
    if count > 1 {
        note(&format!("\n{count} errors; nothing was run"));
    }
}

/// Shows what looks wrong in workflow files, each diagnostic in its place.
pub fn show_diagnostics(color: ColorChoice, sources: &Sources, diagnostics: &[Diagnostic]) {
    note_diagnostics(&sources.render_within(diagnostics, color.on_stderr(), width_of(std::io::stderr())));
}

/// Tells people something on standard error; a reader that went away is no failure. On a terminal, lines break at
/// words.
pub fn note(text: &str) {
    say(&fitted(text.to_owned(), width_of(std::io::stderr())));
}

fn note_diagnostics(text: &str) {
    match width_of(std::io::stderr()) {
        Some(columns) => say(&wrap_diagnostics(text, columns)),
        None => say(text),
    }
}

fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", escaped(text));
}

/// Prints what people read on standard output: on a terminal, lines break at words.
pub fn print_text(text: String) {
    print(&fitted(text, columns()));
}

/// Prints text on standard output, for people or for scripts: nothing in it acts on a terminal.
pub fn print(text: &str) {
    // A failure is remembered: `main` tells of it.
    let _ = Stdout.write_all(escaped(text).as_bytes()).and_then(|()| Stdout.flush());
}

/// The listeners of a run: people on standard error, JSON Lines on standard output if asked for.
/// With `logs` people see what tasks print as well.
pub fn reporters(color: ColorChoice, verbosity: Verbosity, json: bool, logs: bool) -> Vec<Box<dyn Reporter>> {
    let zone = local_zone();
    let stdout_is_terminal = std::io::stdout().is_terminal();
    // Two writers on one screen would garble it.
    let live = std::io::stderr().is_terminal() && !is_dumb() && !(json && stdout_is_terminal);
    let mut reporters: Vec<Box<dyn Reporter>> = Vec::new();
    if json {
        reporters.push(Box::new(Json::new(Stdout)));
    }
    if logs && !live {
        reporters.push(Box::new(TaskOutputPrinter::new(std::io::stderr(), color.on_stderr())));
    }
    reporters.push(match live {
        true => {
            let terminal = Terminal::new(verbosity, color.on_stderr(), zone);
            Box::new(if logs { terminal.with_output() } else { terminal })
        }
        false => Box::new(Plain::new(std::io::stderr(), verbosity, zone)),
    });
    reporters
}
