//! The scheduler: which unit may proceed, and what follows when one ends.
//!
//! A unit is whatever has a state of its own: a node of a *frame*, which is one use of a workflow, or one of the
//! *elements* of a node. Frames and elements come into being below a unit while the run goes on; that unit ends
//! when they have. Pure and synchronous: no clock, no files, no output. One enum holds a unit's state and one
//! function changes it.

mod group;
pub mod pools;
mod queue;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::workflow::graph::Graph;
use group::{Batch, BatchKind};
pub use group::{EndCounts, UnitState};
use pools::{Pools, Reservation, Unmet};
use queue::Queue;

/// The number of a unit.
pub type UnitId = u32;

/// Decides what may proceed.
pub struct Scheduler {
    /// In the order of their bases.
    groups: Vec<Batch>,
    states: Vec<UnitState>,
    /// Exactly the units in that state.
    ready: VecDeque<UnitId>,
    /// The groups with elements that can start, each once.
    sources: VecDeque<usize>,
    /// The group below each unit that is inside.
    below: HashMap<UnitId, usize>,
    /// Units all of whose children have ended.
    closed: VecDeque<UnitId>,
    queue: Queue,
    pools: Pools,
    /// Units that have not ended yet, and those of them that are idle.
    open: usize,
    idle: usize,
    running: usize,
    stopped: bool,
}

impl Scheduler {
    pub fn new(pools: Pools) -> Self {
        Self {
            groups: Vec::new(),
            states: Vec::new(),
            ready: VecDeque::new(),
            sources: VecDeque::new(),
            below: HashMap::new(),
            closed: VecDeque::new(),
            queue: Queue::default(),
            pools,
            open: 0,
            idle: 0,
            running: 0,
            stopped: false,
        }
    }

    /// Opens a frame: the nodes of `graph` for which `takes_part` holds; what others would hand over is not waited
    /// for. `priority` orders units when not all can run. A taken `parent` goes on inside. Returns the
    /// group's number.
    pub fn open_frame(
        &mut self,
        parent: Option<UnitId>,
        graph: Arc<Graph>,
        takes_part: impl Fn(usize) -> bool,
        priority: impl Fn(usize) -> u64,
    ) -> usize {
        let n = graph.len();
        let waits: Box<[u32]> = (0..n)
            .map(|node| match takes_part(node) {
                true => graph.dependencies(node).filter(|d| takes_part(*d)).count() as u32,
                false => 0,
            })
            .collect();
        let first: Vec<usize> = (0..n).filter(|node| takes_part(*node) && waits[*node] == 0).collect();
        let kind = BatchKind::Frame { graph, waits, priority: (0..n).map(priority).collect() };
        let state = |node| if takes_part(node) { UnitState::Waiting } else { UnitState::Out };
        let group = self.add(parent, kind, (0..n).map(state));
        let base = self.groups[group].base;
        for node in first {
            self.change(base + node as UnitId, UnitState::Ready);
        }
        group
    }

    /// A taken `parent` becomes `count` elements, of which at most `at_once` run at a time.
    /// Returns the group's number.
    pub fn open_elements(&mut self, parent: UnitId, count: usize, at_once: usize) -> usize {
        let kind = BatchKind::Elements { next: 0, in_hand: 0, at_once: at_once.max(1) };
        let group = self.add(Some(parent), kind, std::iter::repeat_n(UnitState::Waiting, count));
        if self.groups[group].has_next() {
            self.sources.push_back(group);
        }
        group
    }

    fn add(
        &mut self,
        parent: Option<UnitId>,
        kind: BatchKind,
        states: impl Iterator<Item = UnitState>,
    ) -> usize {
        let (number, base) = (self.groups.len(), self.states.len());
        self.states.extend(states);
        let added = &self.states[base..];
        let open = added.iter().filter(|state| !state.is_final()).count();
        self.groups.push(Batch::new(base as UnitId, added.len(), open, parent, kind));
        self.open += open;
        self.idle += open;
        if let Some(parent) = parent {
            self.change(parent, UnitState::Inside);
            self.below.insert(parent, number);
            if open == 0 {
                self.closed.push_back(parent);
            }
        }
        number
    }

    /// The group of a unit and its number there.
    pub fn locate(&self, unit: UnitId) -> (usize, usize) {
        // An empty group has the base of the one after it, which comes later.
        let group = self.groups.partition_point(|group| group.base <= unit).saturating_sub(1);
        (group, (unit - self.groups[group].base) as usize)
    }

    /// The unit of number `i` of a group.
    pub fn unit(&self, group: usize, i: usize) -> UnitId {
        self.groups[group].base + i as UnitId
    }

    /// The one place where a state changes, and where the queues and counts that follow from it are kept.
    fn change(&mut self, unit: UnitId, to: UnitState) {
        let from = std::mem::replace(&mut self.states[unit as usize], to);
        debug_assert!(from.may_become(to), "{unit}: {from:?} to {to:?}");
        self.running += usize::from(to == UnitState::Running);
        self.running -= usize::from(from == UnitState::Running);
        self.idle += usize::from(to.is_idle());
        self.idle -= usize::from(from.is_idle());
        self.open -= usize::from(to.is_final());
        if to == UnitState::Ready {
            self.ready.push_back(unit);
        }
        let (number, _) = self.locate(unit);
        let group = &mut self.groups[number];
        let had_next = group.has_next();
        group.count(from, to);
        if !had_next && group.has_next() {
            self.sources.push_back(number);
        }
        if let (true, 0, Some(parent)) = (to.is_final(), group.open, group.parent) {
            self.closed.push_back(parent);
        }
    }

    /// Returns a unit whose dependencies have all ended: nodes in the order in which they became ready, then
    /// elements, in turn where there are several nodes with some. So what was begun is finished first, because the
    /// nodes of an element are ready before the next element starts. The caller answers with
    /// [`Scheduler::finish`], [`Scheduler::enqueue`], [`Scheduler::open_frame`] or [`Scheduler::open_elements`].
    pub fn take_ready(&mut self) -> Option<UnitId> {
        if self.stopped {
            return None;
        }
        if let Some(unit) = self.ready.pop_front() {
            self.change(unit, UnitState::Taken);
            return Some(unit);
        }
        let number = self.sources.pop_front()?;
        let group = &mut self.groups[number];
        let BatchKind::Elements { next, .. } = &mut group.kind else { return None };
        let unit = group.base + *next as UnitId;
        *next += 1;
        self.change(unit, UnitState::Taken);
        if self.groups[number].has_next() {
            self.sources.push_back(number);
        }
        Some(unit)
    }

    /// Whether [`Scheduler::take_ready`] would return a unit.
    pub fn has_ready(&self) -> bool {
        !self.stopped && (!self.ready.is_empty() || !self.sources.is_empty())
    }

    /// A taken unit has to run: it waits for a slot and for what it requests.
    pub fn enqueue(&mut self, unit: UnitId, request: &Reservation) {
        self.change(unit, UnitState::Queued);
        self.queue.add(unit, request, self.priority(unit));
    }

    fn priority(&self, mut unit: UnitId) -> u64 {
        loop {
            let (number, i) = self.locate(unit);
            match (&self.groups[number].kind, self.groups[number].parent) {
                (BatchKind::Frame { priority, .. }, _) => return priority[i],
                (BatchKind::Elements { .. }, Some(parent)) => unit = parent,
                (BatchKind::Elements { .. }, None) | (BatchKind::Closed, _) => return 0,
            }
        }
    }

    /// Returns a queued unit that fits into the free resources: the one with the highest priority, and the first of
    /// those. It holds what it requested until [`Scheduler::release`]. One that does not fit lets others go before
    /// it, but not for ever.
    pub fn take_start(&mut self) -> Option<UnitId> {
        if self.stopped || !self.pools.may_fit() {
            return None;
        }
        let unit = self.queue.take(&mut self.pools)?;
        self.change(unit, UnitState::Running);
        Some(unit)
    }

    /// A running unit gives back its slot: it has ended, or waits for its next attempt.
    pub fn release(&mut self, unit: UnitId) {
        self.queue.release(unit, &mut self.pools);
        self.change(unit, UnitState::Taken);
    }

    /// A taken unit has ended. Returns what is skipped in consequence.
    pub fn finish(&mut self, unit: UnitId, end: UnitState) -> Vec<UnitId> {
        self.change(unit, end);
        let (number, _) = self.locate(unit);
        let base = self.groups[number].base;
        let mut skipped = Vec::new();
        let BatchKind::Frame { graph, .. } = &self.groups[number].kind else { return skipped };
        let graph = graph.clone();
        let mut next = vec![(unit, end)];
        while let Some((cause, end)) = next.pop() {
            for (node, tolerant) in graph.edges((cause - base) as usize) {
                let dependent = base + node as UnitId;
                if self.states[dependent as usize] != UnitState::Waiting {
                    continue;
                }
                let spreads_as = match (end, tolerant) {
                    (UnitState::Succeeded, _) | (UnitState::Skipped, true) => {
                        if self.waits_for_nothing_more(number, node) {
                            self.change(dependent, UnitState::Ready);
                        }
                        continue;
                    }
                    (UnitState::Skipped, false) => UnitState::Skipped,
                    // What comes of a failure spreads like one: nothing can do without it.
                    _ => UnitState::Failed,
                };
                self.change(dependent, UnitState::Skipped);
                skipped.push(dependent);
                next.push((dependent, spreads_as));
            }
        }
        skipped
    }

    /// A node waits for one less.
    fn waits_for_nothing_more(&mut self, group: usize, node: usize) -> bool {
        let BatchKind::Frame { waits, .. } = &mut self.groups[group].kind else { return false };
        waits[node] -= 1;
        waits[node] == 0
    }

    /// Returns a unit whose children have all ended. The caller answers with [`Scheduler::finish`].
    pub fn take_closed(&mut self) -> Option<UnitId> {
        let unit = self.closed.pop_front()?;
        self.below.remove(&unit);
        self.change(unit, UnitState::Taken);
        Some(unit)
    }

    /// How the units of a group have ended.
    pub fn ended(&self, group: usize) -> EndCounts {
        self.groups[group].ended
    }

    /// Stops returning units; those that run may end.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Starts units again after everything before has ended.
    pub fn resume(&mut self) {
        self.stopped = false;
    }

    /// Ends every unit that the engine has not taken, after [`Scheduler::stop`]. Returns them, and how many elements
    /// never started, which are not among them.
    pub fn abandon(&mut self) -> (Vec<UnitId>, usize) {
        if self.idle == 0 {
            return (Vec::new(), 0);
        }
        self.abandon_groups((0..self.groups.len()).filter(|n| self.groups[*n].parent.is_none()).collect())
    }

    /// Like [`Scheduler::abandon`], for what is below `unit`.
    pub fn abandon_below(&mut self, unit: UnitId) -> (Vec<UnitId>, usize) {
        self.abandon_groups(self.below.get(&unit).copied().into_iter().collect())
    }

    /// The same for `groups` and all below them.
    fn abandon_groups(&mut self, mut groups: Vec<usize>) -> (Vec<UnitId>, usize) {
        let (mut units, mut never, mut was_ready) = (Vec::new(), 0, false);
        while let Some(number) = groups.pop() {
            let Batch { base, len, idle, inside, kind, .. } = &mut self.groups[number];
            if *idle + *inside == 0 {
                continue;
            }
            let (base, len) = (*base, *len);
            let handed_out = match kind {
                BatchKind::Elements { next, .. } => std::mem::replace(next, len),
                BatchKind::Frame { .. } | BatchKind::Closed => len,
            };
            for i in 0..len {
                let unit = base + i as UnitId;
                let state = self.states[unit as usize];
                if state == UnitState::Inside {
                    groups.extend(self.below.get(&unit));
                }
                if !state.is_idle() {
                    continue;
                }
                was_ready |= state == UnitState::Ready;
                self.queue.withdraw(unit);
                self.change(unit, UnitState::Cancelled);
                match i < handed_out {
                    true => units.push(unit),
                    false => never += 1,
                }
            }
        }
        if was_ready {
            self.ready.retain(|unit| self.states[*unit as usize] == UnitState::Ready);
        }
        if never > 0 {
            self.sources.retain(|number| self.groups[*number].has_next());
        }
        units.sort_unstable();
        (units, never)
    }

    /// Units that a job slot is free for and that still cannot run, with the resource that they lack: of those with
    /// equal requests the first, in the order in which they would start.
    pub fn lacking(&self) -> Vec<(UnitId, String)> {
        match self.stopped || !self.pools.may_fit() {
            true => Vec::new(),
            false => self.queue.lacking(&self.pools),
        }
    }

    /// Why a request can never be met.
    pub fn unmet(&self, request: &Reservation) -> Vec<Unmet> {
        self.pools.unmet(request)
    }

    /// How many units have not ended yet.
    pub fn open(&self) -> usize {
        self.open
    }

    /// How many units hold a slot.
    pub fn running(&self) -> usize {
        self.running
    }

    /// How many units wait for a slot.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Where a unit stands.
    pub fn state(&self, unit: UnitId) -> UnitState {
        self.states[unit as usize]
    }
}

#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod tests;
