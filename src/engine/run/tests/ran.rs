//! A run that was made, and questions about it.

use serde_json::Value as Json;

use crate::core::event::{CacheStatus, Event, NodeFinished, TaskErrorKind};
use crate::engine::run::Summary;

/// A run that was made.
pub struct Ran {
    pub summary: Summary,
    pub events: Vec<Event>,
    /// `node#attempt` in the order of their starts.
    pub calls: Vec<String>,
    /// The most attempts that ran at once.
    pub at_once: usize,
}

impl Ran {
    pub fn ends(&self) -> impl Iterator<Item = &NodeFinished> {
        self.events.iter().filter_map(|event| match event {
            Event::NodeFinished(end) => Some(end),
            _ => None,
        })
    }

    pub fn end(&self, label: &str) -> &NodeFinished {
        self.ends()
            .find(|end| end.path().to_string() == label)
            .unwrap_or_else(|| panic!("{label} has no end"))
    }

    /// `succeeded hit`, `failed`: the status of a node and what the cache said.
    pub fn status(&self, label: &str) -> String {
        let end = self.end(label);
        let cache = end.cache.map_or(String::new(), |cache| format!(" {}", name(cache)));
        format!("{}{cache}", end.status.name())
    }

    pub fn reason(&self, label: &str) -> &str {
        self.end(label).reason.as_deref().unwrap_or_default()
    }

    pub fn error(&self, label: &str) -> (TaskErrorKind, String) {
        let error = self.end(label).error.clone().unwrap_or_else(|| panic!("{label} did not fail"));
        (error.kind, error.message)
    }

    pub fn warnings(&self) -> Vec<String> {
        let warning = |event: &Event| match event {
            Event::Warning(warning) => Some(warning.message.clone()),
            _ => None,
        };
        self.events.iter().filter_map(warning).collect()
    }

    pub fn output(&self, name: &str) -> Json {
        let found = self.summary.outputs.iter().find(|(known, _)| known == name);
        found.map_or(Json::Null, |(_, output)| output.plain.to_record())
    }

    /// The kinds of events of one node, in their order.
    pub fn story(&self, label: &str) -> Vec<&'static str> {
        let of = |event: &Event| match event {
            Event::NodeStarted(e) if e.path().to_string() == label => Some("started"),
            Event::AttemptFailed(e) if e.path().to_string() == label => Some("attempt_failed"),
            Event::NodeFinished(e) if e.path().to_string() == label => Some("finished"),
            Event::NodeExpanded(e) if e.path().to_string() == label => Some("expanded"),
            Event::NodeWaiting(e) if e.path().to_string() == label => Some("waiting"),
            _ => None,
        };
        self.events.iter().filter_map(of).collect()
    }
}

fn name(cache: CacheStatus) -> String {
    serde_json::to_value(cache).unwrap().as_str().unwrap().to_owned()
}
