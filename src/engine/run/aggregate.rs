//! How a unit ends that sums up others: a node by its elements, a sub-workflow by its nodes.

use super::Engine;
use crate::core::clock::millis;
use crate::core::counted::counted;
use crate::core::event::{CacheStatus, NodeFinished, NodeKind, Status, TaskError, TaskErrorKind};
use crate::core::value::Value;
use crate::engine::schedule::{EndCounts, UnitId, UnitState};
use crate::engine::scope::frames::{Elements, Frame, NodeInstance, ValueScope};
use crate::engine::scope::interface;
use crate::engine::scope::scatter::gather;

impl Engine {
    /// Ends `unit` after all units inside it have ended.
    pub(super) fn close(&mut self, unit: UnitId) {
        let Some(spot) = self.spot(unit) else { return };
        let Some(number) = self.inside.remove(&unit) else { return };
        let group = std::mem::replace(&mut self.groups[number], ValueScope::Closed);
        let ended = self.scheduler.ended(number);
        let (sum, end, kind) = match group {
            ValueScope::Elements(elements) => {
                let end = elements_end(&elements, &spot, &ended);
                (elements.sum, end, NodeKind::Elements)
            }
            ValueScope::Frame(frame) => {
                let end = self.frame_end(&frame, &ended);
                (frame.sum, end, NodeKind::Workflow)
            }
            ValueScope::Closed => return,
        };
        let end = match end {
            AggregateEnd::Succeeded(outputs) if self.makers.contains_key(&unit) => {
                return self.grown(unit, &spot, outputs, &sum);
            }
            other => other,
        };
        let hits = sum.counts.cached == sum.counts.nodes && sum.counts.nodes > 0;
        let event = NodeFinished {
            kind,
            cache: hits.then_some(CacheStatus::Hit),
            duration_ms: millis(sum.began.elapsed()),
            cpu_ms: sum.usage.cpu_ms,
            peak_memory: sum.usage.peak_memory,
            saved_ms: sum.saved_ms,
            counts: Some(sum.counts),
            ..self.finished(&spot, Status::Succeeded, &[])
        };
        let event = self.grown_badly(unit, event);
        match end {
            AggregateEnd::Succeeded(outputs) => {
                let event = NodeFinished { outputs: self.outputs_json(&spot, &outputs), ..event };
                self.keep_outputs(unit, outputs);
                self.tell(unit, event);
                self.finish(unit, UnitState::Succeeded, "");
            }
            AggregateEnd::Skipped => {
                let reason = Some("its outputs were skipped".to_owned());
                self.tell(unit, NodeFinished { status: Status::Skipped, reason, ..event });
                self.keep_outputs(unit, spot.node().body.nothing());
                self.finish(unit, UnitState::Skipped, "was skipped");
            }
            AggregateEnd::Incomplete => {
                self.tell(unit, event);
                self.finish(unit, UnitState::Succeeded, "");
            }
            AggregateEnd::Failed(message) => {
                let error = TaskError::new(TaskErrorKind::Output, message);
                let event = NodeFinished { status: Status::Failed, error: Some(error), ..event };
                self.fail(unit, &spot, event);
            }
            AggregateEnd::Cancelled => {
                let (status, reason) = match self.lets_go {
                    true => (Status::Detached, "the run let its jobs go"),
                    false => (Status::Cancelled, "the run stopped first"),
                };
                self.tell(unit, NodeFinished { status, reason: Some(reason.to_owned()), ..event });
                self.finish(unit, UnitState::Cancelled, "was cancelled");
            }
        }
    }

    fn frame_end(&self, frame: &Frame, ended: &EndCounts) -> AggregateEnd {
        if ended.failed > 0 {
            let nodes = counted(ended.failed as u64, "node");
            return AggregateEnd::Failed(format!("{nodes} of the workflow failed"));
        }
        if ended.cancelled > 0 {
            return AggregateEnd::Cancelled;
        }
        match interface::interface(frame, &self.files) {
            Ok(Some(outputs)) if interface::lacks(&frame.workflow, &outputs) => AggregateEnd::Skipped,
            Ok(Some(outputs)) => AggregateEnd::Succeeded(outputs),
            Ok(None) => AggregateEnd::Incomplete,
            Err(error) => AggregateEnd::Failed(error.to_string()),
        }
    }
}

/// How it ended.
enum AggregateEnd {
    Succeeded(Box<[Value]>),
    /// Something in it was skipped that others cannot do without.
    Skipped,
    /// Only parts of it were selected: it has no outputs.
    Incomplete,
    Failed(String),
    Cancelled,
}

fn elements_end(elements: &Elements, spot: &NodeInstance, ended: &EndCounts) -> AggregateEnd {
    let (failed, all) = (ended.failed, elements.spread.count());
    if failed > elements.tolerated {
        let allowed = match elements.tolerated {
            0 => String::new(),
            most => format!(", and at most {most} may"),
        };
        let all = counted(all as u64, "element");
        return AggregateEnd::Failed(format!("{failed} of {all} failed{allowed}"));
    }
    if ended.cancelled > 0 {
        return AggregateEnd::Cancelled;
    }
    if ended.skipped > 0 {
        return AggregateEnd::Skipped;
    }
    let outputs = spot.node().body.outputs().len();
    if ended.succeeded > 0 && outputs > 0 && elements.outputs.iter().all(Option::is_none) {
        return AggregateEnd::Incomplete;
    }
    AggregateEnd::Succeeded(gather(&elements.outputs, outputs))
}
