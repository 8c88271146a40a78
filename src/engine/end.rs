//! How a run ends: what it hands back, the node that runs last, the summary.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use serde_json::Map as JsonMap;

use super::groups::{Frame, Group};
use super::values::RunFailure;
use super::{Engine, Summary, millis, publish};
use crate::core::event::{Event, RunFinished, Status};
use crate::engine::schedule::State;
use crate::exec::Executor;
use crate::storage::history::times::{NodeTime, Times};
use crate::workflow::graph::select::Role;

impl<E: Executor + Send + Sync + 'static> Engine<'_, E> {
    /// Hands back what the run was for; if that fails so does the run.
    pub(super) fn hand_out(&mut self) {
        let (None, None, Some(Group::Frame(root))) = (self.signal, &self.failure, self.groups.first()) else {
            return;
        };
        match publish::hand_out(root, &self.files, &self.shared.store, &self.outputs_dir) {
            Ok(handed) => self.handed = handed,
            Err(problem) => {
                self.bus.warn(None, problem.clone());
                let node = self.outline.workflow().name.clone();
                self.failure = Some(Arc::new(RunFailure { node, message: problem }));
            }
        }
    }

    /// Begins the node that runs last, if there is one for how the run has ended.
    pub(super) fn begin_hook(&mut self) -> bool {
        let workflow = self.outline.workflow().clone();
        let hook = if self.failure.is_some() { workflow.on_failure } else { workflow.on_success };
        let (Some(hook), None, Some(Group::Frame(root))) = (hook, self.signal, self.groups.first()) else {
            return false;
        };
        let hook = hook as usize;
        let frame: Frame = root.again(self.failure.clone());
        let own = frame.number(hook);
        if self.order.roles[own] == Role::Skip {
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
            if self.order.roles[number] == Role::Out {
                self.order.roles[number] = Role::Run;
            }
            // What was said of another run is not said of this one.
            self.order.overwrite[number] = true;
        }
        let graph = self.outline.graph(&workflow);
        let lacking = graph.dependencies(hook).find(|node| {
            let tolerant = graph.edges(*node).any(|(to, tolerant)| to == hook && tolerant);
            match self.scheduler.state(self.scheduler.unit(0, *node)) {
                State::Succeeded => false,
                State::Skipped => !tolerant,
                _ => true,
            }
        });
        self.scheduler.resume();
        let number = self.scheduler.open_frame(None, graph, |node| node == hook, |_| 0);
        self.add_group(number, Group::Frame(frame));
        let leaves = self.leaves(own..self.outline.inside(own).end);
        (self.total, self.counts.nodes) = (self.total + leaves, self.counts.nodes + leaves);
        if let Some(lacking) = lacking
            && let Some(unit) = self.scheduler.take_ready()
        {
            self.skip(unit, &format!("`{}` was skipped", workflow.nodes[lacking].name));
        }
        true
    }

    pub(super) fn conclude(mut self, started: Instant) -> Summary {
        let status = match (self.signal, &self.failure) {
            (Some(_), _) => Status::Cancelled,
            (None, Some(_)) => Status::Failed,
            (None, None) => Status::Succeeded,
        };
        let handed = std::mem::take(&mut self.handed);
        let outputs = if status == Status::Succeeded { handed } else { Vec::new() };
        self.writer.stats(self.shared.store.stats().drain_fresh());
        self.writer.times(self.node_times());
        self.writer.used(self.cache.take_used());
        self.bus.emit(Event::RunFinished(RunFinished {
            time: Timestamp::now(),
            run: self.shared.run.clone(),
            status,
            duration_ms: millis(started.elapsed()),
            counts: self.counts,
            saved_ms: self.saved_ms,
            outputs: outputs
                .iter()
                .map(|(name, handed)| (name.clone(), handed.event.clone()))
                .collect::<JsonMap<_, _>>(),
        }));
        let history = self.bus.close();
        Summary {
            status,
            counts: self.counts,
            saved_ms: self.saved_ms,
            outputs,
            signal: self.signal,
            history,
        }
    }

    /// How long each node would have taken in this run, had it been alone.
    fn node_times(&self) -> Times {
        let jobs = self.order.jobs.max(1) as u64;
        let time = |(number, (total, count)): (&usize, &(u64, u64))| {
            let time = NodeTime { wall: total / (*count).clamp(1, jobs), mean: total / (*count).max(1) };
            (self.outline.name(*number), time)
        };
        Times { workflow: self.outline.workflow().name.clone(), nodes: self.times.iter().map(time).collect() }
    }
}
