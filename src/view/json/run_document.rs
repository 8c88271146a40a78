//! A run as one JSON document, written node by node: of each element only its name and the offsets of its events are in
//! memory.
//!
//! The events are read once from the start, and then one by one at these offsets: a `RunState` would hold every event of a run
//! of a million elements in memory.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use crate::core::event::{Event, RunStarted, VERSION, Warning};
use crate::core::node_path::NodeRef;
use crate::view::model::by_name::ByName;
use crate::view::model::request::RequestView;
use crate::view::model::run::NodeState;
use crate::view::model::tally::Tally;

/// The position of an event among the others.
pub type Offset = u64;

/// The offsets of the events of a node or an element.
struct Kept {
    node: String,
    index: Option<u64>,
    /// The start of its last attempt.
    started: Option<Offset>,
    failed_attempts: Vec<Offset>,
    finished: Option<Offset>,
    /// Whether its end was new information, see [`Added`](crate::view::model::tally::Added).
    own: bool,
}

#[derive(Default)]
struct Document {
    tally: Tally,
    warnings: Vec<Warning>,
    kept: Vec<Kept>,
    /// The positions in `kept`.
    positions: HashMap<(String, Option<u64>), usize>,
    families: ByName<Family>,
}

/// A node that is not inside elements, with everything inside its own elements: positions in `kept`.
struct Family {
    node: usize,
    inside: Vec<usize>,
}

/// Writes the document, and a newline. A node is what its `node_finished` event was, with its `failed_attempts`; its
/// elements come before it. `unfinished` is the status of a run whose end is not among the events; `fetch`
/// reads the event at an offset again, `request` is null where it is not on record.
///
/// # Errors
/// If it cannot be written.
pub fn write(
    out: &mut impl Write,
    events: impl Iterator<Item = (Offset, Event)>,
    mut fetch: impl FnMut(Offset) -> Option<Event>,
    unfinished: &str,
    request: Option<&RequestView>,
) -> io::Result<()> {
    let mut document = Document::default();
    for (place, event) in events {
        document.add(place, event);
    }
    document.write(out, &mut fetch, unfinished, request)
}

impl Document {
    fn add(&mut self, place: Offset, event: Event) {
        let added = self.tally.step(&event);
        match event {
            Event::NodeExpanded(node) => {
                let name = node.path().outermost().unwrap_or(&node.node).to_owned();
                self.family(&name);
            }
            Event::NodeStarted(node) => self.unit(node.node, node.index).started = Some(place),
            Event::AttemptFailed(attempt) => {
                self.unit(attempt.node, attempt.index).failed_attempts.push(place);
            }
            Event::NodeFinished(node) => {
                let unit = self.unit(node.node, node.index);
                (unit.finished, unit.own) = (Some(place), added.own);
            }
            Event::Warning(warning) => self.warnings.push(warning),
            Event::RunWaiting(_) | Event::RunSkipped(_) | Event::RunStarted(_) | Event::WorkflowMade(_) => {}
            Event::NodeSubmitted(_)
            | Event::AttemptLost(_)
            | Event::NodeWaiting(_)
            | Event::RunUploading(_)
            | Event::RunFinished(_) => {}
        }
    }

    fn family(&mut self, name: &str) -> &mut Family {
        let (kept, positions) = (&mut self.kept, &mut self.positions);
        self.families.entry(name, || Family {
            node: keep(kept, positions, (name.to_owned(), None)),
            inside: Vec::new(),
        })
    }

    fn unit(&mut self, node: String, index: Option<u64>) -> &mut Kept {
        let unit = (node, index);
        let number = match self.positions.get(&unit) {
            Some(number) => *number,
            None => match NodeRef::new(&unit.0, index).outermost().map(str::to_owned) {
                None => self.family(&unit.0).node,
                Some(around) => {
                    let number = keep(&mut self.kept, &mut self.positions, unit);
                    self.family(&around).inside.push(number);
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
        request: Option<&RequestView>,
    ) -> io::Result<()> {
        self.positions = HashMap::new();
        let status = self.tally.status(unfinished);
        let (begun, ended) = (self.tally.begun.take(), self.tally.ended.take());
        let calls = ended.as_ref().and_then(|run| run.executor_calls);
        let of = |text: fn(&RunStarted) -> &String| begun.as_ref().map(text).cloned().unwrap_or_default();
        let warnings = self
            .warnings
            .iter()
            .map(|warning| json!({"time": warning.time, "node": warning.node, "message": warning.message}));
        let (before, after): (BTreeMap<&str, Json>, BTreeMap<&str, Json>) = [
            ("v", json!(VERSION)),
            ("run", json!(begun.as_ref().map_or("", |run| run.run.as_str()))),
            ("workflow", json!(of(|run| &run.workflow))),
            ("project", json!(of(|run| &run.project))),
            ("domain", json!(of(|run| &run.domain))),
            ("retry_of", json!(begun.as_ref().map(|run| &run.retry_of))),
            ("status", json!(status)),
            ("started", json!(begun.as_ref().map(|run| run.time))),
            ("duration_ms", json!(ended.as_ref().map(|run| run.duration_ms))),
            ("counts", json!(self.tally.counts)),
            ("saved_ms", json!(self.tally.saved_ms)),
            ("executor_calls", json!(calls)),
            ("request", json!(request)),
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
        for Family { node, mut inside } in std::mem::take(&mut self.families).into_values() {
            // Elements end in any order; people look them up by number.
            inside.sort_by_cached_key(|number| {
                let kept = &self.kept[*number];
                NodeState::order(NodeRef::new(&kept.node, kept.index), kept.own)
            });
            for number in inside.into_iter().chain([node]) {
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

/// Adds a unit and returns its position.
fn keep(
    kept: &mut Vec<Kept>,
    positions: &mut HashMap<(String, Option<u64>), usize>,
    unit: (String, Option<u64>),
) -> usize {
    positions.insert(unit.clone(), kept.len());
    let (node, index) = unit;
    let (started, finished, failed_attempts) = (None, None, Vec::new());
    kept.push(Kept { node, index, started, failed_attempts, finished, own: true });
    kept.len() - 1
}

impl Kept {
    fn node_json(&self, fetch: &mut impl FnMut(Offset) -> Option<Event>, run_status: &str) -> Json {
        let mut started: Option<Timestamp> = None;
        let (mut log, mut waited) = (None, None);
        let mut place = json!({});
        if let Some(Event::NodeStarted(node)) = self.started.and_then(&mut *fetch) {
            if node.executor.is_some() {
                place = json!({"executor": node.executor, "job": node.job, "host": node.host, "adopted": node.adopted});
            }
            (started, log, waited) = (Some(node.time), node.log, Some(node.waited_ms));
        }
        let mut json = match self.finished.and_then(&mut *fetch) {
            Some(Event::NodeFinished(node)) => {
                log = node.log.clone().or(log);
                json!(node.with_texts())
            }
            _ => {
                place["node"] = json!(self.node);
                place["index"] = json!(self.index);
                place["status"] = json!(run_status);
                place
            }
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
    write(&mut text, all, |place| events.get(place as usize).cloned(), unfinished, None).unwrap();
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
