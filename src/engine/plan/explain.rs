//! Why a lookup missed: the nearest earlier result, what differs, and which node upstream that comes from.
//!
//! Shared by runs, plans and `why`, so that all of them give the same reason.

use serde_json::{Map as JsonMap, Value as Json};

use super::explainer::Explainer;
use crate::core::why::{Change, LookupRequest, MissKind, Why};
use crate::engine::lookup::decision::Miss;
use crate::engine::lookup::identity::{TaskIdentity, TaskRequest, parts};
use crate::engine::scope::site::NodeSite;
use crate::storage::memo::EarlierResult;
use crate::storage::memo::explain::Parts;
use crate::workflow::Task;

impl Explainer<'_> {
    /// Why the cache does not have what is asked for at a site.
    pub fn explain(&self, asked: &TaskRequest, miss: Miss, site: NodeSite) -> Why {
        match miss {
            Miss::Nothing => {}
            Miss::Aged { .. } | Miss::FromFuture { .. } => {
                return Why::plain(MissKind::Aged, miss.to_string());
            }
            Miss::Unreadable(_) | Miss::Damaged(_) => {
                return Why::plain(MissKind::Unusable, miss.to_string());
            }
        }
        let request = || LookupRequest {
            task: asked.task.name.to_string(),
            node: asked.label.into(),
            project: self.cache.scope().project.clone(),
        };
        let none = || Why::first(request(), None);
        let Some(db) = self.cache.history() else { return none() };
        let parts = asked.parts(self.cache.scope());
        let candidates = self.candidates(db, asked.task, asked.identity, asked.label);
        let Some(nearest) = parts.nearest(&candidates) else { return none() };
        if Some(nearest.key) == parts.key {
            return Why::plain(MissKind::Unusable, "the row of the stored result is damaged".into());
        }
        let elsewhere = parts.elsewhere(&candidates).map(EarlierResult::nearest);
        if elsewhere.as_ref().is_some_and(|other| other.key == nearest.key) {
            let mut why = Why::first(request(), elsewhere.clone());
            why.nearest = elsewhere;
            return why;
        }
        let mut changes = self.changes(db, &parts, &asked.identity.sources, nearest);
        for change in &mut changes {
            if let Change::Input(change) = change {
                let input = asked.task.inputs.iter().position(|input| *input.name == *change.name);
                let from = input.and_then(|i| self.of_input(site, i, nearest));
                change.from = from.map(Box::new);
            }
        }
        Why::changed(request(), nearest.nearest(), changes, elsewhere)
    }

    /// What differs already, of a node that waits for another: `known` are its inputs by name that do not. The parts
    /// of its key come as well.
    pub fn explain_waiting<'a>(
        &'a self,
        task: &'a Task,
        identity: &'a TaskIdentity,
        label: &'a str,
        known: JsonMap<String, Json>,
        reason: &str,
    ) -> (Why, Parts<'a>) {
        let parts = parts(task, identity, self.cache.scope(), label, None, known);
        let mut why = Why::plain(MissKind::Waiting, reason.to_owned());
        if let Some(db) = self.cache.history() {
            let candidates = self.candidates(db, task, identity, label);
            if let Some(nearest) = parts.nearest(&candidates) {
                why.changes = self.changes(db, &parts, &identity.sources, nearest);
                why.changes.retain(|change| match change {
                    Change::Input(change) => parts.inputs.contains_key(&change.name),
                    Change::Unrecorded => false,
                    _ => true,
                });
                why.nearest = Some(nearest.nearest());
            }
        }
        (why, parts)
    }
}
