//! What changed between two runs, as a person reads it: first causes before what followed from them.

use jiff::Zoned;
use serde_json::Value as Json;

use crate::core::event::{CacheStatus, Status};
use crate::core::why::difference;
use crate::view::model::run_diff::{DiffRole, Folded, KeyChange, NamedPair, NodeDiff, Pair, RunDiff};
use crate::view::model::run_row::RunRow;
use crate::view::text::commands::logs_command;
use crate::view::text::phrases::{counts, mark};
use crate::view::text::style::{BAD, CAUTION, Cell, FAINT, GOOD, Ink, PLAIN, STRONG, columns};
use crate::view::text::value::by_content;
use crate::view::text::why::change_text;
use crate::view::text::{age, count, cut, duration, inert, width};

/// Maximum nodes of each group shown one by one.
const SHOWN: usize = 30;
/// Maximum values shown of one node.
const SHOWN_VALUES: usize = 6;
/// The columns of a line.
const LINE: usize = 80;
/// How much of two long texts is shown before they part.
const LEAD: usize = 8;

impl RunDiff {
    /// The differences for a person, ages as seen from `now`.
    pub fn render(&self, color: bool, now: &Zoned) -> String {
        let ink = Ink(color);
        let mut text = self.heads(ink, now);
        self.values(&mut text, "asked for", &self.asked, ink);
        let heading = if self.linked { "changed first" } else { "changed" };
        self.group(&mut text, heading, DiffRole::Cause, ink);
        self.group(&mut text, "followed from that", DiffRole::Consequence, ink);
        self.asides(&mut text, ink);
        self.values(&mut text, "outputs", &self.outputs, ink);
        if self.is_empty() {
            let nodes = match self.same {
                1 => "1 node has".to_owned(),
                same => format!("{} nodes have", count(same)),
            };
            text.push_str(&format!("\nnothing else differs: {nodes} the same inputs and results\n"));
        } else if self.same > 0 {
            text.push_str(&format!(
                "\n{}\n",
                ink.paint(
                    FAINT,
                    match self.same {
                        1 => "1 more is the same".to_owned(),
                        same => format!("{} more are the same", count(same)),
                    }
                )
            ));
        }
        text
    }

    fn heads(&self, ink: Ink, now: &Zoned) -> String {
        let (before, after) = (&self.before, &self.after);
        let scope = |head: &RunRow| format!("{}  {}/{}", head.workflow, head.project, head.domain);
        let same = scope(before) == scope(after);
        let row = |name: &str, head: &RunRow| {
            let (mark, style) = match &*head.status {
                "succeeded" => mark(Status::Succeeded, None),
                "failed" => mark(Status::Failed, None),
                "cancelled" => mark(Status::Cancelled, None),
                "detached" => mark(Status::Detached, None),
                _ => ("…", PLAIN),
            };
            let took = head.duration_ms.map_or_else(String::new, |ms| format!(" in {}", duration(ms)));
            let last = match same {
                true => counts(&head.counts, 0, head.status == Status::Succeeded.name()),
                false => scope(head),
            };
            vec![
                Cell::new(FAINT, name),
                Cell::new(STRONG, &*head.id),
                Cell::new(style, format!("{mark} {}{took}", head.status)),
                Cell::new(PLAIN, age(head.started, now)),
                Cell::new(FAINT, inert(&last)),
            ]
        };
        let title = if same { format!("{}\n", scope(after)) } else { String::new() };
        title + &columns(&[row("before", before), row("after", after)], ink)
    }

    fn values(&self, text: &mut String, heading: &str, changes: &[NamedPair<Json>], ink: Ink) {
        if !changes.is_empty() {
            text.push_str(&format!("\n{}\n", ink.paint(STRONG, heading)));
            push_changes(text, "  ", "", changes, SHOWN, ink);
        }
    }

    fn group(&self, text: &mut String, heading: &str, role: DiffRole, ink: Ink) {
        let nodes: Vec<_> = self.nodes.iter().filter(|node| node.role == role).collect();
        // Changes of elements are shown once for all of them, with the first of each kind as an example.
        let mut left = SHOWN;
        let mut told: Vec<&str> = Vec::new();
        let mut body = String::new();
        let mut more = 0;
        for node in &nodes {
            if let Some(folded) = self.folded_of(node) {
                if !told.contains(&&*folded.node) {
                    told.push(&folded.node);
                    body.push_str(&self.folded(folded, ink));
                    body.push_str(&node_text(node, &self.after.id, "    ", ink));
                }
            } else if left > 0 {
                left -= 1;
                body.push_str(&node_text(node, &self.after.id, "  ", ink));
            } else {
                more += 1;
            }
        }
        if role == DiffRole::Cause {
            // Elements that came or went change their node even if all others are the same.
            for folded in self.folded.iter().filter(|folded| folded.differ == 0) {
                body.push_str(&self.folded(folded, ink));
            }
        }
        if body.is_empty() {
            return;
        }
        text.push_str(&format!("\n{}\n{body}", ink.paint(STRONG, heading)));
        if more > 0 {
            text.push_str(&ink.paint(FAINT, format!("  {} more; --json has them all", count(more))));
            text.push('\n');
        }
    }

    /// Of an element, how many of its node differ.
    fn folded_of(&self, node: &NodeDiff) -> Option<&Folded> {
        let is_element = node.path().is_in_element();
        let name = node.path().family();
        self.folded.iter().find(|folded| {
            is_element && (folded.node == name || name.starts_with(&format!("{}/", folded.node)))
        })
    }

    /// `~ each  3 of 200 elements differ`
    fn folded(&self, folded: &Folded, ink: Ink) -> String {
        let Folded { node, before, after, differ } = folded;
        let of = match before == after {
            true => format!("{} elements", count(*after)),
            false => format!("elements: {} → {}", count(*before), count(*after)),
        };
        let words = match differ {
            0 => of,
            differ if before == after => format!("{} of {of} differ", count(*differ)),
            differ => format!("{of}, {} differ", count(*differ)),
        };
        format!("  {} {}  {words}\n", ink.paint(CAUTION, "~"), ink.paint(STRONG, node))
    }

    /// What came from the cache in one run only, and what took another time.
    fn asides(&self, text: &mut String, ink: Ink) {
        let asides = || self.nodes.iter().filter(|node| node.role == DiffRole::Aside);
        let hit = |pair: &Option<Pair<Option<CacheStatus>>>, after: bool| {
            pair.as_ref().is_some_and(|pair| {
                let (now, then) = if after { (pair.after, pair.before) } else { (pair.before, pair.after) };
                now == Some(CacheStatus::Hit) && then != now
            })
        };
        let mut lines = Vec::new();
        for (after, words) in [(true, "now from the cache"), (false, "executed again, with the same result")]
        {
            let n = asides().filter(|node| hit(&node.cache, after)).count();
            if n > 0 {
                lines.push(format!("  {} {words}\n", count(n as u64)));
            }
        }
        for node in asides().filter(|node| node.duration_ms.is_some()).take(SHOWN) {
            lines.extend(time_line(node).map(|time| format!("  {}  {time}\n", node.path())));
        }
        if !lines.is_empty() {
            text.push_str(&format!("\n{}\n{}", ink.paint(STRONG, "same results"), lines.concat()));
        }
    }
}

fn time_line(node: &NodeDiff) -> Option<String> {
    node.duration_ms.as_ref().map(|Pair { before, after }| {
        let words = if after > before { "slower" } else { "faster" };
        format!("{words}: {} → {}", duration(*before), duration(*after))
    })
}

/// A node and below it what differs, each line behind `indent`.
fn node_text(node: &NodeDiff, run: &str, indent: &str, ink: Ink) -> String {
    let label = node.path();
    let status = node.status.as_ref().map(|pair| (pair.before, pair.after));
    let (sign, style, mut words) = match status {
        Some((None, Some(after))) => ("+", GOOD, format!("new, {after}")),
        Some((Some(before), None)) => ("-", BAD, format!("gone, was {before}")),
        Some((Some(before), Some(after))) => {
            let (mark, style) = mark(after, None);
            (mark, style, format!("{after}, was {before}"))
        }
        Some((None, None)) | None => ("~", CAUTION, String::new()),
    };
    if !node.because.is_empty() {
        let names: Vec<_> = node.because.iter().take(3).map(String::as_str).collect();
        let more = if node.because.len() > 3 { ", ..." } else { "" };
        let separator = if words.is_empty() { "" } else { "; " };
        words.push_str(&format!("{separator}because of {}{more}", names.join(", ")));
    }
    let mut text = format!("{indent}{} {}  {words}", ink.paint(style, sign), ink.paint(STRONG, label));
    text.truncate(text.trim_end().len());
    text.push('\n');
    let below = format!("{indent}    ");
    let mut line =
        |words: String| text.push_str(&format!("{below}{}\n", cut(&inert(&words), LINE - below.len())));
    if let Some(Pair { before, after }) = &node.error {
        match (before, after) {
            (Some(before), Some(after)) => line(format!("{before} → {after}")),
            (_, Some(after)) => line(after.clone()),
            (Some(_), None) | (None, None) => {}
        }
    }
    if !node.definition.is_empty() {
        line(format!("edited: {}", node.definition.join(", ")));
    }
    let unexplained = node.inputs.is_empty() && node.definition.is_empty() && node.changes.is_empty();
    let rekeyed = node.key.as_ref().is_some_and(|key| key.before.is_some() && key.after.is_some());
    if rekeyed && unexplained {
        line("same inputs, but another cache key; what differs is not on record any more".into());
    } else if status.is_none() && unexplained && !node.outputs.is_empty() && node.role == DiffRole::Cause {
        line("same inputs, other outputs".into());
    }
    for KeyChange { change, .. } in &node.changes {
        text.push_str(&change_text(change, below.len() / 2, ink));
    }
    let mut line =
        |words: String| text.push_str(&format!("{below}{}\n", cut(&inert(&words), LINE - below.len())));
    time_line(node).into_iter().for_each(&mut line);
    push_changes(&mut text, &below, "inputs.", &node.inputs, SHOWN_VALUES, ink);
    push_changes(&mut text, &below, "outputs.", &node.outputs, SHOWN_VALUES, ink);
    if let (Some(Status::Failed), Some(_)) = (status.and_then(|pair| pair.1), &node.error) {
        text.push_str(&format!("{below}{}\n", ink.paint(FAINT, logs_command(run, &node.node, node.index))));
    }
    text
}

fn push_changes(
    text: &mut String,
    indent: &str,
    prefix: &str,
    changes: &[NamedPair<Json>],
    most: usize,
    ink: Ink,
) {
    let names = changes.iter().take(most).map(|change| width(&change.name));
    let widest = prefix.len() + names.max().unwrap_or(0);
    for NamedPair { name, before, after } in changes.iter().take(most) {
        let name = format!("{prefix}{name}");
        let room = LINE.saturating_sub(indent.len() + widest + " →  ".len() + 1).max(2 * LEAD);
        let padding = " ".repeat(widest - width(&name) + 2);
        let differs = difference_of(before, after, room);
        text.push_str(&format!("{indent}{}{padding}{differs}\n", ink.paint(FAINT, inert(&name))));
    }
    if changes.len() > most {
        let more = count((changes.len() - most) as u64);
        text.push_str(&format!("{indent}{}\n", ink.paint(FAINT, format!("{more} more"))));
    }
}

/// Two values in `room` columns; of lists and maps that are longer only which elements differ.
fn difference_of(before: &Json, after: &Json, room: usize) -> String {
    let (was, now) = (value(before), value(after));
    let too_long = width(&was) + width(&now) > room;
    match difference::items(before, after).filter(|_| too_long) {
        Some(items) => cut(&inert(&items.text()), room + " → ".len()).into_owned(),
        None => {
            let (was, now) = pair(&was, &now, room);
            format!("{was} → {now}")
        }
    }
}

/// Two texts cut so that they have `room` columns together, and that it shows where they part.
fn pair(before: &str, after: &str, room: usize) -> (String, String) {
    if width(before) + width(after) <= room {
        return (before.into(), after.into());
    }
    let common = before.char_indices().zip(after.chars()).take_while(|((_, a), b)| a == b).count();
    let each = room / 2;
    let skip = if common >= each.saturating_sub(LEAD) { common.saturating_sub(LEAD) } else { 0 };
    let from = |text: &str| match skip {
        0 => cut(text, each).into_owned(),
        skip => cut(&format!("…{}", text.chars().skip(skip).collect::<String>()), each).into_owned(),
    };
    (from(before), from(after))
}

fn value(value: &Json) -> String {
    match value {
        Json::Null => "none".into(),
        value => by_content(value, usize::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_cut_to_where_they_part() {
        assert_eq!(pair("1", "2", 40), ("1".into(), "2".into()));
        let text = |end: &str| format!("{}{end}", "x".repeat(100));
        let (before, after) = pair(&text("1"), &text("2"), 40);
        assert_eq!((&*before, &*after), ("…xxxxxxxx1", "…xxxxxxxx2"));
        let (before, after) = pair(&format!("a{}", text("")), &format!("b{}", text("")), 40);
        assert!(
            before.starts_with("ax") && after.starts_with("bx") && width(&before) == 20,
            "{before} {after}"
        );
    }

    #[test]
    fn of_long_lists_and_maps_the_elements_that_differ_are_named() {
        let file = |name: &str| serde_json::json!({"name": name, "digest": "1f".repeat(32), "size": 2048});
        let files = |names: &[&str]| names.iter().map(|name| file(name)).collect::<Json>();
        let differs =
            difference_of(&files(&["a.csv", "b.csv", "c.csv"]), &files(&["a.csv", "d.csv", "c.csv"]), 40);
        assert_eq!(differs, "1 added (d.csv), 1 removed (b.csv)");
        assert_eq!(difference_of(&serde_json::json!([1, 2]), &serde_json::json!([1]), 40), "[1,2] → [1]");
        assert_eq!(difference_of(&Json::Null, &file("a"), 40), "none → a (2.0 KiB, 1f1f1f1f..)");
    }
}
