//! `runner config`: every setting in force, and where it comes from.

use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::args::{CacheFlags, Nodes, RemoteFlags, Resources, Target, parse_jobs, request};
use super::screen::{ColorChoice, note, print};
use super::{Failure, Outcome, code};
use crate::core::event::VERSION;
use crate::ops::config::{GivenSettings, Origin, SettingInForce, SettingTrial, in_force};
use crate::view::text::style::{BAD, Cell, FAINT, GOOD, Ink, PLAIN, STRONG, columns};
use crate::view::text::{inert, size};

/// Show every setting in force and where it comes from; secrets are masked
///
/// Order: flag, environment, workflow file, the nearest runner.toml from the workflow's folder upward,
/// ~/.config/runner/config.toml, default. Without a workflow the current folder takes its place.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner config
  runner config workflow.toml
  runner config workflow.toml --check
  runner config workflow.toml --json | jq 'select(.from == \"file\")'")]
pub struct Args {
    /// The workflow file
    #[arg(value_name = "WORKFLOW")]
    workflow: Option<PathBuf>,
    /// As for exec
    #[arg(long, value_name = "P")]
    project: Option<String>,
    /// As for exec
    #[arg(long, value_name = "D")]
    domain: Option<String>,
    /// As for exec
    #[arg(short, long, value_name = "N", value_parser = parse_jobs)]
    jobs: Option<u32>,
    #[command(flatten)]
    remote: RemoteFlags,
    /// Also try each executor and the shared cache, and exit with 1 if one cannot be used
    #[arg(long)]
    check: bool,
    /// Print one line of JSON for each setting
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let in_force = in_force(args.workflow.as_deref(), given(args, home)?, args.check)?;
    tell_warnings(&in_force.warnings);
    match args.json {
        true => {
            in_force.settings.iter().for_each(|setting| print(&format!("{}\n", document(setting))));
            in_force.trials.iter().for_each(|trial| print(&format!("{}\n", trial_document(trial))));
        }
        false => {
            let ink = Ink(color.on_stdout());
            let rows: Vec<_> = in_force.settings.iter().map(row).collect();
            print(&columns(&rows, ink));
            let trials: Vec<_> = in_force.trials.iter().map(trial_row).collect();
            print(&columns(&trials, ink));
        }
    }
    match in_force.trials.iter().any(|trial| trial.fault.is_some()) {
        true => Err(Failure::silent(code::FAILED)),
        false => Ok(()),
    }
}

/// `✓ executor local`
fn trial_row(trial: &SettingTrial) -> Vec<Cell> {
    let fault = trial.fault.as_deref().map(|fault| inert(fault).into_owned()).unwrap_or_default();
    let (style, mark) = if trial.fault.is_some() { (BAD, "✗") } else { (GOOD, "✓") };
    vec![Cell::new(style, format!("{mark} {}", inert(&trial.name))), Cell::new(PLAIN, fault)]
}

fn trial_document(trial: &SettingTrial) -> Json {
    json!({"v": VERSION, "check": trial.name, "ok": trial.fault.is_none(), "error": trial.fault})
}

/// Tells of settings files that were skipped and of settings without effect.
pub fn tell_warnings(warnings: &[String]) {
    warnings.iter().for_each(|warning| note(&format!("warning: {}", inert(warning))));
}

/// What the flags and their variables give.
fn given<'a>(args: &Args, home: Option<&'a Path>) -> Result<GivenSettings<'a>, Failure> {
    let target = Target {
        workflow: PathBuf::new(),
        project: args.project.clone(),
        domain: args.domain.clone(),
        inputs: Vec::new(),
        inputs_file: None,
        settings: Vec::new(),
        python_env: None,
    };
    let resources = Resources { jobs: args.jobs, resources: Vec::new(), executors: Vec::new() };
    let cache = CacheFlags { remote: args.remote.clone(), ..CacheFlags::default() };
    let given = request(&target, &resources, &cache, &Nodes::default())?;
    let origin = |is_flag: bool, flag, variable| match is_flag {
        true => Origin::Flag(flag),
        false => Origin::Variable(variable),
    };
    let project = origin(args.project.is_some(), "--project", "RUNNER_PROJECT");
    let domain = origin(args.domain.is_some(), "--domain", "RUNNER_DOMAIN");
    let jobs = origin(args.jobs.is_some(), "--jobs", "RUNNER_JOBS");
    let remote = origin(args.remote.remote.is_some(), "--remote", "RUNNER_CACHE_REMOTE");
    let mode = origin(args.remote.remote_mode.is_some(), "--remote-mode", "RUNNER_CACHE_REMOTE_MODE");
    Ok(GivenSettings {
        home,
        project: given.project.map(|value| (value, project)),
        domain: given.domain.map(|value| (value, domain)),
        jobs: given.jobs.map(|value| (value, jobs)),
        remote: given.remote.map(|value| (value, remote)),
        remote_mode: given.remote_mode.map(|value| (value, mode)),
    })
}

fn row(setting: &SettingInForce) -> Vec<Cell> {
    let value = match &setting.value {
        Json::Number(bytes) if setting.name == "cache_max_size" => size(bytes.as_u64().unwrap_or_default()),
        Json::Null => "none".to_owned(),
        rule if setting.name.starts_with("notify.") => rule_words(rule),
        Json::String(text) => inert(text).into_owned(),
        value => inert(&value.to_string()).into_owned(),
    };
    let origin = match &setting.origin {
        Origin::Flag(flag) => (*flag).to_owned(),
        Origin::Variable(variable) => format!("${variable}"),
        Origin::File { path, line } => format!("{}:{line}", inert(&path.display().to_string())),
        Origin::Default => "default".to_owned(),
    };
    vec![Cell::new(STRONG, inert(&setting.name)), Cell::new(PLAIN, value), Cell::new(FAINT, origin)]
}

/// `failure, recovery: webhook ***`
fn rule_words(rule: &Json) -> String {
    let text = |value: &Json| match value {
        Json::Array(items) => items.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(", "),
        value => value.as_str().unwrap_or_default().to_owned(),
    };
    let way =
        ["webhook", "command", "email"].into_iter().find(|way| !rule[*way].is_null()).unwrap_or_default();
    inert(&format!("{}: {way} {}", text(&rule["on"]), text(&rule[way]))).into_owned()
}

fn document(setting: &SettingInForce) -> Json {
    let (from, name, path, line) = match &setting.origin {
        Origin::Flag(flag) => ("flag", Some(*flag), None, None),
        Origin::Variable(variable) => ("environment", Some(*variable), None, None),
        Origin::File { path, line } => ("file", None, Some(path.display().to_string()), Some(*line)),
        Origin::Default => ("default", None, None, None),
    };
    json!({
        "v": VERSION,
        "setting": setting.name,
        "value": setting.value,
        "from": from,
        "name": name,
        "path": path,
        "line": line,
    })
}
