//! The nodes of a run, those that wait as well: filtered, sorted, a part at a time.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::path::Path;
use std::str::FromStr;

use serde_json::{Value as Json, json};

use super::Error;
use super::home::HomeReader;
use super::inspect::request;
use super::recorded::as_it_was;
use crate::core::event::{CacheStatus, Status};
use crate::core::node_path::NodeRef;
use crate::storage::history::Run;
use crate::view::model::run::{Keep, NodeState, RunState};

/// How a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeStanding {
    /// It has not begun.
    Waiting,
    Running,
    Ended(Status),
    /// It had begun when the run was killed.
    Interrupted,
}

/// In which order nodes are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NodeOrder {
    /// As they began.
    #[default]
    Start,
    /// The slowest first.
    Time,
    Name,
    /// Failures first, then what runs, what waits, the rest.
    Status,
}

impl FromStr for NodeOrder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "start" => Self::Start,
            "time" => Self::Time,
            "name" => Self::Name,
            "status" => Self::Status,
            _ => return Err("expected start, time, name or status".into()),
        })
    }
}

/// Which nodes are asked for; nothing that is left out matters.
#[derive(Clone, Debug, Default)]
pub struct NodeQuery {
    /// The elements of this node, and the nodes in them, in place of the nodes of the run.
    pub node: Option<String>,
    /// One of these: `running`, `waiting`, `interrupted`, or how it ended.
    pub statuses: HashSet<String>,
    /// One of these statuses of the cache.
    pub caches: HashSet<String>,
    /// What stands in its name or its task; case does not matter.
    pub words: String,
    pub order: NodeOrder,
}

/// A node in a list: what the events say of it, or only its name.
pub struct NodeItem<'r> {
    pub path: NodeRef<'r>,
    pub standing: NodeStanding,
    pub state: Option<&'r NodeState>,
}

impl NodeStanding {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Interrupted => "interrupted",
            Self::Ended(status) => status.name(),
        }
    }

    fn rank(self) -> u8 {
        match self {
            Self::Ended(Status::Failed) => 0,
            Self::Running | Self::Interrupted | Self::Ended(Status::Detached) => 1,
            Self::Waiting => 2,
            Self::Ended(Status::Succeeded) => 3,
            Self::Ended(Status::Skipped | Status::Cancelled) => 4,
        }
    }
}

/// The state of a run with the names of its nodes that no event has named yet.
pub struct RunNodes {
    pub run: RunState,
    waiting: Vec<String>,
}

impl RunNodes {
    /// The state of a run, with the nodes that are still to come where the run goes on.
    pub(super) fn of(view: &HomeReader, run: &Run, keep: Keep) -> Result<Self, Error> {
        let request = request(view, run.id);
        let state =
            RunState { request, ..RunState::from_events(run.id, view.events(run.id)?, &run.status, keep) };
        let mut waiting = Vec::new();
        if state.goes_on() {
            // A run that is older than the record of its files shows what its events name.
            let known: HashSet<&str> = state.nodes.iter().map(|node| &*node.node).collect();
            if let Ok(again) = as_it_was(view, run) {
                let outline = &again.opened.outline;
                let names = (0..outline.len()).map(|place| outline.name(place));
                waiting.extend(names.filter(|name| !known.contains(&**name)));
            }
        }
        Ok(Self { run: state, waiting })
    }
}

/// The nodes of the run that a person means by `name`; `keep` says how much of them is held.
///
/// # Errors
/// The run is not known, or the history cannot be read.
pub fn nodes(home: Option<&Path>, name: &str, keep: Keep) -> Result<RunNodes, Error> {
    let view = HomeReader::open(home)?;
    let run = view.find(name)?;
    RunNodes::of(&view, &run, keep)
}

impl RunNodes {
    /// Those that match, in order.
    ///
    /// # Errors
    /// The run has no node of the name asked for.
    pub fn list(&self, query: &NodeQuery) -> Result<Vec<NodeItem<'_>>, Error> {
        let words = query.words.to_ascii_lowercase();
        let mut items: Vec<NodeItem> = match &query.node {
            Some(name) => {
                let found = self.run.nodes.iter().find(|node| node.node == *name);
                let found = found
                    .ok_or_else(|| Error::not_found(format!("run {} has no node `{name}`", self.run.id)))?;
                found.inside.iter().map(|state| self.item(state)).collect()
            }
            None => {
                let waiting = self.waiting.iter().map(|name| NodeItem {
                    path: NodeRef::new(name, None),
                    standing: NodeStanding::Waiting,
                    state: None,
                });
                self.run.nodes.iter().map(|state| self.item(state)).chain(waiting).collect()
            }
        };
        items.retain(|item| {
            (query.statuses.is_empty() || query.statuses.contains(item.standing.name()))
                && (query.caches.is_empty()
                    || item.cache().is_some_and(|cache| query.caches.contains(cache.name())))
                && (words.is_empty() || item.has_words(&words))
        });
        match query.order {
            NodeOrder::Start => {}
            NodeOrder::Time => items.sort_by_key(|item| Reverse(item.duration_ms())),
            NodeOrder::Name => items.sort_by_cached_key(|item| item.path.order()),
            NodeOrder::Status => items.sort_by_key(|item| item.standing.rank()),
        }
        Ok(items)
    }

    fn item<'r>(&self, state: &'r NodeState) -> NodeItem<'r> {
        let standing = match &state.finished {
            Some(node) => NodeStanding::Ended(node.status),
            None if state.attempts.is_empty() && state.spread.is_none() => NodeStanding::Waiting,
            None if self.run.goes_on() => NodeStanding::Running,
            None => NodeStanding::Interrupted,
        };
        NodeItem { path: state.path(), standing, state: Some(state) }
    }
}

impl NodeItem<'_> {
    pub fn cache(&self) -> Option<CacheStatus> {
        self.state?.finished.as_ref()?.cache
    }

    /// How long its work took; 0 where none did.
    pub fn duration_ms(&self) -> u64 {
        let finished = self.state.and_then(|state| state.finished.as_ref());
        finished.filter(|node| node.attempts > 0 || node.counts.is_some()).map_or(0, |node| node.duration_ms)
    }

    fn has_words(&self, words: &str) -> bool {
        let task = self.state.and_then(|state| state.finished.as_ref()).map_or("", |node| &*node.task);
        self.path.to_string().to_ascii_lowercase().contains(words)
            || task.to_ascii_lowercase().contains(words)
    }

    /// As in the document of a run; of what has not ended its state.
    pub fn to_json(&self) -> Json {
        let finished = self.state.and_then(|state| state.finished.as_ref());
        let mut item = match finished {
            Some(node) => json!(node.with_texts()),
            None => json!({"node": self.path.node, "index": self.path.index}),
        };
        item["state"] = json!(self.standing.name());
        if let Some(state) = self.state {
            let last = state.attempts.last();
            item["started"] = json!(last.map(|attempt| attempt.began));
            item["waited_ms"] = json!(last.map(|attempt| attempt.waited_ms));
            item["attempt"] = json!(last.map(|attempt| attempt.number));
            let failed = state.attempts.iter().filter_map(|attempt| attempt.failed.as_deref());
            item["failed_attempts"] = failed.map(|failed| json!(failed)).collect();
            item["elements"] = json!(state.spread.map(|spread| spread.elements));
            item["elements_done"] = json!(state.spread.map(|spread| spread.done));
            item["elements_failed"] = json!(state.spread.map(|spread| spread.failed));
        }
        item
    }
}
