//! Runs every console example of README.md and docs/*.md and compares what comes out.
//!
//! The examples of a page run in order in one folder of their own, which begins with a copy of `workflows/`:
//! - a fenced block with `console` holds commands, each behind `$ `, and below each the output of both streams;
//! - a fenced block with `file=NAME` is written to that file first;
//! - `<!-- run: SCRIPT -->` prepares something that a reader need not see.
//!
//! A line `...` stands for any lines, `...` inside a line for any text. Ids, digests, times, durations and sizes
//! above one KiB may differ.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;

use crate::common::Lab;

enum Step {
    /// A command with its expected output, and the line of the page that it stands on.
    Command {
        line: usize,
        command: String,
        expected: Vec<String>,
    },
    File {
        name: String,
        text: String,
    },
    Prepare {
        line: usize,
        script: String,
    },
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = page.lines().zip(1..);
    while let Some((text, line)) = lines.next() {
        if let Some(script) = text.strip_prefix("<!-- run:") {
            let mut script = script.to_owned();
            while !script.ends_with("-->") {
                script.push('\n');
                script.push_str(lines.next().expect("a comment that ends").0);
            }
            let script = script.trim_end_matches("-->").trim().to_owned();
            steps.push(Step::Prepare { line, script });
        } else if let Some(kind) = text.strip_prefix("```") {
            let block: Vec<_> = lines.by_ref().take_while(|(text, _)| !text.starts_with("```")).collect();
            if let Some((_, name)) = kind.split_once(" file=") {
                let text = block.iter().map(|(text, _)| format!("{text}\n")).collect();
                steps.push(Step::File { name: name.to_owned(), text });
            } else if kind == "console" {
                steps.extend(commands(&block));
            }
        }
    }
    steps
}

fn commands(block: &[(&str, usize)]) -> Vec<Step> {
    let mut found: Vec<Step> = Vec::new();
    let mut continues = false;
    for (text, line) in block {
        match (text.strip_prefix("$ "), found.last_mut()) {
            (_, Some(Step::Command { command, .. })) if continues => {
                command.push('\n');
                command.push_str(text);
                continues = text.ends_with('\\');
            }
            (Some(command), _) => {
                continues = command.ends_with('\\');
                found.push(Step::Command { line: *line, command: command.to_owned(), expected: Vec::new() });
            }
            (None, Some(Step::Command { expected, .. })) => expected.push((*text).to_owned()),
            (None, _) => panic!("line {line}: a console example begins with a command"),
        }
    }
    found
}

/// What may differ from one run to the next, as words that stand for it.
struct Normal(Vec<(Regex, &'static str)>);

impl Normal {
    fn new() -> Normal {
        let rules = [
            // Times of day and dates come first: they hold numbers.
            (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?( ?UTC|Z)?", "WHEN"),
            (r"(today|yesterday) \d\d:\d\d", "WHEN"),
            (r"just now|\d+ ?(s|min|h) ago", "WHEN"),
            (r"\d\d:\d\d:\d\d", "CLOCK"),
            (r"~?\b\d+(\.\d+)? ?(KiB|MiB|GiB)\b", "SIZE"),
            (r"~?\b\d+(\.\d+)?(ms|s|m|h|d)\b( \d+(ms|s|m|h)\b)*", "TIME"),
            (r"\b[0-9a-z]*[0-9][0-9a-z]*\b", "ID"),
            (r"\s+", " "),
        ];
        Normal(rules.map(|(pattern, word)| (Regex::new(pattern).unwrap(), word)).into())
    }

    fn line(&self, line: &str) -> String {
        let mut line = line.trim_end().to_owned();
        for (pattern, word) in &self.0 {
            let replaced =
                pattern.replace_all(&line, |found: &regex::Captures| match (*word, found[0].len()) {
                    // Ids of runs have eight letters, shortened digests up to twelve.
                    ("ID", 8..=12) | ("WHEN" | "CLOCK" | "SIZE" | "TIME" | " ", _) => (*word).to_owned(),
                    _ => found[0].to_owned(),
                });
            line = replaced.into_owned();
        }
        line
    }
}

fn lines_match(expected: &[String], actual: &[String]) -> bool {
    match expected.split_first() {
        None => actual.is_empty(),
        Some((first, rest)) if first == "..." => {
            (0..=actual.len()).any(|skipped| lines_match(rest, &actual[skipped..]))
        }
        Some((first, rest)) => {
            actual.first().is_some_and(|line| line_matches(first, line)) && lines_match(rest, &actual[1..])
        }
    }
}

fn line_matches(expected: &str, actual: &str) -> bool {
    match expected.split_once("...") {
        None => expected == actual,
        Some((head, tail)) => actual.strip_prefix(head).is_some_and(|rest| {
            let ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            ends.into_iter().any(|at| line_matches(tail, &rest[at..]))
        }),
    }
}

/// The folder in which the examples of a page run, with a home that reads like a user's.
struct Desk {
    lab: Lab,
    folder: PathBuf,
}

impl Desk {
    fn new() -> Desk {
        let lab = Lab::new();
        let folder = lab.path("home/ada/project");
        fs::create_dir_all(&folder).unwrap();
        let workflows = Path::new(env!("CARGO_MANIFEST_DIR")).join("workflows");
        copy(&workflows, &folder.join("workflows"));
        Desk { lab, folder }
    }

    fn bash(&self, script: &str) -> (bool, String) {
        let program = Path::new(env!("CARGO_BIN_EXE_runner"));
        let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("bash");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RUNNER_") {
                command.env_remove(name);
            }
        }
        command.args(["-c", &format!("exec 2>&1\n{script}")]).current_dir(&self.folder);
        command.env("PATH", path).env("HOME", self.lab.path("home/ada")).env_remove("XDG_DATA_HOME");
        let done = command.env("TZ", "UTC").output().unwrap();
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        (done.status.success(), text.replace(self.lab.dir().to_str().unwrap(), ""))
    }

    /// The ids of all runs so far: one of letters alone looks like any word.
    fn runs(&self) -> Vec<String> {
        let (_, listing) = self.bash("runner runs --limit 1000 --json");
        let lines = listing.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        lines.filter_map(|line| Some(line.get("run")?.as_str()?.to_owned())).collect()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Runs the examples of one page; all that differ are shown at once.
fn check(page: &str) {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
    let desk = Desk::new();
    if page == "docs/flytekit.md" {
        let Some(env) = std::env::var_os("RUNNER_FLYTEKIT") else {
            assert!(std::env::var_os("CI_RUN").is_none(), "RUNNER_FLYTEKIT is not set");
            eprintln!("skipped: RUNNER_FLYTEKIT is not set");
            return;
        };
        std::os::unix::fs::symlink(env, desk.folder.join(".venv")).unwrap();
    }
    let normal = Normal::new();
    let mut wrong = String::new();
    for step in steps(&text) {
        match step {
            Step::File { name, text } => {
                let path = desk.folder.join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Step::Prepare { line, script } => {
                let (succeeded, out) = desk.bash(&format!("set -e\n{script}"));
                assert!(succeeded, "{page}:{line}: {out}");
            }
            Step::Command { line, command, expected } => {
                let (_, mut out) = desk.bash(&command);
                for run in desk.runs() {
                    out = out.replace(&run, "k3v9x2qm");
                }
                let read = |lines: &mut dyn Iterator<Item = &str>| -> Vec<_> {
                    let mut lines: Vec<_> = lines.map(|line| normal.line(line)).collect();
                    lines.truncate(lines.iter().rposition(|line| !line.is_empty()).map_or(0, |at| at + 1));
                    lines
                };
                let wanted = read(&mut expected.iter().map(String::as_str));
                let found = read(&mut out.lines());
                if !lines_match(&wanted, &found) {
                    wrong.push_str(&format!("\n{page}:{line}\n$ {command}\n{out}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "these examples print something else now:\n{wrong}");
}

macro_rules! pages {
    ($($test:ident: $page:literal,)*) => {
        const PAGES: &[&str] = &[$($page),*];
        $(#[test]
        fn $test() {
            check($page);
        })*
    };
}

pages! {
    readme: "README.md",
    cache: "docs/cache.md",
    coming_from: "docs/coming-from.md",
    command_line: "docs/command-line.md",
    cron: "docs/cron.md",
    daemon: "docs/daemon.md",
    debugging: "docs/debugging.md",
    events: "docs/events.md",
    executors: "docs/executors.md",
    flytekit: "docs/flytekit.md",
    notifications: "docs/notifications.md",
    performance: "docs/performance.md",
    promises: "docs/promises.md",
    python: "docs/python.md",
    settings: "docs/settings.md",
    shared_cache: "docs/shared-cache.md",
    templates: "docs/templates.md",
    troubleshooting: "docs/troubleshooting.md",
    web: "docs/web.md",
    workflow_file: "docs/workflow-file.md",
}

#[test]
fn every_page_is_checked() {
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")).unwrap();
    let names = files.map(|entry| format!("docs/{}", entry.unwrap().file_name().to_string_lossy()));
    let unchecked: Vec<_> =
        names.filter(|name| name.ends_with(".md") && !PAGES.contains(&name.as_str())).collect();
    assert_eq!(unchecked, Vec::<String>::new());
}

#[test]
fn links_between_pages_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let link = Regex::new(r"\]\(([^)#]+)(#[^)]*)?\)").unwrap();
    for page in PAGES {
        let text = fs::read_to_string(root.join(page)).unwrap();
        for found in link.captures_iter(&text).filter(|found| !found[1].starts_with("http")) {
            let target = root.join(page).parent().unwrap().join(&found[1]);
            assert!(target.exists(), "{page} links to {}", &found[1]);
        }
    }
}

#[test]
fn what_varies_is_not_compared_and_all_else_is() {
    let normal = Normal::new();
    let same = |expected: &str, actual: &str| {
        let lines = |text: &str| text.lines().map(|line| normal.line(line)).collect::<Vec<_>>();
        lines_match(&lines(expected), &lines(actual))
    };
    assert!(same("09:14:47 ✓ hash  15ms  run mnt3jtg7", "10:00:01 ✓ hash  1m 3s  run k3v9x2qm"));
    assert!(same("a\n...\nd", "a\nb\nc\nd") && same("x ... z", "x y1 z") && same("...", ""));
    assert!(same(
        "from run mnt3jtg7, 2026-11-23T09:14:47.191Z",
        "from run aaaa1111, 2026-11-26 11:10:01 UTC"
    ));
    assert!(!same("1 would run", "2 would run") && !same("a\nb", "a") && !same("54 B", "55 B"));
}

/// Messages on the troubleshooting page that are not the program's own words.
const WORDS_OF_OTHERS: &[&str] = &["No such file or directory", "disk I/O error"];

#[test]
fn each_message_of_the_troubleshooting_page_is_one_of_the_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = walkdir::WalkDir::new(root.join("src")).into_iter().map(|entry| entry.unwrap().into_path());
    let sources = sources.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let code: String = sources.map(|path| fs::read_to_string(path).unwrap()).collect();
    // Literals broken over lines, and what is filled in, have any form.
    let code = Regex::new(r"\\\n\s*").unwrap().replace_all(&code, "").into_owned();
    let code = Regex::new(r"\{[^{}]*\}").unwrap().replace_all(&code, "{}").into_owned();
    let page = fs::read_to_string(root.join("docs/troubleshooting.md")).unwrap();
    let (_, table) = page.split_once("| message |").unwrap();
    let rows = table.lines().skip(2).map_while(|line| line.strip_prefix("| "));
    let filled_in =
        Regex::new(r"\.\.\.|; they were | [0-9]+ processes | [0-9]+|an integer|a symbolic link").unwrap();
    let mut unknown = Vec::new();
    let mut checked = 0;
    for row in rows {
        let message = row.split(" | ").next().unwrap();
        // Numbers, and the words that go with them, are filled in.
        for piece in filled_in.split(message) {
            let piece = piece.trim();
            if piece.len() > 3 {
                checked += 1;
                if !code.contains(piece) && !WORDS_OF_OTHERS.iter().any(|words| piece.contains(words)) {
                    unknown.push(format!("{piece:?} of {message:?}"));
                }
            }
        }
    }
    assert!(unknown.is_empty() && checked > 10, "no such words in the program: {unknown:#?}");
}
