//! Completion of the command line: what could stand at the cursor, for bash, zsh, fish, elvish and PowerShell.
//!
//! The registration that `runner completions SHELL` prints asks the program itself, with [`VARIABLE`] set and the words so
//! far behind `--`. Nothing is printed on a fault: a shell would show it in the middle of what the user types. Nothing is
//! written either, and without the variable nothing of this is reached.

mod line;
mod shells;
mod values;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::sync::OnceLock;

use clap::Command;
use clap_complete::engine::{CompletionCandidate, complete};

use self::line::CompletionLine;
pub use self::shells::registration;

/// Names the shell that asks; set by the registration only.
pub const VARIABLE: &str = "_RUNNER_COMPLETE";
/// The characters at which bash begins another word.
const WORD_BREAKS: &str = "_RUNNER_WORDBREAKS";

/// The words of the command line; the one at the cursor is a placeholder.
static WORDS: OnceLock<Vec<OsString>> = OnceLock::new();

/// Prints what could stand at the cursor.
pub fn answer(shell: &OsStr, command: &dyn Fn() -> Command) {
    std::panic::set_hook(Box::new(|_| {}));
    let asked: Vec<OsString> = std::env::args_os().skip_while(|word| word != "--").skip(1).collect();
    let answered = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| match shell.to_str() {
        Some("bash") => {
            let text = asked.first().map(|line| line.to_string_lossy()).unwrap_or_default();
            let breaks = std::env::var(WORD_BREAKS).unwrap_or_default();
            let line = CompletionLine::parse(&text, &breaks);
            let words = line.words.iter().map(OsString::from).collect();
            candidates(command, words)
                .iter()
                .filter_map(|found| line.reply(found.get_value().to_str()?))
                .collect()
        }
        Some("zsh" | "fish") => candidates(command, asked).iter().map(described).collect(),
        Some(shell) => shells::foreign(shell, command(), asked),
        None => String::new(),
    }));
    // A failure cannot be reported.
    let _ = std::io::stdout().lock().write_all(answered.unwrap_or_default().as_bytes());
}

/// What could stand in place of the last of `words`, of which the first is the program.
fn candidates(command: &dyn Fn() -> Command, words: Vec<OsString>) -> Vec<CompletionCandidate> {
    let Some(at) = words.len().checked_sub(1).filter(|at| *at > 0) else { return Vec::new() };
    remember(&words, at);
    let is_empty = words[at].is_empty();
    let dir = std::env::current_dir().ok();
    let mut found =
        complete(&mut values::with_values(command()), words, at, dir.as_deref()).unwrap_or_default();
    found.retain(|found| found.get_value().to_str().is_some_and(|text| !text.contains(char::is_control)));
    // Where a name can stand, flags are listed from the first `-` on.
    let is_flag = |found: &CompletionCandidate| found.get_value().as_encoded_bytes().starts_with(b"-");
    if is_empty && found.iter().any(|found| !is_flag(found)) {
        found.retain(|found| !is_flag(found));
    }
    found
}

fn remember(words: &[OsString], at: usize) {
    let mut words = words.to_vec();
    words[at] = "_".into();
    let _ = WORDS.set(words);
}

/// A candidate and what it is, as zsh and fish take it.
fn described(found: &CompletionCandidate) -> String {
    let value = found.get_value().to_string_lossy();
    let help = found.get_help().map(ToString::to_string).unwrap_or_default();
    match help.lines().next().map(str::trim).filter(|help| !help.is_empty()) {
        Some(help) => format!("{value}\t{}\n", help.replace('\t', " ")),
        None => format!("{value}\n"),
    }
}
