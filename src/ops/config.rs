//! Settings: the files that count for a workflow, and every setting in force with its origin.

mod check;
pub mod serve;

use std::path::{Path, PathBuf};

use serde_json::{Map as JsonMap, Value as Json, json};

use super::open::{Opened, open};
use super::remote::RemoteChoice;
use super::{Error, WorkflowErrors, cap};
use crate::core::notify::{NotifyChannel, NotifyRule};
use crate::core::run_request::CacheMode;
use crate::storage::home::Home;
use crate::workflow::config::notify::rules_in_force;
use crate::workflow::config::variables::{Dialect, masked};
use crate::workflow::config::{Config, ConfigErrors, ConfigValue, load, load_for, locate_for};
use crate::workflow::diagnostic::{FileId, SourceSpan};
use crate::workflow::syntax::{self, TomlKind};

pub use self::check::SettingTrial;

/// The project and the domain where nothing names others.
pub const DEFAULT_PROJECT: &str = "default";
pub const DEFAULT_DOMAIN: &str = "development";

/// What stands in place of a secret.
pub const MASK: &str = "***";

/// Settings that are secrets, whatever they hold.
const SECRETS: [&str; 1] = ["smtp.password"];

/// Sections whose texts may refer to secrets.
const MASKED_SECTION: &str = "smtp.";

/// The origin of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Flag(&'static str),
    /// A variable of the environment.
    Variable(&'static str),
    File {
        path: PathBuf,
        line: usize,
    },
    Default,
}

/// A setting in force.
#[derive(Clone, Debug, PartialEq)]
pub struct SettingInForce {
    /// Dotted, as in `smtp.host`.
    pub name: String,
    pub value: Json,
    pub origin: Origin,
}

/// What flags and variables give.
#[derive(Default)]
pub struct GivenSettings<'a> {
    pub home: Option<&'a Path>,
    pub project: Option<(String, Origin)>,
    pub domain: Option<(String, Origin)>,
    pub jobs: Option<(u32, Origin)>,
    /// The address of the shared cache, or `off`.
    pub remote: Option<(String, Origin)>,
    pub remote_mode: Option<(CacheMode, Origin)>,
}

impl GivenSettings<'_> {
    fn remote_choice(&self) -> RemoteChoice {
        RemoteChoice {
            url: self.remote.as_ref().map(|(url, _)| url.clone()),
            mode: self.remote_mode.as_ref().map(|(mode, _)| *mode),
        }
    }
}

/// Every setting in force.
pub struct SettingsInForce {
    pub settings: Vec<SettingInForce>,
    /// Files that were skipped, and settings without effect.
    pub warnings: Vec<String>,
    /// What was tried, if that was wanted.
    pub trials: Vec<SettingTrial>,
}

/// The settings files of a workflow, whose path is absolute and without links.
///
/// # Errors
/// Everything that is wrong in them.
pub fn config_for(workflow: &Path) -> Result<Config, WorkflowErrors> {
    Ok(load_for(workflow, &|name| std::env::var_os(name))?)
}

/// The settings files of a workflow, without reading them.
pub fn settings_files(workflow: &Path) -> Vec<PathBuf> {
    locate_for(workflow, &|name| std::env::var_os(name))
}

/// Every setting in force for a workflow, or for the current folder, each with its origin. With `tries` also whether the executors
/// and the shared cache can be used.
///
/// # Errors
/// Errors in the workflow or in a settings file; a variable that is not understood.
pub fn in_force(
    workflow: Option<&Path>,
    given: GivenSettings,
    tries: bool,
) -> Result<SettingsInForce, Error> {
    let opened = workflow.map(|path| open(path, &[])).transpose()?;
    let config = match &opened {
        Some(opened) => config_for(&opened.workflow.path)?,
        None => {
            let here = std::env::current_dir()
                .map_err(|error| Error::invalid(format!("there is no current folder: {error}")))?;
            load(&here, None, &|name| std::env::var_os(name)).map_err(WorkflowErrors::from)?
        }
    };
    let trials =
        if tries { check::try_all(given.home, &config, &given.remote_choice())? } else { Vec::new() };
    let mut settings = vec![home(given.home)?];
    for (name, given, default) in
        [("project", given.project, DEFAULT_PROJECT), ("domain", given.domain, DEFAULT_DOMAIN)]
    {
        let in_workflow = || opened.as_ref().and_then(|opened| of_workflow(opened, name));
        let (value, origin) = given
            .or_else(in_workflow)
            .or_else(|| config.text(name).map(str::to_owned).zip(of_config(&config, name)))
            .unwrap_or_else(|| (default.to_owned(), Origin::Default));
        settings.push(setting(name, value, origin));
    }
    let jobs = given.jobs.or_else(|| config.jobs().zip(of_config(&config, "jobs")));
    settings.push(match jobs {
        Some((jobs, origin)) => setting("jobs", jobs, origin),
        None => setting("jobs", processors(), Origin::Default),
    });
    let executor = config.text("executor").zip(of_config(&config, "executor"));
    let (executor, origin) = executor.unwrap_or(("local", Origin::Default));
    settings.push(setting("executor", executor, origin));
    settings.push(cache_max_size()?);
    if let Some((url, origin)) = given.remote {
        settings.push(setting("cache.remote", url, origin));
    }
    if let Some((mode, origin)) = given.remote_mode {
        settings.push(setting("cache.remote_mode", mode.name(), origin));
    }
    let own: Vec<String> = ["project", "domain", "jobs", "executor"]
        .into_iter()
        .map(str::to_owned)
        .chain(settings.iter().map(|setting| setting.name.clone()))
        .collect();
    for (name, ConfigValue { value, place }) in
        config.values().filter(|(name, _)| !own.iter().any(|own| own == name))
    {
        let (path, line) = config.line_of(*place);
        let origin = Origin::File { path: path.to_owned(), line };
        settings.push(setting(name, shown(name, value), origin));
    }
    let own = opened.as_ref().map_or(&[][..], |opened| &opened.workflow.notify);
    let in_workflow = own.len();
    for (number, entry) in rules_in_force(own.iter().chain(&config.notify)) {
        let (path, line) = match &opened {
            Some(opened) if number < in_workflow => {
                (opened.workflow.path.as_path(), opened.sources.line_column(entry.place).0)
            }
            _ => config.line_of(entry.place),
        };
        let origin = Origin::File { path: path.to_owned(), line };
        if let Some(rule) = &entry.rule {
            settings.push(setting(&format!("notify.{}", rule.key()), rule_shown(rule), origin));
        }
    }
    Ok(SettingsInForce { settings, warnings: config.warnings, trials })
}

/// A rule without its secrets.
fn rule_shown(rule: &NotifyRule) -> Json {
    let dialect = if rule.in_settings { Dialect::SettingsLater } else { Dialect::Workflow };
    let shown = |text: &String| masked(text, dialect, MASK);
    let all = |texts: &[String]| -> Vec<String> { texts.iter().map(shown).collect() };
    let (way, target, headers) = match &rule.channel {
        NotifyChannel::Webhook { url, headers } => {
            let headers: JsonMap<_, _> = headers.keys().map(|name| (name.clone(), MASK.into())).collect();
            ("webhook", Json::from(shown(url)), Some(headers))
        }
        NotifyChannel::Command(words) => ("command", words.clone().into(), None),
        NotifyChannel::Email(to) => ("email", all(to).into(), None),
    };
    json!({
        "on": rule.on,
        way: target,
        "headers": headers,
        "schedules": rule.schedules,
        "after": rule.after,
        "repeat_s": rule.repeat.map(|repeat| repeat.as_secs()),
        "timeout_s": rule.timeout.as_secs_f64(),
    })
}

impl From<ConfigErrors> for WorkflowErrors {
    fn from(errors: ConfigErrors) -> Self {
        Self { diagnostics: errors.diagnostics, sources: errors.sources }
    }
}

fn setting(name: &str, value: impl Into<Json>, origin: Origin) -> SettingInForce {
    SettingInForce { name: name.to_owned(), value: value.into(), origin }
}

/// A value without its secrets.
fn shown(name: &str, value: &Json) -> Json {
    match value {
        Json::String(_) if SECRETS.contains(&name) => MASK.into(),
        Json::String(text) if name.starts_with(MASKED_SECTION) => {
            masked(text, Dialect::SettingsLater, MASK).into()
        }
        value => value.clone(),
    }
}

fn of_config(config: &Config, name: &str) -> Option<Origin> {
    let (path, line) = config.line_of(config.get(name)?.place);
    Some(Origin::File { path: path.to_owned(), line })
}

/// What `[workflow]` says under `key`, and where.
fn of_workflow(opened: &Opened, key: &str) -> Option<(String, Origin)> {
    // The workflow file is the first that was read.
    let text = opened.sources.text(FileId(0));
    let (tree, _) = syntax::parse(text, FileId(0));
    let TomlKind::Table(header) = &tree.get("workflow")?.kind else { return None };
    let item = header.get(key)?;
    let TomlKind::String(value) = &item.kind else { return None };
    let place = SourceSpan { file: FileId(0), span: item.span };
    let line = opened.sources.line_column(place).0;
    Some((value.to_string(), Origin::File { path: opened.workflow.path.clone(), line }))
}

fn home(flag: Option<&Path>) -> Result<SettingInForce, Error> {
    let path = Home::locate(flag).map_err(Error::store)?;
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let origin = match flag {
        Some(_) => Origin::Flag("--home"),
        None if is_set("RUNNER_HOME") => Origin::Variable("RUNNER_HOME"),
        None if is_set("XDG_DATA_HOME") => Origin::Variable("XDG_DATA_HOME"),
        None => Origin::Default,
    };
    Ok(setting("home", path.path().display().to_string(), origin))
}

/// The size from which a run collects old results; null for no limit.
fn cache_max_size() -> Result<SettingInForce, Error> {
    let is_set = std::env::var_os(cap::VARIABLE).is_some_and(|value| !value.is_empty());
    let origin = if is_set { Origin::Variable(cap::VARIABLE) } else { Origin::Default };
    Ok(setting("cache_max_size", cap::from_environment()?, origin))
}

/// How many nodes run at once where nothing says another number.
pub(super) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The machine's memory in bytes; without a way to know, no limit.
pub(super) fn total_memory() -> u64 {
    #[cfg(target_os = "linux")]
    {
        let info = rustix::system::sysinfo();
        (info.totalram as u64).saturating_mul(u64::from(info.mem_unit))
    }
    #[cfg(not(target_os = "linux"))]
    u64::MAX
}
