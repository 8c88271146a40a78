//! `kind = "command"`: the settings of a batch system that is spelled out, checked.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use regex::Regex;
use serde_json::Value as Json;

use crate::core::closest::closest;
use crate::exec::batch::SystemState;
use crate::exec::command::{CommandSystem, STATES, STATUS_LINE, SubmitOption};
use crate::exec::command_template::CommandTemplate;
use crate::workflow::config::Config;

/// What stands for a value in every command.
const GENERAL: [&str; 2] = ["user", "work_dir"];
/// What stands for a value in `submit` besides.
const OF_A_JOB: [&str; 4] = ["name", "script", "log", "cpus"];

/// The batch system of an executor. `hidden` are variables that its commands do not get.
///
/// # Errors
/// A setting that is missing or wrong: a sentence, with its place.
pub fn command_system(
    name: &str,
    config: &Config,
    work_dir: &Path,
    hidden: Vec<String>,
) -> Result<CommandSystem, String> {
    let settings = CommandSettings { name, config };
    let in_submit: Vec<&str> = GENERAL.into_iter().chain(OF_A_JOB).collect();
    let submit = settings.command("submit", &in_submit, Some("options"))?;
    if !submit.says("script") {
        return Err(settings.wrong("submit", "it has no {script}: nothing would run"));
    }
    let options = settings.options(&in_submit)?;
    if !options.is_empty() && !submit.takes_many() {
        return Err(settings.wrong("submit_options", "`submit` has no {options} that they would join"));
    }
    let cancel = settings.command("cancel", &GENERAL, Some("ids"))?;
    if !cancel.takes_many() {
        return Err(settings.wrong("cancel", "it has no {ids}: no job would be cancelled"));
    }
    let id = settings.regex("submit_id")?;
    if id.as_ref().is_some_and(|id| id.captures_len() < 2) {
        return Err(settings.wrong("submit_id", "it has no group: put the id in ( and )"));
    }
    let line = match settings.regex("status_line")? {
        Some(line) => line,
        None => Regex::new(STATUS_LINE).map_err(|error| error.to_string())?,
    };
    for group in ["id", "state"] {
        if !line.capture_names().flatten().any(|found| found == group) {
            let what = format!("it has no group `{group}`: write (?P<{group}>...)");
            return Err(settings.wrong("status_line", &what));
        }
    }
    Ok(CommandSystem {
        submit,
        options,
        id,
        again: settings.regex("submit_again")?,
        status: settings.command("status", &GENERAL, None)?,
        line,
        states: settings.states()?,
        cancel,
        work_dir: work_dir.to_owned(),
        hidden,
        heard: Mutex::default(),
    })
}

struct CommandSettings<'c> {
    name: &'c str,
    config: &'c Config,
}

impl<'c> CommandSettings<'c> {
    fn get(&self, key: &str) -> Option<&'c Json> {
        Some(&self.config.get(&format!("executors.{}.{key}", self.name))?.value)
    }

    /// `runner.toml:5: executors.sge.submit: WHAT`
    fn wrong(&self, key: &str, what: &str) -> String {
        let whole = format!("executors.{}.{key}", self.name);
        // What is missing is missing where the executor is defined.
        let kind = || self.config.get(&format!("executors.{}.kind", self.name));
        let place = self.config.get(&whole).or_else(kind).map_or_else(String::new, |value| {
            let (path, line) = self.config.line_of(value.place);
            format!("{}:{line}: ", path.display())
        });
        format!("{place}`{whole}`: {what}")
    }

    fn command(&self, key: &str, known: &[&str], many: Option<&str>) -> Result<CommandTemplate, String> {
        let words = match self.get(key) {
            Some(words) => texts(words).filter(|words| !words.is_empty()),
            None => {
                let what = "it is required for kind = \"command\": a list of words, run without a shell";
                return Err(self.wrong(key, what));
            }
        };
        let words = words.ok_or_else(|| self.wrong(key, "expected a list of words, such as [\"qstat\"]"))?;
        CommandTemplate::parse(&words, known, many).map_err(|what| self.wrong(key, &what))
    }

    fn options(&self, known: &[&str]) -> Result<Vec<(SubmitOption, CommandTemplate)>, String> {
        const KEY: &str = "submit_options";
        let Some(given) = self.get(KEY) else { return Ok(Vec::new()) };
        let given = given.as_object().ok_or_else(|| self.wrong(KEY, "expected a table of lists of words"))?;
        let names: Vec<&str> = SubmitOption::ALL.iter().map(|(name, ..)| *name).collect();
        if let Some(other) = given.keys().find(|name| !names.contains(&name.as_str())) {
            let near = closest(other, names.iter().copied());
            let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            return Err(
                self.wrong(KEY, &format!("no task asks for `{other}`, but for {}{near}", names.join(", ")))
            );
        }
        let mut options = Vec::new();
        for (name, option, own) in SubmitOption::ALL {
            let Some(words) = given.get(name) else { continue };
            let words = texts(words)
                .ok_or_else(|| self.wrong(KEY, &format!("`{name}`: expected a list of words")))?;
            let known: Vec<&str> = known.iter().chain(own).copied().collect();
            let template = CommandTemplate::parse(&words, &known, None)
                .map_err(|what| self.wrong(KEY, &format!("`{name}`: {what}")))?;
            options.push((option, template));
        }
        Ok(options)
    }

    fn regex(&self, key: &str) -> Result<Option<Regex>, String> {
        let Some(text) = self.get(key).and_then(Json::as_str) else { return Ok(None) };
        let compiled = Regex::new(text);
        compiled
            .map(Some)
            .map_err(|error| self.wrong(key, &format!("this is no regular expression: {error}")))
    }

    fn states(&self) -> Result<BTreeMap<String, SystemState>, String> {
        let known = || STATES.map(|(name, _)| name).join(", ");
        let meaning = |(state, word): (&String, &Json)| {
            let found = STATES.iter().find(|(name, _)| word.as_str() == Some(*name));
            let wrong =
                || self.wrong("states", &format!("`{state}` means {word}; expected one of {}", known()));
            found.map(|(_, state_means)| (state.clone(), *state_means)).ok_or_else(wrong)
        };
        let given = self.get("states").and_then(Json::as_object);
        given.into_iter().flatten().map(meaning).collect()
    }
}

fn texts(list: &Json) -> Option<Vec<String>> {
    list.as_array()?.iter().map(|word| word.as_str().map(str::to_owned)).collect()
}
