//! Which values an argument can have: runs, nodes, inputs, tasks, keys, topics, schedules, projects, domains, workflow files.
//!
//! An argument is known by its name and by that of its value (`RUN`, `NODE`), so that a new verb with one of them is completed
//! without more. Each function takes what was typed of the value so far. Whatever cannot be read has no candidates.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command, CommandFactory};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter};

use super::WORDS;
use crate::cli::Cli;
use crate::core::cron::words;
use crate::core::value::Value;
use crate::core::zone::local_now;
use crate::ops::names::Names;
use crate::ops::open::{Opened, open};
use crate::ops::schedules::LoadedSchedule;
use crate::view::model::run_row::RunRow;
use crate::view::text::{age, inert};
use crate::workflow::Input;

type Candidates = Vec<CompletionCandidate>;

/// Maximum runs and keys that are offered.
const MAX_OFFERED: usize = 50;

/// The command with a completer for each argument that has one.
pub fn with_values(command: Command) -> Command {
    command.mut_args(with_completer).mut_subcommands(with_values)
}

fn with_completer(arg: Arg) -> Arg {
    let value = arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
    let completer: fn(&OsStr) -> Candidates = match (arg.get_id().as_str(), value.as_deref()) {
        ("project", _) => projects,
        ("domain", _) => domains,
        ("workflow", Some("NAME")) => workflows,
        ("task", Some("NAME")) => tasks_of_file,
        ("schedule", Some("NAME")) => schedules,
        (_, Some("RUN")) => runs,
        (_, Some("NODE")) => nodes,
        (_, Some("NAME=VALUE")) => inputs,
        (_, Some("WORKFLOW")) => workflow_files,
        (_, Some("QUALIFIED")) => tasks,
        (_, Some("KEY")) => keys,
        (_, Some("TOPIC")) => topics,
        _ => return arg,
    };
    arg.add(ArgValueCompleter::new(completer))
}

/// What is known of the other words.
struct Typed(ArgMatches);

impl Typed {
    fn read() -> Option<Self> {
        let command = Cli::command().ignore_errors(true);
        let mut matches = command.try_get_matches_from(WORDS.get()?).ok()?;
        while let Some((_, inner)) = matches.subcommand() {
            matches = inner.clone();
        }
        Some(Self(matches))
    }

    fn path(&self, name: &str) -> Option<&PathBuf> {
        self.0.try_get_one(name).ok().flatten()
    }

    fn text(&self, name: &str) -> Option<&String> {
        self.0.try_get_one(name).ok().flatten()
    }

    fn home(&self) -> Option<Names> {
        Names::peek(self.path("home").map(PathBuf::as_path))
    }

    /// The workflow that is meant: of the file, or of the run.
    fn workflow(&self) -> Option<Opened> {
        if let Some(run) = self.text("run") {
            return self.home()?.workflow_of_run(run);
        }
        let path = self.path("workflow")?;
        // `retry` and `rerun` call a run what `exec` calls a workflow.
        if !path.is_file() {
            return open(&self.home()?.path_of_run(path.to_str()?)?, &[]).ok();
        }
        open(path, &[]).ok()
    }
}

/// Those of `found` that begin with what was typed.
fn beginning(current: &OsStr, found: impl IntoIterator<Item = (String, Option<String>)>) -> Candidates {
    let current = current.to_string_lossy();
    let fits = found.into_iter().filter(|(value, _)| value.starts_with(&*current));
    let candidate = |(value, help): (String, Option<String>)| {
        CompletionCandidate::new(value).help(help.map(|help| inert(&help).into_owned().into()))
    };
    fits.map(candidate).collect()
}

fn plain(names: impl IntoIterator<Item = String>) -> impl Iterator<Item = (String, Option<String>)> {
    names.into_iter().map(|name| (name, None))
}

/// Workflow files, and folders on the way to one.
fn workflow_files(current: &OsStr) -> Candidates {
    let is_toml = |path: &Path| path.is_dir() || path.extension().is_some_and(|end| end == "toml");
    PathCompleter::any().filter(is_toml).complete(current)
}

/// Names of runs: the words for the latest ones, and ids.
fn runs(current: &OsStr) -> Candidates {
    let now = local_now();
    let latest = Typed::read().and_then(|typed| typed.home()).map(|home| home.runs(MAX_OFFERED));
    let latest = latest.unwrap_or_default();
    let described =
        |run: &RunRow| Some(format!("{}, {}, {}", run.workflow, run.status, age(run.started, &now)));
    let failed = latest.iter().find(|run| run.status == "failed");
    let words = [("@last", latest.first()), ("@last-failed", failed), ("@-2", latest.get(1))];
    let words = words.into_iter().filter_map(|(word, run)| Some((word.to_owned(), described(run?))));
    beginning(current, words.chain(latest.iter().map(|run| (run.id.to_string(), described(run)))))
}

/// Nodes of the workflow or run.
fn nodes(current: &OsStr) -> Candidates {
    let Some(opened) = Typed::read().and_then(|typed| typed.workflow()) else { return Vec::new() };
    let outline = &opened.outline;
    let described = |number: usize| {
        let task = outline.place(number).node().task().map(|task| task.name.to_string());
        (outline.name(number), task)
    };
    beginning(current, (0..outline.len()).map(described))
}

/// `NAME=` of the workflow's inputs, and behind it the values that are known.
fn inputs(current: &OsStr) -> Candidates {
    let Some(opened) = Typed::read().and_then(|typed| typed.workflow()) else { return Vec::new() };
    let inputs = &opened.workflow.inputs;
    let Some((name, value)) = current.to_str().and_then(|text| text.split_once('=')) else {
        let described = |input: &Input| {
            let text = input.description.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
            (format!("{}=", input.name), Some(format!("{}{text}", input.ty)))
        };
        return beginning(current, inputs.iter().map(described));
    };
    let Some(input) = inputs.iter().find(|input| *input.name == *name) else { return Vec::new() };
    let prefix = format!("{name}=");
    let known: Vec<String> = match input.ty.to_string().trim_end_matches('?') {
        "bool" => vec!["true".into(), "false".into()],
        "file" => return prefixed(PathCompleter::file().complete(OsStr::new(value)), &prefix),
        "dir" => return prefixed(PathCompleter::dir().complete(OsStr::new(value)), &prefix),
        _ => input.one_of.iter().map(one_of).collect(),
    };
    prefixed(beginning(OsStr::new(value), plain(known)), &prefix)
}

fn prefixed(found: Candidates, prefix: &str) -> Candidates {
    found.into_iter().map(|found| found.add_prefix(prefix)).collect()
}

/// A value as it is typed.
fn one_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string(),
        value => value.to_record().to_string().trim_matches('"').to_owned(),
    }
}

/// Candidates that the history and the cache know.
fn kept(current: &OsStr, names: impl Fn(&Names) -> Vec<String>) -> Candidates {
    let home = Typed::read().and_then(|typed| typed.home());
    beginning(current, plain(home.map(|home| names(&home)).unwrap_or_default()))
}

/// Qualified names of tasks with results.
fn tasks(current: &OsStr) -> Candidates {
    kept(current, Names::tasks)
}

/// Tasks of the workflow file.
fn tasks_of_file(current: &OsStr) -> Candidates {
    let Some(opened) = Typed::read().and_then(|typed| typed.workflow()) else { return Vec::new() };
    beginning(current, plain(opened.workflow.tasks.iter().map(|task| task.name.to_string())))
}

/// Schedules of the workflow file; without one, of the current folder and of the home.
fn schedules(current: &OsStr) -> Candidates {
    let Some(typed) = Typed::read() else { return Vec::new() };
    let file: Vec<_> = typed.path("workflow").cloned().into_iter().collect();
    let found = crate::ops::schedules::schedules(&file).map(|all| all.found).unwrap_or_default();
    if !file.is_empty() {
        return beginning(current, found.iter().map(|found| (found.schedule().name.clone(), due(found))));
    }
    let mut names: BTreeMap<_, _> = typed
        .home()
        .map(|home| home.schedules())
        .unwrap_or_default()
        .into_iter()
        .map(|name| (name, None))
        .collect();
    names.extend(found.iter().map(|found| (found.name.clone(), due(found))));
    let whole = beginning(current, names.clone());
    if !whole.is_empty() {
        return whole;
    }
    let short = |(name, due): (String, Option<String>)| Some((name.rsplit_once('/')?.1.to_owned(), due));
    beginning(current, names.into_iter().filter_map(short))
}

/// When a schedule is due, in words.
fn due(found: &LoadedSchedule) -> Option<String> {
    Some(words(&found.schedule().rhythm))
}

/// Names of workflows that were run.
fn workflows(current: &OsStr) -> Candidates {
    kept(current, Names::workflows)
}

fn projects(current: &OsStr) -> Candidates {
    kept(current, Names::projects)
}

fn domains(current: &OsStr) -> Candidates {
    kept(current, Names::domains)
}

/// Keys of stored results, the latest first.
fn keys(current: &OsStr) -> Candidates {
    let home = Typed::read().and_then(|typed| typed.home());
    let begun = current.to_string_lossy();
    let found = home.map(|home| home.keys(&begun, MAX_OFFERED)).unwrap_or_default();
    beginning(current, found.into_iter().map(|(key, of)| (key, Some(of))))
}

/// Topics of the manual, and verbs.
fn topics(current: &OsStr) -> Candidates {
    let topics = crate::cli::help::topics().map(|(name, text)| (name.to_owned(), Some(text.to_owned())));
    let command = Cli::command();
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    let verbs = verbs.map(|verb| (verb.get_name().to_owned(), verb.get_about().map(ToString::to_string)));
    beginning(current, topics.chain(verbs))
}
