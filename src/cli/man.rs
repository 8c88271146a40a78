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

/// When the pages were last changed; a release renews it.
const DATE: &str = "2026-11-28";
/// Lines that define a quote, once a page.
const QUOTE_LINES: usize = 2;
/// Longer lines are hard to read in the source of a page.
const MAX_LINE_BYTES: usize = 80;

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
    (
        "RUNNER_CACHE_REMOTE, RUNNER_CACHE_REMOTE_MODE",
        "Stand in for --remote and --remote-mode: the shared cache, and which way results go.",
    ),
    ("RUNNER_CACHE_KEY", "The key that signs the entries of the shared cache, where no setting names one."),
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
    let version = format!("runner {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(bare).title(name.to_uppercase()).date(DATE).source(version).manual("Runner Manual");
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
    let text = String::from_utf8(text).map_err(std::io::Error::other)?;
    Ok(tidy(&text))
}

/// The page without what `mandoc -T lint` finds: the definition of a quote for each section, breaks beside blank lines,
/// spaces at the end of lines, and long lines.
fn tidy(page: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let (mut fills, mut is_tag) = (true, false);
    let mut quotes = 0;
    for line in page.lines().map(str::trim_end) {
        if line.contains(".ds Aq ") {
            quotes += 1;
            if quotes > QUOTE_LINES {
                continue;
            }
        }
        let last = lines.last().map_or("", String::as_str);
        match line {
            ".br" if last.is_empty() && fills => continue,
            "" if last == ".br" => drop(lines.pop()),
            _ => {}
        }
        match line {
            ".nf" => fills = false,
            ".fi" => fills = true,
            _ => {}
        }
        if fills && !is_tag && !line.starts_with(['.', '\'']) {
            lines.extend(short_lines(line));
        } else {
            lines.push(line.to_owned());
        }
        is_tag = line == ".TP";
    }
    lines.push(String::new());
    lines.join("\n")
}

/// A line of filled text as lines of at most [`MAX_LINE_BYTES`], as far as its words allow it. A word that would be
/// taken for a request never begins a line.
fn short_lines(line: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in line.split(' ') {
        let last = lines.len() - 1;
        let fits = lines[last].len() + 1 + word.len() <= MAX_LINE_BYTES;
        match lines[last].is_empty() {
            true => lines[last].push_str(word),
            false if fits || word.is_empty() || word.starts_with(['.', '\'']) => {
                lines[last].push_str(&format!(" {word}"));
            }
            false => lines.push(word.to_owned()),
        }
    }
    lines
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
