//! A run as one JSON document, written node by node: of very many elements only a few words each are in memory.
//!
//! The events are read once from the start, and then one by one at the places that were noted.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use crate::core::event::{Event, RunFinished, RunStarted, VERSION, Warning};
use crate::core::node_path::NodeRef;
use crate::view::model::run::NodeState;
use crate::view::model::tally::Tally;

/// Where an event lies among the others.
pub type Offset = u64;

/// What is kept of a node or an element.
struct Kept {
    node: String,
    index: Option<u64>,
    /// The start of its last attempt.
    started: Option<Offset>,
    failed_attempts: Vec<Offset>,
    finished: Option<Offset>,
    /// Whether its end was news.
    own: bool,
}

#[derive(Default)]
struct Document {
    tally: Tally,
    begun: Option<RunStarted>,
    ended: Option<RunFinished>,
    warnings: Vec<Warning>,
    kept: Vec<Kept>,
    places: HashMap<(String, Option<u64>), usize>,
    /// By node that stands alone, in the order in which they were first heard of: what is inside of it.
    families: Vec<(usize, Vec<usize>)>,
    family_places: HashMap<String, usize>,
}

/// Writes the document, and a newline. A node is what its `node_finished` event was, with its `failed_attempts`; its
/// elements come before it. `unfinished` is the word for the state of a run whose end is not among the events, `fetch`
/// gives the event at a place once more.
///
/// # Errors
/// If it cannot be written.
pub fn write(
    out: &mut impl Write,
    events: impl Iterator<Item = (Offset, Event)>,
    mut fetch: impl FnMut(Offset) -> Option<Event>,
    unfinished: &str,
) -> io::Result<()> {
    let mut document = Document::default();
    for (place, event) in events {
        document.add(place, event);
    }
    document.write(out, &mut fetch, unfinished)
}

impl Document {
    fn add(&mut self, place: Offset, event: Event) {
        match event {
            Event::RunStarted(run) => self.begun = Some(run),
            Event::NodeExpanded(node) => {
                self.tally.expand(&node);
                let name = node.path().outermost().unwrap_or(&node.node).to_owned();
                self.alone(&name);
            }
            Event::NodeWaiting(_) | Event::RunWaiting(_) | Event::RunSkipped(_) => {}
            Event::NodeStarted(node) => self.unit(node.node, node.index).started = Some(place),
            Event::AttemptFailed(attempt) => {
                self.unit(attempt.node, attempt.index).failed_attempts.push(place);
            }
            Event::NodeFinished(node) => {
                let own = self.tally.add(&node).own;
                let unit = self.unit(node.node, node.index);
                (unit.finished, unit.own) = (Some(place), own);
            }
            Event::Warning(warning) => self.warnings.push(warning),
            Event::RunFinished(run) => self.ended = Some(run),
        }
    }

    /// The family of a node that stands alone.
    fn alone(&mut self, name: &str) -> usize {
        if let Some(place) = self.family_places.get(name) {
            return *place;
        }
        let number = self.keep(name.to_owned(), None);
        self.families.push((number, Vec::new()));
        self.family_places.insert(name.to_owned(), self.families.len() - 1);
        self.families.len() - 1
    }

    fn keep(&mut self, node: String, index: Option<u64>) -> usize {
        self.places.insert((node.clone(), index), self.kept.len());
        self.kept.push(Kept {
            node,
            index,
            started: None,
            failed_attempts: Vec::new(),
            finished: None,
            own: true,
        });
        self.kept.len() - 1
    }

    fn unit(&mut self, node: String, index: Option<u64>) -> &mut Kept {
        let key = (node, index);
        let number = match self.places.get(&key) {
            Some(number) => *number,
            None => match NodeRef::new(&key.0, index).outermost().map(str::to_owned) {
                None => {
                    let family = self.alone(&key.0);
                    self.families[family].0
                }
                Some(around) => {
                    let family = self.alone(&around);
                    let number = self.keep(key.0, index);
                    self.families[family].1.push(number);
                    number
                }
            },
        };
        &mut self.kept[number]
    }

    fn write(
        mut self,
        out: &mut impl Write,
        fetch: &mut impl FnMut(Offset) -> Option<Event>,
        unfinished: &str,
    ) -> io::Result<()> {
        self.places = HashMap::new();
        let (begun, ended) = (self.begun.take(), self.ended.take());
        let status = ended.as_ref().map_or_else(|| unfinished.to_owned(), |run| run.status.to_string());
        let of = |text: fn(&RunStarted) -> &String| begun.as_ref().map(text).cloned().unwrap_or_default();
        let counts = ended.as_ref().map_or(self.tally.counts, |run| run.counts);
        let warnings = self
            .warnings
            .iter()
            .map(|warning| json!({"time": warning.time, "node": warning.node, "message": warning.message}));
        let (before, after): (BTreeMap<&str, Json>, BTreeMap<&str, Json>) = [
            ("v", json!(VERSION)),
            ("run", json!(of(|run| &run.run))),
            ("workflow", json!(of(|run| &run.workflow))),
            ("project", json!(of(|run| &run.project))),
            ("domain", json!(of(|run| &run.domain))),
            ("retry_of", json!(begun.as_ref().map(|run| &run.retry_of))),
            ("status", json!(status)),
            ("started", json!(begun.as_ref().map(|run| run.time))),
            ("duration_ms", json!(ended.as_ref().map(|run| run.duration_ms))),
            ("counts", json!(counts)),
            ("saved_ms", json!(ended.as_ref().map_or(self.tally.saved_ms, |run| run.saved_ms))),
            ("outputs", json!(ended.map(|run| run.outputs).unwrap_or_default())),
            ("warnings", warnings.collect()),
        ]
        .into_iter()
        .partition(|(name, _)| *name < "nodes");
        write!(out, "{{")?;
        for (name, value) in before {
            write!(out, "\"{name}\":{value},")?;
        }
        write!(out, "\"nodes\":[")?;
        let mut separator = "";
        for (alone, mut inside) in std::mem::take(&mut self.families) {
            // They have ended in any order, and a person looks them up by number.
            inside.sort_by_cached_key(|number| {
                let kept = &self.kept[*number];
                NodeState::order(NodeRef::new(&kept.node, kept.index), kept.own)
            });
            for number in inside.into_iter().chain([alone]) {
                write!(out, "{separator}{}", self.kept[number].node_json(fetch, &status))?;
                separator = ",";
            }
        }
        write!(out, "]")?;
        for (name, value) in after {
            write!(out, ",\"{name}\":{value}")?;
        }
        writeln!(out, "}}")
    }
}

impl Kept {
    fn node_json(&self, fetch: &mut impl FnMut(Offset) -> Option<Event>, run_status: &str) -> Json {
        let mut started: Option<Timestamp> = None;
        let (mut log, mut waited) = (None, None);
        if let Some(Event::NodeStarted(node)) = self.started.and_then(&mut *fetch) {
            (started, log, waited) = (Some(node.time), node.log, Some(node.waited_ms));
        }
        let mut json = match self.finished.and_then(&mut *fetch) {
            Some(Event::NodeFinished(node)) => {
                log = node.log.clone().or(log);
                json!(node.with_texts())
            }
            _ => json!({"node": self.node, "index": self.index, "status": run_status}),
        };
        let failed = self.failed_attempts.iter().filter_map(|place| match fetch(*place) {
            Some(Event::AttemptFailed(attempt)) => Some(json!(attempt)),
            _ => None,
        });
        json["failed_attempts"] = failed.collect();
        json["started"] = json!(started);
        json["waited_ms"] = json!(waited);
        json["log"] = json!(log);
        json
    }
}

/// The document of events that are all at hand, for tests.
#[cfg(test)]
pub(super) fn of(events: &[Event], unfinished: &str) -> Json {
    let mut text = Vec::new();
    let all = events.iter().cloned().enumerate().map(|(place, event)| (place as Offset, event));
    write(&mut text, all, |place| events.get(place as usize).cloned(), unfinished).unwrap();
    serde_json::from_slice(&text).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::model::run::tests::with_elements;
    use crate::view::sample::*;

    #[test]
    fn the_document_keeps_everything() {
        let document = of(&failed_run(), "running");
        assert_eq!(document["run"], RUN);
        assert_eq!(document["status"], "failed");
        assert_eq!(document["counts"]["cancelled"], 1);
        let train = &document["nodes"][2];
        assert_eq!((&train["node"], &train["error"]["exit_code"]), (&json!("train"), &json!(3)));
        assert_eq!(train["failed_attempts"][0]["attempt"], 1);
        assert_eq!(document["nodes"][0]["source"]["run"], "a1b2c3d4");
        assert_eq!(document["warnings"][0]["node"], "train");
    }

    #[test]
    fn the_document_keeps_every_element() {
        let document = of(&with_elements(), "running");
        let labels: Vec<_> = document["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|node| format!("{} {} {}", node["node"], node["index"], node["status"]))
            .collect();
        assert_eq!(labels.len(), 201 + 3 * 2 + 2);
        assert_eq!(labels[7], "\"each\" 7 \"failed\"");
        assert_eq!(
            labels[200..],
            [
                r#""each" null "failed""#,
                r#""prep[0]/clean" null "succeeded""#,
                r#""prep" 0 "succeeded""#,
                r#""prep[1]/clean" null "succeeded""#,
                r#""prep" 1 "succeeded""#,
                r#""prep[2]/clean" null "succeeded""#,
                r#""prep" 2 "succeeded""#,
                r#""prep[3]/clean" null "running""#,
                r#""prep" null "running""#,
            ]
        );
    }

    #[test]
    fn what_has_not_ended_has_the_state_of_the_run() {
        let document = of(&[run_started(2), node_started("hash", 1, 0)], "interrupted");
        assert_eq!(document["nodes"][0]["status"], "interrupted");
        assert_eq!(document["duration_ms"], Json::Null);
    }
}
