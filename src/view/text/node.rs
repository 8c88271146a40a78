//! One node or element of a run in full: as a person reads it, and as one document.

use jiff::Zoned;
use serde_json::{Map as JsonMap, Value as Json, json};

use crate::core::event::{
    AttemptFailed, Event, NodeFinished, NodeStarted, NodeWaiting, VERSION, Warning, WorkflowMade,
};
use crate::core::node_path::NodeRef;
use crate::core::run_id::RunId;
use crate::view::text::commands::logs_command;
use crate::view::text::narrator::warning_line;
use crate::view::text::phrases::{details, mark, summed, usage};
use crate::view::text::run::OUTPUT_WIDTH;
use crate::view::text::style::{BAD, Cell, FAINT, Ink, PLAIN, STRONG, columns};
use crate::view::text::value::{by_content, by_place};
use crate::view::text::why;
use crate::view::text::{age, duration, inert, named};

/// What a run's events tell of one node or element.
#[derive(Debug)]
pub struct NodeStory {
    pub run: RunId,
    /// The status of a node that has not ended.
    pub run_status: String,
    pub node: String,
    pub index: Option<u64>,
    /// How many elements it has, if it is a node with elements.
    pub elements: Option<u64>,
    /// The workflow that its command made.
    pub made: Option<WorkflowMade>,
    pub starts: Vec<NodeStarted>,
    pub waits: Vec<NodeWaiting>,
    pub failed_attempts: Vec<AttemptFailed>,
    pub finished: Option<NodeFinished>,
    pub warnings: Vec<Warning>,
}

/// `as job 17 of cluster on n2`; none of what runs on this machine.
fn place(executor: Option<&String>, job: Option<&String>, host: Option<&String>) -> Option<String> {
    let executor = inert(executor?);
    let host = host.map_or_else(String::new, |host| format!(" on {}", inert(host)));
    let job = job.filter(|job| !job.is_empty());
    Some(match job {
        Some(job) => format!("as job {} of {executor}{host}", inert(job)),
        None => format!("by {executor}{host}"),
    })
}

impl NodeStory {
    /// `None` if the events do not tell of it.
    pub fn from_events(
        events: impl Iterator<Item = Event>,
        run: RunId,
        run_status: &str,
        wanted: NodeRef,
    ) -> Option<Self> {
        let NodeRef { node, index } = wanted;
        let mut story = Self {
            run,
            run_status: run_status.into(),
            node: node.into(),
            index,
            elements: None,
            made: None,
            starts: Vec::new(),
            waits: Vec::new(),
            failed_attempts: Vec::new(),
            finished: None,
            warnings: Vec::new(),
        };
        let label = wanted.to_string();
        for event in events {
            match event {
                Event::NodeExpanded(e) if e.node == node && e.index == index => {
                    story.elements = Some(e.elements);
                }
                Event::WorkflowMade(e) if e.node == node && e.index == index => story.made = Some(e),
                Event::NodeWaiting(e) if e.node == node && e.index == index => story.waits.push(e),
                Event::NodeStarted(e) if e.node == node && e.index == index => story.starts.push(e),
                Event::AttemptFailed(e) if e.node == node && e.index == index => {
                    story.failed_attempts.push(e);
                }
                Event::NodeFinished(e) if e.node == node && e.index == index => story.finished = Some(e),
                Event::Warning(e) if e.node.as_deref() == Some(&*label) => story.warnings.push(e),
                _ => {}
            }
        }
        let known = story.finished.is_some() || story.elements.is_some() || !story.starts.is_empty();
        known.then_some(story)
    }

    /// One document: its `node_finished` event with what came before it.
    pub fn to_json(&self) -> Json {
        let mut json = match &self.finished {
            Some(node) => json!(node.with_texts()),
            None => json!({"node": self.node, "index": self.index, "status": self.run_status}),
        };
        let last = self.starts.last();
        json["v"] = json!(VERSION);
        json["run"] = json!(self.run);
        json["started"] = json!(last.map(|start| start.time));
        json["waited_ms"] = json!(last.map(|start| start.waited_ms));
        json["log"] = json!(self.log());
        json["failed_attempts"] = json!(self.failed_attempts);
        json["elements"] = json!(self.elements);
        if let Some(made) = &self.made {
            json["made"] = json!({"workflow": made.workflow, "document": made.document, "nodes": made.nodes});
        }
        let warnings = self.warnings.iter();
        json["warnings"] =
            warnings.map(|warning| json!({"time": warning.time, "message": warning.message})).collect();
        json
    }

    /// Of the last attempt.
    pub fn log(&self) -> Option<&String> {
        let ended = self.finished.as_ref().and_then(|node| node.log.as_ref());
        ended.or_else(|| self.starts.last()?.log.as_ref())
    }

    /// For a person, ages as seen from `now`; `run_status` is the word for what has not ended.
    pub fn render(&self, color: bool, now: &Zoned) -> String {
        let ink = Ink(color);
        let label = NodeRef::new(&self.node, self.index);
        let Some(node) = &self.finished else {
            let mut text =
                format!("{}  in run {}\n… {}\n", ink.paint(STRONG, label), self.run, self.run_status);
            let last = self.starts.last();
            let at = last.and_then(|at| place(at.executor.as_ref(), at.job.as_ref(), at.host.as_ref()));
            text.extend(at.map(|at| format!("{at}\n")));
            text.extend(self.waits.iter().map(|wait| format!("waiting {}\n", inert(&wait.reason))));
            self.attempts(&mut text, ink, now);
            self.next(&mut text, ink);
            return text;
        };
        let mut text = format!("{}  {}  in run {}\n", ink.paint(STRONG, label), inert(&node.task), self.run);
        let (mark, style) = mark(node.status, node.cache);
        text.push_str(&ink.paint(style.bold(), format!("{mark} {}", node.status)));
        let mut parts = Vec::new();
        if node.error.is_some() {
            parts.push(node.failure());
        }
        if node.attempts > 0 || node.counts.is_some() {
            parts.push(format!("took {}", duration(node.duration_ms)));
            parts.push(usage(node.usage()));
        }
        parts.push(summed(node, self.elements));
        parts.retain(|part| !part.is_empty());
        if !parts.is_empty() {
            text.push_str(&format!(": {}", parts.join("; ")));
        }
        text.push('\n');
        text.push_str(&columns(&self.facts(node, now), ink));
        let differs = node.why.as_ref().map(|why| why::details(why, 1, ink)).unwrap_or_default();
        if !differs.is_empty() {
            text.push_str(&format!("\n{}\n{differs}", ink.paint(STRONG, "what differs")));
        }
        self.attempts(&mut text, ink, now);
        values(&mut text, "inputs", &node.inputs, by_content, ink);
        values(&mut text, "outputs", &node.outputs, by_place, ink);
        if !self.warnings.is_empty() {
            text.push('\n');
            text.extend(self.warnings.iter().map(|warning| warning_line(warning, ink)));
        }
        if node.error.is_some() {
            text.push_str(&format!("\n{}\n", ink.paint(BAD, node.failure())));
            text.push_str(&details(node, &self.run, ink));
        } else {
            self.next(&mut text, ink);
        }
        text
    }

    fn facts(&self, node: &NodeFinished, now: &Zoned) -> Vec<Vec<Cell>> {
        let reason = node.reason.as_ref().map(|reason| inert(reason).into_owned());
        let cache = node.cache.map(|cache| match &reason {
            Some(reason) => format!("{cache}: {reason}"),
            None => cache.to_string(),
        });
        let source = node.source.as_ref().map(|source| {
            let (run, node, note) = (&source.run, &source.node, source.note());
            format!("run {run}, node {node}, {}{}", age(source.time, now), inert(&note))
        });
        let missed = node.why.as_ref().map(|why| inert(&why.text()).into_owned());
        let why = if node.cache.is_none() { reason } else { missed };
        let waited = self.starts.last().map(|start| start.waited_ms).filter(|ms| *ms >= 100).map(duration);
        let place = place(node.executor.as_ref(), node.job.as_ref(), node.host.as_ref());
        let made = self.made.as_ref().map(|made| {
            format!(
                "{} of {}, as {} says",
                named(made.nodes, "node"),
                inert(&made.workflow),
                inert(&made.document)
            )
        });
        let place = match node.adopted {
            Some(run) => place.map(|place| format!("{place}, submitted by run {run}")),
            None => place,
        };
        let waits = self.waits.last().map(|wait| inert(&wait.reason).into_owned());
        let waited = waited.map(|time| match waits {
            Some(reason) => format!("{time}, {reason}"),
            None => time,
        });
        [
            ("why", why),
            ("cache", cache),
            ("key", node.key.map(|key| key.hex())),
            ("from", source),
            ("ran", place),
            ("made", made),
            ("waited", waited),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some(vec![Cell::new(FAINT, name), Cell::new(PLAIN, value?)]))
        .collect()
    }

    /// Each attempt, if there was more than one.
    fn attempts(&self, text: &mut String, ink: Ink, now: &Zoned) {
        if self.starts.len() < 2 && self.finished.is_some() {
            return;
        }
        let rows: Vec<_> = self.starts.iter().map(|start| self.attempt(start, now)).collect();
        if !rows.is_empty() {
            text.push_str(&format!("\n{}\n{}", ink.paint(STRONG, "attempts"), columns(&rows, ink)));
        }
    }

    fn attempt(&self, start: &NodeStarted, now: &Zoned) -> Vec<Cell> {
        let failed = self.failed_attempts.iter().find(|failed| failed.attempt == start.attempt);
        let ended = self.finished.as_ref().filter(|node| node.attempts == start.attempt);
        let (words, took, used) = match (failed, ended) {
            (Some(failed), _) => (failed.error.gist(), Some(failed.duration_ms), usage(failed.usage())),
            (None, Some(node)) => (node.status.to_string(), Some(node.duration_ms), usage(node.usage())),
            (None, None) => ("under way".into(), None, String::new()),
        };
        [
            format!("  {}", start.attempt),
            words,
            took.map_or_else(String::new, duration),
            used,
            format!("began {}", age(start.time, now)),
        ]
        .into_iter()
        .map(|cell| Cell::new(PLAIN, cell))
        .collect()
    }

    fn next(&self, text: &mut String, ink: Ink) {
        if self.log().is_some() {
            let command = ink.paint(STRONG, logs_command(&self.run, &self.node, self.index));
            text.push_str(&format!("\n{} {command}\n", ink.paint(FAINT, "what it printed:")));
        }
    }
}

fn values(
    text: &mut String,
    heading: &str,
    values: &JsonMap<String, Json>,
    shown: fn(&Json, usize) -> String,
    ink: Ink,
) {
    if !values.is_empty() {
        text.push_str(&format!("\n{}\n", ink.paint(STRONG, heading)));
        for (name, value) in values {
            text.push_str(&format!("  {name} = {}\n", shown(value, OUTPUT_WIDTH)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::sample::*;

    #[test]
    fn a_node_is_told_in_full() {
        let now = at(300).to_zoned(jiff::tz::TimeZone::UTC);
        let story = NodeStory::from_events(
            failed_run().into_iter(),
            RUN.into(),
            "running",
            NodeRef::new("train", None),
        )
        .unwrap();
        let text = story.render(false, &now);
        let key = crate::core::digest::Digest::of("train").hex();
        let expected = format!(
            "\
train  nightly-train.train  in run k3v9x2qm
✗ failed: exit 3 after 2 attempts; took 12.0s; cpu 23.4s, 3.0 GiB
cache  miss
key    {key}

attempts
  1  exit 3  2.0s   cpu 1.9s            began 4 min ago
  2  failed  12.0s  cpu 23.4s, 3.0 GiB  began 4 min ago

! train: the pinned version 1.0.0 hides a change of the command

exit 3 after 2 attempts
  │ epoch 1
  │ ValueError: no data
  log:  /home/ada/runs/k3v9x2qm/train.2.log
  more: runner logs k3v9x2qm train
"
        );
        assert_eq!(text, expected);
        let document = story.to_json();
        assert_eq!((&document["run"], &document["failed_attempts"][0]["attempt"]), (&json!(RUN), &json!(1)));
        assert_eq!(
            document["warnings"][0]["message"],
            "the pinned version 1.0.0 hides a change of the command"
        );
    }

    #[test]
    fn a_hit_says_where_it_came_from_and_the_unknown_is_unknown() {
        let now = at(300).to_zoned(jiff::tz::TimeZone::UTC);
        let story = NodeStory::from_events(
            failed_run().into_iter(),
            RUN.into(),
            "running",
            NodeRef::new("fetch", None),
        )
        .unwrap();
        let text = story.render(false, &now);
        assert!(text.contains("\nfrom   run a1b2c3d4, node fetch, yesterday 03:00\n"), "{text}");
        assert!(
            NodeStory::from_events(
                failed_run().into_iter(),
                RUN.into(),
                "running",
                NodeRef::new("fetch", Some(1))
            )
            .is_none()
        );
        let events = vec![run_started(1), node_started("a", 1, 1), waiting("a", None, "for gpu (in use)")];
        let open = NodeStory::from_events(events.into_iter(), RUN.into(), "running", NodeRef::new("a", None))
            .unwrap();
        let text = open.render(false, &now);
        assert!(text.starts_with("a  in run k3v9x2qm\n… running\nwaiting for gpu (in use)\n"), "{text}");
    }
}
