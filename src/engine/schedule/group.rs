//! Groups of units: a frame or the elements of one unit, and what is counted of each. Knows nothing of queues.

use std::sync::Arc;

use super::UnitId;
use crate::workflow::graph::Graph;

/// Where a unit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitState {
    /// For other nodes to end; an element: to be started.
    Waiting,
    /// All dependencies succeeded; the engine has not taken it yet.
    Ready,
    /// Started: looked up in the cache, or between two attempts.
    Taken,
    /// It has to run and waits for a slot.
    Queued,
    /// It holds a slot.
    Running,
    /// What is below it runs.
    Inside,
    Succeeded,
    Failed,
    /// It never ran: its condition was false, something it waits for did not succeed, or the user said so.
    Skipped,
    /// It never ran, or was ended: the run stopped first.
    Cancelled,
    /// Not part of the run.
    Out,
}

impl UnitState {
    pub(super) fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Skipped | Self::Cancelled | Self::Out)
    }

    /// Whether the engine has not taken it, or it waits for a slot: no work is lost if it is cancelled.
    pub(super) fn is_idle(self) -> bool {
        matches!(self, Self::Waiting | Self::Ready | Self::Queued)
    }

    pub(super) fn may_become(self, to: Self) -> bool {
        match self {
            Self::Waiting => matches!(to, Self::Ready | Self::Taken | Self::Skipped | Self::Cancelled),
            Self::Ready => matches!(to, Self::Taken | Self::Cancelled),
            Self::Taken => matches!(to, Self::Queued | Self::Inside) || (to.is_final() && to != Self::Out),
            Self::Queued => matches!(to, Self::Running | Self::Cancelled),
            Self::Running | Self::Inside => to == Self::Taken,
            Self::Succeeded | Self::Failed | Self::Skipped | Self::Cancelled | Self::Out => false,
        }
    }
}

/// How the units of a group have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndCounts {
    pub succeeded: usize,
    pub failed: usize,
    pub skipped: usize,
    pub cancelled: usize,
}

/// Units of consecutive numbers.
pub(super) struct Batch {
    pub base: UnitId,
    pub len: usize,
    pub parent: Option<UnitId>,
    pub kind: BatchKind,
    /// How many have not ended.
    pub open: usize,
    /// How many of those are idle, and how many are inside: where there are none, nothing needs to be searched.
    pub idle: usize,
    pub inside: usize,
    pub ended: EndCounts,
}

pub(super) enum BatchKind {
    Frame {
        graph: Arc<Graph>,
        /// How many nodes each one still waits for.
        waits: Box<[u32]>,
        priority: Box<[u64]>,
    },
    Elements {
        /// The first that has not started: a queue of all would be as long as there are elements.
        next: usize,
        /// How many have started and not ended.
        in_hand: usize,
        at_once: usize,
    },
    /// All have ended. There may be as many frames as there are elements: what they needed is given back.
    Closed,
}

impl Batch {
    pub fn new(base: UnitId, len: usize, open: usize, parent: Option<UnitId>, kind: BatchKind) -> Self {
        let kind = if open == 0 { BatchKind::Closed } else { kind };
        Self { base, len, parent, kind, open, idle: open, inside: 0, ended: EndCounts::default() }
    }

    /// Whether another element can start.
    pub fn has_next(&self) -> bool {
        match self.kind {
            BatchKind::Elements { next, in_hand, at_once } => next < self.len && in_hand < at_once,
            BatchKind::Frame { .. } | BatchKind::Closed => false,
        }
    }

    /// Counts a change of one unit's state.
    pub fn count(&mut self, from: UnitState, to: UnitState) {
        self.idle += usize::from(to.is_idle());
        self.idle -= usize::from(from.is_idle());
        self.inside += usize::from(to == UnitState::Inside);
        self.inside -= usize::from(from == UnitState::Inside);
        if let BatchKind::Elements { in_hand, .. } = &mut self.kind {
            // One that never started goes from waiting to its end, and was never counted as in flight.
            *in_hand += usize::from(from == UnitState::Waiting && !to.is_final());
            *in_hand -= usize::from(from != UnitState::Waiting && to.is_final());
        }
        if to.is_final() {
            self.open -= 1;
            match to {
                UnitState::Succeeded => self.ended.succeeded += 1,
                UnitState::Failed => self.ended.failed += 1,
                UnitState::Skipped => self.ended.skipped += 1,
                _ => self.ended.cancelled += 1,
            }
            if self.open == 0 {
                self.kind = BatchKind::Closed;
            }
        }
    }
}
