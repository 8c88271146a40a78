//! What differs between two values or two texts: where, which elements by name, and an excerpt around the difference.
//!
//! Values are records, as the memo and events hold them. Knows nothing of tasks, keys or files on disk.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map as JsonMap, Value as Json};
use similar::{DiffOp, TextDiff};

/// Maximum number of differing elements that are listed; all of them are counted.
const MAX_ITEMS: usize = 20;
/// Maximum length of an excerpt, in characters.
pub const MAX_EXCERPT_CHARS: usize = 200;
/// Maximum length of a line of a unified difference, in characters.
const MAX_LINE_CHARS: usize = 200;
/// Characters of an excerpt that stand before the difference.
const CONTEXT_CHARS: usize = 12;
/// Time limit for comparing the lines of two texts.
const DIFF_TIMEOUT: Duration = Duration::from_millis(200);

/// The elements of a list, keys of a map or entries of a folder that differ.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ItemChanges {
    pub added: u64,
    pub removed: u64,
    pub changed: u64,
    /// The same elements in another order.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reordered: bool,
    /// The first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<DifferingItem>,
}

/// One element that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DifferingItem {
    pub kind: ItemKind,
    /// The base name of a file, the path of a key (`a.b`), the place in a list (`[3]`), or the value of an element.
    pub name: String,
    /// Excerpts of both values, where the name alone does not say it.
    #[serde(default, skip_serializing_if = "Json::is_null")]
    pub was: Json,
    #[serde(default, skip_serializing_if = "Json::is_null")]
    pub now: Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemKind {
    Added,
    Removed,
    Changed,
}

/// The lines that differ between two texts.
#[derive(Clone, Debug, PartialEq)]
pub struct LineChanges {
    /// The first line that differs, counted from 1.
    pub line: u64,
    /// That line before and now; empty where it was added or removed.
    pub was: String,
    pub now: String,
    /// How many lines differ.
    pub lines: u64,
}

/// Whether two records are of one value: where a user's file lies does not count.
pub fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Object(a), Json::Object(b)) if is_file(a) && is_file(b) => {
            let part = |key: &str| a.get(key) == b.get(key);
            part("digest") && part("name") && part("executable")
        }
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (a, b) => a == b,
    }
}

/// Whether an object is the record of a file or folder.
pub fn is_file(object: &JsonMap<String, Json>) -> bool {
    ["digest", "size", "name"].iter().all(|key| object.contains_key(*key))
}

/// The one place in which two values differ, as deep as it is only one; `at` becomes its path.
pub fn focus<'j>(was: &'j Json, now: &'j Json, at: &mut String) -> (&'j Json, &'j Json) {
    match (was, now) {
        (Json::Array(a), Json::Array(b)) if a.len() == b.len() => {
            let mut differing = (0..a.len()).filter(|i| !same(&a[*i], &b[*i]));
            if let (Some(i), None) = (differing.next(), differing.next()) {
                at.push_str(&format!("[{i}]"));
                return focus(&a[i], &b[i], at);
            }
        }
        (Json::Object(a), Json::Object(b))
            if !is_file(a) && !is_file(b) && a.len() == b.len() && a.keys().eq(b.keys()) =>
        {
            let mut differing = a.keys().filter(|key| !same(&a[*key], &b[*key]));
            if let (Some(key), None) = (differing.next(), differing.next()) {
                at.push_str(&format!(".{key}"));
                return focus(&a[key], &b[key], at);
            }
        }
        _ => {}
    }
    (was, now)
}

/// The elements in which two lists or two maps differ; `None` for anything else.
pub fn items(was: &Json, now: &Json) -> Option<ItemChanges> {
    let comparable = match (was, now) {
        (Json::Array(_), Json::Array(_)) => true,
        (Json::Object(a), Json::Object(b)) => !is_file(a) && !is_file(b),
        _ => false,
    };
    let mut changes = ItemChanges::default();
    if comparable {
        changes.collect(was, now, "");
    }
    comparable.then_some(changes)
}

impl ItemChanges {
    fn collect(&mut self, was: &Json, now: &Json, at: &str) {
        match (was, now) {
            (Json::Array(was), Json::Array(now)) => self.list(was, now, at),
            (Json::Object(a), Json::Object(b)) if !is_file(a) && !is_file(b) => {
                for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                    let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                    match (a.get(key), b.get(key)) {
                        (Some(a), Some(b)) if same(a, b) => {}
                        (Some(a), Some(b)) => self.collect(a, b, &at),
                        (Some(a), None) => self.push(ItemKind::Removed, at, a, &Json::Null),
                        (None, b) => self.push(ItemKind::Added, at, &Json::Null, b.unwrap_or(&Json::Null)),
                    }
                }
            }
            // The digests of a file that keeps its name say nothing to a person.
            (Json::Object(a), Json::Object(b)) if is_file(a) && is_file(b) && a["name"] == b["name"] => {
                self.push(ItemKind::Changed, at.to_owned(), &Json::Null, &Json::Null);
            }
            (was, now) => self.push(ItemKind::Changed, at.to_owned(), was, now),
        }
    }

    /// Elements count by value: one that only moved is not a change, unless nothing else differs.
    fn list(&mut self, was: &[Json], now: &[Json], at: &str) {
        let (mut gone, mut new) = (surplus(was, now), surplus(now, was));
        if gone.is_empty() && new.is_empty() {
            self.reordered = true;
            return;
        }
        // A file of the same name, or what stands at the same place, is the same element changed.
        let name = |json: &Json| {
            json.as_object().filter(|o| is_file(o)).and_then(|o| o["name"].as_str().map(str::to_owned))
        };
        let mut named: HashMap<String, usize> = HashMap::new();
        for (place, i) in new.iter().enumerate() {
            if let Some(name) = name(&now[*i]) {
                named.entry(name).or_insert(place);
            }
        }
        let mut paired = BTreeSet::new();
        gone.retain(|i| {
            let by_name = name(&was[*i]).and_then(|name| named.remove(&name));
            let by_place = || {
                let place = new.binary_search(i).ok()?;
                let unnamed = name(&was[*i]).is_none() || name(&now[*i]).is_none();
                (was.len() == now.len() && unnamed && !paired.contains(&place)).then_some(place)
            };
            let Some(place) = by_name.or_else(by_place) else { return true };
            paired.insert(place);
            let (was, now) = (&was[*i], &now[new[place]]);
            match name(now) {
                Some(name) => self.push(
                    ItemKind::Changed,
                    format!("{at}{}{name}", if at.is_empty() { "" } else { "/" }),
                    &Json::Null,
                    &Json::Null,
                ),
                None => self.collect(was, now, &format!("{at}[{i}]")),
            }
            false
        });
        let mut place = 0;
        new.retain(|_| {
            place += 1;
            !paired.contains(&(place - 1))
        });
        for (kind, list, numbers) in [(ItemKind::Removed, was, gone), (ItemKind::Added, now, new)] {
            for i in numbers {
                let name =
                    name(&list[i]).unwrap_or_else(|| beginning(&list[i].to_string(), MAX_EXCERPT_CHARS));
                let name = if at.is_empty() { name } else { format!("{at}: {name}") };
                self.push(kind, name, &Json::Null, &Json::Null);
            }
        }
    }

    fn push(&mut self, kind: ItemKind, name: String, was: &Json, now: &Json) {
        *match kind {
            ItemKind::Added => &mut self.added,
            ItemKind::Removed => &mut self.removed,
            ItemKind::Changed => &mut self.changed,
        } += 1;
        let listed = self.items.iter().filter(|item| item.kind == kind).count();
        if listed < MAX_ITEMS {
            let (was, now) = excerpts(was, now);
            self.items.push(DifferingItem { kind, name, was, now });
        }
    }
}

/// The places of elements that `list` has more often than `other` has them.
fn surplus(list: &[Json], other: &[Json]) -> Vec<usize> {
    let mut left: HashMap<String, usize> = HashMap::with_capacity(other.len());
    for element in other {
        *left.entry(identity(element)).or_default() += 1;
    }
    let is_surplus = |i: &usize| match left.get_mut(&identity(&list[*i])) {
        Some(n) if *n > 0 => {
            *n -= 1;
            false
        }
        _ => true,
    };
    (0..list.len()).filter(is_surplus).collect()
}

/// Text in which two records are equal exactly if [`same`] holds.
fn identity(value: &Json) -> String {
    fn plain(value: &Json) -> Json {
        match value {
            Json::Object(file) if is_file(file) => {
                let part = |key: &str| file.get(key).cloned().unwrap_or_default();
                Json::Array(vec!["file".into(), part("digest"), part("name"), part("executable")])
            }
            Json::Object(map) => {
                Json::Object(map.iter().map(|(key, value)| (key.clone(), plain(value))).collect())
            }
            Json::Array(list) => list.iter().map(plain).collect(),
            value => value.clone(),
        }
    }
    plain(value).to_string()
}

/// Two values, or of long ones what stands around the first difference: events and rows hold many. A file stays whole.
pub fn excerpts(was: &Json, now: &Json) -> (Json, Json) {
    let whole = |value: &Json| match value {
        Json::Object(file) if is_file(file) => true,
        Json::String(text) => text.chars().nth(MAX_EXCERPT_CHARS).is_none(),
        Json::Array(_) | Json::Object(_) => value.to_string().len() <= 2 * MAX_EXCERPT_CHARS,
        Json::Null | Json::Bool(_) | Json::Number(_) => true,
    };
    if whole(was) && whole(now) {
        return (was.clone(), now.clone());
    }
    let text = |value: &Json| match value {
        Json::String(text) => text.clone(),
        value => value.to_string(),
    };
    let (a, b) = around(&text(was), &text(now), MAX_EXCERPT_CHARS);
    let excerpt = |value: &Json, part: String| {
        if whole(value) && !value.is_string() { value.clone() } else { part.into() }
    };
    (excerpt(was, a), excerpt(now, b))
}

/// Two texts, each cut to about `room` characters around the first difference.
pub fn around(was: &str, now: &str, room: usize) -> (String, String) {
    let fits = |text: &str| text.chars().nth(room).is_none();
    if fits(was) && fits(now) {
        return (was.to_owned(), now.to_owned());
    }
    let common = was.chars().zip(now.chars()).take_while(|(a, b)| a == b).count();
    // From the start, as long as the difference is well in sight.
    let start = if common + CONTEXT_CHARS < room { 0 } else { common.saturating_sub(CONTEXT_CHARS) };
    let cut = |text: &str| {
        let before = if start > 0 { "..." } else { "" };
        let mut rest = text.chars().skip(start);
        let part: String = rest.by_ref().take(room).collect();
        let after = if rest.next().is_some() { "..." } else { "" };
        format!("{before}{part}{after}")
    };
    (cut(was), cut(now))
}

/// Which lines of two texts differ; `None` if they are the same.
pub fn lines(was: &str, now: &str) -> Option<LineChanges> {
    let (a, b): (Vec<&str>, Vec<&str>) = (was.lines().collect(), now.lines().collect());
    let start = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let rest = a.len().min(b.len()) - start;
    let end = a.iter().rev().zip(b.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[start..a.len() - end], &b[start..b.len() - end]);
    let lines = match (a.len(), b.len()) {
        (0, 0) => return None,
        (0, n) | (n, 0) => n as u64,
        _ => differing(was, now),
    };
    let (was, now) =
        around(a.first().unwrap_or(&"").trim_end(), b.first().unwrap_or(&"").trim_end(), MAX_EXCERPT_CHARS);
    Some(LineChanges { line: start as u64 + 1, was, now, lines })
}

fn differing(was: &str, now: &str) -> u64 {
    let diff = TextDiff::configure().timeout(DIFF_TIMEOUT).diff_lines(was, now);
    let lines = |op: &DiffOp| match *op {
        DiffOp::Equal { .. } => 0,
        DiffOp::Delete { old_len, .. } => old_len,
        DiffOp::Insert { new_len, .. } => new_len,
        DiffOp::Replace { old_len, new_len, .. } => old_len.max(new_len),
    };
    diff.ops().iter().map(lines).sum::<usize>() as u64
}

/// As `diff -u` writes it, with one line around what differs; at most `most` lines, and a line that counts the others.
pub fn unified(was: &str, now: &str, most: usize) -> String {
    let diff = TextDiff::configure().timeout(DIFF_TIMEOUT).diff_lines(was, now);
    let text = diff.unified_diff().context_radius(1).missing_newline_hint(false).to_string();
    let mut short = String::new();
    for line in in_sight(&text.lines().take(most).collect::<Vec<_>>(), MAX_LINE_CHARS) {
        short.push_str(&beginning(&line, MAX_LINE_CHARS));
        short.push('\n');
    }
    let more = text.lines().count().saturating_sub(most);
    if more > 0 {
        short.push_str(&format!("... {more} more line{}\n", if more == 1 { "" } else { "s" }));
    }
    short
}

/// The lines of a difference. Where a line replaces another and one of them is longer than `room` characters, both are cut
/// around what differs.
pub fn in_sight(lines: &[&str], room: usize) -> Vec<String> {
    let mut shown: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    let is_long = |line: &str| line.chars().nth(room).is_some();
    let mut start = 0;
    while start < lines.len() {
        let count = |from: usize, sign: char| {
            lines.get(from..).into_iter().flatten().take_while(|line| line.starts_with(sign)).count()
        };
        let removed = count(start, '-');
        let added = count(start + removed, '+');
        for (was, now) in (start..start + removed).zip(start + removed..start + removed + added) {
            if is_long(lines[was]) || is_long(lines[now]) {
                // Beside the sign there may be three dots on each side.
                let (a, b) =
                    around(&lines[was][1..], &lines[now][1..], room.saturating_sub(1 + 2 * "...".len()));
                (shown[was], shown[now]) = (format!("-{a}"), format!("+{b}"));
            }
        }
        start += (removed + added).max(1);
    }
    shown
}

/// The first `most` characters of a text.
fn beginning(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::core::digest::Digest;

    fn file(name: &str, content: &str) -> Json {
        json!({"name": name, "digest": Digest::of(content).hex(), "size": content.len()})
    }

    fn told(was: &Json, now: &Json) -> Vec<String> {
        let changes = items(was, now).unwrap();
        changes
            .items
            .iter()
            .map(|item| format!("{:?} {} {} {}", item.kind, item.name, item.was, item.now))
            .collect()
    }

    #[test]
    fn long_text_is_cut_around_the_difference() {
        let (was, now) = (
            format!("{}one{}", "a".repeat(500), "b".repeat(500)),
            format!("{}two{}", "a".repeat(500), "b".repeat(500)),
        );
        let (was, now) = around(&was, &now, 40);
        assert_eq!(was, format!("...{}one{}...", "a".repeat(12), "b".repeat(25)));
        assert_eq!(now, format!("...{}two{}...", "a".repeat(12), "b".repeat(25)));
        assert_eq!(around("same é", "same ü", 6), ("same é".into(), "same ü".into()));
        let long = "x".repeat(300);
        assert_eq!(around(&long, "y", 5), ("xxxxx...".into(), "y".into()));
        // A text that another one begins with.
        assert_eq!(around(&long[..100], &long, 20).0, format!("...{}", "x".repeat(12)));
    }

    #[test]
    fn elements_are_named() {
        let list = |names: &[(&str, &str)]| -> Json {
            names.iter().map(|(name, content)| file(name, content)).collect()
        };
        let many: Vec<(String, String)> = (0..500).map(|i| (format!("{i}.csv"), "x".to_owned())).collect();
        let mut was: Vec<(&str, &str)> = many.iter().map(|(a, b)| (&**a, &**b)).collect();
        let before = list(&was);
        was.remove(7);
        was[100].1 = "other";
        was.push(("new.csv", "x"));
        assert_eq!(
            told(&before, &list(&was)),
            ["Changed 101.csv null null", "Removed 7.csv null null", "Added new.csv null null"]
        );
        assert_eq!(told(&json!([1, 2, 3]), &json!([1, 5, 4])), ["Changed [1] 2 5", "Changed [2] 3 4"]);
        assert_eq!(told(&json!([1, 2]), &json!([1, 2, 3])), ["Added 3 null null"]);
        assert_eq!(
            told(&json!({"a": 1, "b": {"c": 2, "d": 3}}), &json!({"b": {"c": 4, "e": 3}})),
            ["Removed a 1 null", "Changed b.c 2 4", "Removed b.d 3 null", "Added b.e null 3"]
        );
        let same = items(&json!([1, 2, 2]), &json!([2, 1, 2])).unwrap();
        assert!(same.reordered && same.items.is_empty());
        assert_eq!(items(&json!(1), &json!([1])), None);
        let many = items(&json!([]), &json!((0..100).collect::<Vec<_>>())).unwrap();
        assert_eq!((many.added, many.items.len()), (100, 20));
    }

    #[test]
    fn the_first_line_that_differs_is_found() {
        let of = |was, now| lines(was, now).map(|found| (found.line, found.was, found.now, found.lines));
        let line = |n, was: &str, now: &str, lines| Some((n, was.to_owned(), now.to_owned(), lines));
        assert_eq!(of("a\nb\nc\n", "a\nx\nc\n"), line(2, "b", "x", 1));
        assert_eq!(of("a\nc\n", "a\nb\nc\n"), line(2, "", "b", 1));
        assert_eq!(of("a\nb\nc\n", "a\nc"), line(2, "b", "", 1));
        assert_eq!(of("a\na\n", "a\na\na\n"), line(3, "", "a", 1));
        assert_eq!(of("a\n", "a"), None);
        assert_eq!(of("", "a\nb"), line(1, "", "a", 2));
        assert_eq!(unified("a\nb\nc\nd\n", "a\nx\nc\nd\n", 9), "@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n");
        assert_eq!(unified("a\nb\n", "x\ny\n", 2), "@@ -1,2 +1,2 @@\n-a\n... 3 more lines\n");
    }
    #[test]
    fn long_lines_are_cut_around_what_differs() {
        let long = "x".repeat(90);
        let (was, now) = (format!("-{long}1 end"), format!("+{long}2 end"));
        let shown = in_sight(&["@@ -1 +1 @@", &was, &now, " same", "+short"], 40);
        assert!(shown[1].starts_with("-...xx") && shown[1].ends_with("1 end"), "{shown:?}");
        assert!(shown[2].ends_with("2 end") && shown.iter().all(|line| line.len() <= 40), "{shown:?}");
        assert_eq!((&*shown[0], &*shown[3], &*shown[4]), ("@@ -1 +1 @@", " same", "+short"));
        // Lines without a counterpart are left to be cut at the end.
        assert_eq!(in_sight(&[&was], 40), [was.as_str()]);
        let line = |end: &str| format!("{}{end}\n", "y".repeat(300));
        assert!(unified(&line("1"), &line("2"), 9).contains("y1\n"));
    }
}
