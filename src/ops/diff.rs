//! What changed between two runs.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use serde_json::{Value as Json, json};

use super::Error;
use super::home::HomeReader;
use super::recorded::{Again, as_it_was};
use crate::core::definition::Definition;
use crate::core::digest::Digest;
use crate::core::run_request::RunRequest;
use crate::core::why::{self, DefinitionChange};
use crate::storage::history::Run;
use crate::storage::history::filter::{RunFilter, select};
use crate::storage::history::invocation::{Invocation, invocation};
use crate::storage::memo::explain::{Detail, definition_changes, text_change};
use crate::storage::memo::{MemoEntry, listing, sqlite};
use crate::storage::store::Store;
use crate::view::model::run_diff::{KeyChange, NamedPair, NodeDiff, RunDiff, RunDiffContext, compare};
use crate::view::model::run_row::RunRow;
use crate::workflow::Task;

/// Compares two runs, the earlier one first; one alone with the run of its workflow before it.
///
/// # Errors
/// A run is not known, or the history cannot be read.
pub fn diff(home: Option<&Path>, first: &str, second: Option<&str>) -> Result<RunDiff, Error> {
    let view = &HomeReader::open(home)?;
    let (before, after) = match second {
        Some(other) => (view.find(first)?, view.find(other)?),
        None => {
            let after = view.find(first)?;
            (previous(view, &after)?, after)
        }
    };
    let known = known(view, &before, &after);
    let rows = (RunRow::from(before.clone()), RunRow::from(after.clone()));
    let mut diff = compare(rows, known, |later| view.events(if later { after.id } else { before.id }))?;
    if let (Some(db), Ok(store)) = (&view.db, view.store()) {
        for node in diff.nodes.iter_mut().take(MAX_EXPLAINED) {
            node.changes = key_changes(db, &store, node);
        }
    }
    Ok(diff)
}

/// Maximum number of nodes whose keys are compared part by part.
const MAX_EXPLAINED: usize = 200;
/// Size in bytes of the largest source whose lines are compared.
const MAX_SOURCE_BYTES: u64 = 1 << 20;

/// What differs between the keys of a node beside its inputs, if the memo still has both results.
fn key_changes(db: &Connection, store: &Store, node: &NodeDiff) -> Vec<KeyChange> {
    let result = |key: Option<Digest>| {
        let mut found = listing::with_prefix(db, &key?.hex()).ok()??;
        found.pop().map(|listed| listed.entry)
    };
    let Some(key) = &node.key else { return Vec::new() };
    let (Some(was), Some(now)) = (result(key.before), result(key.after)) else { return Vec::new() };
    let mut changes = Vec::new();
    let pair = |was: &String, now: &String| (was != now).then(|| (was.clone(), now.clone()));
    changes.extend(pair(&was.project, &now.project).map(|(was, now)| why::Change::Project { was, now }));
    changes.extend(pair(&was.domain, &now.domain).map(|(was, now)| why::Change::Domain { was, now }));
    changes.extend(pair(&was.task, &now.task).map(|(was, now)| why::Change::Task { was, now }));
    let definition = |entry: &MemoEntry| sqlite::definition(db, &entry.found.definition).ok().flatten();
    let parts = match (definition(&was), definition(&now)) {
        (Some(was), Some(now)) => definition_changes(&was, &now, Detail::Full),
        _ => Vec::new(),
    };
    if parts.is_empty() {
        let version = |entry: &MemoEntry| match entry.version.starts_with("auto:") {
            true => "automatic".to_owned(),
            false => entry.version.clone(),
        };
        let versions = pair(&version(&was), &version(&now));
        changes.extend(versions.map(|(was, now)| why::Change::CacheVersion { was, now }));
    }
    let parts = parts.into_iter().map(|part| with_lines(store, part));
    changes.extend(parts.map(why::Change::Definition));
    changes.into_iter().map(|change| KeyChange { text: change.text(), change }).collect()
}

/// The change of a source with its lines, if the store has both texts.
fn with_lines(store: &Store, part: DefinitionChange) -> DefinitionChange {
    let text = |side: &Option<String>| {
        let digest = side.as_ref()?.split(' ').next()?.parse().ok()?;
        store.text(&digest, MAX_SOURCE_BYTES)
    };
    let texts = part.name.starts_with("source ").then(|| text(&part.was).zip(text(&part.now))).flatten();
    match texts {
        Some((was, now)) if was != now => text_change(part.name, &was, &now, Detail::Full.lines()),
        _ => part,
    }
}

/// The run of the same workflow before `run`, in the same project and domain if there is one.
fn previous(view: &HomeReader, run: &Run) -> Result<Run, Error> {
    let Some(db) = &view.db else { return Err(Error::not_found("there is no run yet")) };
    let any =
        RunFilter { workflow: Some(run.workflow.clone()), before: Some(run.id), ..RunFilter::default() };
    let same =
        RunFilter { project: Some(run.project.clone()), domain: Some(run.domain.clone()), ..any.clone() };
    for filter in [same, any] {
        if let Some(found) = select(db, &filter, 1, view).map_err(Error::history)?.pop() {
            return Ok(found);
        }
    }
    Err(Error::not_found(format!(
        "run {} is the first of workflow `{}`: name the two runs to be compared, as in `runner diff RUN RUN`",
        run.id, run.workflow
    )))
}

/// What the records of the runs hold beside their events; older runs have none.
fn known(view: &HomeReader, before: &Run, after: &Run) -> RunDiffContext {
    let (earlier, later) = (as_it_was(view, before).ok(), as_it_was(view, after).ok());
    let invoked = |again: &Option<Again>, run: &Run| match again {
        Some(again) => Some(again.invocation.clone()),
        None => invocation(view.db.as_ref()?, run.id).ok(),
    };
    let asked = match (invoked(&earlier, before), invoked(&later, after)) {
        (Some(before), Some(after)) => asked(&before, &after),
        _ => Vec::new(),
    };
    let edits = match (&earlier, &later) {
        (Some(earlier), Some(later)) => edits(earlier, later),
        _ => HashMap::new(),
    };
    RunDiffContext { asked, suppliers: later.as_ref().map(suppliers), edits }
}

/// By node, those that it waits for.
fn suppliers(run: &Again) -> HashMap<String, Vec<String>> {
    let outline = &run.opened.outline;
    let names = |numbers: Vec<usize>| numbers.into_iter().map(|number| outline.name(number)).collect();
    (0..outline.len()).map(|number| (outline.name(number), names(outline.dependencies(number)))).collect()
}

/// By node that both runs have, the parts of its definition that differ, but for the contents of its sources.
fn edits(before: &Again, after: &Again) -> HashMap<String, Vec<String>> {
    let tasks = |run: &Again| -> HashMap<String, Arc<Task>> {
        let places = run.opened.outline.places();
        places.filter_map(|place| Some((place.name(), place.node().task()?.clone()))).collect()
    };
    let earlier = tasks(before);
    let mut edits = HashMap::new();
    for (name, task) in tasks(after) {
        let Some(old) = earlier.get(&name) else { continue };
        let text = |task: &Task| Definition::of_text(task, &|_| Vec::new());
        let mut parts = text(&task).differences(&text(old));
        if old.cache.version != task.cache.version {
            parts.push("cache_version".into());
        }
        if !parts.is_empty() {
            edits.insert(name, parts);
        }
    }
    edits
}

/// What the runs were asked for differently.
fn asked(before: &Invocation, after: &Invocation) -> Vec<NamedPair<Json>> {
    let mut changes = Vec::new();
    let mut add = |name: String, before: Json, after: Json| {
        if before != after {
            changes.push(NamedPair { name, before, after });
        }
    };
    let names =
        before.inputs.keys().chain(after.inputs.keys().filter(|name| !before.inputs.contains_key(*name)));
    for name in names {
        let of = |run: &Invocation| run.inputs.get(name).cloned().unwrap_or_default();
        add(format!("inputs.{name}"), of(before), of(after));
    }
    let flags = |run: &Invocation| {
        let RunRequest { selection, .. } = &run.request;
        json!({
            "--set": run.request.settings,
            "--only": selection.only,
            "--from": selection.from,
            "--until": selection.until,
            "--skip": selection.skip,
            "--cache": run.request.cache,
            "--overwrite": run.request.overwrite,
            "--resource": run.request.resources,
            "workflow": run.request.workflow,
            "--task": run.request.task,
            "runner": run.runner,
        })
    };
    if let (Json::Object(before), Json::Object(mut after)) = (flags(before), flags(after)) {
        for (name, value) in before {
            let other = after.remove(&name).unwrap_or_default();
            add(name, value, other);
        }
    }
    let file = |run: &Invocation| -> HashMap<String, String> {
        run.files.iter().map(|file| (file.path.clone(), file.digest.hex())).collect()
    };
    let (mut old, new) = (file(before), file(after));
    let mut files: Vec<_> =
        new.into_iter().map(|(path, digest)| (old.remove(&path), Some(digest), path)).collect();
    files.extend(old.into_iter().map(|(path, digest)| (Some(digest), None, path)));
    files.sort_by(|a, b| a.2.cmp(&b.2));
    for (old, new, path) in files {
        let name = path.rsplit('/').next().unwrap_or(&path).to_owned();
        let text = |digest: Option<String>| digest.map(|digest| json!({"digest": digest})).into();
        add(name, text(old), text(new));
    }
    for name in
        before.passed.keys().chain(after.passed.keys().filter(|name| !before.passed.contains_key(*name)))
    {
        // Their digests would not help a reader.
        let word = |run: &Invocation, changed: &str| run.passed.get(name).map(|_| changed.to_owned());
        if before.passed.get(name) != after.passed.get(name) {
            add(format!("${name}"), word(before, "a value").into(), word(after, "another value").into());
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_was_asked_for_differently() {
        let inputs = |text: &str| serde_json::from_str(text).unwrap();
        let before = Invocation {
            inputs: inputs(r#"{"a": 1, "b": 2}"#),
            passed: [("TOKEN".to_owned(), "1f".to_owned())].into(),
            ..Invocation::default()
        };
        let after = Invocation {
            inputs: inputs(r#"{"a": 1, "b": 3, "c": 4}"#),
            request: RunRequest { settings: vec!["defaults.cache=true".into()], ..RunRequest::default() },
            passed: [("TOKEN".to_owned(), "2e".to_owned())].into(),
            ..before.clone()
        };
        assert_eq!(asked(&before, &before), []);
        let names: Vec<_> = asked(&before, &after).into_iter().map(|change| change.name).collect();
        assert_eq!(names, ["inputs.b", "inputs.c", "--set", "$TOKEN"]);
        let text = format!("{:?}", asked(&before, &after));
        assert!(!text.contains("1f") && !text.contains("2e"), "{text}");
    }
}
