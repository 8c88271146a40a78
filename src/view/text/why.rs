//! The answer to `why` as a person reads it: the verdict, what differs, and the parts of the key.

use jiff::Zoned;
use serde_json::Value as Json;

use crate::core::digest::Digest;
use crate::core::event::ResultSource;
use crate::core::why::difference::{DifferingItem, ItemChanges, ItemKind, around, in_sight};
use crate::core::why::{Change, MissKind, Nearest, Upstream, Why};
use crate::view::text::style::{BAD, CACHED, CAUTION, Cell, FAINT, GOOD, Ink, PLAIN, STRONG, columns};
use crate::view::text::value::by_content;
use crate::view::text::{age, cut, duration, inert, width};

/// What is known of one node or element.
pub struct WhyAnswer {
    pub label: String,
    /// `hit`, `miss`...
    pub cache: &'static str,
    pub runs: bool,
    pub reason: String,
    pub why: Option<Why>,
    /// Of a hit, with what it took then in milliseconds.
    pub source: Option<(ResultSource, u64)>,
    pub warning: Option<String>,
    /// The shared cache that may have the result, and was not asked.
    pub unasked: Option<String>,
    pub key: Option<Digest>,
    /// What the key is made of, by name.
    pub parts: Vec<(String, Json)>,
}

/// The columns of a terminal that the lines keep to.
const WIDTH: usize = 80;
/// Number of digits of a key that are shown.
const DIGITS: usize = 12;
/// Maximum lines of a script's difference that are shown.
const DIFF_LINES: usize = 24;

/// The answer in lines, each ending with a newline.
pub fn render(answer: &WhyAnswer, ink: Ink, now: &Zoned) -> String {
    let style = match answer.cache {
        "hit" => CACHED,
        "miss" => CAUTION,
        _ => PLAIN,
    };
    let mut text =
        format!("{}  {}\n", ink.paint(STRONG, &answer.label), ink.paint(style.bold(), answer.cache));
    match (&answer.why, &answer.source) {
        (Some(why), _) => reasons(answer, why, ink, now, &mut text),
        (None, Some((source, ms))) => {
            let age = age(source.time, now);
            let took = duration(*ms);
            text.push_str(&format!(
                "  from run {}, node {}, {age}; it took {took} then\n",
                source.run, source.node
            ));
            if let Some(note) = source.provenance.note() {
                text.push_str(&format!("  {}\n", inert(&note)));
            }
        }
        (None, None) => text.push_str(&format!("  {}\n", inert(&answer.reason))),
    }
    if let Some(url) = &answer.unasked {
        let words = format!("the shared cache {} was not asked: a run may have it from there", inert(url));
        text.push_str(&format!("  {}\n", ink.paint(FAINT, words)));
    }
    if let Some(warning) = &answer.warning {
        text.push_str(&format!("  {} {}\n", ink.paint(CAUTION, "!"), inert(warning)));
    }
    if !answer.parts.is_empty() {
        let key = answer.key.map_or_else(|| "not known yet".into(), |key| key.hex()[..DIGITS].to_owned());
        text.push_str(&format!("\n  key {}\n", ink.paint(FAINT, key)));
        let widest = answer.parts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let room = WIDTH.saturating_sub(widest + 6);
        let rows: Vec<Vec<Cell>> = answer
            .parts
            .iter()
            .map(|(name, value)| vec![part(name, answer.why.as_ref()), Cell::new(PLAIN, shown(value, room))])
            .collect();
        text.push_str(&columns(&rows, ink));
    }
    text
}

/// The name of a part, marked if it is one that differs.
fn part(name: &str, why: Option<&Why>) -> Cell {
    let differs = why.is_some_and(|why| why.changes.iter().any(|change| is_of(change, name)));
    match differs {
        true => Cell::new(CAUTION, format!("  * {name}")),
        false => Cell::new(FAINT, format!("    {name}")),
    }
}

fn is_of(change: &Change, part: &str) -> bool {
    match change {
        Change::Project { .. } => part == "project",
        Change::Domain { .. } => part == "domain",
        Change::Task { .. } => part == "task",
        Change::CacheVersion { .. } | Change::Definition(_) => part == "cache_version",
        Change::Input(input) => part.strip_prefix("input ") == Some(&input.name),
        Change::InputType { .. } => part == "input types",
        Change::OutputType { .. } => part == "output types",
        Change::Ignored { .. } => part == "not in the key",
        Change::Unrecorded => false,
    }
}

/// A value in one line of at most `room` columns; text stands without its quotes.
fn shown(value: &Json, room: usize) -> String {
    match value {
        Json::String(text) => cut(&inert(text), room).into_owned(),
        value => cut(&by_content(value, room), room).into_owned(),
    }
}

fn reasons(answer: &WhyAnswer, why: &Why, ink: Ink, now: &Zoned, text: &mut String) {
    if why.changes.is_empty() && why.elsewhere.is_none() || why.kind == MissKind::Waiting {
        text.push_str(&format!("  {}\n", inert(&why.text())));
    }
    let own = why.nearest.as_ref().is_none_or(|nearest| nearest.node == answer.label);
    if why.kind == MissKind::Changed && !own {
        text.push_str("  no earlier result for this node; the closest differs:\n");
    }
    if why.kind == MissKind::Waiting && !why.changes.is_empty() {
        text.push_str("  and the outputs of that node are not known yet; also different:\n");
    }
    for change in &why.changes {
        change_lines(change, 1, ink, text);
    }
    if let Some(hint) = why.alias_hint() {
        text.push_str(&format!("  {}\n", inert(&hint)));
    }
    let told = |nearest: &Nearest| {
        let Nearest { run, node, time, key, .. } = nearest;
        format!("run {run}, node {node}, {} (key {})", age(*time, now), &key.hex()[..DIGITS])
    };
    if let Some(nearest) = why.nearest.as_ref().filter(|_| !why.changes.is_empty()) {
        text.push_str(&format!("  {}\n", ink.paint(FAINT, format!("nearest: {}", told(nearest)))));
    }
    if let Some(other) = &why.elsewhere {
        let scope = format!("project {}, domain {}", other.project, other.domain);
        let held = format!("the same result exists in {scope}: {}", told(other));
        text.push_str(&format!("  {}\n", ink.paint(GOOD, held)));
    }
}

/// What of a key differs, without colours, for pages; empty if nothing is known of it.
pub fn details_plain(why: &Why) -> String {
    details(why, 0, Ink(false))
}

/// The details of a miss that its one line does not hold: elements, lines, and nodes upstream with theirs. Empty if
/// there are none. Each line is indented by `depth` steps and ends with a newline.
pub(in crate::view) fn details(why: &Why, depth: usize, ink: Ink) -> String {
    let mut text = String::new();
    for change in &why.changes {
        let mut lines = String::new();
        change_lines(change, depth, ink, &mut lines);
        // The first line is the one that is there already.
        if has_details(change) {
            text.push_str(&lines);
        }
    }
    text
}

/// One change in full, its lines indented by `depth` steps.
pub(in crate::view) fn change_text(change: &Change, depth: usize, ink: Ink) -> String {
    let mut text = String::new();
    change_lines(change, depth, ink, &mut text);
    text
}

fn has_details(change: &Change) -> bool {
    match change {
        Change::Input(input) => {
            let items = input.items.as_ref().is_some_and(|items| items.items.len() > 1);
            items
                || input.diff.is_some()
                || input.from.as_ref().is_some_and(|from| from.changes.iter().any(has_details))
        }
        Change::Definition(part) => part.diff.is_some(),
        _ => false,
    }
}

/// One change, and below it its elements and lines, and what it comes from.
fn change_lines(change: &Change, depth: usize, ink: Ink, text: &mut String) {
    let indent = "  ".repeat(depth);
    text.push_str(&format!("{indent}{}\n", inert(&change.headline())));
    match change {
        Change::Input(input) => {
            if let Some(items) = input.items.as_ref().filter(|items| items.items.len() > 1) {
                item_lines(items, &indent, ink, text);
            }
            if let Some(diff) = &input.diff {
                lines_of(diff, &indent, ink, text);
            }
            if let Some(from) = &input.from {
                upstream(from, depth + 1, ink, text);
            }
        }
        Change::Definition(part) => {
            if let Some(diff) = &part.diff {
                lines_of(diff, &indent, ink, text);
            }
        }
        _ => {}
    }
}

fn item_lines(changes: &ItemChanges, indent: &str, ink: Ink, text: &mut String) {
    for DifferingItem { kind, name, was, now } in &changes.items {
        let room = WIDTH.saturating_sub(indent.len() + 2);
        let (mark, style) = match kind {
            ItemKind::Added => ("+", GOOD),
            ItemKind::Removed => ("-", BAD),
            ItemKind::Changed => ("~", CAUTION),
        };
        let values = match kind {
            _ if was.is_null() && now.is_null() => String::new(),
            ItemKind::Added => format!(" = {}", by_content(&nameless(now), room)),
            ItemKind::Removed => format!(" = {}", by_content(&nameless(was), room)),
            ItemKind::Changed => {
                let each = room.saturating_sub(width(name) + "~ :  -> ".len() + 12) / 2;
                let (was, now) = (by_content(was, usize::MAX), by_content(now, usize::MAX));
                let fits = width(name) + width(&was) + width(&now) + 8 <= room;
                let (was, now) = if fits { (was, now) } else { around(&was, &now, each.max(8)) };
                format!(": {was} -> {now}")
            }
        };
        let line = inert(&format!("{mark} {name}{values}")).into_owned();
        text.push_str(&format!("{indent}  {}\n", ink.paint(style, cut(&line, room))));
    }
    let all = changes.added + changes.removed + changes.changed;
    let more = all.saturating_sub(changes.items.len() as u64);
    if more > 0 {
        text.push_str(&format!("{indent}  {}\n", ink.paint(FAINT, format!("... {more} more"))));
    }
}

/// An element of a folder without its name, which stands before it already.
fn nameless(value: &Json) -> Json {
    let mut value = value.clone();
    if let Json::Object(entry) = &mut value
        && entry.contains_key("digest")
    {
        entry.remove("name");
    }
    value
}

fn upstream(from: &Upstream, depth: usize, ink: Ink, text: &mut String) {
    let indent = "  ".repeat(depth);
    let headline = match from.changes.is_empty() {
        true => from.text(),
        false => {
            let way: String = from.via.iter().map(|node| format!("from {node}, ")).collect();
            format!("{way}from {}, which re-ran because", from.node)
        }
    };
    text.push_str(&format!("{indent}{}\n", inert(&headline)));
    for change in &from.changes {
        change_lines(change, depth + 1, ink, text);
    }
}

fn lines_of(diff: &str, indent: &str, ink: Ink, text: &mut String) {
    let room = WIDTH.saturating_sub(indent.len() + 2);
    let lines: Vec<_> = diff.lines().take(DIFF_LINES).map(inert).collect();
    for line in in_sight(&lines.iter().map(|line| &**line).collect::<Vec<_>>(), room) {
        let style = match line.as_bytes().first() {
            Some(b'+') => GOOD,
            Some(b'-') => BAD,
            Some(b'@') => FAINT,
            _ => PLAIN,
        };
        text.push_str(&format!("{indent}  {}\n", ink.paint(style, cut(&line, room))));
    }
    let more = diff.lines().count().saturating_sub(DIFF_LINES);
    if more > 0 {
        text.push_str(&format!("{indent}  {}\n", ink.paint(FAINT, format!("... {more} more lines"))));
    }
}
