//! Explanations in English: short, so that they fit behind the name of a node.

use std::path::Path;

use serde_json::Value as Json;

use super::{Because, Change, DefinitionChange, InputChange, Kind, Nearest, Upstream, Why};

/// Maximum number of changes that are listed; the rest are counted.
const MAX_LISTED: usize = 3;
/// Maximum length of a value, in characters.
const MAX_VALUE_CHARS: usize = 40;
/// How many digits of a digest are shown.
const DIGITS: usize = 8;

pub fn why(why: &Why) -> String {
    let Why { request, detail, nearest, changes, elsewhere, .. } = why;
    if let Some(detail) = detail {
        return detail.clone();
    }
    let project = request.as_ref().map_or("", |request| &request.project);
    let elsewhere = elsewhere.as_ref().map(|other| held_elsewhere(other, project));
    match why.kind {
        Kind::First | Kind::Aged | Kind::Unusable | Kind::Waiting => elsewhere.unwrap_or_else(|| {
            let task = request.as_ref().map_or("this task", |request| &request.task);
            format!("no earlier result of {task} is stored")
        }),
        Kind::Changed => {
            let is_own = |nearest: &Nearest| request.as_ref().is_none_or(|by| by.node == nearest.node);
            let mut text = match nearest.as_ref().filter(|nearest| !is_own(nearest)) {
                Some(Nearest { node, .. }) => {
                    format!("no earlier result for this node; closest is from {node}: {}", all(changes))
                }
                None => all(changes),
            };
            if let Some(other) = elsewhere {
                text.push_str(&format!("; {other}"));
            }
            text
        }
    }
}

fn held_elsewhere(other: &Nearest, project: &str) -> String {
    let Nearest { project: theirs, domain, run, node, .. } = other;
    match theirs == project {
        true => format!("the same result exists in domain {domain} (run {run}, node {node})"),
        false => {
            format!("the same result exists in project {theirs}, domain {domain} (run {run}, node {node})")
        }
    }
}

fn all(changes: &[Change]) -> String {
    let mut parts: Vec<String> = changes.iter().take(MAX_LISTED).map(change).collect();
    if changes.len() > MAX_LISTED {
        parts.push(format!("and {} more", changes.len() - MAX_LISTED));
    }
    parts.join("; ")
}

pub fn change(change: &Change) -> String {
    match change {
        Change::Project { was, now } => format!("project {was} -> {now}"),
        Change::Domain { was, now } => format!("domain {was} -> {now}"),
        Change::Task { was, now } => format!("task {was} -> {now}"),
        Change::CacheVersion { was, now } => format!("cache_version {was} -> {now}"),
        Change::Definition(part) => definition(part),
        Change::Input(input_change) => input(input_change),
        Change::InputType { name, was, now } => types("input", name, was.as_deref(), now.as_deref()),
        Change::OutputType { name, was, now } => types("output", name, was.as_deref(), now.as_deref()),
        Change::Ignored { name, now: true } => format!("input {name} is ignored now"),
        Change::Ignored { name, now: false } => format!("input {name} is no longer ignored"),
        Change::Unrecorded => "something that was not recorded then".into(),
    }
}

fn types(side: &str, name: &str, was: Option<&str>, now: Option<&str>) -> String {
    match (was, now) {
        (None, _) => format!("{side} added: {name}"),
        (_, None) => format!("{side} removed: {name}"),
        (Some(was), Some(now)) => format!("{side} {name}: type {was} -> {now}"),
    }
}

fn definition(part: &DefinitionChange) -> String {
    let DefinitionChange { name, was, now, .. } = part;
    let what = match name.split_once('.') {
        Some(("env" | "cache_env", variable)) => format!("env {variable}"),
        Some(("outputs", output)) => format!("where output {output} is taken from"),
        _ if name == "run" => "command".into(),
        _ => name.to_owned(),
    };
    match (was, now) {
        (None, _) => format!("{what} added"),
        (_, None) => format!("{what} removed"),
        // Commands have no room here, and what a source holds is a digest.
        (Some(_), Some(_))
            if ["run", "argv", "args", "shell"].contains(&&**name) || name.starts_with("source ") =>
        {
            format!("{what} changed")
        }
        (Some(was), Some(now)) => format!("{what} {} -> {}", shown(was), shown(now)),
    }
}

/// Text as a part of a sentence.
fn shown(text: &str) -> String {
    match text {
        "" => "\"\"".into(),
        text if text.len() > MAX_VALUE_CHARS || text.contains(char::is_whitespace) => quoted(text),
        text => text.into(),
    }
}

fn quoted(text: &str) -> String {
    cut(&Json::from(text).to_string())
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_VALUE_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.into(),
    }
}

fn input(change: &InputChange) -> String {
    let InputChange { name, at, was, now, lines, from } = change;
    let mut text = match (file(was), file(now)) {
        (Some(was), Some(now)) => format!("input {name}{at}: {}", files(&was, &now, *lines)),
        _ => match (was, now) {
            (Json::Array(was), Json::Array(now)) => format!("input {name}{at}: {}", lists(was, now)),
            _ => format!("input {name}{at}: {} -> {}", value(was), value(now)),
        },
    };
    if let Some(from) = from {
        text.push_str(&format!(", {}", upstream(from)));
    }
    text
}

pub fn upstream(from: &Upstream) -> String {
    let way: String = from.via.iter().map(|node| format!("from {node}, ")).collect();
    let node = &from.node;
    let why = match from.because {
        Because::Changed => format!("which re-ran because {}", all(&from.changes)),
        Because::NotCached => "which is not cached".into(),
        Because::RanAgain => "which ran again and came to another result".into(),
        Because::Unknown => return format!("{way}from {node}"),
    };
    format!("{way}from {node}, {why}")
}

/// A file or directory in a record.
struct File<'j> {
    /// The user's own path, if it is one; else the name.
    path: &'j str,
    name: &'j str,
    digest: &'j str,
    executable: bool,
}

fn file(json: &Json) -> Option<File<'_>> {
    let text = |key: &str| json.get(key).and_then(Json::as_str);
    let name = text("name")?;
    let digest = text("digest").filter(|digest| digest.len() == 64)?;
    let executable = json.get("executable").is_some_and(|bit| bit == true);
    Some(File { path: text("origin").unwrap_or(name), name, digest, executable })
}

fn files(was: &File, now: &File, lines: Option<u64>) -> String {
    let path = shorter(now.path);
    if was.digest == now.digest {
        return match was.name == now.name {
            true if now.executable => format!("{path} became executable"),
            true => format!("{path} is no longer executable"),
            false => format!("{} is called {} now", was.name, now.name),
        };
    }
    let digests = format!("{}.. -> {}..", &was.digest[..DIGITS], &now.digest[..DIGITS]);
    let lines = match lines {
        Some(1) => ", 1 line".into(),
        Some(n) => format!(", {n} lines"),
        None => String::new(),
    };
    match was.name == now.name {
        true => format!("{path} changed ({digests}{lines})"),
        false => format!("{} -> {path} ({digests}{lines})", was.name),
    }
}

/// Lists that differ in more than one element.
fn lists(was: &[Json], now: &[Json]) -> String {
    if was.len() != now.len() {
        return format!("{} -> {} elements", was.len(), now.len());
    }
    let differing = was.iter().zip(now).filter(|(was, now)| was != now).count();
    format!("{differing} of {} elements changed", now.len())
}

/// A path as seen from the current folder, if it is below that.
fn shorter(path: &str) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    Path::new(path).strip_prefix(here).map_or_else(|_| path.to_owned(), |below| below.display().to_string())
}

fn value(json: &Json) -> String {
    match json {
        Json::Null => "nothing".into(),
        json => match file(json) {
            Some(file) => format!("{} ({}..)", shorter(file.path), &file.digest[..DIGITS]),
            None => cut(&json.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Request;
    use super::*;
    use crate::core::digest::Digest;

    fn record(name: &str, content: &str) -> Json {
        json!({"name": name, "digest": Digest::of(content).hex(), "size": content.len()})
    }

    fn input_change(name: &str, was: Json, now: Json) -> InputChange {
        InputChange { name: name.into(), at: String::new(), was, now, lines: None, from: None }
    }

    fn part(name: &str, was: Option<&str>, now: Option<&str>) -> Change {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Change::Definition(DefinitionChange { name: name.into(), was: own(was), now: own(now), diff: None })
    }

    #[test]
    fn each_part_has_its_words() {
        let text = |s: &str| s.to_owned();
        let some = |s: &str| Some(s.to_owned());
        let file = |was, now, lines| Change::Input(InputChange { lines, ..input_change("rows", was, now) });
        let executable = |mut record: Json| {
            record["executable"] = true.into();
            record
        };
        for (change, expected) in [
            (Change::CacheVersion { was: text("1.0"), now: text("1.1") }, "cache_version 1.0 -> 1.1"),
            (Change::Domain { was: text("a"), now: text("b") }, "domain a -> b"),
            (Change::Input(input_change("n", json!(3), json!(5))), "input n: 3 -> 5"),
            (Change::Input(input_change("n", json!("a"), Json::Null)), "input n: \"a\" -> nothing"),
            (
                file(record("a.csv", "x"), record("a.csv", "y"), Some(12)),
                "input rows: a.csv changed (2d711642.. -> a1fce436.., 12 lines)",
            ),
            (file(record("a.csv", "x"), record("b.csv", "x"), None), "input rows: a.csv is called b.csv now"),
            (
                file(record("a.sh", "x"), executable(record("a.sh", "x")), None),
                "input rows: a.sh became executable",
            ),
            (Change::OutputType { name: text("score"), was: None, now: some("int") }, "output added: score"),
            (Change::InputType { name: text("x"), was: some("int"), now: None }, "input removed: x"),
            (
                Change::InputType { name: text("x"), was: some("int"), now: some("float") },
                "input x: type int -> float",
            ),
            (part("run", Some("a"), Some("b")), "command changed"),
            (part("env.TZ", Some("UTC"), Some("")), "env TZ UTC -> \"\""),
            (part("env.TZ", None, Some("UTC")), "env TZ added"),
            (part("source a b.py", Some("1"), Some("2")), "source a b.py changed"),
            (part("outputs.y", Some("stdout"), None), "where output y is taken from removed"),
            (Change::Ignored { name: text("x"), now: true }, "input x is ignored now"),
        ] {
            assert_eq!(super::change(&change), expected);
        }
    }

    #[test]
    fn the_root_of_a_chain_is_named() {
        let root = Change::Input(input_change("raw", record("raw.csv", "x"), record("raw.csv", "y")));
        let train = Upstream {
            node: "clean".into(),
            via: vec!["train".into()],
            because: Because::Changed,
            changes: vec![root],
        };
        assert_eq!(
            train.text(),
            "from train, from clean, which re-ran because input raw: raw.csv changed (2d711642.. -> a1fce436..)"
        );
    }

    #[test]
    fn many_changes_are_counted() {
        let changes: Vec<Change> =
            (0..5).map(|i| Change::Input(input_change(&format!("i{i}"), json!(0), json!(i + 1)))).collect();
        let nearest = Nearest {
            key: Digest::of("k"),
            project: "p".into(),
            domain: "prod".into(),
            run: "r".into(),
            node: "n".into(),
            time: jiff::Timestamp::UNIX_EPOCH,
        };
        let by = |node: &str| Request { task: "w.t".into(), node: node.into(), project: "p".into() };
        let why = Why::changed(by("n"), nearest.clone(), changes.clone(), Some(nearest.clone()));
        assert_eq!(
            why.text(),
            "input i0: 0 -> 1; input i1: 0 -> 2; input i2: 0 -> 3; and 2 more; \
             the same result exists in domain prod (run r, node n)"
        );
        let of_another = Why::changed(by("each[3]"), nearest, changes[..1].to_vec(), None);
        assert_eq!(of_another.text(), "no earlier result for this node; closest is from n: input i0: 0 -> 1");
        assert_eq!(Why::first(by("n"), None).text(), "no earlier result of w.t is stored");
    }

    #[test]
    fn the_text_is_in_json_only_where_it_is_shown() {
        let why = Why::plain(Kind::Aged, "it is 3 days old".into());
        let stored = serde_json::to_value(&why).unwrap();
        assert_eq!(stored, json!({"kind": "aged", "detail": "it is 3 days old"}));
        assert_eq!(serde_json::from_value::<Why>(stored).unwrap(), why);
        assert_eq!(serde_json::to_value(why.with_text()).unwrap()["text"], "it is 3 days old");
        let older = json!({"kind": "first", "text": "as an older version said it"});
        assert_eq!(serde_json::from_value::<Why>(older).unwrap().text(), "as an older version said it");
    }
}
