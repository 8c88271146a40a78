//! What changed between two runs, as lines: what came first before what followed from it.

use serde_json::Value as Json;

use super::values::short;
use crate::core::event::Status;
use crate::core::node_path::NodeRef;
use crate::view::model::run_diff::{DiffRole, NamedPair, NodeDiff, Pair, RunDiff};
use crate::view::text::inert;

/// Maximum characters of a value in a line.
const MAX_CHARS: usize = 80;
/// Maximum values of one node.
const MAX_VALUES: usize = 6;

/// A change: of what, from what, to what.
pub struct ChangeLine {
    pub name: String,
    /// Empty where only words say it.
    pub before: String,
    pub after: String,
    pub words: String,
}

impl ChangeLine {
    fn words(name: String, words: impl Into<String>) -> Self {
        Self { name, before: String::new(), after: String::new(), words: words.into() }
    }
}

/// What was asked for differently, and the nodes that changed although nothing before them had.
pub fn causes(diff: &RunDiff) -> Vec<ChangeLine> {
    let nodes = diff.nodes.iter().filter(|node| node.role == DiffRole::Cause);
    // A file of the workflow that changed is told by what of its nodes did.
    let has_nodes = diff.nodes.iter().any(|node| node.role == DiffRole::Cause);
    let is_file = |change: &&NamedPair<Json>| change.name.ends_with(".toml");
    let asked =
        diff.asked.iter().filter(|change| !(has_nodes && is_file(change))).map(|change| values("", change));
    asked.chain(nodes.flat_map(node_lines)).collect()
}

/// All that is known of how a node changed.
pub fn node_lines(node: &NodeDiff) -> Vec<ChangeLine> {
    let label = inert(&NodeRef::new(&node.node, node.index).label()).into_owned();
    let mut lines = Vec::new();
    if let Some(Pair { before, after }) = &node.status {
        let word =
            |status: &Option<Status>| status.map_or("not there".to_owned(), |status| status.to_string());
        lines.push(ChangeLine {
            name: label.clone(),
            before: word(before),
            after: word(after),
            words: String::new(),
        });
    }
    if let Some(Pair { after: Some(error), .. }) = &node.error {
        lines.push(ChangeLine::words(label.clone(), inert(error).into_owned()));
    }
    if !node.changes.is_empty() {
        lines.extend(
            node.changes.iter().map(|change| ChangeLine::words(label.clone(), multi_line(&change.text))),
        );
    } else if !node.definition.is_empty() {
        lines.push(ChangeLine::words(
            label.clone(),
            format!("edited: {}", inert(&node.definition.join(", "))),
        ));
    }
    lines.extend(node.inputs.iter().take(MAX_VALUES).map(|change| values(&label, change)));
    lines.extend(
        node.outputs
            .iter()
            .take(MAX_VALUES)
            .map(|change| ChangeLine { words: "output".into(), ..values(&label, change) }),
    );
    if lines.is_empty()
        && let Some(Pair { before, after }) = &node.cache
    {
        let word = |cache: &Option<crate::core::event::CacheStatus>| {
            cache.map_or("nothing".to_owned(), |cache| cache.to_string())
        };
        lines.push(ChangeLine {
            name: label,
            before: word(before),
            after: word(after),
            words: "cache".into(),
        });
    }
    lines
}

fn multi_line(text: &str) -> String {
    text.lines().map(inert).collect::<Vec<_>>().join("\n")
}

/// A value that is another one.
pub fn values(label: &str, change: &NamedPair<Json>) -> ChangeLine {
    let shown = |value: &Json| match value {
        Json::Null => "nothing".to_owned(),
        Json::Object(fields) if fields.len() == 1 && fields.contains_key("digest") => "a text".to_owned(),
        value => short(value, MAX_CHARS),
    };
    let (before, mut after) = (shown(&change.before), shown(&change.after));
    if before == after {
        after = format!("{after}, with other content");
    }
    let name = inert(&change.name);
    let name = if label.is_empty() { name.into_owned() } else { format!("{label} {name}") };
    ChangeLine { name, before, after, words: String::new() }
}
