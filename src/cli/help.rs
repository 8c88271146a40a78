//! `runner help`: the manual's pages in the terminal, and the help of verbs. The pages are the files of `docs/`,
//! embedded; how Markdown looks in a terminal is `markdown.rs`.

mod markdown;

use clap::Command;

use super::screen::{ColorChoice, columns, print};
use super::{Failure, Outcome};
use crate::core::closest::closest;
use crate::view::text::style::Ink;

/// Width of pages where standard output is not a terminal.
const DEFAULT_COLUMNS: usize = 80;
/// Longer lines of prose are hard to read, however wide the terminal is.
const MAX_COLUMNS: usize = 100;

/// A page of the manual.
struct Topic {
    name: &'static str,
    summary: &'static str,
    text: &'static str,
}

macro_rules! topic {
    ($name:literal, $summary:literal) => {
        Topic { name: $name, summary: $summary, text: include_str!(concat!("../../docs/", $name, ".md")) }
    };
}

const TOPICS: &[Topic] = &[
    topic!("workflow-file", "inputs, tasks, nodes, outputs and policies"),
    topic!("python", "Python functions as tasks: hints, the automatic version, environments"),
    topic!("flytekit", "programs written with flytekit, as they are"),
    topic!("templates", "expressions, filters, functions and tests"),
    topic!("cache", "what a result depends on, and how to manage what is stored"),
    topic!("shared-cache", "one cache for the whole team: a folder or a bucket, signed"),
    topic!("executors", "the same workflow on a cluster: Slurm"),
    topic!("settings", "runner.toml, your own settings, and what wins"),
    topic!("debugging", "why a node ran, what failed, what changed, and what to do next"),
    topic!("command-line", "verbs, flags, exit codes, environment"),
    topic!("events", "JSON Lines for scripts"),
    topic!("cron", "scheduled and unattended runs"),
    topic!("notifications", "who is told of failures: webhooks, commands, mail"),
    topic!("daemon", "runner serve: schedules run by themselves"),
    topic!("coming-from", "make, Snakemake, Nextflow and Flyte, term by term"),
    topic!("troubleshooting", "messages and what to do about them"),
    topic!("promises", "what holds after a crash or a fault, and what does not"),
    topic!("performance", "measurements, limits, and what costs time"),
];

/// Show the manual, or the help of a verb
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner help              list the topics
  runner help templates    read a page; a unique beginning of its name is enough
  runner help cache gc     the flags of a verb, as `runner cache gc --help`")]
pub struct Args {
    /// A topic of the manual, or a verb
    #[arg(value_name = "TOPIC")]
    words: Vec<String>,
}

/// Name and summary of each topic.
pub fn topics() -> impl Iterator<Item = (&'static str, &'static str)> {
    TOPICS.iter().map(|topic| (topic.name, topic.summary))
}

pub fn run(args: &Args, command: Command, color: ColorChoice) -> Outcome {
    let ink = Ink(color.on_stdout());
    let width = columns().unwrap_or(DEFAULT_COLUMNS).min(MAX_COLUMNS);
    let text = match &args.words[..] {
        [] => contents(&command, width, ink),
        [word] => match topic(word, &command) {
            Some(topic) => markdown::render(topic.text, width, ink),
            None => verb(command, &args.words, ink)?,
        },
        words => verb(command, words, ink)?,
    };
    print(&text);
    Ok(())
}

/// The topic of this name, or the only one whose name begins so where it is no verb's name.
fn topic(word: &str, command: &Command) -> Option<&'static Topic> {
    let exact = TOPICS.iter().find(|topic| topic.name == word);
    exact.or_else(|| {
        if command.find_subcommand(word).is_some() {
            return None;
        }
        let mut found = TOPICS.iter().filter(|topic| word.len() > 2 && topic.name.starts_with(word));
        found.next().filter(|_| found.next().is_none())
    })
}

/// The list of topics and verbs.
fn contents(command: &Command, width: usize, ink: Ink) -> String {
    let mut page = "# Topics: runner help TOPIC\n\n".to_owned();
    for Topic { name, summary, .. } in TOPICS {
        page.push_str(&format!("| **{name}** | {summary} |\n"));
    }
    page.push_str("\n# Verbs: runner VERB --help\n\n");
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
        page.push_str(&format!("| **{}** | {about} |\n", verb.get_name()));
    }
    markdown::render(&page, width, ink)
}

/// The long help of a verb, such as `cache gc`.
fn verb(mut command: Command, words: &[String], ink: Ink) -> Result<String, Failure> {
    command.build();
    let mut at = &command;
    for (depth, word) in words.iter().enumerate() {
        let Some(found) = at.find_subcommand(word) else {
            let verbs = at.get_subcommands().map(Command::get_name);
            let topics = TOPICS.iter().map(|topic| topic.name).filter(|_| depth == 0);
            return Err(unknown(&words[..=depth].join(" "), word, verbs.chain(topics)));
        };
        at = found;
    }
    let help = at.clone().render_long_help();
    Ok(if ink.0 { help.ansi().to_string() } else { help.to_string() })
}

fn unknown<'a>(asked: &str, word: &str, known: impl Iterator<Item = &'a str>) -> Failure {
    let hint = match closest(word, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`runner help` lists all of them".to_owned(),
    };
    Failure::usage(format!("there is no topic or verb `{asked}`; {hint}"))
}
