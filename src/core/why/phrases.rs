//! Explanations in English: short, so that they fit behind the name of a node.

use std::path::Path;

use serde_json::Value as Json;

use super::difference::{ItemChanges, ItemKind, around};
use super::{Because, Change, DefinitionChange, InputChange, MissKind, Nearest, Upstream, Why};
use crate::core::counted::counted;

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
        MissKind::First | MissKind::Aged | MissKind::Unusable | MissKind::Waiting => elsewhere
            .unwrap_or_else(|| {
                let task = request.as_ref().map_or("this task", |request| &request.task);
                format!("no earlier result of {task} is stored")
            }),
        MissKind::Changed => {
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
    if let Some(hint) = alias_hint(changes) {
        return format!("{}; {hint}", change(&changes[0]));
    }
    let mut parts: Vec<String> = changes.iter().take(MAX_LISTED).map(change).collect();
    if changes.len() > MAX_LISTED {
        parts.push(format!("and {} more", changes.len() - MAX_LISTED));
    }
    parts.join("; ")
}

/// What keeps the results of a task that was renamed and is otherwise the same.
pub fn alias_hint(changes: &[Change]) -> Option<String> {
    let [Change::Task { was, .. }] = changes else { return None };
    Some(format!("cache_aliases = [\"{was}\"] in the task keeps its results"))
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
    let DefinitionChange { name, was, now, line, lines, .. } = part;
    let what = match name.split_once('.') {
        Some(("env" | "cache_env", variable)) => format!("env {variable}"),
        Some(("outputs", output)) => format!("where output {output} is taken from"),
        Some(("inputs", input)) => format!("how input {input} is passed"),
        _ if name == "run" => "command".into(),
        _ => name.to_owned(),
    };
    // A definition in Python: `helper in pipeline.py`.
    let is_text = name == "run" || name.starts_with("source ") || name.contains(" in ");
    match (was, now, line) {
        (None, ..) => format!("{what} added"),
        (_, None, _) => format!("{what} removed"),
        (Some(was), Some(now), Some(line)) => {
            let more = match lines.unwrap_or(1).saturating_sub(1) {
                0 => String::new(),
                1 => " and 1 more line".into(),
                n => format!(" and {n} more lines"),
            };
            format!("{what} changed: line {line} {}{more}", text_pair(was, now))
        }
        // A digest says nothing to a person.
        (Some(_), Some(_), None) if is_text => format!("{what} changed"),
        (Some(was), Some(now), None) if ["argv", "args", "shell"].contains(&&**name) => {
            let (was, now) = around(was, now, MAX_VALUE_CHARS);
            format!("{what} changed: {was} -> {now}")
        }
        (Some(was), Some(now), None) => {
            let (was, now) = around(was, now, MAX_VALUE_CHARS);
            format!("{what} {} -> {}", shown(&was), shown(&now))
        }
    }
}

/// A line before and now; empty where it was added or removed.
fn text_pair(was: &str, now: &str) -> String {
    let quoted = |text: &str| Json::from(text).to_string();
    match (was, now) {
        ("", now) => format!("added {}", quoted(&around(now, "", MAX_VALUE_CHARS).0)),
        (was, "") => format!("removed {}", quoted(&around(was, "", MAX_VALUE_CHARS).0)),
        (was, now) => {
            let (was, now) = around(was, now, MAX_VALUE_CHARS);
            format!("{} -> {}", quoted(&was), quoted(&now))
        }
    }
}

/// Text as a part of a sentence.
fn shown(text: &str) -> String {
    match text.is_empty() || text.contains(char::is_whitespace) {
        true => Json::from(text).to_string(),
        false => text.into(),
    }
}

fn input(change: &InputChange) -> String {
    let InputChange { name, at, was, now, lines, items, from, .. } = change;
    let differs = match (file(was), file(now)) {
        (Some(was), Some(now)) => files(&was, &now, *lines, items.as_ref()),
        _ => match items {
            Some(items) => item_changes(items),
            None => pair(was, now),
        },
    };
    let mut text = format!("input {name}{at}: {differs}");
    if let (None, Some(lines)) = (file(was), lines) {
        text = format!("input {name}{at} changed ({})", counted(*lines, "line"));
    }
    if let Some(from) = from {
        text.push_str(&format!(", {}", upstream(from)));
    }
    text
}

/// Two values, long ones cut around what differs.
fn pair(was: &Json, now: &Json) -> String {
    let text = |json: &Json| match json {
        Json::Null => "nothing".into(),
        json => match file(json) {
            Some(file) => format!("{} ({}..)", shorter(file.path), &file.digest[..DIGITS]),
            None => json.to_string(),
        },
    };
    let (was, now) = around(&text(was), &text(now), MAX_VALUE_CHARS);
    format!("{was} -> {now}")
}

/// Which elements differ: `2 added (c.csv, d.csv), 1 removed (a.csv)`.
pub fn item_changes(changes: &ItemChanges) -> String {
    let ItemChanges { added, removed, changed, reordered, items } = changes;
    let of = |kind: ItemKind, n: u64, word: &str| {
        let all = items.iter().filter(|item| item.kind == kind);
        let mut names: Vec<String> = all
            .take(MAX_LISTED)
            .map(|item| match kind {
                ItemKind::Changed if !(item.was.is_null() && item.now.is_null()) => {
                    format!("{}: {}", item.name, pair(&item.was, &item.now))
                }
                _ => around(&item.name, "", MAX_VALUE_CHARS).0,
            })
            .collect();
        if n > names.len() as u64 {
            names.push("...".into());
        }
        (n > 0).then(|| format!("{n} {word} ({})", names.join(", ")))
    };
    let parts = [
        of(ItemKind::Added, *added, "added"),
        of(ItemKind::Removed, *removed, "removed"),
        of(ItemKind::Changed, *changed, "changed"),
        reordered.then(|| "the same elements in another order".into()),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
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

fn files(was: &File, now: &File, lines: Option<u64>, entries: Option<&ItemChanges>) -> String {
    let path = shorter(now.path);
    if was.digest == now.digest {
        return match was.name == now.name {
            true if now.executable => format!("{path} became executable"),
            true => format!("{path} is no longer executable"),
            false => format!("{} is called {} now", was.name, now.name),
        };
    }
    let lines = lines.map_or_else(String::new, |n| format!(", {}", counted(n, "line")));
    let digests = format!("({}.. -> {}..{lines})", &was.digest[..DIGITS], &now.digest[..DIGITS]);
    let path = if was.name == now.name { path } else { format!("{} -> {path}", was.name) };
    match entries {
        Some(entries) => format!("{path}: {}{}", item_changes(entries), lines.replacen(", ", "; ", 1)),
        None if was.name == now.name => format!("{path} changed {digests}"),
        None => format!("{path} {digests}"),
    }
}

/// A path as seen from the current folder, if it is below that.
fn shorter(path: &str) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    Path::new(path).strip_prefix(here).map_or_else(|_| path.to_owned(), |below| below.display().to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::LookupRequest;
    use super::super::difference::items;
    use super::*;
    use crate::core::digest::Digest;

    fn record(name: &str, content: &str) -> Json {
        json!({"name": name, "digest": Digest::of(content).hex(), "size": content.len()})
    }

    fn input_change(name: &str, was: Json, now: Json) -> InputChange {
        let items = items(&was, &now);
        InputChange {
            name: name.into(),
            at: String::new(),
            was,
            now,
            lines: None,
            items,
            diff: None,
            from: None,
        }
    }

    fn part(name: &str, was: Option<&str>, now: Option<&str>) -> Change {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Change::Definition(DefinitionChange {
            name: name.into(),
            was: own(was),
            now: own(now),
            line: None,
            lines: None,
            diff: None,
        })
    }

    fn in_line(change: Change, line: u64, lines: u64) -> Change {
        let Change::Definition(part) = change else { panic!("{change:?}") };
        Change::Definition(DefinitionChange { line: Some(line), lines: Some(lines), ..part })
    }

    #[test]
    fn a_long_value_is_cut_around_what_differs() {
        let long = |word: &str| json!(format!("{}{word}", "same ".repeat(40)));
        assert_eq!(
            change(&Change::Input(input_change("s", long("old"), long("new")))),
            "input s: ...e same same old\" -> ...e same same new\""
        );
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
            (
                in_line(part("run", Some("a"), Some("b c")), 3, 2),
                "command changed: line 3 \"a\" -> \"b c\" and 1 more line",
            ),
            (
                in_line(part("source a.py", Some(""), Some("x")), 9, 1),
                "source a.py changed: line 9 added \"x\"",
            ),
            (part("argv", Some("[\"a\"]"), Some("[\"b\"]")), "argv changed: [\"a\"] -> [\"b\"]"),
            (
                Change::Input(input_change("l", json!([1, 2]), json!([2, 3, 4]))),
                "input l: 2 added (3, 4), 1 removed (1)",
            ),
            (
                Change::Input(input_change(
                    "m",
                    json!({"a": {"b": 1, "c": 2}}),
                    json!({"a": {"b": 2, "d": 1}}),
                )),
                "input m: 1 added (a.d), 1 removed (a.c), 1 changed (a.b: 1 -> 2)",
            ),
            (
                Change::Input(input_change("l", json!([1, 2]), json!([2, 1]))),
                "input l: the same elements in another order",
            ),
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
            run: "k3v9x2qm".into(),
            node: "n".into(),
            time: jiff::Timestamp::UNIX_EPOCH,
        };
        let by = |node: &str| LookupRequest { task: "w.t".into(), node: node.into(), project: "p".into() };
        let why = Why::changed(by("n"), nearest.clone(), changes.clone(), Some(nearest.clone()));
        assert_eq!(
            why.text(),
            "input i0: 0 -> 1; input i1: 0 -> 2; input i2: 0 -> 3; and 2 more; \
             the same result exists in domain prod (run k3v9x2qm, node n)"
        );
        let of_another = Why::changed(by("each[3]"), nearest, changes[..1].to_vec(), None);
        assert_eq!(of_another.text(), "no earlier result for this node; closest is from n: input i0: 0 -> 1");
        assert_eq!(Why::first(by("n"), None).text(), "no earlier result of w.t is stored");
    }

    #[test]
    fn the_text_is_in_json_only_where_it_is_shown() {
        let why = Why::plain(MissKind::Aged, "it is 3 days old".into());
        let stored = serde_json::to_value(&why).unwrap();
        assert_eq!(stored, json!({"kind": "aged", "detail": "it is 3 days old"}));
        assert_eq!(serde_json::from_value::<Why>(stored).unwrap(), why);
        assert_eq!(serde_json::to_value(why.with_text()).unwrap()["text"], "it is 3 days old");
        let older = json!({"kind": "first", "text": "as an older version said it"});
        assert_eq!(serde_json::from_value::<Why>(older).unwrap().text(), "as an older version said it");
    }
}
