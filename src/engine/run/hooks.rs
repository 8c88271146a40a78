//! How a run ends: its outputs, the node that runs last, the summary.

use std::sync::Arc;

use super::Engine;
use crate::engine::schedule::UnitState;
use crate::engine::scope::frames::{Frame, ValueScope};
use crate::engine::scope::values::RunFailure;
use crate::workflow::graph::select::Role;

impl Engine {
    /// Publishes the outputs of the run; if that fails so does the run.
    pub(super) fn hand_out(&mut self) {
        let (None, None, Some(ValueScope::Frame(root))) =
            (self.interrupt, &self.failure, self.groups.first())
        else {
            return;
        };
        match self.publisher.publish(root, &self.files) {
            Ok(handed) => {
                self.handed = handed;
                self.publisher.notes().into_iter().for_each(|note| self.bus.warn(None, note));
            }
            Err(error) => {
                let (node, message) = (self.outline.workflow().name.clone(), error.to_string());
                self.bus.warn(None, message.clone());
                self.failure = Some(Arc::new(RunFailure { node, message }));
            }
        }
    }

    /// Begins the node that runs last, if there is one for how the run has ended.
    pub(super) fn begin_hook(&mut self) -> bool {
        let workflow = self.outline.workflow().clone();
        let hook = if self.failure.is_some() { workflow.on_failure } else { workflow.on_success };
        let (Some(hook), None, Some(ValueScope::Frame(root))) = (hook, self.interrupt, self.groups.first())
        else {
            return false;
        };
        let hook = hook as usize;
        let frame: Frame = root.again(self.failure.clone());
        let own = frame.number(hook);
        if self.options.roles[own] == Role::Skip {
            return false;
        }
        let mut next = own;
        while next < self.outline.inside(own).end {
            let number = next;
            next += 1;
            if number != own && self.outline.place(number).is_hook() {
                // A sub-workflow's own hooks are not run, here as elsewhere.
                next = self.outline.inside(number).end;
                continue;
            }
            if self.options.roles[number] == Role::Out {
                self.options.roles[number] = Role::Run;
            }
            // What was said of another run is not said of this one.
            self.options.overwrite[number] = true;
        }
        let graph = self.outline.graph(&workflow);
        let lacking = graph.dependencies(hook).find(|node| {
            let tolerant = graph.edges(*node).any(|(to, tolerant)| to == hook && tolerant);
            match self.scheduler.state(self.scheduler.unit(0, *node)) {
                UnitState::Succeeded => false,
                UnitState::Skipped => !tolerant,
                _ => true,
            }
        });
        self.scheduler.resume();
        self.attempts.resume();
        let number = self.scheduler.open_frame(None, graph, |node| node == hook, |_| 0);
        self.add_group(number, ValueScope::Frame(frame));
        let leaves = self.leaves(own..self.outline.inside(own).end);
        (self.total, self.counts.nodes) = (self.total + leaves, self.counts.nodes + leaves);
        if let Some(lacking) = lacking
            && let Some(unit) = self.scheduler.take_ready()
        {
            self.skip(unit, &*format!("`{}` was skipped", workflow.nodes[lacking].name));
        }
        true
    }
}
