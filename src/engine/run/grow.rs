//! A run that grows: the workflow that a task returned in place of its outputs runs inside the task's node.

use std::fmt::Display;
use std::sync::Arc;

use super::cost::AttemptCost;
use super::{Engine, InFlight};
use crate::core::clock::millis;
use crate::core::digest::Digest;
use crate::core::event::{Event, NodeFinished, NodeKind, TaskError, TaskErrorKind, WorkflowMade};
use crate::core::value::Value;
use crate::engine::attempt::perform::{Success, log_path};
use crate::engine::reservation;
use crate::engine::schedule::UnitId;
use crate::engine::scope::frames::{Frame, GroupSum, NodeInstance};
use crate::engine::scope::values::workflow_inputs;
use crate::workflow::Workflow;
use crate::workflow::binding::Binding;
use crate::workflow::graph::select::Role;
use crate::workflow::made::MadeWorkflow;

/// Maximum nesting depth of workflows that tasks make.
const MAX_MADE_DEPTH: usize = 10;

/// A unit whose attempt returned a workflow that runs now.
pub(super) struct MakerUnit {
    flight: InFlight,
    /// What the attempt left, without outputs.
    success: Success,
    cost: AttemptCost,
}

impl Engine {
    /// An attempt returned a workflow: the unit goes on inside it.
    pub(super) fn grow(
        &mut self,
        unit: UnitId,
        spot: &NodeInstance,
        flight: InFlight,
        mut success: Success,
        cost: AttemptCost,
    ) {
        let Some(made) = success.made.take() else { return self.succeed(unit, spot, flight, success, cost) };
        let grown = self.expect_shallow(unit, spot).and_then(|()| {
            let number = Arc::make_mut(&mut self.outline).grow(spot.number, &made.workflow);
            self.add_options(spot.number, number, &made)?;
            Ok((number, self.inputs_of_made(&made, &flight)?))
        });
        let (number, inputs) = match grown {
            Ok(grown) => grown,
            Err(message) => {
                let log = log_path(&self.context.logs, &spot.name, spot.event_index(), flight.attempts);
                let mut error = TaskError::new(TaskErrorKind::Output, message);
                error.log = Some(log.display().to_string());
                self.in_flight.insert(unit, flight);
                return self.fail_attempted(unit, spot, error, cost);
            }
        };
        for note in std::mem::take(&mut success.notes) {
            self.bus.warn(Some(spot.label()), note);
        }
        let nodes = self.leaves(number..number + made.workflow.size);
        self.total += nodes;
        self.counts.nodes += nodes;
        self.bus.emit(Event::WorkflowMade(WorkflowMade {
            time: self.clock.now(),
            node: spot.name.clone(),
            index: spot.event_index(),
            attempt: flight.attempts,
            duration_ms: cost.duration_ms,
            workflow: made.workflow.name.clone(),
            document: made.kept.display().to_string(),
            nodes,
            total: self.total,
        }));
        self.makers.insert(unit, MakerUnit { flight, success, cost });
        let numbers = (number, self.outline.offsets(&made.workflow));
        let prefix = format!("{}/", spot.label());
        self.open(Frame::new(made.workflow, numbers, Some(unit), prefix, inputs));
    }

    /// How deep in made workflows a unit is.
    fn expect_shallow(&self, unit: UnitId, spot: &NodeInstance) -> Result<(), String> {
        let depth = self.enclosing(unit).filter(|around| self.makers.contains_key(around)).count();
        match depth < MAX_MADE_DEPTH {
            true => Ok(()),
            false => Err(format!(
                "`{}` returned a workflow inside {MAX_MADE_DEPTH} others that tasks made, and no more nest: return outputs \
                 instead, from some depth on",
                spot.label()
            )),
        }
    }

    /// The units that a unit is inside, from the nearest.
    pub(super) fn enclosing(&self, unit: UnitId) -> impl Iterator<Item = UnitId> {
        let around = |unit: &UnitId| {
            let (group, _) = self.scheduler.locate(*unit);
            self.groups.get(group)?.parent()
        };
        std::iter::successors(Some(unit), around).skip(1)
    }

    /// What the run is to do with the nodes of a made workflow, which begin with `number`: as with their maker.
    fn add_options(&mut self, maker: usize, number: usize, made: &MadeWorkflow) -> Result<(), String> {
        let end = number + made.workflow.size;
        let own_executor = self.options.executor(maker).cloned();
        let overwrite = self.options.overwrite[maker];
        self.options.overwrite.resize(end, overwrite);
        self.options.remaining_ms.resize(end, self.options.remaining_ms[maker]);
        self.options.alone_ms.resize(end, None);
        self.options.roles.resize(end, Role::Run);
        if !self.options.mean_ms.is_empty() {
            self.options.mean_ms.resize(end, None);
        }
        let mut executors = vec![None; end - number];
        for (i, executor) in executors.iter_mut().enumerate() {
            let place = self.outline.place(number + i);
            let node = place.node();
            let named = node.execution().and_then(|execution| execution.executor.as_deref());
            *executor = match named {
                None => own_executor.clone(),
                Some("local") => None,
                Some(named) => {
                    let known = self.options.executors.iter().flatten().find(|known| ***known == *named);
                    Some(known.cloned().ok_or_else(|| {
                        format!(
                            "the workflow that it wrote has the node `{}` on the executor `{named}`, which this run does not use: \
                             only executors that the workflow file names are opened ({})",
                            node.name,
                            made.kept.display()
                        )
                    })?)
                }
            };
            let Some(execution) = node.execution() else { continue };
            let wanted = reservation(executor.as_ref(), &execution.resources);
            if let Some(unmet) = self.scheduler.unmet(&wanted).into_iter().next() {
                return Err(format!(
                    "the workflow that it wrote has the node `{}`, which can never run: {} ({})\n  help: {}",
                    node.name,
                    unmet.message,
                    made.kept.display(),
                    unmet.help
                ));
            }
        }
        if self.options.executors.is_empty() && executors.iter().all(Option::is_none) {
            return self.leave_hooks_out(number, end);
        }
        self.options.executors.resize(number, None);
        self.options.executors.extend(executors);
        self.leave_hooks_out(number, end)
    }

    /// As in every sub-workflow, nodes that would run last are not run.
    fn leave_hooks_out(&mut self, number: usize, end: usize) -> Result<(), String> {
        for i in number..end {
            if self.outline.place(i).is_hook() {
                let inside = self.outline.inside(i);
                self.options.roles[i] = Role::Out;
                self.options.roles[inside].fill(Role::Out);
            }
        }
        Ok(())
    }

    fn inputs_of_made(&self, made: &MadeWorkflow, flight: &InFlight) -> Result<Arc<[Value]>, String> {
        let Workflow { inputs, .. } = &*made.workflow;
        let given = |at: usize| flight.inputs.get(at).cloned().map(Binding::Literal);
        let bindings: Vec<Binding> = inputs
            .iter()
            .zip(&made.inputs)
            .map(|(input, at)| at.and_then(given).or_else(|| input.default.clone()))
            .map(|binding| binding.unwrap_or(Binding::Literal(Value::Null)))
            .collect();
        let failed =
            |error: &dyn Display| format!("the workflow that it wrote: {error} ({})", made.kept.display());
        let values =
            workflow_inputs(&made.workflow, &self.files, &bindings).map_err(|error| failed(&error))?;
        Ok(values.into())
    }

    /// The workflow that a unit made has ended well: so has the unit, with these outputs.
    pub(super) fn grown(&mut self, unit: UnitId, spot: &NodeInstance, outputs: Box<[Value]>, sum: &GroupSum) {
        let Some(MakerUnit { flight, mut success, mut cost }) = self.makers.remove(&unit) else { return };
        for (output, value) in spot.node().body.outputs().iter().zip(&outputs) {
            let mut own = None;
            value.for_each_artifact(&mut |artifact, _| own = own.take().or_else(|| artifact.origin.clone()));
            if let Some(path) = own {
                success.unstorable.get_or_insert_with(|| {
                    format!(
                        "output `{}` is {}, a file of your own that no node made: the result was used, but not stored",
                        output.0,
                        path.display()
                    )
                });
            }
        }
        success.outputs = outputs;
        cost.duration_ms += millis(sum.began.elapsed());
        let (total, count) = self.times.entry(spot.number).or_default();
        (*total, *count) = (*total + cost.duration_ms, *count + 1);
        self.succeed(unit, spot, flight, success, cost);
    }

    /// The workflow that a unit made has not ended well: `event` sums it up. The command of the unit itself did.
    pub(super) fn grown_badly(&mut self, unit: UnitId, event: NodeFinished) -> NodeFinished {
        let (Some(maker), Some(spot)) = (self.makers.remove(&unit), self.spot(unit)) else { return event };
        let MakerUnit { flight, cost, .. } = maker;
        let log = log_path(&self.context.logs, &spot.name, spot.event_index(), flight.attempts);
        let own = self.finished(&spot, event.status, &flight.inputs);
        flight.placed(NodeFinished {
            task: own.task,
            kind: NodeKind::Workflow,
            cache: Some(flight.cache),
            key: flight.key,
            attempts: flight.attempts,
            cpu_ms: cost.usage.cpu_ms,
            peak_memory: cost.usage.peak_memory,
            inputs: own.inputs,
            duration_ms: cost.duration_ms + event.duration_ms,
            why: flight.why.clone(),
            log: Some(log.display().to_string()),
            ..event
        })
    }

    /// Whether the work of a key goes on around a unit: then the unit would wait for itself.
    pub(super) fn is_made_by(&self, unit: UnitId, key: &Digest) -> bool {
        let mut around = self.enclosing(unit);
        around.any(|around| {
            self.makers.get(&around).is_some_and(|maker| maker.flight.key.as_ref() == Some(key))
        })
    }
}
