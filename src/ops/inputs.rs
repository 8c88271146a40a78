//! The workflow's inputs, from everything that may give them, and from defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::Error;
use super::input_file::read_file;
use crate::core::closest::closest;
use crate::core::run_request::GivenInputs;
use crate::core::value::Value;
use crate::workflow::binding::Binding;
use crate::workflow::{Input, Workflow};

/// Maximum number of errors that are shown; the others are counted.
const MAX_SHOWN: usize = 100;

/// One binding for each of the workflow's inputs.
///
/// # Errors
/// Every error at once, a line each.
pub fn resolve(workflow: &Workflow, sources: &[GivenInputs]) -> Result<Vec<Binding>, Error> {
    let mut problems = Vec::new();
    let mut given: BTreeMap<String, Binding> = BTreeMap::new();
    // Inputs that were given, if badly: they are not missing as well.
    let mut faulty = BTreeSet::new();
    let mut recorded = Vec::new();
    let mut take = |name: &str, shown: String, bind: &dyn Fn(&Input) -> Result<Binding, String>| {
        if problems.len() > MAX_SHOWN && !workflow.inputs.iter().any(|input| *input.name == *name) {
            // Only counted.
            problems.push(String::new());
        } else if let Some(input) = find(workflow, name, &shown, &mut problems) {
            match bind(input) {
                Ok(binding) => drop(given.insert(name.to_owned(), binding)),
                Err(problem) => {
                    faulty.insert(name.to_owned());
                    problems.push(format!("{shown}: {problem}"));
                }
            }
        }
    };
    let mut unreadable = Vec::new();
    let mut perhaps_given: Vec<String> = Vec::new();
    for source in sources {
        match source {
            GivenInputs::File(path) => match read_file(path) {
                Ok(entries) => {
                    let dir = parent_of(path);
                    for (name, json) in entries {
                        let shown = format!("{}: `{name}`", path.display());
                        take(&name, shown, &|input| Binding::from_json(&input.ty, &json, &dir));
                    }
                }
                Err(problem) => {
                    // Any input may be in the file that cannot be read.
                    perhaps_given.extend(workflow.inputs.iter().map(|input| input.name.to_string()));
                    unreadable.push(problem);
                }
            },
            GivenInputs::Values { dir, values } => {
                for (name, json) in values {
                    take(name, format!("`{name}`"), &|input| Binding::from_json(&input.ty, json, dir));
                }
            }
            GivenInputs::Assignments { dir, values } => {
                for assignment in values {
                    match assignment.split_once('=') {
                        Some((name, text)) if !name.is_empty() => {
                            let bind = |input: &Input| Binding::from_text(&input.ty, text, dir);
                            take(name, format!("-i {name}"), &bind);
                        }
                        _ => {
                            perhaps_given.push(assignment.clone());
                            unreadable.push(format!("-i {assignment}: expected NAME=VALUE"));
                        }
                    }
                }
            }
            GivenInputs::Recorded(values) => recorded.push(values),
        }
    }
    problems.splice(0..0, unreadable);
    faulty.extend(perhaps_given);
    for before in recorded {
        for input in &workflow.inputs {
            let name = &*input.name;
            let Some(json) = before.get(name).filter(|_| !given.contains_key(name)) else { continue };
            match Binding::from_json(&input.ty, &as_written(json), Path::new("/")) {
                Ok(binding) => drop(given.insert(name.to_owned(), binding)),
                Err(problem) => {
                    faulty.insert(name.to_owned());
                    problems.push(format!(
                        "`{name}` as it was then does not fit any more: {problem}; give it with -i {name}=VALUE"
                    ));
                }
            }
        }
    }
    let mut bindings = Vec::with_capacity(workflow.inputs.len());
    for input in &workflow.inputs {
        let binding = given.remove(&*input.name).or_else(|| input.default.clone());
        if let Some(Binding::Literal(value)) = &binding
            && let Err(problem) = input.check_choice(value)
        {
            problems.push(problem);
        }
        match binding {
            Some(binding) => bindings.push(binding),
            None if input.ty.is_optional() => bindings.push(Binding::Literal(Value::Null)),
            None if faulty.contains(&*input.name) => {}
            None => problems.push(missing(input)),
        }
    }
    match problems.len() {
        0 => return Ok(bindings),
        count if count > MAX_SHOWN => {
            problems.truncate(MAX_SHOWN);
            problems.push(format!("... and {} more errors", count - MAX_SHOWN));
        }
        _ => {}
    }
    Err(Error::invalid(problems.join("\n")))
}

/// A recorded value as a person would write it: files by their paths.
fn as_written(json: &Json) -> Json {
    match json {
        Json::Object(entries) => match (entries.get("digest"), entries.get("origin")) {
            (Some(Json::String(_)), Some(origin @ Json::String(_))) => origin.clone(),
            _ => Json::Object(entries.iter().map(|(key, item)| (key.clone(), as_written(item))).collect()),
        },
        Json::Array(items) => items.iter().map(as_written).collect(),
        other => other.clone(),
    }
}

/// Reports files whose path is the same and whose content changed.
pub(super) fn changed_files(before: &Json, now: &Json, tell: &mut dyn FnMut(&str)) {
    match (before, now) {
        (Json::Object(before), Json::Object(now)) => match (before.get("origin"), now.get("origin")) {
            (Some(Json::String(then)), Some(Json::String(path))) if then == path => {
                if before.get("digest") != now.get("digest") {
                    tell(path);
                }
            }
            _ => before
                .iter()
                .filter_map(|(key, before)| Some((before, now.get(key)?)))
                .for_each(|(before, now)| changed_files(before, now, tell)),
        },
        (Json::Array(before), Json::Array(now)) => {
            before.iter().zip(now).for_each(|(before, now)| changed_files(before, now, tell));
        }
        _ => {}
    }
}

fn missing(input: &Input) -> String {
    let about = input.description.as_ref().map_or(String::new(), |text| format!(" ({text})"));
    format!(
        "the workflow needs the input `{}`, a {}{about}: give it with -i {}=VALUE or --inputs FILE",
        input.name, input.ty, input.name
    )
}

fn find<'w>(
    workflow: &'w Workflow,
    name: &str,
    shown: &str,
    problems: &mut Vec<String>,
) -> Option<&'w Input> {
    let found = workflow.inputs.iter().find(|input| *input.name == *name);
    if found.is_none() {
        let known: Vec<&str> = workflow.inputs.iter().map(|input| &*input.name).collect();
        let hint = match closest(name, known.iter().copied()) {
            Some(near) => format!("; did you mean `{near}`?"),
            None if known.is_empty() => "; it has no inputs".into(),
            None => format!("; its inputs are: {}", known.join(", ")),
        };
        problems.push(format!("{shown}: the workflow has no such input{hint}"));
    }
    found
}

fn parent_of(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.parent().map_or(absolute.clone(), Path::to_owned)
}
