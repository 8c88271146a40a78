//! `runner man`: a man page for `runner` and one for each verb, made of the same texts as `--help`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::screen::{note, print};
use super::{Failure, Outcome};
use crate::ops::user_file::write_user_file;

/// Print or write man pages
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner man ~/.local/share/man/man1     write all pages; then: man runner-exec
  runner man | man -l -                  read the first page")]
pub struct Args {
    /// The folder for the pages; without it, the page runner(1) goes to standard output
    dir: Option<PathBuf>,
}

const EXIT_STATUS: &[(&str, &str)] = &[
    ("0", "The run succeeded, from the cache or not."),
    ("1", "A task failed."),
    ("2", "The command line or the workflow is wrong; nothing was run."),
    ("3", "runner plan --exit-code found work to do."),
    ("4", "The folder with cache and history cannot be used."),
    ("74", "Standard output cannot be written."),
    ("129, 130, 143", "The run was ended by SIGHUP, SIGINT or SIGTERM."),
];

const ENVIRONMENT: &[(&str, &str)] = &[
    ("RUNNER_HOME", "The folder with cache and history; --home wins."),
    ("RUNNER_PROJECT, RUNNER_DOMAIN", "Stand in for --project and --domain."),
    ("RUNNER_JOBS", "Stands in for --jobs."),
    (
        "RUNNER_CACHE_MAX_SIZE",
        "The size from which a run collects old results: 20GiB by default; off for none.",
    ),
    ("NO_COLOR", "No colour, if it is set and not empty."),
];

const FILES: &[(&str, &str)] = &[
    ("$XDG_DATA_HOME/runner", "Cache and history, where neither --home nor RUNNER_HOME says otherwise."),
    ("~/.local/share/runner", "The same, where XDG_DATA_HOME is not set."),
    ("runner.toml", "Settings of a project: the nearest one from the workflow's folder upward."),
    ("$XDG_CONFIG_HOME/runner/config.toml", "Settings of the user; else ~/.config/runner/config.toml."),
];

pub fn run(args: &Args, mut command: Command) -> Outcome {
    command.build();
    let pages =
        pages(&command).map_err(|error| Failure::usage(format!("cannot make the man pages: {error}")))?;
    let Some(dir) = &args.dir else {
        if let Some((_, page)) = pages.first() {
            print(page);
        }
        return Ok(());
    };
    let refused = |path: &Path, error: std::io::Error| Failure::usage(format!("{}: {error}", path.display()));
    fs::create_dir_all(dir).map_err(|error| refused(dir, error))?;
    for (name, page) in &pages {
        let path = dir.join(name);
        write_user_file(&path, |file| file.write_all(page.as_bytes()))
            .map_err(|error| refused(&path, error))?;
    }
    note(&format!("{} man pages in {}", pages.len(), dir.display()));
    Ok(())
}

/// File name and text of the page of `command` and, below it, of each of its verbs.
fn pages(command: &Command) -> std::io::Result<Vec<(String, String)>> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let mut found = vec![(format!("{name}.1"), page(command, &name)?)];
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
        found.extend(pages(verb)?);
    }
    Ok(found)
}

fn page(command: &Command, name: &str) -> std::io::Result<String> {
    // What follows the options in `--help` gets a heading of its own.
    let extra = command.get_after_help().map(ToString::to_string);
    let bare = command.clone().after_help("").after_long_help("");
    let man =
        Man::new(bare).title(name.to_uppercase()).source(format!("runner {}", env!("CARGO_PKG_VERSION")));
    let man = man.manual("Runner Manual");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.get_subcommands().next().is_some() {
        verbs(command, name).to_writer(&mut text)?;
    }
    let is_first = name == "runner";
    if let Some(extra) = extra.filter(|_| !is_first) {
        examples(&extra).to_writer(&mut text)?;
    }
    if is_first {
        list("EXIT STATUS", EXIT_STATUS).to_writer(&mut text)?;
        list("ENVIRONMENT", ENVIRONMENT).to_writer(&mut text)?;
        list("FILES", FILES).to_writer(&mut text)?;
    }
    see_also(name).to_writer(&mut text)?;
    String::from_utf8(text).map_err(std::io::Error::other)
}

/// Verbs with what each does; their pages have the rest.
fn verbs(command: &Command, name: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["VERBS"]);
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        roff.control("TP", []);
        roff.text([bold(format!("{name}-{}(1)", verb.get_name()))]);
        roff.text([roman(verb.get_about().map(ToString::to_string).unwrap_or_default())]);
    }
    roff
}

/// Lines as they stand, under a heading.
fn examples(text: &str) -> Roff {
    let mut roff = Roff::new();
    let (heading, lines) = match text.split_once('\n') {
        Some((first, rest)) if first.starts_with("Example") => ("EXAMPLES", rest),
        _ => ("NOTES", text),
    };
    roff.control("SH", [heading]);
    roff.control("nf", []);
    for line in lines.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff
}

fn list(heading: &str, rows: &[(&str, &str)]) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [heading]);
    for (name, text) in rows {
        roff.control("TP", []);
        roff.text([bold(*name)]);
        roff.text([roman(*text)]);
    }
    roff
}

fn see_also(name: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    let text = match name {
        "runner" => "runner help lists the topics of the manual.",
        _ => "runner(1). runner help lists the topics of the manual.",
    };
    roff.text([roman(text)]);
    roff
}
