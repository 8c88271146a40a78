//! Results of a prior run: a retry of that run takes them over instead of doing the work again, whether
//! its tasks are cached or not.
//!
//! A result counts for the node that had it, when its work is the same: definition, inputs, project and domain, which
//! is what a key is made of.

use std::collections::HashMap;

use serde_json::{Map as JsonMap, Value as Json};

use crate::core::digest::Digest;
use crate::core::event::{CacheStatus, Event, NodeFinished, NodeKind, ResultSource, Status};
use crate::core::run_id::RunId;

/// The results of an earlier run.
#[derive(Clone)]
pub struct PriorRun {
    run: RunId,
    /// By the name of the node, without numbers of elements, and by its work.
    done: HashMap<String, HashMap<Digest, PriorResult>>,
}

/// One result.
#[derive(Clone)]
pub struct PriorResult {
    /// As the event had them.
    pub outputs: JsonMap<String, Json>,
    pub source: ResultSource,
    pub duration_ms: u64,
}

impl PriorRun {
    /// Those of `run`, from its events.
    pub fn of(run: RunId, events: impl IntoIterator<Item = Event>) -> Self {
        let mut earlier = Self { run, done: HashMap::new() };
        for event in events {
            if let Event::NodeFinished(node) = event {
                earlier.add(node);
            }
        }
        earlier
    }

    fn add(&mut self, node: NodeFinished) {
        let stored = matches!(node.cache, Some(CacheStatus::Populated | CacheStatus::Hit));
        let work = node.work.or(node.key.filter(|_| stored));
        let (Some(work), Status::Succeeded, NodeKind::Task) = (work, node.status, node.kind) else { return };
        let own = || ResultSource {
            run: self.run,
            node: node.path().to_string(),
            time: node.time,
            provenance: Default::default(),
        };
        let source = node.source.clone().unwrap_or_else(own);
        let duration_ms = node.duration_ms.max(node.saved_ms);
        let family = node.path().family().into_owned();
        let done = PriorResult { outputs: node.outputs, source, duration_ms };
        self.done.entry(family).or_default().insert(work, done);
    }

    /// Leaves out the results of a node.
    pub fn forget(&mut self, node: &str) {
        self.done.remove(node);
    }

    /// The result that a node had for the same work.
    pub fn find(&self, node: &str, work: &Digest) -> Option<&PriorResult> {
        self.done.get(node)?.get(work)
    }
}
